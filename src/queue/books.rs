//! The books: for every stream what is queued, and for every group what became of it, in bytes of the source.
//!
//! One pass over the headers of what some group has not acknowledged; payloads are read only where a commit or an ack
//! ends inside a run. What a group has acknowledged is what is queued less all that is anything else, so the sums are
//! right by construction; whether the rest is really there is told by the offsets: those that are neither acknowledged,
//! nor in a sound batch, nor on record as lost are [`Books::missing`].

mod kinds;
#[cfg(test)]
mod tests;

pub use kinds::{Books, MissingEvents, SinkBooks, StreamBooks, UnplacedLoss};

use super::disk::{Disk, DiskFile};
use super::embedded::DEAD_LETTER_TOPIC;
use super::format::{RunEntry, SEGMENT_HEADER};
use super::group_state::{GroupState, Key};
use super::letter::Letter;
use super::losses::insert;
use super::manage::{ManageError, Managed};
use super::partition::Partition;
use super::reader::{Reader, Start};
use super::registry::{Registry, StreamRecord};
use super::segment::{self, Found, Located};
use super::snapshot::Snapshot;
use super::{Head, LossEntry, LossState, Losses, Position, RunFlags, Tail};
use crate::process::identity::EventIds;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Characters of an event ID that its stream and sink alone decide.
const STREAM_CHARACTERS: usize = 14;

/// Where streams and losses are known from.
#[derive(Clone, Copy)]
pub(crate) enum Known<'a> {
    /// The agent's memory.
    Live(&'a Registry, &'a Losses),
    /// The files of a stopped one.
    Files(Option<&'a Snapshot>, &'a std::path::Path),
}

type Ranges = Vec<(u64, u64)>;
/// Group, topic, partition and offset of an event that was refused.
type Refused = (usize, String, u32, u64);

/// What is found of a stream at a group.
#[derive(Default)]
struct AtGroup {
    pending: Ranges,
    in_flight: Ranges,
    dead: Ranges,
    letters: u64,
}

/// One group in one partition.
struct Place<'a> {
    index: usize,
    name: &'a str,
    state: &'a GroupState,
    /// Offsets that it has not acknowledged and that were found.
    seen: u64,
}

impl Place<'_> {
    /// Its offsets in `first..end` that are not acked, or are to be sent again.
    fn open(&self, first: u64, end: u64) -> Ranges {
        let (mut open, mut at) = (Ranges::new(), first.max(self.state.committed));
        if at < end {
            // A range that begins before may reach in.
            let before = self.state.acked.range(..=at).next_back();
            for (s, e) in before.into_iter().chain(self.state.acked.range(at.saturating_add(1)..end)) {
                if *s > at {
                    open.push((at, (*s).min(end)));
                }
                at = at.max(*e);
            }
            if at < end {
                open.push((at, end));
            }
        }
        for (s, last) in self.state.again.range(..end) {
            insert(&mut open, (*s).max(first), (last + 1).min(end));
        }
        open
    }
}

/// What `ranges` and `other` have in common.
fn common(ranges: &[(u64, u64)], other: &[(u64, u64)]) -> u64 {
    let (mut i, mut j, mut sum) = (0, 0, 0);
    while let (Some(a), Some(b)) = (ranges.get(i), other.get(j)) {
        sum += a.1.min(b.1).saturating_sub(a.0.max(b.0));
        if a.1 <= b.1 { i += 1 } else { j += 1 }
    }
    sum
}

/// Bytes of `ranges` below `end`.
fn total(ranges: &[(u64, u64)], end: u64) -> u64 {
    ranges.iter().map(|(s, e)| (*e).min(end).saturating_sub(*s)).sum()
}

/// Adds `more` to what is `taken`; gives the bytes below `end` that were not.
fn take(taken: &mut Ranges, more: &[(u64, u64)], end: u64) -> u64 {
    let before = total(taken, end);
    more.iter().for_each(|(s, e)| insert(taken, *s, (*e).min(end)));
    total(taken, end) - before
}

/// The bytes of the source that the events `from..to` of a run cover.
fn bytes_of(run: &RunEntry, lens: Option<&[u8]>, from: u64, to: u64) -> (u64, u64) {
    let count = u64::from(run.count);
    let at = |n: u64| match (n, lens) {
        (0, _) => Some(run.source_start),
        (n, _) if n >= count => Some(run.source_end),
        (n, Some(lens)) => {
            let (mut rest, mut sum) = (lens.iter(), 0u64);
            for _ in 0..n {
                let (mut value, mut shift) = (0u64, 0);
                loop {
                    let byte = *rest.next()?;
                    value |= u64::from(byte & 0x7f) << shift;
                    shift += 7;
                    if byte < 0x80 || shift > 28 {
                        break;
                    }
                }
                sum += value;
            }
            Some(run.source_start.saturating_add(sum).min(run.source_end))
        }
        (_, None) => None,
    };
    // Where the lengths cannot be read all of it counts: rather too much is pending than too little.
    (at(from).unwrap_or(run.source_start), at(to).unwrap_or(run.source_end))
}

/// The lengths of a batch's runs, read when they are first wanted.
struct Lens<'a> {
    file: &'a dyn DiskFile,
    batch: &'a Located,
    payload: Option<Option<bytes::Bytes>>,
}

impl Lens<'_> {
    fn of(&mut self, run: usize) -> Option<&[u8]> {
        let payload = self.payload.get_or_insert_with(|| segment::payload(self.file, self.batch).ok().flatten()).as_ref()?;
        let before: usize = self.batch.runs[..run].iter().map(|r| r.lens_len as usize).sum();
        payload.get(before..before + self.batch.runs[run].lens_len as usize)
    }
}

/// The pass over the partitions.
struct Pass<'a> {
    disk: Arc<dyn Disk>,
    /// Of a stopped agent: filled from the segments that the snapshot does not cover.
    registry: Option<&'a Registry>,
    found: HashMap<(u64, usize), AtGroup>,
    /// How far runs of each stream reach that were looked at.
    reach: HashMap<u64, u64>,
    /// Offsets of the partition that are on record as lost.
    gone: Ranges,
}

impl Pass<'_> {
    fn partition(&mut self, partition: &Partition, places: &mut [Place<'_>], fresh_from: u64) -> io::Result<()> {
        let low = places.iter().map(|p| p.state.again.keys().next().map_or(p.state.committed, |a| p.state.committed.min(*a))).min();
        let low = low.unwrap_or(u64::MAX);
        let (mut segments, visible) = (partition.segments(), partition.visible());
        segments.sort_by_key(|s| s.id);
        for s in segments {
            let fresh = self.registry.filter(|_| s.id >= fresh_from);
            if fresh.is_none() && s.end() <= low {
                continue;
            }
            let file = match s.file(&self.disk) {
                Ok(file) => file,
                // Retention was faster; or it is missing, and its offsets are.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            let mut pos = if fresh.is_some() { SEGMENT_HEADER as u64 } else { s.seek(low) };
            while pos < s.size() {
                let batch = match segment::locate(&*file, s.id, pos)? {
                    Found::Batch(batch) => batch,
                    Found::End | Found::Damage => match segment::search(&*file, s.id, pos + 8, low.min(s.base))? {
                        Some(batch) => batch,
                        None => break,
                    },
                };
                pos = batch.next_pos();
                if !segment::is_data(&batch) {
                    if let (Some(registry), Some(payload)) = (fresh, segment::payload(&*file, &batch)?) {
                        let mut records = super::codec::Reader(&payload);
                        while let Some(record) = StreamRecord::decode(&mut records) {
                            registry.load(record);
                        }
                    }
                    continue;
                }
                if batch.header.base_offset >= s.end() && batch.header.count > 0 {
                    break;
                }
                self.batch(&*file, &batch, places, fresh, s.end(), visible);
            }
        }
        Ok(())
    }

    fn batch(&mut self, file: &dyn DiskFile, batch: &Located, places: &mut [Place<'_>], fresh: Option<&Registry>, end: u64, visible: u64) {
        for run in batch.runs.iter().filter(|r| !RunFlags(r.flags).has(RunFlags::REPAIR) && !RunFlags(r.flags).has(RunFlags::NO_POSITION)) {
            let reach = self.reach.entry(run.stream).or_default();
            *reach = (*reach).max(run.source_end);
            if let Some(stream) = fresh.and_then(|r| r.get(run.stream))
                && run.source_end > stream.durable().end
            {
                stream.set_durable(Position { end: run.source_end, tail: Tail { len: run.tail_len, crc: run.tail_crc } });
            }
        }
        let (first, end) = (batch.header.base_offset, batch.end_offset().min(end));
        if self.gone.iter().any(|(s, e)| *s <= first && end <= *e && first < end) {
            // Its header is left of it.
            return;
        }
        let mut lens = Lens { file, batch, payload: None };
        for place in places {
            let open = place.open(first, end);
            place.seen += open.iter().map(|(s, e)| (*e).min(visible).saturating_sub((*s).max(place.state.committed))).sum::<u64>();
            for (s, e) in open {
                self.add(place, batch, &mut lens, (s, e), |found| &mut found.pending);
            }
            let near = place.state.in_flight.range(..end).filter(|(_, last)| **last >= first);
            for (s, e) in near.map(|(s, last)| ((*s).max(first), (last + 1).min(end))).collect::<Ranges>() {
                self.add(place, batch, &mut lens, (s, e), |found| &mut found.in_flight);
            }
        }
    }

    /// Enters the offsets `s..e` of a batch, by stream and bytes.
    fn add(
        &mut self,
        place: &Place<'_>,
        batch: &Located,
        lens: &mut Lens<'_>,
        (s, e): (u64, u64),
        of: impl Fn(&mut AtGroup) -> &mut Ranges,
    ) {
        let mut offset = batch.header.base_offset;
        for (i, run) in batch.runs.iter().enumerate() {
            let (base, count) = (offset, u64::from(run.count));
            offset += count;
            let (from, to) = (s.max(base), e.min(offset));
            if from >= to || RunFlags(run.flags).has(RunFlags::NO_POSITION) {
                continue;
            }
            let whole = from == base && to == offset;
            let (start, end) = bytes_of(run, if whole { None } else { lens.of(i) }, from - base, to - base);
            insert(of(self.found.entry((run.stream, place.index)).or_default()), start, end);
        }
    }
}

impl Managed<'_> {
    /// The books of all streams of files.
    ///
    /// # Errors
    /// [`ManageError::Io`] where segments, dead letters or the ledger cannot be read.
    pub fn books(&self) -> Result<Books, ManageError> {
        let failed = |what: &'static str| move |source| ManageError::Io { what, source };
        let scratch = Registry::new(1);
        let opened;
        let (mut records, ledger, marks) = match self.known {
            Known::Live(registry, losses) => {
                // Before the segments are looked at, so that whatever is durable by now is in them.
                let records: Vec<StreamRecord> = registry.all().iter().map(|s| StreamRecord::of(s)).collect();
                (records, losses, None)
            }
            Known::Files(snapshot, dir) => {
                opened = Losses::open(self.disk.clone(), dir).map_err(|e| failed("read the ledger of losses")(io::Error::other(e)))?.0;
                snapshot.iter().flat_map(|s| &s.streams).for_each(|s| scratch.load(s.clone()));
                (Vec::new(), &opened, Some(snapshot.map(|s| s.marks.as_slice()).unwrap_or_default()))
            }
        };
        let mut keys: Vec<(&Key, &GroupState)> = self.states.iter().collect();
        keys.sort_by_key(|(k, _)| *k);
        let names: Vec<&str> = keys.iter().map(|(k, _)| &*k.0).collect::<BTreeSet<_>>().into_iter().collect();
        let index = |name: &str| names.iter().position(|n| *n == name).unwrap_or_default();
        let mut pass = Pass {
            disk: self.disk.clone(),
            registry: marks.is_some().then_some(&scratch),
            found: HashMap::new(),
            reach: HashMap::new(),
            gone: Ranges::new(),
        };
        let mut books = Books::default();
        for partition in self.partitions.iter().filter(|p| *p.topic != *DEAD_LETTER_TOPIC) {
            let here = keys.iter().filter(|(k, _)| *k.1 == *partition.topic && k.2 == partition.number);
            let mut places: Vec<Place<'_>> = here.map(|(k, state)| Place { index: index(&k.0), name: &k.0, state, seen: 0 }).collect();
            let mark = marks.and_then(|m| m.iter().find(|m| *m.topic == *partition.topic && m.partition == partition.number));
            pass.gone.clear();
            ledger.offsets(&partition.topic, partition.number).iter().for_each(|(s, e)| insert(&mut pass.gone, *s, *e));
            pass.partition(partition, &mut places, mark.map_or(0, |m| m.segment_id)).map_err(failed("read the segments"))?;
            for place in &places {
                let open: Ranges = place.open(place.state.committed, partition.visible());
                let events = total(&open, u64::MAX).saturating_sub(common(&open, &pass.gone)).saturating_sub(place.seen);
                if events > 0 {
                    let (sink, topic) = (place.name.into(), partition.topic.to_string());
                    books.missing.push(MissingEvents { sink, topic, partition: partition.number, events });
                }
            }
        }
        if marks.is_some() {
            records = scratch.all().iter().map(|s| StreamRecord::of(s)).collect();
        }
        records.retain(|r| r.spec.file.is_some() && r.spec.topic != DEAD_LETTER_TOPIC);
        self.letters(&records, &keys, &index, &mut pass.found).map_err(failed("read the dead-letter topic"))?;
        let mut by_stream: HashMap<u64, Vec<&LossEntry>> = HashMap::new();
        let losses = ledger.all();
        for entry in losses.iter().filter(|e| e.state != LossState::ReadAgain) {
            match &entry.stream {
                Some(stream) => by_stream.entry(stream.number).or_default().push(entry),
                None => books.unplaced.push(UnplacedLoss {
                    cause: entry.cause.name().into(),
                    topic: entry.topic.clone(),
                    partition: entry.partition,
                    events: entry.events,
                    had: entry.had.clone(),
                }),
            }
        }
        let mut places: HashMap<(&str, u32), Vec<&str>> = HashMap::new();
        for (key, _) in &keys {
            places.entry((&*key.1, key.2)).or_default().push(&*key.0);
        }
        for record in records {
            let entries = by_stream.remove(&record.id).unwrap_or_default();
            let groups = places.get(&(record.spec.topic.as_str(), record.partition)).map(Vec::as_slice).unwrap_or_default();
            let filtered = |name: &str| {
                let here = |(k, _): &&(&Key, &GroupState)| (&*k.0, &*k.1, k.2) == (name, record.spec.topic.as_str(), record.partition);
                keys.iter().find(here).map_or(0, |(_, state)| state.filtered.of(record.id))
            };
            let sinks = groups.iter().map(|name| {
                let found = pass.found.remove(&(record.id, index(name))).unwrap_or_default();
                (name.to_string(), account(record.position.end, name, &found, filtered(name), &entries))
            });
            let sinks = sinks.collect();
            let read = record.position.end.max(pass.reach.get(&record.id).copied().unwrap_or(0));
            let mut stream = of_record(record, sinks);
            stream.read = read;
            stream.unread = unread(&entries);
            books.streams.push(stream);
        }
        // Files of which nothing was read, and streams that are known from the ledger alone.
        for (number, entries) in by_stream {
            let (Some(first), unread) = (entries.iter().find(|e| e.cause.is_unread()).copied(), unread(&entries)) else { continue };
            let Some(of) = &first.stream else { continue };
            let read = unread.values().flatten().map(|(s, _)| *s).min().unwrap_or(0);
            books.streams.push(StreamBooks {
                number,
                key: of.key.clone(),
                generation: of.generation,
                source: of.source.clone(),
                topic: first.topic.clone(),
                partition: first.partition,
                path: PathBuf::from(&of.path),
                file: None,
                head: Head::default(),
                tail: Tail::default(),
                read,
                queued: read,
                unread,
                sinks: BTreeMap::new(),
            });
        }
        books.streams.sort_by_key(|s| s.number);
        books.groups = names.iter().map(|n| (n.to_string(), self.joined.contains(*n))).collect();
        Ok(books)
    }

    /// Enters what is in the dead-letter topic and was not handed over by a redrive.
    fn letters(
        &self,
        records: &[StreamRecord],
        keys: &[(&Key, &GroupState)],
        index: &impl Fn(&str) -> usize,
        found: &mut HashMap<(u64, usize), AtGroup>,
    ) -> io::Result<()> {
        let Some(partition) = self.partition(DEAD_LETTER_TOPIC, 0) else { return Ok(()) };
        let (mut reader, end) = (Reader::open(self.disk.clone(), partition, Start::Earliest)?, partition.visible());
        // By group and event, so that the newest letter of an event counts.
        let mut newest: BTreeMap<Refused, Option<(String, u64, u64)>> = BTreeMap::new();
        let owner = |l: &Letter| {
            let here = |k: &Key| *k.1 == *l.topic && k.2 == l.partition;
            keys.iter().find(|(k, s)| here(k) && (*k.0 == *l.sink || s.earlier.iter().any(|e| **e == *l.sink)))
        };
        while let Some(part) = reader.read()? {
            for event in part.runs().flat_map(|run| run.events).filter(|e| e.offset < end) {
                let Ok(letter) = serde_json::from_slice::<Letter>(event.bytes) else { continue };
                let Some((key, state)) = owner(&letter) else { continue };
                let settled = event.offset < state.redriven_until;
                let at = letter.part().ok().and_then(|p| p.batch.runs.first().map(|r| (r.source_start, r.source_end)));
                let refused = at.filter(|_| !settled).map(|(s, e)| (letter.event_id.clone(), s, e));
                newest.insert((index(&key.0), letter.topic, letter.partition, letter.offset), refused);
            }
            if part.batch.end_offset() >= end {
                break;
            }
        }
        if newest.is_empty() {
            return Ok(());
        }
        let mut scopes: BTreeSet<&str> = BTreeSet::new();
        for (key, state) in keys {
            scopes.insert(&*key.0);
            scopes.extend(state.earlier.iter().map(|e| &**e));
        }
        let id = |scope: &str, r: &StreamRecord| EventIds::new(scope, r.spec.key).id(0, 0)[..STREAM_CHARACTERS].to_vec();
        let streams: HashMap<Vec<u8>, u64> = scopes.iter().flat_map(|s| records.iter().map(|r| (id(s, r), r.id))).collect();
        for ((group, ..), refused) in newest {
            let Some((event_id, start, end)) = refused else { continue };
            if let Some(stream) = event_id.as_bytes().get(..STREAM_CHARACTERS).and_then(|head| streams.get(head)) {
                let found = found.entry((*stream, group)).or_default();
                insert(&mut found.dead, start, end);
                found.letters += 1;
            }
        }
        Ok(())
    }
}

fn of_record(record: StreamRecord, sinks: BTreeMap<String, SinkBooks>) -> StreamBooks {
    StreamBooks {
        number: record.id,
        key: format!("{:032x}", record.spec.key),
        generation: record.spec.generation,
        source: record.spec.source,
        topic: record.spec.topic,
        partition: record.partition,
        path: record.spec.path,
        file: record.spec.file,
        head: record.spec.head,
        tail: record.position.tail,
        read: record.position.end,
        queued: record.position.end,
        unread: BTreeMap::new(),
        sinks,
    }
}

/// The ranges that were gone before they were read.
fn unread(entries: &[&LossEntry]) -> BTreeMap<String, Ranges> {
    let mut unread: BTreeMap<String, Ranges> = BTreeMap::new();
    for entry in entries.iter().filter(|e| e.cause.is_unread()) {
        let ranges = unread.entry(entry.cause.name().into()).or_default();
        entry.spans.iter().for_each(|s| insert(ranges, s.start, s.end));
    }
    unread
}

/// What became of the first `queued` bytes of a stream at a group.
fn account(queued: u64, group: &str, found: &AtGroup, filtered: u64, entries: &[&LossEntry]) -> SinkBooks {
    let mut taken = Ranges::new();
    let mut books = SinkBooks {
        pending: take(&mut taken, &found.pending, queued),
        in_flight: common(&found.in_flight, &found.pending),
        dead_lettered: take(&mut taken, &found.dead, queued),
        dead_letters: found.letters,
        ..SinkBooks::default()
    };
    for entry in entries.iter().filter(|e| !e.cause.is_unread() && !e.had.iter().any(|had| had == group)) {
        let spans: Ranges = entry.spans.iter().map(|s| (s.start, s.end)).collect();
        let bytes = take(&mut taken, &spans, queued);
        match entry.state {
            LossState::Wanted => books.to_be_read_again += bytes,
            LossState::Lost if bytes > 0 => *books.lost.entry(entry.cause.name().into()).or_default() += bytes,
            LossState::Lost | LossState::ReadAgain => {}
        }
    }
    let done = queued - total(&taken, queued);
    books.filtered = filtered.min(done);
    books.acknowledged = done - books.filtered;
    books
}
