//! Sectors that cannot be read: once, or for ever; while the queue runs, and when it opens.

use super::damage::{look, segments, written};
use super::sim::SimDisk;
use super::world::{file, open_with};
use super::*;
use crate::queue::FetchError;
use crate::queue::disk::Disk;
use crate::queue::format::SEGMENT_HEADER;
use crate::queue::segment::{self, Found, Located};
use std::path::PathBuf;

/// All batches of a segment that hold events.
fn batches(disk: &SimDisk, path: &Path) -> Vec<Located> {
    let (_, id) = segment::parse_name(path.file_name().unwrap().to_str().unwrap()).unwrap();
    let (file, mut pos, mut found) = (disk.open(path).unwrap(), SEGMENT_HEADER as u64, Vec::new());
    while let Found::Batch(batch) = segment::locate(&*file, id, pos).unwrap() {
        pos = batch.next_pos();
        found.extend(segment::is_data(&batch).then_some(batch));
    }
    found
}

fn everything(disk: &SimDisk, times: Option<u32>) {
    disk.paths().iter().for_each(|p| disk.unreadable(p, 0..u64::MAX, times));
}

#[test]
fn an_error_that_passes_loses_nothing() {
    for clean in [true, false] {
        let disk = written(clean, |_| ());
        everything(&disk, Some(1));
        let seen = look(&disk, "once");
        assert_eq!((seen.lines, seen.told, &seen.report.damaged[..]), (4000, 0, &[][..]), "clean: {clean}");
    }
}

/// (what, the bytes of a batch that cannot be read)
fn places(batch: &Located) -> [(&'static str, std::ops::Range<u64>); 3] {
    let end = batch.next_pos();
    [
        ("its header", batch.pos..batch.pos + 1),
        ("its payload", end - 512..end - 511),
        // The page with the next one's header can be read.
        ("all but its end", batch.pos..end / 4096 * 4096),
    ]
}

#[test]
fn a_bad_sector_takes_its_batch_and_no_other() {
    for clean in [true, false] {
        for which in 0..3 {
            let disk = written(clean, |_| ());
            let files = segments(&disk);
            let (mut expected, mut what) = (0, "");
            // In each but the last segment another batch.
            for (n, path) in files[..files.len() - 1].iter().enumerate() {
                let found = batches(&disk, path);
                // How batches are cut depends on the machine's load; a small one may lie in one page.
                let hit = |b: &&Located| !places(b)[which].1.is_empty();
                let batch = found.iter().skip(n + 1).find(hit).expect("a batch with such bytes");
                let (name, bytes) = places(batch)[which].clone();
                disk.unreadable(path, bytes, None);
                (expected, what) = (expected + u64::from(batch.header.count), name);
            }
            let seen = look(&disk, what);
            assert_eq!((4000 - seen.lines as u64, seen.told), (expected, expected), "clean: {clean}, {what}: {:?}", seen.report);
        }
    }
}

#[test]
fn a_segment_of_which_nothing_can_be_read_is_lost_alone() {
    for clean in [true, false] {
        let disk = written(clean, |_| ());
        let path: &PathBuf = &segments(&disk)[1];
        let expected: u64 = batches(&disk, path).iter().map(|b| u64::from(b.header.count)).sum();
        disk.unreadable(path, 0..u64::MAX, None);
        let seen = look(&disk, "a whole segment");
        assert_eq!((seen.missing(), seen.told), (expected, expected), "clean: {clean}: {:?}", seen.report);
        assert!(!seen.report.damaged.is_empty(), "it is said");
    }
}

#[test]
fn an_unsure_tail_that_cannot_be_read_is_torn_but_not_silently() {
    let disk = SimDisk::new(3);
    {
        // One segment, so that nothing but its batches tells how far it goes.
        let queue = open_with(&disk, |_| ()).unwrap();
        join(&queue, "g");
        let (stream, mut at) = (queue.declare(spec(1)), 0);
        for chunk in file(1)[..300].chunks(100) {
            let b = block(&stream, at, chunk);
            at = b.source_end;
            queue.append(b).unwrap();
            assert!(queue.flush(LONG));
        }
        queue.abandon();
    }
    let path = segments(&disk).pop().unwrap();
    let last = batches(&disk, &path).pop().unwrap();
    disk.unreadable(&path, last.pos..last.next_pos(), None);
    let seen = look(&disk, "the tail");
    assert_eq!((seen.lines, seen.missing(), seen.told), (200, 0, 0), "the source still has it: {:?}", seen.report);
    assert!(seen.report.damaged.iter().any(|d| d.contains("cannot be read")), "{:?}", seen.report);
}

#[test]
fn small_files_that_cannot_be_read_keep_nothing_shut() {
    for name in ["queue.meta", "streams-0.snap", "streams-1.snap", "groups/journal"] {
        let disk = written(true, |_| ());
        disk.unreadable(&Path::new("/sim").join(name), 0..u64::MAX, None);
        let seen = look(&disk, name);
        assert_eq!((seen.lines, seen.told), (4000, 0), "{name}: {:?}", seen.report);
    }
}

#[test]
fn a_disk_that_reads_nothing_makes_the_consumer_wait_and_lose_nothing() {
    let disk = written(true, |_| ());
    let queue = open_with(&disk, |o| o.retention.bytes = 1 << 30).unwrap();
    let mut consumer = join(&queue, "g");
    everything(&disk, None);
    for _ in 0..2 {
        assert!(matches!(consumer.poll(&LIMITS, Duration::ZERO), Err(FetchError::Io { .. })));
    }
    disk.heal();
    assert_eq!(consume(&mut *consumer, 4000).len(), 4000);
    assert_eq!(queue.status().lost_events, 0);
}
