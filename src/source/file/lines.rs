//! Finds the events in a buffer and what is true of its bytes, in whole-buffer passes.

use crate::queue::{RunFlags, put_varint};
use memchr::memchr_iter;

/// What [`split_lines`] and [`super::multiline::Multi::split`] find at the front of a buffer.
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
}

/// Length of the delimiter at the end of a line: `\n`, `\r\n`, or none.
pub(crate) fn delimiter(line: &[u8]) -> usize {
    match line {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    }
}

/// Splits at newlines. Lengths go to `lens`; a line with more than `max` bytes before its delimiter ends the run.
pub(crate) fn split_lines(data: &[u8], max: usize, lens: &mut Vec<u8>) -> Split {
    let mut split = Split::default();
    for newline in memchr_iter(b'\n', data) {
        let line = &data[split.end..=newline];
        let ends = delimiter(line);
        if line.len() - ends > max {
            split.long = Some(line.len());
            break;
        }
        split.push(line.len(), ends, lens);
    }
    split
}

impl Split {
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
pub(crate) fn flags(data: &[u8], delimiters: usize) -> RunFlags {
    if !data.is_ascii() && std::str::from_utf8(data).is_err() {
        return RunFlags::default();
    }
    RunFlags(if more_specials_than(data, delimiters) { RunFlags::UTF8 } else { RunFlags::UTF8 | RunFlags::JSON_CLEAN })
}

/// The first at most `max` bytes, one to three fewer where a UTF-8 character would be cut in two.
pub(crate) fn cut(line: &[u8], max: usize) -> &[u8] {
    let kept = &line[..line.len().min(max)];
    match std::str::from_utf8(kept) {
        Err(e) if e.error_len().is_none() && e.valid_up_to() > 0 => &kept[..e.valid_up_to()],
        _ => kept,
    }
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
            let split = split_lines(&data, max, &mut lens);
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
            let f = flags(&data[..end], split.delimiters);
            let utf8 = std::str::from_utf8(&data[..end]).is_ok();
            prop_assert_eq!(f.has(RunFlags::UTF8), utf8);
            prop_assert_eq!(f.has(RunFlags::JSON_CLEAN), utf8 && !specials);
        }
    }

    #[test]
    fn a_cut_leaves_no_half_character() {
        assert_eq!(cut("aé".as_bytes(), 2), b"a");
        assert_eq!(cut("aé".as_bytes(), 3), "aé".as_bytes());
        assert_eq!(cut(b"\xff\xff\xff", 2), b"\xff\xff");
    }
}
