//! The index template of a sink, and its data stream.

use super::target::{Indices, Kind};
use super::{Flags, mappings};
use serde_json::{Value, json};

/// The body of the index template; `policy` is the lifecycle policy of Elasticsearch that its indices have.
pub(crate) fn index_template(indices: &Indices, flags: &Flags, policy: Option<&str>) -> Value {
    let mut index = json!({});
    // As the server writes them, so that they compare: all settings are strings.
    let settings = [
        ("number_of_shards", flags.shards.map(|n| n.to_string())),
        ("number_of_replicas", flags.replicas.map(|n| n.to_string())),
        ("codec", flags.codec.clone()),
    ];
    for (name, value) in settings {
        if let Some(value) = value {
            index[name] = value.into();
        }
    }
    if let Some(policy) = policy {
        index["lifecycle"] = json!({"name": policy});
    }
    let mut body = json!({
        "index_patterns": [indices.pattern],
        "priority": flags.priority,
        "composed_of": [mappings::NAME],
        "_meta": super::meta(),
    });
    if index.as_object().is_some_and(|own| !own.is_empty()) {
        body["template"] = json!({"settings": {"index": index}});
    }
    if matches!(indices.kind, Kind::DataStream(_)) {
        body["data_stream"] = json!({});
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_is_set() {
        let stream = Indices { pattern: "logs-*-prod".into(), kind: Kind::DataStream(None) };
        let flags = Flags { priority: 200, ..Flags::default() };
        insta::assert_snapshot!(index_template(&stream, &flags, None).to_string().replace(env!("CARGO_PKG_VERSION"), "V"), @r#"{"_meta":{"managed_by":"forebay","version":"V"},"composed_of":["forebay-mappings"],"data_stream":{},"index_patterns":["logs-*-prod"],"priority":200}"#);
        let plain = Indices { pattern: "app".into(), kind: Kind::Endless };
        let flags = Flags { shards: Some(2), replicas: Some(0), codec: Some("best_compression".into()), ..flags };
        let body = index_template(&plain, &flags, Some("forebay-app"));
        assert_eq!(body.get("data_stream"), None);
        assert_eq!(
            body["template"]["settings"]["index"],
            json!({"number_of_shards": "2", "number_of_replicas": "0", "codec": "best_compression", "lifecycle": {"name": "forebay-app"}})
        );
    }
}
