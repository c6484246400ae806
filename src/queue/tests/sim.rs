//! A disk in memory that knows what is durable: a power cut keeps what was synced, and of the rest any
//! subset of 512-byte sectors; a failed sync loses its pages although they still read well.

use crate::queue::disk::{Disk, DiskFile, Space};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const SECTOR: usize = 512;

#[derive(Debug, Default, Clone)]
struct Inode {
    cache: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Debug)]
struct Bad {
    inode: usize,
    bytes: Range<u64>,
    times: Option<u32>,
}

#[derive(Debug, Default)]
struct World {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    dirs: BTreeSet<PathBuf>,
    seed: u64,
    ops: u64,
    /// After this many operations the disk is dead.
    dies_at: Option<u64>,
    fail_syncs: u32,
    /// Bytes of an inode that cannot be read, so many times or for ever.
    bad: Vec<Bad>,
    capacity: Option<usize>,
    /// Whether it says how much is free.
    tells_space: bool,
}

impl World {
    fn random(&mut self) -> u64 {
        // SplitMix64.
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Bytes of all files that have a name.
    fn used(&self) -> usize {
        self.names.values().map(|inode| self.inodes[*inode].cache.len()).sum()
    }

    fn step(&mut self) -> io::Result<()> {
        self.ops += 1;
        if self.dies_at.is_some_and(|at| self.ops > at) { Err(io::Error::other("the power is cut")) } else { Ok(()) }
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(in crate::queue) struct SimDisk(Arc<Mutex<World>>);

#[derive(Debug)]
struct SimFile(Arc<Mutex<World>>, usize);

impl SimDisk {
    pub(in crate::queue) fn new(seed: u64) -> SimDisk {
        let disk = SimDisk::default();
        disk.0.lock().unwrap().seed = seed;
        disk
    }

    pub(in crate::queue) fn ops(&self) -> u64 {
        self.0.lock().unwrap().ops
    }

    pub(in crate::queue) fn die_after(&self, ops: u64) {
        let mut w = self.0.lock().unwrap();
        w.dies_at = Some(w.ops + ops);
    }

    /// Whether the operation came at which the power was cut.
    pub(in crate::queue) fn is_dead(&self) -> bool {
        let w = self.0.lock().unwrap();
        w.dies_at.is_some_and(|at| w.ops > at)
    }

    pub(in crate::queue) fn fail_syncs(&self, n: u32) {
        self.0.lock().unwrap().fail_syncs = n;
    }

    pub(in crate::queue) fn capacity(&self, bytes: Option<usize>) {
        self.0.lock().unwrap().capacity = bytes;
    }

    /// Leaves so much free, without a word.
    pub(super) fn leave(&self, bytes: usize) {
        let mut w = self.0.lock().unwrap();
        w.capacity = Some(w.used() + bytes);
    }

    /// Leaves so much free, and says so when asked.
    pub(super) fn leave_free(&self, bytes: usize) {
        let mut w = self.0.lock().unwrap();
        (w.capacity, w.tells_space) = (Some(w.used() + bytes), true);
    }

    /// These bytes of a file cannot be read: so many times, or for ever.
    pub(super) fn unreadable(&self, path: &Path, bytes: Range<u64>, times: Option<u32>) {
        let mut w = self.0.lock().unwrap();
        let inode = w.names[path];
        w.bad.push(Bad { inode, bytes, times });
    }

    /// Whatever could not be read can be read again.
    pub(super) fn heal(&self) {
        self.0.lock().unwrap().bad.clear();
    }

    /// The disk as it is after the power comes back: of what was not synced, any part is there.
    pub(in crate::queue) fn after_power_cut(&self) -> SimDisk {
        self.after_power_cut_with(None)
    }

    /// Likewise; of what was not synced, all or nothing is there where that is given.
    pub(super) fn after_power_cut_with(&self, whole: Option<bool>) -> SimDisk {
        let mut old = self.0.lock().unwrap();
        let (capacity, tells_space) = (old.capacity, old.tells_space);
        let mut new = World { seed: old.random(), dirs: old.dirs.clone(), capacity, tells_space, ..World::default() };
        // Each name that was made, changed or deleted since its folder was synced may be the old or the new one.
        let mut names = old.durable_names.clone();
        let all: BTreeSet<PathBuf> = old.names.keys().chain(old.durable_names.keys()).cloned().collect();
        for path in all {
            if old.names.get(&path) != old.durable_names.get(&path) && whole.unwrap_or_else(|| old.random().is_multiple_of(2)) {
                match old.names.get(&path) {
                    Some(inode) => names.insert(path, *inode),
                    None => names.remove(&path),
                };
            }
        }
        for (path, inode) in names {
            let mut bytes = old.inodes[inode].durable.clone();
            let (cache, dirty) = (old.inodes[inode].cache.clone(), old.inodes[inode].dirty.clone());
            for sector in dirty {
                if whole.unwrap_or_else(|| old.random().is_multiple_of(2)) {
                    let (from, to) = (sector * SECTOR, ((sector + 1) * SECTOR).min(cache.len()));
                    if bytes.len() < to {
                        bytes.resize(to, 0);
                    }
                    bytes[from..to].copy_from_slice(&cache[from..to]);
                }
            }
            new.inodes.push(Inode { cache: bytes.clone(), durable: bytes, dirty: BTreeSet::new() });
            new.names.insert(path, new.inodes.len() - 1);
        }
        new.durable_names = new.names.clone();
        SimDisk(Arc::new(Mutex::new(new)))
    }

    /// Flips one bit of a file; `None` where it is empty.
    pub(in crate::queue) fn flip(&self, path: &Path, bit: u64) -> Option<()> {
        let mut w = self.0.lock().unwrap();
        let inode = *w.names.get(path)?;
        let len = w.inodes[inode].cache.len();
        let bit = (bit % (len.max(1) as u64 * 8)) as usize;
        *w.inodes[inode].cache.get_mut(bit / 8)? ^= 1 << (bit % 8);
        let byte = w.inodes[inode].cache[bit / 8];
        if let Some(b) = w.inodes[inode].durable.get_mut(bit / 8) {
            *b = byte;
        }
        Some(())
    }

    /// The whole content of a file, durable as it is.
    pub(in crate::queue) fn get(&self, path: &Path) -> Vec<u8> {
        let w = self.0.lock().unwrap();
        w.names.get(path).map(|inode| w.inodes[*inode].cache.clone()).unwrap_or_default()
    }

    /// Gives a file this content, durable.
    pub(in crate::queue) fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut w = self.0.lock().unwrap();
        w.inodes.push(Inode { cache: bytes.clone(), durable: bytes, dirty: BTreeSet::new() });
        let inode = w.inodes.len() - 1;
        w.names.insert(path.to_path_buf(), inode);
        w.durable_names.insert(path.to_path_buf(), inode);
    }

    /// Takes a file away, durably.
    pub(in crate::queue) fn take_away(&self, path: &Path) {
        let mut w = self.0.lock().unwrap();
        w.names.remove(path);
        w.durable_names.remove(path);
    }

    pub(in crate::queue) fn paths(&self) -> Vec<PathBuf> {
        self.0.lock().unwrap().names.keys().cloned().collect()
    }
}

impl DiskFile for SimFile {
    fn write_all_at(&self, bufs: &[&[u8]], pos: u64) -> io::Result<()> {
        let mut w = self.0.lock().unwrap();
        w.step()?;
        let total: usize = bufs.iter().map(|b| b.len()).sum();
        let used = w.used();
        let (capacity, inode) = (w.capacity, &mut w.inodes[self.1]);
        let end = pos as usize + total;
        let grows = end.saturating_sub(inode.cache.len());
        if capacity.is_some_and(|c| grows > 0 && used + grows > c) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if inode.cache.len() < end {
            inode.cache.resize(end, 0);
        }
        let mut at = pos as usize;
        for buf in bufs {
            inode.cache[at..at + buf.len()].copy_from_slice(buf);
            at += buf.len();
        }
        inode.dirty.extend(pos as usize / SECTOR..end.div_ceil(SECTOR));
        Ok(())
    }

    fn read_at(&self, buf: &mut [u8], pos: u64) -> io::Result<usize> {
        let mut w = self.0.lock().unwrap();
        let end = pos + buf.len() as u64;
        let met = |b: &&mut Bad| b.inode == self.1 && b.bytes.start < end && pos < b.bytes.end && b.times != Some(0);
        if let Some(bad) = w.bad.iter_mut().find(met) {
            bad.times = bad.times.map(|n| n - 1);
            return Err(rustix::io::Errno::IO.into());
        }
        let cache = &w.inodes[self.1].cache;
        let from = (pos as usize).min(cache.len());
        let n = buf.len().min(cache.len() - from);
        buf[..n].copy_from_slice(&cache[from..from + n]);
        Ok(n)
    }

    fn sync(&self) -> io::Result<()> {
        let mut w = self.0.lock().unwrap();
        w.step()?;
        if w.fail_syncs > 0 {
            w.fail_syncs -= 1;
            // The kernel marks the pages clean: the next sync will answer that all is fine.
            w.inodes[self.1].dirty.clear();
            return Err(io::Error::other("injected: input/output error"));
        }
        let inode = &mut w.inodes[self.1];
        let dirty = std::mem::take(&mut inode.dirty);
        let len = inode.cache.len();
        inode.durable.resize(len, 0);
        for sector in dirty {
            let (from, to) = (sector * SECTOR, ((sector + 1) * SECTOR).min(len));
            let bytes = inode.cache[from..to].to_vec();
            inode.durable[from..to].copy_from_slice(&bytes);
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().inodes[self.1].cache.len() as u64)
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut w = self.0.lock().unwrap();
        w.step()?;
        if w.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        w.inodes.push(Inode::default());
        let inode = w.inodes.len() - 1;
        w.names.insert(path.to_path_buf(), inode);
        Ok(Arc::new(SimFile(self.0.clone(), inode)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let w = self.0.lock().unwrap();
        let inode = *w.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile(self.0.clone(), inode)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let w = self.0.lock().unwrap();
        let all = w.names.keys().chain(w.dirs.iter()).filter(|p| p.parent() == Some(dir));
        let names: BTreeSet<String> = all.filter_map(|p| Some(p.file_name()?.to_str()?.to_string())).collect();
        Ok(names.into_iter().collect())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut w = self.0.lock().unwrap();
        w.dirs.extend(dir.ancestors().map(Path::to_path_buf));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut w = self.0.lock().unwrap();
        w.step()?;
        let inode = w.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        w.names.insert(to.to_path_buf(), inode);
        Ok(())
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        let mut w = self.0.lock().unwrap();
        w.step()?;
        let (at_a, at_b) = (*w.names.get(a).ok_or(io::ErrorKind::NotFound)?, *w.names.get(b).ok_or(io::ErrorKind::NotFound)?);
        w.names.insert(a.to_path_buf(), at_b);
        w.names.insert(b.to_path_buf(), at_a);
        Ok(())
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        let w = self.0.lock().unwrap();
        let total = w.capacity.filter(|_| w.tells_space).ok_or(io::ErrorKind::Unsupported)?;
        Ok(Space { total: total as u64, free: total.saturating_sub(w.used()) as u64 })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut w = self.0.lock().unwrap();
        w.step()?;
        w.names.remove(path).map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut w = self.0.lock().unwrap();
        w.step()?;
        let inside = |p: &PathBuf| p.parent() == Some(dir);
        let names: Vec<_> = w.names.iter().filter(|(p, _)| inside(p)).map(|(p, i)| (p.clone(), *i)).collect();
        w.durable_names.retain(|p, _| !inside(p));
        w.durable_names.extend(names);
        Ok(())
    }
}
