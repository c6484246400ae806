//! What a source hands to the queue: a block of whole events, and the pooled memory it lives in.

use super::partition::Notifier;
use super::{Stream, Text};
use bytes::Bytes;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Facts about the bytes of a run, found once when they are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunFlags(pub u32);

impl RunFlags {
    /// All bytes (delimiters aside) can stand in a JSON string as they are.
    pub const JSON_CLEAN: u32 = 1;
    /// All bytes are valid UTF-8, and that is what they mean.
    pub const UTF8: u32 = 1 << 1;
    /// The run is one event that was cut at `max_line_bytes`: it covers more of the source than it holds.
    pub const CUT: u32 = 1 << 2;
    /// The stream has no positions of its own; start and end are sequence numbers.
    pub const NO_POSITION: u32 = 1 << 3;
    /// The run was read again because the queue had lost it: it says nothing of how far its stream was read.
    pub const REPAIR: u32 = 1 << 4;
    /// Each event is a syslog message.
    pub const SYSLOG: u32 = 1 << 5;
    /// Each event is an entry of the systemd journal in its export format.
    pub const JOURNAL: u32 = 1 << 6;
    /// The events went through a chain before the queue: some may be missing or changed, and the lengths say of each where it
    /// was in the source and what is stored of it. See [`super::Stored`].
    pub const PROCESSED: u32 = 1 << 7;
    /// The events from start to end were dropped when the queue was full (`on_full: drop_newest`): the run has none.
    pub const DROPPED: u32 = 1 << 8;
    /// No run: an entry of a run table that tells what a chain before the queue has filtered of the stream of the run behind it.
    pub(crate) const FILTERED: u32 = 1 << 9;
    /// Each event of the run is a piece of a line that was split at `max_line_bytes`.
    pub const PART: u32 = 1 << 16;
    /// Two bits: see [`Format`].
    pub(crate) const FORMAT_SHIFT: u32 = 18;
    /// The bits of the [`Format`].
    pub(crate) const FORMAT: u32 = 3 << RunFlags::FORMAT_SHIFT;
    /// Two bits: see [`Text`].
    pub(crate) const LINE_ENDING_SHIFT: u32 = 20;
    /// Eight bits: see [`Text`].
    pub(crate) const ENCODING_SHIFT: u32 = 24;

    /// Whether all bits of `flag` are set.
    pub fn has(self, flag: u32) -> bool {
        self.0 & flag == flag
    }

    /// Line ending and encoding of the bytes.
    pub fn text(self) -> Text {
        Text::of(self)
    }

    /// What the lines of the events are.
    pub fn format(self) -> Format {
        match self.0 >> RunFlags::FORMAT_SHIFT & 3 {
            1 => Format::Cri,
            2 => Format::Docker,
            _ => Format::Plain,
        }
    }
}

/// What the lines of a run's events are. They stay in the queue as they were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// What the program wrote.
    #[default]
    Plain,
    /// Records of containerd and CRI-O: time, stream, whether the line goes on, what the program wrote.
    Cri,
    /// JSON objects of Docker's driver `json-file`.
    Docker,
}

impl Format {
    /// Its bits in the flags of a run.
    pub(crate) fn flags(self) -> u32 {
        (self as u32) << RunFlags::FORMAT_SHIFT
    }

    /// Its name in the configuration; `None` for plain lines.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Format::Plain => None,
            Format::Cri => Some("cri"),
            Format::Docker => Some("docker"),
        }
    }
}

/// Length and CRC32C of the last bytes of the source before a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Bytes covered, at most [`Tail::MAX`].
    pub len: u32,
    /// CRC32C of them.
    pub crc: u32,
}

impl Tail {
    /// A tail covers at most this many bytes.
    pub const MAX: usize = 256;

    /// The tail of a source whose last bytes are `bytes` (only the last [`Tail::MAX`] count).
    pub fn of(bytes: &[u8]) -> Tail {
        let bytes = &bytes[bytes.len().saturating_sub(Self::MAX)..];
        Tail { len: bytes.len() as u32, crc: crc32c::crc32c(bytes) }
    }
}

/// A run of whole events of one stream, exactly as they were read, delimiters included.
///
/// `data` holds the events end to end; `lens` holds their lengths (with delimiter) as LEB128
/// varints, so that event *i* starts at `source_start + sum(lens[..i])` in the source. Where the
/// source has a gap (a skipped or cut event), a new block begins. With [`RunFlags::PROCESSED`] each event has three
/// numbers there: see [`super::Events`].
#[derive(Clone, Debug)]
pub struct Block {
    /// The stream the events belong to.
    pub stream: Arc<Stream>,
    /// Byte of the source where the first event begins.
    pub source_start: u64,
    /// Byte of the source after the last event.
    pub source_end: u64,
    /// Number of events; 0 where a chain before the queue has filtered all.
    pub count: u32,
    /// Lengths of the events in `data`, LEB128.
    pub lens: Bytes,
    /// The events.
    pub data: Bytes,
    /// See [`RunFlags`].
    pub flags: RunFlags,
    /// The source's last bytes before `source_end`.
    pub tail: Tail,
    /// What was filtered before the queue, where that has changed. See [`Filtered`].
    pub filtered: Vec<Filtered>,
}

/// What a rule before the queue has filtered of a stream since it began, up to the end of a run. A sum and no difference, so
/// that a reader may meet it twice, and a damaged one costs nothing once the next is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filtered {
    /// Number of the rule in its stream: see [`Stream::rule`].
    pub rule: u32,
    /// Events.
    pub events: u64,
    /// Bytes of the source.
    pub bytes: u64,
}

/// Appends `value` to `out` as an unsigned LEB128 varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

struct PoolState {
    used: usize,
    /// Readers that cannot go on before consumers let go of what they have.
    starving: usize,
    free: Vec<Vec<u8>>,
}

/// Memory for blocks under one hard cap (`queue.buffer_memory`); buffers come back when their last user drops them.
pub struct BufferPool {
    cap: usize,
    block: usize,
    state: Mutex<PoolState>,
    freed: Condvar,
}

impl BufferPool {
    /// A pool of at most `cap` bytes that keeps buffers of `block` bytes for reuse.
    pub fn new(cap: usize, block: usize) -> Arc<BufferPool> {
        Arc::new(BufferPool { cap, block, state: Mutex::new(PoolState { used: 0, starving: 0, free: Vec::new() }), freed: Condvar::new() })
    }

    /// Bytes in use now.
    pub fn used(&self) -> usize {
        self.state.lock().unwrap_or_else(|e| e.into_inner()).used
    }

    /// The cap, bytes.
    pub fn cap(&self) -> usize {
        self.cap
    }

    /// As [`BufferPool::take`], of memory that consumers have: they are told before it waits.
    pub(crate) fn take_from(self: &Arc<Self>, consumers: &Notifier, len: usize, wait: Duration) -> Option<Buffer> {
        let starving = |change: fn(usize) -> usize| {
            let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
            state.starving = change(state.starving);
        };
        starving(|n| n + 1);
        consumers.notify();
        let buffer = self.take(len, wait);
        starving(|n| n - 1);
        buffer
    }

    /// Whether a reader waits for memory that consumers have.
    pub(crate) fn is_starving(&self) -> bool {
        self.state.lock().unwrap_or_else(|e| e.into_inner()).starving > 0
    }

    /// A buffer of `len` bytes, or `None` when there is no room within `wait`. One buffer larger than the
    /// whole cap is granted when nothing else is in use, so that no event can wait for ever.
    pub fn take(self: &Arc<Self>, len: usize, wait: Duration) -> Option<Buffer> {
        let until = Instant::now() + wait;
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        while state.used > 0 && state.used + len > self.cap {
            let now = Instant::now();
            if now >= until {
                return None;
            }
            state = self.freed.wait_timeout(state, until - now).unwrap_or_else(|e| e.into_inner()).0;
        }
        state.used += len;
        let bytes = if len == self.block { state.free.pop() } else { None };
        drop(state);
        Some(Buffer { bytes: bytes.unwrap_or_else(|| vec![0; len]), charged: len, pool: self.clone() })
    }
}

/// Memory from a [`BufferPool`]; [`Buffer::freeze`] makes it shareable without a copy.
pub struct Buffer {
    bytes: Vec<u8>,
    charged: usize,
    pool: Arc<BufferPool>,
}

impl Buffer {
    /// Makes the buffer immutable and cheap to share; it returns to the pool when the last slice is dropped.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::ops::Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock().unwrap_or_else(|e| e.into_inner());
        state.used -= self.charged;
        // A sync frees many at once, and fresh memory costs as much as filling it: as many idle ones are worth keeping
        // as are in use, within the cap; when little is in use only a few.
        let keep = (state.used.min(self.pool.cap.saturating_sub(state.used)) / self.pool.block.max(1)).max(4);
        if self.bytes.len() == self.pool.block && state.free.len() < keep {
            state.free.push(std::mem::take(&mut self.bytes));
        }
        drop(state);
        self.pool.freed.notify_all();
    }
}
