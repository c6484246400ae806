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
    let group = GroupPartition { topic: "logs".into(), partition: 3, committed: 401, end: 402, overwrite_until: 403, redriven_until: 404 };
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
    let name_ok =
        |n: &str| n.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && n.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
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
    assert_eq!(expected.len(), 3 + 2 + 20 + 7 + 7 + 5 + 17 + 4 + 4);
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
