//! Which bytes of which files a hole in a partition held.
//!
//! A record batch whose payload is damaged says so itself: its header and run table have a checksum of their own.
//! Where the header is gone too, the neighbours tell: the runs of a stream are contiguous, so what is missing of it
//! lies between its last run before the hole and its first one after it. Only headers are read for that.

use super::clock::Clock;
use super::disk::{Disk, DiskFile, is_medium_error};
use super::format::{Kind, SEGMENT_HEADER};
use super::groups::Groups;
use super::losses::{Cause, Loss, Losses, LostPart, LostStream, Settled, Span};
use super::partition::Partition;
use super::registry::{Registry, StreamRecord};
use super::segment::{self, Found, Located, Segment};
use super::snapshot::Snapshot;
use super::verify::SNAPSHOTS;
use super::{FetchError, Position, RunFlags, Stream, Tail};
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// At most so many damaged bytes are copied to one file in `quarantine/`.
const ASIDE_BYTES: u64 = 64 << 20;

/// Puts what is found missing on record.
#[derive(Debug)]
pub(crate) struct Holes {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    registry: Arc<Registry>,
    groups: Arc<Groups>,
    losses: Arc<Losses>,
    clock: Arc<dyn Clock>,
    /// One at a time: two groups may come to the same hole at once.
    turn: Mutex<()>,
}

type Ranges = Vec<(u64, u64)>;

/// What is known of a stream before a hole.
#[derive(Clone, Copy, Debug)]
enum Before {
    /// Its last run ends here.
    Run(Position),
    /// It was durable to here when its record was written, and that is all that is left to know.
    AtLeast(u64),
}

impl Before {
    fn end(&self) -> u64 {
        match self {
            Before::Run(position) => position.end,
            Before::AtLeast(at) => *at,
        }
    }
}

impl Holes {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        registry: Arc<Registry>,
        groups: Arc<Groups>,
        losses: Arc<Losses>,
        clock: Arc<dyn Clock>,
    ) -> Holes {
        Holes { disk, dir, registry, groups, losses, clock, turn: Mutex::default() }
    }

    /// The events with these offsets cannot be read: finds out which bytes of which files they were, and puts that
    /// on record, durably. Gives how many of them were not known to be lost.
    ///
    /// # Errors
    /// When it cannot be found out, or put on record: nobody may pass over them then.
    pub(crate) fn found(&self, partition: &Partition, offsets: Range<u64>) -> Result<u64, FetchError> {
        let _turn = self.turn.lock().unwrap_or_else(|e| e.into_inner());
        if partition.not_known_lost(offsets.start, offsets.end) == 0 {
            return Ok(0);
        }
        let losses =
            self.held(partition, offsets.clone()).map_err(|source| FetchError::Io { what: partition.dir.display().to_string(), source })?;
        self.losses.add(&losses).map_err(|e| FetchError::Io { what: "the ledger of losses".into(), source: io::Error::other(e) })?;
        let untold = partition.lose(offsets.start, offsets.end);
        self.settle_what_is_there(partition)?;
        tell(partition, &offsets, &losses);
        Ok(untold)
    }

    /// What is wanted but was read again already, by a process that did not live to say so or for another hole, is
    /// settled: it must not be read a second time.
    ///
    /// # Errors
    /// When segments cannot be read, or it cannot be put on record.
    pub(crate) fn settle_what_is_there(&self, partition: &Partition) -> Result<(), FetchError> {
        let wanted = self.losses.wanted();
        if wanted.is_empty() {
            return Ok(());
        }
        let gone = self.losses.offsets(&partition.topic, partition.number);
        let mut there = Vec::new();
        for segment in partition.segments() {
            let Some(file) = self.file(&segment) else { continue };
            let walked = walk(&*file, &segment, segment.end(), &mut |seen| {
                let Seen::Batch(batch) = seen else { return Ok(true) };
                let of = batch.header.base_offset..batch.end_offset();
                // Damaged in its turn, which is why it is wanted.
                if !segment::is_data(batch) || gone.iter().any(|(first, end)| *first < of.end && of.start < *end) {
                    return Ok(true);
                }
                for run in batch.runs.iter().filter(|r| RunFlags(r.flags).has(RunFlags::REPAIR)) {
                    let hits = |s: &Span| s.start < run.source_end && run.source_start < s.end;
                    if wanted.iter().any(|w| w.stream == run.stream && w.spans.iter().any(hits)) {
                        let bytes = run.source_start..run.source_end;
                        there.push(Settled { stream: run.stream, bytes, outcome: Ok(run.count.into()) });
                    }
                }
                Ok(true)
            });
            walked.map_err(|source| FetchError::Io { what: segment.path.display().to_string(), source })?;
        }
        if there.is_empty() {
            return Ok(());
        }
        let settled = self.losses.settle(&there, self.clock.now_ms());
        settled.map_err(|e| FetchError::Io { what: "the ledger of losses".into(), source: io::Error::other(e) })
    }

    fn held(&self, partition: &Partition, offsets: Range<u64>) -> io::Result<Vec<Loss>> {
        // Their ends now: a batch that is being written is not looked at.
        let mut segments: Vec<(Arc<Segment>, u64)> = partition.segments().into_iter().map(|s| (s.clone(), s.end())).collect();
        segments.retain(|(s, end)| *end > s.base);
        segments.sort_by_key(|(s, _)| s.base);
        let at_ms = self.clock.now_ms();
        let loss = |cause, offsets: Range<u64>, parts| {
            let had = self.groups.had(&partition.topic, partition.number, &offsets);
            Loss { cause, topic: partition.topic.to_string(), partition: partition.number, offsets, at_ms, parts, had }
        };
        let (mut losses, mut unknown, mut next) = (Vec::new(), Vec::new(), offsets.start);
        for (segment, end) in segments.iter().filter(|(s, end)| s.base < offsets.end && *end > offsets.start) {
            let Some(file) = self.file(segment) else { continue };
            walk(&*file, segment, *end, &mut |seen| {
                let Seen::Batch(batch) = seen else {
                    if let Seen::Damage { bytes, offsets: hit } = seen
                        && hit.start < offsets.end
                        && offsets.start < hit.end
                    {
                        self.keep_aside(partition, segment, &*file, bytes);
                    }
                    return Ok(true);
                };
                let of = batch.header.base_offset..batch.end_offset();
                if of.start >= offsets.end {
                    return Ok(false);
                }
                if !segment::is_data(batch) || of.end <= next {
                    return Ok(true);
                }
                // Its header is sound, so it is its payload that is not, or nothing tells of its stream.
                self.keep_aside(partition, segment, &*file, batch.pos..batch.next_pos());
                if of.start > next {
                    unknown.push(next..of.start);
                }
                losses.push(loss(Cause::Damaged, of.start.max(next)..of.end.min(offsets.end), self.runs(batch)));
                next = of.end;
                Ok(true)
            })?;
        }
        if next < offsets.end {
            unknown.push(next..offsets.end);
        }
        for hole in unknown {
            let (cause, parts) = self.between(partition, &segments, &hole)?;
            losses.push(loss(cause, hole, parts));
        }
        Ok(losses)
    }

    fn file(&self, segment: &Segment) -> Option<Arc<dyn DiskFile>> {
        // One that was deleted meanwhile tells nothing; others do.
        segment.file(&self.disk).ok()
    }

    /// What the run table of a batch says that it held.
    fn runs(&self, batch: &Located) -> Vec<LostPart> {
        let part = |run: &super::format::RunEntry| {
            let stream = self.registry.get(run.stream);
            let known = stream.as_ref().map_or(LostStream { number: run.stream, ..LostStream::default() }, |s| LostStream::of(s));
            let positions = !RunFlags(run.flags).has(RunFlags::NO_POSITION);
            let (wanted, why) = readable(stream.as_deref().filter(|_| positions));
            let span = Span { events: Some(run.count.into()), flags: positions.then_some(run.flags), ..Span::default() };
            let tail = Tail { len: run.tail_len, crc: run.tail_crc };
            let span = if positions { Span { start: run.source_start, end: run.source_end, ..span }.with_tail(tail) } else { span };
            LostPart { stream: known, span, bytes: u64::from(run.data_len), wanted, why }
        };
        batch.runs.iter().map(part).collect()
    }

    /// What is missing of each stream in a hole of which no header is left.
    fn between(&self, partition: &Partition, segments: &[(Arc<Segment>, u64)], hole: &Range<u64>) -> io::Result<(Cause, Vec<LostPart>)> {
        let streams: Vec<Arc<Stream>> =
            self.registry.all().into_iter().filter(|s| s.partition == partition.number && *s.spec().topic == *partition.topic).collect();
        // Before the headers are looked at: what was durable by now has its run in them.
        let durable: HashMap<u64, Position> = streams.iter().map(|s| (s.id, s.durable())).collect();
        let inside = segments.iter().any(|(s, end)| s.base <= hole.start && hole.start < *end);
        let cause = if inside { Cause::Damaged } else { Cause::Deleted };
        let first = segments.first().map_or(hole.end, |(s, _)| s.base);
        let group_passed = |(key, state): (&super::group_state::Key, &super::group_state::GroupState)| {
            *key.1 == *partition.topic && key.2 == partition.number && state.committed >= hole.end
        };
        if hole.end <= first && self.groups.all().0.iter().any(group_passed) {
            // Nobody has taken it away: another group had it all, and this one was away for longer than is kept for it.
            return Ok((Cause::Expired, Vec::new()));
        }
        let (mut before, mut after) = (self.snapshot(partition, hole.start), HashMap::new());
        let mut newest_before = before.keys().copied().max();
        for (segment, end) in segments {
            let Some(file) = self.file(segment) else { continue };
            walk(&*file, segment, *end, &mut |seen| {
                let Seen::Batch(batch) = seen else { return Ok(true) };
                if batch.header.kind == Kind::Streams {
                    if batch.header.base_offset <= hole.start
                        && let Some(payload) = unless_bad(segment::payload(&*file, batch))?.flatten()
                    {
                        let mut records = super::codec::Reader(&payload);
                        while let Some(record) = StreamRecord::decode(&mut records) {
                            let at = before.entry(record.id).or_insert(Before::AtLeast(0));
                            if record.position.end > at.end() {
                                *at = Before::AtLeast(record.position.end);
                            }
                        }
                    }
                    return Ok(true);
                }
                for run in batch.runs.iter().filter(|r| !RunFlags(r.flags).has(RunFlags::REPAIR)) {
                    if batch.end_offset() <= hole.start {
                        newest_before = newest_before.max(Some(run.stream));
                        let position = Position { end: run.source_end, tail: Tail { len: run.tail_len, crc: run.tail_crc } };
                        if before.get(&run.stream).is_none_or(|b| b.end() <= position.end) {
                            before.insert(run.stream, Before::Run(position));
                        }
                    } else if batch.header.base_offset >= hole.end {
                        after.entry(run.stream).or_insert(run.source_start);
                    }
                }
                Ok(true)
            })?;
        }
        let from_the_start = first == 0 || hole.start == 0;
        let mut parts = Vec::new();
        for stream in streams {
            let spec = stream.spec();
            if spec.file.is_none() {
                continue;
            }
            let until = durable.get(&stream.id).copied().unwrap_or_default();
            let end = after.get(&stream.id).copied().unwrap_or(until.end);
            let mut span = Span::new(0, end);
            if !after.contains_key(&stream.id) {
                span = span.with_tail(until.tail);
            }
            let (mut wanted, mut why) = readable(Some(&stream));
            match before.get(&stream.id) {
                Some(Before::Run(position)) => {
                    span.start = position.end;
                    span.before = Some((position.tail.len, position.tail.crc));
                }
                Some(Before::AtLeast(at)) if *at > 0 => span.start = *at,
                Some(Before::AtLeast(_)) => span.began = true,
                // Numbers are given out in order: it is younger than all that was there before.
                None if from_the_start || newest_before.is_some_and(|n| n < stream.id) => span.began = true,
                None => {
                    (wanted, why) = (false, "where it begins is not known: the records that told are gone".into());
                }
            }
            if span.start < span.end {
                parts.push(LostPart { stream: LostStream::of(&stream), span, bytes: 0, wanted, why });
            }
        }
        if let [only] = &mut parts[..]
            && !only.span.began
            && matches!(before.get(&only.stream.number), Some(Before::Run(_)))
        {
            only.span.events = Some(hole.end - hole.start);
        } else {
            share(&mut parts, hole.end - hole.start);
        }
        Ok((cause, parts))
    }

    /// Where streams stood before `offset`, by the newest snapshot that was taken before it.
    fn snapshot(&self, partition: &Partition, offset: u64) -> HashMap<u64, Before> {
        let read = |name: &&str| self.disk.read(&self.dir.join(name)).ok().and_then(|b| Snapshot::decode(&b));
        let here = |s: &Snapshot| {
            s.marks.iter().any(|m| *m.topic == *partition.topic && m.partition == partition.number && m.next_offset <= offset)
        };
        let newest = SNAPSHOTS.iter().filter_map(read).filter(here).max_by_key(|s| s.number);
        newest.into_iter().flat_map(|s| s.streams).map(|s| (s.id, Before::AtLeast(s.position.end))).collect()
    }

    fn keep_aside(&self, partition: &Partition, segment: &Segment, file: &dyn DiskFile, bytes: Range<u64>) {
        let quarantine = self.dir.join("quarantine");
        if let Err(e) = keep_aside(&*self.disk, &quarantine, (&partition.topic, partition.number, segment.id), file, bytes) {
            tracing::warn!("cannot keep damaged bytes of {} aside: {e}", segment.path.display());
        }
    }
}

/// How many of `events` each part had, about: by its bytes.
fn share(parts: &mut [LostPart], events: u64) {
    let all: u128 = parts.iter().map(|p| u128::from(p.span.bytes())).sum();
    let (mut bytes, mut given) = (0, 0);
    for part in parts {
        bytes += u128::from(part.span.bytes());
        let to = (u128::from(events) * bytes / all.max(1)) as u64;
        part.span.about = Some(to - given);
        given = to;
    }
}

/// Whether what was lost of a stream can be read again, or why not.
fn readable(stream: Option<&Stream>) -> (bool, String) {
    match stream {
        Some(stream) if stream.spec().file.is_some() => (true, String::new()),
        _ => (false, "it did not come from a file that could be read again".into()),
    }
}

/// Copies damaged bytes of a segment to the quarantine folder.
pub(crate) fn keep_aside(
    disk: &dyn Disk,
    quarantine: &Path,
    (topic, number, id): (&str, u32, u64),
    file: &dyn DiskFile,
    range: Range<u64>,
) -> io::Result<()> {
    let name = format!("{topic}-{number}-{id:016x}-{}.bin", range.start);
    let mut bytes = vec![0; (range.end - range.start).min(ASIDE_BYTES) as usize];
    disk.create_dir_all(quarantine)?;
    let (n, _) = file.read_around(&mut bytes, range.start)?;
    disk.replace(&quarantine.join(name), &bytes[..n])
}

/// What stands in a segment.
enum Seen<'a> {
    Batch(&'a Located),
    Damage { bytes: Range<u64>, offsets: Range<u64> },
}

/// What was read, or `None` where the medium has lost it.
fn unless_bad<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(e) if is_medium_error(&e) => Ok(None),
        read => read.map(Some),
    }
}

/// Shows all headers of a segment up to the offset `end`, and the damage between them, until `look` has seen enough.
fn walk(file: &dyn DiskFile, segment: &Segment, end: u64, look: &mut dyn FnMut(Seen<'_>) -> io::Result<bool>) -> io::Result<()> {
    let (mut pos, mut expected) = (SEGMENT_HEADER as u64, segment.base);
    loop {
        // A bad sector was tried often enough by the one who met it: what is behind it counts.
        let batch = match unless_bad(segment::locate(file, segment.id, pos))?.unwrap_or(Found::Damage) {
            Found::Batch(batch) => batch,
            Found::End | Found::Damage => match unless_bad(segment::search(file, segment.id, pos + 8, expected))?.flatten() {
                Some(found) => {
                    look(Seen::Damage { bytes: pos..found.pos, offsets: expected..found.header.base_offset })?;
                    found
                }
                None => {
                    let len = file.len()?;
                    if expected < end && pos < len {
                        look(Seen::Damage { bytes: pos..len, offsets: expected..end })?;
                    }
                    return Ok(());
                }
            },
        };
        if batch.end_offset() > end || (batch.header.base_offset >= end && !segment::is_data(&batch)) {
            return Ok(());
        }
        (pos, expected) = (batch.next_pos(), batch.end_offset());
        if !look(Seen::Batch(&batch))? {
            return Ok(());
        }
    }
}

/// One line for the hole, and one for each of the first files.
fn tell(partition: &Partition, offsets: &Range<u64>, losses: &[Loss]) {
    const TOLD: usize = 10;
    let parts: Vec<&LostPart> = losses.iter().flat_map(|l| &l.parts).collect();
    let again: u64 = parts.iter().filter(|p| p.wanted).map(|p| p.span.bytes()).sum();
    let what = match losses.first().map(|l| l.cause) {
        Some(Cause::Expired) => "were kept for no longer, and are lost to this group",
        _ if again > 0 => "are not in the queue any more (damaged, or deleted by hand); they are read again from their files",
        _ => "are not in the queue any more (damaged, or deleted by hand), and are lost",
    };
    tracing::error!(
        topic = &*partition.topic,
        partition = partition.number,
        "{} events with offsets {} to {} {what}",
        offsets.end - offsets.start,
        offsets.start,
        offsets.end - 1,
    );
    let mut files: Vec<(&str, Ranges, &str)> = Vec::new();
    for part in &parts {
        let at = files.iter().position(|(path, ..)| *path == part.stream.path).unwrap_or_else(|| {
            files.push((&part.stream.path, Ranges::new(), &part.why));
            files.len() - 1
        });
        super::losses::insert(&mut files[at].1, part.span.start, part.span.end);
    }
    for (path, ranges, why) in files.iter().take(TOLD) {
        let ranges: Vec<String> = ranges.iter().take(TOLD).map(|(from, end)| format!("{from}..{end}")).collect();
        let gone = if why.is_empty() { String::new() } else { format!(" (lost: {why})") };
        tracing::error!("  bytes {} of {path}{gone}", ranges.join(", "));
    }
    if files.len() > TOLD {
        tracing::error!("  and bytes of {} more files; `losses` in data_dir has them all", files.len() - TOLD);
    }
}
