//! The embedded queue as a whole: opening, its two sides, and closing.

use super::admission::Admission;
use super::books::Known;
use super::clock::Clock;
use super::consumer::{GroupAcker, GroupConsumer};
use super::cursor::{CatchUp, Cursor};
use super::fetch::Fetcher;
use super::group_state::Key;
use super::groups::Groups;
use super::holes::Holes;
use super::log::Message;
use super::manage::Managed;
use super::meta::Lock;
use super::pace::Pace;
use super::partition::{Notifier, Partition};
use super::recovery::RecoveryReport;
use super::registry::Registry;
use super::spare::Spare;
use super::stats::QueueStats;
use super::writer::Shared;
use super::{
    AbsentGroup, Acks, AppendError, Block, Buffer, BufferPool, Consumer, Loss, Losses, LostUnread, Position, Producer, QueueOptions,
    Settled, Stream, StreamSpec, Wanted,
};
use crate::admin::{GroupPartition, PartitionStatus, QueueStatus};
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Name of the topic that holds what sinks could never deliver.
pub const DEAD_LETTER_TOPIC: &str = "dead-letter";

/// Bytes of the blocks that files are read in; the pool keeps buffers of this size.
pub const BLOCK_BYTES: usize = 256 << 10;

/// So often, and so long each time, a reader waits for memory before it takes what a consumer would read next from the tail
/// cache: enough for one that keeps up, and one that does not is let go at once.
const YIELDS: u32 = 20;
const YIELD: Duration = Duration::from_millis(1);

/// So long a reader waits for memory that consumers have, before it asks them for it.
const SOON: Duration = Duration::from_millis(5);

/// How long the source waits for what it has read again to become durable, before it does something else.
const SETTLE_PATIENCE: Duration = Duration::from_millis(500);

/// What a sink asks for when it joins.
#[derive(Clone, Debug, Default)]
pub struct Subscription {
    /// The consumer group: the sink's name.
    pub group: String,
    /// Earlier name whose offsets are inherited.
    pub previous: Option<String>,
    /// Topics; empty: all but the dead letters.
    pub topics: Vec<String>,
    /// Version of the sink's processing, part of batch IDs.
    pub pipeline: u32,
    /// See [`CatchUp`].
    pub catch_up: CatchUp,
}

/// What a consumer group is behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupLag {
    /// Events that are not delivered.
    pub events: u64,
    /// Bytes of them, about.
    pub bytes: u64,
    /// Age of the oldest, seconds.
    pub seconds: f64,
    /// By partition.
    pub partitions: Vec<GroupPartition>,
}

pub(super) struct Threads {
    pub(super) log: JoinHandle<()>,
    pub(super) sync: JoinHandle<()>,
}

/// The embedded queue. Threads: one writes, one syncs.
pub struct Queue {
    pub(super) options: QueueOptions,
    pub(super) uuid: u128,
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) registry: Arc<Registry>,
    pub(super) groups: Arc<Groups>,
    pub(super) partitions: Vec<Arc<Partition>>,
    pub(super) notifier: Arc<Notifier>,
    pub(super) admission: Arc<Admission>,
    pub(super) pool: Arc<BufferPool>,
    pub(super) spare: Arc<Spare>,
    pub(super) pace: Arc<Pace>,
    pub(super) stats: Arc<QueueStats>,
    pub(super) losses: Arc<Losses>,
    pub(super) holes: Arc<Holes>,
    pub(super) closed: Arc<AtomicBool>,
    pub(super) messages: super::inbox::Sender,
    pub(super) threads: Mutex<Option<Threads>>,
    pub(super) report: RecoveryReport,
    pub(super) _lock: Lock,
}

impl Queue {
    /// UUID of the queue.
    pub fn uuid(&self) -> u128 {
        self.uuid
    }

    /// What recovery found when the queue was opened.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.report
    }

    /// Names of all topics, the dead letters aside.
    pub fn topics(&self) -> Vec<String> {
        let names: BTreeSet<String> = self.partitions.iter().map(|p| p.topic.to_string()).filter(|t| t != DEAD_LETTER_TOPIC).collect();
        names.into_iter().collect()
    }

    /// Joins a consumer group. A new group begins at the earliest retained record.
    ///
    /// # Errors
    /// When the groups' journal cannot be written.
    pub fn subscribe(&self, wanted: &Subscription) -> io::Result<Box<dyn Consumer>> {
        let group: Arc<str> = wanted.group.as_str().into();
        // Looked at before the state is: a reset in between is then seen at the first poll.
        let changes = self.groups.changes();
        let (mut cursors, mut places) = (Vec::new(), Vec::new());
        for partition in &self.partitions {
            let listed = if wanted.topics.is_empty() {
                &*partition.topic != DEAD_LETTER_TOPIC
            } else {
                wanted.topics.iter().any(|t| **t == *partition.topic)
            };
            if !listed {
                continue;
            }
            let key: Key = (group.clone(), partition.topic.clone(), partition.number);
            let generation = self.groups.generation(&key);
            let state = self.groups.join(&key, wanted.previous.as_deref(), partition.first(), self.clock.age_ms())?;
            cursors.push(Cursor::new(key.clone(), self.fetcher(partition), &state, generation));
            places.push((key, self.fetcher(partition)));
        }
        if let Some(previous) = &wanted.previous {
            self.groups.forget(previous)?;
        }
        let acker = Arc::new(GroupAcker { groups: self.groups.clone(), clock: self.clock.clone(), places, closed: self.closed.clone() });
        Ok(Box::new(GroupConsumer {
            queue: self.uuid,
            pipeline: wanted.pipeline,
            cursors,
            letters: self.partitions.iter().find(|p| *p.topic == *DEAD_LETTER_TOPIC).map(|p| self.fetcher(p)),
            turn: 0,
            catch_up: wanted.catch_up,
            changes,
            groups: self.groups.clone(),
            clock: self.clock.clone(),
            notifier: self.notifier.clone(),
            pace: self.pace.clone(),
            pool: self.pool.clone(),
            closed: self.closed.clone(),
            acker,
        }))
    }

    /// The queue as those see it who list it and move its groups.
    pub fn manage(&self) -> Managed<'_> {
        let (states, joined) = self.groups.all();
        Managed {
            disk: self.shared.disk.clone(),
            queue: self.uuid,
            partitions: self.partitions.clone(),
            states,
            joined,
            now_ms: self.clock.now_ms(),
            groups: Some(&self.groups),
            notifier: Some(&self.notifier),
            known: Known::Live(&self.registry, &self.losses),
        }
    }

    fn fetcher(&self, partition: &Arc<Partition>) -> Fetcher {
        let (disk, registry, stats) = (self.shared.disk.clone(), self.registry.clone(), self.stats.clone());
        Fetcher::new(disk, registry, stats, Some(self.holes.clone()), partition.clone(), self.spare.clone())
    }

    /// Groups that the journal knows but no sink has joined: they hold retention for a while.
    pub fn absent_groups(&self) -> Vec<AbsentGroup> {
        super::absent::absent_groups(&self.groups, &self.partitions, self.clock.age_ms())
    }

    /// What a group is behind.
    pub fn lag(&self, group: &str) -> GroupLag {
        let (mut lag, now) = (GroupLag::default(), self.clock.now_ms());
        for partition in &self.partitions {
            let key: Key = (group.into(), partition.topic.clone(), partition.number);
            let Some(state) = self.groups.state(&key) else { continue };
            let end = partition.visible();
            let acked: u64 = state.acked.iter().map(|(s, e)| e - s).sum();
            let again: u64 = state.again.iter().chain(&state.letters).map(|(first, last)| last + 1 - first).sum();
            let behind = partition.lag(state.committed).saturating_sub(acked) + again;
            lag.partitions.push(GroupPartition {
                topic: partition.topic.to_string(),
                partition: partition.number,
                committed: state.committed,
                end,
                overwrite_until: state.overwrite_until,
                redriven_until: state.redriven_until,
            });
            lag.events += behind;
            if behind == 0 {
                continue;
            }
            if let Some((segment, pos, append_ms)) = self.fetcher(partition).place_of(state.committed.max(partition.first())) {
                let later: u64 = partition.segments().iter().filter(|s| s.id > segment.id).map(|s| s.size()).sum();
                lag.bytes += segment.size().saturating_sub(pos) + later;
                lag.seconds = lag.seconds.max(now.saturating_sub(append_ms) as f64 / 1000.0);
            }
        }
        lag
    }

    /// Events of a partition below `end` that a group has not delivered; 0 where it does not read it.
    pub fn undelivered(&self, group: &str, topic: &str, partition: u32, end: u64) -> u64 {
        let Some(state) = self.groups.state(&(group.into(), topic.into(), partition)) else { return 0 };
        let acked: u64 = state.acked.iter().map(|(s, e)| (*e).min(end).saturating_sub(*s)).sum();
        end.saturating_sub(state.committed).saturating_sub(acked)
    }

    /// How the queue stands.
    pub fn status(&self) -> QueueStatus {
        let (state, reason) = self.stats.state();
        QueueStatus {
            state,
            reason,
            disk_bytes: self.partitions.iter().map(|p| p.disk_bytes()).sum(),
            max_bytes: self.options.max_bytes,
            memory_bytes: (self.pool.used() + self.spare.used()) as u64,
            memory_cap: self.options.buffer_memory as u64,
            lost_events: self.stats.lost_events.load(Ordering::Relaxed),
            disk_errors: self.stats.disk_errors.load(Ordering::Relaxed),
            syncs: self.stats.syncs.load(Ordering::Relaxed),
            partitions: self
                .partitions
                .iter()
                .map(|p| PartitionStatus {
                    topic: p.topic.to_string(),
                    partition: p.number,
                    first_offset: p.first(),
                    end_offset: p.written(),
                    durable_offset: p.visible(),
                    bytes: p.disk_bytes(),
                    segments: p.segments().len() as u64,
                })
                .collect(),
            losses: self.losses.status(),
            wanted: self.losses.wanted_status(),
        }
    }

    /// What the queue has lost, and what became of it.
    pub fn losses(&self) -> &Arc<Losses> {
        &self.losses
    }

    /// Appends dead letters: they have reserved space, since a sink that cannot put them cannot get on.
    pub(crate) fn append_reserved(&self, block: Block) -> Result<(), AppendError> {
        self.admission.force(block.data.len());
        self.hand_over(block)
    }

    fn hand_over(&self, block: Block) -> Result<(), AppendError> {
        let len = block.data.len();
        self.messages.send(Message::Append(block)).map_err(|_| {
            self.admission.release(len);
            AppendError::Closed
        })
    }

    /// Writes and syncs everything that was appended before; waits at most `wait`. `false` when it did not succeed by then.
    pub fn flush(&self, wait: Duration) -> bool {
        self.flush_of(None, wait)
    }

    /// Like [`Queue::flush`], for one partition: the others may be stalled.
    pub(crate) fn flush_of(&self, partition: Option<(String, u32)>, wait: Duration) -> bool {
        let (done, answer) = channel();
        self.messages.send(Message::Flush(partition, done)).is_ok() && answer.recv_timeout(wait).is_ok()
    }

    /// Takes nothing more, makes durable what was taken, and writes the positions, so that the next start has nothing to scan.
    pub fn close(&self) {
        self.end(Message::Close);
    }

    /// Stops at once, as if the process had been killed: what is not durable stays in its source.
    pub fn abandon(&self) {
        self.end(Message::Abandon);
    }

    fn end(&self, how: Message) {
        self.closed.store(true, Ordering::Release);
        let _ = self.messages.send(how);
        let threads = self.threads.lock().unwrap_or_else(|e| e.into_inner()).take();
        if let Some(threads) = threads {
            for thread in [threads.log, threads.sync] {
                if thread.join().is_err() {
                    tracing::error!("a thread of the queue died; what it had acknowledged is durable");
                }
            }
        }
        self.notifier.notify();
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.close();
    }
}

impl Producer for Queue {
    fn streams(&self) -> Vec<Arc<Stream>> {
        self.registry.all()
    }

    fn declare(&self, spec: StreamSpec) -> Arc<Stream> {
        self.registry.declare(spec)
    }

    fn amend(&self, stream: &Arc<Stream>, spec: StreamSpec) {
        stream.set_spec(spec);
    }

    fn announce(&self, streams: Vec<(Arc<Stream>, Position)>) {
        // A queue that closes takes nothing more: then they are as unknown as before.
        let _ = self.messages.send(Message::Announce(streams));
    }

    fn forget(&self, stream: &Arc<Stream>) {
        let spec = stream.spec();
        if let Some(p) = self.partitions.iter().find(|p| *p.topic == *spec.topic && p.number == stream.partition) {
            self.registry.forget(stream, p.written());
        }
    }

    fn buffer(&self, len: usize, wait: Duration) -> Option<Buffer> {
        if !self.pace.wait(wait) || !self.admission.has_room(wait) {
            return None;
        }
        let mut yields = 0;
        loop {
            if let Some(buffer) = self.pool.take(len, Duration::ZERO) {
                return Some(buffer);
            }
            // The tail cache may use what is left; readers come first, but wait a moment for a consumer that is right behind.
            if self.partitions.iter().any(|p| p.evict_taken()) {
                continue;
            }
            if let Some(followed) = self.partitions.iter().find(|p| p.is_followed()) {
                if yields == YIELDS {
                    // It does not keep up, and reads from the files from now on: nobody waits for it again before it has caught up.
                    followed.evict();
                } else if let Some(buffer) = self.pool.take(len, YIELD) {
                    return Some(buffer);
                } else {
                    yields += 1;
                }
                continue;
            }
            if !self.partitions.iter().any(|p| p.evict()) {
                // What is in flight comes back soon, without anybody's being woken for it.
                let soon = SOON.min(wait);
                return self.pool.take(len, soon).or_else(|| self.pool.take_from(&self.notifier, len, wait - soon));
            }
        }
    }

    fn append(&self, block: Block) -> Result<(), AppendError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(AppendError::Closed);
        }
        let len = block.data.len();
        if !self.admission.acquire(len, self.options.max_block) {
            let waited_ms = self.options.max_block.as_millis() as u64;
            return Err(AppendError::TimedOut { waited_ms, reason: self.stats.why_waiting() });
        }
        self.hand_over(block)
    }

    fn has_room(&self, wait: Duration) -> bool {
        self.admission.has_room(wait)
    }

    fn acked(&self, stream: &Arc<Stream>, end: u64, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        loop {
            let seen = self.notifier.version();
            let done = match self.options.acks {
                Acks::None => true,
                Acks::Written => stream.written() >= end,
                Acks::Synced => stream.durable().end >= end,
            };
            let left = until.saturating_duration_since(Instant::now());
            if done || left.is_zero() {
                return done;
            }
            self.notifier.wait(seen, left);
        }
    }

    fn any_wanted(&self) -> bool {
        self.losses.any_wanted()
    }

    fn wanted(&self) -> Vec<Wanted> {
        self.losses.wanted()
    }

    fn settle(&self, settled: &[Settled]) -> bool {
        if settled.iter().any(|s| s.outcome.is_ok()) && !self.flush(SETTLE_PATIENCE) {
            return false;
        }
        match self.losses.settle(settled, self.clock.now_ms()) {
            Ok(()) => true,
            Err(e) => {
                self.stats.disk_errors.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("cannot note what was read again: {e}; tried again");
                false
            }
        }
    }

    fn lost_unread(&self, lost: &[LostUnread]) -> bool {
        let at_ms = self.clock.now_ms();
        let losses: Vec<Loss> = lost.iter().map(|l| l.loss(at_ms)).collect();
        let added = self.losses.add(&losses);
        if let Err(e) = &added {
            self.stats.disk_errors.fetch_add(1, Ordering::Relaxed);
            tracing::warn!("cannot note what was lost before it was read: {e}; tried again");
        }
        added.is_ok()
    }
}
