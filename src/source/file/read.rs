//! A file's turn: read what is new, cut it into blocks of whole events, hand them to the queue.
//!
//! Each read begins up to 256 bytes before the position, so that every read proves that the file
//! is still the one whose bytes were handed over: a truncation is seen even when the file has
//! grown past the position again. An incomplete last event is not kept in memory but read again
//! with what follows it; of a long one, only the part that was not searched yet.

use super::compressed::Inflated;
use super::lines::{Begins, Rules, Split, flags, split_lines, split_long};
use super::multiline::Multi;
use super::records::split_records;
use super::resume::first_bytes;
use super::shared::Shared;
use super::tracked::{Former, Tracked, read_full, tail_agrees, tail_at};
use super::{FileEncoding, FileFormat, FileOptions, LongLine};
use crate::process::container::{DETECT_BYTES, detect};
use crate::process::identity::stream_key;
use crate::queue::text::Beginning;
use crate::queue::{AppendError, Block, Buffer, Encoding, Format, Head, RunFlags, StreamSpec, Tail, Text, now_ms};
use bytes::Bytes;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
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

/// The events at the front of a buffer: lines, lines that are joined, or pieces of a line that is too long.
pub(crate) fn split(multi: Option<&Multi>, data: &[u8], rules: &Rules, begins: Begins, lens: &mut Vec<u8>) -> Split {
    if rules.format != Format::Plain {
        return split_records(multi, data, rules, false, lens);
    }
    let split_long_lines = rules.long == LongLine::Split;
    if split_long_lines && begins.mid_line {
        return split_long(data, rules, begins, lens);
    }
    let split = match multi {
        Some(multi) => multi.split(data, rules, begins, lens),
        None => split_lines(data, rules, begins.odd, lens),
    };
    match split_long_lines {
        true if split.count == 0 => split_long(data, rules, begins, lens),
        true => Split { long: None, ..split },
        false => split,
    }
}

/// So many bytes from the beginning of an event on hold its end, or its first line is too long.
pub(super) fn enough(multi: Option<&Multi>, rules: &Rules) -> usize {
    match (multi, rules.long, rules.format) {
        (Some(multi), _, Format::Plain) => multi.enough(rules),
        // Whether the line joins of which there are records may turn on the record behind them.
        (Some(multi), ..) => multi.enough(rules) + rules.surely_long(),
        (None, LongLine::Split, _) => rules.surely_long(),
        (None, _, Format::Plain) => 0,
        (None, ..) => rules.surely_long() + rules.text.longest_delimiter(),
    }
}

/// How lines are found in a file; `None` while its first bytes do not tell yet.
pub(super) fn rules_of(file: &File, options: &FileOptions) -> io::Result<Option<Rules>> {
    let encoding = match options.encoding {
        FileEncoding::Is(encoding) => encoding,
        FileEncoding::Utf16 => {
            let mut mark = [0; 2];
            if read_full(file, &mut mark, 0)? < mark.len() {
                return Ok(None);
            }
            if Encoding::UTF16BE.mark(&mark) > 0 { Encoding::UTF16BE } else { Encoding::UTF16LE }
        }
    };
    let format = match options.format {
        FileFormat::Is(format) => format,
        FileFormat::Auto => {
            let mut first = [0; DETECT_BYTES];
            let n = read_full(file, &mut first, 0)?;
            let Some(format) = detect(&first[..n]) else { return Ok(None) };
            format
        }
    };
    let text = Text { encoding, ending: options.line_ending };
    // A surrogate pair is four bytes, and a piece of a line is at least one character.
    let least = if encoding.unit() == 2 { 4 } else { 1 };
    let long = if format == Format::Plain { options.on_long_line } else { LongLine::Cut };
    Ok(Some(Rules { text, format, max: options.max_line_bytes.max(least), long }))
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
pub(super) enum Stop {
    Turn(Turn),
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Stop {
        Stop::Io(e)
    }
}

/// The part of a source that becomes a block.
pub(super) struct Piece {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) count: u32,
    pub(super) lens: Vec<u8>,
    pub(super) data: Bytes,
    pub(super) flags: RunFlags,
    pub(super) tail: Tail,
    /// Length of the first event with its delimiter.
    pub(super) first: usize,
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
        (self.open_event, self.aside.size_before) = (false, self.size);
        let seen = self.open()?;
        match self.inflate()? {
            Inflated::Ready => {}
            Inflated::Skipping => return Ok(Turn::More),
            Inflated::Unlike => return Ok(Turn::Unlike),
        }
        let meta = seen.map_or_else(|| self.opened()?.metadata(), Ok)?;
        let (size, modified_ns) = (meta.len(), meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec()));
        if size < self.pos {
            return Ok(self.truncated(size));
        }
        // Nothing was read yet that every read would prove.
        if self.announced && self.head.len > 0 && !self.head.matches(&first_bytes(self.opened()?)?) {
            return Ok(self.truncated(size));
        }
        if size != self.size || self.size == 0 || self.aside.grown.is_none() {
            self.aside.grown = Some(now);
        }
        if size < self.scanned {
            self.scanned = self.pos;
        }
        self.size = size;
        let end = self.aside.drain_end.map_or(size, |d| d.min(size));
        let mut budget = TURN_BYTES;
        if self.scanned >= end && modified_ns != self.modified_ns && !tail_agrees(self.opened()?, self.pos, &self.tail)? {
            return Ok(self.truncated(size));
        }
        let Some(rules) = self.learn(&shared.sources[self.source()].options)? else {
            self.scanned = end;
            return Ok(Turn::Idle);
        };
        while self.scanned < end && budget > 0 {
            let before = self.scanned;
            self.read_once(shared, &rules, end)?;
            if self.scanned <= before {
                // The file shrank under the read: the next look tells.
                return Ok(Turn::More);
            }
            budget = budget.saturating_sub(self.scanned - before);
        }
        self.healthy();
        if self.scanned < end || (self.packed.is_some() && self.aside.drain_end.is_none() && !self.is_whole()) {
            return Ok(Turn::More);
        }
        self.modified_ns = modified_ns;
        let turn = self.quiet(shared, &rules, now)?;
        Ok(if turn == Turn::Idle && self.is_whole() && self.pos >= size { Turn::Whole } else { turn })
    }

    /// How lines are found in the file; `None` while its first bytes do not tell yet.
    pub(crate) fn learn(&mut self, options: &FileOptions) -> io::Result<Option<Rules>> {
        if self.aside.rules.is_none() {
            self.aside.rules = rules_of(self.opened()?, options)?;
        }
        Ok(self.aside.rules)
    }

    pub(super) fn opened(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// A buffer with what the file holds from `back` bytes before the position on, and how much that is.
    pub(super) fn fetch(&self, shared: &Shared, len: usize) -> Result<(Buffer, usize, usize), Stop> {
        let back = self.pos.min(Tail::MAX as u64) as usize;
        let mut buffer = shared.producer.buffer(back + len, BUFFER_WAIT).ok_or(Stop::Turn(Turn::Blocked))?;
        let n = read_full(self.opened()?, &mut buffer, self.pos - back as u64)?;
        Ok((buffer, back, n))
    }

    /// Whether the bytes before the position are still those that were handed over.
    pub(super) fn proves(&self, before: &[u8]) -> bool {
        let len = self.tail.len as usize;
        len <= before.len() && Tail::of(&before[before.len() - len..]) == self.tail
    }

    /// One read: advances `scanned`, and the position behind the last whole event.
    fn read_once(&mut self, shared: &Shared, rules: &Rules, end: u64) -> Result<(), Stop> {
        let source = &shared.sources[self.source()];
        let back = self.pos.min(Tail::MAX as u64);
        let left = (end - self.pos) as usize;
        let mut want = if left as u64 >= LONG { READ_BLOCK - back as usize } else { left };
        let searched = self.scanned - self.pos;
        if searched >= LONG {
            // With so many bytes there is an event, or the first line is too long and its end must be found.
            let enough = enough(source.multi.as_ref(), rules);
            if searched < enough as u64 {
                want = (enough + READ_BLOCK).min(left);
            } else {
                let Some(line_end) = self.find_line_end(rules, end)? else { return Ok(()) };
                let line = line_end - self.pos;
                if line > rules.surely_long() as u64 {
                    return self.cut_line(shared, rules, line_end);
                }
                want = (line as usize).max(READ_BLOCK - back as usize);
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
        let mut from = back;
        if self.mid_line(rules, &buffer[..back]) {
            // A delimiter here belongs to the line that was flushed without it.
            match rules.text.beginning(&buffer[back..n]) {
                Beginning::Delimiter(len) => {
                    from += len;
                    self.seek(self.pos + len as u64, Tail::of(&buffer[..from]));
                }
                Beginning::Maybe => {
                    self.scanned = self.pos + (n - back) as u64;
                    return Ok(());
                }
                Beginning::Other => {}
            }
        }
        let (read_end, memory) = (self.pos + (n - from) as u64, buffer.freeze());
        loop {
            let mut lens = Vec::with_capacity(if n - from > 4096 { 8192 } else { 64 });
            let split = split(source.multi.as_ref(), &memory[from..n], rules, self.begins(rules, &memory[..from]), &mut lens);
            if split.count > 0 {
                let data = memory.slice(from..from + split.end);
                from += split.end;
                let mut flags = flags(rules.text, &data, split.delimiters);
                if split.parts {
                    flags.0 |= RunFlags::PART;
                }
                let (start, end, tail) = (self.pos, self.pos + split.end as u64, Tail::of(&memory[..from]));
                self.hand_over(shared, Piece { start, end, count: split.count, lens, data, flags, tail, first: split.first })?;
            }
            if let Some(long) = split.long {
                let line = memory.slice(from..from + long);
                from += long;
                let (tail, delimiter) = (Tail::of(&memory[..from]), rules.text.delimiter(&line));
                self.hand_over_cut(shared, rules, line, long as u64, delimiter as u64, tail)?;
            } else if split.count == 0 || rules.long == LongLine::Cut {
                self.scanned = read_end;
                return Ok(());
            }
        }
    }

    /// Whether the bytes before the position are no delimiter: their line was flushed without it, or split.
    pub(super) fn mid_line(&self, rules: &Rules, before: &[u8]) -> bool {
        self.pos > 0 && rules.text.delimiter(before) == 0
    }

    pub(super) fn begins(&self, rules: &Rules, before: &[u8]) -> Begins {
        Begins { odd: self.pos % 2 == 1, mid_line: self.mid_line(rules, before), first: self.pos == 0 }
    }

    /// Searches what was not searched yet; where the line at the position ends, if it does.
    fn find_line_end(&mut self, rules: &Rules, end: u64) -> Result<Option<u64>, Stop> {
        // A delimiter may lie across the seam.
        let from = self.scanned.saturating_sub(rules.text.longest_delimiter() as u64 - 1).max(self.pos);
        let mut scratch = vec![0; (end - from).min(READ_BLOCK as u64) as usize];
        let n = read_full(self.opened()?, &mut scratch, from)?;
        match rules.text.line_end(&scratch[..n], 0, 0, from % 2 == 1) {
            Some(line_end) => Ok(Some(from + line_end as u64)),
            None => {
                self.scanned = self.scanned.max(from + n as u64);
                Ok(None)
            }
        }
    }

    /// Hands over the first bytes of the line that ends at `line_end` and is too long to be read whole.
    pub(super) fn cut_line(&mut self, shared: &Shared, rules: &Rules, line_end: u64) -> Result<(), Stop> {
        let (buffer, back, n) = self.fetch(shared, rules.max)?;
        if n < back + rules.max {
            return Ok(());
        }
        if !self.proves(&buffer[..back]) {
            return Err(Stop::Turn(self.truncated(self.size)));
        }
        let mut ends = [0; 4];
        let got = read_full(self.opened()?, &mut ends, line_end - rules.text.longest_delimiter() as u64)?;
        let (tail, delimiter) =
            (tail_at(self.opened()?, line_end)?, rules.text.delimiter(&ends[..got.min(rules.text.longest_delimiter())]));
        let memory = buffer.freeze();
        self.hand_over_cut(shared, rules, memory.slice(back..back + rules.max), line_end - self.pos, delimiter as u64, tail)
    }

    /// Hands over `line` (its first bytes at least), cut, as the event that covers `covers` bytes of the source.
    fn hand_over_cut(&mut self, shared: &Shared, rules: &Rules, line: Bytes, covers: u64, delimiter: u64, tail: Tail) -> Result<(), Stop> {
        let kept = rules.text.encoding.cut(&line, rules.max);
        let (mut lens, data) = (Vec::new(), line.slice(..kept));
        crate::queue::put_varint(&mut lens, kept as u32);
        let mut flags = flags(rules.text, &data, 0);
        flags.0 |= RunFlags::CUT;
        self.hand_over(shared, Piece { start: self.pos, end: self.pos + covers, count: 1, lens, data, flags, tail, first: kept })?;
        self.counters.cut_events.add(1);
        self.counters.cut_bytes.add(covers - delimiter - kept as u64);
        Ok(())
    }

    pub(super) fn hand_over(&mut self, shared: &Shared, mut piece: Piece) -> Result<(), Stop> {
        piece.flags.0 |= self.aside.rules.map_or(0, |rules| rules.format.flags());
        let grows = (self.head.len as usize) < Head::MAX && piece.end > u64::from(self.head.len);
        let grown_head = if grows || self.announced {
            let want = piece.end.min(Head::MAX as u64) as usize;
            if piece.start == 0 && piece.data.len() >= want {
                Some(Head::of(&piece.data[..want]))
            } else {
                let mut first = [0; Head::MAX];
                let n = read_full(self.opened()?, &mut first[..want], 0)?;
                Some(Head::of(&first[..n]))
            }
        } else {
            None
        };
        let marked = piece.data.len() as u64 == piece.end - piece.start && self.aside.marks.take(piece.start, &piece.lens, &piece.data);
        let stream = match (&self.stream, grown_head) {
            (Some(stream), None) if !marked => stream.clone(),
            (Some(stream), grown) if !self.announced => {
                let (head, resume) = (grown.unwrap_or(self.head), self.aside.marks.encode());
                shared.producer.amend(stream, StreamSpec { head, resume, ..(*stream.spec()).clone() });
                stream.clone()
            }
            (known, head) => {
                let source = &shared.sources[self.source()];
                let first = &piece.data[..piece.first];
                let first = &first[..first.len() - piece.flags.text().delimiter(first)];
                // A continuation in a copy keeps the identity of the file that it was copied from.
                let announced = known.as_ref().map(|stream| stream.spec());
                let identity = announced.as_ref().and_then(|spec| spec.file).unwrap_or(self.identity);
                let spec = StreamSpec {
                    key: stream_key(&shared.agent_id, &identity, self.generation, &first[..first.len().min(KEY_BYTES)]),
                    source: source.options.name.clone(),
                    topic: source.options.topic.clone(),
                    path: self.path.to_path_buf(),
                    file: Some(identity),
                    generation: self.generation,
                    head: head.unwrap_or(self.head),
                    fields: source.fields_of(&self.path),
                    resume: self.aside.marks.encode(),
                    seen_ms: announced.map_or_else(now_ms, |spec| spec.seen_ms),
                    ..StreamSpec::default()
                };
                match known {
                    Some(stream) => {
                        shared.producer.amend(stream, spec);
                        stream.clone()
                    }
                    None => shared.producer.declare(spec),
                }
            }
        };
        (self.stream, self.announced) = (Some(stream.clone()), false);
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
            filtered: Vec::new(),
        };
        match shared.producer_of(self.source()).append(block) {
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

    /// The file was truncated: what follows is a new generation. `size` is what it holds now.
    pub(super) fn truncated(&mut self, size: u64) -> Turn {
        self.counters.truncations.add(1);
        self.aside.former = Some(Box::new(Former {
            stream: self.stream.take().inspect(|stream| stream.rest()),
            identity: self.identity,
            generation: self.generation,
            head: self.head,
            marks: std::mem::take(&mut self.aside.marks),
            pos: self.pos,
            tail: self.tail,
            size: self.aside.size_before.max(self.pos),
        }));
        let kept = match (&self.aside.former, &self.file) {
            (Some(was), Some(file)) => was.marks.kept(file, size, &was.head, was.pos).unwrap_or_default(),
            _ => Default::default(),
        };
        tracing::warn!(
            "{} was truncated: {} bytes were read of it, now it holds {size}; reading it from byte {} as generation {}",
            self.place().display(),
            self.pos,
            kept.0,
            self.generation + 1
        );
        self.counters.kept_bytes.add(kept.0);
        self.announced = false;
        self.generation += 1;
        self.head = Head::default();
        (self.pos, self.scanned, self.tail, self.aside.rules) = (kept.0, kept.0, kept.1, None);
        self.size = 0;
        self.aside.drain_end = self.aside.drain_end.map(|_| size);
        Turn::Truncated
    }
}
