use super::*;
use crate::process::document::Documents;
use crate::process::shaping::Shaping;
use crate::process::steps::testing::chain;
use crate::queue::{BufferPool, Encoding, FileIdentity, Format, RunSlice, Stored, Text, put_varint};
use proptest::prelude::*;

/// 2026-03-09T10:15:02.123Z.
const NOW: u64 = 1_773_051_302_123;

/// A queue that keeps what it is given.
struct Kept {
    blocks: Mutex<Vec<Block>>,
    memory: Arc<BufferPool>,
    closed: std::sync::atomic::AtomicBool,
}

impl Kept {
    fn new(memory: usize) -> Arc<Kept> {
        Arc::new(Kept { blocks: Mutex::default(), memory: BufferPool::new(memory, 1 << 16), closed: false.into() })
    }

    fn taken(&self) -> Vec<Block> {
        std::mem::take(&mut self.blocks.lock().unwrap())
    }
}

impl Producer for Kept {
    fn streams(&self) -> Vec<Arc<Stream>> {
        Vec::new()
    }
    fn declare(&self, spec: StreamSpec) -> Arc<Stream> {
        Stream::new(1, 0, spec, Position::default())
    }
    fn amend(&self, _: &Arc<Stream>, _: StreamSpec) {}
    fn buffer(&self, len: usize, _: Duration) -> Option<Buffer> {
        self.memory.take(len, Duration::ZERO)
    }
    fn append(&self, block: Block) -> Result<(), AppendError> {
        if self.closed.load(Relaxed) {
            return Err(AppendError::Closed);
        }
        self.blocks.lock().unwrap().push(block);
        Ok(())
    }
    fn has_room(&self, _: Duration) -> bool {
        true
    }
    fn acked(&self, _: &Arc<Stream>, _: u64, _: Duration) -> bool {
        true
    }
}

fn stream() -> Arc<Stream> {
    let file = Some(FileIdentity { inode: 7, ..FileIdentity::default() });
    let fields = r#""service.name":"shop""#.into();
    Stream::new(1, 0, StreamSpec { key: 42, path: "/var/log/a.log".into(), file, fields, ..StreamSpec::default() }, Position::default())
}

/// A block of events, delimiters included, that begins at byte `start`.
fn block(stream: &Arc<Stream>, start: u64, flags: u32, events: &[&[u8]]) -> Block {
    let mut lens = Vec::new();
    events.iter().for_each(|e| put_varint(&mut lens, e.len() as u32));
    let data = Bytes::from(events.concat());
    Block {
        stream: stream.clone(),
        source_start: start,
        source_end: start + data.len() as u64,
        count: events.len() as u32,
        lens: lens.into(),
        tail: Tail::of(&data),
        data,
        flags: RunFlags(flags),
        filtered: Vec::new(),
    }
}

struct Way {
    queue: Arc<Kept>,
    before: Arc<dyn Producer>,
    tally: Arc<Tally>,
}

fn way(steps: &str) -> Way {
    way_with(1 << 20, steps)
}

fn way_with(memory: usize, steps: &str) -> Way {
    let (queue, tally) = (Kept::new(memory), Arc::<Tally>::default());
    let before = BeforeQueue { chain: chain(steps), host_name: "web-1".into() }.before(queue.clone(), tally.clone());
    Way { queue, before, tally }
}

impl Way {
    fn through(&self, block: Block) -> Vec<Block> {
        self.before.append(block).unwrap();
        self.queue.taken()
    }
}

/// Events of blocks: position, bytes covered, what is stored.
fn events(blocks: &[Block]) -> Vec<(u64, u64, Stored, String)> {
    let runs: Vec<Run> = blocks.iter().map(Run::from).collect();
    let all = runs.iter().flat_map(|run| Events::new(run, 0, 0, u32::MAX));
    all.map(|e| (e.position, e.covers, e.stored, String::from_utf8_lossy(e.bytes).into_owned())).collect()
}

/// Documents of blocks as a sink makes them, with its chain where it has one; offsets begin at 100.
fn documents(blocks: &[Block], steps: Option<&str>) -> Vec<serde_json::Value> {
    let (mut documents, mut shaping, mut offset, mut all) = (Documents::new("web-1"), Shaping::default(), 100, Vec::new());
    if let Some(steps) = steps {
        shaping.through(chain(steps));
    }
    for run in blocks.iter().map(Run::from) {
        let slice = RunSlice { run: &run, append_ms: NOW, epoch: 1, events: Events::new(&run, offset, 0, u32::MAX) };
        let template = documents.template(&slice);
        shaping.begin(template, NOW);
        for event in slice.events {
            let mut out = Vec::new();
            if shaping.write(template, &event, 0, &mut out) {
                all.push(serde_json::from_slice(&out).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out))));
            }
        }
        offset += u64::from(run.count);
    }
    all
}

#[test]
fn what_nothing_happens_to_is_handed_on_as_it_was_read() {
    let way = way(r#"[{redact: {what: [email]}}, {drop: {when: 'message matches "^debug"'}}]"#);
    let block = block(&stream(), 100, RunFlags::UTF8, &[b"one\r\n", b"two \xff\n"]);
    let (data, lens) = (block.data.as_ptr(), block.lens.as_ptr());
    let made = way.through(block);
    assert_eq!((made.len(), made[0].flags, made[0].data.as_ptr(), made[0].lens.as_ptr()), (1, RunFlags(RunFlags::UTF8), data, lens));
    assert!(made[0].filtered.is_empty() && way.tally.filtered() == 0);
}

#[test]
fn what_is_filtered_is_not_stored_and_the_rest_keeps_its_place() {
    let way = way(r#"[{drop: {when: 'message matches "^debug"'}}, {drop: {when: 'message == "noise"'}}]"#);
    let stream = stream();
    let lines: [&[u8]; 5] = [b"debug 1\n", b"one\r\n", b"noise\n", b"debug 2\n", b"two\n"];
    let made = way.through(block(&stream, 100, RunFlags::UTF8, &lines));
    assert_eq!((made[0].source_start, made[0].source_end, made[0].count, &made[0].data[..]), (100, 131, 2, &b"one\r\ntwo\n"[..]));
    assert_eq!(events(&made), [(108, 5, Stored::AsRead, "one".into()), (127, 4, Stored::AsRead, "two".into())]);
    assert_eq!(made[0].filtered, [Filtered { rule: 0, events: 2, bytes: 16 }, Filtered { rule: 1, events: 1, bytes: 6 }]);
    // Sums go on, whatever is durable; all of a block may go.
    let made = way.through(block(&stream, 131, 0, &[b"debug\n"]));
    assert_eq!((made[0].source_start, made[0].source_end, made[0].count, made[0].data.len()), (131, 137, 0, 0));
    assert_eq!(made[0].filtered, [Filtered { rule: 0, events: 3, bytes: 22 }]);
    let by: Vec<_> = way.tally.by_step().into_iter().collect();
    assert_eq!((by, way.tally.filtered()), (vec![("drop (1)".into(), 3), ("drop (2)".into(), 1)], 4));
    let names: Vec<String> = stream.filtered().into_iter().map(|rule| rule.name).collect();
    assert_eq!(names, ["drop (1)", "drop (2)"]);
    // What is read again because the queue has lost it was counted before.
    let made = way.through(block(&stream, 100, RunFlags::REPAIR, &lines));
    assert!(made[0].filtered.is_empty() && made[0].flags.has(RunFlags::REPAIR) && made[0].count == 2);
}

#[test]
fn another_message_is_stored_as_text_and_more_than_that_as_a_document() {
    let redact = way("[{redact: {what: [email], fields: message}}]");
    let lines: [&[u8]; 3] = [b"mail ann@example.org now\n", b"nothing\n", b"\xffbob@example.org\n"];
    let made = redact.through(block(&stream(), 0, 0, &lines));
    assert_eq!(
        events(&made),
        [
            (0, 25, Stored::Text, "mail [email] now".into()),
            (25, 8, Stored::AsRead, "nothing".into()),
            (33, 17, Stored::Text, "\u{fffd}[email]".into()),
        ]
    );
    let json = way("[{json: {remove_source: true}}, {timestamp: {field: t, formats: [epoch_s], remove_source: true, when: exists(t)}}]");
    let made = json.through(block(&stream(), 0, RunFlags::UTF8, &[b"{\"a\":1}\n", b"{\"t\":1}\n", b"no json\n"]));
    let all = events(&made);
    let own = r#""log":{"offset":0,"file":{"path":"/var/log/a.log"}},"host":{"name":"web-1"},"service":{"name":"shop"}"#;
    assert_eq!(all[0], (0, 8, Stored::Document, format!(r#"{{{own},"a":1}}"#)));
    assert_eq!(all[1].2, Stored::Dated);
    assert!(all[1].3.starts_with(r#"{"@timestamp":"1970-01-01T00:00:01.000Z","#), "{}", all[1].3);
    assert!(all[2].2 == Stored::Document && all[2].3.contains("_forebay_failure"), "{}", all[2].3);
    assert_eq!(json.tally.failures(), 1);
}

#[test]
fn a_line_that_was_cut_covers_what_was_cut_off() {
    let redact = way("[{redact: {what: [email]}}]");
    let cut = Block { source_end: 5_000, ..block(&stream(), 40, RunFlags::CUT, &[b"ann@example.org and mo"]) };
    let made = redact.through(cut);
    assert_eq!(events(&made), [(40, 4_960, Stored::Text, "[email] and mo".into())]);
    assert_eq!(documents(&made, None)[0]["log"]["flags"], serde_json::json!(["truncated"]));
}

#[test]
fn who_waits_for_memory_holds_none_and_what_is_not_handed_over_is_not_counted() {
    let (queue, tally) = (Kept::new(64), Arc::<Tally>::default());
    let steps = chain(r#"[{drop: {when: 'message == "x"'}}, {set: {fields: {a: b}}}]"#);
    let before = BeforeQueue { chain: steps, host_name: "h".into() }.before(queue.clone(), tally.clone());
    let stream = stream();
    let held = queue.memory.take(40, Duration::ZERO).unwrap();
    let why = before.append(block(&stream, 0, 0, &[b"x\n", b"y\n"])).unwrap_err().to_string();
    assert!(why.contains("buffer_memory"), "{why}");
    assert_eq!((tally.filtered(), queue.memory.used()), (0, 40));
    drop(held);
    queue.closed.store(true, Relaxed);
    assert!(matches!(before.append(block(&stream, 0, 0, &[b"x\n", b"y\n"])), Err(AppendError::Closed)));
    assert_eq!((tally.filtered(), queue.memory.used()), (0, 0));
    queue.closed.store(false, Relaxed);
    before.append(block(&stream, 0, 0, &[b"x\n", b"y\n"])).unwrap();
    assert_eq!(queue.taken()[0].filtered, [Filtered { rule: 0, events: 1, bytes: 2 }]);
}

/// Chains whose work depends on the event alone.
const CHAINS: [&str; 6] = [
    r#"[{drop: {when: 'message matches "a"'}}]"#,
    "[{redact: {what: [email, ipv4]}}]",
    "[{json: {}}, {remove: {fields: [host, x]}}]",
    r#"[{kv: {target: kv}}, {drop: {when: 'kv.a == "1"'}}, {truncate: {fields: message, max_bytes: 16}}]"#,
    r#"[{set: {fields: {"event.kind": event, n: 1}, copy: {seen: "log.file.path"}}}]"#,
    r#"[{rename: {fields: {message: text}}}]"#,
];

fn lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let line = prop_oneof![
        "[a-c =1\"\\\\é]{0,20}".prop_map(String::into_bytes),
        "(ann@example.org|10.0.0.1| |x){0,4}".prop_map(String::into_bytes),
        r#"\{"(x|y|host)":(1|"z"|\{"a":2\})\}"#.prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..12),
        r#"<13>Mar  9 10:15:02 web-2 app\[7\]: [a-c]{0,5}"#.prop_map(String::into_bytes),
        r#"2026-03-09T10:15:02.123456789Z stdout F [a-c ]{0,8}"#.prop_map(String::into_bytes),
        r#"\{"log":"[a-c ]{0,8}\\n","stream":"stderr","time":"2026-03-09T10:15:02.1Z"\}"#.prop_map(String::into_bytes),
    ];
    prop::collection::vec(line, 1..12).prop_map(|mut lines| {
        lines.iter_mut().for_each(|line| {
            line.retain(|b| !matches!(b, b'\n' | b'\r'));
            line.push(b'\n');
        });
        lines
    })
}

fn flags() -> impl Strategy<Value = u32> {
    let latin = Text { encoding: Encoding::named("latin1").unwrap(), ..Text::PLAIN }.flags();
    prop_oneof![
        Just(0),
        Just(RunFlags::NO_POSITION),
        Just(latin),
        Just(RunFlags::PART),
        Just(Format::Cri.flags()),
        Just(Format::Docker.flags()),
        Just(RunFlags::SYSLOG | RunFlags::NO_POSITION),
    ]
}

/// Without the number of an event in the queue, which is another where events are missing before it, and without the time at
/// which it was read or appended.
fn without_number(mut document: serde_json::Value, recent: bool) -> serde_json::Value {
    if let Some(event) = document.get_mut("event").and_then(|e| e.as_object_mut()) {
        event.remove("sequence");
    }
    if let Some(members) = document.as_object_mut() {
        if members.get("event").is_some_and(|e| e.as_object().is_some_and(|e| e.is_empty())) {
            members.remove("event");
        }
        if recent {
            members.remove("@timestamp");
        }
    }
    document
}

proptest! {
    #[test]
    fn a_chain_before_the_queue_makes_the_documents_that_it_makes_behind_it(lines in lines(), flags in flags(), which in 0..CHAINS.len()) {
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        let read = || vec![block(&stream(), 7, flags, &lines)];
        let made = way(CHAINS[which]).through(read().remove(0));
        let (ahead, behind) = (documents(&made, None), documents(&read(), Some(CHAINS[which])));
        let own_time = flags & RunFlags::FORMAT != 0;
        let plain = |all: Vec<serde_json::Value>| all.into_iter().map(|d| without_number(d, !own_time)).collect::<Vec<_>>();
        prop_assert_eq!(plain(ahead), plain(behind));
        // And a chain of the sink works on it as on any.
        let again = r#"[{set: {fields: {again: yes}}}]"#;
        let both = documents(&made, Some(again));
        prop_assert!(both.iter().all(|d| d["again"] == "yes" && d.get("@timestamp").is_some()));
        let alone = documents(&made, None);
        prop_assert!(alone.iter().zip(&both).all(|(a, b)| a["@timestamp"] == b["@timestamp"] && a["event"]["sequence"] == b["event"]["sequence"]));
        if flags & RunFlags::NO_POSITION != 0 {
            let numbers: Vec<_> = alone.iter().map(|d| d["event"]["sequence"].as_u64()).collect();
            prop_assert_eq!(numbers, (0..alone.len()).map(|n| Some(100 + n as u64)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn however_lines_are_cut_into_blocks_each_is_stored_the_same_at_the_same_place(lines in lines(), at in prop::collection::vec(1usize..5, 12), which in 0..CHAINS.len()) {
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        let whole = way(CHAINS[which]).through(block(&stream(), 7, 0, &lines));
        let (cut, mut rest, mut start, mut parts) = (way(CHAINS[which]), &lines[..], 7, Vec::new());
        let of_one = stream();
        for n in at {
            let (part, more) = rest.split_at(n.min(rest.len()));
            if part.is_empty() {
                break;
            }
            parts.extend(cut.through(block(&of_one, start, 0, part)));
            start += part.iter().map(|l| l.len() as u64).sum::<u64>();
            rest = more;
        }
        prop_assert_eq!(events(&whole), events(&parts));
        prop_assert_eq!(whole[0].source_end, parts.last().map_or(7, |b| b.source_end));
        // Bytes of the source are stored, or filtered.
        let covered: u64 = events(&whole).iter().map(|e| e.1).sum();
        let filtered: u64 = whole[0].filtered.iter().map(|f| f.bytes).sum();
        prop_assert_eq!(covered + filtered, whole[0].source_end - 7);
    }
}

/// Short lines of which a chain makes much.
const MUCH: &str =
    r#"[{drop: {when: 'message == "c"'}}, {set: {fields: {"labels.why": "so that a document of two bytes has many more of them"}}}]"#;

/// That many lines of two bytes, and what must be stored of them: where each begins, and its message.
fn short_lines(count: usize) -> (Vec<&'static [u8]>, Vec<(u64, &'static str)>) {
    let lines: Vec<&[u8]> = (0..count).map(|n| [b"a\n" as &[u8], b"b\n", b"c\n"][n % 3]).collect();
    let kept = (0..count).filter(|n| n % 3 != 2).map(|n| (7 + 2 * n as u64, ["a", "b"][n % 3])).collect();
    (lines, kept)
}

/// What was stored, and that the blocks are one behind the other and prove where they end.
fn stored(blocks: &[Block], lines: &[&[u8]]) -> Vec<(u64, String)> {
    let raw = lines.concat();
    let mut at = 7;
    for block in blocks {
        assert_eq!((block.source_start, block.data.len() < PART + 1000), (at, true));
        at = block.source_end;
        assert_eq!(block.tail, Tail::of(&raw[..at as usize - 7]), "the tail at {at}");
    }
    assert_eq!(at, 7 + raw.len() as u64);
    let message = |json: String| serde_json::from_str::<serde_json::Value>(&json).unwrap()["message"].as_str().unwrap().to_string();
    events(blocks).into_iter().map(|(position, _, _, json)| (position, message(json))).collect()
}

/// The block in memory that is not the queue's.
fn copied(block: Block) -> Block {
    Block { data: Bytes::copy_from_slice(&block.data), ..block }
}

#[test]
fn much_that_is_made_of_little_is_handed_over_in_parts() {
    let way = way_with(4 << 20, MUCH);
    let (lines, kept) = short_lines(20_000);
    let made = way.through(block(&stream(), 7, RunFlags::UTF8, &lines));
    assert!(made.len() > 3, "{} parts", made.len());
    assert_eq!(stored(&made, &lines).iter().map(|(at, text)| (*at, text.as_str())).collect::<Vec<_>>(), kept);
    let sum = made.iter().rev().find_map(|b| b.filtered.first().copied()).unwrap();
    assert_eq!((sum.events, sum.bytes, way.tally.filtered()), (6_666, 13_332, 6_666));
}

#[test]
fn a_block_of_which_a_part_found_no_room_goes_on_there_when_it_is_read_again() {
    let (lines, kept) = short_lines(20_000);
    // Room for two parts, which the queue holds until they are taken.
    let (queue, tally) = (Kept::new(PART * 5 / 2), Arc::<Tally>::default());
    let before = BeforeQueue { chain: chain(MUCH), host_name: "web-1".into() }.before(queue.clone(), tally.clone());
    let (stream, mut taken, mut tries, mut read) = (stream(), Vec::new(), 0, 0);
    while read < lines.len() {
        tries += 1;
        // A source may cut it otherwise when it reads it again.
        let most = if tries % 2 == 1 { lines.len() } else { lines.len().min(read + 9_000) };
        let done = before.append(block(&stream, 7 + 2 * read as u64, RunFlags::UTF8, &lines[read..most]));
        taken.extend(queue.taken().into_iter().map(copied));
        match done {
            Ok(()) => read = most,
            Err(AppendError::TimedOut { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(tries > 2, "{tries} tries");
    assert_eq!(stored(&taken, &lines).iter().map(|(at, text)| (*at, text.as_str())).collect::<Vec<_>>(), kept);
    let sum = taken.iter().rev().find_map(|b| b.filtered.first().copied()).unwrap();
    assert_eq!((sum.events, sum.bytes, tally.filtered()), (6_666, 13_332, 6_666));
    // Nothing is left of it: the same stream goes on as ever.
    before.append(block(&stream, 40_007, 0, &[b"a\n"])).unwrap();
    assert_eq!(events(&queue.taken()).len(), 1);
}

#[test]
fn who_pushes_waits_for_the_rest_of_a_block() {
    let (lines, kept) = short_lines(20_000);
    let (queue, tally) = (Kept::new(PART * 5 / 2), Arc::<Tally>::default());
    let before = BeforeQueue { chain: chain(MUCH), host_name: "web-1".into() }.before(queue.clone(), tally.clone());
    let pushed = Stream::new(1, 0, StreamSpec { key: 42, ..StreamSpec::default() }, Position::default());
    let (done, taken) = (std::sync::atomic::AtomicBool::new(false), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            before.append(block(&pushed, 7, RunFlags::NO_POSITION, &lines)).unwrap();
            done.store(true, Relaxed);
        });
        let take = || taken.lock().unwrap().extend(queue.taken().into_iter().map(copied));
        while !done.load(Relaxed) {
            take();
            std::thread::sleep(Duration::from_millis(1));
        }
        take();
    });
    let taken = taken.into_inner().unwrap();
    assert_eq!(stored(&taken, &lines).iter().map(|(at, text)| (*at, text.as_str())).collect::<Vec<_>>(), kept);
}

#[test]
fn an_event_too_long_to_be_stored_is_filtered_and_on_the_books() {
    let (queue, tally) = (Kept::new(1 << 20), Arc::<Tally>::default());
    let mut work = Work::new(chain(r#"[{set: {copy: {a: message}, when: 'message matches "x"'}}]"#), "web-1");
    work.longest = 1_000;
    let before = Before { queue: queue.clone(), tally: tally.clone(), work: Mutex::new((work, HashMap::new())) };
    let long = [&b"x".repeat(600)[..], b"\n"].concat();
    before.append(block(&stream(), 0, 0, &[b"x\n", &long, b"y\n"])).unwrap();
    let made = queue.taken();
    assert_eq!(events(&made).iter().map(|e| e.0).collect::<Vec<_>>(), [0, 603]);
    assert_eq!((made[0].filtered[0].events, made[0].filtered[0].bytes), (1, 601));
    assert_eq!(tally.by_step().into_iter().collect::<Vec<_>>(), [("too_long".to_string(), 1)]);
}
