//! Groups that are moved while their consumer runs.

use super::*;
use crate::queue::disk::StdDisk;
use crate::queue::{ManageError, Overwriting, Reset, ResetTo};

const LINES: u64 = 50;

/// A queue with `batches` record batches of [`LINES`] lines each.
fn filled(dir: &Path, batches: u64) -> Arc<Queue> {
    let options = QueueOptions { linger: Duration::from_secs(5), ..options(dir) };
    let queue = Queue::open_on(options, &["logs".into()], Arc::new(StdDisk), Arc::new(TestClock::default())).unwrap();
    let (stream, mut start) = (queue.declare(spec(7)), 0);
    for i in 0..batches {
        let block = block(&stream, start, &lines(i * LINES, LINES));
        start = block.source_end;
        queue.append(block).unwrap();
        assert!(queue.flush(LONG));
    }
    queue
}

fn reset(queue: &Queue, to: ResetTo) -> (u64, u64) {
    let wanted = Reset { group: "search".into(), to, topic: None, partition: None, overwrite: false, dry_run: false };
    let moved = queue.manage().reset(&wanted, &|_| Overwriting::Replaces).unwrap();
    assert_eq!((moved.moves.len(), moved.active), (1, true));
    (moved.moves[0].from, moved.moves[0].to)
}

#[test]
fn a_running_consumer_begins_again_and_earlier_acks_count_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let queue = filled(dir.path(), 2);
    let mut consumer = join(&queue, "search");
    let limits = Limits { max_events: 30, ..LIMITS };
    let first = consumer.poll(&limits, LONG).unwrap().unwrap();
    let second = consumer.poll(&limits, LONG).unwrap().unwrap();
    consumer.acker().ack(&first.id);
    assert_eq!(reset(&queue, ResetTo::Earliest), (30, 0));
    consumer.acker().ack(&second.id);
    consumer.acker().ack(&first.id);
    assert_eq!(queue.lag("search").events, 2 * LINES, "acks from before the reset move nothing");
    let again = consumer.poll(&limits, LONG).unwrap().unwrap();
    assert_eq!((again.id.to_string(), events(&again)), (first.id.to_string(), events(&first)), "the same batch under the same name");
    consumer.acker().ack(&first.id);
    assert_eq!(queue.lag("search").events, 2 * LINES, "nor does the ack of the same range from before");
    consumer.acker().ack(&again.id);
    assert_eq!(consume(&mut *consumer, 70).len(), 70);
    assert_eq!(queue.lag("search").events, 0);
}

#[test]
fn a_batch_that_is_being_gathered_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let queue = filled(dir.path(), 1);
    let mut consumer = join(&queue, "search");
    // It lingers for more.
    let slow = Limits { linger: Duration::from_secs(3600), ..LIMITS };
    assert!(consumer.poll(&slow, Duration::from_millis(1)).unwrap().is_none());
    assert_eq!(reset(&queue, ResetTo::Offset(40)), (0, 40));
    let batch = consumer.poll(&LIMITS, LONG).unwrap().unwrap();
    assert_eq!((batch.id.first, batch.id.last), (40, 49));
    assert_eq!(reset(&queue, ResetTo::Latest), (40, 50));
    assert!(consumer.poll(&LIMITS, Duration::ZERO).unwrap().is_none());
    consumer.acker().ack(&batch.id);
    assert_eq!(queue.lag("search").events, 0);
}

#[test]
fn targets_are_found_and_kept_within_what_is_retained() {
    let dir = tempfile::tempdir().unwrap();
    let queue = filled(dir.path(), 5);
    let mut consumer = join(&queue, "search");
    let mut times = Vec::new();
    for i in 0..5 {
        let batch = consumer.poll(&Limits { max_events: LINES as u32, ..LIMITS }, LONG).unwrap().unwrap();
        times.push(batch.parts[0].batch.append_ms);
        assert_eq!(batch.id.first, i * LINES);
        consumer.acker().ack(&batch.id);
    }
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    for (i, ms) in times.iter().enumerate() {
        assert_eq!(reset(&queue, ResetTo::Time(*ms)).1, i as u64 * LINES);
        assert_eq!(reset(&queue, ResetTo::Time(ms + 1)).1, (i as u64 + 1) * LINES);
    }
    assert_eq!(reset(&queue, ResetTo::Time(u64::MAX)).1, 250);
    assert_eq!(reset(&queue, ResetTo::ShiftBy(-60)), (250, 190));
    assert_eq!(reset(&queue, ResetTo::ShiftBy(i64::MIN)), (190, 0));
    assert_eq!(reset(&queue, ResetTo::Offset(u64::MAX)), (0, 250));
    let wanted = Reset {
        group: "search".into(),
        to: ResetTo::Latest,
        topic: Some("lost".into()),
        partition: None,
        overwrite: false,
        dry_run: false,
    };
    let error = queue.manage().reset(&wanted, &|_| Overwriting::Replaces).unwrap_err().to_string();
    assert_eq!(error, "group `search` does not read topic `lost`; it reads logs/0");
    assert!(matches!(queue.manage().delete("search", false), Err(ManageError::Active { .. })));
    assert!(matches!(queue.manage().delete("other", false), Err(ManageError::NoGroup { .. })));
}

#[test]
fn the_files_say_the_same_as_the_queue() {
    let dir = tempfile::tempdir().unwrap();
    let queue = filled(dir.path(), 3);
    drop(consume(&mut *join(&queue, "search"), 50));
    let inside = queue.manage().inventory();
    let outside = crate::queue::View::open(dir.path()).unwrap().manage().inventory();
    let offsets = |i: &crate::queue::Inventory| -> Vec<_> {
        i.topics.iter().map(|t| (t.topic.clone(), t.first_offset, t.end_offset, t.oldest_ms, t.newest_ms)).collect()
    };
    assert_eq!(offsets(&inside), offsets(&outside));
    let place = |i: &crate::queue::Inventory| (i.groups[0].group.clone(), i.groups[0].lag_events());
    assert_eq!(place(&inside), place(&outside));
    assert!(inside.groups[0].active && !outside.groups[0].active);
}

/// Range and whether it overwrites, of all batches up to `end`, each acked.
fn kinds(consumer: &mut dyn Consumer, end: u64) -> Vec<(u64, u64, bool)> {
    let mut all = Vec::new();
    while all.last().is_none_or(|(_, last, _)| *last + 1 < end) {
        let batch = consumer.poll(&LIMITS, LONG).unwrap().unwrap();
        assert_eq!(batch.id.to_string().contains("-overwrite-"), batch.id.overwrites());
        all.push((batch.id.first, batch.id.last, batch.id.overwrites()));
        consumer.acker().ack(&batch.id);
    }
    all
}

#[test]
fn what_was_delivered_is_overwritten_and_no_batch_mixes_it_with_what_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let queue = filled(dir.path(), 3);
    let mut consumer = join(&queue, "search");
    let first = consumer.poll(&Limits { max_events: 70, ..LIMITS }, LONG).unwrap().unwrap();
    consumer.acker().ack(&first.id);
    let wanted = |to, overwrite| Reset { group: "search".into(), to, topic: None, partition: None, overwrite, dry_run: false };
    let refuses = |_: &str| Overwriting::Refuses("logs is a data stream".into());
    let refused = queue.manage().reset(&wanted(ResetTo::Earliest, true), &refuses).unwrap_err().to_string();
    assert!(refused.contains("was not moved: logs is a data stream") && refused.contains("new target"), "{refused}");
    assert_eq!(queue.lag("search").events, 80, "nothing was changed");
    let moved = queue.manage().reset(&wanted(ResetTo::Offset(20), true), &|_| Overwriting::Replaces).unwrap();
    assert_eq!((moved.moves[0].overwrites(), moved.note), (50, None));
    let under_way = consumer.poll(&Limits { max_events: 30, ..LIMITS }, LONG).unwrap().unwrap();
    assert_eq!((under_way.id.first, under_way.id.last, under_way.id.overwrites()), (20, 49, true));
    assert_eq!((first.sent_before, under_way.sent_before), (false, true), "it was delivered before the group was moved back");
    assert_eq!(queue.lag("search").partitions.iter().map(|p| p.overwrite_until).max(), Some(70));
    // As after `kill -9`.
    queue.abandon();
    drop((consumer, queue));
    let queue = Queue::open_on(options(dir.path()), &["logs".into()], Arc::new(StdDisk), Arc::new(TestClock::default())).unwrap();
    let mut consumer = join(&queue, "search");
    let again = consumer.poll(&LIMITS, LONG).unwrap().unwrap();
    assert_eq!((again.id.to_string(), events(&again)), (under_way.id.to_string(), events(&under_way)), "the same under the same name");
    consumer.acker().ack(&again.id);
    let rest = kinds(&mut *consumer, 150);
    assert_eq!((rest[0], rest.last().unwrap().2), ((50, 69, true), false), "{rest:?}");
    assert!(rest[1..].iter().all(|(first, _, overwrites)| *first >= 70 && !overwrites), "{rest:?}");
    assert!(queue.lag("search").partitions.iter().all(|p| p.overwrite_until == 0), "it has ended by itself");
    let moved = queue.manage().reset(&wanted(ResetTo::Earliest, false), &|_| unreachable!("nothing is asked")).unwrap();
    assert_eq!((moved.moves[0].overwrites(), kinds(&mut *consumer, 150).iter().any(|k| k.2)), (0, false));
    // All of it was sent before; when the commit has passed it, what comes is new.
    queue.manage().reset(&wanted(ResetTo::Earliest, false), &|_| unreachable!("nothing is asked")).unwrap();
    let (mut delivered, key) = (0, ("search".into(), "logs".into(), 0));
    while delivered < 150 {
        let batch = consumer.poll(&Limits { max_events: 70, ..LIMITS }, LONG).unwrap().unwrap();
        assert!(batch.sent_before, "{}", batch.id);
        delivered += batch.events;
        consumer.acker().ack(&batch.id);
    }
    assert_eq!(queue.groups.state(&key).unwrap().replay_until, 0);
}
