//! What the benches share: a receiver that only counts, and what a process has used.

// Each bench uses a part of it.
#![allow(dead_code)]

mod relay;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

/// An Elasticsearch on loopback that answers `_bulk`, counts, and keeps nothing.
pub struct Receiver {
    pub count: Arc<Count>,
    up: Arc<AtomicBool>,
    address: std::net::SocketAddr,
}

impl Receiver {
    pub fn start() -> Receiver {
        Self::before(None)
    }

    /// The same with threads that do this first.
    pub fn start_with(first: fn()) -> Receiver {
        Self::with(None, first)
    }

    /// The same in front of a real server (`host:port`), which is asked.
    pub fn before(server: Option<String>) -> Receiver {
        Self::with(server, || ())
    }

    fn with(server: Option<String>, first: fn()) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (count, up) = (Arc::new(Count::default()), Arc::new(AtomicBool::new(true)));
        let (shared, open) = (count.clone(), up.clone());
        std::thread::spawn(move || {
            first();
            for stream in listener.incoming().flatten() {
                let (count, up) = (shared.clone(), open.clone());
                let server = server.clone();
                std::thread::spawn(move || {
                    first();
                    match &server {
                        _ if !up.load(Ordering::Relaxed) => None,
                        Some(server) => relay::pass(stream, server, &count, &up).ok(),
                        None => serve(stream, &count, &up),
                    }
                });
            }
        });
        Receiver { count, up, address }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Down, it closes each connection without an answer.
    pub fn set_up(&self, up: bool) {
        self.up.store(up, Ordering::Relaxed);
    }
}

/// Writes `lines` lines of `size` bytes to `files` files: lines as an app writes them, with a time, a level, a thread, a class,
/// a number, words. Gives their bytes.
pub fn corpus(dir: &Path, lines: u64, size: usize, files: u64) -> u64 {
    const WORDS: [&str; 12] =
        ["order", "paid", "cache", "miss", "retry", "upstream", "pool", "flushed", "segment", "session", "token", "renewed"];
    let mut bytes = 0;
    for file in 0..files {
        let mut out = BufWriter::with_capacity(1 << 20, fs::File::create(dir.join(format!("app-{file}.log"))).expect("a corpus file"));
        let mut line = String::new();
        for n in 0..lines / files {
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
                if line.len() >= size {
                    break;
                }
                line.push(' ');
                line.push_str(WORDS[((n * 31 + i * 17) % 12) as usize]);
            }
            line.truncate(size - 1);
            line.push('\n');
            out.write_all(line.as_bytes()).expect("room for the corpus");
            bytes += line.len() as u64;
        }
        out.flush().expect("room for the corpus");
    }
    bytes
}

/// Resident bytes of a process now.
pub fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// What the receiver has taken.
#[derive(Default)]
pub struct Count {
    pub documents: AtomicU64,
    pub requests: AtomicU64,
    /// Requests that a real server answered with 429, as a whole or for some of their events.
    pub busy: AtomicU64,
    pub changed: (Mutex<()>, Condvar),
}

/// Answers `_bulk` as Elasticsearch does with the filter that the agent asks for, and only counts.
fn serve(stream: TcpStream, count: &Count, up: &AtomicBool) -> Option<()> {
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
        if !up.load(Ordering::Relaxed) {
            return None;
        }
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

/// CPU seconds (user and system), and peak resident bytes of a process.
pub fn usage(pid: u32) -> (f64, u64) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|i| fields.get(*i)?.parse::<u64>().ok()).sum();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    (ticks as f64 / rustix::param::clock_ticks_per_second() as f64, peak.unwrap_or(0) * 1024)
}

/// Bytes that a process has read from files.
pub fn file_reads(pid: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    io.lines().find_map(|l| l.strip_prefix("rchar:")?.trim().parse().ok()).unwrap_or(0)
}

/// CPU seconds (user and system) of each of a process's threads, by name.
pub fn threads(pid: u32) -> BTreeMap<String, f64> {
    let mut by_name = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        // Finer than the ticks of `stat`: nanoseconds on a processor.
        let ran = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let ns = ran.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        *by_name.entry(name.trim().to_string()).or_insert(0.0) += ns as f64 / 1e9;
    }
    by_name
}
