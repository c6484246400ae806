//! A stream: one generation of one file (or one connection of a push input).
//!
//! Records of one stream stay in order and in one partition. What is known of a
//! stream is stored in the queue beside its records, so that no second registry
//! can disagree with the data.

use crate::process::identity::ID_LEN;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

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
    spec: RwLock<Arc<StreamSpec>>,
    durable: Mutex<Position>,
    written: AtomicU64,
    /// See [`Stream::event_id`].
    event_id: Option<[u8; ID_LEN]>,
}

impl Stream {
    pub(crate) fn new(id: u64, partition: u32, spec: StreamSpec, durable: Position) -> Arc<Stream> {
        Self::with(id, partition, spec, durable, None)
    }

    /// The stream of one event that was made of a dead letter.
    pub(crate) fn of_letter(partition: u32, spec: StreamSpec, event_id: [u8; ID_LEN]) -> Arc<Stream> {
        Self::with(u64::MAX, partition, spec, Position::default(), Some(event_id))
    }

    fn with(id: u64, partition: u32, spec: StreamSpec, durable: Position, event_id: Option<[u8; ID_LEN]>) -> Arc<Stream> {
        let (spec, written) = (RwLock::new(Arc::new(spec)), AtomicU64::new(durable.end));
        Arc::new(Stream { id, partition, spec, written, durable: Mutex::new(durable), event_id })
    }

    /// The ID under which its only event was sent the first time, where it was made of a dead letter.
    pub fn event_id(&self) -> Option<[u8; ID_LEN]> {
        self.event_id
    }

    /// What is known of the stream now.
    pub fn spec(&self) -> Arc<StreamSpec> {
        self.spec.read().unwrap_or_else(|e| e.into_inner()).clone()
    }

    pub(crate) fn set_spec(&self, spec: StreamSpec) {
        *self.spec.write().unwrap_or_else(|e| e.into_inner()) = Arc::new(spec);
    }

    /// Where reading goes on after a restart: the end of the last durable record batch.
    pub fn durable(&self) -> Position {
        *self.durable.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// End of the last record batch that is written, durable or not.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    pub(crate) fn set_written(&self, end: u64) {
        self.written.fetch_max(end, Ordering::Release);
    }

    /// Never goes back: an announcement, or a segment read again, may come behind what follows it.
    pub(crate) fn set_durable(&self, position: Position) {
        let mut durable = self.durable.lock().unwrap_or_else(|e| e.into_inner());
        if position.end >= durable.end {
            *durable = position;
        }
    }
}
