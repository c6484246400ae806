//! Counters and troubles of a sink, and the picture made of them.

use crate::admin::SinkStatus;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The same line is said at most this often.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Counters since the start of the process.
#[derive(Default)]
pub(crate) struct Stats {
    pub delivered_events: AtomicU64,
    pub delivered_bytes: AtomicU64,
    pub already_there: AtomicU64,
    pub possibly_doubled: AtomicU64,
    /// Name of the batch that was acked last.
    pub last_batch: Mutex<String>,
    pub sent: AtomicU64,
    pub retried: AtomicU64,
    pub refused: AtomicU64,
    pub dead_lettered: AtomicU64,
    /// Events that the sink's chain left out.
    pub filtered: AtomicU64,
    /// How many by which processor.
    pub filtered_by: Mutex<BTreeMap<String, u64>>,
    /// Failures of processors at events that were sent all the same.
    pub process_failures: AtomicU64,
    pub in_flight: AtomicU64,
    troubles: Mutex<Troubles>,
}

#[derive(Default)]
struct Troubles {
    /// By batch in flight; the thread that fetches is number 0.
    now: BTreeMap<u64, (bool, String)>,
    since: Option<Instant>,
    said: Option<Instant>,
    /// It was spoken of since it began.
    told: bool,
}

impl Stats {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Relaxed);
    }

    fn troubles(&self) -> std::sync::MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Batch `batch` is in trouble. True if it should be said now.
    pub fn troubled(&self, batch: u64, held: bool, reason: &str) -> bool {
        let mut troubles = self.troubles();
        let now = Instant::now();
        let first_hold = held && !troubles.now.values().any(|t| t.0);
        troubles.now.insert(batch, (held, reason.to_string()));
        troubles.since.get_or_insert(now);
        let say = first_hold || troubles.said.is_none_or(|at| now - at >= SAY_EVERY);
        if say {
            (troubles.said, troubles.told) = (Some(now), true);
        }
        say
    }

    /// Batch `batch` is out of trouble. How long the sink was in trouble if it is over and was spoken of.
    pub fn recovered(&self, batch: u64) -> Option<Duration> {
        let mut troubles = self.troubles();
        troubles.now.remove(&batch)?;
        if !troubles.now.is_empty() {
            return None;
        }
        let since = troubles.since.take()?;
        std::mem::take(&mut troubles.told).then(|| since.elapsed())
    }

    /// The picture; lag and offsets are the queue's to fill in.
    pub fn status(&self, kind: &str) -> SinkStatus {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        let in_flight = get(&self.in_flight);
        let troubles = self.troubles();
        let held = troubles.now.values().find(|t| t.0);
        let (state, reason) = match held.or_else(|| troubles.now.values().next()) {
            Some((true, reason)) => ("held", format!("{reason}; nothing is given up, it stays in the queue")),
            Some((false, reason)) => ("retrying", format!("{reason}; nothing is given up, it stays in the queue")),
            None if in_flight > 0 => ("sending", String::new()),
            None => ("idle", String::new()),
        };
        SinkStatus {
            kind: kind.to_string(),
            state: state.to_string(),
            reason,
            delivered_events: get(&self.delivered_events),
            delivered_bytes: get(&self.delivered_bytes),
            already_there: get(&self.already_there),
            possibly_doubled: get(&self.possibly_doubled),
            last_batch: self.last_batch.lock().unwrap_or_else(|e| e.into_inner()).clone(),
            batches_sent: get(&self.sent),
            batches_retried: get(&self.retried),
            batches_refused: get(&self.refused),
            dead_lettered: get(&self.dead_lettered),
            filtered: get(&self.filtered),
            filtered_by: self.filtered_by.lock().unwrap_or_else(|e| e.into_inner()).clone(),
            process_failures: get(&self.process_failures),
            in_flight,
            ..SinkStatus::default()
        }
    }
}

/// `41233` as `41,233`.
pub(crate) fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 41_233, 1_234_567].map(thousands).join(" "), "0 999 1,000 41,233 1,234,567");
    }

    #[test]
    fn a_hold_outranks_a_retry_and_ends_with_the_last_trouble() {
        let stats = Stats::default();
        assert!(stats.troubled(1, false, "503"));
        assert!(!stats.troubled(2, false, "503"), "said a moment ago");
        assert_eq!(stats.status("http").state, "retrying");
        assert!(stats.troubled(2, true, "401"), "a hold is news");
        assert_eq!(stats.status("http").state, "held");
        assert_eq!(stats.recovered(2), None);
        assert!(stats.recovered(1).is_some());
        assert_eq!(stats.status("http").state, "idle");
        assert!(!stats.troubled(3, false, "503"), "said a moment ago");
        assert_eq!(stats.recovered(3), None, "nobody was told of this one");
        assert!(stats.troubled(4, true, "401") && stats.recovered(4).is_some());
    }
}
