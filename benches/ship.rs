//! The whole way, measured from outside: files → durable queue → `_bulk` requests to a receiver that only counts.
//!
//! `cargo bench --bench ship` (`-- --help`) writes a corpus,
//! starts the agent on it with its defaults, which sync every byte, and prints for each run: wall seconds, events a
//! second, CPU seconds of the agent, events a CPU second, its peak resident memory, and how much of the corpus came from
//! the queue's files again, since the tail cache in memory had it no more. The receiver runs in this process, on the
//! same cores.

mod common;

use common::arguments::arguments;
use common::{Receiver, corpus, file_reads, usage};
use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const HELP: &str = "\
cargo bench --bench ship -- [options]

  --lines N     lines of the corpus (default 1000000)
  --size BYTES  of a line with its newline (default 200)
  --files N     files that they are in (default 2)
  --runs N      runs, a row each (default 3)
  --set YAML    more of the pipeline, such as 'queue: {acks: written}'
  --sink YAML   more of the sink, such as 'batch: {max_bytes: 1MiB}'
  --agent PATH  another agent";

const PATIENCE: Duration = Duration::from_secs(300);

struct Options {
    lines: u64,
    size: usize,
    files: u64,
    runs: u32,
    set: String,
    sink: String,
    agent: String,
}

fn options() -> Options {
    let mut options = Options {
        lines: 1_000_000,
        size: 200,
        files: 2,
        runs: 3,
        set: String::new(),
        sink: String::new(),
        agent: env!("CARGO_BIN_EXE_forebay").into(),
    };
    arguments(HELP, |name, value| {
        match name {
            "--lines" => options.lines = value().parse().expect("--lines N"),
            "--size" => options.size = value().parse().expect("--size BYTES"),
            "--files" => options.files = value().parse().expect("--files N"),
            "--runs" => options.runs = value().parse().expect("--runs N"),
            "--set" => options.set = value(),
            "--sink" => options.sink = format!(", {}", value()),
            "--agent" => options.agent = value(),
            _ => return false,
        }
        true
    });
    options
}

fn main() {
    let options = options();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bytes = corpus(dir.path(), options.lines, options.size, options.files);
    let lines = options.lines / options.files * options.files;
    println!(
        "{lines} lines of {} bytes in {} files, {} MB; every byte synced unless --set says otherwise",
        options.size,
        options.files,
        bytes / 1_000_000
    );
    println!("| run | wall s | events/s | MB/s | CPU s | events/CPU s | peak memory MiB | requests | read back MB |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for run in 1..=options.runs {
        let receiver = Receiver::start();
        let (url, count) = (receiver.url(), receiver.count.clone());
        let state = tempfile::tempdir().expect("a temporary folder");
        let pipeline = state.path().join("pipeline.yaml");
        let text = format!(
            "data_dir: {state}/data\nadmin: off\n{set}\nsources:\n  app: {{type: file, include: [\"{corpus}/*.log\"]}}\nsinks:\n  search: {{type: elasticsearch, endpoints: [\"{url}\"], index: logs-app{sink}}}\n",
            state = state.path().display(),
            set = options.set,
            sink = options.sink,
            corpus = dir.path().display()
        );
        fs::write(&pipeline, text).expect("room for the pipeline");
        let begun = Instant::now();
        let mut agent = Command::new(&options.agent).arg("run").arg(&pipeline).stderr(Stdio::null()).spawn().expect("the agent");
        let mut guard = count.changed.0.lock().expect("not poisoned");
        while count.documents.load(Ordering::Relaxed) < lines && begun.elapsed() < PATIENCE {
            guard = count.changed.1.wait_timeout(guard, Duration::from_millis(100)).expect("not poisoned").0;
        }
        drop(guard);
        let wall = begun.elapsed().as_secs_f64();
        let ((cpu, peak), read) = (usage(agent.id()), file_reads(agent.id()));
        let _ = agent.kill();
        let _ = agent.wait();
        let got = count.documents.load(Ordering::Relaxed);
        assert!(got >= lines, "run {run}: only {got} of {lines} lines came in {} s", PATIENCE.as_secs());
        println!(
            "| {run} | {wall:.2} | {:.0} | {:.0} | {cpu:.2} | {:.0} | {:.1} | {} | {:.0} |",
            lines as f64 / wall,
            bytes as f64 / wall / 1e6,
            lines as f64 / cpu,
            peak as f64 / (1 << 20) as f64,
            count.requests.load(Ordering::Relaxed),
            read.saturating_sub(bytes) as f64 / 1e6
        );
    }
}
