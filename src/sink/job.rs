//! One batch in flight: sent, retried, split, its refused events dead-lettered, and acked.

mod bury;
mod chunk;
mod doubt;
mod origin;
mod overwrite;
mod tally;

use super::RetryOptions;
use super::body_limit::BodyLimit;
use super::client::{Client, Outcome, Rejection, Request, item_range};
use super::gate::{Gate, backoff};
use super::memory::Share;
use super::refusals::{Refusals, SUSPICIOUS, alike};
use super::stats::{Stats, thousands};
use super::window::{Slot, Window};
use crate::process::shaping::LeftOut;
use crate::queue::{Acker, DeadLetters};
use bytes::Bytes;
pub(crate) use origin::Origin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tally::Tally;

/// What all batches of a sink share.
pub(crate) struct Shared {
    pub name: String,
    pub scope: String,
    pub retry: RetryOptions,
    pub stats: Stats,
    pub gate: Gate,
    pub client: Box<dyn Client>,
    pub acker: Arc<dyn Acker>,
    pub dead_letters: Arc<dyn DeadLetters>,
    /// What the receiver takes in one request.
    pub body_limit: BodyLimit,
    /// Memory for the bodies.
    pub memory: Arc<Share>,
    pub window: Arc<Window>,
    /// The target has refused to replace documents: what is to replace them is sent as if it were new.
    pub no_overwrite: AtomicBool,
    /// It was said that events may be doubled.
    pub told_doubled: AtomicBool,
    /// Whether the receiver takes events, and how long it has not.
    pub refusals: Refusals,
}

impl Shared {
    /// What is sent for `body`, if it is not `body` itself.
    pub fn compressed(&self, body: &[u8]) -> Option<Bytes> {
        self.client.compress(body).map(|bytes| self.memory.counted(bytes))
    }

    /// Bytes that a body may have now: those in flight and the one that is being encoded share the memory.
    pub fn body_bytes(&self) -> usize {
        self.body_limit.cut(self.memory.body(self.window.limit() as usize + 1))
    }
}

/// A batch on its way.
pub(crate) struct Job {
    pub shared: Arc<Shared>,
    /// Number of the batch since the start, from 1.
    pub number: u64,
    /// Shared with the thread that makes its dead letters.
    pub origin: Arc<Origin>,
    pub body: Bytes,
    pub compressed: Option<Bytes>,
    pub items: Vec<u32>,
    /// What the sink's chain keeps out: these items are empty.
    pub left_out: LeftOut,
    /// It is to overwrite, but the target takes no replacements: its body creates only.
    pub creates_only: bool,
    pub slot: Slot,
    /// The batch was as large as it may be: there is more to send than slots to send it in.
    pub full: bool,
}

/// The batch cannot be finished now; the queue remembers it.
struct GivenUp;

/// What came of one go through all events of a batch.
enum Once {
    /// Each has arrived or was refused.
    Done(Tally),
    /// So many were refused with one and the same reason that the rest was not tried.
    Fruitless(String),
    /// The batch is to be sent in another form.
    Anew,
}

impl Job {
    /// Sends until every event has arrived or is a durable dead letter, then acks.
    pub async fn run(mut self) {
        let begun = Instant::now();
        let mut tally = self.deliver().await;
        let dead = std::mem::take(&mut self.left_out.dead).into_iter();
        tally.rejected.extend(dead.map(|(item, reason)| Rejection {
            item: item as usize,
            status: 422,
            kind: "process_failed".into(),
            reason,
        }));
        tally.rejected.sort_by_key(|r| r.item);
        let mut refused_bytes = 0;
        let refused = tally.rejected.len() as u64;
        if !tally.rejected.is_empty() {
            match self.bury(tally.rejected).await {
                Ok(bytes) => refused_bytes = bytes,
                Err(GivenUp) => return,
            }
        }
        let (stats, filtered) = (&self.shared.stats, &self.origin.filtered);
        let filtered_bytes: u64 = filtered.iter().map(|(_, bytes)| bytes).sum();
        Stats::add(&stats.delivered_events, tally.accepted as u64);
        Stats::add(&stats.delivered_bytes, (self.origin.bytes.saturating_sub(refused_bytes) as u64).saturating_sub(filtered_bytes));
        Stats::add(&stats.filtered, self.left_out.filtered.len() as u64);
        Stats::add(&stats.process_failures, self.left_out.failed);
        self.tell_left_out();
        Stats::add(&stats.already_there, tally.already_there as u64);
        Stats::add(&stats.dead_lettered, refused);
        *stats.last_batch.lock().unwrap_or_else(|e| e.into_inner()) = self.origin.id.to_string();
        self.shared.acker.ack_without(&self.origin.id, filtered);
        tracing::debug!(
            "sink {}: batch {} is done in {:.3} s: {} events delivered, {} of them were there already; {refused} dead-lettered, {} filtered",
            self.shared.name,
            self.origin.id,
            begun.elapsed().as_secs_f64(),
            tally.accepted,
            tally.already_there,
            self.left_out.filtered.len()
        );
        self.recovered();
    }

    async fn deliver(&mut self) -> Tally {
        if self.left_out.filtered.len() + self.left_out.dead.len() == self.items.len() {
            return Tally::default();
        }
        // Events that the sink had delivered when the refusals of this batch looked like a setting of the receiver.
        let mut suspected: Option<u64> = None;
        loop {
            if self.origin.id.overwrites() && !self.creates_only && self.shared.no_overwrite.load(Relaxed) {
                self.create_only().await;
            }
            // What the receiver takes meanwhile clears it of suspicion.
            let blamed = suspected.is_some_and(|then| self.shared.refusals.accepted_so_far() > then);
            let reason = match self.deliver_once(blamed).await {
                Once::Done(tally) => match self.suspicion(&tally).filter(|_| !blamed) {
                    Some(reason) => reason,
                    None => return tally,
                },
                Once::Fruitless(reason) => reason,
                Once::Anew => continue,
            };
            suspected.get_or_insert_with(|| self.shared.refusals.accepted_so_far());
            self.shared.refusals.suspect();
            // Another batch may go, which shows whether it is the events.
            self.slot.lend();
            self.failed(true, &reason, None);
        }
    }

    /// Why the refusal of all events looks like a setting of the receiver, where it does.
    fn suspicion(&self, tally: &Tally) -> Option<String> {
        if tally.accepted > 0 || tally.rejected.is_empty() {
            return None;
        }
        let run = self.shared.refusals.refused(&tally.rejected);
        (run >= SUSPICIOUS && alike(&tally.rejected)).then(|| tally.as_a_setting(run))
    }

    /// Each event once, and again until there is a result. `blamed`: see [`Tally::new`].
    async fn deliver_once(&self, blamed: bool) -> Once {
        let stats = &self.shared.stats;
        let (mut tally, mut work) = (Tally::new(blamed), vec![self.whole()]);
        while let Some(mut chunk) = tally.next(&mut work) {
            let guard = self.shared.gate.admit().await;
            if chunk.doubts.open {
                match self.settle(chunk, &mut tally).await {
                    Some(rest) if rest.doubts.open => {
                        work.push(rest);
                        continue;
                    }
                    Some(rest) => chunk = rest,
                    None => continue,
                }
            }
            if guard.is_some() {
                chunk = self.probe(chunk, &mut work);
            }
            Stats::add(&stats.sent, 1);
            if chunk.attempts > 0 {
                Stats::add(&stats.retried, 1);
            }
            chunk.attempts = chunk.attempts.saturating_add(1);
            let body = self.body_of(&mut chunk).await;
            let (doubt, recognised) = (AtomicBool::new(false), AtomicBool::new(false));
            let request = Request {
                key: &chunk.key,
                body,
                items: chunk.items.len(),
                doubt: &doubt,
                recognised: chunk.doubts.unsettled.is_some().then_some(&recognised),
            };
            let (sent, bytes) = (Instant::now(), request.body.len());
            let outcome = self.shared.client.send(request).await;
            self.noted(&outcome, sent, bytes);
            chunk.doubts.sent(doubt.into_inner(), recognised.into_inner());
            match outcome {
                Outcome::Delivered { already_there } => {
                    self.shared.gate.opened();
                    work.extend(self.second_chance(&mut tally));
                    tally.accepted += chunk.items.len();
                    self.shared.refusals.accepted(chunk.items.len());
                    tally.already_there += already_there;
                    self.count_doubled(&chunk, chunk.items.len() - already_there);
                    self.recovered();
                }
                Outcome::Retry { reason, after } => {
                    self.failed(false, &reason, after);
                    work.push(chunk);
                }
                Outcome::Hold { reason } => {
                    self.failed(true, &reason, None);
                    work.push(chunk);
                }
                Outcome::TakesNoOverwrite { reason } => {
                    self.shared.gate.opened();
                    if !self.origin.id.overwrites() || self.creates_only {
                        // It says so of a request that replaces nothing.
                        self.failed(true, &reason, None);
                        work.push(chunk);
                        continue;
                    }
                    self.told_no_overwrite(&reason);
                    return Once::Anew;
                }
                Outcome::TooLarge { reason } => {
                    self.shared.gate.opened();
                    Stats::add(&stats.refused, 1);
                    if let [item] = chunk.items[..] {
                        let size = item_range(&self.items, item as usize).len();
                        let reason = format!("too large for the receiver: {} bytes encoded: {reason}", thousands(size as u64));
                        tally.reject(item, 413, "too_large", reason);
                    } else {
                        let (bytes, largest) = self.sizes(&chunk);
                        self.shared.body_limit.too_large(bytes, largest);
                        self.split(chunk, &mut work);
                    }
                }
                Outcome::Refused { status, reason } => {
                    self.shared.gate.opened();
                    Stats::add(&stats.refused, 1);
                    if let [item] = chunk.items[..] {
                        tally.reject(item, status, "request_refused", reason);
                    } else {
                        self.split(chunk, &mut work);
                    }
                }
                Outcome::RefusedUnnamed { refused, reason } => {
                    self.shared.gate.opened();
                    Stats::add(&stats.refused, 1);
                    let count = chunk.items.len();
                    tally.accepted += count.saturating_sub(refused);
                    self.shared.refusals.accepted(count.saturating_sub(refused));
                    let reason = format!("the receiver refused {refused} of {count} events and does not say which: {reason}");
                    chunk.items.iter().for_each(|item| tally.reject(*item, 200, "partial_success", reason.clone()));
                }
                Outcome::Partial { already_there, retry, hold, reason, rejected } => {
                    let arrived = chunk.items.len().saturating_sub(retry.len() + rejected.len());
                    if arrived > 0 {
                        work.extend(self.second_chance(&mut tally));
                    }
                    let rejected = match self.shared.refusals.may_be_mended(sent, arrived > 0) {
                        true => {
                            let items: Vec<_> = rejected.iter().map(|r| r.item).collect();
                            work.extend((!items.is_empty()).then(|| self.part(&chunk, &items)));
                            Vec::new()
                        }
                        false => rejected,
                    };
                    tally.accepted += arrived;
                    self.shared.refusals.accepted(arrived);
                    tally.already_there += already_there;
                    self.count_doubled(&chunk, arrived.saturating_sub(already_there));
                    for rejection in rejected {
                        let item = chunk.items.get(rejection.item).copied().unwrap_or(0);
                        tally.rejected.push(Rejection { item: item as usize, ..rejection });
                    }
                    if retry.is_empty() {
                        self.shared.gate.opened();
                        self.recovered();
                    } else if arrived == 0 {
                        // Nothing comes through: that is an outage like any other.
                        self.failed(hold, &reason, None);
                        work.push(self.part(&chunk, &retry));
                    } else {
                        self.shared.gate.opened();
                        drop(guard);
                        let wait = backoff(&self.shared.retry, chunk.attempts, hold, None);
                        self.say(hold, &reason, wait);
                        tokio::time::sleep(wait).await;
                        work.push(self.part(&chunk, &retry));
                    }
                }
            }
        }
        match tally.all_alike() {
            Some(reason) if !work.is_empty() => Once::Fruitless(reason),
            _ => Once::Done(tally),
        }
    }

    /// Tells the window how the receiver bears what it gets.
    fn noted(&self, outcome: &Outcome, sent: Instant, bytes: usize) {
        let window = &self.shared.window;
        match outcome {
            Outcome::Retry { .. } => window.pressed(sent),
            Outcome::Partial { retry, hold: false, .. } if !retry.is_empty() => window.pressed(sent),
            Outcome::Delivered { .. } | Outcome::Partial { .. } => window.delivered(bytes, self.full && self.slot.limited()),
            _ => {}
        }
    }

    /// Closes the gate for all batches.
    fn failed(&self, hold: bool, reason: &str, after: Option<Duration>) {
        let wait = self.shared.gate.failed(&self.shared.retry, hold, after);
        self.say(hold, reason, wait);
    }

    fn say(&self, hold: bool, reason: &str, wait: Duration) {
        if !self.shared.stats.troubled(self.number, hold, reason) {
            return;
        }
        let (sink, lag, secs) = (&self.shared.name, thousands(self.shared.acker.lag_events()), wait.as_secs_f64());
        let batch = &self.origin.id;
        if hold {
            tracing::error!(
                "sink {sink} is held: {reason}; kept in the queue, nothing is dropped; {lag} events waiting; next try of batch {batch} in {secs:.1} s"
            );
        } else {
            tracing::warn!("sink {sink}: {reason}; kept in the queue; {lag} events waiting; next try of batch {batch} in {secs:.1} s");
        }
    }

    fn recovered(&self) {
        // Who was told that it does not deliver is told that it does.
        if let Some(after) = self.shared.stats.recovered(self.number) {
            tracing::info!("sink {} delivers again, after {:.1} s of trouble", self.shared.name, after.as_secs_f64());
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.shared.stats.recovered(self.number);
    }
}
