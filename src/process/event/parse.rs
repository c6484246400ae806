//! JSON text that stands in the event into fields. Strings without an escape stay where they are.

use super::key::{Key, same_long};
use super::render::SPACES;
use super::tree::{append, find_member, has_room, link, nests, too_many};
use super::{Document, Failure, Id, List, Node, Span, Value};
use crate::process::escape::plain_len;
use crate::process::json_string::{take_string, unescape_into};

/// Deepest nesting.
pub(crate) const DEEPEST: u32 = 64;

/// What is wrong with a text, where the parser stands. It is small, so that each value comes back in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Wrong {
    NoBrace,
    Behind,
    TooDeep,
    NoValue,
    NoString,
    NoName,
    NoColon,
    NoComma,
    NoBracket,
    NoNumber,
    TooMany,
}

impl Wrong {
    #[cold]
    fn failure(self, at: usize) -> Failure {
        let what = match self {
            Wrong::NoBrace => "no `{`",
            Wrong::Behind => "something behind it",
            Wrong::TooDeep => "too deeply nested",
            Wrong::NoValue => "no value",
            Wrong::NoString => "no right string",
            Wrong::NoName => "no name",
            Wrong::NoColon => "no `:`",
            Wrong::NoComma => "no `,` or `}`",
            Wrong::NoBracket => "no `,` or `]`",
            Wrong::NoNumber => "no right number",
            Wrong::TooMany => return too_many(),
        };
        Failure::new(format!("no JSON object: {what} at byte {at}"))
    }
}

/// Reads text that it has borrowed out of the document, so that it can be walked while fields are made.
struct Parser<'a> {
    nodes: &'a mut Vec<Node>,
    lists: &'a mut u32,
    /// To the end of what is parsed.
    text: &'a [u8],
    /// Length of all text of the document: there the spans of `unescaped` begin.
    length: usize,
    /// Strings that had escapes, without them.
    unescaped: &'a mut Vec<u8>,
    at: usize,
}

/// Members of an object that is being read.
struct Members {
    list: List,
    count: usize,
    /// The bits of the keys of their names: where a bit is missing, a name is new.
    seen: u64,
}

impl Document {
    /// Parses the JSON object at `span`; a detached node. Nothing is changed if it is none.
    pub(crate) fn parse(&mut self, span: Span) -> Result<Id, Failure> {
        let (nodes, start, length) = (self.nodes.len(), span.start(), self.text.len());
        let (mut text, mut unescaped) = (std::mem::take(&mut self.text), std::mem::take(&mut self.unescaped));
        unescaped.clear();
        let mut end = span.end().min(length);
        if end == length {
            // Blanks behind it change nothing, and its last string is looked at in whole blocks like the others.
            text.push_str(SPACES);
            end = text.len();
        }
        let inside = &text.as_bytes()[..end];
        let mut parser =
            Parser { nodes: &mut self.nodes, lists: &mut self.lists, text: inside, length, unescaped: &mut unescaped, at: start };
        let parsed = parser.whole(start);
        let at = parser.at.min(length);
        text.truncate(length);
        self.text = text;
        let result = match parsed {
            Ok(value) => {
                if !unescaped.is_empty() {
                    // Strings of UTF-8 stay such without their escapes.
                    self.text.push_str(std::str::from_utf8(&unescaped).unwrap_or_default());
                }
                Ok(self.item(value))
            }
            Err(wrong) => {
                self.nodes.truncate(nodes);
                Err(wrong.failure(at.saturating_sub(start)))
            }
        };
        self.unescaped = unescaped;
        result
    }
}

/// Each method gets where it begins, so that this stays in a register, and leaves in `at` where it has ended.
impl Parser<'_> {
    /// The next byte that is no white space, and where it is.
    #[inline]
    fn peek(&mut self, mut at: usize) -> (Option<u8>, usize) {
        loop {
            match self.text.get(at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => at += 1,
                other => return (other.copied(), at),
            }
        }
    }

    #[cold]
    fn wrong<T>(&mut self, at: usize, wrong: Wrong) -> Result<T, Wrong> {
        self.at = at;
        Err(wrong)
    }

    fn whole(&mut self, at: usize) -> Result<Value, Wrong> {
        let (next, at) = self.peek(at);
        if next != Some(b'{') {
            return self.wrong(at, Wrong::NoBrace);
        }
        let value = self.object(at, 0)?;
        match self.peek(self.at) {
            (None, _) => Ok(value),
            (Some(_), at) => self.wrong(at, Wrong::Behind),
        }
    }

    #[inline(always)]
    fn value(&mut self, at: usize, depth: u32) -> Result<Value, Wrong> {
        if depth > DEEPEST {
            return self.wrong(at, Wrong::TooDeep);
        }
        let (next, at) = self.peek(at);
        match next {
            Some(b'"') => self.string(at).map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.number(at),
            Some(b'{') => self.object(at, depth),
            Some(b'[') => self.array(at, depth),
            Some(b't') => self.word(at, b"true", Value::Bool(true)),
            Some(b'f') => self.word(at, b"false", Value::Bool(false)),
            Some(b'n') => self.word(at, b"null", Value::Null),
            _ => self.wrong(at, Wrong::NoValue),
        }
    }

    fn word(&mut self, at: usize, word: &[u8], value: Value) -> Result<Value, Wrong> {
        if !self.text[at..].starts_with(word) {
            return self.wrong(at, Wrong::NoValue);
        }
        self.at = at + word.len();
        Ok(value)
    }

    /// The string whose quote is the next byte.
    #[inline(always)]
    fn string(&mut self, at: usize) -> Result<Span, Wrong> {
        let from = at + 1;
        let end = from + plain_len(&self.text[from..]);
        match self.text.get(end) {
            Some(b'"') => {
                self.at = end + 1;
                Ok(Span::new(from, end).clean(true))
            }
            Some(b'\\') => self.escaped(at),
            _ => self.wrong(at, Wrong::NoString),
        }
    }

    /// A string with an escape.
    #[inline(never)]
    fn escaped(&mut self, at: usize) -> Result<Span, Wrong> {
        let Some((string, _)) = take_string(&self.text[at..]) else { return self.wrong(at, Wrong::NoString) };
        let start = self.length + self.unescaped.len();
        unescape_into(string.inside, self.unescaped);
        self.at = at + string.inside.len() + 2;
        Ok(Span::new(start, self.length + self.unescaped.len()))
    }

    fn bytes(&self, span: Span) -> &[u8] {
        let (from, to) = (span.start(), span.end());
        match from.checked_sub(self.length) {
            None => self.text.get(from..to),
            Some(from) => self.unescaped.get(from..to - self.length),
        }
        .unwrap_or_default()
    }

    fn member(&self, list: List, key: Key, name: Span) -> Option<Id> {
        find_member(self.nodes, list, key, |span| same_long(self.bytes(span), self.bytes(name)))
    }

    fn push(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        (self.nodes.len() - 1) as Id
    }

    /// The object whose brace is the next byte.
    fn object(&mut self, at: usize, depth: u32) -> Result<Value, Wrong> {
        let mut members = Members { list: List::EMPTY, count: 0, seen: 0 };
        let (mut next, mut at) = self.peek(at + 1);
        if next == Some(b'}') {
            self.at = at + 1;
            return Ok(Value::Object(members.list));
        }
        loop {
            if next != Some(b'"') {
                return self.wrong(at, Wrong::NoName);
            }
            let name = self.string(at)?;
            (next, at) = self.peek(self.at);
            if next != Some(b':') {
                return self.wrong(at, Wrong::NoColon);
            }
            let value = self.value(at + 1, depth + 1)?;
            self.add(&mut members, name, value)?;
            (next, at) = self.peek(self.at);
            match next {
                Some(b',') => (next, at) = self.peek(at + 1),
                Some(b'}') => {
                    self.at = at + 1;
                    return Ok(Value::Object(members.list));
                }
                _ => return self.wrong(at, Wrong::NoComma),
            }
        }
    }

    /// As [`Document::add`].
    #[inline]
    fn add(&mut self, members: &mut Members, name: Span, value: Value) -> Result<(), Wrong> {
        let bytes = self.bytes(name);
        let key = Key::of(bytes);
        if key.may_have_dot(bytes) && nests(bytes) {
            return self.add_nested(members, name, value);
        }
        match self.seen(members, key, name) {
            Some(id) => self.nodes[id as usize].value = value,
            None => drop(self.add_fresh(members, key, name, value)?),
        }
        Ok(())
    }

    #[inline]
    fn seen(&self, members: &Members, key: Key, name: Span) -> Option<Id> {
        if members.seen & key.bit() == 0 { None } else { self.member(members.list, key, name) }
    }

    #[inline]
    fn add_fresh(&mut self, members: &mut Members, key: Key, name: Span, value: Value) -> Result<Id, Wrong> {
        if members.count >= super::tree::MOST_MEMBERS {
            return Err(Wrong::TooMany);
        }
        let id = self.push(Node::new(key, name, value));
        link(self.nodes, self.lists, &mut members.list, id);
        (members.count, members.seen) = (members.count + 1, members.seen | key.bit());
        Ok(id)
    }

    /// A member whose name has dots.
    fn add_nested(&mut self, members: &mut Members, name: Span, value: Value) -> Result<(), Wrong> {
        let mut left = name;
        // The object below the first part, and those below.
        let mut at = None;
        loop {
            let bytes = self.bytes(left);
            let len = bytes.iter().position(|byte| *byte == b'.');
            let part = len.map_or(left, |len| left.part(0, len));
            let key = Key::of(self.bytes(part));
            let found = match at {
                None => self.seen(members, key, part),
                Some(object) => self.member(self.list(object), key, part),
            };
            let value = if len.is_some() { Value::Object(List::EMPTY) } else { value };
            let id = match (found, len) {
                (Some(id), None) => {
                    self.nodes[id as usize].value = value;
                    id
                }
                (Some(id), Some(_)) if matches!(self.nodes[id as usize].value, Value::Object(_)) => id,
                // A plain value stands in the way.
                (Some(_), Some(_)) => return Ok(()),
                (None, _) => match at {
                    None => self.add_fresh(members, key, part, value)?,
                    Some(object) => {
                        has_room(self.nodes, object).map_err(|_| Wrong::TooMany)?;
                        let id = self.push(Node::new(key, part, value));
                        append(self.nodes, self.lists, object, id);
                        id
                    }
                },
            };
            let Some(len) = len else { return Ok(()) };
            (at, left) = (Some(id), left.part(len + 1, usize::MAX));
        }
    }

    fn list(&self, object: Id) -> List {
        match self.nodes[object as usize].value {
            Value::Object(list) => list,
            _ => List::EMPTY,
        }
    }

    fn item(&mut self, at: usize, depth: u32) -> Result<Value, Wrong> {
        self.value(at, depth)
    }

    /// The array whose bracket is the next byte.
    fn array(&mut self, at: usize, depth: u32) -> Result<Value, Wrong> {
        let mut list = List::EMPTY;
        let (next, mut at) = self.peek(at + 1);
        if next == Some(b']') {
            self.at = at + 1;
            return Ok(Value::Array(list));
        }
        loop {
            let value = self.item(at, depth + 1)?;
            let item = self.push(Node::item(value));
            link(self.nodes, self.lists, &mut list, item);
            match self.peek(self.at) {
                (Some(b','), comma) => at = comma + 1,
                (Some(b']'), end) => {
                    self.at = end + 1;
                    return Ok(Value::Array(list));
                }
                (_, at) => return self.wrong(at, Wrong::NoBracket),
            }
        }
    }

    /// The number whose first byte is the next one.
    #[inline(always)]
    fn number(&mut self, at: usize) -> Result<Value, Wrong> {
        /// Digits that an `i64` has room for, whatever they are.
        const SURE: usize = 18;
        let rest = &self.text[at..];
        let digits = |from: usize| rest[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        let sign = usize::from(rest[0] == b'-');
        let whole = digits(sign);
        let zero = whole > 1 && rest[sign] == b'0';
        let mut len = sign + whole;
        let (mut right, mut integer) = (whole > 0 && !zero, true);
        if rest.get(len) == Some(&b'.') {
            let fraction = digits(len + 1);
            (right, integer, len) = (right && fraction > 0, false, len + 1 + fraction);
        }
        if matches!(rest.get(len), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(rest.get(len + 1), Some(b'+' | b'-')));
            let power = digits(len + 1 + sign);
            (right, integer, len) = (right && power > 0, false, len + 1 + sign + power);
        }
        if !right {
            return self.wrong(at, Wrong::NoNumber);
        }
        let span = Span::new(at, at + len);
        self.at = at + len;
        if !integer {
            return Ok(Value::Number(span));
        }
        if whole <= SURE {
            let number = rest[sign..len].iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0'));
            return Ok(Value::Int(if sign == 1 { -number } else { number }));
        }
        let int = std::str::from_utf8(&rest[..len]).ok().and_then(|digits| digits.parse().ok());
        Ok(int.map_or(Value::Number(span), Value::Int))
    }
}
