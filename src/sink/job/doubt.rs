//! Doubts: items of which nobody knows whether an earlier try brought them. They are settled before they are sent again.

use super::chunk::Chunk;
use super::{Job, Tally};
use crate::sink::client::{Arrival, Doubtful};
use crate::sink::stats::{Stats, thousands};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// So many answers that settle nothing, while other batches are delivered, and the events are sent all the same, and counted …
const MOST_ASKED: u32 = 8;
/// … or after this time, if nothing is delivered: an outage ends earlier or answers nothing at all.
const LONGEST_ASKED: Duration = Duration::from_secs(900);

/// What is unknown of a chunk.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubts {
    /// An earlier try may have arrived, and it was not asked yet.
    pub open: bool,
    /// Why it could not be learned whether it did.
    pub unsettled: Option<Arc<str>>,
    /// How often the receiver has answered in vain.
    asked: u32,
    /// When it first did, and how many events the sink had delivered by then.
    since: Option<(Instant, u64)>,
}

impl Doubts {
    /// Of a batch as it comes from the queue.
    pub fn of(sent_before: bool) -> Doubts {
        Doubts { open: sent_before, ..Doubts::default() }
    }

    /// It was sent again, with or without a certain result; the answer may tell that what was there is recognised.
    pub fn sent(&mut self, in_doubt: bool, recognised: bool) {
        (self.open, self.asked, self.since) = (in_doubt, 0, None);
        if recognised {
            self.unsettled = None;
        }
    }
}

impl Job {
    /// Takes what an earlier try has brought out of `chunk`. `None` when nothing of it is left to send; still with an open
    /// doubt when it is to be asked again.
    pub(super) async fn settle(&self, mut chunk: Chunk, tally: &mut Tally) -> Option<Chunk> {
        if self.origin.id.overwrites() && !self.creates_only {
            // It replaces what is there.
            chunk.doubts.open = false;
            return Some(chunk);
        }
        let batch = self.origin.id.to_string();
        let doubtful = Doubtful { batch: &batch, body: &self.body, items: &self.items, pick: &chunk.items, since_ms: self.origin.since_ms };
        match self.shared.client.arrived(doubtful).await {
            Arrival::Recognised => chunk.doubts.open = false,
            Arrival::There(there) => {
                (chunk.doubts.open, chunk.doubts.unsettled) = (false, None);
                tally.accepted += there.len();
                tally.already_there += there.len();
                if there.is_empty() {
                    return Some(chunk);
                }
                let (sink, of) = (&self.shared.name, thousands(chunk.items.len() as u64));
                tracing::info!(
                    "sink {sink}: {} of {of} events of batch {batch} had arrived in an earlier try; they are not sent again",
                    thousands(there.len() as u64)
                );
                let mut there = there.into_iter().peekable();
                let rest: Vec<usize> = (0..chunk.items.len()).filter(|place| there.next_if_eq(place).is_none()).collect();
                if rest.is_empty() {
                    self.shared.gate.opened();
                    self.recovered();
                    return None;
                }
                return Some(self.part(&chunk, &rest));
            }
            Arrival::Unknown { reason } => (chunk.doubts.open, chunk.doubts.unsettled) = (false, Some(reason.into())),
            Arrival::Later { reason, answered: true, .. } if self.asked_in_vain(&mut chunk) => {
                (chunk.doubts.open, chunk.doubts.unsettled) = (false, Some(reason.into()));
            }
            Arrival::Later { reason, hold, .. } => {
                self.slot.lend();
                self.failed(hold, &format!("whether an earlier try arrived is not known yet: {reason}"), None);
            }
        }
        Some(chunk)
    }

    /// Whether it is time to go on without an answer: not in an outage, since what ends it ends the doubt too.
    fn asked_in_vain(&self, chunk: &mut Chunk) -> bool {
        let delivered = self.shared.stats.delivered_events.load(Relaxed);
        let doubts = &mut chunk.doubts;
        doubts.asked += 1;
        let (since, then) = *doubts.since.get_or_insert((Instant::now(), delivered));
        since.elapsed() >= LONGEST_ASKED || doubts.asked >= MOST_ASKED && delivered > then
    }

    /// Counts what the receiver took of a chunk of which it could not be learned whether it was there, and says it once.
    pub(super) fn count_doubled(&self, chunk: &Chunk, taken: usize) {
        let Some(reason) = chunk.doubts.unsettled.as_ref().filter(|_| taken > 0) else { return };
        Stats::add(&self.shared.stats.possibly_doubled, taken as u64);
        if !self.shared.told_doubled.swap(true, Relaxed) {
            tracing::error!(
                "sink {}: {} events of batch {} may have arrived in an earlier try, and it could not be asked whether they did: {reason}; they \
                 were sent again, so that nothing is lost. If the target was rolled over in between, they are there twice. Such events are \
                 counted as possibly_doubled; this is said once. To have it asked, give the user `read` and `view_index_metadata` on the \
                 target, and `monitor` on the cluster",
                self.shared.name,
                thousands(taken as u64),
                self.origin.id,
            );
        }
    }
}
