//! Connections that wait for the next request. None waits for ever: names get other addresses, certificates and keys are
//! renewed, and what stands between forgets idle connections without a word.

use super::driven::Driver;
use super::proxy::ProxyServer;
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long connections live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// Since they were made.
    pub age: Duration,
    /// Without a request.
    pub idle: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        // Load balancers and proxies close after 60 s or more; it is better to be first.
        Lifetimes { age: Duration::from_secs(300), idle: Duration::from_secs(45) }
    }
}

/// A connection.
pub(crate) struct Connection {
    pub sender: SendRequest<Full<Bytes>>,
    pub driver: Driver,
    /// `scheme://host:port`.
    pub origin: String,
    pub proxy: Option<Arc<ProxyServer>>,
    pub generation: u64,
    pub made: Instant,
    /// Whether a request has gone over it before.
    pub used: bool,
}

/// Idle connections of a sink.
pub(crate) struct Pool {
    most: usize,
    lifetimes: Lifetimes,
    idle: Mutex<Vec<(Instant, Connection)>>,
}

impl Pool {
    /// Keeps at most `most` connections to each origin.
    pub fn new(most: usize, lifetimes: Lifetimes) -> Pool {
        Pool { most, lifetimes, idle: Mutex::default() }
    }

    /// The connection to `origin` that was used last and is still good; those that are too old are closed.
    pub fn take(&self, origin: &str, generation: u64) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(|e| e.into_inner());
        let now = Instant::now();
        idle.retain(|(since, connection)| {
            !connection.sender.is_closed()
                && connection.generation == generation
                && now - *since < self.lifetimes.idle
                && now - connection.made < self.lifetimes.age
        });
        let at = idle.iter().rposition(|(_, connection)| connection.origin == origin)?;
        Some(idle.remove(at).1)
    }

    /// Keeps a connection whose answer is read to its end.
    pub fn put(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(|e| e.into_inner());
        if idle.iter().filter(|(_, other)| other.origin == connection.origin).count() < self.most {
            idle.push((Instant::now(), Connection { used: true, ..connection }));
        }
    }
}
