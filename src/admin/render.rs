//! `forebay status`: the page for a person at three in the morning.
//!
//! First what matters: is anything lost, doubled, behind; then what to do about it; then the figures.

use super::Status;
use super::human::{Table, bytes, count, duration};
use std::fmt::Write;

/// Lag that a healthy agent has for a moment is not worth a line.
const BEHIND_SECONDS: f64 = 10.0;

/// The status as text, lines of about 100 columns; `colour` adds ANSI colours.
pub fn text(status: &Status, colour: bool) -> String {
    let paint = Paint(colour);
    let mut out = String::new();
    let up = status.now_ms.saturating_sub(status.started_ms) as f64 / 1000.0;
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "forebay {}  {} for {}  pid {}  {} of memory\n",
        status.version,
        status.state,
        duration(up),
        status.pid,
        bytes(status.resident_bytes)
    );
    verdict(&mut out, status, paint);
    let advice = advice(status);
    if !advice.is_empty() {
        out.push_str("\nWhat to do\n");
        for line in advice {
            let _ = writeln!(out, "  {} {line}", paint.red("!"));
        }
    }
    out.push('\n');
    out.push_str(&sources(status));
    out.push('\n');
    out.push_str(&queue(status));
    out.push('\n');
    out.push_str(&sinks(status));
    out
}

fn verdict(out: &mut String, status: &Status, paint: Paint) {
    let unread = |cause: &str| cause.ends_with("_unread");
    // The ledger remembers earlier runs, too.
    let on_record: u64 = status.queue.losses.iter().filter(|(cause, _)| unread(cause)).map(|(_, l)| l.gone_bytes).sum();
    let lost_bytes = on_record.max(status.sources.values().map(|s| s.lost_bytes).sum());
    let losses = || status.queue.losses.iter().filter(|(cause, _)| !unread(cause)).map(|(_, l)| l);
    let read_again: u64 = losses().map(|l| l.read_again_events).sum();
    let wanted: u64 = losses().map(|l| l.wanted_bytes).sum();
    let gone: u64 = losses().map(|l| l.gone_events).sum();
    let gone_bytes: u64 = losses().map(|l| l.gone_bytes).sum();
    // Without a word on what became of them, they count as lost.
    let queue_lost = if read_again + wanted + gone + gone_bytes > 0 { gone } else { status.queue.lost_events };
    let by_queue = queue_losses(status, queue_lost);
    let lost = match (lost_bytes, by_queue.is_empty()) {
        (0, true) => paint.green("nothing"),
        (b, true) => paint.red(&format!("{} of files that vanished or were truncated before they were read", bytes(b))),
        (0, false) => paint.red(&by_queue),
        (b, false) => paint.red(&format!("{} of files that vanished unread, {by_queue}", bytes(b))),
    };
    let known: u64 = status.sinks.values().map(|s| s.already_there).sum();
    let mut doubled = match known {
        0 => paint.green("nothing"),
        n => format!("{}: {} events were sent again and recognised by their IDs", paint.green("nothing"), count(n)),
    };
    for (name, sink) in status.sinks.iter().filter(|(_, s)| s.kind == "http" && s.batches_retried > 0) {
        let n = count(sink.batches_retried);
        let _ = write!(doubled, "; {name} sent {n} batches again: the receiver must know them by their Idempotency-Key");
    }
    let mut behind: Vec<_> = status
        .sinks
        .iter()
        .filter(|(_, s)| s.lag_events > 0 && (s.lag_seconds >= BEHIND_SECONDS || s.state == "held" || s.state == "retrying"))
        .map(|(name, s)| {
            format!("{name} by {} events ({}), the oldest {} old", count(s.lag_events), bytes(s.lag_bytes), duration(s.lag_seconds))
        })
        .collect();
    if status.queue.state != "ok" {
        let unread: u64 = status.sources.values().map(|s| s.unread_bytes).sum();
        behind.extend((unread > 0).then(|| format!("the reading of files by {}", bytes(unread))));
    }
    let behind = if behind.is_empty() { paint.green("nothing") } else { paint.yellow(&behind.join("; ")) };
    let _ = writeln!(out, "  lost     {lost}\n  doubled  {doubled}\n  behind   {behind}");
}

/// What is gone of the queue, by cause; `events` where nothing tells the causes.
fn queue_losses(status: &Status, events: u64) -> String {
    let how = |cause: &str| match cause {
        "dropped_oldest" | "dropped_newest" => "dropped as queue.on_full says",
        "deleted" => "in segments that somebody deleted",
        "expired" => "kept for no longer",
        _ => "by damage of the queue's files",
    };
    let mut gone: Vec<(&str, u64)> = Vec::new();
    for (cause, loss) in status.queue.losses.iter().filter(|(_, l)| l.gone_events > 0) {
        match gone.iter_mut().find(|(known, _)| *known == how(cause)) {
            Some((_, n)) => *n += loss.gone_events,
            None => gone.push((how(cause), loss.gone_events)),
        }
    }
    if gone.is_empty() && events > 0 {
        gone.push((how(""), events));
    }
    gone.iter().map(|(how, n)| format!("{} events {how}", count(*n))).collect::<Vec<_>>().join(", ")
}

/// What is wrong, what happens to the data meanwhile, and what mends it.
fn advice(status: &Status) -> Vec<String> {
    let mut advice = Vec::new();
    let queue = &status.queue;
    // More of a disk that is full is no help.
    let mend = match queue.reason.contains("queue.min_free_bytes") {
        true => "Make room on that disk, or mend the sink that is behind.",
        false => "Mend the sink that is behind, or raise queue.max_bytes.",
    };
    match queue.state.as_str() {
        "ok" => {}
        "full" => advice.push(format!("The queue is full ({}). Files wait on disk, nothing is dropped. {mend}", queue.reason)),
        "dropping" => advice.push(format!("The queue is full and drops events, as queue.on_full says: {}. {mend}", queue.reason)),
        state => advice.push(format!("The queue is {state}: {}. Look at the disk under data_dir.", queue.reason)),
    }
    for (name, sink) in &status.sinks {
        match sink.state.as_str() {
            "held" => advice.push(format!(
                "Sink {name} is held: {}. Its events wait in the queue. Mend the cause; it tries again by itself.",
                sink.reason
            )),
            "retrying" => advice.push(format!(
                "Sink {name} is retrying: {}. Its events wait in the queue. If it lasts, look at the receiver.",
                sink.reason
            )),
            _ => {}
        }
        if sink.dead_lettered > 0 {
            advice.push(format!(
                "Sink {name} put {} events into the dead-letter topic, each with the receiver's reason and its bytes. See them with `forebay read dead-letter`; when the cause is mended, `forebay redrive {name}` sends them again.",
                count(sink.dead_lettered)
            ));
        }
    }
    for (name, source) in &status.sources {
        if source.lost_bytes > 0 {
            advice.push(format!(
                "Source {name}: {} were deleted or truncated before they were read. Rotate by rename, or keep rotated files longer.",
                bytes(source.lost_bytes)
            ));
        }
        if source.dropped_events > 0 {
            advice.push(format!(
                "Source {name}: {} events were dropped before they reached the queue. Where these are datagrams: raise receive_buffer and \
                 net.core.rmem_max, or send over TCP.",
                count(source.dropped_events)
            ));
        }
        if source.cut_events > 0 {
            advice.push(format!(
                "Source {name}: {} events were longer than max_line_bytes and lost {} at their end. Raise it if they matter.",
                count(source.cut_events),
                bytes(source.cut_bytes)
            ));
        }
        if let Some(seconds) = source.seconds_to_loss {
            advice.push(format!(
                "Source {name}: rotation will delete unread bytes in about {}. Keep more or larger generations, or mend what holds up reading.",
                duration(seconds)
            ));
        }
        if !source.last_error.is_empty() {
            advice.push(format!("Source {name}: {}", source.last_error));
        }
    }
    if queue.lost_events > 0 {
        let whole = queue_losses(status, queue.lost_events).is_empty();
        let again = if whole { " All of it was read again, or is being so." } else { "" };
        advice.push(format!("The queue's files were damaged or deleted; the log names the offsets.{again} Check the disk."));
    }
    if queue.disk_errors > 0 {
        advice.push(format!("{} writes or syncs of the queue failed. Check the disk and its space.", count(queue.disk_errors)));
    }
    advice
}

fn sources(status: &Status) -> String {
    let mut table = Table::new(&["Sources", "files", "open", "read", "events", "unread", "rotations", "truncations"]);
    for (name, s) in &status.sources {
        table.row(vec![
            name.clone(),
            count(s.files),
            count(s.open_files),
            bytes(s.read_bytes),
            count(s.read_events),
            bytes(s.unread_bytes),
            count(s.rotations),
            count(s.truncations),
        ]);
    }
    table.text()
}

fn queue(status: &Status) -> String {
    let queue = &status.queue;
    let mut out = format!(
        "Queue    {}  disk {} of {}  memory {} of {}  {} syncs\n",
        queue.state,
        bytes(queue.disk_bytes),
        bytes(queue.max_bytes),
        bytes(queue.memory_bytes),
        bytes(queue.memory_cap),
        count(queue.syncs)
    );
    if !queue.partitions.is_empty() {
        let mut table = Table::new(&["  topic/partition", "first", "durable end", "not synced", "segments", "disk"]);
        for p in &queue.partitions {
            table.row(vec![
                format!("  {}/{}", p.topic, p.partition),
                count(p.first_offset),
                count(p.durable_offset),
                count(p.end_offset.saturating_sub(p.durable_offset)),
                count(p.segments),
                bytes(p.bytes),
            ]);
        }
        out.push_str(&table.text());
    }
    for (cause, l) in &queue.losses {
        if cause.ends_with("_unread") {
            let _ = writeln!(out, "  {}: {} are gone since the queue was made", cause.replace('_', " "), bytes(l.gone_bytes));
            continue;
        }
        let _ = writeln!(
            out,
            "  {}: {} events ({}) were lost to the queue since it was made: {} ({}) read again from their files, {} to be read again, {} ({}) gone",
            cause.replace('_', " "),
            count(l.events),
            bytes(l.bytes),
            count(l.read_again_events),
            bytes(l.read_again_bytes),
            bytes(l.wanted_bytes),
            count(l.gone_events),
            bytes(l.gone_bytes)
        );
    }
    for w in &queue.wanted {
        let ranges: Vec<String> = w.ranges.iter().map(|(from, end)| format!("{from}..{end}")).collect();
        let _ = writeln!(out, "  to be read again ({}): {} bytes {}", w.cause.replace('_', " "), w.path, ranges.join(", "));
    }
    out
}

fn sinks(status: &Status) -> String {
    let mut table =
        Table::new(&["Sinks", "state", "behind", "oldest", "delivered", "bytes", "sent", "retried", "refused", "in flight", "dead"]);
    for (name, s) in &status.sinks {
        table.row(vec![
            format!("{name} ({})", s.kind),
            s.state.clone(),
            count(s.lag_events),
            duration(s.lag_seconds),
            count(s.delivered_events),
            bytes(s.delivered_bytes),
            count(s.batches_sent),
            count(s.batches_retried),
            count(s.batches_refused),
            if s.in_flight_limit > 0 { format!("{} of {}", s.in_flight, s.in_flight_limit) } else { count(s.in_flight) },
            count(s.dead_lettered),
        ]);
        for p in &s.partitions {
            let at = format!("  {}/{} at {} of {}", p.topic, p.partition, count(p.committed), count(p.end));
            table.row(vec![at]);
            if p.overwrite_until > 0 {
                table.row(vec![format!("    overwriting up to {}", count(p.overwrite_until))]);
            }
        }
    }
    table.text()
}

#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
    }

    fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }

    fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    fn green(self, text: &str) -> String {
        self.with("32", text)
    }
}

#[cfg(test)]
mod tests {
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
            SourceStatus {
                files: 3,
                open_files: 2,
                read_bytes: 1_300_000_000,
                read_events: 6_000_000,
                rotations: 12,
                ..Default::default()
            },
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
          ! Sink search is held: 401 Unauthorized from http://search:9200. Its events wait in the queue. Mend the cause; it tries again by itself.
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
    fn a_loss_is_told_by_its_cause_and_a_full_disk_is_not_a_small_queue() {
        let mut status = well();
        let loss = |gone_events: u64| crate::admin::LossStatus { events: gone_events, gone_events, ..Default::default() };
        status.queue.losses =
            [("damaged", 0), ("deleted", 3), ("dropped_newest", 20), ("dropped_oldest", 5)].map(|(c, n)| (c.to_string(), loss(n))).into();
        status.queue.state = "dropping".into();
        status.queue.reason = "25 events (1.0 KiB) were dropped, because the disk of /data has 0 B free, and 1.0 GiB are to stay free (queue.min_free_bytes) (on_full: drop_newest)".into();
        let text = text(&status, false);
        assert!(
            text.contains("  lost     3 events in segments that somebody deleted, 25 events dropped as queue.on_full says\n"),
            "{text}"
        );
        assert!(text.contains("Make room on that disk") && !text.contains("raise queue.max_bytes"), "{text}");
    }

    #[test]
    fn colours_only_when_asked_for() {
        assert!(!text(&well(), false).contains('\x1b'));
        assert!(text(&well(), true).contains("  lost     \x1b[32mnothing\x1b[0m\n"));
    }
}
