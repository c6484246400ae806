//! Entries out of what `journalctl` writes.
//!
//! An entry that is longer than allowed loses those of its fields that do not fit, whole: what is kept depends on the
//! entry alone, never on how it was read, so that it is the same when it is read again.

use crate::process::journal::{Step, fields, step};
use crate::source::push::counters::{Counters, add};

/// More than the name of a field has.
const NAME: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skip {
    Nothing,
    /// Bytes of a field that does not fit.
    Bytes(u64),
    /// A text field that does not fit: to its newline.
    Line,
}

/// A whole entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As it was exported, with the blank line.
    pub(crate) bytes: Vec<u8>,
    /// Its cursor.
    pub(crate) cursor: Vec<u8>,
    /// Whether fields were left out.
    pub(crate) cut: bool,
}

/// Collects entries. Memory: the longest entry, and one read.
#[derive(Debug)]
pub(crate) struct Entries {
    buffer: Vec<u8>,
    len: usize,
    done: usize,
    searched: usize,
    skip: Skip,
    entry: Vec<u8>,
    cut: bool,
    max: usize,
}

impl Entries {
    /// Entries of at most `max` bytes.
    pub(crate) fn new(max: usize) -> Entries {
        Entries { buffer: Vec::new(), len: 0, done: 0, searched: 0, skip: Skip::Nothing, entry: Vec::new(), cut: false, max }
    }

    /// Room for the next read: `want` bytes.
    pub(crate) fn room(&mut self, want: usize) -> &mut [u8] {
        self.buffer.copy_within(self.done..self.len, 0);
        self.len -= self.done;
        self.searched = self.searched.saturating_sub(self.done);
        self.done = 0;
        self.buffer.resize(self.buffer.len().max(self.len + want), 0);
        &mut self.buffer[self.len..self.len + want]
    }

    /// `n` bytes were read into the room: the entries that are whole now.
    pub(crate) fn read(&mut self, n: usize, counters: &Counters) -> Vec<Entry> {
        self.len += n;
        let mut whole = Vec::new();
        while self.advance(&mut whole, counters) {}
        whole
    }

    /// One step; `false` when more bytes are needed.
    fn advance(&mut self, whole: &mut Vec<Entry>, counters: &Counters) -> bool {
        let rest = &self.buffer[self.done..self.len];
        match self.skip {
            Skip::Nothing => {}
            Skip::Bytes(left) => {
                let passed = left.min(rest.len() as u64);
                self.done += passed as usize;
                self.skip = if passed < left { Skip::Bytes(left - passed) } else { Skip::Nothing };
                return passed == left;
            }
            Skip::Line => {
                let newline = memchr::memchr(b'\n', rest);
                let passed = newline.map_or(rest.len(), |i| i + 1);
                add(&counters.cut_bytes, passed as u64);
                self.done += passed;
                if newline.is_some() {
                    self.skip = Skip::Nothing;
                }
                return newline.is_some();
            }
        }
        let room = self.max.saturating_sub(self.entry.len());
        match step(rest, self.searched.saturating_sub(self.done).min(rest.len())) {
            Step::Field { end, .. } => {
                if end <= room {
                    self.entry.extend_from_slice(&rest[..end]);
                } else {
                    self.cut = true;
                    add(&counters.cut_bytes, end as u64);
                }
                self.done += end;
            }
            Step::End => {
                self.done += 1;
                // Blank lines without fields before them are none of an entry.
                if !self.entry.is_empty() {
                    self.entry.push(b'\n');
                    let bytes = std::mem::take(&mut self.entry);
                    let cursor = fields(&bytes).find(|(name, _)| *name == b"__CURSOR").map(|(_, value)| value.to_vec());
                    add(&counters.cut_events, u64::from(self.cut));
                    whole.push(Entry { cursor: cursor.unwrap_or_default(), bytes, cut: std::mem::take(&mut self.cut) });
                }
            }
            Step::More { end: Some(end) } if end > room as u64 => {
                self.cut = true;
                add(&counters.cut_bytes, end);
                self.skip = Skip::Bytes(end);
            }
            // A text that is too long already. Before its `=` it may be a binary field still, whose name has at most 64 bytes.
            Step::More { end: None } if rest.len() > room && !rest.contains(&b'\n') && (rest.len() > NAME || rest.contains(&b'=')) => {
                self.cut = true;
                self.skip = Skip::Line;
            }
            Step::More { end } => {
                // The length of bytes is behind a newline, which must be found again.
                if end.is_none() && memchr::memchr(b'\n', rest).is_none() {
                    self.searched = self.len;
                }
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A field as `journalctl -o export` writes it.
    fn export(name: &str, value: &[u8]) -> Vec<u8> {
        let text = !value.iter().any(|b| *b < b' ' && *b != b'\t');
        let length = (value.len() as u64).to_le_bytes();
        let head: &[u8] = if text { b"=" } else { b"\n" };
        [name.as_bytes(), head, if text { b"" } else { &length }, value, b"\n"].concat()
    }

    fn read(stream: &[u8], reads: &[usize], max: usize) -> (Vec<Entry>, usize) {
        let (mut entries, counters, mut got, mut at) = (Entries::new(max), Counters::default(), Vec::new(), 0);
        for n in reads.iter().cycle() {
            let n = (*n).min(stream.len() - at);
            entries.room(n).copy_from_slice(&stream[at..at + n]);
            got.extend(entries.read(n, &counters));
            at += n;
            if at == stream.len() {
                break;
            }
        }
        (got, entries.buffer.capacity())
    }

    proptest! {
        #[test]
        fn entries_do_not_depend_on_how_they_were_read(
            all in prop::collection::vec(prop::collection::vec(("[A-Z_]{1,8}", prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'='), any::<u8>()], 0..40)), 1..6), 0..6),
            reads in prop::collection::vec(1usize..30, 1..5), max in 30usize..200,
        ) {
            let (mut stream, mut want) = (Vec::new(), Vec::new());
            for (n, fields) in all.iter().enumerate() {
                let mut kept = export("__CURSOR", format!("c{n}").as_bytes());
                let mut cut = false;
                stream.extend_from_slice(&kept);
                for (name, value) in fields {
                    let field = export(name, value);
                    stream.extend_from_slice(&field);
                    if kept.len() + field.len() <= max { kept.extend(field) } else { cut = true }
                }
                stream.push(b'\n');
                kept.push(b'\n');
                want.push(Entry { bytes: kept, cursor: format!("c{n}").into_bytes(), cut });
            }
            prop_assert_eq!(read(&stream, &reads, max).0, want);
        }

        #[test]
        fn no_bytes_make_it_panic_or_grow(stream in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"A=\n\0".to_vec())], 0..300), reads in prop::collection::vec(1usize..30, 1..5)) {
            let (got, _) = read(&stream, &reads, 50);
            prop_assert!(got.iter().all(|e| e.bytes.len() <= 51));
        }
    }

    #[test]
    fn a_gigantic_field_costs_no_memory() {
        let mut stream = b"__CURSOR=a\nCOREDUMP\n".to_vec();
        stream.extend_from_slice(&(1u64 << 20).to_le_bytes());
        stream.extend_from_slice(&vec![0; 1 << 20]);
        stream.extend_from_slice(b"\nMESSAGE=x\n\n");
        let (got, memory) = read(&stream, &[4096], 1000);
        assert_eq!(got, [Entry { bytes: b"__CURSOR=a\nMESSAGE=x\n\n".to_vec(), cursor: b"a".to_vec(), cut: true }]);
        assert!(memory < 32 << 10, "{memory}");
    }
}
