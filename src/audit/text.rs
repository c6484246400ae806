//! The audit for people.

use super::{Audit, AuditedFile, Verdict};
use crate::admin::human::{Table, count};
use crate::queue::SinkBooks;
use std::fmt::Write;

/// More files than this are shown only where something is not delivered.
const SHOWN: usize = 200;

/// A table, remarks on what is not delivered, and a summary; `all` shows every file.
pub fn text(audit: &Audit, all: bool) -> String {
    let mut out = String::new();
    let is_open = |f: &AuditedFile| !f.balances() || f.waiting > 0 || !f.lost.is_empty() || f.sinks.values().any(|s| s.missing() > 0);
    let shown: Vec<&AuditedFile> = audit.files.iter().filter(|f| all || audit.files.len() <= SHOWN || is_open(f)).collect();
    if !shown.is_empty() {
        let mut table =
            Table::new(&["FILE", "WRITTEN", "READ", "QUEUED", "SINK", "ACKED", "FILTERED", "DEAD", "LOST", "PENDING", "WAITING"]);
        for file in &shown {
            rows(&mut table, file);
        }
        out.push_str(&table.text());
        out.push('\n');
    }
    if shown.len() < audit.files.len() {
        let _ = writeln!(out, "{} more files, all delivered (--json lists them)\n", count((audit.files.len() - shown.len()) as u64));
    }
    summary(&mut out, audit);
    out
}

fn name(file: &AuditedFile) -> String {
    let generation = if file.generation > 0 { format!(" (generation {})", file.generation) } else { String::new() };
    let place = match (file.state.as_str(), &file.now) {
        ("renamed", Some(now)) => format!(", now {now}"),
        ("gone" | "truncated", _) => format!(", {}", file.state),
        _ => String::new(),
    };
    format!("{}{generation}{place}", file.path)
}

fn rows(table: &mut Table, file: &AuditedFile) {
    let gone: u64 = file.lost.values().sum();
    let head = [name(file), count(file.written), count(file.read), count(file.queued)];
    let row = |head: &[String], sink: &str, s: &SinkBooks| {
        let lost = gone + s.lost.values().sum::<u64>();
        let cells = [s.acknowledged, s.filtered, s.dead_lettered, lost, s.pending + s.to_be_read_again, file.waiting];
        head.iter().cloned().chain([sink.to_string()]).chain(cells.map(count)).collect::<Vec<String>>()
    };
    if file.sinks.is_empty() {
        table.row(row(&head, "-", &SinkBooks::default()));
    }
    let mut head = &head[..];
    let empty = [String::new(), String::new(), String::new(), String::new()];
    for (sink, books) in &file.sinks {
        table.row(row(head, sink, books));
        head = &empty;
    }
    for (cause, bytes) in &file.lost {
        let ranges: Vec<String> = file.lost_ranges.iter().take(3).map(|(s, e)| format!("{s}..{e}")).collect();
        let more = if file.lost_ranges.len() > 3 { ", …" } else { "" };
        table.row(vec![format!("  lost: {} bytes were {} ({}{more})", count(*bytes), words(cause), ranges.join(", "))]);
    }
    for (rule, filtered) in &file.filtered {
        let (events, bytes) = (count(filtered.events), count(filtered.bytes));
        table.row(vec![format!("  filtered before the queue: {bytes} bytes ({events} events) by {rule}")]);
    }
    for (sink, books) in &file.sinks {
        for (cause, bytes) in &books.lost {
            table.row(vec![format!("  lost to {sink}: {} bytes, {}", count(*bytes), words(cause))]);
        }
        if books.to_be_read_again > 0 {
            table.row(vec![format!("  {sink}: {} bytes are to be read again from the file", count(books.to_be_read_again))]);
        }
        if books.dead_letters > 0 {
            table.row(vec![format!("  {sink}: {} events in the dead-letter topic", count(books.dead_letters))]);
        }
        if file.sum(books) != file.written {
            let (sum, written) = (count(file.sum(books)), count(file.written));
            table.row(vec![format!("  {sink}: THE BOOKS DO NOT BALANCE: they hold {sum} bytes, {written} were written")]);
        }
    }
    if file.unexplained > 0 {
        table.row(vec![format!(
            "  UNEXPLAINED: {} bytes are in no book: they were handed over, but not durable when a process was killed, and the file was \
             truncated or deleted before they could be read again",
            count(file.unexplained)
        )]);
    }
}

fn words(cause: &str) -> String {
    match cause {
        "deleted_unread" => "deleted before they were read".into(),
        "truncated_unread" => "truncated away before they were read".into(),
        other => other.replace('_', " "),
    }
}

fn summary(out: &mut String, audit: &Audit) {
    let total = &audit.total;
    let lost: u64 = total.lost.values().sum();
    let (files, plural) = (audit.files.len() as u64, if audit.files.len() == 1 { "" } else { "s" });
    let _ = writeln!(
        out,
        "{} file generation{plural}: {} bytes written, {} read, {} queued",
        count(files),
        count(total.written),
        count(total.read),
        count(total.queued)
    );
    for (sink, s) in &total.sinks {
        let absent = if audit.absent.contains(sink) { " (its sink does not run: it does not count)" } else { "" };
        let _ = writeln!(
            out,
            "{sink}{absent}: acknowledged {} + filtered {} + dead-lettered {} + lost {} + pending {} ({} in flight) + waiting {}{}",
            count(s.acknowledged),
            count(s.filtered),
            count(s.dead_lettered),
            count(lost + s.lost.values().sum::<u64>()),
            count(s.pending + s.to_be_read_again),
            count(s.in_flight),
            count(total.waiting),
            if total.unexplained > 0 { format!(" + unexplained {}", count(total.unexplained)) } else { String::new() }
        );
    }
    for m in &audit.missing_events {
        let _ = writeln!(
            out,
            "{}: {} events of {}/{} are not acknowledged and not in the queue's files: `forebay verify` tells more",
            m.sink,
            count(m.events),
            m.topic,
            m.partition
        );
    }
    for u in &audit.unplaced {
        let events = count(u.events);
        let _ = writeln!(
            out,
            "lost: {events} events of {}/{}, {}, of files that are not known any more",
            u.topic,
            u.partition,
            words(&u.cause)
        );
    }
    for note in &audit.notes {
        let _ = writeln!(out, "note: {note}");
    }
    let _ = writeln!(
        out,
        "{}",
        match audit.verdict {
            Verdict::Complete => "complete: every byte that was written is acknowledged by every sink",
            Verdict::UnderWay => "under way: nothing is lost, but not all is delivered yet",
            Verdict::Missing => "MISSING: something is lost, dead-lettered or in no book; see above",
        }
    );
}
