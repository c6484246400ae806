//! Reads again what the queue has lost, from files that still have it.
//!
//! Exactly the lost bytes are read, of the very file and generation, and only where all that is known of them still
//! agrees: the fingerprint of the file, and the checksums of the bytes before and at the end of what is missing. The
//! blocks are marked, so that they do not move the position of their stream; their events get the IDs that they had.

use super::LongLine;
use super::lines::{Begins, Rules, flags};
use super::multiline::Multi;
use super::read::{BUFFER_WAIT, KEY_BYTES, READ_BLOCK, enough, rules_of, split};
use super::records::split_records;
use super::resume::first_bytes;
use super::tailer::Tailer;
use super::tracked::{Look, open_regular, read_full, same_file, tail_agrees};
use crate::process::identity::stream_key;
use crate::queue::text::Beginning;
use crate::queue::{AppendError, Block, Cause, Format, Producer, RunFlags, Settled, Span, Stream, Tail, Wanted, put_varint};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// At most so many bytes are read before the files that grow have their turn.
const STEP_BYTES: u64 = 4 << 20;
/// Between two tries when the queue or the disk has no room.
const PAUSE: Duration = Duration::from_millis(200);
/// So many spans are settled at once.
const SETTLED_AT_ONCE: usize = 256;

/// Longer spans are not cut twice to see whether they make as many events as were lost.
const COUNTED: u64 = 16 << 20;

/// What is being read again.
#[derive(Debug, Default)]
pub(crate) struct Again {
    /// When to look again.
    due: Option<Instant>,
    /// Handed over, or given up, but not settled yet.
    done: Vec<Settled>,
    /// A span that is long is handed over in parts: stream, end of the span, where it goes on, events so far.
    under_way: Option<(u64, u64, u64, u64)>,
}

impl Again {
    /// When the thread has to look again, at the latest at `next`.
    pub(crate) fn next(&self, next: Instant, producer: &dyn Producer) -> Instant {
        self.due.filter(|_| producer.any_wanted()).map_or(next, |due| next.min(due))
    }
}

/// How the reading again of a span went on.
enum Went {
    /// It is handed over: so many events.
    Whole(u64),
    /// There is more of it.
    Part,
    /// The queue has no room.
    Blocked,
}

/// Why a span is not read again now.
enum No {
    /// It cannot be read again: why.
    Lost(String),
    /// The disk failed; perhaps later.
    Io(io::Error),
}

impl From<io::Error> for No {
    fn from(e: io::Error) -> No {
        No::Io(e)
    }
}

impl Tailer {
    /// Reads some of what the queue wants again; `true` when there is more to do at once.
    pub(crate) fn read_again(&mut self, now: Instant) -> bool {
        if !self.shared.producer.any_wanted() || !self.looked_once || self.again.due.is_some_and(|due| now < due) {
            return false;
        }
        let mut left = STEP_BYTES;
        let wanted = self.shared.producer.wanted();
        let streams = self.shared.producer.streams();
        for want in &wanted {
            let Some(stream) = streams.iter().find(|s| s.id == want.stream) else {
                self.give_up(want, "its stream is forgotten, since its file is gone");
                continue;
            };
            let opened = self.find_again(stream);
            for span in &want.spans {
                if self.again.done.iter().any(|d| d.stream == stream.id && d.bytes == (span.start..span.end)) {
                    continue;
                }
                if left == 0 {
                    return true;
                }
                let went = match &opened {
                    Ok((file, source)) => self.read_span(stream, file, *source, span, &mut left),
                    Err(No::Lost(why)) => Err(No::Lost(why.clone())),
                    Err(No::Io(e)) => Err(No::Io(e.kind().into())),
                };
                let outcome = match went {
                    Ok(Went::Whole(events)) => Ok(events),
                    Ok(Went::Part) => return true,
                    Ok(Went::Blocked) => {
                        self.again.due = Some(now + PAUSE);
                        return false;
                    }
                    Err(No::Lost(why)) => Err(why),
                    Err(No::Io(e)) => {
                        let path = stream.spec().path.display().to_string();
                        self.say_once(format!("cannot read {path} again for what the queue has lost of it: {e}; tried again"));
                        self.again.due = Some(now + PAUSE * 25);
                        return false;
                    }
                };
                self.again.under_way = None;
                self.again.done.push(Settled { stream: stream.id, bytes: span.start..span.end, outcome });
                if self.again.done.len() >= SETTLED_AT_ONCE {
                    return self.settle_again(&wanted, &streams, now);
                }
            }
        }
        self.settle_again(&wanted, &streams, now)
    }

    fn give_up(&mut self, want: &Wanted, why: &str) {
        let settled = |s: &Span| Settled { stream: want.stream, bytes: s.start..s.end, outcome: Err(why.into()) };
        let fresh: Vec<Settled> = want.spans.iter().map(settled).filter(|s| !self.again.done.contains(s)).collect();
        self.again.done.extend(fresh);
    }

    fn settle_again(&mut self, wanted: &[Wanted], streams: &[Arc<Stream>], now: Instant) -> bool {
        if !self.shared.producer.settle(&self.again.done) {
            self.again.due = Some(now + PAUSE);
            return false;
        }
        self.again.due = None;
        let done = std::mem::take(&mut self.again.done);
        for want in wanted {
            // Another cause may want other bytes of the same stream.
            let wants =
                |d: &&Settled| d.stream == want.stream && want.spans.iter().any(|s| (s.start, s.end) == (d.bytes.start, d.bytes.end));
            let mine = || done.iter().filter(wants);
            let (mut ranges, mut events, mut bytes) = (Vec::<(u64, u64)>::new(), 0, 0);
            for settled in mine() {
                let Ok(n) = settled.outcome else { continue };
                events += n;
                bytes += settled.bytes.end - settled.bytes.start;
                match ranges.last_mut().filter(|(_, end)| *end == settled.bytes.start) {
                    Some((_, end)) => *end = settled.bytes.end,
                    None => ranges.push((settled.bytes.start, settled.bytes.end)),
                }
            }
            let path = streams.iter().find(|s| s.id == want.stream).map_or_else(String::new, |s| s.spec().path.display().to_string());
            let how = match want.cause {
                Cause::Damaged => "damaged in the queue",
                _ => "taken out of the queue",
            };
            if !ranges.is_empty() {
                let at: Vec<String> = ranges.iter().map(|(from, end)| format!("{from}..{end}")).collect();
                tracing::warn!(
                    "{events} events ({bytes} bytes) of {path} at bytes {} were {how} and have been read again from the file",
                    at.join(", ")
                );
            }
            let lost: Vec<_> = mine().filter_map(|d| Some((d.bytes.clone(), d.outcome.as_ref().err()?))).collect();
            if let Some((_, why)) = lost.first() {
                let at: Vec<String> = lost.iter().map(|(b, _)| format!("{}..{}", b.start, b.end)).collect();
                tracing::error!("bytes {} of {path} were {how} and are lost: {why}", at.join(", "));
            }
        }
        self.shared.producer.any_wanted()
    }

    /// The file of a stream, if it is still what it was, and the source whose rules cut it.
    fn find_again(&mut self, stream: &Arc<Stream>) -> Result<(File, usize), No> {
        let spec = stream.spec();
        let (named, durable) = (self.shared.sources.iter().position(|s| s.options.name == spec.source), stream.durable());
        let source = named.or_else(|| self.source_of(&spec.path)).ok_or_else(|| No::Lost("no source reads it any more".into()))?;
        let identity = spec.file.ok_or_else(|| No::Lost("it is no file".into()))?;
        let followed = self.files.values().find(|f| f.stream.as_ref().is_some_and(|s| s.id == stream.id));
        let same = self.files.values().find(|f| same_file(&f.identity, &identity));
        let file = match followed.or(same) {
            // One without a name any more is open still.
            Some(f) if f.file.is_some() && f.at.is_none() => f.file.as_ref().and_then(|f| f.try_clone().ok()),
            Some(f) => f.at.as_deref().and_then(|at| opened_if(at.to_path_buf(), |l| l.identity == f.identity)),
            None => opened_if(spec.path.clone(), |l| same_file(&l.identity, &identity)).or_else(|| {
                let dir = std::fs::read_dir(spec.path.parent()?).ok()?;
                dir.flatten().find_map(|entry| {
                    use std::os::unix::fs::DirEntryExt;
                    (entry.ino() == identity.inode).then(|| opened_if(entry.path(), |l| same_file(&l.identity, &identity)))?
                })
            }),
        };
        let gone = || No::Lost("the file is not there any more (deleted, compressed, or moved to another folder)".into());
        let file = file.ok_or_else(gone)?;
        if !spec.head.matches(&first_bytes(&file)?) {
            return Err(No::Lost("the file begins with other bytes now".into()));
        }
        if file.metadata()?.len() < durable.end || !tail_agrees(&file, durable.end, &durable.tail)? {
            return Err(No::Lost("the file was truncated or written anew since".into()));
        }
        Ok((file, source))
    }

    fn read_span(&mut self, stream: &Arc<Stream>, file: &File, source: usize, span: &Span, left: &mut u64) -> Result<Went, No> {
        let tail = |(len, crc)| Tail { len, crc };
        if file.metadata()?.len() < span.end {
            return Err(No::Lost("the file is shorter now".into()));
        }
        for (at, known) in [(span.start, span.before), (span.end, span.tail)] {
            if let Some(known) = known
                && !tail_agrees(file, at, &tail(known))?
            {
                return Err(No::Lost(format!("the file has other bytes before byte {at} now")));
            }
        }
        let (cutting, differs) = self.cutting(file, source, span)?;
        // Of what went through a chain before the queue, nobody knows how many events it was before.
        let processed = span.flags.is_some_and(|flags| RunFlags(flags).has(RunFlags::PROCESSED));
        let producer = self.shared.producer_of(source);
        let (mut at, mut events) = match self.again.under_way {
            Some((id, end, at, events)) if (id, end) == (stream.id, span.end) => (at, events),
            _ => (self.beginning(stream, file, &cutting, span)?, 0),
        };
        while at < span.end {
            let whole = span.events == Some(1) && at == span.start && !processed;
            let Some(piece) = read_piece(file, &cutting, at, span.end, whole)? else {
                return Err(No::Lost("the file is shorter now".into()));
            };
            // Asked for first: a full queue must not hold up the files that grow.
            let Some(mut buffer) = self.shared.producer.buffer(piece.data.len(), BUFFER_WAIT) else {
                self.again.under_way = Some((stream.id, span.end, at, events));
                return Ok(Went::Blocked);
            };
            buffer.copy_from_slice(&piece.data);
            let block = Block {
                stream: stream.clone(),
                source_start: at,
                source_end: piece.end,
                count: piece.count,
                lens: piece.lens.into(),
                data: buffer.freeze(),
                flags: RunFlags(piece.flags.0 | RunFlags::REPAIR),
                tail: piece.tail,
                filtered: Vec::new(),
            };
            match producer.append(block) {
                Ok(()) => {}
                Err(AppendError::Closed | AppendError::TimedOut { .. }) => {
                    self.again.under_way = Some((stream.id, span.end, at, events));
                    return Ok(Went::Blocked);
                }
            }
            *left = left.saturating_sub(piece.end - at);
            (at, events) = (piece.end, events + u64::from(piece.count));
            if *left == 0 && at < span.end {
                self.again.under_way = Some((stream.id, span.end, at, events));
                return Ok(Went::Part);
            }
        }
        if differs {
            let path = stream.spec().path.display().to_string();
            self.say_once(format!(
                "{path} is read again for what the queue has lost of it, but its source's options (`multiline`, `max_line_bytes`, `on_long_line`) have changed since: bytes {}..{} make {events} events now, and made {} then. Nothing of them is missing; those that are cut otherwise have other IDs, so what a sink had of them already is there twice",
                span.start,
                span.end,
                span.events.unwrap_or(0)
            ));
        }
        Ok(Went::Whole(events))
    }

    /// How what was lost was cut into events: as far as the lost run tells, its format, encoding and line ending; the
    /// rest as the source has it now, or without `multiline` where that makes as many events as were lost. And whether
    /// nothing makes as many.
    fn cutting(&self, file: &File, source: usize, span: &Span) -> Result<(Cutting<'_>, bool), No> {
        let source = &self.shared.sources[source];
        let shorter = || No::Lost("the file is shorter now".into());
        let rules = match (rules_of(file, &source.options)?, span.flags.map(RunFlags)) {
            (known, None) => known.ok_or_else(shorter)?,
            (_, Some(flags)) => {
                let (text, format) = (flags.text(), flags.format());
                let least = if text.encoding.unit() == 2 { 4 } else { 1 };
                let long = match source.options.on_long_line {
                    _ if format != Format::Plain || flags.has(RunFlags::CUT) => LongLine::Cut,
                    _ if flags.has(RunFlags::PART) => LongLine::Split,
                    long => long,
                };
                Rules { text, format, max: source.options.max_line_bytes.max(least), long }
            }
        };
        let cutting = Cutting { rules, multi: source.multi.as_ref() };
        let processed = span.flags.is_some_and(|flags| RunFlags(flags).has(RunFlags::PROCESSED));
        let Some(wanted) = span.events.filter(|n| *n > 1 && span.end - span.start <= COUNTED && !span.began && !processed) else {
            return Ok((cutting, false));
        };
        let single = Cutting { rules, multi: None };
        for cutting in [cutting, single] {
            if cutting.count(file, span)? == Some(wanted) {
                return Ok((cutting, false));
            }
        }
        Ok((cutting, true))
    }

    /// Where the first lost event begins.
    fn beginning(&self, stream: &Stream, file: &File, cutting: &Cutting<'_>, span: &Span) -> Result<u64, No> {
        if !span.began {
            // The delimiter of a line that was flushed without it belongs to no event.
            let mut after = [0; 4];
            let n = read_full(file, &mut after, span.start)?;
            let before = before(file, span.start)?;
            let text = cutting.rules.text;
            let late = match (text.delimiter(&before), text.beginning(&after[..n])) {
                (0, Beginning::Delimiter(len)) if span.events.is_none() && !before.is_empty() => len as u64,
                _ => 0,
            };
            return Ok((span.start + late).min(span.end));
        }
        // The stream's key is made of its first event.
        let spec = stream.spec();
        let identity = spec.file.unwrap_or_default();
        let mut at = span.start;
        while at < span.end {
            let Some(piece) = read_piece(file, cutting, at, span.end, false)? else { break };
            let (mut lens, mut from) = (&piece.lens[..], 0);
            while let Some(len) = take_varint(&mut lens) {
                let event = piece.data.get(from..from + len).unwrap_or_default();
                let first = &event[..event.len() - piece.flags.text().delimiter(event)];
                if stream_key(&self.shared.agent_id, &identity, spec.generation, &first[..first.len().min(KEY_BYTES)]) == spec.key {
                    return Ok(at + from as u64);
                }
                from += len;
            }
            at = piece.end;
        }
        Err(No::Lost("where it begins is not known: no event of the file makes the key of its stream".into()))
    }
}

fn opened_if(path: PathBuf, is: impl Fn(&Look) -> bool) -> Option<File> {
    let file = open_regular(&path).ok()?;
    let look = Look::of(&file.metadata().ok()?);
    is(&look).then_some(file)
}

pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<usize> {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= usize::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
        shift += 7;
    }
}

/// How a file is cut into events.
#[derive(Clone, Copy)]
struct Cutting<'a> {
    rules: Rules,
    multi: Option<&'a Multi>,
}

impl Cutting<'_> {
    /// How many events a span makes; `None` where the file ends before.
    fn count(&self, file: &File, span: &Span) -> io::Result<Option<u64>> {
        let (mut at, mut events) = (span.start, 0);
        while at < span.end {
            let Some(piece) = read_piece(file, self, at, span.end, false)? else { return Ok(None) };
            (at, events) = (piece.end, events + u64::from(piece.count));
        }
        Ok(Some(events))
    }
}

/// Some events, cut by the rules of their source.
struct Piece {
    end: u64,
    count: u32,
    lens: Vec<u8>,
    data: Vec<u8>,
    flags: RunFlags,
    tail: Tail,
}

/// Reads events from `at` on, none beyond `end`, where one ends for sure; all of it is one event where it is `one`.
/// `None`: the file ends before.
fn read_piece(file: &File, cutting: &Cutting<'_>, at: u64, end: u64, one: bool) -> io::Result<Option<Piece>> {
    let Cutting { rules, multi } = *cutting;
    let (max, text) = (rules.max, rules.text);
    let most = (2 * max).max(enough(multi, &rules)).saturating_add(READ_BLOCK) as u64;
    let begins = Begins { odd: at % 2 == 1, mid_line: at > 0 && text.delimiter(&before(file, at)?) == 0, first: at == 0 };
    let mut want = if one { (end - at).min(most) } else { (end - at).min(READ_BLOCK as u64) };
    loop {
        let mut data = vec![0; want as usize];
        if read_full(file, &mut data, at)? < data.len() {
            return Ok(None);
        }
        let last = at + want == end;
        let (mut lens, mut kept, mut covers, mut count, mut ends, mut mark) = (Vec::new(), 0, 0, 0, 0, 0);
        let mut long = one.then_some(want);
        if !one {
            let split = match rules.format {
                Format::Plain => split(multi, &data, &rules, begins, &mut lens),
                _ => split_records(multi, &data, &rules, last, &mut lens),
            };
            (kept, covers, count, ends) = (split.end, split.end as u64, split.count, split.delimiters);
            mark = if split.parts && count > 0 { RunFlags::PART } else { 0 };
            let rest = want - covers;
            long = split.long.map(|n| n as u64).or((last && rest > 0).then_some(rest));
        }
        // What is cut begins a block of its own.
        if count == 0
            && let Some(mut len) = long
        {
            if one && !last {
                len = end - at;
            }
            let line = &data[..(len.min(want)) as usize];
            let delimiter = text.delimiter(line);
            lens.clear();
            (kept, covers, count, ends) = (len as usize, len, 1, delimiter);
            let several = multi.is_some() || rules.format != Format::Plain;
            let joined = several && text.line_end(&line[..line.len() - delimiter], 0, 0, begins.odd).is_some();
            if len - delimiter as u64 > max as u64 && !joined {
                (kept, ends, mark) = (text.encoding.cut(line, max), 0, RunFlags::CUT);
            } else if rules.long == LongLine::Split && begins.mid_line {
                mark = RunFlags::PART;
            }
            put_varint(&mut lens, kept as u32);
        }
        if count == 0 {
            if want < most.min(end - at) {
                want = (want * 2).min(most).min(end - at);
                continue;
            }
            // A line that is longer than what is read of one.
            let Some(line_end) = line_end_after(file, &rules, at + want, end)? else { return Ok(None) };
            (kept, covers, count, mark) = (text.encoding.cut(&data, max), line_end - at, 1, RunFlags::CUT);
            lens.clear();
            put_varint(&mut lens, kept as u32);
        }
        data.truncate(kept);
        let flags = RunFlags(flags(text, &data, ends).0 | mark | rules.format.flags());
        let tail = super::tracked::tail_at(file, at + covers)?;
        return Ok(Some(Piece { end: at + covers, count, lens, data, flags, tail }));
    }
}

/// The last bytes before `at`, as many as a delimiter may have.
fn before(file: &File, at: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; at.min(4) as usize];
    let n = read_full(file, &mut bytes, at - at.min(4))?;
    bytes.truncate(n);
    Ok(bytes)
}

/// The byte after the next delimiter from `from` on, or `end` where there is none before; `None`: the file ends before.
fn line_end_after(file: &File, rules: &Rules, mut from: u64, end: u64) -> io::Result<Option<u64>> {
    // A delimiter may lie across the seam.
    let seam = rules.text.longest_delimiter() as u64 - 1;
    let mut chunk = vec![0; READ_BLOCK];
    while from < end {
        let begin = from.saturating_sub(seam);
        let len = (end - begin).min(READ_BLOCK as u64) as usize;
        let n = read_full(file, &mut chunk[..len], begin)?;
        if let Some(line_end) = rules.text.line_end(&chunk[..n], 0, 0, begin % 2 == 1) {
            return Ok(Some(begin + line_end as u64));
        }
        if n < len {
            return Ok(None);
        }
        from = begin + n as u64;
    }
    Ok(Some(end))
}
