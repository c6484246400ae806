//! `cloud_id`: the name under which Elastic Cloud hands out where a deployment is.

use super::decode::Field;
use crate::queue::letter::unbase64;
use url::Url;

/// The Elasticsearch URL of a cloud ID: `NAME:` and, in base64, `HOST[:PORT]$UUID[:PORT]$UUID`, of which the first UUID is
/// that of Elasticsearch.
pub(crate) fn cloud_id(field: &Field<'_>) -> Option<Url> {
    let expected = "a cloud ID as Elastic Cloud shows it: a name, `:`, and base64";
    let value = field.value(expected)?;
    match decode(value.text.trim()) {
        Ok(url) => Some(url),
        Err(why) => {
            field.report(field.is(&value).expected(expected).help(why));
            None
        }
    }
}

fn decode(text: &str) -> Result<Url, &'static str> {
    let coded = text.rsplit_once(':').map_or(text, |(_, coded)| coded);
    if coded.is_empty() {
        return Err("nothing follows the `:`; was it copied whole?");
    }
    let padded = format!("{0:=<1$}", coded.trim_end_matches('='), coded.trim_end_matches('=').len().next_multiple_of(4));
    let plain = unbase64(&padded)
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or("what follows the `:` is no base64; was it copied whole?")?;
    let mut parts = plain.split('$');
    let (host, search) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if host.is_empty() || search.is_empty() {
        return Err("it names no host and no Elasticsearch; was it copied whole?");
    }
    let port_of = |text: &str| text.split_once(':').map(|(name, port)| (name.to_string(), port.to_string()));
    let (host, port) = port_of(host).unwrap_or((host.to_string(), "443".to_string()));
    let (search, port) = port_of(search).unwrap_or((search.to_string(), port));
    let plain_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    if !plain_name(&host) || !plain_name(&search) || port.parse::<u16>().is_err() {
        return Err("what it holds is no host with a port; was it copied whole?");
    }
    Url::parse(&format!("https://{search}.{host}:{port}")).map_err(|_| "what it holds is no host; was it copied whole?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::base64;
    use proptest::prelude::*;

    fn url(plain: &str) -> String {
        decode(&format!("my deployment:{}", base64(plain.as_bytes()))).map_or_else(|why| why.to_string(), |url| url.to_string())
    }

    #[test]
    fn hosts_and_ports() {
        assert_eq!(url("eu-west-1.aws.found.io$4fa8821e75634032$6cf2f5f0"), "https://4fa8821e75634032.eu-west-1.aws.found.io/");
        assert_eq!(url("found.io:9243$es$kibana"), "https://es.found.io:9243/");
        assert_eq!(url("found.io$es:9244$kibana:9245"), "https://es.found.io:9244/");
        assert_eq!(url("found.io$es"), "https://es.found.io/");
        let no_name = base64(b"found.io$es$");
        assert_eq!(decode(&no_name).unwrap().as_str(), "https://es.found.io/");
        assert_eq!(decode(no_name.trim_end_matches('=')).unwrap().as_str(), "https://es.found.io/");
        for wrong in ["", "found.io", "found.io$", "$es", "found.io:x$es", "a/b$es", "found.io$es?x", "me@found.io$es"] {
            assert!(url(wrong).ends_with("copied whole?"), "{wrong}: {}", url(wrong));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC{0,30}", plain in "\\PC{0,30}") {
            let _ = decode(&text);
            let _ = url(&plain);
        }
    }
}
