//! A start takes as long as what was not synced, not as the queue: it reads a segment's header and index, never its batches.

use super::*;
use crate::queue::Position;
use crate::queue::clock::SystemClock;
use crate::queue::disk::{Disk, DiskFile, StdDisk};
use crate::queue::format::SEGMENT_HEADER;
use std::io;

/// The real disk, and how many bytes were read from it.
#[derive(Debug, Default)]
struct Counting(Arc<AtomicU64>);

#[derive(Debug)]
struct CountingFile(Arc<dyn DiskFile>, Arc<AtomicU64>);

impl DiskFile for CountingFile {
    fn write_all_at(&self, bufs: &[&[u8]], pos: u64) -> io::Result<()> {
        self.0.write_all_at(bufs, pos)
    }
    fn read_at(&self, buf: &mut [u8], pos: u64) -> io::Result<usize> {
        let n = self.0.read_at(buf, pos)?;
        self.1.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

impl Counting {
    fn count(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(CountingFile(file, self.0.clone()))
    }
}

impl Disk for Counting {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.count(StdDisk.create(path)?))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.count(StdDisk.open(path)?))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        StdDisk.list(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        StdDisk.create_dir_all(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        StdDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        StdDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        StdDisk.sync_dir(dir)
    }
}

const SEGMENT: u64 = 256 << 10;

/// Bytes read by a start with about `segments` full segments, cleanly closed and after a kill; and how many segments there were.
fn read_at_start(segments: u64) -> (u64, u64, u64) {
    let dir = tempfile::tempdir().unwrap();
    let o = QueueOptions { segment_bytes: SEGMENT, batch_size: 16 << 10, ..options(dir.path()) };
    let read = Arc::new(AtomicU64::new(0));
    let open = || {
        read.store(0, Ordering::Relaxed);
        Queue::open_on(o.clone(), &["logs".into()], Arc::new(Counting(read.clone())), Arc::new(SystemClock::default())).unwrap()
    };
    let queue = open();
    let stream = queue.declare(spec(1));
    let text: Vec<String> = (0..64).map(|i| format!("{i:0255}")).collect();
    let mut at = 0;
    let mut append = |queue: &Queue, blocks: u64| {
        for _ in 0..blocks {
            let block = block(&stream, at, &text);
            at = block.source_end;
            queue.append(block).unwrap();
        }
        assert!(queue.flush(LONG));
    };
    append(&queue, segments * SEGMENT / (64 * 256));
    queue.close();
    drop(queue);
    let queue = open();
    let clean = read.load(Ordering::Relaxed);
    let stream = queue.streams().remove(0);
    let mut at = stream.durable().end;
    for _ in 0..6 {
        let block = block(&stream, at, &text);
        at = block.source_end;
        queue.append(block).unwrap();
        assert!(queue.flush(LONG));
    }
    queue.abandon();
    drop(queue);
    let queue = open();
    let killed = read.load(Ordering::Relaxed);
    assert!(queue.recovery().lost.is_empty() && queue.recovery().damaged.is_empty(), "{:?}", queue.recovery());
    let found = queue.partitions.iter().map(|p| p.segments().len() as u64).sum();
    (clean, killed, found)
}

#[test]
fn a_start_reads_no_batches_of_what_is_synced_however_large_the_queue_is() {
    let (clean, killed, few) = read_at_start(8);
    let (clean_of_many, killed_of_many, many) = read_at_start(80);
    assert!(many >= few + 60, "{few} and {many} segments");
    // Of one more segment: its header, and an index with an entry in 64 KiB.
    let each = SEGMENT_HEADER as u64 + 512;
    assert!(clean_of_many - clean <= (many - few) * each, "after a close: {clean} bytes with {few} segments, {clean_of_many} with {many}");
    assert!(
        killed_of_many - killed <= (many - few) * each,
        "after a kill: {killed} bytes with {few} segments, {killed_of_many} with {many}"
    );
    // And of the newest one what was not surely durable, once to check it and once to copy it.
    assert!(killed_of_many <= many * each + 3 * SEGMENT, "after a kill: {killed_of_many} bytes with {many} segments");
}

#[test]
fn a_position_never_goes_back_whatever_is_announced_behind_a_block() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Queue::open(options(dir.path()), &["logs".into()]).unwrap();
    // In one sync with the block, and in a later one.
    for (number, between) in [(1, false), (2, true)] {
        let queue = open();
        let stream = queue.declare(spec(number));
        let block = block(&stream, 0, &lines(0, 3));
        let end = block.source_end;
        queue.append(block).unwrap();
        assert!(!between || queue.flush(LONG));
        queue.announce(vec![(stream.clone(), Position::default())]);
        assert!(queue.flush(LONG));
        assert_eq!(stream.durable().end, end);
        queue.close();
        drop(queue);
        let known = open().streams().into_iter().find(|s| s.spec().key == number).unwrap();
        assert_eq!(known.durable().end, end, "after a restart");
    }
}

#[test]
fn of_two_positions_at_the_same_byte_the_later_holds_before_and_after_a_restart() {
    for (number, between) in [(1, false), (2, true)] {
        let dir = tempfile::tempdir().unwrap();
        let open = || Queue::open(options(dir.path()), &["logs".into()]).unwrap();
        let queue = open();
        let stream = queue.declare(spec(number));
        let block = block(&stream, 0, &lines(0, 3));
        let end = block.source_end;
        queue.append(block).unwrap();
        assert!(!between || queue.flush(LONG));
        let tail = Tail::of(b"what stands there by now");
        queue.announce(vec![(stream.clone(), Position { end, tail })]);
        assert!(queue.flush(LONG));
        let durable = stream.durable();
        // What was announced may be written before a block that waits for its batch.
        assert!(durable.end == end && (!between || durable.tail == tail));
        queue.abandon();
        drop(queue);
        assert_eq!(open().streams()[0].durable(), durable, "between {between}");
    }
}
