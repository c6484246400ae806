//! What the benches share: a receiver that only counts, and what a process has used.

// Each bench uses a part of it.
#![allow(dead_code)]

pub mod arguments;
pub mod loops;
mod relay;
pub mod run;
pub mod secured;
pub mod shapes;
pub mod verdict;

use flate2::read::GzDecoder;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// An Elasticsearch on loopback that answers `_bulk`, counts, and keeps nothing.
pub struct Receiver {
    pub count: Arc<Count>,
    up: Arc<AtomicBool>,
    address: std::net::SocketAddr,
    scheme: &'static str,
}

impl Receiver {
    pub fn start() -> Receiver {
        Self::before(None)
    }

    /// One that speaks TLS.
    pub fn secured(tls: Arc<ServerConfig>) -> Receiver {
        Self::with(None, Some(tls), || ())
    }

    /// The same with threads that do this first.
    pub fn start_with(first: fn()) -> Receiver {
        Self::with(None, None, first)
    }

    /// The same in front of a real server (`host:port`), which is asked.
    pub fn before(server: Option<String>) -> Receiver {
        Self::with(server, None, || ())
    }

    fn with(server: Option<String>, tls: Option<Arc<ServerConfig>>, first: fn()) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (count, up) = (Arc::new(Count::default()), Arc::new(AtomicBool::new(true)));
        let (shared, open) = (count.clone(), up.clone());
        std::thread::spawn(move || {
            first();
            for stream in listener.incoming().flatten() {
                let (count, up) = (shared.clone(), open.clone());
                let (server, tls) = (server.clone(), tls.clone());
                std::thread::spawn(move || {
                    first();
                    match (&server, tls) {
                        _ if !up.load(Ordering::Relaxed) => None,
                        (Some(server), _) => relay::pass(stream, server, &count, &up).ok(),
                        (None, Some(tls)) => serve(StreamOwned::new(ServerConnection::new(tls).ok()?, stream), &count, &up),
                        (None, None) => serve(stream, &count, &up),
                    }
                });
            }
        });
        Receiver { count, up, address, scheme }
    }

    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Waits until it has so many documents; false after `patience`.
    pub fn await_documents(&self, documents: u64, patience: Duration) -> bool {
        let (count, until) = (&self.count, Instant::now() + patience);
        let mut guard = count.changed.0.lock().expect("not poisoned");
        while count.documents.load(Ordering::Relaxed) < documents && Instant::now() < until {
            guard = count.changed.1.wait_timeout(guard, Duration::from_millis(100)).expect("not poisoned").0;
        }
        count.documents.load(Ordering::Relaxed) >= documents
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

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Resident bytes of a process now.
pub fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

type Look = Box<dyn Fn(&[u8]) + Send + Sync>;

/// What the receiver has taken.
#[derive(Default)]
pub struct Count {
    pub documents: AtomicU64,
    pub requests: AtomicU64,
    /// Requests that a real server answered with 429, as a whole or for some of their events.
    pub busy: AtomicU64,
    /// Bytes of the bodies as they came, compressed or not.
    pub bytes: AtomicU64,
    /// The first body, unpacked.
    pub first: Mutex<Vec<u8>>,
    pub changed: (Mutex<()>, Condvar),
    each: OnceLock<Look>,
}

impl Count {
    /// Has each body looked at as soon as all of it is there; once.
    pub fn each(&self, look: impl Fn(&[u8]) + Send + Sync + 'static) {
        assert!(self.each.set(Box::new(look)).is_ok(), "there is one already");
    }
}

/// Answers `_bulk` as Elasticsearch does with the filter that the agent asks for, and only counts.
fn serve(stream: impl Read + Write, count: &Count, up: &AtomicBool) -> Option<()> {
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    let (mut body, mut unpacked) = (Vec::new(), Vec::new());
    loop {
        let (mut length, mut packed, mut line) = (0usize, false, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            packed |= lower.trim_end() == "content-encoding: gzip";
            if line == "\r\n" {
                break;
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body).ok()?;
        if !up.load(Ordering::Relaxed) {
            return None;
        }
        let bulk = if packed {
            unpacked.clear();
            GzDecoder::new(&body[..]).read_to_end(&mut unpacked).ok()?;
            &unpacked
        } else {
            &body
        };
        if let Some(look) = count.each.get() {
            look(bulk);
        }
        let documents = memchr::memchr_iter(b'\n', bulk).count() as u64 / 2;
        if documents > 0 {
            let mut first = count.first.lock().expect("not poisoned");
            if first.is_empty() {
                first.extend_from_slice(bulk);
            }
        }
        let mut answer = String::from(r#"{"errors":false,"items":["#);
        for i in 0..documents {
            answer.push_str(if i == 0 { r#"{"create":{"status":201}}"# } else { r#",{"create":{"status":201}}"# });
        }
        answer.push_str("]}");
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", answer.len());
        let writer = reader.get_mut();
        // In one piece: in two, the second may wait for an acknowledgement that is delayed, 40 ms each time.
        answer.insert_str(0, &head);
        writer.write_all(answer.as_bytes()).ok()?;
        writer.flush().ok()?;
        count.bytes.fetch_add(length as u64, Ordering::Relaxed);
        count.requests.fetch_add(1, Ordering::Relaxed);
        count.documents.fetch_add(documents, Ordering::Relaxed);
        drop(count.changed.0.lock());
        count.changed.1.notify_all();
    }
}

/// The numbers of `/proc/PID/stat` behind the process's name and state.
pub struct Stat {
    /// Pages that came at a touch, without a disk.
    pub faults: u64,
    /// CPU seconds in user mode, and in the kernel.
    pub user: f64,
    pub system: f64,
}

pub fn stat(pid: u32) -> Stat {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |n: usize| fields.get(n).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    let seconds = |n| field(n) as f64 / rustix::param::clock_ticks_per_second() as f64;
    Stat { faults: field(7), user: seconds(11), system: seconds(12) }
}

/// CPU seconds (user and system), and peak resident bytes of a process.
pub fn usage(pid: u32) -> (f64, u64) {
    let Stat { user, system, .. } = stat(pid);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    (user + system, peak.unwrap_or(0) * 1024)
}

/// The sum of these lines of `/proc/PID/io`.
pub fn io(pid: u32, names: &[&str]) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(name, _)| names.contains(name)).filter_map(|(_, n)| n.trim().parse::<u64>().ok()).sum()
}

/// Bytes that a process has read from files.
pub fn file_reads(pid: u32) -> u64 {
    io(pid, &["rchar"])
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

/// How often the threads of a process have waited for something.
pub fn switches(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let waits = |status: String| status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok());
    tasks.filter_map(|task| waits(fs::read_to_string(task.path().join("status")).ok()?)).sum()
}
