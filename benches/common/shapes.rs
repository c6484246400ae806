//! Corpora of the shapes that logs have.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::Path;

/// What a corpus is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// Lines of text of 200 bytes.
    Plain,
    /// JSON objects of 200 bytes, with a time, dotted names, numbers, an object.
    Json,
    /// The access log of nginx, `combined`, of about 200 bytes.
    Nginx,
    /// As `Plain`; every tenth has a stack trace of five lines.
    Java,
}

/// A generator of numbers that is the same everywhere (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36",
    "curl/8.5.0",
    "okhttp/4.12.0",
];
const PATHS: [&str; 6] = ["/", "/api/v1/orders", "/api/v1/users/42", "/static/app.js", "/cart/checkout", "/search?q=durable+queue"];
const LEVELS: [&str; 4] = ["INFO", "WARN", "ERROR", "DEBUG"];
const WORDS: [&str; 12] =
    ["order", "paid", "cache", "miss", "retry", "upstream", "pool", "flushed", "segment", "session", "token", "renewed"];

/// Fills up with words to so many bytes.
fn words(line: &mut String, numbers: &mut Numbers, size: usize) {
    while line.len() < size {
        line.push(' ');
        line.push_str(WORDS[numbers.next(12) as usize]);
    }
    line.truncate(size);
}

fn event(line: &mut String, shape: Shape, numbers: &mut Numbers, file: u64, n: u64) {
    let ms = n * 7;
    let (hour, minute, second, ms) = (ms / 3_600_000 % 24, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
    let _ = match shape {
        Shape::Plain | Shape::Java => {
            let _ = write!(
                line,
                "2026-03-09T{hour:02}:{minute:02}:{second:02}.{ms:03}Z {:5} [worker-{}] com.example.orders.Service - seq={file}.{n:012}",
                LEVELS[numbers.next(4) as usize],
                numbers.next(16)
            );
            words(line, numbers, 199);
            if shape == Shape::Java && n % 10 == 9 {
                line.push_str(
                    "\njava.lang.IllegalStateException: connection \"pool\" exhausted\n\tat com.example.orders.Pool.take(Pool.java:118)\n\
                     \tat com.example.orders.Service.call(Service.java:57)\nCaused by: java.net.SocketTimeoutException: Read timed out\n\
                     \t... 12 more",
                );
            }
            Ok(())
        }
        Shape::Json => {
            let _ = write!(
                line,
                "{{\"@timestamp\":\"2026-03-09T{hour:02}:{minute:02}:{second:02}.{ms:03}Z\",\"log.level\":\"{}\",\"trace.id\":\"{:016x}{:016x}\",\
                 \"user\":{{\"id\":{}}},\"latency_ms\":{}.{:03},\"message\":\"seq={file}.{n:012}",
                LEVELS[numbers.next(4) as usize],
                numbers.next(u64::MAX),
                numbers.next(u64::MAX),
                numbers.next(100_000),
                numbers.next(500),
                numbers.next(1000)
            );
            let size = line.len().max(197);
            words(line, numbers, size);
            write!(line, "\"}}")
        }
        Shape::Nginx => write!(
            line,
            "10.{}.{}.{} - - [09/Mar/2026:{hour:02}:{minute:02}:{second:02} +0000] \"GET {} HTTP/1.1\" {} {} \"https://shop.example.com/orders/{n}\" \"{}\"",
            numbers.next(256),
            numbers.next(256),
            numbers.next(256),
            PATHS[numbers.next(6) as usize],
            [200, 200, 200, 304, 404, 500][numbers.next(6) as usize],
            numbers.next(90_000),
            AGENTS[numbers.next(4) as usize],
        ),
    };
    line.push('\n');
}

/// Writes `events` events to two files; gives their bytes.
pub fn corpus(dir: &Path, shape: Shape, events: u64) -> u64 {
    let mut bytes = 0;
    fs::create_dir_all(dir).expect("a folder for the corpus");
    for file in 0..2 {
        let mut out = BufWriter::with_capacity(1 << 20, fs::File::create(dir.join(format!("app-{file}.log"))).expect("a corpus file"));
        let (mut line, mut numbers) = (String::new(), Numbers(0x9E37_79B9_7F4A_7C15 + file));
        for n in 0..events / 2 {
            line.clear();
            event(&mut line, shape, &mut numbers, file, n);
            out.write_all(line.as_bytes()).expect("room for the corpus");
            bytes += line.len() as u64;
        }
        out.flush().expect("room for the corpus");
    }
    bytes
}
