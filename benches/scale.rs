//! Many files, and few: what following them costs, and how fast a line is safe, measured from outside on the real binary.
//!
//! `cargo bench --bench scale` prints one table with the bars beside the figures; `-- --check` fails when one is missed, and
//! `-- --help` lists the options. Nothing is shipped: the figures are those of the way into the queue. What is durable is
//! what the agent says of its queue (`durable_offset` in `/status`), asked about every other millisecond.

mod common;

use common::{resident, usage};
use forebay::queue::{Start, View};
use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const HELP: &str = "\
cargo bench --bench scale -- [options]

  --files N          files that are followed (default 100000)
  --lines N          lines that each holds at the first start (default 10)
  --active N         how many of them grow by a line a second (default 1000)
  --seconds N        how long each rest is measured (default 30)
  --rate N           MB/s that the noisy file is to grow by (default 500)
  --noisy-seconds N  for so long (default 10)
  --low-seconds N    how long latency is measured at 10 lines a second (default 30)
  --only LIST        of many,noisy,low (default: all)
  --check            exit code 1 when a bar is missed
  --agent PATH       another binary than the one just built
  --dir DIR          where the files go (default: a temporary folder in the system's)
  --keep             leave the files where they are";

const PATIENCE: Duration = Duration::from_secs(120);
/// Between two questions for what is durable.
const ASK: Duration = Duration::from_millis(2);
const MIB: f64 = (1u64 << 20) as f64;

struct Options {
    files: usize,
    lines: usize,
    active: usize,
    seconds: u64,
    rate: u64,
    noisy_seconds: u64,
    low_seconds: u64,
    only: Vec<String>,
    check: bool,
    agent: PathBuf,
    dir: Option<PathBuf>,
    keep: bool,
}

fn options() -> Options {
    let agent = PathBuf::from(env!("CARGO_BIN_EXE_forebay"));
    let (only, dir) = (Vec::new(), None);
    let mut o = Options {
        files: 100_000,
        lines: 10,
        active: 1000,
        seconds: 30,
        rate: 500,
        noisy_seconds: 10,
        low_seconds: 30,
        only,
        check: false,
        agent,
        dir,
        keep: false,
    };
    if !std::env::args().any(|a| a == "--bench") {
        // Run as a test: that it works is all that is wanted.
        o = Options { files: 300, active: 20, seconds: 1, rate: 20, noisy_seconds: 1, low_seconds: 1, ..o };
    }
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| panic!("{arg} takes a value"));
        let number = |text: String| text.parse::<u64>().unwrap_or_else(|_| panic!("{text} is no number"));
        match arg.as_str() {
            "--files" => o.files = number(value()) as usize,
            "--lines" => o.lines = number(value()) as usize,
            "--active" => o.active = number(value()) as usize,
            "--seconds" => o.seconds = number(value()),
            "--rate" => o.rate = number(value()),
            "--noisy-seconds" => o.noisy_seconds = number(value()),
            "--low-seconds" => o.low_seconds = number(value()),
            "--only" => o.only = value().split(',').map(str::to_string).collect(),
            "--check" => o.check = true,
            "--agent" => o.agent = value().into(),
            "--dir" => o.dir = Some(value().into()),
            "--keep" => o.keep = true,
            "--help" => {
                println!("{HELP}");
                std::process::exit(0);
            }
            // What `cargo bench` and `cargo test` add.
            "--bench" | "--test" | "--nocapture" => {}
            other => panic!("unknown option {other}; --help lists them"),
        }
    }
    assert!(o.active <= o.files && o.lines > 0 && o.rate > 0, "--active, --lines and --rate must be sensible");
    o
}

/// The table, a row at a time.
#[derive(Default)]
struct Table {
    missed: usize,
}

impl Table {
    fn head() {
        println!("| what | figure | bar | |");
        println!("|---|---|---|---|");
    }

    /// A figure, which is to be below its bar where it has one.
    fn row(&mut self, what: &str, figure: f64, unit: &str, bar: Option<f64>) {
        let verdict = bar.map_or("", |bar| if figure < bar { "met" } else { "**missed**" });
        self.missed += usize::from(verdict == "**missed**");
        let shown = |f: f64| if f >= 100.0 || f == f.trunc() { format!("{f:.0}") } else { format!("{f:.2}") };
        let bar = bar.map_or(String::new(), |bar| format!("< {} {unit}", shown(bar)));
        println!("| {what} | {} {unit} | {bar} | {verdict} |", shown(figure));
    }
}

/// A running agent on a pipeline of its own.
struct Agent {
    child: Child,
    admin: SocketAddr,
    begun: Instant,
}

impl Agent {
    /// Starts one that follows `glob`; nobody reads what it queues.
    fn start(binary: &Path, dir: &Path, glob: &str) -> Agent {
        let admin = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
        let text = format!(
            "data_dir: {dir}/data\nadmin: {{listen: \"{admin}\"}}\nqueue: {{retention: {{bytes: 10GiB}}}}\n\
             sources:\n  app: {{type: file, include: [\"{glob}\"]}}\n  none: {{type: file, include: [\"{dir}/none/*.log\"], topic: none}}\n\
             sinks:\n  search: {{type: elasticsearch, endpoints: [\"http://127.0.0.1:9\"], index: none, topics: [none]}}\n",
            dir = dir.display(),
        );
        let pipeline = dir.join("pipeline.yaml");
        fs::write(&pipeline, text).expect("room for the pipeline");
        let log = OpenOptions::new().create(true).append(true).open(dir.join("agent.log")).expect("room for the agent's log");
        let begun = Instant::now();
        let child = Command::new(binary).arg("run").arg(&pipeline).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        Agent { child: child.expect("the agent"), admin, begun }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `done`; gives the seconds since the start.
    fn until(&self, what: &str, mut done: impl FnMut(&Value) -> bool) -> f64 {
        let mut asker = Asker::new(self.admin);
        loop {
            match asker.as_mut().map_err(|_| ()).and_then(|a| a.ask().map_err(|_| ())) {
                Ok(status) if done(&status) => return self.begun.elapsed().as_secs_f64(),
                Ok(_) => {}
                Err(()) => asker = Asker::new(self.admin),
            }
            assert!(self.begun.elapsed() < PATIENCE, "{what}: not within {} s", PATIENCE.as_secs());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops it as systemd does; gives the seconds that takes.
    fn stop(mut self) -> f64 {
        let begun = Instant::now();
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
        begun.elapsed().as_secs_f64()
    }

    fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks for `/status` on one connection. Loosely read, so that agents of other versions can be measured, too.
struct Asker {
    admin: SocketAddr,
    reader: BufReader<TcpStream>,
}

impl Asker {
    fn new(admin: SocketAddr) -> io::Result<Asker> {
        let stream = TcpStream::connect(admin)?;
        stream.set_nodelay(true)?;
        Ok(Asker { admin, reader: BufReader::new(stream) })
    }

    fn ask(&mut self) -> io::Result<Value> {
        self.reader.get_ref().write_all(format!("GET /status HTTP/1.1\r\nHost: {}\r\n\r\n", self.admin).as_bytes())?;
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        Ok(serde_json::from_slice(&body)?)
    }
}

/// Events of the topic that are durable.
fn durable(status: &Value) -> u64 {
    let partitions = status["queue"]["partitions"].as_array().into_iter().flatten();
    partitions.filter(|p| p["topic"] == "logs").filter_map(|p| p["durable_offset"].as_u64()).sum()
}

fn files(status: &Value) -> u64 {
    status["sources"]["app"]["files"].as_u64().unwrap_or(0)
}

fn cpu(pid: u32) -> f64 {
    usage(pid).0
}

/// The most memory that a process had until now, MiB.
fn peak(pid: u32) -> f64 {
    usage(pid).1 as f64 / MIB
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |d| d.count())
}

/// The share of a core, in percent, that a process takes for so long; and the most descriptors that it had open.
fn load(pid: u32, time: Duration) -> (f64, usize) {
    let (before, begun, mut open) = (cpu(pid), Instant::now(), 0);
    while begun.elapsed() < time {
        open = open.max(descriptors(pid));
        std::thread::sleep(Duration::from_millis(500).min(time));
    }
    ((cpu(pid) - before) / begun.elapsed().as_secs_f64() * 100.0, open)
}

fn line(file: usize, n: usize) -> String {
    format!(
        "2026-03-09T10:11:{:02}.{:03}Z INFO [main] com.example.Service - file={file} n={n} order paid, cache flushed\n",
        n % 60,
        n % 1000
    )
}

/// `--files` files in directories of a thousand.
fn write_files(dir: &Path, o: &Options) -> Vec<PathBuf> {
    let path = |i: usize| dir.join(format!("d{:03}", i / 1000)).join(format!("app-{i:06}.log"));
    let paths: Vec<PathBuf> = (0..o.files).map(path).collect();
    for (i, path) in paths.iter().enumerate() {
        if i % 1000 == 0 {
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        }
        let text: String = (0..o.lines).map(|n| line(i, n)).collect();
        fs::write(path, text).expect("room for the files");
    }
    // What the kernel has yet to write would be in the way of the agent's syncs.
    rustix::fs::syncfs(File::open(dir).expect("the folder")).expect("a sync");
    paths
}

/// Has each of `paths` grow by a line a second, evenly spread, until `stop`; gives the lines.
fn grow(paths: &[PathBuf], stop: &AtomicBool) -> usize {
    let mut files: Vec<File> = paths.iter().map(|p| OpenOptions::new().append(true).open(p).expect("a file")).collect();
    let (begun, mut n) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let due = (begun.elapsed().as_secs_f64() * files.len() as f64) as usize;
        for i in n..due {
            let file = i % files.len();
            files[file].write_all(line(file, i).as_bytes()).expect("room for a line");
        }
        n = due.max(n);
        std::thread::sleep(Duration::from_millis(2));
    }
    n
}

/// Start, rest, restart and audit with many files.
fn many(o: &Options, dir: &Path, table: &mut Table) {
    let paths = write_files(&dir.join("logs"), o);
    let glob = format!("{}/logs/*/*.log", dir.display());
    let (all, mut lines) = (o.files as u64, (o.files * o.lines) as u64);
    let start = || Agent::start(&o.agent, dir, &glob);
    let n = o.files;

    let agent = start();
    let followed = agent.until("to follow every file", |s| files(s) >= all);
    let queued = agent.until("to queue what they hold", |s| durable(s) >= lines);
    table.row(&format!("first start until all of {n} files are followed"), followed, "s", Some(5.0));
    table.row(&format!("first start until their {lines} lines are durable in the queue"), queued, "s", Some(5.0));
    table.row("first start: CPU until then", cpu(agent.pid()), "s", None);
    table.row("first start: peak memory (RSS)", peak(agent.pid()), "MiB", Some(100.0));

    // The first seconds are those in which it tells what it found.
    std::thread::sleep(Duration::from_secs(o.seconds.min(6)));
    let (share, fds) = load(agent.pid(), Duration::from_secs(o.seconds));
    table.row("CPU while no file grows", share, "% of a core", Some(1.0));
    table.row("descriptors open then", fds as f64, "", Some(2048.0));
    table.row("memory (RSS) then", resident(agent.pid()) as f64 / MIB, "MiB", Some(100.0));

    let active: Vec<PathBuf> = paths.iter().step_by(n / o.active.max(1)).take(o.active).cloned().collect();
    let stop = AtomicBool::new(false);
    let (share, fds, written) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| grow(&active, &stop));
        std::thread::sleep(Duration::from_secs(o.seconds.min(3)));
        let (share, fds) = load(agent.pid(), Duration::from_secs(o.seconds));
        stop.store(true, Ordering::Relaxed);
        (share, fds, writer.join().expect("the writer"))
    });
    lines += written as u64;
    let last = Instant::now();
    agent.until("to queue what the active ones hold", |s| durable(s) >= lines);
    // The bar of 1 % is that of rest. Here each line costs a hint, a look and a read of its own, and forty syncs a second keep
    // the delay below 50 ms.
    table.row(&format!("CPU while {} files grow by a line a second", active.len()), share, "% of a core", None);
    table.row("descriptors open then", fds as f64, "", Some(2048.0));
    table.row("the last of these lines is durable after", last.elapsed().as_secs_f64(), "s", Some(1.0));
    table.row("peak memory (RSS) so far", peak(agent.pid()), "MiB", Some(100.0));

    audit(o, dir, &agent, table);
    table.row("stop by SIGTERM", agent.stop(), "s", Some(5.0));

    for how in ["a stop", "kill -9"] {
        for path in &active {
            OpenOptions::new().append(true).open(path).and_then(|mut f| f.write_all(line(0, 0).as_bytes())).expect("room for a line");
        }
        lines += active.len() as u64;
        let agent = start();
        let followed = agent.until("to follow every file again", |s| files(s) >= all);
        let queued = agent.until("to queue what came meanwhile", |s| durable(s) >= lines);
        table.row(&format!("start after {how} until all are followed"), followed, "s", Some(5.0));
        table.row(&format!("start after {how} until {} new lines are durable", active.len()), queued, "s", Some(5.0));
        table.row(&format!("start after {how}: CPU until then"), cpu(agent.pid()), "s", None);
        table.row(&format!("start after {how}: peak memory (RSS)"), peak(agent.pid()), "MiB", Some(100.0));
        agent.kill();
    }
    let view = View::open(&dir.join("data")).expect("the queue");
    let mut events = 0;
    for mut reader in view.readers("logs", None, Start::Earliest).expect("readers") {
        while let Some(part) = reader.read().expect("a readable queue") {
            events += u64::from(part.count);
        }
    }
    assert_eq!(events, lines, "each line must be in the queue once");
}

/// `forebay audit` beside the running agent, and without it.
fn audit(o: &Options, dir: &Path, agent: &Agent, table: &mut Table) {
    let (before, begun) = (cpu(agent.pid()), Instant::now());
    let mut command = Command::new(&o.agent);
    command.arg("audit").arg("--data-dir").arg(dir.join("data")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the audit");
    let mut most = 0.0f64;
    let code = loop {
        most = most.max(peak(child.id()));
        if let Some(status) = child.try_wait().expect("the audit") {
            break status.code();
        }
        std::thread::sleep(ASK);
    };
    let wall = begun.elapsed().as_secs_f64();
    // No sink reads the topic, so all is under way.
    assert!(matches!(code, Some(0 | 3..=9)), "the audit failed: {code:?}");
    table.row(&format!("`forebay audit` of {} files", o.files), wall, "s", None);
    table.row("the agent's CPU for it", cpu(agent.pid()) - before, "s", None);
    table.row("peak memory (RSS) of the command", most, "MiB", None);
    table.row("the agent's peak memory (RSS) by then", peak(agent.pid()), "MiB", Some(120.0));
}

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

/// One line every `pause` into each of `paths`, until `stop`; when each was written.
fn tick(paths: &[PathBuf], pause: Duration, stop: &AtomicBool) -> Vec<Instant> {
    let mut files: Vec<File> = paths.iter().map(|p| File::create(p).expect("a file")).collect();
    let (begun, mut written) = (Instant::now(), Vec::new());
    for round in 0.. {
        std::thread::sleep((begun + pause * round).saturating_duration_since(Instant::now()));
        if stop.load(Ordering::Relaxed) {
            break;
        }
        for file in &mut files {
            let text = format!("quiet {} a line that somebody waits for\n", written.len());
            written.push(Instant::now());
            file.write_all(text.as_bytes()).expect("room for a line");
        }
    }
    written
}

/// Writes `rate` MB/s into a file for so long, or as much as the machine takes; gives bytes and lines.
fn roar(path: &Path, rate: u64, time: Duration) -> (u64, u64) {
    let mut block = Vec::new();
    while block.len() < 1 << 20 {
        block.extend_from_slice(format!("{} {}\n", line(0, block.len()).trim_end(), "x".repeat(90)).as_bytes());
    }
    let per_block = memchr::memchr_iter(b'\n', &block).count() as u64;
    let mut file = File::create(path).expect("the noisy file");
    let (begun, mut blocks) = (Instant::now(), 0u64);
    while begun.elapsed() < time {
        let due = Duration::from_secs_f64(blocks as f64 * block.len() as f64 / (rate as f64 * 1e6));
        std::thread::sleep((begun + due).saturating_duration_since(Instant::now()));
        file.write_all(&block).expect("room for the noisy file");
        blocks += 1;
    }
    (blocks * block.len() as u64, blocks * per_block)
}

/// Ten quiet files beside a noisy one.
fn noisy(o: &Options, dir: &Path, table: &mut Table) {
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
fn low(o: &Options, dir: &Path, table: &mut Table) {
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

fn main() {
    let o = options();
    let base = o.dir.clone().unwrap_or_else(std::env::temp_dir);
    fs::create_dir_all(&base).expect("the folder of --dir");
    let dir = tempfile::Builder::new().prefix("forebay-scale-").disable_cleanup(o.keep).tempdir_in(&base).expect("a temporary folder");
    let mut table = Table::default();
    Table::head();
    for (name, part) in [("low", low as fn(&Options, &Path, &mut Table)), ("noisy", noisy), ("many", many)] {
        if o.only.is_empty() || o.only.iter().any(|only| only == name) {
            let dir = dir.path().join(name);
            fs::create_dir_all(&dir).expect("a folder");
            part(&o, &dir, &mut table);
            if !o.keep {
                let _ = fs::remove_dir_all(&dir);
            }
        }
    }
    if o.check && table.missed > 0 {
        eprintln!("{} bars are missed", table.missed);
        std::process::exit(1);
    }
}
