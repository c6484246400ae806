//! `forebay drain`: reads all files to where they end now, and tells when every sink has what was there then. The agent
//! goes on meanwhile and afterwards.

use super::running::Parts;
use crate::queue::DEAD_LETTER_TOPIC;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Wishes that are remembered; who asked longer ago asks again.
const MOST: usize = 64;
/// How long one answer waits for the queue to become durable.
const FLUSH: Duration = Duration::from_secs(5);

/// What a sink still has to deliver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undelivered {
    /// Events that were there when it was asked, and are not delivered.
    pub events: u64,
    /// `idle`, `sending`, `retrying` or `held`.
    pub state: String,
    /// Why it is retrying or held.
    pub reason: String,
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// With this it is asked again.
    pub ticket: u64,
    /// Whether the files are read to where they ended, and durable in the queue.
    pub read: bool,
    /// Bytes in files that are not read, by source, while they are not.
    pub unread: BTreeMap<String, u64>,
    /// Sinks that have not delivered all.
    pub sinks: BTreeMap<String, Undelivered>,
    /// Why reading does not go on, where it does not.
    pub reason: String,
}

impl Draining {
    /// Whether all is delivered.
    pub fn is_done(&self) -> bool {
        self.read && self.sinks.is_empty()
    }
}

/// Offsets up to which all must be delivered, by topic and partition.
type Ends = Vec<(String, u32, u64)>;

/// Wishes, and their ends once they are known.
#[derive(Debug, Default)]
pub(super) struct Wishes(BTreeMap<u64, Option<Ends>>);

impl Parts {
    /// Begins a wish, or tells how far one is.
    pub(super) fn drain(&self, ticket: Option<u64>) -> Result<Draining, String> {
        let sources = self.sources.lock().unwrap_or_else(|e| e.into_inner());
        let Some(files) = sources.as_ref() else { return Err("the agent is stopping: it drains by itself".into()) };
        let ticket = ticket.unwrap_or_else(|| {
            let ticket = files.catch_up();
            let mut wishes = self.wishes.lock().unwrap_or_else(|e| e.into_inner());
            wishes.0.insert(ticket, None);
            if wishes.0.len() > MOST {
                wishes.0.pop_first();
            }
            ticket
        });
        let caught_up = files.caught_up(ticket);
        drop(sources);
        let known = self.wishes.lock().unwrap_or_else(|e| e.into_inner()).0.get(&ticket).cloned();
        let ends = match known {
            None => return Err("this drain is not known to the agent: was it started again meanwhile?".into()),
            Some(None) if caught_up && self.queue.flush(FLUSH) => {
                let of = self.queue.status().partitions.into_iter().filter(|p| p.topic != DEAD_LETTER_TOPIC);
                let ends: Ends = of.map(|p| (p.topic, p.partition, p.durable_offset)).collect();
                self.wishes.lock().unwrap_or_else(|e| e.into_inner()).0.insert(ticket, Some(ends.clone()));
                Some(ends)
            }
            Some(ends) => ends,
        };
        let status = self.status();
        let mut draining = Draining { ticket, read: ends.is_some(), ..Draining::default() };
        let Some(ends) = ends else {
            draining.unread = status.sources.iter().map(|(name, s)| (name.clone(), s.unread_bytes)).collect();
            let errors = status.sources.values().map(|s| s.last_error.clone()).find(|e| !e.is_empty());
            draining.reason = if status.queue.state == "ok" { errors.unwrap_or_default() } else { status.queue.reason };
            return Ok(draining);
        };
        for (name, sink) in status.sinks {
            let events = ends.iter().map(|(topic, partition, end)| self.queue.undelivered(&name, topic, *partition, *end)).sum();
            if events > 0 {
                draining.sinks.insert(name, Undelivered { events, state: sink.state, reason: sink.reason });
            }
        }
        Ok(draining)
    }
}
