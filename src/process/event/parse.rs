//! JSON text that stands in the event into fields. Strings without an escape stay where they are.

use super::tree::{append, bytes_of, find_member, has_room, nests};
use super::{Document, Failure, Id, List, NONE, Node, Span, Value};
use crate::process::escape::plain_len;
use crate::process::json_string::{take_string, unescape_into};

/// Deepest nesting.
pub(crate) const DEEPEST: u32 = 64;

/// Reads text that it has borrowed out of the document, so that it can be walked while fields are made.
struct Parser<'a> {
    nodes: &'a mut Vec<Node>,
    text: &'a [u8],
    /// Strings that had escapes, without them: their spans begin where `text` ends.
    unescaped: &'a mut Vec<u8>,
    start: usize,
    at: usize,
    end: usize,
}

impl Document {
    /// Parses the JSON object at `span`; a detached node. Nothing is changed if it is none.
    pub(crate) fn parse(&mut self, span: Span) -> Result<Id, Failure> {
        let (nodes, start, length) = (self.nodes.len(), span.start as usize, self.text.len());
        let (text, mut unescaped) = (std::mem::take(&mut self.text), std::mem::take(&mut self.unescaped));
        unescaped.clear();
        let end = (span.end as usize).min(length);
        let mut parser = Parser { nodes: &mut self.nodes, text: text.as_bytes(), unescaped: &mut unescaped, start, at: start, end };
        let parsed = parser.whole();
        self.text = text;
        let result = match parsed {
            Ok(value) => {
                // Strings of UTF-8 stay such without their escapes.
                self.text.push_str(std::str::from_utf8(&unescaped).unwrap_or_default());
                Ok(self.node(Span::default(), value))
            }
            Err(failure) => {
                self.nodes.truncate(nodes);
                Err(failure)
            }
        };
        self.unescaped = unescaped;
        result
    }
}

impl Parser<'_> {
    #[cold]
    fn wrong(&self, what: &str) -> Failure {
        Failure::new(format!("no JSON object: {what} at byte {}", self.at - self.start))
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..self.end).unwrap_or_default()
    }

    /// The next byte that is no white space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.get(self.at)?;
            if self.at >= self.end {
                return None;
            }
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    fn whole(&mut self) -> Result<Value, Failure> {
        if self.peek() != Some(b'{') {
            return Err(self.wrong("no `{`"));
        }
        let value = self.value(0)?;
        match self.peek() {
            None => Ok(value),
            Some(_) => Err(self.wrong("something behind it")),
        }
    }

    fn value(&mut self, depth: u32) -> Result<Value, Failure> {
        if depth > DEEPEST {
            return Err(self.wrong("too deeply nested"));
        }
        match self.peek() {
            Some(b'"') => Ok(Value::Text(self.string()?)),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b't') => self.word(b"true", Value::Bool(true)),
            Some(b'f') => self.word(b"false", Value::Bool(false)),
            Some(b'n') => self.word(b"null", Value::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.wrong("no value")),
        }
    }

    fn word(&mut self, word: &[u8], value: Value) -> Result<Value, Failure> {
        if !self.rest().starts_with(word) {
            return Err(self.wrong("no value"));
        }
        self.at += word.len();
        Ok(value)
    }

    /// The string whose quote is the next byte.
    #[inline]
    fn string(&mut self) -> Result<Span, Failure> {
        let from = self.at + 1;
        let inside = self.text.get(from..self.end).unwrap_or_default();
        let len = plain_len(inside);
        match inside.get(len) {
            Some(b'"') => {
                self.at = from + len + 1;
                Ok(Span::new(from, from + len))
            }
            Some(b'\\') => self.escaped(),
            _ => Err(self.wrong("no right string")),
        }
    }

    /// A string with an escape.
    fn escaped(&mut self) -> Result<Span, Failure> {
        let text = self.text;
        let taken = text.get(self.at..self.end).and_then(take_string);
        let Some((string, _)) = taken else { return Err(self.wrong("no right string")) };
        let start = self.text.len() + self.unescaped.len();
        let inside = string.inside;
        unescape_into(inside, self.unescaped);
        self.at += inside.len() + 2;
        Ok(Span::new(start, self.text.len() + self.unescaped.len()))
    }

    fn node(&mut self, name: Span, value: Value) -> Id {
        self.nodes.push(Node { name, value, next: NONE });
        (self.nodes.len() - 1) as Id
    }

    fn bytes(&self, span: Span) -> &[u8] {
        bytes_of(self.text, self.unescaped, span)
    }

    fn member(&self, object: Id, name: Span) -> Option<Id> {
        let name = self.bytes(name);
        find_member(self.nodes, object, name.len(), |span| self.bytes(span) == name)
    }

    fn object(&mut self, depth: u32) -> Result<Value, Failure> {
        self.at += 1;
        let object = self.node(Span::default(), Value::Object(List::EMPTY));
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(self.nodes[object as usize].value);
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.wrong("no name"));
            }
            let name = self.string()?;
            if self.peek() != Some(b':') {
                return Err(self.wrong("no `:`"));
            }
            self.at += 1;
            let value = self.value(depth + 1)?;
            self.add(object, name, value)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(self.nodes[object as usize].value);
                }
                _ => return Err(self.wrong("no `,` or `}`")),
            }
        }
    }

    /// As [`Document::add`].
    fn add(&mut self, object: Id, name: Span, value: Value) -> Result<(), Failure> {
        let (mut at, mut left) = (object, name);
        if nests(self.bytes(name)) {
            while let Some(len) = self.bytes(left).iter().position(|b| *b == b'.') {
                let (part, rest) = (left.part(0, len), left.part(len + 1, usize::MAX >> 1));
                at = match self.member(at, part) {
                    Some(id) if matches!(self.nodes[id as usize].value, Value::Object(_)) => id,
                    Some(_) => return Ok(()),
                    None => self.fresh_member(at, part, Value::Object(List::EMPTY))?,
                };
                left = rest;
            }
        }
        match self.member(at, left) {
            Some(id) => self.nodes[id as usize].value = value,
            None => drop(self.fresh_member(at, left, value)?),
        }
        Ok(())
    }

    fn fresh_member(&mut self, object: Id, name: Span, value: Value) -> Result<Id, Failure> {
        has_room(self.nodes, object)?;
        let id = self.node(name, value);
        append(self.nodes, object, id);
        Ok(id)
    }

    fn array(&mut self, depth: u32) -> Result<Value, Failure> {
        self.at += 1;
        let array = self.node(Span::default(), Value::Array(List::EMPTY));
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(self.nodes[array as usize].value);
        }
        loop {
            let value = self.value(depth + 1)?;
            let item = self.node(Span::default(), value);
            append(self.nodes, array, item);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(self.nodes[array as usize].value);
                }
                _ => return Err(self.wrong("no `,` or `]`")),
            }
        }
    }

    fn number(&mut self) -> Result<Value, Failure> {
        let rest = self.rest();
        let digits = |from: usize| rest[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        let mut len = usize::from(rest[0] == b'-');
        let whole = digits(len);
        let zero = whole > 1 && rest[len] == b'0';
        len += whole;
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
            return Err(self.wrong("no right number"));
        }
        let span = Span::new(self.at, self.at + len);
        self.at += len;
        let int = if integer { std::str::from_utf8(self.bytes(span)).ok().and_then(|digits| digits.parse().ok()) } else { None };
        Ok(int.map_or(Value::Number(span), Value::Int))
    }
}
