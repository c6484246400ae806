//! Messages out of a connection: RFC 6587, octet counting and newlines, told apart message by message.

use crate::queue::RunFlags;
use crate::source::push::counters::{Counters, add};
use crate::source::push::inlet::Piece;
use crate::source::push::lines::{cut, delimiter, flags};
use memchr::memchr;

/// Bytes that are kept for the next read when nothing waits in the buffer.
const KEPT: usize = 16 << 10;
/// Most digits of an octet count.
const DIGITS: usize = 9;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skip {
    Nothing,
    /// The rest of a counted message that was cut.
    Bytes(usize),
    /// The rest of a line that was cut.
    Line,
}

/// Cuts messages.
#[derive(Debug)]
pub(crate) struct Frames {
    buffer: Vec<u8>,
    len: usize,
    done: usize,
    /// Bytes before hold no newline that counts.
    searched: usize,
    max: usize,
    skip: Skip,
}

impl Frames {
    /// Messages of at most `max` bytes.
    pub(crate) fn new(max: usize) -> Frames {
        Frames { buffer: Vec::new(), len: 0, done: 0, searched: 0, max, skip: Skip::Nothing }
    }

    /// Room for the next read: `want` bytes.
    pub(crate) fn room(&mut self, want: usize) -> &mut [u8] {
        self.buffer.copy_within(self.done..self.len, 0);
        self.len -= self.done;
        self.searched = self.searched.saturating_sub(self.done);
        self.done = 0;
        if self.len == 0 && self.buffer.len() > KEPT.max(want) {
            self.buffer = Vec::new();
        }
        self.buffer.resize(self.buffer.len().max(self.len + want), 0);
        &mut self.buffer[self.len..self.len + want]
    }

    /// The bytes of a piece, until the next call of [`Frames::room`].
    pub(crate) fn bytes(&self, piece: &Piece) -> &[u8] {
        &self.buffer[piece.start..piece.end]
    }

    /// `n` bytes were read into the room: a piece for each whole message.
    pub(crate) fn read(&mut self, n: usize, counters: &Counters) -> Vec<Piece> {
        self.len += n;
        std::iter::from_fn(|| self.next(counters)).collect()
    }

    /// The connection has ended: what is left.
    pub(crate) fn end(&mut self, counters: &Counters) -> Option<Piece> {
        let from = self.done + count(&self.buffer[self.done..self.len]).map_or(0, |(head, _)| head);
        self.done = self.len;
        match self.skip {
            Skip::Nothing if from < self.len => Some(self.piece(from, self.len, self.len - from, counters)),
            _ => None,
        }
    }

    fn next(&mut self, counters: &Counters) -> Option<Piece> {
        loop {
            match self.skip {
                Skip::Nothing => {}
                Skip::Bytes(left) => {
                    let passed = left.min(self.len - self.done);
                    self.done += passed;
                    self.skip = if passed < left { Skip::Bytes(left - passed) } else { Skip::Nothing };
                }
                Skip::Line => match memchr(b'\n', &self.buffer[self.done..self.len]) {
                    Some(i) => {
                        add(&counters.cut_bytes, i as u64);
                        (self.done, self.skip) = (self.done + i + 1, Skip::Nothing);
                    }
                    None => {
                        add(&counters.cut_bytes, (self.len - self.done) as u64);
                        self.done = self.len;
                    }
                },
            }
            let rest = &self.buffer[self.done..self.len];
            match rest {
                [] => return None,
                // Between messages, and the NUL that some end a line with.
                [b'\n' | b'\r' | 0, ..] => {
                    self.done += 1;
                    continue;
                }
                _ => {}
            }
            if rest.len() <= DIGITS && rest[0] != b'0' && rest.iter().all(u8::is_ascii_digit) {
                return None;
            }
            let start = self.done;
            if let Some((head, len)) = count(rest) {
                let whole = len.min(self.max);
                if rest.len() < head + whole {
                    return None;
                }
                self.done = start + head + whole;
                self.skip = if len > whole { Skip::Bytes(len - whole) } else { Skip::Nothing };
                if len > whole {
                    add(&counters.cut_bytes, (len - whole) as u64);
                }
                return Some(self.piece_cut(start + head, self.done, len > whole, counters));
            }
            let from = self.searched.max(start);
            match memchr(b'\n', &self.buffer[from..self.len]) {
                Some(i) => {
                    self.done = from + i + 1;
                    return Some(self.piece(start, self.done, self.done - start, counters));
                }
                None if rest.len() > self.max + 2 => {
                    (self.done, self.skip) = (self.len, Skip::Line);
                    return Some(self.piece(start, self.len, self.len - start, counters));
                }
                None => {
                    self.searched = self.len;
                    return None;
                }
            }
        }
    }

    /// The message `from..to`, cut where it is too long.
    fn piece(&self, from: usize, to: usize, covers: usize, counters: &Counters) -> Piece {
        let line = &self.buffer[from..to];
        if line.len() - delimiter(line) <= self.max {
            return self.piece_cut(from, to, false, counters);
        }
        let kept = cut(line, self.max).len();
        add(&counters.cut_bytes, (covers - delimiter(line) - kept) as u64);
        self.piece_cut(from, from + kept, true, counters)
    }

    fn piece_cut(&self, from: usize, to: usize, is_cut: bool, counters: &Counters) -> Piece {
        let bytes = &self.buffer[from..to];
        let mut flags = flags(bytes, delimiter(bytes));
        if is_cut {
            flags.0 |= RunFlags::CUT;
            add(&counters.cut_events, 1);
        }
        Piece::one(from, to, flags)
    }
}

/// `LEN ` at the front: how long it is itself, and the length.
fn count(bytes: &[u8]) -> Option<(usize, usize)> {
    let digits = bytes.iter().take(DIGITS + 1).take_while(|b| b.is_ascii_digit()).count();
    if !(1..=DIGITS).contains(&digits) || bytes[0] == b'0' || bytes.get(digits) != Some(&b' ') {
        return None;
    }
    Some((digits + 1, bytes[..digits].iter().fold(0, |n, d| n * 10 + usize::from(d - b'0'))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut_up(data: &[u8], reads: &[usize], max: usize) -> Vec<String> {
        let (mut frames, counters, mut got) = (Frames::new(max), Counters::default(), Vec::new());
        let (mut data, mut reads) = (data, reads.iter().cycle());
        let text = |frames: &Frames, piece: &Piece| {
            format!("{}{}", String::from_utf8_lossy(frames.bytes(piece)), if piece.flags.has(RunFlags::CUT) { "~" } else { "" })
        };
        while !data.is_empty() {
            let n = (*reads.next().unwrap()).min(data.len());
            frames.room(n).copy_from_slice(&data[..n]);
            data = &data[n..];
            for piece in frames.read(n, &counters) {
                got.push(text(&frames, &piece));
            }
        }
        got.extend(frames.end(&counters).map(|piece| text(&frames, &piece)));
        got
    }

    #[test]
    fn both_framings_may_alternate() {
        let data = b"5 <1>ab<2>line\n12 <3>two\nlines\n\n<4>last";
        for n in [1, 3, 100] {
            assert_eq!(cut_up(data, &[n], 50), ["<1>ab", "<2>line\n", "<3>two\nlines", "<4>last"], "{n}");
        }
        assert_eq!(cut_up(b"2026 is a year\n123456789012 x\n", &[4], 50), ["is a year\n123456789012 x\n"]);
        assert_eq!(cut_up(b"9 abc", &[2], 50), ["abc"], "the connection broke off");
    }

    #[test]
    fn what_is_too_long_is_cut_and_the_next_message_is_found() {
        assert_eq!(cut_up(b"10 abcdefghij3 abc<1>z\n", &[1], 4), ["abcd~", "abc", "<1>z\n"]);
        assert_eq!(cut_up(b"xabcdefghij\n<1>z\n", &[1], 4), ["xabc~", "<1>z\n"]);
        assert_eq!(cut_up(b"999999999 abcdefghij", &[1], 4), ["abcd~"], "no memory is taken on a sender's word");
    }

    proptest! {
        #[test]
        fn messages_do_not_depend_on_how_they_were_read(
            messages in prop::collection::vec((any::<bool>(), "<[0-9]{1,2}>[a-z 0-9]{0,20}"), 0..20), reads in prop::collection::vec(1usize..40, 1..5),
        ) {
            let data: String = messages.iter().map(|(counted, m)| if *counted { format!("{} {m}", m.len()) } else { format!("{m}\n") }).collect();
            let want: Vec<String> = messages.iter().map(|(counted, m)| if *counted { m.clone() } else { format!("{m}\n") }).collect();
            prop_assert_eq!(cut_up(data.as_bytes(), &reads, 100), want);
        }

        #[test]
        fn no_bytes_make_it_panic_or_grow(data in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"0123456789 \n<>".to_vec())], 0..200), reads in prop::collection::vec(1usize..40, 1..5)) {
            prop_assert!(cut_up(&data, &reads, 20).iter().all(|m| m.len() <= 20 * 3 + 3));
        }
    }
}
