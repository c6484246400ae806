//! What goes wrong with real search servers: killed again and again, a write queue that is full, a disk that is, a mapping
//! that does not fit, TLS and a wrong password. After each, every line is there once.
//!
//! `FOREBAY_TEST_SERVER_COMMAND` starts the servers that are killed and pressed (see `common/search_server.rs`); the others are
//! those of `tests/elasticsearch.rs` and `tests/opensearch.rs`; the secured one, see `common/secured.rs`.
//! `FOREBAY_TEST_OUTAGE_LINES` (100,000) and `FOREBAY_TEST_OUTAGE_KILLS` (5, of the server and as many of the agent) set the long form.

mod common;

use common::real_server::{Index, folder, server};
use common::search_server::SearchServer;
use common::{Agent, Bench, http, number};
use forebay::admin::Status;
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Real lines, each with a number in front that no other one has.
struct Real(Vec<String>);

/// Digits of the number: keywords sort as numbers then.
const DIGITS: usize = 9;

impl Real {
    fn read() -> Real {
        let mut lines = Vec::new();
        for entry in std::fs::read_dir(folder()).expect("the folder of logs") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|e| e == "log") {
                let text = String::from_utf8_lossy(&std::fs::read(&path).expect("a log")).into_owned();
                lines.extend(text.lines().filter(|l| !l.is_empty()).map(str::to_string));
            }
        }
        assert!(!lines.is_empty(), "no lines in {}", folder().display());
        Real(lines)
    }

    fn line(&self, number: u64) -> String {
        format!("{number:0DIGITS$} {}", self.0[number as usize % self.0.len()])
    }
}

/// Appends to `app.log`, and renames it now and then.
struct Writer<'a> {
    bench: &'a Bench,
    real: Real,
    written: u64,
    /// Lines of a file.
    file: u64,
    rotations: u32,
}

impl Writer<'_> {
    fn write(&mut self, mut lines: u64) {
        while lines > 0 {
            let part = lines.min(self.file - self.written % self.file).min(5_000);
            let mut text = String::new();
            for number in self.written..self.written + part {
                writeln!(text, "{}", self.real.line(number)).expect("a string");
            }
            self.bench.append("app.log", text);
            (self.written, lines) = (self.written + part, lines - part);
            if self.written.is_multiple_of(self.file) {
                common::rename(&self.bench.log("app.log"), &self.bench.log(&format!("app-{:03}.log", self.rotations)));
                self.rotations += 1;
            }
        }
    }
}

/// Events below the committed offsets.
fn committed(status: &Status) -> u64 {
    status.sinks["search"].partitions.iter().map(|p| p.committed).sum()
}

/// Waits until `lines` are delivered; only a standstill is a failure.
fn drain(agent: &mut Agent, lines: u64) -> Status {
    let mut before = 0;
    loop {
        let status = agent.wait_status("more is delivered", |s| committed(s) > before || committed(s) >= lines);
        before = committed(&status);
        if before >= lines {
            return status;
        }
    }
}

/// How many lines are not there, and how many documents too many, by what the server holds of each.
fn account(index: &Index, real: &Real, lines: u64) -> (u64, u64) {
    let documents = index.count();
    let (mut seen, mut after) = (vec![false; lines as usize], Value::Null);
    loop {
        let mut query = json!({"size": 10_000, "_source": false, "track_total_hits": false, "sort": [{"message": "asc"}]});
        if !after.is_null() {
            query["search_after"] = after.take();
        }
        let answer = index.ask("POST", "/_search?filter_path=hits.hits.sort", Some(query));
        let Some(hits) = answer["hits"]["hits"].as_array() else { break };
        for hit in hits {
            let message = hit["sort"][0].as_str().expect("a message");
            let number: u64 = message[..DIGITS].parse().expect("a number");
            assert_eq!(message, real.line(number), "as it was written");
            seen[number as usize] = true;
        }
        after = hits[hits.len() - 1]["sort"].clone();
    }
    let distinct = seen.iter().filter(|seen| **seen).count() as u64;
    (lines - distinct, documents - distinct)
}

/// Messages as keywords, so that they are counted and sorted as they are.
fn index_of_lines(server: &str, name: &str) -> Index {
    let index = Index::named(server, name);
    let mapping = json!({"properties": {"message": {"type": "keyword"}}});
    index.ask("PUT", "", Some(json!({"settings": {"number_of_shards": 1, "number_of_replicas": 0}, "mappings": mapping})));
    index
}

fn sink(server: &str, index: &Index, more: &str) -> String {
    let keys = format!("endpoints: [\"{server}\"]\n    index: {}\n    retry: {{initial: 50ms, max: 1s}}", index.name());
    format!("  search:\n    type: elasticsearch\n    {keys}\n{more}")
}

fn tell(text: &str) {
    std::io::Write::write_all(&mut std::io::stdout(), format!("{text}\n").as_bytes()).expect("stdout");
}

/// Lines are written and files rotated while server and agent are killed in turn: the server with batches on their way, the agent
/// with batches on their way or while the server is down.
fn killed_again_and_again(name: &str) {
    let Some(mut server) = SearchServer::start(&format!("{name}_killed_again_and_again"), name, &[]) else { return };
    let (lines, kills) = (number("FOREBAY_TEST_OUTAGE_LINES", 100_000), number("FOREBAY_TEST_OUTAGE_KILLS", 5));
    let index = index_of_lines(&server.url(), "killed");
    let bench = Bench::new();
    bench.pipeline(&sink(&server.url(), &index, "    batch: {max_events: 2000}"), "", "");
    let part = lines / (3 * kills + 1);
    let mut writer = Writer { bench: &bench, real: Real::read(), written: 0, file: lines / 23 + 1, rotations: 0 };
    let (begun, mut again) = (Instant::now(), 0);
    let mut agent = bench.start();
    let mut before = 0;
    for round in 0..kills {
        writer.write(part);
        let shipping = |before: u64| move |s: &Status| s.sinks.contains_key("search") && committed(s) > before;
        agent.wait_status("it ships", shipping(before));
        server.kill();
        writer.write(part);
        let status = agent.wait_status("it waits for the server", |s| s.sinks["search"].state == "retrying");
        before = committed(&status);
        if round % 2 == 1 {
            again += status.sinks["search"].already_there;
            agent.kill();
            server.up();
            agent = bench.start();
        } else {
            server.up();
        }
        writer.write(part);
        let status = agent.wait_status("it ships again", shipping(before));
        before = committed(&status);
        if round % 2 == 0 {
            again += status.sinks["search"].already_there;
            agent.kill();
            agent = bench.start();
        }
    }
    writer.write(lines - writer.written);
    let status = drain(&mut agent, lines);
    let seconds = begun.elapsed().as_secs_f64();
    again += status.sinks["search"].already_there;
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    let (missing, doubled) = account(&index, &writer.real, lines);
    tell(&format!(
        "{name}: {lines} lines over {} files in {seconds:.0} s; kill -9 of the server {kills} times, of the agent {kills} times; sent again \
         and recognised (at least) {again}; missing {missing}, doubled {doubled}",
        writer.rotations + 1
    ));
    assert_eq!((missing, doubled, status.sinks["search"].dead_lettered), (0, 0, 0), "{}", agent.log());
}

#[test]
fn elasticsearch_killed_again_and_again_has_each_line_once() {
    killed_again_and_again("elasticsearch");
}

#[test]
fn opensearch_killed_again_and_again_has_each_line_once() {
    killed_again_and_again("opensearch");
}

/// `forebay status --json`.
fn status(bench: &Bench) -> Value {
    let admin = bench.admin.to_string();
    let done = common::forebay(&["status", "--json", "--admin", &admin]);
    assert!(done.status.code().is_some(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&done.stderr)))
}

/// One thread that writes and a queue of one, first for the sink alone, then pressed by others who never wait: the sink makes
/// itself small, and all arrives.
fn write_queue_is_full(name: &str) {
    let settings = ["thread_pool.write.size=1", "thread_pool.write.queue_size=1"];
    let Some(server) = SearchServer::start(&format!("{name}_whose_write_queue_is_full"), name, &settings) else { return };
    let lines = 20_000;
    let (index, noise) = (index_of_lines(&server.url(), "pressed"), index_of_lines(&server.url(), "noise"));
    let bench = Bench::new();
    bench.pipeline(&sink(&server.url(), &index, "    in_flight: 16\n    batch: {max_events: 500}"), "", "");
    let mut writer = Writer { bench: &bench, real: Real::read(), written: 0, file: lines, rotations: 0 };
    let mut agent = bench.start();
    agent.wait_status("it runs", |s| s.sinks.contains_key("search"));
    let limit = |seen: &Value| seen["sinks"]["search"]["in_flight_limit"].as_u64().expect("a limit");
    let (first, mut lowest) = (limit(&status(&bench)), u64::MAX);
    writer.write(lines / 2);
    let alone = drain(&mut agent, lines / 2);
    let (stop, others, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let body = "{\"index\":{}}\n{\"message\":\"somebody else's\"}\n".repeat(1_000);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let url = format!("{}/_bulk?filter_path=errors", noise.url);
                    let (status, said) = http::request("POST", &url, Some(&body)).expect("an answer");
                    others.fetch_add(1, Ordering::SeqCst);
                    refused.fetch_add(u64::from(status == 429 || said.ends_with(b"true}")), Ordering::SeqCst);
                }
            });
        }
        // The others stop whatever becomes of this.
        let _stopped = set_when_dropped(&stop);
        writer.write(lines / 2);
        let before = alone.sinks["search"].batches_retried;
        agent.wait_for("the server refuses some, and the sink makes itself small", || {
            let seen = status(&bench);
            lowest = lowest.min(limit(&seen));
            lowest < first && seen["sinks"]["search"]["batches_retried"].as_u64().expect("a number") >= before + 5
        });
    });
    let pressed = drain(&mut agent, lines);
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    let of = |s: &Status| (s.sinks["search"].batches_sent, s.sinks["search"].batches_retried);
    let ((sent, again), (sent_alone, again_alone)) = (of(&pressed), of(&alone));
    let share = |again: u64, sent: u64| 100.0 * again as f64 / sent as f64;
    tell(&format!(
        "{name}: write queue of 1; alone {again_alone} of {sent_alone} requests were tries after a 429 ({:.1} %); with 6 others, of whose \
         {} requests {} were refused: {} of {} ({:.1} %); in flight at most {first}, then {lowest}",
        share(again_alone, sent_alone),
        others.load(Ordering::SeqCst),
        refused.load(Ordering::SeqCst),
        again - again_alone,
        sent - sent_alone,
        share(again - again_alone, sent - sent_alone),
    ));
    assert!(agent.log().contains("429"), "{}", agent.log());
    assert_eq!(account(&index, &writer.real, lines), (0, 0), "missing, doubled");
    assert_eq!(pressed.sinks["search"].dead_lettered, 0, "{}", agent.log());
}

/// Sets the flag when dropped, also by a panic.
fn set_when_dropped(flag: &AtomicBool) -> impl Drop + '_ {
    struct Guard<'a>(&'a AtomicBool);
    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    Guard(flag)
}

#[test]
fn elasticsearch_whose_write_queue_is_full_gets_all() {
    write_queue_is_full("elasticsearch");
}

#[test]
fn opensearch_whose_write_queue_is_full_gets_all() {
    write_queue_is_full("opensearch");
}

/// The block that a server puts on its indices when its disk is full: the sink holds, says why, drops nothing; lifted, it goes on.
fn disk_is_full(name: &str, variable: &str) {
    let Some(server) = server(name, variable) else { return };
    let index = index_of_lines(&server, "flood");
    let bench = Bench::new();
    bench.pipeline(&sink(&server, &index, ""), "", "");
    let mut writer = Writer { bench: &bench, real: Real::read(), written: 0, file: 10_000, rotations: 0 };
    writer.write(1_000);
    let mut agent = bench.start();
    drain(&mut agent, 1_000);
    index.ask("PUT", "/_settings", Some(json!({"index.blocks.read_only_allow_delete": true})));
    writer.write(1_000);
    let status = agent.wait_status("it holds", |s| s.sinks["search"].state == "held");
    let reason = &status.sinks["search"].reason;
    assert!(reason.contains("cluster_block_exception") && reason.contains("disk usage exceeded flood-stage watermark"), "{reason}");
    assert!(reason.ends_with("nothing is given up, it stays in the queue"), "{reason}");
    agent.wait_log("flood-stage watermark");
    assert_eq!((committed(&status), status.sinks["search"].dead_lettered), (1_000, 0));
    index.ask("PUT", "/_settings", Some(json!({"index.blocks.read_only_allow_delete": null})));
    let status = drain(&mut agent, 2_000);
    assert_eq!(status.sinks["search"].dead_lettered, 0, "{}", agent.log());
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_eq!(account(&index, &writer.real, 2_000), (0, 0), "missing, doubled");
}

#[test]
fn elasticsearch_whose_disk_is_full_holds_the_sink_until_the_block_is_lifted() {
    disk_is_full("elasticsearch", "FOREBAY_TEST_ELASTICSEARCH");
}

#[test]
fn opensearch_whose_disk_is_full_holds_the_sink_until_the_block_is_lifted() {
    disk_is_full("opensearch", "FOREBAY_TEST_OPENSEARCH");
}

/// Every hundredth line does not fit the mapping: it becomes a dead letter that names field and type. The alias is rolled over
/// to an index with a mapping that fits, and `forebay redrive` brings them in.
fn mapping_is_mended(name: &str, variable: &str) {
    let Some(server) = server(name, variable) else { return };
    let alias = Index::named(&server, "mended");
    let server = server.trim_end_matches('/');
    let indices: Vec<Index> = (1..=2).map(|n| Index { url: format!("{server}/{}-{n:06}", alias.name()) }).collect();
    let mapping = |kind| json!({"properties": {"message": {"type": kind}}});
    let settings = json!({"number_of_shards": 1, "number_of_replicas": 0});
    let aliases = json!({alias.name(): {"is_write_index": true}});
    indices[0].ask("PUT", "", Some(json!({"settings": settings, "mappings": mapping("long"), "aliases": aliases})));
    let bench = Bench::new();
    bench.pipeline(&sink(server, &alias, ""), "", "");
    let lines: Vec<String> = (0..2_000).map(|n| if n % 100 == 7 { format!("no number {n}") } else { n.to_string() }).collect();
    bench.append("app.log", lines.join("\n") + "\n");
    let mut agent = bench.start();
    let status = drain(&mut agent, 2_000);
    assert_eq!(status.sinks["search"].dead_lettered, 20, "{}", agent.log());
    assert_eq!(alias.count(), 1_980);
    let state = bench.path("state");
    let on = |words: &[&str]| {
        let done = common::forebay(&[words, &["--data-dir", state.to_str().expect("UTF-8")]].concat());
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("UTF-8")
    };
    let letters: Vec<Value> = on(&["read", "dead-letter"]).lines().map(|l| serde_json::from_str(l).expect("a letter")).collect();
    assert_eq!(letters.len(), 20);
    for letter in &letters {
        assert_eq!(
            (&letter["field"], &letter["field_type"], &letter["status"]),
            (&json!("message"), &json!("long"), &json!(400)),
            "{letter}"
        );
        assert!(letter["original"].as_str().expect("text").starts_with("no number "), "{letter}");
    }
    let rolled = alias.ask("POST", "/_rollover", Some(json!({"settings": settings, "mappings": mapping("keyword")})));
    assert_eq!(rolled["new_index"], indices[1].name(), "{rolled}");
    let redriven = |expected: u64| {
        let told: Value = serde_json::from_str(&on(&["redrive", "search", "--json"])).expect("JSON");
        assert_eq!(told["events"], expected, "{told}");
    };
    redriven(20);
    agent.wait_for("all has arrived", || alias.count() >= 2_000);
    agent.wait_status("nothing is left", |s| s.sinks["search"].lag_events == 0 && s.sinks["search"].in_flight == 0);
    redriven(0);
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    let found = alias.ask("POST", "/_search", Some(json!({"size": 5_000, "_source": ["message"]})));
    let hits = found["hits"]["hits"].as_array().expect("hits");
    let mut stored: Vec<&str> = hits.iter().map(|h| h["_source"]["message"].as_str().expect("a message")).collect();
    let mut written: Vec<&str> = lines.iter().map(String::as_str).collect();
    stored.sort_unstable();
    written.sort_unstable();
    assert_eq!(stored, written);
}

#[test]
fn elasticsearch_gets_what_did_not_fit_once_the_mapping_is_mended() {
    mapping_is_mended("elasticsearch", "FOREBAY_TEST_ELASTICSEARCH");
}

#[test]
fn opensearch_gets_what_did_not_fit_once_the_mapping_is_mended() {
    mapping_is_mended("opensearch", "FOREBAY_TEST_OPENSEARCH");
}

/// A CA that is not known, then a wrong password, then the right one put into its file, without a restart.
#[test]
fn over_tls_as_a_user_nothing_is_lost_to_a_wrong_ca_or_password() {
    let Some(secured) = common::secured::Secured::named("over_tls_as_a_user_nothing_is_lost_to_a_wrong_ca_or_password") else { return };
    let index = Index::named(&secured.url, "secured");
    let bench = Bench::new();
    std::fs::write(bench.path("password"), "not the password").expect("a file");
    let pipeline = |tls: &str| {
        let auth = format!("    auth: {{user: {}, password: \"${{file:{}}}\"}}\n{tls}", secured.user, bench.path("password").display());
        bench.pipeline(&sink(&secured.url, &index, &auth), "", "");
    };
    bench.append("app.log", common::lines(0..2_000));
    pipeline("");
    let mut agent = bench.start();
    let status = agent.wait_status("it trusts nobody it does not know", |s| !s.sinks["search"].reason.is_empty());
    let reason = &status.sinks["search"].reason;
    assert!(reason.contains("certificate") && reason.contains("ca_file"), "{reason}");
    agent.kill();

    pipeline(&format!("    tls: {{ca_file: {}}}", common::quoted(&secured.ca)));
    let mut agent = bench.start();
    let status = agent.wait_status("the log-in is refused", |s| s.sinks["search"].state == "held");
    assert!(status.sinks["search"].reason.contains("401"), "{}", status.sinks["search"].reason);
    assert_eq!((committed(&status), status.sinks["search"].dead_lettered), (0, 0));
    std::fs::write(bench.path("password"), &secured.password).expect("a file");
    drain(&mut agent, 2_000);
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert!(!agent.log().contains(&secured.password) || secured.password == secured.user, "a secret in the log");
    let path = format!("/{}", index.name());
    let ask = |method: &str, more: &str| {
        let (status, said) = secured.request(method, &format!("{path}{more}"), None);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&said));
        serde_json::from_slice::<Value>(&said).expect("JSON")
    };
    ask("POST", "/_refresh");
    let count = ask("GET", "/_count")["count"].clone();
    ask("DELETE", "");
    assert_eq!(count, 2_000);
}
