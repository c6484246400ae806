//! Dead letters: what a receiver refused for good, with the reason and the original bytes.

use super::client::Rejection;
use super::event_id::RunIds;
use crate::process::identity::ID_LEN;
use crate::process::timestamp::rfc3339;
use crate::queue::{Batch, Encoding, RunFlags, StreamSpec};
use base64::Engine;
use serde_json::{Map, Value, json};

/// The records for `rejected`, whose items are indices of events of `batch`, ascending; and the bytes of these events.
///
/// Each is one JSON object: `sink`, `event_id`, `batch_id`, `status`, `type`, `reason`, `field` and `field_type` where the reason
/// names a field and its mapping, `topic`, `partition`, `offset`, `appended`, `path`, `position` and `fields` where the stream has them, `cut`, `part` and `overwrite` where they are true, and
/// the event as `original` (UTF-8) or `original_base64`, with `original_encoding` where that is another than UTF-8, and
/// `original_format` where it is a container's log, or what a chain before the queue has made (`text`, `document`,
/// `dated_document`; with the `length` that it had in its source). All that its document is made of is in it, so that a redrive
/// can send the event from its letter when its topic no longer has it: see `crate::queue::letter`.
pub(crate) fn dead_letters(scope: &str, sink: &str, batch: &Batch, rejected: &[Rejection]) -> (Vec<Vec<u8>>, usize) {
    let (mut records, mut bytes, mut index) = (Vec::with_capacity(rejected.len()), 0, 0);
    let mut wanted = rejected.iter().peekable();
    for slice in batch.runs() {
        let ids = RunIds::new(scope, &batch.id, &slice);
        let spec = slice.run.stream.spec();
        for event in slice.events {
            if let Some(rejection) = wanted.next_if(|r| r.item == index) {
                let mut record = Map::new();
                let mut put = |name: &str, value: Value| record.insert(name.to_string(), value);
                let id: [u8; ID_LEN] = ids.id(&event);
                put("sink", json!(sink));
                put("event_id", json!(String::from_utf8_lossy(&id)));
                put("batch_id", json!(batch.id.to_string()));
                put("status", json!(rejection.status));
                put("type", json!(rejection.kind));
                put("reason", json!(rejection.reason));
                let (field, of_type) = blamed(&rejection.reason);
                for (name, value) in [("field", field), ("field_type", of_type)] {
                    if let Some(value) = value {
                        put(name, json!(value));
                    }
                }
                put("topic", json!(&*batch.id.topic));
                put("partition", json!(batch.id.partition));
                put("offset", json!(event.offset));
                put("appended", json!(String::from_utf8_lossy(&rfc3339(slice.append_ms))));
                if !spec.path.as_os_str().is_empty() {
                    put("path", json!(spec.path.to_string_lossy()));
                }
                if !slice.run.flags.has(RunFlags::NO_POSITION) {
                    put("position", json!(event.position));
                }
                if let Some(fields) = fields(&spec) {
                    put("fields", Value::Object(fields));
                }
                let is = |flag| slice.run.flags.has(flag);
                for (name, holds) in [("cut", is(RunFlags::CUT)), ("part", is(RunFlags::PART)), ("overwrite", batch.id.overwrites())] {
                    if holds {
                        put(name, json!(true));
                    }
                }
                let made = event.stored.name();
                if let Some(format) = made.or(slice.run.flags.format().name()) {
                    put("original_format", json!(format));
                }
                if made.is_some() {
                    put("length", json!(event.covers));
                }
                let encoding = if made.is_some() { Encoding::UTF8 } else { slice.run.flags.text().encoding };
                if encoding != Encoding::UTF8 {
                    put("original_encoding", json!(encoding.name()));
                }
                // The bytes of UTF-16 are valid UTF-8 by chance, but no text.
                match std::str::from_utf8(event.bytes) {
                    Ok(text) if encoding == Encoding::UTF8 => put("original", json!(text)),
                    _ => put("original_base64", json!(base64(event.bytes))),
                };
                bytes += event.raw.len();
                records.push(Value::Object(record).to_string().into_bytes());
            }
            index += 1;
        }
    }
    (records, bytes)
}

/// The field that a reason of Elasticsearch or OpenSearch blames, and the type that it is mapped to.
fn blamed(reason: &str) -> (Option<&str>, Option<&str>) {
    let bracketed = |before: &str| {
        let (_, rest) = reason.split_once(before)?;
        Some(rest.split_once(']')?.0).filter(|name| !name.is_empty())
    };
    let field = bracketed("parse field [").or_else(|| bracketed("mapper [")).or_else(|| bracketed("mapping for ["));
    (
        field,
        field.and_then(|_| {
            bracketed("of type [").or_else(|| bracketed("from type [")).or_else(|| bracketed("of different type, current_type ["))
        }),
    )
}

/// The source's fields; `None` where there are none, or none that a document could have.
fn fields(spec: &StreamSpec) -> Option<Map<String, Value>> {
    serde_json::from_str::<Map<String, Value>>(&format!("{{{}}}", spec.fields)).ok().filter(|fields| !fields.is_empty())
}

/// Base64 with padding, as RFC 4648 has it.
pub(crate) fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Format, Text};
    use crate::sink::testing::batches;

    #[test]
    fn the_original_is_kept_with_its_encoding() {
        let of = |flags: u32, line: &[u8]| {
            let rejection = Rejection { item: 0, status: 400, kind: "k".into(), reason: "r".into() };
            let (records, _) = dead_letters("s", "s", &batches(&[line.to_vec()], 1, flags)[0], &[rejection]);
            let record: Value = serde_json::from_slice(&records[0]).unwrap();
            let member = |name: &str| record.get(name).and_then(Value::as_str).map(str::to_string);
            (member("original"), member("original_base64"), member("original_encoding"))
        };
        let some = |text: &str| Some(text.to_string());
        assert_eq!(of(0, b"a"), (some("a"), None, None));
        assert_eq!(of(0, b"\xff\xfe"), (None, some("//4="), None));
        let latin = Text { encoding: Encoding::named("latin1").unwrap(), ..Text::PLAIN };
        assert_eq!(of(latin.flags(), b"foo"), (None, some("Zm9v"), some("windows-1252")));
    }

    #[test]
    fn the_field_that_is_to_blame_is_named() {
        for (reason, field, of_type) in [
            (
                "[1:57] failed to parse field [n.size] of type [long] in document with id 'x'. Preview of field's value: 'a'",
                "n.size",
                "long",
            ),
            ("mapper [n] cannot be changed from type [long] to [text]", "n", "long"),
            ("object mapping for [log] tried to parse field [log] as object, but found a concrete value", "log", ""),
            ("Limit of total fields [1000] has been exceeded", "", ""),
            ("failed to parse field [", "", ""),
        ] {
            let named = |text: Option<&str>| text.unwrap_or_default().to_string();
            let (found, kind) = blamed(reason);
            assert_eq!((named(found), named(kind)), (field.into(), of_type.into()), "{reason}");
        }
    }

    #[test]
    fn a_letter_makes_the_same_document_again() {
        use crate::process::document::Documents;
        let document = |slice: &crate::queue::RunSlice<'_>| {
            let mut out = Vec::new();
            let event = slice.events.clone().next().unwrap();
            Documents::new("h").template(slice).write(&event, &mut out);
            String::from_utf8(out).unwrap()
        };
        let latin = Text { encoding: Encoding::named("latin1").unwrap(), ..Text::PLAIN }.flags();
        let cri = b"2026-03-09T10:15:02.1Z stdout P a\n2026-03-09T10:15:02.2Z stdout F \"b\"";
        let docker = br#"{"log":"\"x\"","stream":"stderr","time":"2026-03-09T10:15:02Z"}"#;
        for (flags, line) in [
            (RunFlags::UTF8 | Format::Cri.flags(), &cri[..]),
            (RunFlags::UTF8 | Format::Docker.flags(), docker),
            (RunFlags::UTF8 | Format::Docker.flags(), b"no record"),
            (latin | RunFlags::PART, b"caf\xe9"),
        ] {
            let batch = &batches(&[line.to_vec()], 1, flags)[0];
            let rejection = Rejection { item: 0, status: 400, kind: "k".into(), reason: "r".into() };
            let (records, _) = dead_letters("s", "s", batch, &[rejection]);
            let letter: crate::queue::letter::Letter = serde_json::from_slice(&records[0]).unwrap();
            let part = letter.part().unwrap();
            let run = &part.batch.runs[0];
            let slice = batch.runs().next().unwrap();
            let events = crate::queue::Events::new(run, part.batch.base_offset, 0, 1);
            let again = crate::queue::RunSlice { run, append_ms: slice.append_ms, epoch: slice.epoch, events };
            assert_eq!(document(&again), document(&slice));
        }
    }

    #[test]
    fn base64_of_the_rfc() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xff, 0xfe]), "//4=");
    }
}
