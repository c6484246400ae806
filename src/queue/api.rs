//! The two sides of the queue as traits, so that another queue (Kafka) can stand in their place.

use super::{Block, Buffer, Events, LostUnread, Position, RecordBatch, Settled, Stream, StreamSpec, Wanted};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why a block was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The queue is closing; the block is not in it, and will be read again from its source.
    #[error("the queue is closing")]
    Closed,
    /// There was no room within `max_block`.
    #[error("no room in the queue for {waited_ms} ms: {reason}")]
    TimedOut {
        /// How long the producer waited, ms.
        waited_ms: u64,
        /// Why there is no room, in words.
        reason: String,
    },
}

/// The side of the queue that sources see.
pub trait Producer: Send + Sync {
    /// All streams that the queue remembers, with the position at which each goes on.
    fn streams(&self) -> Vec<Arc<Stream>>;

    /// Makes a stream known. It is stored with its first block; nothing is written before.
    fn declare(&self, spec: StreamSpec) -> Arc<Stream>;

    /// Replaces what is known of a stream (its head has grown, its path is another); stored with its next block.
    fn amend(&self, stream: &Arc<Stream>, spec: StreamSpec);

    /// Stores streams of which no block was handed over yet, each with the position where reading of it begins, durable
    /// with the next sync: a restart then knows their files, whatever their names are by then. Of a stream of which there
    /// are blocks it stores what is known of it now; none may be under way, and the position is the durable one.
    fn announce(&self, _streams: Vec<(Arc<Stream>, Position)>) {}

    /// The stream's file is gone and read to its end: its record may go when its records are recycled.
    fn forget(&self, _stream: &Arc<Stream>) {}

    /// Memory for a block, or `None` when the cap (`buffer_memory`) leaves no room within `wait`.
    fn buffer(&self, len: usize, wait: Duration) -> Option<Buffer>;

    /// Hands over a block. Blocks of one stream are stored in the order in which they are handed over.
    ///
    /// # Errors
    /// [`AppendError::Closed`] at shutdown, [`AppendError::TimedOut`] after `max_block` without room.
    fn append(&self, block: Block) -> Result<(), AppendError>;

    /// Waits at most `wait` until an [`Producer::append`] would be taken at once; whether it would.
    fn has_room(&self, wait: Duration) -> bool;

    /// Waits at most `wait` until all of the stream before byte `end` counts as done under the configured `acks`;
    /// whether it does. Who asks shares the syncs that happen anyway: nothing is forced.
    fn acked(&self, stream: &Arc<Stream>, end: u64, wait: Duration) -> bool;

    /// Whether the queue has lost anything that is to be read again; asked at every step, so it must cost nothing.
    fn any_wanted(&self) -> bool {
        false
    }

    /// What is to be read again, and handed over in blocks with [`super::RunFlags::REPAIR`].
    fn wanted(&self) -> Vec<Wanted> {
        Vec::new()
    }

    /// Says how the reading again of these spans ended. What was handed over for them is durable before they count as
    /// settled; `false` when that was not to be had now: then it is to be asked again, and nothing has changed.
    fn settle(&self, _settled: &[Settled]) -> bool {
        true
    }

    /// Puts on record, durably, what was gone before it was read; `false` when that was not to be had now: then it is
    /// to be asked again.
    fn lost_unread(&self, _lost: &[LostUnread]) -> bool {
        true
    }
}

/// What a consumer wants in one batch.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes: those of the events plus `overhead` for each. One larger event comes alone.
    pub max_bytes: usize,
    /// Bytes that the sink's encoding adds to each event, about.
    pub overhead: usize,
    /// Most events.
    pub max_events: u32,
    /// How long to wait for more, once there is something.
    pub linger: Duration,
}

/// Why a batch is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum BatchKind {
    /// It is the group's turn; or its events are redriven from where they stand in the queue.
    #[default]
    Events,
    /// Its events replace what the receiver has of them: `forebay groups reset --overwrite`.
    Overwrite {
        /// When that was asked for, ms since the Unix epoch.
        asked_ms: u64,
    },
    /// Its events are redriven from their dead letters, since their topic no longer has them. The offsets of the
    /// batch are those of the dead-letter topic; the events keep theirs.
    Letters {
        /// They were refused when they were to replace what the receiver has.
        overwrite: bool,
    },
}

/// Names one batch, the same at every retry, also after a restart and after `kill -9`.
///
/// A batch that overwrites has another name than the one that shipped the same events before: it is another
/// request, and a receiver that knows batches by their names must not take it for the one that it has. For the same
/// reason each `reset --overwrite` gives new names (by its time, which is in the group's journal, so retries keep
/// theirs). A plain reset keeps the names: what it ships again is the same request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BatchId {
    /// UUID of the queue.
    pub queue: u128,
    /// The consumer group: the sink's name.
    pub group: Arc<str>,
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: u32,
    /// Epoch of the queue in which the events were appended.
    pub epoch: u32,
    /// Offset of the first event.
    pub first: u64,
    /// Offset of the last event.
    pub last: u64,
    /// Version of the sink's processing: other processing gives other bytes, so another ID.
    pub pipeline: u32,
    /// How often the group was reset in this process before: an ack from before a reset must not move the commit.
    /// No part of the name, since the same events under the same name are the same batch.
    pub reset: u32,
    /// See [`BatchKind`].
    pub kind: BatchKind,
}

impl BatchId {
    /// Whether its events replace what the receiver has of them, where the receiver can do that.
    pub fn overwrites(&self) -> bool {
        matches!(self.kind, BatchKind::Overwrite { .. } | BatchKind::Letters { overwrite: true })
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:032x}-{}-{}-{}-{}-{}-{}-{:08x}",
            self.queue, self.group, self.topic, self.partition, self.epoch, self.first, self.last, self.pipeline
        )?;
        match self.kind {
            BatchKind::Events => Ok(()),
            BatchKind::Overwrite { asked_ms } => write!(f, "-overwrite-{asked_ms}"),
            BatchKind::Letters { overwrite: false } => f.write_str("-letters"),
            BatchKind::Letters { overwrite: true } => f.write_str("-letters-overwrite"),
        }
    }
}

/// Part of a [`Batch`]: consecutive events of one record batch.
#[derive(Clone, Debug)]
pub struct Part {
    /// The record batch.
    pub batch: Arc<RecordBatch>,
    /// Index of the first event in it.
    pub skip: u32,
    /// Number of events.
    pub count: u32,
}

/// Consecutive events of one partition for one consumer group.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The batch's name; its range of offsets is in the group's journal already.
    pub id: BatchId,
    /// The events.
    pub parts: Vec<Part>,
    /// Number of events.
    pub events: u32,
    /// Bytes of the events.
    pub bytes: usize,
    /// Events of it may have been sent before: it was in flight when an earlier process ended, the group was moved back, or
    /// they are redriven.
    pub sent_before: bool,
    /// It was cut for want of memory to read more of the queue into: it is as large as it can be now.
    pub cut: bool,
}

/// The events of a [`Batch`] that belong to one run of one stream.
#[derive(Clone, Debug)]
pub struct RunSlice<'a> {
    /// The run, for its stream and flags.
    pub run: &'a super::Run,
    /// When it was appended, ms since the Unix epoch.
    pub append_ms: u64,
    /// Epoch of the queue in which it was appended.
    pub epoch: u32,
    /// The events.
    pub events: Events<'a>,
}

impl Part {
    /// The runs of the part in the order of offsets.
    pub fn runs(&self) -> impl Iterator<Item = RunSlice<'_>> {
        let (mut offset, mut skip, mut left) = (self.batch.base_offset, self.skip, self.count);
        self.batch.runs.iter().filter_map(move |run| {
            let (base, dropped) = (offset, skip.min(run.count));
            let taken = left.min(run.count - dropped);
            offset += u64::from(run.count);
            skip -= dropped;
            left -= taken;
            (taken > 0).then(|| RunSlice {
                run,
                append_ms: self.batch.append_ms,
                epoch: self.batch.epoch,
                events: Events::new(run, base, dropped, taken),
            })
        })
    }
}

impl Batch {
    /// The runs of the batch in the order of offsets.
    pub fn runs(&self) -> impl Iterator<Item = RunSlice<'_>> {
        self.parts.iter().flat_map(Part::runs)
    }
}

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The queue is closing.
    #[error("the queue is closing")]
    Closed,
    /// The range of the batch could not be recorded, so it may not be sent; the consumer may try again.
    #[error("cannot write the groups' journal: {source}")]
    Journal {
        /// The cause.
        source: std::io::Error,
    },
    /// The disk failed; the consumer may try again.
    #[error("cannot read {what}: {source}")]
    Io {
        /// The file.
        what: String,
        /// The cause.
        source: std::io::Error,
    },
}

/// The side of the queue that a sink sees: one consumer group over the partitions of its topics.
pub trait Consumer: Send {
    /// The next batch, waiting at most `wait` for one; `None` when there is nothing.
    ///
    /// Ranges that were in flight when an earlier process died come first, cut exactly as before.
    /// The range of what is returned is in the group's journal before this returns.
    ///
    /// # Errors
    /// [`FetchError`] when the disk fails or the queue closes.
    fn poll(&mut self, limits: &Limits, wait: Duration) -> Result<Option<Batch>, FetchError>;

    /// Nothing can be sent now, nobody knows for how long: what was read for the next batch need not stay in memory.
    fn rest(&mut self) {}

    /// The handle with which batches are acked, from any thread.
    fn acker(&self) -> Arc<dyn Acker>;
}

/// Acks batches of one consumer group; the commit is the low-water mark of what is acked.
pub trait Acker: Send + Sync {
    /// The batch is delivered (or dead-lettered, durably): its range need not be sent again.
    fn ack(&self, id: &BatchId);

    /// The same where the sink has left events out: their bytes by the number of their stream, ascending, for the audit.
    fn ack_without(&self, id: &BatchId, filtered: &[(u64, u64)]) {
        let _ = filtered;
        self.ack(id);
    }

    /// Events that were delivered nowhere yet: visible end minus committed offset, over all partitions.
    fn lag_events(&self) -> u64;

    /// The events of a batch that is not acked once more, as far as they are in the queue, so that nobody needs to keep the
    /// bytes of what is in flight.
    ///
    /// # Errors
    /// [`FetchError`] when the disk fails or the queue closes.
    fn again(&self, id: &BatchId) -> Result<Vec<Part>, FetchError>;
}

/// Where sinks put what can never be delivered.
pub trait DeadLetters: Send + Sync {
    /// Appends records (one JSON object each, without newline) to the dead-letter topic and waits until they are durable.
    ///
    /// # Errors
    /// [`AppendError`]: nothing may be acked then.
    fn put(&self, records: Vec<Vec<u8>>) -> Result<(), AppendError>;
}
