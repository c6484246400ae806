//! A queue in memory and a tailer on a directory, driven step by step with a clock of its own.

use super::super::FileOptions;
use super::super::tailer::{HINT_PAUSE, MOST_PAUSES, Step, Tailer};
use crate::admin::SourceStatus;
use crate::queue::{AppendError, Block, Buffer, BufferPool, Events, LostUnread, Position, Producer, Run, Stream, StreamSpec, Tail};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Records blocks with the spec that is stored beside each.
pub(super) struct Fake {
    remembered: Vec<Arc<Stream>>,
    next: AtomicU64,
    pub(super) blocks: Mutex<Vec<(Block, StreamSpec)>>,
    /// Streams that are durable before any block of them.
    pub(super) announced: Mutex<Vec<(Arc<Stream>, StreamSpec, Position)>>,
    pool: Arc<BufferPool>,
    pub(super) full: AtomicBool,
    /// What is on record as lost unread; none is taken while it is full.
    pub(super) unread: Mutex<Vec<LostUnread>>,
}

impl Fake {
    pub(super) fn new() -> Arc<Fake> {
        Fake::with(Vec::new(), Vec::new())
    }

    /// The queue after a crash that left the first blocks: only they and their streams are known, and what was announced.
    pub(super) fn with(prefix: Vec<(Block, StreamSpec)>, announced: Vec<(Arc<Stream>, StreamSpec, Position)>) -> Arc<Fake> {
        let known = |(stream, spec, at): &(Arc<Stream>, StreamSpec, Position)| Stream::new(stream.id, 0, spec.clone(), *at);
        let mut streams: Vec<Arc<Stream>> = announced.iter().map(known).collect();
        for (block, spec) in &prefix {
            let durable = Position { end: block.source_end, tail: block.tail };
            match streams.iter().find(|s| s.id == block.stream.id) {
                Some(stream) => {
                    stream.set_spec(spec.clone());
                    stream.set_durable(durable);
                }
                None => streams.push(Stream::new(block.stream.id, 0, spec.clone(), durable)),
            }
        }
        let next = streams.iter().map(|s| s.id + 1).max().unwrap_or(0);
        Arc::new(Fake {
            remembered: streams,
            next: next.into(),
            announced: Mutex::new(announced),
            blocks: Mutex::new(prefix),
            pool: BufferPool::new(64 << 20, super::super::read::READ_BLOCK),
            full: AtomicBool::new(false),
            unread: Mutex::default(),
        })
    }

    pub(super) fn crash(&self, keep: usize) -> Arc<Fake> {
        let blocks = self.blocks.lock().unwrap();
        Fake::with(blocks[..keep.min(blocks.len())].to_vec(), self.announced.lock().unwrap().clone())
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.lock().unwrap().len()
    }

    /// All events in the order of appends: (stream ID, position, bytes without delimiter).
    pub(super) fn events(&self) -> Vec<(u64, u64, Vec<u8>)> {
        let blocks = self.blocks.lock().unwrap();
        let mut out = Vec::new();
        for (b, _) in blocks.iter() {
            let run = Run::from(b);
            out.extend(Events::new(&run, 0, 0, u32::MAX).map(|e| (b.stream.id, e.position, e.bytes.to_vec())));
        }
        out
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.events().into_iter().map(|e| String::from_utf8_lossy(&e.2).into_owned()).collect()
    }

    pub(super) fn specs(&self) -> Vec<StreamSpec> {
        let mut ids = std::collections::BTreeMap::new();
        for (block, spec) in self.blocks.lock().unwrap().iter() {
            ids.insert(block.stream.id, spec.clone());
        }
        ids.into_values().collect()
    }
}

impl Producer for Fake {
    fn streams(&self) -> Vec<Arc<Stream>> {
        self.remembered.clone()
    }

    fn declare(&self, spec: StreamSpec) -> Arc<Stream> {
        Stream::new(self.next.fetch_add(1, Relaxed), 0, spec, Position::default())
    }

    fn amend(&self, stream: &Arc<Stream>, spec: StreamSpec) {
        stream.set_spec(spec);
    }

    fn announce(&self, streams: Vec<(Arc<Stream>, Position)>) {
        let spec = |stream: &Arc<Stream>| (*stream.spec()).clone();
        self.announced.lock().unwrap().extend(streams.into_iter().map(|(stream, at)| (stream.clone(), spec(&stream), at)));
    }

    fn buffer(&self, len: usize, _wait: Duration) -> Option<Buffer> {
        if self.full.load(Relaxed) { None } else { self.pool.take(len, Duration::ZERO) }
    }

    fn has_room(&self, _wait: Duration) -> bool {
        !self.full.load(Relaxed)
    }

    fn acked(&self, stream: &Arc<Stream>, end: u64, _wait: Duration) -> bool {
        stream.durable().end >= end
    }

    fn lost_unread(&self, lost: &[LostUnread]) -> bool {
        let takes = !self.full.load(Relaxed);
        if takes {
            self.unread.lock().unwrap().extend_from_slice(lost);
        }
        takes
    }

    fn append(&self, block: Block) -> Result<(), AppendError> {
        if self.full.load(Relaxed) {
            return Err(AppendError::TimedOut { waited_ms: 0, reason: "test".into() });
        }
        assert!(block.count > 0 && block.tail.len as usize <= Tail::MAX);
        assert!(block.source_end > block.source_start && block.source_end - block.source_start >= block.data.len() as u64);
        let mut blocks = self.blocks.lock().unwrap();
        let last = blocks.iter().rev().find(|(b, _)| b.stream.id == block.stream.id).map(|(b, _)| b.source_end);
        let last = last.unwrap_or(0).max(block.stream.durable().end);
        assert!(block.source_start >= last, "positions of a stream go forward: {} after {last}", block.source_start);
        let spec = (*block.stream.spec()).clone();
        block.stream.set_durable(Position { end: block.source_end, tail: block.tail });
        // A block keeps no pooled memory here.
        let data = bytes::Bytes::copy_from_slice(&block.data);
        blocks.push((Block { data, ..block }, spec));
        Ok(())
    }
}

/// A directory, a tailer on it, and the clock.
pub(super) struct Rig {
    pub(super) dir: tempfile::TempDir,
    pub(super) fake: Arc<Fake>,
    pub(super) tailer: Option<Tailer>,
    pub(super) now: Instant,
    pub(super) options: Vec<FileOptions>,
}

impl Rig {
    /// Follows `globs` (relative to the directory); nothing is read before [`Rig::settle`].
    pub(super) fn new(globs: &[&str]) -> Rig {
        Rig::with(globs, |_| {})
    }

    pub(super) fn with(globs: &[&str], change: impl FnOnce(&mut FileOptions)) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let include = globs.iter().map(|g| dir.path().join(g).to_str().unwrap().to_owned()).collect();
        let mut options = FileOptions { name: "app".into(), include, ..FileOptions::default() };
        change(&mut options);
        let mut rig = Rig { dir, fake: Fake::new(), tailer: None, now: Instant::now(), options: vec![options] };
        rig.start();
        rig
    }

    pub(super) fn start(&mut self) {
        self.tailer = Some(Tailer::new(self.options.clone(), "agent".into(), self.fake.clone(), self.now).unwrap());
    }

    /// Kills the tailer and starts another one on a queue that kept the first `keep` blocks.
    pub(super) fn kill(&mut self, keep: usize) {
        self.tailer = None;
        self.fake = self.fake.crash(keep);
    }

    pub(super) fn tailer(&mut self) -> &mut Tailer {
        self.tailer.as_mut().unwrap()
    }

    /// Steps until nothing is left to do.
    pub(super) fn settle(&mut self) {
        self.now += HINT_PAUSE * MOST_PAUSES;
        for _ in 0..10_000 {
            let now = self.now;
            match self.tailer().step(now) {
                Step::Busy => {}
                Step::Until(_) | Step::Blocked => return,
                Step::Closed => panic!("closed"),
            }
        }
        panic!("the tailer never settles");
    }

    pub(super) fn pass(&mut self, time: Duration) {
        // In two halves: deadlines that lead to others are met too.
        for _ in 0..4 {
            self.now += time / 4;
            self.settle();
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        append(&self.path(name), text.as_ref());
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(super) fn copytruncate(&self, from: &str, to: &str) {
        let _ = fs::remove_file(self.path(to));
        fs::copy(self.path(from), self.path(to)).unwrap();
        OpenOptions::new().write(true).open(self.path(from)).unwrap().set_len(0).unwrap();
    }

    pub(super) fn status(&mut self) -> SourceStatus {
        self.tailer().shared.sources[0].counters.status()
    }

    #[track_caller]
    pub(super) fn expect(&self, lines: &[&str]) {
        assert_eq!(self.fake.lines(), lines);
    }

    #[track_caller]
    pub(super) fn expect_sorted(&self, lines: &[&str]) {
        let mut got = self.fake.lines();
        got.sort();
        assert_eq!(got, lines);
    }
}

pub(super) fn append(path: &Path, text: &[u8]) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text).unwrap();
}
