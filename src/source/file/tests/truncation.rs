//! Truncation, copies, reused inodes, and log files that lost their end in a power cut.

use super::rig::Rig;
use crate::queue::{FileIdentity, StreamSpec};
use std::fs::{self, OpenOptions};
use std::time::Duration;

fn truncate(rig: &Rig, name: &str, len: u64) {
    OpenOptions::new().write(true).open(rig.path(name)).unwrap().set_len(len).unwrap();
}

/// Lines of some length, so that a fingerprint is full after a few dozen.
fn lines(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|i| format!("line {i:05} {}", "x".repeat(40))).collect()
}

fn text(lines: &[String]) -> String {
    lines.iter().map(|l| format!("{l}\n")).collect()
}

#[test]
fn a_truncated_file_begins_a_generation() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", "same\nother\n");
    rig.settle();
    truncate(&rig, "a.log", 0);
    rig.append("a.log", "same\n");
    rig.settle();
    rig.expect(&["same", "other", "same"]);
    let specs = rig.fake.specs();
    assert_eq!((specs[0].generation, specs[1].generation), (0, 1));
    assert_ne!(specs[0].key, specs[1].key, "the same line after a truncation is another event");
    assert_eq!(rig.status().truncations, 1);
    for keep in 1..=2 {
        let mut again = Rig::new(&["*.log"]);
        again.append("a.log", "same\nother\n");
        again.settle();
        truncate(&again, "a.log", 0);
        again.append("a.log", "same\n");
        again.settle();
        again.kill(keep);
        again.start();
        again.settle();
        again.expect(&["same", "other", "same"]);
    }
}

#[test]
fn unread_bytes_that_are_truncated_away_are_counted() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", "1\n");
    rig.settle();
    rig.fake.full.store(true, std::sync::atomic::Ordering::Relaxed);
    rig.append("a.log", "lost\n");
    rig.settle();
    truncate(&rig, "a.log", 0);
    rig.fake.full.store(false, std::sync::atomic::Ordering::Relaxed);
    rig.settle();
    rig.append("a.log", "2\n");
    rig.settle();
    rig.expect(&["1", "2"]);
    let status = rig.status();
    assert_eq!((status.lost_bytes, status.truncations), (5, 1));
    insta::assert_snapshot!(
        status.last_error.replace(rig.dir.path().to_str().unwrap(), "DIR"),
        @"5 bytes of DIR/a.log were truncated away before they were read"
    );
}

#[test]
fn a_file_that_regrew_past_the_position_is_seen() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", "short\n");
    rig.settle();
    truncate(&rig, "a.log", 0);
    rig.append("a.log", "much longer than before\nand more\n");
    rig.settle();
    rig.expect(&["short", "much longer than before", "and more"]);
    truncate(&rig, "a.log", 0);
    rig.append("a.log", "as long as it was, this\nand MORE\n");
    rig.settle();
    assert_eq!(rig.fake.lines()[3..], ["as long as it was, this", "and MORE"]);
    // The same while the agent is dead.
    rig.kill(usize::MAX);
    truncate(&rig, "a.log", 0);
    rig.append("a.log", format!("{}\n", "z".repeat(500)));
    rig.start();
    rig.settle();
    assert_eq!(rig.fake.lines()[5..], ["z".repeat(500)]);
}

#[test]
fn a_copy_is_not_read_and_saves_what_was_truncated_unread() {
    for globs in [["*.log"], ["*.log*"]] {
        let mut rig = Rig::new(&globs);
        rig.append("a.log", "1\n2\n");
        rig.settle();
        rig.copytruncate("a.log", "a.log.1");
        rig.append("a.log", "3\n");
        rig.settle();
        rig.pass(Duration::from_secs(20));
        rig.expect(&["1", "2", "3"]);
        // Now some of it is unread when it is copied and truncated.
        rig.append("a.log", "4\n");
        rig.copytruncate("a.log", "a.log.1");
        rig.append("a.log", "5\n");
        rig.settle();
        rig.pass(Duration::from_secs(20));
        rig.expect_sorted(&["1", "2", "3", "4", "5"]);
        assert_eq!(rig.status().lost_bytes, 0);
        rig.kill(usize::MAX);
        rig.start();
        rig.settle();
        rig.expect_sorted(&["1", "2", "3", "4", "5"]);
    }
}

#[test]
fn a_copy_in_the_making_is_not_read() {
    let mut rig = Rig::new(&["*.log*"]);
    let all = text(&lines(0..100));
    rig.append("a.log", &all);
    rig.settle();
    let mut at = 0;
    for upto in [0, 10, 700, 1500, all.len()] {
        rig.append("a.log.1", &all[at..upto]);
        at = upto;
        rig.settle();
    }
    truncate(&rig, "a.log", 0);
    rig.settle();
    rig.append("a.log", "new\n");
    rig.settle();
    rig.pass(Duration::from_secs(20));
    assert_eq!(rig.fake.lines().len(), 101);
}

#[test]
fn a_related_name_with_the_same_first_line_is_read_when_it_differs() {
    let mut rig = Rig::new(&["*.log*"]);
    rig.append("a.log", "banner\n");
    rig.settle();
    rig.append("a.log.err", "banner\n");
    rig.settle();
    rig.append("a.log", "one\n");
    rig.append("a.log.err", "two, longer\n");
    rig.settle();
    rig.expect_sorted(&["banner", "banner", "one", "two, longer"]);
}

#[test]
fn copy_and_truncate_while_the_agent_is_dead_lose_and_double_nothing() {
    for globs in [["*.log"], ["*.log*"]] {
        for keep in 1..=2 {
            let mut rig = Rig::new(&globs);
            rig.append("a.log", "1\n");
            rig.settle();
            rig.append("a.log", "2\n");
            rig.settle();
            rig.kill(keep);
            rig.append("a.log", "3\n");
            rig.copytruncate("a.log", "a.log.1");
            rig.append("a.log", "4\n");
            rig.start();
            rig.settle();
            rig.pass(Duration::from_secs(20));
            rig.expect_sorted(&["1", "2", "3", "4"]);
            let last = rig.fake.len();
            for keep in keep..=last {
                rig.kill(keep);
                rig.start();
                rig.settle();
                rig.pass(Duration::from_secs(20));
                rig.expect_sorted(&["1", "2", "3", "4"]);
            }
        }
    }
}

#[test]
fn a_reused_inode_is_another_file() {
    // As on a file system without birth times.
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", "old\n");
    rig.settle();
    rig.append("a.log", "");
    let (mut block, spec) = rig.fake.blocks.lock().unwrap()[0].clone();
    let file = spec.file.map(|f| FileIdentity { born_ns: 0, device: 77, ..f });
    let spec = StreamSpec { file, path: rig.path("gone.log"), ..spec };
    block.source_end = 4;
    truncate(&rig, "a.log", 0);
    rig.append("a.log", "a new file with the inode of the old one\n");
    rig.tailer = None;
    rig.fake = super::rig::Fake::with(vec![(block, spec)], Vec::new());
    rig.start();
    rig.settle();
    rig.expect(&["old", "a new file with the inode of the old one"]);
    assert_eq!(rig.fake.specs()[1].path, rig.path("a.log"));
    assert_eq!(rig.status().truncations, 0);
}

#[test]
fn a_file_that_lost_its_end_in_a_power_cut_goes_on_where_it_was_kept() {
    let mut rig = Rig::new(&["*.log"]);
    let all = lines(0..3000);
    rig.append("a.log", text(&all));
    rig.settle();
    rig.kill(usize::MAX);
    truncate(&rig, "a.log", 100_000);
    rig.append("a.log", "after the cut\n");
    // Shorter than what was read, the same beginning: it goes on at the last byte that surely was kept. What was kept
    // behind it cannot be told from what came since: rather a few lines twice than any lost.
    let before = fs::metadata(rig.path("a.log")).unwrap().len();
    rig.start();
    rig.settle();
    let (read, first) = (rig.fake.lines(), rig.fake.events()[3000].1);
    assert!(read.len() < 3250 && read.last().unwrap().ends_with("after the cut"), "{}", read.len());
    assert!(first < 100_000 && first + 12_000 > 100_000, "{first}");
    rig.append("a.log", "next\n");
    rig.settle();
    assert_eq!(rig.fake.events().last().unwrap().1, before);
    assert_eq!(rig.fake.specs().len(), 2);
    assert_eq!(rig.status().truncations, 1);
}
