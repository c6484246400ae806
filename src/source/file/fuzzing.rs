//! Entries for `fuzz/`: the splitters on arbitrary bytes that arrive in arbitrary portions, compared with references that
//! see everything at once and care for nothing but being simple. Exists only when built for fuzzing, and in tests.

mod containers;

#[cfg(test)]
pub(crate) use containers::reference_records;

use super::lines::{Begins, Rules};
use super::multiline::Multi;
use super::read::split;
use super::{Joining, LongLine, Multiline, Preset};
use crate::queue::{Encoding, Format, LineEnding, Text};
use std::time::Duration;

/// An event: where it begins, its bytes as far as they are kept (with the delimiter), and whether it was cut or is a part.
pub(crate) type Found = (u64, Vec<u8>, bool);

/// What a reader finds who sees `data` grow to each of `sizes` and reads what is incomplete again.
pub(crate) fn read_in_portions(data: &[u8], sizes: &[usize], rules: &Rules, multi: Option<&Multi>) -> Vec<Found> {
    let (mut found, mut at) = (Vec::new(), 0);
    for size in sizes.iter().map(|size| *size.min(&data.len())).chain([data.len()]) {
        while at < size {
            let begins = Begins { odd: at % 2 == 1, mid_line: at > 0 && rules.text.delimiter(&data[..at]) == 0, first: at == 0 };
            let mut lens = Vec::new();
            let split = split(multi, &data[at..size], rules, begins, &mut lens);
            let mut lens = &lens[..];
            let begin = at;
            while let Some(len) = varint(&mut lens) {
                found.push((at as u64, data[at..at + len].to_vec(), split.parts));
                at += len;
            }
            assert_eq!(at, begin + split.end);
            if let Some(long) = split.long {
                let kept = rules.text.encoding.cut(&data[at..at + long], rules.max);
                found.push((at as u64, data[at..at + kept].to_vec(), true));
                at += long;
            }
            if at == begin {
                break;
            }
        }
    }
    found
}

fn varint(bytes: &mut &[u8]) -> Option<usize> {
    let len = bytes.iter().position(|b| *b < 0x80)? + 1;
    let value = bytes[..len].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
    *bytes = &bytes[len..];
    Some(value)
}

/// The lines of `data` with their delimiters, and the rest that has none: one character after the other.
fn reference_lines(data: &[u8], text: Text) -> (Vec<(usize, usize, usize)>, usize) {
    let unit = text.encoding.unit();
    let code = |bytes: &[u8]| match text.encoding {
        Encoding::UTF16LE => u16::from_le_bytes([bytes[0], bytes[1]]),
        Encoding::UTF16BE => u16::from_be_bytes([bytes[0], bytes[1]]),
        _ => u16::from(bytes[0]),
    };
    let (mut lines, mut begin, mut before) = (Vec::new(), 0, 0);
    for (i, bytes) in data.chunks_exact(unit).enumerate() {
        let (now, end) = (code(bytes), (i + 1) * unit);
        let delimiter = match text.ending {
            LineEnding::Auto if now == 10 => Some(if before == 13 { 2 } else { 1 }),
            LineEnding::Lf if now == 10 => Some(1),
            LineEnding::Crlf if now == 10 && before == 13 => Some(2),
            LineEnding::Cr if now == 13 => Some(1),
            _ => None,
        };
        before = now;
        if let Some(delimiter) = delimiter {
            lines.push((begin, end, delimiter * unit));
            (begin, before) = (end, 0);
        }
    }
    (lines, begin)
}

/// A line that is too long, as it is read: cut or in pieces.
fn reference_long(data: &[u8], (begin, end, delimiter): (usize, usize, usize), rules: &Rules, found: &mut Vec<Found>) {
    let mut at = begin;
    while end - delimiter - at > rules.max {
        let kept = rules.text.encoding.cut(&data[at..end], rules.max);
        found.push((at as u64, data[at..at + kept].to_vec(), true));
        at += kept;
        if rules.long == LongLine::Cut {
            return;
        }
    }
    found.push((at as u64, data[at..end].to_vec(), true));
}

/// The pieces of a last line whose end is not there, but which is too long however it goes on.
fn reference_rest(data: &[u8], begin: usize, rules: &Rules, found: &mut Vec<Found>) {
    let mut at = begin;
    while rules.long == LongLine::Split && data.len() - at >= rules.max + rules.text.longest_delimiter() {
        let kept = rules.text.encoding.cut(&data[at..], rules.max);
        found.push((at as u64, data[at..at + kept].to_vec(), true));
        at += kept;
    }
}

/// The events of a file without multiline.
pub(crate) fn reference(data: &[u8], rules: &Rules) -> Vec<Found> {
    let mut found = Vec::new();
    let (lines, rest) = reference_lines(data, rules.text);
    for (begin, end, delimiter) in lines {
        if end - begin - delimiter > rules.max {
            reference_long(data, (begin, end, delimiter), rules, &mut found);
        } else {
            found.push((begin as u64, data[begin..end].to_vec(), false));
        }
    }
    reference_rest(data, rest, rules, &mut found);
    found
}

/// The events of a file with patterns that are single letters: a line that begins with `s` begins an event, one that begins
/// with neither `c` nor `s` begins one too where there is a `continue_pattern`, one that ends with `e` ends one. The last is
/// open: it is left out unless something ends it.
pub(crate) fn reference_joined(data: &[u8], rules: &Rules, multi: &Multiline) -> Vec<Found> {
    let Joining::Patterns { start, proceed, end: ends } = &multi.joining else { return Vec::new() };
    let most = multi.max_bytes.unwrap_or(rules.max);
    let (lines, rest) = reference_lines(data, rules.text);
    let mut found: Vec<Found> = Vec::new();
    // The lines of the open event.
    let mut open: Vec<(usize, usize, usize)> = Vec::new();
    let close = |open: &mut Vec<(usize, usize, usize)>, found: &mut Vec<Found>| {
        if let (Some(first), Some(last)) = (open.first(), open.last()) {
            found.push((first.0 as u64, data[first.0..last.1].to_vec(), false));
            open.clear();
        }
    };
    for line in lines {
        let (begin, end, delimiter) = line;
        let body = &data[begin..end - delimiter];
        if body.len() > rules.max {
            close(&mut open, &mut found);
            reference_long(data, line, rules, &mut found);
            continue;
        }
        let begins = (start.is_some() && body.first() == Some(&b's')) || (proceed.is_some() && body.first() != Some(&b'c'));
        let full = open.first().is_some_and(|first| end - delimiter - first.0 > most) || open.len() as u32 >= multi.max_lines;
        if begins || full {
            close(&mut open, &mut found);
        }
        open.push(line);
        if (ends.is_some() && body.last() == Some(&b'e')) || open.len() as u32 >= multi.max_lines {
            close(&mut open, &mut found);
        }
    }
    let long = data.len() - rest >= rules.max + rules.text.longest_delimiter();
    let full = open.first().is_some_and(|first| data.len() - first.0 >= most + rules.text.longest_delimiter());
    if long || full {
        close(&mut open, &mut found);
    }
    if open.is_empty() {
        reference_rest(data, rest, rules, &mut found);
    }
    found
}

/// What the first bytes of an input choose, and the rest of it.
struct Choices<'a> {
    rules: Rules,
    more: [u8; 4],
    sizes: Vec<usize>,
    data: &'a [u8],
}

fn choices(data: &[u8]) -> Option<Choices<'_>> {
    let (head, data) = data.split_first_chunk::<12>()?;
    let encoding = Encoding::all().nth(usize::from(head[0]) % Encoding::all().count())?;
    let ending = [LineEnding::Auto, LineEnding::Lf, LineEnding::Crlf, LineEnding::Cr][usize::from(head[1] % 4)];
    let long = if head[2] % 2 == 0 { LongLine::Cut } else { LongLine::Split };
    let rules = Rules { text: Text { encoding, ending }, format: Format::Plain, max: usize::from(head[3]).max(4), long };
    let mut sizes: Vec<usize> = head[8..]
        .iter()
        .scan(0, |sum, step| {
            *sum += usize::from(*step);
            Some(*sum)
        })
        .collect();
    sizes.dedup();
    Some(Choices { rules, more: [head[4], head[5], head[6], head[7]], sizes, data })
}

/// The line splitter.
pub fn lines(data: &[u8]) {
    let Some(Choices { rules, sizes, data, .. }) = choices(data) else { return };
    assert_eq!(read_in_portions(data, &sizes, &rules, None), reference(data, &rules), "{rules:?}");
}

/// Multiline: patterns in UTF-8, and presets.
pub fn multiline(data: &[u8]) {
    let Some(Choices { mut rules, more, sizes, data }) = choices(data) else { return };
    rules.text.encoding = Encoding::UTF8;
    let pattern = |bit: u8, pattern: &str| (more[0] & bit != 0).then(|| pattern.to_string());
    let mut options = Multiline {
        joining: Joining::Patterns { start: pattern(1, "^s"), proceed: pattern(2, "^c"), end: pattern(4, "e$") },
        max_lines: u32::from(more[1]).max(1),
        max_bytes: (more[2] > 0).then(|| usize::from(more[2])),
        timeout: Duration::from_secs(1),
    };
    let multi = Multi::new("fuzz", &options).expect("patterns that compile");
    // A BOM is no part of what the patterns see; the reference does not know it.
    if !data.starts_with(b"\xef\xbb\xbf") {
        assert_eq!(read_in_portions(data, &sizes, &rules, Some(&multi)), reference_joined(data, &rules, &options), "{rules:?} {options:?}");
    }
    let presets = [Preset::Auto, Preset::Java, Preset::Python, Preset::Go, Preset::Ruby, Preset::Dotnet];
    options.joining = Joining::Preset(presets[usize::from(more[3]) % presets.len()]);
    let multi = Multi::new("fuzz", &options).expect("a preset");
    assert_eq!(
        read_in_portions(data, &sizes, &rules, Some(&multi)),
        read_in_portions(data, &[], &rules, Some(&multi)),
        "{rules:?} {options:?}"
    );
}

/// Records of containerd and CRI-O.
pub fn cri(data: &[u8]) {
    let Some(Choices { more, sizes, data, .. }) = choices(data) else { return };
    containers::compare(Format::Cri, &more, &sizes, data);
}

/// Records of Docker's json-file.
pub fn docker(data: &[u8]) {
    let Some(Choices { more, sizes, data, .. }) = choices(data) else { return };
    containers::compare(Format::Docker, &more, &sizes, data);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_corpora_are_passed_by_all_splitters() {
        type Target = fn(&[u8]);
        let targets: [(&str, Target); 4] = [("lines", lines), ("multiline", multiline), ("cri", cri), ("docker", docker)];
        for (name, target) in targets {
            crate::corpus::each(name, target);
        }
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![4 => Just(b'\n'), 2 => Just(b'\r'), 4 => Just(0), 2 => Just(b'a'), 1 => Just(0x95), 2 => any::<u8>()];
        prop::collection::vec(byte, 0..300)
    }

    fn words() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            6 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\r"), 2 => Just("s"), 2 => Just("c"), 2 => Just("e"), 2 => Just("x"),
            1 => Just("2026-01-31 12:00:00 "), 1 => Just("\tat a.b(C.java:1)"), 1 => Just("Caused by: x"), 1 => Just("a.b.CException: x"),
            1 => Just("Traceback (most recent call last):"), 1 => Just("  File \""), 1 => Just("panic: x"), 1 => Just("goroutine 1 [running]:"),
            1 => Just("a.rb:1:in `f': m (E)"), 1 => Just("\tfrom a.rb:1:in `f'"), 1 => Just(" ---> "), 1 => Just("yyyyyyyyyyyyyyyyyyyyyyyyyyy"),
        ];
        prop::collection::vec(word, 0..60).prop_map(|words| words.concat().into_bytes())
    }

    fn records(docker: bool) -> impl Strategy<Value = Vec<u8>> {
        let text = || prop::sample::select(vec!["", "s", "c", "e", "x", "se", "cat", "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy", " é "]);
        let stream = prop_oneof![3 => Just("stdout"), 1 => Just("stderr")];
        let record = (stream, any::<bool>(), text(), 0..12u8).prop_map(move |(stream, partial, text, odd)| {
            let (time, ends) = ("2026-03-09T10:15:02.1Z", if odd == 1 { "\r\n" } else { "\n" });
            match (docker, odd) {
                (_, 0) => format!("{text}{ends}"),
                (true, _) => {
                    format!("{{\"log\":\"{text}{}\",\"stream\":\"{stream}\",\"time\":\"{time}\"}}{ends}", if partial { "" } else { "\\n" })
                }
                (false, _) => format!("{time} {stream} {} {text}{ends}", if partial { 'P' } else { 'F' }),
            }
        });
        prop::collection::vec(record, 0..20).prop_map(|records| records.concat().into_bytes())
    }

    #[test]
    fn a_cr_that_ends_a_partial_record_is_no_delimiter() {
        // The runtime cuts `e CR LF` between CR and LF; a line that ends with `e` ends an event.
        let record = |rest: &str| format!("2026-03-09T10:15:02.1Z stdout {rest}");
        let log = [record("P e\r\n"), record("F \n"), record("F \r")].concat();
        cri(&input([0, 0, 0, 0, 26, 22, 2, 0], [0; 4], log.as_bytes()));
    }

    fn input(head: [u8; 8], steps: [u8; 4], data: &[u8]) -> Vec<u8> {
        [&head[..], &steps, data].concat()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn records_are_joined_as_by_the_reference(max in 10u8..80, more in any::<[u8; 3]>(), small in any::<bool>(), steps: [u8; 4],
                                                  cri_data in records(false), docker_data in records(true), cut in 0usize..40) {
            let most = if small { more[2] % 60 } else { 0 };
            let head = [0, 0, 0, 0, max, more[0], more[1] % 8, most];
            cri(&input(head, steps, &cri_data[..cri_data.len() - cut.min(cri_data.len())]));
            docker(&input(head, steps, &docker_data[..docker_data.len() - cut.min(docker_data.len())]));
        }

        #[test]
        fn lines_are_those_of_the_reference(head: [u8; 8], wide in 0u8..5, max in 0u8..60, steps: [u8; 4], data in bytes()) {
            let mut head = head;
            // Mostly UTF-8, UTF-16, windows-1252 and Shift_JIS.
            (head[0], head[3]) = (if head[7] < 220 { wide } else { head[0] }, max);
            lines(&input(head, steps, &data));
        }

        #[test]
        fn joined_lines_are_those_of_the_reference(head: [u8; 8], max in 0u8..120, most in (0u8..8, 0u8..80), steps: [u8; 4], data in words()) {
            let mut head = head;
            (head[3], head[5], head[6]) = (max, most.0, most.1);
            multiline(&input(head, steps, &data));
        }
    }
}
