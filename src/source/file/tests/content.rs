//! What is in the files: delimiters, long lines, binary bytes, equal content, where to begin.

use super::rig::Rig;
use crate::queue::{Encoding, RunFlags};
use crate::source::file::StartAt;
use proptest::prelude::*;
use std::time::Duration;

#[test]
fn a_last_line_without_newline_is_an_event_after_its_quiet_time_and_never_twice() {
    for late in ["\n", "\r\n"] {
        let mut rig = Rig::new(&["*.log"]);
        rig.append("a.log", "1\npart");
        rig.settle();
        rig.expect(&["1"]);
        rig.pass(Duration::from_secs(6));
        rig.expect(&["1", "part"]);
        let blocks = rig.fake.len();
        rig.append("a.log", late);
        rig.settle();
        rig.expect(&["1", "part"]);
        rig.append("a.log", "2\n");
        rig.settle();
        rig.expect(&["1", "part", "2"]);
        rig.kill(blocks);
        rig.start();
        rig.settle();
        rig.expect(&["1", "part", "2"]);
    }
}

#[test]
fn the_delimiter_of_a_flushed_line_may_come_in_two_parts() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", "part");
    rig.settle();
    rig.pass(Duration::from_secs(6));
    rig.append("a.log", "\r");
    rig.pass(Duration::from_secs(20));
    rig.append("a.log", "\nnext\n");
    rig.settle();
    rig.expect(&["part", "next"]);
}

#[test]
fn what_follows_a_flushed_line_is_another_event() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", "part");
    rig.settle();
    rig.pass(Duration::from_secs(6));
    rig.append("a.log", "rest\n");
    rig.settle();
    rig.expect(&["part", "rest"]);
}

#[test]
fn a_line_that_grows_slowly_is_not_flushed() {
    let mut rig = Rig::new(&["*.log"]);
    for _ in 0..5 {
        rig.append("a.log", "x");
        rig.pass(Duration::from_secs(3));
    }
    rig.expect(&[]);
    rig.append("a.log", "\n");
    rig.settle();
    rig.expect(&["xxxxx"]);
}

#[test]
fn long_lines_are_cut_and_stop_nothing() {
    let mut rig = Rig::with(&["*.log"], |o| o.max_line_bytes = 100);
    let long = "y".repeat(1000);
    rig.append("a.log", format!("a\n{long}\r\nb\n{}\n{}\nc\n", "z".repeat(100), "w".repeat(101)));
    rig.settle();
    rig.expect(&["a", &"y".repeat(100), "b", &"z".repeat(100), &"w".repeat(100), "c"]);
    let status = rig.status();
    assert_eq!((status.cut_events, status.cut_bytes), (2, 901));
    let blocks = rig.fake.blocks.lock().unwrap();
    let cut: Vec<_> =
        blocks.iter().filter(|(b, _)| b.flags.has(RunFlags::CUT)).map(|(b, _)| (b.source_start, b.source_end, b.count)).collect();
    assert_eq!(cut, [(2, 1004, 1), (1107, 1209, 1)]);
}

#[test]
fn a_line_longer_than_any_buffer_is_cut_whether_it_ends_or_not() {
    let mut rig = Rig::with(&["*.log"], |o| o.max_line_bytes = 300_000);
    rig.append("a.log", "a\n");
    for _ in 0..40 {
        rig.append("a.log", "y".repeat(50_000));
        rig.settle();
    }
    rig.expect(&["a"]);
    rig.append("a.log", "\nb\n");
    rig.append("a.log", format!("{}\n", "q".repeat(299_999)));
    rig.append("a.log", "z".repeat(500_000));
    rig.settle();
    rig.expect(&["a", &"y".repeat(300_000), "b", &"q".repeat(299_999)]);
    rig.pass(Duration::from_secs(6));
    rig.append("a.log", "\nc\n");
    rig.settle();
    rig.expect(&["a", &"y".repeat(300_000), "b", &"q".repeat(299_999), &"z".repeat(300_000), "c"]);
    assert_eq!((rig.status().cut_events, rig.status().cut_bytes), (2, 1_700_000 + 200_000));
}

#[test]
fn nul_and_binary_bytes_survive_and_are_flagged() {
    let mut rig = Rig::new(&["*.log"]);
    let files: [(&str, &[u8], u32); 5] = [
        ("a.log", b"nul \0 byte\n", RunFlags::UTF8),
        ("b.log", b"\xff\xfe broken\n", 0),
        ("c.log", "clean é\r\n".as_bytes(), RunFlags::UTF8 | RunFlags::JSON_CLEAN),
        ("d.log", b"a \"quote\"\n", RunFlags::UTF8),
        ("e.log", b"lone \r here\n", RunFlags::UTF8),
    ];
    for (name, bytes, _) in files {
        rig.append(name, bytes);
    }
    rig.settle();
    let blocks = rig.fake.blocks.lock().unwrap();
    for (name, bytes, flags) in files {
        let (block, _) = blocks.iter().find(|(_, s)| s.path == rig.path(name)).unwrap();
        assert_eq!((&block.data[..], block.flags), (bytes, RunFlags(flags)), "{name}");
    }
}

#[test]
fn equal_content_in_two_files_is_two_streams() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", "same\n");
    rig.append("b.log", "same\n");
    rig.settle();
    rig.expect(&["same", "same"]);
    let specs = rig.fake.specs();
    assert_ne!(specs[0].key, specs[1].key);
}

#[test]
fn start_at_end_holds_for_what_is_there_at_the_very_first_start_only() {
    let mut rig = Rig::with(&["*.log"], |o| o.start_at = StartAt::End);
    rig.append("a.log", "old\nhalf");
    rig.settle();
    rig.append("a.log", " whole\n");
    rig.append("b.log", "later\n");
    rig.settle();
    rig.expect_sorted(&["half whole", "later"]);
    rig.kill(usize::MAX);
    rig.append("c.log", "between\n");
    rig.start();
    rig.settle();
    rig.expect_sorted(&["between", "half whole", "later"]);
}

#[test]
fn old_and_excluded_files_are_left_alone_until_they_change() {
    let mut rig = Rig::with(&["*.log"], |o| {
        o.ignore_older = Some(Duration::from_secs(3600));
        o.exclude = vec!["*.debug.log".into()];
    });
    rig.append("a.log", "old\n");
    rig.append("x.debug.log", "no\n");
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(7200);
    std::fs::File::options().append(true).open(rig.path("a.log")).unwrap().set_modified(long_ago).unwrap();
    rig.settle();
    rig.expect(&[]);
    rig.append("a.log", "new\n");
    rig.settle();
    rig.expect(&["old", "new"]);
}

#[test]
fn a_head_grows_with_the_file_and_vouches_for_it() {
    let mut rig = Rig::new(&["*.log"]);
    for i in 0..30 {
        rig.append("a.log", format!("{i:02} {}\n", "x".repeat(60)));
        rig.settle();
    }
    let head = rig.fake.specs()[0].head;
    let bytes = std::fs::read(rig.path("a.log")).unwrap();
    assert_eq!(head.len, 1024);
    assert!(head.matches(&bytes));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Whatever the bytes, the sizes of the writes, and where the process is killed: each line once, in order.
    #[test]
    fn any_bytes_in_any_portions(
        portions in prop::collection::vec(prop::collection::vec(prop_oneof![3 => Just(b'\n'), 1 => Just(b'\r'), 6 => any::<u8>()], 0..80), 1..12),
        max in 1usize..60,
        kills in prop::collection::vec(0usize..30, 0..3),
    ) {
        let mut rig = Rig::with(&["*.log"], |o| o.max_line_bytes = max);
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
        let mut want = Vec::new();
        let mut at = 0u64;
        for line in all.split_inclusive(|b| *b == b'\n') {
            if line.ends_with(b"\n") {
                let body = line.strip_suffix(b"\r\n").or(line.strip_suffix(b"\n")).unwrap();
                let kept = if body.len() > max { &body[..Encoding::UTF8.cut(body, max)] } else { body };
                want.push((at, kept.to_vec()));
            }
            at += line.len() as u64;
        }
        let got: Vec<_> = rig.fake.events().into_iter().map(|e| (e.1, e.2)).collect();
        prop_assert_eq!(got, want);
    }
}
