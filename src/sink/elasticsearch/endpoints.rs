//! Several endpoints: used in turn; one that failed is avoided for a while.

use reqwest::Url;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long an endpoint that failed is avoided while another one is there.
const AVOID: Duration = Duration::from_secs(10);

struct Endpoint {
    url: Url,
    avoid_until: Mutex<Option<Instant>>,
}

impl Endpoint {
    fn avoided(&self, now: Instant) -> bool {
        self.avoid_until.lock().unwrap_or_else(|e| e.into_inner()).is_some_and(|until| until > now)
    }
}

/// The endpoints of a sink.
pub(crate) struct Endpoints {
    all: Vec<Endpoint>,
    next: AtomicUsize,
}

impl Endpoints {
    /// `urls` in turn.
    pub fn new(urls: Vec<Url>) -> Endpoints {
        Endpoints { all: urls.into_iter().map(|url| Endpoint { url, avoid_until: Mutex::default() }).collect(), next: AtomicUsize::new(0) }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Indices in the order in which to try them: those in good standing first, each call from the next one on.
    pub fn order(&self) -> Vec<usize> {
        let (count, now) = (self.all.len().max(1), Instant::now());
        let start = self.next.fetch_add(1, Relaxed);
        let mut order: Vec<usize> = (0..self.all.len()).map(|i| (start + i) % count).collect();
        order.sort_by_key(|i| self.all[*i].avoided(now));
        order
    }

    /// The URL of an endpoint.
    pub fn url(&self, index: usize) -> &Url {
        &self.all[index].url
    }

    /// Notes how an attempt at an endpoint went.
    pub fn note(&self, index: usize, ok: bool) {
        *self.all[index].avoid_until.lock().unwrap_or_else(|e| e.into_inner()) = (!ok).then(|| Instant::now() + AVOID);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_turn_and_failed_ones_last() {
        let endpoints = Endpoints::new(["http://a", "http://b", "http://c"].map(|u| Url::parse(u).unwrap()).to_vec());
        assert_eq!(endpoints.order(), [0, 1, 2]);
        assert_eq!(endpoints.order(), [1, 2, 0]);
        endpoints.note(2, false);
        assert_eq!(endpoints.order(), [0, 1, 2]);
        assert_eq!(endpoints.order()[0], 0);
        endpoints.note(2, true);
        assert_eq!(endpoints.order(), [1, 2, 0]);
    }
}
