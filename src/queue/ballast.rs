//! A small file of real blocks, given up when the disk is full, so that offsets and positions can still be written.

use super::disk::{Disk, DiskFile, Space};
use super::floor::floor;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of the ballast: two snapshots of ten thousand streams, and more journals than are ever needed.
pub(crate) const BALLAST: u64 = 4 << 20;

/// Whether an error says that there is no room.
pub(crate) fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A disk that gives up the ballast where a small file could not be replaced without. Segments never get it.
#[derive(Debug)]
pub(crate) struct Ballasted {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    min_free_bytes: Option<u64>,
    held: AtomicBool,
}

impl Ballasted {
    /// Takes over the ballast of an earlier process; on a full disk it is given up at once, since a start writes.
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path, min_free_bytes: Option<u64>) -> Ballasted {
        let path = dir.join("ballast");
        let held = disk.open(&path).is_ok();
        let ballasted = Ballasted { disk, path, min_free_bytes, held: held.into() };
        if ballasted.free().is_some_and(|s| s.free < BALLAST) {
            ballasted.give_up();
        }
        ballasted
    }

    fn free(&self) -> Option<Space> {
        self.disk.space(self.path.parent()?).ok()
    }

    /// Makes the ballast where there is none and room enough; otherwise it is tried again later.
    pub(crate) fn fill(&self) {
        let roomy = |s: Space| s.free >= floor(self.min_free_bytes, s.total) + 2 * BALLAST;
        if self.held.load(Ordering::Relaxed) || !self.free().is_some_and(roomy) {
            return;
        }
        // Not zeros: a file system that compresses would store nothing.
        let mut state = 1u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        let block: Vec<u8> = (0..(64 << 10) / 8).flat_map(|_| next()).collect();
        let blocks = vec![&block[..]; (BALLAST / block.len() as u64) as usize];
        let made = self.disk.create(&self.path).and_then(|file| file.write_all_at(&blocks, 0).and_then(|()| file.sync()));
        match made {
            Ok(()) => self.held.store(true, Ordering::Relaxed),
            Err(e) => {
                tracing::debug!("no ballast yet: {e}");
                let _ = self.disk.remove(&self.path);
            }
        }
    }

    /// Frees the ballast's blocks; `false` where there are none.
    fn give_up(&self) -> bool {
        if !self.held.swap(false, Ordering::Relaxed) {
            return false;
        }
        let freed = self.disk.remove(&self.path);
        let dir = self.path.parent().unwrap_or(Path::new(".")).display();
        match &freed {
            Ok(()) => tracing::warn!(
                "the disk of {dir} is full: {} MiB that were set aside are used now, so that delivering goes on; make room there",
                BALLAST >> 20
            ),
            Err(e) => tracing::warn!("the disk of {dir} is full, and {} cannot be deleted: {e}; make room there", self.path.display()),
        }
        freed.is_ok()
    }
}

impl Disk for Ballasted {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(path)
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.disk.exchange(a, b)
    }
    fn space(&self, dir: &Path) -> io::Result<Space> {
        self.disk.space(dir)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.disk.read(path)
    }

    fn replace_with(&self, path: &Path, write: &mut dyn FnMut(&dyn DiskFile) -> io::Result<()>) -> io::Result<()> {
        match self.disk.replace_with(path, write) {
            // An index is made anew from its segment whenever it is missing.
            Err(e) if is_full(&e) && path.extension().is_none_or(|x| x != "idx") && self.give_up() => self.disk.replace_with(path, write),
            done => done,
        }
    }
}
