//! The real logrotate, each of its ways to rotate, beside a writer that never pauses and an agent that is killed:
//! every line that logrotate leaves on the disk arrives, and no line arrives twice.
//!
//! Needs `logrotate` on the PATH; without it the tests say that they were skipped. `FOREBAY_ROTATE_SECONDS` (2 without
//! it) is how long each writes, `FOREBAY_ROTATE_BYTES` (2,000,000) how many bytes a second, `FOREBAY_ROTATE_LINE` (100) of
//! how many bytes each line is.

mod common;

use common::{Bench, number, quoted};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How one test rotates.
struct Mode {
    name: &'static str,
    /// Lines of logrotate's configuration.
    directives: &'static str,
    /// How often the agent is killed.
    kills: u32,
    /// logrotate itself loses what is written between its copy and its truncation.
    window: bool,
    /// Old files are deleted, so that what is on the disk in the end is not all.
    deletes: bool,
}

const MODE: Mode = Mode { name: "", directives: "", kills: 0, window: false, deletes: false };

/// Whether there is a logrotate; says that the test is skipped where there is none.
fn available(test: &str) -> bool {
    let there = Command::new("logrotate").arg("--version").output().is_ok();
    if !there {
        common::machine::skipped(test, "no logrotate on the PATH");
    }
    there
}

/// Writes at a steady pace and opens the log anew when asked to. Gives the number of lines.
fn write(bench: &Bench, stop: &AtomicBool, rate: u64, len: usize) -> u64 {
    let (path, reopen) = (bench.log("app.log"), bench.path("reopen"));
    let open = || OpenOptions::new().create(true).append(true).open(&path).expect("the log");
    let (mut file, mut written, begun) = (open(), 1, Instant::now());
    let mut chunk = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        if fs::remove_file(&reopen).is_ok() {
            file = open();
        }
        let due = (begun.elapsed().as_millis() as u64 * rate / 1000) / len as u64;
        chunk.clear();
        for n in written..due.min(written + 20_000).max(written) {
            chunk.extend_from_slice(line(n, len).as_bytes());
        }
        file.write_all(&chunk).expect("a write");
        written += (chunk.len() / len) as u64;
        // The pace of the writer, not a wait for anything.
        std::thread::sleep(Duration::from_millis(2));
    }
    // logrotate may still wait for a last answer.
    let _ = fs::remove_file(&reopen);
    written
}

/// A line of `len` bytes: `seq `, ten digits, filler, newline.
fn line(n: u64, len: usize) -> String {
    format!("seq {n:010} {}\n", "x".repeat(len - 16))
}

/// Marks each line number that stands behind `before` in `text`.
fn mark(text: &[u8], before: &[u8], seen: &mut Vec<u8>) {
    for at in memchr::memmem::find_iter(text, before) {
        let digits = text.get(at + before.len()..at + before.len() + 10).expect("ten digits");
        let n: usize = std::str::from_utf8(digits).expect("digits").parse().expect("a number");
        if seen.len() <= n {
            seen.resize(n + 1, 0);
        }
        seen[n] = seen[n].saturating_add(1);
    }
}

/// What the sink has written, read as it grows: at full speed it is many times the memory.
struct Output {
    file: File,
    /// What was read behind the last whole line.
    rest: Vec<u8>,
    seen: Vec<u8>,
}

impl Output {
    fn open(path: &Path) -> Output {
        Output { file: File::open(path).expect("the output"), rest: Vec::new(), seen: Vec::new() }
    }

    /// Takes what came since; how often each of `lines` lines was delivered until now.
    fn delivered(&mut self, lines: u64) -> &[u8] {
        loop {
            let kept = self.rest.len();
            self.rest.resize(kept + (4 << 20), 0);
            let n = self.file.read(&mut self.rest[kept..]).expect("the output");
            self.rest.truncate(kept + n);
            let whole = memchr::memrchr(b'\n', &self.rest).map_or(0, |at| at + 1);
            mark(&self.rest[..whole], b"\"message\":\"seq ", &mut self.seen);
            self.rest.drain(..whole);
            if n == 0 {
                self.seen.resize(lines as usize, 0);
                return &self.seen;
            }
        }
    }
}

/// The lines in all files of a folder, compressed ones too.
fn on_disk(dir: &Path, seen: &mut Vec<u8>) {
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            on_disk(&path, seen);
            continue;
        }
        let bytes = fs::read(&path).expect("a file");
        let bytes = match path.extension().and_then(|e| e.to_str()) {
            Some("gz") => {
                let mut plain = Vec::new();
                flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut plain).expect("gzip");
                plain
            }
            Some("zst") => zstd::decode_all(&bytes[..]).expect("zstd"),
            _ => bytes,
        };
        mark(&bytes, b"seq ", seen);
    }
}

fn rotate(mode: &Mode) {
    if !available(mode.name) {
        return;
    }
    let (seconds, rate) = (number("FOREBAY_ROTATE_SECONDS", 2), number("FOREBAY_ROTATE_BYTES", 2_000_000));
    let len = number("FOREBAY_ROTATE_LINE", 100).max(16) as usize;
    let (bench, out) = (Bench::new(), tempfile::tempdir().expect("a folder"));
    let sink = out.path().join("out.ndjson");
    bench.pipeline(&format!("  copy: {{type: file, path: {}, rotate_bytes: 1TiB}}", quoted(&sink)), "", "");
    fs::create_dir(bench.log("old")).expect("old/");
    let reopen = bench.path("reopen");
    let conf = bench.path("logrotate.conf");
    let text = format!(
        "{} {{\n  rotate 100000\n{}\n  postrotate\n    touch {}\n    while [ -e {} ]; do sleep 0.002; done\n  endscript\n}}\n",
        bench.log("app.log").display(),
        mode.directives,
        reopen.display(),
        reopen.display()
    );
    let text = if mode.window { text.split("  postrotate").next().expect("a part").to_string() + "}\n" } else { text };
    fs::write(&conf, text).expect("logrotate.conf");
    // What is rotated away before the agent ever followed the file is not its business.
    bench.append("app.log", line(0, len));
    let mut agent = bench.start();
    agent.wait_for("the file is followed", || fs::metadata(&sink).is_ok_and(|m| m.len() > 0));
    let (stop, mut rotations) = (AtomicBool::new(false), 0);
    let (written, mut agent) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&bench, &stop, rate, len));
        let begun = Instant::now();
        let mut kills_left = mode.kills;
        // A loaded machine rotates slowly: a few rotations belong to each test.
        while begun.elapsed() < Duration::from_secs(seconds) || rotations < 6 {
            let round = Instant::now();
            let done =
                Command::new("logrotate").args(["-f", "-s"]).arg(bench.path("logrotate.state")).arg(&conf).output().expect("it runs");
            let said = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success() || said.contains("already exists"), "logrotate: {said}");
            rotations += 1;
            let share = seconds as f64 / f64::from(mode.kills + 1);
            if kills_left > 0 && begun.elapsed().as_secs_f64() > share * f64::from(mode.kills - kills_left + 1) {
                kills_left -= 1;
                agent.kill();
                // It is down for a rotation or two.
                std::thread::sleep(Duration::from_millis(300));
                agent = bench.start();
            }
            std::thread::sleep(Duration::from_millis(200).saturating_sub(round.elapsed()));
        }
        stop.store(true, Ordering::SeqCst);
        (writer.join().expect("the writer"), agent)
    });
    let mut expected = Vec::new();
    if mode.deletes {
        expected.resize(written as usize, 1)
    } else {
        on_disk(&bench.path("logs"), &mut expected)
    }
    expected.resize(written as usize, 0);
    // It is not killed any more, so what it has written stays.
    let mut output = Output::open(&sink);
    agent.wait_for("all is shipped", || output.delivered(written).iter().zip(&expected).all(|(d, e)| *d > 0 || *e == 0));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    let mut output = Output::open(&sink);
    let delivered = output.delivered(written);
    let doubled = delivered.iter().filter(|n| **n > 1).count();
    let gone = delivered.iter().filter(|n| **n == 0).count();
    println!(
        "{}: {written} lines, {rotations} rotations, {} kills; doubled {doubled}, lost by logrotate between copy and truncation {gone}",
        mode.name, mode.kills
    );
    assert_eq!(doubled, 0, "{}", agent.log());
    assert!(mode.window || gone == 0, "{gone} lines are missing\n{}", agent.log());
}

#[test]
fn create() {
    rotate(&Mode { name: "create", directives: "  create", kills: 2, ..MODE });
}

#[test]
fn nocreate() {
    rotate(&Mode { name: "nocreate", directives: "  nocreate", kills: 1, ..MODE });
}

#[test]
fn copytruncate() {
    rotate(&Mode { name: "copytruncate", directives: "  copytruncate", kills: 1, window: true, ..MODE });
}

#[test]
fn copytruncate_compressed() {
    rotate(&Mode { name: "copytruncate, compress", directives: "  copytruncate\n  compress", kills: 1, window: true, ..MODE });
}

#[test]
fn compressed_at_once() {
    rotate(&Mode { name: "compress", directives: "  compress", kills: 2, ..MODE });
}

#[test]
fn compressed_later() {
    rotate(&Mode { name: "compress, delaycompress", directives: "  compress\n  delaycompress", kills: 2, ..MODE });
}

#[test]
fn with_dates() {
    rotate(&Mode { name: "dateext", directives: "  dateext\n  dateformat -%Y%m%d-%s\n  compress\n  delaycompress", kills: 1, ..MODE });
}

#[test]
fn into_another_folder() {
    rotate(&Mode { name: "olddir", directives: "  olddir old", ..MODE });
}

#[test]
fn deleting_old_ones() {
    rotate(&Mode { name: "rotate 5", directives: "  rotate 5", deletes: true, ..MODE });
}
