//! Whether an event costs the same when there is more of everything: files, partitions, sinks, backlog, queue that nobody reads,
//! bytes in a line; and on a small machine.
//!
//! `cargo bench --bench growth` (`-- --help`) runs the real agent with its defaults, every byte synced, into a receiver in the
//! same process that only counts, and prints what each row costs beside the first row of its part; lines of other lengths
//! beside a straight line through all of them (`line.rs`). The rows of a part take turns; each figure is the median of the runs,
//! each ratio the median of the ratios within a round.

#[path = "../common/mod.rs"]
mod common;
mod line;
mod rows;
mod run;

use common::arguments::arguments;
use common::corpus;
use line::Line;
use rows::{LINE, Machine, PARTS, Row, rows};
use run::{Bounded, Figures, SMALL, State, fill, run};
use std::collections::HashMap;
use std::path::PathBuf;

const HELP: &str = "\
cargo bench --bench growth -- [options]

  --lines N      lines of a run; of other lengths as many as make as large bodies (default 1000000)
  --runs N       rounds of each part (default 3)
  --only LIST    parts: files,partitions,sinks,lines,backlog,idle,small (default: all)
  --backlog MIB  the largest backlog (default 1024)
  --idle LIST    MiB that are kept in the queue from before (default 1,1024)
  --check        exit code 1 where a row costs over 10 % more than the first of its part, on a small machine over 25 %, where
                 lines of a length are more than 10 % away from the straight line, or a start takes a second
  --agent PATH   another agent
  --dir DIR      where corpus and queue go (default: a temporary folder in the system's)";

struct Options {
    lines: u64,
    runs: usize,
    only: Vec<String>,
    backlog: u64,
    idle: Vec<u64>,
    check: bool,
    agent: String,
    dir: Option<PathBuf>,
}

fn options() -> Options {
    let (only, agent) = (PARTS.map(String::from).into(), env!("CARGO_BIN_EXE_forebay").into());
    let mut o = Options { lines: 1_000_000, runs: 3, only, backlog: 1024, idle: vec![1, 1024], check: false, agent, dir: None };
    arguments(HELP, |name, value| {
        match name {
            "--lines" => o.lines = value().parse().expect("--lines N"),
            "--runs" => o.runs = value().parse().expect("--runs N"),
            "--only" => o.only = value().split(',').map(String::from).collect(),
            "--backlog" => o.backlog = value().parse().expect("--backlog MIB"),
            "--idle" => o.idle = value().split(',').map(|mib| mib.parse().expect("--idle MIB,MIB")).collect(),
            "--check" => o.check = true,
            "--agent" => o.agent = value(),
            "--dir" => o.dir = Some(value().into()),
            _ => return false,
        }
        true
    });
    assert!(o.only.iter().all(|p| PARTS.contains(&p.as_str())), "--only takes some of {}", PARTS.join(","));
    assert!(o.runs > 0 && o.lines >= 10_000 && o.backlog > 0, "--lines (10000 at least), --runs and --backlog must be sensible");
    assert!(o.idle.iter().all(|mib| *mib > 0), "--idle must be sensible");
    o
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    common::median(values.into_iter().collect())
}

/// A folder of its own where the bench may write.
fn folder(o: &Options) -> tempfile::TempDir {
    o.dir.as_ref().map_or_else(tempfile::tempdir, tempfile::tempdir_in).expect("a temporary folder")
}

/// Runs the rows of a part in turns.
fn measure(o: &Options, rows: &[Row]) -> Vec<Vec<Figures>> {
    // No corpus is deleted before the part is over: where a thousand files have just gone, some file systems search long for a free
    // place for a new one, and that would be booked on the agent's files.
    let mut corpora = HashMap::new();
    let queues: Vec<Option<State>> = rows.iter().map(|row| (row.idle > 0).then(|| fill(o, row))).collect();
    let mut figures = vec![Vec::new(); rows.len()];
    for round in 0..o.runs {
        for ((row, queue), figures) in rows.iter().zip(&queues).zip(&mut figures) {
            // A queue that is kept has had the files of the last round.
            let key = (row.shape(), if row.idle > 0 { round } else { 0 });
            let (logs, bytes) = corpora.entry(key).or_insert_with(|| {
                let dir = folder(o);
                let bytes = corpus(dir.path(), row.lines, row.size, row.files);
                (dir, bytes)
            });
            let fresh = queue.is_none().then(|| State::new(o));
            if let Some(state) = queue.as_ref().or(fresh.as_ref()) {
                figures.push(run(o, row, state, (logs.path(), *bytes)));
            }
        }
    }
    figures
}

/// Prints a part; gives what misses its bar.
fn part(o: &Options, part: &str) -> Vec<String> {
    let mut rows = rows(o, part);
    if rows.iter().any(|r| r.small == Some(Machine::OneCoreInMemory)) && Bounded::new(SMALL).is_none() {
        println!("SKIPPED: {} (no memory cgroup may be made here)", rows.pop().map_or(String::new(), |r| r.name));
    }
    let figures = measure(o, &rows);
    let ns = |row: &Row, f: &Figures| f.cpu * 1e9 / row.events() as f64;
    let costs: Vec<f64> = rows.iter().zip(&figures).map(|(row, of)| median(of.iter().map(|f| ns(row, f)))).collect();
    let by_length: Vec<(f64, f64)> = rows.iter().zip(&costs).map(|(row, cost)| (row.size as f64, *cost)).collect();
    let line = (part == "lines").then(|| Line::through(&by_length));
    let mut missed = Vec::new();
    for ((row, of), cost) in rows.iter().zip(&figures).zip(&costs) {
        let ratio = match line {
            Some(line) => cost / line.at(row.size as f64),
            None => median(of.iter().zip(&figures[0]).map(|(f, base)| ns(row, f) / ns(&rows[0], base))),
        };
        let rate = median(of.iter().map(|f| row.events() as f64 / f.wall / 1e6));
        let peak = median(of.iter().map(|f| f.peak as f64 / (1 << 20) as f64));
        let first = median(of.iter().map(|f| f.first));
        let byte = cost / row.size as f64;
        println!("| {} | {cost:.0} | {byte:.2} | {ratio:.2} | {rate:.2} | {peak:.0} | {first:.2} |", row.name);
        let beside = if line.is_some() { "the straight line" } else { &rows[0].name };
        let above = if part == "small" { 1.25 } else { 1.10 };
        if ratio > above || line.is_some() && ratio < 0.90 {
            missed.push(format!("{}: {ratio:.2} times what {beside} cost", row.name));
        }
        if (row.backlog || row.idle > 0) && first >= 1.0 {
            missed.push(format!("{}: the first request after {first:.2} s", row.name));
        }
    }
    if let Some(Line { event, byte }) = line {
        println!("| the straight line: {event:.0} ns an event and {byte:.2} ns a byte | | | | | | |");
    }
    missed
}

fn main() {
    let o = options();
    println!("{} lines of {LINE} bytes in 2 files, where nothing else is said; medians of {} rounds", o.lines, o.runs);
    println!("Beside the first row of the part; lines of other lengths beside the straight line through all of them.");
    println!("| | CPU ns an event | ns a raw byte | beside the first | M events/s | peak MiB | first request s |");
    println!("|---|---|---|---|---|---|---|");
    let missed: Vec<String> = o.only.iter().flat_map(|name| part(&o, name)).collect();
    if !missed.is_empty() {
        println!("\nnot flat:\n  {}", missed.join("\n  "));
        std::process::exit(i32::from(o.check));
    }
}
