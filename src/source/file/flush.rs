//! What becomes of an incomplete last event when nothing follows.
//!
//! A last line without its delimiter is an event after `idle_flush`, counted from when the file was last seen to grow. The
//! delimiter, when it comes, belongs to that event and makes no empty one; anything else that comes is another event, from
//! there to the end of the line. Multiline: an event is complete after its time-out as far as its lines are; then its last,
//! incomplete line waits for `idle_flush`. A drain waits for the time-out too, but flushes no incomplete line. What is flushed is never handed over twice, since the position has moved behind it.

use super::LongLine;
use super::lines::{Rules, flags};
use super::read::{Piece, READ_BLOCK, Stop, Turn, enough};
use super::records::split_records;
use super::shared::Shared;
use super::tracked::Tracked;
use crate::queue::text::Beginning;
use crate::queue::{Format, RunFlags, Tail};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// A drain waits for the end of an event of several lines no longer than this: the last words of a program that has ended
/// are whole.
const DRAIN_QUIET: Duration = Duration::from_secs(2);
/// A file that was rotated away is seldom written to again, and soon compressed or deleted: what is read of it only after a
/// restart may be gone by then.
const ROTATED_QUIET: Duration = Duration::from_millis(200);

impl Tracked {
    /// All is read: an incomplete last event waits for its quiet time, then becomes one.
    pub(super) fn quiet(&mut self, shared: &Shared, rules: &Rules, now: Instant) -> Result<Turn, Stop> {
        self.aside.set_deadline(None);
        let draining = self.aside.drain_end.is_some();
        // What is written during a drain belongs to the next start, and an event that it may go on with, too.
        if self.scanned <= self.pos || self.aside.drain_end.is_some_and(|end| self.size > end) {
            return Ok(Turn::Idle);
        }
        let (source, grown) = (&shared.sources[self.source()], self.aside.grown.unwrap_or(now));
        // A line of which a container's runtime has written parts is like one whose end is not written yet.
        let parts = rules.format != Format::Plain && !draining;
        if let Some(timeout) = source.multi.as_ref().map(|m| m.timeout).or(parts.then_some(source.options.idle_flush)) {
            let mut due = grown + if draining { timeout.min(DRAIN_QUIET) } else { timeout };
            if let Some(since) = self.aside.moved {
                due = due.min(since.max(grown) + ROTATED_QUIET);
            }
            if now < due && !self.is_whole() {
                self.aside.set_deadline(Some(due));
                self.open_event = true;
                return Ok(Turn::Idle);
            }
            self.flush_lines(shared, rules)?;
            if self.scanned <= self.pos {
                return Ok(Turn::Idle);
            }
        }
        if draining {
            return Ok(Turn::Idle);
        }
        let due = grown + source.options.idle_flush;
        if now < due && !self.is_whole() {
            self.aside.set_deadline(Some(due));
            return Ok(Turn::Idle);
        }
        self.flush_partial(shared, rules)
    }

    /// Multiline: the time-out is over, so the last event is complete as far as its lines are.
    fn flush_lines(&mut self, shared: &Shared, rules: &Rules) -> Result<(), Stop> {
        let len = self.scanned - self.pos;
        let multi = shared.sources[self.source()].multi.as_ref();
        let enough = enough(multi, rules);
        if len > (enough + READ_BLOCK) as u64 {
            return Ok(());
        }
        let (buffer, back, n) = self.fetch(shared, len as usize)?;
        if !self.proves(&buffer[..back.min(n)]) {
            return Err(Stop::Turn(self.truncated(self.size)));
        }
        if rules.format != Format::Plain {
            let memory = buffer.freeze();
            let mut lens = Vec::new();
            let split = split_records(multi, &memory[back.min(n)..n], rules, true, &mut lens);
            if split.count > 0 {
                let (end, data) = (back + split.end, memory.slice(back..back + split.end));
                let (flags, tail) = (flags(rules.text, &data, split.delimiters), Tail::of(&memory[..end]));
                let (start, end) = (self.pos, self.pos + split.end as u64);
                self.hand_over(shared, Piece { start, end, count: split.count, lens, data, flags, tail, first: split.first })?;
            }
            return Ok(());
        }
        if let Some(last) = rules.text.last_line_end(&buffer[back.min(n)..n], self.pos % 2 == 1) {
            self.hand_over_one(shared, rules, &buffer.freeze(), back, back + last)?;
        }
        Ok(())
    }

    /// Hands over `memory[back..end]` as one event.
    fn hand_over_one(&mut self, shared: &Shared, rules: &Rules, memory: &Bytes, back: usize, end: usize) -> Result<(), Stop> {
        let (data, mut lens) = (memory.slice(back..end), Vec::new());
        crate::queue::put_varint(&mut lens, data.len() as u32);
        let mut flags = flags(rules.text, &data, rules.text.delimiter(&data));
        if rules.long == LongLine::Split && self.mid_line(rules, &memory[..back]) {
            flags.0 |= RunFlags::PART;
        }
        let (tail, len) = (Tail::of(&memory[..end]), data.len());
        self.hand_over(shared, Piece { start: self.pos, end: self.pos + len as u64, count: 1, lens, data, flags, tail, first: len })
    }

    /// The quiet time is over: what is there becomes an event without its delimiter.
    fn flush_partial(&mut self, shared: &Shared, rules: &Rules) -> Result<Turn, Stop> {
        // Half a character of UTF-16 waits for its other half.
        let until = if rules.text.encoding.unit() == 2 { self.scanned & !1 } else { self.scanned };
        let len = until.saturating_sub(self.pos);
        if len > rules.max as u64 && rules.long == LongLine::Cut {
            self.cut_line(shared, rules, until)?;
            return Ok(Turn::Idle);
        }
        // A few bytes more than allowed, of which the last might have been a delimiter.
        let split = len > rules.max as u64;
        let (buffer, back, n) = self.fetch(shared, len as usize)?;
        if n < back + len as usize {
            return Ok(Turn::More);
        }
        if !self.proves(&buffer[..back]) {
            return Ok(self.truncated(self.size));
        }
        let begins = self.begins(rules, &buffer[..back]);
        let undecided = begins.mid_line && rules.text.beginning(&buffer[back..n]) == Beginning::Maybe;
        let only_mark = begins.first && rules.text.encoding.mark(&buffer[back..n]) == len as usize;
        if len == 0 || undecided || only_mark {
            return Ok(Turn::Idle);
        }
        let end = if split { back + rules.text.encoding.cut(&buffer[back..n], rules.max) } else { n };
        self.hand_over_one(shared, rules, &buffer.freeze(), back, end)?;
        Ok(if split { Turn::More } else { Turn::Idle })
    }
}
