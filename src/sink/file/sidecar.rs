//! What is known to be in the file: two slots that are written in turn, so that one is always whole.
//!
//! A slot: `FBPOS\0\0\x01`, then little-endian: sequence `u64`, inode `u64`, length `u64`, number of IDs `u32`,
//! CRC32C `u32` of all that (the CRC as 0) and of the IDs, then the IDs as `u128`, oldest first.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: &[u8; 8] = b"FBPOS\0\0\x01";
const HEADER: usize = 40;
/// IDs that are remembered: commits may be lost for about a second, and these are the batches of more than that.
const MOST_IDS: usize = 1024;
const SLOT: u64 = 32 << 10;

/// The state of the file after the last recorded batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The file's inode.
    pub inode: u64,
    /// Its length after the batch, bytes.
    pub length: u64,
    /// Hashes of the IDs of the last batches.
    pub recent: VecDeque<u128>,
}

impl Mark {
    /// Adds a batch.
    pub fn add(&mut self, id: u128) {
        if self.recent.len() >= MOST_IDS {
            self.recent.pop_front();
        }
        self.recent.push_back(id);
    }
}

/// The sidecar file.
pub(crate) struct Sidecar {
    file: File,
    sequence: u64,
}

impl Sidecar {
    /// Opens or creates the sidecar, and locks it against another writer of the same file; the mark is `None` if there is none yet, or none that is whole.
    pub fn open(path: &Path) -> io::Result<(Sidecar, Option<Mark>)> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another sink or process writes this file"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut best: Option<(u64, Mark)> = None;
        let mut slot = vec![0; SLOT as usize];
        for at in [0, SLOT] {
            let mut len = 0;
            while len < slot.len() {
                match file.read_at(&mut slot[len..], at + len as u64)? {
                    0 => break,
                    n => len += n,
                }
            }
            if let Some((sequence, mark)) = decode(&slot[..len])
                && best.as_ref().is_none_or(|b| b.0 < sequence)
            {
                best = Some((sequence, mark));
            }
        }
        let sequence = best.as_ref().map_or(0, |b| b.0);
        Ok((Sidecar { file, sequence }, best.map(|b| b.1)))
    }

    /// Records `mark` and waits until it is on the disk.
    pub fn record(&mut self, mark: &Mark) -> io::Result<()> {
        let sequence = self.sequence + 1;
        self.file.write_all_at(&encode(sequence, mark), sequence % 2 * SLOT)?;
        self.file.sync_data()?;
        self.sequence = sequence;
        Ok(())
    }
}

fn encode(sequence: u64, mark: &Mark) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + mark.recent.len() * 16);
    out.extend_from_slice(MAGIC);
    for value in [sequence, mark.inode, mark.length] {
        out.extend_from_slice(&value.to_le_bytes());
    }
    out.extend_from_slice(&(mark.recent.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    mark.recent.iter().for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
    let crc = crc32c::crc32c(&out);
    out[HEADER - 4..HEADER].copy_from_slice(&crc.to_le_bytes());
    out
}

fn decode(slot: &[u8]) -> Option<(u64, Mark)> {
    let (header, rest) = slot.split_at_checked(HEADER)?;
    let word = |at: usize| header.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
    let half = |at: usize| header.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    let ids = rest.get(..(half(32)? as usize).checked_mul(16)?)?;
    let zeroed = crc32c::crc32c_append(crc32c::crc32c(&header[..HEADER - 4]), &[0; 4]);
    if &header[..8] != MAGIC || half(36)? != crc32c::crc32c_append(zeroed, ids) {
        return None;
    }
    let recent = ids.as_chunks::<16>().0.iter().map(|id| u128::from_le_bytes(*id)).collect();
    Some((word(8)?, Mark { inode: word(16)?, length: word(24)?, recent }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_whole_record_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pos");
        let (mut sidecar, none) = Sidecar::open(&path).unwrap();
        assert_eq!(none, None);
        let mut mark = Mark { inode: 5, ..Mark::default() };
        for id in 0..3000 {
            mark.length += 10;
            mark.add(id);
            if id % 500 == 0 {
                sidecar.record(&mark).unwrap();
            }
        }
        sidecar.record(&mark).unwrap();
        drop(sidecar);
        let (mut again, read) = Sidecar::open(&path).unwrap();
        assert_eq!(read.as_ref(), Some(&mark));
        assert_eq!(mark.recent.len(), MOST_IDS);
        // A record that is torn leaves the one before.
        let newer = Mark { length: 99, ..mark.clone() };
        again.record(&newer).unwrap();
        let at = again.sequence % 2 * SLOT + 24;
        again.file.write_all_at(&[7], at).unwrap();
        assert!(Sidecar::open(&path).is_err(), "one writer at a time");
        drop(again);
        assert_eq!(Sidecar::open(&path).unwrap().1, Some(mark));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), flip in 0usize..60) {
            decode(&bytes);
            let whole = encode(3, &Mark { inode: 1, length: 2, recent: [4, 5].into() });
            prop_assert!(decode(&whole).is_some());
            let mut broken = whole.clone();
            broken[flip] ^= 1;
            prop_assert_eq!(decode(&broken), None);
            prop_assert_eq!(decode(&whole[..whole.len() - 1]), None);
        }
    }
}
