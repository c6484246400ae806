//! The books: for every stream what is queued, and for every group what became of it, in bytes of the source.
//!
//! One pass over the headers of what some group has not acknowledged; payloads are read only where a commit or an ack
//! ends inside a run. What a group has acknowledged is what is queued less all that is anything else, so the sums are
//! right by construction; whether the rest is really there is told by the offsets: those that are neither acknowledged,
//! nor in a sound batch, nor on record as lost are [`Books::missing`].

mod account;
mod kinds;
#[cfg(test)]
mod tests;

pub(crate) use account::Account;
pub use kinds::{Books, MissingEvents, SinkBooks, StreamBooks, UnplacedLoss};

use super::disk::{Disk, DiskFile};
use super::embedded::DEAD_LETTER_TOPIC;
use super::filtered::Filtered;
use super::format::{RunEntry, SEGMENT_HEADER};
use super::group_state::{GroupState, Key};
use super::letter::Letter;
use super::losses::insert;
use super::manage::{ManageError, Managed};
use super::partition::Partition;
use super::reader::{Reader, Start};
use super::record::OwnLens;
use super::registry::{Registry, StreamRecord};
use super::segment::{self, Found, Located};
use super::snapshot::Snapshot;
use super::{LossState, Losses, Position, RunFlags, Stream, Tail};
use crate::process::identity::EventIds;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
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
    /// Bytes of `pending` that a chain before the queue has filtered.
    gaps: u64,
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

/// The range of the source that the events `from..to` of a run stand in, and how many bytes of it are between them: those
/// were filtered before the queue.
fn bytes_of(run: &RunEntry, lens: Option<&[u8]>, from: u64, to: u64) -> (u64, u64, u64) {
    let count = u64::from(run.count);
    if RunFlags(run.flags).has(RunFlags::PROCESSED) {
        return lens.and_then(|lens| processed_bytes_of(run, lens, from, to)).unwrap_or((run.source_start, run.source_end, 0));
    }
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
    (at(from).unwrap_or(run.source_start), at(to).unwrap_or(run.source_end), 0)
}

fn processed_bytes_of(run: &RunEntry, mut lens: &[u8], from: u64, to: u64) -> Option<(u64, u64, u64)> {
    let (mut start, mut at, mut covered) = (run.source_start, run.source_start, 0u64);
    for n in 0..to {
        if n == from {
            start = at;
        }
        let own = OwnLens::take(&mut lens)?;
        at = at.saturating_add(own.gap).saturating_add(own.covers).min(run.source_end);
        covered += if n >= from { own.covers } else { 0 };
    }
    let end = if to >= u64::from(run.count) { run.source_end } else { at };
    Some((start, end, end.saturating_sub(start).saturating_sub(covered)))
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
            if let Some(stream) = fresh.and_then(|r| r.get(run.stream)) {
                let reached = Position { end: run.source_end, tail: Tail { len: run.tail_len, crc: run.tail_crc } };
                stream.reach(reached, &run.filtered);
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
                self.add(place, batch, &mut lens, (s, e), |found, start, end, gaps| {
                    insert(&mut found.pending, start, end);
                    found.gaps += gaps;
                });
            }
            let near = place.state.in_flight.range(..end).filter(|(_, last)| **last >= first);
            for (s, e) in near.map(|(s, last)| ((*s).max(first), (last + 1).min(end))).collect::<Ranges>() {
                self.add(place, batch, &mut lens, (s, e), |found, start, end, _| insert(&mut found.in_flight, start, end));
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
        enter: impl Fn(&mut AtGroup, u64, u64, u64),
    ) {
        let mut offset = batch.header.base_offset;
        for (i, run) in batch.runs.iter().enumerate() {
            let (base, count) = (offset, u64::from(run.count));
            offset += count;
            let (from, to) = (s.max(base), e.min(offset));
            if from >= to || RunFlags(run.flags).has(RunFlags::NO_POSITION) {
                continue;
            }
            let whole = from == base && to == offset && !RunFlags(run.flags).has(RunFlags::PROCESSED);
            let (start, end, gaps) = bytes_of(run, if whole { None } else { lens.of(i) }, from - base, to - base);
            enter(self.found.entry((run.stream, place.index)).or_default(), start, end, gaps);
        }
    }
}

impl Managed<'_> {
    /// The books of all streams of files.
    ///
    /// # Errors
    /// [`ManageError::Io`] where segments, dead letters or the ledger cannot be read.
    pub fn books(&self) -> Result<Books, ManageError> {
        let mut account = self.account()?;
        let mut streams = Vec::new();
        account.each(|stream| streams.push(stream));
        streams.sort_by_key(|s| s.number);
        Ok(Books { streams, ..account.rest() })
    }

    /// One pass over the segments, the dead letters and the ledger.
    ///
    /// # Errors
    /// [`ManageError::Io`] where they cannot be read.
    pub(crate) fn account(&self) -> Result<Account<'_>, ManageError> {
        let failed = |what: &'static str| move |source| ManageError::Io { what, source };
        let scratch = Registry::new(1);
        let opened;
        let with_positions = |registry: &Registry| {
            let all = registry.all().into_iter().map(|s| (s.durable(), s)).map(|(at, s)| (s, at));
            let is_file = |s: &Stream| {
                let spec = s.spec();
                spec.file.is_some() && spec.topic != DEAD_LETTER_TOPIC
            };
            all.filter(|(s, _)| is_file(s)).collect::<Vec<_>>()
        };
        let (mut streams, ledger, marks) = match self.known {
            // Before the segments are looked at, so that whatever is durable by now is in them.
            Known::Live(registry, losses) => (with_positions(registry), losses, None),
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
        let mut rest = Books::default();
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
                    rest.missing.push(MissingEvents { sink, topic, partition: partition.number, events });
                }
            }
        }
        let (mut found, reach) = (pass.found, pass.reach);
        if marks.is_some() {
            streams = with_positions(&scratch);
        }
        self.letters(&streams, &keys, &index, &mut found).map_err(failed("read the dead-letter topic"))?;
        let mut losses = ledger.all();
        losses.retain(|e| e.state != LossState::ReadAgain);
        for entry in losses.iter().filter(|e| e.stream.is_none()) {
            rest.unplaced.push(UnplacedLoss {
                cause: entry.cause.name().into(),
                topic: entry.topic.clone(),
                partition: entry.partition,
                events: entry.events,
                had: entry.had.clone(),
            });
        }
        let mut places: HashMap<(&str, u32), Vec<(&str, &Filtered)>> = HashMap::new();
        for (key, state) in &keys {
            places.entry((&*key.1, key.2)).or_default().push((&*key.0, &*state.filtered));
        }
        rest.groups = names.iter().map(|n| (n.to_string(), self.joined.contains(*n))).collect();
        Ok(Account { streams, losses, found, reach, names, places, rest })
    }

    /// Enters what is in the dead-letter topic and was not handed over by a redrive.
    fn letters(
        &self,
        streams: &[(Arc<Stream>, Position)],
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
        let id = |scope: &str, key: u128| EventIds::new(scope, key).id(0, 0)[..STREAM_CHARACTERS].to_vec();
        let keys: Vec<(u64, u128)> = streams.iter().map(|(s, _)| (s.id, s.brief().key)).collect();
        let streams: HashMap<Vec<u8>, u64> = scopes.iter().flat_map(|s| keys.iter().map(|(n, key)| (id(s, *key), *n))).collect();
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
