//! `limits:` hold while the agent works as hard as it may.

mod common;

use common::{Agent, Bench, PATIENCE};
use std::fs;
use std::time::{Duration, Instant};

fn corpus(bench: &Bench, lines: usize) {
    let line = |n: usize| {
        format!(
            "2026-03-09T00:00:00.000Z INFO [worker-{}] com.example.orders.Service - seq={n:012} order paid, cache miss, upstream retry\n",
            n % 16
        )
    };
    let bytes: String = (0..lines / 20).map(line).collect();
    (0..20).for_each(|_| bench.append("app.log", &bytes));
}

/// Processor time (user and system) that the agent has used.
fn used(agent: &Agent) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", agent.id())).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().map(|i| fields[*i].parse::<u64>().expect("ticks")).sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Bytes in memory that no file backs: the size of a debug build's program is not what is limited.
fn anonymous(agent: &Agent) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.id())).expect("it runs");
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:")).expect("RssAnon");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[test]
fn no_more_of_the_processors_is_used_than_allowed() {
    const SHARE: f64 = 0.2;
    let bench = Bench::new();
    // Work for longer than it is watched.
    corpus(&bench, 2_000_000);
    let sinks = format!("  search: {{type: file, path: {}}}", common::quoted(bench.path("shipped.log")));
    bench.pipeline(&sinks, "", "limits: {cpu: 0.2}");
    let mut agent = bench.start();
    // Starting is not limited.
    let shipped = || fs::metadata(bench.path("shipped.log")).map_or(0, |m| m.len());
    agent.wait_for("something is shipped", || shipped() > 0);
    let (begun, before, at) = (Instant::now(), used(&agent), shipped());
    while begun.elapsed() < Duration::from_secs(4) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let (share, more) = ((used(&agent) - before).as_secs_f64() / begun.elapsed().as_secs_f64(), shipped() - at);
    assert!(share < SHARE * 1.25, "{share:.3} of a processor, {SHARE} allowed");
    assert!(more > 0, "it gets on");
    let all = fs::metadata(bench.log("app.log")).expect("the log").len();
    assert!(shipped() < all, "it was busy all the time");
}

#[test]
fn no_more_memory_is_used_than_allowed() {
    const LIMIT: u64 = 24 << 20;
    const LINES: usize = 600_000;
    let bench = Bench::new();
    corpus(&bench, LINES);
    let sinks = format!("  search: {{type: file, path: {}}}", common::quoted(bench.path("shipped.log")));
    bench.pipeline(&sinks, "", "limits: {memory: 24MiB}");
    let mut agent = bench.start();
    let until = Instant::now() + PATIENCE;
    let (mut peak, mut done) = (0, false);
    while !done {
        assert!(Instant::now() < until, "{}", agent.log());
        peak = peak.max(anonymous(&agent));
        done = forebay::admin::client::fetch_status(bench.admin).is_ok_and(|s| s.sinks["search"].delivered_events == LINES as u64);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(peak < LIMIT, "{peak} bytes, {LIMIT} allowed");
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
}
