//! Tests of the queue as a whole: on the real disk, and on a simulated one that forgets what was not synced.

mod bad_sectors;
mod basics;
mod campaign;
mod catch_up;
mod clock_jumps;
mod damage;
mod limits;
mod opening;
mod power;
mod read_back;
mod redrive;
mod reset;
pub(super) mod sim;
mod verify;
mod world;

use super::clock::Clock;
use super::embedded::{Queue, Subscription};
use super::{Batch, Block, Consumer, Limits, Producer, QueueOptions, RunFlags, Stream, StreamSpec, Tail, put_varint};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A clock that goes forward one millisecond a look.
#[derive(Debug, Default)]
pub(super) struct TestClock(AtomicU64);

impl TestClock {
    pub(super) fn forward(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

pub(super) const LIMITS: Limits = Limits { max_bytes: 1 << 20, overhead: 0, max_events: 10_000, linger: Duration::ZERO };
pub(super) const LONG: Duration = Duration::from_secs(20);

pub(super) fn options(dir: &Path) -> QueueOptions {
    QueueOptions {
        dir: dir.to_path_buf(),
        linger: Duration::ZERO,
        sync_interval: Duration::from_millis(1),
        segment_bytes: 1 << 20,
        ..QueueOptions::default()
    }
}

pub(super) fn spec(key: u128) -> StreamSpec {
    StreamSpec { key, topic: "logs".into(), source: "app".into(), path: format!("/var/log/{key}.log").into(), ..StreamSpec::default() }
}

/// A block of `lines` that begins at byte `start` of the stream.
pub(super) fn block(stream: &Arc<Stream>, start: u64, lines: &[String]) -> Block {
    let (mut lens, mut data) = (Vec::new(), Vec::new());
    for line in lines {
        put_varint(&mut lens, line.len() as u32 + 1);
        data.extend_from_slice(line.as_bytes());
        data.push(b'\n');
    }
    Block {
        stream: stream.clone(),
        source_start: start,
        source_end: start + data.len() as u64,
        count: lines.len() as u32,
        lens: lens.into(),
        tail: Tail::of(&data),
        data: Bytes::from(data),
        flags: RunFlags(RunFlags::UTF8),
        filtered: Vec::new(),
    }
}

pub(super) fn lines(from: u64, n: u64) -> Vec<String> {
    (from..from + n).map(|i| format!("line {i:09} {}", "x".repeat((i % 60) as usize))).collect()
}

pub(super) fn join(queue: &Queue, group: &str) -> Box<dyn Consumer> {
    queue.subscribe(&Subscription { group: group.into(), previous: None, topics: vec![], pipeline: 0, ..Subscription::default() }).unwrap()
}

/// (stream key, position, line) of each event.
pub(super) fn events(batch: &Batch) -> Vec<(u128, u64, String)> {
    batch
        .runs()
        .flat_map(|run| {
            let key = run.run.stream.spec().key;
            run.events.map(move |e| (key, e.position, String::from_utf8(e.bytes.to_vec()).unwrap())).collect::<Vec<_>>()
        })
        .collect()
}

/// Waits until `condition` holds.
pub(super) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let until = std::time::Instant::now() + LONG;
    while !condition() {
        assert!(std::time::Instant::now() < until, "still not: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Consumes and acks until `n` events have come.
pub(super) fn consume(consumer: &mut dyn Consumer, n: usize) -> Vec<(u128, u64, String)> {
    let mut all = Vec::new();
    while all.len() < n {
        let batch = consumer.poll(&LIMITS, LONG).unwrap().unwrap_or_else(|| panic!("only {} of {n} events came", all.len()));
        all.extend(events(&batch));
        consumer.acker().ack(&batch.id);
    }
    all
}
