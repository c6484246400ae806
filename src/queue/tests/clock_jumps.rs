//! A wall clock that jumps by years while the queue runs.

use super::sim::SimDisk;
use super::world::{Life, file, open_at};
use super::*;
use crate::queue::clock::Times;
use std::sync::Mutex;

const NOW: u64 = 1_800_000_000_000;
const DAY: u64 = 86_400_000;
const YEARS: u64 = 3650 * DAY;

/// The wall's time, the time that has passed, and what they tell.
#[derive(Debug)]
struct JumpClock(Mutex<(u64, u64, Times)>);

impl JumpClock {
    fn new() -> Arc<JumpClock> {
        Arc::new(JumpClock(Mutex::new((NOW, 0, Times::new(NOW)))))
    }

    /// The wall clock shows another time.
    fn jump_to(&self, wall_ms: u64) {
        self.0.lock().unwrap().0 = wall_ms;
    }

    /// Time passes, a minute at a time so that somebody looks.
    fn pass(&self, ms: u64) {
        for _ in 0..ms / 60_000 {
            let mut state = self.0.lock().unwrap();
            (state.0, state.1) = (state.0 + 60_000, state.1 + 60_000);
            drop(state);
            self.now_ms();
        }
    }

    fn look(&self) -> Times {
        let (wall, passed, times) = &mut *self.0.lock().unwrap();
        times.look(*wall, Duration::from_millis(*passed));
        *times
    }
}

impl Clock for JumpClock {
    fn now_ms(&self) -> u64 {
        self.look().now_ms
    }

    fn age_ms(&self) -> u64 {
        self.look().age_ms
    }
}

fn start(disk: &SimDisk, clock: &Arc<JumpClock>) -> Life {
    open_at(disk, clock.clone(), |o| o.retention = crate::queue::Retention { bytes: 1 << 30, age: Duration::from_secs(86_400) }).unwrap()
}

/// Appends the world's first file once more, as stream `key`: several segments, each seal followed by a look at retention.
fn fill(queue: &Queue, key: u128) {
    let (stream, mut at) = (queue.declare(spec(key)), 0);
    for chunk in file(1).chunks(100) {
        let b = block(&stream, at, chunk);
        at = b.source_end;
        queue.append(b).unwrap();
    }
    assert!(queue.flush(LONG));
}

fn first(queue: &Queue) -> u64 {
    queue.status().partitions.iter().find(|p| p.topic == "logs").unwrap().first_offset
}

#[test]
fn a_jump_forth_deletes_nothing_that_is_kept_for_a_replay_and_time_that_passes_does() {
    let (disk, clock) = (SimDisk::new(1), JumpClock::new());
    let queue = start(&disk, &clock);
    let mut consumer = join(&queue, "g");
    fill(&queue, 1);
    consume(&mut *consumer, 4000);
    clock.jump_to(NOW + YEARS);
    fill(&queue, 2);
    consume(&mut *consumer, 4000);
    assert_eq!(first(&queue), 0, "ten years in a moment are no age");
    clock.jump_to(NOW);
    fill(&queue, 3);
    consume(&mut *consumer, 4000);
    assert_eq!(first(&queue), 0);
    clock.pass(2 * DAY);
    // Two snapshots have to cover what goes.
    for key in 4..6 {
        fill(&queue, key);
        consume(&mut *consumer, 4000);
    }
    assert!(first(&queue) > 0, "two days have passed");
}

#[test]
fn a_jump_forth_expires_no_group_whose_sink_is_away() {
    let (disk, clock) = (SimDisk::new(1), JumpClock::new());
    {
        let queue = start(&disk, &clock);
        join(&queue, "away");
        fill(&queue, 1);
    }
    let queue = start(&disk, &clock);
    let mut consumer = join(&queue, "g");
    for (key, wall) in [(2, NOW + YEARS), (3, NOW), (4, NOW + YEARS)] {
        clock.jump_to(wall);
        fill(&queue, key);
    }
    consume(&mut *consumer, 4 * 4000);
    clock.pass(30 * 60_000);
    clock.jump_to(NOW);
    fill(&queue, 5);
    consume(&mut *consumer, 4000);
    assert_eq!(first(&queue), 0, "what it has not seen is kept");
    assert_eq!(consume(&mut *join(&queue, "away"), 5 * 4000).len(), 5 * 4000);
}

#[test]
fn stamps_follow_the_clock_back_after_a_false_jump_and_never_go_back_within_a_segment() {
    let (disk, clock) = (SimDisk::new(1), JumpClock::new());
    let queue = start(&disk, &clock);
    let mut consumer = join(&queue, "g");
    let (mut stamps, mut at) = (Vec::new(), 0);
    let stream = queue.declare(spec(1));
    // An hour and less is waited out, ten years are not.
    let walls = [NOW, NOW - 1_800_000, NOW + YEARS, NOW + 1000, NOW - YEARS, NOW + 2000];
    for (wall, chunk) in walls.into_iter().zip(file(1).chunks(10)) {
        clock.jump_to(wall);
        let b = block(&stream, at, chunk);
        at = b.source_end;
        queue.append(b).unwrap();
        assert!(queue.flush(LONG));
        let batch = consumer.poll(&LIMITS, LONG).unwrap().unwrap();
        stamps.extend(batch.runs().map(|r| r.append_ms));
        consumer.acker().ack(&batch.id);
    }
    assert_eq!(stamps, [NOW, NOW, NOW + YEARS, NOW + 1000, NOW - YEARS, NOW + 2000]);
    assert_eq!(queue.status().partitions.iter().find(|p| p.topic == "logs").unwrap().segments, 3, "one for each step back by years");
    drop(queue);
    // The same after a restart: the files are sound,.
    let queue = start(&disk, &clock);
    let inventory = queue.recovery();
    assert!(inventory.damaged.is_empty() && inventory.lost.is_empty(), "{inventory:?}");
}
