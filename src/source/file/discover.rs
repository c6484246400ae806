//! Which file a name means: hints, renames, and files that came and went between two looks.

use super::globs::{bases, is_unreadable};
use super::inflate::Codec;
use super::listing::Found;
use super::not_followed::Reason;
use super::tailer::{Dir, HINT_PAUSE, MOST_PAUSES, SCAN_PAUSE, Tailer, Watched};
use super::tracked::{FileId, Look, Tracked, open_regular};
use super::watch::{Hint, HintKind};
use crate::queue::Head;
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A name that means a file which it did not mean at the last look.
pub(super) struct Fresh {
    pub(super) path: PathBuf,
    pub(super) look: Look,
    /// It was renamed from a generation of this path.
    pub(super) base: Option<PathBuf>,
}

pub(super) fn look_at(path: &Path) -> Option<Look> {
    see(path).ok().flatten()
}

/// The file behind a name, if there is one.
///
/// # Errors
/// Nobody can tell now: a network file system does not answer, or the directory may not be passed.
pub(super) fn see(path: &Path) -> io::Result<Option<Look>> {
    match std::fs::metadata(path) {
        Ok(meta) => Ok(meta.is_file().then(|| Look::of(&meta))),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) if Errno::from_io_error(&e) == Some(Errno::LOOP) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Names that hints speak of, each once.
#[derive(Default)]
struct Touched {
    names: Vec<(Arc<Path>, OsString, PathBuf)>,
    known: HashSet<PathBuf>,
    /// What was renamed, and from a generation of which path.
    moved: HashMap<PathBuf, PathBuf>,
}

impl Touched {
    fn add(&mut self, dir: &Arc<Path>, name: OsString, path: PathBuf) {
        if self.known.insert(path.clone()) {
            self.names.push((dir.clone(), name, path));
        }
    }
}

impl Tailer {
    /// The first source that follows `path`.
    pub(crate) fn source_of(&mut self, path: &Path) -> Option<usize> {
        let mut matching = self.globs.iter().enumerate().filter(|(_, g)| g.matches(path)).map(|(i, _)| i);
        let first = matching.next()?;
        if let Some(second) = matching.next() {
            let (a, b) = (&self.shared.sources[first].options.name, &self.shared.sources[second].options.name);
            let text = format!("{} is matched by the sources {a} and {b}: it is read once, by {a}", path.display());
            self.say_once(text);
        }
        Some(first)
    }

    /// The followed path of which `path` can be a generation, by its name.
    pub(crate) fn base_of(&mut self, path: &Path) -> Option<(usize, PathBuf)> {
        let (dir, name) = (path.parent()?, path.file_name()?);
        bases(name).find_map(|base| {
            let base = dir.join(base);
            self.source_of(&base).map(|source| (source, base.clone())).or_else(|| self.linked(&base))
        })
    }

    /// Whether a name can be that of a followed file, or of a generation of one.
    pub(super) fn may_matter(&mut self, path: &Path) -> bool {
        self.source_of(path).is_some()
            || self.base_of(path).is_some()
            || self.is_compressed_generation(path)
            || self.is_unreadable_generation(path)
            || !self.links_to(path).is_empty()
    }

    /// Takes the kernel's hints and looks at the names that they speak of. Gives how long to gather the next ones.
    pub(crate) fn take_hints(&mut self, now: Instant) -> Duration {
        let mut hints = Vec::new();
        self.watcher.hints_now(|hint| hints.push(hint));
        let (mut touched, mut others, mut grown) = (Touched::default(), hints.len(), 0u32);
        for hint in hints {
            if hint.kind == HintKind::Overflow {
                tracing::debug!("the kernel dropped hints about directories: listing them all, and looking at each file");
                self.full_scan_due = now;
                self.scan_soon(now);
                continue;
            }
            if hint.kind == HintKind::Ended {
                self.watch_ended(hint.watch);
                continue;
            }
            let dirs = match self.watched.get(&hint.watch) {
                Some(Watched::File(id)) => {
                    let id = *id;
                    (others, grown) = (others - 1, grown + u32::from(self.activate(id)));
                    continue;
                }
                Some(Watched::Dir(dirs)) => dirs.clone(),
                None => continue,
            };
            if hint.kind == HintKind::Directories {
                self.scan_soon(now);
                continue;
            }
            let mut only_growth = hint.kind == HintKind::Changed;
            for dir in dirs.iter() {
                match self.take_hint(dir, &hint, &mut touched) {
                    Some(activated) => grown += u32::from(activated),
                    None => only_growth = false,
                }
            }
            if only_growth {
                others -= 1;
            }
            if let HintKind::MovedTo(cookie) = hint.kind {
                self.moves.remove(&cookie);
            }
        }
        let mut found = Found::default();
        for (dir, name, path) in touched.names {
            let look = see(&path);
            let seen = look.as_ref().ok().copied().flatten();
            if self.observe(&dir, &name, &path, look, &mut found.vanished) {
                found.fresh.extend(seen.map(|look| Fresh { base: touched.moved.remove(&path), path, look }));
            }
        }
        if !found.fresh.is_empty() || !found.vanished.is_empty() {
            self.settle(found.fresh, found.vanished, now);
        }
        // A file that is renamed may soon be renamed again.
        if others == 0 { HINT_PAUSE * grown.clamp(1, MOST_PAUSES) } else { HINT_PAUSE }
    }

    /// Takes a hint about a name in `dir`. Where it only says that a followed file has grown: whether that was news.
    fn take_hint(&mut self, dir: &Arc<Path>, hint: &Hint, touched: &mut Touched) -> Option<bool> {
        if hint.kind == HintKind::Changed
            && let Some(id) = self.dirs.get(&**dir).and_then(|d| d.names.get(&hint.name))
        {
            return Some(self.activate(id));
        }
        let path = dir.join(&hint.name);
        match hint.kind {
            HintKind::MovedFrom(cookie) => {
                let known = self.dirs.get(&**dir).and_then(|d| d.names.get(&hint.name)).and_then(|id| self.files.get(&id));
                let known = known.map(|f| f.path.to_path_buf());
                let own = || self.source_of(&path).is_some().then(|| path.clone());
                let base = known.or_else(own).or_else(|| self.base_of(&path).map(|b| b.1));
                if let Some(base) = base {
                    // Most second halves come at once; those of renames to other directories never do.
                    if self.moves.len() > 1000 {
                        self.moves.clear();
                    }
                    self.moves.insert(cookie, base);
                }
            }
            HintKind::MovedTo(cookie) => {
                if let Some(base) = self.moves.get(&cookie) {
                    touched.moved.insert(path.clone(), base.clone());
                }
            }
            _ => {}
        }
        let followed = self.dirs.get(&**dir).is_some_and(|d| d.names.get(&hint.name).is_some());
        if followed || touched.moved.contains_key(&path) || self.may_matter(&path) {
            // What happened to a link's file happened to the link.
            for link in self.links_to(&path) {
                if let (Some(dir), Some(name)) = (link.parent(), link.file_name()) {
                    touched.add(&Arc::from(dir), name.to_owned(), link.clone());
                }
            }
            touched.add(dir, hint.name.clone(), path);
        }
        None
    }

    /// Notes what a name means now. Returns whether it is a file that the name did not mean before, or one that has lost the
    /// name under which it was followed.
    pub(super) fn observe(
        &mut self,
        dir: &Path,
        name: &OsString,
        path: &Path,
        look: io::Result<Option<Look>>,
        vanished: &mut Vec<FileId>,
    ) -> bool {
        // As long as nobody can tell, it means what it meant.
        let Ok(look) = look else { return false };
        let state: &mut Dir = self.dirs.entry(dir.to_owned()).or_default();
        let Some(id) = state.names.get(name) else { return look.is_some() };
        let Some(file) = self.files.get_mut(&id) else {
            state.names.remove(name);
            return look.is_some();
        };
        if let Some(look) = look.filter(|l| l.identity == file.identity) {
            if file.at.is_none() {
                return true;
            }
            if look.size != file.size || look.modified_ns != file.modified_ns {
                self.activate(id);
            }
            return false;
        }
        state.names.remove(name);
        if file.at.as_deref() == Some(path) {
            file.at = None;
            // It may have another name here.
            state.unchanged_since = None;
            vanished.push(id);
        }
        look.is_some()
    }

    /// Decides about the names that mean another file than before, the oldest file first.
    pub(super) fn settle(&mut self, mut fresh: Vec<Fresh>, vanished: Vec<FileId>, now: Instant) {
        // Clocks of file systems are coarse: of two that are as old, the shorter name is the original.
        self.vanishing.clone_from(&vanished);
        fresh.sort_by_key(|f| (f.look.age_key(), f.path.as_os_str().len()));
        let mut nameless = std::mem::take(&mut self.polling.nameless);
        nameless.extend(&vanished);
        for Fresh { path, look, base } in fresh {
            let identity = &look.identity;
            let id = self.by_inode.get(identity);
            let id = id.filter(|id| self.files.get(id).is_some_and(|f| f.identity == *identity));
            match id {
                Some(id) => {
                    if let Some(file) = self.files.get_mut(&id).filter(|f| f.at.is_none()) {
                        let renamed = *path != *file.path;
                        file.at = Some(if renamed { path.as_path().into() } else { file.path.clone() });
                        file.aside.moved = renamed.then_some(now);
                        file.counters.rotations.add(u64::from(renamed));
                        self.horizon.moved(id);
                    }
                    self.name(&path, id);
                    self.activate(id);
                }
                _ if self.adopt_renumbered(&path, &look, &nameless) => {}
                _ => self.begin(path, look, base, now),
            }
        }
        nameless.retain(|id| self.files.get(id).is_some_and(|f| f.at.is_none()));
        self.polling.nameless = nameless;
        for id in vanished {
            if let Some(file) = self.files.get_mut(&id).filter(|f| f.at.is_none()) {
                file.aside.moved = Some(now);
                self.horizon.moved(id);
                self.activate(id);
            }
        }
    }

    /// The followed file that `path` means.
    pub(super) fn names(&self, path: &Path) -> Option<FileId> {
        self.dirs.get(path.parent()?)?.names.get(path.file_name()?)
    }

    /// Notes that `path` means the file `id`.
    pub(crate) fn name(&mut self, path: &Path, id: FileId) {
        if let (Some(dir), Some(name)) = (path.parent(), path.file_name()) {
            self.dirs.entry(dir.to_owned()).or_default().names.insert(name, id);
        }
        if !std::fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink()) {
            return;
        }
        if self.leads_astray(path) {
            // Until that is listed, a rotation there would give no hint.
            self.scan_due = self.scan_due.min(self.last_scan.map_or(self.scan_due, |last| last + SCAN_PAUSE));
        }
        let polled = self.files.get(&id).is_some_and(|f| self.shared.sources[f.source()].options.watch == super::Watch::Poll);
        // The directory of a link's target may not be watched, so its writes would give no hint.
        if !polled && let Ok(watch) = self.watcher.watch_target(path) {
            self.watched.insert(watch, Watched::File(id));
            if let Some(file) = self.files.get_mut(&id) {
                file.aside.link_watch = Some(watch);
            }
        }
    }

    /// A file that is not followed: whether it should be, and from where.
    fn begin(&mut self, path: PathBuf, look: Look, moved_from: Option<PathBuf>, now: Instant) {
        if let Some(codec) = Codec::of(&path) {
            return self.begin_compressed(path, look, codec, now);
        }
        if is_unreadable(&path) {
            return self.pass_over(&path, &look);
        }
        let mut matched = self.source_of(&path);
        let path = match matched {
            None => self.link_of(&path, &look).unwrap_or(path),
            Some(_) => path,
        };
        matched = matched.or_else(|| self.source_of(&path));
        if matched.is_none() && moved_from.is_none() && self.not_followed.get(&look) == Some(Reason::Unrelated) {
            return;
        }
        match self.resume(&path, &look, matched, now) {
            Ok(true) => return,
            Ok(false) => {}
            Err(e) => {
                let text = format!("cannot open {}: {e}; it is not read until it can be, trying again", path.display());
                if let Some(source) = matched {
                    self.shared.sources[source].counters.set_error(&text);
                }
                self.say_once(text);
                return;
            }
        }
        let related = self.base_of(&path);
        if matches!(self.not_followed.get(&look), Some(Reason::Copy { size, .. } | Reason::CopyOfRead { size }) if size == look.size) {
            return;
        }
        if related.is_some() && (look.size == 0 || self.is_copy(&path, &look, now)) {
            // An empty one says nothing yet; it is judged when it grows.
            return;
        }
        let of = related.as_ref().map_or(&path, |(_, base)| base).clone();
        if moved_from.is_none() && self.is_copy_of_read(&path, &of, &look, now) {
            return;
        }
        let moved_from_none = moved_from.is_none();
        let base = match (moved_from, related) {
            (Some(base), _) => self.source_of(&base).map(|source| (source, base)),
            (None, Some((source, base))) => self.is_missed(&path, &base, &look).then_some((source, base)),
            (None, None) => None,
        };
        let (source, first_path) = match (base, matched) {
            (Some(base), _) => base,
            (None, Some(source)) => (source, path.clone()),
            (None, None) => {
                // It may be compressed later: that makes it no part of what is followed either.
                if self.unrelated_heads.len() < 10_000
                    && let Ok(head) = open_regular(&path).and_then(|f| super::resume::first_bytes(&f))
                {
                    self.unrelated_heads.insert(Head::of(&head));
                }
                self.not_followed.insert(&look, Reason::Unrelated);
                return;
            }
        };
        let options = &self.shared.sources[source].options;
        let rotated = first_path != path;
        if let (Some(limit), false) = (options.ignore_older, rotated) {
            let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
            if now_ns.saturating_sub(look.modified_ns.max(0) as u128) > limit.as_nanos() {
                return;
            }
        }
        let mut file = Tracked::new(source, self.shared.sources[source].counters.clone(), &first_path, &path, &look);
        if rotated {
            tracing::info!(
                "{} is a generation of {} that was not seen under that name: reading it from byte 0",
                path.display(),
                file.path.display()
            );
            file.aside.moved = Some(now);
            file.counters.rotations.add(1);
        } else if self.starts_at_end(source)
            && let Err(e) = file.seek_to_end(&self.shared.sources[source].options, &look)
        {
            let text = format!("cannot read {}: {e}; it is not begun until it can be, trying again", path.display());
            self.say_once(text);
            return;
        }
        if file.pos == 0 && moved_from_none {
            match self.kept_of_read(&path, &file.path, &look) {
                Ok((at, tail)) if at > 0 => {
                    tracing::warn!(
                        "{} begins with the first {at} bytes that were read of {} before, which are not sent again: reading it from there",
                        path.display(),
                        file.path.display()
                    );
                    file.counters.kept_bytes.add(at);
                    file.seek(at, tail);
                }
                _ => {}
            }
        }
        let id = self.insert(file);
        self.name(&path, id);
    }
}
