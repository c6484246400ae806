//! The free space that the queue leaves on its disk, to others and to its own small files.

use super::disk::Disk;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How old a look at the free space may be.
const LOOK: Duration = Duration::from_secs(1);

/// Most that is left free where nothing is configured, bytes.
const MOST: u64 = 1 << 30;

/// Bytes to leave free on a disk of `total` bytes: what is configured, else a twentieth of it, at most 1 GiB.
pub(crate) fn floor(min_free_bytes: Option<u64>, total: u64) -> u64 {
    min_free_bytes.unwrap_or((total / 20).min(MOST))
}

/// The disk has less than it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shortage {
    pub(crate) free: u64,
    pub(crate) floor: u64,
}

/// What may be written beside a record batch: a segment's header, an index, a snapshot, the journal's spare.
const SMALL_FILES: u64 = 64 << 10;

/// So near to the floor the free space is looked at before each write.
const NEAR: u64 = 4 << 20;

/// Watches the free space: a look each second, or when what was free at the last look is used up.
#[derive(Debug)]
pub(crate) struct Floor {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    min_free_bytes: Option<u64>,
    looked: Option<Instant>,
    /// Bytes that may be written before the next look.
    budget: u64,
}

impl Floor {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf, min_free_bytes: Option<u64>) -> Floor {
        Floor { disk, dir, min_free_bytes, looked: None, budget: 0 }
    }

    /// Whether writing `cost` bytes would leave less than the floor. Where the system does not tell, never: it will say
    /// itself when the disk is full.
    pub(crate) fn short(&mut self, cost: u64, now: Instant) -> Option<Shortage> {
        let cost = cost + SMALL_FILES;
        // Near the floor every write is preceded by a look, since others write too.
        if self.looked.is_none_or(|at| now >= at + LOOK) || self.budget < cost + NEAR {
            let space = self.disk.space(&self.dir).ok()?;
            let floor = floor(self.min_free_bytes, space.total);
            self.budget = space.free.saturating_sub(floor);
            if self.budget < cost {
                self.looked = None;
                return Some(Shortage { free: space.free, floor });
            }
            self.looked = Some(now);
        }
        self.budget -= cost;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_disks_keep_a_gigabyte_and_small_ones_a_twentieth() {
        assert_eq!(floor(None, 1 << 40), 1 << 30);
        assert_eq!(floor(None, 100 << 20), 5 << 20);
        assert_eq!(floor(Some(7), 1 << 40), 7);
    }
}
