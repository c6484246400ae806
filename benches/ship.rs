//! The whole way, measured from outside: files → durable queue → `_bulk` requests to a receiver that only counts.
//!
//! `cargo bench --bench ship` (`-- --lines 4000000 --size 200 --files 2 --runs 3 --set 'queue: {acks: written}'`) writes a corpus,
//! starts the agent on it with its defaults, which sync every byte, and prints for each run: wall seconds, events a
//! second, CPU seconds of the agent, events a CPU second, its peak resident memory, and how much of the corpus came from
//! the queue's files again, since the tail cache in memory had it no more. The receiver runs in this process, on the
//! same cores.

use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(300);

struct Options {
    lines: u64,
    size: usize,
    files: u64,
    runs: u32,
    set: String,
}

fn options() -> Options {
    let mut options = Options { lines: 1_000_000, size: 200, files: 2, runs: 3, set: String::new() };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| panic!("{arg} takes a value"));
        match arg.as_str() {
            "--lines" => options.lines = value().parse().expect("--lines N"),
            "--size" => options.size = value().parse().expect("--size BYTES"),
            "--files" => options.files = value().parse().expect("--files N"),
            "--runs" => options.runs = value().parse().expect("--runs N"),
            "--set" => options.set = value(),
            // What `cargo bench` adds.
            "--bench" => {}
            other => panic!("unknown option {other}: --lines, --size, --files, --runs, --set"),
        }
    }
    options
}

/// Lines as an app writes them: a time, a level, a thread, a class, a number, words.
fn corpus(dir: &Path, options: &Options) -> u64 {
    const WORDS: [&str; 12] =
        ["order", "paid", "cache", "miss", "retry", "upstream", "pool", "flushed", "segment", "session", "token", "renewed"];
    let mut bytes = 0;
    for file in 0..options.files {
        let mut out = BufWriter::with_capacity(1 << 20, fs::File::create(dir.join(format!("app-{file}.log"))).expect("a corpus file"));
        let mut line = String::new();
        for n in 0..options.lines / options.files {
            use std::fmt::Write;
            line.clear();
            let ms = n * 7;
            let _ = write!(
                line,
                "2026-03-09T{:02}:{:02}:{:02}.{:03}Z INFO  [worker-{}] com.example.orders.Service - seq={file}.{n:012}",
                ms / 3_600_000 % 24,
                ms / 60_000 % 60,
                ms / 1000 % 60,
                ms % 1000,
                n % 16
            );
            for i in 0.. {
                if line.len() >= options.size {
                    break;
                }
                line.push(' ');
                line.push_str(WORDS[((n * 31 + i * 17) % 12) as usize]);
            }
            line.truncate(options.size - 1);
            line.push('\n');
            out.write_all(line.as_bytes()).expect("room for the corpus");
            bytes += line.len() as u64;
        }
        out.flush().expect("room for the corpus");
    }
    bytes
}

#[derive(Default)]
struct Count {
    documents: AtomicU64,
    requests: AtomicU64,
    changed: (Mutex<()>, Condvar),
}

/// Answers `_bulk` as Elasticsearch does with the filter that the agent asks for, and only counts.
fn serve(stream: TcpStream, count: &Count) -> Option<()> {
    let mut reader = BufReader::with_capacity(64 << 10, stream.try_clone().ok()?);
    let mut writer = stream;
    let mut body = Vec::new();
    loop {
        let (mut length, mut line) = (0usize, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line == "\r\n" {
                break;
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body).ok()?;
        let documents = memchr::memchr_iter(b'\n', &body).count() as u64 / 2;
        let mut answer = String::from(r#"{"errors":false,"items":["#);
        for i in 0..documents {
            answer.push_str(if i == 0 { r#"{"create":{"status":201}}"# } else { r#",{"create":{"status":201}}"# });
        }
        answer.push_str("]}");
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", answer.len());
        writer.write_all(head.as_bytes()).ok()?;
        writer.write_all(answer.as_bytes()).ok()?;
        count.requests.fetch_add(1, Ordering::Relaxed);
        count.documents.fetch_add(documents, Ordering::Relaxed);
        drop(count.changed.0.lock());
        count.changed.1.notify_all();
    }
}

/// CPU seconds (user and system) and peak resident bytes of a process.
fn usage(pid: u32) -> (f64, u64) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|i| fields.get(*i)?.parse::<u64>().ok()).sum();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    (ticks as f64 / rustix::param::clock_ticks_per_second() as f64, peak.unwrap_or(0) * 1024)
}

/// Bytes that a process has read from files.
fn file_reads(pid: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    io.lines().find_map(|l| l.strip_prefix("rchar:")?.trim().parse().ok()).unwrap_or(0)
}

fn main() {
    let options = options();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bytes = corpus(dir.path(), &options);
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
        let count = Arc::new(Count::default());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = count.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let count = shared.clone();
                std::thread::spawn(move || serve(stream, &count));
            }
        });
        let state = tempfile::tempdir().expect("a temporary folder");
        let pipeline = state.path().join("pipeline.yaml");
        let text = format!(
            "data_dir: {state}/data\nadmin: off\n{set}\nsources:\n  app: {{type: file, include: [\"{corpus}/*.log\"]}}\nsinks:\n  search: {{type: elasticsearch, endpoints: [\"{url}\"], index: logs-app}}\n",
            state = state.path().display(),
            set = options.set,
            corpus = dir.path().display()
        );
        fs::write(&pipeline, text).expect("room for the pipeline");
        let begun = Instant::now();
        let mut agent =
            Command::new(env!("CARGO_BIN_EXE_forebay")).arg("run").arg(&pipeline).stderr(Stdio::null()).spawn().expect("the agent");
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
