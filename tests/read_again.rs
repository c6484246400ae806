//! The real binary on a queue whose files were damaged: what is lost is named, and read again from the log files.

mod common;

use common::{Agent, Bench, assert_exactly, elasticsearch_sink, lines};
use forebay::demo::receiver::{Mode, Receiver};
use std::fs;
use std::path::PathBuf;

/// Segments of the one topic, in order.
fn segments(bench: &Bench) -> Vec<PathBuf> {
    let topics = fs::read_dir(bench.path("state/topics")).unwrap().flatten();
    let topic = topics.map(|e| e.path()).find(|p| !p.ends_with("dead-letter")).unwrap();
    let mut found: Vec<_> = fs::read_dir(topic.join("0")).unwrap().flatten().map(|e| e.path()).collect();
    found.retain(|p| p.extension().is_some_and(|e| e == "seg"));
    found.sort();
    found
}

/// Where the record batches of a segment begin.
fn headers(bytes: &[u8]) -> Vec<usize> {
    (4096..bytes.len().saturating_sub(64)).step_by(8).filter(|at| &bytes[*at..*at + 4] == b"FBB1").collect()
}

/// Writes rounds of lines while the receiver is down, until all are in the queue.
fn queued(bench: &Bench, rounds: u32) -> Agent {
    let mut agent = bench.start();
    for round in 0..rounds {
        bench.append("app.log", lines(round * 1_000..(round + 1) * 1_000));
        let end = u64::from(round + 1) * 1_000;
        agent.wait_status("it is queued", |s| s.queue.partitions.iter().map(|p| p.durable_offset).sum::<u64>() >= end);
    }
    agent
}

fn damage(bench: &Bench) {
    let path = &segments(bench)[0];
    let mut bytes = fs::read(path).unwrap();
    // Batches of lines: that of a file's first sight is shorter.
    let at: Vec<usize> = headers(&bytes).windows(2).filter(|w| w[1] - w[0] > 5_000).map(|w| w[0]).collect();
    // A payload, and a header.
    bytes[at[1] + 500] ^= 1;
    bytes[at[4] + 17] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn flipped_bytes_in_the_queue_cost_no_line() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    receiver.set(Mode::Down);
    queued(&bench, 8).kill();
    damage(&bench);
    receiver.set(Mode::Up);
    let mut agent = bench.start();
    agent.wait_for("all is shipped", || receiver.account(|a| a.documents().len() >= 8_000));
    let status = agent.wait_status("nothing is open", |s| s.queue.losses.get("damaged").is_some_and(|l| l.wanted_bytes == 0));
    let damaged = &status.queue.losses["damaged"];
    assert!(damaged.events >= 1_000 && damaged.gone_bytes == 0 && damaged.gone_events == 0, "{damaged:?}");
    assert_eq!(damaged.read_again_events, damaged.events);
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_exactly(&receiver, &lines(0..8_000));
    let log = agent.log();
    assert!(log.contains("were damaged in the queue and have been read again from the file"), "{log}");
    assert!(fs::read_dir(bench.path("state/quarantine")).unwrap().count() >= 2);
}

#[test]
fn a_deleted_segment_and_a_kill_before_it_is_read_again_cost_no_line() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "queue: {segment_bytes: 1MiB, batch_size: 64KiB}");
    receiver.set(Mode::Down);
    queued(&bench, 40).kill();
    let segments = segments(&bench);
    assert!(segments.len() >= 3, "{segments:?}");
    fs::remove_file(&segments[1]).unwrap();
    receiver.set(Mode::Up);
    for _ in 0..3 {
        let mut agent = bench.start();
        agent.wait_for("the hole is on record", || bench.path("state/losses").exists());
        agent.kill();
    }
    let mut agent = bench.start();
    agent.wait_for("all is shipped", || receiver.account(|a| a.documents().len() >= 40_000));
    agent.wait_status("nothing is open", |s| s.queue.losses.values().all(|l| l.wanted_bytes == 0 && l.gone_bytes == 0));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_exactly(&receiver, &lines(0..40_000));
}

#[test]
fn what_the_file_no_longer_has_is_told_and_counted() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    receiver.set(Mode::Down);
    queued(&bench, 8).kill();
    damage(&bench);
    fs::remove_file(bench.log("app.log")).unwrap();
    receiver.set(Mode::Up);
    let mut agent = bench.start();
    let status = agent.wait_status("it is given up", |s| {
        s.sinks["search"].lag_events == 0 && s.queue.losses.get("damaged").is_some_and(|l| l.gone_bytes > 0 && l.wanted_bytes == 0)
    });
    let gone = status.queue.losses["damaged"].gone_events;
    receiver.account(|a| assert_eq!(a.documents().len() as u64 + gone, 8_000));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert!(agent.log().contains("are lost: the file is not there any more"), "{}", agent.log());
}
