//! JSON text that stands in the event into fields. Strings without an escape stay where they are.

use super::{Document, Failure, Id, List, Span, Value};
use crate::process::json_string::{take_string, unescape_into};

/// Deepest nesting.
const DEEPEST: u32 = 64;

struct Parser<'a> {
    document: &'a mut Document,
    start: usize,
    at: usize,
    end: usize,
}

impl Document {
    /// Parses the JSON object at `span`; a detached node. Nothing is changed if it is none.
    pub(crate) fn parse(&mut self, span: Span) -> Result<Id, Failure> {
        let (nodes, start) = (self.nodes.len(), span.start as usize);
        let mut parser = Parser { document: self, start, at: start, end: span.end as usize };
        let parsed = parser.whole();
        match parsed {
            Ok(value) => Ok(self.node(Span::default(), value)),
            Err(failure) => {
                self.nodes.truncate(nodes);
                Err(failure)
            }
        }
    }
}

impl Parser<'_> {
    fn wrong(&self, what: &str) -> Failure {
        Failure::new(format!("no JSON object: {what} at byte {}", self.at - self.start))
    }

    fn rest(&self) -> &[u8] {
        self.document.text.as_bytes().get(self.at..self.end).unwrap_or_default()
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.rest();
        let space = rest.iter().position(|b| !matches!(b, b' ' | b'\t' | b'\n' | b'\r'));
        let next = space.map(|n| rest[n]);
        self.at += space.unwrap_or(rest.len());
        next
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

    fn string(&mut self) -> Result<Span, Failure> {
        let Some((string, _)) = take_string(self.rest()) else { return Err(self.wrong("no right string")) };
        let inside = self.at + 1..self.at + 1 + string.inside.len();
        let escaped = memchr::memchr(b'\\', string.inside).is_some();
        self.at = inside.end + 1;
        if !escaped {
            return Ok(Span::new(inside.start, inside.end));
        }
        let mut scratch = std::mem::take(&mut self.document.scratch);
        scratch.clear();
        unescape_into(&self.document.text.as_bytes()[inside], &mut scratch);
        let span = self.document.push(&String::from_utf8_lossy(&scratch));
        self.document.scratch = scratch;
        Ok(span)
    }

    fn object(&mut self, depth: u32) -> Result<Value, Failure> {
        self.at += 1;
        let object = self.document.node(Span::default(), Value::Object(List::EMPTY));
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(self.document.value(object));
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
            self.document.add(object, name, value)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(self.document.value(object));
                }
                _ => return Err(self.wrong("no `,` or `}`")),
            }
        }
    }

    fn array(&mut self, depth: u32) -> Result<Value, Failure> {
        self.at += 1;
        let array = self.document.node(Span::default(), Value::Array(List::EMPTY));
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(self.document.value(array));
        }
        loop {
            let value = self.value(depth + 1)?;
            let item = self.document.node(Span::default(), value);
            self.document.append(array, item);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(self.document.value(array));
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
        let int = if integer { self.document.str(span).parse().ok() } else { None };
        Ok(int.map_or(Value::Number(span), Value::Int))
    }
}
