//! What a batch leaves behind: refused events become dead letters before it is acked, and what its chain left out is counted.

use super::{GivenUp, Job};
use crate::queue::{AppendError, FetchError};
use crate::sink::client::Rejection;
use crate::sink::dead_letter::dead_letters;
use crate::sink::gate::backoff;
use crate::sink::stats::thousands;
use crate::sink::transport::without_values;
use std::sync::Arc;

/// So many dead letters are made and stored at a time.
const AT_ONCE: usize = 1_000;

/// Why dead letters are not stored yet.
enum NotYet {
    /// The queue is closing.
    Closed,
    /// Why, in words.
    Because(String),
}

/// What came of dead letters.
#[derive(Default)]
struct Stored {
    /// Bytes of the events as read.
    bytes: usize,
    /// Events that are not in the queue any more.
    gone: usize,
}

impl Job {
    /// Waits until all refused events are durable dead letters. Returns their bytes as read.
    pub(super) async fn bury(&self, rejected: Vec<Rejection>) -> Result<usize, GivenUp> {
        let (sink, count) = (&self.shared.name, thousands(rejected.len() as u64));
        if let Some(first) = rejected.first() {
            tracing::warn!(
                "sink {sink}: {count} events refused for good, the first because of {} {}: {}; they go to the dead-letter topic with their \
                 original bytes",
                first.status,
                first.kind,
                without_values(&first.reason)
            );
        }
        let (rejected, mut all) = (Arc::new(rejected), Stored::default());
        for from in (0..rejected.len()).step_by(AT_ONCE) {
            let stored = self.bury_some(&rejected, from).await?;
            all = Stored { bytes: all.bytes + stored.bytes, gone: all.gone + stored.gone };
        }
        if all.gone > 0 {
            tracing::error!(
                "sink {sink}: {} of {count} refused events of batch {} are not in the queue any more, so that they cannot be kept as dead \
                 letters; the queue counts them as lost",
                thousands(all.gone as u64),
                self.origin.id
            );
        }
        Ok(all.bytes)
    }

    async fn bury_some(&self, rejected: &Arc<Vec<Rejection>>, from: usize) -> Result<Stored, GivenUp> {
        let mut failures = 0;
        loop {
            let (shared, origin, rejected) = (self.shared.clone(), self.origin.clone(), rejected.clone());
            let store = move || {
                let some = &rejected[from..rejected.len().min(from + AT_ONCE)];
                let read = origin.again(&*shared.acker, some).map_err(|error| match error {
                    FetchError::Closed => NotYet::Closed,
                    error => NotYet::Because(format!("refused events cannot be read again: {error}")),
                });
                let (batch, there) = read?;
                let (records, bytes) = dead_letters(&shared.scope, &shared.name, &batch, &there);
                let stored = shared.dead_letters.put(records).map_err(|error| match error {
                    AppendError::Closed => NotYet::Closed,
                    error => NotYet::Because(format!("the dead-letter topic does not take {} refused events: {error}", there.len())),
                });
                stored.map(|()| Stored { bytes, gone: some.len() - there.len() })
            };
            match tokio::task::spawn_blocking(store).await {
                Ok(Ok(stored)) => return Ok(stored),
                Ok(Err(NotYet::Closed)) => return Err(GivenUp),
                Ok(Err(NotYet::Because(reason))) => {
                    failures += 1;
                    let wait = backoff(&self.shared.retry, failures, false, None);
                    self.say(false, &reason, wait);
                    tokio::time::sleep(wait).await;
                }
                Err(error) => {
                    let sink = &self.shared.name;
                    tracing::error!("sink {sink}: storing dead letters was interrupted: {error}; the batch stays in the queue");
                    return Err(GivenUp);
                }
            }
        }
    }

    /// Counts, and says, what was filtered by which processor.
    pub(super) fn tell_left_out(&self) {
        let mut by = self.shared.stats.filtered_by.lock().unwrap_or_else(|e| e.into_inner());
        for (step, events) in &self.left_out.by {
            match by.get_mut(step) {
                Some(count) => *count += events,
                None => drop(by.insert(step.clone(), *events)),
            }
            tracing::debug!("sink {}: {} events of batch {} filtered by {step}", self.shared.name, thousands(*events), self.origin.id);
        }
    }
}
