//! Whether what a server has is what is wanted, and whose it is.

use super::lifecycle::MARK;
use serde_json::Value;
use std::collections::BTreeMap;

/// Whether servers add this to what they were given.
fn is_added(path: &str) -> bool {
    const TOP: [&str; 9] = [
        "created_date",
        "created_date_millis",
        "modified_date",
        "modified_date_millis",
        "policy_id",
        "last_updated_time",
        "schema_version",
        "error_notification",
        "user",
    ];
    match path.split_once('.') {
        None => TOP.contains(&path),
        Some(("data_stream", rest)) => matches!(rest, "hidden" | "allow_custom_routing" | "timestamp_field.name"),
        Some(("states", rest)) => rest.split('.').any(|part| matches!(part, "retry" | "copy_alias")),
        Some(("ism_template", rest)) => rest.ends_with(".last_updated_time"),
        Some((first, _)) => TOP.contains(&first),
    }
}

/// Each value by its path; servers write `2` as `"2"` and `a.b` as an object in an object, which is the same here.
fn leaves(value: &Value, path: &str, out: &mut BTreeMap<String, String>) {
    let inner = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
    match value {
        Value::Object(members) if !members.is_empty() => members.iter().for_each(|(name, value)| leaves(value, &inner(name), out)),
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(n, item)| leaves(item, &inner(&n.to_string()), out))
        }
        Value::String(text) => drop(out.insert(path.to_string(), text.clone())),
        other => drop(out.insert(path.to_string(), other.to_string())),
    }
}

/// How `present` differs from `wanted`, a line each; empty where it does not.
pub(crate) fn differences(wanted: &Value, present: &Value) -> Vec<String> {
    let (mut want, mut have) = (BTreeMap::new(), BTreeMap::new());
    leaves(wanted, "", &mut want);
    leaves(present, "", &mut have);
    let empty = |value: &str| matches!(value, "{}" | "[]" | "null");
    let mut out = Vec::new();
    for (path, value) in &want {
        match have.get(path) {
            Some(own) if own == value => {}
            _ if value == "{}" && have.keys().any(|p| p.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('.'))) => {}
            None if value == "[]" => {}
            Some(own) => out.push(format!("{path}: {own} -> {value}")),
            None => out.push(format!("{path}: - -> {value}")),
        }
    }
    for (path, value) in &have {
        if !want.contains_key(path) && !empty(value) && !is_added(path) {
            out.push(format!("{path}: {value} -> -"));
        }
    }
    out
}

/// Whose something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Forebay's, of this version.
    Forebay(String),
    /// Somebody's.
    Other(Option<String>),
}

/// Reads the mark.
pub(crate) fn owner(present: &Value) -> Owner {
    let meta = |name: &str| present["_meta"][name].as_str().map(str::to_string);
    if let Some(rest) = present["description"].as_str().and_then(|text| text.strip_prefix(MARK)) {
        return Owner::Forebay(rest.split(':').next().unwrap_or_default().to_string());
    }
    match meta("managed_by") {
        Some(name) if name == "forebay" => Owner::Forebay(meta("version").unwrap_or_default()),
        other => Owner::Other(other),
    }
}

/// Why something that differs must not be replaced, if it must not.
pub(crate) fn keep_off(present: &Value) -> Option<String> {
    let own = env!("CARGO_PKG_VERSION");
    match owner(present) {
        Owner::Forebay(version) if super::identify::version(&version) > super::identify::version(own) => {
            Some(format!("it was made by forebay {version}, which is newer than this one ({own})"))
        }
        Owner::Forebay(_) => None,
        Owner::Other(Some(name)) => Some(format!("it was made by {name}")),
        Owner::Other(None) => Some("it was not made by forebay".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z.]{0,5}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let object = prop::collection::btree_map("[a-c.]{1,3}", inner.clone(), 0..4).prop_map(|m| m.into_iter().collect::<Value>());
            prop_oneof![prop::collection::vec(inner, 0..4).prop_map(Value::from), object]
        })
    }

    proptest! {
        #[test]
        fn nothing_differs_from_itself(value in json_value()) {
            prop_assert_eq!(differences(&value, &value), Vec::<String>::new());
        }
    }

    #[test]
    fn what_servers_add_and_how_they_write_it_is_no_difference() {
        let wanted = json!({"priority": 200, "data_stream": {}, "template": {"settings": {"index": {"number_of_shards": 2}}}, "states": [{"actions": [], "name": "hot"}]});
        let present = json!({
            "priority": 200, "data_stream": {"hidden": false, "timestamp_field": {"name": "@timestamp"}}, "composed_of": [], "created_date_millis": 1,
            "template": {"settings": {"index.number_of_shards": "2"}}, "error_notification": null, "last_updated_time": 1,
            "states": [{"actions": [], "name": "hot", "retry": {"count": 3}}]
        });
        assert_eq!(differences(&wanted, &present), Vec::<String>::new());
    }

    #[test]
    fn differences_are_told_both_ways() {
        let wanted = json!({"a": {"b": 1, "c": "x"}, "new": true, "data_stream": {}});
        let present = json!({"a": {"b": 2, "c": "x", "d": [5]}});
        assert_eq!(differences(&wanted, &present), ["a.b: 2 -> 1", "data_stream: - -> {}", "new: - -> true", "a.d.0: 5 -> -"]);
        let mapping = json!({"properties": {"user": {"type": "keyword"}}});
        assert_eq!(differences(&json!({"mappings": {}}), &json!({"mappings": mapping})), ["mappings.properties.user.type: keyword -> -"]);
    }

    #[test]
    fn only_what_is_ours_and_not_newer_is_replaced() {
        assert_eq!(keep_off(&json!({"_meta": crate::setup::meta()})), None);
        assert_eq!(keep_off(&json!({"description": "Managed by forebay 0.0.1: x"})), None);
        assert_eq!(keep_off(&json!({"_meta": {"managed_by": "fleet"}})).unwrap(), "it was made by fleet");
        assert_eq!(keep_off(&json!({"priority": 1})).unwrap(), "it was not made by forebay");
        assert!(keep_off(&json!({"_meta": {"managed_by": "forebay", "version": "99.0.0"}})).unwrap().contains("99.0.0, which is newer"));
    }
}
