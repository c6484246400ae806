//! Elasticsearch's `_bulk` as clients send it: an action line, then, for `index` and `create`, a line with the document.

use super::body::{Events, Wrong};
use crate::source::push::lines::delimiter;
use serde::de::{IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// What a client asks for in an action line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Index,
    Create,
    Update,
    Delete,
}

impl Op {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Op::Index => "index",
            Op::Create => "create",
            Op::Update => "update",
            Op::Delete => "delete",
        }
    }
}

/// One action and how it is answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) op: Op,
    pub(crate) index: Arc<str>,
    pub(crate) id: Option<String>,
    /// Why it is refused.
    pub(crate) error: Option<String>,
}

/// A parsed body.
#[derive(Debug)]
pub(crate) struct Bulk {
    pub(crate) items: Vec<Item>,
    pub(crate) events: Events,
    /// The index of each piece.
    pub(crate) indices: Vec<Arc<str>>,
}

/// A text, or what Elasticsearch takes for one: clients send numbers as `_id`. Borrowed where nothing is escaped.
#[derive(Default)]
struct Name<'a>(Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a number")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Some(Cow::Borrowed(text))))
            }
            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Some(Cow::Owned(text.into()))))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Name<'de>, E> {
                Ok(Name(Some(Cow::Owned(number.to_string()))))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Name<'de>, E> {
                Ok(Name(Some(Cow::Owned(number.to_string()))))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Name<'de>, E> {
                Ok(Name(Some(Cow::Owned(number.to_string()))))
            }
            fn visit_unit<E>(self) -> Result<Name<'de>, E> {
                Ok(Name(None))
            }
        }
        deserializer.deserialize_any(Reads)
    }
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "_index")]
    index: Name<'a>,
    #[serde(borrow, default, rename = "_id")]
    id: Name<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Action<'a> {
    #[serde(borrow, default)]
    index: Option<Meta<'a>>,
    #[serde(borrow, default)]
    create: Option<Meta<'a>>,
    #[serde(borrow, default)]
    update: Option<Meta<'a>>,
    #[serde(borrow, default)]
    delete: Option<Meta<'a>>,
}

impl<'a> Action<'a> {
    fn only(self) -> Option<(Op, Meta<'a>)> {
        let all = [(Op::Index, self.index), (Op::Create, self.create), (Op::Update, self.update), (Op::Delete, self.delete)];
        let mut found = all.into_iter().filter_map(|(op, meta)| Some((op, meta?)));
        found.next().filter(|_| found.next().is_none())
    }
}

const ONLY_NEW: &str = "Forebay only takes new documents (index, create): a queue of events has nothing to update or delete";

/// Parses `data`; `default` is the index of the URL. Documents move to the front of `data`.
///
/// # Errors
/// Where Elasticsearch, too, refuses the whole request.
pub(crate) fn parse(data: &mut [u8], default: &str, max: usize) -> Result<Bulk, Wrong> {
    let default: Arc<str> = default.into();
    let mut known: Vec<Arc<str>> = vec![default.clone()];
    let mut bulk = Bulk { items: Vec::new(), events: Events::default(), indices: Vec::new() };
    let (mut current, mut from, mut number) = (default.clone(), 0, 0);
    while let Some((start, end, next)) = line(data, from) {
        number += 1;
        from = next;
        if data[start..end].trim_ascii().is_empty() {
            continue;
        }
        let malformed = |why: &str| Wrong::Malformed(format!("Malformed action/metadata line [{number}]: {why}"));
        let action: Action<'_> = serde_json::from_slice(&data[start..end]).map_err(|e| malformed(&e.to_string()))?;
        let (op, meta) = action.only().ok_or_else(|| malformed("expected one of index, create, update, delete"))?;
        let index = match meta.index.0.as_deref() {
            None => default.clone(),
            Some(name) => match known.iter().find(|k| ***k == *name) {
                Some(index) => index.clone(),
                None => {
                    known.push(name.into());
                    known[known.len() - 1].clone()
                }
            },
        };
        let mut item = Item { op, index: index.clone(), id: meta.id.0.map(Cow::into_owned), error: None };
        if op != Op::Delete {
            let Some((start, end, next)) = line(data, from) else { return Err(malformed("no document follows")) };
            number += 1;
            from = next;
            let document = &data[start..end];
            item.error = if op == Op::Update { Some(ONLY_NEW.into()) } else { fault(document, max) };
            if item.error.is_none() {
                if !Arc::ptr_eq(&index, &current) {
                    close(&mut bulk, data, &current);
                    current = index;
                }
                bulk.events.take(data, start, end, next.max(end), true);
                // A full run closes by itself.
                bulk.indices.resize(bulk.events.pieces.len(), current.clone());
            }
        } else {
            item.error = Some(ONLY_NEW.into());
        }
        bulk.items.push(item);
    }
    close(&mut bulk, data, &current);
    Ok(bulk)
}

/// Why `document` cannot be taken.
pub(crate) fn fault(document: &[u8], max: usize) -> Option<String> {
    if document.len() > max {
        Some(format!("the document has {} bytes, max_line_bytes is {max}", document.len()))
    } else if document.trim_ascii_start().first() != Some(&b'{') {
        Some("failed to parse: the document is not a JSON object".into())
    } else {
        serde_json::from_slice::<IgnoredAny>(document).err().map(|e| format!("failed to parse: {e}"))
    }
}

fn close(bulk: &mut Bulk, data: &[u8], current: &Arc<str>) {
    bulk.events.close(data);
    bulk.indices.resize(bulk.events.pieces.len(), current.clone());
}

/// The line at `from`: its start, its end without delimiter, and the start of the next.
fn line(data: &[u8], from: usize) -> Option<(usize, usize, usize)> {
    if from >= data.len() {
        return None;
    }
    let next = memchr::memchr(b'\n', &data[from..]).map_or(data.len(), |i| from + i + 1);
    Some((from, next - delimiter(&data[from..next]), next))
}

#[cfg(test)]
mod tests {
    use super::super::body::all_of;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn documents_are_taken_and_the_rest_is_refused_item_by_item() {
        let body = concat!(
            "{\"index\":{}}\n{\"a\":1}\n",
            "{\"create\":{\"_index\":\"x\",\"_id\":\"7\"}}\n{\"b\":2}\r\n",
            "{\"delete\":{\"_id\":1}}\n",
            "{\"update\":{\"_id\":\"1\"}}\n{\"doc\":{}}\n",
            "{\"index\":{\"_index\":\"x\"}}\n{\"c\":\n",
            "{\"index\":{\"_index\":\"x\"}}\n[1]\n",
            "{\"index\":{}}\n{\"d\":4}"
        );
        let mut data = body.as_bytes().to_vec();
        let bulk = parse(&mut data, "logs", 1000).unwrap();
        assert_eq!(all_of(&bulk.events, &data), ["{\"a\":1}\n", "{\"b\":2}\n", "{\"d\":4}\n"]);
        assert_eq!(bulk.indices.iter().map(|i| &**i).collect::<Vec<_>>(), ["logs", "x", "logs"]);
        let told: Vec<_> = bulk.items.iter().map(|i| (i.op.name(), i.error.is_some())).collect();
        let told: Vec<String> = told.iter().map(|(op, refused)| format!("{op}{}", if *refused { "!" } else { "" })).collect();
        assert_eq!(told, ["index", "create", "delete!", "update!", "index!", "index!", "index"]);
        assert_eq!(bulk.items[1].id.as_deref(), Some("7"));
        // As Elasticsearch: what is no text is taken for one.
        assert_eq!(bulk.items[2].id.as_deref(), Some("1"));
    }

    #[test]
    fn a_body_that_is_no_bulk_is_refused_as_a_whole() {
        for body in ["{\"a\":1}\n", "{\"index\":{},\"create\":{}}\n{}\n", "{\"index\":{}}\n", "[]\n", "{\"index\":{}}\n{}\nx\n"] {
            assert!(matches!(parse(&mut body.as_bytes().to_vec(), "", 100), Err(Wrong::Malformed(_))), "{body}");
        }
    }

    proptest! {
        #[test]
        fn every_accepted_document_is_an_event(documents in prop::collection::vec(("[ab]", "[a-z]{0,9}"), 0..30)) {
            let body: String = documents.iter().map(|(index, text)| format!("{{\"index\":{{\"_index\":\"{index}\"}}}}\n{{\"m\":\"{text}\"}}\n")).collect();
            let mut data = body.into_bytes();
            let bulk = parse(&mut data, "", 1000).unwrap();
            let got = all_of(&bulk.events, &data);
            prop_assert_eq!(got, documents.iter().map(|(_, text)| format!("{{\"m\":\"{text}\"}}\n")).collect::<Vec<_>>());
            prop_assert_eq!(bulk.indices.len(), bulk.events.pieces.len());
            let by_piece: Vec<String> = bulk.events.pieces.iter().zip(&bulk.indices).flat_map(|(p, i)| vec![i.to_string(); p.count as usize]).collect();
            prop_assert_eq!(by_piece, documents.iter().map(|(index, _)| index.clone()).collect::<Vec<_>>());
        }

        #[test]
        fn no_body_makes_it_panic(body in "(\\{\"(index|create|delete)\":\\{\\}\\}|\\{\\}|x|\n|\r){0,20}") {
            let _ = parse(&mut body.into_bytes(), "i", 50);
        }
    }
}
