//! Listing of directories: the truth behind the hints.

use super::discover::{Fresh, look_at};
use super::tailer::{SCAN_PAUSE, Tailer, Watched};
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How often every file is looked at even where the kernel hints at changes (writes through `mmap` give no hint).
const FULL_SCAN: Duration = Duration::from_secs(60);
/// But that takes at most this part of the time.
const SELDOM: u32 = 500;
/// A directory that was changed so shortly ago may change again without another time: clocks of file systems are coarse.
const COARSE: Duration = Duration::from_secs(2);

/// When a directory was changed last, where that is a while ago.
fn settled_mtime(dir: &Path) -> Option<SystemTime> {
    let modified = std::fs::metadata(dir).and_then(|m| m.modified()).ok()?;
    SystemTime::now().duration_since(modified).is_ok_and(|age| age > COARSE).then_some(modified)
}

/// Whether all writes to the file system of `dir` pass this kernel, so that it hints at them.
fn is_local(dir: &Path) -> bool {
    // ext, xfs, btrfs, tmpfs, overlayfs, zfs, f2fs.
    const LOCAL: [u32; 7] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1, 0xf2f5_2010];
    rustix::fs::statfs(dir).is_ok_and(|s| LOCAL.contains(&(s.f_type as u32)))
}

/// What is in a directory.
struct Listing {
    /// Names of files with their inodes (0 where only a look can tell).
    /// `None` where it is as it was.
    files: Option<Vec<(OsString, u64)>>,
    dirs: Vec<PathBuf>,
}

impl Tailer {
    /// Asks for a listing, at once unless the last one was just now: a directory that is busy must not cost one each time.
    pub(super) fn scan_soon(&mut self, now: Instant) {
        let earliest = self.last_scan.map_or(now, |last| now.max(last + SCAN_PAUSE));
        self.scan_due = self.scan_due.min(earliest);
    }

    /// Lists every directory that can hold a followed file, and looks at each name that matters.
    pub(crate) fn scan(&mut self, now: Instant) {
        self.undecided = false;
        let full = now >= self.full_scan_due;
        let begun = Instant::now();
        let dirs = self.walk(full);
        self.dirs.retain(|path, dir| {
            let keep = dirs.contains_key(path) || !dir.names.is_empty();
            if let (false, Some(watch)) = (keep, dir.watch) {
                self.watched.remove(&watch);
                self.watcher.unwatch(watch);
            }
            keep
        });
        let gone: Vec<PathBuf> = self.dirs.keys().filter(|d| !dirs.contains_key(*d)).cloned().collect();
        let (mut fresh, mut vanished) = (Vec::new(), Vec::new());
        let mut unsettled = Vec::new();
        for (dir, entries) in dirs.into_iter().chain(gone.into_iter().map(|d| (d, Some(Vec::new())))) {
            let Some(entries) = entries else { continue };
            let device = std::fs::metadata(&dir).map_or(0, |m| m.dev());
            let (mut seen, before) = (HashSet::new(), fresh.len());
            for (name, inode) in &entries {
                let state = self.dirs.get(&dir);
                let known = state.and_then(|d| d.names.get(name)).and_then(|id| self.files.get(id));
                if known.is_some() {
                    seen.insert(name);
                    let trusted = !full && *inode != 0 && state.is_some_and(|d| d.local && d.watch.is_some());
                    if trusted && known.is_some_and(|f| f.identity.inode == *inode && f.identity.device == device) {
                        // The kernel would have hinted at a change.
                        continue;
                    }
                }
                let path = dir.join(name);
                let by_inode = self.by_inode.contains_key(&(device, *inode)) || self.remembered.contains_key(inode);
                let matters =
                    |t: &mut Tailer| t.source_of(&path).is_some() || t.base_of(&path).is_some() || t.is_compressed_generation(&path);
                if known.is_none() && !by_inode && !matters(self) {
                    continue;
                }
                let look = look_at(&path);
                if self.observe(&dir, name, &path, look, &mut vanished) {
                    fresh.extend(look.map(|look| Fresh { path, look, base: None }));
                }
            }
            let names = self.dirs.get(&dir).map(|d| d.names.keys().filter(|n| !seen.contains(n)).cloned().collect::<Vec<_>>());
            for name in names.unwrap_or_default() {
                // Gone, or seen only now: a look tells.
                let path = dir.join(&name);
                let look = look_at(&path);
                if self.observe(&dir, &name, &path, look, &mut vanished) {
                    fresh.extend(look.map(|look| Fresh { path, look, base: None }));
                }
            }
            unsettled.extend(fresh[before..].iter().map(|f| f.path.clone()));
            if !self.looked_once {
                // Nothing is followed that could have been renamed from one directory into another.
                self.settle(std::mem::take(&mut fresh), std::mem::take(&mut vanished), now);
                self.note_open(&mut unsettled);
            }
        }
        self.settle(fresh, vanished, now);
        self.note_open(&mut unsettled);
        self.looked_once = true;
        self.last_scan = Some(now);
        if full {
            self.full_scan_due = now + FULL_SCAN.max(begun.elapsed() * SELDOM);
        }
    }

    /// Directories with files that are not followed though they matter are listed each time: they are judged again.
    fn note_open(&mut self, paths: &mut Vec<PathBuf>) {
        for path in paths.drain(..) {
            if let (Some(dir), Some(name)) = (path.parent(), path.file_name())
                && let Some(state) = self.dirs.get_mut(dir)
                && !state.names.contains_key(name)
            {
                state.unchanged_since = None;
            }
        }
    }

    /// All directories that can hold a match, with their files; each is watched before it is listed. `None` stands for the
    /// files of one that is as it was.
    fn walk(&mut self, full: bool) -> HashMap<PathBuf, Option<Vec<(OsString, u64)>>> {
        let mut listed: HashMap<PathBuf, Listing> = HashMap::new();
        for source in 0..self.globs.len() {
            for root in 0..self.globs[source].roots.len() {
                let mut todo = vec![(self.globs[source].roots[root].dir.clone(), 0)];
                while let Some((dir, depth)) = todo.pop() {
                    if !listed.contains_key(&dir) {
                        let Some(found) = self.list(&dir, full) else { continue };
                        listed.insert(dir.clone(), found);
                    }
                    let root = &self.globs[source].roots[root];
                    let subdirs = listed.get(&dir).map(|l| l.dirs.iter()).into_iter().flatten();
                    todo.extend(subdirs.filter(|d| root.enters(d, depth)).map(|d| (d.clone(), depth + 1)));
                }
            }
        }
        listed.into_iter().map(|(dir, listing)| (dir, listing.files)).collect()
    }

    /// The files (with inode) and directories in `dir`, or `None` when there is no such directory.
    fn list(&mut self, dir: &Path, full: bool) -> Option<Listing> {
        self.watch(dir);
        // Looked at before it is listed: what comes meanwhile changes it.
        let modified = settled_mtime(dir);
        if let Some(state) = self.dirs.get(dir)
            && !full
            && state.local
            && state.watch.is_some()
            && state.unchanged_since.is_some()
            && state.unchanged_since == modified
        {
            return Some(Listing { files: None, dirs: state.subdirs.clone() });
        }
        let (mut files, mut dirs, mut links) = (Vec::new(), Vec::new(), false);
        let result = std::fs::read_dir(dir).and_then(|entries| {
            for entry in entries {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    dirs.push(entry.path());
                } else if kind.is_file() {
                    files.push((entry.file_name(), entry.ino()));
                } else if kind.is_symlink() {
                    links = true;
                    // A link to a directory is followed only where a glob's level names it, not below `**`.
                    match std::fs::metadata(entry.path()) {
                        Ok(m) if m.is_dir() && self.globs.iter().any(|g| g.roots.iter().any(|r| !r.deep)) => dirs.push(entry.path()),
                        Ok(m) if m.is_file() => files.push((entry.file_name(), 0)),
                        _ => {}
                    }
                }
            }
            Ok(())
        });
        let state = self.dirs.entry(dir.to_owned()).or_default();
        state.unchanged_since = None;
        match result {
            Ok(()) => {
                if std::mem::take(&mut state.failed) {
                    tracing::info!("{} can be listed again", dir.display());
                }
                state.unchanged_since = modified.filter(|_| !links);
                state.subdirs.clone_from(&dirs);
                Some(Listing { files: Some(files), dirs })
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => None,
            Err(e) => {
                if !std::mem::replace(&mut state.failed, true) {
                    let text = format!("cannot list {}: {e}; new files in it are not seen until it can be, trying again", dir.display());
                    tracing::warn!("{text}");
                    for source in &self.shared.sources {
                        source.counters.set_error(&text);
                    }
                }
                // What is followed there already is still read.
                let known = state.names.keys().map(|n| (n.clone(), 0)).collect();
                Some(Listing { files: Some(known), dirs: Vec::new() })
            }
        }
    }

    fn watch(&mut self, dir: &Path) {
        if !self.watcher.hints() {
            return;
        }
        match self.watcher.watch_dir(dir) {
            Ok(watch) => {
                let state = self.dirs.entry(dir.to_owned()).or_default();
                if state.watch.replace(watch) != Some(watch) {
                    (state.local, state.unchanged_since) = (is_local(dir), None);
                    self.watched.insert(watch, Watched::Dir(Arc::from(dir)));
                }
            }
            Err(e) => {
                self.dirs.entry(dir.to_owned()).or_default().watch = None;
                if !matches!(
                    e.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory | std::io::ErrorKind::PermissionDenied
                ) {
                    self.say_once(format!(
                        "cannot watch a directory ({e}; see fs.inotify.max_user_watches): directories are listed every second instead, nothing is lost"
                    ));
                }
            }
        }
    }
}
