//! The app of the demo: writes numbered lines at a rate and rotates its log by rename.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often lines are written.
const TICK: Duration = Duration::from_millis(20);

/// The line with number `n`: each another one, and to be known again without a list.
pub(super) fn line(n: u64) -> String {
    let user = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    format!("order {n:09} paid by user-{user} in {} ms, basket \"{}\"", user % 97, ["tea", "coffee", "cake"][(user % 3) as usize])
}

/// The number of a line of [`line`]; `None` for every other text, also for a cut or changed one.
pub(super) fn number(text: &str) -> Option<u64> {
    let n = text.strip_prefix("order ")?.get(..9)?.parse().ok()?;
    (line(n) == text).then_some(n)
}

/// Writes lines to `app.log` of a folder; after `rotate_every` lines it is renamed to `app.log.1`, `.2`, ….
pub(super) struct Log {
    dir: PathBuf,
    file: File,
    written: u64,
    rotations: u64,
    rotate_every: u64,
}

impl Log {
    pub(super) fn create(dir: &Path, rotate_every: u64) -> io::Result<Log> {
        Ok(Log { dir: dir.to_path_buf(), file: open(dir)?, written: 0, rotations: 0, rotate_every: rotate_every.max(1) })
    }

    /// Writes lines until there are `total`.
    pub(super) fn write_to(&mut self, total: u64) -> io::Result<()> {
        while self.written < total {
            let until = total.min((self.rotations + 1) * self.rotate_every);
            let text: String = (self.written..until).map(|n| line(n + 1) + "\n").collect();
            self.file.write_all(text.as_bytes())?;
            self.written = until;
            if until == (self.rotations + 1) * self.rotate_every {
                self.rotations += 1;
                std::fs::rename(self.dir.join("app.log"), self.dir.join(format!("app.log.{}", self.rotations)))?;
                self.file = open(&self.dir)?;
            }
        }
        Ok(())
    }
}

fn open(dir: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(dir.join("app.log"))
}

/// What the writer has done so far; read while it writes.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) lines: AtomicU64,
    pub(super) rotations: AtomicU64,
}

/// The thread that writes; dropping it stops it.
pub(super) struct Writer {
    pub(super) progress: Arc<Progress>,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Writer {
    /// Writes `rate` lines a second to `dir` for `time`.
    pub(super) fn start(dir: &Path, rate: u64, time: Duration) -> io::Result<Writer> {
        // About three rotations in ten seconds.
        let mut log = Log::create(dir, rate * 3)?;
        let progress = Arc::new(Progress::default());
        let (stop, stopped) = mpsc::channel();
        let shared = progress.clone();
        let thread = std::thread::Builder::new().name("app".into()).spawn(move || {
            let start = Instant::now();
            loop {
                let now = start.elapsed().min(time);
                log.write_to((rate as f64 * now.as_secs_f64()) as u64)?;
                shared.lines.store(log.written, Ordering::Release);
                shared.rotations.store(log.rotations, Ordering::Release);
                if now == time || stopped.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout) {
                    return Ok(());
                }
            }
        })?;
        Ok(Writer { progress, stop: Some(stop), thread: Some(thread) })
    }

    /// Lines written and rotations made so far.
    pub(super) fn so_far(&self) -> (u64, u64) {
        (self.progress.lines.load(Ordering::Acquire), self.progress.rotations.load(Ordering::Acquire))
    }

    /// `None` while it writes; then whether it could.
    pub(super) fn finished(&mut self) -> Option<io::Result<()>> {
        if !self.thread.as_ref()?.is_finished() {
            return None;
        }
        self.thread.take().map(|t| t.join().unwrap_or_else(|_| Err(io::Error::other("the writer panicked"))))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // The demo is over; its outcome no longer counts.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_known_again_and_a_changed_one_is_not() {
        for n in [1, 42, 999_999_999] {
            assert_eq!(number(&line(n)), Some(n));
        }
        let text = line(42);
        assert_eq!(number(&text[..text.len() - 1]), None);
        assert_eq!(number(&text.replace("paid", "said")), None);
        assert_eq!(number("order é23456789"), None);
        assert_eq!(number(""), None);
    }

    #[test]
    fn rotation_neither_loses_nor_repeats_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::create(dir.path(), 10).unwrap();
        for total in [3, 10, 11, 35, 35] {
            log.write_to(total).unwrap();
        }
        assert_eq!((log.written, log.rotations), (35, 3));
        let mut numbers = Vec::new();
        for name in ["app.log.1", "app.log.2", "app.log.3", "app.log"] {
            let text = std::fs::read_to_string(dir.path().join(name)).unwrap();
            numbers.extend(text.lines().map(|l| number(l).unwrap()));
        }
        assert_eq!(numbers, (1..=35).collect::<Vec<_>>());
    }

    #[test]
    fn the_thread_writes_what_rate_and_time_say() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::start(dir.path(), 1_000, Duration::from_millis(200)).unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while writer.finished().is_none() && writer.thread.is_some() {
            assert!(Instant::now() < until);
            std::thread::yield_now();
        }
        assert_eq!(writer.so_far().0, 200);
    }
}
