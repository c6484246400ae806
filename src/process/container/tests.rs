use super::*;
use crate::queue::{Run, RunFlags, Stream, Tail};
use proptest::prelude::*;
use serde::Deserialize;

const TIME: &str = "2026-03-09T10:15:02.123456789Z";

fn shown(format: Format, raw: &[u8]) -> (String, Option<bool>) {
    let (mut text, mut json) = (Vec::new(), vec![b'"']);
    let bytes = raw.strip_suffix(b"\r\n").or(raw.strip_suffix(b"\n")).unwrap_or(raw);
    let event = Event::as_read(0, 0, bytes, raw);
    put_text(format, &event, &mut text);
    let goes_on = put_json(format, &event, Bytes::Any, &mut json, |_, _| {});
    json.push(b'"');
    let text = String::from_utf8_lossy(&text).into_owned();
    if goes_on.is_some() {
        assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
        if std::str::from_utf8(raw).is_ok() {
            let mut again = vec![b'"'];
            put_json(format, &event, Bytes::Utf8, &mut again, |_, _| {});
            assert_eq!(again, json[..json.len() - 1]);
        }
    } else {
        assert_eq!(json, b"\"\"");
    }
    (text, goes_on)
}

#[test]
fn cri_records_are_put_together() {
    let cri = |raw: &str| shown(Format::Cri, raw.replace('@', TIME).as_bytes());
    let is = |text: &str, goes_on: bool| (text.to_string(), Some(goes_on));
    assert_eq!(cri("@ stdout F hello\n"), is("hello", false));
    assert_eq!(cri("@ stdout F  two  spaces \r\n"), is(" two  spaces ", false));
    assert_eq!(cri("@ stderr F \n"), is("", false));
    assert_eq!(cri("@ stdout P one \r\n@ stdout P \n@ stdout F line\n"), is("one \rline", false));
    assert_eq!(cri("@ stdout F a\n@ stdout P \tat\n@ stdout F  b\n"), is("a\n\tat b", false));
    assert_eq!(cri("@ stdout P begun\n"), is("begun", true));
    assert_eq!(cri("@ stdout F:tag:more x\n"), is("x", false));
    assert_eq!(cri("@ stdout F without newline"), is("without newline", false));
    assert_eq!(cri("2026-03-09T10:15:02+05:30 stdout F x\n"), is("x", false));
    // A character that was split.
    let split = [format!("{TIME} stdout P caf\u{0}").as_bytes(), b"\xc3\n", TIME.as_bytes(), b" stdout F \xa9\n"].concat();
    assert_eq!(shown(Format::Cri, &split), is("caf\u{0}é", false));
}

#[test]
fn what_is_no_record_stays_as_it_is() {
    for raw in [
        "",
        "plain",
        "@",
        "@ ",
        "@ stdout",
        "@ stdout F",
        "@ stdin F x",
        "@ stdout X x",
        "@ stdout FF x",
        "@ stdout F:x",
        "@  stdout F x",
        "2026-13-09T10:15:02Z stdout F x",
        "2026-02-29T10:15:02Z stdout F x",
        "2026-03-09T24:15:02Z stdout F x",
        "2026-03-09 10:15:02Z stdout F x",
        "2026-03-09T10:15:02 stdout F x",
        "2026-03-09T10:15:02.Z stdout F x",
        "2026-03-09T10:15:02.1234567890Z stdout F x",
        "2026-03-09T10:15:02+18:00 stdout F x",
        "2026-03-09T10:15:60Z stdout F x",
    ] {
        let raw = raw.replace('@', TIME);
        assert_eq!(shown(Format::Cri, raw.as_bytes()), (raw.clone(), None));
    }
    for raw in [
        "{}",
        "[]",
        r#"{"log":"x\n"}"#,
        r#"{"log":"x\n","stream":"stdout","time":"@"} "x""#,
        r#"{"log":1,"stream":"stdout","time":"@"}"#,
        r#"{"log":"x\n","stream":"stdin","time":"@"}"#,
        r#"{"log":"x\n","stream":"stdout","time":"now"}"#,
        r#"{"log":"x\n","stream":"stdout","time":"@""#,
        r#"{"log":"x\n","log":"y\n","stream":"stdout","time":"@"}"#,
        r#"{"log":"\ud800\n","stream":"stdout","time":"@"}"#,
    ] {
        let raw = raw.replace('@', TIME);
        assert_eq!(shown(Format::Docker, raw.as_bytes()), (raw.clone(), None));
    }
}

#[test]
fn docker_records_are_put_together() {
    let docker = |logs: &[&str]| {
        let line = |log: &&str| format!("{{\"log\":\"{log}\",\"stream\":\"stdout\",\"attrs\":{{\"a\":[1,{{}}]}},\"time\":\"{TIME}\"}}\n");
        shown(Format::Docker, logs.iter().map(line).collect::<String>().as_bytes())
    };
    let is = |text: &str, goes_on: bool| (text.to_string(), Some(goes_on));
    assert_eq!(docker(&["hello\\n"]), is("hello", false));
    assert_eq!(docker(&["\\u003ca\\u003e \\\"\\ud83d\\ude00\\u2028\\r\\n"]), is("<a> \"😀\u{2028}", false));
    assert_eq!(docker(&["one ", "line\\n"]), is("one line", false));
    assert_eq!(docker(&["a\\n", "\\tb\\n"]), is("a\n\tb", false));
    assert_eq!(docker(&["begun"]), is("begun", true));
    assert_eq!(docker(&["begun\\\\n"]), is("begun\\n", true));
    assert_eq!(docker(&["\\n"]), is("", false));
    assert_eq!(docker(&["x\\u000a"]), is("x", false));
}

#[test]
fn files_tell_by_their_first_bytes_what_they_are() {
    let cri = format!("{TIME} stdout F hello\n");
    let docker = format!("{{\"log\":\"hello\\n\",\"stream\":\"stdout\",\"time\":\"{TIME}\"}}\n");
    for (all, format) in [(cri.as_str(), Format::Cri), (&docker, Format::Docker)] {
        let told: Vec<_> = (0..=all.len().min(DETECT_BYTES)).map(|n| detect(&all.as_bytes()[..n])).collect();
        let at = told.iter().position(|t| t.is_some()).unwrap();
        assert!(told[at..].iter().all(|t| *t == Some(format)), "{told:?}");
    }
    for plain in
        ["hello", "{\"msg\"", "\n", "2026-03-09 10", "12\n", "2026-03-09T10:15:02Z INFO hello\n", &format!("{TIME} {}", "x".repeat(50))]
    {
        assert_eq!(detect(plain.as_bytes()), Some(Format::Plain), "{plain}");
    }
    assert_eq!((detect(b""), detect(b"20"), detect(b"{\"lo")), (None, None, None));
}

/// What serde_json finds in a line of Docker's: stream, time, and what the program wrote.
fn reference(line: &[u8]) -> Option<(String, String, String)> {
    #[derive(Deserialize)]
    struct Line {
        log: String,
        stream: String,
        time: String,
    }
    let line: Line = serde_json::from_slice(line).ok().filter(|_| line.trim_ascii_start().starts_with(b"{"))?;
    let sound = ["stdout", "stderr"].contains(&line.stream.as_str()) && is_rfc3339_nanos(line.time.as_bytes());
    sound.then_some((line.stream, line.time, line.log))
}

fn agrees_with_serde_json(line: &[u8]) {
    // Names that are written with escapes are not looked for; Docker writes none.
    let got = Record::of(Format::Docker, line).map(|r| {
        let mut text = Vec::new();
        r.put_text(false, &mut text);
        let text = String::from_utf8(text).unwrap();
        assert_eq!(r.partial, !text.ends_with('\n'));
        (r.stream.to_string(), String::from_utf8(r.time.to_vec()).unwrap(), text)
    });
    let want = reference(line);
    if got.is_some() || !line.contains(&b'\\') {
        assert_eq!(got, want, "{}", String::from_utf8_lossy(line));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn docker_is_read_as_serde_json_reads_it(words in prop::collection::vec(prop::sample::select(vec![
        "{", "}", ",", ":", "\"log\":\"", "\"stream\":\"stdout\"", "\"time\":\"2026-03-09T10:15:02.1Z\"", "\"log\":\"x\\n\"", "\"", "\\n", "\\u00e9",
        "\\", "é", "[1]", " ", "\"attrs\":{\"a\":\"b\"}", "null", "-1.5e3", "\u{1}",
    ]), 0..14)) {
        agrees_with_serde_json(words.concat().as_bytes());
    }

    #[test]
    fn docker_writes_what_comes_out(text: String, stderr: bool, spaces in "[ \t]{0,2}") {
        let stream = if stderr { "stderr" } else { "stdout" };
        let line = serde_json::json!({"log": text, "stream": stream, "time": TIME, "more": [text, 1.5, null]}).to_string();
        let line = format!("{spaces}{line}{spaces}");
        agrees_with_serde_json(line.as_bytes());
        prop_assert_eq!(Record::of(Format::Docker, line.as_bytes()).unwrap().stream, stream);
    }

    #[test]
    fn nothing_panics(raw: Vec<u8>, words in prop::collection::vec(prop::sample::select(vec!["2026-03-09T10:15:02Z", " ", "stdout", "P", "F", "\n", "\r", ":", "x"]), 0..20)) {
        for raw in [&raw[..], words.concat().as_bytes()] {
            shown(Format::Cri, raw);
            shown(Format::Docker, raw);
        }
    }
}

#[test]
fn documents_have_the_time_and_the_stream_of_the_record() {
    let event = format!("{TIME} stderr P a \"\n{TIME} stderr F b\n");
    let lines = [event.clone().into_bytes(), b"no record\n".to_vec(), format!("{TIME} stdout P open\n").into_bytes()];
    let spec = crate::queue::StreamSpec { path: "/a".into(), fields: "\"stream\":\"mine\"".into(), ..Default::default() };
    let mut lens = Vec::new();
    lines.iter().for_each(|l| crate::queue::put_varint(&mut lens, l.len() as u32));
    let run = Run {
        stream: Stream::new(1, 0, spec, Default::default()),
        source_start: 0,
        source_end: 0,
        count: 3,
        flags: RunFlags(RunFlags::UTF8 | Format::Cri.flags()),
        tail: Tail::default(),
        lens: lens.into(),
        data: lines.concat().into(),
        filtered: Vec::new(),
    };
    let events = crate::queue::Events::new(&run, 7, 0, 3);
    let slice = crate::queue::RunSlice { run: &run, append_ms: 1_773_051_302_123, epoch: 1, events: events.clone() };
    let mut documents = crate::process::document::Documents::new("h");
    let template = documents.template(&slice);
    let mut out = Vec::new();
    for event in events {
        template.write(&event, &mut out);
        out.push(b'\n');
    }
    insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
    {"@timestamp":"2026-03-09T10:15:02.123456789Z","stream":"stderr","message":"a \"b","log":{"offset":0,"file":{"path":"/a"}},"host":{"name":"h"}}
    {"@timestamp":"2026-03-09T10:15:02.123Z","message":"no record","log":{"offset":86,"file":{"path":"/a"},"flags":["malformed"]},"host":{"name":"h"}}
    {"@timestamp":"2026-03-09T10:15:02.123456789Z","stream":"stdout","message":"open","log":{"offset":96,"file":{"path":"/a"},"flags":["partial"]},"host":{"name":"h"}}
    "#);
}
