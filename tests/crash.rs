//! The crash campaign on the real binary: lines are written and files rotated while the agent is killed
//! with `kill -9` again and again; in the end each line is at the receiver exactly once.
//!
//! `FOREBAY_CRASH_KILLS` sets the number of kills at random moments (10 without it), `FOREBAY_CRASH_SEED` the
//! moments. After every second one the agent is killed once more, at a chosen disk operation of the start that
//! follows or of what it does then; a release build needs `--features failpoints` for these.
//! The simulated part (power cuts, torn tails, flipped bits, full disks) is
//! `cargo test --lib crash_campaign`.

mod common;

use common::{Agent, Bench, elasticsearch_sink, lines, number};
use forebay::demo::receiver::{Mode, Receiver};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// What a chosen kill interrupts, and its fail point: the process dies at the first, second or third one.
const POINTS: [(&str, &str); 16] = [
    ("before a write to a segment", "before write seg"),
    ("after a write, before its sync", "after write seg"),
    ("after a sync, before consumers see it", "after sync seg"),
    ("roll: the new file has no header", "after create seg"),
    ("roll: before the folder is synced", "before sync_dir dir"),
    ("after a range is in the journal, before it is sent; or after its ack", "after write journal"),
    ("after the answer, before its ack is written; or before a range is", "before write journal"),
    ("after the journal is written anew, before its folder is synced", "after rename journal"),
    ("a segment's index is written aside", "before rename idx"),
    ("a segment's index has its name", "after rename idx"),
    ("a snapshot is written aside", "before rename snap"),
    ("a snapshot has its name, its folder is not synced", "after rename snap"),
    ("recovery has copied the tail aside", "before rename seg"),
    ("recovery has given the copied tail its name", "after rename seg"),
    ("retention: between index and segment", "after remove idx"),
    ("start: the epoch is counted on", "after rename meta"),
];

/// Whether this build of the agent knows fail points.
const CHOSEN: bool = cfg!(any(debug_assertions, feature = "failpoints"));

/// What a campaign did.
#[derive(Default)]
struct Tally {
    kills: u64,
    chosen: u64,
    /// How often each of [`POINTS`] was met.
    met: [u64; POINTS.len()],
    rotations: u32,
    outages: u32,
    lost_acks: u64,
}

/// Writes until `stop`: appends of random size, and a rotation by rename now and then. Gives the lines written.
fn write(bench: &Bench, seed: u64, stop: &AtomicBool, rotations: &AtomicU32, lines_written: &AtomicU32, pause: Duration) -> u32 {
    let (mut random, mut written) = (Random(seed), 0u32);
    while !stop.load(Ordering::SeqCst) {
        let n = random.below(400) as u32 + 1;
        bench.append("app.log", lines(written..written + n));
        written += n;
        lines_written.store(written, Ordering::SeqCst);
        if random.below(8) == 0 {
            let rotated = rotations.fetch_add(1, Ordering::SeqCst);
            common::rename(&bench.log("app.log"), &bench.log(&format!("app.log.{rotated:05}")));
        }
        // The pace of the writer, not a wait for anything.
        std::thread::sleep(pause);
    }
    written
}

/// Waits until the receiver has so many documents; only a standstill is a failure, since a backlog may be long.
fn await_documents(agent: &mut Agent, receiver: &Receiver, wanted: usize) {
    let there = || receiver.account(|a| a.documents().len());
    while there() < wanted {
        let before = there();
        agent.wait_for("more is shipped", || there() > before);
    }
}

/// So many kills follow one another before the agent may ship what it has.
const IN_A_ROW: u64 = 20;

/// The campaign; panics with the agent's log where a line is lost or doubled.
fn campaign(name: &str, kills: u64, seed: u64, queue: &str) {
    let started = Instant::now();
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", queue);
    let (stop, rotations, mut random, mut tally) = (AtomicBool::new(false), AtomicU32::new(0), Random(seed), Tally::default());
    // What is rotated away before the agent ever followed the file is not its business: `*.log` leaves it out.
    bench.append("app.log", "first\n");
    let mut agent = bench.start();
    agent.wait_for("the file is followed", || receiver.account(|a| a.lines().contains_key("first")));
    let (written, mut agent) = std::thread::scope(|scope| {
        let now_written = AtomicU32::new(0);
        let (bench, stop, rotations, shared) = (&bench, &stop, &rotations, std::sync::Arc::new(now_written));
        let count = shared.clone();
        let writer = scope.spawn(move || write(bench, seed ^ 0x5eed, stop, rotations, &count, Duration::from_millis(20)));
        for kill in 0..kills {
            match random.below(6) {
                // The receiver has it, the agent never learns of it.
                0 => {
                    receiver.lose_acks(1);
                    tally.lost_acks += 1;
                }
                1 => {
                    receiver.set(Mode::Down);
                    tally.outages += 1;
                }
                _ => receiver.set(Mode::Up),
            }
            // The random moment of the kill: in the start, in recovery, while it writes, rolls, ships.
            std::thread::sleep(Duration::from_millis(random.below(350)));
            agent.kill();
            tally.kills += 1;
            if CHOSEN && kill % 2 == 1 {
                let point = (random.below(POINTS.len() as u64)) as usize;
                let named = format!("{}:{}", POINTS[point].1, 1 + random.below(3));
                receiver.set(Mode::Up);
                // It dies at the point; where that is not met in a while (nothing is torn, nothing to delete), it is killed.
                let mut mortal = bench.start_under(&["env", &format!("FOREBAY_FAIL_POINT={named}")]);
                if mortal.ends_within(Duration::from_secs(2)) {
                    tally.met[point] += 1;
                }
                mortal.kill();
                tally.chosen += 1;
            }
            agent = bench.start();
            if kill % IN_A_ROW == IN_A_ROW - 1 {
                receiver.set(Mode::Up);
                await_documents(&mut agent, &receiver, shared.load(Ordering::SeqCst) as usize);
            }
        }
        stop.store(true, Ordering::SeqCst);
        (writer.join().expect("the writer"), agent)
    });
    receiver.set(Mode::Up);
    receiver.lose_acks(0);
    tally.rotations = rotations.load(Ordering::SeqCst);
    let expected = "first\n".to_string() + &lines(0..written);
    let events = expected.lines().count();
    await_documents(&mut agent, &receiver, events);
    let code = agent.terminate().code();
    let (lost, doubled, again, documents) = receiver.account(|a| {
        let count = |l: &str| a.lines().get(l).copied().unwrap_or(0);
        let lost = expected.lines().filter(|l| count(l) == 0).count();
        (lost, expected.lines().filter(|l| count(l) > 1).count(), a.conflicts, a.documents().len())
    });
    let Tally { kills, chosen, met, rotations, outages, lost_acks } = tally;
    let seconds = started.elapsed().as_secs_f64();
    println!("{name}: seed {seed}, {seconds:.0} s");
    println!(
        "| kill -9 at random | at chosen operations | rotations | outages | lost acks | events in | sent again, recognised | lost | doubled |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    println!(
        "| {kills} | {} of {chosen} | {rotations} | {outages} | {lost_acks} | {events} | {again} | {lost} | {doubled} |",
        met.iter().sum::<u64>()
    );
    for ((what, point), met) in POINTS.iter().zip(met).filter(|(_, met)| *met > 0) {
        println!("  {met:3} x {what} (`{point}`)");
    }
    assert_eq!((lost, doubled, documents, code), (0, 0, events, Some(0)), "{}", agent.log());
}

/// Small segments, so that rolling, sealing, snapshots and recycling happen between the kills.
const SMALL: &str = "queue: {segment_bytes: 1MiB, batch_size: 16KiB, max_bytes: 64MiB, retention: {bytes: 2MiB}";

/// Each point in turn, with a fresh data_dir, so that each is shown to be met; what is written then is there once.
#[test]
fn kill_9_at_each_chosen_operation_loses_and_doubles_nothing() {
    if !CHOSEN {
        common::machine::skipped("kill_9_at_each_chosen_operation_loses_and_doubles_nothing", "this build needs `--features failpoints`");
        return;
    }
    let (mut events, mut again) = (0, 0);
    for (what, point) in POINTS {
        let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
        // Nothing is kept for a replay: retention deletes what is acked.
        let queue = "queue: {segment_bytes: 1MiB, batch_size: 16KiB, max_bytes: 64MiB, retention: {bytes: 0MiB}}";
        bench.pipeline(&elasticsearch_sink(&receiver.url()), "", queue);
        bench.append("app.log", lines(0..2_000));
        if point.ends_with("rename seg") {
            // A tail to copy: the agent is killed while it has one.
            let mut agent = bench.start();
            agent.wait_for("some of it is shipped", || receiver.account(|a| !a.documents().is_empty()));
            agent.kill();
        }
        let mut agent = bench.start_under(&["env", &format!("FOREBAY_FAIL_POINT={point}:1")]);
        let (mut written, until) = (2_000, Instant::now() + common::PATIENCE);
        while !agent.ends_within(Duration::from_millis(100)) {
            assert!(Instant::now() < until, "{what}: `{point}` is never met:\n{}", agent.log());
            if written < 200_000 {
                bench.append("app.log", lines(written..written + 5_000));
                written += 5_000;
            }
        }
        agent.kill();
        bench.ship_all(|| receiver.account(|a| a.documents().len() >= written as usize));
        common::assert_exactly(&receiver, &lines(0..written));
        (events, again) = (events + written, again + receiver.account(|a| a.conflicts));
    }
    println!("| chosen operations | events in | sent again, recognised | lost | doubled |");
    println!("|---|---|---|---|---|");
    println!("| {} | {events} | {again} | 0 | 0 |", POINTS.len());
}

#[test]
fn kill_9_at_random_moments_loses_and_doubles_nothing() {
    campaign("acks: synced", number("FOREBAY_CRASH_KILLS", 10), number("FOREBAY_CRASH_SEED", 1), &format!("{SMALL}}}"));
}

#[test]
fn kill_9_with_compression_and_acks_written_loses_and_doubles_nothing() {
    let kills = number("FOREBAY_CRASH_KILLS", 10) / 2;
    campaign("acks: written, zstd", kills, number("FOREBAY_CRASH_SEED", 2), &format!("{SMALL}, acks: written, compression: zstd}}"));
}
