//! A dead letter read back: what it says, and its event as the queue had it.

use super::block::put_varint;
use super::{Encoding, Format, Part, RecordBatch, Run, RunFlags, Stored, Stream, StreamSpec, Tail, Text};
use crate::process::identity::ID_LEN;
use crate::process::timestamp::parse_rfc3339;
use base64::Engine;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What of a dead letter is needed to know its event again, and to send it. The members are described at
/// `crate::sink::dead_letter`, which writes them; those of an earlier program lack some.
#[derive(Debug, Deserialize)]
pub(crate) struct Letter {
    /// The sink that could not deliver the event, under its name at the time.
    pub(crate) sink: String,
    pub(crate) topic: String,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    #[serde(default)]
    pub(crate) event_id: String,
    #[serde(default)]
    pub(crate) batch_id: String,
    /// The event was to replace what the receiver has of it.
    #[serde(default)]
    pub(crate) overwrite: bool,
    #[serde(default)]
    appended: String,
    #[serde(default)]
    path: String,
    position: Option<u64>,
    #[serde(default)]
    fields: Map<String, Value>,
    /// It was cut at `max_line_bytes`.
    #[serde(default)]
    cut: bool,
    /// It is a piece of a line that was split.
    #[serde(default)]
    part: bool,
    /// The name of its encoding, where that is not UTF-8.
    original_encoding: Option<String>,
    /// See [`Format`].
    original_format: Option<String>,
    /// Bytes of the source, where the original is not as it was read.
    length: Option<u64>,
    original: Option<String>,
    original_base64: Option<String>,
}

impl Letter {
    /// The event, as if it still stood in its topic; else why it cannot be made of the letter.
    pub(crate) fn part(&self) -> Result<Part, &'static str> {
        let event_id: [u8; ID_LEN] = self.event_id.as_bytes().try_into().map_err(|_| "the letter has no event ID")?;
        if !event_id.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
            return Err("the letter has no event ID");
        }
        let append_ms = parse_rfc3339(&self.appended).ok_or("the letter does not say when the event was appended")?;
        let (mut data, utf8) = match (&self.original, &self.original_base64) {
            (Some(text), _) => (text.clone().into_bytes(), RunFlags::UTF8),
            (None, Some(coded)) => (unbase64(coded).ok_or("the letter's original is no base64")?, 0),
            (None, None) => return Err("the letter has no original"),
        };
        let encoding = match &self.original_encoding {
            Some(name) => Encoding::named(name).ok_or("the letter's original is in an encoding that is not known")?,
            None => Encoding::UTF8,
        };
        let made = [Stored::Text, Stored::Document, Stored::Dated].into_iter().find(|made| made.name() == self.original_format.as_deref());
        let format = match self.original_format.as_deref() {
            None => Format::Plain,
            Some(_) if made.is_some() => Format::Plain,
            Some(name) => [Format::Cri, Format::Docker]
                .into_iter()
                .find(|f| f.name() == Some(name))
                .ok_or("the letter's original is in a format that is not known")?,
        };
        // The delimiter is not in the letter, and one that is made up must not take a `\r` of the event with it.
        let delimiter: &[u8] = match encoding {
            Encoding::UTF16LE => b"\r\0\n\0",
            Encoding::UTF16BE => b"\0\r\0\n",
            _ if data.ends_with(b"\r") => b"\r\n",
            _ => b"\n",
        };
        let mut lens = Vec::new();
        if made.is_none() {
            data.extend_from_slice(delimiter);
        }
        let len = u32::try_from(data.len()).map_err(|_| "the letter's original is too long")?;
        let covers = self.length.filter(|_| made.is_some()).unwrap_or(u64::from(len));
        match made {
            Some(made) => made.put_lens(0, covers, len, &mut lens),
            None => put_varint(&mut lens, len),
        }
        let processed = if made.is_some() { RunFlags::PROCESSED } else { 0 };
        let members = Value::Object(self.fields.clone()).to_string();
        let spec = StreamSpec {
            topic: self.topic.clone(),
            path: self.path.clone().into(),
            fields: members[1..members.len() - 1].to_string(),
            ..StreamSpec::default()
        };
        let cut = if self.cut { RunFlags::CUT } else { 0 } | if self.part { RunFlags::PART } else { 0 };
        let text = Text { encoding, ..Text::PLAIN }.flags() | format.flags();
        let sequence = if self.position.is_none() { RunFlags::NO_POSITION } else { 0 };
        let start = self.position.unwrap_or(0);
        let run = Run {
            stream: Stream::of_letter(self.partition, spec, event_id),
            source_start: start,
            source_end: start.saturating_add(covers),
            count: 1,
            flags: RunFlags(utf8 | cut | sequence | text | processed),
            tail: Tail::of(&data),
            lens: lens.into(),
            data: Bytes::from(data),
            filtered: Vec::new(),
        };
        let batch = RecordBatch { base_offset: self.offset, count: 1, epoch: 0, append_ms, runs: vec![run] };
        Ok(Part { batch: Arc::new(batch), skip: 0, count: 1 })
    }
}

/// The bytes of base64 with padding, as RFC 4648 has it.
pub(crate) fn unbase64(coded: &str) -> Option<Vec<u8>> {
    base64::engine::general_purpose::STANDARD.decode(coded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::dead_letter::base64;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn base64_comes_back(bytes: Vec<u8>) {
            prop_assert_eq!(unbase64(&base64(&bytes)), Some(bytes));
        }

        #[test]
        fn nothing_panics(text in "[A-Za-z+/=é]{0,12}") {
            let _ = unbase64(&text);
        }
    }

    #[test]
    fn what_no_letter_says_is_named() {
        let letter = |more: &str| {
            let text = format!(r#"{{"sink":"s","topic":"t","partition":0,"offset":1{more}}}"#);
            serde_json::from_str::<Letter>(&text).unwrap().part().map(|_| ())
        };
        let id = r#","event_id":"ABCDEFGHIJKLMNOPQRSTUVWXYZ-_""#;
        let time = r#","appended":"2026-03-09T10:15:02.123Z""#;
        assert_eq!(letter(""), Err("the letter has no event ID"));
        assert_eq!(letter(&format!(r#"{time},"event_id":"\"}}}}ABCDEFGHIJKLMNOPQRSTUVWX""#)), Err("the letter has no event ID"));
        assert_eq!(letter(id), Err("the letter does not say when the event was appended"));
        assert_eq!(letter(&format!("{id}{time}")), Err("the letter has no original"));
        assert_eq!(letter(&format!(r#"{id}{time},"original_base64":"!!!!""#)), Err("the letter's original is no base64"));
        assert_eq!(letter(&format!(r#"{id}{time},"original":"""#)), Ok(()));
    }
}
