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
