//! One consumer group: cuts batches, records them before they are sent, and commits what is acked.

use super::clock::Clock;
use super::fetch::{Fetched, Fetcher};
use super::group_state::{Again, GroupState, Key};
use super::groups::Groups;
use super::letter::Letter;
use super::partition::Notifier;
use super::record::cut_events;
use super::{Acker, Batch, BatchId, BatchKind, Consumer, FetchError, Limits, Part, RecordBatch};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A group's place in one partition.
#[derive(Debug)]
pub(crate) struct Cursor {
    key: Key,
    fetcher: Fetcher,
    /// How often the place was reset in this process; what belongs to an earlier one is void.
    generation: u32,
    /// Next offset to take.
    next: u64,
    /// Ranges above the commit that need not be taken again: acked, or about to be sent again as they were.
    done: VecDeque<(u64, u64)>,
    /// Ranges that are redriven, or (`true`) were in flight when an earlier process ended.
    resend: VecDeque<(Again, bool)>,
    /// Events below this offset replace what the receiver has (0: none), and when that was asked for.
    overwrite: (u64, u64),
    /// Events below this offset may have been sent before the group was moved back.
    replay_until: u64,
    current: Option<Arc<RecordBatch>>,
    parts: Vec<Part>,
    bytes: usize,
    events: u32,
    since: Option<Instant>,
    /// Ranges (first, last) that are not in the queue any more: nobody will ever ack them.
    gaps: Vec<(u64, u64)>,
    /// A gap begins at `next` and ends here.
    gap_to: Option<u64>,
}

impl Cursor {
    pub(crate) fn new(key: Key, fetcher: Fetcher, state: &GroupState, generation: u32) -> Cursor {
        let under_way = state.in_flight.iter().filter(|(_, l)| **l >= state.committed);
        let resent = state.again.iter().chain(under_way.clone()).map(|(f, l)| (*f, l + 1));
        let mut done: Vec<(u64, u64)> = state.acked.iter().map(|(s, e)| (*s, *e)).chain(resent).collect();
        done.sort_unstable();
        let under_way = under_way.map(|(f, l)| (Again::Events(*f, *l), true));
        let again = state.again.iter().map(|(f, l)| (Again::Events(*f, *l), false));
        let letters = state.letters.iter().map(|(f, l)| (Again::Letters(*f, *l), false));
        let resend = again.chain(under_way).chain(letters).collect();
        Cursor {
            key,
            fetcher,
            generation,
            next: state.committed,
            done: done.into(),
            resend,
            overwrite: (state.overwrite_until, state.overwrite_ms),
            replay_until: state.replay_until,
            current: None,
            parts: Vec::new(),
            bytes: 0,
            events: 0,
            since: None,
            gaps: Vec::new(),
            gap_to: None,
        }
    }

    /// Begins anew where `state` says.
    fn restart(&mut self, state: &GroupState, generation: u32) {
        let (key, fetcher) = (self.key.clone(), self.fetcher.renewed());
        *self = Cursor::new(key, fetcher, state, generation);
    }

    /// Takes what is there until the batch is full; `true` when it can be cut now.
    fn fill(&mut self, limits: &Limits, now: Instant) -> Result<bool, FetchError> {
        loop {
            while self.done.front().is_some_and(|(_, end)| *end <= self.next) {
                self.done.pop_front();
            }
            if let Some((start, end)) = self.done.front().copied()
                && start <= self.next
            {
                if !self.parts.is_empty() {
                    return Ok(true);
                }
                self.next = end;
                continue;
            }
            if let Some(end) = self.gap_to {
                // What is before a gap goes out first.
                if !self.parts.is_empty() {
                    return Ok(true);
                }
                self.gaps.push((self.next, end - 1));
                (self.next, self.gap_to) = (end, None);
                continue;
            }
            if self.next == self.overwrite.0 && !self.parts.is_empty() {
                // What replaces and what does not never share a batch.
                return Ok(true);
            }
            let boundary = if self.next < self.overwrite.0 { self.overwrite.0 } else { u64::MAX };
            let stop = self.done.front().map_or(boundary, |(start, _)| boundary.min(*start));
            let held = self.current.take().filter(|b| b.base_offset <= self.next && self.next < b.end_offset());
            let fetched = match held {
                Some(batch) => Fetched::Batch(batch),
                None => self.fetcher.fetch(self.next)?,
            };
            let batch = match fetched {
                Fetched::Batch(batch) => batch,
                Fetched::Gap(end) => {
                    self.gap_to = Some(end);
                    continue;
                }
                Fetched::Nothing => return Ok(self.since.is_some_and(|since| now >= since + limits.linger)),
            };
            if self.parts.last().is_some_and(|p| p.batch.epoch != batch.epoch) {
                self.current = Some(batch);
                return Ok(true);
            }
            let skip = (self.next - batch.base_offset) as u32;
            let available = (batch.end_offset().min(stop) - self.next) as u32;
            let room = limits.max_bytes.saturating_sub(self.bytes);
            let cost = batch.data_len() + batch.count as usize * limits.overhead;
            let fits = skip == 0 && available == batch.count && cost <= room && available <= limits.max_events - self.events;
            // A batch that nearly fills the room is not worth being cut.
            if !fits && !self.parts.is_empty() && room < limits.max_bytes / 4 {
                self.current = Some(batch);
                return Ok(true);
            }
            let (count, bytes) = if fits {
                (available, batch.data_len())
            } else {
                let most = available.min(limits.max_events - self.events);
                cut_events(&batch, skip, most, room, limits.overhead, self.parts.is_empty())
            };
            if count == 0 {
                self.current = Some(batch);
                return Ok(true);
            }
            self.parts.push(Part { batch: batch.clone(), skip, count });
            self.bytes += bytes + count as usize * limits.overhead;
            self.events += count;
            self.next += u64::from(count);
            self.since.get_or_insert(now);
            if self.next < batch.end_offset() {
                self.current = Some(batch);
                if self.next < stop {
                    return Ok(true);
                }
            }
            if self.events >= limits.max_events || self.bytes >= limits.max_bytes {
                return Ok(true);
            }
        }
    }

    /// What a batch that begins at `first` is for, where it is the group's turn.
    fn kind(&self, first: u64) -> BatchKind {
        if first < self.overwrite.0 { BatchKind::Overwrite { asked_ms: self.overwrite.1 } } else { BatchKind::Events }
    }

    /// A range that was in flight, cut exactly as it was.
    fn again(&mut self, first: u64, last: u64) -> Result<Vec<Part>, FetchError> {
        range(&mut self.fetcher, first, last)
    }
}

/// The events of a range, as far as they are there.
fn range(fetcher: &mut Fetcher, first: u64, last: u64) -> Result<Vec<Part>, FetchError> {
    let (mut parts, mut next) = (Vec::new(), first);
    while next <= last {
        let batch = match fetcher.fetch(next)? {
            Fetched::Batch(batch) => batch,
            Fetched::Gap(end) => {
                next = end;
                continue;
            }
            Fetched::Nothing => break,
        };
        let skip = (next - batch.base_offset) as u32;
        let count = (batch.end_offset().min(last + 1) - next) as u32;
        next += u64::from(count);
        parts.push(Part { batch, skip, count });
    }
    Ok(parts)
}

/// The group's handle on all its partitions.
pub(crate) struct GroupConsumer {
    pub(crate) queue: u128,
    pub(crate) pipeline: u32,
    pub(crate) cursors: Vec<Cursor>,
    /// Reads the dead letters that are redriven; `None` where there is no such topic.
    pub(crate) letters: Option<Fetcher>,
    pub(crate) turn: usize,
    /// [`Groups::changes`] at the last look.
    pub(crate) changes: u64,
    pub(crate) groups: Arc<Groups>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) closed: Arc<AtomicBool>,
    pub(crate) acker: Arc<GroupAcker>,
}

impl GroupConsumer {
    fn emit(
        &mut self,
        at: usize,
        parts: Vec<Part>,
        (first, last): (u64, u64),
        kind: BatchKind,
        sent_before: bool,
    ) -> Result<Option<Batch>, FetchError> {
        let cursor = &self.cursors[at];
        let begun = self.groups.begin(&cursor.key, cursor.generation, first, last, self.clock.age_ms());
        if !begun.map_err(|source| FetchError::Journal { source })? {
            return Ok(None);
        }
        let epoch = parts.first().map_or(0, |p| p.batch.epoch);
        Ok(Some(Batch { sent_before, ..self.batch(at, parts, epoch, (first, last), kind) }))
    }

    fn batch(&self, at: usize, parts: Vec<Part>, epoch: u32, (first, last): (u64, u64), kind: BatchKind) -> Batch {
        let (key, reset) = (self.cursors[at].key.clone(), self.cursors[at].generation);
        let (queue, pipeline) = (self.queue, self.pipeline);
        let id = BatchId { queue, group: key.0, topic: key.1, partition: key.2, epoch, first, last, pipeline, reset, kind };
        let events = parts.iter().map(|p| p.count).sum();
        let bytes = parts.iter().map(|p| (p.batch.data_len() as u64 * u64::from(p.count) / u64::from(p.batch.count.max(1))) as usize).sum();
        Batch { id, parts, events, bytes, sent_before: true }
    }

    /// A batch of the events in these dead letters. The range stands in the journal already.
    fn of_letters(&mut self, at: usize, first: u64, last: u64) -> Result<Option<Batch>, FetchError> {
        let key = self.cursors[at].key.clone();
        if self.groups.state(&key).is_none_or(|state| state.letters.get(&first) != Some(&last)) {
            // It was delivered before a reset.
            return Ok(None);
        }
        let stored = match &mut self.letters {
            Some(fetcher) => range(fetcher, first, last)?,
            None => Vec::new(),
        };
        let (mut parts, mut overwrite) = (Vec::new(), false);
        for event in stored.iter().flat_map(Part::runs).flat_map(|run| run.events) {
            if let Ok(letter) = serde_json::from_slice::<Letter>(event.bytes)
                && let Ok(part) = letter.part()
            {
                overwrite = letter.overwrite;
                parts.push(part);
            }
        }
        let missing = (last + 1 - first).saturating_sub(parts.len() as u64);
        if missing > 0 {
            tracing::error!(
                group = &*key.0,
                "{missing} of the dead letters {first}-{last} are not in their topic any more, so that they cannot be sent again"
            );
        }
        if parts.is_empty() {
            let _ = self.groups.ack_letters(&key, first, last, self.clock.age_ms());
            return Ok(None);
        }
        let epoch = stored.first().map_or(0, |p| p.batch.epoch);
        Ok(Some(self.batch(at, parts, epoch, (first, last), BatchKind::Letters { overwrite })))
    }

    /// Takes up where a reset has put the group, and what it is to send once more.
    fn follow_changes(&mut self) {
        let changes = self.groups.changes();
        if changes == self.changes {
            return;
        }
        self.changes = changes;
        for cursor in &mut self.cursors {
            let change = self.groups.changed(&cursor.key, cursor.generation);
            if let Some((state, generation)) = change.reset {
                cursor.restart(&state, generation);
            }
            cursor.resend.extend(change.again.into_iter().map(|again| (again, false)));
        }
    }

    fn try_cut(&mut self, at: usize, limits: &Limits, now: Instant) -> Result<Option<Batch>, FetchError> {
        if let Some((Again::Letters(first, last), _)) = self.cursors[at].resend.front().copied() {
            let batch = self.of_letters(at, first, last)?;
            self.cursors[at].resend.pop_front();
            return Ok(batch);
        }
        if let Some((Again::Events(first, last), under_way)) = self.cursors[at].resend.front().copied() {
            let parts = self.cursors[at].again(first, last)?;
            if parts.is_empty() {
                let (group, topic) = (&*self.cursors[at].key.0, &*self.cursors[at].key.1);
                if under_way {
                    tracing::warn!(group, topic, "batch {first}-{last} was in flight, but its events are not in the queue any more");
                } else {
                    tracing::error!(
                        group,
                        topic,
                        "events {first}-{last} were to be redriven, but are not in the queue any more; `forebay redrive {group} --all` sends them from their dead letters"
                    );
                }
                self.cursors[at].resend.pop_front();
                let key = self.cursors[at].key.clone();
                let _ = self.groups.ack(&key, self.cursors[at].generation, first, last, self.clock.age_ms());
                return Ok(None);
            }
            let kind = if under_way { self.cursors[at].kind(first) } else { BatchKind::Events };
            let batch = self.emit(at, parts, (first, last), kind, true)?;
            self.cursors[at].resend.pop_front();
            return Ok(batch);
        }
        let ready = self.cursors[at].fill(limits, now)?;
        for (first, last) in std::mem::take(&mut self.cursors[at].gaps) {
            let key = self.cursors[at].key.clone();
            let _ = self.groups.ack(&key, self.cursors[at].generation, first, last, self.clock.age_ms());
        }
        if !ready || self.cursors[at].parts.is_empty() {
            return Ok(None);
        }
        let (parts, last) = {
            let cursor = &self.cursors[at];
            (cursor.parts.clone(), cursor.next - 1)
        };
        let first = last + 1 - parts.iter().map(|p| u64::from(p.count)).sum::<u64>();
        let (kind, sent_before) = (self.cursors[at].kind(first), first < self.cursors[at].replay_until);
        let batch = self.emit(at, parts, (first, last), kind, sent_before)?;
        let cursor = &mut self.cursors[at];
        (cursor.parts, cursor.bytes, cursor.events, cursor.since) = (Vec::new(), 0, 0, None);
        Ok(batch)
    }
}

impl Consumer for GroupConsumer {
    fn poll(&mut self, limits: &Limits, wait: Duration) -> Result<Option<Batch>, FetchError> {
        let until = Instant::now() + wait;
        loop {
            if self.closed.load(Ordering::Acquire) {
                return Err(FetchError::Closed);
            }
            let seen = self.notifier.version();
            self.follow_changes();
            let now = Instant::now();
            for i in 0..self.cursors.len() {
                let at = (self.turn + i) % self.cursors.len();
                if let Some(batch) = self.try_cut(at, limits, now)? {
                    self.turn = at + 1;
                    return Ok(Some(batch));
                }
            }
            if now >= until {
                return Ok(None);
            }
            let ripe = self.cursors.iter().filter_map(|c| c.since).min().map_or(until, |since| until.min(since + limits.linger));
            self.notifier.wait(seen, ripe.saturating_duration_since(now));
        }
    }

    fn acker(&self) -> Arc<dyn Acker> {
        self.acker.clone()
    }
}

/// Acks for one group.
#[derive(Debug)]
pub(crate) struct GroupAcker {
    pub(crate) groups: Arc<Groups>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) places: Vec<(Key, Arc<super::partition::Partition>)>,
}

impl Acker for GroupAcker {
    fn ack(&self, id: &BatchId) {
        let key = (id.group.clone(), id.topic.clone(), id.partition);
        let now = self.clock.age_ms();
        let acked = match id.kind {
            BatchKind::Letters { .. } => self.groups.ack_letters(&key, id.first, id.last, now),
            BatchKind::Events | BatchKind::Overwrite { .. } => self.groups.ack(&key, id.reset, id.first, id.last, now),
        };
        if let Err(e) = acked {
            tracing::warn!("cannot write the groups' journal: {e}; the offset is in memory, a crash now would only deliver again");
        }
    }

    fn lag_events(&self) -> u64 {
        self.places.iter().map(|(key, p)| p.lag(self.groups.state(key).map_or(0, |s| s.committed))).sum()
    }
}
