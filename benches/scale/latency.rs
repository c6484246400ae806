//! How soon a line is durable: at low load, and beside a file that grows as fast as the machine can write.

use crate::ASK;
use crate::agent::{Agent, Asker, cpu, durable, peak};
use crate::options::Options;
use crate::table::Table;
use crate::writing::{roar, tick};
use forebay::queue::{Start, View};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What was durable when: asked on one connection until `stop`.
fn watch(admin: SocketAddr, stop: &AtomicBool) -> Vec<(Instant, u64)> {
    let (mut asker, mut seen) = (Asker::new(admin).expect("the admin listener"), Vec::<(Instant, u64)>::new());
    while !stop.load(Ordering::Relaxed) {
        let now = durable(&asker.ask().expect("a status"));
        if seen.last().is_none_or(|(_, last)| *last != now) {
            seen.push((Instant::now(), now));
        }
        std::thread::sleep(ASK);
    }
    seen
}

/// How long each line of `written` that begins with "quiet" took to be durable, ms, in order.
fn delays(dir: &Path, seen: &[(Instant, u64)], written: &[Instant]) -> Vec<f64> {
    let view = View::open(&dir.join("data")).expect("the queue");
    let mut delays = Vec::new();
    for mut reader in view.readers("logs", None, Start::Earliest).expect("readers") {
        while let Some(part) = reader.read().expect("a readable queue") {
            for event in part.runs().filter(|r| r.run.data.starts_with(b"quiet")).flat_map(|r| r.events) {
                let number = std::str::from_utf8(event.bytes).ok().and_then(|l| l.split(' ').nth(1)?.parse::<usize>().ok());
                let at = seen.partition_point(|(_, durable)| *durable <= event.offset);
                let (when, _) = seen.get(at).expect("all was durable at the end");
                delays.push((*when - written[number.expect("a line of ours")]).as_secs_f64() * 1000.0);
            }
        }
    }
    assert_eq!(delays.len(), written.len(), "each line must be in the queue once");
    delays.sort_by(f64::total_cmp);
    delays
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    sorted.get(((sorted.len() as f64 * q).ceil() as usize).max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// Ten quiet files beside a noisy one.
pub fn noisy(o: &Options, dir: &Path, table: &mut Table) {
    let logs = dir.join("logs");
    fs::create_dir_all(&logs).expect("a folder");
    let agent = Agent::start(&o.agent, dir, &format!("{}/*.log", logs.display()));
    agent.until("to start", |_| true);
    let quiet: Vec<PathBuf> = (0..10).map(|i| logs.join(format!("quiet-{i}.log"))).collect();
    let (stop, end) = (AtomicBool::new(false), AtomicBool::new(false));
    let (seen, written, bytes, behind, used) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(agent.admin, &end));
        let ticker = scope.spawn(|| tick(&quiet, Duration::from_millis(100), &stop));
        let before = cpu(agent.pid());
        let (bytes, lines) = roar(&logs.join("noisy.log"), o.rate, Duration::from_secs(o.noisy_seconds));
        let (used, last) = (cpu(agent.pid()) - before, Instant::now());
        stop.store(true, Ordering::Relaxed);
        let written = ticker.join().expect("the writer");
        let all = lines + written.len() as u64;
        agent.until("to queue all lines", |s| durable(s) >= all);
        let behind = last.elapsed().as_secs_f64();
        std::thread::sleep(ASK * 5);
        end.store(true, Ordering::Relaxed);
        (watcher.join().expect("the watcher"), written, bytes, behind, used)
    });
    let most = peak(agent.pid());
    agent.stop();
    let delays = delays(dir, &seen, &written);
    let speed = bytes as f64 / 1e6 / o.noisy_seconds as f64;
    table.row("a noisy file grows by", speed, "MB/s", None);
    table.row("beside it, a quiet file's line is durable after (median)", quantile(&delays, 0.5), "ms", None);
    table.row("99th percentile", quantile(&delays, 0.99), "ms", None);
    table.row(&format!("the slowest of {} lines", delays.len()), quantile(&delays, 1.0), "ms", Some(1000.0));
    table.row("the agent's CPU meanwhile", used / o.noisy_seconds as f64 * 100.0, "% of a core", None);
    table.row("the noisy file is durable so long after its last write", behind, "s", None);
    table.row("peak memory (RSS)", most, "MiB", Some(100.0));
}

/// Ten lines a second.
pub fn low(o: &Options, dir: &Path, table: &mut Table) {
    let logs = dir.join("logs");
    fs::create_dir_all(&logs).expect("a folder");
    let agent = Agent::start(&o.agent, dir, &format!("{}/*.log", logs.display()));
    agent.until("to start", |_| true);
    let (stop, end) = (AtomicBool::new(false), AtomicBool::new(false));
    let paths = [logs.join("quiet.log")];
    let (seen, written) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(agent.admin, &end));
        let ticker = scope.spawn(|| tick(&paths, Duration::from_millis(100), &stop));
        std::thread::sleep(Duration::from_secs(o.low_seconds));
        stop.store(true, Ordering::Relaxed);
        let written = ticker.join().expect("the writer");
        agent.until("to queue all lines", |s| durable(s) >= written.len() as u64);
        std::thread::sleep(ASK * 5);
        end.store(true, Ordering::Relaxed);
        (watcher.join().expect("the watcher"), written)
    });
    agent.stop();
    let delays = delays(dir, &seen, &written);
    table.row("10 lines a second: a line is durable after (median)", quantile(&delays, 0.5), "ms", Some(50.0));
    table.row("99th percentile", quantile(&delays, 0.99), "ms", None);
    table.row(&format!("the slowest of {} lines", delays.len()), quantile(&delays, 1.0), "ms", None);
}
