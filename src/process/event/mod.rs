//! The working document: what a chain of processors sees of an event.
//!
//! It is a tree in two buffers that are used again for each event: `text` holds all strings (the message first, of which most
//! others are slices), `nodes` the fields in the order of their appearance. So a field costs no allocation, and an event
//! whose sink has no chain never comes here. The tree begins as the document that would be sent without a chain, so what
//! `document.rs` rules (whose `host.name` wins, `log.flags`, …) holds here too, and a chain can ask for all of it.
//!
//! | file | idea |
//! |---|---|
//! | `path` | the name of a field |
//! | `key` | names as numbers |
//! | `tree` | finding fields, and making them |
//! | `edit` | removing, merging, copying and rewriting what is there |
//! | `parse` | JSON text of the event into fields |
//! | `render` | the fields as JSON |
//! | `constant` | a value of the configuration |
//! | `origin` | where an event comes from, and fields as bytes |

mod constant;
mod edit;
mod key;
mod origin;
mod parse;
mod path;
mod render;
mod tree;

pub(crate) use constant::Constant;
use key::Key;
pub(crate) use origin::Origin;
#[cfg(feature = "vrl")]
pub(crate) use parse::DEEPEST as MOST_NESTED;
pub(crate) use path::{Path, is_plain as is_name, shown};
use render::Stage;
#[cfg(feature = "vrl")]
pub(crate) use tree::MOST_MEMBERS;

/// Number of a node; 0 is the document.
pub(crate) type Id = u32;
const NONE: Id = Id::MAX;
/// The document.
pub(crate) const ROOT: Id = 0;
/// Buffers larger than this are given back after the event that needed them.
const KEPT: usize = 1 << 20;

/// A part of the event's text, of which may be known that it stands in a JSON string as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    /// Its end, and whether it is clean in the topmost bit.
    end: u32,
}

impl Span {
    const CLEAN: u32 = 1 << 31;

    #[inline]
    pub(crate) fn new(start: usize, end: usize) -> Span {
        let small = |n: usize| n.min(Span::CLEAN as usize - 1) as u32;
        Span { start: small(start), end: small(end) }
    }

    #[inline]
    fn start(self) -> usize {
        self.start as usize
    }

    #[inline]
    fn end(self) -> usize {
        (self.end & !Span::CLEAN) as usize
    }

    /// The part of this span from byte `from` to byte `to` of it.
    #[inline]
    pub(crate) fn part(self, from: usize, to: usize) -> Span {
        let part = Span::new(self.start().saturating_add(from), self.start().saturating_add(to).min(self.end()));
        Span { end: part.end | self.end & Span::CLEAN, ..part }
    }

    /// The same, where `clean` says that no byte of it must be escaped in a JSON string.
    #[inline]
    pub(crate) fn clean(self, clean: bool) -> Span {
        if clean { Span { end: self.end | Span::CLEAN, ..self } } else { self }
    }

    #[inline]
    fn is_clean(self) -> bool {
        self.end & Span::CLEAN != 0
    }
}

/// Children in their order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    first: Id,
    last: Id,
    /// Its number, which no other list of the document ever had; 0 until it gets its first child.
    number: u32,
}

impl List {
    pub(crate) const EMPTY: List = List { first: NONE, last: NONE, number: 0 };
}

impl PartialEq for List {
    fn eq(&self, other: &List) -> bool {
        (self.first, self.last) == (other.first, other.last)
    }
}

/// What a field is. The tag is as wide as the parts of the values, so that one is copied by whole words.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u32)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A number of JSON that is no `Int`, as it stands.
    Number(Span),
    Text(Span),
    /// Nanoseconds since the Unix epoch.
    Time(i64),
    Array(List),
    Object(List),
}

#[derive(Clone, Copy, Debug)]
struct Node {
    /// The key of its name.
    key: Key,
    name: Span,
    value: Value,
    next: Id,
    /// The number of the list in which it is, or `NONE`. So one look at a node tells whether it is a member of an object.
    list: u32,
}

impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        (self.name, self.value, self.next) == (other.name, other.value, other.next)
    }
}

impl Node {
    /// A detached one.
    #[inline]
    fn new(key: Key, name: Span, value: Value) -> Node {
        Node { key, name, value, next: NONE, list: NONE }
    }

    /// One without a name.
    #[inline]
    fn item(value: Value) -> Node {
        Node::new(Key::default(), Span::default(), value)
    }
}

/// Why a processor could not do its work; it has changed nothing then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) std::borrow::Cow<'static, str>);

impl Failure {
    pub(crate) fn new(reason: impl Into<std::borrow::Cow<'static, str>>) -> Failure {
        Failure(reason.into())
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    text: String,
    nodes: Vec<Node>,
    scratch: Vec<u8>,
    /// Strings of JSON text that is being parsed, without their escapes.
    unescaped: Vec<u8>,
    stage: Stage,
    /// The bits of the keys of all names that the document's own members ever had: where a bit is missing, no member has the name.
    seen: u64,
    /// How many lists had a number.
    lists: u32,
    /// When the event was appended to the queue, ms since the Unix epoch.
    pub(crate) append_ms: u64,
    /// Where it comes from, as one number: set for chains that decide by it.
    pub(crate) origin: u64,
}

/// How a document differs from what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It does not: what hangs on its nodes is the same.
    None,
    /// Its message is another text.
    Message(Span),
    /// More than that.
    More,
}

/// What a document was, to which it can be put back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Saved {
    nodes: Vec<Node>,
}

impl Default for Document {
    fn default() -> Document {
        Document {
            text: String::new(),
            nodes: vec![Node::item(Value::Object(List::EMPTY))],
            scratch: Vec::new(),
            unescaped: Vec::new(),
            stage: Stage::default(),
            seen: 0,
            lists: 0,
            append_ms: 0,
            origin: 0,
        }
    }
}

impl Document {
    /// Makes it the same as `base`, keeping its memory.
    pub(crate) fn begin(&mut self, base: &Document) {
        if self.text.capacity() > KEPT {
            self.text = String::new();
        }
        if self.nodes.capacity() > KEPT / size_of::<Node>() {
            self.nodes = Vec::new();
        }
        self.text.clear();
        self.text.push_str(&base.text);
        self.nodes.clear();
        self.nodes.extend_from_slice(&base.nodes);
        (self.seen, self.lists) = (base.seen, base.lists);
        self.append_ms = base.append_ms;
    }

    /// Remembers what it is now.
    pub(crate) fn save(&self, saved: &mut Saved) {
        saved.nodes.clear();
        saved.nodes.extend_from_slice(&self.nodes);
    }

    /// Makes it what it was when `saved` was made of it. Text is only ever added, so what the nodes name is there still.
    pub(crate) fn restore(&mut self, saved: &Saved) {
        self.nodes.clear();
        self.nodes.extend_from_slice(&saved.nodes);
    }

    /// What is other than when `saved` was made of it. `message` is the message's node then.
    pub(crate) fn change(&self, saved: &Saved, message: Option<Id>) -> Change {
        let mut change = Change::None;
        for (at, (was, is)) in saved.nodes.iter().zip(&self.nodes).enumerate() {
            if was == is {
                continue;
            }
            match is.value {
                Value::Text(text) if Some(at as Id) == message && (was.name, was.next) == (is.name, is.next) => {
                    change = Change::Message(text)
                }
                _ => return Change::More,
            }
        }
        if self.nodes.len() < saved.nodes.len() { Change::More } else { change }
    }

    /// Makes it what `json`, an object, says.
    pub(crate) fn begin_with(&mut self, json: &str, append_ms: u64) -> Result<(), Failure> {
        self.begin(&Document::default());
        self.append_ms = append_ms;
        let span = self.push(json);
        let parsed = self.parse(span)?;
        self.nodes[ROOT as usize].value = self.value(parsed);
        self.seen = self.children(ROOT).fold(0, |seen, id| seen | self.nodes[id as usize].key.bit());
        Ok(())
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
