//! The real thread: wake-ups, drain and stop.

use super::rig::{Fake, append};
use crate::source::file::{FileOptions, FileSources, Joining, Multiline, SourceError};
use std::time::{Duration, Instant};

fn wait_for(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is() {
        assert!(Instant::now() < until, "{what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn options(dir: &std::path::Path) -> FileOptions {
    FileOptions { name: "app".into(), include: vec![format!("{}/*.log", dir.display())], ..FileOptions::default() }
}

#[test]
fn follows_drains_and_stops() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new();
    append(&dir.path().join("a.log"), b"1\n");
    let sources = FileSources::start(vec![options(dir.path())], "agent".into(), fake.clone()).unwrap();
    wait_for("the first line", || fake.lines() == ["1"]);
    append(&dir.path().join("a.log"), b"2\n");
    wait_for("the second line", || fake.lines().len() == 2);
    append(&dir.path().join("a.log"), b"3\n4");
    assert!(sources.drain(Instant::now() + Duration::from_secs(60)));
    assert_eq!(fake.lines(), ["1", "2", "3"]);
    assert_eq!(sources.status()["app"].read_events, 3);
    sources.stop();
}

#[test]
fn a_drain_against_a_full_queue_says_that_something_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new();
    fake.full.store(true, std::sync::atomic::Ordering::Relaxed);
    append(&dir.path().join("a.log"), b"1\n");
    let sources = FileSources::start(vec![options(dir.path())], "agent".into(), fake.clone()).unwrap();
    assert!(!sources.drain(Instant::now() + Duration::from_millis(50)));
    sources.stop();
    assert!(fake.lines().is_empty());
}

#[test]
fn a_bad_pattern_is_an_error_at_start() {
    let bad = FileOptions {
        multiline: Some(Multiline {
            joining: Joining::Patterns { start: Some("(".into()), proceed: None, end: None },
            max_lines: 1,
            max_bytes: None,
            timeout: Duration::ZERO,
        }),
        ..options(std::path::Path::new("/nowhere"))
    };
    let error = FileSources::start(vec![bad], "agent".into(), Fake::new()).err().unwrap();
    assert!(matches!(error, SourceError::Pattern { .. }));
    assert!(error.to_string().starts_with("source app: multiline.start_pattern `(` is not a regular expression:"));
}

#[test]
fn a_storm_of_renames_under_a_running_writer_loses_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new();
    let path = |name: &str| dir.path().join(name);
    append(&path("a.log"), b"line 00000000\n");
    let sources = FileSources::start(vec![options(dir.path())], "agent".into(), fake.clone()).unwrap();
    wait_for("the first line", || fake.lines().len() == 1);
    let (until, mut next, mut rotated) = (Instant::now() + Duration::from_secs(1), 1u32, 0u32);
    let mut file = std::fs::OpenOptions::new().append(true).open(path("a.log")).unwrap();
    while Instant::now() < until {
        let lines: String = (next..next + 10).map(|i| format!("line {i:08}\n")).collect();
        next += 10;
        let (first, second) = lines.as_bytes().split_at(lines.len() / 3);
        std::io::Write::write_all(&mut file, first).unwrap();
        if next % 300 == 1 {
            // The writer goes on in the renamed file for a moment, as one that waits for its signal.
            rotated += 1;
            std::fs::rename(path("a.log"), path(&format!("a.log.{rotated}"))).unwrap();
            std::io::Write::write_all(&mut file, second).unwrap();
            file = std::fs::OpenOptions::new().append(true).create(true).open(path("a.log")).unwrap();
        } else {
            std::io::Write::write_all(&mut file, second).unwrap();
        }
    }
    assert!(sources.drain(Instant::now() + Duration::from_secs(60)));
    sources.stop();
    let mut got: Vec<u32> = fake.lines().iter().map(|l| l[5..].parse().unwrap()).collect();
    got.sort_unstable();
    assert_eq!(got.len(), next as usize, "{rotated} rotations");
    assert!(got.into_iter().eq(0..next));
}
