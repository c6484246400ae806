//! Finds the events in a buffer and what is true of its bytes, in whole-buffer passes.
//!
//! Where an event ends depends on the bytes from its beginning on and on nothing else: more bytes behind a whole event
//! never change it. So events and their positions are the same however a file is read and wherever a reader begins anew.

use super::LongLine;
use crate::queue::{Encoding, Format, RunFlags, Text, put_varint};
use memchr::memchr_iter;

/// How lines are found in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) text: Text,
    /// What the lines are; where they are records of a container's log, events are made of them.
    pub(crate) format: Format,
    /// Most bytes of a line before its delimiter.
    pub(crate) max: usize,
    pub(crate) long: LongLine,
}

/// Where a buffer begins in its file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Begins {
    /// At an odd byte.
    pub(crate) odd: bool,
    /// Behind bytes that are no delimiter.
    pub(crate) mid_line: bool,
    /// At byte 0.
    pub(crate) first: bool,
}

/// What [`split_lines`], [`split_long`] and [`super::multiline::Multi::split`] find at the front of a buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    /// Bytes of the whole events.
    pub(crate) end: usize,
    /// Number of them.
    pub(crate) count: u32,
    /// Bytes of their delimiters.
    pub(crate) delimiters: usize,
    /// Length, with delimiter, of the first event (0: none).
    pub(crate) first: usize,
    /// A line of this length, delimiter included, that is longer than allowed follows at `end`.
    pub(crate) long: Option<usize>,
    /// The events are pieces of one line.
    pub(crate) parts: bool,
}

impl Rules {
    /// A line is longer than allowed if that many bytes of it hold no end.
    pub(crate) fn surely_long(&self) -> usize {
        self.max.saturating_add(self.text.longest_delimiter())
    }
}

/// Splits at the ends of lines. Lengths go to `lens`; a line with more than the allowed bytes before its delimiter ends the run.
pub(crate) fn split_lines(data: &[u8], rules: &Rules, odd: bool, lens: &mut Vec<u8>) -> Split {
    let mut split = Split::default();
    if rules.text != Text::PLAIN {
        while let Some(end) = rules.text.line_end(data, split.end, split.end, odd) {
            let line = &data[split.end..end];
            if !split.take_line(line.len(), rules.text.delimiter(line), rules.max, lens) {
                break;
            }
        }
        return split;
    }
    for newline in memchr_iter(b'\n', data) {
        let line = &data[split.end..=newline];
        if !split.take_line(line.len(), Text::PLAIN.delimiter(line), rules.max, lens) {
            break;
        }
    }
    split
}

/// Splits a line that is longer than allowed, or whose beginning was split off before, into pieces: each but the last has as
/// many bytes as allowed, a few fewer where a character would be cut in two. Finds nothing in other lines.
pub(crate) fn split_long(data: &[u8], rules: &Rules, begins: Begins, lens: &mut Vec<u8>) -> Split {
    let mut split = Split { parts: true, ..Split::default() };
    loop {
        let rest = &data[split.end..];
        let window = &rest[..rest.len().min(rules.surely_long())];
        let end = rules.text.line_end(window, 0, 0, begins.odd != (split.end % 2 == 1));
        let end = end.map(|end| (end, rules.text.delimiter(&window[..end]))).filter(|(end, ends)| end - ends <= rules.max);
        match end {
            Some((end, ends)) if begins.mid_line || split.count > 0 => {
                split.push(end, ends, lens);
                return split;
            }
            None if rest.len() >= rules.surely_long() => split.push(rules.text.encoding.cut(rest, rules.max), 0, lens),
            _ => return split,
        }
    }
}

impl Split {
    /// Takes one more line, unless it is too long.
    #[inline]
    fn take_line(&mut self, len: usize, delimiter: usize, max: usize, lens: &mut Vec<u8>) -> bool {
        if len - delimiter > max {
            self.long = Some(len);
            return false;
        }
        self.push(len, delimiter, lens);
        true
    }

    /// Takes one more event of `len` bytes, of which the last `delimiter` are its delimiter.
    #[inline]
    pub(crate) fn push(&mut self, len: usize, delimiter: usize, lens: &mut Vec<u8>) {
        put_varint(lens, len as u32);
        if self.count == 0 {
            self.first = len;
        }
        self.end += len;
        self.count += 1;
        self.delimiters += delimiter;
    }
}

/// Whether more than `allowed` bytes cannot stand in a JSON string.
fn more_specials_than(data: &[u8], allowed: usize) -> bool {
    let mut found = 0;
    // 192 fits a byte-wide sum and is a whole number of vectors.
    for chunk in data.chunks(192) {
        found += chunk.iter().fold(0u8, |n, &b| n + u8::from(b < 0x20 || b == b'"' || b == b'\\')) as usize;
        if found > allowed {
            return true;
        }
    }
    false
}

/// The flags of a run whose events' delimiters are `delimiters` bytes.
pub(crate) fn flags(text: Text, data: &[u8], delimiters: usize) -> RunFlags {
    let utf8 = match text.encoding {
        Encoding::UTF8 => data.is_ascii() || std::str::from_utf8(data).is_ok(),
        other => other.extends_ascii() && data.is_ascii(),
    };
    let facts = match utf8 {
        false => 0,
        true if more_specials_than(data, delimiters) => RunFlags::UTF8,
        true => RunFlags::UTF8 | RunFlags::JSON_CLEAN,
    };
    RunFlags(facts | text.flags())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lens_of(mut lens: &[u8]) -> Vec<usize> {
        let mut out = Vec::new();
        while !lens.is_empty() {
            let (mut value, mut shift) = (0, 0);
            loop {
                let byte = lens[0];
                lens = &lens[1..];
                value |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    break;
                }
            }
            out.push(value);
        }
        out
    }

    proptest! {
        #[test]
        fn splits_like_the_naive_way(data in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'"'), Just(b'a'), any::<u8>()], 0..600), max in 0usize..40) {
            let mut lens = Vec::new();
            let rules = Rules { text: Text::PLAIN, format: Format::Plain, max, long: LongLine::Cut };
            let split = split_lines(&data, &rules, false, &mut lens);
            let (mut end, mut want, mut long, mut specials) = (0, Vec::new(), None, false);
            for line in data.split_inclusive(|b| *b == b'\n').filter(|l| l.ends_with(b"\n")) {
                let body = line.strip_suffix(b"\r\n").or(line.strip_suffix(b"\n")).unwrap();
                if body.len() > max {
                    long = Some(line.len());
                    break;
                }
                specials |= body.iter().any(|b| *b < 0x20 || *b == b'"' || *b == b'\\');
                want.push(line.len());
                end += line.len();
            }
            prop_assert_eq!((split.end, split.count as usize, split.long), (end, want.len(), long));
            prop_assert_eq!(lens_of(&lens), want);
            let f = flags(Text::PLAIN, &data[..end], split.delimiters);
            let utf8 = std::str::from_utf8(&data[..end]).is_ok();
            prop_assert_eq!(f.has(RunFlags::UTF8), utf8);
            prop_assert_eq!(f.has(RunFlags::JSON_CLEAN), utf8 && !specials);
        }
    }

    #[test]
    fn flags_tell_what_the_bytes_mean() {
        let of = |label: &str, data: &[u8]| {
            let text = Text { encoding: Encoding::named(label).unwrap(), ..Text::PLAIN };
            let flags = flags(text, data, 1);
            assert_eq!(flags.text(), text);
            flags.0 & (RunFlags::UTF8 | RunFlags::JSON_CLEAN)
        };
        assert_eq!(of("latin1", b"ascii\n"), RunFlags::UTF8 | RunFlags::JSON_CLEAN);
        assert_eq!(of("shift_jis", b"\"ascii\"\n"), RunFlags::UTF8);
        // Valid UTF-8 by chance.
        assert_eq!(of("latin1", "é\n".as_bytes()), 0);
        assert_eq!(of("utf-16le", b"a\0\n\0"), 0);
        assert_eq!(of("utf-8", "é\n".as_bytes()), RunFlags::UTF8 | RunFlags::JSON_CLEAN);
    }

    #[test]
    fn pieces_have_the_allowed_length_and_whole_characters() {
        let rules = Rules { text: Text::PLAIN, format: Format::Plain, max: 4, long: LongLine::Split };
        let pieces = |data: &[u8], mid_line| {
            let mut lens = Vec::new();
            let split = split_long(data, &rules, Begins { mid_line, ..Begins::default() }, &mut lens);
            assert_eq!(lens_of(&lens).iter().sum::<usize>(), split.end);
            lens_of(&lens)
        };
        assert_eq!(pieces(b"abcdefghij\r\nx\n", false), [4, 4, 4]);
        assert_eq!(pieces(b"abcdefgh\r\nx\n", false), [4, 6]);
        assert_eq!(pieces("abcéfghé\n".as_bytes(), false), [3, 4, 4]);
        // Not long, or not surely.
        assert_eq!(pieces(b"abcd\n", false), [0; 0]);
        assert_eq!(pieces(b"abcd\r", false), [0; 0]);
        assert_eq!(pieces(b"abcde", false), [0; 0]);
        assert_eq!(pieces(b"abcdef", false), [4]);
        // The rest of a line.
        assert_eq!(pieces(b"abcd\r\nx\n", true), [6]);
        assert_eq!(pieces(b"abcdef", true), [4]);
    }
}
