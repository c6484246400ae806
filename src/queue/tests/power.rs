//! Power cuts, failed syncs and a full disk, on the simulated disk.

use super::sim::SimDisk;
use super::world::{World, file, open};
use super::*;

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
