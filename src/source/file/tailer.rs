//! The tailer: all files of all sources, driven step by step by the reader thread (and by tests).

use super::again::Again;
use super::by_path::{ByInode, ByPath, Few, Names};
use super::catch_up::CatchUp;
use super::counters::Counters;
use super::expire::Expiry;
use super::filesystem::{FileSystem, Hints};
use super::globs::{Globs, name_shape};
use super::horizon::Horizon;
use super::links::Links;
use super::missed::seen_ns;
use super::multiline::Multi;
use super::not_followed::NotFollowed;
use super::open_files::max_open;
use super::polling::Polling;
use super::read::Turn;
use super::shared::{Shared, Source};
use super::tracked::{FileId, Tracked};
use super::watch::Watcher;
use super::{FileOptions, SourceError};
use crate::queue::{FileIdentity, Head, LostUnread, Position, Producer, Stream, StreamSpec, now_ms};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Hints are taken at most this often: the kernel merges equal ones, so a hot writer costs little.
pub(crate) const HINT_PAUSE: Duration = Duration::from_millis(5);
/// Where many files grow, and nothing else happens, so many times more seldom: then each look finds more of them.
pub(crate) const MOST_PAUSES: u32 = 4;
/// A renamed or deleted file that was quiet for so long is closed.
pub(crate) const MOVED_QUIET: Duration = Duration::from_secs(5);
/// A file that could not be read is tried again after this.
pub(crate) const RETRY: Duration = Duration::from_secs(1);
/// Between two listings of all directories because of hints.
pub(crate) const SCAN_PAUSE: Duration = Duration::from_millis(100);
/// A round of turns ends after this, so that renames and a stop are seen however many files are hot.
pub(crate) const ROUND: Duration = Duration::from_millis(20);
/// When a stream's file was first seen, ns since the Unix epoch.
fn seen_at(spec: &StreamSpec, file: &FileIdentity) -> i64 {
    if spec.seen_ms > 0 { seen_ns(spec.seen_ms) } else { file.born_ns }
}

/// What the reader thread does after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is more to do at once.
    Busy,
    /// The queue has no room: try again soon.
    Blocked,
    /// Nothing to do before this instant, hints aside.
    Until(Instant),
    /// The queue is closing.
    Closed,
}

/// A listed directory.
#[derive(Debug, Default)]
pub(crate) struct Dir {
    /// The followed file behind each name.
    pub(crate) names: Names,
    pub(crate) watch: Option<i32>,
    /// It was not looked at since the watch was set.
    pub(crate) anew: bool,
    /// It is looked at this often.
    pub(crate) poll: Option<Duration>,
    /// When it was looked at last.
    pub(crate) looked: Option<Instant>,
    pub(crate) fs: FileSystem,
    /// That it is polled was said.
    pub(crate) told: bool,
    /// A failure to list it was said.
    pub(crate) failed: bool,
    /// When it was changed last, where all that matters in it was settled then and it holds no links: while that is so, and
    /// the kernel hints at changes, it need not be listed again.
    pub(crate) unchanged_since: Option<SystemTime>,
    /// Its directories at the last listing, sorted, and whether a link leads there.
    pub(crate) subdirs: Vec<(PathBuf, bool)>,
}

impl Dir {
    /// Whether the kernel hints at all that changes in it.
    pub(crate) fn is_hinted(&self) -> bool {
        self.watch.is_some() && self.poll.is_none() && self.fs.hints == Hints::All
    }
}

/// What a watch is for.
#[derive(Clone, Debug)]
pub(crate) enum Watched {
    /// All paths that lead there.
    Dir(Arc<[Arc<Path>]>),
    File(FileId),
}

/// All files of all sources.
pub(crate) struct Tailer {
    pub(crate) shared: Shared,
    pub(crate) globs: Vec<Globs>,
    /// Boxed: a table of them as they are would have as much room again for those to come.
    pub(crate) files: HashMap<FileId, Box<Tracked>>,
    next_id: FileId,
    /// Followed files by inode; the device tells apart those of several file systems.
    pub(crate) by_inode: ByInode,
    pub(crate) dirs: HashMap<PathBuf, Dir>,
    pub(crate) links: Links,
    pub(crate) polling: Polling,
    pub(crate) watched: HashMap<i32, Watched>,
    pub(crate) watcher: Watcher,
    /// Remembered streams by inode.
    pub(crate) remembered: HashMap<u64, Few<Arc<Stream>>>,
    /// Since when a path is followed that no source matches any more, or that was followed before its source, ns since the
    /// Unix epoch; where that is not known, the birth of its oldest file.
    pub(crate) seen_since: ByPath<i64>,
    /// The same for paths that differ in numbers only.
    pub(crate) seen_shapes: HashMap<PathBuf, i64>,
    /// Remembered streams by the path under which they were matched.
    pub(crate) remembered_paths: ByPath<Few<Arc<Stream>>>,
    /// Since when the files of each source are followed, ns since the Unix epoch: earlier ones were rotated before.
    pub(crate) source_since: Vec<i64>,
    /// Files that have lost their names in the look that is being settled.
    pub(crate) vanishing: Vec<FileId>,
    /// Files that were found since the last round of turns.
    pub(crate) unannounced: Vec<FileId>,
    /// Streams that ended with a truncation that this process saw.
    pub(crate) ended_here: HashSet<u64>,
    pub(crate) not_followed: NotFollowed,
    /// Fingerprints of generations that are not followed: compressed, they still are not.
    pub(crate) unrelated_heads: HashSet<Head>,
    /// Where reading of streams ended that this process handed over farther than is durable yet.
    pub(crate) handed_over: HashMap<u64, Position>,
    /// Compressed files (by inode) and streams that they do not belong to, although their first bytes agree.
    pub(crate) unlike: HashSet<(u64, u64)>,
    /// In which compressed file a stream stands that was read to its end, as far as this process has seen it.
    pub(crate) read_packed: HashMap<u64, FileIdentity>,
    /// The compressed file that is being read: one at a time, so that memory stays bounded.
    pub(super) inflating: Option<FileId>,
    pub(super) inflate_next: VecDeque<FileId>,
    /// Sources whose files are all new to the queue: `start_at: end` holds for the first look.
    pub(crate) first_start: Vec<bool>,
    pub(crate) looked_once: bool,
    pub(crate) scan_due: Instant,
    pub(crate) last_scan: Option<Instant>,
    /// When even files whose changes the kernel hints at are looked at again.
    pub(crate) full_scan_due: Instant,
    /// A file waits to be judged at the next listing.
    pub(crate) undecided: bool,
    /// First halves of renames whose second half is still to come, by cookie.
    pub(crate) moves: HashMap<u32, PathBuf>,
    hints_due: Instant,
    pub(super) active: VecDeque<FileId>,
    deadlines: BTreeSet<(Instant, FileId)>,
    pub(super) open_order: VecDeque<FileId>,
    pub(crate) max_open: usize,
    /// [`ROUND`], but for tests.
    pub(crate) round: Duration,
    pub(crate) said: HashSet<String>,
    pub(super) draining: bool,
    pub(crate) again: Again,
    pub(super) expiry: Expiry,
    /// What was lost unread and is not on record yet.
    pub(crate) untold: Vec<LostUnread>,
    pub(super) catch_up: Option<CatchUp>,
    pub(crate) horizon: Horizon,
}

impl Tailer {
    pub(crate) fn new(
        options: Vec<FileOptions>,
        agent_id: String,
        producer: Arc<dyn Producer>,
        now: Instant,
    ) -> Result<Tailer, SourceError> {
        let (mut globs, mut sources) = (Vec::new(), Vec::new());
        for mut options in options {
            globs.push(Globs::new(&options)?);
            let multi = options.multiline.as_ref().map(|m| Multi::new(&options.name, m)).transpose()?;
            let fields: Vec<String> =
                options.fields.iter().map(|(name, value)| format!("{}:{value}", serde_json::Value::from(name.as_str()))).collect();
            // Lengths of events are 32-bit in the queue, and an event must fit into memory.
            options.max_line_bytes = options.max_line_bytes.clamp(1, 1 << 30);
            let counters = Arc::new(Counters::default());
            let before = options.process.clone().map(|chain| chain.before(producer.clone(), counters.before.clone()));
            sources.push(Source { options, multi, fields: fields.join(","), counters, before });
        }
        let watcher = Watcher::new().map_err(|source| SourceError::Start { what: "eventfd", source })?;
        let streams = producer.streams();
        let (mut remembered, mut remembered_paths) = (HashMap::<u64, Few<_>>::new(), ByPath::<Few<_>>::default());
        let mut seen_since = ByPath::<i64>::default();
        let mut seen_shapes = HashMap::<PathBuf, i64>::new();
        let mut first_start = vec![true; sources.len()];
        let mut source_since = vec![seen_ns(now_ms()); sources.len()];
        for stream in streams {
            let spec = stream.spec();
            let Some(file) = spec.file else { continue };
            for ((first, since), globs) in first_start.iter_mut().zip(&mut source_since).zip(&globs) {
                let matches = globs.matches(&spec.path);
                *first &= !matches;
                if matches && spec.seen_ms > 0 {
                    *since = seen_ns(spec.seen_ms).min(*since);
                }
            }
            let seen = seen_at(&spec, &file);
            let since = seen_shapes.entry(name_shape(&spec.path)).or_insert(seen);
            *since = seen.min(*since);
            remembered.entry(file.inode).or_default().push(stream.clone());
            remembered_paths.get_or_insert_with(&spec.path, Few::default).push(stream);
        }
        for spec in remembered.values().flatten().map(|s| s.spec()) {
            let Some(file) = spec.file else { continue };
            let source = globs.iter().position(|g| g.matches(&spec.path));
            let seen = seen_at(&spec, &file);
            if source.is_none_or(|source| seen < source_since[source]) {
                let since = seen_since.get_or_insert_with(&spec.path, || seen);
                *since = seen.min(*since);
            }
        }
        Ok(Tailer {
            shared: Shared { producer, agent_id, sources },
            globs,
            files: HashMap::new(),
            next_id: 0,
            by_inode: ByInode::default(),
            dirs: HashMap::new(),
            links: Links::default(),
            polling: Polling::default(),
            watched: HashMap::new(),
            watcher,
            remembered,
            remembered_paths,
            seen_since,
            seen_shapes,
            source_since,
            vanishing: Vec::new(),
            unannounced: Vec::new(),
            ended_here: HashSet::new(),
            not_followed: NotFollowed::default(),
            unrelated_heads: HashSet::new(),
            handed_over: HashMap::new(),
            unlike: HashSet::new(),
            read_packed: HashMap::new(),
            inflating: None,
            inflate_next: VecDeque::new(),
            first_start,
            looked_once: false,
            scan_due: now,
            last_scan: None,
            full_scan_due: now,
            undecided: false,
            moves: HashMap::new(),
            hints_due: now,
            active: VecDeque::new(),
            deadlines: BTreeSet::new(),
            open_order: VecDeque::new(),
            max_open: max_open(),
            round: ROUND,
            said: HashSet::new(),
            draining: false,
            again: Again::default(),
            expiry: Expiry::default(),
            untold: Vec::new(),
            catch_up: None,
            horizon: Horizon::default(),
        })
    }

    /// Says `text` once.
    pub(crate) fn say_once(&mut self, text: String) {
        if self.said.len() < 10_000 && self.said.insert(text.clone()) {
            tracing::warn!("{text}");
        }
    }

    /// How long until directories are listed again.
    fn rescan(&self) -> Duration {
        let configured = self.shared.sources.iter().map(|s| s.options.rescan).min().unwrap_or(Duration::from_secs(5));
        configured.max(Duration::from_millis(100))
    }

    /// Follows one more file.
    pub(crate) fn insert(&mut self, mut file: Tracked) -> FileId {
        let id = self.next_id;
        if self.draining {
            let size = || file.at.as_ref().and_then(|at| std::fs::metadata(at).ok()).map(|m| m.len());
            file.aside.drain_end = if file.packed.is_some() { Some(file.pos) } else { size() };
        }
        let seen = seen_ns(now_ms()).max(self.source_since[file.source()]);
        if self.source_of(&file.path).is_none_or(|source| seen < self.source_since[source]) {
            self.seen_since.get_or_insert_with(&file.path, || seen);
        }
        self.seen_shapes.entry(name_shape(&file.path)).or_insert(seen);
        self.next_id += 1;
        if file.stream.is_none() {
            self.unannounced.push(id);
        }
        self.by_inode.insert(&file.identity, id);
        file.rest();
        self.horizon.came(id, &file.path);
        self.files.insert(id, Box::new(file));
        self.activate(id);
        id
    }

    /// Forgets a file; where the queue knows its stream, it is remembered in case that the file comes back.
    pub(crate) fn remove(&mut self, id: FileId) {
        let Some(file) = self.files.remove(&id) else { return };
        if let Some(dir) = file.at.as_deref().and_then(Path::parent).and_then(|dir| self.dirs.get_mut(dir)) {
            // What has its name is to be judged anew.
            dir.unchanged_since = None;
        }
        if self.inflating == Some(id) {
            self.inflating = None;
            while let Some(next) = self.inflate_next.pop_front() {
                self.activate(next);
            }
        }
        if let Some(watch) = file.aside.link_watch {
            self.watched.remove(&watch);
            self.watcher.unwatch(watch);
        }
        if let Some(deadline) = file.aside.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        self.by_inode.remove(&file.identity, id);
    }

    /// Gives a file a turn in this or the next round; `false` where it waits for one already.
    pub(crate) fn activate(&mut self, id: FileId) -> bool {
        let Some(file) = self.files.get_mut(&id).filter(|f| !f.queued) else { return false };
        file.queued = true;
        self.active.push_back(id);
        true
    }

    /// Has a file have a turn at `due`, whatever comes until then.
    pub(crate) fn look_again(&mut self, id: FileId, due: Instant) {
        let Some(file) = self.files.get_mut(&id) else { return };
        if let Some(old) = file.aside.deadline.replace(due) {
            self.deadlines.remove(&(old, id));
        }
        self.deadlines.insert((due, id));
    }

    /// Does what is due: hints, listing, time-outs, and one turn for each file that has something.
    pub(crate) fn step(&mut self, now: Instant) -> Step {
        if now >= self.hints_due {
            self.hints_due = now + self.take_hints(now);
        }
        if now >= self.scan_due {
            self.scan(now);
            self.scan_due = now + self.rescan();
            self.look_ahead(now);
        }
        self.poll(now);
        while let Some(&(at, id)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            self.deadlines.remove(&(at, id));
            if let Some(file) = self.files.get_mut(&id) {
                file.aside.set_deadline(None);
            }
            self.activate(id);
        }
        let (mut blocked, round) = (false, Instant::now());
        for _ in 0..self.active.len() {
            let Some(id) = self.active.pop_front() else { break };
            match self.take_turn(id, now) {
                Turn::Closed => return Step::Closed,
                Turn::Blocked => {
                    // The queue is full for all files; the one whose turn it was keeps it.
                    self.active.pop_back();
                    self.active.push_front(id);
                    blocked = true;
                    break;
                }
                _ if round.elapsed() > self.round => break,
                _ => {}
            }
        }
        self.announce();
        self.tell_lost();
        if blocked {
            self.open_waiting();
            return Step::Blocked;
        }
        let again = self.read_again(now) | self.expire(now);
        if !self.active.is_empty() || !self.unannounced.is_empty() || again {
            return Step::Busy;
        }
        let next = self.deadlines.first().map_or(self.scan_due, |(at, _)| self.scan_due.min(*at));
        let next = self.polling.next(next);
        Step::Until(self.again.next(next, &*self.shared.producer))
    }

    /// Since when hints may be taken again.
    pub(crate) fn hints_due(&self) -> Instant {
        self.hints_due
    }

    fn take_turn(&mut self, id: FileId, now: Instant) -> Turn {
        let Some(file) = self.files.get_mut(&id) else { return Turn::Idle };
        file.queued = false;
        if self.draining && file.aside.drain_end.is_none() {
            // It was read to its end when the drain began, and what is written since belongs to the next start.
            return Turn::Idle;
        }
        if file.packed.is_some() && *self.inflating.get_or_insert(id) != id {
            self.inflate_next.push_back(id);
            return Turn::Idle;
        }
        let (was_open, old) = (file.file.is_some(), file.aside.take_deadline());
        let turn = file.turn(&self.shared, now);
        let mut deadline = file.aside.take_deadline();
        let opened = !was_open && file.file.is_some();
        match turn {
            Turn::More | Turn::Blocked => {
                file.queued = true;
                self.active.push_back(id);
            }
            Turn::Failed => deadline = Some(now + RETRY),
            _ => {}
        }
        if turn == Turn::Idle
            && deadline.is_none()
            && let Some(since) = file.aside.moved
        {
            let quiet = file.aside.grown.map_or(since, |grown| grown.max(since)) + MOVED_QUIET;
            if now < quiet && file.file.is_some() {
                deadline = Some(quiet);
            } else {
                file.close();
            }
        }
        file.aside.set_deadline(deadline);
        file.rest();
        let finished = file.at.is_none() && file.file.is_none() && turn == Turn::Idle;
        if let Some(old) = old {
            self.deadlines.remove(&(old, id));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
        if opened {
            self.open_order.push_back(id);
            self.close_some();
        }
        match turn {
            Turn::Truncated => {
                self.after_truncation(id, now);
                self.activate(id);
            }
            Turn::Gone => self.gone(id, now),
            Turn::Unlike => self.unlike(id, now),
            Turn::Whole => self.end_compressed(id),
            _ if finished => self.remember_and_remove(id),
            _ => {}
        }
        turn
    }
}
