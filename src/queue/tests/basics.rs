use super::*;
use crate::queue::meta::Meta;
use crate::queue::{Acks, BLOCK_BYTES, Block, DEAD_LETTER_TOPIC, DeadLetterWriter, DeadLetters, OpenError};
use std::time::Instant;

fn texts(events: &[(u128, u64, String)]) -> Vec<String> {
    events.iter().map(|e| e.2.clone()).collect()
}

#[test]
fn what_is_appended_comes_out_in_order_with_its_positions() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(options(dir.path()), &["logs".into()]).unwrap();
    let stream = queue.declare(spec(1));
    let mut consumer = join(&queue, "search");
    let wanted = lines(0, 5000);
    let mut start = 0;
    for chunk in wanted.chunks(97) {
        let block = block(&stream, start, chunk);
        start = block.source_end;
        queue.append(block).unwrap();
    }
    let got = consume(&mut *consumer, 5000);
    assert_eq!(texts(&got), wanted);
    let mut position = 0;
    for (_, at, line) in &got {
        assert_eq!(*at, position);
        position += line.len() as u64 + 1;
    }
    assert_eq!(stream.durable().end, start);
    assert_eq!(queue.lag("search").events, 0);
}

#[test]
fn a_restart_goes_on_where_the_last_durable_batch_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut start = 0;
    for round in 0..5u64 {
        let queue = Queue::open(options(dir.path()), &["logs".into()]).unwrap();
        let stream = queue.streams().first().cloned().unwrap_or_else(|| queue.declare(spec(7)));
        assert_eq!(stream.durable().end, start);
        assert_eq!(*stream.spec(), spec(7));
        let block = block(&stream, start, &lines(round * 100, 100));
        start = block.source_end;
        queue.append(block).unwrap();
        queue.close();
    }
    let queue = Queue::open(options(dir.path()), &["logs".into()]).unwrap();
    assert_eq!(texts(&consume(&mut *join(&queue, "search"), 500)), lines(0, 500));
    assert_eq!(queue.recovery(), &Default::default());
}

#[test]
fn segments_roll_and_are_recycled_only_when_all_groups_have_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut o = options(dir.path());
    o.retention.bytes = 0;
    let queue = Queue::open(o, &["logs".into()]).unwrap();
    let (mut fast, mut slow) = (join(&queue, "fast"), join(&queue, "slow"));
    let stream = queue.declare(spec(1));
    let mut start = 0;
    for i in 0..60 {
        let block = block(&stream, start, &lines(i * 1000, 1000));
        start = block.source_end;
        queue.append(block).unwrap();
    }
    assert_eq!(consume(&mut *fast, 60_000).len(), 60_000);
    let status = queue.status();
    let logs = status.partitions.iter().find(|p| p.topic == "logs").unwrap();
    assert!(logs.segments >= 3 && logs.first_offset == 0, "the slow group holds everything: {logs:?}");
    assert_eq!(texts(&consume(&mut *slow, 60_000)), lines(0, 60_000));
    // Retention is looked at when a segment is sealed.
    let until = std::time::Instant::now() + LONG;
    let mut n = 60;
    while queue.status().partitions.iter().find(|p| p.topic == "logs").unwrap().first_offset == 0 {
        assert!(std::time::Instant::now() < until, "nothing was recycled");
        let block = block(&stream, start, &lines(n * 1000, 1000));
        start = block.source_end;
        queue.append(block).unwrap();
        consume(&mut *fast, 1000);
        consume(&mut *slow, 1000);
        n += 1;
    }
    queue.close();
    drop(queue);
    let queue = Queue::open(options(dir.path()), &["logs".into()]).unwrap();
    assert_eq!(queue.streams()[0].durable().end, start, "the position outlives its segments");
}

#[test]
fn a_batch_that_was_in_flight_comes_again_under_the_same_id() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = {
        let queue = Queue::open(options(dir.path()), &["logs".into()]).unwrap();
        let stream = queue.declare(spec(1));
        queue.append(block(&stream, 0, &lines(0, 1000))).unwrap();
        let mut consumer = join(&queue, "http");
        let limits = Limits { max_events: 300, ..LIMITS };
        let first = consumer.poll(&limits, LONG).unwrap().unwrap();
        let second = consumer.poll(&limits, LONG).unwrap().unwrap();
        let third = consumer.poll(&limits, LONG).unwrap().unwrap();
        consumer.acker().ack(&third.id);
        assert_eq!((first.id.first, first.id.last, second.id.last), (0, 299, 599));
        (first, second)
    };
    let queue = Queue::open(options(dir.path()), &["logs".into()]).unwrap();
    let mut consumer = join(&queue, "http");
    // Other limits than before: the ranges stay what they were.
    let again: Vec<Batch> = (0..3).map(|_| consumer.poll(&LIMITS, LONG).unwrap().unwrap()).collect();
    assert_eq!(again[0].id, first.id);
    assert_eq!(again[1].id, second.id);
    assert_eq!(events(&again[1]), events(&second));
    assert_eq!((again[2].id.first, again[2].id.last), (900, 999), "what was acked out of order is not sent again");
    again.iter().for_each(|b| consumer.acker().ack(&b.id));
    assert_eq!(queue.lag("http").events, 0);
}

#[test]
fn many_small_runs_share_a_batch_and_partitions_keep_streams_together() {
    let dir = tempfile::tempdir().unwrap();
    let mut o = options(dir.path());
    o.partitions = 3;
    o.linger = Duration::from_millis(20);
    let queue = Queue::open(o, &["logs".into()]).unwrap();
    let streams: Vec<_> = (0..200u128).map(|k| queue.declare(spec(k))).collect();
    for round in 0..3u64 {
        for s in &streams {
            let start = round * 20;
            queue.append(block(s, start, &[format!("stream {:05} {round:05}", s.spec().key)])).unwrap();
        }
    }
    let got = consume(&mut *join(&queue, "search"), 600);
    for s in &streams {
        let key = s.spec().key;
        let mine: Vec<_> = got.iter().filter(|e| e.0 == key).map(|e| e.2.clone()).collect();
        assert_eq!(mine, (0..3).map(|r| format!("stream {key:05} {r:05}")).collect::<Vec<_>>());
    }
    assert!(queue.status().syncs < 300, "runs are packed together");
}

#[test]
fn the_linger_counts_from_the_batch_before() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(options(dir.path()), &["logs".into()]).unwrap();
    let stream = queue.declare(spec(1));
    let mut consumer = join(&queue, "search");
    let append = |n: u64| {
        queue.append(block(&stream, n * 20, &[format!("a line of {:09}", n)])).unwrap();
        assert!(queue.flush(LONG));
    };
    let hours = Limits { linger: Duration::from_secs(36_000), ..LIMITS };
    let mut look = |limits: &Limits| consumer.poll(limits, Duration::ZERO).unwrap().map(|batch| batch.events);
    append(0);
    assert_eq!(look(&hours), None, "the first one gathers what is found at the start");
    assert_eq!(look(&LIMITS), Some(1));
    let linger = Duration::from_millis(10);
    std::thread::sleep(linger);
    append(1);
    assert_eq!(look(&Limits { linger, ..LIMITS }), Some(1), "after a rest an event waits for nothing");
    append(2);
    append(3);
    assert_eq!(look(&hours), None, "right behind another batch it waits for more");
    assert_eq!(look(&LIMITS), Some(2));
}

#[test]
fn a_batch_that_is_nearly_full_does_not_wait_for_the_linger() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(options(dir.path()), &["logs".into()]).unwrap();
    let stream = queue.declare(spec(1));
    let mut consumer = join(&queue, "search");
    let append = |n: u64| {
        queue.append(block(&stream, n * 1000, &["x".repeat(999)])).unwrap();
        assert!(queue.flush(LONG));
    };
    let hours = Limits { linger: Duration::from_secs(36_000), max_bytes: 4500, ..LIMITS };
    let mut look = || consumer.poll(&hours, Duration::ZERO).unwrap().map(|batch| batch.events);
    (0..3).for_each(append);
    assert_eq!(look(), None, "a third of it is free");
    append(3);
    assert_eq!(look(), Some(4), "another one would not have fitted");
    (4..7).for_each(append);
    assert_eq!(look(), None, "each batch for itself");
}

#[test]
fn a_reader_that_waits_for_memory_does_not_wait_for_the_linger() {
    let dir = tempfile::tempdir().unwrap();
    let mut o = options(dir.path());
    // Of four partitions none may ever fill a batch in this memory.
    (o.partitions, o.buffer_memory) = (4, 4 << 20);
    let queue = Queue::open(o, &["logs".into()]).unwrap();
    let streams: Vec<_> = (0..16).map(|key| queue.declare(spec(key))).collect();
    let mut consumer = join(&queue, "search");
    let (each, blocks) = (1024, 32);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..blocks {
                let mut memory = queue.buffer(BLOCK_BYTES, LONG).expect("memory, before a linger of hours is over");
                memory.fill(b'x');
                let stream = &streams[n % streams.len()];
                let lines = vec!["x".repeat(BLOCK_BYTES / each - 1); each];
                let block = block(stream, (n / streams.len() * BLOCK_BYTES) as u64, &lines);
                queue.append(Block { data: memory.freeze(), ..block }).unwrap();
            }
        });
        let limits = Limits { linger: Duration::from_secs(36_000), max_bytes: 64 << 20, max_events: u32::MAX, overhead: 0 };
        let (until, mut seen) = (Instant::now() + LONG, 0);
        // What the last of them leaves behind is less than anybody waits for.
        while seen < (blocks - 8) * each && Instant::now() < until {
            if let Some(batch) = consumer.poll(&limits, Duration::from_millis(10)).unwrap() {
                assert!(batch.cut && batch.bytes >= BLOCK_BYTES);
                seen += batch.events as usize;
                consumer.acker().ack(&batch.id);
            }
        }
        assert!(seen >= (blocks - 8) * each, "only {seen} events");
    });
}

#[test]
fn two_agents_cannot_have_one_data_dir() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(options(dir.path()), &[]).unwrap();
    let Err(OpenError::InUse { pid, .. }) = Queue::open(options(dir.path()), &[]) else { panic!("opened twice") };
    assert_eq!(pid, Some(std::process::id()));
    drop(queue);
    assert!(Queue::open(options(dir.path()), &[]).is_ok());
}

#[test]
fn a_newer_data_dir_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(Queue::open(options(dir.path()), &[]).unwrap());
    let disk = crate::queue::disk::StdDisk;
    let meta = Meta::read(&disk, dir.path()).unwrap().unwrap();
    let newer = Meta { format: 2, ..meta };
    newer.write(&disk, dir.path()).unwrap();
    assert!(matches!(Queue::open(options(dir.path()), &[]), Err(OpenError::Newer { format: 2, .. })));
    assert_eq!(Meta::read(&disk, dir.path()).unwrap(), Some(newer));
}

#[test]
fn dead_letters_are_durable_when_put_returns_and_go_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..2 {
        let queue = Queue::open(options(dir.path()), &["logs".into()]).unwrap();
        DeadLetterWriter::new(&queue).put(vec![format!("{{\"n\":{round}}}").into_bytes(), b"{}".to_vec()]).unwrap();
    }
    let queue = Queue::open(options(dir.path()), &["logs".into()]).unwrap();
    assert_eq!(queue.topics(), ["logs"]);
    let wanted = Subscription {
        group: "redrive".into(),
        previous: None,
        topics: vec![DEAD_LETTER_TOPIC.into()],
        pipeline: 0,
        ..Subscription::default()
    };
    let got = consume(&mut *queue.subscribe(&wanted).unwrap(), 4);
    assert_eq!(texts(&got), ["{\"n\":0}", "{}", "{\"n\":1}", "{}"]);
}

#[test]
fn at_max_bytes_sources_wait_until_a_sink_has_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut o = options(dir.path());
    (o.max_bytes, o.retention.bytes, o.max_block) = (4 << 20, 0, Duration::from_millis(200));
    let queue = Queue::open(o, &["logs".into()]).unwrap();
    let mut consumer = join(&queue, "search");
    let stream = queue.declare(spec(1));
    let (mut start, mut appended) = (0, 0u64);
    let reason = loop {
        let block = block(&stream, start, &lines(appended, 1000));
        let end = block.source_end;
        match queue.append(block) {
            Ok(()) => (start, appended) = (end, appended + 1000),
            Err(e) => break e.to_string(),
        }
        assert!(appended < 10_000_000, "never full");
    };
    assert!(reason.contains("max_bytes"), "{reason}");
    assert_eq!(queue.status().state, "full");
    // Dead letters pass, or a sink could never get on.
    DeadLetterWriter::new(&queue).put(vec![b"{}".to_vec()]).unwrap();
    let got = consume(&mut *consumer, appended as usize);
    assert_eq!(texts(&got), lines(0, appended), "all that was taken arrives, in order");
    assert!(queue.flush(LONG));
    assert_eq!(queue.status().state, "ok");
}

#[test]
fn with_acks_written_consumers_need_not_wait_for_the_sync() {
    let dir = tempfile::tempdir().unwrap();
    let mut o = options(dir.path());
    (o.acks, o.sync_interval) = (Acks::Written, Duration::from_secs(3600));
    let queue = Queue::open(o, &["logs".into()]).unwrap();
    let stream = queue.declare(spec(1));
    queue.append(block(&stream, 0, &lines(0, 10))).unwrap();
    assert_eq!(consume(&mut *join(&queue, "search"), 10).len(), 10);
    assert_eq!(queue.status().syncs, 0);
}

#[test]
fn a_folder_that_is_deleted_under_the_queue_is_told_and_holds_up_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // Less memory than data: what is in the tail cache survives its file.
    let queue = Queue::open(QueueOptions { buffer_memory: 3 << 20, ..options(dir.path()) }, &["logs".into()]).unwrap();
    let mut consumer = join(&queue, "search");
    let stream = queue.declare(spec(1));
    let mut start = 0;
    for i in 0..80 {
        let block = block(&stream, start, &lines(i * 1000, 1000));
        start = block.source_end;
        queue.append(block).unwrap();
    }
    assert!(queue.flush(LONG));
    std::fs::remove_dir_all(dir.path().join("topics")).unwrap();
    // A roll finds the folder gone, and makes it anew.
    for i in 80..120 {
        let block = block(&stream, start, &lines(i * 1000, 1000));
        start = block.source_end;
        queue.append(block).unwrap();
    }
    assert!(queue.flush(LONG), "{:?}", queue.status());
    let mut got = Vec::new();
    while queue.lag("search").events > 0 {
        if let Some(batch) = consumer.poll(&LIMITS, Duration::from_millis(50)).unwrap() {
            got.extend(events(&batch).into_iter().map(|e| e.2));
            consumer.acker().ack(&batch.id);
        }
    }
    let all = lines(0, 120_000);
    assert_eq!(got.last(), all.last());
    let lost = queue.status().lost_events;
    assert!(lost > 0, "what was only in the deleted files is gone");
    assert_eq!(got.len() as u64 + lost, 120_000, "and what is gone is told, to the event");
}

#[test]
fn a_start_with_many_sealed_segments_writes_none_of_their_indices_again() {
    let dir = tempfile::tempdir().unwrap();
    {
        let queue = Queue::open(options(dir.path()), &["logs".into()]).unwrap();
        let stream = queue.declare(spec(1));
        let mut start = 0;
        for i in 0..100 {
            let block = block(&stream, start, &lines(i * 1000, 1000));
            start = block.source_end;
            queue.append(block).unwrap();
        }
    }
    let times = || -> Vec<_> {
        let files = std::fs::read_dir(dir.path().join("topics/logs/0")).unwrap().map(|e| e.unwrap());
        let mut times: Vec<_> = files
            .filter(|f| f.path().extension().is_some_and(|e| e == "idx"))
            .map(|f| (f.file_name(), f.metadata().unwrap().modified().unwrap()))
            .collect();
        times.sort();
        times
    };
    let before = times();
    assert!(before.len() > 3);
    drop(Queue::open(options(dir.path()), &["logs".into()]).unwrap());
    assert_eq!(times(), before);
}

#[test]
fn what_comes_after_a_rest_is_synced_at_once_and_what_follows_it_within_the_interval() {
    let dir = tempfile::tempdir().unwrap();
    let mut o = options(dir.path());
    o.sync_interval = Duration::from_secs(36_000);
    let queue = Queue::open(o, &["logs".into()]).unwrap();
    let stream = queue.declare(spec(1));
    let mut consumer = join(&queue, "search");
    queue.append(block(&stream, 0, &lines(0, 10))).unwrap();
    assert_eq!(consume(&mut *consumer, 10).len(), 10, "it does not wait for the interval");
    let start = stream.durable().end;
    queue.append(block(&stream, start, &lines(10, 10))).unwrap();
    let until = Instant::now() + LONG;
    while stream.written() == start && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(stream.written() > start && stream.durable().end == start, "the next one does");
    assert_eq!(queue.status().syncs, 1);
    assert!(queue.flush(LONG));
    assert_eq!(consume(&mut *consumer, 10).len(), 10);
}
