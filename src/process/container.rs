//! Records of container runtimes: a line of a program's output, or a part of one, with its time and stream.
//!
//! ```text
//! 2026-03-09T10:15:02.123456789Z stdout P the first part of
//! 2026-03-09T10:15:02.123456789Z stdout F  a long line
//! {"log":"the same of Docker's json-file\n","stream":"stdout","time":"2026-03-09T10:15:02.123456789Z"}
//! ```
//!
//! In the queue an event is all its records as they were read. It is unwrapped when it is shown: where a runtime has
//! split a line, the parts are put together again; lines that were joined stand below each other.

use super::escape::{escape_into, escape_lossy_into};
use super::json_string::{JsonString, take_string, unescape_into};
use super::timestamp::is_rfc3339_nanos;
use crate::queue::{Event, Format};
use memchr::memchr;
use serde::de::IgnoredAny;

/// A record, where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    /// RFC 3339, with up to nine digits of a second.
    pub(crate) time: &'a [u8],
    /// `stdout` or `stderr`.
    pub(crate) stream: &'a str,
    /// The line goes on in the next record of the stream.
    pub(crate) partial: bool,
    content: Content<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Content<'a> {
    /// Of any bytes, without a newline.
    Bytes(&'a [u8]),
    Json(JsonString<'a>),
}

impl<'a> Record<'a> {
    /// Reads a line without its newline; `None` where it is no record.
    pub(crate) fn of(format: Format, line: &'a [u8]) -> Option<Record<'a>> {
        match format {
            Format::Plain => None,
            Format::Cri => Record::cri(line),
            Format::Docker => Record::docker(line),
        }
    }

    fn cri(line: &'a [u8]) -> Option<Record<'a>> {
        let (time, rest) = line.split_at(memchr(b' ', line.get(..40.min(line.len()))?)?);
        let (stream, rest) = match rest {
            [b' ', b's', b't', b'd', b'o', b'u', b't', b' ', rest @ ..] => ("stdout", rest),
            [b' ', b's', b't', b'd', b'e', b'r', b'r', b' ', rest @ ..] => ("stderr", rest),
            _ => return None,
        };
        // More tags may follow the first one behind colons.
        let (partial, content) = match rest {
            [b'F', b' ', content @ ..] => (false, content),
            [b'P', b' ', content @ ..] => (true, content),
            [tag @ (b'F' | b'P'), b':', more @ ..] => (*tag == b'P', &more[memchr(b' ', more)? + 1..]),
            _ => return None,
        };
        is_rfc3339_nanos(time).then_some(Record { time, stream, partial, content: Content::Bytes(content) })
    }

    fn docker(line: &'a [u8]) -> Option<Record<'a>> {
        if !line.is_ascii() && std::str::from_utf8(line).is_err() {
            return None;
        }
        let (mut log, mut stream, mut time) = (None, None, None);
        let mut rest = trimmed(line).strip_prefix(b"{")?;
        loop {
            let (key, after) = take_string(trimmed(rest))?;
            rest = trimmed(trimmed(after).strip_prefix(b":")?);
            let member = match key.inside {
                b"log" => Some(&mut log),
                b"stream" => Some(&mut stream),
                b"time" => Some(&mut time),
                _ => None,
            };
            if let Some(member) = member {
                let (value, after) = take_string(rest)?;
                if member.replace(value).is_some() {
                    return None;
                }
                rest = after;
            } else {
                let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
                values.next()?.ok()?;
                rest = &rest[values.byte_offset()..];
            }
            match after_member(rest)? {
                (next, false) => rest = next,
                (_, true) => break,
            }
        }
        let stream = match stream?.inside {
            b"stdout" => "stdout",
            b"stderr" => "stderr",
            _ => return None,
        };
        let (log, time) = (log?, time?.inside);
        let partial = log.before_newline().is_none();
        is_rfc3339_nanos(time).then_some(Record { time, stream, partial, content: Content::Json(log) })
    }

    /// What the program wrote, as far as the record has it, without the delimiter at the end of the line.
    pub(crate) fn line<'s>(&self, scratch: &'s mut Vec<u8>) -> &'s [u8]
    where
        'a: 's,
    {
        match self.content {
            Content::Bytes(bytes) if self.partial => bytes,
            Content::Bytes(bytes) => bytes.strip_suffix(b"\r").unwrap_or(bytes),
            Content::Json(_) => {
                scratch.clear();
                self.put_text(true, scratch);
                scratch
            }
        }
    }

    /// Appends what the program wrote. Of the last record of an event, the delimiter is left out.
    pub(crate) fn put_text(&self, last: bool, out: &mut Vec<u8>) {
        match self.content {
            Content::Bytes(bytes) if self.partial => out.extend_from_slice(bytes),
            Content::Bytes(bytes) if last => out.extend_from_slice(bytes.strip_suffix(b"\r").unwrap_or(bytes)),
            Content::Bytes(bytes) => {
                out.extend_from_slice(bytes);
                out.push(b'\n');
            }
            Content::Json(string) => unescape_into(string.before_delimiter().filter(|_| last).unwrap_or(string.inside), out),
        }
    }

    /// As [`Record::put_text`], as the inside of a JSON string. The bytes must be UTF-8.
    #[inline]
    fn put_json(&self, last: bool, clean: bool, out: &mut Vec<u8>) {
        match self.content {
            Content::Bytes(bytes) => {
                let ends = !self.partial && last;
                let bytes = if ends { bytes.strip_suffix(b"\r").unwrap_or(bytes) } else { bytes };
                if clean {
                    out.extend_from_slice(bytes)
                } else {
                    escape_into(bytes, out)
                }
                if !self.partial && !last {
                    out.extend_from_slice(b"\\n");
                }
            }
            // It is one already.
            Content::Json(string) => out.extend_from_slice(string.before_delimiter().filter(|_| last).unwrap_or(string.inside)),
        }
    }
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    match bytes {
        [b' ' | b'\t' | b'\r' | b'\n', ..] => bytes.trim_ascii_start(),
        _ => bytes,
    }
}

/// What follows the comma behind a member, or whether the object ends there with nothing behind it.
fn after_member(rest: &[u8]) -> Option<(&[u8], bool)> {
    match trimmed(rest).split_first()? {
        (b',', next) => Some((next, false)),
        (b'}', next) => trimmed(next).is_empty().then_some((next, true)),
        _ => None,
    }
}

/// Whether `first`, the first bytes of a file, are those of a container's log; `None`: more are needed to tell.
pub(crate) fn detect(first: &[u8]) -> Option<Format> {
    let docker = b"{\"log\":\"";
    if first.starts_with(docker) {
        return Some(Format::Docker);
    }
    if docker.starts_with(first) {
        return None;
    }
    let line = memchr(b'\n', first).map(|end| &first[..end]);
    let known = line.unwrap_or(first);
    if Record::cri(known).is_some() {
        return Some(Format::Cri);
    }
    let time = b"0000-00-00T00:00:00";
    let like = |(got, want): (&u8, &u8)| if *want == b'0' { got.is_ascii_digit() } else { got == want };
    let undecided = line.is_none() && first.len() < DETECT_BYTES && first.iter().zip(time).all(like);
    if undecided { None } else { Some(Format::Plain) }
}

/// [`detect`] needs no more bytes than these.
pub(crate) const DETECT_BYTES: usize = 64;

/// The records of an event, each with whether it is the last one.
pub(crate) fn records<'a>(format: Format, event: &Event<'a>) -> impl Iterator<Item = (Option<Record<'a>>, bool)> {
    // The newline of the last record is left out; a CR before it is the record's.
    let mut rest = Some(event.raw.strip_suffix(b"\n").unwrap_or(event.raw));
    std::iter::from_fn(move || {
        let all = rest?;
        let line = match memchr(b'\n', all) {
            Some(end) => {
                rest = Some(&all[end + 1..]);
                &all[..end]
            }
            None => {
                rest = None;
                all
            }
        };
        Some((Record::of(format, line), rest.is_none()))
    })
}

/// How the bytes of a run get into JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bytes {
    Clean,
    Utf8,
    Any,
}

/// Appends an event as the inside of a JSON string. `first` writes what stands before, for which the first record is known.
/// Gives whether the line goes on behind the event; `None`, and nothing written, where not all of it are records.
#[inline]
pub(crate) fn put_json(
    format: Format,
    event: &Event<'_>,
    bytes: Bytes,
    out: &mut Vec<u8>,
    first: impl FnOnce(&Record<'_>, &mut Vec<u8>),
) -> Option<bool> {
    let (begin, mut first, mut goes_on) = (out.len(), Some(first), false);
    // A character may have been split between two records.
    let mut whole = (format == Format::Cri && bytes == Bytes::Any).then(Vec::new);
    for (record, last) in records(format, event) {
        let Some(record) = record else {
            out.truncate(begin);
            return None;
        };
        if let Some(first) = first.take() {
            first(&record, out);
        }
        match &mut whole {
            None => record.put_json(last, bytes == Bytes::Clean, out),
            Some(whole) => record.put_text(last, whole),
        }
        goes_on = record.partial;
    }
    if let Some(whole) = whole {
        escape_lossy_into(&whole, out);
    }
    Some(goes_on)
}

/// Appends an event as text: what the program wrote, or the event as it stands where not all of it are records.
pub(crate) fn put_text(format: Format, event: &Event<'_>, out: &mut Vec<u8>) {
    let begin = out.len();
    for (record, last) in records(format, event) {
        match record {
            Some(record) => record.put_text(last, out),
            None => {
                out.truncate(begin);
                return out.extend_from_slice(event.bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests;
