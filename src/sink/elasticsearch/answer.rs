//! The answer to a `_bulk` request, read without building a tree of it.
//!
//! A status for each item, and the error only where there is one: an answer to 50,000 events is
//! mostly equal items. The order of members is free (Elasticsearch and OpenSearch differ).

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Type and reason of an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ErrorCause {
    pub kind: String,
    pub reason: String,
    /// The index that it is about, where the server names it apart.
    pub index: String,
}

/// What came of each item, in order.
#[derive(Debug, Default)]
pub(crate) struct BulkAnswer {
    /// `None` if the answer has no list of items.
    pub items: Option<Items>,
    /// The error of the request as a whole.
    pub error: Option<ErrorCause>,
}

/// Results of items.
#[derive(Debug, Default)]
pub(crate) struct Items {
    /// Status of each; 0 where the answer names none.
    pub statuses: Vec<u16>,
    /// Errors with the index of their item, ascending.
    pub errors: Vec<(usize, ErrorCause)>,
}

impl<'de> Deserialize<'de> for BulkAnswer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = BulkAnswer;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the answer to a bulk request")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<BulkAnswer, A::Error> {
                let mut answer = BulkAnswer::default();
                while let Some(key) = map.next_key::<Key>()? {
                    match key {
                        Key::Items => answer.items = Some(map.next_value()?),
                        Key::Error => answer.error = map.next_value()?,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(answer)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Items;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of items")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items, A::Error> {
                let mut items = Items::default();
                while let Some(Item(result)) = seq.next_element()? {
                    if let Some(error) = result.error {
                        items.errors.push((items.statuses.len(), error));
                    }
                    items.statuses.push(result.status);
                }
                Ok(items)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

#[derive(Default)]
pub(super) struct ItemResult {
    pub(super) status: u16,
    pub(super) error: Option<ErrorCause>,
}

/// `{"create": {…}}`, whatever the action is called.
pub(super) struct Item(pub(super) ItemResult);

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Action;
        impl<'de> Visitor<'de> for Action {
            type Value = Item;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an item with its action")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
                let mut item = Item(ItemResult::default());
                while map.next_key::<IgnoredAny>()?.is_some() {
                    item = Item(map.next_value()?);
                }
                Ok(item)
            }
        }
        deserializer.deserialize_map(Action)
    }
}

impl<'de> Deserialize<'de> for ItemResult {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = ItemResult;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the result of an item")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ItemResult, A::Error> {
                let mut result = ItemResult::default();
                while let Some(key) = map.next_key::<Key>()? {
                    match key {
                        Key::Status => result.status = map.next_value()?,
                        Key::Error => result.error = map.next_value()?,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(result)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl<'de> Deserialize<'de> for ErrorCause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Cause;
        impl<'de> Visitor<'de> for Cause {
            type Value = ErrorCause;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an error")
            }
            fn visit_str<E>(self, text: &str) -> Result<ErrorCause, E> {
                Ok(ErrorCause { reason: text.to_string(), ..ErrorCause::default() })
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ErrorCause, A::Error> {
                let (mut cause, mut deeper) = (ErrorCause::default(), None);
                while let Some(key) = map.next_key::<Key>()? {
                    match key {
                        Key::Type => cause.kind = map.next_value::<Option<String>>()?.unwrap_or_default(),
                        Key::Reason => cause.reason = map.next_value::<Option<String>>()?.unwrap_or_default(),
                        Key::Index => cause.index = map.next_value::<Option<String>>()?.unwrap_or_default(),
                        Key::CausedBy => deeper = map.next_value::<Option<ErrorCause>>()?,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                // The cause is what tells a person what to mend; a long preview of the document must not push it out.
                if let Some(deeper) = deeper.filter(|d| !d.reason.is_empty() && !cause.reason.contains(&d.reason)) {
                    cause.reason =
                        if cause.reason.is_empty() { deeper.reason } else { format!("{}: {}", shortened(cause.reason), deeper.reason) };
                }
                Ok(cause)
            }
        }
        deserializer.deserialize_any(Cause)
    }
}

/// At most 180 characters of `text`.
fn shortened(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(180) {
        text.truncate(at);
        text.push('…');
    }
    text
}

/// The members that matter.
enum Key {
    Items,
    Status,
    Error,
    Type,
    Reason,
    Index,
    CausedBy,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                Ok(match name {
                    "items" => Key::Items,
                    "status" => Key::Status,
                    "error" => Key::Error,
                    "type" => Key::Type,
                    "reason" => Key::Reason,
                    "index" => Key::Index,
                    "caused_by" => Key::CausedBy,
                    _ => Key::Other,
                })
            }
        }
        deserializer.deserialize_identifier(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<BulkAnswer, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn both_servers_orders() {
        for text in [
            r#"{"errors":true,"took":3,"items":[{"create":{"_index":"a","status":201}},{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"bad","caused_by":{"type":"x","reason":"For input string: \"q\""}}}}]}"#,
            r#"{"took":3,"items":[{"create":{"status":201,"_shards":{"total":2}}},{"create":{"error":{"reason":"bad","caused_by":{"reason":"For input string: \"q\"","caused_by":null},"type":"document_parsing_exception"},"status":400}}],"errors":true}"#,
        ] {
            let items = parse(text).unwrap().items.unwrap();
            assert_eq!(items.statuses, [201, 400]);
            let kind = "document_parsing_exception".into();
            let cause = ErrorCause { kind, reason: "bad: For input string: \"q\"".into(), ..ErrorCause::default() };
            assert_eq!(items.errors, [(1, cause)]);
        }
    }

    #[test]
    fn odd_answers() {
        assert!(parse("{}").unwrap().items.is_none());
        assert!(parse("<html>").is_err());
        assert!(parse(r#"{"items":[{"create":{"status":201}}"#).is_err(), "cut off");
        assert_eq!(parse(r#"{"items":[{}]}"#).unwrap().items.unwrap().statuses, [0]);
        assert_eq!(parse(r#"{"error":"no handler","status":400}"#).unwrap().error.unwrap().reason, "no handler");
        assert!(parse(r#"{"items":[{"create":{"status":99999999}}]}"#).is_err());
        let closed = parse(r#"{"error":{"type":"index_closed_exception","reason":"closed","index_uuid":"u","index":"logs-app"}}"#);
        assert_eq!(closed.unwrap().error.unwrap().index, "logs-app");
    }
}
