//! The real queue under the real tailer: what damage takes out of the queue is read again from the files, once.

use super::rig::append;
use crate::queue::{Cause, Format, Limits, LineEnding, LossState, Producer, Queue, QueueOptions, Retention, Subscription};
use crate::source::file::tailer::{Step, Tailer};
use crate::source::file::{FileFormat, FileOptions, Joining, Multiline};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);
const LIMITS: Limits = Limits { max_bytes: 1 << 20, overhead: 0, max_events: 10_000, linger: Duration::ZERO };

/// Files, a queue's folder, and what group `g` was given: (stream key, position) → lines.
struct World {
    dir: tempfile::TempDir,
    written: BTreeMap<String, Vec<String>>,
    got: BTreeMap<(u128, u64), Vec<String>>,
    multiline: bool,
    /// Another change of the options.
    change: fn(&mut FileOptions),
}

struct Life {
    queue: Arc<Queue>,
    tailer: Tailer,
    now: Instant,
}

impl Life {
    fn settle(&mut self) {
        self.now += Duration::from_secs(6);
        let until = Instant::now() + LONG;
        loop {
            assert!(Instant::now() < until, "the tailer never settles");
            match self.tailer.step(self.now) {
                Step::Until(_) if !self.queue.any_wanted() => return,
                Step::Closed => panic!("closed"),
                // Waits for the queue to be durable.
                _ => self.now += Duration::from_millis(200),
            }
        }
    }
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        World { dir, written: BTreeMap::new(), got: BTreeMap::new(), multiline: false, change: |_| {} }
    }

    /// Three files that grow in turn, the last of which begins late, in many small batches and several segments.
    fn filled() -> World {
        let mut world = World::new();
        world.fill();
        world
    }

    fn fill(&mut self) {
        let mut life = self.live();
        life.queue.subscribe(&subscription()).unwrap();
        for round in 0..30 {
            self.write("a.log", round);
            self.write("b.log", round);
            if round >= 15 {
                self.write("late.log", round);
            }
            life.settle();
            assert!(life.queue.flush(LONG));
        }
        life.queue.close();
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.path().join("logs").join(name)
    }

    fn write(&mut self, name: &str, round: u32) {
        let lines: Vec<String> = (0..20).map(|i| format!("{name} round {round} line {i} {}", "z".repeat(40))).collect();
        append(&self.log(name), (lines.join("\n") + "\n").as_bytes());
        self.written.entry(name.into()).or_default().extend(lines);
    }

    fn live(&self) -> Life {
        let options = QueueOptions {
            dir: self.dir.path().join("state"),
            segment_bytes: 16 << 10,
            batch_size: 4 << 10,
            retention: Retention { bytes: 1 << 30, age: LONG * 1000 },
            ..QueueOptions::default()
        };
        let multiline = Multiline {
            joining: Joining::Patterns { start: Some("line [05] ".into()), proceed: None, end: None },
            max_lines: 100,
            max_bytes: None,
            timeout: Duration::from_secs(1),
        };
        let mut source = FileOptions {
            name: "app".into(),
            include: vec![self.log("*.log").to_str().unwrap().into()],
            multiline: self.multiline.then_some(multiline),
            ..FileOptions::default()
        };
        (self.change)(&mut source);
        let queue = Queue::open(options, std::slice::from_ref(&source.topic)).unwrap();
        let now = Instant::now();
        Life { tailer: Tailer::new(vec![source], "agent".into(), queue.clone(), now).unwrap(), queue, now }
    }

    fn segments(&self) -> Vec<PathBuf> {
        let topics = self.dir.path().join("state/topics");
        let topic = fs::read_dir(topics).unwrap().flatten().find(|e| e.file_name() != "dead-letter").unwrap();
        let mut found: Vec<_> = fs::read_dir(topic.path().join("0")).unwrap().flatten().map(|e| e.path()).collect();
        found.retain(|p| p.extension().is_some_and(|e| e == "seg"));
        found.sort();
        found
    }

    /// Changes a segment's bytes.
    fn damage(&self, segment: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let path = &self.segments()[segment];
        let mut bytes = fs::read(path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }

    fn consume(&mut self, life: &Life) {
        let mut consumer = life.queue.subscribe(&subscription()).unwrap();
        let until = Instant::now() + LONG;
        while life.queue.lag("g").events > 0 {
            assert!(Instant::now() < until, "the consumer is stuck: {:?}", life.queue.lag("g"));
            let Some(batch) = consumer.poll(&LIMITS, Duration::from_millis(10)).unwrap() else { continue };
            for run in batch.runs() {
                let key = run.run.stream.spec().key;
                for event in run.events {
                    self.got.entry((key, event.position)).or_default().push(String::from_utf8_lossy(event.bytes).into_owned());
                }
            }
            consumer.acker().ack(&batch.id);
        }
    }

    /// Lives on until nothing is left to do.
    fn live_on(&mut self) -> Life {
        let mut life = self.live();
        loop {
            life.settle();
            assert!(life.queue.flush(LONG));
            self.consume(&life);
            if !life.queue.any_wanted() && life.queue.lag("g").events == 0 {
                return life;
            }
        }
    }

    #[track_caller]
    fn assert_each_line_once(&self) {
        let mut got: Vec<&str> = self.got.values().flatten().flat_map(|e| e.split('\n')).collect();
        let mut written: Vec<&str> = self.written.values().flatten().map(String::as_str).collect();
        got.sort_unstable();
        written.sort_unstable();
        let missing: Vec<_> = written.iter().filter(|l| got.binary_search(l).is_err()).collect();
        assert!(missing.is_empty(), "{} missing: {:?} …", missing.len(), missing[0]);
        let twice: Vec<_> = got.windows(2).filter(|w| w[0] == w[1]).collect();
        assert!(twice.is_empty(), "{} twice: {:?}", twice.len(), twice[0]);
        assert_eq!(got.len(), written.len());
    }
}

fn subscription() -> Subscription {
    Subscription { group: "g".into(), previous: None, topics: Vec::new(), pipeline: 1, ..Subscription::default() }
}

/// Where the batches of a segment begin.
fn headers(bytes: &[u8]) -> Vec<usize> {
    (4096..bytes.len().saturating_sub(64)).step_by(8).filter(|at| &bytes[*at..*at + 4] == b"FBB1").collect()
}

#[test]
fn a_flipped_byte_in_a_payload_is_read_again_exactly() {
    let mut world = World::filled();
    let last = world.segments().len() - 1;
    for segment in [0, 2, last] {
        world.damage(segment, |bytes| {
            // Without the padding, the last bytes of an event.
            let end = bytes.len() - 20;
            bytes[end] ^= 1;
        });
    }
    let life = world.live_on();
    world.assert_each_line_once();
    let all = life.queue.losses().all();
    assert!(!all.is_empty() && all.iter().all(|e| (e.state, e.cause) == (LossState::ReadAgain, Cause::Damaged)), "{all:?}");
    let status = life.queue.status();
    let damaged = &status.losses["damaged"];
    assert!(damaged.events > 0 && damaged.events == damaged.read_again_events && damaged.events == status.lost_events, "{damaged:?}");
    assert_eq!((damaged.gone_bytes, damaged.wanted_bytes), (0, 0));
    // Positions are where they were, and another start finds nothing new.
    life.queue.close();
    drop(life);
    let events: u64 = world.got.len() as u64;
    let life = world.live_on();
    assert_eq!((world.got.len() as u64, life.queue.status().lost_events), (events, 0));
    world.assert_each_line_once();
}

#[test]
fn what_was_lost_is_cut_as_it_was_although_the_options_have_changed() {
    for (multiline, change) in [
        (true, (|_| {}) as fn(&mut FileOptions)),
        (false, |o| o.line_ending = LineEnding::Cr),
        (false, |o| o.format = FileFormat::Is(Format::Docker)),
    ] {
        let mut world = World::filled();
        world.damage(1, |bytes| {
            let end = bytes.len() - 20;
            bytes[end] ^= 1;
        });
        (world.multiline, world.change) = (multiline, change);
        let life = world.live_on();
        world.assert_each_line_once();
        assert!(world.got.values().flatten().all(|event| !event.contains('\n')), "an event is a line, as it was");
        let damaged = &life.queue.status().losses["damaged"];
        assert!(damaged.events > 0 && damaged.events == damaged.read_again_events, "{damaged:?}");
    }
}

#[test]
fn a_header_that_is_gone_is_told_by_its_neighbours() {
    let mut world = World::filled();
    for segment in [0, 1, 3] {
        world.damage(segment, |bytes| {
            let at = headers(bytes)[1];
            bytes[at + 20] ^= 0x40;
        });
    }
    let life = world.live_on();
    world.assert_each_line_once();
    assert_eq!(life.queue.status().losses["damaged"].gone_bytes, 0);
}

#[test]
fn segments_that_were_deleted_by_hand_are_read_again() {
    for victims in [vec![0], vec![1, 2], vec![4], vec![usize::MAX]] {
        let mut world = World::filled();
        let segments = world.segments();
        for victim in &victims {
            fs::remove_file(&segments[(*victim).min(segments.len() - 1)]).unwrap();
        }
        let life = world.live_on();
        world.assert_each_line_once();
        assert!(life.queue.status().losses.values().all(|l| l.events > 0 && l.gone_bytes == 0), "{victims:?}");
    }
}

#[test]
fn multiline_events_are_cut_as_they_were() {
    let mut world = World::new();
    world.multiline = true;
    world.fill();
    let before: BTreeMap<_, _> = {
        let mut whole =
            World { dir: tempfile::tempdir().unwrap(), written: BTreeMap::new(), got: BTreeMap::new(), multiline: true, change: |_| {} };
        std::mem::swap(&mut whole.dir, &mut world.dir);
        let life = whole.live();
        let mut consumer = life.queue.subscribe(&Subscription { group: "other".into(), ..subscription() }).unwrap();
        let mut seen = BTreeMap::new();
        while let Some(batch) = consumer.poll(&LIMITS, Duration::from_millis(100)).unwrap() {
            for run in batch.runs() {
                let key = run.run.stream.spec().key;
                seen.extend(run.events.map(|e| ((key, e.position), vec![String::from_utf8_lossy(e.bytes).into_owned()])));
            }
            consumer.acker().ack(&batch.id);
        }
        life.queue.close();
        drop(consumer);
        drop(life);
        std::mem::swap(&mut whole.dir, &mut world.dir);
        seen
    };
    for segment in [1, 2] {
        world.damage(segment, |bytes| {
            let at = headers(bytes);
            bytes[at[1] + 400] ^= 1;
            bytes[at[at.len() - 1] + 9] ^= 1;
        });
    }
    world.live_on();
    for (at, event) in before {
        assert_eq!(world.got.get(&at), Some(&event));
    }
    world.assert_each_line_once();
}

#[test]
fn what_was_rotated_is_found_by_its_identity_and_what_is_gone_is_told() {
    let mut world = World::filled();
    world.damage(1, |bytes| {
        let ends: Vec<usize> = headers(bytes).into_iter().skip(1).chain([bytes.len()]).collect();
        for end in ends {
            bytes[end - 20] ^= 1;
        }
    });
    fs::rename(world.log("a.log"), world.log("a.log.1")).unwrap();
    fs::remove_file(world.log("b.log")).unwrap();
    let life = world.live_on();
    let all = life.queue.losses().all();
    let of = |name: &str| all.iter().find(|e| e.stream.as_ref().is_some_and(|s| s.path.ends_with(name))).unwrap();
    assert_eq!(of("a.log").state, LossState::ReadAgain);
    assert_eq!(of("b.log").state, LossState::Lost);
    assert_eq!(of("b.log").why, "the file is not there any more (deleted, compressed, or moved to another folder)");
    let lost = life.queue.status().losses["damaged"].gone_events;
    assert_eq!(lost, of("b.log").events);
    let b = world.written.remove("b.log").unwrap();
    let got: Vec<String> = world.got.values().flatten().cloned().collect();
    assert_eq!(b.iter().filter(|l| !got.contains(l)).count() as u64, lost);
}

#[test]
fn a_file_that_changed_in_between_is_not_read_again() {
    let mut world = World::filled();
    world.damage(1, |bytes| {
        let end = bytes.len() - 20;
        bytes[end] ^= 1;
    });
    // Other bytes under the same name, inode and size.
    for name in ["a.log", "b.log", "late.log"] {
        let text = fs::read(world.log(name)).unwrap();
        fs::write(world.log(name), text.iter().map(|b| if *b == b'z' { b'y' } else { *b }).collect::<Vec<u8>>()).unwrap();
    }
    let life = world.live_on();
    let all = life.queue.losses().all();
    assert!(!all.is_empty() && all.iter().all(|e| e.state == LossState::Lost && !e.why.is_empty()), "{all:?}");
    assert!(life.queue.status().losses["damaged"].gone_events > 0);
}

#[test]
fn a_kill_between_finding_and_reading_again_forgets_nothing() {
    let mut world = World::filled();
    world.damage(1, |bytes| {
        let end = bytes.len() - 20;
        bytes[end] ^= 1;
    });
    // A life without a tailer finds the hole and passes over it.
    let life = world.live();
    world.consume(&life);
    assert!(life.queue.any_wanted());
    assert!(life.queue.status().wanted[0].path.ends_with(".log"));
    life.queue.abandon();
    drop(life);
    let life = world.live_on();
    assert_eq!(life.queue.status().lost_events, 0, "counted when it was found");
    world.assert_each_line_once();
}

#[test]
fn what_was_read_again_before_a_kill_is_not_read_a_second_time() {
    let mut world = World::filled();
    world.damage(1, |bytes| {
        let end = bytes.len() - 20;
        bytes[end] ^= 1;
    });
    let life = world.live();
    world.consume(&life);
    let ledger = fs::read(world.dir.path().join("state/losses")).unwrap();
    drop(life);
    let life = world.live_on();
    life.queue.abandon();
    drop(life);
    // As if the process had died after the blocks were durable and before that was put on record.
    fs::write(world.dir.path().join("state/losses"), ledger).unwrap();
    let life = world.live_on();
    world.assert_each_line_once();
    assert!(life.queue.losses().all().iter().all(|e| e.state == LossState::ReadAgain));
}

#[test]
fn what_was_read_again_can_be_damaged_in_its_turn() {
    let mut world = World::filled();
    world.damage(1, |bytes| {
        let end = bytes.len() - 20;
        bytes[end] ^= 1;
    });
    world.live_on().queue.close();
    world.got.clear();
    let last = world.segments().len() - 1;
    world.damage(last, |bytes| {
        let end = bytes.len() - 20;
        bytes[end] ^= 1;
    });
    // A new group has to read all there is.
    let all = Subscription { group: "backfill".into(), ..subscription() };
    let mut life = world.live();
    let mut consumer = life.queue.subscribe(&all).unwrap();
    let mut got = std::collections::BTreeSet::new();
    let until = Instant::now() + LONG;
    while life.queue.lag("backfill").events > 0 || life.queue.any_wanted() {
        assert!(Instant::now() < until, "stuck");
        life.settle();
        while let Some(batch) = consumer.poll(&LIMITS, Duration::from_millis(10)).unwrap() {
            batch.runs().for_each(|run| got.extend(run.events.map(|e| String::from_utf8_lossy(e.bytes).into_owned())));
            consumer.acker().ack(&batch.id);
        }
    }
    assert!(world.written.values().flatten().all(|l| got.contains(l)));
}

#[test]
fn a_repair_in_between_changes_nothing() {
    let mut world = World::filled();
    world.damage(1, |bytes| {
        let at = headers(bytes)[1];
        bytes[at + 400] ^= 1;
    });
    world.damage(3, |bytes| {
        let at = headers(bytes)[1];
        bytes[at + 20] ^= 1;
    });
    let (before, after) = crate::queue::repair(&world.dir.path().join("state"), &mut |_, _| ()).unwrap();
    assert!(!before.is_sound() && after.is_sound(), "{after:?}");
    let life = world.live_on();
    world.assert_each_line_once();
    drop(life);
    let again = crate::queue::verify(&world.dir.path().join("state"), &mut |_, _| ()).unwrap();
    assert!(again.is_sound(), "{again:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_flipped_each_line_arrives_once(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0u8..8), 1..5), zeroed in prop::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>()))) {
        let mut world = World::filled();
        let segments = world.segments().len();
        for (segment, byte, bit) in flips {
            world.damage(segment.index(segments), |bytes| {
                let at = byte.index(bytes.len());
                bytes[at] ^= 1 << bit;
            });
        }
        // A sector that reads as zeros.
        if let Some((segment, sector)) = zeroed {
            world.damage(segment.index(segments), |bytes| {
                let at = sector.index(bytes.len()) / 512 * 512;
                let end = (at + 512).min(bytes.len());
                bytes[at..end].fill(0);
            });
        }
        world.live_on();
        world.assert_each_line_once();
    }
}
