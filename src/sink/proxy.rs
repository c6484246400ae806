//! HTTP proxies: which one, for which target, with which log-in; and the tunnel through it (`CONNECT`).

use super::auth::{Auth, Credentials};
use hyper::header::HeaderValue;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

/// A proxy's answer to `CONNECT` is at most this long.
const LONGEST_HEAD: usize = 16 << 10;

/// `proxy:` of a sink.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum ProxyOptions {
    /// None, whatever the environment says.
    #[default]
    None,
    /// `environment`: as `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
    Environment,
    /// This one.
    Url {
        /// `http://HOST:PORT`.
        url: String,
        /// [`Auth::None`] or [`Auth::Basic`].
        auth: Auth,
    },
}

/// A proxy.
pub(crate) struct ProxyServer {
    pub host: String,
    pub port: u16,
    pub credentials: Credentials,
}

impl ProxyServer {
    fn new(sink: &str, url: &str, auth: &Auth) -> Result<ProxyServer, String> {
        let unusable = || "the proxy is no URL such as http://proxy:3128".to_string();
        let url = Url::parse(url).map_err(|_| unusable())?;
        let (Some(host), "http") = (url.host_str(), url.scheme()) else { return Err(unusable()) };
        let port = url.port_or_known_default().unwrap_or(80);
        let credentials = Credentials::new(sink, auth).map_err(|_| "the credentials under proxy cannot stand in a header".to_string())?;
        Ok(ProxyServer { host: host.to_string(), port, credentials })
    }

    /// For messages.
    pub fn name(&self) -> String {
        format!("the proxy {}:{}", self.host, self.port)
    }

    /// Has the proxy connect to `authority`; afterwards the stream leads there.
    ///
    /// # Errors
    /// What the proxy says instead.
    pub async fn tunnel(&self, stream: &mut TcpStream, authority: &str) -> Result<(), String> {
        let credentials = self.credentials.header();
        let mut request =
            format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\nuser-agent: {}\r\n", super::transport::USER_AGENT).into_bytes();
        if let Some(value) = &credentials {
            request.extend_from_slice(b"proxy-authorization: ");
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        stream.write_all(&request).await.map_err(|e| format!("{} breaks off: {e}", self.name()))?;
        let mut head = Vec::with_capacity(512);
        // Byte by byte at the end: what follows the head belongs to the other side.
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) if head.len() < LONGEST_HEAD => head.push(byte),
                Ok(_) => return Err(format!("{} does not answer as an HTTP proxy", self.name())),
                Err(error) => return Err(format!("{} breaks off: {error}", self.name())),
            }
        }
        let line = String::from_utf8_lossy(head.split(|b| *b == b'\r').next().unwrap_or_default()).into_owned();
        match line.strip_prefix("HTTP/1.").and_then(|l| l.get(2..5)) {
            Some(status) if status.starts_with('2') => Ok(()),
            Some("407") => Err(self.refusal(credentials.as_ref())),
            Some(_) => Err(format!("{} makes no connection to {authority}: it answers {}", self.name(), super::transport::excerpt(&line))),
            None => Err(format!("{} does not answer as an HTTP proxy", self.name())),
        }
    }

    /// What to say of a 407; the credentials are looked at again for the next try.
    pub fn refusal(&self, sent: Option<&HeaderValue>) -> String {
        self.credentials.others(sent);
        let how = if sent.is_some() { "does not accept the log-in (407); check" } else { "wants a log-in (407); set" };
        format!("{} {how} user and password under proxy", self.name())
    }
}

/// The proxies of a sink.
pub(crate) enum Proxies {
    One(Option<Arc<ProxyServer>>),
    Environment { https: Option<Arc<ProxyServer>>, http: Option<Arc<ProxyServer>>, except: String },
}

impl Proxies {
    /// # Errors
    /// What cannot be used.
    pub fn new(sink: &str, options: &ProxyOptions, env: impl Fn(&str) -> Option<String>) -> Result<Proxies, String> {
        Ok(match options {
            ProxyOptions::None => Proxies::One(None),
            ProxyOptions::Url { url, auth } => Proxies::One(Some(Arc::new(ProxyServer::new(sink, url, auth)?))),
            ProxyOptions::Environment => {
                let value = |names: &[&str]| names.iter().find_map(|name| env(name).filter(|v| !v.trim().is_empty()));
                let server = |names: &[&str]| -> Result<_, String> {
                    let Some(text) = value(names) else { return Ok(None) };
                    let text = if text.contains("://") { text } else { format!("http://{text}") };
                    let bad = |why: String| format!("{}: {why}", names[0]);
                    let mut url = Url::parse(text.trim()).map_err(|_| bad("it is no URL such as http://proxy:3128".into()))?;
                    let decode = |text: &str| percent_decoded(text);
                    let auth = match (url.username(), url.password()) {
                        ("", None) => Auth::None,
                        (user, password) => Auth::Basic {
                            user: decode(user).as_str().into(),
                            password: decode(password.unwrap_or_default()).as_str().into(),
                        },
                    };
                    // A URL with a host takes both.
                    let _ = (url.set_username(""), url.set_password(None));
                    Ok(Some(Arc::new(ProxyServer::new(sink, url.as_str(), &auth).map_err(bad)?)))
                };
                Proxies::Environment {
                    https: server(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])?,
                    http: server(&["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])?,
                    except: value(&["NO_PROXY", "no_proxy"]).unwrap_or_default(),
                }
            }
        })
    }

    /// The proxy for a target.
    pub fn proxy_for(&self, target: &Url) -> Option<&Arc<ProxyServer>> {
        match self {
            Proxies::One(proxy) => proxy.as_ref(),
            Proxies::Environment { https, http, except } => {
                let proxy = if target.scheme() == "https" { https } else { http };
                let (host, port) = (target.host_str()?, target.port_or_known_default()?);
                proxy.as_ref().filter(|_| !excepted(except, host, port))
            }
        }
    }
}

/// Whether `NO_PROXY` names a host: `*`, names with all below them, addresses, networks such as `10.0.0.0/8`; each with a
/// port or without.
fn excepted(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    let address = host.parse::<IpAddr>().ok();
    list.split([',', ' ']).map(|entry| entry.trim().to_ascii_lowercase()).filter(|entry| !entry.is_empty()).any(|entry| {
        let (name, wanted) = match entry.rsplit_once(':') {
            // Of an IPv6 address that is not in brackets the last part is no port.
            Some((name, digits)) if !name.contains(':') || name.ends_with(']') => (name, digits.parse::<u16>().ok()),
            _ => (entry.as_str(), None),
        };
        if wanted.is_some_and(|wanted| wanted != port) {
            return false;
        }
        let name = name.trim_matches(['[', ']']).trim_end_matches('.');
        match (address, name.split_once('/')) {
            (Some(address), Some((network, bits))) => within(address, network, bits),
            (Some(address), None) => name == "*" || name.parse() == Ok(address),
            (None, _) => {
                let name = name.trim_start_matches("*.").trim_start_matches('.');
                name == "*" || host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        }
    })
}

fn within(address: IpAddr, network: &str, bits: &str) -> bool {
    let wide = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)) << 96, 32),
        IpAddr::V6(ip) => (u128::from(ip), 128),
    };
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    let ((address, most), (network, of)) = (wide(address), wide(network));
    let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
    most == of && bits <= most && address & mask == network & mask
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = |b: &u8| char::from(*b).to_digit(16);
        match (byte, after) {
            (b'%', [high, low, after @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                bytes.push((hex(high).unwrap_or(0) * 16 + hex(low).unwrap_or(0)) as u8);
                rest = after;
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_names_hosts_domains_addresses_and_networks() {
        let list = "localhost, .svc.local,example.com:8443 10.0.0.0/8,192.0.2.7,fd00::/8,[::1]:9200";
        for (host, port) in [
            ("localhost", 80),
            ("LOCALHOST.", 80),
            ("a.svc.local", 443),
            ("example.com", 8443),
            ("a.example.com", 8443),
            ("10.2.3.4", 1),
            ("192.0.2.7", 1),
            ("[fd12::1]", 1),
            ("[::1]", 9200),
        ] {
            assert!(excepted(list, host, port), "{host}:{port}");
        }
        for (host, port) in
            [("example.com", 443), ("badexample.com", 8443), ("11.0.0.1", 1), ("192.0.2.70", 1), ("[::1]", 9201), ("local", 1)]
        {
            assert!(!excepted(list, host, port), "{host}:{port}");
        }
        assert!(
            excepted("*", "anything", 1)
                && excepted("*", "10.0.0.1", 1)
                && !excepted("", "a", 1)
                && !excepted("10.0.0.0/99", "10.0.0.0", 1)
        );
        assert!(excepted("0.0.0.0/0", "10.0.0.1", 1) && !excepted("0.0.0.0/0", "[::1]", 1));
    }

    #[test]
    fn the_environment_counts_only_where_it_is_asked_for() {
        let env = |name: &str| match name {
            "https_proxy" => Some("http://me:p%40ss@proxy:3128".to_string()),
            "NO_PROXY" => Some("inside".to_string()),
            "HTTP_PROXY" => Some("plain".to_string()),
            _ => None,
        };
        let url = |text: &str| Url::parse(text).unwrap();
        let none = Proxies::new("out", &ProxyOptions::None, env).unwrap();
        assert!(none.proxy_for(&url("https://search:9200")).is_none());
        let proxies = Proxies::new("out", &ProxyOptions::Environment, env).unwrap();
        let proxy = proxies.proxy_for(&url("https://search:9200")).unwrap();
        assert_eq!(
            (proxy.name().as_str(), proxy.credentials.header().unwrap().to_str().unwrap()),
            ("the proxy proxy:3128", "Basic bWU6cEBzcw==")
        );
        assert_eq!(proxies.proxy_for(&url("http://search:9200")).unwrap().name(), "the proxy plain:80");
        assert!(proxies.proxy_for(&url("https://inside:9200")).is_none());
        let bad = Proxies::new("out", &ProxyOptions::Environment, |_| Some("socks5://me:hush@proxy".into())).map(drop).unwrap_err();
        assert_eq!(bad, "HTTPS_PROXY: the proxy is no URL such as http://proxy:3128");
    }
}
