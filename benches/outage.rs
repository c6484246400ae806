//! An outage of the receiver, measured from outside: does memory stay flat, and how fast is the backlog gone afterwards?
//!
//! `cargo bench --bench outage` (`-- --help`) writes lines at a steady rate
//! into a file that the agent follows with its defaults. After a tenth of the time the receiver goes down, and comes back after
//! `--seconds`; with `--server HOST:PORT` it is a door in front of that real Elasticsearch or OpenSearch, and no more lines are
//! written once it is back, since that server sets the speed. The table is the curve; below it stands how fast the backlog drained,
//! beside the rate at which lines came in meanwhile, and how many documents the server counts.
//!
//! It fails if a line did not arrive or arrived twice. `--check` fails, too, if the drain is less than ten times as fast as lines
//! come in, if memory grew by more than a tenth during the outage, or if it was ever more than 48 MiB; at a real server, if 1 % of
//! the requests were answered with 429.

mod common;

use common::arguments::arguments;
use common::{Receiver, resident, usage};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const HELP: &str = "\
cargo bench --bench outage -- [options]

  --seconds N         how long the receiver is down (default 60)
  --rate N            lines a second that are written meanwhile (default 20000)
  --size BYTES        of a line with its newline (default 200)
  --check             exit code 1 when a bar is missed
  --agent PATH        another agent
  --server HOST:PORT  a real Elasticsearch or OpenSearch behind the door, over plain HTTP";

/// The backlog is to drain so many times as fast as lines come in.
const BAR: f64 = 10.0;
const PATIENCE: Duration = Duration::from_secs(600);
const MIB: f64 = (1u64 << 20) as f64;

struct Options {
    seconds: u64,
    rate: u64,
    size: usize,
    check: bool,
    agent: String,
    server: Option<String>,
}

fn options() -> Options {
    let mut options =
        Options { seconds: 60, rate: 20_000, size: 200, check: false, agent: env!("CARGO_BIN_EXE_forebay").into(), server: None };
    arguments(HELP, |name, value| {
        match name {
            "--seconds" => options.seconds = value().parse().expect("--seconds N"),
            "--rate" => options.rate = value().parse().expect("--rate LINES_A_SECOND"),
            "--size" => options.size = value().parse().expect("--size BYTES"),
            "--check" => options.check = true,
            "--agent" => options.agent = value(),
            "--server" => options.server = Some(value()),
            _ => return false,
        }
        true
    });
    options
}

/// Writes at a steady rate until it is told to stop, in steps of 10 ms.
fn write(path: PathBuf, rate: u64, size: usize, written: &AtomicU64, stop: &AtomicBool) {
    let mut file = File::create(path).expect("a log file");
    let (begun, mut count, mut block) = (Instant::now(), 0u64, Vec::new());
    while !stop.load(Relaxed) {
        let due = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
        block.clear();
        while count < due {
            let line = format!("2026-03-09T10:15:02.123Z INFO [worker-{}] orders.Service - seq={count:012} ", count % 16);
            block.extend_from_slice(line.as_bytes());
            block.resize(block.len() + size.saturating_sub(line.len() + 1), b'x');
            block.push(b'\n');
            count += 1;
        }
        file.write_all(&block).expect("room for the log");
        written.store(count, Relaxed);
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A request to a real server; the number behind `key` in its answer.
fn ask(server: &str, method: &str, path: &str, key: &str) -> Option<u64> {
    let mut stream = TcpStream::connect(server).ok()?;
    write!(stream, "{method} {path} HTTP/1.0\r\nhost: {server}\r\ncontent-length: 0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let rest = answer.split_once(&format!("\"{key}\":"))?.1;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn main() {
    let options = options();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let receiver = Receiver::before(options.server.clone());
    let (written, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let pipeline = dir.path().join("pipeline.yaml");
    // One of its own at each run.
    let index = format!("forebay-outage-{}", std::process::id());
    let text = format!(
        "data_dir: {dir}/data\nadmin: off\nsources:\n  app: {{type: file, include: [\"{dir}/*.log\"]}}\nsinks:\n  search: {{type: elasticsearch, endpoints: [\"{}\"], index: \"{}\"}}\n",
        receiver.url(),
        index,
        dir = dir.path().display(),
    );
    fs::write(&pipeline, text).expect("room for the pipeline");
    let (said, log) = (dir.path().join("agent.txt"), File::create(dir.path().join("agent.txt")).expect("a file"));
    let mut agent = Command::new(&options.agent).arg("run").arg(&pipeline).stderr(log).spawn().expect("the agent");
    let writer = {
        let (path, written, stop) = (dir.path().join("app.log"), written.clone(), stop.clone());
        std::thread::spawn(move || write(path, options.rate, options.size, &written, &stop))
    };
    let (pid, begun) = (agent.id(), Instant::now());
    let lag = || written.load(Relaxed).saturating_sub(receiver.count.documents.load(Relaxed));
    println!("{} lines a second of {} bytes; the receiver is down for {} s", options.rate, options.size, options.seconds);
    println!("| s | receiver | lines behind | resident MiB | CPU s | requests |");
    println!("|---|---|---|---|---|---|");
    let show = |state: &str| {
        let (cpu, _) = usage(pid);
        let (at, memory) = (begun.elapsed().as_secs_f64(), resident(pid) as f64 / MIB);
        println!("| {at:.1} | {state} | {} | {memory:.1} | {cpu:.2} | {} |", lag(), receiver.count.requests.load(Relaxed));
        resident(pid)
    };
    let watch = |state: &str, time: Duration, steps: u32| {
        let until = Instant::now() + time;
        let (mut first, mut peak) = (0, 0);
        while Instant::now() < until {
            std::thread::sleep(time / steps);
            let now = show(state);
            (first, peak) = (if first == 0 { now } else { first }, peak.max(now));
        }
        (first, peak)
    };
    watch("up", Duration::from_secs(options.seconds.div_ceil(10)), 2);
    receiver.set_up(false);
    let (first, peak) = watch("down", Duration::from_secs(options.seconds), 12);
    receiver.set_up(true);
    let mut writer = Some(writer);
    if options.server.is_some() {
        stop.store(true, Relaxed);
        if let Some(writer) = writer.take() {
            writer.join().expect("the writer");
        }
    }
    let (back, backlog, cpu_before) = (Instant::now(), lag(), usage(pid).0);
    // The first answer after the outage comes when the backoff lets it; the drain is counted from there.
    let requests = receiver.count.requests.load(Relaxed);
    while receiver.count.requests.load(Relaxed) == requests {
        assert!(back.elapsed() < PATIENCE, "the agent does not come back");
        std::thread::sleep(Duration::from_millis(1));
    }
    let (waited, draining, from) = (back.elapsed(), Instant::now(), receiver.count.documents.load(Relaxed));
    // A row every half second at first, then ever fewer.
    let (mut next, mut most) = (0.5, peak);
    // What was written within the linger is always behind.
    while lag() > options.rate / 2 {
        assert!(back.elapsed() < PATIENCE, "the backlog does not drain: {} lines behind", lag());
        std::thread::sleep(Duration::from_millis(5));
        most = most.max(resident(pid));
        let now = draining.elapsed().as_secs_f64();
        if now >= next {
            next = now + (now / 10.0).max(0.5);
            show("draining");
        }
    }
    let (took, shipped) = (draining.elapsed().as_secs_f64(), receiver.count.documents.load(Relaxed) - from);
    most = most.max(show("drained"));
    let (cpu, _) = usage(pid);
    stop.store(true, Relaxed);
    if let Some(writer) = writer {
        writer.join().expect("the writer");
    }
    let all_by = Instant::now() + PATIENCE;
    while lag() > 0 && Instant::now() < all_by {
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = agent.kill();
    let _ = agent.wait();
    let (total, got) = (written.load(Relaxed), receiver.count.documents.load(Relaxed));
    let (speed, growth, most) = (shipped as f64 / took, peak as f64 / first as f64, most as f64 / MIB);
    println!();
    println!("backlog of {backlog} lines; the first request {:.1} s after the receiver was back", waited.as_secs_f64());
    println!(
        "drained in {took:.1} s: {speed:.0} lines/s, {:.1} times the incoming rate (bar: {BAR}), {:.0} lines a CPU second",
        speed / options.rate as f64,
        shipped as f64 / (cpu - cpu_before)
    );
    println!("memory: grew to {growth:.2} times during the outage (bar: 1.1); at most {most:.1} MiB (bar: 48)");
    println!("lines written {total}, documents received {got}");
    let (busy, requests) = (receiver.count.busy.load(Relaxed), receiver.count.requests.load(Relaxed));
    let too_busy = options.server.is_some() && busy * 100 >= requests;
    if options.server.is_some() {
        println!("requests {requests}, answered with 429: {busy} (bar: under 1 %)");
    }
    let counted = options.server.as_ref().and_then(|server| {
        ask(server, "POST", &format!("/{index}/_refresh"), "total")?;
        ask(server, "GET", &format!("/{index}/_count"), "count")
    });
    if let Some(server) = &options.server {
        println!("documents that the server counts: {}", counted.map_or("it does not say".into(), |count| count.to_string()));
        ask(server, "DELETE", &format!("/{index}"), "acknowledged");
    }
    if got != total {
        println!("the agent said:\n{}", fs::read_to_string(&said).unwrap_or_default());
    }
    let slow = options.server.is_none() && speed < BAR * options.rate as f64;
    if got != total || counted.is_some_and(|count| count != total) || options.check && (slow || too_busy || growth > 1.1 || most > 48.0) {
        std::process::exit(1);
    }
}
