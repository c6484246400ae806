//! The log thread: takes blocks from all sources, writes them in order, and has them synced in groups.
//!
//! One thread writes, another syncs, so that appending goes on while the disk works. Consumers see a
//! record only when it is durable (or, with `acks: none|written`, when it is written).

use super::absent::who_is_behind;
use super::admission::Admission;
use super::clock::Clock;
use super::embedded::DEAD_LETTER_TOPIC;
use super::floor::{Floor, Shortage};
use super::groups::Groups;
use super::partition::{Notifier, Partition};
use super::snapshot::Mark;
use super::stats::{QueueStats, Stall};
use super::syncer::{Job, SyncResult};
use super::writer::{PartitionWriter, Shared};
use super::{Acks, Block};
use crate::admin::human::bytes;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// This many unsynced bytes are synced without waiting for `sync_interval`.
const SYNC_BYTES: usize = 4 << 20;

/// How long to wait before a failed write is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// How long a failing disk is tried again when the agent stops.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// What the log thread is told.
#[derive(Debug)]
pub(crate) enum Message {
    Append(Block),
    /// Write and sync everything that came before, of this partition or of all; then answer.
    Flush(Option<(String, u32)>, Sender<()>),
    /// A sync has ended.
    Synced(Vec<SyncResult>),
    /// Write and sync everything, then end.
    Close,
    /// End at once: what is not durable stays in its source.
    Abandon,
}

/// What keeps the queue from growing.
enum Limit {
    MaxBytes,
    Floor(Shortage),
}

/// The log thread's state.
pub(crate) struct Log {
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) stats: Arc<QueueStats>,
    pub(crate) groups: Arc<Groups>,
    pub(crate) partitions: Vec<Arc<Partition>>,
    pub(crate) floor: Floor,
    pub(crate) writers: Vec<PartitionWriter>,
    /// (topic, partition) → index in `writers`.
    pub(crate) route: HashMap<(String, u32), usize>,
    pub(crate) jobs: Sender<Job>,
    pub(crate) sync_under_way: bool,
    pub(crate) dirty_since: Option<Instant>,
    pub(crate) retry_at: Option<Instant>,
    /// Who waits for which partition (index in `writers`), or for all.
    pub(crate) flushes: Vec<(Option<usize>, Sender<()>)>,
    /// Since when the log is to end.
    pub(crate) closing: Option<Instant>,
}

impl Log {
    pub(crate) fn run(mut self, messages: Receiver<Message>) {
        loop {
            let message = match self.deadline() {
                Some(at) => match messages.recv_timeout(at.saturating_duration_since(Instant::now())) {
                    Ok(m) => Some(m),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => Some(Message::Close),
                },
                None => Some(messages.recv().unwrap_or(Message::Close)),
            };
            if matches!(message, Some(Message::Abandon)) {
                return;
            }
            if let Some(message) = message {
                self.handle(message);
            }
            // What has arrived meanwhile may fill the batches; a stall leaves it in the channel.
            while self.retry_at.is_none() {
                match messages.try_recv() {
                    Ok(Message::Abandon) => return,
                    Ok(m) => self.handle(m),
                    Err(_) => break,
                }
            }
            self.work();
            let Some(closing) = self.closing else { continue };
            if self.writers.iter().all(|w| w.is_clean()) {
                break;
            }
            if self.retry_at.is_some() && closing.elapsed() > CLOSE_PATIENCE {
                tracing::error!(
                    "the queue closes although the disk fails: what is not durable stays in its source and is read again at the next start"
                );
                return;
            }
        }
        // The sync thread ends when it has done what was asked: a last snapshot that covers everything.
        let _ = self.jobs.send(Job::Close(self.marks()));
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Append(block) => {
                let spec = block.stream.spec();
                let partition = block.stream.partition;
                let Some(&at) = self.route.get(&(spec.topic.clone(), partition)) else {
                    // Topics are fixed when the queue opens; a stream remembered from another
                    // configuration goes to partition 0 of its topic or, where that is gone, stays unread.
                    tracing::error!(topic = spec.topic, partition, "no such partition; the data stays in its source");
                    self.admission.release(block.data.len());
                    return;
                };
                if self.writers[at].push(block, Instant::now()) && self.retry_at.is_none() {
                    self.flush(at);
                }
            }
            Message::Flush(partition, done) => {
                let at = partition.and_then(|p| self.route.get(&p).copied());
                self.flushes.push((at, done));
            }
            Message::Synced(results) => self.synced(results),
            Message::Abandon => {}
            Message::Close => {
                self.closing.get_or_insert_with(Instant::now);
            }
        }
    }

    /// When something must be done even if no message comes.
    fn deadline(&self) -> Option<Instant> {
        if let Some(at) = self.retry_at {
            return Some(at);
        }
        let linger = self.shared.options.linger;
        let flush = self.writers.iter().filter_map(|w| w.since).min().map(|since| since + linger);
        let sync = if self.sync_under_way { None } else { self.dirty_since.map(|since| since + self.shared.options.sync_interval) };
        [flush, sync].into_iter().flatten().min()
    }

    fn work(&mut self) {
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| now < at) {
            return;
        }
        self.retry_at = None;
        let hurry = self.closing.is_some() || !self.flushes.is_empty();
        let linger = self.shared.options.linger;
        for at in 0..self.writers.len() {
            let ripe = |w: &PartitionWriter| w.has_pending() && (hurry || w.is_full() || w.since.is_none_or(|s| now >= s + linger));
            // One that is stalled holds up no other.
            while ripe(&self.writers[at]) && self.flush(at) {}
        }
        let dirty: usize = self.writers.iter().map(|w| w.dirty_bytes()).sum();
        let due = self.dirty_since.is_some_and(|s| now >= s + self.shared.options.sync_interval);
        if !self.sync_under_way && self.writers.iter().any(|w| w.wants_sync()) && (hurry || due || dirty >= SYNC_BYTES) {
            let parts = self.writers.iter_mut().enumerate().filter(|(_, w)| w.wants_sync()).map(|(i, w)| (i, w.begin_sync())).collect();
            self.dirty_since = None;
            self.sync_under_way = true;
            let marks = self.marks();
            // The sync thread outlives this one.
            let _ = self.jobs.send(Job::Sync { parts, marks });
        }
        let writers = &self.writers;
        self.flushes.retain(|(at, done)| {
            let clean = at.map_or_else(|| writers.iter().all(|w| w.is_clean()), |at| writers[at].is_clean());
            if clean {
                let _ = done.send(());
            }
            !clean
        });
    }

    /// Writes the next record batch of a partition; `false` when it has to wait.
    fn flush(&mut self, at: usize) -> bool {
        // Dead letters pass: a full queue must not lock up on them, since delivering is what makes room.
        let reserved = *self.writers[at].partition.topic == *DEAD_LETTER_TOPIC;
        let cost = self.writers[at].next_cost();
        if !reserved
            && self.closing.is_none()
            && let Some(limit) = self.no_room(cost)
        {
            let (groups, partitions, dir) = (&self.groups, &self.partitions, self.shared.options.dir.display());
            let (max_bytes, now_ms) = (self.shared.options.max_bytes, self.clock.now_ms());
            let behind = || who_is_behind(groups, partitions, now_ms);
            match limit {
                Limit::MaxBytes => self.stats.stall(Stall::Full, || {
                    format!(
                        "queue.max_bytes ({}) is reached; sources wait, nothing is lost, and all goes on when sinks have acknowledged more{}",
                        bytes(max_bytes),
                        behind()
                    )
                }),
                Limit::Floor(Shortage { free, floor }) => self.stats.stall(Stall::Floor, || {
                    format!(
                        "the disk of {dir} has {} free, and {} are to stay free (queue.min_free_bytes); sources wait, nothing is lost, and all goes on when there is room{}",
                        bytes(free),
                        bytes(floor),
                        behind()
                    )
                }),
            }
            let _ = self.jobs.send(Job::Reclaim);
            self.retry_at = Some(Instant::now() + RETRY);
            return false;
        }
        let options = &self.shared.options;
        match self.writers[at].flush(self.clock.now_ms()) {
            Ok(written) => {
                if !reserved {
                    self.stats.disk_bytes.fetch_add(written as u64, Ordering::Relaxed);
                }
                self.stats.recovered();
                self.dirty_since.get_or_insert_with(Instant::now);
                if options.acks != Acks::Synced {
                    let writer = &self.writers[at];
                    writer.partition.publish(writer.partition.written());
                    self.notifier.notify();
                }
                true
            }
            Err(e) => {
                self.write_failed(at, &e);
                false
            }
        }
    }

    /// The limit that `cost` more bytes would pass.
    fn no_room(&mut self, cost: u64) -> Option<Limit> {
        if self.stats.disk_bytes.load(Ordering::Relaxed) + cost > self.shared.options.max_bytes {
            return Some(Limit::MaxBytes);
        }
        self.floor.short(cost, Instant::now()).map(Limit::Floor)
    }

    fn write_failed(&mut self, at: usize, e: &io::Error) {
        self.stats.disk_errors.fetch_add(1, Ordering::Relaxed);
        let writer = &mut self.writers[at];
        if e.kind() != io::ErrorKind::StorageFull {
            writer.abandon();
        }
        self.stats.stall(Stall::Disk, || {
            format!(
                "cannot write to {}: {e}; sources wait, nothing that was acknowledged is touched, and it is tried again until it succeeds",
                writer.partition.dir.display()
            )
        });
        let _ = self.jobs.send(Job::Reclaim);
        self.retry_at = Some(Instant::now() + RETRY);
    }

    fn synced(&mut self, results: Vec<SyncResult>) {
        self.sync_under_way = false;
        for result in results {
            let writer = &mut self.writers[result.writer];
            match result.outcome {
                Ok(end) => writer.synced(end),
                Err(e) => {
                    self.stats.disk_errors.fetch_add(1, Ordering::Relaxed);
                    self.stats.stall(Stall::Disk, || {
                        format!(
                            "a sync of {} failed: {e}; what was not durable is kept in memory and written to a fresh segment",
                            writer.partition.dir.display()
                        )
                    });
                    if let Err(e) = writer.rewrite_unsynced(result.bytes) {
                        // Come back to it as if that sync had failed once more.
                        let again = SyncResult { writer: result.writer, outcome: Err(e), bytes: result.bytes };
                        let jobs = self.jobs.clone();
                        let _ = jobs.send(Job::Later(vec![again], RETRY));
                        self.sync_under_way = true;
                    } else {
                        self.stats.recovered();
                    }
                }
            }
        }
        if self.dirty_since.is_none() && self.writers.iter().any(|w| w.wants_sync()) {
            self.dirty_since = Some(Instant::now());
        }
    }

    fn marks(&self) -> Vec<Mark> {
        self.writers
            .iter()
            .map(|w| Mark {
                topic: w.partition.topic.to_string(),
                partition: w.partition.number,
                segment_id: w.mark_segment(),
                next_offset: w.durable(),
            })
            .collect()
    }
}
