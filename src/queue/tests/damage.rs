//! Files that were damaged, cut short, taken away or doubled while the agent was not looking: the queue
//! opens, delivers nothing wrong, and tells what is lost.

use super::sim::SimDisk;
use super::world::{World, file, open, open_with};
use super::*;
use crate::queue::{Acks, Compression, RecoveryReport};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// A disk with the first file's 4,000 lines in several segments; closed in good order, or as `kill -9` leaves it.
pub(super) fn written(clean: bool, change: impl FnOnce(&mut QueueOptions)) -> SimDisk {
    let disk = SimDisk::new(1);
    let queue = open_with(&disk, |o| {
        o.retention.bytes = 1 << 30;
        change(o);
    })
    .unwrap();
    join(&queue, "g");
    let stream = queue.declare(spec(1));
    let mut at = 0;
    for chunk in file(1).chunks(50) {
        let b = block(&stream, at, chunk);
        at = b.source_end;
        queue.append(b).unwrap();
    }
    assert!(queue.flush(LONG));
    if clean {
        queue.close();
    } else {
        queue.abandon();
    }
    drop(queue);
    disk
}

/// An independent copy of what is durable.
fn copy(disk: &SimDisk) -> SimDisk {
    disk.after_power_cut()
}

pub(super) fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    disk.paths().into_iter().filter(|p| p.to_str().is_some_and(|s| s.contains("/logs/0/") && s.ends_with(".seg"))).collect()
}

pub(super) struct Seen {
    pub(super) lines: usize,
    pub(super) told: u64,
    pub(super) report: RecoveryReport,
    /// Where the source would read on.
    resume: u64,
}

impl Seen {
    /// Lines that are neither there, nor read again from the source.
    pub(super) fn missing(&self) -> u64 {
        let again =
            file(1).into_iter().scan(0, |at, l| Some(std::mem::replace(at, *at + l.len() as u64 + 1))).filter(|at| *at >= self.resume);
        4000u64.saturating_sub(self.lines as u64).saturating_sub(again.count() as u64)
    }
}

/// Opens the queue, appends one more line, and takes all that group `g` gets.
pub(super) fn look(disk: &SimDisk, what: &str) -> Seen {
    let queue = open_with(disk, |o| o.retention.bytes = 1 << 30).unwrap_or_else(|e| panic!("{what}: {e}"));
    let resume = queue.streams().iter().find(|s| s.spec().key == 1).map_or(0, |s| s.durable().end);
    let other = queue.declare(spec(77));
    queue.append(block(&other, 0, &["one more".into()])).unwrap();
    assert!(queue.flush(LONG));
    let mut consumer = join(&queue, "g");
    let (mut seen, mut more) = (World::default(), false);
    while !more {
        let batch = consumer.poll(&LIMITS, LONG).unwrap().unwrap_or_else(|| panic!("{what}: the consumer is stuck"));
        more = events(&batch).iter().any(|e| e.0 == 77);
        seen.deliver(&batch);
        consumer.acker().ack(&batch.id);
    }
    assert_eq!(
        queue.lag("g").events,
        0,
        "{what}: {:?} {:?}",
        queue.lag("g"),
        consumer.poll(&LIMITS, LONG).map(|b| b.map(|b| (b.id.clone(), events(&b))))
    );
    let (mut at, mut expected) = (0, std::collections::BTreeMap::new());
    for line in file(1) {
        let next = at + line.len() as u64 + 1;
        expected.insert((1u128, at), line);
        at = next;
    }
    seen.delivered.remove(&(77, 0));
    for (key, line) in &seen.delivered {
        assert_eq!(expected.get(key), Some(line), "{what}: not what the file says");
    }
    assert_eq!(seen.redelivered, 0, "{what}: doubled");
    let told = queue.status().lost_events;
    let lines = seen.delivered.len();
    Seen { lines, told, report: queue.recovery().clone(), resume }
}

fn assert_whole(disk: &SimDisk, what: &str) -> Seen {
    let seen = look(disk, what);
    assert_eq!((seen.lines, seen.told), (4000, 0), "{what}: {:?}", seen.report);
    seen
}

/// What is missing is told, and not more than that.
fn assert_told(seen: &Seen, what: &str) {
    assert!(seen.told >= seen.missing(), "{what}: {} lost, {} told; {:?}", seen.missing(), seen.told, seen.report);
    assert!(seen.told <= 4000 - seen.lines as u64, "{what}: {} of 4000 came, {} told as lost", seen.lines, seen.told);
}

/// A segment whose last batch was never made durable as far as anybody knows.
pub(super) struct Tail {
    disk: SimDisk,
    path: PathBuf,
    whole: Vec<u8>,
    /// Byte of the segment where the last batch begins.
    last: usize,
    /// Byte of the source where it begins.
    before_last: u64,
    per_batch: u64,
}

impl Tail {
    /// A disk with three batches of so many lines.
    pub(super) fn new(per_batch: u64, codec: Compression) -> Tail {
        let disk = SimDisk::new(3);
        let queue = open_with(&disk, |o| o.compression = codec).unwrap();
        join(&queue, "g");
        let stream = queue.declare(spec(1));
        let (mut at, mut before_last) = (0, 0);
        for n in 0..3 {
            let b = block(&stream, at, &lines(n * per_batch, per_batch));
            (before_last, at) = (at, b.source_end);
            queue.append(b).unwrap();
            assert!(queue.flush(LONG));
        }
        queue.abandon();
        drop(queue);
        let path = segments(&disk).pop().unwrap();
        let whole = disk.get(&path);
        // The last batch has no stream records before it: header, one run, payload, padding.
        let last = (0..whole.len()).rev().find(|i| whole[*i..].starts_with(b"FBB1")).unwrap();
        Tail { disk, path, whole, last, before_last, per_batch }
    }

    /// Lengths at which a cut leaves less than the whole last batch.
    pub(super) fn cuts(&self) -> std::ops::Range<usize> {
        self.last..self.whole.len() - self.whole.iter().rev().take_while(|b| **b == 0).count()
    }

    /// Cuts the segment there, or leaves zeros from there on, where the file system had the new length already but not the bytes.
    /// Gives the events that arrived.
    pub(super) fn tear(&self, cut: usize, zeros: bool) -> u64 {
        let disk = copy(&self.disk);
        let mut bytes = self.whole[..cut].to_vec();
        if zeros {
            bytes.resize(self.whole.len(), 0);
        }
        disk.put(&self.path, bytes);
        let queue = open(&disk).unwrap();
        assert_eq!(queue.streams()[0].durable().end, self.before_last, "cut at {cut}");
        assert!(queue.recovery().lost.is_empty(), "{:?}", queue.recovery());
        // The source reads the rest again; nothing may be lost, doubled or changed.
        queue.append(block(&queue.streams()[0], self.before_last, &lines(2 * self.per_batch, self.per_batch))).unwrap();
        assert!(queue.flush(LONG));
        let got: Vec<_> = consume(&mut *join(&queue, "g"), 3 * self.per_batch as usize).into_iter().map(|e| e.2).collect();
        assert_eq!(got, lines(0, 3 * self.per_batch), "cut at {cut}");
        got.len() as u64
    }
}

#[test]
fn a_tail_torn_at_any_byte_recovers_to_the_batch_before() {
    let tail = Tail::new(5, Compression::None);
    for cut in tail.cuts() {
        tail.tear(cut, false);
        tail.tear(cut, true);
    }
}

#[test]
fn a_lost_or_damaged_index_is_made_anew() {
    for clean in [true, false] {
        let pristine = written(clean, |_| ());
        let indices: Vec<_> = pristine.paths().into_iter().filter(|p| p.extension().is_some_and(|e| e == "idx")).collect();
        assert!(indices.len() > 1);
        for (n, path) in indices.iter().enumerate() {
            for how in 0..4 {
                let disk = copy(&pristine);
                match how {
                    0 => disk.take_away(path),
                    1 => disk.put(path, Vec::new()),
                    2 => disk.put(path, disk.get(path)[..20].to_vec()),
                    _ => disk.put(path, disk.get(&indices[(n + 1) % indices.len()])),
                }
                assert_whole(&disk, &format!("{} how {how}", path.display()));
            }
        }
    }
}

#[test]
fn segments_that_are_missing_empty_cut_or_zeroed_are_told() {
    for clean in [true, false] {
        let pristine = written(clean, |_| ());
        let all = segments(&pristine);
        assert!(all.len() >= 3, "{all:?}");
        for path in &all {
            let len = pristine.get(path).len();
            for how in ["missing", "empty", "half a header", "only a header", "cut", "zeroed", "header zeroed"] {
                let disk = copy(&pristine);
                let mut bytes = disk.get(path);
                match how {
                    "missing" => disk.take_away(path),
                    "zeroed" => disk.put(path, vec![0; len]),
                    "header zeroed" => {
                        bytes[..4096].fill(0);
                        disk.put(path, bytes);
                    }
                    _ => {
                        bytes.truncate(match how {
                            "empty" => 0,
                            "half a header" => 2000,
                            "only a header" => 4096,
                            _ => len / 2,
                        });
                        disk.put(path, bytes);
                    }
                }
                let what = format!("{} {how}, closed in order: {clean}", path.display());
                let seen = look(&disk, &what);
                assert_told(&seen, &what);
                if how == "header zeroed" {
                    assert_eq!(seen.lines, 4000, "{what}: a segment can be read without its header");
                    assert!(!seen.report.damaged.is_empty(), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_copied_or_renamed_segment_is_not_read_twice() {
    for clean in [true, false] {
        let pristine = written(clean, |_| ());
        let all = segments(&pristine);
        let name = |p: &PathBuf| p.file_name().unwrap().to_str().unwrap().to_string();
        let (base, id) = crate::queue::segment::parse_name(&name(&all[1])).unwrap();
        let copies = [
            crate::queue::segment::file_name(base, id + 1000),
            crate::queue::segment::file_name(base + 10, id),
            crate::queue::segment::file_name(1_000_000, id),
            crate::queue::segment::file_name(base, id) + ".bak",
            "copy of ".to_string() + &name(&all[1]),
        ];
        for copied in copies {
            let disk = copy(&pristine);
            disk.put(&all[1].with_file_name(&copied), disk.get(&all[1]));
            assert_whole(&disk, &copied);
        }
        // Into a partition of another topic: offsets and order there are another's.
        let disk = copy(&pristine);
        let there = PathBuf::from(all[1].to_str().unwrap().replace("/logs/0/", "/dead-letter/0/"));
        disk.put(&there, disk.get(&all[1]));
        let queue = open(&disk).unwrap();
        let status = queue.status();
        let dead = status.partitions.iter().find(|p| p.topic == "dead-letter").unwrap();
        assert_eq!(dead.end_offset, 0, "a stranger's segment");
    }
}

#[test]
fn a_segment_of_another_queue_is_not_read() {
    let (disk, other) = (written(true, |_| ()), written(true, |_| ()));
    let theirs = segments(&other).remove(1);
    let mine = segments(&disk).remove(1);
    disk.take_away(&mine);
    disk.put(&theirs, other.get(&theirs));
    let seen = look(&disk, "another queue's segment");
    assert!(seen.lines < 4000 && seen.told == 4000 - seen.lines as u64, "{} came, {} told", seen.lines, seen.told);
    assert!(seen.report.damaged.iter().any(|d| d.contains("another queue")), "{:?}", seen.report);
}

#[test]
fn missing_or_flipped_snapshots_lose_no_event() {
    for clean in [true, false] {
        let pristine = written(clean, |_| ());
        let snaps: Vec<_> = pristine.paths().into_iter().filter(|p| p.extension().is_some_and(|e| e == "snap")).collect();
        assert!(!snaps.is_empty());
        for which in [&snaps[..1], &snaps[snaps.len() - 1..], &snaps[..]] {
            for flipped in [false, true] {
                let disk = copy(&pristine);
                for path in which {
                    if flipped {
                        disk.flip(path, 12_345).unwrap();
                    } else {
                        disk.take_away(path);
                    }
                }
                let seen = assert_whole(&disk, &format!("{which:?} flipped {flipped}"));
                assert_eq!(seen.report.damaged.len(), if flipped { which.len() } else { 0 }, "{:?}", seen.report);
                let end: usize = file(1).iter().map(|l| l.len() + 1).sum();
                assert_eq!(seen.resume, end as u64, "the positions are in the record batches still");
            }
        }
    }
}

#[test]
fn positions_that_are_lost_with_both_snapshots_are_told() {
    let disk = SimDisk::new(9);
    let mut world = World::default();
    assert!(world.live(&disk, LONG));
    {
        // Until acknowledged segments are deleted, and with the snapshots the positions of what was in them would be gone.
        let queue = open(&disk).unwrap();
        let (mut consumer, stream) = (join(&queue, "g"), queue.declare(spec(50)));
        let (mut at, until) = (0, std::time::Instant::now() + LONG);
        while segments(&disk)[0].to_str().unwrap().contains("/00000000000000000000-") {
            assert!(std::time::Instant::now() < until, "nothing is deleted");
            let b = block(&stream, at, &lines(0, 100));
            at = b.source_end;
            queue.append(b).unwrap();
            consume(&mut *consumer, 100);
        }
        // What the first life had in flight came first, so some of these lines may still be waiting; without the
        // flush the newest of them would not count as lag yet.
        assert!(queue.flush(LONG));
        while queue.lag("g").events > 0 {
            consume(&mut *consumer, 1);
        }
    }
    disk.take_away("/sim/streams-0.snap".as_ref());
    disk.take_away("/sim/streams-1.snap".as_ref());
    let queue = open(&disk).unwrap();
    assert!(queue.recovery().damaged.iter().any(|d| d.contains("snapshots")), "{:?}", queue.recovery());
    drop(queue);
    assert!(world.live(&disk, LONG));
    world.check();
}

#[test]
fn a_lost_or_flipped_queue_meta_is_made_anew_from_the_segments() {
    for clean in [true, false] {
        let pristine = written(clean, |_| ());
        let path = PathBuf::from("/sim/queue.meta");
        let (uuid, epoch) = {
            let queue = open(&copy(&pristine)).unwrap();
            (
                queue.uuid(),
                crate::queue::segment::parse_name(segments(&pristine)[0].file_name().unwrap().to_str().unwrap()).unwrap().1 >> 32,
            )
        };
        let bits = pristine.get(&path).len() as u64 * 8;
        for flip in (0..bits).map(Some).chain([None]) {
            let disk = copy(&pristine);
            match flip {
                Some(bit) => disk.flip(&path, bit).unwrap(),
                None => disk.take_away(&path),
            }
            let what = format!("bit {flip:?}: {:?}", String::from_utf8_lossy(&disk.get(&path)));
            {
                let queue = open(&disk).unwrap_or_else(|e| panic!("{what}: {e}"));
                assert_eq!(queue.uuid(), uuid, "{what}");
                let stream = queue.declare(spec(5));
                queue.append(block(&stream, 0, &["x".into()])).unwrap();
                assert!(queue.flush(LONG));
                let newest =
                    segments(&disk).iter().filter_map(|p| crate::queue::segment::parse_name(p.file_name()?.to_str()?)).map(|s| s.1).max();
                assert!(newest.unwrap() >> 32 > epoch, "{what}: an epoch is used twice");
            }
        }
    }
}

#[test]
fn a_lost_flipped_or_torn_journal_only_delivers_again() {
    let disk = written(true, |_| ());
    {
        let queue = open_with(&disk, |o| o.retention.bytes = 1 << 30).unwrap();
        consume(&mut *join(&queue, "g"), 4000);
    }
    let path = PathBuf::from("/sim/groups/journal");
    let whole = disk.get(&path);
    for how in 0..40usize {
        let disk = copy(&disk);
        match how {
            0 => disk.take_away(&path),
            1 => disk.put(&path, Vec::new()),
            n if n % 2 == 0 => disk.put(&path, whole[..whole.len() * n / 40].to_vec()),
            n => disk.flip(&path, n as u64 * 7_919).unwrap(),
        }
        let seen = look(&disk, &format!("journal {how}"));
        assert_eq!(seen.told, 0, "journal {how}");
        assert!(seen.lines == 4000 || seen.lines == 0, "journal {how}: {}", seen.lines);
        if how == 0 {
            assert!(seen.report.damaged.iter().any(|d| d.contains("journal")), "{:?}", seen.report);
        }
    }
}

/// A flipped bit anywhere never gives a wrong event, never stops the queue from opening, and what it takes is told.
#[test]
fn a_flipped_bit_is_never_a_wrong_event() {
    for (n, codec) in [Compression::None, Compression::Lz4, Compression::Zstd].into_iter().enumerate() {
        let pristine = written(n != 1, |o| o.compression = codec);
        for flip in 0..50u64 {
            flip_one(&pristine, flip);
        }
    }
}

/// Flips one bit of some file; gives how many events it took, and how many of these were told.
pub(super) fn flip_one(pristine: &SimDisk, flip: u64) -> (u64, u64) {
    let disk = copy(pristine);
    let files: BTreeSet<_> = disk.paths().into_iter().filter(|p| p.extension().is_none_or(|e| e != "tmp")).collect();
    let files: Vec<_> = files.into_iter().filter(|p| !disk.get(p).is_empty()).collect();
    let path = &files[(flip % files.len() as u64) as usize];
    disk.flip(path, flip.wrapping_mul(0x9e37_79b9_7f4a_7c15)).unwrap();
    let what = format!("flip {flip} in {}", path.display());
    let seen = look(&disk, &what);
    assert!(seen.missing() <= 400, "{what}: one bit took {} events", seen.missing());
    assert_told(&seen, &what);
    (seen.missing(), seen.told)
}

#[test]
fn the_number_of_a_stream_whose_record_is_damaged_is_never_another_streams() {
    let disk = copy(&written(false, |_| {}));
    for path in segments(&disk) {
        // In the payload of the stream records, which stand first.
        if let Some(first) = disk.get(&path).windows(4).position(|w| w == b"FBB1") {
            disk.flip(&path, (first as u64 + 64 + 8) * 8).unwrap();
        }
    }
    disk.paths().iter().filter(|p| p.extension().is_some_and(|e| e == "snap")).for_each(|p| disk.take_away(p));
    let queue = open(&disk).unwrap();
    let known: Vec<u64> = queue.streams().iter().map(|s| s.id).collect();
    assert!(!known.contains(&1), "its record is damaged: {known:?}");
    assert!(queue.declare(spec(77)).id > 1, "events of the first stream would be taken for those of another file");
}

#[test]
fn damage_behind_a_consumer_does_not_take_what_is_before_it() {
    let disk = SimDisk::new(4);
    let o = |o: &mut QueueOptions| (o.batch_size, o.segment_bytes, o.retention.bytes) = (1 << 10, 1 << 20, 1 << 30);
    {
        let queue = open_with(&disk, o).unwrap();
        let mut consumer = join(&queue, "g");
        let stream = queue.declare(spec(1));
        let mut at = 0;
        for chunk in file(1)[..200].chunks(100) {
            let b = block(&stream, at, chunk);
            at = b.source_end;
            queue.append(b).unwrap();
            assert!(queue.flush(LONG));
        }
        // In the middle of the second batch, which one index entry covers together with the first.
        let limits = Limits { max_events: 150, ..LIMITS };
        let mut got = 0;
        while got < 150 {
            let batch = consumer.poll(&Limits { max_events: 150 - got, ..limits }, LONG).unwrap().unwrap();
            got += batch.events;
            consumer.acker().ack(&batch.id);
        }
    }
    let path = segments(&disk).remove(0);
    let first = disk.get(&path).windows(4).position(|w| w == b"FBB1").unwrap();
    disk.flip(&path, (first as u64 + 10) * 8).unwrap();
    let queue = open_with(&disk, o).unwrap();
    let got = consume(&mut *join(&queue, "g"), 50);
    assert_eq!(got.iter().map(|e| e.2.clone()).collect::<Vec<_>>(), file(1)[150..200]);
    assert_eq!(queue.status().lost_events, 0);
}

#[test]
fn a_lost_tail_does_not_hold_up_a_drain() {
    let disk = written(true, |_| ());
    let last = segments(&disk).pop().unwrap();
    disk.take_away(&last);
    let queue = open_with(&disk, |o| o.retention.bytes = 1 << 30).unwrap();
    let mut consumer = join(&queue, "g");
    let until = std::time::Instant::now() + LONG;
    while queue.lag("g").events > 0 {
        assert!(std::time::Instant::now() < until, "the lag stays at {}", queue.lag("g").events);
        if let Some(batch) = consumer.poll(&LIMITS, Duration::ZERO).unwrap() {
            consumer.acker().ack(&batch.id);
        }
    }
    assert!(queue.status().lost_events > 0);
}

#[test]
fn stray_names_in_the_data_dir_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    drop(Queue::open(options(dir.path()), &["logs".into()]).unwrap());
    std::fs::write(dir.path().join("topics/README"), "x").unwrap();
    std::fs::create_dir(dir.path().join("topics/logs/4000000000")).unwrap();
    std::fs::write(dir.path().join("topics/logs/7"), "x").unwrap();
    std::fs::write(dir.path().join("topics/logs/0/99999999999999999999-ffffffffffffffff.seg"), "x").unwrap();
    std::fs::write(dir.path().join("topics/logs/0/18446744073709551615-ffffffffffffffff.seg"), vec![7; 9000]).unwrap();
    let queue = Queue::open(options(dir.path()), &["logs".into()]).unwrap();
    assert!(queue.status().partitions.len() <= 4, "{}", queue.status().partitions.len());
    let stream = queue.declare(spec(1));
    queue.append(block(&stream, 0, &lines(0, 10))).unwrap();
    assert_eq!(consume(&mut *join(&queue, "g"), 10).len(), 10);
}

#[test]
fn compressed_batches_come_back_as_they_went_in() {
    for codec in [Compression::Lz4, Compression::Zstd] {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let o = QueueOptions { compression: codec, acks: Acks::Synced, ..options(dir.path()) };
            Queue::open(o, &["logs".into()]).unwrap()
        };
        let queue = open();
        let stream = queue.declare(spec(1));
        queue.append(block(&stream, 0, &lines(0, 5000))).unwrap();
        assert!(queue.flush(LONG));
        // Not closed: the next start checks the batches and copies them forward.
        queue.abandon();
        drop(queue);
        let queue = open();
        let got: Vec<_> = consume(&mut *join(&queue, "g"), 5000).into_iter().map(|e| e.2).collect();
        assert_eq!(got, lines(0, 5000));
        let logs = queue.status().partitions.into_iter().find(|p| p.topic == "logs").unwrap();
        let raw: usize = got.iter().map(|l| l.len() + 1).sum();
        assert!(logs.bytes < raw as u64 / 2, "{codec:?}: {} bytes of {raw}", logs.bytes);
    }
}

#[test]
fn the_largest_event_in_the_largest_batch_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let o = || QueueOptions { batch_size: 64 << 20, segment_bytes: 256 << 20, buffer_memory: 512 << 20, ..options(dir.path()) };
    let line = "z".repeat(66 << 20);
    {
        let queue = Queue::open(o(), &["logs".into()]).unwrap();
        let stream = queue.declare(spec(1));
        queue.append(block(&stream, 0, std::slice::from_ref(&line))).unwrap();
        assert!(queue.flush(LONG));
        queue.abandon();
    }
    let queue = Queue::open(o(), &["logs".into()]).unwrap();
    assert_eq!(queue.recovery().copied_events, 1);
    assert!(consume(&mut *join(&queue, "g"), 1)[0].2 == line);
}
