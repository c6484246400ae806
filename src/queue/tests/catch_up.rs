//! Groups that take what is new before their backlog.

use super::*;
use crate::queue::disk::StdDisk;
use crate::queue::{CatchUp, Position};
use proptest::prelude::*;
use std::collections::BTreeMap;

const OLD: Duration = Duration::from_secs(120);

struct Rig {
    queue: Arc<Queue>,
    clock: Arc<TestClock>,
    stream: Arc<Stream>,
    lines: u64,
    position: u64,
    _dir: tempfile::TempDir,
}

impl Rig {
    fn new() -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::default());
        let queue = Queue::open_on(options(dir.path()), &["logs".into()], Arc::new(StdDisk), clock.clone()).unwrap();
        let stream = queue.declare(spec(7));
        assert_eq!(stream.durable(), Position::default());
        Rig { queue, clock, stream, lines: 0, position: 0, _dir: dir }
    }

    fn write(&mut self, count: u64) {
        let block = block(&self.stream, self.position, &lines(self.lines, count));
        (self.position, self.lines) = (block.source_end, self.lines + count);
        self.queue.append(block).unwrap();
        assert!(self.queue.flush(LONG));
    }

    fn join(&self, catch_up: CatchUp) -> Box<dyn Consumer> {
        let wanted = Subscription { group: "search".into(), catch_up, ..Subscription::default() };
        self.queue.subscribe(&wanted).unwrap()
    }
}

fn poll(consumer: &mut dyn Consumer, most: u32) -> Option<Batch> {
    let limits = Limits { max_events: most, ..LIMITS };
    let batch = consumer.poll(&limits, Duration::from_millis(1)).unwrap()?;
    Some(batch)
}

/// First and last offset of the next batch, which is acked.
fn take(consumer: &mut dyn Consumer) -> (u64, u64) {
    let batch = poll(consumer, 40).expect("a batch");
    consumer.acker().ack(&batch.id);
    (batch.id.first, batch.id.last)
}

#[test]
fn new_events_go_before_a_backlog_and_all_arrive_once() {
    let mut rig = Rig::new();
    rig.write(100);
    rig.clock.forward(OLD);
    let mut consumer = rig.join(CatchUp::NewestFirst);
    assert_eq!(take(&mut *consumer), (0, 39), "nothing is newer");
    rig.write(50);
    assert_eq!(take(&mut *consumer), (100, 139));
    assert_eq!(take(&mut *consumer), (140, 149));
    assert_eq!(take(&mut *consumer), (40, 79));
    rig.write(10);
    assert_eq!(take(&mut *consumer), (150, 159));
    assert_eq!(rig.queue.lag("search").events, 20);
    assert_eq!(take(&mut *consumer), (80, 99));
    assert_eq!(rig.queue.lag("search").events, 0);
    rig.write(5);
    assert_eq!(take(&mut *consumer), (160, 164));
    assert_eq!(rig.queue.lag("search").partitions[0].committed, 165);
}

#[test]
fn without_it_the_order_is_kept() {
    let mut rig = Rig::new();
    rig.write(100);
    rig.clock.forward(OLD);
    let mut consumer = rig.join(CatchUp::OldestFirst);
    assert_eq!(take(&mut *consumer), (0, 39));
    rig.write(50);
    assert_eq!((0..3).map(|_| take(&mut *consumer)).collect::<Vec<_>>(), [(40, 79), (80, 119), (120, 149)]);
}

#[test]
fn a_reset_begins_with_one_place_again() {
    let mut rig = Rig::new();
    rig.write(100);
    rig.clock.forward(OLD);
    let mut consumer = rig.join(CatchUp::NewestFirst);
    take(&mut *consumer);
    rig.write(10);
    take(&mut *consumer);
    let wanted = crate::queue::Reset {
        group: "search".into(),
        to: crate::queue::ResetTo::Offset(90),
        topic: None,
        partition: None,
        overwrite: false,
        dry_run: false,
    };
    rig.queue.manage().reset(&wanted, &|_| crate::queue::Overwriting::Replaces).unwrap();
    rig.write(5);
    assert_eq!(take(&mut *consumer), (90, 114), "what was acked before is sent again, and nothing twice");
    assert_eq!(rig.queue.lag("search").events, 0);
    assert!(poll(&mut *consumer, 40).is_none());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Write(u64),
    Wait(u64),
    Poll(u32),
    Ack(usize),
    Rejoin,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1u64..40).prop_map(Step::Write),
        (1_000u64..100_000).prop_map(Step::Wait),
        (1u32..60).prop_map(Step::Poll),
        (0usize..4).prop_map(Step::Ack),
        Just(Step::Rejoin),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever happens, each event is acked once; only what was in flight at a restart is sent again, cut as it was.
    #[test]
    fn each_event_is_acked_once_in_whatever_order(steps in prop::collection::vec(step(), 1..60)) {
        let mut rig = Rig::new();
        let mut consumer = rig.join(CatchUp::NewestFirst);
        let (mut flying, mut acked) = (Vec::<Batch>::new(), BTreeMap::<u64, u32>::new());
        let ack = |batch: Batch, consumer: &dyn Consumer, acked: &mut BTreeMap<u64, u32>| {
            consumer.acker().ack(&batch.id);
            (batch.id.first..=batch.id.last).for_each(|offset| *acked.entry(offset).or_default() += 1);
        };
        for step in steps {
            match step {
                Step::Write(count) => rig.write(count),
                Step::Wait(ms) => rig.clock.forward(Duration::from_millis(ms)),
                Step::Poll(most) => flying.extend(poll(&mut *consumer, most)),
                Step::Ack(at) if at < flying.len() => ack(flying.swap_remove(at), &*consumer, &mut acked),
                Step::Ack(_) => {}
                Step::Rejoin => {
                    drop(consumer);
                    consumer = rig.join(CatchUp::NewestFirst);
                    let mut lost: Vec<(u64, u64)> = flying.drain(..).map(|b| (b.id.first, b.id.last)).collect();
                    lost.sort_unstable();
                    let mut again: Vec<(u64, u64)> = Vec::new();
                    for _ in 0..lost.len() {
                        let batch = poll(&mut *consumer, 1000).expect("what was in flight");
                        again.push((batch.id.first, batch.id.last));
                        flying.push(batch);
                    }
                    again.sort_unstable();
                    prop_assert_eq!(again, lost);
                }
            }
        }
        for batch in flying {
            ack(batch, &*consumer, &mut acked);
        }
        while let Some(batch) = poll(&mut *consumer, 1000) {
            ack(batch, &*consumer, &mut acked);
        }
        prop_assert_eq!(acked.len() as u64, rig.lines);
        prop_assert!(acked.values().all(|times| *times == 1), "{:?}", acked);
        prop_assert_eq!(rig.queue.lag("search").events, 0);
    }
}
