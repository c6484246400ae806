//! The delivery engine: one thread per sink that fetches and encodes, and one task per batch in flight that sends.
//!
//! Encoding never blocks the network and sending never blocks encoding. At most as many bodies exist as may be in
//! flight, and the one that is being encoded: they share the sink's part of the memory. The events themselves are let go as
//! soon as they are encoded.

use super::body::BodyPool;
use super::client::Encoder;
use super::job::{Job, Origin, Shared};
use super::{BatchOptions, gate::backoff};
use crate::process::shaping::Shaping;
use crate::queue::{Consumer, FetchError, Limits};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::watch;

/// How long one wait of the thread lasts before it looks whether it should stop.
const WAIT: Duration = Duration::from_millis(500);
/// Bytes that the encoding of an event adds to it, before any was seen.
const FIRST_OVERHEAD: usize = 320;

/// What the thread of a sink works with.
pub(crate) struct Delivery {
    pub shared: Arc<Shared>,
    pub batch: BatchOptions,
    pub encoder: Box<dyn Encoder>,
    pub consumer: Box<dyn Consumer>,
    pub runtime: tokio::runtime::Handle,
    pub stop: watch::Receiver<bool>,
}

impl Delivery {
    fn stopped(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    /// Runs until it is told to stop or the queue closes.
    pub fn run(mut self) {
        let pool = BodyPool::new(self.shared.window.most() as usize + 1, self.shared.memory.clone());
        let (mut overhead, mut number, mut failures) = (FIRST_OVERHEAD, 0, 0);
        while !self.stopped() {
            let Some(slot) = self.shared.window.take(WAIT) else {
                self.consumer.rest();
                pool.trim();
                continue;
            };
            let limits =
                Limits { max_bytes: self.shared.body_bytes(), overhead, max_events: self.batch.max_events, linger: self.batch.linger };
            let polled = match self.consumer.poll(&limits, WAIT) {
                Ok(polled) => polled,
                Err(FetchError::Closed) => return,
                Err(error) => {
                    drop(slot);
                    failures += 1;
                    self.fetch_failed(&error, failures);
                    continue;
                }
            };
            if failures > 0 {
                failures = 0;
                if let Some(after) = self.shared.stats.recovered(0) {
                    tracing::info!("sink {} delivers again, after {:.1} s of trouble", self.shared.name, after.as_secs_f64());
                }
            }
            let Some(batch) = polled else {
                drop(slot);
                pool.trim();
                continue;
            };
            number += 1;
            self.shared.stats.in_flight.fetch_add(1, Relaxed);
            let needed = batch.bytes + batch.events as usize * overhead;
            let (mut body, mut items) = (pool.take(needed, limits.max_bytes), Vec::with_capacity(batch.events as usize));
            self.encoder.encode(&batch, &mut body.bytes, &mut items);
            let left_out = self.encoder.shaping().map(Shaping::left_out).unwrap_or_default();
            overhead = next_overhead(overhead, body.bytes.len(), batch.bytes, items.len());
            let full = batch.cut || body.bytes.len() >= limits.max_bytes / 4 * 3 || batch.events >= self.batch.max_events;
            let origin = Arc::new(Origin::new(batch, &left_out));
            let compressed = self.shared.compressed(&body.bytes);
            let job = Job {
                shared: self.shared.clone(),
                number,
                origin,
                body: body.freeze(),
                compressed,
                items,
                left_out,
                creates_only: false,
                slot,
                full,
            };
            let (shared, mut stop) = (self.shared.clone(), self.stop.clone());
            self.runtime.spawn(async move {
                let _flying = Flying { shared, number };
                tokio::select! {
                    biased;
                    _ = stop.wait_for(|stop| *stop) => {}
                    () = job.run() => {}
                }
            });
        }
    }

    fn fetch_failed(&mut self, error: &FetchError, failures: u32) {
        let reason = format!("cannot read the queue: {error}");
        if self.shared.stats.troubled(0, false, &reason) {
            tracing::error!("sink {}: {reason}; trying again", self.shared.name);
        }
        let wait = backoff(&self.shared.retry, failures, false, None);
        let mut stop = self.stop.clone();
        // A time-out is the normal end of this wait.
        let _ = self.runtime.block_on(async { tokio::time::timeout(wait, stop.wait_for(|stop| *stop)).await.is_ok() });
    }
}

/// Counts a batch in flight down, whatever way its task ends.
struct Flying {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Flying {
    fn drop(&mut self) {
        let stats = &self.shared.stats;
        stats.in_flight.fetch_sub(1, Relaxed);
        if std::thread::panicking() {
            let reason = "a batch was given up because of an error in the program (see the log); it is sent again after a restart";
            stats.troubled(self.number, true, reason);
            tracing::error!("sink {}: {reason}; please report it", self.shared.name);
        }
    }
}

/// What encoding adds to an event, as the last batch had it: grows at once, falls slowly.
fn next_overhead(last: usize, encoded: usize, raw: usize, events: usize) -> usize {
    let seen = encoded.saturating_sub(raw).div_ceil(events.max(1));
    seen.max(last - last.saturating_sub(seen) / 8).max(16)
}

#[cfg(test)]
mod tests;
