//! Directories that are looked at regularly, because the kernel does not tell of all changes in them: those of network
//! file systems, and those for which it grants no more watches.

use super::filesystem::{FileSystem, Hints};
use super::listing::Found;
use super::tailer::Tailer;
use super::tracked::FileId;
use crate::admin::human::duration;
use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Directories of which it is said one by one that they are polled.
const TOLD: usize = 20;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Polling {
    /// When a directory is to be looked at next.
    due: Option<Instant>,
    /// Why the kernel refused watches in this round, and how many.
    refused: Option<(io::Error, usize)>,
    /// That it refuses was said.
    told: bool,
    told_dirs: usize,
    /// Writable layers of overlays, as far as they were asked for in this round.
    layers: Option<Vec<PathBuf>>,
    /// As on a file system that makes inode numbers up.
    #[cfg(test)]
    pub(super) made_up: bool,
    /// Files that had lost their name at the last decision.
    pub(super) nameless: Vec<FileId>,
}

impl Polling {
    /// The file system of a directory. What is written through an overlay is not announced in the layer beneath.
    pub(super) fn file_system(&mut self, dir: &Path) -> FileSystem {
        let fs = FileSystem::at(dir);
        if fs.hints != Hints::All {
            return fs;
        }
        let layers = self.layers.get_or_insert_with(|| layers(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()));
        let beneath = |dir: &Path| layers.iter().any(|layer| dir.starts_with(layer));
        let is_layer = !layers.is_empty() && (beneath(dir) || std::fs::canonicalize(dir).is_ok_and(|dir| beneath(&dir)));
        if is_layer { FileSystem { name: "a layer of an overlay", hints: Hints::Own, ..fs } } else { fs }
    }

    /// Whether the file systems of `dir` make inode numbers up.
    pub(super) fn renumbers(&self, fs: &FileSystem) -> bool {
        #[cfg(test)]
        if self.made_up {
            return true;
        }
        fs.renumbers
    }

    /// The kernel refused a watch.
    pub(super) fn refuse(&mut self, error: io::Error) {
        // That there is no instance is the cause, and that no watch can be set its consequence.
        let (_, count) = self.refused.get_or_insert((error, 0));
        *count += 1;
    }

    /// When a directory is to be looked at next, or `otherwise`.
    pub(super) fn next(&self, otherwise: Instant) -> Instant {
        self.due.map_or(otherwise, |due| due.min(otherwise))
    }
}

/// The writable layers of all overlays in `/proc/self/mountinfo`.
fn layers(mounts: &str) -> Vec<PathBuf> {
    let options = |line: &str| Some(line.split_once(" - overlay ")?.1.split(' ').next_back()?.to_owned());
    let upper = |options: String| options.split(',').find_map(|o| Some(PathBuf::from(o.strip_prefix("upperdir=")?.replace("\\040", " "))));
    mounts.lines().filter_map(options).filter_map(upper).filter(|layer| layer.is_absolute()).collect()
}

/// A limit of the kernel as it is now.
fn limit(name: &str) -> String {
    let value = std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}"));
    value.map_or_else(|_| format!("fs.inotify.{name}"), |v| format!("fs.inotify.{name} (now {})", v.trim()))
}

impl Tailer {
    /// Begins a round of watching: asks for hints where the kernel had refused them.
    pub(super) fn ask_for_hints(&mut self) {
        use super::options::Watch;
        (self.polling.refused, self.polling.layers) = (None, None);
        let wanted = self.shared.sources.iter().any(|s| s.options.watch != Watch::Poll);
        if wanted && let Err(e) = self.watcher.open() {
            self.polling.refused = Some((e, 0));
        }
    }

    /// Ends a round of watching: says when it begins and ceases that directories are listed instead, and when to look next.
    pub(super) fn tell_of_watching(&mut self) {
        let every = self.dirs.values().filter_map(|d| d.poll).min();
        self.polling.due = every.map(|every| self.dirs.values().filter_map(|d| d.looked).max().unwrap_or_else(Instant::now) + every);
        let told = self.polling.told;
        match &self.polling.refused {
            Some((e, count)) if *count > 0 => {
                if !told {
                    let (what, raise) = match Errno::from_io_error(e) {
                        Some(Errno::NOSPC) => ("watches", limit("max_user_watches")),
                        Some(Errno::MFILE) => ("instance", format!("{} or the process's limit of open files", limit("max_user_instances"))),
                        _ => ("watches", "what the error names".into()),
                    };
                    let every = every.unwrap_or(Duration::from_secs(1)).as_secs_f64();
                    let text = format!(
                        "the kernel grants no more inotify {what} ({e}): {count} of {} directories are listed every {} instead; nothing is lost, \
                         but it costs more. Raise {raise} with sysctl; watching goes on by itself then",
                        self.dirs.len(),
                        duration(every)
                    );
                    tracing::warn!("{text}");
                    self.shared.sources.iter().for_each(|s| s.counters.set_error(&text));
                }
                self.polling.told = true;
            }
            _ if told => {
                tracing::info!("the kernel grants inotify watches again: all directories are watched");
                self.shared.sources.iter().for_each(|s| s.counters.set_error(""));
                self.polling.told = false;
            }
            _ => {}
        }
    }

    /// Says that a directory is polled for its file system's sake.
    pub(super) fn tell_of_polling(&mut self, dir: &Path, name: &str, every: Duration) {
        self.polling.told_dirs += 1;
        match self.polling.told_dirs {
            ..=TOLD => tracing::info!(
                "{} is on {name}, where the kernel does not tell of all writes: it is looked at every {} besides \
                 (`poll_interval`; `watch: inotify` leaves it at hints and the rescan)",
                dir.display(),
                duration(every.as_secs_f64())
            ),
            n if n == TOLD + 1 => tracing::info!("more directories are polled for the same reason; the status counts them (polled_dirs)"),
            _ => {}
        }
    }

    /// Lists the directories that are polled and due.
    pub(super) fn poll(&mut self, now: Instant) {
        if self.polling.due.is_none_or(|due| now < due) {
            return;
        }
        let is_due = |d: &&super::tailer::Dir| d.poll.is_some_and(|every| d.looked.is_none_or(|at| now >= at + every));
        let dirs: Vec<PathBuf> = self.dirs.iter().filter(|(_, d)| is_due(d)).map(|(path, _)| path.clone()).collect();
        let mut found = Found::default();
        for dir in dirs {
            let before = self.dirs.get_mut(&dir).map(|d| std::mem::take(&mut d.subdirs)).unwrap_or_default();
            let listing = self.list(&dir, true);
            if listing.is_none() || self.dirs.get(&dir).is_some_and(|d| d.subdirs != before) {
                // What came or went below it is for the listing of all.
                self.scan_soon(now);
            }
            self.look_into(&dir, &listing.and_then(|l| l.files).unwrap_or_default(), false, now, &mut found);
        }
        self.settle(found.fresh, found.vanished, now);
        self.polling.due = self.dirs.values().filter_map(|d| Some(d.looked.unwrap_or(now) + d.poll?)).min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writable_layers_are_found_among_mounts() {
        let mounts = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
            65 43 0:39 / /run/a/merged rw,relatime - overlay overlay rw,lowerdir=l/X:l/Y,upperdir=/var/lib/a\\040b/diff,workdir=/w\n\
            66 43 0:40 / /run/b rw,relatime shared:1 - overlay none ro,lowerdir=/l:/m\n";
        assert_eq!(layers(mounts), [PathBuf::from("/var/lib/a b/diff")]);
    }
}
