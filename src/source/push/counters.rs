//! What a pushed source tells about itself.

use crate::admin::SourceStatus;
use crate::process::before::Tally;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// See [`SourceStatus`] for what each counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) read_bytes: AtomicU64,
    pub(crate) read_events: AtomicU64,
    pub(crate) cut_events: AtomicU64,
    pub(crate) cut_bytes: AtomicU64,
    pub(crate) refused_requests: AtomicU64,
    pub(crate) dropped_events: AtomicU64,
    pub(crate) connections: AtomicU64,
    /// What the chain before the queue does.
    pub(crate) before: Arc<Tally>,
    last_error: Mutex<String>,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Relaxed);
}

impl Counters {
    /// Notes an error, or with an empty text that all is well; whether this is news.
    pub(crate) fn set_error(&self, error: &str) -> bool {
        let mut last = self.last_error.lock().unwrap_or_else(|e| e.into_inner());
        let news = *last != error;
        if news {
            error.clone_into(&mut last);
        }
        news
    }

    pub(crate) fn status(&self, kind: &str) -> SourceStatus {
        SourceStatus {
            kind: kind.into(),
            read_bytes: self.read_bytes.load(Relaxed),
            read_events: self.read_events.load(Relaxed),
            cut_events: self.cut_events.load(Relaxed),
            cut_bytes: self.cut_bytes.load(Relaxed),
            refused_requests: self.refused_requests.load(Relaxed),
            dropped_events: self.dropped_events.load(Relaxed),
            connections: self.connections.load(Relaxed),
            last_error: self.last_error.lock().unwrap_or_else(|e| e.into_inner()).clone(),
            filtered: self.before.filtered(),
            filtered_by: self.before.by_step(),
            process_failures: self.before.failures(),
            ..SourceStatus::default()
        }
    }
}
