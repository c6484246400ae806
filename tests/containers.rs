//! Logs of containers through the real binary: joined, unwrapped, and rotated as the kubelet does it.

mod common;

use common::{Bench, elasticsearch_sink, quoted};
use forebay::demo::receiver::Receiver;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::process::Command;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn cri(n: u32, stream: &str, tag: &str, text: &str) -> String {
    format!("2026-03-09T10:15:02.{n:09}Z {stream} {tag} {text}\n")
}

/// The pipeline for the pods below the bench's folder, and for symlinks to their logs.
fn pipeline(bench: &Bench, receiver: &Receiver, source: &str) {
    let text = format!(
        "data_dir: {}\nadmin: {{listen: \"{}\"}}\nsources:\n  pods:\n    type: file\n    include: [{}, {}]\n    idle_flush: 200ms\n    \
         rescan: 200ms\n{source}\nsinks:\n{}\n",
        quoted(bench.path("state")),
        bench.admin,
        quoted(bench.path("pods/*/*/*.log")),
        quoted(bench.path("containers/*.log")),
        elasticsearch_sink(&receiver.url())
    );
    fs::write(bench.path("pipeline.yaml"), text).unwrap();
}

fn documents(receiver: &Receiver) -> Vec<Value> {
    let mut all: Vec<Value> = receiver.account(|a| a.documents().values().map(|d| serde_json::from_str(&d.source).unwrap()).collect());
    all.sort_by_key(|d| (d["log"]["file"]["path"].to_string(), d["log"]["offset"].as_u64()));
    all
}

#[test]
fn stack_traces_and_split_lines_of_a_pod_are_whole_with_its_names() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    let folder = bench.path("pods/shop_cart-5d8f-x2x_0b1e/app");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir(bench.path("containers")).unwrap();
    let log = folder.join("0.log");
    // Both names lead to the same file.
    std::os::unix::fs::symlink(&log, bench.path(&format!("containers/cart-5d8f-x2x_shop_app-{ID}.log"))).unwrap();
    let long = "0123456789".repeat(4_000);
    let lines = [
        cri(1, "stdout", "F", "2026-03-09 10:15:02 ERROR failed"),
        cri(2, "stdout", "F", "java.lang.IllegalStateException: \"x\""),
        cri(3, "stdout", "F", "\tat a.B.c(B.java:1)"),
        cri(4, "stderr", "F", "2026-03-09 10:15:02 WARN other"),
        cri(5, "stdout", "P", &format!("2026-03-09 10:15:02 INFO {}", &long[..16_000])),
        cri(6, "stdout", "P", &long[16_000..32_000]),
        cri(7, "stdout", "F", &long[32_000..]),
        "no record\n".into(),
        cri(8, "stdout", "F", "2026-03-09 10:15:03 INFO last"),
    ];
    fs::write(&log, lines.concat()).unwrap();
    pipeline(&bench, &receiver, "    format: auto\n    multiline: {preset: java, timeout: 200ms}");
    bench.ship_all(|| receiver.account(|a| a.documents().len() >= 5));
    let documents = documents(&receiver);
    let messages: Vec<&str> = documents.iter().map(|d| d["message"].as_str().unwrap()).collect();
    let trace = "2026-03-09 10:15:02 ERROR failed\njava.lang.IllegalStateException: \"x\"\n\tat a.B.c(B.java:1)";
    let whole = format!("2026-03-09 10:15:02 INFO {long}");
    assert_eq!(messages, [trace, "2026-03-09 10:15:02 WARN other", &whole, "no record", "2026-03-09 10:15:03 INFO last"]);
    let first = &documents[0];
    assert_eq!(first["@timestamp"], "2026-03-09T10:15:02.000000001Z");
    assert_eq!((&first["stream"], &documents[1]["stream"]), (&json!("stdout"), &json!("stderr")));
    assert_eq!(documents[3]["log"]["flags"], json!(["malformed"]));
    assert_eq!(first["kubernetes"]["namespace"], "shop");
    assert_eq!(first["kubernetes"]["pod"]["name"], "cart-5d8f-x2x");
    assert_eq!(first["kubernetes"]["container"]["name"], "app");
}

#[test]
fn what_the_kubelet_rotates_is_read_once_also_compressed_and_after_kill_9() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    let folder = bench.path("pods/shop_cart_0b1e/app");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir(bench.path("containers")).unwrap();
    pipeline(&bench, &receiver, "    format: cri");
    let log = folder.join("0.log");
    let append = |numbers: std::ops::Range<u32>| {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        for n in numbers {
            let stream = if n % 3 == 0 { "stderr" } else { "stdout" };
            file.write_all((cri(n, stream, "P", &format!("line {n:05} ")) + &cri(n, stream, "F", "end")).as_bytes()).unwrap();
        }
    };
    let shipped = |n: usize| receiver.account(|a| a.documents().len() >= n);
    append(0..300);
    let mut agent = bench.start();
    agent.wait_for("the first are shipped", || shipped(300));
    // Rotated while it runs.
    fs::rename(&log, folder.join("0.log.20260309-101502")).unwrap();
    append(300..600);
    agent.wait_for("the second are shipped", || shipped(600));
    agent.kill();
    // Rotated and compressed while it is down.
    append(600..900);
    let rotated = folder.join("0.log.20260309-101510");
    fs::rename(&log, &rotated).unwrap();
    append(900..1200);
    assert!(Command::new("gzip").arg(&rotated).status().unwrap().success());
    bench.ship_all(|| shipped(1200));
    receiver.account(|account| {
        assert_eq!(account.documents().len(), 1200);
        assert!((0..1200).all(|n| account.lines().get(&format!("line {n:05} end")) == Some(&1)));
        assert_eq!((account.collisions, account.without_id), (0, 0));
    });
    assert!(documents(&receiver).iter().all(|d| d["kubernetes"]["pod"]["uid"] == "0b1e" && d.get("log").unwrap().get("flags").is_none()));
}

#[test]
fn docker_lines_with_the_labels_of_a_sidecars_pod() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    let podinfo = bench.path("podinfo");
    fs::create_dir(&podinfo).unwrap();
    fs::write(podinfo.join("labels"), "app.kubernetes.io/name=\"shop\"\n").unwrap();
    fs::write(podinfo.join("name"), "cart-7").unwrap();
    bench.pipeline(&elasticsearch_sink(&receiver.url()), &format!("    format: docker\n    downward_api: {}", quoted(&podinfo)), "");
    let line = |log: &str| json!({"log": log, "stream": "stdout", "time": "2026-03-09T10:15:02.5Z"}).to_string() + "\n";
    bench.append("a.log", [line("one "), line("\"line\" <é>\r\n"), line("two\n"), line("open")].concat());
    bench.ship_all(|| receiver.account(|a| a.documents().len() >= 3));
    let documents = documents(&receiver);
    let messages: Vec<&str> = documents.iter().map(|d| d["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["one \"line\" <é>", "two", "open"]);
    assert_eq!(documents[2]["log"]["flags"], json!(["partial"]));
    assert_eq!(documents[0]["@timestamp"], "2026-03-09T10:15:02.5Z");
    assert_eq!(documents[0]["kubernetes"], json!({"labels": {"app_kubernetes_io/name": "shop"}, "pod": {"name": "cart-7"}}));
}
