//! Time to loss: whether a generation will be deleted by rotation before it is read.
//!
//! Looked at after listings, at most once a second. What is known of a path: how long its generations last after they
//! lost the name (seen at those that vanished), and how often it is rotated. What is known of a file: how fast it is
//! written and read; of most files nothing is, since only those are watched that were rotated, or whose path has lost a
//! generation already. A forecast is a guess from what was seen; it changes nothing but the log, status and metrics.

use super::tailer::Tailer;
use super::tracked::{FileId, Tracked};
use crate::admin::human::{bytes, duration};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Rates are those of about this time.
const WINDOW: f64 = 20.0;
/// A file is judged once it was watched for so long.
const JUDGED_AFTER: Duration = Duration::from_secs(5);
/// Looks in a row at which a danger must show, and then be over, to be told.
const CONFIRMED: u32 = 2;
/// Paths of which rotations are remembered.
const MOST_PATHS: usize = 10_000;

/// How a file is written and read.
#[derive(Clone, Copy, Debug)]
struct Pace {
    at: Instant,
    since: Instant,
    size: u64,
    pos: u64,
    generation: u32,
    /// Bytes a second.
    written: f64,
    read: f64,
    /// When it lost its name.
    rotated: Option<Instant>,
    /// Looks in a row that saw it in danger (or, when it was told, out of it).
    looks: u32,
    told: bool,
}

/// What was seen of the rotation of a path.
#[derive(Clone, Copy, Debug, Default)]
struct Rotation {
    current: Option<FileId>,
    last: Option<Instant>,
    /// Seconds between the last two rotations.
    every: Option<f64>,
    /// Seconds for which the last generation that vanished was there after it lost the name.
    lasts: Option<f64>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Horizon {
    looked: Option<Instant>,
    /// Files that were rotated, or can be: have something unread, and their path has lost a generation.
    paces: HashMap<FileId, (PathBuf, Pace)>,
    /// Files that got another name, or came to a path that is rotated, since the last look.
    moved: HashSet<FileId>,
    /// Of paths that were rotated.
    rotations: HashMap<PathBuf, Rotation>,
}

/// The question whether a file is read in time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Outlook {
    unread: u64,
    /// Bytes a second.
    written: f64,
    read: f64,
    /// Seconds until it is rotated; 0 where it was.
    to_rotation: f64,
    /// Seconds until it vanishes.
    to_end: f64,
}

impl Outlook {
    /// Bytes that will not be read in time.
    fn lost(&self) -> u64 {
        (self.unread as f64 + self.written * self.to_rotation - self.read * self.to_end).max(0.0) as u64
    }
}

impl Rotation {
    /// In how many seconds a file is rotated, and gone.
    fn ends(&self, rotated: Option<Instant>, now: Instant) -> Option<(f64, f64)> {
        let lasts = self.lasts?;
        let since = |then: Instant| now.saturating_duration_since(then).as_secs_f64();
        match rotated {
            Some(then) => Some((0.0, (lasts - since(then)).max(0.0))),
            None => {
                let left = (self.every? - since(self.last?)).max(0.0);
                Some((left, left + lasts))
            }
        }
    }
}

impl Pace {
    fn new(file: &Tracked, size: u64, now: Instant) -> Pace {
        let (pos, generation) = (file.pos, file.generation);
        Pace { at: now, since: now, size, pos, generation, written: 0.0, read: 0.0, rotated: None, looks: 0, told: false }
    }

    fn look(&mut self, file: &Tracked, size: u64, now: Instant) {
        if file.generation != self.generation {
            *self = Pace { rotated: self.rotated, ..Pace::new(file, size, now) };
            return;
        }
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        if seconds > 0.0 {
            // Young files have their mean, older ones that of the window.
            let age = now.saturating_duration_since(self.since).as_secs_f64();
            let weight = (seconds / age.min(WINDOW)).clamp(0.0, 1.0);
            let rate = |old: f64, from: u64, to: u64| old + weight * (to.saturating_sub(from) as f64 / seconds - old);
            (self.written, self.read) = (rate(self.written, self.size, size), rate(self.read, self.pos, file.pos));
        }
        (self.at, self.size, self.pos) = (now, size, file.pos);
    }
}

fn is_rotated(file: &Tracked) -> bool {
    file.at.as_deref() != Some(&*file.path)
}

/// Its size now, where something of it is unread: while the queue is full nobody else looks.
fn size(file: &Tracked) -> u64 {
    let meta = match (&file.file, &file.at) {
        (Some(open), _) => open.metadata().ok(),
        (None, Some(at)) => std::fs::metadata(at).ok(),
        (None, None) => None,
    };
    meta.map_or(file.size, |m| m.len()).max(file.pos)
}

fn what(name: &Path, open: bool, outlook: &Outlook) -> String {
    let ending =
        if open { "It is held open until it is read, so do not restart the agent before; " } else { "What is unread then is lost; " };
    format!(
        "{} will be deleted by rotation in about {}, and {} of it are unread: reading at {}/s, written at {}/s, so about {} will not be read by \
         then. {ending}keep more or larger generations, or mend what holds up reading (`forebay status` tells)",
        name.display(),
        duration(outlook.to_end),
        bytes(outlook.unread),
        bytes(outlook.read as u64),
        bytes(outlook.written as u64),
        bytes(outlook.lost())
    )
}

impl Horizon {
    /// A file came. Of a path that was never rotated nothing can be foreseen.
    pub(super) fn came(&mut self, id: FileId, path: &Path) {
        if self.rotations.contains_key(path) {
            self.moved.insert(id);
        }
    }

    /// A file got another name, or lost its own.
    pub(super) fn moved(&mut self, id: FileId) {
        self.moved.insert(id);
    }
}

impl Tailer {
    /// Looks whether files are about to be deleted unread, and tells.
    pub(super) fn look_ahead(&mut self, now: Instant) {
        if self.horizon.looked.is_some_and(|looked| now.saturating_duration_since(looked) < EVERY) {
            return;
        }
        self.horizon.looked = Some(now);
        let mut moved = std::mem::take(&mut self.horizon.moved);
        self.see_rotations(&moved, now);
        // Of a path whose generations were never seen to vanish nothing can be foreseen.
        moved.extend(self.horizon.rotations.values().filter(|r| r.lasts.is_some()).filter_map(|r| r.current));
        moved.extend(self.horizon.paces.keys());
        let mut least: Vec<Option<f64>> = vec![None; self.shared.sources.len()];
        let mut said = Vec::new();
        for (id, file) in moved.iter().filter_map(|id| Some((id, self.files.get(id)?))) {
            let rotated = is_rotated(file);
            let foreseen = || self.horizon.rotations.get(&*file.path).is_some_and(|r| r.lasts.is_some());
            let wanted = rotated || self.horizon.paces.contains_key(id) || (file.size > file.pos && foreseen());
            if file.packed.is_some() || !wanted {
                continue;
            }
            let unread_before = file.size > file.pos;
            let size = if unread_before { size(file) } else { file.size };
            let (_, pace) = self.horizon.paces.entry(*id).or_insert_with(|| (file.path.to_path_buf(), Pace::new(file, size, now)));
            pace.look(file, size, now);
            if rotated && pace.rotated.is_none() {
                pace.rotated = Some(file.aside.moved.unwrap_or(now));
            }
            let ends = self.horizon.rotations.get(&*file.path).and_then(|r| r.ends(pace.rotated, now));
            let outlook = ends.map(|(to_rotation, to_end)| Outlook {
                unread: size.saturating_sub(file.pos),
                written: if rotated { 0.0 } else { pace.written },
                read: pace.read,
                to_rotation,
                to_end,
            });
            let danger = outlook.filter(|o| o.unread > 0 && o.lost() > 0 && now.saturating_duration_since(pace.since) >= JUDGED_AFTER);
            pace.looks = if danger.is_some() == pace.told { 0 } else { pace.looks + 1 };
            if let Some(outlook) = danger {
                let least = &mut least[file.source()];
                *least = Some(least.map_or(outlook.to_end, |l| l.min(outlook.to_end)));
            }
            if pace.looks >= CONFIRMED {
                (pace.looks, pace.told) = (0, !pace.told);
                said.push(match danger {
                    Some(outlook) => (true, what(file.place(), file.file.is_some(), &outlook)),
                    None => (false, format!("{} will be read before it is deleted", file.place().display())),
                });
            }
        }
        for (source, least) in self.shared.sources.iter().zip(least) {
            source.counters.set_seconds_to_loss(least);
        }
        for (warn, text) in said {
            if warn { tracing::warn!("{text}") } else { tracing::info!("{text}") }
        }
    }

    /// Learns how often paths are rotated, and how long generations last.
    fn see_rotations(&mut self, moved: &HashSet<FileId>, now: Instant) {
        let (files, rotations) = (&self.files, &mut self.horizon.rotations);
        for (path, pace) in
            self.horizon.paces.extract_if(|id, _| files.get(id).is_none_or(|f| f.at.is_none() && f.size <= f.pos)).map(|p| p.1)
        {
            let lost_name = pace.rotated.unwrap_or(now);
            if let Some(rotation) = rotations.get_mut(&path) {
                rotation.lasts = Some(now.saturating_duration_since(lost_name).as_secs_f64());
            }
            if pace.told {
                tracing::info!("a generation of {} that was about to be deleted is gone now", path.display());
            }
        }
        for (id, file) in moved.iter().filter_map(|id| Some((id, files.get(id)?))) {
            let room = rotations.len() < MOST_PATHS;
            match rotations.get_mut(&*file.path) {
                Some(rotation) if is_rotated(file) || rotation.current == Some(*id) => {}
                Some(rotation) => {
                    let since = |then: Instant| now.saturating_duration_since(then).as_secs_f64();
                    rotation.every = rotation.last.map(since).or(rotation.every);
                    (rotation.current, rotation.last) = (Some(*id), Some(now));
                }
                // Its first file: when that came, nobody saw. The one that has the name by now came since.
                None if room && is_rotated(file) => {
                    let next = self.dirs.get(file.path.parent().unwrap_or(&file.path)).and_then(|d| d.names.get(file.path.file_name()?));
                    let last = next.map(|_| now);
                    rotations.insert(file.path.to_path_buf(), Rotation { current: next.or(Some(*id)), last, ..Rotation::default() });
                }
                None => {}
            }
        }
        // One that is held open without a name has ended, too, as far as its directory tells.
        for (id, (path, pace)) in &mut self.horizon.paces {
            let nameless = files.get(id).is_some_and(|f| f.at.is_none());
            if let (true, Some(lost_name), Some(rotation)) = (nameless, pace.rotated, rotations.get_mut(path)) {
                rotation.lasts = rotation.lasts.or(Some(now.saturating_duration_since(lost_name).as_secs_f64()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_in_time_is_no_danger() {
        let outlook = Outlook { unread: 1_000, written: 50.0, read: 100.0, to_rotation: 10.0, to_end: 40.0 };
        assert_eq!(outlook.lost(), 0);
        assert_eq!(Outlook { read: 20.0, ..outlook }.lost(), 700);
        assert_eq!(Outlook { read: 0.0, to_rotation: 0.0, ..outlook }.lost(), 1_000);
    }

    #[test]
    fn the_end_is_known_once_a_generation_was_seen_to_vanish() {
        let start = Instant::now();
        let now = start + Duration::from_secs(10);
        let rotation = Rotation { last: Some(start), every: Some(60.0), ..Rotation::default() };
        assert_eq!(rotation.ends(Some(start), now), None);
        let rotation = Rotation { lasts: Some(30.0), ..rotation };
        assert_eq!(rotation.ends(Some(start), now), Some((0.0, 20.0)));
        assert_eq!(rotation.ends(None, now), Some((50.0, 80.0)));
        assert_eq!(Rotation { every: None, ..rotation }.ends(None, now), None);
    }

    #[test]
    fn the_warning_says_what_to_do() {
        let outlook = Outlook { unread: 1_200 << 20, written: 0.0, read: (12 << 20) as f64, to_rotation: 0.0, to_end: 40.0 };
        insta::assert_snapshot!(what(Path::new("/var/log/app.log.3"), false, &outlook), @"/var/log/app.log.3 will be deleted by rotation in about 40 s, and 1.2 GiB of it are unread: reading at 12.0 MiB/s, written at 0 B/s, so about 720.0 MiB will not be read by then. What is unread then is lost; keep more or larger generations, or mend what holds up reading (`forebay status` tells)");
    }
}
