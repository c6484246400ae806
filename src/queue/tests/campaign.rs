//! The simulated part of the crash campaign, counted. The numbers come from the environment, small without:
//! `FOREBAY_CRASH_POWER`, `FOREBAY_CRASH_TORN`, `FOREBAY_CRASH_FLIPS`, `FOREBAY_CRASH_FULL`, and
//! `FOREBAY_CRASH_SEED` for the random choices. With `--nocapture` it prints one table.

use super::damage::{Tail, flip_one, written};
use super::sim::SimDisk;
use super::world::{World, file, open};
use super::*;
use crate::queue::Compression;

/// Lines of the two files of a [`World`].
const RUN_EVENTS: u64 = 8000;

const CODECS: [Compression; 3] = [Compression::None, Compression::Lz4, Compression::Zstd];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |v| v.parse().unwrap_or_else(|_| panic!("{name} is no number: {v}")))
}

/// The `n`th random number of a campaign.
fn random(seed: u64, n: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(&n.to_le_bytes(), seed)
}

/// Lives with up to five power cuts at random operations of a run, then to the end. Gives cuts, events, events delivered again.
fn power(seed: u64, most: u64, operations: u64) -> (u64, u64, u64) {
    let mut disk = SimDisk::new(seed);
    let (mut world, mut cuts) = (World::default(), 0);
    for cut in 0..most.min(5) {
        disk.die_after(random(seed, cut) % operations + 1);
        world.live(&disk, Duration::from_millis(20));
        // A life that ended before the cut was none.
        cuts += u64::from(disk.is_dead());
        disk = disk.after_power_cut();
    }
    assert!(world.live(&disk, LONG), "seed {seed}: not all is delivered");
    // Panics where an event is lost or another one than the file says.
    world.check();
    (cuts, world.delivered.len() as u64, world.redelivered)
}

/// A disk that is full at a random size, and has room again later. Gives the events.
fn full(seed: u64) -> u64 {
    let disk = SimDisk::new(seed);
    let mut world = World::default();
    {
        let queue = open(&disk).unwrap();
        join(&queue, "g");
        let stream = queue.declare(spec(1));
        disk.leave((40 << 10) + (random(seed, 0) % (80 << 10)) as usize);
        let mut at = 0;
        for chunk in file(1).chunks(100) {
            let b = block(&stream, at, chunk);
            at = b.source_end;
            queue.append(b).unwrap();
        }
        assert!(!queue.flush(Duration::from_millis(20)), "seed {seed}: the disk is full");
        if seed.is_multiple_of(2) {
            // Killed while it waits for room: what was not durable stays in its source.
            queue.abandon();
        } else {
            disk.capacity(None);
            assert!(queue.flush(LONG), "seed {seed}: it goes on when there is room");
        }
    }
    disk.capacity(None);
    assert!(world.live(&disk, LONG), "seed {seed}: not all is delivered");
    world.check();
    world.delivered.len() as u64
}

#[test]
fn crash_campaign() {
    let seed = number("FOREBAY_CRASH_SEED", 1);
    println!("What is delivered is counted by stream and position; a wrong or doubled event, or a loss without a word, is a panic.");
    println!("| what | how often | events in | delivered | sent again, recognised | lost | told as lost |");
    println!("|---|---|---|---|---|---|---|");
    let row = |what: &str, often: u64, events: u64, delivered: u64, again: &str, told: u64| {
        println!("| {what} | {often} | {events} | {delivered} | {again} | {} | {told} |", events - delivered);
    };
    let operations = {
        let (disk, mut world) = (SimDisk::new(seed), World::default());
        assert!(world.live(&disk, LONG));
        disk.ops()
    };
    let (wanted, mut cuts, mut runs, mut delivered, mut again) = (number("FOREBAY_CRASH_POWER", 15), 0, 0, 0, 0);
    for n in 0.. {
        if cuts >= wanted {
            break;
        }
        let (c, e, a) = power(seed.wrapping_add(n), wanted - cuts, operations);
        (cuts, runs, delivered, again) = (cuts + c, runs + 1, delivered + e, again + a);
    }
    row("power cuts", cuts, runs * RUN_EVENTS, delivered, &again.to_string(), 0);

    let torn = number("FOREBAY_CRASH_TORN", 100);
    let tails: Vec<_> = CODECS.into_iter().flat_map(|c| [1, 7, 100].map(|n| (n, Tail::new(n, c)))).collect();
    let (mut events, mut delivered) = (0, 0);
    for n in 0..torn {
        let (per_batch, tail) = &tails[(n % tails.len() as u64) as usize];
        let cuts = tail.cuts();
        delivered += tail.tear(cuts.start + random(seed, n) as usize % cuts.len(), random(seed, n) >> 63 == 1);
        events += 3 * per_batch;
    }
    row("torn tails", torn, events, delivered, "-", 0);

    let flips = number("FOREBAY_CRASH_FLIPS", 60);
    let pristine: Vec<_> = CODECS.into_iter().flat_map(|c| [true, false].map(|clean| written(clean, |o| o.compression = c))).collect();
    let (mut lost, mut told) = (0, 0);
    for n in 0..flips {
        // Panics where an event is not what the file says, comes twice, or is lost without a word.
        let (l, t) = flip_one(&pristine[(n % 6) as usize], random(seed, n) >> 1);
        (lost, told) = (lost + l, told + t);
    }
    row("bit flips", flips, flips * 4000, flips * 4000 - lost, "-", told);

    let episodes = number("FOREBAY_CRASH_FULL", 4);
    let delivered: u64 = (0..episodes).map(|n| full(seed.wrapping_add(n))).sum();
    row("disk full", episodes, episodes * RUN_EVENTS, delivered, "-", 0);
}
