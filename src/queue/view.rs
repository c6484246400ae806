//! A data directory as somebody sees it who is not the agent: read without the lock and without recovery.
//!
//! Segments are append-only, and every header and payload has its checksum, so that reading beside a running
//! agent is sound: what is half written does not validate yet. What is seen is what is *written*; the last
//! milliseconds of it may not be durable, and a power cut could still take them (their source has them then).

use super::books::Known;
use super::clock::now_ms;
use super::disk::{Disk, ReadOnlyDisk, StdDisk};
use super::embedded::DEAD_LETTER_TOPIC;
use super::format::{SEGMENT_HEADER, VERSION};
use super::group_state::{GroupState, Key, replay};
use super::groups::Groups;
use super::index::{Index, Sealed};
use super::manage::Managed;
use super::meta::{Lock, LockError, Meta};
use super::partition::Partition;
use super::reader::{Reader, Start};
use super::segment::{self, Found, Segment};
use super::snapshot::{Snapshot, Snapshots};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a data directory cannot be looked at. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoppedError {
    /// There is no queue.
    #[error(
        "there is no queue in {}: name the data_dir of the agent with --data-dir, or its pipeline with --config",
        dir.display()
    )]
    Nothing {
        /// The directory.
        dir: PathBuf,
    },
    /// Another process works on it.
    #[error("data_dir {} is in use{}", dir.display(), pid.map(|p| format!(" by process {p}")).unwrap_or_default())]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The process.
        pid: Option<u32>,
    },
    /// Written by a newer version of the program.
    #[error("data_dir {} has format {format}, which is newer than this program understands", dir.display())]
    Newer {
        /// The directory.
        dir: PathBuf,
        /// Its format.
        format: u32,
    },
    /// The disk failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

pub(crate) fn at(path: &Path) -> impl Fn(io::Error) -> StoppedError + '_ {
    move |source| StoppedError::Io { path: path.to_path_buf(), source }
}

/// Who has a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nobody.
    Free,
    /// A process: its ID, where it could be read.
    By(Option<u32>),
}

/// A data directory, read once.
#[derive(Debug)]
pub struct View {
    pub(crate) dir: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) queue: u128,
    pub(crate) partitions: Vec<Arc<Partition>>,
    pub(crate) states: HashMap<Key, GroupState>,
    pub(crate) snapshot: Option<Snapshot>,
}

impl View {
    /// Whether somebody works on `dir`.
    ///
    /// # Errors
    /// [`StoppedError::Nothing`] where there is no queue, [`StoppedError::Io`] where the lock cannot be looked at.
    pub fn held(dir: &Path) -> Result<Held, StoppedError> {
        match Lock::holder(dir) {
            Ok(None) => Ok(Held::Free),
            Ok(Some(pid)) => Ok(Held::By(pid)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(StoppedError::Nothing { dir: dir.to_path_buf() }),
            Err(source) => Err(StoppedError::Io { path: dir.join("LOCK"), source }),
        }
    }

    /// Reads what is in `dir`; nothing is changed.
    ///
    /// # Errors
    /// [`StoppedError`].
    pub fn open(dir: &Path) -> Result<View, StoppedError> {
        let disk: Arc<dyn Disk> = Arc::new(ReadOnlyDisk);
        Self::open_on(disk, dir)
    }

    pub(crate) fn open_on(disk: Arc<dyn Disk>, dir: &Path) -> Result<View, StoppedError> {
        let meta = Meta::read(&*disk, dir).map_err(at(&Meta::path(dir)))?;
        if let Some(meta) = &meta
            && meta.format > VERSION
        {
            return Err(StoppedError::Newer { dir: dir.to_path_buf(), format: meta.format });
        }
        let topics_dir = dir.join("topics");
        let topics = match disk.list(&topics_dir) {
            Ok(topics) => topics,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(StoppedError::Nothing { dir: dir.to_path_buf() }),
            Err(e) => return Err(at(&topics_dir)(e)),
        };
        let (_, snapshot, _) = Snapshots::open(&*disk, dir).map_err(at(dir))?;
        let journal = dir.join("groups").join("journal");
        let states = match disk.read(&journal) {
            Ok(bytes) => replay(&bytes).states,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Default::default(),
            Err(e) => return Err(at(&journal)(e)),
        };
        let mut view = View {
            dir: dir.to_path_buf(),
            queue: meta.as_ref().and_then(|m| u128::from_str_radix(&m.queue, 16).ok()).unwrap_or(0),
            disk,
            partitions: Vec::new(),
            states,
            snapshot,
        };
        for topic in topics {
            for number in numbers(&*view.disk, &topics_dir.join(&topic)).map_err(at(&topics_dir))? {
                let partition_dir = topics_dir.join(&topic).join(number.to_string());
                view.partitions.push(Arc::new(view.partition(&partition_dir, &topic, number).map_err(at(&partition_dir))?));
            }
        }
        Ok(view)
    }

    fn partition(&self, dir: &Path, topic: &str, number: u32) -> io::Result<Partition> {
        let mut segments = Vec::new();
        for (id, base, path) in segment_files(&*self.disk, dir)? {
            match extent(&*self.disk, id, base, &path) {
                Ok(segment) => segments.push(segment),
                // Retention of a running agent was faster.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        // A later segment takes over at its base, wherever an earlier one ends.
        let mut bound = u64::MAX;
        for s in segments.iter().rev() {
            s.set_end(s.end().min(bound).max(s.base));
            bound = bound.min(s.base);
        }
        let marked = self.snapshot.iter().flat_map(|s| &s.marks).find(|m| m.topic == topic && m.partition == number);
        let end = segments.iter().map(Segment::end).max().unwrap_or(0).max(marked.map_or(0, |m| m.next_offset));
        Ok(Partition::new(topic.into(), number, dir.to_path_buf(), segments.into_iter().map(Arc::new).collect(), end))
    }

    /// Readers of the topic's partitions, by number; of all of them, or of one.
    ///
    /// # Errors
    /// The disk's.
    pub fn readers(&self, topic: &str, number: Option<u32>, start: Start) -> Result<Vec<Reader>, StoppedError> {
        let listed = self.partitions.iter().filter(|p| *p.topic == *topic && number.is_none_or(|n| n == p.number));
        let reader = |p: &Arc<Partition>| -> Result<Reader, StoppedError> {
            let mut reader = Reader::open(self.disk.clone(), p, start).map_err(at(&p.dir))?;
            self.snapshot.iter().flat_map(|s| &s.streams).for_each(|s| reader.know(s.clone()));
            Ok(reader)
        };
        listed.map(reader).collect()
    }

    /// Names of all topics, the dead letters last.
    pub fn topics(&self) -> Vec<String> {
        let names: BTreeSet<&str> = self.partitions.iter().map(|p| &*p.topic).collect();
        let (letters, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|n| *n == DEAD_LETTER_TOPIC);
        others.into_iter().chain(letters).map(str::to_string).collect()
    }

    /// As those see it who list it.
    pub fn manage(&self) -> Managed<'_> {
        Managed {
            disk: self.disk.clone(),
            queue: self.queue,
            partitions: self.partitions.clone(),
            states: self.states.clone(),
            joined: HashSet::new(),
            now_ms: now_ms(),
            groups: None,
            notifier: None,
            known: Known::Files(self.snapshot.as_ref(), &self.dir),
        }
    }
}

/// A data directory under the lock, so that its groups can be moved while no agent runs.
#[derive(Debug)]
pub struct Stopped {
    view: View,
    groups: Groups,
    pub(crate) _lock: Lock,
}

impl Stopped {
    /// Takes the lock and reads what is there. Nothing is recovered; the groups' journal is written anew, as at each start.
    ///
    /// # Errors
    /// [`StoppedError`].
    pub fn open(dir: &Path) -> Result<Stopped, StoppedError> {
        View::held(dir)?;
        let lock = take_lock(dir)?;
        let view = View::open(dir)?;
        let path = dir.join("groups");
        let (groups, _) = Groups::open(Arc::new(StdDisk), &path).map_err(at(&path))?;
        Ok(Stopped { view, groups, _lock: lock })
    }

    /// As those see it who list it and move its groups.
    pub fn manage(&self) -> Managed<'_> {
        let (states, joined) = self.groups.all();
        Managed { states, joined, groups: Some(&self.groups), ..self.view.manage() }
    }
}

pub(crate) fn take_lock(dir: &Path) -> Result<Lock, StoppedError> {
    Lock::take(dir).map_err(|e| match e {
        LockError::Held(pid) => StoppedError::InUse { dir: dir.to_path_buf(), pid },
        LockError::Io(source) => StoppedError::Io { path: dir.join("LOCK"), source },
    })
}

/// Numbers of the partitions in a topic's folder, ascending.
pub(crate) fn numbers(disk: &dyn Disk, topic_dir: &Path) -> io::Result<Vec<u32>> {
    let mut numbers: Vec<u32> = disk.list(topic_dir)?.iter().filter_map(|n| n.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// ID, base offset and path of the segments in a partition's folder, in the order in which they were created.
pub(crate) fn segment_files(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<(u64, u64, PathBuf)>> {
    let mut files: Vec<(u64, u64, PathBuf)> =
        disk.list(dir)?.iter().filter_map(|name| segment::parse_name(name).map(|(base, id)| (id, base, dir.join(name)))).collect();
    files.sort();
    Ok(files)
}

/// How far a segment reaches: from its index file, or else from its batch headers.
fn extent(disk: &dyn Disk, id: u64, base: u64, path: &Path) -> io::Result<Segment> {
    let sealed = disk.read(&path.with_extension("idx")).ok().and_then(|b| Sealed::decode(&b));
    if let Some(s) = sealed.filter(|s| s.segment_id == id && s.base == base) {
        return Ok(Segment::new(id, base, path.to_path_buf(), s.end, s.size, s.newest_ms, s.index));
    }
    let file = disk.open(path)?;
    let (mut index, mut end, mut newest_ms, mut pos) = (Index::default(), base, 0, SEGMENT_HEADER as u64);
    loop {
        let batch = match segment::locate(&*file, id, pos)? {
            Found::Batch(batch) => batch,
            Found::End | Found::Damage => match segment::search(&*file, id, pos + 8, end)? {
                Some(batch) => batch,
                None => break,
            },
        };
        pos = batch.next_pos();
        // A write that a crash cut short: the next start drops it, and its offsets are given out again.
        if segment::payload(&*file, &batch)?.is_none() {
            continue;
        }
        (end, newest_ms) = (batch.end_offset(), batch.header.append_ms.max(newest_ms));
        if segment::is_data(&batch) {
            index.add(batch.header.base_offset, batch.pos, batch.header.append_ms);
        }
    }
    Ok(Segment::new(id, base, path.to_path_buf(), end, pos, newest_ms, index))
}
