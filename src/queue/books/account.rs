//! What the pass over the queue has found, and the books of the streams made of it, one by one.

use super::super::filtered::Filtered;
use super::super::{FileIdentity, Head, LossEntry, LossState, Position, Stream, Tail};
use super::{AtGroup, Books, Ranges, SinkBooks, StreamBooks, common, insert, take, total};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

/// All that the books are made of but the streams themselves: they are as many as files, and are looked at one by one.
pub(crate) struct Account<'a> {
    /// Where each stream of a file stood before the segments were looked at.
    pub(super) streams: Vec<(Arc<Stream>, Position)>,
    pub(super) losses: Vec<LossEntry>,
    pub(super) found: HashMap<(u64, usize), AtGroup>,
    pub(super) reach: HashMap<u64, u64>,
    pub(super) names: Vec<&'a str>,
    /// Groups that have a place in a partition, and what each has left out of it.
    pub(super) places: HashMap<(&'a str, u32), Vec<(&'a str, &'a Filtered)>>,
    pub(super) rest: Books,
}

impl Account<'_> {
    /// The groups with a place, and whether they are joined; what is missing, and what was lost of unknown files.
    pub(crate) fn rest(self) -> Books {
        self.rest
    }

    /// Whether the groups are joined.
    pub(crate) fn groups(&self) -> &BTreeMap<String, bool> {
        &self.rest.groups
    }

    /// File, generation and number of each stream.
    pub(crate) fn files(&self) -> impl Iterator<Item = (FileIdentity, u32, u64)> {
        self.streams.iter().filter_map(|(stream, _)| {
            let brief = stream.brief();
            Some((brief.file?, brief.generation, stream.id))
        })
    }

    /// The books of each stream, once.
    pub(crate) fn each(&mut self, mut take: impl FnMut(StreamBooks)) {
        let losses = std::mem::take(&mut self.losses);
        let mut by_stream: HashMap<u64, Vec<&LossEntry>> = HashMap::new();
        for entry in &losses {
            if let Some(stream) = &entry.stream {
                by_stream.entry(stream.number).or_default().push(entry);
            }
        }
        for (stream, position) in std::mem::take(&mut self.streams) {
            let entries = by_stream.remove(&stream.id).unwrap_or_default();
            take(self.of_stream(&stream, position, &entries));
        }
        // Files of which nothing was read, and streams that are known from the ledger alone.
        for (number, entries) in by_stream {
            let (Some(first), unread) = (entries.iter().find(|e| e.cause.is_unread()).copied(), unread(&entries)) else { continue };
            let Some(of) = &first.stream else { continue };
            let read = unread.values().flatten().map(|(s, _)| *s).min().unwrap_or(0);
            take(StreamBooks {
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
                filtered: Vec::new(),
                sinks: BTreeMap::new(),
            });
        }
    }

    fn of_stream(&mut self, stream: &Stream, position: Position, entries: &[&LossEntry]) -> StreamBooks {
        let spec = Arc::unwrap_or_clone(stream.spec());
        let groups = self.places.get(&(spec.topic.as_str(), stream.partition)).map(Vec::as_slice).unwrap_or_default();
        let rules = stream.filtered();
        let before = rules.iter().map(|rule| rule.bytes).fold(0, u64::saturating_add);
        let sinks = groups.iter().map(|(name, filtered)| {
            let index = self.names.iter().position(|n| n == name).unwrap_or_default();
            let found = self.found.remove(&(stream.id, index)).unwrap_or_default();
            (name.to_string(), account(position.end, name, &found, (before, filtered.of(stream.id)), entries))
        });
        StreamBooks {
            number: stream.id,
            key: format!("{:032x}", spec.key),
            generation: spec.generation,
            sinks: sinks.collect(),
            source: spec.source,
            topic: spec.topic,
            partition: stream.partition,
            path: spec.path,
            file: spec.file,
            head: spec.head,
            tail: position.tail,
            read: position.end.max(self.reach.get(&stream.id).copied().unwrap_or(0)),
            queued: position.end,
            unread: unread(entries),
            filtered: rules,
        }
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

/// What became of the first `queued` bytes of a stream at a group. `before` of them were filtered before the queue, `filtered` by
/// the group's sink.
pub(super) fn account(queued: u64, group: &str, found: &AtGroup, (before, filtered): (u64, u64), entries: &[&LossEntry]) -> SinkBooks {
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
    // Ranges that are not done hold what was filtered between their events, too.
    let gaps = found.gaps.min(books.pending);
    books.pending -= gaps;
    books.in_flight = books.in_flight.min(books.pending);
    let before = before.saturating_sub(gaps).min(done);
    let filtered = filtered.min(done - before);
    books.filtered = gaps + before + filtered;
    books.acknowledged = done - before - filtered;
    books
}
