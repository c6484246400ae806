//! What a file held at some of the positions up to which it was read: tells how much of it was kept when it is found
//! shorter, or with another end, than it was (a backup was put back, a power cut took its end, somebody truncated it).
//!
//! Beside the fingerprint of its first bytes and the checksum of the last bytes before the position, the stream's record
//! holds the checksums of the 256 bytes before at most 32 ends of events, evenly spread. As far as all of them agree the
//! file was kept, and is not sent again, where that is so much that no program says it twice.

use super::resume::first_bytes;
use super::tracked::tail_agrees;
use crate::queue::{Head, Tail};
use std::collections::HashSet;
use std::fs::File;
use std::io;

/// A kept beginning is believed from this length on, bytes. A shorter one may be what a program says at each of its starts
/// (banners have some KiB, and often no times), into a log that was truncated or made anew: rather sent twice than not at all.
pub(super) const LONG: u64 = 64 << 10;
/// Where another file holds all that was read of one, this is enough, bytes.
pub(super) const WHOLE: u64 = 4 << 10;

/// Marks are at least this far apart, bytes.
const LEAST: u64 = Head::MAX as u64;
/// Most marks; then every second one goes.
const MOST: usize = 32;

/// Ends of events with the checksum of the [`Tail::MAX`] bytes before each, by position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(Vec<(u64, u32)>);

impl Marks {
    pub(super) const NONE: Marks = Marks(Vec::new());

    /// As they stand in the stream's record: each 8 bytes of position, 4 of checksum, little-endian.
    pub(crate) fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(at, crc)| at.to_le_bytes().into_iter().chain(crc.to_le_bytes())).collect()
    }

    /// Those of a record; none where the bytes are something else.
    pub(crate) fn decode(bytes: &[u8]) -> Marks {
        let (each, rest) = bytes.as_chunks::<12>();
        let mark = |b: &[u8; 12]| {
            (u64::from_le_bytes(b[..8].try_into().unwrap_or_default()), u32::from_le_bytes(b[8..].try_into().unwrap_or_default()))
        };
        let marks: Vec<_> = each.iter().map(mark).collect();
        let sound = rest.is_empty() && marks.len() <= MOST && marks.is_sorted_by(|a, b| a.0 < b.0);
        Marks(if sound { marks } else { Vec::new() })
    }

    fn next(&self) -> u64 {
        let last = self.0.last().map_or(0, |m| m.0);
        // As dense as they are already: the first two tell.
        let step = match &self.0[..] {
            [first, second, ..] => second.0 - first.0,
            _ => LEAST,
        };
        last.saturating_add(step.max(LEAST))
    }

    /// Takes marks from a block whose events begin at byte `start` of the file; whether there are new ones.
    pub(crate) fn take(&mut self, start: u64, mut lens: &[u8], data: &[u8]) -> bool {
        let (mut next, mut at, mut new) = (self.next(), 0usize, false);
        if start + (data.len() as u64) < next {
            return false;
        }
        while let Some(len) = super::again::take_varint(&mut lens) {
            at += len;
            if start + at as u64 >= next && (Tail::MAX..=data.len()).contains(&at) {
                self.0.push((start + at as u64, Tail::of(&data[..at]).crc));
                if self.0.len() > MOST {
                    let mut second = false;
                    self.0.retain(|_| {
                        second = !second;
                        !second
                    });
                }
                (next, new) = (self.next(), true);
            }
        }
        new
    }

    /// Up to where `file`, of `size` bytes, still holds what was read of it up to `pos`, and the bytes before; 0: nowhere
    /// that can be believed. `head` is the fingerprint of what was read.
    pub(crate) fn kept(&self, file: &File, size: u64, head: &Head, pos: u64) -> io::Result<(u64, Tail)> {
        let mut kept = (0, Tail::default());
        let first = first_bytes(file)?;
        if (head.len as usize) < Head::MAX || !head.matches(&first) || !tells(&first) {
            return Ok(kept);
        }
        for (at, crc) in self.0.iter().filter(|m| m.0 <= size.min(pos)) {
            let tail = Tail { len: Tail::MAX as u32, crc: *crc };
            if !tail_agrees(file, *at, &tail)? {
                break;
            }
            kept = (*at, tail);
        }
        Ok(if kept.0 < LONG { Default::default() } else { kept })
    }
}

/// Whether these first bytes are those of one file alone: no two lines of them are the same. A log that says the same over
/// and over may say it again in its next generation.
pub(crate) fn tells(first: &[u8]) -> bool {
    let mut seen = HashSet::new();
    first.split(|b| *b == b'\n').filter(|line| !line.is_empty()).all(|line| seen.insert(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    proptest! {
        #[test]
        fn what_is_kept_is_a_beginning_of_what_was_read(blocks in prop::collection::vec(prop::collection::vec(1usize..900, 1..40), 1..30), cut in 0usize..100, other in 0usize..60) {
            let (mut marks, mut all) = (Marks::default(), Vec::new());
            for lens in blocks {
                let (start, mut varints, mut data) = (all.len() as u64, Vec::new(), Vec::new());
                for len in lens {
                    crate::queue::put_varint(&mut varints, len as u32);
                    let line: Vec<u8> = format!("{:08} ", all.len() + data.len()).bytes().cycle().take(len - 1).collect();
                    data.extend(line);
                    data.push(b'\n');
                }
                marks.take(start, &varints, &data);
                all.extend(data);
                prop_assert!(marks.0.len() <= MOST);
                prop_assert_eq!(&Marks::decode(&marks.encode()), &marks);
            }
            let size = all.len() * cut / 100;
            let mut now = all[..size].to_vec();
            let differs = size * other / 60;
            now[differs..].fill(b'#');
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&now).unwrap();
            let (kept, tail) = marks.kept(&file, size as u64, &Head::of(&all), all.len() as u64).unwrap();
            prop_assert!(kept as usize <= differs || kept == 0);
            if kept > 0 {
                prop_assert_eq!(tail, Tail::of(&all[..kept as usize]));
                prop_assert_eq!(all[kept as usize - 1], b'\n');
            }
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let _ = Marks::decode(&bytes);
        }
    }

    #[test]
    fn they_stay_few_and_evenly_spread() {
        let (mut marks, mut at) = (Marks::default(), 0u64);
        let data = vec![b'x'; 1000];
        let mut lens = Vec::new();
        crate::queue::put_varint(&mut lens, 1000);
        for _ in 0..10_000 {
            marks.take(at, &lens, &data);
            at += 1000;
        }
        let gaps: Vec<u64> = marks.0.windows(2).map(|w| w[1].0 - w[0].0).collect();
        let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
        assert!(marks.0.len() > MOST / 2 && marks.0.len() <= MOST && *most <= at / 8 && *least * 3 > *most, "{least} {most}");
    }
}
