//! The paths of real use, measured from outside: what gzip, TLS, JSON, access lines, stack traces, further sinks, and many slow
//! files cost beside raw lines.
//!
//! `cargo bench --bench paths` (`-- --help`) runs the real agent on corpora of each shape, in turns, into receivers in the same
//! process that unpack, count, and look at a first document to see that it is what the path should give. Where the pipeline says
//! nothing else, the agent has its defaults: every byte is synced. `docs/performance.md` has the table, beside other shippers.

mod common;

use common::arguments::arguments;
use common::run::Agent;
use common::shapes::{Shape, corpus};
use common::{Receiver, secured, usage};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

const HELP: &str = "\
cargo bench --bench paths -- [options]

  --events N    events of each corpus (default 1000000)
  --runs N      runs of each path; the table has their medians (default 3)
  --only LIST   of raw,gzip:1,gzip,gzip:6,gzip:9,tls,tls-gzip,json,nginx,java,two,three,files (default: all)
  --seconds N   how long 1,000 files grow by 10 lines a second each (default 20)
  --set YAML    more of the pipeline, such as 'queue: {acks: written}'
  --check       exit code 1 when a bar is missed
  --agent PATH  another agent
  --dir DIR     where corpora and queues go (default: a temporary folder in the system's)";

const PATIENCE: Duration = Duration::from_secs(300);
const MIB: f64 = (1u64 << 20) as f64;
/// Of the row of many files.
const FILES: u64 = 1000;
const LINES_A_SECOND: u64 = 10;

/// A way through the agent.
struct Route {
    name: &'static str,
    what: &'static str,
    shape: Shape,
    /// More keys of the source, and of each sink.
    source: &'static str,
    sink: &'static str,
    sinks: usize,
    tls: bool,
    /// Events a CPU second.
    bar: Option<f64>,
    /// What the first request has in it when the path did its work.
    shows: &'static [&'static str],
}

const RAW: Route = Route {
    name: "raw",
    what: "raw lines",
    shape: Shape::Plain,
    source: "",
    sink: "",
    sinks: 1,
    tls: false,
    bar: None,
    shows: &["\"message\":\"2026-03-09T", "\"log\":{\"offset\":"],
};
const JSON: &str = ", process: [{json: {overwrite: true, remove_source: true}}, {timestamp: {field: \"@timestamp\", formats: iso8601}}]";
const ROUTES: [Route; 12] = [
    RAW,
    Route { name: "gzip:1", what: "gzip, level 1", sink: ", compression: \"gzip:1\"", ..RAW },
    Route { name: "gzip", what: "gzip, level 3, which `gzip` means", sink: ", compression: gzip", ..RAW },
    Route { name: "gzip:6", what: "gzip, level 6", sink: ", compression: \"gzip:6\"", ..RAW },
    Route { name: "gzip:9", what: "gzip, level 9", sink: ", compression: \"gzip:9\"", ..RAW },
    Route { name: "tls", what: "TLS 1.3", tls: true, ..RAW },
    Route { name: "tls-gzip", what: "TLS 1.3 and gzip", sink: ", compression: gzip", tls: true, ..RAW },
    Route {
        name: "json",
        what: "JSON lines merged into the document, timestamp taken over",
        shape: Shape::Json,
        sink: JSON,
        bar: Some(1e6),
        shows: &["{\"@timestamp\":\"2026-03-09T", "\"trace\":{\"id\":\"", "\"user\":{\"id\":", "\"latency_ms\":", "\"message\":\"seq="],
        ..RAW
    },
    Route {
        name: "nginx",
        what: "nginx access lines to ECS fields",
        shape: Shape::Nginx,
        sink: ", process: [{parse: nginx.access}]",
        bar: Some(5e5),
        shows: &[
            "{\"@timestamp\":\"2026-03-09T",
            "\"status_code\":",
            "\"referrer\":\"https://shop.example.com/orders/",
            "\"user_agent\":{",
            "\"source\":{",
        ],
        ..RAW
    },
    Route {
        name: "java",
        what: "Java: a stack trace is one event with its line",
        shape: Shape::Java,
        source: ", multiline: {preset: java}",
        shows: &["renewed", "\\njava.lang.IllegalStateException: connection \\\"pool\\\" exhausted\\n\\tat com.example"],
        ..RAW
    },
    Route { name: "two", what: "two sinks from one queue", sinks: 2, ..RAW },
    Route { name: "three", what: "three sinks from one queue", sinks: 3, ..RAW },
];

struct Options {
    events: u64,
    runs: usize,
    only: Vec<String>,
    seconds: u64,
    set: String,
    check: bool,
    agent: String,
    dir: Option<PathBuf>,
}

fn options() -> Options {
    let agent = env!("CARGO_BIN_EXE_forebay").into();
    let mut o = Options { events: 1_000_000, runs: 3, only: Vec::new(), seconds: 20, set: String::new(), check: false, agent, dir: None };
    arguments(HELP, |name, value| {
        match name {
            "--events" => o.events = value().parse().expect("--events N"),
            "--runs" => o.runs = value().parse().expect("--runs N"),
            "--only" => o.only = value().split(',').map(str::to_string).collect(),
            "--seconds" => o.seconds = value().parse().expect("--seconds N"),
            "--set" => o.set = value(),
            "--check" => o.check = true,
            "--agent" => o.agent = value(),
            "--dir" => o.dir = Some(value().into()),
            _ => return false,
        }
        true
    });
    for name in &o.only {
        assert!(name == "files" || ROUTES.iter().any(|r| r.name == name), "no path {name:?}; --help lists them");
    }
    assert!(o.runs > 0 && o.events >= 20 && o.seconds > 0, "--runs, --events and --seconds must be sensible");
    o.events = o.events / 20 * 20;
    o
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|n| n == name)
    }
}

fn start(o: &Options, state: &Path, pipeline: &str) -> Agent {
    let path = state.join("pipeline.yaml");
    fs::write(&path, pipeline).expect("room for the pipeline");
    let log = File::create(state.join("agent.log")).expect("room for the agent's log");
    Agent(Command::new(&o.agent).arg("run").arg(&path).stdin(Stdio::null()).stderr(log).spawn().expect("the agent"))
}

fn pipeline(o: &Options, state: &Path, logs: &Path, source: &str, sinks: &[String]) -> String {
    format!(
        "data_dir: {state}/data\nadmin: off\n{}\nsources:\n  app: {{type: file, include: [\"{}/*.log\"]{source}}}\nsinks:\n{}",
        o.set,
        logs.display(),
        sinks.concat(),
        state = state.display()
    )
}

/// What a run gave.
struct Run {
    events: f64,
    wall: f64,
    cpu: f64,
    peak: f64,
    /// Bytes of the bodies on their way to each sink's receiver.
    sent: f64,
}

fn run(o: &Options, dir: &Path, route: &Route, logs: &Path) -> Run {
    let state = tempfile::tempdir_in(dir).expect("a temporary folder");
    let (receivers, tls) = if route.tls {
        let (config, authority) = secured::server();
        let path = state.path().join("ca.pem");
        fs::write(&path, authority).expect("room for a certificate");
        (vec![Receiver::secured(config)], format!(", tls: {{ca_file: {}}}", path.display()))
    } else {
        ((0..route.sinks).map(|_| Receiver::start()).collect::<Vec<_>>(), String::new())
    };
    let sinks: Vec<String> = receivers
        .iter()
        .enumerate()
        .map(|(n, r)| format!("  search{n}: {{type: elasticsearch, endpoints: [\"{}\"], index: logs-app{tls}{}}}\n", r.url(), route.sink))
        .collect();
    // The last event of a file waits for lines that may belong to it.
    let events = o.events - if route.shape == Shape::Java { 2 } else { 0 };
    let begun = Instant::now();
    let agent = start(o, state.path(), &pipeline(o, state.path(), logs, route.source, &sinks));
    for receiver in &receivers {
        if !receiver.await_documents(events, PATIENCE) {
            let (got, log) = (receiver.count.documents.load(Relaxed), fs::read_to_string(state.path().join("agent.log")));
            panic!("{}: only {got} of {events} events came in {} s; {}", route.name, PATIENCE.as_secs(), log.unwrap_or_default());
        }
    }
    let wall = begun.elapsed().as_secs_f64();
    let (cpu, peak) = usage(agent.0.id());
    let sent = receivers.iter().map(|r| r.count.bytes.load(Relaxed)).sum::<u64>() as f64 / receivers.len() as f64;
    for receiver in &receivers {
        let first = receiver.count.first.lock().expect("not poisoned");
        let text = String::from_utf8_lossy(&first);
        for wanted in route.shows {
            let document = text.lines().nth(1).unwrap_or_default();
            assert!(text.contains(wanted), "{}: no {wanted} in the first request, which begins with {document}", route.name);
        }
    }
    Run { events: events as f64, wall, cpu, peak: peak as f64, sent }
}

/// 1,000 files that grow by ten lines a second each: the agent's use over some seconds, after three that are not counted.
fn files(o: &Options, dir: &Path) -> Run {
    let state = tempfile::tempdir_in(dir).expect("a temporary folder");
    let logs = state.path().join("logs");
    fs::create_dir(&logs).expect("a folder");
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).expect("a limit that may be raised");
    let mut files: Vec<File> =
        (0..FILES).map(|n| File::create(logs.join(format!("app-{n}.log"))).expect("as many open files as the row has")).collect();
    let receiver = Receiver::start();
    let sink = format!("  search: {{type: elasticsearch, endpoints: [\"{}\"], index: logs-app}}\n", receiver.url());
    let agent = start(o, state.path(), &pipeline(o, state.path(), &logs, "", &[sink]));
    let (begun, mut written, mut from) = (Instant::now(), 0u64, None);
    let warm = Duration::from_secs(3);
    let end = warm + Duration::from_secs(o.seconds);
    let seen = || (Instant::now(), usage(agent.0.id()).0, receiver.count.documents.load(Relaxed));
    while begun.elapsed() < end {
        let due = (begun.elapsed().as_secs_f64() * (FILES * LINES_A_SECOND) as f64) as u64;
        while written < due {
            let line = format!("2026-03-09T10:15:02.123Z INFO [worker-3] com.example.orders.Service - seq={written:012} {:x<116}\n", "");
            files[(written % FILES) as usize].write_all(line.as_bytes()).expect("room for the log");
            written += 1;
        }
        if from.is_none() && begun.elapsed() >= warm {
            from = Some(seen());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let (from, to) = (from.expect("a second look"), seen());
    assert!(receiver.await_documents(written, PATIENCE), "files: {} of {written} lines came", receiver.count.documents.load(Relaxed));
    let peak = usage(agent.0.id()).1 as f64;
    let bytes = receiver.count.bytes.load(Relaxed) as f64;
    Run { events: (to.2 - from.2) as f64, wall: (to.0 - from.0).as_secs_f64(), cpu: to.1 - from.1, peak, sent: bytes }
}

fn median(runs: &[Run], of: impl Fn(&Run) -> f64) -> f64 {
    common::median(runs.iter().map(of).collect())
}

fn thousands(n: f64) -> String {
    format!("{:.0}k", n / 1e3)
}

fn main() {
    let o = options();
    let dir = o.dir.as_ref().map_or_else(tempfile::tempdir, tempfile::tempdir_in).expect("a temporary folder");
    let routes: Vec<&Route> = ROUTES.iter().filter(|r| o.wants(r.name)).collect();
    let mut corpora = BTreeMap::new();
    for route in &routes {
        let path = dir.path().join(format!("corpus-{}", route.shape as u8));
        corpora.entry(route.shape).or_insert_with(|| (corpus(&path, route.shape, o.events), path));
    }
    let mut runs: Vec<Vec<Run>> = routes.iter().map(|_| Vec::new()).collect();
    let mut slow = Vec::new();
    for _ in 0..o.runs {
        for (route, runs) in routes.iter().zip(&mut runs) {
            runs.push(run(&o, dir.path(), route, &corpora[&route.shape].1));
        }
    }
    if o.wants("files") {
        slow.push(files(&o, dir.path()));
    }
    println!("{} events in two files; medians of {} runs; every byte synced unless --set says otherwise", o.events, o.runs);
    println!("| path | bytes an event | sent | events/s | events per CPU second | CPU µs an event | peak memory MiB | bar |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut missed = 0;
    let mut cost = BTreeMap::new();
    for (route, runs) in routes.iter().zip(&runs) {
        let (events, bytes) = (runs[0].events, corpora[&route.shape].0 as f64);
        let speed = median(runs, |r| r.events / r.cpu);
        cost.insert(route.name, 1e6 / speed);
        let bar = route.bar.map_or(String::new(), |bar| {
            missed += usize::from(speed < bar);
            format!("{}, {}", thousands(bar), if speed < bar { "**missed**" } else { "met" })
        });
        println!(
            "| {} | {:.0} | {:.0} | {} | {} | {:.3} | {:.1} | {bar} |",
            route.what,
            bytes / o.events as f64,
            median(runs, |r| r.sent) / events,
            thousands(median(runs, |r| r.events / r.wall)),
            thousands(speed),
            1e6 / speed,
            median(runs, |r| r.peak) / MIB
        );
    }
    for run in &slow {
        println!(
            "| {FILES} files of {LINES_A_SECOND} lines a second each: {:.1} % of a core | 200 | | {} | {} | {:.3} | {:.1} | |",
            100.0 * run.cpu / run.wall,
            thousands(run.events / run.wall),
            thousands(run.events / run.cpu),
            1e6 * run.cpu / run.events,
            run.peak / MIB
        );
    }
    if let (Some(one), Some(two), Some(three)) = (cost.get("raw"), cost.get("two"), cost.get("three")) {
        println!(
            "\nA second sink adds {:.0} % to the cost of an event, a third one {:.0} %.",
            100.0 * (two - one) / one,
            100.0 * (three - two) / one
        );
    }
    if o.check && missed > 0 {
        std::process::exit(1);
    }
}
