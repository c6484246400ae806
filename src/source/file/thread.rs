//! The reader thread: drives the tailer and sleeps in between.

use super::counters::Counters;
use super::tailer::{Step, Tailer};
use super::watch::Waker;
use super::{FileOptions, SourceError};
use crate::admin::SourceStatus;
use crate::queue::Producer;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two tries when the queue has no room (the producer has waited already).
const BLOCKED_PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
struct Control {
    stop: AtomicBool,
    drain: AtomicBool,
    /// Number of the newest wish to read to where the files end now, and of the last one that was met.
    wished: AtomicU64,
    met: AtomicU64,
    /// Set when the thread has stopped reading: whether all was read.
    ended: Mutex<Option<bool>>,
    changed: Condvar,
}

/// All file sources of the agent, read by one thread.
pub struct FileSources {
    control: Arc<Control>,
    waker: Waker,
    counters: Vec<(String, Arc<Counters>)>,
    thread: Option<JoinHandle<()>>,
}

/// Tells those who wait that the thread ended, also when it panicked.
struct Ending(Arc<Control>, bool);

impl Drop for Ending {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(|e| e.into_inner()) = Some(self.1);
        self.0.changed.notify_all();
    }
}

impl FileSources {
    /// Begins to follow the files of all sources; reading goes on where `producer` remembers their streams.
    ///
    /// # Errors
    /// [`SourceError`] for globs and patterns that are none, and when the thread cannot be started. Nothing was read then.
    pub fn start(options: Vec<FileOptions>, agent_id: String, producer: Arc<dyn Producer>) -> Result<FileSources, SourceError> {
        let tailer = Tailer::new(options, agent_id, producer, Instant::now())?;
        let counters = tailer.shared.sources.iter().map(|s| (s.options.name.clone(), s.counters.clone())).collect();
        let (control, waker) = (Arc::new(Control::default()), tailer.watcher.waker());
        let shared = control.clone();
        let thread = std::thread::Builder::new()
            .name("file-reader".into())
            .spawn(move || run(tailer, &shared))
            .map_err(|source| SourceError::Start { what: "thread", source })?;
        Ok(FileSources { control, waker, counters, thread: Some(thread) })
    }

    /// How each source stands, by its name. Cheap: reads counters.
    pub fn status(&self) -> BTreeMap<String, SourceStatus> {
        self.counters.iter().map(|(name, counters)| (name.clone(), counters.status())).collect()
    }

    /// Asks that all files be read to where they end now; reading goes on afterwards. Gives the number of the wish.
    pub fn catch_up(&self) -> u64 {
        let number = self.control.wished.fetch_add(1, Relaxed) + 1;
        self.waker.wake();
        number
    }

    /// Whether a wish is met, or a later one.
    pub fn caught_up(&self, number: u64) -> bool {
        self.control.met.load(Relaxed) >= number
    }

    /// Reads all files to where they end now, then stops reading. Returns at `until` at the latest;
    /// whether all was read (incomplete last lines aside, which are read after the next start).
    pub fn drain(&self, until: Instant) -> bool {
        self.control.drain.store(true, Relaxed);
        self.waker.wake();
        let mut ended = self.control.ended.lock().unwrap_or_else(|e| e.into_inner());
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match *ended {
                Some(all) => return all,
                None if left.is_zero() => return false,
                None => ended = self.control.changed.wait_timeout(ended, left).unwrap_or_else(|e| e.into_inner()).0,
            }
        }
    }

    /// Stops reading between two blocks and waits for the thread. What is not read yet is read after the next start.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for FileSources {
    fn drop(&mut self) {
        self.control.stop.store(true, Relaxed);
        self.waker.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the file reader panicked; what it did not read is read after the next start");
        }
    }
}

fn run(mut tailer: Tailer, control: &Arc<Control>) {
    let mut ending = Ending(control.clone(), false);
    while !control.stop.load(Relaxed) {
        let now = Instant::now();
        let draining = control.drain.load(Relaxed);
        if draining {
            tailer.begin_drain(now);
        }
        let wished = control.wished.load(Relaxed);
        if wished > control.met.load(Relaxed) {
            tailer.begin_catch_up(wished, now);
        }
        let step = tailer.step(now);
        if let Some(met) = tailer.caught_up() {
            control.met.store(met, Relaxed);
        }
        if draining && tailer.drained() {
            ending.1 = true;
            return;
        }
        match step {
            Step::Busy => {}
            Step::Closed => return,
            Step::Blocked => tailer.watcher.wait(false, Some(BLOCKED_PAUSE)),
            Step::Until(next) => {
                // Right after hints were taken, more are left to gather for a moment.
                let pause = tailer.hints_due().saturating_duration_since(Instant::now());
                if !pause.is_zero() && next > tailer.hints_due() {
                    tailer.watcher.wait(false, Some(pause));
                    let wish = control.wished.load(Relaxed) > control.met.load(Relaxed);
                    if control.stop.load(Relaxed) || control.drain.load(Relaxed) || wish {
                        continue;
                    }
                }
                tailer.watcher.wait(true, Some(next.saturating_duration_since(Instant::now())));
            }
        }
    }
}
