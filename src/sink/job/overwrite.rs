//! A batch that is to replace what the receiver has, where the receiver replaces nothing.

use super::Job;
use std::sync::atomic::Ordering::Relaxed;

impl Job {
    /// Makes a body that replaces nothing.
    pub(super) async fn create_only(&mut self) {
        let (shared, body, items) = (self.shared.clone(), self.body.clone(), self.items.clone());
        let encode = move || {
            let (mut out, mut ends) = (Vec::with_capacity(body.len() + items.len()), Vec::with_capacity(items.len()));
            shared.client.without_overwrite(&body, &items, &mut out, &mut ends);
            (shared.compressed(&out), shared.memory.counted(out), ends)
        };
        match tokio::task::spawn_blocking(encode).await {
            Ok((compressed, body, items)) => (self.body, self.compressed, self.items, self.creates_only) = (body, compressed, items, true),
            // Only at the end of the process; the queue remembers the batch.
            Err(error) => tracing::error!("sink {}: encoding was interrupted: {error}", self.shared.name),
        }
    }

    /// Says once, loudly, that an overwrite does not do what it was asked for.
    pub(super) fn told_no_overwrite(&self, reason: &str) {
        if !self.shared.no_overwrite.swap(true, Relaxed) {
            tracing::error!(
                "sink {}: the target takes no replacements ({reason}), so that `groups reset --overwrite` cannot do what was asked for: its \
                 events are sent as new ones; what is indexed already stays as it is, what is missing is added, nothing is lost. To store all \
                 of it anew, add a sink with a new target: it begins at the earliest retained record",
                self.shared.name
            );
        }
    }
}
