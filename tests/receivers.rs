//! Sinks `otlp` and `loki` against real receivers, with answers that are lost and a `kill -9` of the agent on the way.
//!
//! `FOREBAY_TEST_OTLP=http://localhost:4318` is an OpenTelemetry Collector whose `file` exporter writes JSON to
//! `FOREBAY_TEST_OTLP_FILE`; `FOREBAY_TEST_LOKI=http://localhost:3100` a Grafana Loki. docs/delivery.md has a configuration for each.
//! Without them the tests say that they are skipped.

mod common;

use common::rolling::{Request, serve};
use common::{Agent, Bench, http, machine};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The address of a real receiver, or `None`, said plainly.
fn receiver(test: &str, variable: &str) -> Option<String> {
    let address = std::env::var(variable).ok();
    if address.is_none() {
        machine::skipped(test, &format!("set {variable} to run it"));
    }
    address
}

/// A name that no other run has.
fn name_of_this_run() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    format!("forebay-test-{}-{now}", std::process::id())
}

/// A request passed on to `server`; its answer as it came.
fn pass(server: &str, request: &Request) -> Vec<u8> {
    let host = server.trim_start_matches("http://").trim_end_matches('/');
    let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", request.method, request.path);
    for (name, value) in request.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("connection")) {
        head += &format!("{name}: {value}\r\n");
    }
    let mut stream = TcpStream::connect(host).expect("the receiver");
    http::exchange(&mut stream, &[head.as_bytes(), b"\r\n", &request.body].concat()).expect("an answer")
}

/// A door before `server` that loses the answer to every third request; how many it has lost.
fn door(server: &str) -> (String, Arc<AtomicU64>) {
    let (server, lost, requests) = (server.to_string(), Arc::new(AtomicU64::new(0)), AtomicU64::new(0));
    let count = lost.clone();
    let url = serve(move |request| {
        let answer = pass(&server, request);
        let lose = requests.fetch_add(1, Ordering::SeqCst) % 3 == 1;
        count.fetch_add(lose.into(), Ordering::SeqCst);
        (!lose).then_some(answer)
    });
    (url, lost)
}

/// Lines of all sorts; every hundredth is the same.
fn lines(numbers: std::ops::Range<u64>) -> Vec<String> {
    let line = |n: u64| match n % 100 {
        0 => "the same line again".to_string(),
        1 => format!("{n} \"quoted\" \\ back\tslash \u{1}"),
        2 => format!("{n} 日本語 🙂 ü"),
        3 => format!("{n} {}", "long ".repeat(400)),
        _ => format!("2026-03-09T10:15:02.123Z INFO orders - order {n} paid"),
    };
    numbers.map(line).collect()
}

/// Ships 4,000 lines to `sink` (YAML, indented by two), the agent killed in between; what was written, sorted.
fn ship(bench: &Bench, service: &str, sink: &str) -> (Agent, Vec<String>) {
    bench.pipeline(sink, &format!("    fields: {{service.name: {service}}}"), "");
    let write = |range| {
        let lines = lines(range);
        bench.append("app.log", lines.join("\n") + "\n");
        lines
    };
    let mut written = write(0..2_000);
    let mut agent = bench.start();
    agent.wait_status("it ships", |s| s.sinks.get("out").is_some_and(|s| s.delivered_events > 0));
    written.extend(write(2_000..4_000));
    agent.kill();
    let mut agent = bench.start();
    agent.wait_status("all is shipped", |s| s.sinks.get("out").is_some_and(|s| s.lag_events == 0 && s.delivered_events > 0));
    written.sort();
    (agent, written)
}

/// The text of a value of OTLP in JSON.
fn text(value: &Value) -> String {
    value["stringValue"].as_str().or(value["intValue"].as_str()).unwrap_or_else(|| panic!("no text: {value}")).to_string()
}

fn attributes(of: &Value) -> HashMap<String, String> {
    let all = of["attributes"].as_array().into_iter().flatten();
    all.map(|a| (a["key"].as_str().expect("a key").to_string(), text(&a["value"]))).collect()
}

/// The records of a service in the collector's file: body and attributes.
fn records(file: &str, service: &str) -> Vec<(String, HashMap<String, String>)> {
    let content = std::fs::read_to_string(file).expect("the collector's file");
    let mut records = Vec::new();
    for line in content.lines().filter(|line| line.contains(service)) {
        // The last line may be on its way still.
        let Ok(export) = serde_json::from_str::<Value>(line) else { continue };
        for resource in export["resourceLogs"].as_array().expect("resourceLogs") {
            if attributes(&resource["resource"]).get("service.name").is_none_or(|own| own != service) {
                continue;
            }
            for scope in resource["scopeLogs"].as_array().expect("scopeLogs") {
                assert_eq!(scope["scope"]["name"], "forebay");
                let logs = scope["logRecords"].as_array().expect("logRecords");
                records.extend(logs.iter().map(|record| (text(&record["body"]), attributes(record))));
            }
        }
    }
    records
}

#[test]
fn a_collector_has_each_record_under_one_name() {
    let Some(server) = receiver("a_collector_has_each_record_under_one_name", "FOREBAY_TEST_OTLP") else { return };
    let file = std::env::var("FOREBAY_TEST_OTLP_FILE").expect("FOREBAY_TEST_OTLP_FILE: what the collector's file exporter writes");
    for compression in ["none", "gzip"] {
        let (bench, service, (url, lost)) = (Bench::new(), name_of_this_run(), door(&server));
        let keys = "batch: {max_events: 300}\n    retry: {initial: 20ms, max: 200ms}";
        let sink = format!("  out:\n    type: otlp\n    endpoint: \"{url}\"\n    compression: {compression}\n    {keys}");
        let (mut agent, written) = ship(&bench, &service, &sink);
        let distinct = || -> BTreeMap<String, (u64, String)> {
            let mut by_name: BTreeMap<String, (u64, String)> = BTreeMap::new();
            for (body, attributes) in records(&file, &service) {
                assert!(attributes["log.file.path"].ends_with("/logs/app.log") && attributes.contains_key("log.offset"), "{attributes:?}");
                let own = by_name.entry(attributes["log.record.uid"].clone()).or_insert_with(|| (0, body.clone()));
                assert_eq!(own.1, body, "one name, two events");
                own.0 += 1;
            }
            by_name
        };
        agent.wait_for("the collector has written all", || distinct().len() >= written.len());
        let records = distinct();
        let mut arrived: Vec<String> = records.values().map(|(_, body)| body.clone()).collect();
        arrived.sort();
        assert_eq!(arrived, written);
        let twice = records.values().filter(|(times, _)| *times > 1).count();
        let lost = lost.load(Ordering::SeqCst);
        println!(
            "otlp, compression {compression}: {} lines, {lost} answers lost, {twice} records twice under the same name",
            written.len()
        );
        assert!(lost > 0 && twice > 0, "nothing was sent again, so that nothing is shown");
        assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    }
}

#[test]
fn a_collector_at_another_path_holds_the_sink() {
    let Some(server) = receiver("a_collector_at_another_path_holds_the_sink", "FOREBAY_TEST_OTLP") else { return };
    let bench = Bench::new();
    bench.pipeline(&format!("  out:\n    type: otlp\n    endpoint: \"{server}/nowhere\""), "", "");
    bench.append("app.log", "a line\n");
    let mut agent = bench.start();
    let held = agent.wait_status("it is held", |s| s.sinks.get("out").is_some_and(|s| s.state == "held"));
    assert!(held.sinks["out"].reason.starts_with("there is nothing at this URL (404)"), "{}", held.sinks["out"].reason);
    assert_eq!((held.sinks["out"].lag_events, held.sinks["out"].dead_lettered), (1, 0));
}

/// The lines that Loki has of a service.
fn entries(server: &str, service: &str) -> Vec<String> {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    let (from, to) = (nanos - 3_600_000_000_000, nanos + 60_000_000_000);
    let query = format!("query=%7Bservice_name%3D%22{service}%22%7D&start={from}&end={to}&limit=5000&direction=forward");
    let url = format!("{}/loki/api/v1/query_range?{query}", server.trim_end_matches('/'));
    let (status, answer) = http::request("GET", &url, None).expect("an answer");
    let answer = String::from_utf8_lossy(&answer);
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let streams = answer["data"]["result"].as_array().expect("streams");
    let values = streams.iter().flat_map(|stream| {
        // Structured metadata stands beside the labels in the answer.
        let metadata = &stream["stream"];
        assert!(metadata["log_offset"].is_string() && metadata["host"].is_string(), "{metadata}");
        stream["values"].as_array().expect("values")
    });
    values.map(|value| value[1].as_str().expect("a line").to_string()).collect()
}

#[test]
fn loki_has_each_line_once_and_what_it_refuses_is_dead_lettered() {
    let test = "loki_has_each_line_once_and_what_it_refuses_is_dead_lettered";
    let Some(server) = receiver(test, "FOREBAY_TEST_LOKI") else { return };
    for compression in ["none", "gzip"] {
        let (bench, service, (url, lost)) = (Bench::new(), name_of_this_run(), door(&server));
        let keys = "batch: {max_events: 300}\n    retry: {initial: 20ms, max: 200ms}";
        let sink = format!("  out:\n    type: loki\n    endpoint: \"{url}\"\n    compression: {compression}\n    {keys}");
        // Loki's own limit is 256 KiB.
        bench.append("app.log", format!("{}\n", "x".repeat(300 << 10)));
        let (mut agent, written) = ship(&bench, &service, &sink);
        agent.wait_for("Loki shows all", || entries(&server, &service).len() >= written.len());
        let mut arrived = entries(&server, &service);
        arrived.sort();
        let lost = lost.load(Ordering::SeqCst);
        println!("loki, compression {compression}: {} lines, {lost} answers lost, {} entries", written.len(), arrived.len());
        assert_eq!(arrived.len(), written.len());
        assert_eq!(arrived, written);
        assert!(lost > 0);
        let state = bench.path("state");
        let read = ["read", "dead-letter", "--data-dir", state.to_str().expect("UTF-8")];
        let letters = String::from_utf8(common::forebay(&read).stdout).expect("UTF-8");
        assert_eq!(letters.matches("\"event_id\"").count(), 1, "{letters}");
        assert!(letters.contains("max entry size") && letters.contains("\"status\":400"), "{letters}");
        assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    }
}
