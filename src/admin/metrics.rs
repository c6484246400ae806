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

const GROUP: [Row<GroupPartition>; 3] = [
    ("committed_offset", "Offset below which all is delivered.", |g| g.committed as f64),
    ("visible_end_offset", "Offset after the last event that the group may see.", |g| g.end as f64),
    ("overwrite_until_offset", "Events below this offset replace what the receiver has; 0: none.", |g| g.overwrite_until as f64),
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
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// Every number of the status is another one, so that each can be looked for on the page.
    pub(crate) fn numbered() -> Status {
        let partition = PartitionStatus {
            topic: "logs".into(),
            partition: 3,
            first_offset: 301,
            end_offset: 302,
            durable_offset: 303,
            bytes: 304,
            segments: 305,
        };
        let group = GroupPartition { topic: "logs".into(), partition: 3, committed: 401, end: 402, overwrite_until: 403 };
        let source = SourceStatus {
            kind: "file".into(),
            files: 101,
            open_files: 102,
            read_bytes: 103,
            read_events: 104,
            unread_bytes: 105,
            rotations: 106,
            truncations: 107,
            cut_events: 108,
            cut_bytes: 109,
            lost_bytes: 110,
            kept_bytes: 116,
            polled_dirs: 114,
            unreadable_generations: 115,
            refused_requests: 111,
            dropped_events: 112,
            connections: 113,
            filtered: 117,
            filtered_by: BTreeMap::from([("drop (1)".into(), 118)]),
            process_failures: 119,
            seconds_to_loss: Some(41.5),
            last_error: "no".into(),
        };
        let loss = LossStatus {
            events: 701,
            bytes: 702,
            read_again_events: 703,
            read_again_bytes: 704,
            wanted_bytes: 705,
            gone_events: 706,
            gone_bytes: 707,
        };
        let queue = QueueStatus {
            state: "full".into(),
            reason: "why".into(),
            disk_bytes: 201,
            max_bytes: 202,
            memory_bytes: 203,
            memory_cap: 204,
            lost_events: 205,
            disk_errors: 206,
            syncs: 207,
            partitions: vec![partition],
            losses: BTreeMap::from([("damaged".into(), loss)]),
            wanted: Vec::new(),
        };
        let endpoint = EndpointStatus {
            url: "https://search:9200".into(),
            state: "slow".into(),
            since_ms: 801,
            last_error: "no".into(),
            requests: 802,
            failures: 803,
            in_flight: 804,
            latency_seconds: 805.5,
            certificate_ends_ms: Some(806_000),
        };
        let sink = SinkStatus {
            kind: "elasticsearch".into(),
            state: "held".into(),
            reason: "why".into(),
            lag_events: 501,
            lag_bytes: 502,
            lag_seconds: 503.5,
            delivered_events: 504,
            delivered_bytes: 505,
            already_there: 506,
            possibly_doubled: 512,
            last_batch: "batch".into(),
            batches_sent: 507,
            batches_retried: 508,
            batches_refused: 509,
            dead_lettered: 510,
            filtered: 518,
            filtered_by: BTreeMap::from([("when".into(), 520)]),
            process_failures: 519,
            in_flight: 511,
            in_flight_limit: 514,
            in_flight_most: 515,
            partitions: vec![group],
            endpoints: vec![endpoint],
            notices: vec!["why".into()],
        };
        Status {
            version: "0.1.0".into(),
            pid: 601,
            state: "running".into(),
            started_ms: 602_000,
            now_ms: 603_000,
            resident_bytes: 604,
            sources: BTreeMap::from([("app".into(), source)]),
            queue,
            sinks: BTreeMap::from([("search".into(), sink)]),
        }
    }

    /// Reads a page by the rules of the format; returns `name{labels}` → value.
    fn parse(page: &str) -> Result<BTreeMap<String, f64>, String> {
        let name_ok = |n: &str| {
            n.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && n.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let (mut samples, mut typed, mut current) = (BTreeMap::new(), BTreeSet::new(), String::new());
        if !page.is_empty() && !page.ends_with('\n') {
            return Err("the last line has no newline".into());
        }
        for line in page.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, _) = help.split_once(' ').ok_or("HELP without a text")?;
                if !typed.insert(name.to_string()) {
                    return Err(format!("{name} stands twice"));
                }
                current = name.to_string();
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').ok_or("TYPE without a kind")?;
                if name != current || (kind == "counter") != name.ends_with("_total") || !["counter", "gauge"].contains(&kind) {
                    return Err(format!("TYPE {name} {kind} after HELP {current}"));
                }
            } else {
                let at = line.find(['{', ' ']).ok_or_else(|| format!("no value: {line}"))?;
                let name = &line[..at];
                if name != current || !name_ok(name) {
                    return Err(format!("sample of {name} in the family {current}"));
                }
                let mut rest = &line[at..];
                if let Some(mut inner) = rest.strip_prefix('{') {
                    loop {
                        let (label, after) = inner.split_once("=\"").ok_or_else(|| format!("label: {line}"))?;
                        if !name_ok(label) {
                            return Err(format!("label name {label}"));
                        }
                        let mut end = None;
                        let mut chars = after.char_indices();
                        while let Some((i, c)) = chars.next() {
                            match c {
                                '\\' => match chars.next() {
                                    Some((_, '\\' | '"' | 'n')) => {}
                                    _ => return Err(format!("escape: {line}")),
                                },
                                '"' => {
                                    end = Some(i);
                                    break;
                                }
                                _ => {}
                            }
                        }
                        inner = &after[end.ok_or_else(|| format!("label without end: {line}"))? + 1..];
                        if let Some(next) = inner.strip_prefix(',') {
                            inner = next;
                        } else {
                            rest = inner.strip_prefix('}').ok_or_else(|| format!("labels without end: {line}"))?;
                            break;
                        }
                    }
                }
                let value = rest.strip_prefix(' ').ok_or_else(|| format!("no value: {line}"))?;
                let value: f64 = value.parse().map_err(|_| format!("no number: {line}"))?;
                if samples.insert(line[..line.len() - rest.len()].to_string(), value).is_some() {
                    return Err(format!("twice: {line}"));
                }
            }
        }
        Ok(samples)
    }

    fn numbers(value: &serde_json::Value, out: &mut Vec<f64>) {
        match value {
            serde_json::Value::Number(n) => out.extend(n.as_f64()),
            serde_json::Value::Array(items) => items.iter().for_each(|v| numbers(v, out)),
            serde_json::Value::Object(members) => {
                // Milliseconds are seconds there, and a partition's number is a label.
                members.iter().filter(|(k, _)| !k.ends_with("_ms") && *k != "partition").for_each(|(_, v)| numbers(v, out));
            }
            _ => {}
        }
    }

    #[test]
    fn every_number_of_the_status_is_on_the_page() {
        let status = numbered();
        let samples = parse(&render(&status)).unwrap();
        let mut expected = vec![602.0, 603.0, 806.0];
        numbers(&serde_json::to_value(&status).unwrap(), &mut expected);
        assert_eq!(expected.len(), 3 + 2 + 20 + 7 + 7 + 5 + 17 + 4 + 3);
        for number in expected {
            assert_eq!(samples.values().filter(|v| **v == number).count(), 1, "{number}");
        }
    }

    #[test]
    fn the_names_that_dashboards_use() {
        let samples = parse(&render(&numbered())).unwrap();
        for (name, value) in [
            (r#"forebay_build_info{version="0.1.0"}"#, 1.0),
            (r#"forebay_source_read_bytes_total{source="app"}"#, 103.0),
            (r#"forebay_source_error{source="app"}"#, 1.0),
            (r#"forebay_source_filtered_by_total{source="app",step="drop (1)"}"#, 118.0),
            (r#"forebay_queue_disk_bytes"#, 201.0),
            (r#"forebay_queue_state{state="ok"}"#, 0.0),
            (r#"forebay_queue_state{state="full"}"#, 1.0),
            (r#"forebay_queue_partition_durable_offset{topic="logs",partition="3"}"#, 303.0),
            (r#"forebay_sink_info{sink="search",kind="elasticsearch"}"#, 1.0),
            (r#"forebay_sink_state{sink="search",state="held"}"#, 1.0),
            (r#"forebay_sink_lag_events{sink="search"}"#, 501.0),
            (r#"forebay_sink_lag_seconds{sink="search"}"#, 503.5),
            (r#"forebay_sink_filtered_by_total{sink="search",step="when"}"#, 520.0),
            (r#"forebay_sink_endpoint_state{sink="search",endpoint="https://search:9200",state="slow"}"#, 1.0),
            (r#"forebay_sink_endpoint_latency_seconds{sink="search",endpoint="https://search:9200"}"#, 805.5),
            (r#"forebay_sink_notices{sink="search"}"#, 1.0),
            (r#"forebay_sink_batches_refused_total{sink="search"}"#, 509.0),
            (r#"forebay_sink_committed_offset{sink="search",topic="logs",partition="3"}"#, 401.0),
        ] {
            assert_eq!(samples.get(name), Some(&value), "{name}");
        }
    }

    #[test]
    fn a_state_not_known_here_is_shown() {
        let mut status = numbered();
        status.queue.state = "odd".into();
        let samples = parse(&render(&status)).unwrap();
        assert_eq!(samples.get(r#"forebay_queue_state{state="odd"}"#), Some(&1.0));
        assert_eq!(samples.get(r#"forebay_queue_state{state="ok"}"#), Some(&0.0));
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(labels(&[("a", "x\\y\"z\n"), ("b", "é")]), "{a=\"x\\\\y\\\"z\\n\",b=\"é\"}");
    }

    #[test]
    fn large_counters_keep_all_their_digits() {
        let mut status = numbered();
        status.sinks.get_mut("search").unwrap().delivered_events = (1 << 53) - 1;
        assert!(render(&status).contains("forebay_sink_delivered_events_total{sink=\"search\"} 9007199254740991\n"));
    }

    proptest! {
        #[test]
        fn any_names_and_numbers_give_a_page_that_parses(name in "\\PC{0,12}[\"\\\\\n]?\\PC{0,3}", state: String, value: u64, seconds: f64) {
            let mut status = numbered();
            let mut sink = status.sinks["search"].clone();
            sink.state = state.clone();
            sink.lag_events = value;
            sink.lag_seconds = seconds;
            status.sinks.insert(name.clone(), sink);
            status.queue.state = state;
            let page = render(&status).replace('\r', "");
            prop_assert!(parse(&page).is_ok(), "{:?}", parse(&page));
        }
    }
}
