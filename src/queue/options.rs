//! `queue:` in the configuration.

use std::path::PathBuf;
use std::time::Duration;

/// When an append counts as done (Kafka's `acks` 0, 1, all).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// As soon as it is in memory.
    None,
    /// When it is written to the file: survives `kill -9`, not a power cut.
    Written,
    /// When it is synced to the disk: survives a power cut.
    Synced,
}

/// How the payload of a record batch is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    #[default]
    None,
    /// LZ4 block.
    Lz4,
    /// Zstandard, level 1.
    Zstd,
}

/// What a batch waits for before it is sent: that the range in flight, which gives it its ID, stands in the group's journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Intent {
    /// Written: after `kill -9` exactly the same batches are sent again, after a power cut perhaps the same events in others.
    #[default]
    Written,
    /// Synced: after a power cut, too. One sync more for each batch.
    Synced,
}

/// What happens when `max_bytes` or the floor of free space is reached and nothing acknowledged is left to delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// Sources wait; files simply stay on disk.
    Block,
    /// The oldest segment goes, although some group has not read it.
    DropOldest,
    /// What comes is dropped.
    DropNewest,
}

/// How long records are kept that nobody waits for: after every group has acknowledged them, or, for dead letters, at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Bytes of them to keep.
    pub bytes: u64,
    /// Keep them no longer than this.
    pub age: Duration,
}

/// Options of the embedded queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueOptions {
    /// `data_dir`: where all state lives.
    pub dir: PathBuf,
    /// Bytes of a segment file.
    pub segment_bytes: u64,
    /// Bytes of events that a record batch is filled to.
    pub batch_size: usize,
    /// How long a record batch that is not full may wait for more.
    pub linger: Duration,
    /// See [`Acks`].
    pub acks: Acks,
    /// See [`Intent`].
    pub intent: Intent,
    /// See [`Compression`].
    pub compression: Compression,
    /// Least time from one sync to the next, and so the longest that what is written waits for one.
    pub sync_interval: Duration,
    /// Cap on all memory that holds data, bytes.
    pub buffer_memory: usize,
    /// How long a push input may wait for room.
    pub max_block: Duration,
    /// Most bytes on disk, over all topics but the dead letters.
    pub max_bytes: u64,
    /// Bytes that are left free on the disk; `None`: a twentieth of it, at most 1 GiB.
    pub min_free_bytes: Option<u64>,
    /// See [`OnFull`].
    pub on_full: OnFull,
    /// What is kept for a replay.
    pub retention: Retention,
    /// What is kept of the dead-letter topic; beyond it the oldest are lost, which is counted and told.
    pub dead_letters: Retention,
    /// How long a group whose sink is not configured any more holds what it has not acknowledged.
    pub absent_groups: Duration,
    /// Partitions of each topic.
    pub partitions: u32,
    /// Most that the process uses of the processors on average, thousandths of one (`limits.cpu`); `None`: all it can get.
    pub cpu: Option<u32>,
}

/// The parts of `buffer_memory`. Each has its own bound, so that none can take what another one needs to get on.
impl QueueOptions {
    /// For what was read from sources and is not on the disk yet, and for the tail cache, bytes.
    pub(crate) fn block_memory(&self) -> usize {
        self.buffer_memory / 2
    }

    /// For what is read back from the disk until it is encoded, bytes.
    pub(crate) fn read_back_memory(&self) -> usize {
        self.buffer_memory / 6
    }

    /// For the bodies that sinks send, bytes.
    pub(crate) fn body_memory(&self) -> usize {
        self.buffer_memory / 3
    }
}

impl Default for QueueOptions {
    fn default() -> Self {
        QueueOptions {
            dir: PathBuf::from("forebay-data"),
            segment_bytes: 64 << 20,
            batch_size: 1 << 20,
            linger: Duration::from_millis(5),
            acks: Acks::Synced,
            intent: Intent::Written,
            compression: Compression::None,
            sync_interval: Duration::from_millis(25),
            buffer_memory: 24 << 20,
            max_block: Duration::from_secs(60),
            max_bytes: 10 << 30,
            min_free_bytes: None,
            on_full: OnFull::Block,
            retention: Retention { bytes: 1 << 30, age: Duration::from_secs(7 * 86_400) },
            dead_letters: Retention { bytes: 1 << 30, age: Duration::from_secs(30 * 86_400) },
            absent_groups: Duration::from_secs(7 * 86_400),
            partitions: 1,
            cpu: None,
        }
    }
}
