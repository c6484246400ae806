//! A partition as the log, the sync thread and the consumers share it: its segments, its tail cache,
//! and how far consumers may see.

use super::RecordBatch;
use super::embedded::DEAD_LETTER_TOPIC;
use super::ranges::Ranges;
use super::segment::Segment;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Wakes consumers when a partition has more, or the queue closes.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    version: Mutex<u64>,
    changed: Condvar,
}

impl Notifier {
    pub(crate) fn version(&self) -> u64 {
        *self.version.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(crate) fn notify(&self) {
        *self.version.lock().unwrap_or_else(|e| e.into_inner()) += 1;
        self.changed.notify_all();
    }

    /// Waits until the version is no longer `seen`, at most `wait`.
    pub(crate) fn wait(&self, seen: u64, wait: Duration) {
        let guard = self.version.lock().unwrap_or_else(|e| e.into_inner());
        drop(self.changed.wait_timeout_while(guard, wait, |v| *v == seen));
    }
}

#[derive(Debug, Default)]
struct State {
    segments: VecDeque<Arc<Segment>>,
    cache: VecDeque<Arc<RecordBatch>>,
    cache_bytes: usize,
    written: u64,
    visible: u64,
    /// All before it was taken by the consumer that is furthest ahead.
    taken: u64,
    /// Offsets that are known to be lost, so that each is told and counted once.
    lost: Ranges,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) topic: Arc<str>,
    pub(crate) number: u32,
    pub(crate) dir: PathBuf,
    /// The end when the queue opened: everything before it must be in a segment, else it is lost.
    pub(crate) opened_end: u64,
    state: Mutex<State>,
}

impl Partition {
    pub(crate) fn new(topic: Arc<str>, number: u32, dir: PathBuf, segments: Vec<Arc<Segment>>, end: u64) -> Partition {
        let state = State { segments: segments.into(), written: end, visible: end, taken: end, ..State::default() };
        Partition { topic, number, dir, opened_end: end, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The offsets `from..to` are lost; gives how many of them were not known to be.
    pub(crate) fn lose(&self, from: u64, to: u64) -> u64 {
        self.lock().lost.insert(from, to)
    }

    /// How many of the offsets `from..to` are not known to be lost.
    pub(crate) fn not_known_lost(&self, from: u64, to: u64) -> u64 {
        self.lock().lost.clone().insert(from, to)
    }

    /// How many visible events from `committed` on a group has still to come: those that are there.
    pub(crate) fn lag(&self, committed: u64) -> u64 {
        let (first, visible) = (self.first(), self.visible());
        self.not_known_lost(committed.max(first).min(visible), visible)
    }

    /// Whether an offset is known to be lost.
    pub(crate) fn is_lost(&self, offset: u64) -> bool {
        self.lock().lost.contains(offset)
    }

    /// First retained offset.
    pub(crate) fn first(&self) -> u64 {
        let state = self.lock();
        state.segments.iter().find(|s| s.end() > s.base).map_or(state.visible, |s| s.base)
    }

    /// Offset after the last written event.
    pub(crate) fn written(&self) -> u64 {
        self.lock().written
    }

    /// Offset after the last event that consumers may see.
    pub(crate) fn visible(&self) -> u64 {
        self.lock().visible
    }

    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        self.lock().segments.iter().cloned().collect()
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        self.lock().segments.iter().map(|s| s.size()).sum()
    }

    pub(crate) fn add_segment(&self, segment: Arc<Segment>) {
        let mut state = self.lock();
        // A segment that takes over from a poisoned one bounds those before it.
        for before in &state.segments {
            if before.end() > segment.base {
                before.set_end(segment.base.max(before.base));
            }
        }
        state.segments.push_back(segment);
    }

    pub(crate) fn remove_segment(&self, id: u64) {
        let mut state = self.lock();
        state.segments.retain(|s| s.id != id);
        let first = state.segments.iter().find(|s| s.end() > s.base).map_or(state.visible, |s| s.base);
        while state.cache.front().is_some_and(|b| b.end_offset() <= first) {
            state.pop_cached();
        }
    }

    /// A batch is in the file: it goes into the tail cache. What no consumer has taken yet may pass over the cap, up to three
    /// times of it: read from the file again it would cost more than all that was done for it so far.
    pub(crate) fn wrote(&self, batch: Arc<RecordBatch>, cache_cap: usize) {
        let mut state = self.lock();
        state.written = batch.end_offset();
        state.cache_bytes += batch.data_len();
        state.cache.push_back(batch);
        while state.cache_bytes > cache_cap {
            let keep = if state.cache_bytes > 3 * cache_cap { state.visible } else { state.visible.min(state.taken) };
            if state.cache.front().is_none_or(|b| b.end_offset() > keep) {
                break;
            }
            state.pop_cached();
        }
    }

    /// A consumer has all before `end`.
    pub(crate) fn took(&self, end: u64) {
        let mut state = self.lock();
        state.taken = state.taken.max(end);
    }

    /// Drops the oldest cached batch where it was taken already; `false` when there is none.
    pub(crate) fn evict_taken(&self) -> bool {
        let mut state = self.lock();
        let can = state.cache.front().is_some_and(|b| b.end_offset() <= state.visible.min(state.taken));
        if can {
            state.pop_cached();
        }
        can
    }

    /// Whether the oldest cached batch is what a consumer takes next: one that is further behind reads from the file anyway.
    pub(crate) fn is_followed(&self) -> bool {
        let state = self.lock();
        state.cache.front().is_some_and(|b| b.base_offset <= state.taken && state.taken < b.end_offset() && b.end_offset() <= state.visible)
    }

    /// Consumers may see everything before `end` now.
    pub(crate) fn publish(&self, end: u64) {
        let mut state = self.lock();
        state.visible = state.visible.max(end);
    }

    /// Drops the oldest cached batch that is durable; `false` when there is none.
    pub(crate) fn evict(&self) -> bool {
        let mut state = self.lock();
        let can = state.cache.front().is_some_and(|b| b.end_offset() <= state.visible);
        if can {
            state.pop_cached();
        }
        can
    }

    /// The cached batch that holds `offset`, where consumers may see it.
    pub(crate) fn cached(&self, offset: u64) -> Option<Arc<RecordBatch>> {
        let state = self.lock();
        if offset >= state.visible || state.cache.front().is_none_or(|b| offset < b.base_offset) {
            return None;
        }
        let at = state.cache.partition_point(|b| b.end_offset() <= offset);
        state.cache.get(at).filter(|b| b.base_offset <= offset).cloned()
    }

    /// The segment that holds `offset`, or else the next one after it.
    pub(crate) fn segment_at(&self, offset: u64) -> Option<Arc<Segment>> {
        self.lock().segments.iter().filter(|s| s.end() > offset.max(s.base)).min_by_key(|s| s.base).cloned()
    }
}

/// Bytes that count against `max_bytes`: dead letters have space of their own.
pub(crate) fn bounded_bytes(partitions: &[Arc<Partition>]) -> u64 {
    partitions.iter().filter(|p| *p.topic != *DEAD_LETTER_TOPIC).map(|p| p.disk_bytes()).sum()
}

impl State {
    fn pop_cached(&mut self) {
        if let Some(batch) = self.cache.pop_front() {
            self.cache_bytes -= batch.data_len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Position, Run, RunFlags, Stream, StreamSpec, Tail};
    use bytes::Bytes;

    /// Writes one event of 50 bytes for each of these offsets, and lets consumers see it.
    fn write(partition: &Partition, offsets: std::ops::Range<u64>) {
        for base_offset in offsets {
            let run = Run {
                stream: Stream::new(1, 0, StreamSpec::default(), Position::default()),
                source_start: 0,
                source_end: 50,
                count: 1,
                flags: RunFlags::default(),
                tail: Tail::default(),
                lens: Bytes::from_static(&[50]),
                data: Bytes::from_static(&[b'x'; 50]),
                filtered: Vec::new(),
            };
            partition.wrote(Arc::new(RecordBatch { base_offset, count: 1, epoch: 1, append_ms: 0, runs: vec![run] }), 100);
            partition.publish(base_offset + 1);
        }
    }

    fn partition() -> Partition {
        Partition::new("logs".into(), 0, PathBuf::new(), Vec::new(), 0)
    }

    #[test]
    fn what_no_consumer_has_taken_stays_in_memory_up_to_three_times_the_cap() {
        let partition = partition();
        write(&partition, 0..6);
        assert!(partition.cached(0).is_some());
        partition.took(2);
        write(&partition, 6..7);
        assert!(partition.cached(1).is_none() && partition.cached(2).is_some(), "only what was taken goes");
        write(&partition, 7..9);
        assert!(partition.cached(2).is_none() && partition.cached(3).is_some(), "three times the cap is the end");
        partition.took(9);
        write(&partition, 9..10);
        assert!(partition.cached(7).is_none() && partition.cached(8).is_some(), "the cap holds for what was taken");
    }

    #[test]
    fn a_consumer_that_is_right_behind_is_told_from_one_that_reads_from_the_file() {
        let partition = partition();
        assert!(!partition.is_followed(), "there is nothing");
        write(&partition, 0..2);
        assert!(partition.is_followed() && !partition.evict_taken());
        partition.took(1);
        assert!(partition.evict_taken() && partition.is_followed());
        assert!(partition.evict() && !partition.is_followed());
        write(&partition, 2..4);
        assert!(!partition.is_followed(), "it reads the event before from the file");
        partition.took(2);
        assert!(partition.is_followed(), "it has caught up");
    }
}
