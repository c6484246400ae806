//! Writes one partition: packs blocks into record batches, rolls segments, and, when a sync fails,
//! writes what was not durable again into a fresh segment.

use super::append::{Declared, append};
use super::clock::STEP_BACK_MS;
use super::compression::Compressor;
use super::disk::{Disk, DiskFile};
use super::format::{BATCH_HEADER, MAX_RUNS, RUN_ENTRY, SEGMENT_HEADER, SegmentHeader};
use super::partition::Partition;
use super::segment::Segment;
use super::{Block, Filtered, Position, QueueOptions, RecordBatch, Run, RunFlags, Stream};
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// So many runs of dropped events are written at once: each may have entries of its own for what was filtered.
const MAX_DROPPED: usize = MAX_RUNS / 4;

/// What all writers of a queue share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: QueueOptions,
    pub(crate) queue: u128,
    pub(crate) epoch: u32,
    pub(crate) next_segment: AtomicU64,
    pub(crate) cache_cap: usize,
}

#[derive(Debug)]
struct Active {
    segment: Arc<Segment>,
    file: Arc<dyn DiskFile>,
    pos: u64,
    declared: Declared,
}

/// What one sync of a partition makes durable.
#[derive(Debug)]
pub(crate) struct SyncPart {
    pub(crate) partition: Arc<Partition>,
    pub(crate) files: Vec<Arc<dyn DiskFile>>,
    pub(crate) end: u64,
    pub(crate) seal: Vec<Arc<Segment>>,
    /// Where streams are then, and what was filtered of them on the way there.
    pub(crate) positions: Vec<(Arc<Stream>, Position, Vec<Filtered>)>,
    /// Bytes that count against the cap on unsynced data until then.
    pub(crate) bytes: usize,
}

/// Consecutive events of a stream that were dropped.
#[derive(Clone, Debug)]
pub(crate) struct Dropped {
    /// The run that stands in the queue for them.
    pub(crate) run: Run,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

impl From<Block> for Dropped {
    fn from(block: Block) -> Dropped {
        let (events, bytes) = (u64::from(block.count), block.data.len() as u64);
        // What was read again moves no position, also when it is dropped.
        let flags = RunFlags(RunFlags::DROPPED | block.flags.0 & (RunFlags::NO_POSITION | RunFlags::REPAIR));
        Dropped { run: Run { count: 0, flags, lens: Bytes::new(), data: Bytes::new(), ..Run::from(&block) }, events, bytes }
    }
}

/// Later sums of the same rules take the place of earlier ones.
fn merge(sums: &mut Vec<Filtered>, later: &[Filtered]) {
    for sum in later {
        match sums.iter_mut().find(|known| known.rule == sum.rule) {
            Some(known) => *known = *sum,
            None => sums.push(*sum),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct PartitionWriter {
    shared: Arc<Shared>,
    pub(crate) partition: Arc<Partition>,
    pending: Vec<Block>,
    pending_bytes: usize,
    pub(crate) since: Option<Instant>,
    active: Option<Active>,
    next_offset: u64,
    last_ms: u64,
    durable: u64,
    unsynced: VecDeque<Arc<RecordBatch>>,
    /// Unsynced bytes that are not part of a sync that is under way.
    dirty_bytes: usize,
    dirty_files: Vec<Arc<dyn DiskFile>>,
    to_seal: Vec<Arc<Segment>>,
    syncing: bool,
    /// How many of the unsynced batches the sync under way makes durable.
    in_sync: usize,
    /// [`PartitionWriter::mark_segment`] when the sync under way began, and when the last good one did.
    marks: (u64, u64),
    /// The last sync has failed.
    failed: bool,
    /// What was dropped and is not recorded yet, and since when.
    dropped: Vec<Dropped>,
    /// What of it is on its way through the ledger.
    recording: Vec<Dropped>,
    /// It is in the ledger, and only its runs are not written yet.
    in_ledger: bool,
    pub(crate) dropped_since: Option<Instant>,
    /// Streams whose records are to be written before anything of them is, and where reading of each begins.
    announced: Vec<(Arc<Stream>, Position)>,
    compressor: Compressor,
}

impl PartitionWriter {
    pub(crate) fn new(shared: Arc<Shared>, partition: Arc<Partition>) -> PartitionWriter {
        let end = partition.written();
        let last_ms = partition.segments().iter().map(|s| s.newest_ms()).max().unwrap_or(0);
        let mark = shared.next_segment.load(Ordering::Relaxed);
        PartitionWriter {
            shared,
            partition,
            pending: Vec::new(),
            pending_bytes: 0,
            since: None,
            active: None,
            next_offset: end,
            last_ms,
            durable: end,
            unsynced: VecDeque::new(),
            dirty_bytes: 0,
            dirty_files: Vec::new(),
            to_seal: Vec::new(),
            syncing: false,
            in_sync: 0,
            marks: (mark, mark),
            failed: false,
            dropped: Vec::new(),
            recording: Vec::new(),
            in_ledger: false,
            dropped_since: None,
            announced: Vec::new(),
            compressor: Compressor::default(),
        }
    }

    /// Takes a block; `true` when a batch is full.
    pub(crate) fn push(&mut self, block: Block, now: Instant) -> bool {
        self.pending_bytes += block.data.len();
        self.since.get_or_insert(now);
        self.pending.push(block);
        self.is_full()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.pending_bytes >= self.shared.options.batch_size || self.pending.len() >= MAX_RUNS
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(crate) fn dirty_bytes(&self) -> usize {
        self.dirty_bytes
    }

    /// Whether there is something to sync and no sync under way.
    pub(crate) fn wants_sync(&self) -> bool {
        !self.syncing && !self.dirty_files.is_empty()
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.pending.is_empty()
            && self.dropped.is_empty()
            && self.announced.is_empty()
            && !self.is_recording()
            && self.unsynced.is_empty()
            && self.dirty_files.is_empty()
            && !self.syncing
    }

    /// How many of the pending blocks make the next record batch.
    fn next_batch(&self) -> usize {
        let mut bytes = 0;
        let mut entries = 0;
        // What was filtered takes entries of the run table, too.
        let fits = |b: &&Block| {
            entries += 1 + b.filtered.len();
            entries <= MAX_RUNS
        };
        let full = |b: &Block| {
            bytes += b.data.len();
            bytes >= self.shared.options.batch_size
        };
        let most = self.pending.iter().take_while(fits).count();
        self.pending[..most].iter().position(full).map_or(most, |i| i + 1)
    }

    /// Bytes that writing the next record batch would take, about.
    pub(crate) fn next_cost(&self) -> u64 {
        let take = self.next_batch();
        let bytes: usize = self.pending[..take].iter().map(|b| b.data.len() + b.lens.len()).sum();
        (bytes + take * (RUN_ENTRY + 512) + BATCH_HEADER) as u64
    }

    /// Writes the next record batch of what is pending. On an error nothing has changed, and it can be tried again.
    pub(crate) fn flush(&mut self, now_ms: u64) -> io::Result<usize> {
        if self.pending.is_empty() {
            return Ok(0);
        }
        if self.last_ms.saturating_sub(now_ms) > STEP_BACK_MS {
            // A clock that was far ahead has been put right. Times follow, but never go back within a segment.
            if self.active.is_some() {
                self.roll(self.next_offset)?;
            }
            self.last_ms = now_ms;
        }
        let take = self.next_batch();
        let runs: Vec<Run> = self.pending[..take].iter().map(Run::from).collect();
        let count = runs.iter().map(|r| r.count).sum();
        let append_ms = now_ms.max(self.last_ms);
        let batch = RecordBatch { base_offset: self.next_offset, count, epoch: self.shared.epoch, append_ms, runs };
        let written = self.write(&batch)?;
        let bytes: usize = self.pending.drain(..take).map(|b| b.data.len()).sum();
        self.pending_bytes -= bytes;
        if self.pending.is_empty() {
            self.since = None;
        }
        self.last_ms = append_ms;
        self.next_offset = batch.end_offset();
        self.dirty_bytes += bytes;
        batch.runs.iter().for_each(|run| run.stream.set_written(run.source_end));
        let batch = Arc::new(batch);
        self.unsynced.push_back(batch.clone());
        // One of which all is filtered takes no offset: consumers never ask for it.
        if batch.count > 0 {
            self.partition.wrote(batch, self.shared.cache_cap);
        }
        Ok(written)
    }

    /// Drops what is pending (`on_full: drop_newest`); gives what it was, by run. The bytes need no memory any more.
    pub(crate) fn drop_pending(&mut self, now: Instant) -> Vec<Dropped> {
        let gone: Vec<Dropped> = self.pending.drain(..).map(Dropped::from).collect();
        (self.pending_bytes, self.since) = (0, None);
        for one in &gone {
            let of_stream = |d: &&mut Dropped| (d.run.stream.id, d.run.flags) == (one.run.stream.id, one.run.flags);
            match self.dropped.iter_mut().rfind(of_stream) {
                Some(last) if last.run.source_end == one.run.source_start => {
                    (last.run.source_end, last.run.tail) = (one.run.source_end, one.run.tail);
                    (last.events, last.bytes) = (last.events + one.events, last.bytes + one.bytes);
                    merge(&mut last.run.filtered, &one.run.filtered);
                }
                _ => self.dropped.push(one.clone()),
            }
        }
        self.dropped_since.get_or_insert(now);
        gone
    }

    /// Takes what was dropped to be entered in the ledger; `None` where there is nothing, or the last is under way still.
    pub(crate) fn begin_recording(&mut self) -> Option<&[Dropped]> {
        if self.is_recording() || self.dropped.is_empty() {
            return None;
        }
        (self.recording, self.dropped_since) = (std::mem::take(&mut self.dropped), None);
        Some(&self.recording)
    }

    /// Whether what was dropped is on its way through the ledger: nothing may be appended before it.
    pub(crate) fn is_recording(&self) -> bool {
        !self.recording.is_empty()
    }

    /// The ledger did not take it: later.
    pub(crate) fn not_recorded(&mut self, now: Instant) {
        let later = std::mem::replace(&mut self.dropped, std::mem::take(&mut self.recording));
        self.dropped.extend(later);
        self.dropped_since = Some(now);
    }

    /// Whether what was dropped is in the ledger, and has yet to be written.
    pub(crate) fn is_in_ledger(&self) -> bool {
        self.in_ledger
    }

    /// Writes runs without events for what is in the ledger now, so that the streams' positions move on. On an error it
    /// goes on there the next time; what is not written when the process ends is read again from its source.
    pub(crate) fn record_dropped(&mut self, now_ms: u64) -> io::Result<usize> {
        let mut written = 0;
        self.in_ledger = true;
        while self.is_recording() {
            let take = self.recording.len().min(MAX_DROPPED);
            written += self.write_empty(self.recording[..take].iter().map(|d| d.run.clone()).collect(), now_ms)?;
            self.recording.drain(..take);
        }
        self.in_ledger = false;
        Ok(written)
    }

    /// Takes a stream whose record is to be written.
    pub(crate) fn announce(&mut self, stream: Arc<Stream>, begin: Position) {
        self.announced.push((stream, begin));
    }

    pub(crate) fn has_announced(&self) -> bool {
        !self.announced.is_empty()
    }

    /// Writes the records of announced streams, each with a run without events. On an error it goes on there the next time.
    pub(crate) fn write_announced(&mut self, now_ms: u64) -> io::Result<usize> {
        let mut written = 0;
        // A full batch does not wait for it: of what was written meanwhile the position must not go back.
        self.announced.retain(|(stream, begin)| stream.written() <= begin.end);
        while !self.announced.is_empty() {
            let take = self.announced.len().min(MAX_RUNS);
            let run = |(stream, begin): &(Arc<Stream>, Position)| Run {
                stream: stream.clone(),
                source_start: begin.end,
                source_end: begin.end,
                count: 0,
                flags: RunFlags::default(),
                tail: begin.tail,
                lens: Bytes::new(),
                data: Bytes::new(),
                filtered: Vec::new(),
            };
            written += self.write_empty(self.announced[..take].iter().map(run).collect(), now_ms)?;
            self.announced.drain(..take);
        }
        Ok(written)
    }

    /// Writes a batch of runs without events: it takes no offset.
    fn write_empty(&mut self, runs: Vec<Run>, now_ms: u64) -> io::Result<usize> {
        let append_ms = now_ms.max(self.last_ms);
        let batch = RecordBatch { base_offset: self.next_offset, count: 0, epoch: self.shared.epoch, append_ms, runs };
        let written = self.write(&batch)?;
        self.last_ms = append_ms;
        self.unsynced.push_back(Arc::new(batch));
        Ok(written)
    }

    fn roll(&mut self, base_offset: u64) -> io::Result<()> {
        let shared = &self.shared;
        let header = SegmentHeader {
            segment_id: shared.next_segment.fetch_add(1, Ordering::Relaxed),
            queue: shared.queue,
            partition: self.partition.number,
            topic: crc32c::crc32c(self.partition.topic.as_bytes()),
            base_offset,
            epoch: shared.epoch,
            created_ms: self.last_ms,
        };
        let dir = &self.partition.dir;
        let (segment, file) = Segment::create(&*shared.disk, dir, &header).or_else(|e| {
            // Somebody has deleted the folder: make it anew, what is in memory still goes there.
            if e.kind() != io::ErrorKind::NotFound {
                return Err(e);
            }
            shared.disk.create_dir_all(dir)?;
            Segment::create(&*shared.disk, dir, &header)
        })?;
        let segment = Arc::new(segment);
        self.partition.add_segment(segment.clone());
        if let Some(old) = self.active.replace(Active { segment, file, pos: SEGMENT_HEADER as u64, declared: Declared::new() }) {
            self.to_seal.push(old.segment);
        }
        Ok(())
    }

    /// Appends `batch`, with the records of streams that this segment does not know, in one write.
    fn write(&mut self, batch: &RecordBatch) -> io::Result<usize> {
        let cost = (batch.data_len() + batch.runs.len() * RUN_ENTRY + SEGMENT_HEADER) as u64;
        let full = self.active.as_ref().is_none_or(|a| a.pos > SEGMENT_HEADER as u64 && a.pos + cost > self.shared.options.segment_bytes);
        if full {
            self.roll(batch.base_offset)?;
        }
        let durable_lag = u32::try_from(batch.base_offset - self.durable).unwrap_or(u32::MAX);
        let Some(active) = self.active.as_mut() else { return Err(io::ErrorKind::NotFound.into()) };
        let start = active.pos;
        let compress = (self.shared.options.compression, &mut self.compressor);
        active.pos = append(&*active.file, active.segment.id, start, batch, durable_lag, &mut active.declared, compress)?;
        active.segment.wrote(start, active.pos, batch.base_offset, batch.end_offset(), batch.append_ms);
        if !self.dirty_files.last().is_some_and(|f| Arc::ptr_eq(f, &active.file)) {
            self.dirty_files.push(active.file.clone());
        }
        Ok((active.pos - start) as usize)
    }

    /// Leaves the segment that could not be written: nothing is appended to it any more.
    pub(crate) fn abandon(&mut self) {
        if let Some(active) = self.active.take() {
            self.to_seal.push(active.segment);
        }
    }

    /// What a sync has to do now.
    pub(crate) fn begin_sync(&mut self) -> SyncPart {
        (self.syncing, self.in_sync) = (true, self.unsynced.len());
        self.marks.0 = self.newest_segment();
        let mut latest: HashMap<u64, (Arc<Stream>, Position, Vec<Filtered>)> = HashMap::new();
        for run in self.unsynced.iter().flat_map(|b| &b.runs).filter(|r| !r.flags.has(RunFlags::REPAIR)) {
            let reached = Position { end: run.source_end, tail: run.tail };
            let (_, position, filtered) = latest.entry(run.stream.id).or_insert_with(|| (run.stream.clone(), reached, Vec::new()));
            // One that was announced may have had its first block written before.
            if reached.end >= position.end {
                *position = reached;
            }
            merge(filtered, &run.filtered);
        }
        SyncPart {
            partition: self.partition.clone(),
            files: std::mem::take(&mut self.dirty_files),
            end: self.next_offset,
            seal: std::mem::take(&mut self.to_seal),
            positions: latest.into_values().collect(),
            bytes: std::mem::take(&mut self.dirty_bytes),
        }
    }

    /// A sync has made everything before `end` durable.
    pub(crate) fn synced(&mut self, end: u64) {
        (self.syncing, self.failed) = (false, false);
        self.marks.1 = self.marks.0;
        self.durable = end;
        self.unsynced.drain(..self.in_sync);
    }

    /// A sync has failed: the pages may be gone although they still read well, and another sync would
    /// answer that all is fine. So nothing of the old segment beyond the durable end is trusted; what was
    /// not durable is still in memory and goes to a fresh segment.
    pub(crate) fn rewrite_unsynced(&mut self, bytes: usize) -> io::Result<()> {
        self.failed = true;
        let batches: Vec<Arc<RecordBatch>> = self.unsynced.iter().cloned().collect();
        let durable = self.durable;
        if let Some(active) = self.active.as_ref().filter(|a| matches!(a.file.is_linked(), Ok(false))) {
            active.segment.keep(active.file.clone());
        }
        self.roll(durable)?;
        self.dirty_files.clear();
        for batch in &batches {
            self.write(batch)?;
        }
        // Both the old segment and an earlier attempt end where this one begins: neither is sealed.
        self.to_seal.clear();
        self.syncing = false;
        self.dirty_bytes += bytes;
        Ok(())
    }

    /// The segment from which on a snapshot taken now does not know everything.
    pub(crate) fn mark_segment(&self) -> u64 {
        // Until a sync succeeds again, older segments hold what may never have become durable.
        if self.failed { self.marks.1 } else { self.newest_segment() }
    }

    fn newest_segment(&self) -> u64 {
        self.active.as_ref().map_or(self.shared.next_segment.load(Ordering::Relaxed), |a| a.segment.id)
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::tests::{block, lines, options, sim::SimDisk, spec};
    use std::path::Path;

    #[test]
    fn an_announcement_that_comes_late_takes_no_position_back() {
        let (disk, dir, now) = (SimDisk::new(3), Path::new("/p"), Instant::now());
        disk.create_dir_all(dir).unwrap();
        let partition = Arc::new(Partition::new("logs".into(), 0, dir.into(), Vec::new(), 0));
        let shared =
            Shared { disk: Arc::new(disk), options: options(dir), queue: 1, epoch: 1, next_segment: AtomicU64::new(1 << 32), cache_cap: 0 };
        let mut writer = PartitionWriter::new(Arc::new(shared), partition);
        let [late, early] = [1, 2].map(|n| Stream::new(n, 0, spec(n.into()), Position::default()));
        let first = block(&late, 0, &lines(0, 10));
        let end = first.source_end;
        writer.announce(late.clone(), Position::default());
        writer.announce(early.clone(), Position::default());
        writer.push(first, now);
        writer.flush(1).unwrap();
        writer.write_announced(2).unwrap();
        assert!(!writer.has_announced());
        let mut positions: Vec<_> = writer.begin_sync().positions.into_iter().map(|(s, at, _)| (s.id, at.end)).collect();
        positions.sort_unstable();
        assert_eq!(positions, [(late.id, end), (early.id, 0)]);
    }
}
