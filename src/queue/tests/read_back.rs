//! What is read back from the disk stays within its memory, whatever the groups do.

use super::*;
use crate::queue::Part;

/// For what is read back: a sixth of 6 MiB.
const MEMORY: u64 = 1 << 20;

/// A queue whose 60,000 lines are on the disk alone.
fn on_disk(dir: &Path) -> Arc<Queue> {
    let options = || QueueOptions { buffer_memory: 6 << 20, batch_size: 128 << 10, ..options(dir) };
    let queue = Queue::open(options(), &["logs".into()]).unwrap();
    let stream = queue.declare(spec(1));
    let mut start = 0;
    for i in 0..60 {
        let block = block(&stream, start, &lines(i * 1000, 1000));
        start = block.source_end;
        queue.append(block).unwrap();
    }
    queue.close();
    drop(queue);
    Queue::open(options(), &["logs".into()]).unwrap()
}

fn poll(consumer: &mut dyn Consumer, max_events: u32, wait: Duration) -> Option<Batch> {
    consumer.poll(&Limits { max_bytes: 8 << 20, max_events, ..LIMITS }, wait).unwrap()
}

#[test]
fn a_backlog_is_read_in_batches_that_fit_the_memory_and_one_group_waits_for_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let queue = on_disk(dir.path());
    let [mut first, mut second] = ["first", "second"].map(|group| join(&queue, group));
    let held = poll(&mut *first, u32::MAX, LONG).expect("a batch");
    let used = queue.status().memory_bytes;
    assert!(used > MEMORY / 2 && used <= MEMORY, "{used}");
    assert!(poll(&mut *second, u32::MAX, Duration::from_millis(1)).is_none(), "there is no room");
    assert!(held.cut, "it would be larger if there were more memory");
    let (id, expected) = (held.id.clone(), events(&held));
    let begun = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| poll(&mut *second, u32::MAX, LONG));
        drop(held);
        waiting.join().unwrap().expect("there is room again")
    });
    assert_eq!(begun.id.first, 0);
    let taken = begun.events as usize;
    drop(begun);
    let parts = first.acker().again(&id).unwrap();
    let again = parts.iter().flat_map(Part::runs).flat_map(|run| run.events).map(|e| String::from_utf8_lossy(e.bytes).into_owned());
    assert!(again.eq(expected.into_iter().map(|e| e.2)), "what is in flight is read again");
    drop(parts);
    assert_eq!(consume(&mut *second, 60_000 - taken).pop().map(|e| e.2), lines(59_999, 1).pop());
    assert!(queue.status().memory_bytes <= MEMORY);
}

#[test]
fn a_group_that_cannot_send_lets_go_of_what_it_has_read() {
    let dir = tempfile::tempdir().unwrap();
    let queue = on_disk(dir.path());
    let mut consumer = join(&queue, "search");
    let batch = poll(&mut *consumer, 10, LONG).expect("a batch");
    assert_eq!((batch.id.first, batch.id.last, batch.cut), (0, 9, false));
    drop(batch);
    assert!(queue.status().memory_bytes > 0, "the rest of what was read is kept for the next batch");
    consumer.rest();
    assert_eq!(queue.status().memory_bytes, 0);
    let batch = poll(&mut *consumer, 10, LONG).expect("a batch");
    assert_eq!((batch.id.first, batch.id.last), (10, 19), "and nothing is passed over");
    assert_eq!(events(&batch)[0].2, lines(10, 1)[0]);
}
