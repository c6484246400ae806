//! `forebay status`: the page for a person at three in the morning.
//!
//! First what matters: is anything lost, doubled, behind; then what to do about it; then the figures.

use super::human::{Table, bytes, count, duration};
use super::{EndpointStatus, SinkStatus, Status};
use crate::queue::DEAD_LETTER_TOPIC;
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
    for (name, sink) in status.sinks.iter().filter(|(_, s)| s.possibly_doubled > 0) {
        let n = paint.red(&format!("{} events possibly", count(sink.possibly_doubled)));
        let _ = write!(doubled, "; {name} {n}: it could not be asked whether they had arrived before (see the log)");
    }
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
            "held" => advice.push(format!("Sink {name} is held: {}. Mend the cause; it tries again by itself.", sink.reason)),
            "retrying" => advice.push(format!("Sink {name} is retrying: {}. If it lasts, look at the receiver.", sink.reason)),
            _ => {}
        }
        advice.extend(sink.notices.iter().map(|notice| format!("Sink {name}: {notice}.")));
        if sink.dead_lettered > 0 && !all_redriven(status, sink) {
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

/// Whether each dead letter was sent again since: what is refused once more makes a new one.
fn all_redriven(status: &Status, sink: &SinkStatus) -> bool {
    let letters = status.queue.partitions.iter().filter(|p| p.topic == DEAD_LETTER_TOPIC).map(|p| p.end_offset).max();
    letters.is_some_and(|end| end > 0 && sink.partitions.iter().any(|p| p.redriven_until >= end))
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
        // Of a single endpoint the sink's own line says it all.
        let requests: u64 = s.endpoints.iter().map(|e| e.requests).sum();
        for e in s.endpoints.iter().filter(|_| s.endpoints.len() > 1) {
            table.row(vec![format!("  {}", endpoint(e, requests, status.now_ms))]);
        }
    }
    table.text()
}

/// How one of several endpoints stands.
fn endpoint(e: &EndpointStatus, requests: u64, now_ms: u64) -> String {
    let share = (100 * e.requests).checked_div(requests).unwrap_or(0);
    let since = duration(now_ms.saturating_sub(e.since_ms) as f64 / 1000.0);
    let mut line = format!("{} {} for {since}, {} requests ({share} %), {} failed", e.url, e.state, count(e.requests), count(e.failures));
    if e.latency_seconds > 0.0 {
        let _ = write!(line, ", answers in {:.0} ms", e.latency_seconds * 1000.0);
    }
    if e.state == "down" {
        let _ = write!(line, ": {}", e.last_error);
    }
    line
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
mod tests;
