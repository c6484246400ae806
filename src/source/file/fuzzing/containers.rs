//! Records of containers' logs, against a reference that reads them with `regex` and `serde_json` and keeps all in lists.

use super::super::lines::Rules;
use super::super::multiline::Multi;
use super::super::{Joining, LongLine, Multiline};
use super::{Found, read_in_portions, reference_lines};
use crate::process::container::put_text;
use crate::queue::{Event, Format, Text};
use regex::bytes::Regex;
use serde::Deserialize;
use std::sync::LazyLock;
use std::time::Duration;

/// Stream, whether the line goes on, and what the program wrote.
type Read = (String, bool, Vec<u8>);

/// A line of the program as far as there are records, or something else that stands alone.
struct Line {
    begin: usize,
    end: usize,
    delimiter: usize,
    read: Option<Read>,
    /// Nothing joins it.
    alone: bool,
    long: bool,
}

fn read(format: Format, line: &[u8]) -> Option<Read> {
    static CRI: LazyLock<Regex> = LazyLock::new(|| {
        let time = r"(\d{4}-\d{2}-\d{2})T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:0\d|1[0-7]):[0-5]\d)";
        Regex::new(&format!(r"(?s-u)^{time} (stdout|stderr) ([PF])(?::[^ ]*)? (.*)$")).expect("it compiles")
    });
    static TIME: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^(\d{4}-\d{2}-\d{2})T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:0\d|1[0-7]):[0-5]\d)$")
            .expect("it compiles")
    });
    let day = |day: &[u8]| {
        let day = String::from_utf8_lossy(day);
        // Days repeat after 400 years, and only those since 1970 are known there.
        let year: u32 = day[..4].parse().unwrap_or(0);
        crate::process::timestamp::parse_rfc3339(&format!("{}{}", 2000 + year % 400, &day[4..])).is_some()
    };
    if format == Format::Cri {
        let found = CRI.captures(line).filter(|found| day(&found[1]))?;
        let partial = &found[3] == b"P";
        return Some((String::from_utf8_lossy(&found[2]).into_owned(), partial, found[4].to_vec()));
    }
    #[derive(Deserialize)]
    struct Docker {
        log: String,
        stream: String,
        time: String,
    }
    // JSON is UTF-8, also where `serde_json` passes over a string without looking into it.
    let object: Docker =
        serde_json::from_str(std::str::from_utf8(line).ok()?).ok().filter(|_| line.trim_ascii_start().starts_with(b"{"))?;
    TIME.captures(object.time.as_bytes()).filter(|found| day(&found[1]))?;
    ["stdout", "stderr"].contains(&object.stream.as_str()).then_some(())?;
    let partial = !object.log.ends_with('\n');
    Some((object.stream, partial, object.log.strip_suffix('\n').unwrap_or(&object.log).into()))
}

/// What the program wrote, without the delimiter where the record ends its line. A CR that the runtime has put into the
/// record before is part of that one.
fn written(read: Read) -> Read {
    let text = if read.1 { read.2 } else { read.2.strip_suffix(b"\r").unwrap_or(&read.2).to_vec() };
    (read.0, read.1, text)
}

/// The events of a file.
pub(crate) fn reference_records(data: &[u8], rules: &Rules, multi: Option<&Multi>) -> Vec<Found> {
    let (physical, rest) = reference_lines(data, rules.text);
    let mut lines: Vec<Line> = Vec::new();
    let mut pending: Option<Line> = None;
    for (begin, end, delimiter) in physical {
        let long = end - begin - delimiter > rules.max;
        let record = if long { None } else { read(rules.format, &data[begin..end - 1]).map(written) };
        if let Some(mut line) = pending.take() {
            let before = line.read.as_mut().expect("what is pending was read");
            let fits = |r: &&Read| before.0 == r.0 && end - line.begin - delimiter <= rules.max;
            if let Some(record) = record.as_ref().filter(fits) {
                before.1 = record.1;
                before.2.extend_from_slice(&record.2);
                (line.end, line.delimiter) = (end, delimiter);
                if record.1 {
                    pending = Some(line)
                } else {
                    lines.push(line)
                }
                continue;
            }
            lines.push(Line { alone: true, ..line });
        }
        let goes_on = record.as_ref().is_some_and(|r| r.1);
        let line = Line { begin, end, delimiter, alone: record.is_none(), read: record, long };
        if goes_on { pending = Some(line) } else { lines.push(line) }
    }
    let full = |from: usize, most: usize| data.len() - from >= most + 2;
    let waits = pending.as_ref().map_or(rest, |line| line.begin);
    if let Some(line) = pending.take_if(|line| full(line.begin, rules.max)) {
        lines.push(Line { alone: true, ..line });
    }
    let mut found: Vec<Found> = Vec::new();
    // Begin, end, lines and stream of the open event, and the state behind it.
    let mut open: Option<(usize, usize, u32, String, _)> = None;
    let close = |found: &mut Vec<Found>, open: &mut Option<(usize, usize, u32, String, _)>| {
        if let Some((begin, end, ..)) = open.take() {
            found.push((begin as u64, data[begin..end].to_vec(), false));
        }
    };
    for line in lines {
        let Some((multi, (stream, _, text))) = multi.zip(line.read.clone()) else {
            close(&mut found, &mut open);
            let end = if line.long { line.begin + rules.text.encoding.cut(&data[line.begin..line.end], rules.max) } else { line.end };
            found.push((line.begin as u64, data[line.begin..end].to_vec(), line.long));
            continue;
        };
        let joined = match &open {
            Some((begin, _, _, of, state)) if *of == stream && line.end - begin - line.delimiter <= multi.most(rules) => {
                multi.next(*state, &text)
            }
            _ => None,
        };
        open = match (joined, open.take()) {
            (Some(state), Some((begin, _, lines, stream, _))) => Some((begin, line.end, lines + 1, stream, state)),
            (_, mut before) => {
                close(&mut found, &mut before);
                Some((line.begin, line.end, 1, stream, multi.first(&text)))
            }
        };
        if line.alone || multi.ends(&text) || open.as_ref().is_some_and(|open| open.2 >= multi.max_lines) {
            close(&mut found, &mut open);
        }
    }
    let other = pending.as_ref().and_then(|line| line.read.as_ref()).map(|read| &read.0);
    let ended = |open: &(usize, usize, u32, String, _)| {
        let over = |multi: &Multi| match &pending {
            Some(line) => line.end - open.0 - line.delimiter > multi.most(rules),
            None => full(open.0, multi.most(rules)),
        };
        multi.is_some_and(over) || full(rest, rules.max) || other.is_some_and(|other| *other != open.3)
    };
    if waits >= open.as_ref().map_or(0, |open| open.1) && open.as_ref().is_some_and(ended) {
        close(&mut found, &mut open);
    }
    found
}

/// What the program wrote of an event, as the reference reads it.
fn text_of(format: Format, event: &[u8]) -> Vec<u8> {
    let whole = event.strip_suffix(b"\n").unwrap_or(event);
    let records: Option<Vec<Read>> = whole.split(|b| *b == b'\n').map(|line| read(format, line)).collect();
    let Some(records) = records else {
        return event.strip_suffix(b"\r\n").or(event.strip_suffix(b"\n")).unwrap_or(event).to_vec();
    };
    let mut out = Vec::new();
    for (n, (_, partial, text)) in records.iter().enumerate() {
        let last = n + 1 == records.len();
        out.extend_from_slice(if last && !partial { text.strip_suffix(b"\r").unwrap_or(text) } else { text });
        if !last && !partial {
            out.push(b'\n');
        }
    }
    out
}

pub(crate) fn compare(format: Format, head: &[u8; 4], sizes: &[usize], data: &[u8]) {
    // Names written with escapes are not looked for; Docker writes none.
    if format == Format::Docker && data.windows(2).any(|two| two == b"\\u") {
        return;
    }
    let rules = Rules { text: Text::PLAIN, format, max: usize::from(head[0]).max(4) * 4, long: LongLine::Cut };
    let pattern = |bit: u8, pattern: &str| (head[1] & bit != 0).then(|| pattern.to_string());
    let options = Multiline {
        joining: Joining::Patterns { start: pattern(1, "^s"), proceed: pattern(2, "^c"), end: pattern(4, "e$") },
        max_lines: u32::from(head[2]).max(1),
        max_bytes: (head[3] > 0).then(|| usize::from(head[3]) * 4),
        timeout: Duration::from_secs(1),
    };
    let multi = Multi::new("fuzz", &options).expect("patterns that compile");
    for multi in [None, Some(&multi)] {
        let got = read_in_portions(data, sizes, &rules, multi);
        let want = reference_records(data, &rules, multi);
        let shown = |found: &[Found]| {
            found.iter().map(|(at, bytes, cut)| format!("{at} {} {cut}", String::from_utf8_lossy(bytes))).collect::<Vec<_>>()
        };
        assert!(got == want, "{:#?}\nwanted {:#?}\nof {rules:?} {options:?}", shown(&got), shown(&want));
        for (_, raw, _) in &got {
            let bytes = raw.strip_suffix(b"\r\n").or(raw.strip_suffix(b"\n")).unwrap_or(raw);
            let mut text = Vec::new();
            put_text(format, &Event::as_read(0, 0, bytes, raw), &mut text);
            assert_eq!(text, text_of(format, raw), "{}", String::from_utf8_lossy(raw));
        }
    }
}
