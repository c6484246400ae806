//! The fields as JSON.
//!
//! A document is many short pieces: names, punctuation, a few digits. To append each to a `Vec` would cost a call and a look at
//! its capacity for a handful of bytes. So they go into a buffer of fixed length, in whole blocks of which only a part counts,
//! and from there to where the document goes at once.

use super::{Document, Id, List, NONE, Node, ROOT, Span, Value};
use crate::process::document::digits;
use crate::process::escape::{AHEAD, LONGEST, copy_ahead, escape_ahead, escape_into};
use crate::process::timestamp::{LastDay, TIMESTAMP_LEN};
use std::io::Write as _;

/// Length of the buffer.
const STAGE: usize = 4096;
/// Longest text that goes through the buffer; a longer one is copied where it belongs at once.
const SHORT: usize = 512;
/// Room for all that is neither name nor text: punctuation, a number, a time.
const ROOM: usize = 64;
/// As many blanks as may be read behind the end of a text.
pub(super) const SPACES: &str = "                ";

/// What a document keeps for the next time; the buffer has no length before the first.
#[derive(Clone, Debug, Default)]
pub(super) struct Stage {
    buffer: Vec<u8>,
    day: LastDay,
}

/// A document that is being rendered.
struct Renderer<'a> {
    nodes: &'a [Node],
    /// With [`AHEAD`] bytes more than it has.
    text: &'a [u8],
    stage: &'a mut [u8; STAGE],
    day: &'a mut LastDay,
    out: &'a mut Vec<u8>,
}

impl Document {
    /// Appends the document, without a newline.
    pub(crate) fn render(&mut self, out: &mut Vec<u8>) {
        self.put(ROOT, out);
    }

    pub(super) fn put(&mut self, id: Id, out: &mut Vec<u8>) {
        let value = self.value(id);
        if self.stage.buffer.is_empty() {
            self.stage.buffer.resize(STAGE, 0);
        }
        let length = self.text.len();
        self.text.push_str(SPACES);
        if let Some(stage) = self.stage.buffer.first_chunk_mut() {
            let mut renderer = Renderer { nodes: &self.nodes, text: self.text.as_bytes(), stage, day: &mut self.stage.day, out };
            let at = renderer.value(value, 0);
            renderer.flush(at);
        }
        self.text.truncate(length);
    }
}

/// Each method gets where the next byte of the buffer goes, and gives it: so it stays in a register.
impl Renderer<'_> {
    #[inline(never)]
    fn flush(&mut self, at: usize) -> usize {
        self.out.extend_from_slice(&self.stage[..at]);
        0
    }

    /// Makes room for a piece of so many bytes beside [`ROOM`].
    #[inline]
    fn reserve(&mut self, bytes: usize, at: usize) -> usize {
        if at + bytes > STAGE - ROOM { self.flush(at) } else { at }
    }

    #[inline]
    fn write<const N: usize>(&mut self, bytes: &[u8; N], at: usize) -> usize {
        self.stage[at..at + N].copy_from_slice(bytes);
        at + N
    }

    /// The inside of a string.
    #[inline]
    fn inside(&mut self, span: Span, at: usize) -> usize {
        let (from, to) = (span.start(), span.end());
        let len = to.wrapping_sub(from);
        // Names, most of all.
        if span.is_clean()
            && len <= AHEAD
            && let Some(block) = self.text.get(from..from + AHEAD)
        {
            self.stage[at..at + AHEAD].copy_from_slice(block);
            return at + len;
        }
        self.longer(span, at)
    }

    #[inline(never)]
    fn longer(&mut self, span: Span, at: usize) -> usize {
        let (from, to) = (span.start(), span.end());
        let len = to.saturating_sub(from);
        if len == 0 {
            return at;
        }
        if len > SHORT || to + AHEAD > self.text.len() {
            let at = self.flush(at);
            let text = self.text.get(from..to).unwrap_or_default();
            if span.is_clean() {
                self.out.extend_from_slice(text)
            } else {
                escape_into(text, self.out)
            }
            return at;
        }
        let at = self.reserve(if span.is_clean() { len } else { LONGEST * len } + AHEAD, at);
        let put = if span.is_clean() { copy_ahead } else { escape_ahead };
        put(self.text, from, to, &mut self.stage[..], at)
    }

    #[inline]
    fn text(&mut self, span: Span, mut at: usize) -> usize {
        at = self.write(b"\"", at);
        at = self.inside(span, at);
        self.write(b"\"", at)
    }

    /// A value. There is [`ROOM`] for it, and for what follows it.
    fn value(&mut self, value: Value, mut at: usize) -> usize {
        match value {
            Value::Text(span) => self.text(span, at),
            Value::Int(value) => {
                self.stage[at] = b'-';
                at += usize::from(value < 0);
                at + digits(value.unsigned_abs(), &mut self.stage[at..])
            }
            Value::Number(span) => self.inside(span.clean(true), at),
            Value::Object(list) => self.object(list, at),
            Value::Array(list) => self.array(list, at),
            Value::Time(ns) => self.time(ns, at),
            Value::Null => self.write(b"null", at),
            Value::Bool(true) => self.write(b"true", at),
            Value::Bool(false) => self.write(b"false", at),
            // What is neither number nor infinite has no form in JSON.
            Value::Float(value) if !value.is_finite() => self.write(b"null", at),
            Value::Float(value) => {
                at = self.flush(at);
                drop(serde_json::to_writer(&mut *self.out, &value));
                at
            }
        }
    }

    fn object(&mut self, list: List, mut at: usize) -> usize {
        let mut id = list.first;
        if id == NONE {
            return self.write(b"{}", at);
        }
        let mut mark = b'{';
        while id != NONE {
            let node = &self.nodes[id as usize];
            at = self.reserve(AHEAD, at);
            at = self.write(&[mark, b'"'], at);
            at = self.inside(node.name, at);
            at = self.write(b"\":", at);
            // Most are text, and a branch is foreseen better than a jump to one of ten places.
            at = if let Value::Text(span) = node.value { self.text(span, at) } else { self.value(node.value, at) };
            (id, mark) = (node.next, b',');
        }
        at = self.reserve(0, at);
        self.write(b"}", at)
    }

    fn array(&mut self, list: List, mut at: usize) -> usize {
        let mut id = list.first;
        if id == NONE {
            return self.write(b"[]", at);
        }
        let mut mark = b'[';
        while id != NONE {
            let node = &self.nodes[id as usize];
            at = self.reserve(0, at);
            at = self.write(&[mark], at);
            at = self.value(node.value, at);
            (id, mark) = (node.next, b',');
        }
        at = self.reserve(0, at);
        self.write(b"]", at)
    }

    /// RFC 3339 in UTC, with as many digits of a second as the time has, three at least.
    fn time(&mut self, ns: i64, mut at: usize) -> usize {
        let (ms, below) = (ns.div_euclid(1_000_000), ns.rem_euclid(1_000_000));
        at = self.write(b"\"", at);
        match u64::try_from(ms) {
            Ok(ms) => {
                let text = self.day.rfc3339(ms);
                at = self.write(&text, at);
                if below != 0 {
                    at -= 1;
                    let digits = if below % 1000 == 0 { (3, below / 1000) } else { (6, below) };
                    let mut rest = &mut self.stage[at..];
                    let _ = write!(rest, "{:0width$}Z", digits.1, width = digits.0);
                    at += digits.0 + 1;
                }
            }
            // Before 1970.
            Err(_) => {
                at = self.flush(at);
                let _ = write!(self.out, "{}", jiff::Timestamp::from_nanosecond(ns.into()).unwrap_or_default());
            }
        }
        self.write(b"\"", at)
    }
}

// A piece that goes through the buffer has room in it, whatever stands beside it.
const _: () = assert!(ROOM > 2 * (TIMESTAMP_LEN + 4) && SHORT * LONGEST + AHEAD + 2 * ROOM < STAGE && SPACES.len() == AHEAD);
