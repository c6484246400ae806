//! Lines out of a stream of bytes that is read once and never again: what is not a whole line yet stays here.

use super::counters::{Counters, add};
use super::inlet::Piece;
use crate::queue::RunFlags;
use crate::source::push::lines::{cut, delimiter, flags, split_lines};
use memchr::memchr;

/// Bytes that are kept for the next read when nothing waits in the buffer.
const KEPT: usize = 16 << 10;

/// Cuts lines. Memory: twice the longest line at most, and one read.
#[derive(Debug)]
pub(crate) struct LineCutter {
    buffer: Vec<u8>,
    /// Bytes that were read.
    len: usize,
    /// Bytes before the last `taken` pieces ended.
    done: usize,
    /// Bytes at the front that hold no newline.
    searched: usize,
    max: usize,
    /// A line was cut; the rest of it is passed over.
    skipping: bool,
}

impl LineCutter {
    /// A cutter of lines of at most `max` bytes.
    pub(crate) fn new(max: usize) -> LineCutter {
        LineCutter { buffer: Vec::new(), len: 0, done: 0, searched: 0, max, skipping: false }
    }

    /// Room for the next read: `want` bytes.
    pub(crate) fn room(&mut self, want: usize) -> &mut [u8] {
        self.compact();
        if self.len == 0 && self.buffer.len() > KEPT.max(want) {
            self.buffer = Vec::new();
        }
        self.buffer.resize(self.buffer.len().max(self.len + want), 0);
        &mut self.buffer[self.len..self.len + want]
    }

    /// Drops what pieces were made of.
    fn compact(&mut self) {
        self.buffer.copy_within(self.done..self.len, 0);
        self.len -= self.done;
        self.searched -= self.done.min(self.searched);
        self.done = 0;
    }

    /// The bytes of a piece, until the next call of [`LineCutter::room`].
    pub(crate) fn bytes(&self, piece: &Piece) -> &[u8] {
        &self.buffer[piece.start..piece.end]
    }

    /// Whether no part of a line waits for its end.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.done == self.len
    }

    /// `n` bytes were read into the room: the whole lines.
    pub(crate) fn read(&mut self, n: usize, counters: &Counters) -> Vec<Piece> {
        let from = self.searched.max(self.done);
        self.len += n;
        if memchr(b'\n', &self.buffer[from..self.len]).is_none() {
            return self.without_newline(counters);
        }
        let mut pieces = Vec::new();
        if self.skipping {
            // There is a newline: the line that was cut ends.
            let end = self.done + memchr(b'\n', &self.buffer[self.done..self.len]).map_or(0, |i| i + 1);
            let rest = &self.buffer[self.done..end];
            add(&counters.cut_bytes, (rest.len() - delimiter(rest)) as u64);
            (self.done, self.skipping) = (end, false);
        }
        loop {
            let mut lens = Vec::new();
            let data = &self.buffer[self.done..self.len];
            let split = split_lines(data, self.max, &mut lens);
            if split.count > 0 {
                let flags = flags(&data[..split.end], split.delimiters);
                pieces.push(Piece { start: self.done, end: self.done + split.end, count: split.count, lens, flags });
            }
            self.done += split.end;
            let Some(long) = split.long else { break };
            pieces.push(self.cut_at(self.done, self.done + long, counters));
            self.done += long;
        }
        self.searched = self.len;
        // A rest may be too long already.
        pieces.extend(self.without_newline(counters));
        pieces
    }

    /// Nothing from `searched` on is a newline.
    fn without_newline(&mut self, counters: &Counters) -> Vec<Piece> {
        self.searched = self.len;
        let rest = self.len - self.done;
        if self.skipping {
            // A CR may turn out to belong to the delimiter: it stays.
            let kept = usize::from(rest > 0 && self.buffer[self.len - 1] == b'\r');
            add(&counters.cut_bytes, (rest - kept) as u64);
            self.done = self.len - kept;
            return Vec::new();
        }
        // Two more than a line may have: they may be its delimiter.
        if rest <= self.max + 2 {
            return Vec::new();
        }
        let kept = usize::from(self.buffer[self.len - 1] == b'\r');
        let piece = self.cut_at(self.done, self.len - kept, counters);
        (self.done, self.skipping) = (self.len - kept, true);
        vec![piece]
    }

    /// The first bytes of the line `from..to`.
    fn cut_at(&self, from: usize, to: usize, counters: &Counters) -> Piece {
        let line = &self.buffer[from..to];
        let kept = cut(line, self.max);
        add(&counters.cut_events, 1);
        add(&counters.cut_bytes, (line.len() - delimiter(line) - kept.len()) as u64);
        let mut flags = flags(kept, 0);
        flags.0 |= RunFlags::CUT;
        Piece::one(from, from + kept.len(), flags)
    }

    /// The stream has ended: what is left is a line without a newline.
    pub(crate) fn end(&mut self, counters: &Counters) -> Option<Piece> {
        let (from, to) = (self.done, self.len);
        self.done = self.len;
        if from == to {
            return None;
        }
        if self.skipping {
            add(&counters.cut_bytes, (to - from) as u64);
            return None;
        }
        if to - from > self.max {
            return Some(self.cut_at(from, to, counters));
        }
        Some(Piece::one(from, to, flags(&self.buffer[from..to], 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::Ordering::Relaxed;

    /// What comes of `data` when it is read in pieces of these lengths: events with delimiter and whether they were cut.
    fn cut_up(data: &[u8], reads: &[usize], max: usize) -> (Vec<(Vec<u8>, bool)>, u64) {
        let (mut cutter, counters, mut events) = (LineCutter::new(max), Counters::default(), Vec::new());
        let mut take = |cutter: &LineCutter, piece: Piece| {
            let bytes = cutter.bytes(&piece);
            let mut at = 0;
            for len in piece.lens() {
                events.push((bytes[at..at + len].to_vec(), piece.flags.has(RunFlags::CUT)));
                at += len;
            }
            assert_eq!(at, bytes.len());
        };
        let (mut data, mut reads) = (data, reads.iter().cycle());
        while !data.is_empty() {
            let n = (*reads.next().unwrap()).min(data.len());
            cutter.room(n).copy_from_slice(&data[..n]);
            data = &data[n..];
            for piece in cutter.read(n, &counters) {
                take(&cutter, piece);
            }
        }
        if let Some(piece) = cutter.end(&counters) {
            take(&cutter, piece);
        }
        assert!(cutter.is_empty());
        (events, counters.cut_bytes.load(Relaxed))
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_they_were_read(
            data in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), any::<u8>()], 0..300),
            reads in prop::collection::vec(1usize..50, 1..6), max in 4usize..40,
        ) {
            let (events, lost) = cut_up(&data, &reads, max);
            let (mut want, mut want_lost) = (Vec::new(), 0);
            for line in data.split_inclusive(|b| *b == b'\n') {
                let body = line.len() - delimiter(line);
                if body > max {
                    let kept = cut(line, max);
                    want_lost += (body - kept.len()) as u64;
                    want.push((kept.to_vec(), true));
                } else {
                    want.push((line.to_vec(), false));
                }
            }
            prop_assert_eq!(events, want);
            prop_assert_eq!(lost, want_lost);
        }
    }

    #[test]
    fn a_gigantic_line_costs_no_memory() {
        let (mut cutter, counters) = (LineCutter::new(1000), Counters::default());
        let mut pieces = 0;
        for _ in 0..10_000 {
            cutter.room(1000).fill(b'x');
            pieces += cutter.read(1000, &counters).len();
        }
        assert!(cutter.buffer.capacity() < 64 << 10);
        assert_eq!((pieces, counters.cut_bytes.load(Relaxed)), (1, 10_000_000 - 1000));
    }
}
