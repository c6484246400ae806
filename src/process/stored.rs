//! Documents that a chain before the queue has made, completed by what only a sink knows.

use super::event::{Document, Path, Value};
use crate::queue::Event;
use serde_json::Map;
use std::borrow::Cow;

/// What such documents lack.
#[derive(Debug)]
pub(super) struct Facts {
    /// Texts that a sink adds, such as `data_stream.type`.
    texts: Vec<(Path, String)>,
    /// A member that the encoder writes itself.
    reserved: Option<Path>,
    sequence: Path,
}

impl Facts {
    /// `added` is what a sink adds to an empty document; `None` where such documents are complete.
    pub(super) fn new(added: &Map<String, serde_json::Value>, reserved: Option<&str>, by_offset: bool) -> Option<Facts> {
        let mut texts = Vec::new();
        collect(added, "", &mut texts);
        let reserved = reserved.and_then(|name| Path::parse(name).ok());
        let needed = by_offset || reserved.is_some() || !texts.is_empty();
        needed.then(|| Facts { texts, reserved, sequence: Path::parse("event.sequence").expect("a right name") })
    }

    /// The document of `event` with all that it lacked; `None` where its bytes are no document.
    pub(super) fn add<'e>(&self, event: &Event<'e>, by_offset: bool) -> Option<Cow<'e, [u8]>> {
        let mut document = Document::default();
        document.begin_with(std::str::from_utf8(event.bytes).ok()?, 0).ok()?;
        if let Some(reserved) = &self.reserved {
            document.remove(reserved);
        }
        for (path, text) in &self.texts {
            // Ours win, whatever stands in the way.
            if document.free(path).is_err()
                && let Ok(top) = Path::parse(path.parts()[0].name())
            {
                document.remove(&top);
            }
            let text = document.push(text);
            let _ = document.set(path, Value::Text(text));
        }
        if by_offset {
            let _ = document.set(&self.sequence, Value::Int(i64::try_from(event.offset).unwrap_or(i64::MAX)));
        }
        let mut out = Vec::with_capacity(event.bytes.len() + 64);
        document.render(&mut out);
        Some(out.into())
    }
}

fn collect(members: &Map<String, serde_json::Value>, above: &str, texts: &mut Vec<(Path, String)>) {
    for (name, value) in members {
        let name = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match value {
            serde_json::Value::Object(inner) => collect(inner, &name, texts),
            serde_json::Value::String(text) => texts.extend(Path::parse(&name).ok().map(|path| (path, text.clone()))),
            _ => {}
        }
    }
}
