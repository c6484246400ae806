//! A chain before the queue: `sources.*.process`.
//!
//! It stands between a source and the queue as a [`Producer`] of its own. What of a block it leaves as it is, is stored as it
//! was read; what it changes is stored as it makes it, and what it filters is not stored at all. The block keeps its range of
//! the source, so that the position moves over what was filtered, and each event keeps its own: an event that is read again
//! gets the ID that it had, as long as the chain makes the same of it. A block that nothing happens to is handed on untouched.

mod work;

use super::chain::Chain;
use crate::queue::{
    AppendError, Block, Buffer, Events, Filtered, LostUnread, Position, Producer, Run, RunFlags, Settled, Stream, StreamSpec, Tail, Wanted,
    now_ms,
};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use work::Work;

/// How long it waits for memory; then the source tries again.
const MEMORY_WAIT: Duration = Duration::from_secs(1);
/// What is made of one block is handed over in parts of about so many bytes: a chain may make much of little, and all memory
/// has its bound.
const PART: usize = 512 << 10;

/// A source's chain, and for whose documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeforeQueue {
    /// The chain.
    pub chain: Chain,
    /// The host's name in the documents.
    pub host_name: String,
}

impl BeforeQueue {
    /// What would be stored of the first `most` events of `run`, and which of them would be filtered: where each begins, and by
    /// which processor.
    pub(crate) fn preview(&self, run: &Run, append_ms: u64, most: u32) -> (Run, Vec<(u64, String)>) {
        let mut first = run.clone();
        first.count = run.count.min(most);
        let mut work = Work::new(self.chain.clone(), &self.host_name);
        let (mut filtered, mut events) = (Vec::new(), work.begin(&first));
        work.run(&first, &mut events, first.source_start, (append_ms, usize::MAX), |position, step| filtered.push((position, step)));
        if work.changed {
            first.count = work.count;
            first.flags.0 |= RunFlags::PROCESSED;
            (first.lens, first.data) = (Bytes::copy_from_slice(&work.lens), Bytes::copy_from_slice(&work.data));
        }
        (first, filtered.into_iter().map(|(position, step)| (position, work.rule(step).to_string())).collect())
    }

    /// The way to `queue` through the chain.
    pub(crate) fn before(self, queue: Arc<dyn Producer>, tally: Arc<Tally>) -> Arc<dyn Producer> {
        let work = Mutex::new((Work::new(self.chain, &self.host_name), HashMap::new()));
        Arc::new(Before { queue, tally, work })
    }
}

/// What a chain before the queue did since the start.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    filtered: AtomicU64,
    failures: AtomicU64,
    by: Mutex<BTreeMap<String, u64>>,
}

impl Tally {
    /// Events that it filtered.
    pub(crate) fn filtered(&self) -> u64 {
        self.filtered.load(Relaxed)
    }

    /// Failures of processors at events that went on all the same.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Filtered events by processor.
    pub(crate) fn by_step(&self) -> BTreeMap<String, u64> {
        self.by.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    fn add(&self, work: &Work) {
        self.failures.fetch_add(work.failed, Relaxed);
        if work.dropped.is_empty() {
            return;
        }
        let mut by = self.by.lock().unwrap_or_else(|e| e.into_inner());
        for (step, (events, _)) in &work.dropped {
            self.filtered.fetch_add(*events, Relaxed);
            let name = work.rule(*step);
            match by.get_mut(name) {
                Some(count) => *count += events,
                None => drop(by.insert(name.to_string(), *events)),
            }
        }
    }
}

/// What all parts of a block have in common.
struct Whole {
    stream: Arc<Stream>,
    source_start: u64,
    source_end: u64,
    flags: RunFlags,
    tail: Tail,
}

impl Whole {
    fn of(block: &Block) -> Whole {
        let Block { source_start, source_end, flags, tail, .. } = *block;
        Whole { stream: block.stream.clone(), source_start, source_end, flags, tail }
    }

    fn is_file(&self) -> bool {
        self.stream.spec().file.is_some()
    }

    fn is_repair(&self) -> bool {
        self.flags.has(RunFlags::REPAIR)
    }
}

/// See the module.
struct Before {
    queue: Arc<dyn Producer>,
    tally: Arc<Tally>,
    /// Also, by stream: the byte of the file to which a block was handed over of which the rest found no room. The source
    /// reads the whole of it again.
    work: Mutex<(Work, HashMap<u64, u64>)>,
}

impl Before {
    /// Hands over what the work has made of the events from `start` on. Nobody may hold memory of the queue who waits for some.
    fn hand_over(&self, work: &Work, whole: &Whole, start: u64, tail: Tail) -> Result<(), AppendError> {
        let data = if work.data.is_empty() {
            Bytes::new()
        } else {
            let Some(mut buffer) = self.queue.buffer(work.data.len(), MEMORY_WAIT) else {
                let reason = "what was read waits for memory (`queue.buffer_memory`)".into();
                return Err(AppendError::TimedOut { waited_ms: MEMORY_WAIT.as_millis() as u64, reason });
            };
            buffer.copy_from_slice(&work.data);
            buffer.freeze()
        };
        let stream = &whole.stream;
        // What is read again was counted when it was read first.
        let counted = !whole.is_repair() && whole.is_file();
        let sum = |(step, (events, bytes)): (&usize, &(u64, u64))| stream.filtering(stream.rule(work.rule(*step)), *events, *bytes);
        let filtered: Vec<Filtered> = if counted { work.dropped.iter().map(sum).collect() } else { Vec::new() };
        self.queue.append(Block {
            stream: stream.clone(),
            source_start: start,
            source_end: work.reached,
            count: work.count,
            lens: Bytes::copy_from_slice(&work.lens),
            data,
            flags: RunFlags(whole.flags.0 | RunFlags::PROCESSED),
            tail,
            filtered: filtered.clone(),
        })?;
        stream.appended(&filtered);
        self.tally.add(work);
        Ok(())
    }

    /// The rest of a block whose first part the work has made, part by part; `run` is a copy of it. Where there is no room for one,
    /// the byte of the source where it begins is given with the error.
    fn parts(&self, work: &mut Work, whole: &Whole, run: &Run, from: u64) -> Result<(), (u64, AppendError)> {
        let mut events = Events::new(run, run.source_start, work.seen, u32::MAX);
        let (mut start, mut more) = (from, true);
        loop {
            let before = usize::try_from(work.reached - run.source_start).ok().and_then(|len| run.data.get(..len));
            let tail = if more { before.map_or(whole.tail, Tail::of) } else { whole.tail };
            match self.hand_over(work, whole, start, tail) {
                // Who pushes is answered for the whole, so it waits for the rest; a file is read again from here.
                Err(AppendError::TimedOut { .. }) if start > whole.source_start && !whole.is_file() => continue,
                Err(error) => return Err((start, error)),
                Ok(()) => start = work.reached,
            }
            if !more {
                return Ok(());
            }
            more = work.run(run, &mut events, start, (now_ms(), PART), |_, _| {});
        }
    }
}

impl Producer for Before {
    fn append(&self, block: Block) -> Result<(), AppendError> {
        let mut guard = self.work.lock().unwrap_or_else(|e| e.into_inner());
        let (work, begun) = &mut *guard;
        let (whole, run) = (Whole::of(&block), Run::from(&block));
        let resumes = !begun.is_empty() && !whole.is_repair();
        let from = if resumes { begun.get(&whole.stream.id).map_or(0, |at| *at) } else { 0 }.max(whole.source_start);
        if from >= whole.source_end && from > whole.source_start {
            return Ok(());
        }
        let mut events = work.begin(&run);
        let more = work.run(&run, &mut events, from, (now_ms(), PART), |_, _| {});
        let done = if !work.changed {
            drop(run);
            self.queue.append(block).inspect(|()| self.tally.add(work)).map_err(|error| (from, error))
        } else if more {
            // Its memory goes back to the queue before any is asked for.
            let run = Run { data: Bytes::copy_from_slice(&run.data), ..run };
            drop(block);
            self.parts(work, &whole, &run, from)
        } else {
            drop((run, block));
            self.hand_over(work, &whole, from, whole.tail).map_err(|error| (from, error))
        };
        work.done();
        match done {
            Ok(()) => {
                if resumes {
                    begun.remove(&whole.stream.id);
                }
                Ok(())
            }
            Err((at, error)) => {
                if at > whole.source_start && whole.is_file() && !whole.is_repair() {
                    begun.insert(whole.stream.id, at);
                }
                Err(error)
            }
        }
    }

    fn streams(&self) -> Vec<Arc<Stream>> {
        self.queue.streams()
    }

    fn declare(&self, spec: StreamSpec) -> Arc<Stream> {
        self.queue.declare(spec)
    }

    fn amend(&self, stream: &Arc<Stream>, spec: StreamSpec) {
        self.queue.amend(stream, spec);
    }

    fn announce(&self, streams: Vec<(Arc<Stream>, Position)>) {
        self.queue.announce(streams);
    }

    fn forget(&self, stream: &Arc<Stream>) {
        self.work.lock().unwrap_or_else(|e| e.into_inner()).1.remove(&stream.id);
        self.queue.forget(stream);
    }

    fn buffer(&self, len: usize, wait: Duration) -> Option<Buffer> {
        self.queue.buffer(len, wait)
    }

    fn has_room(&self, wait: Duration) -> bool {
        self.queue.has_room(wait)
    }

    fn acked(&self, stream: &Arc<Stream>, end: u64, wait: Duration) -> bool {
        self.queue.acked(stream, end, wait)
    }

    fn any_wanted(&self) -> bool {
        self.queue.any_wanted()
    }

    fn wanted(&self) -> Vec<Wanted> {
        self.queue.wanted()
    }

    fn settle(&self, settled: &[Settled]) -> bool {
        self.queue.settle(settled)
    }

    fn lost_unread(&self, lost: &[LostUnread]) -> bool {
        self.queue.lost_unread(lost)
    }
}

#[cfg(test)]
mod tests;
