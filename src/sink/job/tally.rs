//! What came of a batch so far.

use super::chunk::Chunk;
use crate::sink::client::Rejection;
use crate::sink::refusals::{SUSPICIOUS, alike};
use crate::sink::stats::thousands;
use crate::sink::transport::without_values;

/// So many more refusals, all over the batch, before a suspicion is a certainty.
const FRUITLESS: u32 = 64;

/// What came of a batch so far.
#[derive(Default)]
pub(super) struct Tally {
    pub accepted: usize,
    pub already_there: usize,
    pub rejected: Vec<Rejection>,
    /// It is known that the events are to blame: all of them are tried.
    blamed: bool,
    /// Refusals since nothing but refusals was seen.
    fruitless: u32,
}

impl Tally {
    /// Of a batch whose events are to blame for their refusals, as far as is known (`blamed`), or perhaps not.
    pub fn new(blamed: bool) -> Tally {
        Tally { blamed, ..Tally::default() }
    }

    /// The chunk to send next: from the front, so that events keep their order; but once the first events are all
    /// refused alike, from all over the batch, to see whether it is them. `None` when nothing is left, or nothing else is
    /// to be expected.
    pub fn next(&mut self, work: &mut Vec<Chunk>) -> Option<Chunk> {
        if self.blamed || work.is_empty() || self.all_alike().is_none() {
            self.fruitless = 0;
            return work.pop();
        }
        self.fruitless += 1;
        (self.fruitless <= FRUITLESS).then(|| work.remove(0))
    }

    pub fn reject(&mut self, item: u32, status: u16, kind: &str, reason: String) {
        self.rejected.push(Rejection { item: item as usize, status, kind: kind.to_string(), reason });
    }

    /// The reason, if not one event has arrived and many were refused with the same one.
    pub fn all_alike(&self) -> Option<String> {
        let many = self.accepted == 0 && self.rejected.len() >= SUSPICIOUS;
        (many && alike(&self.rejected)).then(|| self.as_a_setting(self.rejected.len()))
    }

    /// What is said of a run of `run` refusals of the same fault.
    pub fn as_a_setting(&self, run: usize) -> String {
        let (status, kind, reason) = self.rejected.first().map_or((0, "", ""), |r| (r.status, &r.kind, &r.reason));
        format!(
            "every event is refused with the same {status} {kind}: {}: that looks like a setting of the receiver, not like a fault of {} \
             events. Should it be theirs, they become dead letters as soon as the receiver takes any other event",
            without_values(reason),
            thousands(run as u64)
        )
    }
}
