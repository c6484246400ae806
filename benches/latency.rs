//! How long a line is on its way: from `write` in the app until the request that brings it has reached the receiver.
//!
//! `cargo bench --bench latency` (`-- --help`) runs the real agent, every byte synced, at several loads, with the defaults and with
//! settings that ask for low latency, and prints what each costs beside it. `-- --chart` varies `batch.linger`,
//! `queue.sync_interval` and `queue.batch_size` one after the other at one load, and draws the trade. Lines carry the time at which
//! they were written; the receiver runs in this process, on the same cores.

mod common;

use common::arguments::arguments;
use common::run::Agent;
use common::{Receiver, switches, usage};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const HELP: &str = "\
cargo bench --bench latency -- [options]

  --rates LIST   lines a second, one after the other (default 10,1000,10000,100000)
  --seconds N    how long each is measured (default 5)
  --set YAML     more of the pipeline, instead of the two settings that are compared
  --sink YAML    more of the sink with --set, such as 'batch: {linger: 0s}'
  --chart        the trade of linger, sync_interval and batch_size at the first of --rates (default 1000)
  --check        exit code 1 where low load with the settings for low latency has a p50 of 20 ms or more
  --agent PATH   another agent";

const PATIENCE: Duration = Duration::from_secs(30);
/// Lines are written in steps of this.
const STEP: Duration = Duration::from_millis(1);
/// Before it is measured.
const WARM: Duration = Duration::from_secs(1);
/// Bytes of a line.
const LINE: usize = 200;
/// What stands before the time in a document.
const MARK: &[u8] = br#""message":"at="#;
/// At most so many lines a second are a low load.
const LOW: u64 = 1000;

/// Settings that are compared: what is added to the pipeline and to the sink.
#[derive(Clone)]
struct Setting {
    name: String,
    queue: String,
    sink: String,
}

impl Setting {
    fn new(name: &str, queue: &str, sink: &str) -> Setting {
        Setting { name: name.into(), queue: queue.into(), sink: sink.into() }
    }
}

struct Options {
    rates: Vec<u64>,
    seconds: u64,
    settings: Vec<Setting>,
    chart: bool,
    check: bool,
    agent: String,
}

fn options() -> Options {
    let settings = vec![
        Setting::new("defaults", "", ""),
        Setting::new("low latency", "queue: {linger: 0ms, sync_interval: 1ms}", ", batch: {linger: 0ms}"),
    ];
    let agent = env!("CARGO_BIN_EXE_forebay").into();
    let mut o = Options { rates: Vec::new(), seconds: 5, settings, chart: false, check: false, agent };
    let (mut set, mut sink) = (None, None);
    arguments(HELP, |name, value| {
        match name {
            "--rates" => o.rates = value().split(',').map(|n| n.parse().expect("--rates N,N")).collect(),
            "--seconds" => o.seconds = value().parse().expect("--seconds N"),
            "--set" => set = Some(value()),
            "--sink" => sink = Some(value()),
            "--chart" => o.chart = true,
            "--check" => o.check = true,
            "--agent" => o.agent = value(),
            _ => return false,
        }
        true
    });
    if set.is_some() || sink.is_some() {
        let sink = sink.map(|s| format!(", {s}")).unwrap_or_default();
        o.settings = vec![Setting::new("as set", &set.unwrap_or_default(), &sink)];
    }
    if o.rates.is_empty() {
        o.rates = if o.chart { vec![1000] } else { vec![10, 1000, 10_000, 100_000] };
    }
    assert!(o.seconds > 0 && o.rates.iter().all(|r| (1..=10_000_000).contains(r)), "--seconds and --rates must be sensible");
    o
}

/// What a run gave.
struct Figures {
    /// Milliseconds.
    p50: f64,
    p99: f64,
    most: f64,
    lines: usize,
    /// Of one core, percent.
    cpu: f64,
    requests: f64,
    waits: f64,
}

/// Writes `rate` lines a second to `log` for `time`, each with its time since `begun`; gives how many.
fn write_lines(log: &mut File, rate: u64, time: Duration, begun: Instant) -> u64 {
    let (start, mut written, mut out) = (Instant::now(), 0u64, Vec::new());
    loop {
        let passed = start.elapsed().min(time);
        let due = (passed.as_secs_f64() * rate as f64) as u64;
        out.clear();
        let at = begun.elapsed().as_nanos();
        for n in written..due {
            let head = out.len();
            write!(out, "at={at:020} n={n:012} ").expect("memory");
            out.resize(head + LINE - 1, b'x');
            out.push(b'\n');
        }
        if !out.is_empty() {
            log.write_all(&out).expect("room for lines");
            written = due;
        }
        if passed == time {
            return written;
        }
        // The next line, but no shorter than a step.
        let next = Duration::from_secs_f64((written + 1) as f64 / rate as f64);
        std::thread::sleep(next.saturating_sub(start.elapsed()).max(STEP));
    }
}

fn run(o: &Options, rate: u64, setting: &Setting) -> Figures {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (logs, begun) = (dir.path().join("logs"), Instant::now());
    fs::create_dir(&logs).expect("a folder");
    let receiver = Receiver::start();
    let (took, from) = (Arc::new(Mutex::new(Vec::<u64>::new())), Arc::new(AtomicU64::new(u64::MAX)));
    let (seen, since) = (took.clone(), from.clone());
    receiver.count.each(move |body| {
        let now = begun.elapsed().as_nanos() as u64;
        let from = since.load(Ordering::Relaxed);
        let mut seen = seen.lock().expect("not poisoned");
        for mark in memchr::memmem::find_iter(body, MARK) {
            let digits = &body[mark + MARK.len()..][..20];
            let at = digits.iter().fold(0u64, |n, d| n * 10 + u64::from(d - b'0'));
            if at >= from {
                seen.push(now - at);
            }
        }
    });
    let pipeline = dir.path().join("pipeline.yaml");
    let text = format!(
        "data_dir: {dir}/data\nadmin: off\n{queue}\nsources:\n  app: {{type: file, include: [\"{dir}/logs/*.log\"]}}\nsinks:\n  search: {{type: elasticsearch, endpoints: [\"{url}\"], index: logs-app{sink}}}\n",
        dir = dir.path().display(),
        queue = setting.queue,
        url = receiver.url(),
        sink = setting.sink,
    );
    fs::write(&pipeline, text).expect("room for the pipeline");
    let mut log = OpenOptions::new().create(true).append(true).open(logs.join("app.log")).expect("a log");
    let agent = Agent(Command::new(&o.agent).arg("run").arg(&pipeline).stderr(Stdio::null()).spawn().expect("the agent"));
    let arrived = |lines: u64| {
        let until = Instant::now() + PATIENCE;
        let mut guard = receiver.count.changed.0.lock().expect("not poisoned");
        while receiver.count.documents.load(Ordering::Relaxed) < lines {
            assert!(Instant::now() < until, "{} of {lines} lines came", receiver.count.documents.load(Ordering::Relaxed));
            guard = receiver.count.changed.1.wait_timeout(guard, Duration::from_millis(100)).expect("not poisoned").0;
        }
    };
    // One line says that it runs.
    let mut lines = write_lines(&mut log, 10, Duration::from_millis(200), begun);
    arrived(lines);
    lines += write_lines(&mut log, rate, WARM, begun);
    let (cpu, waits) = (usage(agent.0.id()).0, switches(agent.0.id()));
    let (requests, start) = (receiver.count.requests.load(Ordering::Relaxed), Instant::now());
    from.store(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
    let measured = write_lines(&mut log, rate, Duration::from_secs(o.seconds), begun);
    let seconds = start.elapsed().as_secs_f64();
    let (cpu, waits) = (usage(agent.0.id()).0 - cpu, switches(agent.0.id()) - waits);
    let requests = receiver.count.requests.load(Ordering::Relaxed) - requests;
    arrived(lines + measured);
    drop(agent);
    let mut took = std::mem::take(&mut *took.lock().expect("not poisoned"));
    assert_eq!(took.len() as u64, measured, "each line of the measured time came once");
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize] as f64 / 1e6;
    Figures {
        p50: at(0.5),
        p99: at(0.99),
        most: at(1.0),
        lines: took.len(),
        cpu: 100.0 * cpu / seconds,
        requests: requests as f64 / seconds,
        waits: waits as f64 / seconds,
    }
}

/// The bar of a row: a cell for four milliseconds, thick up to the median and thin up to the 99th percentile.
fn bar(p50: f64, p99: f64) -> String {
    let cells = |ms: f64| (ms / 4.0).round() as usize;
    format!("{}{}", "█".repeat(cells(p50).max(1)), "─".repeat(cells(p99).saturating_sub(cells(p50).max(1))))
}

fn chart(o: &Options) {
    let rate = o.rates[0];
    println!("{rate} lines of {LINE} bytes a second; █ up to p50, ─ up to p99, 4 ms a cell; what is not named has its default\n");
    println!("{:<34} {:>7} {:>7} {:>6} {:>10} {:>8}", "", "p50 ms", "p99 ms", "CPU %", "requests/s", "waits/s");
    let linger = |ms: u32| Setting::new(&format!("batch.linger {ms}ms"), "", &format!(", batch: {{linger: {ms}ms}}"));
    let sync = |ms: u32| {
        let queue = format!("queue: {{sync_interval: {ms}ms}}");
        Setting::new(&format!("linger 0ms, sync_interval {ms}ms"), &queue, ", batch: {linger: 0ms}")
    };
    let size = |size: &str| Setting::new(&format!("batch_size {size}"), &format!("queue: {{batch_size: {size}}}"), "");
    let all = [500, 200, 100, 50, 20, 5, 0]
        .map(linger)
        .into_iter()
        .chain([100, 25, 5, 1].map(sync))
        .chain(o.settings.iter().filter(|s| s.name != "defaults").cloned())
        .chain(["4KiB", "64KiB", "1MiB"].map(size));
    for setting in all {
        let f = run(o, rate, &setting);
        println!(
            "{:<34} {:>7.1} {:>7.1} {:>6.1} {:>10.0} {:>8.0} {}",
            setting.name,
            f.p50,
            f.p99,
            f.cpu,
            f.requests,
            f.waits,
            bar(f.p50, f.p99)
        );
    }
}

fn main() {
    let o = options();
    if o.chart {
        return chart(&o);
    }
    println!("lines of {LINE} bytes, every byte synced; from write to the request at the receiver");
    println!("| lines/s | settings | p50 ms | p99 ms | most ms | CPU % of a core | requests/s | waits/s | lines |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut slow = false;
    for &rate in &o.rates {
        for setting in &o.settings {
            let f = run(&o, rate, setting);
            slow |= rate <= LOW && setting.name == "low latency" && f.p50 >= 20.0;
            println!(
                "| {rate} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.0} | {:.0} | {} |",
                setting.name, f.p50, f.p99, f.most, f.cpu, f.requests, f.waits, f.lines
            );
        }
    }
    if o.check && slow {
        eprintln!("a p50 of 20 ms or more at low load");
        std::process::exit(1);
    }
}
