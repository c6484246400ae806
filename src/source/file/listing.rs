//! Listing of directories: the truth behind the hints.

use super::by_path::Names;
use super::discover::{Fresh, see};
use super::filesystem::Hints;
use super::options::Watch;
use super::tailer::{SCAN_PAUSE, Tailer, Watched};
use super::tracked::{FileId, Tracked};
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io::ErrorKind;
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

/// What is in a directory.
pub(super) struct Listing {
    /// Names of files with their inodes (0 where only a look can tell).
    /// `None` where it is as it was.
    pub(super) files: Option<Vec<(OsString, u64)>>,
    /// Directories, and whether a link leads there.
    pub(super) dirs: Vec<(PathBuf, bool)>,
}

/// What a listing found to decide about.
#[derive(Default)]
pub(super) struct Found {
    pub(super) fresh: Vec<Fresh>,
    pub(super) vanished: Vec<FileId>,
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
        self.ask_for_hints();
        let dirs = self.walk(full);
        let unused: Vec<PathBuf> =
            self.dirs.iter().filter(|(path, dir)| !dirs.contains_key(*path) && dir.names.is_empty()).map(|(p, _)| p.clone()).collect();
        for dir in unused {
            if let Some(watch) = self.dirs.remove(&dir).and_then(|d| d.watch) {
                self.unwatch(watch, &dir);
            }
        }
        let gone: Vec<PathBuf> = self.dirs.keys().filter(|d| !dirs.contains_key(*d)).cloned().collect();
        let (mut found, mut unsettled) = (Found::default(), Vec::new());
        for (dir, entries) in dirs.into_iter().chain(gone.into_iter().map(|d| (d, Some(Vec::new())))) {
            let Some(entries) = entries else { continue };
            let before = found.fresh.len();
            self.look_into(&dir, &entries, full, now, &mut found);
            unsettled.extend(found.fresh[before..].iter().map(|f| f.path.clone()));
            if !self.looked_once && !self.links.any() {
                // Nothing is followed that could have been renamed, or linked, from one directory into another.
                self.settle(std::mem::take(&mut found.fresh), std::mem::take(&mut found.vanished), now);
                self.note_open(&mut unsettled);
            }
        }
        self.settle(found.fresh, found.vanished, now);
        self.note_open(&mut unsettled);
        self.tell_of_watching();
        self.looked_once = true;
        self.last_scan = Some(now);
        if full {
            self.full_scan_due = now + FULL_SCAN.max(begun.elapsed() * SELDOM);
        }
    }

    /// Looks at those names of a directory that matter and whose files may have changed.
    pub(super) fn look_into(&mut self, dir: &Path, entries: &[(OsString, u64)], full: bool, now: Instant, found: &mut Found) {
        let device = std::fs::metadata(dir).map_or(0, |m| m.dev());
        let hinted = match self.dirs.get_mut(dir) {
            Some(state) => {
                state.looked = Some(now);
                // What changed before the watch was set was not announced.
                !std::mem::take(&mut state.anew) && state.is_hinted()
            }
            None => false,
        };
        let mut seen = HashSet::new();
        for (name, inode) in entries {
            let known = self.dirs.get(dir).and_then(|d| d.names.get(name)).and_then(|id| self.files.get(&id));
            if known.is_some() {
                seen.insert(Names::key(name));
                let trusted = hinted && !full && *inode != 0;
                let is_it = |f: &Tracked| f.identity.inode == *inode && f.identity.device == device && f.at.is_some();
                if trusted && known.is_some_and(|f| is_it(f)) {
                    // The kernel would have hinted at a change.
                    continue;
                }
            }
            let path = dir.join(name);
            let by_inode = self.by_inode.has(device, *inode) || self.remembered.contains_key(inode);
            if known.is_none() && !by_inode && !self.may_matter(&path) {
                continue;
            }
            self.note(dir, name, path, found);
        }
        let unseen = self.dirs.get(dir).map(|d| d.names.all().filter(|(key, _)| !seen.contains(key)).collect::<Vec<_>>());
        for (key, id) in unseen.unwrap_or_default() {
            match self.name_of(dir, key, id) {
                // Gone, or seen only now: a look tells.
                Some(name) => self.note(dir, &name, dir.join(&name), found),
                // Another name of a file that is elsewhere: if it is there still, the next listing sees it.
                None => {
                    if let Some(state) = self.dirs.get_mut(dir) {
                        state.names.forget(key);
                        state.unchanged_since = None;
                    }
                }
            }
        }
    }

    /// The name with this key under which a file is followed in a directory.
    fn name_of(&self, dir: &Path, key: u64, id: FileId) -> Option<OsString> {
        let at = self.files.get(&id)?.at.as_deref().filter(|at| at.parent() == Some(dir))?;
        at.file_name().filter(|name| Names::key(name) == key).map(ToOwned::to_owned)
    }

    fn note(&mut self, dir: &Path, name: &OsString, path: PathBuf, found: &mut Found) {
        let look = see(&path);
        let seen = look.as_ref().ok().copied().flatten();
        if self.observe(dir, name, &path, look, &mut found.vanished) {
            found.fresh.extend(seen.map(|look| Fresh { path, look, base: None }));
        }
    }

    /// Directories with files that are not followed though they matter are listed each time: they are judged again.
    fn note_open(&mut self, paths: &mut Vec<PathBuf>) {
        for path in paths.drain(..) {
            if let (Some(dir), Some(name)) = (path.parent(), path.file_name())
                && let Some(state) = self.dirs.get_mut(dir)
                && state.names.get(name).is_none()
            {
                state.unchanged_since = None;
            }
        }
    }

    /// All directories that can hold a match, with their files; each is watched before it is listed. `None` stands for the
    /// files of one that is as it was.
    fn walk(&mut self, full: bool) -> HashMap<PathBuf, Option<Vec<(OsString, u64)>>> {
        let mut listed: HashMap<PathBuf, Listing> = HashMap::new();
        let mut polled: HashSet<(usize, PathBuf)> = HashSet::new();
        for source in 0..self.globs.len() {
            for root in 0..self.globs[source].roots.len() {
                let mut todo = vec![(self.globs[source].roots[root].dir.clone(), 0)];
                while let Some((dir, depth)) = todo.pop() {
                    if self.attend(&dir, source, !listed.contains_key(&dir)) {
                        polled.insert((source, dir.clone()));
                    }
                    if !listed.contains_key(&dir) {
                        let Some(found) = self.list(&dir, full) else {
                            polled.remove(&(source, dir));
                            continue;
                        };
                        listed.insert(dir.clone(), found);
                    }
                    let root = &self.globs[source].roots[root];
                    // A link to a directory is followed only where a glob's level names it: below `**` it may lead in circles.
                    let linked = depth < root.levels.len();
                    let subdirs = listed.get(&dir).map(|l| l.dirs.iter()).into_iter().flatten();
                    let enters = subdirs.filter(|(d, link)| (linked || !link) && root.enters(d, depth));
                    todo.extend(enters.map(|(d, _)| (d.clone(), depth + 1)));
                }
            }
        }
        for (dir, source) in self.linked_dirs(&listed) {
            if listed.contains_key(&dir) {
                continue;
            }
            let polls = self.attend(&dir, source, true);
            if let Some(found) = self.list(&dir, full) {
                if polls {
                    polled.insert((source, dir.clone()));
                }
                listed.insert(dir, found);
            }
        }
        for (i, source) in self.shared.sources.iter().enumerate() {
            source.counters.polled_dirs.set(polled.iter().filter(|(s, _)| *s == i).count() as u64);
        }
        listed.into_iter().map(|(dir, listing)| (dir, listing.files)).collect()
    }

    /// The files (with inode) and directories in `dir`, or `None` when there is no such directory.
    pub(super) fn list(&mut self, dir: &Path, full: bool) -> Option<Listing> {
        // Looked at before it is listed: what comes meanwhile changes it.
        let modified = settled_mtime(dir);
        if let Some(state) = self.dirs.get(dir)
            && !full
            && state.is_hinted()
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
                    dirs.push((entry.path(), false));
                } else if kind.is_file() {
                    files.push((entry.file_name(), entry.ino()));
                } else if kind.is_symlink() {
                    links = true;
                    match std::fs::metadata(entry.path()) {
                        Ok(m) if m.is_dir() => dirs.push((entry.path(), true)),
                        Ok(m) if !m.is_file() => {}
                        // Where its file is missing, the next one may have the name in a moment.
                        _ => files.push((entry.file_name(), 0)),
                    }
                }
            }
            Ok(())
        });
        // Where it cannot be listed, what is followed there already is still read.
        let known = self.dirs.get(dir).filter(|_| result.is_err()).into_iter().flat_map(|d| d.names.all());
        let known: Vec<_> = known.filter_map(|(key, id)| Some((self.name_of(dir, key, id)?, 0))).collect();
        let state = self.dirs.entry(dir.to_owned()).or_default();
        state.unchanged_since = None;
        match result {
            Ok(()) => {
                if std::mem::take(&mut state.failed) {
                    tracing::info!("{} can be listed again", dir.display());
                }
                state.unchanged_since = modified.filter(|_| !links);
                dirs.sort_unstable();
                state.subdirs.clone_from(&dirs);
                Some(Listing { files: Some(files), dirs })
            }
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
            Err(e) => {
                if !std::mem::replace(&mut state.failed, true) {
                    let text = format!("cannot list {}: {e}; new files in it are not seen until it can be, trying again", dir.display());
                    tracing::warn!("{text}");
                    for source in &self.shared.sources {
                        source.counters.set_error(&text);
                    }
                }
                Some(Listing { files: Some(known), dirs: Vec::new() })
            }
        }
    }

    /// Sees to it that changes in `dir` are noticed as the source wants, `first` in this round. Whether it is polled.
    fn attend(&mut self, dir: &Path, source: usize, first: bool) -> bool {
        let options = &self.shared.sources[source].options;
        let (watch, every) = (options.watch, options.poll_interval);
        if first {
            self.dirs.entry(dir.to_owned()).or_default().poll = None;
        }
        if watch != Watch::Poll {
            self.watch(dir);
        }
        let Some(state) = self.dirs.get_mut(dir) else { return false };
        if state.watch.is_none() {
            state.fs = self.polling.file_system(dir);
        }
        let remote = watch == Watch::Auto && state.fs.hints == Hints::Own;
        if watch == Watch::Poll || remote || state.watch.is_none() {
            state.poll = Some(state.poll.map_or(every, |p| p.min(every)));
        }
        if remote && !std::mem::replace(&mut state.told, true) {
            let name = state.fs.name;
            self.tell_of_polling(dir, name, every);
        }
        self.dirs.get(dir).is_some_and(|d| d.poll.is_some())
    }

    fn watch(&mut self, dir: &Path) {
        let result = if self.watcher.hints() { self.watcher.watch_dir(dir) } else { Err(ErrorKind::Unsupported.into()) };
        let state = self.dirs.entry(dir.to_owned()).or_default();
        match result {
            Ok(watch) => {
                let before = state.watch.replace(watch);
                if before != Some(watch) {
                    (state.fs, state.anew, state.unchanged_since) = (self.polling.file_system(dir), true, None);
                    if let Some(before) = before {
                        self.unwatch(before, dir);
                    }
                    // Several paths lead to one directory by links and bind mounts.
                    let others = match self.watched.get(&watch) {
                        Some(Watched::Dir(others)) => others.iter().filter(|d| ***d != *dir).cloned().collect(),
                        _ => Vec::new(),
                    };
                    self.watched.insert(watch, Watched::Dir(others.into_iter().chain([Arc::from(dir)]).collect()));
                }
            }
            Err(e) => {
                if let Some(before) = state.watch.take() {
                    self.unwatch(before, dir);
                }
                if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied) {
                    self.polling.refuse(e);
                }
            }
        }
    }

    /// Forgets that `dir` is watched, and the watch where it was the last path there.
    fn unwatch(&mut self, watch: i32, dir: &Path) {
        let Some(Watched::Dir(dirs)) = self.watched.get(&watch) else { return };
        let left: Arc<[Arc<Path>]> = dirs.iter().filter(|d| ***d != *dir).cloned().collect();
        if left.is_empty() {
            self.watched.remove(&watch);
            self.watcher.unwatch(watch);
        } else {
            self.watched.insert(watch, Watched::Dir(left));
        }
    }

    /// The kernel has ended a watch, with its directory or file.
    pub(super) fn watch_ended(&mut self, watch: i32) {
        match self.watched.remove(&watch) {
            Some(Watched::Dir(dirs)) => {
                for dir in dirs.iter() {
                    if let Some(state) = self.dirs.get_mut(&**dir).filter(|d| d.watch == Some(watch)) {
                        state.watch = None;
                    }
                }
            }
            Some(Watched::File(id)) => {
                if let Some(file) = self.files.get_mut(&id).filter(|f| f.aside.link_watch == Some(watch)) {
                    file.aside.link_watch = None;
                }
            }
            None => {}
        }
    }
}
