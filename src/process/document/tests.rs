use super::*;
use crate::queue::{Run, Stream, Tail};
use bytes::Bytes;
use proptest::prelude::*;

fn run(path: &str, fields: &str, flags: u32, lines: &[&[u8]]) -> Run {
    let spec = StreamSpec { path: path.into(), fields: fields.into(), ..StreamSpec::default() };
    let (mut lens, mut data) = (Vec::new(), Vec::new());
    for line in lines {
        lens.push(line.len() as u8 + 1);
        data.extend_from_slice(line);
        data.push(b'\n');
    }
    Run {
        stream: Stream::new(1, 0, spec, Default::default()),
        source_start: 1000,
        source_end: 1000 + data.len() as u64,
        count: lines.len() as u32,
        flags: RunFlags(flags),
        tail: Tail::default(),
        lens: Bytes::from(lens),
        data: Bytes::from(data),
        filtered: Vec::new(),
    }
}

fn slice(run: &Run) -> RunSlice<'_> {
    RunSlice { run, append_ms: 1_773_051_302_123, epoch: 1, events: crate::queue::Events::new(run, 7, 0, run.count) }
}

fn documents(run: &Run) -> Vec<String> {
    let mut documents = Documents::new("web-1");
    let slice = slice(run);
    let template = documents.template(&slice);
    slice
        .events
        .map(|event| {
            let mut out = Vec::new();
            template.write(&event, &mut out);
            String::from_utf8(out).unwrap()
        })
        .collect()
}

#[test]
fn a_plain_document() {
    let run = run("/var/log/app.log", "", RunFlags::UTF8 | RunFlags::JSON_CLEAN, &[b"one", b"two"]);
    insta::assert_snapshot!(documents(&run).join("\n"), @r#"
    {"@timestamp":"2026-03-09T10:15:02.123Z","message":"one","log":{"offset":1000,"file":{"path":"/var/log/app.log"}},"host":{"name":"web-1"}}
    {"@timestamp":"2026-03-09T10:15:02.123Z","message":"two","log":{"offset":1004,"file":{"path":"/var/log/app.log"}},"host":{"name":"web-1"}}
    "#);
}

#[test]
fn fields_are_nested_and_merged() {
    let fields = r#""service.name":"shop","service.version":3,"log.level":"info","host.name":"node-9","host.os.type":"linux","tags":["a"],"labels":{"x":{"y":1}}"#;
    insta::assert_snapshot!(documents(&run("/a", fields, RunFlags::UTF8, &[b"say \"hi\""]))[0], @r#"{"@timestamp":"2026-03-09T10:15:02.123Z","message":"say \"hi\"","log":{"offset":1000,"file":{"path":"/a"},"level":"info"},"host":{"name":"node-9","os":{"type":"linux"}},"labels":{"x":{"y":1}},"service":{"name":"shop","version":3},"tags":["a"]}"#);
    assert!(shadowed(fields).is_empty());
}

#[test]
fn facts_about_the_event_win_over_fields() {
    let fields = r#""@timestamp":"x","message":"m","log":"l","log.offset":1,"log.file.path":"/evil","log.flags":"f","host":"h","a":1,"a.b":2,"message.x":1"#;
    let text = documents(&run("/a", fields, RunFlags::UTF8 | RunFlags::CUT, &[b"one"])).remove(0);
    insta::assert_snapshot!(text, @r#"{"@timestamp":"2026-03-09T10:15:02.123Z","message":"one","log":{"offset":1000,"file":{"path":"/a"},"flags":["truncated"]},"a":1,"host":{"name":"web-1"}}"#);
    assert_eq!(shadowed(fields), ["@timestamp", "a.b", "host", "log", "log.file.path", "log.flags", "log.offset", "message", "message.x"]);
}

#[test]
fn other_encodings_become_utf8() {
    let message = |label: &str, more: u32, bytes: &[u8]| {
        let text = crate::queue::Text { encoding: Encoding::named(label).unwrap(), ..Default::default() };
        let mut run = run("/a", "", text.flags() | more, &[b""]);
        run.lens = vec![bytes.len() as u8].into();
        run.data = Bytes::copy_from_slice(bytes);
        let document: Value = serde_json::from_str(&documents(&run)[0]).unwrap();
        document["message"].as_str().unwrap().to_string()
    };
    assert_eq!(message("latin1", 0, b"caf\xe9 \"\x01\"\n"), "caf\u{e9} \"\u{1}\"");
    assert_eq!(message("latin1", RunFlags::UTF8, b"ascii\r\n"), "ascii");
    assert_eq!(message("shift_jis", 0, b"\x93\xfa\x96{\xff\n"), "\u{65e5}\u{672c}\u{fffd}");
    assert_eq!(message("utf-16le", 0, b"a\0\"\0\xe9\0\r\0\n\0"), "a\"\u{e9}");
    assert_eq!(message("utf-16be", 0, b"\0a\xd8\x3d\xde\0\0\n"), "a\u{1f600}");
}

#[test]
fn a_piece_of_a_line_says_so() {
    let text = documents(&run("/a", "", RunFlags::UTF8 | RunFlags::PART, &[b"one"])).remove(0);
    assert!(text.contains(r#""flags":["partial"]"#), "{text}");
}

#[test]
fn a_stream_without_positions_has_a_sequence() {
    let text = documents(&run("", "", RunFlags::UTF8 | RunFlags::NO_POSITION, &[b"one"])).remove(0);
    insta::assert_snapshot!(text, @r#"{"@timestamp":"2026-03-09T10:15:02.123Z","message":"one","event":{"sequence":7},"host":{"name":"web-1"}}"#);
}

#[test]
fn fields_that_are_no_json_are_left_out() {
    assert_eq!(documents(&run("/a", "\"a\":", RunFlags::UTF8, &[b"x"])).len(), 1);
    assert_eq!(shadowed("\"a\":").len(), 1);
}

#[test]
fn a_new_spec_and_a_new_time_are_seen() {
    let run = run("/a", "", RunFlags::UTF8, &[b"one"]);
    let mut documents = Documents::new("h");
    let render = |documents: &mut Documents, append_ms| {
        let slice = RunSlice { append_ms, ..slice(&run) };
        let mut out = Vec::new();
        let template = documents.template(&slice);
        slice.events.for_each(|e| template.write(&e, &mut out));
        String::from_utf8(out).unwrap()
    };
    assert!(render(&mut documents, 0).contains("1970-01-01T00:00:00.000Z"));
    assert!(render(&mut documents, 1).contains("1970-01-01T00:00:00.001Z"));
    run.stream.set_spec(StreamSpec { path: "/b".into(), ..StreamSpec::default() });
    assert!(render(&mut documents, 1).contains(r#""path":"/b""#));
}

proptest! {
    #[test]
    fn any_bytes_and_any_fields_make_a_document(
        line in prop::collection::vec(any::<u8>().prop_filter("delimiter", |b| *b != b'\n'), 0..60),
        names in prop::collection::vec("(@timestamp|message|log|host|event|a|b)(\\.(offset|file|path|name|sequence|a|b)){0,3}", 0..6),
    ) {
        let fields = serde_json::to_string(&names.iter().map(|n| (n.clone(), 1.into())).collect::<Map<String, Value>>()).unwrap();
        let run = run("/a\"b", &fields[1..fields.len() - 1], 0, &[&line]);
        let text = documents(&run).remove(0);
        let value: Value = serde_json::from_str(&text).unwrap();
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        prop_assert_eq!(value["message"].as_str().unwrap(), String::from_utf8_lossy(line));
        prop_assert_eq!(value["log"]["offset"].as_u64(), Some(1000));
        prop_assert_eq!(value["log"]["file"]["path"].as_str(), Some("/a\"b"));
        prop_assert!(!value["host"]["name"].is_null());
        // No key twice: else the text would be longer than what the parser has kept.
        prop_assert_eq!(serde_json::to_string(&value).unwrap().len(), text.len());
    }
}
