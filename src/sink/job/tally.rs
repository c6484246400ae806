//! What came of a batch so far, and whether that is the events' fault at all.

use super::chunk::Chunk;
use crate::sink::client::Rejection;
use crate::sink::stats::thousands;
use crate::sink::transport::without_values;

/// So many events with one and the same fault and not one that arrives: that is no fault of the events.
pub(super) const SUSPICIOUS: usize = 8;
/// So many more refusals, all over the batch, before a suspicion is a certainty.
const FRUITLESS: u32 = 64;

/// What came of a batch so far.
#[derive(Default)]
pub(super) struct Tally {
    pub accepted: usize,
    pub already_there: usize,
    pub rejected: Vec<Rejection>,
    /// Refusals since nothing but refusals was seen.
    fruitless: u32,
}

impl Tally {
    /// The chunk to send next: from the front, so that events keep their order; but once the first events are all
    /// refused alike, from all over the batch, to see whether it is them. `None` when nothing is left, or nothing else is
    /// to be expected.
    pub fn next(&mut self, work: &mut Vec<Chunk>) -> Option<Chunk> {
        if work.is_empty() || self.all_alike().is_none() {
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
        let first = self.rejected.first()?;
        let shape = shape(&first.reason);
        let alike = |r: &Rejection| r.status == first.status && r.kind == first.kind && self::shape(&r.reason) == shape;
        (self.accepted == 0 && self.rejected.len() >= SUSPICIOUS && self.rejected.iter().all(alike)).then(|| {
            format!(
                "every event is refused with the same {} {}: {}: that looks like a setting of the receiver, not like a fault of {} events",
                first.status,
                first.kind,
                without_values(&first.reason),
                thousands(self.rejected.len() as u64)
            )
        })
    }
}

/// A reason without what differs from event to event: numbers and what stands in quotes or brackets.
fn shape(reason: &str) -> String {
    let (mut out, mut quoted) = (String::new(), false);
    for c in reason.chars() {
        match c {
            '\'' | '"' => quoted = !quoted,
            c if quoted || c.is_ascii_digit() => {}
            c => out.push(c),
        }
    }
    out
}
