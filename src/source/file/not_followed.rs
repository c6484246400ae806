//! Files that were looked at and are not followed, and why: so that each is judged once.

use super::tracked::{FileId, Look};
use std::collections::HashMap;

/// Why a file that was looked at is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its name is that of a generation, but it is none.
    Unrelated,
    /// It holds nothing but what was read of the file that it was copied from.
    Copy {
        /// The file that was copied.
        original: FileId,
        /// Its size when it was judged: when it grows, it is judged again.
        size: u64,
    },
    /// It holds nothing but what was read of a file that is not there any more.
    CopyOfRead {
        /// Its size when it was judged: when it grows, it is judged again.
        size: u64,
    },
    /// It is compressed, and was read to its end when it had this size.
    Read {
        /// Its size on disk, bytes.
        size: u64,
    },
    /// It is compressed and belongs to this stream, which is still read from another file.
    Waits(u64),
}

/// Files that were judged once, by device and inode, with their birth.
#[derive(Debug, Default)]
pub(crate) struct NotFollowed(pub(crate) HashMap<(u64, u64), (i64, Reason)>);

impl NotFollowed {
    pub(crate) fn get(&self, look: &Look) -> Option<Reason> {
        let id = &look.identity;
        self.0.get(&(id.device, id.inode)).filter(|(born, _)| *born == id.born_ns).map(|(_, reason)| *reason)
    }

    pub(crate) fn insert(&mut self, look: &Look, reason: Reason) {
        // Names that come and go for years must not fill the memory; a second judgement costs little.
        if self.0.len() > 100_000 {
            self.0.clear();
        }
        self.0.insert((look.identity.device, look.identity.inode), (look.identity.born_ns, reason));
    }
}
