//! The log thread: takes blocks from all sources, writes them in order, and has them synced in groups.
//!
//! One thread writes, another syncs, so that appending goes on while the disk works. Consumers see a
//! record only when it is durable (or, with `acks: none|written`, when it is written).

use super::absent::who_is_behind;
use super::admission::Admission;
use super::ballast::is_full;
use super::clock::Clock;
use super::embedded::DEAD_LETTER_TOPIC;
use super::floor::{Floor, Shortage};
use super::groups::Groups;
use super::inbox::Receiver;
use super::partition::{Notifier, Partition};
use super::snapshot::Mark;
use super::stats::{QueueStats, Stall};
use super::syncer::{Job, SyncResult};
use super::writer::{Dropped, PartitionWriter, Shared};
use super::{Acks, Block, Cause, Loss, LostPart, LostStream, OnFull, Position, RunFlags, Span, Stream};
use crate::admin::human::bytes;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// This many unsynced bytes are synced without waiting for `sync_interval`.
const SYNC_BYTES: usize = 4 << 20;

/// How long to wait before a failed write is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// How often it is looked whether there is room again, and what was dropped is recorded.
const LOOK: Duration = Duration::from_secs(1);

/// How long a failing disk is tried again when the agent stops.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// What the log thread is told.
#[derive(Debug)]
pub(crate) enum Message {
    Append(Block),
    /// Write the records of these streams, of which nothing was appended yet, with where reading of them begins.
    Announce(Vec<(Arc<Stream>, Position)>),
    /// Write and sync everything that came before, of this partition or of all; then answer.
    Flush(Option<(String, u32)>, Sender<()>),
    /// What was dropped of the partition with this index is in the ledger now, or could not be entered.
    Recorded(usize, bool),
    /// So many bytes were freed where room was wanted.
    Reclaimed(u64),
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
    /// When room was asked for last.
    pub(crate) asked: Option<Instant>,
    /// Whether there was nothing to delete the last time.
    pub(crate) exhausted: bool,
    pub(crate) writers: Vec<PartitionWriter>,
    /// (topic, partition) → index in `writers`.
    pub(crate) route: HashMap<(String, u32), usize>,
    pub(crate) jobs: Sender<Job>,
    pub(crate) sync_under_way: bool,
    pub(crate) dirty_since: Option<Instant>,
    /// When the last sync began.
    pub(crate) last_sync: Option<Instant>,
    pub(crate) retry_at: Option<Instant>,
    /// Who waits for which partition (index in `writers`), or for all.
    pub(crate) flushes: Vec<(Option<usize>, Sender<()>)>,
    /// Since when the log is to end.
    pub(crate) closing: Option<Instant>,
}

impl Log {
    pub(crate) fn run(mut self, mut messages: Receiver) {
        loop {
            let message = messages.recv(self.deadline());
            if matches!(message, Some(Message::Abandon)) {
                return;
            }
            if let Some(message) = message {
                self.handle(message);
            }
            // What has arrived meanwhile may fill the batches; a stall leaves it in the channel.
            while self.retry_at.is_none() {
                match messages.try_recv() {
                    Some(Message::Abandon) => return,
                    Some(m) => self.handle(m),
                    None => break,
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
            Message::Announce(streams) => {
                for (stream, position) in streams {
                    if let Some(&at) = self.route.get(&(stream.spec().topic.clone(), stream.partition)) {
                        self.writers[at].announce(stream, position);
                    }
                }
            }
            Message::Flush(partition, done) => {
                let at = partition.and_then(|p| self.route.get(&p).copied());
                self.flushes.push((at, done));
            }
            Message::Synced(results) => self.synced(results),
            Message::Recorded(at, in_ledger) => self.recorded(at, in_ledger),
            Message::Reclaimed(freed) => {
                self.exhausted = freed == 0;
                if freed > 0 || self.shared.options.on_full == OnFull::DropNewest {
                    (self.retry_at, self.asked) = (None, self.exhausted.then(Instant::now));
                }
            }
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
        // One whose drops are on their way through the ledger waits for that.
        let free = || self.writers.iter().filter(|w| !w.is_recording());
        let flush = free().filter_map(|w| w.since).min().map(|since| since + linger);
        let dropped = free().filter_map(|w| w.dropped_since).min().map(|since| since + LOOK);
        let sync = if self.sync_under_way { None } else { self.sync_due() };
        [flush, dropped, sync].into_iter().flatten().min()
    }

    /// When what is written is to be synced, `sync_interval` after it was written at the latest. Where consumers wait for it, as
    /// soon as the last sync began that long ago: there are no more syncs than one an interval, and what comes after a rest
    /// waits for nothing.
    fn sync_due(&self) -> Option<Instant> {
        let (since, interval) = (self.dirty_since?, self.shared.options.sync_interval);
        Some(match (self.shared.options.acks, self.last_sync) {
            (Acks::Synced, None) => since,
            (Acks::Synced, Some(last)) => since.max(last + interval),
            _ => since + interval,
        })
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
            if self.writers[at].is_in_ledger() {
                self.write_dropped(at, now);
            }
            let ripe = |w: &PartitionWriter| w.has_pending() && (hurry || w.is_full() || w.since.is_none_or(|s| now >= s + linger));
            // They take next to no room, and a full queue is where they wait longest for their first block.
            if self.writers[at].has_announced() {
                self.write_announced(at, now);
            }
            // One that is stalled holds up no other.
            while ripe(&self.writers[at]) && self.flush(at) {}
            if self.writers[at].dropped_since.is_some_and(|since| hurry || now >= since + LOOK) {
                self.ask_ledger(at);
            }
        }
        let dirty: usize = self.writers.iter().map(|w| w.dirty_bytes()).sum();
        let due = self.sync_due().is_some_and(|due| now >= due);
        if !self.sync_under_way && self.writers.iter().any(|w| w.wants_sync()) && (hurry || due || dirty >= SYNC_BYTES) {
            let parts = self.writers.iter_mut().enumerate().filter(|(_, w)| w.wants_sync()).map(|(i, w)| (i, w.begin_sync())).collect();
            (self.dirty_since, self.last_sync) = (None, Some(now));
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
            return self.make_room(at, limit);
        }
        // The positions of what was dropped come first: what follows of a stream covers them.
        self.ask_ledger(at);
        if self.writers[at].is_recording() {
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

    /// What happens at a limit, by the policy; `true` when the partition goes on at once.
    fn make_room(&mut self, at: usize, limit: Limit) -> bool {
        let options = &self.shared.options;
        let now = Instant::now();
        let what = match limit {
            Limit::MaxBytes => format!("queue.max_bytes ({}) is reached", bytes(options.max_bytes)),
            Limit::Floor(Shortage { free, floor }) => format!(
                "the disk of {} has {} free, and {} are to stay free (queue.min_free_bytes)",
                options.dir.display(),
                bytes(free),
                bytes(floor)
            ),
        };
        let policy = options.on_full;
        // That nothing can go holds for a second: what was acknowledged since goes before anything is dropped.
        let since = self.asked.map(|asked| now.saturating_duration_since(asked));
        let dropping = policy == OnFull::DropNewest && self.exhausted && since.is_some_and(|since| since < LOOK);
        if !dropping && since.is_none_or(|since| since >= RETRY) {
            self.asked = Some(now);
            self.exhausted &= policy != OnFull::DropNewest;
            let _ = self.jobs.send(Job::Reclaim(Some(format!("{what} (on_full: drop_oldest)"))));
        }
        if dropping {
            self.drop_newest(at, now, &what);
            return true;
        }
        if policy == OnFull::Block || self.exhausted {
            let (groups, partitions, now_ms) = (&self.groups, &self.partitions, self.clock.age_ms());
            let why = if matches!(limit, Limit::MaxBytes) { Stall::Full } else { Stall::Floor };
            self.stats.stall(why, || {
                let behind = who_is_behind(groups, partitions, now_ms);
                format!("{what}; sources wait, nothing is lost, and all goes on when sinks have acknowledged more or there is room{behind}")
            });
        }
        self.retry_at = Some(now + RETRY);
        false
    }

    fn drop_newest(&mut self, at: usize, now: Instant, what: &str) {
        let gone = self.writers[at].drop_pending(now);
        let why = format!("{what} (on_full: drop_newest)");
        for one in &gone {
            self.admission.release(one.bytes as usize);
            let path = one.run.stream.spec().path.to_string_lossy().into_owned();
            self.stats.drops.add(now, Cause::DroppedNewest, &path, one.events, one.bytes, &why);
        }
        self.stats.tell_drops();
    }

    /// Has what was dropped entered in the ledger. Only then the positions move: after a crash in between more is told than
    /// was dropped, never less.
    fn ask_ledger(&mut self, at: usize) {
        let part = |d: &Dropped| {
            let bare = d.run.flags.0 & RunFlags::NO_POSITION != 0;
            let span = if bare { Span::default() } else { Span::new(d.run.source_start, d.run.source_end) };
            let span = Span { events: Some(d.events), ..span };
            LostPart {
                stream: LostStream::of(&d.run.stream),
                span,
                bytes: if bare { d.bytes } else { 0 },
                wanted: false,
                why: String::new(),
            }
        };
        let at_ms = self.clock.now_ms();
        let (topic, partition) = (self.writers[at].partition.topic.to_string(), self.writers[at].partition.number);
        if let Some(dropped) = self.writers[at].begin_recording() {
            let parts = dropped.iter().map(part).collect();
            let loss = Loss { cause: Cause::DroppedNewest, topic, partition, offsets: 0..0, at_ms, parts, had: Vec::new() };
            let _ = self.jobs.send(Job::Dropped(at, loss));
        }
    }

    /// What was dropped of a partition is in the ledger, or is not.
    fn recorded(&mut self, at: usize, in_ledger: bool) {
        let now = Instant::now();
        if !in_ledger {
            self.writers[at].not_recorded(now);
            self.retry_at = Some(now + RETRY);
            return;
        }
        self.write_dropped(at, now);
    }

    /// Writes the records of announced streams; a failure is tried again by [`Log::work`].
    fn write_announced(&mut self, at: usize, now: Instant) {
        match self.writers[at].write_announced(self.clock.now_ms()) {
            Ok(written) => {
                self.stats.disk_bytes.fetch_add(written as u64, Ordering::Relaxed);
                self.dirty_since.get_or_insert(now);
            }
            Err(e) => self.write_failed(at, &e),
        }
    }

    /// Writes what stands for dropped events that are in the ledger; a failure is tried again by [`Log::work`].
    fn write_dropped(&mut self, at: usize, now: Instant) {
        match self.writers[at].record_dropped(self.clock.now_ms()) {
            Ok(written) => {
                self.stats.disk_bytes.fetch_add(written as u64, Ordering::Relaxed);
                self.stats.recovered();
                self.dirty_since.get_or_insert(now);
            }
            Err(e) => self.write_failed(at, &e),
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
        if !is_full(e) {
            writer.abandon();
        }
        self.stats.stall(Stall::Disk, || {
            format!(
                "cannot write to {}: {e}; sources wait, nothing that was acknowledged is touched, and it is tried again until it succeeds",
                writer.partition.dir.display()
            )
        });
        // A disk that fails gets no better when events are dropped.
        let _ = self.jobs.send(Job::Reclaim(is_full(e).then(|| format!("{e} (on_full: drop_oldest)"))));
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
