//! Where the processor's time goes on the way of a line, beside what the machine needs for the same work.
//!
//! `cargo bench --bench budget` (`-- --help`) runs the real agent with its defaults on a corpus, into a receiver that only counts,
//! and prints for each of the agent's threads its CPU seconds a GB of raw events, beside those of bare loops that do nothing but
//! the same work on the same bytes: read, find the newlines, sum, write, sync, copy, send, receive. The loops and the agent run in
//! turns; each figure is the median of the runs. `docs/performance.md` explains the table.

mod common;

use common::{Receiver, corpus, threads, usage};
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const HELP: &str = "\
cargo bench --bench budget -- [options]

  --lines N     lines of the corpus (default 2000000)
  --size N      bytes of a line (default 200)
  --runs N      runs of the agent and of each loop (default 3)
  --set YAML    more of the pipeline, such as 'queue: {acks: written}'
  --agent PATH  another agent
  --dir DIR     where corpus and queue go (default: a temporary folder in the system's)";

const PATIENCE: Duration = Duration::from_secs(300);
/// Bytes of a read and of a write of the agent.
const READ: usize = 256 << 10;
const WRITE: usize = 1 << 20;
/// Bytes that a sync makes durable at once.
const SYNC: u64 = 4 << 20;
/// What an event's ID, its time and the names around them add to it in a body, and what an answer has for it.
const AROUND: usize = 211;
const ANSWER: usize = 26;
/// Bytes of a body, and of the memory that bodies go through.
const BODY: usize = 1 << 20;
const BODIES: usize = 12;

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
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| panic!("{arg} takes a value"));
        match arg.as_str() {
            "--lines" => o.lines = value().parse().expect("--lines N"),
            "--size" => o.size = value().parse().expect("--size BYTES"),
            "--runs" => o.runs = value().parse().expect("--runs N"),
            "--set" => o.set = value(),
            "--agent" => o.agent = value(),
            "--dir" => o.dir = Some(value().into()),
            "--help" => {
                println!("{HELP}");
                std::process::exit(0);
            }
            // What `cargo bench` adds.
            "--bench" => {}
            other => panic!("unknown option {other}; --help lists them"),
        }
    }
    assert!(o.runs > 0 && o.size > 100 && o.lines >= 2, "--runs, --size (over 100) and --lines must be sensible");
    o
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// CPU seconds of this thread that `work` takes.
fn cost(work: impl FnOnce()) -> f64 {
    let cpu = || {
        let t = clock_gettime(ClockId::ThreadCPUTime);
        t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
    };
    let begun = cpu();
    work();
    cpu() - begun
}

/// One run of the agent: CPU seconds by thread, of the whole process, wall seconds, and peak memory.
struct Run {
    threads: BTreeMap<String, f64>,
    cpu: f64,
    wall: f64,
    peak: u64,
}

fn agent(o: &Options, dir: &Path, corpus: &Path) -> Run {
    let receiver = Receiver::start();
    let (url, count) = (receiver.url(), receiver.count.clone());
    let state = tempfile::tempdir_in(dir).expect("a temporary folder");
    let pipeline = state.path().join("pipeline.yaml");
    let text = format!(
        "data_dir: {state}/data\nadmin: off\n{set}\nsources:\n  app: {{type: file, include: [\"{corpus}/*.log\"]}}\nsinks:\n  search: {{type: elasticsearch, endpoints: [\"{url}\"], index: logs-app}}\n",
        state = state.path().display(),
        set = o.set,
        corpus = corpus.display()
    );
    fs::write(&pipeline, text).expect("room for the pipeline");
    let begun = Instant::now();
    let mut agent = Command::new(&o.agent).arg("run").arg(&pipeline).stderr(Stdio::null()).spawn().expect("the agent");
    let mut guard = count.changed.0.lock().expect("not poisoned");
    while count.documents.load(Ordering::Relaxed) < o.lines && begun.elapsed() < PATIENCE {
        guard = count.changed.1.wait_timeout(guard, Duration::from_millis(100)).expect("not poisoned").0;
    }
    drop(guard);
    let wall = begun.elapsed().as_secs_f64();
    let (threads, (cpu, peak)) = (threads(agent.id()), usage(agent.id()));
    let _ = agent.kill();
    let _ = agent.wait();
    let got = count.documents.load(Ordering::Relaxed);
    assert!(got >= o.lines, "only {got} of {} lines came in {} s", o.lines, PATIENCE.as_secs());
    Run { threads, cpu, wall, peak }
}

/// The bare loops: what, and CPU seconds.
fn machine(o: &Options, dir: &Path, corpus: &Path) -> Vec<(&'static str, f64)> {
    let files: Vec<File> = (0..2).map(|n| File::open(corpus.join(format!("app-{n}.log"))).expect("the corpus")).collect();
    let bytes: u64 = files.iter().map(|f| f.metadata().expect("the corpus").len()).sum();
    let mut block = vec![0; READ];
    let mut each = |work: &mut dyn FnMut(&[u8])| {
        for file in &files {
            let mut at = 0;
            loop {
                let n = file.read_at(&mut block, at).expect("the corpus");
                if n == 0 {
                    break;
                }
                work(&block[..n]);
                at += n as u64;
            }
        }
    };
    let read = cost(|| each(&mut |_| ()));
    let split = cost(|| {
        each(&mut |b| {
            black_box(memchr::memchr_iter(b'\n', b).fold(0, |a, n| a ^ n));
        })
    }) - read;
    let look = cost(|| {
        each(&mut |b| {
            black_box((b.is_ascii(), memchr::memchr3(b'"', b'\\', 1, b)));
        })
    }) - read;
    let sum = cost(|| {
        each(&mut |b| {
            black_box(crc32c::crc32c(b));
        })
    }) - read;
    let sums = cost(|| {
        each(&mut |b| {
            for event in b.chunks(o.size) {
                black_box(crc32c::crc32c(event));
            }
        })
    }) - read;
    let source = vec![7u8; WRITE];
    let path = dir.join("budget.bin");
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).expect("a file");
    let (mut write, mut sync, mut at) = (0.0, 0.0, 0);
    while at < bytes {
        write += cost(|| file.write_all_at(&source, at).expect("room"));
        at += WRITE as u64;
        if at % SYNC == 0 {
            sync += cost(|| file.sync_data().expect("a sync"));
        }
    }
    drop(file);
    fs::remove_file(&path).expect("the file goes");
    let events = bytes as usize / o.size;
    let mut bodies = vec![vec![1u8; BODY]; BODIES];
    let each_body = BODY / (o.size + AROUND);
    let encode = cost(|| {
        let mut left = events;
        for turn in 0.. {
            let body = &mut bodies[turn % BODIES];
            let mut to = 0;
            for event in source.chunks_exact(o.size).take(each_body.min(left)) {
                body[to..to + o.size].copy_from_slice(black_box(event));
                to += o.size;
                body[to..to + AROUND].copy_from_slice(black_box(&source[..AROUND]));
                to += AROUND;
            }
            left = left.saturating_sub(each_body);
            if left == 0 {
                break;
            }
        }
    });
    let (send, receive) = loopback(&bodies, events * (o.size + AROUND), events * ANSWER);
    vec![
        ("read", read),
        ("split", split),
        ("look", look),
        ("sum", sum),
        ("write", write),
        ("sync", sync),
        ("sums", sums),
        ("encode", encode),
        ("send", send),
        ("receive", receive),
    ]
}

/// CPU seconds of sending `out` bytes over loopback, and of receiving and comparing `back` bytes.
fn loopback(bodies: &[Vec<u8>], out: usize, back: usize) -> (f64, f64) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut buffer = vec![0; BODY];
        let mut left = out;
        while left > 0 {
            left -= stream.read(&mut buffer).expect("bytes").min(left);
        }
        let mut left = back;
        while left > 0 {
            let n = left.min(READ);
            stream.write_all(&buffer[..n]).expect("a receiver");
            left -= n;
        }
    });
    let mut stream = TcpStream::connect(address).expect("a connection");
    let send = cost(|| {
        let (mut left, mut turn) = (out, 0);
        while left > 0 {
            let n = left.min(BODY);
            stream.write_all(&bodies[turn % BODIES][..n]).expect("a receiver");
            (left, turn) = (left - n, turn + 1);
        }
    });
    let mut buffer = vec![0; READ];
    let receive = cost(|| {
        let mut left = back;
        while left > 0 {
            let n = stream.read(&mut buffer).expect("bytes");
            black_box(buffer[..n - 1] == buffer[1..n]);
            left -= n.min(left);
        }
    });
    other.join().expect("the other side");
    (send, receive)
}

fn main() {
    let o = options();
    let dir = o.dir.as_ref().map_or_else(tempfile::tempdir, tempfile::tempdir_in).expect("a temporary folder");
    let logs = dir.path().join("logs");
    fs::create_dir(&logs).expect("a folder");
    let bytes = corpus(&logs, o.lines, o.size, 2);
    let o = Options { lines: o.lines / 2 * 2, ..o };
    let gb = bytes as f64 / 1e9;
    let (mut runs, mut loops): (Vec<Run>, BTreeMap<&str, Vec<f64>>) = (Vec::new(), BTreeMap::new());
    for _ in 0..o.runs {
        runs.push(agent(&o, dir.path(), &logs));
        machine(&o, dir.path(), &logs).into_iter().for_each(|(what, cpu)| loops.entry(what).or_default().push(cpu));
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
