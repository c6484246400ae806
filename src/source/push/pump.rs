//! The way from the network into the queue: one thread appends, another waits until what was appended is done.
//!
//! Appending may block for `max_block`, and the wait for a sync must not hold up the next append: hence two. Who waits for
//! an answer gives up by dropping the receiving end; what was not appended by then never is.

use super::inlet::{Filled, Inlet, Owner};
use super::stopping::Stopping;
use crate::queue::{AppendError, Buffer};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Parcels between the network and the appending thread; their memory is under the cap already.
const WAITING: usize = 64;
/// How long a wait lasts before it is asked again whether anybody still wants it.
const LOOK: Duration = Duration::from_millis(250);

/// Why events were not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There was no room within `max_block`; why.
    NoRoom(String),
    /// The agent stops.
    Closing,
}

/// Events for one or more streams, and who wants to know that they are done.
pub(crate) struct Parcel {
    pub(crate) events: Vec<(Arc<Inlet>, Filled)>,
    /// Without one, the sender cannot be refused: it is waited for room until the stop.
    pub(crate) answer: Option<oneshot::Sender<Result<(), Refusal>>>,
}

struct Pending {
    ends: Vec<(Arc<Inlet>, u64)>,
    answer: oneshot::Sender<Result<(), Refusal>>,
}

/// Where the network puts parcels. The threads end when the last clone is gone and all is done.
#[derive(Clone)]
pub(crate) struct Pump {
    sender: mpsc::Sender<Parcel>,
    owner: Owner,
    stopping: Arc<Stopping>,
}

/// The two threads' work.
pub(crate) type Work = Box<dyn FnOnce() + Send>;

impl Pump {
    /// A pump for `owner`, and what its two threads do.
    pub(crate) fn new(owner: &Owner, stopping: &Arc<Stopping>) -> (Pump, [(&'static str, Work); 2]) {
        let (sender, parcels) = mpsc::channel(WAITING);
        let (pending, acks) = channel();
        let (append_stop, ack_stop) = (stopping.clone(), stopping.clone());
        let append: Work = Box::new(move || append(parcels, &pending, &append_stop));
        let wait: Work = Box::new(move || answer(&acks, &ack_stop));
        let pump = Pump { sender, owner: owner.clone(), stopping: stopping.clone() };
        (pump, [("input-append", append), ("input-acks", wait)])
    }

    /// Whether nothing new is taken any more.
    pub(crate) fn is_closing(&self) -> bool {
        self.stopping.is_draining()
    }

    /// Memory for events. `None`: not before `until`, or the agent stops.
    pub(crate) async fn buffer(&self, len: usize, until: Option<Instant>) -> Option<Buffer> {
        loop {
            if let Some(buffer) = self.owner.producer.buffer(len, Duration::ZERO) {
                return Some(buffer);
            }
            let left = until.map_or(LOOK, |until| until.saturating_duration_since(Instant::now()).min(LOOK));
            if left.is_zero() || self.stopping.is_stopping() {
                return None;
            }
            let producer = self.owner.producer.clone();
            if let Ok(Some(buffer)) = tokio::task::spawn_blocking(move || producer.buffer(len, left)).await {
                return Some(buffer);
            }
        }
    }

    /// Brings events into the queue and waits until they are done under the configured `acks`, at most until `until`.
    pub(crate) async fn deliver(&self, events: Vec<(Arc<Inlet>, Filled)>, until: Instant) -> Result<(), Refusal> {
        let (answer, done) = oneshot::channel();
        let way = async {
            self.sender.send(Parcel { events, answer: Some(answer) }).await.map_err(|_| Refusal::Closing)?;
            done.await.unwrap_or(Err(Refusal::Closing))
        };
        tokio::time::timeout_at(until.into(), way)
            .await
            .unwrap_or_else(|_| Err(Refusal::NoRoom("the queue did not take the events within max_block".into())))
    }

    /// Brings events into the queue that nobody waits for; waits for room. `false` when the agent stops.
    pub(crate) async fn hand_over(&self, events: Vec<(Arc<Inlet>, Filled)>) -> bool {
        self.sender.send(Parcel { events, answer: None }).await.is_ok()
    }
}

fn append(mut parcels: mpsc::Receiver<Parcel>, pending: &Sender<Pending>, stopping: &Stopping) {
    while let Some(parcel) = parcels.blocking_recv() {
        let Some(answer) = parcel.answer else {
            for (inlet, filled) in parcel.events {
                let events = u64::from(filled.count);
                if inlet.append_patiently(filled, || stopping.is_stopping()).is_none() {
                    inlet.lost(events);
                }
            }
            continue;
        };
        if answer.is_closed() {
            continue;
        }
        let appended: Result<Vec<_>, AppendError> =
            parcel.events.into_iter().map(|(inlet, filled)| inlet.append(filled).map(|end| (inlet, end))).collect();
        match appended {
            // The other thread outlives this one: it ends when this sender is gone.
            Ok(ends) => drop(pending.send(Pending { ends, answer })),
            Err(error) => {
                let refusal = match error {
                    AppendError::Closed => Refusal::Closing,
                    AppendError::TimedOut { reason, .. } => Refusal::NoRoom(reason),
                };
                // Whoever does not listen any more has its answer already: a time-out.
                let _ = answer.send(Err(refusal));
            }
        }
    }
}

fn answer(acks: &Receiver<Pending>, stopping: &Stopping) {
    for Pending { ends, answer } in acks {
        let done = ends.iter().all(|(inlet, end)| {
            loop {
                if inlet.acked(*end, LOOK) {
                    break true;
                }
                if answer.is_closed() || stopping.is_stopping() {
                    break false;
                }
            }
        });
        let _ = answer.send(if done { Ok(()) } else { Err(Refusal::Closing) });
    }
}
