//! The ECS document that is made of an event.
//!
//! ```json
//! {"@timestamp":"2026-03-09T10:15:02.123Z","message":"…","log":{"offset":123,"file":{"path":"…"}},"host":{"name":"…"}}
//! ```
//!
//! Names are nested, not dotted: ingest processors, scripts and `jq` reach `log.file.path` only that
//! way, and a document without dots means the same under every mapping. It costs a few bytes more than
//! dots would; they compress to nothing. The source's `fields` are nested too, and merged with ours:
//!
//! - `@timestamp`, `message`, `log.offset`, `log.file.path`, `log.flags` and `event.sequence` are facts about
//!   the event: ours win over fields of these names (see [`shadowed`], which tells the operator).
//! - `host.name` of the fields wins: in a container the operator knows it better.
//! - Where a field is a plain value and ours is an object of the same name (`log: x`), ours wins.
//! - No key can appear twice (Elasticsearch refuses such a document).
//!
//! `@timestamp` is the time at which the event was appended to the queue, never the clock at sending, so
//! that a retry sends the same bytes. An event of a stream without positions (a push input) has
//! `event.sequence`, its offset in the queue, instead of `log.offset`.
//!
//! An event of a container's log has the time of its (first) record as `@timestamp`, and `stream`: `stdout` or `stderr`; its
//! message is what the program wrote. Its `log.flags` say `partial` where the line goes on in the next event of the stream,
//! and `malformed` where a line is no record: then the message is the line as it stands, and there is no `stream`.
//!
//! All that is constant within a run is rendered once into a [`Template`]; an event then costs four
//! copies and its digits.

use super::container;
use super::escape::{escape_into, escape_lossy_into};
use super::shaped::Shaped;
use super::stored::Facts;
use super::timestamp::{TIMESTAMP_LEN, rfc3339};
use crate::queue::{Encoding, Event, Format, RunFlags, RunSlice, Stored, StreamSpec};
use serde_json::{Map, Value};
use std::collections::HashMap;

const HEAD: &[u8] = br#"{"@timestamp":""#;
/// Templates kept; beyond it all are dropped, so that a churn of streams cannot grow the cache.
const MOST_TEMPLATES: usize = 4096;

/// Flags on which more depends than how the message is escaped.
const SHAPING: u32 = RunFlags::CUT | RunFlags::NO_POSITION | RunFlags::SYSLOG | RunFlags::JOURNAL;

/// How the message gets into the JSON string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Copy,
    Escape,
    Lossy,
    Decode(Encoding),
}

impl Message {
    fn of(flags: RunFlags) -> Message {
        match flags {
            f if f.has(RunFlags::UTF8 | RunFlags::JSON_CLEAN) => Message::Copy,
            f if f.has(RunFlags::UTF8) => Message::Escape,
            f => match f.text().encoding {
                Encoding::UTF8 => Message::Lossy,
                other => Message::Decode(other),
            },
        }
    }

    #[inline]
    pub(super) fn put(self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Message::Copy => out.extend_from_slice(bytes),
            Message::Escape => escape_into(bytes, out),
            Message::Lossy => escape_lossy_into(bytes, out),
            Message::Decode(encoding) => encoding.decode(bytes, |text| escape_into(text.as_bytes(), out)),
        }
    }
}

/// What is constant in the documents of a run.
#[derive(Debug)]
pub struct Template {
    /// To the quote before the message.
    head: Vec<u8>,
    /// From the quote after the message to the number.
    middle: Vec<u8>,
    /// From the number to the end.
    tail: Vec<u8>,
    format: Format,
    /// Of containers' logs: the tails with the flags `partial` and `malformed`.
    flagged: [Vec<u8>; 2],
    message: Message,
    by_offset: bool,
    /// Where an event is more than a message.
    shaped: Option<Box<Shaped>>,
    /// The run went through a chain before the queue.
    processed: bool,
    /// What documents that were made before the queue lack.
    facts: Option<Box<Facts>>,
}

impl Template {
    /// Appends the document of `event`, without a newline.
    #[inline]
    pub fn write(&self, event: &Event<'_>, out: &mut Vec<u8>) {
        if event.stored != Stored::AsRead {
            return self.write_stored(event, out);
        }
        if let Some(shaped) = &self.shaped {
            return shaped.write(event, &self.head[HEAD.len()..HEAD.len() + TIMESTAMP_LEN], self.message != Message::Lossy, out);
        }
        let mut tail = &self.tail;
        if self.format != Format::Plain {
            match self.put_unwrapped(event, out) {
                Some(goes_on) => {
                    return self.finish(event, if goes_on { &self.flagged[0] } else { tail }, out);
                }
                None => tail = &self.flagged[1],
            }
        }
        out.extend_from_slice(&self.head);
        self.message.put(event.bytes, out);
        self.finish(event, tail, out);
    }

    /// Whether the message is the event's bytes, and its number all else that differs from event to event.
    pub(crate) fn is_plain(&self) -> bool {
        self.shaped.is_none() && self.format == Format::Plain
    }

    /// Whether some events may be other than they were read.
    pub(crate) fn is_processed(&self) -> bool {
        self.processed
    }

    /// What stands before the message, between it and the number, and behind the number of a plain event.
    pub(super) fn texts(&self) -> (&[u8], &[u8], &[u8]) {
        (&self.head, &self.middle, &self.tail)
    }

    pub(super) fn message(&self) -> Message {
        self.message
    }

    /// Whether the number is `event.sequence`, not `log.offset`.
    pub(crate) fn by_offset(&self) -> bool {
        self.by_offset
    }

    /// The event's number.
    pub(crate) fn number(&self, event: &Event<'_>) -> u64 {
        if self.by_offset { event.offset } else { event.position }
    }

    /// Whether no byte of a plain event's message must be escaped.
    pub(crate) fn is_clean(&self, event: &Event<'_>) -> bool {
        self.message == Message::Copy && event.stored == Stored::AsRead
    }

    /// Appends the message of a plain event as text.
    pub(crate) fn put_text(&self, event: &Event<'_>, text: &mut String) {
        match self.message {
            Message::Decode(encoding) if event.stored == Stored::AsRead => encoding.decode(event.bytes, |piece| text.push_str(piece)),
            // Most often it is UTF-8, and to see that at once is faster than chunk by chunk.
            _ => match std::str::from_utf8(event.bytes) {
                Ok(bytes) => text.push_str(bytes),
                Err(_) => text.push_str(&String::from_utf8_lossy(event.bytes)),
            },
        }
    }

    /// Appends the document of an event that a chain before the queue has changed.
    #[cold]
    fn write_stored(&self, event: &Event<'_>, out: &mut Vec<u8>) {
        let mut made = None;
        if event.stored.is_document() {
            made = match &self.facts {
                None => event.bytes.starts_with(b"{").then_some(event.bytes.into()),
                Some(facts) => facts.add(event, self.by_offset),
            };
        }
        match made {
            Some(document) if event.stored == Stored::Dated => out.extend_from_slice(&document),
            Some(document) => {
                out.extend_from_slice(&self.head[..HEAD.len() + TIMESTAMP_LEN + 1]);
                if document.len() > 2 {
                    out.push(b',');
                }
                out.extend_from_slice(&document[1..]);
            }
            // A text; or what nobody can have made.
            None => {
                out.extend_from_slice(&self.head);
                escape_lossy_into(event.bytes, out);
                self.finish(event, &self.tail, out);
            }
        }
    }

    #[inline]
    fn finish(&self, event: &Event<'_>, tail: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.middle);
        put_number(self.number(event), out);
        out.extend_from_slice(tail);
    }

    /// Writes all before [`Template::middle`]; gives whether the line goes on. `None`, and nothing written, for what is no record.
    fn put_unwrapped(&self, event: &Event<'_>, out: &mut Vec<u8>) -> Option<bool> {
        let bytes = match self.message {
            Message::Copy => container::Bytes::Clean,
            Message::Escape => container::Bytes::Utf8,
            Message::Lossy | Message::Decode(_) => container::Bytes::Any,
        };
        container::put_json(self.format, event, bytes, out, |record, out| {
            out.extend_from_slice(HEAD);
            out.extend_from_slice(record.time);
            out.extend_from_slice(br#"","stream":""#);
            out.extend_from_slice(record.stream.as_bytes());
            out.extend_from_slice(br#"","message":""#);
        })
    }

    fn new(spec: &StreamSpec, flags: RunFlags, host_name: &str, more: Option<&More>, reserved: Option<&'static str>) -> Template {
        let by_offset = flags.has(RunFlags::NO_POSITION);
        let mut root = nested(&spec.fields).0;
        if !has(&root, "host", "name") {
            set(&mut root, &["host", "name"], host_name.into());
        }
        if !spec.path.as_os_str().is_empty() {
            set(&mut root, &["log", "file", "path"], spec.path.to_string_lossy().into());
        }
        let format = flags.format();
        if format != Format::Plain {
            root.remove("stream");
        }
        let mut added = Map::new();
        if let Some(more) = more {
            more(spec, &mut root);
            more(spec, &mut added);
        }
        if let Some(reserved) = reserved {
            root.remove(reserved);
        }
        let facts = Facts::new(&added, reserved, by_offset).map(Box::new);
        let shaped = Shaped::new(flags, &root);
        // The number goes first into its object, so that all behind it is constant.
        let (object, name) = if by_offset { ("event", "sequence") } else { ("log", "offset") };
        let told = [(RunFlags::CUT, "truncated"), (RunFlags::PART, "partial")];
        let told: Vec<&str> = told.into_iter().filter(|(flag, _)| flags.has(*flag)).map(|(_, name)| name).collect();
        let tail = |more: Option<&str>| {
            let (mut root, mut told) = (root.clone(), told.clone());
            told.extend(more);
            told.dedup();
            if !told.is_empty() {
                set(&mut root, &["log", "flags"], told.into());
            }
            put_tail(root, object, name)
        };
        let flagged = match format {
            Format::Plain => [Vec::new(), Vec::new()],
            _ => [tail(Some("partial")), tail(Some("malformed"))],
        };
        let mut head = HEAD.to_vec();
        head.extend_from_slice(&rfc3339(0));
        head.extend_from_slice(br#"","message":""#);
        let middle = format!(r#"","{object}":{{"{name}":"#).into_bytes();
        Template {
            head,
            middle,
            tail: tail(None),
            format,
            flagged,
            message: Message::of(flags),
            by_offset,
            shaped,
            processed: false,
            facts,
        }
    }

    fn set_time(&mut self, append_ms: u64) {
        self.head[HEAD.len()..HEAD.len() + TIMESTAMP_LEN].copy_from_slice(&rfc3339(append_ms));
    }
}

/// What follows the number `name` in the object `object`.
fn put_tail(mut root: Map<String, Value>, object: &str, name: &str) -> Vec<u8> {
    let mut siblings = match root.remove(object) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    };
    siblings.remove(name);
    let mut tail = Vec::new();
    put_members(&siblings, &mut tail);
    tail.push(b'}');
    put_members(&root, &mut tail);
    tail.push(b'}');
    tail
}

struct Cached {
    version: u32,
    append_ms: u64,
    template: Template,
}

/// Changes what a stream's documents have beside their message and their place.
pub(crate) type More = Box<dyn Fn(&StreamSpec, &mut Map<String, Value>) + Send>;

/// Makes the templates of one sink's documents.
pub struct Documents {
    host_name: String,
    more: Option<More>,
    reserved: Option<&'static str>,
    cached: HashMap<(u64, u32), Cached>,
}

impl Documents {
    /// Documents of the host `host_name`.
    pub fn new(host_name: &str) -> Documents {
        Documents { host_name: host_name.to_string(), more: None, reserved: None, cached: HashMap::new() }
    }

    /// The same with what `more` adds; it may change objects that no event has members of.
    pub(crate) fn adding(host_name: &str, more: More) -> Documents {
        Documents { more: Some(more), ..Documents::new(host_name) }
    }

    /// The same without the member `name`, which the encoder writes itself.
    pub(crate) fn reserving(mut self, name: &'static str) -> Documents {
        self.reserved = Some(name);
        self
    }

    /// The template for the events of `slice`.
    pub fn template(&mut self, slice: &RunSlice<'_>) -> &Template {
        let (version, flags) = (slice.run.stream.version(), slice.run.flags);
        let key = (slice.run.stream.id, flags.0 & (SHAPING | RunFlags::PART | RunFlags::FORMAT));
        if self.cached.len() >= MOST_TEMPLATES && !self.cached.contains_key(&key) {
            self.cached.clear();
        }
        let (host_name, more, reserved) = (&self.host_name, self.more.as_ref(), self.reserved);
        let fresh =
            || Cached { template: Template::new(&slice.run.stream.spec(), flags, host_name, more, reserved), version, append_ms: 0 };
        let cached = self.cached.entry(key).or_insert_with(fresh);
        if cached.version != version {
            *cached = fresh();
        }
        if cached.append_ms != slice.append_ms {
            cached.append_ms = slice.append_ms;
            cached.template.set_time(slice.append_ms);
        }
        cached.template.message = Message::of(flags);
        cached.template.processed = flags.has(RunFlags::PROCESSED);
        &cached.template
    }
}

/// Names in `fields` (members of a JSON object, without braces) that no document will have, because
/// ours stand in their place or because they contradict each other (`a: 1` beside `a.b: 2`).
pub fn shadowed(fields: &str) -> Vec<String> {
    nested(fields).1
}

/// The fields as nested objects, and the names of those that cannot be part of them.
fn nested(fields: &str) -> (Map<String, Value>, Vec<String>) {
    let (mut root, mut left_out) = (Map::new(), Vec::new());
    match serde_json::from_str::<Map<String, Value>>(&format!("{{{fields}}}")) {
        Ok(members) => {
            for (name, value) in members {
                insert(&mut root, &name, value, &mut left_out);
            }
        }
        Err(_) => left_out.push("all fields: they are no members of a JSON object".to_string()),
    }
    (root, left_out)
}

fn insert(root: &mut Map<String, Value>, name: &str, value: Value, left_out: &mut Vec<String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (member, value) in members {
                insert(root, &format!("{name}.{member}"), value, left_out);
            }
        }
        value => {
            if is_ours(name) || !insert_leaf(root, name, value) {
                left_out.push(name.to_string());
            }
        }
    }
}

/// Whether a field of this name would stand where one of ours does, or be an object's place.
fn is_ours(name: &str) -> bool {
    const OURS: [&str; 6] = ["@timestamp", "message", "log.offset", "log.file.path", "log.flags", "event.sequence"];
    const OBJECTS: [&str; 4] = ["log", "log.file", "host", "event"];
    OBJECTS.contains(&name) || OURS.iter().any(|ours| name.strip_prefix(ours).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

fn insert_leaf(mut object: &mut Map<String, Value>, name: &str, value: Value) -> bool {
    let mut parts = name.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            if object.contains_key(part) {
                return false;
            }
            object.insert(part.to_string(), value);
            return true;
        }
        match object.entry(part).or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(inner) => object = inner,
            _ => return false,
        }
    }
    false
}

fn has(root: &Map<String, Value>, object: &str, name: &str) -> bool {
    root.get(object).and_then(Value::as_object).is_some_and(|o| o.contains_key(name))
}

/// Puts one of ours; [`is_ours`] has kept the objects on its way free.
fn set(mut object: &mut Map<String, Value>, path: &[&str], value: Value) {
    let Some((last, way)) = path.split_last() else { return };
    for part in way {
        match object.entry(*part).or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(inner) => object = inner,
            _ => return,
        }
    }
    object.insert(last.to_string(), value);
}

pub(super) fn put_members(members: &Map<String, Value>, out: &mut Vec<u8>) {
    for (name, value) in members {
        out.extend_from_slice(b",\"");
        escape_into(name.as_bytes(), out);
        out.extend_from_slice(b"\":");
        out.extend_from_slice(value.to_string().as_bytes());
    }
}

/// Names and JSON values as members of a JSON object, without braces.
pub(crate) fn members(fields: &[(String, String)]) -> String {
    let member = |(name, value): &(String, String)| format!("{}:{value}", Value::from(name.as_str()));
    fields.iter().map(member).collect::<Vec<_>>().join(",")
}

/// `00` to `99`.
static HUNDRED: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut i = 0;
    while i < 100 {
        pairs[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    pairs
};

/// Writes `value` in decimal to the front of `out`, which has room for 20 digits; gives how many they are.
#[inline]
pub(crate) fn digits(mut value: u64, out: &mut [u8]) -> usize {
    let len = value.checked_ilog10().unwrap_or(0) as usize + 1;
    let mut at = len;
    while at >= 2 {
        at -= 2;
        out[at..at + 2].copy_from_slice(&HUNDRED[(value % 100) as usize]);
        value /= 100;
    }
    if at == 1 {
        out[0] = b'0' + value as u8;
    }
    len
}

/// Appends `value` in decimal.
#[inline]
pub(crate) fn put_number(value: u64, out: &mut Vec<u8>) {
    let mut text = [0; 20];
    let len = digits(value, &mut text);
    out.extend_from_slice(&text[..len]);
}

#[cfg(test)]
mod tests;
