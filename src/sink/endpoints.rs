//! Several endpoints of one receiver: the next request goes to one that is well, fast and free; one that failed is avoided
//! until a probe finds it well again.
//!
//! "Fast" is a moving average of the time that answers took, and at least the age of the oldest request that has none yet.
//! Those within a factor of two of the fastest count as equally fast and take turns by requests in flight, so that equal
//! nodes get equal shares. A slower one gets a request only where it would be done sooner, and, since what was measured
//! fades, one now and then to see whether it has recovered; so it never holds all that is in flight.

use super::transport::Transport;
use crate::admin::EndpointStatus;
use crate::queue::now_ms;
use bytes::Bytes;
use hyper::{HeaderMap, Method};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use url::Url;

/// How long an endpoint that failed is left alone at first; doubled each time it is found down.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A probe that takes longer has failed.
const PROBE: Duration = Duration::from_secs(5);
/// Weight of the last answer in the average.
const WEIGHT: f64 = 0.3;
/// After so long without an answer an average counts a third.
const FADES: Duration = Duration::from_secs(10);
/// Differences below this are none, seconds.
const NOISE: f64 = 0.005;

struct Health {
    /// Starts of the requests in flight.
    flying: Vec<Instant>,
    /// Average, seconds.
    latency: Option<f64>,
    measured: Instant,
    requests: u64,
    failures: u64,
    /// Failures since a request was answered.
    streak: u32,
    /// When a probe is due, where it is down.
    down_until: Option<Instant>,
    probing: bool,
    /// Since when it is up or down, ms since the Unix epoch.
    since_ms: u64,
    last_error: String,
}

impl Health {
    /// What an answer is expected to take, seconds; `None` where nothing is known.
    fn expected(&self, now: Instant) -> Option<f64> {
        let faded = self.latency.map(|l| l * (-(now - self.measured).as_secs_f64() / FADES.as_secs_f64()).exp());
        // One that only just began says nothing yet.
        let oldest = self.flying.iter().min().map(|at| (now - *at).as_secs_f64()).filter(|age| faded.is_some() || *age > 10.0 * NOISE);
        faded.into_iter().chain(oldest).reduce(f64::max)
    }
}

struct Endpoint {
    base: Url,
    url: Url,
    health: Mutex<Health>,
}

impl Endpoint {
    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// The endpoints of a sink.
pub(crate) struct Endpoints {
    sink: String,
    all: Vec<Endpoint>,
    next: AtomicUsize,
}

/// A request on its way to an endpoint. Dropping it without a result says nothing of the endpoint.
pub(crate) struct Flight<'a> {
    endpoints: &'a Endpoints,
    index: usize,
    started: Instant,
}

impl Endpoints {
    /// Requests go to `urls`; probes to the URL of the same place in `bases`.
    pub fn new(sink: &str, bases: Vec<Url>, urls: Vec<Url>) -> Endpoints {
        let health = || Health {
            flying: Vec::new(),
            latency: None,
            measured: Instant::now(),
            requests: 0,
            failures: 0,
            streak: 0,
            down_until: None,
            probing: false,
            since_ms: now_ms(),
            last_error: String::new(),
        };
        let all = bases.into_iter().zip(urls).map(|(base, url)| Endpoint { base, url, health: Mutex::new(health()) }).collect();
        Endpoints { sink: sink.to_string(), all, next: AtomicUsize::new(0) }
    }

    /// Indices in the order in which to try them. Those that are down are among them only if all are: then the sink's gate
    /// spaces the tries.
    pub fn order(&self) -> Vec<usize> {
        let (count, now) = (self.all.len(), Instant::now());
        let start = self.next.fetch_add(1, Relaxed);
        let mut order: Vec<usize> = (0..count).map(|i| (start + i) % count).collect();
        let up = |i: &usize| self.all[*i].health().down_until.is_none();
        if order.iter().any(up) {
            order.retain(up);
            let expected: Vec<(Option<f64>, usize)> = order
                .iter()
                .map(|i| {
                    let health = self.all[*i].health();
                    (health.expected(now), health.flying.len())
                })
                .collect();
            let fastest = expected.iter().filter_map(|(e, _)| *e).reduce(f64::min).unwrap_or(0.0);
            let level = fastest.max(NOISE);
            let score = |(expected, flying): (Option<f64>, usize)| {
                let slow = expected.filter(|e| *e > 2.0 * fastest + NOISE);
                slow.unwrap_or(level) * (flying + 1) as f64
            };
            let mut scored: Vec<(f64, usize)> = expected.into_iter().map(score).zip(order).collect();
            scored.sort_by(|a, b| a.0.total_cmp(&b.0));
            order = scored.into_iter().map(|(_, i)| i).collect();
        }
        order
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// The URL of an endpoint.
    pub fn url(&self, index: usize) -> &Url {
        &self.all[index].url
    }

    /// A request to an endpoint begins.
    pub fn begin(&self, index: usize) -> Flight<'_> {
        let (mut health, started) = (self.all[index].health(), Instant::now());
        health.requests += 1;
        health.flying.push(started);
        Flight { endpoints: self, index, started }
    }

    /// Asks those that have been down long enough whether they are well again, beside what is being sent. While all are down,
    /// what is being sent is the probe.
    pub fn probe_due(self: &Arc<Self>, transport: &Arc<Transport>) {
        for index in self.due(Instant::now()) {
            let (endpoints, transport) = (self.clone(), transport.clone());
            tokio::spawn(async move {
                let ask = transport.send(Method::GET, endpoints.all[index].base.clone(), HeaderMap::new(), Bytes::new());
                let found = match tokio::time::timeout(PROBE, ask).await {
                    Ok(Ok(answer)) => answer.health(),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err(format!("does not answer within {} s", PROBE.as_secs())),
                };
                endpoints.probed(index, found);
            });
        }
    }

    /// Those whose probe is due; it counts as begun.
    fn due(&self, now: Instant) -> Vec<usize> {
        let is_due = |i: &usize| {
            let mut health = self.all[*i].health();
            let due = !health.probing && health.down_until.is_some_and(|at| at <= now);
            health.probing |= due;
            due
        };
        let up = self.all.iter().any(|e| e.health().down_until.is_none());
        if up { (0..self.all.len()).filter(is_due).collect() } else { Vec::new() }
    }

    fn probed(&self, index: usize, found: Result<(), String>) {
        let mut health = self.all[index].health();
        health.probing = false;
        match found {
            Ok(()) => self.up(&mut health, index),
            Err(error) => self.down(&mut health, index, &error),
        }
    }

    fn up(&self, health: &mut Health, index: usize) {
        if health.down_until.take().is_some() {
            let now = now_ms();
            if self.all.len() > 1 {
                let after = now.saturating_sub(health.since_ms) as f64 / 1000.0;
                tracing::info!("sink {}: {} is back after {after:.1} s", self.sink, self.name(index));
            }
            health.since_ms = now;
        }
    }

    fn down(&self, health: &mut Health, index: usize, error: &str) {
        let pause = FIRST_PAUSE.saturating_mul(1 << health.streak.min(10)).min(LONGEST_PAUSE);
        // Many agents lost it at the same moment.
        let random = getrandom::u32().map_or(0.5, |r| f64::from(r) / f64::from(u32::MAX));
        health.streak = health.streak.saturating_add(1);
        let before = health.down_until.replace(Instant::now() + pause.mul_f64(0.75 + random / 2.0));
        health.last_error = error.to_string();
        // What was measured says nothing of what comes back.
        health.latency = None;
        if before.is_none() {
            health.since_ms = now_ms();
            if self.all.len() > 1 {
                tracing::warn!("sink {}: {} {error}; it is left out until it is well again", self.sink, self.name(index));
            }
        }
    }

    fn name(&self, index: usize) -> String {
        self.all[index].url.origin().ascii_serialization()
    }

    /// How they stand.
    pub fn status(&self, transport: &Transport) -> Vec<EndpointStatus> {
        let now = Instant::now();
        let expected: Vec<Option<f64>> =
            self.all.iter().map(|e| Some(e.health()).filter(|h| h.down_until.is_none())?.expected(now)).collect();
        let fastest = expected.iter().flatten().copied().reduce(f64::min).unwrap_or(0.0);
        let one = |(index, endpoint): (usize, &Endpoint)| {
            let health = endpoint.health();
            let state = match (health.down_until, expected[index]) {
                (Some(_), _) => "down",
                (None, Some(e)) if e > 2.0 * fastest + NOISE => "slow",
                (None, _) => "up",
            };
            EndpointStatus {
                url: self.name(index),
                state: state.into(),
                since_ms: health.since_ms,
                last_error: health.last_error.clone(),
                requests: health.requests,
                failures: health.failures,
                in_flight: health.flying.len() as u64,
                latency_seconds: health.latency.unwrap_or(0.0),
                certificate_ends_ms: transport.certificate_ends_ms(&endpoint.url),
            }
        };
        self.all.iter().enumerate().map(one).collect()
    }
}

impl Flight<'_> {
    /// How it went: answered, or why it is the endpoint's fault that it was not.
    pub fn ended(self, result: Result<(), String>) {
        let (now, mut health) = (Instant::now(), self.endpoints.all[self.index].health());
        match result {
            Ok(()) => {
                let took = (now - self.started).as_secs_f64();
                health.latency = Some(health.latency.map_or(took, |l| l + WEIGHT * (took - l)));
                health.measured = now;
                health.streak = 0;
                self.endpoints.up(&mut health, self.index);
            }
            Err(error) => {
                health.failures += 1;
                self.endpoints.down(&mut health, self.index, &error);
            }
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut health = self.endpoints.all[self.index].health();
        if let Some(at) = health.flying.iter().position(|at| *at == self.started) {
            health.flying.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests;
