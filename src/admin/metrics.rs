//! `/metrics`: the status in the Prometheus text exposition format, version 0.0.4.
//!
//! Texts (reasons, the last error) stay out of it: as labels they would make a new series each
//! time. They are in `/status`; here stands whether there is one.

use super::{EndpointStatus, GroupPartition, LossStatus, PartitionStatus, QueueStatus, SinkStatus, SourceStatus, Status};
use std::fmt::{Display, Write};

/// Media type of the page.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A family of a status part `T`: name, help, value. A name that ends in `_total` is a counter.
type Row<T> = (&'static str, &'static str, fn(&T) -> f64);

const SOURCE: [Row<SourceStatus>; 19] = [
    ("files", "Files that are followed.", |s| s.files as f64),
    ("open_files", "Files that are open.", |s| s.open_files as f64),
    ("read_bytes_total", "Bytes taken.", |s| s.read_bytes as f64),
    ("read_events_total", "Events handed to the queue.", |s| s.read_events as f64),
    ("unread_bytes", "Bytes on disk that are not read yet.", |s| s.unread_bytes as f64),
    ("rotations_total", "Rotations seen.", |s| s.rotations as f64),
    ("truncations_total", "Truncations seen.", |s| s.truncations as f64),
    ("cut_events_total", "Events cut at max_line_bytes.", |s| s.cut_events as f64),
    ("cut_bytes_total", "Bytes cut off events at max_line_bytes.", |s| s.cut_bytes as f64),
    ("lost_bytes_total", "Bytes deleted or truncated before they were read.", |s| s.lost_bytes as f64),
    ("kept_bytes_total", "Bytes that truncated or replaced files still held of what was read, not sent again.", |s| s.kept_bytes as f64),
    ("polled_dirs", "Directories that are looked at regularly, since the kernel does not tell of all changes.", |s| s.polled_dirs as f64),
    ("unreadable_generations_total", "Generations in a compression that cannot be read.", |s| s.unreadable_generations as f64),
    ("refused_requests_total", "Requests answered with an error.", |s| s.refused_requests as f64),
    ("dropped_events_total", "Events known to be dropped on their way in.", |s| s.dropped_events as f64),
    ("connections", "Connections that are open.", |s| s.connections as f64),
    ("filtered_total", "Events that the chain before the queue left out.", |s| s.filtered as f64),
    ("process_failures_total", "Failures of processors before the queue at events that went on.", |s| s.process_failures as f64),
    ("error", "1 while there is an error; its words are in /status.", |s| f64::from(u8::from(!s.last_error.is_empty()))),
];

const QUEUE: [Row<QueueStatus>; 7] = [
    ("disk_bytes", "Bytes of the queue on disk.", |q| q.disk_bytes as f64),
    ("max_bytes", "Most bytes of the queue on disk (queue.max_bytes).", |q| q.max_bytes as f64),
    ("memory_bytes", "Bytes of memory that hold data.", |q| q.memory_bytes as f64),
    ("memory_cap_bytes", "Cap on the memory that holds data (queue.buffer_memory).", |q| q.memory_cap as f64),
    ("lost_events_total", "Events lost to damage of the queue's files.", |q| q.lost_events as f64),
    ("disk_errors_total", "Failed writes and syncs.", |q| q.disk_errors as f64),
    ("syncs_total", "Syncs to the disk.", |q| q.syncs as f64),
];

const LOSS: [Row<LossStatus>; 7] = [
    ("events_total", "Events that the queue has lost since it was made, also those that were read again.", |l| l.events as f64),
    ("bytes_total", "Bytes of sources that the queue has lost since it was made.", |l| l.bytes as f64),
    ("read_again_events_total", "Lost events that were read again from their source.", |l| l.read_again_events as f64),
    ("read_again_bytes_total", "Lost bytes that were read again from their source.", |l| l.read_again_bytes as f64),
    ("wanted_bytes", "Lost bytes that are to be read again from their source.", |l| l.wanted_bytes as f64),
    ("gone_events_total", "Events that are gone for good, as far as they were counted.", |l| l.gone_events as f64),
    ("gone_bytes_total", "Bytes that are gone for good.", |l| l.gone_bytes as f64),
];

const PARTITION: [Row<PartitionStatus>; 5] = [
    ("first_offset", "First retained offset.", |p| p.first_offset as f64),
    ("end_offset", "Offset after the last event that is written.", |p| p.end_offset as f64),
    ("durable_offset", "Offset after the last event that consumers may see.", |p| p.durable_offset as f64),
    ("bytes", "Bytes of the partition on disk.", |p| p.bytes as f64),
    ("segments", "Segment files of the partition.", |p| p.segments as f64),
];

const SINK: [Row<SinkStatus>; 16] = [
    ("lag_events", "Events in the queue that are not delivered.", |s| s.lag_events as f64),
    ("lag_bytes", "Bytes of the events that are not delivered, about.", |s| s.lag_bytes as f64),
    ("lag_seconds", "Age of the oldest event that is not delivered.", |s| s.lag_seconds),
    ("delivered_events_total", "Events delivered.", |s| s.delivered_events as f64),
    ("delivered_bytes_total", "Bytes of events delivered, as read.", |s| s.delivered_bytes as f64),
    ("already_there_total", "Events that the receiver had already, recognised by ID.", |s| s.already_there as f64),
    ("possibly_doubled_total", "Events that may be at the receiver twice: whether an earlier try arrived cannot be known.", |s| {
        s.possibly_doubled as f64
    }),
    ("batches_sent_total", "Requests sent.", |s| s.batches_sent as f64),
    ("batches_retried_total", "Requests that were sent again.", |s| s.batches_retried as f64),
    ("batches_refused_total", "Requests that were refused.", |s| s.batches_refused as f64),
    ("dead_lettered_total", "Events put into the dead-letter topic.", |s| s.dead_lettered as f64),
    ("filtered_total", "Events that the chain of processors left out.", |s| s.filtered as f64),
    ("process_failures_total", "Failures of processors at events that were sent all the same.", |s| s.process_failures as f64),
    ("in_flight_batches", "Batches in flight.", |s| s.in_flight as f64),
    ("in_flight_limit", "Batches that may be in flight now.", |s| s.in_flight_limit as f64),
    ("in_flight_most", "Batches that may be in flight at most.", |s| s.in_flight_most as f64),
];

const ENDPOINT: [Row<EndpointStatus>; 4] = [
    ("requests_total", "Requests sent to the endpoint.", |e| e.requests as f64),
    ("failures_total", "Requests that failed because of the endpoint.", |e| e.failures as f64),
    ("in_flight", "Requests in flight to the endpoint.", |e| e.in_flight as f64),
    ("latency_seconds", "How long answers of the endpoint take, a moving average.", |e| e.latency_seconds),
];

const GROUP: [Row<GroupPartition>; 4] = [
    ("committed_offset", "Offset below which all is delivered.", |g| g.committed as f64),
    ("visible_end_offset", "Offset after the last event that the group may see.", |g| g.end as f64),
    ("overwrite_until_offset", "Events below this offset replace what the receiver has; 0: none.", |g| g.overwrite_until as f64),
    ("redriven_until_offset", "Dead letters below this offset of their topic were sent again by a redrive; 0: none.", |g| {
        g.redriven_until as f64
    }),
];

/// The whole page.
pub(crate) fn render(status: &Status) -> String {
    let mut page = String::with_capacity(8192);
    let agent = [
        ("process_id", "Process ID.", f64::from(status.pid)),
        ("start_time_seconds", "Start of the process, seconds since the Unix epoch.", status.started_ms as f64 / 1000.0),
        ("status_time_seconds", "When these figures were taken, seconds since the Unix epoch.", status.now_ms as f64 / 1000.0),
        ("resident_memory_bytes", "Resident memory.", status.resident_bytes as f64),
    ];
    family(&mut page, "forebay_build_info", "Version of the program.", [(labels(&[("version", &status.version)]), 1.0)]);
    for (name, help, value) in agent {
        family(&mut page, &format!("forebay_{name}"), help, [(String::new(), value)]);
    }
    states(&mut page, "forebay_state", "1 for the state of the agent.", &["running", "draining"], &[(Vec::new(), &status.state)]);

    let sources: Vec<_> = status.sources.iter().map(|(name, s)| (labels(&[("source", name)]), s)).collect();
    let kinds: Vec<_> = status.sources.iter().map(|(name, s)| (labels(&[("source", name), ("kind", &s.kind)]), 1.0)).collect();
    family(&mut page, "forebay_source_info", "Kind of the source.", kinds);
    rows(&mut page, "forebay_source_", &SOURCE, &sources);
    let by_step = |(name, s): (&String, &SourceStatus)| {
        let row = |(step, events): (&String, &u64)| (labels(&[("source", name), ("step", step)]), *events as f64);
        s.filtered_by.iter().map(row).collect::<Vec<_>>()
    };
    let by_step: Vec<_> = status.sources.iter().flat_map(by_step).collect();
    if !by_step.is_empty() {
        family(&mut page, "forebay_source_filtered_by_total", "Events that one processor before the queue left out.", by_step);
    }
    let ends: Vec<_> = sources.iter().filter_map(|(labels, s)| Some((labels.as_str(), s.seconds_to_loss?))).collect();
    if !ends.is_empty() {
        let help = "Until rotation deletes bytes that will not be read by then, as far as can be foreseen; absent while none is expected.";
        family(&mut page, "forebay_source_seconds_to_loss", help, ends);
    }

    rows(&mut page, "forebay_queue_", &QUEUE, &[(String::new(), &status.queue)]);
    states(
        &mut page,
        "forebay_queue_state",
        "1 for the state of the queue.",
        &["ok", "full", "degraded", "dropping"],
        &[(Vec::new(), &status.queue.state)],
    );
    let partitions: Vec<_> =
        status.queue.partitions.iter().map(|p| (labels(&[("topic", &p.topic), ("partition", &p.partition.to_string())]), p)).collect();
    rows(&mut page, "forebay_queue_partition_", &PARTITION, &partitions);

    let losses: Vec<_> = status.queue.losses.iter().map(|(cause, l)| (labels(&[("cause", cause)]), l)).collect();
    rows(&mut page, "forebay_queue_loss_", &LOSS, &losses);

    let kinds: Vec<_> = status.sinks.iter().map(|(name, s)| (labels(&[("sink", name), ("kind", &s.kind)]), 1.0)).collect();
    family(&mut page, "forebay_sink_info", "Kind of the sink.", kinds);
    let held: Vec<_> = status.sinks.iter().map(|(name, s)| (vec![("sink", name.as_str())], s.state.as_str())).collect();
    states(&mut page, "forebay_sink_state", "1 for the state of the sink.", &["idle", "sending", "retrying", "held"], &held);
    let sinks: Vec<_> = status.sinks.iter().map(|(name, s)| (labels(&[("sink", name)]), s)).collect();
    rows(&mut page, "forebay_sink_", &SINK, &sinks);
    let filtered = |(name, s): (&String, &SinkStatus)| {
        let row = |(step, events): (&String, &u64)| (labels(&[("sink", name), ("step", step)]), *events as f64);
        s.filtered_by.iter().map(row).collect::<Vec<_>>()
    };
    let filtered: Vec<_> = status.sinks.iter().flat_map(filtered).collect();
    let help = "Events that one processor left out; `when` is the condition of the sink.";
    family(&mut page, "forebay_sink_filtered_by_total", help, filtered);
    let endpoints: Vec<_> = status
        .sinks
        .iter()
        .flat_map(|(name, s)| s.endpoints.iter().map(move |e| (vec![("sink", name.as_str()), ("endpoint", e.url.as_str())], e)))
        .collect();
    let held: Vec<_> = endpoints.iter().map(|(pairs, e)| (pairs.clone(), e.state.as_str())).collect();
    states(&mut page, "forebay_sink_endpoint_state", "1 for the state of the endpoint.", &["up", "slow", "down"], &held);
    let endpoints: Vec<_> = endpoints.iter().map(|(pairs, e)| (labels(pairs), *e)).collect();
    rows(&mut page, "forebay_sink_endpoint_", &ENDPOINT, &endpoints);
    let ends: Vec<_> = endpoints.iter().filter_map(|(l, e)| Some((l, e.certificate_ends_ms? as f64 / 1000.0))).collect();
    let help = "When the endpoint's certificate ends, seconds since the Unix epoch.";
    family(&mut page, "forebay_sink_endpoint_certificate_ends_seconds", help, ends);
    let notices: Vec<_> = status.sinks.iter().map(|(name, s)| (labels(&[("sink", name)]), s.notices.len() as f64)).collect();
    family(&mut page, "forebay_sink_notices", "Things somebody should know although the sink works; their words are in /status.", notices);
    let groups: Vec<_> = status
        .sinks
        .iter()
        .flat_map(|(name, s)| s.partitions.iter().map(move |g| (name, g)))
        .map(|(name, g)| (labels(&[("sink", name), ("topic", &g.topic), ("partition", &g.partition.to_string())]), g))
        .collect();
    rows(&mut page, "forebay_sink_", &GROUP, &groups);
    page
}

fn rows<T>(page: &mut String, prefix: &str, rows: &[Row<T>], parts: &[(String, &T)]) {
    for (name, help, value) in rows {
        family(page, &format!("{prefix}{name}"), help, parts.iter().map(|(labels, part)| (labels.as_str(), value(part))));
    }
}

/// One sample for each known state, 1 for the one that holds; a state not known here is shown too.
fn states(page: &mut String, name: &str, help: &str, known: &[&str], parts: &[(Vec<(&str, &str)>, impl AsRef<str>)]) {
    let mut samples = Vec::new();
    for (base, now) in parts {
        let now = now.as_ref();
        let other = (!known.contains(&now)).then_some(now);
        for state in known.iter().copied().chain(other) {
            let mut pairs = base.clone();
            pairs.push(("state", state));
            samples.push((labels(&pairs), f64::from(u8::from(state == now))));
        }
    }
    family(page, name, help, samples);
}

/// A family without samples is left out: its HELP alone would say nothing.
fn family<L: Display>(page: &mut String, name: &str, help: &str, samples: impl IntoIterator<Item = (L, f64)>) {
    let mut samples = samples.into_iter().peekable();
    if samples.peek().is_none() {
        return;
    }
    let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in samples {
        // Writing to a String cannot fail. Rust prints whole f64 without a point, and never with an exponent.
        let _ = writeln!(page, "{name}{labels} {value}");
    }
}

/// `{a="b",c="d"}`, escaped.
fn labels(pairs: &[(&str, &str)]) -> String {
    let mut out = String::from("{");
    for (i, (name, value)) in pairs.iter().enumerate() {
        out.push_str(if i == 0 { "" } else { "," });
        out.push_str(name);
        out.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                c => out.push(c),
            }
        }
        out.push('"');
    }
    out.push('}');
    out
}

#[cfg(test)]
pub(super) mod tests;
