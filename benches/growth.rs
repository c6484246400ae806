//! Whether an event costs the same when there is more of everything: files, partitions, sinks, backlog, bytes in a line; and on a
//! small machine.
//!
//! `cargo bench --bench growth` (`-- --help`) runs the real agent with its defaults, every byte synced, into a receiver in the
//! same process that only counts, and prints what each row costs beside the first row of its part. The rows of a part take
//! turns; each figure is the median of the runs, each ratio the median of the ratios within a round.

mod common;

use common::arguments::arguments;
use common::run::Agent;
use common::{Receiver, corpus, usage};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const HELP: &str = "\
cargo bench --bench growth -- [options]

  --lines N      lines of a run; of long lines as many as have the same bytes (default 1000000)
  --runs N       rounds of each part (default 3)
  --only LIST    parts: files,partitions,sinks,lines,backlog,small (default: all)
  --backlog MIB  the largest backlog (default 1024)
  --check        exit code 1 where a row costs over 10 % more than the first of its part, on a small machine over 25 %, or a
                 start takes a second
  --agent PATH   another agent
  --dir DIR      where corpus and queue go (default: a temporary folder in the system's)";

const PATIENCE: Duration = Duration::from_secs(300);
/// Bytes of a line where it is not what grows.
const LINE: usize = 200;
/// What an event's ID, its time and the names around them add to it in a body.
const AROUND: usize = 211;
/// Memory of the small machine.
const SMALL: u64 = 64 << 20;
const PARTS: [&str; 6] = ["files", "partitions", "sinks", "lines", "backlog", "small"];

struct Options {
    lines: u64,
    runs: usize,
    only: Vec<String>,
    backlog: u64,
    check: bool,
    agent: String,
    dir: Option<PathBuf>,
}

fn options() -> Options {
    let (only, agent) = (PARTS.map(String::from).into(), env!("CARGO_BIN_EXE_forebay").into());
    let mut o = Options { lines: 1_000_000, runs: 3, only, backlog: 1024, check: false, agent, dir: None };
    arguments(HELP, |name, value| {
        match name {
            "--lines" => o.lines = value().parse().expect("--lines N"),
            "--runs" => o.runs = value().parse().expect("--runs N"),
            "--only" => o.only = value().split(',').map(String::from).collect(),
            "--backlog" => o.backlog = value().parse().expect("--backlog MIB"),
            "--check" => o.check = true,
            "--agent" => o.agent = value(),
            "--dir" => o.dir = Some(value().into()),
            _ => return false,
        }
        true
    });
    assert!(o.only.iter().all(|p| PARTS.contains(&p.as_str())), "--only takes some of {}", PARTS.join(","));
    assert!(o.runs > 0 && o.lines >= 10_000 && o.backlog > 0, "--lines (10000 at least), --runs and --backlog must be sensible");
    o
}

/// What is run.
#[derive(Clone)]
struct Row {
    name: String,
    lines: u64,
    size: usize,
    files: u64,
    sinks: u64,
    /// More of the pipeline.
    set: String,
    /// All is in the queue before the receiver is there, and the agent is killed and started again.
    backlog: bool,
    /// On one core, in this much memory.
    small: Option<Machine>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Machine {
    OneCore,
    OneCoreInMemory,
}

impl Row {
    fn new(name: String, lines: u64) -> Row {
        Row { name, lines, size: LINE, files: 2, sinks: 1, set: String::new(), backlog: false, small: None }
    }

    /// What a unit is for what it costs: an event of a sink; of lines of other lengths a byte of what is sent.
    fn units(&self, part: &str) -> f64 {
        let events = (self.lines * self.sinks) as f64;
        if part == "lines" { events * (self.size + AROUND) as f64 } else { events }
    }
}

fn rows(o: &Options, part: &str) -> Vec<Row> {
    let row = |name: String| Row::new(name, o.lines);
    match part {
        "files" => [1, 10, 100, 1000].map(|n| Row { files: n, ..row(format!("{n} files")) }).into(),
        "partitions" => {
            let set = |n| format!("queue: {{partitions: {n}}}");
            [1, 4, 16].map(|n| Row { files: 32, set: set(n), ..row(format!("{n} partitions, 32 files")) }).into()
        }
        "sinks" => [1, 2, 4, 8].map(|n| Row { sinks: n, ..row(format!("{n} sinks, an event of each")) }).into(),
        "lines" => {
            let sized = |size: usize| {
                let lines = o.lines * (LINE + AROUND) as u64 / (size + AROUND) as u64;
                Row { size, lines: lines / 2 * 2, ..row(format!("lines of {size} bytes, a byte of the body")) }
            };
            [LINE, 100, 1024, 10_240].map(sized).into()
        }
        "backlog" => {
            let of = |mib: u64| {
                let lines = (mib << 20) / LINE as u64 / 2 * 2;
                Row { backlog: true, lines, ..row(format!("backlog of {mib} MiB")) }
            };
            let smaller = [64, 256].into_iter().filter(|n| *n < o.backlog).map(of);
            std::iter::once(row("fresh lines".into())).chain(smaller).chain([of(o.backlog)]).collect()
        }
        _ => {
            let machine = |small, name: &str| Row { small: Some(small), ..row(name.into()) };
            let cores = machine(Machine::OneCore, "one core");
            vec![row("two cores".into()), cores, machine(Machine::OneCoreInMemory, "one core, 64 MiB")]
        }
    }
}

/// A group of processes whose memory, the page cache of their files with it, has a bound.
struct Bounded(PathBuf);

impl Bounded {
    /// `None` where none can be made.
    fn new(bytes: u64) -> Option<Bounded> {
        let name = format!("forebay-growth-{}", std::process::id());
        [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")].into_iter().find_map(|(root, file)| {
            let group = Bounded(Path::new(root).join(&name));
            fs::create_dir(&group.0).ok()?;
            fs::write(group.0.join(file), bytes.to_string()).ok()?;
            Some(group)
        })
    }

    /// How often the kernel has killed for memory.
    fn kills(&self) -> u64 {
        let read = |file| fs::read_to_string(self.0.join(file)).ok();
        let text = read("memory.events").or_else(|| read("memory.oom_control")).unwrap_or_default();
        text.lines().find_map(|l| l.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Starts the agent; in `bounded` and on one core where that is asked for.
fn start(o: &Options, pipeline: &Path, row: &Row, bounded: Option<&Bounded>) -> Agent {
    let mut command = match row.small {
        None => Command::new(&o.agent),
        Some(_) => {
            let mut shell = Command::new("sh");
            let script = r#"[ -z "$1" ] || echo $$ >"$1/cgroup.procs"; exec taskset -c 0 "$0" "$2" "$3""#;
            let group = bounded.map(|b| b.0.clone()).unwrap_or_default();
            shell.args(["-c", script]).arg(&o.agent).arg(group);
            shell
        }
    };
    Agent(command.arg("run").arg(pipeline).stderr(Stdio::null()).spawn().expect("the agent"))
}

/// What a run took.
#[derive(Clone, Copy)]
struct Figures {
    cpu: f64,
    wall: f64,
    peak: u64,
    /// From the start until the first request had come.
    first: f64,
}

/// Bytes of all files below `dir`.
fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|e| e.metadata().ok().map(|m| if m.is_dir() { size(&e.path()) } else { m.len() }));
    sizes.sum()
}

fn run(o: &Options, row: &Row, logs: &Path, bytes: u64) -> Figures {
    let receiver = Receiver::start();
    let state = folder(o);
    let pipeline = state.path().join("pipeline.yaml");
    let sink = |n| format!("  search-{n}: {{type: elasticsearch, endpoints: [\"{}\"], index: logs-app}}\n", receiver.url());
    let text = format!(
        "data_dir: {state}/data\nadmin: off\n{set}\nsources:\n  app: {{type: file, include: [\"{logs}/*.log\"]}}\nsinks:\n{sinks}",
        state = state.path().display(),
        set = row.set,
        logs = logs.display(),
        sinks = (0..row.sinks).map(sink).collect::<String>(),
    );
    fs::write(&pipeline, text).expect("room for the pipeline");
    let bounded = (row.small == Some(Machine::OneCoreInMemory)).then(|| Bounded::new(SMALL).expect("asked before"));
    if row.backlog {
        receiver.set_up(false);
        let filling = start(o, &pipeline, row, None);
        let until = Instant::now() + PATIENCE;
        while size(&state.path().join("data/topics")) < bytes {
            assert!(Instant::now() < until, "the queue never held all of the corpus");
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(filling);
        receiver.set_up(true);
    }
    let (begun, wanted, count) = (Instant::now(), row.lines * row.sinks, &receiver.count);
    let mut agent = start(o, &pipeline, row, bounded.as_ref());
    let mut first = None;
    let mut guard = count.changed.0.lock().expect("not poisoned");
    while count.documents.load(Ordering::Relaxed) < wanted {
        assert!(begun.elapsed() < PATIENCE, "{} of {wanted} events came", count.documents.load(Ordering::Relaxed));
        let over = agent.0.try_wait().expect("it can be asked");
        let kills = bounded.as_ref().map_or(0, Bounded::kills);
        assert!(over.is_none(), "the agent ended ({}); killed for memory: {kills}", over.unwrap_or_default());
        guard = count.changed.1.wait_timeout(guard, Duration::from_millis(100)).expect("not poisoned").0;
        if count.documents.load(Ordering::Relaxed) > 0 {
            first.get_or_insert_with(|| begun.elapsed().as_secs_f64());
        }
    }
    drop(guard);
    let (wall, (cpu, peak)) = (begun.elapsed().as_secs_f64(), usage(agent.0.id()));
    drop(agent);
    Figures { cpu, wall, peak, first: first.unwrap_or(wall) }
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    common::median(values.into_iter().collect())
}

/// A folder of its own where the bench may write.
fn folder(o: &Options) -> tempfile::TempDir {
    o.dir.as_ref().map_or_else(tempfile::tempdir, tempfile::tempdir_in).expect("a temporary folder")
}

/// Prints a part; gives what misses its bar.
fn part(o: &Options, part: &str) -> Vec<String> {
    let mut rows = rows(o, part);
    if rows.iter().any(|r| r.small == Some(Machine::OneCoreInMemory)) && Bounded::new(SMALL).is_none() {
        println!("SKIPPED: {} (no memory cgroup may be made here)", rows.pop().map_or(String::new(), |r| r.name));
    }
    let mut figures: Vec<Vec<Figures>> = vec![Vec::new(); rows.len()];
    for _ in 0..o.runs {
        let mut made: Option<(tempfile::TempDir, (u64, usize, u64), u64)> = None;
        for (row, figures) in rows.iter_mut().zip(&mut figures) {
            row.lines = row.lines / row.files * row.files;
            let shape = (row.lines, row.size, row.files);
            if made.as_ref().is_none_or(|(_, made, _)| *made != shape) {
                drop(made.take());
                let dir = folder(o);
                let bytes = corpus(dir.path(), row.lines, row.size, row.files);
                made = Some((dir, shape, bytes));
            }
            if let Some((dir, _, bytes)) = &made {
                figures.push(run(o, row, dir.path(), *bytes));
            }
        }
    }
    let mut missed = Vec::new();
    let cost = |row: &Row, f: &Figures| f.cpu * 1e9 / row.units(part);
    for (row, of) in rows.iter().zip(&figures) {
        let ratio = median(of.iter().zip(&figures[0]).map(|(f, base)| cost(row, f) / cost(&rows[0], base)));
        let ns = median(of.iter().map(|f| f.cpu * 1e9 / (row.lines * row.sinks) as f64));
        let rate = median(of.iter().map(|f| (row.lines * row.sinks) as f64 / f.wall / 1e6));
        let peak = median(of.iter().map(|f| f.peak as f64 / (1 << 20) as f64));
        let first = median(of.iter().map(|f| f.first));
        println!("| {} | {ns:.0} | {ratio:.2} | {rate:.2} | {peak:.0} | {first:.2} |", row.name);
        if ratio > if part == "small" { 1.25 } else { 1.10 } {
            missed.push(format!("{}: {ratio:.2} times what {} cost", row.name, rows[0].name));
        }
        if row.backlog && first >= 1.0 {
            missed.push(format!("{}: the first request after {first:.2} s", row.name));
        }
    }
    missed
}

fn main() {
    let o = options();
    println!("{} lines of {LINE} bytes in 2 files, where nothing else is said; medians of {} rounds", o.lines, o.runs);
    println!("| | CPU ns an event | beside the first | M events/s | peak MiB | first request s |");
    println!("|---|---|---|---|---|---|");
    let missed: Vec<String> = o.only.iter().flat_map(|name| part(&o, name)).collect();
    if !missed.is_empty() {
        println!("\nnot flat:\n  {}", missed.join("\n  "));
        std::process::exit(i32::from(o.check));
    }
}
