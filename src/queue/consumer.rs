//! One consumer group: cuts batches, records them before they are sent, and commits what is acked.

use super::block::BufferPool;
use super::clock::Clock;
use super::cursor::{CatchUp, Cursor, range};
use super::fetch::Fetcher;
use super::group_state::{Again, Key};
use super::groups::Groups;
use super::letter::Letter;
use super::pace::Pace;
use super::partition::Notifier;
use super::{Acker, Batch, BatchId, BatchKind, Consumer, FetchError, Limits, Part};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What was appended longer ago is a backlog, ms.
const FRESH_MS: u64 = 30_000;
/// So many backlogs at the same time: each costs a reader, and none is forgotten.
const MOST_BACKLOGS: usize = 16;

/// The group's handle on all its partitions.
pub(crate) struct GroupConsumer {
    pub(crate) queue: u128,
    pub(crate) pipeline: u32,
    pub(crate) cursors: Vec<Cursor>,
    /// Reads the dead letters that are redriven; `None` where there is no such topic.
    pub(crate) letters: Option<Fetcher>,
    pub(crate) turn: usize,
    pub(crate) catch_up: CatchUp,
    /// [`Groups::changes`] at the last look.
    pub(crate) changes: u64,
    pub(crate) groups: Arc<Groups>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) pace: Arc<Pace>,
    pub(crate) pool: Arc<BufferPool>,
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
        Batch { id, parts, events, bytes, sent_before: true, cut: false }
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
        // Of several places in a partition the one that is not bounded stands for all.
        for at in 0..self.cursors.len() {
            let cursor = &mut self.cursors[at];
            if cursor.until < u64::MAX {
                continue;
            }
            let change = self.groups.changed(&cursor.key, cursor.generation);
            if let Some((state, generation)) = change.reset {
                cursor.restart(&state, generation);
            }
            cursor.resend.extend(change.again.into_iter().map(|again| (again, false)));
        }
        let moved: Vec<(Key, u32)> = self.cursors.iter().filter(|c| c.until == u64::MAX).map(|c| (c.key.clone(), c.generation)).collect();
        self.cursors.retain(|c| c.until == u64::MAX || moved.contains(&(c.key.clone(), c.generation)));
    }

    /// Where what stands next has become old, a new place begins at the end.
    fn prefer_fresh(&mut self) -> Result<(), FetchError> {
        if self.catch_up == CatchUp::OldestFirst {
            return Ok(());
        }
        self.cursors.retain(|c| !c.is_exhausted());
        let now = self.clock.age_ms();
        for at in 0..self.cursors.len() {
            let bounded = self.cursors.iter().filter(|c| c.until < u64::MAX).count();
            let cursor = &mut self.cursors[at];
            if cursor.until < u64::MAX || !cursor.parts.is_empty() || bounded >= MOST_BACKLOGS {
                continue;
            }
            if cursor.next_appended()?.is_some_and(|appended| now.saturating_sub(appended) > FRESH_MS) {
                let end = cursor.fetcher.partition.visible();
                let (key, from) = (cursor.key.clone(), cursor.next);
                let fork = cursor.fork(end);
                self.cursors.push(fork);
                tracing::info!(
                    group = &*key.0,
                    topic = &*key.1,
                    "offsets {from} to {} are older than {} s: newer events go first from now on (catch_up: newest_first)",
                    end - 1,
                    FRESH_MS / 1000
                );
            }
        }
        Ok(())
    }

    /// The places in the order in which they are asked: in turn, but backlogs after all others, the newest first.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.cursors.len()).map(|i| (self.turn + i) % self.cursors.len()).collect();
        if self.catch_up == CatchUp::NewestFirst {
            order.sort_by_key(|at| {
                let cursor = &self.cursors[*at];
                if cursor.until == u64::MAX { 0 } else { u64::MAX - cursor.next }
            });
        }
        order
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
                let _ = self.groups.ack(&key, self.cursors[at].generation, (first, last), &[], self.clock.age_ms());
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
            let _ = self.groups.ack(&key, self.cursors[at].generation, (first, last), &[], self.clock.age_ms());
        }
        if ready { self.cut(at, now) } else { Ok(None) }
    }

    /// What is gathered becomes a batch, where there is anything.
    fn cut(&mut self, at: usize, now: Instant) -> Result<Option<Batch>, FetchError> {
        if self.cursors[at].parts.is_empty() {
            return Ok(None);
        }
        let (parts, last) = {
            let cursor = &self.cursors[at];
            (cursor.parts.clone(), cursor.next - 1)
        };
        let first = last + 1 - parts.iter().map(|p| u64::from(p.count)).sum::<u64>();
        let (kind, sent_before) = (self.cursors[at].kind(first), first < self.cursors[at].replay_until);
        let batch = self.emit(at, parts, (first, last), kind, sent_before)?;
        let no_room = std::mem::take(&mut self.cursors[at].no_room);
        self.cursors[at].begin_next(now);
        Ok(batch.map(|batch| Batch { cut: no_room, ..batch }))
    }

    /// The place that has gathered most, where a reader waits for memory and half of all is in batches that are not full yet: then
    /// it would be the linger that it waits for. Of many partitions none may ever fill a batch.
    fn in_the_way(&self) -> Option<usize> {
        if !self.pool.is_starving() {
            return None;
        }
        let gathered = |cursor: &Cursor| cursor.parts.iter().map(|p| p.batch.data_len()).sum::<usize>();
        let all: usize = self.cursors.iter().map(gathered).sum();
        (0..self.cursors.len()).max_by_key(|at| gathered(&self.cursors[*at])).filter(|_| all >= self.pool.cap() / 2)
    }
}

impl Consumer for GroupConsumer {
    fn poll(&mut self, limits: &Limits, wait: Duration) -> Result<Option<Batch>, FetchError> {
        let until = Instant::now() + wait;
        if !self.pace.wait(wait) {
            return Ok(None);
        }
        loop {
            if self.closed.load(Ordering::Acquire) {
                return Err(FetchError::Closed);
            }
            let seen = self.notifier.version();
            self.follow_changes();
            self.prefer_fresh()?;
            let now = Instant::now();
            for at in self.order() {
                if let Some(batch) = self.try_cut(at, limits, now)? {
                    self.turn = at + 1;
                    return Ok(Some(batch));
                }
            }
            if let Some(at) = self.in_the_way() {
                self.cursors[at].no_room = true;
                if let Some(batch) = self.cut(at, now)? {
                    return Ok(Some(batch));
                }
            }
            if now >= until {
                self.cursors.iter().for_each(|c| c.fetcher.rest());
                return Ok(None);
            }
            let ripe = self.cursors.iter().filter_map(|c| c.ripe(limits.linger)).min().map_or(until, |ripe| until.min(ripe));
            self.notifier.wait(seen, ripe.saturating_duration_since(now));
        }
    }

    fn rest(&mut self) {
        self.cursors.iter_mut().for_each(Cursor::let_go);
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
    /// A reader of each of its partitions, which stands nowhere yet.
    pub(crate) places: Vec<(Key, Fetcher)>,
    /// Set when the queue closes.
    pub(crate) closed: Arc<AtomicBool>,
}

impl Acker for GroupAcker {
    fn ack(&self, id: &BatchId) {
        self.ack_without(id, &[]);
    }

    fn ack_without(&self, id: &BatchId, filtered: &[(u64, u64)]) {
        let key = (id.group.clone(), id.topic.clone(), id.partition);
        let now = self.clock.age_ms();
        let acked = match id.kind {
            BatchKind::Letters { .. } => self.groups.ack_letters(&key, id.first, id.last, now),
            BatchKind::Events | BatchKind::Overwrite { .. } => self.groups.ack(&key, id.reset, (id.first, id.last), filtered, now),
        };
        if let Err(e) = acked {
            tracing::warn!("cannot write the groups' journal: {e}; the offset is in memory, a crash now would only deliver again");
        }
    }

    fn lag_events(&self) -> u64 {
        self.places.iter().map(|(key, p)| p.partition.lag(self.groups.state(key).map_or(0, |s| s.committed))).sum()
    }

    fn again(&self, id: &BatchId) -> Result<Vec<Part>, FetchError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(FetchError::Closed);
        }
        let place = self.places.iter().find(|((_, topic, partition), _)| *topic == id.topic && *partition == id.partition);
        match (place, id.kind) {
            (Some((_, fetcher)), BatchKind::Events | BatchKind::Overwrite { .. }) => range(&mut fetcher.renewed(), id.first, id.last),
            // Its offsets are those of the dead letters.
            _ => Ok(Vec::new()),
        }
    }
}
