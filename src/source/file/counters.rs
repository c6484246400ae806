//! What a source tells about itself: atomics that the reader thread writes and `/status` reads.

use crate::admin::SourceStatus;
use crate::process::before::Tally;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// A counter or gauge with one writer.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(crate) fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Relaxed);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// See [`SourceStatus`] for what each counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) files: Count,
    pub(crate) open_files: Count,
    pub(crate) read_bytes: Count,
    pub(crate) read_events: Count,
    pub(crate) unread_bytes: Count,
    pub(crate) rotations: Count,
    pub(crate) truncations: Count,
    pub(crate) cut_events: Count,
    pub(crate) cut_bytes: Count,
    pub(crate) lost_bytes: Count,
    pub(crate) kept_bytes: Count,
    pub(crate) polled_dirs: Count,
    pub(crate) unreadable_generations: Count,
    /// That no file descriptor is left was said.
    no_descriptor: AtomicBool,
    /// What the chain before the queue does.
    pub(crate) before: Arc<Tally>,
    last_error: Mutex<String>,
    /// Milliseconds, and one more; 0: none is expected.
    to_loss: AtomicU64,
}

impl Counters {
    pub(crate) fn set_seconds_to_loss(&self, seconds: Option<f64>) {
        self.to_loss.store(seconds.map_or(0, |s| (s * 1000.0) as u64 + 1), Relaxed);
    }

    /// No file descriptor is left; whether that is still to be said.
    pub(crate) fn no_descriptor(&self) -> bool {
        !self.no_descriptor.swap(true, Relaxed)
    }

    pub(crate) fn set_error(&self, error: &str) {
        error.clone_into(&mut self.last_error.lock().unwrap_or_else(|e| e.into_inner()));
    }

    pub(crate) fn status(&self) -> SourceStatus {
        SourceStatus {
            kind: "file".into(),
            files: self.files.get(),
            open_files: self.open_files.get(),
            read_bytes: self.read_bytes.get(),
            read_events: self.read_events.get(),
            unread_bytes: self.unread_bytes.get(),
            rotations: self.rotations.get(),
            truncations: self.truncations.get(),
            cut_events: self.cut_events.get(),
            cut_bytes: self.cut_bytes.get(),
            lost_bytes: self.lost_bytes.get(),
            kept_bytes: self.kept_bytes.get(),
            polled_dirs: self.polled_dirs.get(),
            unreadable_generations: self.unreadable_generations.get(),
            seconds_to_loss: self.to_loss.load(Relaxed).checked_sub(1).map(|ms| ms as f64 / 1000.0),
            last_error: self.last_error.lock().unwrap_or_else(|e| e.into_inner()).clone(),
            filtered: self.before.filtered(),
            filtered_by: self.before.by_step(),
            process_failures: self.before.failures(),
            ..SourceStatus::default()
        }
    }
}
