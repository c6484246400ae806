//! The test against a real search server, the same for all of them.

use super::{Bench, PATIENCE, http, quoted};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// An index of this run, deleted at its end.
pub struct Index {
    pub url: String,
}

impl Index {
    /// A name of this run that no other one has; nothing is made yet.
    pub fn named(server: &str, name: &str) -> Index {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
        Index { url: format!("{}/forebay-test-{name}-{}-{now}", server.trim_end_matches('/'), std::process::id()) }
    }

    fn create(server: &str, name: &str) -> Index {
        let index = Index::named(server, name);
        let mapping = json!({
            "settings": {"number_of_shards": 1, "number_of_replicas": 0},
            "mappings": {"properties": {"log": {"properties": {
                "file": {"properties": {"path": {"type": "keyword"}}},
                "offset": {"type": "long"}
            }}}}
        });
        index.ask("PUT", "", Some(mapping));
        index
    }

    pub fn name(&self) -> &str {
        self.url.rsplit('/').next().expect("made of it")
    }

    pub fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let body = body.map(|b| b.to_string());
        let (status, answer) = http::request(method, &format!("{}{path}", self.url), body.as_deref()).expect("the server answers");
        assert!((200..300).contains(&status), "{method} {}{path}: {status} {}", self.url, String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).expect("JSON")
    }

    pub fn count(&self) -> u64 {
        self.ask("POST", "/_refresh", None);
        self.ask("GET", "/_count", None)["count"].as_u64().expect("a count")
    }

    /// The versions that the first thousand documents have.
    fn versions(&self) -> Vec<u64> {
        let found = self.ask("POST", "/_search", Some(json!({"size": 1000, "_source": false, "version": true})));
        let hits = found["hits"]["hits"].as_array().expect("hits");
        let mut versions: Vec<u64> = hits.iter().map(|h| h["_version"].as_u64().expect("a version")).collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    /// All documents as file name → (offset, message), in the order of path and offset.
    fn documents(&self) -> BTreeMap<String, Vec<(u64, String)>> {
        let mut files: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
        let mut after = Value::Null;
        loop {
            // `fields` finds a member whether the document writes it dotted or nested.
            let mut query = json!({
                "size": 5_000, "_source": false, "fields": ["message", "log.file.path", "log.offset"],
                "sort": [{"log.file.path": "asc"}, {"log.offset": "asc"}]
            });
            if !after.is_null() {
                query["search_after"] = after.take();
            }
            let answer = self.ask("POST", "/_search", Some(query));
            let hits = answer["hits"]["hits"].as_array().expect("hits");
            let Some(last) = hits.last() else { return files };
            after = last["sort"].clone();
            for hit in hits {
                let field = |name: &str| hit["fields"][name][0].clone();
                let path = field("log.file.path");
                let name = Path::new(path.as_str().expect("a path")).file_name().expect("a name").to_str().expect("UTF-8").to_string();
                let message = field("message").as_str().expect("a message").to_string();
                files.entry(name).or_default().push((field("log.offset").as_u64().expect("an offset"), message));
            }
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        // A failed test must not hide behind a failed clean-up.
        let _ = http::request("DELETE", &self.url, None);
    }
}

/// The lines of every `*.log` of a folder as file name → (offset, line without its delimiter).
fn expected(folder: &Path) -> BTreeMap<String, Vec<(u64, String)>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("the folder of logs") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "log") {
            continue;
        }
        let bytes = std::fs::read(&path).expect("a log");
        let (mut lines, mut offset) = (Vec::new(), 0);
        for raw in bytes.split_inclusive(|b| *b == b'\n') {
            let line = raw.strip_suffix(b"\n").map_or(raw, |l| l.strip_suffix(b"\r").unwrap_or(l));
            lines.push((offset, String::from_utf8_lossy(line).into_owned()));
            offset += raw.len() as u64;
        }
        files.insert(path.file_name().expect("a name").to_str().expect("UTF-8").to_string(), lines);
    }
    files
}

/// The folder of logs to ship: `FOREBAY_TEST_LOGS`, or the sample logs.
pub fn folder() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/sample-logs");
    let folder = std::env::var_os("FOREBAY_TEST_LOGS").map_or_else(default, PathBuf::from);
    folder.canonicalize().unwrap_or_else(|e| panic!("FOREBAY_TEST_LOGS, {}: {e}", folder.display()))
}

/// `forebay groups …` on the bench's queue, which must succeed; what it printed.
fn groups(bench: &Bench, arguments: &[&str]) -> String {
    let state = bench.path("state");
    let done = super::forebay(&[&["groups"], arguments, &["--data-dir", state.to_str().expect("UTF-8")]].concat());
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("UTF-8")
}

/// The server, if one is named; else it is said that the test is skipped.
pub fn server(name: &str, variable: &str) -> Option<String> {
    let server = std::env::var(variable).ok().filter(|v| !v.is_empty());
    if server.is_none() {
        // Written directly: what a passing test prints through `println!` is hidden.
        let text = format!("SKIPPED {name}: set {variable}=http://host:port to run it\n");
        std::io::stdout().write_all(text.as_bytes()).expect("stdout");
        std::io::stderr().write_all(text.as_bytes()).expect("stderr");
    }
    server
}

/// Ships to a data stream, which takes no replacements: the command says so while the agent runs, and the sink does
/// when it was asked for while the agent was stopped; then all is sent as new, and nothing is there twice.
pub fn overwrite_no_data_stream(name: &str, variable: &str) {
    let Some(server) = server(name, variable) else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let stream = format!("forebay-test-stream-{}-{now}", std::process::id());
    let index = Index { url: format!("{}/{stream}", server.trim_end_matches('/')) };
    let template =
        json!({"index_patterns": [stream], "data_stream": {}, "template": {"settings": {"number_of_replicas": 0}}, "priority": 500});
    let url = format!("{}/_index_template/{stream}", server.trim_end_matches('/'));
    let (status, answer) = http::request("PUT", &url, Some(&template.to_string())).expect("the server answers");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    let bench = Bench::new();
    bench.pipeline(&format!("  search:\n    type: elasticsearch\n    endpoints: [\"{server}\"]\n    index: {stream}"), "", "");
    bench.append("app.log", super::lines(0..1_000));
    let mut agent = bench.start();
    agent.wait_status("every line is delivered", |s| s.sinks["search"].delivered_events >= 1_000 && s.sinks["search"].lag_events == 0);
    let state = bench.path("state");
    let arguments = ["groups", "reset", "search", "--to-earliest", "--overwrite", "--data-dir", state.to_str().expect("UTF-8")];
    let refused = super::forebay(&arguments);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains(&format!("{stream} is a data stream")), "{said}");
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert!(super::forebay(&arguments).status.success());
    let mut agent = bench.start();
    agent.wait_status("all is recognised", |s| s.sinks["search"].already_there >= 1_000 && s.sinks["search"].lag_events == 0);
    assert_eq!(agent.log().matches("the target takes no replacements").count(), 1, "{}", agent.log());
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_eq!((index.count(), index.versions()), (1_000, vec![1]));
}

fn assert_same(index: &Index, expected: &BTreeMap<String, Vec<(u64, String)>>) {
    let documents = index.documents();
    assert_eq!(documents.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "the files");
    for (name, lines) in expected {
        let stored = &documents[name];
        let differs = lines.iter().zip(stored).position(|(a, b)| a != b);
        assert_eq!(differs.map(|i| (&lines[i], &stored[i])), None, "{name}: written, stored");
        assert_eq!(lines.len(), stored.len(), "{name}: lines");
    }
}

/// Ships every `*.log` of `FOREBAY_TEST_LOGS` (default: the sample logs), compares each document with its line,
/// rewinds the group and ships all again, ships all again to overwrite it, ships all again with an empty `data_dir`, and compares again. Says so, by name, when it is skipped.
pub fn ship_compare_and_ship_again(name: &str, variable: &str) {
    let Some(server) = server(name, variable) else { return };
    let folder = folder();
    let expected = expected(&folder);
    let total: u64 = expected.values().map(|lines| lines.len() as u64).sum();
    assert!(total > 0, "no lines in {}", folder.display());
    let index = Index::create(&server, name);
    let bench = Bench::new();
    let pipeline = format!(
        "data_dir: {}\nadmin: {{listen: \"{}\"}}\nshutdown: {{drain: 60s}}\nsources:\n  app:\n    type: file\n    include: [{}]\n    \
         idle_flush: 200ms\nsinks:\n  search:\n    type: elasticsearch\n    endpoints: [\"{server}\"]\n    index: {}\n",
        quoted(bench.path("state")),
        bench.admin,
        quoted(folder.join("*.log")),
        index.name()
    );
    std::fs::write(bench.path("pipeline.yaml"), pipeline).expect("pipeline.yaml");

    let start = Instant::now();
    let mut agent = bench.start();
    agent.wait_status("every line is delivered", |s| s.sinks["search"].delivered_events >= total);
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_eq!(index.count(), total, "documents, {total} lines");
    assert_same(&index, &expected);

    let rewound =
        super::forebay(&["groups", "reset", "search", "--to-earliest", "--data-dir", bench.path("state").to_str().expect("UTF-8")]);
    assert!(rewound.status.success(), "{}", String::from_utf8_lossy(&rewound.stderr));
    let mut agent = bench.start();
    agent.wait_status("every line is sent again and recognised", |s| s.sinks["search"].already_there >= total);
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_eq!(index.count(), total, "documents after the group was rewound");

    let mut agent = bench.start();
    agent.wait_for("the agent takes commands", || bench.path("state").join("control.sock").exists());
    let told = groups(&bench, &["reset", "search", "--to-earliest", "--overwrite"]);
    assert!(told.contains(" of them replace what the sink's target has; no other sink is touched"), "the real server was asked: {told}");
    agent.wait_status("every line is sent once more", |s| s.sinks["search"].delivered_events >= total && s.sinks["search"].lag_events == 0);
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_eq!(index.count(), total, "documents after the overwrite");
    assert_eq!(index.versions(), [2], "each document has a new version");
    assert!(!groups(&bench, &["describe", "search"]).contains("overwriting"), "it has ended");

    std::fs::remove_dir_all(bench.path("state")).expect("state");
    let mut agent = bench.start();
    agent.wait_status("every line is recognised", |s| s.sinks["search"].already_there >= total);
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_eq!(index.count(), total, "documents after the second shipping");
    assert_same(&index, &expected);
    assert!(start.elapsed() < PATIENCE * 2, "it took {:?}", start.elapsed());
    let text = format!("{name}: {total} lines of {} files shipped four times, each there once, byte for byte\n", expected.len());
    std::io::stdout().write_all(text.as_bytes()).expect("stdout");
}

/// What is rolled over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    DataStream,
    Alias,
}

/// Ships through a proxy that loses answers, keeps one back until the agent is killed, and rolls the target over each
/// time: the server counts as many documents as lines were written.
pub fn roll_over_in_the_middle(name: &str, variable: &str, kind: Kind) {
    use super::rolling::{Fault, Trap, proxy};
    let Some(server) = server(name, variable) else { return };
    let server = server.trim_end_matches('/');
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let dataset = format!("forebay_test_{}_{now}", std::process::id());
    let settings = json!({"number_of_replicas": 0});
    let put = |path: &str, body: Value| {
        let (status, answer) = http::request("PUT", &format!("{server}/{path}"), Some(&body.to_string())).expect("the server answers");
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    };
    let (target, keys) = match kind {
        Kind::DataStream => {
            let target = format!("logs-{dataset}-default");
            let template = json!({"index_patterns": [target], "data_stream": {}, "template": {"settings": settings}, "priority": 500});
            put(&format!("_index_template/{dataset}"), template);
            // By a field of the source, so that the action lines name it.
            (target, "data_stream: {dataset: \"{service.name}\"}\n    include: [batch_id]".to_string())
        }
        Kind::Alias => {
            let alias = json!({&dataset: {"is_write_index": true}});
            put(&format!("{dataset}-000001"), json!({"settings": settings, "aliases": alias}));
            (dataset.clone(), format!("index: {dataset}"))
        }
    };
    let index = Index { url: format!("{server}/{target}") };
    let trap = std::sync::Arc::new(Trap::default());
    let url = proxy(server, &target, trap.clone());
    let bench = Bench::new();
    let sink =
        format!("  search:\n    type: elasticsearch\n    endpoints: [\"{url}\"]\n    {keys}\n    retry: {{initial: 50ms, max: 500ms}}");
    bench.pipeline(&sink, &format!("    fields: {{service.name: {dataset}}}"), "");
    let idle = |s: &forebay::admin::Status| s.sinks["search"].lag_events == 0 && s.sinks["search"].in_flight == 0;

    trap.arm(Fault::Lose);
    bench.append("app.log", super::lines(0..1_000));
    let mut agent = bench.start();
    let status = agent.wait_status("a lost answer", |s| idle(s) && s.sinks["search"].delivered_events >= 1_000);
    assert!(status.sinks["search"].already_there > 0, "what had arrived was found");
    trap.arm(Fault::Lose);
    bench.append("app.log", super::lines(1_000..2_000));
    agent.wait_status("another one", |s| idle(s) && s.sinks["search"].delivered_events >= 2_000);
    trap.arm(Fault::Hold);
    bench.append("app.log", super::lines(2_000..3_000));
    agent.wait_for("a batch is in flight", || trap.held().is_some());
    agent.kill();
    trap.release();
    let mut agent = bench.start();
    let status = agent.wait_status("what was in flight", |s| {
        idle(s) && s.sinks["search"].delivered_events > 0 && s.sinks["search"].partitions.iter().all(|p| p.committed >= 3_000)
    });
    assert!(status.sinks["search"].already_there > 0, "what had arrived before the kill was found");
    assert_eq!(status.sinks["search"].possibly_doubled, 0);
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());

    assert_eq!(index.count(), 3_000, "documents, 3,000 lines; {}", agent.log());
    let found = index.ask("POST", "/_search", Some(json!({"size": 1, "sort": [{"log.offset": "desc"}]})));
    let document = &found["hits"]["hits"][0]["_source"];
    if kind == Kind::DataStream {
        assert_eq!(document["data_stream"], json!({"type": "logs", "dataset": dataset, "namespace": "default"}));
        let batch = document["forebay"]["batch_id"].as_str().expect("a batch ID");
        assert!(batch.contains("-search-") && status.sinks["search"].last_batch.len() == batch.len(), "{batch}");
        // Not every server of the tests can delete one.
        let _ = http::request("DELETE", &format!("{server}/_data_stream/{target}"), None);
    } else {
        for number in 1..=4 {
            let _ = http::request("DELETE", &format!("{server}/{dataset}-{number:06}"), None);
        }
    }
    let text = format!("{name}: {kind:?} rolled over three times behind a lost answer, 3,000 lines, 3,000 documents\n");
    std::io::stdout().write_all(text.as_bytes()).expect("stdout");
}

/// An index whose shard nobody may hold: the server works on a bulk request for as long as it is told to wait, and names it
/// among its tasks all the time; then it says 503 for certain. When the shard may be held, each line is there once.
pub fn a_try_that_goes_on_is_seen(name: &str, variable: &str) {
    let Some(server) = server(name, variable) else { return };
    let server = server.trim_end_matches('/');
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let index = Index { url: format!("{server}/forebay-test-held-{}-{now}", std::process::id()) };
    let nowhere = json!({"number_of_replicas": 0, "index.routing.allocation.require.box": "nowhere"});
    index.ask("PUT", "?wait_for_active_shards=0", Some(json!({"settings": nowhere})));
    let bench = Bench::new();
    let keys = format!("endpoints: [\"{server}\"]\n    index: {}\n    timeout: 5s", index.name());
    bench.pipeline(&format!("  search:\n    type: elasticsearch\n    {keys}\n    retry: {{initial: 50ms, max: 500ms}}"), "", "");
    bench.append("app.log", super::lines(0..1_000));
    let mut agent = bench.start();
    let tasks = format!("{server}/_tasks?actions=indices%3Adata%2Fwrite%2Fbulk*&group_by=none&filter_path=tasks.headers");
    agent.wait_for("the server names what it works on", || {
        let (status, answer) = http::request("GET", &tasks, None).expect("the server answers");
        assert_eq!(status, 200);
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        let named = |task: &Value| task["headers"]["X-Opaque-Id"].as_str().is_some_and(|id| id.contains("-search-logs-0-"));
        answer["tasks"].as_array().is_some_and(|tasks| tasks.iter().any(named))
    });
    let status = agent.wait_status("it says so before the client loses patience", |s| s.sinks["search"].state == "retrying");
    assert!(status.sinks["search"].reason.contains("503"), "{}", status.sinks["search"].reason);
    index.ask("PUT", "/_settings", Some(json!({"index.routing.allocation.require.box": null})));
    agent.wait_status("all is delivered", |s| s.sinks["search"].delivered_events >= 1_000 && s.sinks["search"].lag_events == 0);
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_eq!(index.count(), 1_000);
}
