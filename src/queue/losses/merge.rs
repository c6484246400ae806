//! How losses become entries: the same loss twice changes nothing, and what touches becomes one.

use super::{Cause, Loss, LossEntry, LossState, LossTotals, LostPart, LostStream, Settled, Span};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;

/// Beyond this many spans and entries, the oldest that are settled go; the totals keep their sums.
const MOST: usize = 10_000;
/// Ranges of offsets that are remembered of a cause in a partition; beyond it, the lowest are forgotten.
const MOST_RANGES: usize = 4096;

/// Offsets that are not there any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hole {
    pub(super) cause: Cause,
    pub(super) topic: String,
    pub(super) partition: u32,
    pub(super) ranges: Vec<(u64, u64)>,
}

/// The ledger in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) totals: BTreeMap<Cause, LossTotals>,
    pub(super) holes: Vec<Hole>,
    pub(super) entries: Vec<LossEntry>,
}

/// Adds `start..end` to ranges in order; what touches becomes one.
pub(crate) fn insert(ranges: &mut Vec<(u64, u64)>, start: u64, end: u64) {
    if start >= end {
        return;
    }
    let from = ranges.partition_point(|(_, e)| *e < start);
    let to = ranges.partition_point(|(s, _)| *s <= end);
    let touching = &ranges[from..to];
    let merged = (touching.first().map_or(start, |r| r.0.min(start)), touching.last().map_or(end, |r| r.1.max(end)));
    ranges.splice(from..to, [merged]);
}

/// How much of `bytes` is in none of `ranges` (in order), as ranges.
fn without(bytes: Range<u64>, ranges: &[(u64, u64)]) -> Vec<Range<u64>> {
    let (mut at, mut rest) = (bytes.start, Vec::new());
    for (start, end) in ranges {
        if *start >= bytes.end {
            break;
        }
        if *start > at {
            rest.push(at..*start);
        }
        at = at.max(*end);
    }
    if at < bytes.end {
        rest.push(at..bytes.end);
    }
    rest
}

/// The part of `span` in `bytes`; what is known of all of it or of its ends stays where it still holds.
fn clip(span: &Span, bytes: &Range<u64>) -> Span {
    let (start, end) = (span.start.max(bytes.start), span.end.min(bytes.end));
    Span {
        start,
        end,
        events: span.events.filter(|_| (start, end) == (span.start, span.end)),
        about: span.about.filter(|_| (start, end) == (span.start, span.end)),
        before: span.before.filter(|_| start == span.start),
        tail: span.tail.filter(|_| end == span.end),
        began: span.began && start == span.start,
        flags: span.flags,
    }
}

/// Adds a span to spans in order. Those that are settled become one where they touch; those that are to be read again
/// keep their boundaries, since blocks begin and end there.
fn insert_span(spans: &mut Vec<Span>, span: Span, keep_boundaries: bool) {
    let at = spans.partition_point(|s| s.start < span.start);
    spans.insert(at, span);
    if keep_boundaries {
        return;
    }
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans.iter() {
        match merged.last_mut() {
            Some(last) if span.start <= last.end => {
                last.about = last.events.or(last.about).zip(span.events.or(span.about)).map(|(a, b)| a + b);
                last.events = last.events.zip(span.events).map(|(a, b)| a + b);
                last.about = last.about.filter(|_| last.events.is_none());
                last.flags = last.flags.filter(|flags| span.flags == Some(*flags));
                if span.end >= last.end {
                    (last.end, last.tail) = (span.end, span.tail);
                }
            }
            _ => merged.push(*span),
        }
    }
    *spans = merged;
}

impl Ledger {
    pub(super) fn wanted(&self) -> usize {
        self.entries.iter().filter(|e| e.state == LossState::Wanted).count()
    }

    /// Ranges in order of the bytes of `stream` that `which` of the entries tell of.
    fn known_bytes(&self, stream: u64, which: impl Fn(&LossEntry) -> bool) -> Vec<(u64, u64)> {
        let of = |e: &&LossEntry| e.stream.as_ref().is_some_and(|s| s.number == stream);
        let mut ranges = Vec::new();
        for span in self.entries.iter().filter(of).filter(|e| which(e)).flat_map(|e| &e.spans) {
            insert(&mut ranges, span.start, span.end);
        }
        ranges
    }

    /// Takes a loss; gives how many events were not known to be lost.
    pub(super) fn add(&mut self, loss: &Loss) -> u64 {
        let mut known = Vec::new();
        let here = |h: &&Hole| h.topic == loss.topic && h.partition == loss.partition;
        self.holes.iter().filter(here).flat_map(|h| &h.ranges).for_each(|(s, e)| insert(&mut known, *s, *e));
        let has_offsets = !loss.offsets.is_empty();
        let fresh: Vec<Range<u64>> = without(loss.offsets.clone(), &known);
        if has_offsets && fresh.is_empty() {
            return 0;
        }
        // Offsets that are all new hold bytes that were lost anew, even where they had been lost and read again before.
        let anew = has_offsets && fresh.first() == Some(&loss.offsets);
        if has_offsets {
            self.hole(loss);
        }
        let mut events = fresh.iter().map(|r| r.end - r.start).sum();
        let mut bytes = 0;
        for part in &loss.parts {
            let number = part.stream.number;
            let ranges = self.known_bytes(number, |e| match (has_offsets, anew) {
                (true, true) => e.state == LossState::Wanted,
                (true, false) => true,
                (false, _) => e.cause == loss.cause,
            });
            let is_bare = part.span.bytes() == 0;
            let rest = if is_bare {
                std::iter::once(part.span.start..part.span.start).collect()
            } else {
                without(part.span.start..part.span.end, &ranges)
            };
            for piece in rest {
                let span = clip(&part.span, &piece);
                if !has_offsets {
                    events += span.events.unwrap_or(0);
                }
                let size = if is_bare { part.bytes } else { span.bytes() };
                bytes += size;
                self.enter(loss, Some(part), Some(span).filter(|_| !is_bare), size);
            }
        }
        if loss.parts.is_empty() {
            self.enter(loss, None, None, 0);
            if let Some(entry) = self.entries.iter_mut().find(|e| same(e, loss, None, LossState::Lost)) {
                entry.events += events;
            }
            self.totals.entry(loss.cause).or_default().gone_events += events;
        }
        let totals = self.totals.entry(loss.cause).or_default();
        totals.events += events;
        totals.bytes += bytes;
        events
    }

    fn hole(&mut self, loss: &Loss) {
        let here = |h: &Hole| h.cause == loss.cause && h.topic == loss.topic && h.partition == loss.partition;
        let at = self.holes.iter().position(here).unwrap_or_else(|| {
            self.holes.push(Hole { cause: loss.cause, topic: loss.topic.clone(), partition: loss.partition, ranges: Vec::new() });
            self.holes.len() - 1
        });
        let ranges = &mut self.holes[at].ranges;
        insert(ranges, loss.offsets.start, loss.offsets.end);
        let beyond = ranges.len().saturating_sub(MOST_RANGES);
        ranges.drain(..beyond);
    }

    fn enter(&mut self, loss: &Loss, part: Option<&LostPart>, span: Option<Span>, bytes: u64) {
        let stream = part.map(|p| &p.stream);
        let state = if part.is_some_and(|p| p.wanted) { LossState::Wanted } else { LossState::Lost };
        let at = self.entries.iter().position(|e| same(e, loss, stream, state)).unwrap_or_else(|| {
            self.entries.push(LossEntry {
                cause: loss.cause,
                state,
                topic: loss.topic.clone(),
                partition: loss.partition,
                stream: stream.cloned(),
                offsets: Vec::new(),
                spans: Vec::new(),
                events: 0,
                uncounted: false,
                bytes: 0,
                since_ms: loss.at_ms,
                at_ms: loss.at_ms,
                why: String::new(),
                had: loss.had.clone(),
            });
            self.entries.len() - 1
        });
        let totals = self.totals.entry(loss.cause).or_default();
        let entry = &mut self.entries[at];
        insert(&mut entry.offsets, loss.offsets.start, loss.offsets.end);
        if let Some(part) = part {
            let span = span.unwrap_or(part.span);
            let events = span.events.or(span.about).unwrap_or(0);
            entry.events += events;
            entry.uncounted |= span.events.is_none();
            if state == LossState::Lost {
                totals.gone_events += events;
                totals.gone_bytes += bytes;
            }
            if !part.why.is_empty() {
                entry.why.clone_from(&part.why);
            }
        }
        if let Some(span) = span {
            insert_span(&mut entry.spans, span, state == LossState::Wanted);
        }
        entry.bytes += bytes;
        entry.at_ms = entry.at_ms.max(loss.at_ms);
    }

    /// Moves what is wanted in the bytes of `settled` to what became of it.
    pub(super) fn settle(&mut self, settled: &Settled, at_ms: u64) {
        let of = |e: &LossEntry| e.state == LossState::Wanted && e.stream.as_ref().is_some_and(|s| s.number == settled.stream);
        let mut read = settled.outcome.as_ref().ok().copied();
        while let Some(at) = (0..self.entries.len()).find(|i| {
            let e = &self.entries[*i];
            of(e) && e.spans.iter().any(|s| s.start < settled.bytes.end && settled.bytes.start < s.end)
        }) {
            let entry = &mut self.entries[at];
            let (mut moved, mut kept) = (Vec::new(), Vec::new());
            for span in std::mem::take(&mut entry.spans) {
                for rest in without(span.start..span.end, &[(settled.bytes.start, settled.bytes.end)]) {
                    kept.push(clip(&span, &rest));
                }
                let inside = clip(&span, &settled.bytes);
                if inside.start < inside.end {
                    moved.push(inside);
                }
            }
            entry.spans = kept;
            let state = if settled.outcome.is_ok() { LossState::ReadAgain } else { LossState::Lost };
            let bytes: u64 = moved.iter().map(Span::bytes).sum();
            let counted: u64 = moved.iter().filter_map(|s| s.events.or(s.about)).sum();
            let uncounted = moved.iter().any(|s| s.events.is_none());
            let mut done = LossEntry { state, spans: Vec::new(), at_ms, uncounted: uncounted && state == LossState::Lost, ..entry.clone() };
            entry.bytes = entry.bytes.saturating_sub(bytes);
            entry.events = entry.events.saturating_sub(counted);
            entry.uncounted = entry.spans.iter().any(|s| s.events.is_none());
            done.why = settled.outcome.as_ref().err().cloned().unwrap_or_default();
            done.bytes = bytes;
            // What was read is counted once, even where it lay in several entries.
            done.events = if state == LossState::ReadAgain { read.take().unwrap_or(0) } else { counted };
            let totals = self.totals.entry(done.cause).or_default();
            if state == LossState::ReadAgain {
                totals.read_again_events += done.events;
                totals.read_again_bytes += bytes;
            } else {
                totals.gone_events += done.events;
                totals.gone_bytes += bytes;
            }
            if self.entries[at].spans.is_empty() {
                self.entries.remove(at);
            }
            moved.into_iter().for_each(|span| insert_span(&mut done.spans, span, false));
            self.join(done);
        }
    }

    /// Puts a settled entry to its like.
    fn join(&mut self, done: LossEntry) {
        let like = |e: &&mut LossEntry| {
            (e.cause, e.state, &e.topic, e.partition) == (done.cause, done.state, &done.topic, done.partition)
                && number(e.stream.as_ref()) == number(done.stream.as_ref())
                && e.had == done.had
        };
        let Some(entry) = self.entries.iter_mut().find(like) else {
            self.entries.push(done);
            return;
        };
        done.offsets.iter().for_each(|(s, e)| insert(&mut entry.offsets, *s, *e));
        done.spans.iter().for_each(|s| insert_span(&mut entry.spans, *s, false));
        entry.events += done.events;
        entry.bytes += done.bytes;
        entry.uncounted |= done.uncounted;
        (entry.at_ms, entry.why) = (done.at_ms, done.why);
    }

    /// Keeps the ledger small: the oldest settled entries go, what is wanted stays.
    pub(super) fn fold(&mut self) {
        let size = |e: &LossEntry| 1 + e.spans.len() + e.offsets.len();
        let mut beyond = self.entries.iter().map(size).sum::<usize>().saturating_sub(MOST);
        if beyond == 0 {
            return;
        }
        self.entries.sort_by_key(|e| e.at_ms);
        self.entries.retain(|e| {
            let goes = beyond > 0 && e.state != LossState::Wanted;
            beyond = beyond.saturating_sub(if goes { size(e) } else { 0 });
            !goes
        });
    }
}

fn number(stream: Option<&LostStream>) -> Option<u64> {
    stream.map(|s| s.number)
}

fn same(entry: &LossEntry, loss: &Loss, stream: Option<&LostStream>, state: LossState) -> bool {
    // The cheap part first: there may be thousands.
    number(entry.stream.as_ref()) == number(stream)
        && (entry.cause, entry.state, entry.partition) == (loss.cause, state, loss.partition)
        && entry.topic == loss.topic
        && entry.had == loss.had
}
