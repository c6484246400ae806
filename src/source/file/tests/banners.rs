//! Programs that say the same at each start, into logs that are truncated or made anew: all of it is read each time. And
//! what is put back of a log that was read is not sent again.

use super::rig::Rig;
use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// As Spring Boot and others print: distinct lines without times, 3 KiB.
fn banner() -> String {
    (0..60).map(|n| format!("  {n:02} .   ____  :: module {} :: (v3.{}.1) {}\n", n * 7919 % 97, n % 9, "=".repeat(n % 31))).collect()
}

/// A run of a program that says so many lines of its own.
fn run(number: u32, lines: u32) -> String {
    banner() + &(0..lines).map(|n| format!("run {number} says {n:06}\n")).collect::<String>()
}

#[track_caller]
fn expect(rig: &Rig, text: &str, what: &str) {
    let mut counts = HashMap::<String, i32>::new();
    rig.fake.lines().into_iter().for_each(|line| *counts.entry(line).or_default() += 1);
    text.lines().for_each(|line| *counts.entry(line.to_owned()).or_default() -= 1);
    let mut differs: Vec<_> = counts.into_iter().filter(|(_, n)| *n != 0).collect();
    differs.sort();
    assert!(differs.is_empty(), "{what}: too often (or, below 0, too seldom): {:?}", &differs[..differs.len().min(5)]);
}

/// How a program's log begins anew.
type Begin = fn(&Rig);

fn truncate(rig: &Rig) {
    fs::write(rig.path("a.log"), "").unwrap();
}

fn make_anew(rig: &Rig) {
    fs::remove_file(rig.path("a.log")).unwrap();
}

fn rename_away(rig: &Rig) {
    rig.rename("a.log", "a.log.1");
}

fn copy_and_truncate(rig: &Rig) {
    rig.copytruncate("a.log", "a.log.1");
}

#[test]
fn a_banner_that_is_said_again_is_read_again() {
    let ways: [(&str, Begin); 4] =
        [("truncation", truncate), ("delete and create", make_anew), ("rename", rename_away), ("copy and truncate", copy_and_truncate)];
    for (name, begin) in ways {
        for (glob, dead) in [("*.log", true), ("*.log", false), ("*.log*", true), ("*.log*", false)] {
            // The second run says less than the first, and the third more.
            let runs = [run(1, 200), run(2, 100), run(3, 400)];
            let mut rig = Rig::new(&[glob]);
            rig.append("a.log", &runs[0]);
            rig.settle();
            for next in &runs[1..] {
                if dead {
                    rig.kill(usize::MAX);
                }
                begin(&rig);
                rig.append("a.log", next);
                if dead {
                    rig.start();
                }
                rig.settle();
                rig.pass(Duration::from_secs(20));
            }
            expect(&rig, &runs.concat(), &format!("{name} {glob} dead {dead}"));
            assert_eq!((rig.status().kept_bytes, rig.status().lost_bytes), (0, 0), "{name} {glob} dead {dead}");
        }
    }
}

#[test]
fn a_program_that_dies_behind_its_banner_says_it_again() {
    for dead in [true, false] {
        let mut rig = Rig::new(&["*.log"]);
        rig.append("a.log", banner());
        rig.settle();
        if dead {
            rig.kill(usize::MAX);
        }
        make_anew(&rig);
        rig.append("a.log", run(2, 10));
        if dead {
            rig.start();
        }
        rig.pass(Duration::from_secs(20));
        expect(&rig, &(banner() + &run(2, 10)), &format!("dead {dead}"));
    }
}

#[test]
fn a_large_log_that_is_put_back_whole_is_not_sent_again() {
    for (dead, in_place) in [(true, true), (true, false), (false, true), (false, false)] {
        let what = format!("dead {dead} in place {in_place}");
        let mut rig = Rig::new(&["*.log"]);
        let all = run(1, 10_000);
        rig.append("a.log", &all);
        rig.settle();
        if dead {
            rig.kill(usize::MAX);
        }
        if in_place {
            fs::write(rig.path("a.log"), all.clone() + "more\n").unwrap();
        } else {
            fs::write(rig.path("backup"), all.clone() + "more\n").unwrap();
            rig.rename("backup", "a.log");
        }
        if dead {
            rig.start();
        }
        rig.pass(Duration::from_secs(20));
        expect(&rig, &(all.clone() + "more\n"), &what);
        // It was another file, but none that was truncated; written over with itself, it is the same.
        let kept = if in_place { 0 } else { all.len() as u64 };
        assert_eq!((rig.status().kept_bytes, rig.status().truncations), (kept, 0), "{what}");
    }
}
