//! The queue alone, measured through its public API beside what the machine itself can do in the same run.
//!
//! `cargo bench --bench queue` prints one table; `-- --help` lists the options. Each row is the median of `--runs`, and
//! what is compared is run in turns, so that a noisy neighbour hurts both. CPU seconds are those of the whole process,
//! all its threads, in user and kernel; a "GB" is 10⁹ bytes of events.

#[path = "../common/mod.rs"]
mod common;
mod measure;
mod options;

use bytes::Bytes;
use forebay::queue::{
    Acks, BLOCK_BYTES, Block, Consumer, Limits, Producer, Queue, QueueOptions, Retention, RunFlags, Stream, StreamSpec, Subscription, Tail,
    put_varint,
};
use measure::{Cost, Table, measure, median, memory, mib};
use options::Options;
use rustix::fs::{Advice, fadvise};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);
/// What the queue syncs at once when the disk keeps up.
const SYNC_BLOCK: usize = 4 << 20;
/// What a sink asks for by default, but that nobody waits for more.
const LIMITS: Limits = Limits { max_bytes: 5 << 20, overhead: 0, max_events: 50_000, linger: Duration::ZERO };

/// A producer of equal lines, as many whole ones in a block as a reader of files would put there.
struct Lines {
    line: usize,
    data: Vec<u8>,
    lens: Bytes,
    count: u32,
}

impl Lines {
    fn new(size: usize) -> Lines {
        const WORDS: &[u8] =
            b"2026-03-09T12:00:00.000Z INFO  [worker-7] com.example.orders.Service - order paid, cache miss, session renewed; ";
        let count = BLOCK_BYTES / size;
        let (mut data, mut lens) = (Vec::with_capacity(BLOCK_BYTES), Vec::new());
        for _ in 0..count {
            data.extend(WORDS.iter().cycle().take(size - 1));
            data.push(b'\n');
            put_varint(&mut lens, size as u32);
        }
        Lines { line: size, data, lens: lens.into(), count: count as u32 }
    }

    /// Appends `bytes` bytes at least; gives how many.
    fn append(&self, queue: &Queue, stream: &Arc<Stream>, at: &mut u64, bytes: u64) -> u64 {
        let begun = *at;
        let tail = Tail::of(&self.data);
        while *at - begun < bytes {
            // The copy stands for the read of a file.
            let mut buffer = queue.buffer(BLOCK_BYTES, PATIENCE).expect("memory for a block");
            buffer[..self.data.len()].copy_from_slice(&self.data);
            let data = buffer.freeze().slice(..self.data.len());
            let end = *at + data.len() as u64;
            let flags = RunFlags(RunFlags::UTF8 | RunFlags::JSON_CLEAN);
            let (lens, count) = (self.lens.clone(), self.count);
            queue
                .append(Block {
                    stream: stream.clone(),
                    source_start: *at,
                    source_end: end,
                    count,
                    lens,
                    data,
                    flags,
                    tail,
                    filtered: Vec::new(),
                })
                .expect("the queue takes it");
            *at = end;
        }
        *at - begun
    }
}

fn queue_options(dir: &Path, acks: Acks) -> QueueOptions {
    let retention = Retention { bytes: u64::MAX, age: Duration::from_secs(365 * 86_400) };
    QueueOptions { dir: dir.to_path_buf(), acks, max_bytes: u64::MAX, max_block: PATIENCE, retention, ..QueueOptions::default() }
}

fn open(options: QueueOptions) -> Arc<Queue> {
    Queue::open(options, &["logs".to_string()]).expect("the queue opens")
}

fn stream(queue: &Queue) -> Arc<Stream> {
    queue.declare(StreamSpec {
        key: 7,
        source: "app".into(),
        topic: "logs".into(),
        path: "/var/log/app.log".into(),
        ..StreamSpec::default()
    })
}

fn join(queue: &Queue, group: &str) -> Box<dyn Consumer> {
    queue
        .subscribe(&Subscription { group: group.into(), previous: None, topics: vec![], pipeline: 0, ..Subscription::default() })
        .expect("the group joins")
}

/// Polls and acks `bytes` bytes and gives the events. With `look` each byte is looked at, as the checksum already does
/// with what comes from disk.
fn consume(consumer: &mut dyn Consumer, bytes: u64, look: bool) -> u64 {
    let (mut got, mut events, acker) = (0u64, 0u64, consumer.acker());
    while got < bytes {
        let batch = consumer.poll(&LIMITS, PATIENCE).expect("the queue is read").expect("there is more");
        for part in batch.parts.iter().filter(|_| look) {
            let data = part.batch.runs.iter().map(|r| &r.data);
            // Whole record batches, or the end of one that was looked at already.
            if part.skip == 0 {
                std::hint::black_box(data.fold(0, |crc, d| crc32c::crc32c_append(crc, d)));
            }
        }
        got += batch.bytes as u64;
        events += u64::from(batch.events);
        acker.ack(&batch.id);
    }
    events
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// Takes the files out of the page cache.
fn chill(dir: &Path) {
    let mut found = Vec::new();
    files(dir, &mut found);
    for path in found {
        if let Ok(file) = File::open(&path) {
            let _ = file.sync_all();
            let _ = fadvise(&file, 0, None, Advice::DontNeed);
        }
    }
}

fn machine(o: &Options, dir: &Path, table: &Table) {
    let source = vec![7u8; SYNC_BLOCK];
    let repeat = |work: &mut dyn FnMut()| {
        measure(|| {
            let mut done = 0;
            while done < o.bytes {
                work();
                done += SYNC_BLOCK as u64;
            }
            done
        })
    };
    let path = dir.join("machine");
    let mut costs: [Vec<Cost>; 6] = Default::default();
    for _ in 0..o.runs {
        let mut target = vec![0u8; SYNC_BLOCK];
        costs[0].push(repeat(&mut || target.copy_from_slice(std::hint::black_box(&source))));
        costs[1].push(repeat(&mut || {
            std::hint::black_box(crc32c::crc32c(std::hint::black_box(&source)));
        }));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).expect("a file");
        let mut at = 0;
        costs[2].push(repeat(&mut || {
            file.write_all_at(&source, at).expect("room");
            at += SYNC_BLOCK as u64;
        }));
        at = 0;
        costs[3].push(repeat(&mut || {
            file.write_all_at(&source, at).expect("room");
            at += SYNC_BLOCK as u64;
        }));
        at = 0;
        costs[4].push(repeat(&mut || {
            file.read_exact_at(&mut target, at).expect("its bytes");
            at += SYNC_BLOCK as u64;
        }));
        file.sync_all().expect("a sync");
        fadvise(&file, 0, None, Advice::DontNeed).expect("the cache lets go of it");
        at = 0;
        costs[5].push(repeat(&mut || {
            file.read_exact_at(&mut target, at).expect("its bytes");
            at += SYNC_BLOCK as u64;
        }));
        fs::remove_file(&path).expect("the file goes");
    }
    let names = ["memcpy", "crc32c", "write, new file, page cache", "overwrite, page cache", "read, page cache", "read, cold"]
        .map(|n| format!("machine: {n}, 4 MiB"));
    names.iter().zip(&costs).for_each(|(name, costs)| table.row(name, costs, ""));
}

/// A bare loop: writes and syncs blocks of one size.
fn bare(file: &File, bytes: u64, block: usize) -> Cost {
    let source: Vec<u8> = (0..block).map(|i| (i % 251) as u8).collect();
    measure(|| {
        let mut at = 0;
        while at < bytes {
            file.write_all_at(&source, at).expect("room");
            file.sync_data().expect("a sync");
            at += block as u64;
        }
        at
    })
}

fn append(o: &Options, dir: &Path, table: &Table, acks: Acks) {
    let lines = Lines::new(o.size);
    let (mut queued, mut alone, mut again, mut syncs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..o.runs {
        let state = dir.join("append");
        let queue = open(queue_options(&state, acks));
        let stream = stream(&queue);
        queued.push(measure(|| {
            let bytes = lines.append(&queue, &stream, &mut 0, o.bytes);
            assert!(queue.flush(PATIENCE), "all is synced");
            bytes
        }));
        syncs.push(queue.status().syncs as f64);
        queue.close();
        drop(queue);
        fs::remove_dir_all(&state).expect("the files go");
        let path = dir.join("bare");
        let file = File::create_new(&path).expect("a file");
        alone.push(bare(&file, o.bytes, SYNC_BLOCK));
        again.push(bare(&file, o.bytes, SYNC_BLOCK));
        fs::remove_file(&path).expect("the file goes");
    }
    let rate = |costs: &[Cost]| median(costs.iter().map(|c| c.bytes as f64 / c.wall).collect());
    let per_sync = o.bytes as f64 / median(syncs);
    let besides =
        format!("{:.1} MiB a sync; {:.0} % of the bare loop", per_sync / f64::from(1 << 20), rate(&queued) / rate(&alone) * 100.0);
    table.row(&format!("append {} byte lines, acks: {acks:?}, all synced", lines.line), &queued, &besides);
    table.row("machine: write and fdatasync, new file, 4 MiB", &alone, "");
    table.row("machine: overwrite and fdatasync, 4 MiB", &again, "");
}

fn read(o: &Options, dir: &Path, table: &Table) {
    let lines = Lines::new(o.size);
    let state = dir.join("read");
    // All of it stays in the tail cache, which gets a sixth of the memory.
    let cached = o.bytes.min(64 << 20);
    let queue = open(QueueOptions { buffer_memory: cached as usize * 8, ..queue_options(&state, Acks::Synced) });
    let bytes = lines.append(&queue, &stream(&queue), &mut 0, cached);
    assert!(queue.flush(PATIENCE), "all is synced");
    let mut costs = Vec::new();
    for run in 0..o.runs {
        costs.push(measure(|| {
            let rounds = (o.bytes / bytes).max(1);
            (0..rounds).for_each(|round| assert!(consume(&mut *join(&queue, &format!("g{run}-{round}")), bytes, true) > 0));
            rounds * bytes
        }));
    }
    table.row("read at the head, from memory", &costs, "each byte looked at with crc32c");
    drop(queue);
    fs::remove_dir_all(&state).expect("the files go");

    let queue = open(queue_options(&state, Acks::Synced));
    let bytes = lines.append(&queue, &stream(&queue), &mut 0, o.bytes);
    queue.close();
    drop(queue);
    let (mut warm, mut cold) = (Vec::new(), Vec::new());
    for run in 0..o.runs {
        let queue = open(queue_options(&state, Acks::Synced));
        warm.push(measure(|| {
            consume(&mut *join(&queue, &format!("warm{run}")), bytes, false);
            bytes
        }));
        chill(&state);
        cold.push(measure(|| {
            consume(&mut *join(&queue, &format!("cold{run}")), bytes, false);
            bytes
        }));
        // The next one is warm whether or not the cold one was cached.
    }
    table.row("read from disk, in the page cache", &warm, "");
    table.row("read from disk, cold", &cold, "");
    fs::remove_dir_all(&state).expect("the files go");
}

/// Groups in a thread each that get everything at the head and hold their last batch, as a sink does that waits
/// for an answer. Gives the peak of the resident memory beyond what it was before.
fn at_the_head(o: &Options, dir: &Path, groups: usize) -> (Cost, u64) {
    const ROUND: u64 = 2 << 20;
    let lines = Lines::new(o.size);
    let state = dir.join(format!("head-{groups}"));
    let rounds = (o.bytes / 8 / ROUND).max(1);
    // From here on the peak is counted anew.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let before = memory("VmRSS");
    let queue = open(queue_options(&state, Acks::Synced));
    let stream = stream(&queue);
    let (turn, failed) = (Barrier::new(groups + 1), AtomicBool::new(false));
    let (queue, turn, failed) = (&queue, &turn, &failed);
    let round_events = ROUND.div_ceil(lines.data.len() as u64) * u64::from(lines.count);
    let cost = std::thread::scope(|scope| {
        for group in 0..groups {
            let member = move || {
                let mut consumer = join(queue, &format!("g{group}"));
                let acker = consumer.acker();
                let mut held = None;
                for _ in 0..rounds {
                    turn.wait();
                    let mut got = 0;
                    while got < round_events {
                        let Ok(Some(batch)) = consumer.poll(&LIMITS, PATIENCE) else {
                            failed.store(true, Ordering::Relaxed);
                            break;
                        };
                        got += u64::from(batch.events);
                        if let Some(done) = held.replace(batch) {
                            acker.ack(&done.id);
                        }
                    }
                    turn.wait();
                }
            };
            std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, member).expect("a thread");
        }
        let mut at = 0;
        measure(|| {
            for _ in 0..rounds {
                turn.wait();
                lines.append(queue, &stream, &mut at, ROUND);
                turn.wait();
            }
            at
        })
    });
    assert!(!failed.load(Ordering::Relaxed), "each group gets every event");
    let peak = memory("VmHWM").saturating_sub(before);
    queue.close();
    fs::remove_dir_all(&state).expect("the files go");
    (cost, peak)
}

fn start(o: &Options, dir: &Path, table: &Table) {
    let lines = Lines::new(o.size);
    let state = dir.join("start");
    let mut at = 0;
    let queue = open(queue_options(&state, Acks::Synced));
    lines.append(&queue, &stream(&queue), &mut at, o.start_bytes);
    queue.close();
    drop(queue);
    let opened = |chilled: bool| {
        if chilled {
            chill(&state);
        }
        let (before, mut queue) = (memory("VmRSS"), None);
        let cost = measure(|| {
            queue = Some(open(queue_options(&state, Acks::Synced)));
            0
        });
        (queue.expect("just opened"), cost, memory("VmRSS").saturating_sub(before))
    };
    for (end, chilled) in [("close", false), ("close", true), ("kill", false), ("kill", true)] {
        let (mut costs, mut grown, mut copied) = (Vec::new(), 0, 0);
        for _ in 0..o.runs {
            // What is appended before a kill is half a segment and what was not synced.
            let (queue, ..) = opened(false);
            lines.append(&queue, &stream(&queue), &mut at, 32 << 20);
            if end == "kill" {
                queue.abandon()
            } else {
                queue.close()
            }
            drop(queue);
            let (queue, cost, memory) = opened(chilled);
            let report = queue.recovery();
            assert!(report.lost.is_empty() && report.damaged.is_empty(), "nothing is lost: {report:?}");
            copied = report.copied_events + report.torn_events;
            grown = memory.max(grown);
            costs.push(cost);
        }
        let cache = if chilled { "cold" } else { "in the page cache" };
        table.row(
            &format!("start with {:.1} GiB after a {end}, {cache}", at as f64 / f64::from(1 << 30)),
            &costs,
            &format!("{copied} unsure events; {:.1} MiB more resident", mib(grown)),
        );
    }
    fs::remove_dir_all(&state).expect("the files go");
}

fn main() {
    let o = options::options();
    let temporary;
    let dir = match &o.dir {
        Some(dir) => dir.as_path(),
        None => {
            temporary = tempfile::tempdir().expect("a temporary folder");
            temporary.path()
        }
    };
    let table = Table { json: o.json };
    let wanted = |name: &str| o.only.is_empty() || o.only.iter().any(|n| n == name);
    table.head();
    // First, while the allocator holds nothing that others have left.
    if wanted("groups") {
        for groups in [1, o.groups] {
            let (cost, peak) = at_the_head(&o, dir, groups);
            table.row(&format!("{groups} groups at the head"), &[cost], &format!("{:.1} MiB more resident at the peak", mib(peak)));
        }
    }
    if wanted("machine") {
        machine(&o, dir, &table);
    }
    if wanted("append") {
        append(&o, dir, &table, Acks::Written);
    }
    if wanted("sync") {
        append(&o, dir, &table, Acks::Synced);
    }
    if wanted("read") {
        read(&o, dir, &table);
    }
    if wanted("start") {
        start(&o, dir, &table);
    }
}
