//! Multiline.

use super::rig::Rig;
use crate::source::file::{Joining, Multiline};
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
}
