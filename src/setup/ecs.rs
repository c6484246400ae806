//! Types that the Elastic Common Schema (8.17) has for fields that presets and processors give, where a server would guess
//! another one. Strings that are not here are keywords anyway, and numbers without a fraction long ones.

use serde_json::{Map, Value, json};

/// Numbers. They would be guessed by the first document, but a first `0.5` makes another type of it.
const LONG: &[&str] = &[
    "as.number",
    "client.as.number",
    "client.bytes",
    "client.port",
    "destination.as.number",
    "destination.bytes",
    "destination.port",
    "event.duration",
    "event.severity",
    "http.request.body.bytes",
    "http.request.bytes",
    "http.response.body.bytes",
    "http.response.bytes",
    "http.response.status_code",
    "log.origin.file.line",
    "process.exit_code",
    "process.parent.pid",
    "process.thread.id",
    "server.as.number",
    "server.bytes",
    "server.port",
    "source.as.number",
    "source.bytes",
    "source.port",
    "url.port",
];

/// Addresses. A processor or preset puts nothing else there (`convert: {…: ip}`).
const IP: &[&str] = &["client.ip", "destination.ip", "host.ip", "network.forwarded_ip", "observer.ip", "server.ip", "source.ip"];

/// Points on a map, as `geoip` gives them.
const GEO_POINT: &[&str] =
    &["client.geo.location", "destination.geo.location", "host.geo.location", "server.geo.location", "source.geo.location"];

const DATE: &[&str] = &["event.created", "event.end", "event.ingested", "event.start"];

/// Texts of any length that one searches for a part of.
const WILDCARD: &[&str] = &["error.stack_trace", "url.full", "url.original", "url.path"];

/// Texts that people read.
const TEXT: &[&str] = &["error.message"];

/// Kept, and not searched.
const ORIGINAL: &[&str] = &["event.original"];

/// Adds them to the properties of a mapping. `wildcard` and `text` are what the server has for these.
pub(super) fn add(properties: &mut Value, wildcard: &Value, text: &Value) {
    let simple = |name: &str| json!({"type": name});
    let original = json!({"type": "keyword", "index": false, "doc_values": false, "ignore_above": 1024});
    for (names, kind) in [
        (LONG, simple("long")),
        (IP, simple("ip")),
        (GEO_POINT, simple("geo_point")),
        (DATE, simple("date")),
        (WILDCARD, wildcard.clone()),
        (TEXT, text.clone()),
        (ORIGINAL, original),
    ] {
        for name in names {
            insert(properties, name, &kind);
        }
    }
}

/// What stands there already stays.
fn insert(properties: &mut Value, name: &str, kind: &Value) {
    let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
    let Value::Object(members) = properties else { return };
    match rest {
        None => drop(members.entry(first).or_insert_with(|| kind.clone())),
        Some(rest) => {
            let object = members.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(object) = object {
                insert(object.entry("properties").or_insert_with(|| Value::Object(Map::new())), rest, kind);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays_and_the_rest_is_nested() {
        let mut properties = json!({"source": {"properties": {"ip": {"type": "keyword"}}}});
        add(&mut properties, &json!({"type": "keyword"}), &json!({"type": "text"}));
        let of = |at: &str| properties.pointer(at).cloned().unwrap_or_default();
        assert_eq!(of("/source/properties/ip/type"), "keyword");
        assert_eq!(of("/source/properties/geo/properties/location/type"), "geo_point");
        assert_eq!(of("/http/properties/response/properties/body/properties/bytes/type"), "long");
        assert_eq!((of("/url/properties/original/type"), of("/error/properties/message/type")), (json!("keyword"), json!("text")));
    }
}
