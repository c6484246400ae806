//! What an operator does wrong, at real search servers: the sink holds, says what is to be mended, drops nothing and makes no dead
//! letters; once it is mended, without a restart, every line arrives once.
//!
//! `FOREBAY_TEST_ELASTICSEARCH`, `FOREBAY_TEST_OPENSEARCH`: servers as in `tests/elasticsearch.rs`; `FOREBAY_TEST_SERVER_COMMAND`:
//! see `common/search_server.rs`.

mod common;

use common::real_server::{Index, server};
use common::search_server::SearchServer;
use common::{Agent, Bench, http};
use forebay::admin::Status;
use serde_json::{Value, json};

/// A server, and what a test asks of it.
struct Server(String);

impl Server {
    fn ask(&self, method: &str, path: &str, body: Option<Value>) {
        let (status, said) =
            http::request(method, &format!("{}{path}", self.0), body.map(|b| b.to_string()).as_deref()).expect("an answer");
        assert!((200..300).contains(&status), "{method} {path}: {status} {}", String::from_utf8_lossy(&said));
    }

    fn index(&self, name: &str) -> Index {
        Index::named(&self.0, name)
    }

    /// A pipeline with one sink to `index`; `more`: its further keys.
    fn sink(&self, bench: &Bench, index: &Index, more: &str) {
        let keys = format!("endpoints: [\"{}\"]\n    index: {}\n    retry: {{initial: 50ms, max: 500ms}}", self.0, index.name());
        bench.pipeline(&format!("  search:\n    type: elasticsearch\n    {keys}\n{more}"), "", "");
    }
}

/// Settings of a small index.
fn small() -> Option<Value> {
    Some(json!({"settings": {"number_of_shards": 1, "number_of_replicas": 0}}))
}

/// Waits until the sink is held and says all of `words`; nothing has left the queue.
fn held(agent: &mut Agent, words: &[&str]) {
    let says = |s: &Status| s.sinks.get("search").is_some_and(|s| s.state == "held" && words.iter().all(|word| s.reason.contains(word)));
    let status = agent.wait_status(&format!("it holds and says {words:?}"), says);
    let sink = &status.sinks["search"];
    println!("held: {}", sink.reason);
    assert!(sink.reason.ends_with("nothing is given up, it stays in the queue"), "{}", sink.reason);
    assert_eq!(sink.dead_lettered, 0, "{}", agent.log());
    agent.wait_log("kept in the queue, nothing is dropped");
}

/// Waits until all is delivered, ends the agent, and counts.
fn mended(mut agent: Agent, index: &Index, lines: u64) {
    let done = |s: &Status| s.sinks.get("search").is_some_and(|s| s.lag_events == 0 && s.in_flight == 0 && s.state == "idle");
    let status = agent.wait_status("all is delivered", done);
    assert_eq!(status.sinks["search"].dead_lettered, 0, "{}", agent.log());
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert!(agent.log().contains("delivers again"), "{}", agent.log());
    assert_eq!(index.count(), lines);
}

/// A mistake that is there from the start, in an empty index.
fn from_the_start(server: &Server, name: &str, more: &str, words: &[&str], make: impl Fn(&Index), mend: impl Fn(&Index)) {
    let (bench, index) = (Bench::new(), server.index(name));
    make(&index);
    server.sink(&bench, &index, more);
    bench.append("app.log", common::lines(0..1_000));
    let mut agent = bench.start();
    held(&mut agent, words);
    mend(&index);
    mended(agent, &index, 1_000);
}

/// A mistake that comes while lines are shipped.
fn in_between(server: &Server, name: &str, words: &[&str], make: impl Fn(&Index), mend: impl Fn(&Index)) {
    let (bench, index) = (Bench::new(), server.index(name));
    index.ask("PUT", "", small());
    server.sink(&bench, &index, "");
    bench.append("app.log", common::lines(0..500));
    let mut agent = bench.start();
    agent.wait_status("it ships", |s| s.sinks.get("search").is_some_and(|s| s.delivered_events == 500));
    make(&index);
    bench.append("app.log", common::lines(500..1_000));
    held(&mut agent, words);
    mend(&index);
    mended(agent, &index, 1_000);
}

fn closed_index(server: &Server) {
    let set = |index: &Index, what: &str| drop(index.ask("POST", what, None));
    in_between(server, "closed", &["index_closed_exception", "closed"], |i| set(i, "/_close"), |i| set(i, "/_open"));
}

fn write_block(server: &Server) {
    let set = |index: &Index, to: Value| drop(index.ask("PUT", "/_settings", Some(json!({"index.blocks.write": to}))));
    in_between(server, "blocked", &["403 cluster_block_exception", "index write (api)"], |i| set(i, json!(true)), |i| set(i, json!(null)));
}

fn missing_pipeline(server: &Server) {
    let name = server.index("pipeline").name().to_string();
    let make = |index: &Index| drop(index.ask("PUT", "", small()));
    let mend = |_: &Index| {
        let sets = json!({"processors": [{"set": {"field": "seen_by", "value": "the pipeline"}}]});
        server.ask("PUT", &format!("/_ingest/pipeline/{name}"), Some(sets));
    };
    from_the_start(server, "piped", &format!("    pipeline: {name}"), &["pipeline with id", "does not exist"], make, mend);
    server.ask("DELETE", &format!("/_ingest/pipeline/{name}"), None);
}

/// An index that may not be made by the first event.
fn missing_index(server: &Server) {
    let words = ["404 index_not_found_exception", "no such index"];
    let auto_create = |to: Value| server.ask("PUT", "/_cluster/settings", Some(json!({"persistent": {"action.auto_create_index": to}})));
    let make = |_: &Index| auto_create(json!("-forebay-test-unmade-*,+*"));
    from_the_start(server, "unmade", "", &words, make, |index| drop(index.ask("PUT", "", small())));
    auto_create(json!(null));
}

/// All events have one and the same fault: it is the mapping, and it is mended by making the index anew.
fn every_event_refused_alike(server: &Server) {
    let make = |index: &Index| {
        let mappings = json!({"dynamic": "strict", "properties": {"@timestamp": {"type": "date"}}});
        index.ask("PUT", "", Some(json!({"settings": small().expect("settings")["settings"], "mappings": mappings})));
    };
    let mend = |index: &Index| drop(index.ask("PUT", "/_mapping", Some(json!({"dynamic": true}))));
    let words = ["every event is refused with the same 400 strict_dynamic_mapping_exception", "looks like a setting of the receiver"];
    from_the_start(server, "strict", "", &words, make, mend);
}

fn mistakes(name: &str, variable: &str) {
    let Some(server) = server(name, variable).map(|url| Server(url.trim_end_matches('/').to_string())) else { return };
    closed_index(&server);
    write_block(&server);
    missing_pipeline(&server);
    missing_index(&server);
    every_event_refused_alike(&server);
}

#[test]
fn elasticsearch_is_told_of_and_waited_for() {
    mistakes("elasticsearch", "FOREBAY_TEST_ELASTICSEARCH");
}

#[test]
fn opensearch_is_told_of_and_waited_for() {
    mistakes("opensearch", "FOREBAY_TEST_OPENSEARCH");
}

/// A server that takes 1 MiB a request, measured on what it is after decompression, and has room for one shard.
fn limits(name: &str) {
    let settings = ["http.max_content_length=1mb", "cluster.max_shards_per_node=1"];
    let Some(own) = SearchServer::start(&format!("{name}_of_narrow_limits"), name, &settings) else { return };
    let server = Server(own.url());
    let index = server.index("narrow");
    index.ask("PUT", "", small());
    let bench = Bench::new();
    server.sink(&bench, &index, "    compression: gzip");
    // 8 MB of lines, which are much less compressed, and among them one that no request can hold.
    let mut text = String::new();
    for n in 0..40_000 {
        text += &format!("line {n} {}\n", "the same words ".repeat(12));
        if n == 20_000 {
            text += &format!("too large {}\n", "x".repeat(1 << 20));
        }
    }
    bench.append("app.log", text);
    let mut agent = bench.start();
    let done = |s: &Status| s.sinks.get("search").is_some_and(|s| s.lag_events == 0 && s.in_flight == 0 && s.delivered_events > 0);
    let status = agent.wait_status("all is shipped", done);
    let sink = &status.sinks["search"];
    println!("{name}: {} requests, {} of them refused with 413", sink.batches_sent, sink.batches_refused);
    assert_eq!((sink.delivered_events, sink.dead_lettered), (40_000, 1), "{}", agent.log());
    assert_eq!(index.count(), 40_000);
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    let state = bench.path("state");
    let letter = common::forebay(&["read", "dead-letter", "--data-dir", state.to_str().expect("UTF-8")]).stdout;
    let letter: Value = serde_json::from_slice(&letter).expect("one letter");
    assert_eq!(letter["status"], 413);
    let reason = letter["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("too large for the receiver: 1,04") && reason.contains("bytes encoded"), "{reason}");
    let more = |_: &Index| server.ask("PUT", "/_cluster/settings", Some(json!({"persistent": {"cluster.max_shards_per_node": 100}})));
    from_the_start(&server, "crowded", "", &["validation_exception", "maximum", "shards open"], |_| (), more);
}

#[test]
fn elasticsearch_of_narrow_limits() {
    limits("elasticsearch");
}

#[test]
fn opensearch_of_narrow_limits() {
    limits("opensearch");
}
