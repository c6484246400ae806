use super::*;
use crate::admin::{GroupPartition, PartitionStatus, SinkStatus, SourceStatus};
use insta::assert_snapshot;

fn well() -> Status {
    let mut status = Status {
        version: "0.1.0".into(),
        pid: 4711,
        state: "running".into(),
        started_ms: 1_000,
        now_ms: 7_381_000,
        resident_bytes: 32_700_000,
        ..Default::default()
    };
    status.sources.insert(
        "app".into(),
        SourceStatus { files: 3, open_files: 2, read_bytes: 1_300_000_000, read_events: 6_000_000, rotations: 12, ..Default::default() },
    );
    status.queue.state = "ok".into();
    status.queue.disk_bytes = 1_200_000_000;
    status.queue.max_bytes = 10 << 30;
    status.queue.memory_bytes = 3 << 20;
    status.queue.memory_cap = 24 << 20;
    status.queue.syncs = 9_000;
    status.queue.partitions = vec![PartitionStatus {
        topic: "logs".into(),
        partition: 0,
        first_offset: 1_000,
        end_offset: 6_000_010,
        durable_offset: 6_000_000,
        bytes: 1_200_000_000,
        segments: 18,
    }];
    status.sinks.insert(
        "search".into(),
        SinkStatus {
            kind: "elasticsearch".into(),
            state: "sending".into(),
            lag_events: 500,
            lag_bytes: 100_000,
            lag_seconds: 0.21,
            delivered_events: 5_999_500,
            delivered_bytes: 1_299_900_000,
            already_there: 1_234,
            batches_sent: 1_200,
            batches_retried: 3,
            in_flight: 1,
            in_flight_limit: 2,
            in_flight_most: 4,
            partitions: vec![GroupPartition {
                topic: "logs".into(),
                partition: 0,
                committed: 5_999_500,
                end: 6_000_000,
                overwrite_until: 0,
                redriven_until: 0,
            }],
            ..Default::default()
        },
    );
    status
}

#[test]
fn all_is_well() {
    assert_snapshot!(text(&well(), false), @r#"
    forebay 0.1.0  running for 2 h 3 min  pid 4711  31.2 MiB of memory

      lost     nothing
      doubled  nothing: 1,234 events were sent again and recognised by their IDs
      behind   nothing

    Sources  files  open     read     events  unread  rotations  truncations
    app          3     2  1.2 GiB  6,000,000     0 B         12            0

    Queue    ok  disk 1.1 GiB of 10.0 GiB  memory 3.0 MiB of 24.0 MiB  9,000 syncs
      topic/partition  first  durable end  not synced  segments     disk
      logs/0           1,000    6,000,000          10        18  1.1 GiB

    Sinks                     state  behind  oldest  delivered    bytes   sent  retried  refused  in flight  dead
    search (elasticsearch)  sending     500   0.2 s  5,999,500  1.2 GiB  1,200        3        0     1 of 2     0
      logs/0 at 5,999,500 of 6,000,000
    "#);
}

#[test]
fn several_endpoints_have_a_line_each_and_a_certificate_that_ends_is_advice() {
    let mut status = well();
    let endpoint = |url: &str, state: &str, requests, failures| EndpointStatus {
        url: url.into(),
        state: state.into(),
        since_ms: status.now_ms - 65_000,
        last_error: "does not answer: 10.0.0.3:9200 refuses the connection: nothing listens there".into(),
        requests,
        failures,
        latency_seconds: 0.0123,
        ..Default::default()
    };
    let all = vec![endpoint("https://a:9200", "up", 900, 0), endpoint("https://b:9200", "down", 300, 7)];
    let sink = status.sinks.get_mut("search").unwrap();
    (sink.endpoints, sink.notices) =
        (all, vec!["the certificate of https://a:9200 expires in 12 days (2026-12-04); renew it there".into()]);
    let page = text(&status, false);
    assert!(
        page.contains("  ! Sink search: the certificate of https://a:9200 expires in 12 days (2026-12-04); renew it there.\n"),
        "{page}"
    );
    assert_snapshot!(page[page.find("  logs/0 at").unwrap()..], @r#"
      logs/0 at 5,999,500 of 6,000,000
      https://a:9200 up for 1 min 5 s, 900 requests (75 %), 0 failed, answers in 12 ms
      https://b:9200 down for 1 min 5 s, 300 requests (25 %), 7 failed, answers in 12 ms: does not answer: 10.0.0.3:9200 refuses the connection: nothing listens there
    "#);
}

#[test]
fn all_that_can_be_wrong_says_what_to_do() {
    let mut status = well();
    let source = status.sources.get_mut("app").unwrap();
    source.unread_bytes = 5 << 20;
    source.truncations = 1;
    source.cut_events = 2;
    source.cut_bytes = 4_000_000;
    source.lost_bytes = 70_000;
    source.last_error = "/var/log/app/a.log: permission denied".into();
    status.queue.state = "full".into();
    status.queue.reason = "10.0 GiB of 10.0 GiB are not delivered".into();
    status.queue.lost_events = 17;
    status.queue.disk_errors = 2;
    let sink = status.sinks.get_mut("search").unwrap();
    sink.state = "held".into();
    sink.reason = "401 Unauthorized from http://search:9200".into();
    sink.lag_events = 40_000_000;
    sink.lag_bytes = 8 << 30;
    sink.lag_seconds = 7_200.0;
    sink.batches_refused = 9;
    sink.dead_lettered = 4;
    assert_snapshot!(text(&status, false), @r#"
    forebay 0.1.0  running for 2 h 3 min  pid 4711  31.2 MiB of memory

      lost     68.4 KiB of files that vanished unread, 17 events by damage of the queue's files
      doubled  nothing: 1,234 events were sent again and recognised by their IDs
      behind   search by 40,000,000 events (8.0 GiB), the oldest 2 h 0 min old; the reading of files by 5.0 MiB

    What to do
      ! The queue is full (10.0 GiB of 10.0 GiB are not delivered). Files wait on disk, nothing is dropped. Mend the sink that is behind, or raise queue.max_bytes.
      ! Sink search is held: 401 Unauthorized from http://search:9200. Mend the cause; it tries again by itself.
      ! Sink search put 4 events into the dead-letter topic, each with the receiver's reason and its bytes. See them with `forebay read dead-letter`; when the cause is mended, `forebay redrive search` sends them again.
      ! Source app: 68.4 KiB were deleted or truncated before they were read. Rotate by rename, or keep rotated files longer.
      ! Source app: 2 events were longer than max_line_bytes and lost 3.8 MiB at their end. Raise it if they matter.
      ! Source app: /var/log/app/a.log: permission denied
      ! The queue's files were damaged or deleted; the log names the offsets. Check the disk.
      ! 2 writes or syncs of the queue failed. Check the disk and its space.

    Sources  files  open     read     events   unread  rotations  truncations
    app          3     2  1.2 GiB  6,000,000  5.0 MiB         12            1

    Queue    full  disk 1.1 GiB of 10.0 GiB  memory 3.0 MiB of 24.0 MiB  9,000 syncs
      topic/partition  first  durable end  not synced  segments     disk
      logs/0           1,000    6,000,000          10        18  1.1 GiB

    Sinks                   state      behind     oldest  delivered    bytes   sent  retried  refused  in flight  dead
    search (elasticsearch)   held  40,000,000  2 h 0 min  5,999,500  1.2 GiB  1,200        3        9     1 of 2     4
      logs/0 at 5,999,500 of 6,000,000
    "#);
}

#[test]
fn dead_letters_that_were_sent_again_are_no_advice() {
    let mut status = well();
    let letters = PartitionStatus { topic: "dead-letter".into(), end_offset: 9, durable_offset: 9, ..Default::default() };
    status.queue.partitions.push(letters);
    status.sinks.get_mut("search").unwrap().dead_lettered = 4;
    let advised = |status: &Status| text(status, false).contains("`forebay redrive search` sends them again");
    assert!(advised(&status));
    status.sinks.get_mut("search").unwrap().partitions[0].redriven_until = 9;
    assert!(!advised(&status));
    // One was refused once more.
    status.queue.partitions.last_mut().unwrap().end_offset = 10;
    assert!(advised(&status));
}

#[test]
fn a_loss_is_told_by_its_cause_and_a_full_disk_is_not_a_small_queue() {
    let mut status = well();
    let loss = |gone_events: u64| crate::admin::LossStatus { events: gone_events, gone_events, ..Default::default() };
    status.queue.losses =
        [("damaged", 0), ("deleted", 3), ("dropped_newest", 20), ("dropped_oldest", 5)].map(|(c, n)| (c.to_string(), loss(n))).into();
    status.queue.state = "dropping".into();
    status.queue.reason = "25 events (1.0 KiB) were dropped, because the disk of /data has 0 B free, and 1.0 GiB are to stay free (queue.min_free_bytes) (on_full: drop_newest)".into();
    let text = text(&status, false);
    assert!(text.contains("  lost     3 events in segments that somebody deleted, 25 events dropped as queue.on_full says\n"), "{text}");
    assert!(text.contains("Make room on that disk") && !text.contains("raise queue.max_bytes"), "{text}");
}

#[test]
fn colours_only_when_asked_for() {
    assert!(!text(&well(), false).contains('\x1b'));
    assert!(text(&well(), true).contains("  lost     \x1b[32mnothing\x1b[0m\n"));
}
