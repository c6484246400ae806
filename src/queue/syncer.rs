//! The sync thread: makes what was written durable, several partitions at once, then tells consumers;
//! seals segments, writes snapshots, and deletes what retention no longer holds.

use super::absent::Watch;
use super::admission::Admission;
use super::ballast::Ballasted;
use super::clock::Clock;
use super::floor::Floor;
use super::groups::Groups;
use super::partition::{Notifier, Partition, bounded_bytes};
use super::registry::Registry;
use super::retention;
use super::segment::Segment;
use super::shed;
use super::side_by_side::SideBySide;
use super::snapshot::{Mark, Snapshots};
use super::stats::QueueStats;
use super::writer::{Shared, SyncPart};
use super::{Cause, Loss, Losses, OnFull};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How often retention by age is looked at when nothing else happens.
const IDLE: Duration = Duration::from_secs(30);
/// How often the groups' journal is synced, and retention looked at, while there is work.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// What the sync thread is asked to do.
#[derive(Debug)]
pub(crate) enum Job {
    Sync {
        parts: Vec<(usize, SyncPart)>,
        marks: Vec<Mark>,
    },
    /// Room is wanted: delete what may be deleted, now; where that is nothing, and `on_full` allows it, what somebody has
    /// not read, for this reason.
    Reclaim(Option<String>),
    /// Enter in the ledger what was dropped of a partition, by its writer's index.
    Dropped(usize, Loss),
    /// Hand these results back after a while.
    Later(Vec<SyncResult>, Duration),
    /// Everything is synced: write the last snapshot and end.
    Close(Vec<Mark>),
}

/// How the sync of one partition ended.
#[derive(Debug)]
pub(crate) struct SyncResult {
    pub(crate) writer: usize,
    /// The durable end, or why there is none.
    pub(crate) outcome: io::Result<u64>,
    /// Bytes that the failed sync was to make durable.
    pub(crate) bytes: usize,
}

/// The sync thread's state.
pub(crate) struct Syncer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) groups: Arc<Groups>,
    pub(crate) partitions: Vec<Arc<Partition>>,
    pub(crate) snapshots: Snapshots,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) stats: Arc<QueueStats>,
    pub(crate) log: super::inbox::Sender,
    pub(crate) side_by_side: SideBySide,
    pub(crate) last_housekeeping: Instant,
    /// Bytes that were synced since then.
    pub(crate) unlooked: u64,
    /// Whether the last snapshot could not be written: said once until one can.
    pub(crate) snapshot_failed: bool,
    /// Marks of the last sync that was whole.
    pub(crate) last_marks: Vec<Mark>,
    pub(crate) absent: Watch,
    pub(crate) losses: Arc<Losses>,
    pub(crate) floor: Floor,
    pub(crate) ballast: Arc<Ballasted>,
}

impl Syncer {
    pub(crate) fn run(mut self, jobs: Receiver<Job>) {
        loop {
            match jobs.recv_timeout(IDLE) {
                Ok(Job::Sync { parts, marks }) => self.sync(parts, marks),
                Ok(Job::Reclaim(why)) => {
                    let mut freed = self.housekeep(true);
                    if let (0, OnFull::DropOldest, Some(why)) = (freed, self.shared.options.on_full, why) {
                        freed = self.drop_oldest(&why);
                    }
                    let _ = self.log.send(super::log::Message::Reclaimed(freed));
                }
                Ok(Job::Dropped(writer, loss)) => {
                    let added = self.losses.add(&[loss]);
                    if let Err(e) = &added {
                        tracing::warn!("what was dropped cannot be recorded: {e}; it is tried again, and sources wait");
                    }
                    let _ = self.log.send(super::log::Message::Recorded(writer, added.is_ok()));
                }
                Ok(Job::Later(results, wait)) => {
                    std::thread::sleep(wait);
                    let _ = self.log.send(super::log::Message::Synced(results));
                }
                Ok(Job::Close(marks)) => {
                    self.close(marks);
                    return;
                }
                Err(RecvTimeoutError::Timeout) => _ = self.housekeep(false),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.last_housekeeping.elapsed() >= HOUSEKEEPING {
                self.housekeep(false);
            }
        }
    }

    fn sync(&mut self, parts: Vec<(usize, SyncPart)>, mut marks: Vec<Mark>) {
        let (mut results, mut sealed) = (Vec::with_capacity(parts.len()), false);
        let mut side_by_side = std::mem::take(&mut self.side_by_side);
        side_by_side.sync(parts.iter().map(|(_, part)| &part.files), |at, outcome| {
            let (writer, part) = &parts[at];
            self.stats.syncs.fetch_add(1, Ordering::Relaxed);
            let outcome = outcome.map(|()| {
                sealed |= !part.seal.is_empty();
                self.durable(part, &mut marks);
                part.end
            });
            results.push(SyncResult { writer: *writer, outcome, bytes: part.bytes });
        });
        self.side_by_side = side_by_side;
        let whole = results.iter().all(|r| r.outcome.is_ok());
        self.notifier.notify();
        let _ = self.log.send(super::log::Message::Synced(results));
        if whole {
            self.last_marks = marks;
        }
        if sealed && whole {
            self.snapshot(self.last_marks.clone());
        }
        if sealed && whole || self.unlooked >= self.shared.options.segment_bytes {
            self.housekeep(false);
        }
    }

    /// What a sync has made durable: only now consumers may see it, and only now it counts as where its streams are.
    fn durable(&mut self, part: &SyncPart, marks: &mut [Mark]) {
        for (stream, position, filtered) in &part.positions {
            stream.reach(*position, filtered);
        }
        part.partition.publish(part.end);
        // The positions above go into the next snapshot: without the offset that belongs to
        // them, segments that vanish could not be missed.
        for mark in marks.iter_mut().chain(&mut self.last_marks) {
            if *mark.topic == *part.partition.topic && mark.partition == part.partition.number {
                mark.next_offset = mark.next_offset.max(part.end);
            }
        }
        self.admission.release(part.bytes);
        self.unlooked += part.bytes as u64;
        part.seal.iter().for_each(|segment| self.seal(segment));
    }

    /// Writes the index of a segment that is complete. A failure costs time at the next start, nothing else.
    fn seal(&self, segment: &Segment) {
        if let Err(e) = segment.write_index(&*self.shared.disk) {
            tracing::debug!("cannot write the index of {}: {e}; it will be made anew", segment.path.display());
        }
    }

    fn snapshot(&mut self, marks: Vec<Mark>) -> bool {
        let written = self.snapshots.write(&*self.shared.disk, &self.registry, marks);
        let told = self.snapshot_failed;
        self.snapshot_failed = written.is_err();
        if let Err(e) = &written
            && !told
        {
            tracing::warn!(
                "cannot write a snapshot of the streams' positions: {e}; they are in the record batches still, segments are kept until a snapshot succeeds"
            );
        }
        written.is_ok()
    }

    /// Makes room although not everybody has read what goes; gives the bytes.
    fn drop_oldest(&mut self, why: &str) -> u64 {
        let shed = shed::drop_oldest(&self.retention(true), &self.registry, &self.losses);
        let shed = match shed {
            Ok(Some(shed)) => shed,
            Ok(None) => return 0,
            Err(e) => {
                tracing::warn!("nothing is dropped, since it cannot be recorded: {e}");
                return 0;
            }
        };
        let (now, drops) = (Instant::now(), &self.stats.drops);
        let parts = || shed.losses.iter().flat_map(|l| &l.parts);
        let counted: u64 = parts().filter_map(|p| p.span.events).sum();
        for part in parts() {
            let bytes = part.span.bytes().max(part.bytes);
            drops.add(now, Cause::DroppedOldest, &part.stream.path, part.span.events.unwrap_or(0), bytes, why);
        }
        let offsets: u64 = shed.losses.iter().map(|l| l.offsets.end - l.offsets.start).sum();
        if offsets > counted {
            drops.add(now, Cause::DroppedOldest, "streams that are not known", offsets - counted, 0, why);
        }
        shed.unread.iter().for_each(|(group, events)| drops.unread(group, *events));
        self.stats.tell_drops();
        self.stats.disk_bytes.store(bounded_bytes(&self.partitions), Ordering::Relaxed);
        shed.bytes
    }

    fn retention(&self, urgent: bool) -> retention::Context<'_> {
        retention::Context {
            disk: &self.shared.disk,
            options: &self.shared.options,
            partitions: &self.partitions,
            groups: &self.groups,
            snapshots: &self.snapshots,
            stats: &self.stats,
            now_ms: self.clock.age_ms(),
            urgent,
        }
    }

    /// Gives the bytes that were freed.
    fn housekeep(&mut self, urgent: bool) -> u64 {
        (self.last_housekeeping, self.unlooked) = (Instant::now(), 0);
        // What nobody waits for makes room also where it was somebody else who took it.
        let urgent = urgent || self.floor.short(0, self.last_housekeeping).is_some();
        let now_ms = self.clock.age_ms();
        for gone in self.absent.look(&self.groups, &self.partitions, now_ms) {
            tracing::warn!(group = gone.group, "{gone}");
        }
        // A record that is not written is written the next time.
        let _ = self.groups.seen(now_ms);
        if let Err(e) = self.groups.sync() {
            tracing::warn!("cannot sync the groups' journal: {e}; offsets are in memory, a crash now would only deliver again");
        }
        // Room is wanted, and a segment may go only when both snapshots cover it.
        while urgent && !self.last_marks.is_empty() && !self.snapshots.both_have(&self.last_marks) {
            if !self.snapshot(self.last_marks.clone()) {
                break;
            }
        }
        let freed = retention::enforce(&self.retention(urgent));
        if freed > 0 {
            let first = |topic: &str, number| self.partitions.iter().find(|p| *p.topic == *topic && p.number == number).map(|p| p.first());
            self.groups.settle_filtered(first, |stream| self.registry.get(stream).is_some());
        }
        if freed > 0 || self.registry.has_forgotten() {
            self.registry.expire(|stream| {
                let spec = stream.spec();
                self.partitions.iter().find(|p| *p.topic == *spec.topic && p.number == stream.partition).map(|p| p.first())
            });
        }
        self.stats.disk_bytes.store(bounded_bytes(&self.partitions), Ordering::Relaxed);
        self.ballast.fill();
        self.stats.tell_drops();
        freed
    }

    fn close(&mut self, marks: Vec<Mark>) {
        let mut marks = marks;
        self.stats.tell_all_drops();
        for partition in &self.partitions {
            for segment in partition.segments() {
                if !self.shared.disk.open(&segment.path.with_extension("idx")).is_ok_and(|f| f.len().is_ok_and(|n| n > 0)) {
                    self.seal(&segment);
                }
            }
        }
        // Nothing is left to scan at the next start.
        let beyond = self.shared.next_segment.load(Ordering::Relaxed);
        marks.iter_mut().for_each(|m| m.segment_id = beyond);
        self.snapshot(marks);
        if let Err(e) = self.groups.sync() {
            tracing::warn!("cannot sync the groups' journal: {e}");
        }
        self.notifier.notify();
    }
}
