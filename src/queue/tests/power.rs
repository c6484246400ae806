//! Power cuts, failed syncs and a full disk, on the simulated disk.

use super::sim::SimDisk;
use super::world::{Way, World, file, open, open_with};
use super::*;
use crate::queue::{Acks, Compression, Intent};
use std::collections::{BTreeMap, BTreeSet};

/// Cuts the power at many points of a run, several times in each, and lets it finish at last.
#[test]
fn no_power_cut_loses_or_changes_an_event() {
    let whole = {
        let disk = SimDisk::new(0);
        let mut world = World::default();
        assert!(world.live(&disk, LONG));
        world.check();
        disk.ops()
    };
    for seed in 0..60u64 {
        let mut disk = SimDisk::new(seed);
        let mut world = World::default();
        for cut in 0..3 {
            disk.die_after((seed * 7919 + cut * 104_729) % whole + 1);
            world.live(&disk, Duration::from_millis(20));
            disk = disk.after_power_cut();
        }
        let ok = world.live(&disk, LONG);
        if !ok {
            world.check();
        }
        assert!(ok);
        world.check();
    }
}

/// A short run with several rolls, snapshots, retention, dead letters and resets.
const SHORT: Way = Way {
    lines: 160,
    block: 20,
    change: |o| (o.segment_bytes, o.batch_size, o.sync_interval) = (4 << 10, 1 << 10, Duration::ZERO),
    letters_and_resets: true,
};

/// Cuts the power at each operation of such a run in turn; of what was not synced nothing, all, or any part is there afterwards.
fn cut_at_every_operation(way: Way, step: u64) {
    let (next, last) = (AtomicU64::new(1), AtomicU64::new(u64::MAX));
    let cuts = || {
        loop {
            let cut = next.fetch_add(step, Ordering::Relaxed);
            if cut > last.load(Ordering::Relaxed) {
                return;
            }
            let kept = [Some(false), None, Some(true), None][cut as usize % 4];
            let disk = SimDisk::new(cut);
            let mut world = World { way, ..World::default() };
            disk.die_after(cut);
            world.live(&disk, Duration::ZERO);
            if !disk.is_dead() {
                last.fetch_min(cut, Ordering::Relaxed);
                return;
            }
            let disk = disk.after_power_cut_with(kept);
            assert!(world.live(&disk, LONG), "cut at {cut}, kept {kept:?}: not all is delivered");
            world.check();
        }
    };
    // Each spends most of its time waiting for the threads of a queue to end.
    std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(cuts))));
    assert!(last.into_inner() > 100, "the run has only so few operations");
}

#[test]
fn no_power_cut_at_any_operation_of_a_short_run_loses_or_changes_an_event() {
    cut_at_every_operation(SHORT, 1);
}

#[test]
fn nor_with_acks_written() {
    cut_at_every_operation(Way { change: |o| ((SHORT.change)(o), o.acks = Acks::Written).0, ..SHORT }, 5);
}

#[test]
fn nor_with_acks_none() {
    cut_at_every_operation(Way { change: |o| ((SHORT.change)(o), o.acks = Acks::None).0, ..SHORT }, 5);
}

#[test]
fn nor_with_compression() {
    cut_at_every_operation(Way { change: |o| ((SHORT.change)(o), o.compression = Compression::Zstd).0, ..SHORT }, 5);
}

#[test]
fn nor_with_several_partitions() {
    cut_at_every_operation(Way { change: |o| ((SHORT.change)(o), o.partitions = 3).0, ..SHORT }, 5);
}

#[test]
fn nor_with_intent_synced() {
    cut_at_every_operation(Way { change: |o| ((SHORT.change)(o), o.intent = Intent::Synced).0, ..SHORT }, 5);
}

/// A batch's name, and what is in it.
type Sent = BTreeMap<String, Vec<(u128, u64, String)>>;

/// Sends batches of many sizes, acks some of them, and cuts the power after so many operations. Then sends again, with
/// other limits. Gives what was acked, what was sent before, and what is sent after.
fn send_cut_and_send(intent: Intent, operations: u64) -> (BTreeSet<String>, Sent, Sent) {
    let disk = SimDisk::new(operations);
    let change = |o: &mut QueueOptions| o.intent = intent;
    let (mut acked, mut before) = (BTreeSet::new(), Sent::new());
    {
        let queue = open_with(&disk, change).unwrap();
        let mut consumer = join(&queue, "g");
        let (stream, mut at) = (queue.declare(spec(1)), 0);
        for chunk in file(1).chunks(100) {
            let b = block(&stream, at, chunk);
            at = b.source_end;
            queue.append(b).unwrap();
        }
        assert!(queue.flush(LONG));
        disk.die_after(operations);
        for n in 0..20u32 {
            let limits = Limits { max_events: 17 + 31 * n, ..LIMITS };
            // What could not be recorded is not sent.
            let Ok(Some(batch)) = consumer.poll(&limits, Duration::ZERO) else { break };
            before.insert(batch.id.to_string(), events(&batch));
            if n % 3 == 1 {
                consumer.acker().ack(&batch.id);
                acked.insert(batch.id.to_string());
            }
        }
        queue.abandon();
    }
    let disk = disk.after_power_cut_with(Some(false));
    let queue = open_with(&disk, change).unwrap();
    let (mut consumer, mut after) = (join(&queue, "g"), Sent::new());
    while let Some(batch) = consumer.poll(&LIMITS, Duration::ZERO).unwrap() {
        after.insert(batch.id.to_string(), events(&batch));
        consumer.acker().ack(&batch.id);
    }
    (acked, before, after)
}

#[test]
fn with_intent_synced_exactly_the_same_batches_are_sent_again_after_a_power_cut() {
    for operations in 0..40 {
        let (acked, before, after) = send_cut_and_send(Intent::Synced, operations);
        for (id, events) in &before {
            match after.get(id) {
                Some(again) => assert!(again == events, "cut at {operations}: {id} has other events"),
                None => assert!(acked.contains(id), "cut at {operations}: {id} is not sent again"),
            }
        }
        // No event of theirs comes in another batch.
        let sent: BTreeSet<u64> = before.values().flatten().map(|e| e.1).collect();
        let other = after.iter().filter(|(id, _)| !before.contains_key(*id)).flat_map(|(_, events)| events);
        assert!(other.into_iter().all(|e| !sent.contains(&e.1)), "cut at {operations}: cut in another way");
    }
}

#[test]
fn with_intent_written_the_same_events_are_sent_again_after_a_power_cut_perhaps_in_other_batches() {
    // On a loaded machine the journal may be synced between the last batch and the cut.
    let in_other_batches = (0..50).any(|_| {
        let (acked, before, after) = send_cut_and_send(Intent::Written, u64::MAX / 2);
        let again: BTreeSet<u64> = after.values().flatten().map(|e| e.1).collect();
        assert!(before.iter().filter(|(id, _)| !acked.contains(*id)).flat_map(|(_, e)| e).all(|e| again.contains(&e.1)));
        before.keys().any(|id| !acked.contains(id) && !after.contains_key(id))
    });
    assert!(in_other_batches, "else `synced` would be for nothing");
}

#[test]
fn a_failed_sync_loses_nothing_although_the_next_one_succeeds() {
    for seed in 0..10u64 {
        let disk = SimDisk::new(seed);
        let mut world = World::default();
        // Open first: a failure while opening is an error of its own.
        drop(open(&disk).unwrap());
        {
            let queue = open(&disk).unwrap();
            join(&queue, "g");
            let stream = queue.declare(spec(1));
            let mut at = 0;
            for (i, chunk) in file(1).chunks(100).enumerate() {
                let b = block(&stream, at, chunk);
                at = b.source_end;
                if i as u64 % 5 == seed % 5 {
                    disk.fail_syncs(1 + (seed % 3) as u32);
                }
                queue.append(b).unwrap();
            }
            assert!(queue.flush(LONG), "the queue does not come back");
            assert!(queue.status().disk_errors > 0);
        }
        assert!(world.live(&disk.after_power_cut(), LONG), "seed {seed}");
        world.check();
    }
}

#[test]
fn a_full_disk_makes_sources_wait_and_then_all_goes_on() {
    let disk = SimDisk::new(5);
    let mut world = World::default();
    let queue = open(&disk).unwrap();
    join(&queue, "g");
    let stream = queue.declare(spec(1));
    disk.leave(96 << 10);
    let mut at = 0;
    for chunk in file(1).chunks(100) {
        let b = block(&stream, at, chunk);
        at = b.source_end;
        queue.append(b).unwrap();
    }
    assert!(!queue.flush(Duration::from_millis(500)), "the disk is full");
    assert_eq!(queue.status().state, "degraded");
    disk.capacity(None);
    assert!(queue.flush(LONG));
    assert_eq!(queue.status().state, "ok");
    drop(queue);
    assert!(world.live(&disk, LONG));
    world.check();
}
