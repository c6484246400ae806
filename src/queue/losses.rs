//! The ledger of losses: what the queue no longer has, by topic, partition and offsets, by stream and bytes of the
//! source, why, and what became of it. It outlives the process, so that nothing that was found lost is forgotten
//! before it is read again or told.
//!
//! `data_dir/losses` is text, one record a line, each behind its CRC; it is replaced whole whenever it changes. That
//! is for things that happen rarely: who drops a lot adds it in one call.

mod file;
mod merge;
#[cfg(test)]
mod tests;

use super::disk::Disk;
use super::{FileIdentity, Stream, Tail};
use crate::admin::{LossStatus, WantedStatus};
use merge::Ledger;
pub(super) use merge::insert;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// Why the queue no longer has something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The bytes in a segment are not those that were written.
    Damaged,
    /// A segment that was not acknowledged is not there any more, and the queue did not delete it.
    Deleted,
    /// `on_full: drop_oldest`.
    DroppedOldest,
    /// `on_full: drop_newest`.
    DroppedNewest,
    /// Kept as long as it was to be kept.
    Expired,
    /// Its file was deleted before it was read to its end.
    DeletedUnread,
    /// Its file was truncated before it was read to its end.
    TruncatedUnread,
}

impl Cause {
    /// As it stands in metrics and in the file.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Damaged => "damaged",
            Cause::Deleted => "deleted",
            Cause::DroppedOldest => "dropped_oldest",
            Cause::DroppedNewest => "dropped_newest",
            Cause::Expired => "expired",
            Cause::DeletedUnread => "deleted_unread",
            Cause::TruncatedUnread => "truncated_unread",
        }
    }

    /// Whether the queue never had what was lost: it was lost to its source.
    pub fn is_unread(self) -> bool {
        matches!(self, Cause::DeletedUnread | Cause::TruncatedUnread)
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossState {
    /// It is to be read again from its source.
    Wanted,
    /// It is gone.
    Lost,
    /// It was read again from its source and is in the queue again.
    ReadAgain,
}

/// The stream whose bytes are lost, as far as people and programs want to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostStream {
    /// Number of the stream in this queue.
    pub number: u64,
    /// Its key, 32 hexadecimal digits.
    pub key: String,
    /// Its generation.
    pub generation: u32,
    /// Name of its source.
    pub source: String,
    /// Path under which its file was first seen; bytes that are no UTF-8 are replaced.
    pub path: String,
}

impl LostStream {
    /// What is to be told of `stream`.
    pub fn of(stream: &Stream) -> LostStream {
        let spec = stream.spec();
        LostStream {
            number: stream.id,
            key: format!("{:032x}", spec.key),
            generation: spec.generation,
            source: spec.source.clone(),
            path: spec.path.to_string_lossy().into_owned(),
        }
    }
}

/// Consecutive bytes of a source, and what is known of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: u64,
    /// Byte after the last one.
    pub end: u64,
    /// Number of events in it, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
    /// About how many, where only those of several streams together are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<u64>,
    /// What the bytes before `start` must look like (length, CRC32C), where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<(u32, u32)>,
    /// What the bytes before `end` must look like, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<(u32, u32)>,
    /// The stream began somewhere from `start` on; where, its key tells, which is made of its first event.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub began: bool,
    /// See [`super::RunFlags`]: the lost run's, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flags: Option<u32>,
}

impl Span {
    /// Bytes `start..end` of which nothing is known.
    pub fn new(start: u64, end: u64) -> Span {
        Span { start, end, ..Span::default() }
    }

    /// Bytes in it.
    pub fn bytes(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// With what its last bytes must look like.
    pub fn with_tail(self, tail: Tail) -> Span {
        Span { tail: Some((tail.len, tail.crc)), ..self }
    }
}

/// What one stream loses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostPart {
    /// The stream.
    pub stream: LostStream,
    /// Bytes of its source.
    pub span: Span,
    /// Bytes of the queue, where the stream has no positions of its own; else 0, and the span tells.
    pub bytes: u64,
    /// Whether it is to be read again.
    pub wanted: bool,
    /// Why it is not.
    pub why: String,
}

/// Bytes of a file that were gone before they were read.
#[derive(Clone, Debug)]
pub struct LostUnread {
    /// [`Cause::DeletedUnread`] or [`Cause::TruncatedUnread`].
    pub cause: Cause,
    /// The stream; none where nothing of the file was read.
    pub stream: Option<Arc<Stream>>,
    /// The file.
    pub file: FileIdentity,
    /// Its generation.
    pub generation: u32,
    /// Name of its source.
    pub source: String,
    /// Topic of its source.
    pub topic: String,
    /// Path under which it was first seen.
    pub path: PathBuf,
    /// First byte and byte after the last one, as far as it was ever seen.
    pub bytes: Range<u64>,
    /// What happened, in words.
    pub why: String,
}

impl LostUnread {
    /// As it goes into the ledger. A file without a stream gets a number of its own, above all that are given to streams.
    pub(super) fn loss(&self, at_ms: u64) -> Loss {
        let unknown = || LostStream {
            number: 1 << 63 | xxhash_rust::xxh3::xxh3_64(format!("{:?}{}{:?}", self.file, self.generation, self.path).as_bytes()),
            key: String::new(),
            generation: self.generation,
            source: self.source.clone(),
            path: self.path.to_string_lossy().into_owned(),
        };
        let stream = self.stream.as_ref().map_or_else(unknown, |s| LostStream::of(s));
        let span = Span::new(self.bytes.start, self.bytes.end);
        Loss {
            cause: self.cause,
            topic: self.topic.clone(),
            partition: self.stream.as_ref().map_or(0, |s| s.partition),
            offsets: 0..0,
            at_ms,
            parts: vec![LostPart { stream, span, bytes: 0, wanted: false, why: self.why.clone() }],
            had: Vec::new(),
        }
    }
}

/// Something that was found to be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Why.
    pub cause: Cause,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// Offsets that are not there any more; empty where nothing ever had one.
    pub offsets: Range<u64>,
    /// When it was found, ms since the Unix epoch.
    pub at_ms: u64,
    /// By stream; empty where no stream is known.
    pub parts: Vec<LostPart>,
    /// Groups that had acknowledged all of it, in order: for them it is no loss.
    pub had: Vec<String>,
}

/// What the ledger tells of one stream (or of what no stream is known) under one cause and state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossEntry {
    /// Why.
    pub cause: Cause,
    /// What became of it.
    pub state: LossState,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// The stream; none where it is not known.
    pub stream: Option<LostStream>,
    /// Between which offsets it was (first, end).
    pub offsets: Vec<(u64, u64)>,
    /// Bytes of the source, in order.
    pub spans: Vec<Span>,
    /// Events, as far as they were counted.
    pub events: u64,
    /// Some of the events are not counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncounted: bool,
    /// Bytes.
    pub bytes: u64,
    /// When the first of it was found, ms since the Unix epoch.
    pub since_ms: u64,
    /// When the entry last changed, ms since the Unix epoch.
    pub at_ms: u64,
    /// Why it cannot be read again, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Groups that had acknowledged all of it, in order: for them it is no loss.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub had: Vec<String>,
}

/// Sums of one cause since the queue was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossTotals {
    /// Events that were lost, also those that were read again.
    pub events: u64,
    /// Bytes of sources that were lost, also those that were read again.
    pub bytes: u64,
    /// Events that were read again.
    pub read_again_events: u64,
    /// Bytes of them.
    pub read_again_bytes: u64,
    /// Events that are gone for good, as far as they were counted.
    pub gone_events: u64,
    /// Bytes of sources that are gone for good.
    pub gone_bytes: u64,
}

/// What is to be read again of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Why it is lost.
    pub cause: Cause,
    /// Number of the stream.
    pub stream: u64,
    /// Bytes of its source, in order; where the boundaries of blocks are known, they are boundaries here.
    pub spans: Vec<Span>,
}

/// How the reading again of a span ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Number of the stream.
    pub stream: u64,
    /// First byte and byte after the last one.
    pub bytes: Range<u64>,
    /// The events that were read again and are durable, or why there are none.
    pub outcome: Result<u64, String>,
}

/// Why there is no ledger.
#[derive(Debug, thiserror::Error)]
pub enum LossesError {
    /// Written by a newer version of the program.
    #[error("{} has version {version}, which is newer than this program understands; nothing was changed", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The disk failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Losses {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    ledger: Mutex<Ledger>,
    /// Entries that are wanted: asked for often, and nearly always none.
    wanted: AtomicUsize,
}

impl Losses {
    /// Where the ledger of a data directory is.
    pub fn path(dir: &Path) -> PathBuf {
        dir.join("losses")
    }

    /// Opens the ledger of `dir`; also gives how many of its lines are damaged, and were left out.
    ///
    /// # Errors
    /// [`LossesError`]; an absent file is an empty ledger.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<(Losses, usize), LossesError> {
        let path = Self::path(dir);
        let (ledger, damaged) = match disk.read(&path) {
            Ok(bytes) => file::decode(&bytes).map_err(|version| LossesError::Newer { path: path.clone(), version })?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => (Ledger::default(), 0),
            Err(source) => return Err(LossesError::Io { path, source }),
        };
        let wanted = AtomicUsize::new(ledger.wanted());
        Ok((Losses { disk, path, ledger: Mutex::new(ledger), wanted }, damaged))
    }

    /// What is sound of a ledger's file, as it is written anew without the rest; how many lines are the rest; and the
    /// offsets that it tells of: topic, partition, first, end.
    ///
    /// # Errors
    /// The version of the file, where it is newer than this program's.
    #[expect(clippy::type_complexity, reason = "used once")]
    pub(crate) fn check(bytes: &[u8]) -> Result<(Vec<u8>, usize, Vec<(String, u32, u64, u64)>), u32> {
        let (ledger, damaged) = file::decode(bytes)?;
        let of = |h: &merge::Hole| h.ranges.iter().map(|(s, e)| (h.topic.clone(), h.partition, *s, *e)).collect::<Vec<_>>();
        let offsets = ledger.holes.iter().flat_map(of).collect();
        Ok((file::encode(&ledger), damaged, offsets))
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Changes the ledger and makes the change durable; on an error nothing has changed.
    fn change<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> Result<T, LossesError> {
        let mut ledger = self.lock();
        let mut changed = ledger.clone();
        let result = change(&mut changed);
        if changed != *ledger {
            changed.fold();
            let written = self.disk.replace(&self.path, &file::encode(&changed));
            written.map_err(|source| LossesError::Io { path: self.path.clone(), source })?;
            self.wanted.store(changed.wanted(), Ordering::Release);
            *ledger = changed;
        }
        Ok(result)
    }

    /// Takes what was found lost; durable when it returns. What is known already changes nothing: known are offsets,
    /// and bytes of a stream that never had one. Gives how many events of it were not known to be lost.
    ///
    /// # Errors
    /// [`LossesError`]: nothing has changed, and it can be tried again.
    pub fn add(&self, losses: &[Loss]) -> Result<u64, LossesError> {
        self.change(|ledger| losses.iter().map(|loss| ledger.add(loss)).sum())
    }

    /// Whether anything is to be read again: one load.
    pub fn any_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire) > 0
    }

    /// What is to be read again.
    pub fn wanted(&self) -> Vec<Wanted> {
        if !self.any_wanted() {
            return Vec::new();
        }
        let wanted = |e: &LossEntry| {
            let stream = e.stream.as_ref().filter(|_| e.state == LossState::Wanted)?.number;
            Some(Wanted { cause: e.cause, stream, spans: e.spans.clone() })
        };
        self.lock().entries.iter().filter_map(wanted).collect()
    }

    /// Takes how the reading again of something wanted ended; durable when it returns.
    ///
    /// # Errors
    /// [`LossesError`]: nothing has changed, and it can be tried again.
    pub fn settle(&self, settled: &[Settled], at_ms: u64) -> Result<(), LossesError> {
        self.change(|ledger| settled.iter().for_each(|s| ledger.settle(s, at_ms)))
    }

    /// All entries, the oldest first. Of settled ones only the newest are kept; the sums hold all.
    pub fn all(&self) -> Vec<LossEntry> {
        let mut all = self.lock().entries.clone();
        all.sort_by_key(|e| e.since_ms);
        all
    }

    /// Sums by cause since the queue was made.
    pub fn totals(&self) -> BTreeMap<Cause, LossTotals> {
        self.lock().totals.clone()
    }

    /// Ranges (first, end) of offsets that are known to be lost.
    pub fn offsets(&self, topic: &str, partition: u32) -> Vec<(u64, u64)> {
        self.lock().holes.iter().filter(|h| h.topic == topic && h.partition == partition).flat_map(|h| h.ranges.iter().copied()).collect()
    }

    /// The sums by cause, as they are shown.
    pub(crate) fn status(&self) -> BTreeMap<String, LossStatus> {
        let ledger = self.lock();
        let wanted = |cause| ledger.entries.iter().filter(|e| e.cause == cause && e.state == LossState::Wanted).map(|e| e.bytes).sum();
        let status = |(cause, t): (&Cause, &LossTotals)| {
            let status = LossStatus {
                events: t.events,
                bytes: t.bytes,
                read_again_events: t.read_again_events,
                read_again_bytes: t.read_again_bytes,
                wanted_bytes: wanted(*cause),
                gone_events: t.gone_events,
                gone_bytes: t.gone_bytes,
            };
            (cause.name().to_string(), status)
        };
        ledger.totals.iter().map(status).collect()
    }

    /// The first streams of which something is to be read again, as they are shown.
    pub(crate) fn wanted_status(&self) -> Vec<WantedStatus> {
        const SHOWN: usize = 20;
        if !self.any_wanted() {
            return Vec::new();
        }
        let show = |e: &LossEntry| {
            let stream = e.stream.as_ref().filter(|_| e.state == LossState::Wanted)?;
            let mut ranges = Vec::new();
            e.spans.iter().for_each(|s| insert(&mut ranges, s.start, s.end));
            ranges.truncate(SHOWN);
            Some(WantedStatus {
                source: stream.source.clone(),
                path: stream.path.clone(),
                topic: e.topic.clone(),
                partition: e.partition,
                cause: e.cause.name().into(),
                ranges,
            })
        };
        self.lock().entries.iter().filter_map(show).take(SHOWN).collect()
    }
}
