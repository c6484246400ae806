//! Multiline.

use super::super::fuzzing::reference_joined;
use super::super::lines::Rules;
use super::rig::Rig;
use crate::queue::{Format, Text};
use crate::source::file::{Joining, LongLine, Multiline};
use proptest::prelude::*;
use std::time::Duration;

fn patterns(start: Option<&str>, proceed: Option<&str>, end: Option<&str>) -> Multiline {
    let own = |pattern: Option<&str>| pattern.map(str::to_owned);
    let joining = Joining::Patterns { start: own(start), proceed: own(proceed), end: own(end) };
    Multiline { joining, max_lines: 1000, max_bytes: None, timeout: Duration::from_secs(1) }
}

fn rig(max_lines: u32, max_bytes: usize) -> Rig {
    Rig::with(&["*.log"], |o| {
        o.max_line_bytes = max_bytes;
        o.multiline = Some(Multiline { max_lines, ..patterns(Some(r"^\d"), None, None) });
    })
}

#[test]
fn lines_join_until_the_next_start_or_the_time_out() {
    let mut rig = rig(100, 1000);
    rig.append("a.log", "  head\n1 a\n  at x\r\n  at y\n2 b\n  at");
    rig.settle();
    rig.expect(&["  head", "1 a\n  at x\r\n  at y"]);
    rig.append("a.log", " z\n");
    rig.pass(Duration::from_millis(500));
    assert_eq!(rig.fake.lines().len(), 2);
    rig.pass(Duration::from_secs(2));
    rig.expect(&["  head", "1 a\n  at x\r\n  at y", "2 b\n  at z"]);
    rig.append("a.log", "3 c\n");
    rig.settle();
    for keep in 0..rig.fake.len() {
        rig.kill(keep);
        rig.start();
        rig.settle();
        rig.pass(Duration::from_secs(2));
        rig.expect(&["  head", "1 a\n  at x\r\n  at y", "2 b\n  at z", "3 c"]);
    }
}

#[test]
fn most_lines_and_most_bytes_end_an_event() {
    let mut lines = rig(3, 1000);
    lines.append("a.log", "1\n a\n b\n c\n d\n e\n2\n");
    lines.pass(Duration::from_secs(4));
    lines.expect(&["1\n a\n b", " c\n d\n e", "2"]);
    let mut bytes = rig(100, 20);
    bytes.append("a.log", format!("1\n {}\n {}\n {}\n2\n", "a".repeat(10), "b".repeat(10), "c".repeat(30)));
    bytes.pass(Duration::from_secs(4));
    bytes.expect(&["1\n aaaaaaaaaa", " bbbbbbbbbb", &format!(" {}", "c".repeat(19)), "2"]);
}

#[test]
fn a_partial_line_that_is_too_long_does_not_swallow_the_event_before() {
    let mut rig = rig(100, 100_000);
    rig.append("a.log", "1 first\n more\n");
    rig.append("a.log", "x".repeat(600_000));
    rig.settle();
    rig.append("a.log", "\n2 next\n");
    rig.pass(Duration::from_secs(3));
    rig.expect(&["1 first\n more", &"x".repeat(100_000), "2 next"]);
}

fn with(multiline: Multiline) -> Rig {
    Rig::with(&["*.log"], |o| o.multiline = Some(multiline))
}

#[test]
fn a_line_that_continues_belongs_to_the_event_before() {
    let mut rig = with(patterns(None, Some(r"^[ \t]|^Caused by"), None));
    rig.append("a.log", "a\n\tat x\nCaused by y\nb\nc\n");
    rig.settle();
    rig.expect(&["a\n\tat x\nCaused by y", "b"]);
    rig.append("a.log", " d\n");
    rig.pass(Duration::from_secs(4));
    rig.expect(&["a\n\tat x\nCaused by y", "b", "c\n d"]);
}

#[test]
fn a_line_that_ends_an_event_needs_no_successor() {
    let mut rig = with(patterns(None, None, Some(r";$")));
    rig.append("a.log", "select 1\nfrom t;\r\ncommit;\nselect");
    rig.settle();
    rig.expect(&["select 1\nfrom t;", "commit;"]);
    rig.append("a.log", "\n2;\n");
    rig.settle();
    rig.expect(&["select 1\nfrom t;", "commit;", "select\n2;"]);
}

#[test]
fn a_drain_ships_the_last_event_but_no_incomplete_line() {
    let mut rig = with(patterns(Some(r"^\d"), None, None));
    rig.append("a.log", "1 a\n2 panic\n at x\n at");
    rig.append("b.log", "3 b\n");
    rig.append("busy.log", "4 c\n");
    rig.settle();
    let now = rig.now;
    rig.tailer().begin_drain(now);
    rig.append("busy.log", " more\n");
    rig.settle();
    assert!(!rig.tailer().drained());
    rig.pass(Duration::from_secs(2));
    assert!(rig.tailer().drained());
    rig.expect_sorted(&["1 a", "2 panic\n at x", "3 b"]);
    rig.kill(usize::MAX);
    rig.start();
    rig.append("a.log", " y\n5 d\n");
    rig.pass(Duration::from_secs(4));
    rig.expect_sorted(&[" at y", "1 a", "2 panic\n at x", "3 b", "4 c\n more", "5 d"]);
}

#[test]
fn patterns_may_be_combined() {
    let mut both = with(patterns(Some("^BEGIN"), None, Some("^END")));
    both.append("a.log", "x\nBEGIN 1\n a\nEND\ny\nz\nBEGIN 2\n b\nBEGIN 3\nEND\n");
    both.settle();
    both.expect(&["x", "BEGIN 1\n a\nEND", "y\nz", "BEGIN 2\n b", "BEGIN 3\nEND"]);
    let mut all = with(patterns(Some("^ BEGIN"), Some("^ "), Some(" END$")));
    all.append("a.log", "a\n b\n BEGIN\n c END\n d\ne\nf\n");
    all.settle();
    all.expect(&["a\n b", " BEGIN\n c END", " d", "e"]);
}

#[test]
fn an_event_may_be_longer_or_shorter_than_a_line_may() {
    let mut longer = Rig::with(&["*.log"], |o| {
        o.max_line_bytes = 10;
        o.multiline = Some(Multiline { max_bytes: Some(30), ..patterns(Some(r"^\d"), None, None) });
    });
    longer.append("a.log", "1\n aaaaaaaaa\n bbbbbbbbb\n ccccccccccccccccccccccc\n dd\n2\n");
    longer.pass(Duration::from_secs(4));
    longer.expect(&["1\n aaaaaaaaa\n bbbbbbbbb", " ccccccccc", " dd", "2"]);
    let mut shorter = Rig::with(&["*.log"], |o| {
        o.multiline = Some(Multiline { max_bytes: Some(8), ..patterns(Some(r"^\d"), None, None) });
    });
    shorter.append("a.log", "1\n aa\n bb\n a line beyond it\n c\n2\n");
    shorter.pass(Duration::from_secs(4));
    shorter.expect(&["1\n aa", " bb", " a line beyond it", " c", "2"]);
}

#[test]
fn an_event_covers_its_lines_and_none_of_another_file() {
    let mut rig = with(patterns(Some(r"^\d"), None, None));
    rig.append("a.log", "1 a\n x\n2 b\n");
    rig.settle();
    // What follows stands in another file: it is no part of the last event of this one.
    rig.rename("a.log", "a.log.1");
    rig.append("a.log", " y\n3 c\n z\n");
    rig.settle();
    rig.pass(Duration::from_secs(8));
    let mut got: Vec<(u64, Vec<u8>)> = rig.fake.events().into_iter().map(|e| (e.1, e.2)).collect();
    got.sort();
    let want: [(u64, &[u8]); 4] = [(0, b" y"), (0, b"1 a\n x"), (3, b"3 c\n z"), (7, b"2 b")];
    assert_eq!(got, want.map(|(at, bytes)| (at, bytes.to_vec())));
    let blocks = rig.fake.blocks.lock().unwrap();
    assert!(blocks.iter().all(|(b, _)| b.source_end - b.source_start == b.data.len() as u64));
}

#[test]
fn the_last_event_of_a_rotated_file_waits_shorter() {
    let mut rig = with(Multiline { timeout: Duration::from_secs(60), ..patterns(Some(r"^\d"), None, None) });
    rig.append("a.log", "1 a\n x\n");
    rig.append("b.log", "2 b\n");
    rig.pass(Duration::from_secs(1));
    rig.expect(&[]);
    rig.rename("a.log", "a.log.1");
    std::fs::remove_file(rig.path("b.log")).unwrap();
    rig.settle();
    // It may still be written to for a moment.
    rig.append("a.log.1", " y\n");
    rig.pass(Duration::from_millis(150));
    assert!(!rig.fake.lines().iter().any(|l| l.starts_with('1')));
    rig.pass(Duration::from_secs(8));
    rig.expect_sorted(&["1 a\n x\n y", "2 b"]);
}

#[test]
fn the_pieces_of_a_long_line_stand_alone() {
    let mut rig = Rig::with(&["*.log"], |o| {
        o.max_line_bytes = 10;
        o.on_long_line = LongLine::Split;
        o.multiline = Some(patterns(Some(r"^\d"), None, None));
    });
    rig.append("a.log", format!("1\n a\n{}\n b\n2\n", "y".repeat(25)));
    rig.pass(Duration::from_secs(4));
    rig.expect(&["1\n a", "yyyyyyyyyy", "yyyyyyyyyy", "yyyyy", " b", "2"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    #[test]
    fn joins_the_same_in_any_portions(lines in prop::collection::vec("[0-9 ][a-z]{0,8}\n", 1..20), cuts in prop::collection::vec(1usize..20, 0..10)) {
        let all = lines.concat();
        let mut rig = rig(5, 1000);
        let mut at = 0;
        for cut in cuts {
            let end = (at + cut).min(all.len());
            rig.append("a.log", &all[at..end]);
            rig.settle();
            at = end;
        }
        rig.append("a.log", &all[at..]);
        rig.settle();
        rig.pass(Duration::from_secs(8));
        let mut want: Vec<Vec<&str>> = Vec::new();
        for line in &lines {
            let line = line.trim_end_matches('\n');
            match want.last_mut() {
                Some(event) if event.len() < 5 && !line.starts_with(|c: char| c.is_ascii_digit()) => event.push(line),
                _ => want.push(vec![line]),
            }
        }
        let want: Vec<String> = want.iter().map(|e| e.join("\n")).collect();
        prop_assert_eq!(rig.fake.lines(), want);
    }
    /// As above, but for every choice of options, for positions, and with kills: what a reader of the whole file finds.
    #[test]
    fn joins_the_same_whatever_happens(
        words in prop::collection::vec(prop::sample::select(vec!["s", "c", "e", "x", "\n", "\n", "\n", "\r\n", "yyyyyyyyyyyyyyyyyyyy"]), 1..60),
        cuts in prop::collection::vec(1usize..30, 0..8),
        kills in prop::collection::vec(0usize..20, 0..4),
        (start, proceed, end, split) in (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
        (max, max_lines, max_bytes) in (4usize..60, 1u32..8, prop::option::of(1usize..60)),
    ) {
        let all = words.concat();
        let multiline = Multiline { max_lines, max_bytes, ..patterns(start.then_some("^s"), proceed.then_some("^c"), end.then_some("e$")) };
        let long = if split { LongLine::Split } else { LongLine::Cut };
        let mut rig = Rig::with(&["*.log"], |o| {
            (o.max_line_bytes, o.on_long_line, o.multiline) = (max, long, Some(multiline.clone()));
        });
        let mut at = 0;
        for (i, cut) in cuts.into_iter().enumerate() {
            let end = (at + cut).min(all.len());
            rig.append("a.log", &all[at..end]);
            rig.settle();
            if let Some(keep) = kills.get(i) {
                rig.kill(*keep);
                rig.start();
            }
            at = end;
        }
        rig.append("a.log", &all[at..]);
        rig.settle();
        let rules = Rules { text: Text::PLAIN, format: Format::Plain, max, long };
        let want: Vec<(u64, Vec<u8>)> = reference_joined(all.as_bytes(), &rules, &multiline)
            .into_iter()
            .map(|(at, mut bytes, _)| {
                bytes.truncate(bytes.len() - Text::PLAIN.delimiter(&bytes));
                (at, bytes)
            })
            .collect();
        let got: Vec<_> = rig.fake.events().into_iter().map(|e| (e.1, e.2)).collect();
        prop_assert_eq!(got, want);
    }
}
