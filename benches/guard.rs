//! The guard of the hot path: has an event become dearer than it was?
//!
//! `cargo bench --bench guard` (`-- --help`) runs the real agent with its defaults on raw lines. What it spends in user mode is
//! compared with bare loops over the same lines, in turns, so that a slow or shared machine is slow for both. What it asks of the
//! kernel is counted, not timed: bytes copied, reads and writes, page faults. The price of those is the host's affair (in a virtual
//! machine a new page costs up to ten times as much as one that was in use, and the total scatters by a factor of two), their number
//! is the agent's. All four are compared with `benches/guard.txt`; at more than 15 % above any the exit code is 1 (page faults: 50 %, most of them are the
//! first touches of the agent's memory, whose peak differs from run to run). Where figures
//! scatter, it takes as many runs as it needs to be sure, and no more than `--seconds`; where it cannot be sure it says so and does
//! not fail. Another processor has other ratios: there the change is told, and judged by `--against` alone. CONTRIBUTING.md tells when
//! and how to renew the recorded figures.

mod common;

use common::arguments::arguments;
use common::loops::{bare, warm};
use common::run::{Run, agent};
use common::verdict::{Verdict, interval, verdict};
use common::{corpus, median};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const HELP: &str = "\
cargo bench --bench guard -- [options]

  --record       writes what it measures to benches/guard.txt, after all of the time
  --against PATH compares all of the CPU time with that of the agent at PATH, measured in turns, instead of with what is recorded
  --seconds N    no longer than this (default 90; with --record 180)
  --percent N    how much dearer an event may be (default 15)
  --lines N      lines of the corpus (default 2000000)
  --agent PATH   another agent
  --dir DIR      where corpus and queue go (default: a temporary folder in the system's)";

const SIZE: usize = 200;
/// Percent by which page faults may grow.
const FAULTS: f64 = 50.0;

struct Options {
    record: bool,
    against: Option<String>,
    seconds: Option<u64>,
    percent: f64,
    lines: u64,
    agent: String,
    dir: Option<PathBuf>,
}

fn options() -> Options {
    let agent = env!("CARGO_BIN_EXE_forebay").into();
    let mut o = Options { record: false, against: None, seconds: None, percent: 15.0, lines: 2_000_000, agent, dir: None };
    arguments(HELP, |name, value| {
        match name {
            "--record" => o.record = true,
            "--against" => o.against = Some(value()),
            "--seconds" => o.seconds = Some(value().parse().expect("--seconds N")),
            "--percent" => o.percent = value().parse().expect("--percent N"),
            "--lines" => o.lines = value().parse().expect("--lines N"),
            "--agent" => o.agent = value(),
            "--dir" => o.dir = Some(value().into()),
            _ => return false,
        }
        true
    });
    assert!(o.lines >= 2 && o.percent > 0.0, "--lines and --percent must be sensible");
    o.lines = o.lines / 2 * 2;
    o
}

/// What an event costs, and what the kernel has to do for a byte or a MB of raw lines.
struct Figures {
    /// User time, as a multiple of that of the bare loops; with `--against` all CPU time as a multiple of the other agent's.
    ratio: f64,
    bytes: f64,
    calls: f64,
    faults: f64,
}

/// `benches/guard.txt`: the figures, and the processor on which they were measured.
fn recorded(path: &Path) -> (Figures, String) {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}; --record makes it", path.display()));
    let line = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')).map(str::trim);
    let number =
        |name: &str| line(name).and_then(|l| l.parse().ok()).unwrap_or_else(|| panic!("{}: no line '{name} NUMBER'", path.display()));
    let figures = Figures { ratio: number("user"), bytes: number("bytes"), calls: number("calls"), faults: number("faults") };
    (figures, line("processor").unwrap_or_default().to_string())
}

fn record(path: &Path, figures: &Figures, (low, high): (f64, f64), runs: usize) {
    let Figures { ratio, bytes, calls, faults } = figures;
    let text = format!(
        "# What the agent spends on raw lines: user time as a multiple of that of bare loops (and where its median lies most likely), bytes\n\
         # that the kernel copies for each byte, reads and writes a MB, page faults a MB. Written by `cargo bench --bench guard -- --record`;\n\
         # CONTRIBUTING.md tells when and how to renew it.\n\
         processor {}\nuser {ratio:.3}\nrange {low:.3} {high:.3}\nbytes {bytes:.3}\ncalls {calls:.2}\nfaults {faults:.1}\nruns {runs}\n",
        processor()
    );
    fs::write(path, text).expect("a file to write to");
}

/// What `/proc/cpuinfo` calls the processor, and how many of it there are.
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut names = text.lines().filter_map(|l| l.strip_prefix("model name")?.split_once(':')).map(|(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    format!("{cores} x {}", names.next().unwrap_or("unknown"))
}

fn main() {
    let o = options();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/guard.txt");
    let (before, there) = (!o.record && o.against.is_none()).then(|| recorded(&file)).unzip();
    let dir = o.dir.as_ref().map_or_else(tempfile::tempdir, tempfile::tempdir_in).expect("a temporary folder");
    let logs = dir.path().join("logs");
    fs::create_dir(&logs).expect("a folder");
    let (dir, logs) = (dir.path(), logs.as_path());
    let bytes = corpus(logs, o.lines, SIZE, 2) as f64;
    let run = |binary: &str| {
        warm(bytes as usize / 2);
        agent(binary, "", o.lines, dir, logs)
    };
    let cost = |run: &Run| if o.against.is_some() { run.cpu } else { run.user };
    let yardstick = || o.against.as_ref().map_or_else(|| bare(SIZE, bytes as usize), |other| cost(&run(other)));
    let limit = before.as_ref().map_or(1.0, |b: &Figures| b.ratio) * (1.0 + o.percent / 100.0);
    // The first run of each finds files, memory and pages in another state.
    run(&o.agent);
    yardstick();
    let until = Instant::now() + Duration::from_secs(o.seconds.unwrap_or(if o.record { 180 } else { 90 }));
    let (mut ratios, mut runs, mut sticks) = (Vec::new(), Vec::new(), vec![yardstick()]);
    let mut found = Verdict::Undecided;
    while Instant::now() < until && (o.record || found == Verdict::Undecided) {
        runs.push(run(&o.agent));
        sticks.push(yardstick());
        // What was before and what came after: a machine that becomes slower meanwhile does so for both.
        let around = &sticks[sticks.len() - 2..];
        ratios.push(cost(&runs[runs.len() - 1]) / ((around[0] + around[1]) / 2.0));
        found = verdict(&ratios, limit);
    }
    ratios.sort_by(f64::total_cmp);
    let middle = |of: &dyn Fn(&Run) -> f64| median(runs.iter().map(of).collect()) / bytes;
    let now = Figures {
        ratio: median(ratios.clone()),
        bytes: middle(&|r| r.kernel.bytes as f64),
        calls: middle(&|r| r.kernel.calls as f64) * 1e6,
        faults: middle(&|r| r.kernel.faults as f64) * 1e6,
    };
    let (low, high) = interval(&ratios);
    let (what, stick) = if o.against.is_some() { ("CPU", "the other agent") } else { ("user", "bare loops") };
    println!(
        "{:.3} {what} seconds a GB, {stick} {:.3} (medians of {} runs); as a multiple {:.3}, most likely {low:.3} to {high:.3}",
        middle(&cost) * 1e9,
        median(sticks) / bytes * 1e9,
        runs.len(),
        now.ratio
    );
    let kernel =
        format!("{:.3} bytes copied for each byte, {:.2} reads and writes a MB, {:.1} page faults a MB", now.bytes, now.calls, now.faults);
    println!("the kernel: {kernel}; with it {:.3} CPU seconds a GB", middle(&|r| r.cpu) * 1e9);
    if o.record {
        return record(&file, &now, (low, high), runs.len());
    }
    let mut dearer = found == Verdict::Above;
    match &before {
        None => println!("{:+.1} % beside {stick}; the limit is +{:.0} %", 100.0 * (now.ratio - 1.0), o.percent),
        Some(before) => {
            let change = |now: f64, before: f64| 100.0 * (now / before - 1.0);
            let (bytes, calls) = (change(now.bytes, before.bytes), change(now.calls, before.calls));
            let faults = change(now.faults, before.faults);
            let user = change(now.ratio, before.ratio);
            println!(
                "beside what is recorded: user time {user:+.1} %, bytes {bytes:+.1} %, reads and writes {calls:+.1} %, the limit is +{:.0} %; faults {faults:+.1} %, the limit is +{FAULTS:.0} %",
                o.percent
            );
            dearer |= bytes > o.percent || calls > o.percent || faults > FAULTS;
            if user < -10.0 {
                println!("it has become cheaper: renew what is recorded, so that this is guarded, too");
            }
        }
    }
    if found == Verdict::Undecided {
        println!("the user time scatters too much to be sure of either; no failure");
    }
    if let Some(there) = there.filter(|there| dearer && *there != processor()) {
        println!("this is another machine ({}; recorded on {there}): build the version before and compare with --against", processor());
    } else if dearer {
        println!("an event has become dearer: CONTRIBUTING.md, \"The guard of the hot path\"");
        std::process::exit(1);
    }
}
