//! A file's turn: read what is new, cut it into blocks of whole events, hand them to the queue.
//!
//! Each read begins up to 256 bytes before the position, so that every read proves that the file
//! is still the one whose bytes were handed over: a truncation is seen even when the file has
//! grown past the position again. An incomplete last event is not kept in memory but read again
//! with what follows it; of a long one, only the part that was not searched yet.

use super::compressed::Inflated;
use super::lines::{cut, delimiter, flags, split_lines};
use super::multiline::Multi;
use super::tracked::{Former, Tracked, read_full, tail_agrees, tail_at};
use super::{FileOptions, counters::Counters};
use crate::process::identity::stream_key;
use crate::queue::{AppendError, Block, Buffer, Head, Producer, RunFlags, StreamSpec, Tail};
use bytes::Bytes;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of one read.
pub(crate) const READ_BLOCK: usize = 256 << 10;
/// Bytes after which another file has its turn.
const TURN_BYTES: u64 = 1 << 20;
/// An incomplete event longer than this is not read again until its end is found.
const LONG: u64 = READ_BLOCK as u64 / 4;
/// How long a turn waits for memory; then renames are looked for before the next try.
pub(crate) const BUFFER_WAIT: Duration = Duration::from_millis(20);
/// The first event's bytes that go into the stream key.
pub(crate) const KEY_BYTES: usize = 4096;

/// What all files of a source share.
pub(crate) struct Source {
    pub(crate) options: FileOptions,
    pub(crate) multi: Option<Multi>,
    /// `fields` as they stand in a stream's spec.
    pub(crate) fields: String,
    pub(crate) counters: Arc<Counters>,
}

/// What all files share.
pub(crate) struct Shared {
    pub(crate) producer: Arc<dyn Producer>,
    pub(crate) agent_id: String,
    pub(crate) sources: Vec<Source>,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There is more to read.
    More,
    /// All is read; [`Tracked::deadline`] says when to look again without a hint.
    Idle,
    /// The queue has no room.
    Blocked,
    /// The queue is closing.
    Closed,
    /// The file was truncated: [`Tracked::former`] says what it was.
    Truncated,
    /// A compressed file does not hold what it was taken for.
    Unlike,
    /// A compressed file is read to its end.
    Whole,
    /// Its name is gone or means another file, and it is not open.
    Gone,
    /// Reading failed; to be tried again.
    Failed,
}

/// Why a turn cannot go on.
enum Stop {
    Turn(Turn),
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Stop {
        Stop::Io(e)
    }
}

/// The part of a source that becomes a block.
struct Piece {
    start: u64,
    end: u64,
    count: u32,
    lens: Vec<u8>,
    data: Bytes,
    flags: RunFlags,
    tail: Tail,
    /// Length of the first event with its delimiter.
    first: usize,
}

impl Tracked {
    /// Reads and hands over at most a mebibyte or so.
    pub(crate) fn turn(&mut self, shared: &Shared, now: Instant) -> Turn {
        self.used = true;
        let result = self.try_turn(shared, now);
        self.gauge();
        match result {
            Ok(turn) | Err(Stop::Turn(turn)) => turn,
            Err(Stop::Io(e)) if e.kind() == io::ErrorKind::NotFound && self.file.is_none() => Turn::Gone,
            Err(Stop::Io(e)) => {
                self.fail("read", &e);
                // ESTALE and the like are mended by a fresh look at the name, if there is one.
                if self.at.is_some() {
                    self.close();
                }
                Turn::Failed
            }
        }
    }

    fn try_turn(&mut self, shared: &Shared, now: Instant) -> Result<Turn, Stop> {
        self.open()?;
        match self.inflate()? {
            Inflated::Ready => {}
            Inflated::Skipping => return Ok(Turn::More),
            Inflated::Unlike => return Ok(Turn::Unlike),
        }
        let meta = self.opened()?.metadata()?;
        let (size, modified_ns) = (meta.len(), meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec()));
        if size < self.pos {
            return Ok(self.truncated(size));
        }
        if size != self.size || self.size == 0 {
            self.grown = now;
        }
        if size < self.scanned {
            self.scanned = self.pos;
        }
        self.size = size;
        let end = self.drain_end.map_or(size, |d| d.min(size));
        let mut budget = TURN_BYTES;
        if self.scanned >= end && modified_ns != self.modified_ns && !tail_agrees(self.opened()?, self.pos, &self.tail)? {
            return Ok(self.truncated(size));
        }
        while self.scanned < end && budget > 0 {
            let before = self.scanned;
            self.read_once(shared, end)?;
            if self.scanned <= before {
                // The file shrank under the read: the next look tells.
                return Ok(Turn::More);
            }
            budget = budget.saturating_sub(self.scanned - before);
        }
        self.healthy();
        if self.scanned < end || (self.packed.is_some() && self.drain_end.is_none() && !self.is_whole()) {
            return Ok(Turn::More);
        }
        self.modified_ns = modified_ns;
        let turn = self.quiet(shared, now)?;
        Ok(if turn == Turn::Idle && self.is_whole() && self.pos >= size { Turn::Whole } else { turn })
    }

    fn opened(&self) -> io::Result<&std::fs::File> {
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// A buffer with what the file holds from `back` bytes before the position on, and how much that is.
    fn fetch(&self, shared: &Shared, len: usize) -> Result<(Buffer, usize, usize), Stop> {
        let back = self.pos.min(Tail::MAX as u64) as usize;
        let mut buffer = shared.producer.buffer(back + len, BUFFER_WAIT).ok_or(Stop::Turn(Turn::Blocked))?;
        let n = read_full(self.opened()?, &mut buffer, self.pos - back as u64)?;
        Ok((buffer, back, n))
    }

    /// Whether the bytes before the position are still those that were handed over.
    fn proves(&self, before: &[u8]) -> bool {
        let len = self.tail.len as usize;
        len <= before.len() && Tail::of(&before[before.len() - len..]) == self.tail
    }

    /// One read: advances `scanned`, and the position behind the last whole event.
    fn read_once(&mut self, shared: &Shared, end: u64) -> Result<(), Stop> {
        let source = &shared.sources[self.source];
        let max = source.options.max_line_bytes;
        let back = self.pos.min(Tail::MAX as u64);
        let left = (end - self.pos) as usize;
        let mut want = if left as u64 >= LONG { READ_BLOCK - back as usize } else { left };
        if self.scanned - self.pos >= LONG {
            match &source.multi {
                // Whole lines up to `max` make an event; the line that goes beyond may be as long again.
                Some(_) if self.scanned - self.pos <= 2 * max as u64 + 4 => want = (2 * max + READ_BLOCK).min(left.max(READ_BLOCK)),
                _ => {
                    let Some(line_end) = self.find_newline(end)? else { return Ok(()) };
                    let line = line_end - self.pos;
                    if line > max as u64 + 2 {
                        return self.cut_line(shared, line_end);
                    }
                    want = (line as usize).max(READ_BLOCK - back as usize);
                }
            }
        }
        let (buffer, back, n) = self.fetch(shared, want)?;
        let n = n.min(back + left);
        if n <= back {
            return Ok(());
        }
        if !self.proves(&buffer[..back]) {
            return Err(Stop::Turn(self.truncated(self.size)));
        }
        let from = match self.late_newline(&buffer[..n], back) {
            Some(0) => {
                // A lone CR: whether it belongs to the flushed line is not known yet.
                self.scanned = self.pos + 1;
                return Ok(());
            }
            Some(skip) => {
                self.seek(self.pos + skip as u64, Tail::of(&buffer[..back + skip]));
                back + skip
            }
            None => back,
        };
        let read_end = self.pos + (n - from) as u64;
        let mut lens = Vec::with_capacity(if n - from > 4096 { 8192 } else { 64 });
        let data = &buffer[from..n];
        let split = match &source.multi {
            Some(multi) => multi.split(data, max, &mut lens),
            None => split_lines(data, max, &mut lens),
        };
        if split.count == 0 && split.long.is_none() {
            self.scanned = read_end;
            return Ok(());
        }
        let (flags, tail) = (flags(&data[..split.end], split.delimiters), Tail::of(&buffer[..from + split.end]));
        let memory = buffer.freeze();
        if split.count > 0 {
            self.hand_over(
                shared,
                Piece {
                    start: self.pos,
                    end: self.pos + split.end as u64,
                    count: split.count,
                    lens,
                    data: memory.slice(from..from + split.end),
                    flags,
                    tail,
                    first: split.first,
                },
            )?;
        }
        if let Some(long) = split.long {
            let at = from + split.end;
            let line = memory.slice(at..at + long);
            let tail = Tail::of(&memory[..at + long]);
            return self.hand_over_cut(shared, line, long as u64, delimiter(&memory[at..at + long]) as u64, tail);
        }
        self.scanned = read_end;
        Ok(())
    }

    /// Length of a delimiter at `at` that belongs to a line that was flushed without it; 0 for a CR that may become one.
    fn late_newline(&self, bytes: &[u8], at: usize) -> Option<usize> {
        if at == 0 || bytes[at - 1] == b'\n' {
            return None;
        }
        match &bytes[at..] {
            [b'\n', ..] => Some(1),
            [b'\r', b'\n', ..] => Some(2),
            [b'\r'] => Some(0),
            _ => None,
        }
    }

    /// Searches what was not searched yet; the byte after the newline, if there is one.
    fn find_newline(&mut self, end: u64) -> Result<Option<u64>, Stop> {
        let mut scratch = vec![0; (end - self.scanned).min(READ_BLOCK as u64) as usize];
        let n = read_full(self.opened()?, &mut scratch, self.scanned)?;
        match memchr::memchr(b'\n', &scratch[..n]) {
            Some(i) => Ok(Some(self.scanned + i as u64 + 1)),
            None => {
                self.scanned += n as u64;
                Ok(None)
            }
        }
    }

    /// Hands over the first bytes of the line that ends at `line_end` and is too long to be read whole.
    fn cut_line(&mut self, shared: &Shared, line_end: u64) -> Result<(), Stop> {
        let max = shared.sources[self.source].options.max_line_bytes;
        let (buffer, back, n) = self.fetch(shared, max)?;
        if n < back + max {
            return Ok(());
        }
        if !self.proves(&buffer[..back]) {
            return Err(Stop::Turn(self.truncated(self.size)));
        }
        let mut ends = [0; 2];
        let got = read_full(self.opened()?, &mut ends, line_end - 2)?;
        let tail = tail_at(self.opened()?, line_end)?;
        let memory = buffer.freeze();
        self.hand_over_cut(shared, memory.slice(back..back + max), line_end - self.pos, delimiter(&ends[..got]) as u64, tail)
    }

    /// Hands over `line` (its first bytes at least), cut, as the event that covers `covers` bytes of the source.
    fn hand_over_cut(&mut self, shared: &Shared, line: Bytes, covers: u64, delimiter: u64, tail: Tail) -> Result<(), Stop> {
        let kept = cut(&line, shared.sources[self.source].options.max_line_bytes).len();
        let (mut lens, data) = (Vec::new(), line.slice(..kept));
        crate::queue::put_varint(&mut lens, kept as u32);
        let mut flags = flags(&data, 0);
        flags.0 |= RunFlags::CUT;
        self.hand_over(shared, Piece { start: self.pos, end: self.pos + covers, count: 1, lens, data, flags, tail, first: kept })?;
        self.counters.cut_events.add(1);
        self.counters.cut_bytes.add(covers - delimiter - kept as u64);
        Ok(())
    }

    fn hand_over(&mut self, shared: &Shared, piece: Piece) -> Result<(), Stop> {
        let grown_head = if (self.head.len as usize) < Head::MAX && piece.end > u64::from(self.head.len) {
            let mut first = vec![0; piece.end.min(Head::MAX as u64) as usize];
            let n = read_full(self.opened()?, &mut first, 0)?;
            Some(Head::of(&first[..n]))
        } else {
            None
        };
        let stream = match (&self.stream, grown_head) {
            (Some(stream), None) => stream.clone(),
            (Some(stream), Some(head)) => {
                // A continuation in a copy keeps the identity of the file that it was copied from.
                shared.producer.amend(stream, StreamSpec { head, ..(*stream.spec()).clone() });
                stream.clone()
            }
            (None, head) => {
                let source = &shared.sources[self.source];
                let first = &piece.data[..piece.first];
                let first = &first[..first.len() - delimiter(first)];
                shared.producer.declare(StreamSpec {
                    key: stream_key(&shared.agent_id, &self.identity, self.generation, &first[..first.len().min(KEY_BYTES)]),
                    source: source.options.name.clone(),
                    topic: source.options.topic.clone(),
                    path: self.path.clone(),
                    file: Some(self.identity),
                    generation: self.generation,
                    head: head.unwrap_or(self.head),
                    fields: source.fields.clone(),
                    ..StreamSpec::default()
                })
            }
        };
        self.stream = Some(stream.clone());
        self.head = grown_head.unwrap_or(self.head);
        let (events, bytes) = (u64::from(piece.count), piece.end - piece.start);
        let block = Block {
            stream,
            source_start: piece.start,
            source_end: piece.end,
            count: piece.count,
            lens: piece.lens.into(),
            data: piece.data,
            flags: piece.flags,
            tail: piece.tail,
        };
        match shared.producer.append(block) {
            Ok(()) => {
                self.seek(piece.end, piece.tail);
                self.counters.read_events.add(events);
                self.counters.read_bytes.add(bytes);
                Ok(())
            }
            Err(AppendError::Closed) => Err(Stop::Turn(Turn::Closed)),
            Err(AppendError::TimedOut { .. }) => Err(Stop::Turn(Turn::Blocked)),
        }
    }

    /// All is read: an incomplete last event waits for its quiet time, then becomes one.
    fn quiet(&mut self, shared: &Shared, now: Instant) -> Result<Turn, Stop> {
        self.deadline = None;
        if self.scanned <= self.pos || self.drain_end.is_some() {
            return Ok(Turn::Idle);
        }
        let source = &shared.sources[self.source];
        if let Some(multi) = &source.multi {
            if now < self.grown + multi.timeout && !self.is_whole() {
                self.deadline = Some(self.grown + multi.timeout);
                return Ok(Turn::Idle);
            }
            self.flush_lines(shared)?;
            if self.scanned <= self.pos {
                return Ok(Turn::Idle);
            }
        }
        let due = self.grown + source.options.idle_flush;
        if now < due && !self.is_whole() {
            self.deadline = Some(due);
            return Ok(Turn::Idle);
        }
        self.flush_partial(shared)
    }

    /// Multiline: the time-out is over, so the last event is complete as far as its lines are.
    fn flush_lines(&mut self, shared: &Shared) -> Result<(), Stop> {
        let len = self.scanned - self.pos;
        if len > (2 * shared.sources[self.source].options.max_line_bytes + READ_BLOCK) as u64 {
            return Ok(());
        }
        let (buffer, back, n) = self.fetch(shared, len as usize)?;
        if !self.proves(&buffer[..back.min(n)]) {
            return Err(Stop::Turn(self.truncated(self.size)));
        }
        if let Some(last) = memchr::memrchr(b'\n', &buffer[back.min(n)..n]) {
            let end = back + last + 1;
            self.hand_over_one(shared, &buffer.freeze(), back, end)?;
        }
        Ok(())
    }

    /// Hands over `memory[back..end]` as one event.
    fn hand_over_one(&mut self, shared: &Shared, memory: &Bytes, back: usize, end: usize) -> Result<(), Stop> {
        let (data, mut lens) = (memory.slice(back..end), Vec::new());
        crate::queue::put_varint(&mut lens, data.len() as u32);
        let (flags, tail, len) = (flags(&data, delimiter(&data)), Tail::of(&memory[..end]), data.len());
        self.hand_over(shared, Piece { start: self.pos, end: self.pos + len as u64, count: 1, lens, data, flags, tail, first: len })
    }

    /// The quiet time is over: what is there becomes an event without its delimiter.
    fn flush_partial(&mut self, shared: &Shared) -> Result<Turn, Stop> {
        let len = self.scanned - self.pos;
        if len > shared.sources[self.source].options.max_line_bytes as u64 {
            self.cut_line(shared, self.scanned)?;
            return Ok(Turn::Idle);
        }
        let (buffer, back, n) = self.fetch(shared, len as usize)?;
        if n < back + len as usize {
            return Ok(Turn::More);
        }
        if !self.proves(&buffer[..back]) {
            return Ok(self.truncated(self.size));
        }
        if self.late_newline(&buffer[..n], back) != Some(0) {
            self.hand_over_one(shared, &buffer.freeze(), back, n)?;
        }
        Ok(Turn::Idle)
    }

    /// The file was truncated: what follows is a new generation. `size` is what it holds now.
    fn truncated(&mut self, size: u64) -> Turn {
        self.counters.truncations.add(1);
        self.former = Some(Former {
            stream: self.stream.take(),
            identity: self.identity,
            generation: self.generation,
            head: self.head,
            pos: self.pos,
            tail: self.tail,
            size: self.size,
        });
        tracing::warn!(
            "{} was truncated: {} bytes were read of it, now it holds {size}; reading it from byte 0 as generation {}",
            self.place().display(),
            self.pos,
            self.generation + 1
        );
        self.generation += 1;
        self.head = Head::default();
        (self.pos, self.scanned, self.tail) = (0, 0, Tail::default());
        self.size = 0;
        self.drain_end = self.drain_end.map(|_| size);
        Turn::Truncated
    }
}
