//! Dead letters that are sent again, from the queue or from the letters themselves.

use super::*;
use crate::process::identity::ID_LEN;
use crate::queue::{DEAD_LETTER_TOPIC, DeadLetterWriter, DeadLetters, Redriven, Start, View};
use crate::sink::client::{Encoder, Rejection};
use crate::sink::dead_letter::dead_letters;
use crate::sink::elasticsearch::{BulkEncoder, ElasticsearchOptions};

/// What the Elasticsearch sink `scope` would send for each event of a batch.
fn encoded(scope: &str, batch: &Batch) -> Vec<String> {
    let (mut out, mut ends, mut start) = (Vec::new(), Vec::new(), 0);
    let options = ElasticsearchOptions { index: "logs-%Y.%m.%d".into(), ..ElasticsearchOptions::default() };
    BulkEncoder::new(scope, "web-1", &options).unwrap().encode(batch, &mut out, &mut ends);
    let mut item = |end: &u32| String::from_utf8(out[std::mem::replace(&mut start, *end as usize)..*end as usize].to_vec()).unwrap();
    ends.iter().map(&mut item).collect()
}

/// Letters of these items of a batch.
fn bury(writer: &DeadLetterWriter, sink: &str, batch: &Batch, items: &[usize]) {
    let rejection = |item: &usize| Rejection { item: *item, status: 400, kind: "bad".into(), reason: "mapping".into() };
    let rejected: Vec<Rejection> = items.iter().map(rejection).collect();
    writer.put(dead_letters("search", sink, batch, &rejected).0).unwrap();
}

fn open(dir: &Path) -> Arc<Queue> {
    let mut o = options(dir);
    o.retention.bytes = 0;
    Queue::open(o, &["logs".into()]).unwrap()
}

fn letters(dir: &Path) -> Vec<String> {
    let view = View::open(dir).unwrap();
    let mut reader = view.readers(DEAD_LETTER_TOPIC, None, Start::Earliest).unwrap().remove(0);
    let mut all = Vec::new();
    while let Some(part) = reader.read().unwrap() {
        all.extend(part.runs().flat_map(|r| r.events).map(|e| String::from_utf8(e.bytes.to_vec()).unwrap()));
    }
    all
}

/// Appends until the first segment of `logs` is gone.
fn push_out(queue: &Queue, consumer: &mut dyn Consumer) {
    let stream = queue.declare(spec(9));
    let (mut start, until) = (0, std::time::Instant::now() + LONG * 3);
    while queue.status().partitions.iter().find(|p| p.topic == "logs").unwrap().first_offset < 100 {
        assert!(std::time::Instant::now() < until, "nothing was recycled");
        let block = block(&stream, start, &lines(0, 2000));
        start = block.source_end;
        queue.append(block).unwrap();
        consume(consumer, 2000);
    }
}

fn counts(done: &Redriven) -> [u64; 5] {
    let impossible = done.impossible.values().sum();
    [done.from_queue, done.from_letter, done.waiting, done.earlier, impossible]
}

#[test]
fn an_event_that_its_topic_no_longer_has_is_sent_from_its_letter_as_the_same_document() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    let writer = DeadLetterWriter::new(&queue);
    let mut consumer = join(&queue, "search");
    // Each a run of its own: plain, quoted, an end of line within, no text, cut, without a position.
    let events: [(&[u8], u32); 6] = [
        (b"plain\n", RunFlags::UTF8 | RunFlags::JSON_CLEAN),
        (b"\"q\" \\ \xc3\xa4\r\n", RunFlags::UTF8),
        (b"a\r\r\n", RunFlags::UTF8),
        (b"\xff\xfe\n", 0),
        (b"cut", RunFlags::UTF8 | RunFlags::CUT),
        (b"pushed\n", RunFlags::UTF8 | RunFlags::NO_POSITION),
    ];
    for (i, (event, flags)) in events.iter().enumerate() {
        let fields = if i % 2 == 0 { r#""service.name":"shop","n":{"b":1.5,"a":[1,"x"]}"#.into() } else { String::new() };
        let stream = queue.declare(StreamSpec { fields, ..spec(20 + i as u128) });
        let mut lens = Vec::new();
        put_varint(&mut lens, event.len() as u32);
        let (source_start, source_end) = (700, 700 + event.len() as u64);
        let data = Bytes::from_static(event);
        let tail = Tail::of(&data);
        queue
            .append(Block {
                stream,
                source_start,
                source_end,
                count: 1,
                lens: lens.into(),
                tail,
                data,
                flags: RunFlags(*flags),
                filtered: Vec::new(),
            })
            .unwrap();
    }
    let mut sent = Vec::new();
    while sent.len() < events.len() {
        let batch = consumer.poll(&LIMITS, LONG).unwrap().unwrap();
        let all: Vec<usize> = (0..batch.events as usize).collect();
        bury(&writer, "search", &batch, &all);
        sent.extend(encoded("search", &batch));
        consumer.acker().ack(&batch.id);
    }
    assert_eq!(counts(&queue.manage().redrive("search", false, true).unwrap()), [6, 0, 0, 0, 0]);
    push_out(&queue, &mut *consumer);
    let done = queue.manage().redrive("search", false, false).unwrap();
    assert_eq!((counts(&done), done.letters, done.events), ([0, 6, 0, 0, 0], 6, 6));
    assert_eq!(counts(&queue.manage().redrive("search", false, false).unwrap()), [0, 0, 6, 0, 0], "they are on their way");
    assert_eq!(queue.lag("search").events, 6);
    let batch = consumer.poll(&LIMITS, LONG).unwrap().unwrap();
    // Killed before the ack: the same batch again, now under another name of the sink.
    queue.abandon();
    drop((consumer, writer, queue));
    let queue = open(dir.path());
    let wanted =
        Subscription { group: "find".into(), previous: Some("search".into()), topics: vec![], pipeline: 0, ..Subscription::default() };
    let mut consumer = queue.subscribe(&wanted).unwrap();
    let again = consumer.poll(&LIMITS, LONG).unwrap().unwrap();
    assert_eq!(again.id.to_string().replace("-find-", "-search-"), batch.id.to_string());
    assert_eq!((encoded("search", &again), encoded("find", &again)), (sent.clone(), sent), "the same documents under the same IDs");
    consumer.acker().ack(&again.id);
    assert_eq!(queue.lag("find").events, 0);
    let done = |all| counts(&queue.manage().redrive("find", all, true).unwrap());
    assert_eq!((done(false), done(true)), ([0, 0, 0, 6, 0], [0, 6, 0, 0, 0]), "letters of its earlier name are its own");
    // Refused again: that is news.
    let writer = DeadLetterWriter::new(&queue);
    bury(&writer, "find", &again, &[1, 3]);
    assert_eq!(counts(&queue.manage().redrive("find", false, true).unwrap()), [0, 2, 0, 4, 0]);
    writer.put(vec![br#"{"sink":"find","topic":"logs","partition":0,"offset":5000000}"#.to_vec()]).unwrap();
    writer.put(vec![br#"{"sink":"find","topic":"lost","partition":0,"offset":1}"#.to_vec()]).unwrap();
    let told = queue.manage().redrive("find", false, true).unwrap().impossible;
    let reasons: Vec<&str> = told.keys().map(String::as_str).collect();
    assert_eq!(reasons, ["logs/0 no longer has the event, and the letter has no event ID", "the sink does not read lost/0"]);
    let now = || counts(&queue.manage().redrive("find", false, false).unwrap());
    assert_eq!((now(), now()), ([0, 2, 0, 4, 2], [0, 0, 2, 4, 2]), "what cannot be sent never passes for sent");
}

#[test]
fn one_refusal_makes_one_letter_also_through_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    let mut consumer = join(&queue, "search");
    let stream = queue.declare(spec(1));
    queue.append(block(&stream, 0, &lines(0, 10))).unwrap();
    let batch = consumer.poll(&LIMITS, LONG).unwrap().unwrap();
    bury(&DeadLetterWriter::new(&queue), "search", &batch, &[2, 7]);
    // The letters are durable, the ack is not written.
    queue.abandon();
    drop((consumer, queue));
    let queue = open(dir.path());
    let (mut consumer, writer) = (join(&queue, "search"), DeadLetterWriter::new(&queue));
    let again = consumer.poll(&LIMITS, LONG).unwrap().unwrap();
    assert_eq!(again.id.to_string(), batch.id.to_string());
    bury(&writer, "search", &again, &[2, 7]);
    assert_eq!(letters(dir.path()).len(), 2, "known by event and batch");
    bury(&writer, "search", &again, &[2, 7, 9]);
    assert_eq!(letters(dir.path()).len(), 3, "only what is new");
    consumer.acker().ack(&again.id);
    // A redrive that fails again is news: another letter, but one event.
    for round in 0..2u64 {
        assert_eq!(counts(&queue.manage().redrive("search", false, false).unwrap()), [3 - round, 0, 0, round, 0]);
        let mut sent = Vec::new();
        while sent.len() < (3 - round) as usize {
            let batch = consumer.poll(&LIMITS, LONG).unwrap().unwrap();
            sent.extend(events(&batch));
            // The one at offset 9 arrives.
            bury(&writer, "search", &batch, if batch.id.first == 9 { &[] } else { &[0] });
            consumer.acker().ack(&batch.id);
        }
    }
    let stored = letters(dir.path());
    assert_eq!(stored.len(), 3 + 2 + 2, "{stored:#?}");
    let done = queue.manage().redrive("search", true, true).unwrap();
    assert_eq!((done.events, done.letters), (3, 7));
    let id = |letter: &String| serde_json::from_str::<serde_json::Value>(letter).unwrap()["event_id"].as_str().unwrap().to_string();
    let mut ids: Vec<String> = stored.iter().map(id).collect();
    ids.sort();
    ids.dedup();
    assert!(ids.len() == 3 && ids.iter().all(|id| id.len() == ID_LEN), "{ids:?}");
}
