//! Encodings, byte order marks, line endings, and lines that are too long, through the tailer.

use super::super::fuzzing::reference;
use super::super::lines::Rules;
use super::rig::Rig;
use crate::queue::{Encoding, Format, LineEnding, RunFlags, Text};
use crate::source::file::{FileEncoding, Joining, LongLine, Multiline, StartAt};
use proptest::prelude::*;
use std::time::Duration;

fn le(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn be(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// Position and decoded text of each event.
fn texts(rig: &Rig) -> Vec<(u64, String)> {
    let blocks = rig.fake.blocks.lock().unwrap();
    let mut found = Vec::new();
    for (block, _) in blocks.iter() {
        let run = crate::queue::Run::from(block);
        for event in crate::queue::Events::new(&run, 0, 0, u32::MAX) {
            let mut scratch = String::new();
            let text = block.flags.text().encoding.text(event.bytes, &mut scratch);
            found.push((event.position, String::from_utf8_lossy(text).into_owned()));
        }
    }
    found
}

fn expect(rig: &Rig, want: &[(u64, &str)]) {
    let want: Vec<(u64, String)> = want.iter().map(|(at, text)| (*at, text.to_string())).collect();
    assert_eq!(texts(rig), want);
}

#[test]
fn a_byte_order_mark_is_left_out_of_the_first_event_and_positions_stay() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", b"\xef\xbb\xbf");
    rig.pass(Duration::from_secs(20));
    expect(&rig, &[]);
    rig.append("a.log", b"one\n\xef\xbb\xbftwo\n");
    rig.settle();
    expect(&rig, &[(0, "one"), (7, "\u{feff}two")]);
    rig.kill(0);
    rig.start();
    rig.settle();
    expect(&rig, &[(0, "one"), (7, "\u{feff}two")]);
}

#[test]
fn utf_16_says_by_its_mark_how_it_goes() {
    let mut rig = Rig::with(&["*.log"], |o| o.encoding = FileEncoding::Utf16);
    rig.append("a.log", [b"\xff\xfe".to_vec(), le("größe\r\nzwei\n")].concat());
    rig.settle();
    rig.append("b.log", [b"\xfe\xff".to_vec(), be("größe\r\nzwei\n")].concat());
    rig.settle();
    rig.append("c.log", le("ohne\n"));
    rig.settle();
    expect(&rig, &[(0, "größe"), (16, "zwei"), (0, "größe"), (16, "zwei"), (0, "ohne")]);
    // A restart learns it from the file again.
    rig.append("b.log", be("drei\n"));
    rig.kill(usize::MAX);
    rig.start();
    rig.settle();
    assert_eq!(texts(&rig)[5..], [(26, "drei".to_string())]);
}

#[test]
fn a_file_of_one_byte_does_not_tell_its_encoding_yet() {
    let mut rig = Rig::with(&["*.log"], |o| o.encoding = FileEncoding::Utf16);
    rig.append("a.log", b"\xfe");
    rig.pass(Duration::from_secs(20));
    rig.append("a.log", [b"\xff".to_vec(), be("a\n")].concat());
    rig.settle();
    expect(&rig, &[(0, "a")]);
}

#[test]
fn half_a_character_of_utf_16_waits_for_the_other_half() {
    let mut rig = Rig::with(&["*.log"], |o| o.encoding = FileEncoding::Is(Encoding::UTF16BE));
    rig.append("a.log", [be("ab"), vec![0]].concat());
    rig.pass(Duration::from_secs(20));
    expect(&rig, &[(0, "ab")]);
    rig.append("a.log", [b"\n".to_vec(), be("c\n")].concat());
    rig.settle();
    // It was the flushed line's delimiter.
    expect(&rig, &[(0, "ab"), (6, "c")]);
}

#[test]
fn legacy_encodings_are_read_as_they_are_and_shown_as_text() {
    let sjis = Encoding::named("shift_jis").unwrap();
    let mut rig = Rig::with(&["*.log"], |o| o.encoding = FileEncoding::Is(sjis));
    // The second byte of the first character is a backslash.
    rig.append("a.log", b"\x95\x5c\x8e\xa6\nascii\n");
    rig.settle();
    expect(&rig, &[(0, "\u{8868}\u{793a}"), (5, "ascii")]);
    let blocks = rig.fake.blocks.lock().unwrap();
    assert_eq!(&blocks[0].0.data[..], b"\x95\x5c\x8e\xa6\nascii\n");
    assert!(!blocks[0].0.flags.has(RunFlags::UTF8));
}

#[test]
fn patterns_see_text() {
    let mut rig = Rig::with(&["*.log"], |o| {
        o.encoding = FileEncoding::Utf16;
        let joining = Joining::Patterns { start: Some("^größe \\d".into()), proceed: None, end: None };
        o.multiline = Some(Multiline { joining, max_lines: 100, max_bytes: None, timeout: Duration::from_secs(1) });
    });
    rig.append("a.log", [b"\xff\xfe".to_vec(), le("größe 1\r\n mehr\r\ngröße 2\r\n")].concat());
    rig.pass(Duration::from_secs(4));
    expect(&rig, &[(0, "größe 1\r\n mehr"), (34, "größe 2")]);
}

#[test]
fn line_endings_are_as_configured() {
    for (ending, want) in [
        (LineEnding::Auto, &["a", "b\rc", "d"][..]),
        (LineEnding::Lf, &["a\r", "b\rc", "d"]),
        (LineEnding::Crlf, &["a", "b\rc\nd"]),
        (LineEnding::Cr, &["a", "\nb"]),
    ] {
        let mut rig = Rig::with(&["*.log"], |o| o.line_ending = ending);
        rig.append("a.log", "a\r\nb\rc\nd");
        rig.settle();
        if ending == LineEnding::Cr {
            rig.expect(want);
            continue;
        }
        rig.append("a.log", if ending == LineEnding::Crlf { "\r\n" } else { "\n" });
        rig.settle();
        rig.expect(want);
    }
}

#[test]
fn the_late_delimiter_is_that_of_the_file() {
    let mut rig = Rig::with(&["*.log"], |o| o.line_ending = LineEnding::Crlf);
    rig.append("a.log", "part");
    rig.pass(Duration::from_secs(20));
    rig.append("a.log", "\r");
    rig.pass(Duration::from_secs(20));
    rig.append("a.log", "\nnext\n\r\n");
    rig.settle();
    rig.expect(&["part", "next\n"]);
}

fn marks(rig: &Rig) -> Vec<(u64, String, bool)> {
    let blocks = rig.fake.blocks.lock().unwrap();
    let part: Vec<bool> = blocks.iter().flat_map(|(b, _)| vec![b.flags.has(RunFlags::PART); b.count as usize]).collect();
    drop(blocks);
    texts(rig).into_iter().zip(part).map(|((at, text), part)| (at, text, part)).collect()
}

#[test]
fn a_long_line_may_be_split() {
    let mut rig = Rig::with(&["*.log"], |o| {
        o.max_line_bytes = 4;
        o.on_long_line = LongLine::Split;
    });
    rig.append("a.log", "a\n0123456789\r\nb\n01234567\nc\n0123é678");
    rig.settle();
    let part = |at, text: &str| (at, text.to_string(), true);
    let line = |at, text: &str| (at, text.to_string(), false);
    let mut want = vec![line(0, "a"), part(2, "0123"), part(6, "4567"), part(10, "89"), line(14, "b"), part(16, "0123"), part(20, "4567")];
    want.extend([line(25, "c"), part(27, "0123")]);
    assert_eq!(marks(&rig), want);
    // The quiet time: what is left is the last piece.
    rig.pass(Duration::from_secs(20));
    want.extend([part(31, "é67"), part(35, "8")]);
    assert_eq!(marks(&rig), want);
    rig.append("a.log", "\nnext\n");
    rig.settle();
    want.push(line(37, "next"));
    assert_eq!(marks(&rig), want);
    assert_eq!((rig.status().cut_events, rig.status().cut_bytes), (0, 0));
}

#[test]
fn start_at_end_begins_at_a_line_of_the_encoding() {
    let mut rig = Rig::with(&["*.log"], |o| {
        o.encoding = FileEncoding::Is(Encoding::UTF16LE);
        o.start_at = StartAt::End;
    });
    rig.append("a.log", le(&format!("old\n{}half\u{0a00}", "x".repeat(40_000))));
    rig.settle();
    rig.append("a.log", le(" whole\n"));
    rig.settle();
    let got = texts(&rig);
    assert_eq!((got.len(), got[0].0), (1, 8));
    assert!(got[0].1.ends_with("half\u{0a00} whole"));
}

/// A sparse file of zeros: memory is bounded by the buffers, and each byte is read once or twice.
#[test]
fn a_huge_file_without_a_newline_stops_nothing() {
    const SIZE: u64 = 256 << 20;
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", "a\n");
    std::fs::File::options().write(true).open(rig.path("a.log")).unwrap().set_len(SIZE).unwrap();
    rig.settle();
    rig.expect(&["a"]);
    rig.append("a.log", "\nb\n");
    rig.settle();
    let events = rig.fake.events();
    assert_eq!(events.iter().map(|e| (e.1, e.2.len())).collect::<Vec<_>>(), [(0, 1), (2, 1 << 20), (SIZE + 1, 1)]);
    assert_eq!((rig.status().cut_events, rig.status().cut_bytes), (1, SIZE - 2 - (1 << 20)));
}

#[test]
fn a_large_file_without_a_newline_may_be_split() {
    const SIZE: u64 = 64 << 20;
    let mut rig = Rig::with(&["*.log"], |o| o.on_long_line = LongLine::Split);
    rig.append("a.log", "a\n");
    std::fs::File::options().write(true).open(rig.path("a.log")).unwrap().set_len(SIZE).unwrap();
    rig.settle();
    assert_eq!(rig.fake.events().len(), 64);
    rig.pass(Duration::from_secs(20));
    let events = rig.fake.events();
    assert_eq!(events.iter().map(|e| e.2.len() as u64).sum::<u64>(), SIZE - 1);
    assert!(events.iter().skip(1).enumerate().all(|(i, e)| e.1 == 2 + ((i as u64) << 20)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Whatever the bytes, the encoding, the line ending, the sizes of the writes and where the process is killed: the
    /// events and the positions of a reference that sees the whole file at once.
    #[test]
    fn any_bytes_in_any_encoding(
        portions in prop::collection::vec(prop::collection::vec(prop_oneof![3 => Just(b'\n'), 1 => Just(b'\r'), 4 => Just(0u8), 6 => any::<u8>()], 0..80), 1..12),
        (encoding, ending, long) in (0usize..6, 0usize..4, any::<bool>()),
        max in 4usize..60,
        kills in prop::collection::vec(0usize..30, 0..4),
    ) {
        let named = |label| FileEncoding::Is(Encoding::named(label).unwrap());
        let encoding = [named("utf-8"), named("utf-16le"), named("utf-16be"), FileEncoding::Utf16, named("latin1"), named("shift_jis")][encoding];
        let ending = [LineEnding::Auto, LineEnding::Lf, LineEnding::Crlf, LineEnding::Cr][ending];
        let long = if long { LongLine::Split } else { LongLine::Cut };
        let mut rig = Rig::with(&["*.log"], |o| {
            (o.max_line_bytes, o.encoding, o.line_ending, o.on_long_line) = (max, encoding, ending, long);
        });
        for (i, portion) in portions.iter().enumerate() {
            rig.append("a.log", portion);
            rig.settle();
            if let Some(keep) = kills.get(i) {
                rig.kill(*keep);
                rig.start();
            }
        }
        rig.settle();
        let all = portions.concat();
        let encoding = match encoding {
            FileEncoding::Is(encoding) => encoding,
            FileEncoding::Utf16 if all.starts_with(b"\xfe\xff") => Encoding::UTF16BE,
            FileEncoding::Utf16 => Encoding::UTF16LE,
        };
        let text = Text { encoding, ending };
        let mut want: Vec<(u64, Vec<u8>)> = Vec::new();
        for (at, mut bytes, _) in reference(&all, &Rules { text, format: Format::Plain, max, long }) {
            bytes.truncate(bytes.len() - text.delimiter(&bytes));
            let mark = if at == 0 { encoding.mark(&bytes) } else { 0 };
            want.push((at, bytes.split_off(mark)));
        }
        let got: Vec<_> = rig.fake.events().into_iter().map(|e| (e.1, e.2)).collect();
        prop_assert_eq!(got, want);
        let cut = rig.status().cut_events;
        prop_assert!(long == LongLine::Cut || cut == 0);
    }
}
