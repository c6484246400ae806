//! What the queue may take: of the disk, of time, and what it does at the limit.

use super::sim::SimDisk;
use super::world::{open_at, open_with};
use super::*;
use crate::queue::AppendError;
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
        (join(&queue, "old"), join(&queue, "new"));
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
        (join(&queue, "old"), join(&queue, "new"));
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
