//! What the queue may take: of the disk, of time, and what it does at the limit.

use super::sim::SimDisk;
use super::world::{Life, open_at, open_with};
use super::*;
use crate::queue::{AppendError, Cause, OnFull, Reader, Severity, Start, View, verify};
use std::collections::BTreeSet;
use std::path::PathBuf;

fn count(disk: &SimDisk, suffix: &str) -> usize {
    disk.paths().iter().filter(|p| p.to_str().is_some_and(|p| p.ends_with(suffix))).count()
}

/// Appends `n` lines in blocks of 100 from byte `at` on; gives the byte after them.
fn append(queue: &Queue, stream: &Arc<Stream>, mut at: u64, from: u64, n: u64) -> u64 {
    for first in (from..from + n).step_by(100) {
        let b = block(stream, at, &lines(first, 100));
        at = b.source_end;
        queue.append(b).unwrap();
    }
    at
}

/// Somebody else's file takes all that is free.
fn fill_disk(disk: &SimDisk) {
    let free = crate::queue::disk::Disk::space(disk, Path::new("/sim")).unwrap().free;
    disk.put(&PathBuf::from("/elsewhere"), vec![1; free as usize]);
}

#[test]
fn an_absent_group_holds_for_its_time_and_then_lets_go() {
    let (disk, clock) = (SimDisk::new(1), Arc::new(TestClock::default()));
    let hour = Duration::from_secs(3600);
    let at = {
        let queue = open_at(&disk, clock.clone(), |_| ()).unwrap();
        join(&queue, "old");
        join(&queue, "new");
        let stream = queue.declare(spec(1));
        append(&queue, &stream, 0, 0, 4000)
    };
    // It is the sink's last life that counts, not the group's last delivery.
    clock.forward(5 * hour);
    let queue = open_at(&disk, clock.clone(), |o| o.absent_groups = 7 * hour).unwrap();
    let mut consumer = join(&queue, "new");
    assert_eq!(queue.absent_groups()[0].held_bytes, 0, "the other one has not read it either");
    consume(&mut *consumer, 4000);
    let absent = queue.absent_groups();
    assert_eq!((absent.len(), absent[0].group.as_str()), (1, "old"));
    assert!(absent[0].held_bytes > 200_000 && (6_000_000..=7_200_000).contains(&absent[0].left_ms), "{absent:?}");
    let stream = queue.streams()[0].clone();
    let at = append(&queue, &stream, at, 4000, 1000);
    assert!(queue.flush(LONG));
    consume(&mut *consumer, 1000);
    assert_eq!(queue.status().partitions[1].first_offset, 0, "{:?}", queue.status().partitions);
    clock.forward(3 * hour);
    let (mut at, mut n) = (at, 5000);
    wait_for("the group has let go", || {
        at = append(&queue, &stream, at, n, 100);
        n += 100;
        assert!(queue.flush(LONG));
        consume(&mut *consumer, 100);
        queue.status().partitions[1].first_offset > 0
    });
    assert_eq!(queue.status().lost_events, 0, "nobody waits for it");
}

#[test]
fn a_group_that_is_gone_for_long_holds_still_when_the_agent_starts() {
    let (disk, clock) = (SimDisk::new(2), Arc::new(TestClock::default()));
    {
        let queue = open_at(&disk, clock.clone(), |_| ()).unwrap();
        join(&queue, "old");
        join(&queue, "new");
        append(&queue, &queue.declare(spec(1)), 0, 0, 4000);
    }
    clock.forward(Duration::from_secs(365 * 86_400));
    let queue = open_at(&disk, clock.clone(), |_| ()).unwrap();
    let absent = queue.absent_groups();
    assert!(absent.iter().all(|a| a.left_ms > 3_000_000), "an hour to read the warning: {absent:?}");
}

#[test]
fn dead_letters_are_kept_as_configured() {
    let disk = SimDisk::new(3);
    let queue = open_with(&disk, |o| o.dead_letters.bytes = 200_000).unwrap();
    let letters = crate::queue::DeadLetterWriter::new(&queue);
    wait_for("the oldest dead letters have expired", || {
        crate::queue::DeadLetters::put(&letters, vec![vec![b'x'; 20_000]; 5]).unwrap();
        queue.status().lost_events > 0
    });
    let kept = &queue.status().partitions[0];
    assert!(kept.first_offset > 0 && kept.bytes < 600_000, "{kept:?}");
}

#[test]
fn the_queue_leaves_the_floor_free_and_goes_on_when_there_is_room() {
    let disk = SimDisk::new(4);
    let queue = open_with(&disk, |o| {
        (o.min_free_bytes, o.buffer_memory, o.max_block) = (Some(1 << 20), 4 << 20, Duration::from_millis(50));
    })
    .unwrap();
    let mut consumer = join(&queue, "g");
    disk.leave_free((1 << 20) + (300 << 10));
    let stream = queue.declare(spec(1));
    let mut at = append(&queue, &stream, 0, 0, 8000);
    assert!(!queue.flush(Duration::from_millis(300)), "{:?}", queue.status());
    let status = queue.status();
    assert_eq!(status.state, "full");
    assert!(status.reason.contains("queue.min_free_bytes") && status.reason.contains("furthest behind is sink `g`"), "{}", status.reason);
    assert!(crate::queue::disk::Disk::space(&disk, Path::new("/")).unwrap().free >= 1 << 20, "the floor is left free");
    let (mut n, mut refused) = (8000, None);
    wait_for("an append is refused", || {
        let b = block(&stream, at, &lines(n, 100));
        let end = b.source_end;
        match queue.append(b) {
            Ok(()) => (at, n) = (end, n + 100),
            Err(e) => refused = Some(e),
        }
        refused.is_some()
    });
    let Some(AppendError::TimedOut { reason, .. }) = refused else { panic!("{refused:?}") };
    assert!(reason.starts_with("the disk is nearly full: the disk of ") && reason.contains("1.0 MiB are to stay free"), "{reason}");
    // Delivering makes room by itself.
    consume(&mut *consumer, n as usize);
    assert!(queue.flush(LONG));
    assert_eq!(queue.status().state, "ok");
}

#[test]
fn a_push_input_reads_that_the_queue_is_full_or_that_the_disk_fails() {
    for (full, expected) in [(true, "the queue is full: queue.max_bytes (100.0 KiB) is reached"), (false, "disk error: cannot write to ")] {
        let disk = SimDisk::new(5);
        let change = |o: &mut QueueOptions| {
            (o.buffer_memory, o.max_block) = (4 << 20, Duration::from_millis(50));
            o.max_bytes = if full { 100 << 10 } else { 10 << 30 };
            o.segment_bytes = 20 << 10;
        };
        let queue = open_with(&disk, change).unwrap();
        join(&queue, "g");
        if !full {
            disk.leave(100 << 10);
        }
        let stream = queue.declare(spec(1));
        let (mut at, mut n, mut refused) = (0, 0, None);
        wait_for("an append is refused", || {
            let b = block(&stream, at, &lines(n, 1000));
            (at, n) = (b.source_end, n + 1000);
            refused = queue.append(b).err();
            refused.is_some()
        });
        let Some(AppendError::TimedOut { reason, .. }) = refused else { panic!("{refused:?}") };
        assert!(reason.starts_with(expected), "{reason}");
        queue.abandon();
    }
}

#[test]
fn what_is_acknowledged_goes_when_others_fill_the_disk() {
    let disk = SimDisk::new(6);
    disk.leave_free(64 << 20);
    let queue = open_with(&disk, |o| o.retention.bytes = 1 << 30).unwrap();
    let mut consumer = join(&queue, "g");
    let stream = queue.declare(spec(1));
    append(&queue, &stream, 0, 0, 8000);
    consume(&mut *consumer, 8000);
    assert!(queue.flush(LONG));
    assert_eq!(queue.status().partitions[1].first_offset, 0, "kept for a replay");
    fill_disk(&disk);
    let (mut at, mut n) = (stream.durable().end, 8000);
    wait_for("room is made", || {
        at = append(&queue, &stream, at, n, 100);
        n += 100;
        queue.flush(Duration::from_millis(100)) && queue.status().partitions[1].first_offset > 0
    });
}

#[test]
fn delivery_goes_on_when_others_have_filled_the_disk_and_so_does_the_next_start() {
    for ballast in [true, false] {
        let disk = SimDisk::new(7);
        if ballast {
            disk.leave_free(64 << 20);
        }
        let queue = open_with(&disk, |_| ()).unwrap();
        assert_eq!(count(&disk, "/ballast"), usize::from(ballast));
        let mut consumer = join(&queue, "g");
        let stream = queue.declare(spec(1));
        append(&queue, &stream, 0, 0, 6000);
        assert!(queue.flush(LONG));
        disk.leave_free(0);
        // Enough batches for the journal to be written anew.
        let one = Limits { max_events: 1, ..LIMITS };
        for _ in 0..5000 {
            let batch = consumer.poll(&one, LONG).unwrap().unwrap();
            consumer.acker().ack(&batch.id);
        }
        let in_flight = consumer.poll(&LIMITS, LONG).unwrap().unwrap();
        queue.abandon();
        drop(queue);
        let disk = disk.after_power_cut();
        fill_disk(&disk);
        let queue = open_with(&disk, |_| ()).unwrap();
        assert_eq!(count(&disk, "/ballast"), 0, "there is no room for it");
        assert!(queue.recovery().lost.is_empty(), "{:?}", queue.recovery());
        let mut consumer = join(&queue, "g");
        let again = consumer.poll(&LIMITS, LONG).unwrap().unwrap();
        if ballast {
            assert!(again.id.first <= in_flight.id.first, "nothing is skipped");
        }
        consumer.acker().ack(&again.id);
        drop(queue);
        disk.leave_free(64 << 20);
        let _queue = open_with(&disk, |_| ()).unwrap();
        assert_eq!(count(&disk, "/ballast"), 1, "there is room again");
    }
}

fn small(policy: OnFull) -> impl Fn(&mut QueueOptions) {
    move |o| (o.on_full, o.max_bytes, o.segment_bytes) = (policy, 200 << 10, 20 << 10)
}

/// Byte ranges of the stream with number `stream` that the ledger tells as lost.
fn lost_spans(queue: &Queue, stream: u64) -> Vec<(u64, u64)> {
    let entries = queue.losses().all();
    let of = entries.iter().filter(|e| e.stream.as_ref().is_some_and(|s| s.number == stream));
    of.flat_map(|e| e.spans.iter().map(|s| (s.start, s.end))).collect()
}

#[test]
fn drop_oldest_takes_only_from_who_lags() {
    let disk = SimDisk::new(8);
    let queue = open_with(&disk, small(OnFull::DropOldest)).unwrap();
    let (mut one, mut two, mut dead) = (join(&queue, "one"), join(&queue, "two"), join(&queue, "dead"));
    let stream = queue.declare(spec(1));
    let (mut at, mut seen) = (0, 0);
    for from in (0..12_000).step_by(100) {
        at = append(&queue, &stream, at, from, 100);
        assert!(queue.flush(LONG), "it does not stop: {:?}", queue.status());
        for consumer in [&mut one, &mut two] {
            let got = consume(&mut **consumer, 100);
            assert!(got.iter().map(|e| &e.2).eq(lines(from, 100).iter()), "line {from}");
        }
        seen += 100;
    }
    let status = queue.status();
    assert!(status.state == "dropping" && status.reason.contains("queue.max_bytes (200.0 KiB) is reached"), "{status:?}");
    assert_eq!((status.lost_events, seen), (0, 12_000), "it is no damage");
    let dropped = queue.losses().totals()[&Cause::DroppedOldest];
    assert!(dropped.gone_events > 5000, "{dropped:?}");
    let spans = lost_spans(&queue, stream.id);
    assert_eq!((spans.len(), spans[0].0), (1, 0), "one range from the beginning");
    assert_eq!(dead.acker().lag_events(), 12_000 - dropped.gone_events, "what is gone does not wait");
    let rest = consume(&mut *dead, 12_000 - dropped.gone_events as usize);
    assert_eq!(rest[0].1, spans[0].1, "it goes on where the lost bytes end");
    assert_eq!(rest.last().unwrap().2, lines(11_999, 1)[0]);
    assert_eq!((dead.acker().lag_events(), queue.status().lost_events), (0, 0));
}

#[test]
fn what_nobody_has_read_goes_once_and_is_counted_once() {
    let disk = SimDisk::new(9);
    let dropped = {
        let queue = open_with(&disk, small(OnFull::DropOldest)).unwrap();
        join(&queue, "one");
        join(&queue, "two");
        append(&queue, &queue.declare(spec(1)), 0, 0, 12_000);
        assert!(queue.flush(LONG));
        queue.losses().totals()[&Cause::DroppedOldest].gone_events
    };
    let queue = open_with(&disk, small(OnFull::DropOldest)).unwrap();
    for group in ["one", "two"] {
        consume(&mut *join(&queue, group), 12_000 - dropped as usize);
    }
    assert_eq!(queue.status().lost_events, 0, "the gap was told when it was made");
    assert_eq!(queue.losses().totals()[&Cause::DroppedOldest].gone_events, dropped);
}

#[test]
fn drop_newest_moves_on_and_keeps_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut o = options(dir.path());
    small(OnFull::DropNewest)(&mut o);
    o.batch_size = 8 << 10;
    let queue = Queue::open(o.clone(), &["logs".into()]).unwrap();
    let mut consumer = join(&queue, "g");
    let stream = queue.declare(spec(1));
    let at = append(&queue, &stream, 0, 0, 20_000);
    assert!(queue.flush(LONG));
    assert_eq!((queue.status().state.as_str(), stream.durable().end), ("dropping", at), "the file is done with");
    let dropped = queue.losses().totals()[&Cause::DroppedNewest];
    assert!(dropped.gone_events > 10_000, "{dropped:?}");
    let kept = 20_000 - dropped.gone_events;
    let got = consume(&mut *consumer, kept as usize);
    assert!(got.iter().map(|e| &e.2).eq(lines(0, kept).iter()), "the oldest are there");
    let spans = lost_spans(&queue, stream.id);
    assert_eq!(spans, [(at - dropped.gone_bytes, at)]);
    // There is room again.
    let (mut at, mut n) = (at, 20_000);
    wait_for("appends go on", || {
        at = append(&queue, &stream, at, n, 100);
        n += 100;
        assert!(queue.flush(LONG));
        consumer.poll(&LIMITS, Duration::ZERO).unwrap().is_some_and(|b| {
            consumer.acker().ack(&b.id);
            true
        })
    });
    let (id, uuid) = (stream.id, queue.uuid());
    queue.close();
    drop(queue);
    let found = verify(dir.path(), &mut |_, _| {}).unwrap();
    assert!(found.findings.iter().all(|f| f.severity != Severity::Damage), "{:?}", found.findings);
    let mut readers: Vec<Reader> = View::open(dir.path()).unwrap().readers("logs", None, Start::Earliest).unwrap();
    let mut read = 0;
    while let Some(part) = readers[0].read().unwrap() {
        read += part.count;
    }
    assert!(read > 0);
    let queue = Queue::open(o, &["logs".into()]).unwrap();
    assert_eq!(queue.uuid(), uuid);
    assert_eq!(queue.streams().iter().find(|s| s.id == id).unwrap().durable().end, at);
}

#[test]
fn drop_newest_drops_nothing_while_there_is_something_acknowledged_to_delete() {
    let dir = tempfile::tempdir().unwrap();
    let mut o = options(dir.path());
    small(OnFull::DropNewest)(&mut o);
    // All is kept for a replay, as long as nobody needs the room.
    (o.batch_size, o.retention.bytes) = (8 << 10, u64::MAX);
    let queue = Queue::open(o, &["logs".into()]).unwrap();
    let mut consumer = join(&queue, "g");
    let stream = queue.declare(spec(1));
    let at = append(&queue, &stream, 0, 0, 20_000);
    assert!(queue.flush(LONG));
    let dropped = queue.losses().totals()[&Cause::DroppedNewest].events;
    consume(&mut *consumer, 20_000 - dropped as usize);
    // Longer than it is taken for granted that nothing can go.
    std::thread::sleep(Duration::from_millis(1100));
    append(&queue, &stream, at, 20_000, 300);
    assert!(queue.flush(LONG));
    assert_eq!(queue.losses().totals()[&Cause::DroppedNewest].events, dropped, "everything is acknowledged");
    assert_eq!(consume(&mut *consumer, 300).len(), 300);
}

#[test]
fn what_is_read_again_moves_no_position_when_it_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let mut o = options(dir.path());
    small(OnFull::DropNewest)(&mut o);
    o.batch_size = 8 << 10;
    let queue = Queue::open(o.clone(), &["logs".into()]).unwrap();
    // Without one, what is full is made room in.
    join(&queue, "g");
    let stream = queue.declare(spec(1));
    let at = append(&queue, &stream, 0, 0, 20_000);
    assert!(queue.flush(LONG));
    // Where it takes a second until here, empty segments may have gone, and there is room for it once more.
    let mut end = 0;
    wait_for("it is dropped, and told", || {
        let mut again = block(&stream, 0, &lines(0, 400));
        end = again.source_end;
        again.flags = RunFlags(again.flags.0 | RunFlags::REPAIR);
        queue.append(again).unwrap();
        assert!(queue.flush(LONG));
        assert_eq!(stream.durable().end, at);
        lost_spans(&queue, stream.id).contains(&(0, end))
    });
    assert_eq!(stream.durable().end, at);
    queue.close();
    drop(queue);
    assert_eq!(Queue::open(o, &["logs".into()]).unwrap().streams()[0].durable().end, at);
}

#[test]
fn what_is_in_the_ledger_is_not_entered_again_when_its_runs_cannot_be_written() {
    use crate::queue::disk::Disk;
    use crate::queue::partition::Partition;
    use crate::queue::writer::{PartitionWriter, Shared};
    let (disk, dir, now) = (SimDisk::new(9), Path::new("/p"), std::time::Instant::now());
    disk.create_dir_all(dir).unwrap();
    let partition = Arc::new(Partition::new("logs".into(), 0, dir.into(), Vec::new(), 0));
    let next_segment = AtomicU64::new(1 << 32);
    let shared = Shared { disk: Arc::new(disk.clone()), options: options(dir), queue: 1, epoch: 1, next_segment, cache_cap: 0 };
    let mut writer = PartitionWriter::new(Arc::new(shared), partition);
    let stream = Stream::new(1, 0, spec(1), crate::queue::Position::default());
    writer.push(block(&stream, 0, &lines(0, 10)), now);
    writer.drop_pending(now);
    assert_eq!(writer.begin_recording().map(<[_]>::len), Some(1));
    disk.leave(0);
    assert!(writer.record_dropped(1).is_err());
    assert!(writer.is_in_ledger() && writer.begin_recording().is_none(), "it is counted");
    disk.capacity(None);
    writer.record_dropped(2).unwrap();
    assert!(!writer.is_in_ledger() && !writer.is_recording());
}

/// Whatever the power does: a byte of the source that is behind the position was delivered, is in the queue, or is told as lost.
#[test]
fn no_power_cut_hides_what_was_dropped() {
    for (seed, policy) in (0..24).zip([OnFull::DropOldest, OnFull::DropNewest].into_iter().cycle()) {
        let mut disk = SimDisk::new(seed);
        let mut known: BTreeSet<u64> = BTreeSet::new();
        let mut deliver = |queue: &Life, wait: Duration| {
            let Ok(mut consumer) = queue.subscribe(&Subscription {
                group: "g".into(),
                previous: None,
                topics: vec![],
                pipeline: 0,
                ..Subscription::default()
            }) else {
                return;
            };
            while let Ok(Some(batch)) = consumer.poll(&LIMITS, wait) {
                known.extend(events(&batch).iter().map(|e| e.1));
                consumer.acker().ack(&batch.id);
            }
        };
        let all = lines(0, 9000);
        for cut in 0..3u64 {
            disk.die_after(60 + (seed * 7919 + cut * 104_729) % 400);
            if let Ok(queue) = open_with(&disk, small(policy)) {
                // A sink that reads a little and then no more.
                deliver(&queue, Duration::ZERO);
                let stream = queue.streams().into_iter().next().unwrap_or_else(|| queue.declare(spec(1)));
                let (resume, mut at) = (stream.durable().end, 0);
                for chunk in all.chunks(100) {
                    let b = block(&stream, at, chunk);
                    at = b.source_end;
                    if b.source_start >= resume && (queue.append(b).is_err() || !queue.flush(Duration::from_millis(100))) {
                        break;
                    }
                }
                queue.abandon();
            }
            disk = disk.after_power_cut();
        }
        let queue = open_with(&disk, |_| ()).unwrap();
        deliver(&queue, Duration::from_millis(20));
        let Some(stream) = queue.streams().into_iter().next() else { continue };
        let (spans, mut at) = (lost_spans(&queue, stream.id), 0);
        for line in &all {
            let told = known.contains(&at) || at >= stream.durable().end || spans.iter().any(|(s, e)| (*s..*e).contains(&at));
            assert!(told, "seed {seed}, {policy:?}: byte {at} is behind {} and nobody knows of it: {spans:?}", stream.durable().end);
            at += line.len() as u64 + 1;
        }
    }
}

#[test]
fn a_small_disk_that_others_fill() {
    let dir = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=32m", "tmpfs"]).arg(dir.path()).output();
    if !mounted.is_ok_and(|m| m.status.success()) {
        let text = b"SKIPPED a_small_disk_that_others_fill: this user may not mount a tmpfs\n";
        std::io::Write::write_all(&mut std::io::stderr(), text).unwrap();
        return;
    }
    struct Mount<'a>(&'a Path);
    impl Drop for Mount<'_> {
        fn drop(&mut self) {
            let _ = std::process::Command::new("umount").arg("-l").arg(self.0).output();
        }
    }
    let _mount = Mount(dir.path());
    let data = dir.path().join("data");
    let ours = |policy| QueueOptions { on_full: policy, ..options(&data) };
    let foreign = dir.path().join("foreign");
    let fill = || {
        use std::io::Write;
        let mut file = std::fs::File::create(&foreign).unwrap();
        while file.write_all(&[7; 4096]).is_ok() {}
    };
    let (at, taken) = {
        let queue = Queue::open(ours(OnFull::Block), &["logs".into()]).unwrap();
        assert!(data.join("ballast").exists());
        let mut consumer = join(&queue, "g");
        let stream = queue.declare(spec(1));
        let at = append(&queue, &stream, 0, 0, 20_000);
        assert!(queue.flush(LONG));
        fill();
        let one = Limits { max_events: 2, ..LIMITS };
        for _ in 0..5000 {
            let batch = consumer.poll(&one, LONG).unwrap().unwrap();
            consumer.acker().ack(&batch.id);
        }
        queue.abandon();
        (at, 10_000)
    };
    let _ = std::fs::remove_file(data.join("ballast"));
    fill();
    {
        let queue = Queue::open(ours(OnFull::Block), &["logs".into()]).unwrap();
        let mut consumer = join(&queue, "g");
        assert_eq!(consume(&mut *consumer, 20_000 - taken)[0].2, lines(taken as u64, 1)[0], "nothing is lost or sent twice");
        let stream = queue.streams()[0].clone();
        let last = append(&queue, &stream, at, 20_000, 100);
        // What is acknowledged makes room, or somebody else does.
        if !queue.flush(Duration::from_secs(3)) {
            let status = queue.status();
            assert!(status.state == "full" && status.reason.contains("queue.min_free_bytes"), "{status:?}");
            std::fs::remove_file(&foreign).unwrap();
            assert!(queue.flush(LONG), "{:?}", queue.status());
        }
        consume(&mut *consumer, 100);
        assert_eq!(stream.durable().end, last);
    }
}
