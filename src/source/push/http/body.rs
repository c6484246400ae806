//! From a request's body to events, in place: they end up one after the other at the front of the same memory.

#[cfg(test)]
use crate::queue::RunFlags;
use crate::queue::put_varint;
use crate::source::push::inlet::Piece;
use crate::source::push::lines::{delimiter, flags};
use serde::de::IgnoredAny;

/// Bytes after which another run begins, so that no record batch becomes much larger than `batch_size`.
const RUN_BYTES: usize = 1 << 20;

/// What the body of a request holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// JSON values: one, an array of them, or one after the other (NDJSON).
    Json,
    /// Lines.
    Text,
}

/// The form, by the content type or else by the first byte.
pub(crate) fn form(content_type: Option<&str>, body: &[u8]) -> Form {
    let kind = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind.starts_with("text/") {
        return Form::Text;
    }
    if kind.contains("json") {
        return Form::Json;
    }
    match body.iter().find(|b| !b.is_ascii_whitespace()) {
        Some(b'{' | b'[') => Form::Json,
        _ => Form::Text,
    }
}

/// Why a body is no events. Nothing of it was taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It is not what it says; where and why.
    Malformed(String),
    /// An event is longer than `max_line_bytes`; which.
    TooLong(String),
}

/// Collects events at the front of a buffer.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) pieces: Vec<Piece>,
    start: usize,
    at: usize,
    count: u32,
    delimiters: usize,
    lens: Vec<u8>,
}

impl Events {
    /// Takes `data[from..to]`, which is not before what was taken already; puts a newline behind it where `newline` says so
    /// and the next event, at `limit` at the earliest, leaves room.
    pub(crate) fn take(&mut self, data: &mut [u8], from: usize, to: usize, limit: usize, newline: bool) {
        data.copy_within(from..to, self.at);
        let mut end = self.at + (to - from);
        if newline && end < limit {
            data[end] = b'\n';
            end += 1;
        }
        put_varint(&mut self.lens, (end - self.at) as u32);
        self.delimiters += delimiter(&data[self.at..end]);
        self.count += 1;
        self.at = end;
        if end - self.start >= RUN_BYTES {
            self.close(data);
        }
    }

    /// Ends the run; the next event begins another.
    pub(crate) fn close(&mut self, data: &[u8]) {
        if self.count > 0 {
            let flags = flags(&data[self.start..self.at], self.delimiters);
            let lens = std::mem::take(&mut self.lens);
            self.pieces.push(Piece { start: self.start, end: self.at, count: self.count, lens, flags });
        }
        (self.start, self.count, self.delimiters) = (self.at, 0, 0);
    }

    /// Number of events.
    pub(crate) fn events(&self) -> u64 {
        self.pieces.iter().map(|p| u64::from(p.count)).sum()
    }
}

/// The events of a body in the given form.
pub(crate) fn events(data: &mut [u8], form: Form, max: usize) -> Result<Events, Wrong> {
    match form {
        Form::Text => lines(data, max),
        Form::Json => json(data, max),
    }
}

/// Each line that is not blank.
fn lines(data: &mut [u8], max: usize) -> Result<Events, Wrong> {
    let (mut events, mut from, mut number) = (Events::default(), 0, 0);
    while from < data.len() {
        number += 1;
        let to = memchr::memchr(b'\n', &data[from..]).map_or(data.len(), |i| from + i + 1);
        let body = to - from - delimiter(&data[from..to]);
        if body > max {
            return Err(Wrong::TooLong(format!("line {number} has {body} bytes, max_line_bytes is {max}")));
        }
        if !data[from..to].trim_ascii().is_empty() {
            events.take(data, from, to, to, false);
        }
        from = to;
    }
    events.close(data);
    Ok(events)
}

/// Each JSON value; those of an array, where there is one around them. A line break inside a value is white space and
/// becomes a blank, so that an event is a line.
fn json(data: &mut [u8], max: usize) -> Result<Events, Wrong> {
    let places = match data.trim_ascii_start() {
        [b'[', ..] => array(data)?,
        _ => values(data)?,
    };
    let mut events = Events::default();
    for (n, (from, to)) in places.iter().copied().enumerate() {
        if to - from > max {
            return Err(Wrong::TooLong(format!("event {} has {} bytes, max_line_bytes is {max}", n + 1, to - from)));
        }
        data[from..to].iter_mut().filter(|b| matches!(b, b'\n' | b'\r')).for_each(|b| *b = b' ');
        let limit = places.get(n + 1).map_or(data.len(), |next| next.0);
        events.take(data, from, to, limit, true);
    }
    events.close(data);
    Ok(events)
}

/// Where the values of a sequence stand.
fn values(data: &[u8]) -> Result<Vec<(usize, usize)>, Wrong> {
    let (mut stream, mut places) = (serde_json::Deserializer::from_slice(data).into_iter::<IgnoredAny>(), Vec::new());
    loop {
        let before = stream.byte_offset();
        match stream.next() {
            None => return Ok(places),
            Some(Ok(_)) => {
                let blank = data[before..].iter().take_while(|b| b.is_ascii_whitespace()).count();
                places.push((before + blank, stream.byte_offset()));
            }
            Some(Err(error)) => return Err(malformed(&error)),
        }
    }
}

fn malformed(error: &serde_json::Error) -> Wrong {
    Wrong::Malformed(format!("the body is not JSON: {error}"))
}

/// Where the elements of an array stand.
fn array(data: &[u8]) -> Result<Vec<(usize, usize)>, Wrong> {
    // Whether it is JSON is the parser's to say; what is JSON is then easily cut.
    serde_json::from_slice::<IgnoredAny>(data).map_err(|e| malformed(&e))?;
    let (mut places, mut depth, mut string, mut escaped, mut from) = (Vec::new(), 0usize, false, false, 0);
    for (i, byte) in data.iter().enumerate() {
        if string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => string = true,
            b'[' | b'{' => {
                depth += 1;
                if depth == 1 {
                    from = i + 1;
                }
            }
            b']' | b'}' | b',' => {
                let ends = depth == 1;
                depth -= usize::from(*byte != b',');
                if ends {
                    let value = &data[from..i];
                    let start = from + (value.len() - value.trim_ascii_start().len());
                    let end = start + value.trim_ascii().len();
                    if end > start {
                        places.push((start, end));
                    }
                    from = i + 1;
                }
            }
            _ => {}
        }
    }
    Ok(places)
}

/// All events as text; asserts that the pieces fit together.
#[cfg(test)]
pub(crate) fn all_of(events: &Events, data: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    for piece in &events.pieces {
        let mut at = piece.start;
        for len in piece.lens() {
            out.push(String::from_utf8_lossy(&data[at..at + len]).into_owned());
            at += len;
        }
        assert_eq!(at, piece.end);
        assert_eq!(piece.flags.has(RunFlags::UTF8), std::str::from_utf8(&data[piece.start..piece.end]).is_ok());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(body: &str, form: Form) -> Result<Vec<String>, Wrong> {
        let mut data = body.as_bytes().to_vec();
        let events = events(&mut data, form, 100)?;
        Ok(all_of(&events, &data))
    }

    #[test]
    fn the_form_is_told_by_the_content_type_or_the_first_byte() {
        assert_eq!(form(Some("application/x-ndjson; charset=utf-8"), b"x"), Form::Json);
        assert_eq!(form(Some("text/plain"), b"{}"), Form::Text);
        assert_eq!(form(Some("application/x-www-form-urlencoded"), b" {\"a\":1}"), Form::Json);
        assert_eq!(form(None, b"hello"), Form::Text);
    }

    #[test]
    fn lines_and_json_become_events() {
        assert_eq!(of("a\r\n\n  \nb", Form::Text).unwrap(), ["a\r\n", "b"]);
        assert_eq!(of("{\"a\":1}\r\n\n{\"b\":\n 2}", Form::Json).unwrap(), ["{\"a\":1}\n", "{\"b\":  2}\n"]);
        assert_eq!(of("{}{}", Form::Json).unwrap(), ["{}", "{}"]);
        assert_eq!(of("[ {\"a\":\"],}\\\"\"} ,\n[1,2], 3 ]", Form::Json).unwrap(), ["{\"a\":\"],}\\\"\"}\n", "[1,2]\n", "3\n"]);
        assert_eq!(of(" [ ] ", Form::Json).unwrap(), [""; 0]);
        assert_eq!(of("", Form::Json).unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        insta::assert_debug_snapshot!(of("{\"a\":1}\n{\"a\":", Form::Json).unwrap_err(), @r#"
        Malformed(
            "the body is not JSON: EOF while parsing a value at line 2 column 5",
        )
        "#);
        assert!(matches!(of("[1,", Form::Json), Err(Wrong::Malformed(_))));
        assert_eq!(of(&"x".repeat(101), Form::Text), Err(Wrong::TooLong("line 1 has 101 bytes, max_line_bytes is 100".into())));
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(serde_json::Value::from),
            any::<bool>().prop_map(serde_json::Value::from),
            "[\\[\\]{},\"\\\\\na]{0,6}".prop_map(serde_json::Value::from)
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::hash_map("[a\"\\]]{0,2}", inner, 0..3).prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_survive_in_every_layout(values in prop::collection::vec(any_json(), 0..6), pretty: bool, as_array: bool) {
            let show = |v: &serde_json::Value| if pretty { serde_json::to_string_pretty(v).unwrap() } else { v.to_string() };
            let all: Vec<String> = values.iter().map(show).collect();
            // A sequence that begins with an array would be taken for that array.
            let as_array = as_array || values.first().is_some_and(serde_json::Value::is_array);
            let body = if as_array { format!("[{}]", all.join(",")) } else { all.join("\n") };
            let mut data = body.into_bytes();
            let events = events(&mut data, Form::Json, 1 << 20).unwrap();
            let got = all_of(&events, &data);
            prop_assert!(got.iter().all(|e| !e.trim_end_matches('\n').contains('\n')));
            let got: Vec<serde_json::Value> = got.iter().map(|e| serde_json::from_str(e).unwrap()).collect();
            prop_assert_eq!(got, values);
        }

        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"[]{},:\"\\\n 1".to_vec())], 0..80), text: bool) {
            let mut data = body;
            let _ = events(&mut data, if text { Form::Text } else { Form::Json }, 50);
        }
    }
}
