//! What is gone before it was read is put on record, and foreseen.

use super::rig::Rig;
use crate::queue::Cause;
use std::fs;
use std::time::Duration;

#[test]
fn a_truncation_of_unread_bytes_is_on_record_once_the_queue_takes_it() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", "one\n");
    rig.settle();
    rig.fake.full.store(true, std::sync::atomic::Ordering::Relaxed);
    rig.append("a.log", "two\nthree\n");
    rig.pass(Duration::from_secs(1));
    fs::File::create(rig.path("a.log")).unwrap();
    rig.pass(Duration::from_secs(1));
    assert!(rig.fake.unread.lock().unwrap().is_empty());
    rig.fake.full.store(false, std::sync::atomic::Ordering::Relaxed);
    rig.pass(Duration::from_secs(10));
    rig.pass(Duration::from_secs(1));
    let unread = rig.fake.unread.lock().unwrap();
    let [lost] = &unread[..] else { panic!("{unread:?}") };
    assert_eq!((lost.cause, lost.bytes.clone(), lost.generation), (Cause::TruncatedUnread, 4..14, 0));
    assert_eq!((lost.path.clone(), lost.stream.is_some()), (rig.path("a.log"), true));
}

#[test]
fn a_file_that_a_listing_misses_while_it_is_renamed_is_not_lost() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", "one\n");
    fs::create_dir(rig.path("unseen")).unwrap();
    // Found, but not opened yet.
    let now = rig.now;
    rig.tailer().scan(now);
    rig.rename("a.log", "unseen/a.log");
    rig.settle();
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.status().lost_bytes, 0);
    // As if it had been here all the time.
    rig.rename("unseen/a.log", "a.log.1");
    rig.pass(Duration::from_secs(20));
    rig.expect(&["one"]);
    assert_eq!((rig.status().lost_bytes, rig.status().files), (0, 1));
}

#[test]
fn a_file_that_loses_one_of_two_names_is_read_by_the_other() {
    for opened in [false, true] {
        let mut rig = Rig::new(&["*.log"]);
        rig.append("a.log", "one\n");
        fs::hard_link(rig.path("a.log"), rig.path("b.log")).unwrap();
        let now = rig.now;
        rig.tailer().scan(now);
        if opened {
            rig.settle();
        }
        // Whichever of them it is followed by.
        let at = rig.tailer().files.values().next().unwrap().at.clone().unwrap();
        fs::remove_file(&at).unwrap();
        rig.pass(Duration::from_secs(30));
        rig.expect(&["one"]);
        let other = if at.ends_with("a.log") { "b.log" } else { "a.log" };
        rig.append(other, "two\n");
        rig.pass(Duration::from_secs(30));
        rig.expect(&["one", "two"]);
        assert_eq!((rig.status().lost_bytes, rig.status().files), (0, 1), "opened {opened}");
        let left = rig.path(other);
        assert_eq!(rig.tailer().files.values().next().unwrap().at.as_deref(), Some(&*left), "opened {opened}");
    }
}

#[test]
fn what_is_deleted_before_it_could_be_opened_is_told_once_it_is_surely_gone() {
    for drains in [false, true] {
        let mut rig = Rig::new(&["*.log"]);
        rig.append("a.log", "one\n");
        let now = rig.now;
        rig.tailer().scan(now);
        fs::remove_file(rig.path("a.log")).unwrap();
        if drains {
            rig.tailer().begin_drain(now);
            rig.settle();
            assert!(rig.tailer().drained());
        } else {
            rig.pass(Duration::from_secs(10));
        }
        assert_eq!((rig.status().lost_bytes, rig.status().files), (4, 0), "drains {drains}");
        let unread = rig.fake.unread.lock().unwrap();
        let [lost] = &unread[..] else { panic!("{unread:?}") };
        assert_eq!((lost.cause, lost.bytes.clone(), lost.path.clone()), (Cause::DeletedUnread, 0..4, rig.path("a.log")));
    }
}

#[test]
fn rotation_that_is_faster_than_reading_is_foreseen_and_the_danger_ends() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", "one\n");
    rig.pass(Duration::from_secs(1));
    // Each generation lasts for 20 s after it lost the name, as the first one shows.
    rig.rename("a.log", "a.log.1");
    rig.append("a.log", "two\n");
    for _ in 0..10 {
        rig.pass(Duration::from_secs(6));
    }
    fs::remove_file(rig.path("a.log.1")).unwrap();
    for _ in 0..4 {
        rig.pass(Duration::from_secs(6));
    }
    assert_eq!(rig.status().seconds_to_loss, None);
    // The next one cannot be read.
    rig.fake.full.store(true, std::sync::atomic::Ordering::Relaxed);
    rig.append("a.log", "three\n".repeat(1000));
    rig.pass(Duration::from_secs(6));
    rig.rename("a.log", "a.log.1");
    for _ in 0..4 {
        rig.pass(Duration::from_secs(6));
    }
    let seconds = rig.status().seconds_to_loss.expect("a danger");
    assert!(seconds > 0.0 && seconds < 120.0, "{seconds}");
    rig.fake.full.store(false, std::sync::atomic::Ordering::Relaxed);
    for _ in 0..4 {
        rig.pass(Duration::from_secs(6));
    }
    assert_eq!(rig.status().seconds_to_loss, None);
}
