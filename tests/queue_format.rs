//! Reads a real data directory with a parser that knows `docs/queue-format.md` and nothing of the program,
//! and compares with what was appended.

use bytes::Bytes;
use forebay::queue::{
    BatchKind, Block, Compression, Consumer, FileIdentity, Filtered, Head, Limits, Overwriting, Producer, Queue, QueueOptions, Reset,
    ResetTo, RunFlags, Stream, StreamSpec, Subscription, Tail, put_varint,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// CRC32C, bit by bit: reflected polynomial 0x82f63b78, start and end inverted.
fn crc(parts: &[&[u8]]) -> u32 {
    !parts
        .concat()
        .iter()
        .fold(!0u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |c, _| (c >> 1) ^ (0x82f6_3b78 & (c & 1).wrapping_neg())))
}

/// Takes fields off a byte string.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(n);
        self.0 = rest;
        head
    }
    fn int(&mut self, n: usize) -> u128 {
        self.take(n).iter().rev().fold(0, |v, b| v << 8 | u128::from(*b))
    }
    fn u32(&mut self) -> u32 {
        self.int(4) as u32
    }
    fn u64(&mut self) -> u64 {
        self.int(8) as u64
    }
    fn bytes(&mut self) -> &'a [u8] {
        let n = self.u32() as usize;
        self.take(n)
    }
    fn text(&mut self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }
}

#[derive(Clone, Debug, PartialEq)]
struct StreamRecord {
    id: u64,
    partition: u32,
    spec: StreamSpec,
    end: u64,
    rules: Vec<(String, u64, u64)>,
}

fn stream_record(fields: &mut Fields<'_>) -> StreamRecord {
    let mut f = Fields(fields.bytes());
    let (id, partition, key, generation) = (f.u64(), f.u32(), f.int(16), f.u32());
    let is_file = f.int(1) == 1;
    let file = FileIdentity { device: f.u64(), inode: f.u64(), born_ns: f.u64() as i64 };
    let head = Head { len: f.u32(), hash: f.u64() };
    let (source, topic, path, fields) = (f.text(), f.text(), PathBuf::from(f.text()), f.text());
    let end = f.u64();
    f.take(8);
    let resume = if f.0.is_empty() { Vec::new() } else { f.bytes().to_vec() };
    let seen_ms = if f.0.is_empty() { 0 } else { f.u64() };
    let gone_ms = if f.0.is_empty() { 0 } else { f.u64() };
    let rules = if f.0.is_empty() { 0 } else { f.u32() };
    let rules = (0..rules).map(|_| (f.text(), f.u64(), f.u64())).collect();
    assert!(f.0.is_empty());
    StreamRecord {
        id,
        partition,
        spec: StreamSpec { key, source, topic, path, file: is_file.then_some(file), generation, head, fields, resume, seen_ms, gone_ms },
        end,
        rules,
    }
}

/// An event as it is found: offset, stream, byte of the source, bytes.
type Event = (u64, u64, u64, Vec<u8>);

#[derive(Debug, Default)]
struct Parsed {
    events: Vec<Event>,
    streams: BTreeMap<u64, StreamRecord>,
    codecs: Vec<u8>,
    /// Base offset → position of the write.
    positions: BTreeMap<u64, u64>,
    end: u64,
    /// What chains before the queue have made, by offset: bytes of the source that the event covers, and the kind of what is stored.
    made: BTreeMap<u64, (u64, u64)>,
    /// Sums of what was filtered before the queue, by stream and rule.
    filtered: BTreeMap<(u64, u32), (u64, u64)>,
}

fn number(lens: &mut Fields<'_>) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = lens.int(1) as u64;
        value |= (byte & 127) << shift;
        shift += 7;
        if byte < 128 {
            return value;
        }
    }
}

fn segment(path: &Path, queue: &str, parsed: &mut Parsed) {
    let bytes = fs::read(path).unwrap();
    let (base, id) = path.file_stem().unwrap().to_str().unwrap().split_once('-').unwrap();
    let (base, id) = (base.parse::<u64>().unwrap(), u64::from_str_radix(id, 16).unwrap());
    let mut h = Fields(&bytes[..4096]);
    assert_eq!(h.take(8), b"FBSEGMT\n");
    assert_eq!(h.u32(), 1);
    assert_eq!(h.u32(), crc(&[&bytes[8..12], &bytes[16..4096]]));
    assert_eq!(h.u64(), id);
    assert_eq!(format!("{:032x}", h.int(16)), queue);
    assert_eq!(h.u64(), base);
    assert!(h.u64() < 10_000_000_000_000);
    assert_eq!((h.u32(), u64::from(h.u32())), (0, id >> 32));
    assert_eq!(h.u32(), crc(&[b"logs"]));
    assert!(h.0.iter().all(|b| *b == 0));
    let (mut pos, mut write, mut last_ms, mut expected) = (4096, None, 0, base);
    while pos < bytes.len() {
        let header = &bytes[pos..pos + 64];
        let mut f = Fields(header);
        assert_eq!(f.take(4), b"FBB1", "{} at {pos}", path.display());
        let (sum, body, payload_sum) = (f.u32(), f.u32() as usize, f.u32());
        let (base_offset, appended, count, epoch, lag) = (f.u64(), f.u64(), f.u32(), f.u32(), f.u32());
        let (runs, kind, codec, raw_len) = (f.int(2) as usize, f.int(1), f.int(1) as u8, f.u32() as usize);
        assert!(f.0.iter().all(|b| *b == 0));
        let table = &bytes[pos + 64..pos + 64 + runs * 48];
        assert_eq!(sum, crc(&[&id.to_le_bytes(), &(pos as u64).to_le_bytes(), &header[8..], table]));
        let stored = &bytes[pos + 64 + runs * 48..pos + 64 + body];
        assert_eq!(payload_sum, crc(&[stored]));
        assert!(appended >= last_ms && u64::from(epoch) <= id >> 32 && u64::from(lag) <= base_offset);
        assert_eq!(base_offset, expected);
        last_ms = appended;
        let at = *write.get_or_insert(pos as u64);
        let next = (pos + 64 + body).next_multiple_of(8);
        assert!(bytes[pos + 64 + body..next].iter().all(|b| *b == 0));
        if kind == 2 {
            assert_eq!((runs, codec, count), (0, 0, 0));
            let mut records = Fields(stored);
            while !records.0.is_empty() {
                let record = stream_record(&mut records);
                parsed.streams.insert(record.id, record);
            }
        } else {
            assert_eq!(kind, 1);
            let payload = match codec {
                0 => stored.to_vec(),
                1 => lz4_flex::block::decompress(stored, raw_len).unwrap(),
                2 => zstd::bulk::decompress(stored, raw_len).unwrap(),
                other => panic!("codec {other}"),
            };
            assert!(codec == 0 && raw_len == 0 || raw_len == payload.len());
            parsed.codecs.push(codec);
            let entries: Vec<Fields<'_>> = table.chunks(48).map(Fields).collect();
            let entries: Vec<_> = entries
                .into_iter()
                .map(|mut e| (e.u64(), e.u64(), e.u64(), e.u32(), e.u32() as usize, e.u32() as usize, e.u32(), e.u32(), e.u32()))
                .collect();
            let lens_total = entries.iter().map(|e| e.4).sum();
            let (mut lens, mut data) = (Fields(&payload[..lens_total]), Fields(&payload[lens_total..]));
            let (mut offset, mut told_of) = (base_offset, None);
            for (stream, start, end, n, lens_len, data_len, flags, tail_len, tail_crc) in entries {
                assert!(parsed.streams.contains_key(&stream), "a stream is told of before its first run");
                assert!(told_of.take().is_none_or(|of| of == stream), "what was filtered is told before a run of its stream");
                if flags == 512 {
                    assert_eq!((n, lens_len, data_len, tail_crc), (0, 0, 0, 0));
                    assert!((tail_len as usize) < parsed.streams[&stream].rules.len(), "the rule has a name");
                    parsed.filtered.insert((stream, tail_len), (start, end));
                    told_of = Some(stream);
                    continue;
                }
                let (mut lens, run) = (Fields(lens.take(lens_len)), data.take(data_len));
                let (mut events, mut at) = (Fields(run), start);
                for _ in 0..n {
                    if flags & 128 != 0 {
                        let (gap, covers, len) = (number(&mut lens), number(&mut lens), number(&mut lens));
                        at += gap;
                        parsed.made.insert(offset, (covers, len & 3));
                        parsed.events.push((offset, stream, at, events.take((len >> 2) as usize).to_vec()));
                        (offset, at) = (offset + 1, at + covers);
                        continue;
                    }
                    let len = number(&mut lens) as usize;
                    parsed.events.push((offset, stream, at, events.take(len).to_vec()));
                    (offset, at) = (offset + 1, at + len as u64);
                }
                assert!(lens.0.is_empty() && events.0.is_empty());
                assert!(at <= end && flags & 2 == 2);
                if flags & 128 != 0 {
                    // Its source alone has the bytes of the tail.
                    continue;
                }
                assert_eq!(at, end);
                let tail_len = tail_len as usize;
                assert!(tail_len <= 256 && tail_len <= run.len());
                assert_eq!(tail_crc, crc(&[&run[run.len() - tail_len..]]));
            }
            assert!(lens.0.is_empty() && data.0.is_empty());
            assert_eq!(told_of, None);
            assert_eq!(offset, base_offset + u64::from(count));
            parsed.positions.insert(base_offset, at);
            write = None;
            expected = offset;
        }
        pos = next;
    }
    parsed.end = expected;
    index(&path.with_extension("idx"), id, base, bytes.len(), parsed);
}

fn index(path: &Path, id: u64, base: u64, size: usize, parsed: &Parsed) {
    let bytes = fs::read(path).unwrap();
    let mut f = Fields(&bytes);
    assert_eq!(f.take(8), b"FBINDEX1");
    assert_eq!(f.u32(), crc(&[&bytes[12..]]));
    assert_eq!((f.u64(), f.u64(), f.u64(), f.u64()), (id, base, parsed.end, size as u64));
    f.u64();
    let n = f.u32();
    assert!(n > 0);
    for _ in 0..n {
        let (offset, pos) = (f.u64(), f.u64());
        assert_eq!(parsed.positions.get(&offset), Some(&pos));
        f.u64();
    }
    assert!(f.0.is_empty());
}

/// Number, offset by topic, streams.
type Snapshot = (u64, Vec<(String, u64)>, Vec<StreamRecord>);

fn snapshot(path: &Path) -> Option<Snapshot> {
    let bytes = fs::read(path).ok()?;
    let mut f = Fields(&bytes);
    assert_eq!(f.take(8), b"FBSNAPS1");
    assert_eq!(f.u32(), crc(&[&bytes[12..]]));
    let (number, next_stream) = (f.u64(), f.u64());
    assert!(path.to_str().unwrap().ends_with(&format!("streams-{}.snap", number % 2)));
    let marks = (0..f.u32()).map(|_| (f.text(), u64::from(f.u32()), f.u64(), f.u64())).map(|m| (m.0, m.3)).collect();
    let streams: Vec<_> = (0..f.u32()).map(|_| stream_record(&mut f)).collect();
    assert!(f.0.is_empty() && streams.iter().all(|s| s.id < next_stream));
    Some((number, marks, streams))
}

fn block(stream: &Arc<Stream>, start: u64, events: &[Vec<u8>]) -> Block {
    let (mut lens, mut data) = (Vec::new(), Vec::new());
    for event in events {
        put_varint(&mut lens, event.len() as u32);
        data.extend_from_slice(event);
    }
    Block {
        stream: stream.clone(),
        source_start: start,
        source_end: start + data.len() as u64,
        count: events.len() as u32,
        lens: lens.into(),
        tail: Tail::of(&data),
        data: Bytes::from(data),
        flags: RunFlags(RunFlags::UTF8),
        filtered: Vec::new(),
    }
}

const LONG: Duration = Duration::from_secs(60);

fn round_trip(codec: Compression, code: u8) {
    let dir = tempfile::tempdir().unwrap();
    let options = QueueOptions {
        dir: dir.path().into(),
        compression: codec,
        segment_bytes: 1 << 20,
        linger: Duration::ZERO,
        sync_interval: Duration::from_millis(1),
        ..QueueOptions::default()
    };
    let mut expected: BTreeMap<(u128, u64), Vec<u8>> = BTreeMap::new();
    let (uuid, specs, ends, overwrite_ms) = {
        let queue = Queue::open(options, &["logs".into()]).unwrap();
        let wanted =
            Subscription { group: "search".into(), previous: Some("seek".into()), topics: vec![], pipeline: 0, ..Subscription::default() };
        let mut consumer: Box<dyn Consumer> = queue.subscribe(&wanted).unwrap();
        let streams: Vec<_> = (1..=3u64)
            .map(|n| {
                queue.declare(StreamSpec {
                    key: u128::from(n) << 70 | 5,
                    source: "app".into(),
                    topic: "logs".into(),
                    path: format!("/var/log/größe-{n}.log").into(),
                    file: (n != 2).then_some(FileIdentity { device: 8, inode: n, born_ns: -(n as i64) }),
                    generation: n as u32,
                    head: Head { len: 9, hash: n },
                    fields: format!("\"n\":{n}"),
                    resume: vec![7; 10 * (n as usize - 1)],
                    seen_ms: 77 * (n - 1),
                    gone_ms: 5 * (n / 3),
                })
            })
            .collect();
        let mut ends = [0u64; 3];
        for n in 0..600usize {
            let which = n % 3;
            let events: Vec<Vec<u8>> = (0..n % 50 + 1)
                .map(|i| match i % 7 {
                    6 => b"\n".to_vec(),
                    k => format!("event {n} {i} {}\r\n", "x".repeat(k * k * k * 4)).into_bytes(),
                })
                .collect();
            let b = block(&streams[which], ends[which], &events);
            for event in events {
                let at = ends[which];
                ends[which] += event.len() as u64;
                expected.insert((streams[which].spec().key, at), event);
            }
            queue.append(b).unwrap();
            if n % 20 == 0 {
                assert!(queue.flush(LONG));
            }
        }
        assert!(queue.flush(LONG));
        // One batch acked, one in flight.
        let limits = Limits { max_bytes: 1 << 20, overhead: 0, max_events: 100, linger: Duration::ZERO };
        let acked = consumer.poll(&limits, LONG).unwrap().unwrap();
        consumer.acker().ack(&acked.id);
        let in_flight = consumer.poll(&limits, LONG).unwrap().unwrap();
        assert_eq!((acked.id.last, in_flight.id.first, in_flight.id.last), (99, 100, 199));
        // Moved back, to overwrite what was acked or under way; one batch of it is under way.
        let back = Reset { group: "search".into(), to: ResetTo::Earliest, topic: None, partition: None, overwrite: true, dry_run: false };
        let moved = queue.manage().reset(&back, &|_| Overwriting::Replaces).unwrap();
        assert_eq!((moved.moves[0].from, moved.moves[0].to, moved.moves[0].overwrite_until), (100, 0, 200));
        let overwriting = consumer.poll(&limits, LONG).unwrap().unwrap();
        let BatchKind::Overwrite { asked_ms } = overwriting.id.kind else { panic!("{}", overwriting.id) };
        assert_eq!(overwriting.id.to_string(), format!("{}-overwrite-{asked_ms}", acked.id));
        queue.close();
        (format!("{:032x}", queue.uuid()), streams.iter().map(|s| (*s.spec()).clone()).collect::<Vec<_>>(), ends, asked_ms)
    };

    let meta = fs::read_to_string(dir.path().join("queue.meta")).unwrap();
    let sum = crc(&[format!("1 {uuid} 1").as_bytes()]);
    assert_eq!(meta.len(), 128, "with the spaces");
    assert_eq!(meta.trim_end(), format!("{{\"format\":1,\"queue\":\"{uuid}\",\"epoch\":1,\"crc\":\"{sum:08x}\"}}"));
    assert_eq!(fs::read_to_string(dir.path().join("LOCK")).unwrap(), format!("{}\n", std::process::id()));

    let mut paths: Vec<_> = fs::read_dir(dir.path().join("topics/logs/0")).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "seg"));
    paths.sort();
    let mut parsed = Parsed::default();
    for path in &paths {
        // Each segment explains itself.
        parsed.streams.clear();
        segment(path, &uuid, &mut parsed);
    }
    assert!(parsed.codecs.contains(&code), "{:?}", parsed.codecs);
    if codec == Compression::None {
        assert!(paths.len() > 1, "segments rolled");
    }
    let key = |id: u64| specs[id as usize - 1].key;
    assert!(parsed.streams.values().all(|s| s.spec == specs[s.id as usize - 1] && s.partition == 0));
    assert!(parsed.events.iter().map(|e| e.0).eq(0..expected.len() as u64), "offsets without a gap");
    let found: BTreeMap<_, _> = parsed.events.into_iter().map(|(_, stream, at, bytes)| ((key(stream), at), bytes)).collect();
    assert!(found == expected, "an event is not what was appended");

    let newest = ["streams-0.snap", "streams-1.snap"].iter().filter_map(|n| snapshot(&dir.path().join(n))).max_by_key(|s| s.0).unwrap();
    assert!(newest.1.contains(&("logs".into(), expected.len() as u64)), "{:?}", newest.1);
    assert_eq!(newest.2.iter().map(|s| (s.id, s.end)).collect::<Vec<_>>(), [(1, ends[0]), (2, ends[1]), (3, ends[2])]);

    let journal = fs::read(dir.path().join("groups/journal")).unwrap();
    let (mut f, mut last) = (Fields(&journal), None);
    while f.0.iter().any(|b| *b != 0) {
        assert_eq!(f.take(4), b"FBG1");
        let (n, sum) = (f.u32() as usize, f.u32());
        let content = f.take(n);
        assert_eq!(sum, crc(&[content]));
        let mut c = Fields(content);
        assert_eq!((c.text(), c.text(), c.u32()), ("search".into(), "logs".into(), 0));
        let committed = c.u64();
        c.u64();
        let acked: Vec<_> = (0..c.u32()).map(|_| (c.u64(), c.u64())).collect();
        let in_flight: Vec<_> = (0..c.u32()).map(|_| (c.u64(), c.u64())).collect();
        let again: Vec<_> = (0..c.u32()).map(|_| (c.u64(), c.u64())).collect();
        let (overwrite, redriven) = ((c.u64(), c.u64()), c.u64());
        let letters: Vec<_> = (0..c.u32()).map(|_| (c.u64(), c.u64())).collect();
        let earlier: Vec<_> = (0..c.u32()).map(|_| c.text()).collect();
        // Up to where the group may have sent before it was moved back.
        c.u64();
        assert!(c.0.is_empty());
        last = Some((committed, acked, in_flight, again, overwrite, redriven, letters, earlier));
    }
    let overwrite = (200, overwrite_ms);
    assert_eq!(last, Some((0, vec![], vec![(0, 99)], vec![], overwrite, 0, vec![], vec!["seek".into()])));
}

#[test]
fn the_document_alone_suffices_to_read_a_data_dir() {
    round_trip(Compression::None, 0);
}

#[test]
fn the_document_alone_suffices_to_read_compressed_batches() {
    round_trip(Compression::Lz4, 1);
    round_trip(Compression::Zstd, 2);
}

#[test]
fn the_document_alone_suffices_to_read_what_sinks_have_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Queue::open(QueueOptions { dir: dir.path().into(), ..QueueOptions::default() }, &["logs".into()]).unwrap();
    let limits = Limits { max_bytes: 1 << 20, overhead: 0, max_events: 10, linger: Duration::ZERO };
    let subscription = Subscription { group: "search".into(), previous: None, topics: vec![], pipeline: 0, ..Subscription::default() };
    // Each record of what was left out: the kind, the batches, and the sums of what is before them.
    let read = || {
        let journal = fs::read(dir.path().join("groups/journal")).unwrap();
        let (mut f, mut found) = (Fields(&journal), Vec::new());
        while f.0.iter().any(|b| *b != 0) {
            let (magic, n, sum) = (f.take(4).to_vec(), f.u32() as usize, f.u32());
            let content = f.take(n);
            assert_eq!(sum, crc(&[content]));
            let mut c = Fields(content);
            if magic != b"FBF1" {
                assert_eq!(magic, b"FBG1");
                continue;
            }
            assert_eq!((c.text(), c.text(), c.u32()), ("search".into(), "logs".into(), 0));
            let kind = c.take(1)[0];
            let settled: Vec<_> = if kind == 1 { (0..c.u32()).map(|_| (c.u64(), c.u64())).collect() } else { Vec::new() };
            let batches = if kind == 1 { c.u32() } else { 1 };
            let batch = |c: &mut Fields| ((c.u64(), c.u64()), (0..c.u32()).map(|_| (c.u64(), c.u64())).collect::<Vec<_>>());
            found.push((kind, settled, (0..batches).map(|_| batch(&mut c)).collect::<Vec<_>>()));
            assert!(c.0.is_empty());
        }
        found
    };
    let queue = open();
    let stream =
        queue.declare(StreamSpec { key: 5 << 70, source: "app".into(), topic: "logs".into(), path: "/a".into(), ..StreamSpec::default() });
    let mut at = 0;
    for n in 0..2 {
        let block = block(&stream, at, &vec![format!("event {n}\n").into_bytes(); 10]);
        at = block.source_end;
        queue.append(block).unwrap();
    }
    assert!(queue.flush(LONG));
    let mut consumer = queue.subscribe(&subscription).unwrap();
    for _ in 0..2 {
        let batch = consumer.poll(&limits, LONG).unwrap().unwrap();
        consumer.acker().ack_without(&batch.id, &[(stream.id, batch.id.first + 8)]);
    }
    let batches = vec![((0, 9), vec![(1, 8)]), ((10, 19), vec![(1, 18)])];
    let one = |n: usize| (0, vec![], vec![batches[n].clone()]);
    assert_eq!(read(), [one(0), one(1)]);
    queue.close();
    drop((queue, consumer));
    drop(open());
    assert_eq!(read(), [(1, vec![], batches)]);
}

#[test]
fn the_document_alone_suffices_to_read_what_went_through_a_chain_before_the_queue() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Queue::open(QueueOptions { dir: dir.path().into(), ..QueueOptions::default() }, &["logs".into()]).unwrap();
    let queue = open();
    let file = Some(FileIdentity { device: 8, inode: 7, born_ns: 1 });
    let spec = StreamSpec { key: 5 << 70, source: "app".into(), topic: "logs".into(), path: "/a".into(), file, ..StreamSpec::default() };
    let stream = queue.declare(spec);
    let filtered = |name: &str, events, bytes| Filtered { rule: stream.rule(name), events, bytes };
    let source = b"drop me\nas read\n4711\nlevel=info\ndrop me\n";
    // 8 bytes filtered; as read; another text; a document; 8 bytes filtered.
    let (text, document) = (&b"[card]"[..], &br#"{"log":{"level":"info"}}"#[..]);
    let mut lens = Vec::new();
    for number in [8, 8, 8 << 2, 0, 5, (text.len() as u32) << 2 | 1, 0, 11, (document.len() as u32) << 2 | 2] {
        put_varint(&mut lens, number);
    }
    let block = |start: u64, end: u64, count, lens: &[u8], data: Vec<u8>, filtered| Block {
        stream: stream.clone(),
        source_start: start,
        source_end: end,
        count,
        lens: Bytes::copy_from_slice(lens),
        data: Bytes::from(data),
        flags: RunFlags(RunFlags::UTF8 | RunFlags::PROCESSED),
        tail: Tail::of(source),
        filtered,
    };
    let data = [b"as read\n", text, document].concat();
    queue.append(block(0, 40, 3, &lens, data, vec![filtered("drop (1)", 2, 16)])).unwrap();
    assert!(queue.flush(LONG));
    let all = vec![filtered("drop (1)", 3, 24), filtered("sample (2)", 1, 5)];
    queue.append(block(40, 53, 0, &[], Vec::new(), all)).unwrap();
    assert!(queue.flush(LONG));
    let uuid = format!("{:032x}", queue.uuid());
    queue.close();
    let mut parsed = Parsed::default();
    let mut paths: Vec<_> = fs::read_dir(dir.path().join("topics/logs/0")).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "seg"));
    assert_eq!(paths.len(), 1);
    segment(&paths[0], &uuid, &mut parsed);
    let expected = [(0, 1, 8, b"as read\n".to_vec()), (1, 1, 16, text.to_vec()), (2, 1, 21, document.to_vec())];
    assert_eq!(parsed.events, expected);
    assert_eq!(parsed.made.into_values().collect::<Vec<_>>(), [(8, 0), (5, 1), (11, 2)]);
    assert_eq!(parsed.filtered, BTreeMap::from([((1, 0), (3, 24)), ((1, 1), (1, 5))]));
    let newest = ["streams-0.snap", "streams-1.snap"].iter().filter_map(|n| snapshot(&dir.path().join(n))).max_by_key(|s| s.0).unwrap();
    assert_eq!(newest.2[0].rules, [("drop (1)".to_string(), 3, 24), ("sample (2)".to_string(), 1, 5)]);
    assert_eq!(newest.2[0].end, 53);
    // And the program itself goes on from there.
    drop(queue);
    let stream = open().streams()[0].clone();
    assert_eq!(stream.durable().end, 53);
    let sums: Vec<_> = stream.filtered().into_iter().map(|rule| (rule.name, rule.events, rule.bytes)).collect();
    assert_eq!(sums, newest.2[0].rules);
}

#[test]
fn the_document_alone_suffices_to_read_the_ledger_of_losses() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let options = QueueOptions { dir: dir.path().into(), batch_size: 4096, ..QueueOptions::default() };
        Queue::open(options, &["logs".into()]).unwrap()
    };
    let subscription = Subscription { group: "search".into(), previous: None, topics: vec![], pipeline: 0, ..Subscription::default() };
    let queue = open();
    let file = Some(FileIdentity { device: 8, inode: 7, born_ns: 1 });
    let path = "/var/log/app.log";
    let stream = queue.declare(StreamSpec {
        key: 5 << 70,
        source: "app".into(),
        topic: "logs".into(),
        path: path.into(),
        file,
        ..StreamSpec::default()
    });
    let mut ends = vec![0];
    let mut tails = Vec::new();
    for n in 0..6 {
        let b = block(&stream, ends[n], &vec![format!("event {n}\n").into_bytes(); 10]);
        ends.push(b.source_end);
        tails.push(b.tail);
        queue.append(b).unwrap();
        assert!(queue.flush(LONG));
    }
    queue.subscribe(&subscription).unwrap();
    queue.close();
    drop(queue);
    // The last byte of an event of the third batch; its header stays sound.
    let folder = dir.path().join("topics/logs/0");
    let segment = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).find(|p| p.extension().is_some_and(|e| e == "seg")).unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(8).rposition(|w| w == b"event 2\n").unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let queue = open();
    let mut consumer = queue.subscribe(&subscription).unwrap();
    let limits = Limits { max_bytes: 1 << 20, overhead: 0, max_events: 100, linger: Duration::ZERO };
    let mut events = 0;
    while events < 50 {
        let batch = consumer.poll(&limits, LONG).unwrap().unwrap();
        events += batch.events;
        consumer.acker().ack(&batch.id);
    }
    drop(queue);

    let text = fs::read_to_string(dir.path().join("losses")).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| {
            let (sum, json) = line.split_once(' ').unwrap();
            assert_eq!(sum, format!("{:08x}", crc(&[json.as_bytes()])));
            serde_json::from_str(json).unwrap()
        })
        .collect();
    let (start, end) = (ends[2], ends[3]);
    let entry = &lines[3]["entry"];
    assert_eq!(lines[0], serde_json::json!({"version": 1}));
    let sums = serde_json::json!({"events": 10, "bytes": end - start, "read_again_events": 0, "read_again_bytes": 0, "gone_events": 0, "gone_bytes": 0});
    assert_eq!(lines[1], serde_json::json!({"totals": {"damaged": sums}}));
    assert_eq!(lines[2], serde_json::json!({"offsets": {"cause": "damaged", "topic": "logs", "partition": 0, "ranges": [[20, 30]]}}));
    let tail = [tails[2].len, tails[2].crc];
    assert_eq!(entry["spans"], serde_json::json!([{"start": start, "end": end, "events": 10, "flags": RunFlags::UTF8, "tail": tail}]));
    let named = serde_json::json!({"number": 1, "key": format!("{:032x}", 5u128 << 70), "generation": 0, "source": "app", "path": path});
    assert_eq!(entry["stream"], named);
    assert_eq!(
        (&entry["state"], &entry["cause"], &entry["offsets"]),
        (&"wanted".into(), &"damaged".into(), &serde_json::json!([[20, 30]]))
    );
    assert_eq!((&entry["events"], &entry["bytes"]), (&10.into(), &(end - start).into()));
    assert_eq!(lines.len(), 4);
}
