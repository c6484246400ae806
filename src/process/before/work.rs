//! The chain before the queue at work: events of a run become what is stored of them.

use super::super::chain::{Chain, Verdict};
use super::super::document::{Documents, Template};
use super::super::event::{Change, Path, Saved, Span, Value};
use super::super::shaping::Through;
use super::super::timestamp::rfc3339;
use crate::queue::{Event, Events, Run, RunFlags, RunSlice, Stored};
use std::collections::BTreeMap;

/// Memory between two blocks: more is given back.
const KEPT: usize = 1 << 20;
/// Longest event that is stored, bytes: a record batch has to hold it.
const LONGEST: usize = 128 << 20;
/// In the place of a step: the chain has made more of the event than can be stored.
const TOO_LONG: usize = usize::MAX - 1;

/// What the chain has made of an event.
enum Made {
    AsRead,
    Text(Span),
    Document,
    Filtered(usize),
}

/// The chain at work on one block.
pub(super) struct Work {
    documents: Documents,
    pub(super) through: Through,
    saved: Saved,
    timestamp: Path,
    sequence: Path,
    pub(super) lens: Vec<u8>,
    pub(super) data: Vec<u8>,
    pub(super) count: u32,
    /// Whether anything is other than it was read.
    pub(super) changed: bool,
    /// By step: events that were filtered, and their bytes of the source.
    pub(super) dropped: BTreeMap<usize, (u64, u64)>,
    pub(super) failed: u64,
    /// Events of the run that were looked at so far.
    pub(super) seen: u32,
    /// Byte of the source behind the last of them.
    pub(super) reached: u64,
    /// Longest event that is stored.
    pub(super) longest: usize,
}

impl Work {
    pub(super) fn new(chain: Chain, host_name: &str) -> Work {
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
            seen: 0,
            reached: 0,
            longest: LONGEST,
        }
    }

    /// The name of a step, for the books.
    pub(super) fn rule(&self, step: usize) -> &str {
        if step == TOO_LONG { "too_long" } else { self.through.chain.step(step) }
    }

    /// Begins a run: its events, as [`Work::run`] wants them.
    pub(super) fn begin<'a>(&mut self, run: &'a Run) -> Events<'a> {
        (self.seen, self.reached) = (0, run.source_start);
        // Where there is no place in a source, the place in the stream tells events apart, as `sample` wants it.
        Events::new(run, run.source_start, 0, u32::MAX)
    }

    /// Sends the next `events` of a run through, from the byte `from` of the source on, until they make `part` bytes; what becomes
    /// of them is in `lens`, `data`, `count` and `dropped` then. `filtered` is told where an event begins that is filtered, and the
    /// step. Gives whether there are more. A run that nothing happens to is one part.
    pub(super) fn run(
        &mut self,
        run: &Run,
        events: &mut Events<'_>,
        from: u64,
        (append_ms, part): (u64, usize),
        mut filtered: impl FnMut(u64, usize),
    ) -> bool {
        self.lens.clear();
        self.data.clear();
        self.dropped.clear();
        (self.count, self.changed, self.failed) = (0, from > run.source_start, 0);
        let slice = RunSlice { run, append_ms, epoch: 0, events: events.clone() };
        let (through, saved, now) = (&mut self.through, &mut self.saved, rfc3339(append_ms));
        let template = self.documents.template(&slice);
        through.begin(template, append_ms);
        let mut stored_to = from.max(self.reached);
        for event in events {
            self.seen += 1;
            let left = run.count.saturating_sub(self.seen);
            // The last one reaches to the end: one that was cut covers more than it holds.
            let covers = if left == 0 { run.source_end.saturating_sub(event.position) } else { event.covers };
            self.reached = event.position.saturating_add(covers);
            if event.position < from {
                continue;
            }
            let at = self.data.len();
            let mut made = make(through, saved, template, &event, &mut self.failed);
            if let Made::Text(text) = &made
                && through.document.str(*text).len() > self.longest
            {
                made = Made::Filtered(TOO_LONG);
            }
            let stored = match made {
                Made::Filtered(step) => {
                    let sum = self.dropped.entry(step).or_default();
                    (sum.0, sum.1) = (sum.0 + 1, sum.1 + covers);
                    self.changed = true;
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
                    if self.data.len() - at > self.longest {
                        self.data.truncate(at);
                        let sum = self.dropped.entry(TOO_LONG).or_default();
                        (sum.0, sum.1) = (sum.0 + 1, sum.1 + covers);
                        self.changed = true;
                        filtered(event.position, TOO_LONG);
                        continue;
                    }
                    if dated { Stored::Dated } else { Stored::Document }
                }
            };
            self.changed |= stored != Stored::AsRead;
            let len = u32::try_from(self.data.len() - at).unwrap_or(u32::MAX);
            stored.put_lens(event.position.saturating_sub(stored_to), covers, len, &mut self.lens);
            stored_to = self.reached;
            self.count += 1;
            if self.changed && self.data.len() >= part && left > 0 {
                return true;
            }
        }
        self.reached = run.source_end;
        false
    }

    /// Gives memory back.
    pub(super) fn done(&mut self) {
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
