//! The real binary as an operator meets it: signals, exit codes, the admin listener, the demo.

mod common;

use common::{Bench, PATIENCE, TAKEN, UNDELIVERED, assert_exactly, elasticsearch_sink, forebay, free_address, http, lines};
use forebay::admin::Status;
use forebay::demo::receiver::{Mode, Receiver};
use std::time::{Duration, Instant};

fn get(bench: &Bench, path: &str) -> (u16, String) {
    let (status, body) = http::request("GET", &format!("http://{}{path}", bench.admin), None).expect("an answer");
    (status, String::from_utf8(body).expect("UTF-8"))
}

#[test]
fn sigterm_ships_what_is_left_and_exits_with_0() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "shutdown: {drain: 60s}");
    let text = lines(0..50_000);
    let mut agent = bench.start();
    agent.wait_status("it runs", |s| s.state == "running");
    bench.append("app.log", &text);
    agent.wait_for("the first lines arrive", || receiver.account(|a| !a.documents().is_empty()));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_exactly(&receiver, &text);
}

#[test]
fn sigterm_with_the_receiver_down_says_so_and_the_data_stays() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    receiver.set(Mode::Down);
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "shutdown: {drain: 300ms}");
    let text = lines(0..1_000);
    bench.append("app.log", &text);
    let mut agent = bench.start();
    agent.wait_status("all is in the queue", |s| s.sinks["search"].lag_events == 1_000);
    assert_eq!(agent.terminate().code(), Some(UNDELIVERED), "{}", agent.log());
    assert!(agent.log().contains("1000") || agent.log().contains("1,000"), "the log says how much remains: {}", agent.log());
    // The file is gone: what arrives now comes from the queue.
    std::fs::remove_file(bench.log("app.log")).unwrap();
    receiver.set(Mode::Up);
    bench.ship_all(|| receiver.account(|a| a.documents().len() >= 1_000));
    assert_exactly(&receiver, &text);
}

#[test]
fn a_second_sigterm_stops_at_once_and_loses_nothing() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    receiver.set(Mode::Down);
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "shutdown: {drain: 1h}");
    let text = lines(0..1_000);
    bench.append("app.log", &text);
    let mut agent = bench.start();
    agent.wait_status("all is in the queue", |s| s.sinks["search"].lag_events == 1_000);
    agent.signal_term();
    agent.wait_status("it drains", |s| s.state == "draining");
    assert_eq!(agent.terminate().code(), Some(UNDELIVERED), "{}", agent.log());
    receiver.set(Mode::Up);
    bench.ship_all(|| receiver.account(|a| a.documents().len() >= 1_000));
    assert_exactly(&receiver, &text);
}

#[test]
fn two_agents_on_one_data_dir_are_an_error_that_says_so() {
    let (mut bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    let mut first = bench.start();
    first.wait_status("it runs", |s| s.state == "running");
    // Nothing but the data_dir is shared.
    bench.admin = free_address();
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    let mut second = bench.start();
    let status = second.wait();
    assert_eq!(status.code(), Some(TAKEN), "{}", second.log());
    let log = second.log();
    assert!(log.contains("another") && log.contains(bench.path("state").to_str().unwrap()), "{log}");
    assert_eq!(first.terminate().code(), Some(0), "{}", first.log());
}

#[test]
fn the_admin_listener_tells_how_it_stands() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    let text = lines(0..1_000);
    bench.append("app.log", &text);
    let mut agent = bench.start();
    let status = agent.wait_status("all is delivered", |s| s.sinks["search"].delivered_events == 1_000);
    assert_eq!(status.sources["app"].read_bytes, text.len() as u64);
    assert_eq!((status.sources["app"].read_events, status.sinks["search"].lag_events), (1_000, 0));
    assert_eq!(status.queue.state, "ok");
    assert_eq!(get(&bench, "/healthz").0, 200);
    assert_eq!(get(&bench, "/readyz").0, 200);
    let (code, metrics) = get(&bench, "/metrics");
    assert_eq!(code, 200);
    for sample in [
        format!("forebay_source_read_bytes_total{{source=\"app\"}} {}", text.len()),
        "forebay_source_read_events_total{source=\"app\"} 1000".into(),
        "forebay_sink_delivered_events_total{sink=\"search\"} 1000".into(),
        "forebay_sink_lag_events{sink=\"search\"} 0".into(),
        "forebay_queue_partition_durable_offset{topic=\"logs\",partition=\"0\"} 1000".into(),
    ] {
        assert!(metrics.lines().any(|l| l == sample), "{sample} is not in\n{metrics}");
    }
    let admin = bench.admin.to_string();
    let output = forebay(&["status", "--json", "--admin", &admin]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed: Status = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(printed.sinks["search"].delivered_events, 1_000);
    // The address by itself, or the pipeline that has it.
    let (pipeline, off) = (bench.path("pipeline.yaml"), bench.path("off.yaml"));
    let by_pipeline = ["status", "--config", pipeline.to_str().expect("UTF-8")];
    for args in [&["status", "--admin", &admin][..], &by_pipeline] {
        let page = forebay(args);
        assert!(String::from_utf8_lossy(&page.stdout).contains("  lost     nothing"), "{}", String::from_utf8_lossy(&page.stderr));
    }
    let text = std::fs::read_to_string(&pipeline).expect("the pipeline").replace(&format!("admin: {{listen: \"{admin}\"}}"), "admin: off");
    std::fs::write(&off, text).expect("another pipeline");
    let without = forebay(&["status", "--config", off.to_str().expect("UTF-8")]);
    assert_eq!(without.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&without.stderr).contains("`admin: off`"), "{}", String::from_utf8_lossy(&without.stderr));
    assert_eq!(forebay(&["status", "--config", "/nowhere.yaml"]).status.code(), Some(2));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert!(!forebay(&["status", "--admin", &admin]).status.success(), "nobody answers any more");
}

#[test]
fn a_held_sink_is_not_ready_and_says_why() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    receiver.set(Mode::Unauthorized);
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "shutdown: {drain: 100ms}");
    bench.append("app.log", "one\n");
    let mut agent = bench.start();
    agent.wait_status("the sink is held", |s| s.sinks["search"].state == "held");
    let (code, body) = get(&bench, "/readyz");
    assert_eq!(code, 503, "{body}");
    assert!(body.contains("sink search is held") && body.contains("401"), "{body}");
    receiver.set(Mode::Up);
    agent.wait_for("it goes on by itself", || receiver.account(|a| a.documents().len() == 1));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
}

#[test]
fn an_admin_address_that_is_taken_is_an_error_that_names_it() {
    let bench = Bench::new();
    let _taken = std::net::TcpListener::bind(bench.admin).unwrap();
    bench.pipeline("  out:\n    type: console", "", "");
    let mut agent = bench.start();
    assert!(agent.wait().code().is_some_and(|c| c != 0));
    assert!(agent.log().contains(&format!("{} is taken", bench.admin)), "{}", agent.log());
}

#[test]
fn the_demo_loses_and_doubles_nothing() {
    let start = Instant::now();
    let output = forebay(&["demo", "--plain", "--seconds", "6", "--rate", "1000"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("Every line arrived, and each exactly once."), "{text}");
    assert!(text.lines().any(|l| l.split_whitespace().eq(["lost", "0"])), "{text}");
    assert!(start.elapsed() < PATIENCE + Duration::from_secs(6));
}

#[test]
fn the_configuration_in_the_kubernetes_manifest_is_accepted() {
    let manifest = include_str!("../packaging/kubernetes/sidecar.yaml");
    let (_, rest) = manifest.split_once("  app.yaml: |\n").expect("the config map");
    let (text, _) = rest.split_once("\n---\n").expect("the deployment");
    let bench = Bench::new();
    let secret = bench.path("api_key");
    std::fs::write(&secret, "c2VjcmV0OmtleQ==").unwrap();
    let text = text.replace("/run/secrets/elasticsearch/api_key", secret.to_str().unwrap());
    let pipeline = bench.path("pipeline.yaml");
    std::fs::write(&pipeline, text.lines().map(|l| l.strip_prefix("    ").unwrap_or(l).to_string() + "\n").collect::<String>()).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_forebay"))
        .arg("check")
        .arg(&pipeline)
        .envs([("POD_UID", "7f2c"), ("POD_NAME", "app-1")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

#[test]
fn more_files_than_descriptors_are_all_shipped() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    for n in 0..200 {
        bench.append(&format!("file-{n}.log"), format!("one of {n}\ntwo of {n}\n"));
    }
    // Started by a shell that has few to give.
    let mut agent = bench.start_under(&["sh", "-c", "ulimit -n 64; exec \"$@\"", "sh"]);
    agent.wait_for("all is shipped", || receiver.account(|a| a.documents().len() >= 400));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
}

#[test]
fn many_sinks_stop_in_the_time_of_one() {
    let bench = Bench::new();
    let sinks: Vec<String> =
        (0..40).map(|n| format!("  s{n}: {{type: file, path: {}}}", common::quoted(bench.path(&format!("out-{n}"))))).collect();
    bench.pipeline(&sinks.join("\n"), "", "shutdown: {drain: 60s}");
    bench.append("app.log", "one\n");
    let mut agent = bench.start();
    agent.wait_status("all is delivered", |s| s.sinks.values().all(|sink| sink.delivered_events == 1));
    let start = Instant::now();
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert!(start.elapsed() < Duration::from_secs(6), "one after the other they take 10 s: {:?}", start.elapsed());
}
