//! A group's place in one partition: what is to be taken next, and the batch that is being gathered.
//!
//! A group that prefers fresh events ([`CatchUp::NewestFirst`]) may have several places in a partition: when what stands next
//! has become old, a second one begins at the end, and the first one goes up to there. The group's state needs nothing
//! for that: it knows acked ranges above its commit anyway.

use super::fetch::{Fetched, Fetcher};
use super::group_state::{Again, GroupState, Key};
use super::record::cut_events;
use super::{BatchKind, FetchError, Limits, Part, RecordBatch};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// In which order a group takes what it is behind with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CatchUp {
    /// In the order in which it was appended.
    #[default]
    OldestFirst,
    /// What is new at once, and the backlog beside it.
    NewestFirst,
}

/// A group's place in one partition.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) key: Key,
    pub(crate) fetcher: Fetcher,
    /// How often the place was reset in this process; what belongs to an earlier one is void.
    pub(crate) generation: u32,
    /// Next offset to take.
    pub(crate) next: u64,
    /// Another place of the group begins here; `u64::MAX` where there is none behind it.
    pub(crate) until: u64,
    /// Ranges above the commit that need not be taken again: acked, or about to be sent again as they were.
    done: VecDeque<(u64, u64)>,
    /// Ranges that are redriven, or (`true`) were in flight when an earlier process ended.
    pub(crate) resend: VecDeque<(Again, bool)>,
    /// Events below this offset replace what the receiver has (0: none), and when that was asked for.
    overwrite: (u64, u64),
    /// Events below this offset may have been sent before the group was moved back.
    pub(crate) replay_until: u64,
    current: Option<Arc<RecordBatch>>,
    pub(crate) parts: Vec<Part>,
    pub(crate) bytes: usize,
    pub(crate) events: u32,
    pub(crate) since: Option<Instant>,
    /// When the last batch was cut.
    cut: Option<Instant>,
    /// What is gathered goes before its time, since there is no memory to read more into.
    pub(crate) no_room: bool,
    /// Ranges (first, last) that are not in the queue any more: nobody will ever ack them.
    pub(crate) gaps: Vec<(u64, u64)>,
    /// A gap begins at `next` and ends here.
    gap_to: Option<u64>,
}

impl Cursor {
    pub(crate) fn new(key: Key, fetcher: Fetcher, state: &GroupState, generation: u32) -> Cursor {
        let under_way = state.in_flight.iter().filter(|(_, l)| **l >= state.committed);
        let resent = state.again.iter().chain(under_way.clone()).map(|(f, l)| (*f, l + 1));
        let mut done: Vec<(u64, u64)> = state.acked.iter().map(|(s, e)| (*s, *e)).chain(resent).collect();
        done.sort_unstable();
        let under_way = under_way.map(|(f, l)| (Again::Events(*f, *l), true));
        let again = state.again.iter().map(|(f, l)| (Again::Events(*f, *l), false));
        let letters = state.letters.iter().map(|(f, l)| (Again::Letters(*f, *l), false));
        let resend = again.chain(under_way).chain(letters).collect();
        Cursor {
            done: done.into(),
            resend,
            overwrite: (state.overwrite_until, state.overwrite_ms),
            replay_until: state.replay_until,
            ..Cursor::at(key, fetcher, generation, state.committed)
        }
    }

    /// A place at `next` where nothing was taken yet.
    fn at(key: Key, fetcher: Fetcher, generation: u32, next: u64) -> Cursor {
        Cursor {
            key,
            fetcher,
            generation,
            next,
            until: u64::MAX,
            done: VecDeque::new(),
            resend: VecDeque::new(),
            overwrite: (0, 0),
            replay_until: 0,
            current: None,
            parts: Vec::new(),
            bytes: 0,
            events: 0,
            since: None,
            cut: None,
            no_room: false,
            gaps: Vec::new(),
            gap_to: None,
        }
    }

    /// Begins anew where `state` says.
    pub(crate) fn restart(&mut self, state: &GroupState, generation: u32) {
        let (key, fetcher) = (self.key.clone(), self.fetcher.renewed());
        *self = Cursor::new(key, fetcher, state, generation);
    }

    /// Takes what is there until the batch is full; `true` when it can be cut now.
    pub(crate) fn fill(&mut self, limits: &Limits, now: Instant) -> Result<bool, FetchError> {
        loop {
            if self.next >= self.until {
                return Ok(true);
            }
            while self.done.front().is_some_and(|(_, end)| *end <= self.next) {
                self.done.pop_front();
            }
            if let Some((start, end)) = self.done.front().copied()
                && start <= self.next
            {
                if !self.parts.is_empty() {
                    return Ok(true);
                }
                self.next = end;
                continue;
            }
            if let Some(end) = self.gap_to {
                // What is before a gap goes out first.
                if !self.parts.is_empty() {
                    return Ok(true);
                }
                self.gaps.push((self.next, end - 1));
                (self.next, self.gap_to) = (end, None);
                continue;
            }
            if self.next == self.overwrite.0 && !self.parts.is_empty() {
                // What replaces and what does not never share a batch.
                return Ok(true);
            }
            let overwritten = if self.next < self.overwrite.0 { self.overwrite.0 } else { u64::MAX };
            let boundary = overwritten.min(self.until);
            let stop = self.done.front().map_or(boundary, |(start, _)| boundary.min(*start));
            let batch = match self.fetch_next()? {
                Fetched::Batch(batch) => batch,
                Fetched::Gap(end) => {
                    self.gap_to = Some(end);
                    continue;
                }
                // The next record batch would hardly fit, and may be long in coming: of many partitions each waits for its turn.
                Fetched::Nothing => return Ok(self.is_nearly_full(limits) || self.ripe(limits.linger).is_some_and(|ripe| now >= ripe)),
                // What is gathered must go before more can be read.
                Fetched::NoRoom => {
                    self.no_room = !self.parts.is_empty();
                    return Ok(self.no_room);
                }
            };
            if self.parts.last().is_some_and(|p| p.batch.epoch != batch.epoch) {
                self.current = Some(batch);
                return Ok(true);
            }
            let skip = (self.next - batch.base_offset) as u32;
            let available = (batch.end_offset().min(stop) - self.next) as u32;
            let room = limits.max_bytes.saturating_sub(self.bytes);
            let cost = batch.data_len() + batch.count as usize * limits.overhead;
            let fits = skip == 0 && available == batch.count && cost <= room && available <= limits.max_events - self.events;
            // A batch that nearly fills the room is not worth being cut.
            if !fits && self.is_nearly_full(limits) {
                self.current = Some(batch);
                return Ok(true);
            }
            let (count, bytes) = if fits {
                (available, batch.data_len())
            } else {
                let most = available.min(limits.max_events - self.events);
                cut_events(&batch, skip, most, room, limits.overhead, self.parts.is_empty())
            };
            if count == 0 {
                self.current = Some(batch);
                return Ok(true);
            }
            self.parts.push(Part { batch: batch.clone(), skip, count });
            self.bytes += bytes + count as usize * limits.overhead;
            self.events += count;
            self.next += u64::from(count);
            self.since.get_or_insert(now);
            if self.next < batch.end_offset() {
                self.current = Some(batch);
                if self.next < stop {
                    return Ok(true);
                }
            }
            if self.events >= limits.max_events || self.bytes >= limits.max_bytes {
                return Ok(true);
            }
        }
    }

    /// Whether what is gathered leaves less than a quarter of the room.
    fn is_nearly_full(&self, limits: &Limits) -> bool {
        !self.parts.is_empty() && limits.max_bytes.saturating_sub(self.bytes) < limits.max_bytes / 4
    }

    /// Gives back what is gathered, and lets go of its memory: it is fetched again when it can be sent.
    pub(crate) fn let_go(&mut self) {
        self.next -= u64::from(self.events);
        (self.current, self.parts, self.bytes, self.events, self.since) = (None, Vec::new(), 0, 0, None);
        self.no_room = false;
    }

    /// When what was gathered goes although the batch is not full. The linger counts from the batch before: a receiver gets no
    /// more requests than one a linger, and what comes after a rest, alone, waits for nothing.
    pub(crate) fn ripe(&self, linger: Duration) -> Option<Instant> {
        let since = self.since?;
        Some(self.cut.map_or(since + linger, |cut| since.max(cut + linger)))
    }

    /// What was gathered is cut, and the next batch begins.
    pub(crate) fn begin_next(&mut self, now: Instant) {
        (self.parts, self.bytes, self.events, self.since, self.cut) = (Vec::new(), 0, 0, None, Some(now));
    }

    /// What stands next; the batch that was taken in part is not fetched again.
    fn fetch_next(&mut self) -> Result<Fetched, FetchError> {
        match self.current.take().filter(|b| b.base_offset <= self.next && self.next < b.end_offset()) {
            Some(batch) => Ok(Fetched::Batch(batch)),
            None => self.fetcher.fetch(self.next),
        }
    }

    /// When the record was appended that stands next, ms since the Unix epoch; `None` where none does.
    pub(crate) fn next_appended(&mut self) -> Result<Option<u64>, FetchError> {
        if self.next >= self.fetcher.partition.visible() {
            return Ok(None);
        }
        self.current = match self.fetch_next()? {
            Fetched::Batch(batch) => Some(batch),
            Fetched::Gap(_) | Fetched::Nothing | Fetched::NoRoom => None,
        };
        Ok(self.current.as_ref().map(|batch| batch.append_ms))
    }

    /// Ends this place at `offset`, which nothing was taken from yet, and gives the one that begins there.
    pub(crate) fn fork(&mut self, offset: u64) -> Cursor {
        let beyond = self.done.partition_point(|(_, end)| *end <= offset);
        let fork = Cursor {
            until: self.until,
            done: self.done.split_off(beyond),
            overwrite: self.overwrite,
            replay_until: self.replay_until,
            ..Cursor::at(self.key.clone(), self.fetcher.renewed(), self.generation, offset)
        };
        self.until = offset;
        fork
    }

    /// Whether all up to where another place begins is taken.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.next >= self.until && self.parts.is_empty() && self.resend.is_empty() && self.gaps.is_empty()
    }

    /// What a batch that begins at `first` is for, where it is the group's turn.
    pub(crate) fn kind(&self, first: u64) -> BatchKind {
        if first < self.overwrite.0 { BatchKind::Overwrite { asked_ms: self.overwrite.1 } } else { BatchKind::Events }
    }

    /// A range that was in flight, cut exactly as it was.
    pub(crate) fn again(&mut self, first: u64, last: u64) -> Result<Vec<Part>, FetchError> {
        range(&mut self.fetcher, first, last)
    }
}

/// The events of a range, as far as they are there.
pub(crate) fn range(fetcher: &mut Fetcher, first: u64, last: u64) -> Result<Vec<Part>, FetchError> {
    let (mut parts, mut next) = (Vec::new(), first);
    while next <= last {
        let batch = match fetcher.fetch_now(next)? {
            Fetched::Batch(batch) => batch,
            Fetched::Gap(end) => {
                next = end;
                continue;
            }
            Fetched::Nothing | Fetched::NoRoom => break,
        };
        let skip = (next - batch.base_offset) as u32;
        let count = (batch.end_offset().min(last + 1) - next) as u32;
        next += u64::from(count);
        parts.push(Part { batch, skip, count });
    }
    Ok(parts)
}
