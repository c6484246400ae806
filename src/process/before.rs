//! A chain before the queue: `sources.*.process`.
//!
//! It stands between a source and the queue as a [`Producer`] of its own. What of a block it leaves as it is, is stored as it
//! was read; what it changes is stored as it makes it, and what it filters is not stored at all. The block keeps its range of
//! the source, so that the position moves over what was filtered, and each event keeps its own: an event that is read again
//! gets the ID that it had, as long as the chain makes the same of it. A block that nothing happens to is handed on untouched.

use super::chain::{Chain, Verdict};
use super::document::{Documents, Template};
use super::event::{Change, Path, Saved, Value};
use super::shaping::Through;
use super::timestamp::rfc3339;
use crate::queue::{
    AppendError, Block, Buffer, Event, Events, Filtered, LostUnread, Position, Producer, Run, RunFlags, RunSlice, Settled, Stored, Stream,
    StreamSpec, Wanted, now_ms,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long it waits for memory; then the source tries again.
const MEMORY_WAIT: Duration = Duration::from_secs(1);
/// Memory between two blocks: more is given back.
const KEPT: usize = 1 << 20;

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
        let mut filtered = Vec::new();
        work.run(&first, append_ms, |position, step| filtered.push((position, step)));
        if work.changed {
            first.count = work.count;
            first.flags.0 |= RunFlags::PROCESSED;
            (first.lens, first.data) = (Bytes::copy_from_slice(&work.lens), Bytes::copy_from_slice(&work.data));
        }
        (first, filtered.into_iter().map(|(position, step)| (position, work.through.chain.step(step).to_string())).collect())
    }

    /// The way to `queue` through the chain.
    pub(crate) fn before(self, queue: Arc<dyn Producer>, tally: Arc<Tally>) -> Arc<dyn Producer> {
        Arc::new(Before { queue, tally, work: Mutex::new(Work::new(self.chain, &self.host_name)) })
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
            let name = work.through.chain.step(*step);
            match by.get_mut(name) {
                Some(count) => *count += events,
                None => drop(by.insert(name.to_string(), *events)),
            }
        }
    }
}

/// What the chain has made of an event.
enum Made {
    AsRead,
    Text(super::event::Span),
    Document,
    Filtered(usize),
}

/// The chain at work on one block.
struct Work {
    documents: Documents,
    through: Through,
    saved: Saved,
    timestamp: Path,
    sequence: Path,
    lens: Vec<u8>,
    data: Vec<u8>,
    count: u32,
    /// Whether anything is other than it was read.
    changed: bool,
    /// By step: events that were filtered, and their bytes of the source.
    dropped: BTreeMap<usize, (u64, u64)>,
    failed: u64,
}

impl Work {
    fn new(chain: Chain, host_name: &str) -> Work {
        let path = |name| Path::parse(name).expect("a right name");
        Work {
            documents: Documents::new(host_name),
            through: Through::new(chain),
            saved: Saved::default(),
            timestamp: path("@timestamp"),
            sequence: path("event.sequence"),
            lens: Vec::new(),
            data: Vec::new(),
            count: 0,
            changed: false,
            dropped: BTreeMap::new(),
            failed: 0,
        }
    }

    /// Sends all events of a run through; what becomes of them is in `lens`, `data`, `count` and `dropped` then. `filtered` is
    /// told where an event begins that is filtered, and the step.
    fn run(&mut self, run: &Run, append_ms: u64, mut filtered: impl FnMut(u64, usize)) {
        self.lens.clear();
        self.data.clear();
        self.dropped.clear();
        (self.count, self.changed, self.failed) = (0, false, 0);
        // Where there is no place in a source, the place in the stream tells events apart, as `sample` wants it.
        let slice = RunSlice { run, append_ms, epoch: 0, events: Events::new(run, run.source_start, 0, u32::MAX) };
        let (through, saved, now) = (&mut self.through, &mut self.saved, rfc3339(append_ms));
        let template = self.documents.template(&slice);
        through.begin(template, append_ms);
        let (mut stored_to, mut left) = (run.source_start, run.count);
        for event in slice.events {
            left = left.saturating_sub(1);
            // The last one reaches to the end: one that was cut covers more than it holds.
            let covers = if left == 0 { run.source_end.saturating_sub(event.position) } else { event.covers };
            let at = self.data.len();
            let stored = match make(through, saved, template, &event, &mut self.failed) {
                Made::Filtered(step) => {
                    let sum = self.dropped.entry(step).or_default();
                    (sum.0, sum.1) = (sum.0 + 1, sum.1 + covers);
                    filtered(event.position, step);
                    continue;
                }
                Made::AsRead => {
                    self.data.extend_from_slice(event.raw);
                    Stored::AsRead
                }
                Made::Text(text) => {
                    self.data.extend_from_slice(through.document.str(text).as_bytes());
                    Stored::Text
                }
                Made::Document => {
                    let document = &mut through.document;
                    let of_now = |value| matches!(value, Value::Text(text) if document.str(text).as_bytes() == now);
                    let dated = document.get(&self.timestamp).is_some_and(|value| !of_now(value));
                    if !dated {
                        document.remove(&self.timestamp);
                    }
                    if run.flags.has(RunFlags::NO_POSITION) {
                        document.remove(&self.sequence);
                    }
                    document.render(&mut self.data);
                    if dated { Stored::Dated } else { Stored::Document }
                }
            };
            self.changed |= stored != Stored::AsRead;
            let len = u32::try_from(self.data.len() - at).unwrap_or(u32::MAX);
            stored.put_lens(event.position.saturating_sub(stored_to), covers, len, &mut self.lens);
            stored_to = event.position.saturating_add(covers);
            self.count += 1;
        }
        self.changed |= !self.dropped.is_empty();
    }

    fn done(&mut self) {
        if self.data.capacity() > KEPT {
            self.data = Vec::new();
        }
    }
}

fn make(through: &mut Through, saved: &mut Saved, template: &Template, event: &Event<'_>, failed: &mut u64) -> Made {
    through.fill(template, event);
    let document = &mut through.document;
    document.save(saved);
    let message = document.find(&through.message);
    match through.chain.run(document, failed) {
        // Dead letters begin behind the queue: the configuration allows none here.
        Verdict::Filtered(step) => Made::Filtered(step),
        Verdict::DeadLetter(_) => Made::Filtered(usize::MAX),
        Verdict::Send => match document.change(saved, message) {
            Change::None => Made::AsRead,
            Change::Message(text) if template.is_plain() => Made::Text(text),
            Change::Message(_) | Change::More => Made::Document,
        },
    }
}

/// See the module.
struct Before {
    queue: Arc<dyn Producer>,
    tally: Arc<Tally>,
    work: Mutex<Work>,
}

impl Before {
    /// The block that the work has made of `block`, whose memory is given back before there is some for the new one: who waits
    /// for memory must hold none.
    fn made(&self, work: &Work, block: Block) -> Result<Block, AppendError> {
        let (stream, repair) = (block.stream.clone(), block.flags.has(RunFlags::REPAIR));
        let (source_start, source_end, flags, tail) = (block.source_start, block.source_end, block.flags, block.tail);
        drop(block);
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
        // What is read again was counted when it was read first.
        let counted = !repair && stream.spec().file.is_some();
        let sum =
            |(step, (events, bytes)): (&usize, &(u64, u64))| stream.filtering(stream.rule(work.through.chain.step(*step)), *events, *bytes);
        let filtered: Vec<Filtered> = if counted { work.dropped.iter().map(sum).collect() } else { Vec::new() };
        let flags = RunFlags(flags.0 | RunFlags::PROCESSED);
        let (count, lens) = (work.count, Bytes::copy_from_slice(&work.lens));
        Ok(Block { stream, source_start, source_end, count, lens, data, flags, tail, filtered })
    }
}

impl Producer for Before {
    fn append(&self, block: Block) -> Result<(), AppendError> {
        let mut work = self.work.lock().unwrap_or_else(|e| e.into_inner());
        work.run(&Run::from(&block), now_ms(), |_, _| {});
        let (stream, block) = (block.stream.clone(), if work.changed { self.made(&work, block)? } else { block });
        let filtered = block.filtered.clone();
        self.queue.append(block)?;
        stream.appended(&filtered);
        self.tally.add(&work);
        work.done();
        Ok(())
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
