//! Files that were looked at and of which nothing was durable yet when the agent was killed, and what is taken for a
//! generation that nobody saw.

use super::compressed::compress;
use super::rig::Rig;
use crate::source::file::StartAt;
use std::fs;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

const GLOBS: [&str; 2] = ["*.log", "*.log*"];

/// So many lines that a fingerprint proves something.
fn lines(range: std::ops::Range<u32>) -> String {
    range.map(|n| format!("line {n:05} of a log\n")).collect()
}

#[track_caller]
fn expect(rig: &Rig, text: &str) {
    let mut want: Vec<&str> = text.lines().collect();
    want.sort_unstable();
    rig.expect_sorted(&want);
}

#[test]
fn a_file_that_was_looked_at_is_found_again_whatever_its_name_is_then() {
    for (glob, keep) in GLOBS.into_iter().flat_map(|g| [(g, "full"), (g, "empty"), (g, "partial")]) {
        let mut rig = Rig::new(&[glob]);
        rig.fake.full.store(keep == "full", Relaxed);
        rig.append("a.log", if keep == "partial" { "li" } else { "" });
        if keep == "full" {
            rig.append("a.log", "line 1\n");
        }
        rig.settle();
        assert_eq!(rig.fake.announced.lock().unwrap().len(), 1, "{glob} {keep}");
        rig.kill(0);
        rig.append(
            "a.log",
            match keep {
                "full" => "line 2\n",
                "empty" => "line 1\nline 2\n",
                _ => "ne 1\nline 2\n",
            },
        );
        rig.rename("a.log", "a.log.1");
        rig.append("a.log", "line 3\n");
        rig.start();
        rig.settle();
        rig.pass(Duration::from_secs(20));
        rig.expect_sorted(&["line 1", "line 2", "line 3"]);
        let specs = rig.fake.specs();
        assert!(specs.iter().all(|s| s.key != 0 && s.path == rig.path("a.log") && s.generation == 0), "{specs:?}");
        for _ in 0..2 {
            rig.kill(usize::MAX);
            rig.start();
            rig.pass(Duration::from_secs(20));
            rig.expect_sorted(&["line 1", "line 2", "line 3"]);
        }
    }
}

#[test]
fn what_was_looked_at_is_found_again_as_a_copy_and_compressed() {
    for glob in GLOBS {
        let mut rig = Rig::new(&[glob]);
        rig.fake.full.store(true, Relaxed);
        rig.append("a.log", lines(0..100));
        rig.append("b.log", lines(200..300));
        rig.settle();
        rig.kill(0);
        rig.append("a.log", lines(100..150));
        rig.copytruncate("a.log", "a.log.1");
        rig.append("a.log", lines(150..200));
        rig.rename("b.log", "b.log.1");
        compress(&rig.path("b.log.1"), &rig.path("b.log.1.gz"));
        rig.append("b.log", lines(300..310));
        rig.start();
        rig.settle();
        rig.pass(Duration::from_secs(30));
        expect(&rig, &lines(0..310));
    }
}

#[test]
fn a_copy_that_is_truncated_away_while_the_queue_is_full_is_read() {
    let mut rig = Rig::new(&["*.log"]);
    rig.fake.full.store(true, Relaxed);
    rig.append("a.log", lines(0..100));
    rig.settle();
    rig.copytruncate("a.log", "a.log.1");
    rig.append("a.log", "new\n");
    rig.fake.full.store(false, Relaxed);
    rig.settle();
    rig.pass(Duration::from_secs(30));
    expect(&rig, &(lines(0..100) + "new\n"));
}

#[test]
fn what_can_be_read_at_once_costs_no_record_of_its_own() {
    let mut rig = Rig::new(&["*.log"]);
    // On a machine that is busy, twenty files may be more than a round.
    rig.tailer().round = Duration::from_secs(3600);
    for n in 0..20 {
        rig.append(&format!("{n}.log"), "line\n");
    }
    rig.settle();
    assert_eq!((rig.fake.len(), rig.fake.announced.lock().unwrap().len()), (20, 0));
}

#[test]
fn a_source_that_begins_at_the_end_begins_there_once() {
    let mut rig = Rig::with(&["*.log"], |o| o.start_at = StartAt::End);
    rig.append("a.log", "before\n");
    rig.start();
    rig.settle();
    rig.kill(0);
    rig.append("a.log", "while it was down\n");
    rig.start();
    rig.settle();
    rig.expect(&["while it was down"]);
}

#[test]
fn what_was_born_after_its_source_was_followed_is_missed_and_what_was_before_is_not() {
    for glob in GLOBS {
        let mut rig = Rig::new(&[glob]);
        if glob == "*.log" {
            rig.append("old.log.1", "rotated before the first start\n");
            std::thread::sleep(Duration::from_millis(50));
            rig.start();
        }
        rig.append("a.log", "1\n");
        rig.settle();
        rig.kill(usize::MAX);
        // Another log of the source comes and goes.
        rig.append("old.log", "2\n");
        rig.rename("old.log", "old.log.2");
        rig.append("old.log", "3\n");
        rig.append("a.log-errors", "another log\n");
        rig.rename("a.log", "a.log.1");
        rig.append("a.log", "4\n");
        rig.start();
        rig.pass(Duration::from_secs(20));
        let all = ["1", "2", "3", "4", "another log"];
        rig.expect_sorted(if glob == "*.log" { &all[..4] } else { &all });
        rig.kill(usize::MAX);
        rig.start();
        rig.pass(Duration::from_secs(20));
        rig.expect_sorted(if glob == "*.log" { &all[..4] } else { &all });
    }
}

#[test]
fn what_is_as_old_as_the_clock_of_the_file_system_can_tell_is_missed() {
    // Births are stamped with a clock that stands still for some milliseconds: a generation may seem to be born before its source.
    for attempt in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let born = SystemTime::now();
        fs::write(dir.path().join("a.log.1"), "rotated at once\n").unwrap();
        let mut rig = Rig::new(&["*.log"]);
        if born.elapsed().unwrap() > Duration::from_millis(10) {
            assert!(attempt < 1000, "the machine never makes a file and a tailer within 10 ms");
            continue;
        }
        fs::rename(dir.path().join("a.log.1"), rig.path("a.log.1")).unwrap();
        rig.append("a.log", "and on\n");
        rig.pass(Duration::from_secs(20));
        rig.expect_sorted(&["and on", "rotated at once"]);
        return;
    }
}

#[test]
fn a_copy_of_what_was_read_is_no_missed_generation() {
    for glob in GLOBS {
        let mut rig = Rig::new(&[glob]);
        rig.append("a.log", lines(0..300));
        rig.settle();
        rig.kill(usize::MAX);
        rig.rename("a.log", "a.log.1");
        fs::copy(rig.path("a.log.1"), rig.path("a.log.bak")).unwrap();
        fs::remove_file(rig.path("a.log.1")).unwrap();
        rig.append("a.log", lines(300..400));
        rig.start();
        rig.pass(Duration::from_secs(20));
        expect(&rig, &lines(0..400));
        // It goes on where the stream ended: that was in no other file.
        rig.kill(usize::MAX);
        rig.append("a.log.bak", lines(400..500));
        rig.start();
        rig.pass(Duration::from_secs(20));
        expect(&rig, &lines(0..500));
        assert_eq!(rig.fake.specs().len(), 2);
    }
}

#[test]
fn a_restored_file_goes_on_behind_what_was_read_of_it() {
    for (glob, dead) in GLOBS.into_iter().flat_map(|g| [(g, true), (g, false)]) {
        let mut rig = Rig::new(&[glob]);
        rig.append("a.log", lines(0..300));
        rig.settle();
        if dead {
            rig.kill(usize::MAX);
        }
        // The whole of it, with a little more, under another inode.
        fs::copy(rig.path("a.log"), rig.path("backup")).unwrap();
        rig.append("backup", lines(300..310));
        rig.rename("backup", "a.log");
        rig.append("a.log", lines(310..320));
        if dead {
            rig.start();
        }
        rig.pass(Duration::from_secs(20));
        rig.append("a.log", lines(320..330));
        rig.pass(Duration::from_secs(20));
        expect(&rig, &lines(0..330));
        rig.kill(usize::MAX);
        rig.start();
        rig.pass(Duration::from_secs(20));
        expect(&rig, &lines(0..330));
    }
}

#[test]
fn the_same_content_under_unrelated_names_is_two_logs() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", lines(0..100));
    rig.append("b.log", lines(0..100));
    rig.settle();
    assert_eq!(rig.fake.lines().len(), 200);
    let specs = rig.fake.specs();
    assert_ne!(specs[0].key, specs[1].key);
    rig.kill(usize::MAX);
    fs::copy(rig.path("a.log"), rig.path("c.log")).unwrap();
    rig.start();
    rig.settle();
    assert_eq!(rig.fake.lines().len(), 300);
}

/// Lines that came again, and the first that are missing.
fn account(rig: &Rig, lines: u32) -> (usize, Vec<String>) {
    let got = rig.fake.lines();
    let each: std::collections::HashSet<_> = got.iter().collect();
    let missing = (0..lines).map(|n| format!("line {n:05} of a log")).filter(|l| !each.contains(l)).take(3).collect();
    (got.len() - each.len(), missing)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Restore {
    /// Another file gets the name.
    Move,
    /// The same file is written anew.
    Over,
    /// The same file loses its end.
    Truncate,
}

#[test]
fn an_older_copy_that_is_put_back_is_not_sent_again_as_far_as_it_is_known() {
    for how in [Restore::Move, Restore::Over, Restore::Truncate] {
        for (dead, longer) in [(true, false), (false, false), (true, true), (false, true)] {
            let mut rig = Rig::new(&["*.log"]);
            rig.append("a.log", lines(0..5000));
            rig.settle();
            let backup = fs::read(rig.path("a.log")).unwrap();
            rig.append("a.log", lines(5000..6000));
            rig.settle();
            if dead {
                rig.kill(usize::MAX);
            }
            match how {
                Restore::Move => {
                    fs::write(rig.path("backup"), &backup).unwrap();
                    rig.rename("backup", "a.log");
                }
                Restore::Over => fs::write(rig.path("a.log"), &backup).unwrap(),
                Restore::Truncate => fs::File::options().write(true).open(rig.path("a.log")).unwrap().set_len(backup.len() as u64).unwrap(),
            }
            // Other lines come behind it, fewer or more than there were.
            let end = if longer { 8000 } else { 6100 };
            rig.append("a.log", lines(6000..end));
            if dead {
                rig.start();
            }
            rig.settle();
            rig.pass(Duration::from_secs(20));
            let (twice, missing) = account(&rig, end);
            let kept = rig.status().kept_bytes;
            assert!(kept > backup.len() as u64 * 9 / 10 && kept <= backup.len() as u64, "{how:?} dead {dead} longer {longer}: {kept}");
            assert!(missing.is_empty() && twice <= 400, "{how:?} dead {dead} longer {longer}: {twice} twice, {missing:?} missing");
            rig.kill(usize::MAX);
            rig.append("a.log", lines(end..end + 10));
            rig.start();
            rig.pass(Duration::from_secs(20));
            assert_eq!(account(&rig, end + 10), (twice, Vec::new()), "{how:?} dead {dead} longer {longer}");
        }
    }
}

#[test]
fn a_file_that_is_replaced_by_another_is_read_whole() {
    for (dead, other) in [(true, 50), (false, 50), (true, 900), (false, 900)] {
        let mut rig = Rig::new(&["*.log"]);
        rig.append("a.log", lines(0..500));
        rig.settle();
        if dead {
            rig.kill(usize::MAX);
        }
        rig.append("other", lines(500..500 + other));
        rig.rename("other", "a.log");
        if dead {
            rig.start();
        }
        rig.pass(Duration::from_secs(20));
        expect(&rig, &lines(0..500 + other));
    }
}

#[test]
fn a_log_that_always_says_the_same_is_read_whole_in_each_generation() {
    for dead in [true, false] {
        let mut rig = Rig::new(&["*.log"]);
        rig.append("a.log", "tick\n".repeat(1000));
        rig.settle();
        if dead {
            rig.kill(usize::MAX);
        }
        fs::remove_file(rig.path("a.log")).unwrap();
        rig.append("a.log", "tick\n".repeat(1500));
        if dead {
            rig.start();
        }
        rig.pass(Duration::from_secs(20));
        assert_eq!(rig.fake.lines().len(), 2500);
        fs::write(rig.path("a.log"), "tick\n".repeat(700)).unwrap();
        rig.pass(Duration::from_secs(20));
        assert_eq!(rig.fake.lines().len(), 3200);
    }
}
