//! The files, and what is written to them.

use crate::options::Options;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub fn line(file: usize, n: usize) -> String {
    format!(
        "2026-03-09T10:11:{:02}.{:03}Z INFO [main] com.example.Service - file={file} n={n} order paid, cache flushed\n",
        n % 60,
        n % 1000
    )
}

/// `--files` files in directories of a thousand.
pub fn write_files(dir: &Path, o: &Options) -> Vec<PathBuf> {
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
pub fn grow(paths: &[PathBuf], stop: &AtomicBool) -> usize {
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

/// One line every `pause` into each of `paths`, until `stop`; when each was written.
pub fn tick(paths: &[PathBuf], pause: Duration, stop: &AtomicBool) -> Vec<Instant> {
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
pub fn roar(path: &Path, rate: u64, time: Duration) -> (u64, u64) {
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
