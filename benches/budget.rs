//! Where the processor's time goes on the way of a line, beside what the machine needs for the same work.
//!
//! `cargo bench --bench budget` (`-- --help`) runs the real agent with its defaults on a corpus, into a receiver that only counts,
//! and prints for each of the agent's threads its CPU seconds a GB of raw events, beside those of bare loops that do nothing but
//! the same work on the same bytes: read, find the newlines, sum, write, sync, copy, send, receive. The loops and the agent run in
//! turns; each figure is the median of the runs. `docs/performance.md` explains the table.

mod common;

use common::arguments::arguments;
use common::loops::{READERS, machine};
use common::run::{Run, agent};
use common::{corpus, median};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

const HELP: &str = "\
cargo bench --bench budget -- [options]

  --lines N     lines of the corpus (default 2000000)
  --size N      bytes of a line (default 200)
  --runs N      runs of the agent and of each loop (default 3)
  --set YAML    more of the pipeline, such as 'queue: {acks: written}'
  --agent PATH  another agent
  --dir DIR     where corpus and queue go (default: a temporary folder in the system's)";

struct Options {
    lines: u64,
    size: usize,
    runs: usize,
    set: String,
    agent: String,
    dir: Option<PathBuf>,
}

fn options() -> Options {
    let agent = env!("CARGO_BIN_EXE_forebay").into();
    let mut o = Options { lines: 2_000_000, size: 200, runs: 3, set: String::new(), agent, dir: None };
    arguments(HELP, |name, value| {
        match name {
            "--lines" => o.lines = value().parse().expect("--lines N"),
            "--size" => o.size = value().parse().expect("--size BYTES"),
            "--runs" => o.runs = value().parse().expect("--runs N"),
            "--set" => o.set = value(),
            "--agent" => o.agent = value(),
            "--dir" => o.dir = Some(value().into()),
            _ => return false,
        }
        true
    });
    assert!(o.runs > 0 && o.size > 100 && o.lines >= 2, "--runs, --size (over 100) and --lines must be sensible");
    o
}

fn main() {
    let o = options();
    let dir = o.dir.as_ref().map_or_else(tempfile::tempdir, tempfile::tempdir_in).expect("a temporary folder");
    let logs = dir.path().join("logs");
    fs::create_dir(&logs).expect("a folder");
    let bytes = corpus(&logs, o.lines, o.size, 2);
    let files = [logs.join("app-0.log"), logs.join("app-1.log")];
    let o = Options { lines: o.lines / 2 * 2, ..o };
    let gb = bytes as f64 / 1e9;
    let (mut runs, mut loops): (Vec<Run>, BTreeMap<&str, Vec<f64>>) = (Vec::new(), BTreeMap::new());
    for _ in 0..o.runs {
        runs.push(agent(&o.agent, &o.set, o.lines, dir.path(), &logs));
        let costs = machine(o.size, dir.path(), &files);
        for (what, cpu) in &costs {
            let read = if READERS.contains(what) { costs[0].1 } else { 0.0 };
            loops.entry(what).or_default().push(cpu - read);
        }
    }
    let limit = |what: &str| median(loops[what].clone()).max(0.0) / gb;
    let of = |name: &str| median(runs.iter().map(|r| r.threads.get(name).copied().unwrap_or(0.0)).collect()) / gb;
    println!("{} lines of {} bytes, {} MB; medians of {} runs; CPU seconds a GB of raw events", o.lines, o.size, bytes / 1_000_000, o.runs);
    println!("| thread | work | agent | limit of the machine | of it |");
    println!("|---|---|---|---|---|");
    let rows: [(&str, &[(&str, &str)]); 5] = [
        ("file-reader", &[("read", "read"), ("split", "split"), ("look", "look for what JSON escapes")]),
        ("queue-log", &[("sum", "checksum"), ("write", "write")]),
        ("queue-sync", &[("sync", "sync")]),
        ("sink-search", &[("sums", "checksum of each event"), ("encode", "copy into the body")]),
        ("network", &[("send", "send the body"), ("receive", "receive and compare the answer")]),
    ];
    let (mut named, mut floor) = (0.0, 0.0);
    for (thread, parts) in rows {
        let (agent, machine) = (of(thread), parts.iter().map(|(what, _)| limit(what)).sum::<f64>());
        let work: Vec<String> = parts.iter().map(|(what, name)| format!("{name} {:.3}", limit(what))).collect();
        println!("| {thread} | {} | {agent:.3} | {machine:.3} | {:.1} × |", work.join(", "), agent / machine);
        (named, floor) = (named + agent, floor + machine);
    }
    let cpu = median(runs.iter().map(|r| r.cpu).collect());
    println!("| others | start, timers, signals | {:.3} | | |", (cpu / gb - named).max(0.0));
    println!("| **all** | | **{:.3}** | **{floor:.3}** | {:.1} × |", cpu / gb, cpu / gb / floor);
    let (wall, peak) = (median(runs.iter().map(|r| r.wall).collect()), median(runs.iter().map(|r| r.peak as f64).collect()));
    println!(
        "\n{:.2} M events a CPU second, {:.2} M a second, peak memory {:.1} MiB",
        o.lines as f64 / cpu / 1e6,
        o.lines as f64 / wall / 1e6,
        peak / f64::from(1 << 20)
    );
}
