//! A document as a flat list of fields with dotted names, for receivers that know no nested objects.

use serde_json::{Map, Value};

/// A document with the fields that receivers treat apart taken out of it.
#[derive(Debug, Default)]
pub(crate) struct Flat {
    /// `message`.
    pub message: String,
    /// `@timestamp`, nanoseconds since 1970 (0 if there is none).
    pub time_ns: u64,
    /// All other fields: dotted names in their order; objects are taken apart, arrays are not.
    pub fields: Vec<(String, Value)>,
}

impl Flat {
    /// Takes apart a document that was rendered by [`super::document::Template`]; what is no JSON object has no fields.
    pub fn of(document: &[u8]) -> Flat {
        let mut flat = Flat::default();
        let Ok(members) = serde_json::from_slice::<Map<String, Value>>(document) else { return flat };
        for (name, value) in members {
            match (name.as_str(), value) {
                ("message", Value::String(text)) => flat.message = text,
                ("@timestamp", Value::String(text)) => flat.time_ns = nanos(&text).unwrap_or(0),
                (_, value) => flatten(name, value, &mut flat.fields),
            }
        }
        flat
    }

    /// The field `name` as text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| plain(value))
    }
}

/// A value as a person would write it: text without quotes.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn flatten(name: String, value: Value, out: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (member, value) in members {
                flatten(format!("{name}.{member}"), value, out);
            }
        }
        value => out.push((name, value)),
    }
}

/// RFC 3339 with up to nine digits of a second.
fn nanos(text: &str) -> Option<u64> {
    let seconds = super::timestamp::parse_rfc3339(text)? / 1000;
    let digits: String = match text.split_once('.') {
        Some((_, rest)) => rest.chars().take_while(char::is_ascii_digit).take(9).collect(),
        None => String::new(),
    };
    let fraction = format!("{digits:0<9}").parse::<u64>().ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_names_become_dotted_and_nothing_is_left_out() {
        let flat = Flat::of(
            br#"{"@timestamp":"2026-03-09T10:15:02.123456789Z","message":"a \"b\"","log":{"offset":5,"file":{"path":"/x"},"flags":["partial"]},"e":{},"n":null}"#,
        );
        assert_eq!((flat.message.as_str(), flat.time_ns), ("a \"b\"", 1_773_051_302_123_456_789));
        let shown: Vec<String> = flat.fields.iter().map(|(n, v)| format!("{n}={}", plain(v))).collect();
        assert_eq!(shown, ["e={}", "log.file.path=/x", "log.flags=[\"partial\"]", "log.offset=5", "n=null"]);
        assert_eq!(flat.text("log.file.path").as_deref(), Some("/x"));
        assert!(Flat::of(b"[1]").fields.is_empty());
    }

    #[test]
    fn seconds_have_nine_digits_at_most() {
        assert_eq!(nanos("1970-01-01T00:00:01Z"), Some(1_000_000_000));
        assert_eq!(nanos("1970-01-01T00:00:01.5Z"), Some(1_500_000_000));
        assert_eq!(nanos("1970-01-01T01:00:01.000000001+01:00"), Some(1_000_000_001));
        assert_eq!(nanos("never"), None);
    }
}
