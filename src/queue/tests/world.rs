//! A small world around a queue on the simulated disk: two log files, an agent that reads them, and an index.

use super::sim::SimDisk;
use super::*;
use crate::queue::{DEAD_LETTER_TOPIC, OpenError, Reset, ResetTo};
use std::collections::{BTreeMap, BTreeSet};

/// One life of the agent: appends lines of two files from where the queue says, consumes and "delivers".
/// What is delivered is kept outside (the index); what is in the files never changes.
#[derive(Default)]
pub(super) struct World {
    pub(super) way: Way,
    pub(super) delivered: BTreeMap<(u128, u64), String>,
    pub(super) redelivered: u64,
    /// Dead letters that were durable when their sink went on, and those that somebody has read.
    pub(super) letters: BTreeSet<String>,
    pub(super) read_letters: BTreeSet<String>,
}

/// What a world does besides.
#[derive(Clone, Copy)]
pub(super) struct Way {
    /// Lines of each file.
    pub(super) lines: usize,
    /// Lines of each block.
    pub(super) block: usize,
    pub(super) change: fn(&mut QueueOptions),
    /// Some of what is delivered is a dead letter, too, and the group is set back now and then.
    pub(super) letters_and_resets: bool,
}

impl Default for Way {
    fn default() -> Way {
        Way { lines: 4000, block: 50, change: |_| (), letters_and_resets: false }
    }
}

pub(super) fn file(key: u128) -> Vec<String> {
    (0..4000).map(|i| format!("file {key} line {i:06} {}", "y".repeat((i % 37) as usize))).collect()
}

/// An open queue, and the folder of its lock (the lock is on the real disk, for each life another).
pub(super) struct Life(Arc<Queue>, #[allow(dead_code)] tempfile::TempDir);

impl std::ops::Deref for Life {
    type Target = Arc<Queue>;
    fn deref(&self) -> &Arc<Queue> {
        &self.0
    }
}

pub(super) fn open(disk: &SimDisk) -> Result<Life, OpenError> {
    open_with(disk, |_| ())
}

pub(super) fn open_with(disk: &SimDisk, change: impl FnOnce(&mut QueueOptions)) -> Result<Life, OpenError> {
    open_at(disk, Arc::new(TestClock::default()), change)
}

pub(super) fn open_at(disk: &SimDisk, clock: Arc<dyn Clock>, change: impl FnOnce(&mut QueueOptions)) -> Result<Life, OpenError> {
    let dir = tempfile::tempdir().unwrap();
    let mut o = options(dir.path());
    (o.segment_bytes, o.batch_size, o.retention.bytes) = (64 << 10, 8 << 10, 0);
    change(&mut o);
    let queue = Queue::open_on(o, &["logs".into()], Arc::new(Rooted(disk.clone(), "/sim".into())), clock)?;
    Ok(Life(queue, dir))
}

/// Maps whatever folder the queue was opened in to one place on the simulated disk.
#[derive(Debug)]
struct Rooted(SimDisk, std::path::PathBuf);

impl Rooted {
    fn map(&self, path: &Path) -> std::path::PathBuf {
        let parts: Vec<_> = path.components().collect();
        let keep = parts.iter().position(|c| c.as_os_str().to_str().is_some_and(|s| s.starts_with(".tmp"))).map_or(0, |i| i + 1);
        self.1.join(parts[keep..].iter().collect::<std::path::PathBuf>())
    }
}

impl crate::queue::disk::Disk for Rooted {
    fn create(&self, path: &Path) -> std::io::Result<Arc<dyn crate::queue::disk::DiskFile>> {
        self.0.create(&self.map(path))
    }
    fn open(&self, path: &Path) -> std::io::Result<Arc<dyn crate::queue::disk::DiskFile>> {
        self.0.open(&self.map(path))
    }
    fn list(&self, dir: &Path) -> std::io::Result<Vec<String>> {
        self.0.list(&self.map(dir))
    }
    fn create_dir_all(&self, dir: &Path) -> std::io::Result<()> {
        // The folder of the lock is real.
        if dir.components().next_back().is_some_and(|c| c.as_os_str().to_str().is_some_and(|s| s.starts_with(".tmp"))) {
            std::fs::create_dir_all(dir)?;
        }
        self.0.create_dir_all(&self.map(dir))
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.0.rename(&self.map(from), &self.map(to))
    }
    fn remove(&self, path: &Path) -> std::io::Result<()> {
        self.0.remove(&self.map(path))
    }
    fn exchange(&self, a: &Path, b: &Path) -> std::io::Result<()> {
        self.0.exchange(&self.map(a), &self.map(b))
    }
    fn space(&self, dir: &Path) -> std::io::Result<crate::queue::disk::Space> {
        self.0.space(dir)
    }
    fn sync_dir(&self, dir: &Path) -> std::io::Result<()> {
        self.0.sync_dir(&self.map(dir))
    }
}

impl World {
    pub(super) fn deliver(&mut self, batch: &Batch) {
        for (key, position, line) in events(batch) {
            if let Some(before) = self.delivered.insert((key, position), line.clone()) {
                assert_eq!(before, line, "one position names two events");
                self.redelivered += 1;
            }
        }
    }

    /// Lives until everything is delivered (`true`) or the disk dies.
    pub(super) fn live(&mut self, disk: &SimDisk, patience: Duration) -> bool {
        let queue = match open_with(disk, self.way.change) {
            Ok(queue) => queue,
            Err(e) if disk.is_dead() => {
                eprintln!("not opened: {e}");
                return false;
            }
            Err(e) => panic!("the disk is well, and yet: {e}"),
        };
        let mut consumer = match queue.subscribe(&Subscription {
            group: "g".into(),
            previous: None,
            topics: vec![],
            pipeline: 0,
            ..Subscription::default()
        }) {
            Ok(c) => c,
            Err(_) => return false,
        };
        for key in 1..=2u128 {
            let all = &file(key)[..self.way.lines];
            let stream = queue.streams().into_iter().find(|s| s.spec().key == key).unwrap_or_else(|| queue.declare(spec(key)));
            let resume = stream.durable().end;
            let mut at = 0u64;
            for (n, chunk) in all.chunks(self.way.block).enumerate() {
                let size: u64 = chunk.iter().map(|l| l.len() as u64 + 1).sum();
                if at >= resume {
                    if let Err(e) = queue.append(block(&stream, at, chunk)) {
                        eprintln!("not appended: {e}");
                        return false;
                    }
                } else {
                    assert!(at + size <= resume, "a position is always the end of a batch");
                }
                at += size;
                // In steps, so that a cut meets many states: written, half synced, delivered and not acked.
                if n % 4 == 3 && !queue.flush(Duration::from_millis(50)) && disk.is_dead() {
                    queue.abandon();
                    return false;
                }
                if let Ok(Some(batch)) = consumer.poll(&LIMITS, Duration::ZERO) {
                    self.deliver(&batch);
                    if n % 5 == 4 && self.way.letters_and_resets && !self.set_aside(&queue, &batch) && disk.is_dead() {
                        queue.abandon();
                        return false;
                    }
                    if n % 3 != 0 {
                        consumer.acker().ack(&batch.id);
                    }
                    if n % 7 == 6 && self.way.letters_and_resets {
                        let wanted = Reset {
                            group: "g".into(),
                            to: ResetTo::Earliest,
                            topic: None,
                            partition: None,
                            dry_run: false,
                            overwrite: false,
                        };
                        // Where the disk is dead it changes nothing.
                        let _ = queue.manage().reset(&wanted, &|_| crate::queue::Overwriting::Replaces);
                    }
                }
            }
        }
        let until = std::time::Instant::now() + patience;
        while self.delivered.len() < self.total() && std::time::Instant::now() < until {
            if let Ok(Some(batch)) = consumer.poll(&LIMITS, Duration::from_millis(5)) {
                self.deliver(&batch);
                consumer.acker().ack(&batch.id);
            }
        }
        if self.delivered.len() < self.total() {
            queue.abandon();
            return false;
        }
        self.read_letters(&queue);
        true
    }

    fn total(&self) -> usize {
        2 * self.way.lines
    }

    /// Puts the first event of a batch into the dead-letter topic; `false` when it is not durable there.
    fn set_aside(&mut self, queue: &Arc<Queue>, batch: &Batch) -> bool {
        let stream = queue.streams().into_iter().find(|s| s.spec().topic == DEAD_LETTER_TOPIC);
        let stream = stream.unwrap_or_else(|| queue.declare(StreamSpec { topic: DEAD_LETTER_TOPIC.into(), ..spec(9) }));
        let Some((key, position, _)) = events(batch).into_iter().next() else { return true };
        let letter = format!("{key} {position}");
        let at = stream.durable().end;
        let durable = queue.append_reserved(block(&stream, at, std::slice::from_ref(&letter))).is_ok()
            && queue.flush_of(Some((DEAD_LETTER_TOPIC.into(), 0)), Duration::from_millis(20));
        if durable {
            self.letters.insert(letter);
        }
        durable
    }

    fn read_letters(&mut self, queue: &Queue) {
        let wanted = Subscription {
            group: "letters".into(),
            previous: None,
            topics: vec![DEAD_LETTER_TOPIC.into()],
            pipeline: 0,
            ..Subscription::default()
        };
        let Ok(mut consumer) = queue.subscribe(&wanted) else { return };
        while let Ok(Some(batch)) = consumer.poll(&LIMITS, Duration::ZERO) {
            self.read_letters.extend(events(&batch).into_iter().map(|e| e.2));
        }
    }

    pub(super) fn check(&self) {
        let mut expected = BTreeMap::new();
        for key in 1..=2u128 {
            let mut at = 0;
            for line in file(key).into_iter().take(self.way.lines) {
                expected.insert((key, at), line.clone());
                at += line.len() as u64 + 1;
            }
        }
        let missing: BTreeSet<_> = expected.keys().filter(|k| !self.delivered.contains_key(k)).collect();
        assert!(missing.is_empty(), "{} events are missing, first {:?}", missing.len(), missing.first());
        assert!(self.delivered == expected, "an event is not what the file says");
        let lost: Vec<_> = self.letters.difference(&self.read_letters).collect();
        assert!(lost.is_empty(), "dead letters are missing: {lost:?}");
    }
}
