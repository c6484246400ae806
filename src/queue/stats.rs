//! Counters of the queue, and whether it is well.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counters since the start, and the state.
#[derive(Debug, Default)]
pub(crate) struct QueueStats {
    pub(crate) disk_bytes: AtomicU64,
    pub(crate) disk_errors: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) lost_events: AtomicU64,
    stalled: AtomicBool,
    state: Mutex<(String, String)>,
}

impl QueueStats {
    /// The queue cannot take more for now; said in the log when it begins.
    pub(crate) fn stall(&self, state: &str, reason: String) {
        let mut now = self.state.lock().unwrap_or_else(|e| e.into_inner());
        if !self.stalled.swap(true, Ordering::Relaxed) || now.0 != state {
            tracing::warn!(state, "queue: {reason}");
        }
        *now = (state.to_string(), reason);
    }

    /// All is well again; said once.
    pub(crate) fn recovered(&self) {
        if self.stalled.load(Ordering::Relaxed) && self.stalled.swap(false, Ordering::Relaxed) {
            *self.state.lock().unwrap_or_else(|e| e.into_inner()) = Default::default();
            tracing::info!("queue: appends go on");
        }
    }

    /// (`ok`, `full` or `degraded`; the reason).
    pub(crate) fn state(&self) -> (String, String) {
        let state = self.state.lock().unwrap_or_else(|e| e.into_inner()).clone();
        if state.0.is_empty() { ("ok".into(), String::new()) } else { state }
    }
}
