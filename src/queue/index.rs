//! The sparse index of a segment: offset, position and time of one batch in every 64 KiB or so.
//! It is a help, never the truth: a missing or damaged one is made anew from the batch headers.

use super::codec::{Reader, Writer};

const MAGIC: &[u8; 8] = b"FBINDEX1";

/// Bytes between two entries.
const SPACING: u64 = 64 << 10;

/// An indexed batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) offset: u64,
    pub(crate) pos: u64,
    pub(crate) append_ms: u64,
}

/// Entries in the order of offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    entries: Vec<Entry>,
}

/// A sealed segment's index file: what the segment holds, and the entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) segment_id: u64,
    pub(crate) base: u64,
    pub(crate) end: u64,
    pub(crate) size: u64,
    pub(crate) newest_ms: u64,
    pub(crate) index: Index,
}

impl Index {
    pub(crate) fn add(&mut self, offset: u64, pos: u64, append_ms: u64) {
        if self.entries.last().is_none_or(|last| pos >= last.pos + SPACING) {
            self.entries.push(Entry { offset, pos, append_ms });
        }
    }

    /// The last entry that is not after `offset`.
    pub(crate) fn floor(&self, offset: u64) -> Option<Entry> {
        let after = self.entries.partition_point(|e| e.offset <= offset);
        after.checked_sub(1).map(|i| self.entries[i])
    }

    /// The last entry that was appended before `ms`; from there on the first batch at or after `ms` is found.
    pub(crate) fn before(&self, ms: u64) -> Option<Entry> {
        let after = self.entries.partition_point(|e| e.append_ms < ms);
        after.checked_sub(1).map(|i| self.entries[i])
    }

    /// All entries.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

impl Sealed {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer(MAGIC.to_vec());
        w.u32(0);
        for field in [self.segment_id, self.base, self.end, self.size, self.newest_ms] {
            w.u64(field);
        }
        w.u32(self.index.entries.len() as u32);
        for e in &self.index.entries {
            w.u64(e.offset);
            w.u64(e.pos);
            w.u64(e.append_ms);
        }
        let crc = crc32c::crc32c(&w.0[12..]);
        w.0[8..12].copy_from_slice(&crc.to_le_bytes());
        w.0
    }

    /// `None` where the bytes are not a whole and sound index.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Sealed> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let mut r = Reader(rest);
        if r.u32()? != crc32c::crc32c(r.0) {
            return None;
        }
        let (segment_id, base, end, size, newest_ms) = (r.u64()?, r.u64()?, r.u64()?, r.u64()?, r.u64()?);
        let count = r.u32()? as usize;
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(Entry { offset: r.u64()?, pos: r.u64()?, append_ms: r.u64()? });
        }
        Some(Sealed { segment_id, base, end, size, newest_ms, index: Index { entries } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_the_entry_that_is_not_after() {
        let mut index = Index::default();
        for i in 0..100u64 {
            index.add(i * 10, i * SPACING / 2, i);
        }
        assert_eq!(index.floor(0).map(|e| e.offset), Some(0));
        assert_eq!(index.floor(39).map(|e| e.offset), Some(20), "every second batch is indexed");
        assert_eq!(index.floor(40).map(|e| e.offset), Some(40));
        assert_eq!(Index::default().floor(5), None);
    }

    proptest! {
        #[test]
        fn one_flipped_bit_is_noticed(bit in 0usize..200 * 8, n in 3u64..20) {
            let mut index = Index::default();
            (0..n).for_each(|i| index.add(i, i * SPACING, i));
            let sealed = Sealed { segment_id: 9, base: 0, end: n, size: n * SPACING, newest_ms: n, index };
            let mut bytes = sealed.encode();
            prop_assert_eq!(Sealed::decode(&bytes), Some(sealed));
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Sealed::decode(&bytes), None);
        }
    }
}
