use super::*;
use crate::queue::RunFlags;
use crate::sink::client::{Client, Outcome, Request, Sending};
use crate::sink::ndjson::LineEncoder;
use crate::sink::testing::*;
use std::sync::atomic::AtomicUsize;

/// Fails the first attempts; watches how many are made at the same time.
struct Watched {
    /// The first two go out before anything is known, and fail together.
    first: tokio::sync::Barrier,
    failures: usize,
    attempts: AtomicUsize,
    now: AtomicUsize,
    most_in_outage: AtomicUsize,
    most: AtomicUsize,
}

impl Watched {
    fn new(failures: usize) -> Arc<Watched> {
        let zero = || AtomicUsize::new(0);
        let first = tokio::sync::Barrier::new(2);
        Arc::new(Watched { first, failures, attempts: zero(), now: zero(), most_in_outage: zero(), most: zero() })
    }
}

struct WatchedClient(Arc<Watched>);

impl Client for WatchedClient {
    fn send<'a>(&'a self, _request: Request<'a>) -> Sending<'a> {
        Box::pin(async move {
            let watched = &self.0;
            let attempt = watched.attempts.fetch_add(1, Relaxed);
            let now = watched.now.fetch_add(1, Relaxed) + 1;
            watched.most.fetch_max(now, Relaxed);
            if (2..watched.failures).contains(&attempt) {
                watched.most_in_outage.fetch_max(now, Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            watched.now.fetch_sub(1, Relaxed);
            match attempt {
                a if a < 2 && a < watched.failures => {
                    watched.first.wait().await;
                    Outcome::Retry { reason: "down".into(), after: None }
                }
                a if a < watched.failures => Outcome::Retry { reason: "down".into(), after: None },
                _ => Outcome::Delivered { already_there: 0 },
            }
        })
    }
}

#[test]
fn an_outage_is_probed_with_one_request_at_a_time() {
    let watched = Watched::new(20);
    let all = batches(&lines(40), 2, RunFlags::UTF8);
    let bench = Bench::start_with(Box::new(LineEncoder::new("h")), Box::new(WatchedClient(watched.clone())), 4, all);
    bench.finish();
    assert_eq!(watched.attempts.load(Relaxed), 40, "each failure is one attempt, each batch one delivery");
    assert_eq!(watched.most_in_outage.load(Relaxed), 1);
    assert!(watched.most.load(Relaxed) <= 4);
    let status = bench.sink().status();
    assert_eq!((status.batches_sent, status.batches_retried, status.delivered_events), (40, 20, 40));
    assert_eq!((status.in_flight_limit, status.in_flight_most), (1, 4), "the receiver is met gently afterwards");
}

/// Takes whatever it gets, each request after a while.
struct Slow;

impl Client for Slow {
    fn send<'a>(&'a self, _request: Request<'a>) -> Sending<'a> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(40)).await;
            Outcome::Delivered { already_there: 0 }
        })
    }
}

#[test]
fn batches_that_are_small_for_want_of_memory_go_in_parallel_to_a_receiver_that_takes_its_time() {
    let mut all = batches(&lines(100_000), 1, RunFlags::UTF8);
    all.iter_mut().for_each(|batch| batch.cut = true);
    let bench = Bench::start_with(Box::new(LineEncoder::new("h")), Box::new(Slow), 4, all);
    let until = std::time::Instant::now() + PATIENCE;
    while bench.sink().status().in_flight_limit < 4 {
        assert!(std::time::Instant::now() < until, "{:?}", bench.sink().status());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn bodies_stay_within_their_memory() {
    let watched = Watched::new(0);
    let events = vec![vec![1u8; 100]; 50];
    let bench =
        Bench::start_with(Box::new(LineEncoder::new("h")), Box::new(WatchedClient(watched)), 3, batches(&events, 10, RunFlags::UTF8));
    bench.finish();
    let limits = bench.limits.lock().unwrap();
    assert_eq!(limits[0].max_bytes, (8 << 20) / 3, "two in flight, with which it begins, and one being encoded");
    assert_eq!(limits[0].overhead, FIRST_OVERHEAD);
    assert!(limits[1].overhead > 500, "100 control bytes become 600: {}", limits[1].overhead);
}

#[test]
fn the_overhead_grows_at_once_and_falls_slowly() {
    assert_eq!(next_overhead(300, 1000, 100, 1), 900);
    assert_eq!(next_overhead(900, 200, 100, 1), 800);
    assert_eq!(next_overhead(20, 0, 100, 0), 18);
}

struct Panicking;

impl Client for Panicking {
    fn send<'a>(&'a self, _request: Request<'a>) -> Sending<'a> {
        Box::pin(async { panic!("for the test") })
    }
}

#[test]
fn a_panic_is_shown_and_acks_nothing() {
    let bench = Bench::start_with(Box::new(LineEncoder::new("h")), Box::new(Panicking), 1, batches(&lines(1), 1, RunFlags::UTF8));
    let until = std::time::Instant::now() + PATIENCE;
    while bench.sink().status().state != "held" {
        assert!(std::time::Instant::now() < until);
        std::thread::yield_now();
    }
    assert!(bench.acks.0.0.lock().unwrap().is_empty());
    assert!(bench.sink().status().reason.contains("sent again after a restart"));
}
