//! A text with places for the event's date and for facts about its stream: `logs-{service.name:none}-%Y.%m.%d`.
//!
//! Only what is true of a whole stream can be named, so that a run has one target and no event is parsed for it; and nothing
//! that differs from one try to the next, or a retry would go elsewhere.

use crate::process::timestamp::date;
use crate::queue::StreamSpec;
use serde_json::{Map, Value};
use std::fmt::Write;

/// What stands for a field that a stream does not have, where the pattern names nothing else.
pub(crate) const UNKNOWN: &str = "unknown";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Year,
    Month,
    Day,
    Field { name: String, default: Option<String> },
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Piece>);

impl Pattern {
    /// Reads a pattern; `%Y`, `%m` and `%d` stand for the date only with `dates`. The error says what is wrong.
    pub fn parse(text: &str, dates: bool) -> Result<Pattern, String> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(c) = rest.chars().next() {
            let piece;
            (piece, rest) = match c {
                '{' => field(rest)?,
                '}' => return Err("`}` without its `{`".into()),
                '%' if dates => match rest.as_bytes().get(1) {
                    Some(b'Y') => (Piece::Year, &rest[2..]),
                    Some(b'm') => (Piece::Month, &rest[2..]),
                    Some(b'd') => (Piece::Day, &rest[2..]),
                    _ => return Err("only `%Y`, `%m` and `%d` (the event's date in UTC) may follow a `%`".into()),
                },
                '%' => return Err("there can be no date here".into()),
                c => {
                    plain.push(c);
                    rest = &rest[c.len_utf8()..];
                    continue;
                }
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(piece);
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Pattern(pieces))
    }

    /// The text, if it is the same for all events.
    pub fn constant(&self) -> Option<&str> {
        match &self.0[..] {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether it differs from stream to stream.
    pub fn names_fields(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Field { .. }))
    }

    /// The names of its fields for which it has no text of its own.
    pub fn bare_fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Field { name, default: None } => Some(name.as_str()),
            _ => None,
        })
    }

    /// The text with `*` for all that is not constant.
    pub fn wildcard(&self) -> String {
        self.0.iter().map(|piece| if let Piece::Text(text) = piece { text } else { "*" }).collect()
    }

    /// The text of a stream that has none of the fields, on some day.
    pub fn sample(&self) -> String {
        self.resolve(1_767_225_600_000, |_, default| Some(default.unwrap_or(UNKNOWN).to_string())).unwrap_or_default()
    }

    /// The pattern with its own text in lower case.
    pub fn lowercase(&self) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            // Writing into memory cannot fail.
            let _ = match piece {
                Piece::Text(text) => write!(out, "{}", text.to_lowercase()),
                Piece::Year => write!(out, "%Y"),
                Piece::Month => write!(out, "%m"),
                Piece::Day => write!(out, "%d"),
                Piece::Field { name, default: None } => write!(out, "{{{name}}}"),
                Piece::Field { name, default: Some(text) } => write!(out, "{{{name}:{}}}", text.to_lowercase()),
            };
        }
        out
    }

    /// The text for an event appended at `append_ms`, with what `fact` gives for each field (its name, and what the pattern
    /// has for a stream without it); `None` where `fact` has nothing. The date is never the clock's, or a retry after
    /// midnight would double.
    pub fn resolve(&self, append_ms: u64, mut fact: impl FnMut(&str, Option<&str>) -> Option<String>) -> Option<String> {
        let ((year, month, day), mut out) = (date(append_ms), String::new());
        for piece in &self.0 {
            let _ = match piece {
                Piece::Text(text) => write!(out, "{text}"),
                Piece::Year => write!(out, "{year:04}"),
                Piece::Month => write!(out, "{month:02}"),
                Piece::Day => write!(out, "{day:02}"),
                Piece::Field { name, default } => write!(out, "{}", fact(name, default.as_deref())?),
            };
        }
        Some(out)
    }
}

/// The field at the beginning of `text`, and what follows it.
fn field(text: &str) -> Result<(Piece, &str), String> {
    let end = text.find('}').ok_or("`{` without its `}`")?;
    let (inner, rest) = (&text[1..end], &text[end + 1..]);
    let (name, default) = inner.split_once(':').map_or((inner, None), |(name, default)| (name, Some(default)));
    if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@')) {
        return Err(format!("`{{{inner}}}` names no field; a field is written as `{{service.name}}` or `{{service.name:none}}`"));
    }
    if default == Some("") {
        return Err(format!("`{{{inner}}}` has nothing behind its `:`, where the text for streams without the field stands"));
    }
    Ok((Piece::Field { name: name.to_string(), default: default.map(str::to_string) }, rest))
}

/// What is true of a stream.
pub(crate) struct Facts<'a> {
    spec: &'a StreamSpec,
    fields: Map<String, Value>,
    host_name: &'a str,
}

impl<'a> Facts<'a> {
    /// Of the stream `spec` on the host `host_name`.
    pub fn new(spec: &'a StreamSpec, host_name: &'a str) -> Facts<'a> {
        // Fields that are no members of an object are in no document either.
        let fields = serde_json::from_str(&format!("{{{}}}", spec.fields)).unwrap_or_default();
        Facts { spec, fields, host_name }
    }

    /// The value of a field as the stream's documents have it; `None` where it is missing, empty, or no plain value.
    pub fn get(&self, name: &str) -> Option<String> {
        let found = match find(&self.fields, name) {
            _ if name == "log.file.path" => Some(self.spec.path.to_string_lossy().into_owned()),
            Some(Value::String(text)) => Some(text.clone()),
            Some(value @ (Value::Bool(_) | Value::Number(_))) => Some(value.to_string()),
            None if name == "host.name" => Some(self.host_name.to_string()),
            _ => None,
        };
        found.filter(|text| !text.is_empty())
    }
}

/// A member by its dotted name, however the object nests it.
fn find<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| {
        name.match_indices('.').find_map(|(dot, _)| match object.get(&name[..dot]) {
            Some(Value::Object(inner)) => find(inner, &name[dot + 1..]),
            _ => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spec(fields: &str) -> StreamSpec {
        StreamSpec { path: "/var/log/app.log".into(), fields: fields.into(), ..StreamSpec::default() }
    }

    fn resolved(pattern: &str, fields: &str) -> Option<String> {
        let spec = spec(fields);
        let facts = Facts::new(&spec, "web-1");
        Pattern::parse(pattern, true).unwrap().resolve(1_609_459_199_999, |name, default| facts.get(name).or(default.map(str::to_string)))
    }

    #[test]
    fn dates_come_from_the_event_and_facts_from_its_stream() {
        let fields = r#""service.name":"shop","k8s":{"pod":{"name":"p-1"}},"tier":3,"list":[1],"none":"""#;
        for (pattern, text) in [
            ("logs-app", Some("logs-app")),
            ("logs-%Y.%m.%d", Some("logs-2020.12.31")),
            ("{service.name}-{k8s.pod.name}-{tier}", Some("shop-p-1-3")),
            ("{host.name}{log.file.path}", Some("web-1/var/log/app.log")),
            ("{none:x}-{list:y}-{nowhere:z}", Some("x-y-z")),
            ("{nowhere}", None),
        ] {
            assert_eq!(resolved(pattern, fields).as_deref(), text, "{pattern}");
        }
        assert_eq!(resolved("{host.name}", r#""host":{"name":"other"}"#).as_deref(), Some("other"), "as in the document");
        assert_eq!(resolved("{a:x}", "no members").as_deref(), Some("x"));
    }

    #[test]
    fn what_is_constant_and_what_is_not() {
        let parse = |text| Pattern::parse(text, true).unwrap();
        assert_eq!(parse("logs").constant(), Some("logs"));
        assert_eq!(parse("logs-%Y").constant(), None);
        assert_eq!(parse("logs-{a:B}-%Y.%m").wildcard(), "logs-*-*.*");
        assert_eq!(parse("Logs-{Aa:B}-%Y").lowercase(), "logs-{Aa:b}-%Y");
        assert_eq!(parse("{a:x}-{b}-%Y").sample(), "x-unknown-2026");
        assert_eq!(parse("{a:x}{b}").bare_fields().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn mistakes_are_told() {
        let wrong = |text: &str| Pattern::parse(text, true).unwrap_err();
        insta::assert_snapshot!(wrong("a-{b"), @"`{` without its `}`");
        insta::assert_snapshot!(wrong("a}"), @"`}` without its `{`");
        insta::assert_snapshot!(wrong("{}"), @"`{}` names no field; a field is written as `{service.name}` or `{service.name:none}`");
        insta::assert_snapshot!(wrong("{a b}"), @"`{a b}` names no field; a field is written as `{service.name}` or `{service.name:none}`");
        insta::assert_snapshot!(wrong("{a:}"), @"`{a:}` has nothing behind its `:`, where the text for streams without the field stands");
        insta::assert_snapshot!(wrong("%H"), @"only `%Y`, `%m` and `%d` (the event's date in UTC) may follow a `%`");
        insta::assert_snapshot!(Pattern::parse("%Y", false).unwrap_err(), @"there can be no date here");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*", dates: bool) {
            if let Ok(pattern) = Pattern::parse(&text, dates) {
                prop_assert!(Pattern::parse(&pattern.lowercase(), dates).is_ok());
                if let Some(constant) = pattern.constant() {
                    prop_assert_eq!(constant, text);
                }
            }
        }
    }
}
