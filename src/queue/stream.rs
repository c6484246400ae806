//! A stream: one generation of one file (or one connection of a push input).
//!
//! Records of one stream stay in order and in one partition. What is known of a
//! stream is stored in the queue beside its records, so that no second registry
//! can disagree with the data.

use super::Filtered;
use super::packed::{Brief, pack, unpack, unpack_brief};
use crate::process::identity::ID_LEN;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// What names a file to the kernel. The device only helps matching: it changes over reboots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct FileIdentity {
    /// Device number (`st_dev`).
    pub device: u64,
    /// Inode number (`st_ino`); reused by the file system as soon as a file is deleted.
    pub inode: u64,
    /// Birth time in ns since the epoch where the file system has one, else 0.
    pub born_ns: i64,
}

/// Fingerprint of a file's first bytes; it grows with the file, up to [`Head::MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Head {
    /// How many bytes, from byte 0, the hash covers.
    pub len: u32,
    /// XXH3-64 of these bytes.
    pub hash: u64,
}

impl Head {
    /// A head grows to at most this many bytes.
    pub const MAX: usize = 1024;

    /// The fingerprint of `bytes` (the file's first bytes; more than [`Head::MAX`] are ignored).
    pub fn of(bytes: &[u8]) -> Head {
        let bytes = &bytes[..bytes.len().min(Self::MAX)];
        Head { len: bytes.len() as u32, hash: xxhash_rust::xxh3::xxh3_64(bytes) }
    }

    /// Whether a file that begins with `bytes` can be the file of this fingerprint.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        bytes.len() >= self.len as usize && Head::of(&bytes[..self.len as usize]) == *self
    }
}

/// What is known of a stream. Stored in the queue; a later record replaces an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StreamSpec {
    /// Identity from which event IDs are made: see [`crate::process::identity`]. 0 while the stream is only announced: it
    /// is made of the first event.
    pub key: u128,
    /// Name of the source in the configuration at the time (for people; never for matching).
    pub source: String,
    /// Topic to which the stream's records go.
    pub topic: String,
    /// Path under which the file was first matched; a rotation does not change it.
    pub path: PathBuf,
    /// The file, where the stream has one.
    pub file: Option<FileIdentity>,
    /// Counts truncations of the file: a truncated file may begin again with the same line.
    pub generation: u32,
    /// Fingerprint of the file's first bytes.
    pub head: Head,
    /// The source's `fields` as members of a JSON object, rendered, without braces: `"a":"b","c":1`.
    pub fields: String,
    /// What else the source needs to go on (journald's cursor, marks in a file); the source alone knows its form.
    pub resume: Vec<u8>,
    /// When the source first saw the file, ms since the Unix epoch; 0: not known.
    pub seen_ms: u64,
    /// When it was found that the file is gone, ms since the Unix epoch; 0: it is there, as far as is known.
    pub gone_ms: u64,
}

/// A position in a stream, and what the bytes before it must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Position {
    /// Bytes of the source that are in the queue: reading goes on here.
    pub end: u64,
    /// Length and CRC32C of the source's last bytes before `end` (up to 256). After a power cut
    /// the log file may have lost what the queue still remembers: then these differ.
    pub tail: super::Tail,
}

/// A stream as the running agent knows it; shared between tailer, log and sinks.
#[derive(Debug)]
pub struct Stream {
    /// Number of the stream in this queue; never reused.
    pub id: u64,
    /// Partition of its topic in which its records stay.
    pub partition: u32,
    version: AtomicU32,
    state: Mutex<State>,
    written: AtomicU64,
}

#[derive(Debug)]
struct State {
    spec: Kept,
    durable: Position,
    /// What few streams have.
    more: Option<Box<More>>,
}

#[derive(Debug, Default)]
struct More {
    /// See [`Stream::event_id`].
    event_id: Option<[u8; ID_LEN]>,
    /// What was filtered before the queue, by rule.
    rules: Vec<Rule>,
}

/// A rule before the queue, such as `drop (1)`, and what it has filtered of a stream, as far as that is durable.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Events.
    pub events: u64,
    /// Bytes of the source.
    pub bytes: u64,
    /// The same sums with what is not durable yet.
    appended: (u64, u64),
}

impl Rule {
    /// One whose sums are durable.
    pub(crate) fn new(name: String, events: u64, bytes: u64) -> Rule {
        Rule { name, events, bytes, appended: (events, bytes) }
    }
}

/// A stream has at most this many rules by name; further ones share the last.
const MOST_RULES: usize = 256;

/// What is known of a stream, as it is kept in memory.
#[derive(Debug)]
enum Kept {
    Whole(Arc<StreamSpec>),
    /// See [`super::packed`].
    Packed {
        path: Arc<Path>,
        rest: Box<[u8]>,
    },
}

impl Kept {
    fn packed(spec: &StreamSpec, path: Arc<Path>) -> Kept {
        Kept::Packed { path, rest: pack(spec) }
    }
}

/// Counts what was learned of streams, so that no two of them have the same version.
static VERSIONS: AtomicU32 = AtomicU32::new(0);

impl Stream {
    pub(crate) fn new(id: u64, partition: u32, spec: StreamSpec, durable: Position) -> Arc<Stream> {
        Self::with(id, partition, Kept::Whole(Arc::new(spec)), durable, None)
    }

    /// One that rests, as most of those do that the queue remembers.
    pub(crate) fn resting(id: u64, partition: u32, spec: &StreamSpec, durable: Position) -> Arc<Stream> {
        Self::with(id, partition, Kept::packed(spec, spec.path.as_path().into()), durable, None)
    }

    /// The stream of one event that was made of a dead letter.
    pub(crate) fn of_letter(partition: u32, spec: StreamSpec, event_id: [u8; ID_LEN]) -> Arc<Stream> {
        Self::with(
            u64::MAX,
            partition,
            Kept::Whole(Arc::new(spec)),
            Position::default(),
            Some(Box::new(More { event_id: Some(event_id), ..More::default() })),
        )
    }

    fn with(id: u64, partition: u32, spec: Kept, durable: Position, more: Option<Box<More>>) -> Arc<Stream> {
        let (state, written) = (Mutex::new(State { spec, durable, more }), AtomicU64::new(durable.end));
        Arc::new(Stream { id, partition, version: AtomicU32::new(next_version()), state, written })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The ID under which its only event was sent the first time, where it was made of a dead letter.
    pub fn event_id(&self) -> Option<[u8; ID_LEN]> {
        self.state().more.as_ref()?.event_id
    }

    /// What rules before the queue have filtered of it, as far as that is durable.
    pub fn filtered(&self) -> Vec<Rule> {
        self.state().rules().to_vec()
    }

    /// The number of the rule `name`, by which what it filters is told. A new one is stored with the stream's next block.
    pub fn rule(&self, name: &str) -> u32 {
        let mut state = self.state();
        let rules = state.rules_mut();
        if let Some(at) = rules.iter().position(|rule| rule.name == name) {
            return at as u32;
        }
        if rules.len() >= MOST_RULES {
            return MOST_RULES as u32 - 1;
        }
        rules.push(Rule::new(name.to_string(), 0, 0));
        let number = rules.len() as u32 - 1;
        self.version.store(next_version(), Ordering::Release);
        number
    }

    /// The sums of a rule with `more` that is filtered now; [`Stream::appended`] is to follow once they are handed over.
    pub(crate) fn filtering(&self, rule: u32, events: u64, bytes: u64) -> Filtered {
        let mut state = self.state();
        let (before, at) = (state.rules_mut(), rule as usize);
        let (e, b) = before.get(at).map_or((0, 0), |rule| rule.appended);
        Filtered { rule, events: e.saturating_add(events), bytes: b.saturating_add(bytes) }
    }

    /// These sums were handed over.
    pub(crate) fn appended(&self, filtered: &[Filtered]) {
        let mut state = self.state();
        for sum in filtered {
            if let Some(rule) = state.rules_mut().get_mut(sum.rule as usize) {
                rule.appended = (sum.events, sum.bytes);
            }
        }
    }

    /// What a record of the stream says of rules; sums never go back.
    pub(crate) fn learn_rules(&self, rules: Vec<Rule>) {
        if !rules.is_empty() {
            self.state().learn_rules(rules);
        }
    }

    /// Spec, position and rules at one moment.
    pub(crate) fn at_once(&self) -> (Arc<StreamSpec>, Position, Vec<Rule>) {
        let state = self.state();
        (state.spec(), state.durable, state.rules().to_vec())
    }

    /// What is known of the stream now. Of one that rests, it is made anew each time.
    pub fn spec(&self) -> Arc<StreamSpec> {
        self.state().spec()
    }

    /// What tells the stream from others.
    pub(crate) fn brief(&self) -> Brief {
        match &self.state().spec {
            Kept::Whole(spec) => Brief::of(spec),
            Kept::Packed { rest, .. } => unpack_brief(rest).expect(PACKED),
        }
    }

    /// Whether [`StreamSpec::path`] is this one.
    pub(crate) fn is_of(&self, path: &Path) -> bool {
        match &self.state().spec {
            Kept::Whole(spec) => spec.path == path,
            Kept::Packed { path: own, .. } => **own == *path,
        }
    }

    /// Changes whenever [`Stream::spec`] does; no two streams have the same one. Ask for it before the spec.
    pub(crate) fn version(&self) -> u32 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn set_spec(&self, spec: StreamSpec) {
        let mut state = self.state();
        state.spec = Kept::Whole(Arc::new(spec));
        self.version.store(next_version(), Ordering::Release);
    }

    /// Nothing is read of it for now: what is known of it is kept in few bytes.
    pub(crate) fn rest(&self) {
        let mut state = self.state();
        if let Kept::Whole(spec) = &state.spec {
            state.spec = Kept::packed(spec, spec.path.as_path().into());
        }
    }

    /// The same for a reader that has the path in memory, too. Gives the memory that both are to have it in; `None` where it
    /// is another path.
    pub(crate) fn rest_at(&self, path: &Arc<Path>) -> Option<Arc<Path>> {
        let mut state = self.state();
        if let Kept::Whole(spec) = &state.spec {
            let own = if *spec.path == **path { path.clone() } else { spec.path.as_path().into() };
            state.spec = Kept::packed(spec, own);
        }
        match &state.spec {
            Kept::Packed { path: own, .. } if own == path => Some(own.clone()),
            _ => None,
        }
    }

    /// It is read of again: what is known of it is asked for with each block.
    pub(crate) fn wake(&self) {
        let mut state = self.state();
        if let Kept::Packed { path, rest } = &state.spec {
            state.spec = Kept::Whole(Arc::new(unpacked(rest, path)));
        }
    }

    /// Where reading goes on after a restart: the end of the last durable record batch.
    pub fn durable(&self) -> Position {
        self.state().durable
    }

    /// End of the last record batch that is written, durable or not.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    pub(crate) fn set_written(&self, end: u64) {
        self.written.fetch_max(end, Ordering::Release);
    }

    /// Never goes back: an announcement, or a segment read again, may come behind what follows it. Of two that end at the same
    /// byte the later one says what stands before it, while the queue runs and when it is opened.
    pub(crate) fn set_durable(&self, position: Position) {
        self.reach(position, &[]);
    }

    /// The same with what was filtered on the way.
    pub(crate) fn reach(&self, position: Position, filtered: &[Filtered]) {
        let mut state = self.state();
        if position.end >= state.durable.end {
            state.durable = position;
        }
        if !filtered.is_empty() {
            state.filtered(filtered);
        }
    }
}

impl State {
    fn spec(&self) -> Arc<StreamSpec> {
        match &self.spec {
            Kept::Whole(spec) => spec.clone(),
            Kept::Packed { path, rest } => Arc::new(unpacked(rest, path)),
        }
    }

    fn rules(&self) -> &[Rule] {
        self.more.as_ref().map_or(&[], |more| &more.rules)
    }

    fn rules_mut(&mut self) -> &mut Vec<Rule> {
        &mut self.more.get_or_insert_default().rules
    }

    /// What was filtered is durable; sums never go back.
    fn filtered(&mut self, filtered: &[Filtered]) {
        let rules = self.rules_mut();
        for sum in filtered {
            let at = (sum.rule as usize).min(MOST_RULES - 1);
            // The stream's record was damaged.
            while rules.len() <= at {
                rules.push(Rule::new(format!("rule {}", rules.len()), 0, 0));
            }
            rules[at].reached(sum.events, sum.bytes);
        }
    }

    fn learn_rules(&mut self, learned: Vec<Rule>) {
        let rules = self.rules_mut();
        for (at, rule) in learned.into_iter().take(MOST_RULES).enumerate() {
            match rules.get_mut(at) {
                Some(known) => {
                    known.reached(rule.events, rule.bytes);
                    known.name = rule.name;
                }
                None => rules.push(rule),
            }
        }
    }
}

impl Rule {
    fn reached(&mut self, events: u64, bytes: u64) {
        (self.events, self.bytes) = (self.events.max(events), self.bytes.max(bytes));
        self.appended = (self.appended.0.max(events), self.appended.1.max(bytes));
    }
}

fn next_version() -> u32 {
    VERSIONS.fetch_add(1, Ordering::Relaxed)
}

const PACKED: &str = "what was packed here";

fn unpacked(rest: &[u8], path: &Path) -> StreamSpec {
    unpack(rest, path).expect(PACKED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_rests_says_what_it_said_before() {
        let spec = StreamSpec { key: 7, path: "/logs/a.log".into(), resume: vec![1, 2], ..StreamSpec::default() };
        let stream = Stream::new(1, 0, spec.clone(), Position::default());
        let version = stream.version();
        let held = stream.spec();
        stream.rest();
        assert_eq!((&*stream.spec(), &*held, stream.version()), (&spec, &spec, version));
        assert_eq!((stream.brief(), stream.is_of(&spec.path), stream.is_of(Path::new("/"))), (Brief::of(&spec), true, false));
        let path: Arc<Path> = spec.path.as_path().into();
        let kept = stream.rest_at(&path).unwrap();
        stream.wake();
        assert!(Arc::ptr_eq(&stream.rest_at(&path).unwrap(), &path) && !Arc::ptr_eq(&kept, &path), "in one memory");
        assert_eq!(stream.rest_at(&Path::new("/other").into()), None);
        stream.wake();
        assert!(Arc::ptr_eq(&stream.spec(), &stream.spec()), "awake, it is made once");
        stream.rest();
        stream.set_spec(StreamSpec { generation: 1, ..spec });
        assert_eq!(stream.spec().generation, 1);
        assert_ne!(stream.version(), version);
    }

    #[test]
    fn a_hundred_thousand_streams_take_little() {
        assert!(std::mem::size_of::<Stream>() <= 88, "{}", std::mem::size_of::<Stream>());
    }
}
