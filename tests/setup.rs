//! `forebay setup` through the real binary: against recorded answers over HTTP, and, where they are named by
//! `FOREBAY_TEST_ELASTICSEARCH` and `FOREBAY_TEST_OPENSEARCH` (`http://host:port`), against real servers.

mod common;

use common::rolling::{self, Request};
use common::{Bench, elasticsearch_sink, forebay, free_address, http, quoted};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// Each request as it came.
type Asked = Arc<Mutex<Vec<Request>>>;

/// A server that answers with status and body for a method and a path.
fn serve(answer: impl Fn(&str, &str) -> (u16, Value) + Send + Sync + 'static) -> (String, Asked) {
    let asked = Asked::default();
    let own = asked.clone();
    let url = rolling::serve(move |request| {
        let (status, body) = answer(&request.method, &request.path);
        let (head, body) = (format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\n"), body.to_string());
        let copy = Request {
            method: request.method.clone(),
            path: request.path.clone(),
            headers: request.headers.clone(),
            body: request.body.clone(),
        };
        own.lock().unwrap().push(copy);
        Some(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes())
    });
    (url, asked)
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A pipeline with one elasticsearch sink.
fn pipeline(url: &str) -> (Bench, String) {
    let bench = Bench::new();
    bench.pipeline(&elasticsearch_sink(url), "", "");
    let path = bench.path("pipeline.yaml").to_str().unwrap().to_string();
    (bench, path)
}

#[test]
fn exit_codes_tell_what_came_of_it() {
    let (url, asked) = serve(|method, path| match (method, path) {
        ("GET", "/") => (200, json!({"version": {"number": "8.19.21"}})),
        ("GET", "/_index_template/forebay-logs-test") => {
            (200, json!({"index_templates": [{"name": "x", "index_template": {"index_patterns": ["logs-test"], "priority": 1}}]}))
        }
        ("GET", _) => (404, json!({"error": {"type": "resource_not_found_exception", "reason": "not found"}})),
        _ => (200, json!({"acknowledged": true})),
    });
    let (_bench, config) = pipeline(&url);
    let setup = |more: &[&str]| forebay(&[&["setup", "elasticsearch", "--config", &config], more].concat());
    let occupied = setup(&[]);
    assert_eq!(occupied.status.code(), Some(6), "{}", stderr(&occupied));
    assert!(
        stdout(&occupied).contains("it was not made by forebay; --force replaces it")
            && stdout(&occupied).ends_with("nothing was changed\n")
    );
    let puts = || asked.lock().unwrap().iter().filter(|request| request.method == "PUT").count();
    assert_eq!(puts(), 0);
    assert_eq!(setup(&["--force", "--dry-run"]).status.code(), Some(0));
    assert_eq!(puts(), 0);
    let done = setup(&["--force", "--json"]);
    assert_eq!((done.status.code(), puts()), (Some(0), 2), "{}", stderr(&done));
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    let states: Vec<&Value> = told["targets"][0]["items"].as_array().unwrap().iter().map(|item| &item["state"]).collect();
    assert_eq!((states, &told["dry_run"]), (vec![&json!("created"), &json!("changed")], &json!(false)));

    let nobody = pipeline(&format!("http://{}", free_address()));
    let failed = forebay(&["setup", "elasticsearch", "--config", &nobody.1]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(stderr(&failed).contains("(nothing was changed)"), "{}", stderr(&failed));
    let wrong = setup(&["--sink", "serach"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("no elasticsearch sink `serach`: it has search"), "{}", stderr(&wrong));
    assert_eq!(setup(&["--retention", "30"]).status.code(), Some(2));
}

#[test]
fn kibana_gets_a_form_with_its_objects_and_the_log_in() {
    let (url, asked) = serve(|method, _| match method {
        "GET" => (200, json!({"version": {"number": "8.19.2"}, "status": {"overall": {"level": "available"}}})),
        _ => (200, json!({"success": true, "successCount": 8, "successResults": []})),
    });
    let output = Command::new(env!("CARGO_BIN_EXE_forebay"))
        .args(["setup", "kibana", "--pattern", "logs-app", "--user", "me", "--url", &url])
        .env("FOREBAY_KIBANA_PASSWORD", "ps")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("forebay-logs-app-dashboard  created"), "{}", stdout(&output));
    let asked = asked.lock().unwrap();
    let request = asked.last().unwrap();
    let body = std::str::from_utf8(&request.body).unwrap();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/api/saved_objects/_import?overwrite=true"));
    assert_eq!((request.header("kbn-xsrf"), request.header("authorization")), ("true", "Basic bWU6cHM="));
    let boundary = request.header("content-type").strip_prefix("multipart/form-data; boundary=").unwrap();
    let part = body.strip_prefix(&format!("--{boundary}\r\n")).and_then(|b| b.strip_suffix(&format!("\r\n--{boundary}--\r\n"))).unwrap();
    let (headers, lines) = part.split_once("\r\n\r\n").unwrap();
    assert!(headers.contains("name=\"file\"; filename=\"forebay.ndjson\""), "{headers}");
    let objects: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((objects.len(), &objects[0]["attributes"]["title"]), (8, &json!("logs-app")));
    assert!(!lines.contains(boundary));
}

#[test]
fn the_help_tells_of_both() {
    for command in ["elasticsearch", "kibana"] {
        let output = forebay(&["setup", command, "--help"]);
        assert!(
            stdout(&output).contains(&format!("Examples:\n  forebay setup {command}")) && stdout(&output).contains("Exit code"),
            "{command}"
        );
    }
    assert!(!stdout(&forebay(&["setup", "kibana", "--help"])).contains("from-environment"));
}

/// One entry of the journal with a value that is longer than a keyword may be, then nothing until it is ended.
const JOURNALCTL: &str = r#"#!/bin/sh
case "$*" in
  *--after-cursor=*) ;;
  *) printf '__CURSOR=s=1;i=1\n__REALTIME_TIMESTAMP=1773051303123456\nPRIORITY=3\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=app\n_PID=7\n_COMM=app\n_HOSTNAME=db\n_SYSTEMD_UNIT=app.service\n_TRANSPORT=stdout\nMESSAGE=from the journal\nDUMP=%040000d\n\n' 0 ;;
esac
while kill -0 $PPID 2>/dev/null; do sleep 0.1; done
"#;

/// Each field of a mapping with its type.
fn types(properties: &Value, path: &str, out: &mut BTreeMap<String, String>) {
    for (name, own) in properties.as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if let Some(kind) = own["type"].as_str().filter(|kind| *kind != "object") {
            out.insert(path.clone(), kind.to_string());
        }
        types(&own["properties"], &path, out);
    }
}

/// Ships documents of every kind into a data stream with the templates: all are taken, and nothing gets a type that
/// nobody has foreseen.
fn real_server(name: &str, variable: &str) {
    let Some(server) = std::env::var(variable).ok().filter(|v| !v.is_empty()) else {
        let text = format!("SKIPPED {name}: set {variable}=http://host:port to run it\n");
        std::io::stderr().write_all(text.as_bytes()).unwrap();
        return;
    };
    let server = server.trim_end_matches('/');
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let dataset = format!("forebay_setup_{}_{now}", std::process::id());
    let index = format!("logs-{dataset}-default");
    let ask = |method: &str, path: &str| {
        let (status, body) = http::request(method, &format!("{server}/{path}"), None).unwrap();
        assert_eq!(status, 200, "{method} {path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    let bench = Bench::new();
    let (pods, podinfo, script) = (bench.path("pods"), bench.path("podinfo"), bench.path("journalctl"));
    let pod = pods.join("shop_cart-5d8f-x2x_0b1e/app");
    std::fs::create_dir_all(&pod).unwrap();
    std::fs::create_dir(&podinfo).unwrap();
    std::fs::write(podinfo.join("labels"), "app.kubernetes.io/name=\"shop\"\ntier=\"7\"\n").unwrap();
    std::fs::write(podinfo.join("annotations"), format!("last-applied=\"{}\"\n", "x".repeat(40_000))).unwrap();
    std::fs::write(&script, JOURNALCTL).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (syslog, http_listen) = (free_address(), free_address());
    let sources = format!(
        "  app:\n    type: file\n    include: [{}]\n    idle_flush: 200ms\n    fields: {{service: {{name: shop, version: \"1.20\"}}, team: blue, \
         build: 7, date_like: \"2026-03-09\", tags: [a, b], log.level: error}}\n  pods:\n    type: file\n    include: [{}]\n    \
         idle_flush: 200ms\n    format: cri\n    downward_api: {}\n  net: {{type: syslog, listen: [\"tcp://{syslog}\"]}}\n  \
         sys: {{type: journald, journalctl_path: {}}}\n  web: {{type: http, listen: \"{http_listen}\"}}",
        quoted(bench.log("*.log")),
        quoted(pods.join("*/*/*.log")),
        quoted(&podinfo),
        quoted(&script)
    );
    let sink = format!(
        "  search:\n    type: elasticsearch\n    endpoints: [\"{server}\"]\n    data_stream: {{dataset: {dataset}}}\n    \
         include: [batch_id]"
    );
    bench.inputs(&sources, &sink, "");
    let config = bench.path("pipeline.yaml");
    let setup = |more: &[&str]| {
        let fixed = ["setup", "elasticsearch", "--config", config.to_str().unwrap(), "--data-stream", "--replicas", "0"];
        forebay(&[&fixed[..], &["--retention", "30d"], more].concat())
    };
    let dry = setup(&["--dry-run"]);
    assert_eq!(dry.status.code(), Some(0), "{}{}", stdout(&dry), stderr(&dry));
    assert!(stdout(&dry).contains(&format!("PUT /_data_stream/{index}\n")), "{}", stdout(&dry));
    let first = setup(&[]);
    assert_eq!(first.status.code(), Some(0), "{}{}", stdout(&first), stderr(&first));
    assert!(stdout(&first).contains("no lifecycle policy: nothing is deleted by its age, since the server has no"), "{}", stdout(&first));
    let second: Value = serde_json::from_slice(&setup(&["--json"]).stdout).unwrap();
    let items = second["targets"][0]["items"].as_array().unwrap();
    assert!(items.len() == 3 && items.iter().all(|item| item["state"] == "up_to_date"), "{second:#}");
    // The real server keeps what is compared as it was sent.
    let changed = stdout(&setup(&["--shards", "2", "--dry-run"]));
    assert!(changed.contains("template.settings.index.number_of_shards: - -> 2\n") && changed.matches("->").count() == 1, "{changed}");

    let long = "m".repeat(40_000);
    bench.append("app.log", format!("a line\n{{\"a\": 1}}\n{long}\nbad \u{fffd} utf\n"));
    let time = "2026-03-09T10:15:02.123456789Z";
    std::fs::write(pod.join("0.log"), format!("{time} stdout F out\n{time} stderr P cut\n{time} stdout F x\nno record\n")).unwrap();
    let mut agent = bench.start();
    agent.wait_for("syslog listens", || TcpStream::connect(syslog).is_ok());
    let mut sender = TcpStream::connect(syslog).unwrap();
    let messages = "<165>1 2026-03-09T11:15:03.5+01:00 web-7 su 8710 ID47 [a@1 x=\"1\" x=\"2\" n=\"2026-03-09\"] it failed\n\
                    <30>Oct 11 22:14:15 web sshd[x1]: ok\nwhat is this\n";
    sender.write_all(messages.as_bytes()).unwrap();
    drop(sender);
    agent.wait_for("HTTP listens", || TcpStream::connect(http_listen).is_ok());
    let bulk = "{\"create\":{\"_index\":\"theirs\"}}\n{\"a\":1}\n{\"create\":{\"_index\":\"theirs\"}}\n{\"a\":\"b\"}\n";
    let (status, answer) = http::request("POST", &format!("http://{http_listen}/_bulk"), Some(bulk)).unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    let all = 4 + 4 + 3 + 1 + 2;
    let status = agent.wait_status("all is shipped", |s| {
        let sink = &s.sinks["search"];
        sink.delivered_events + sink.dead_lettered >= all && sink.lag_events == 0
    });
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_eq!((status.sinks["search"].dead_lettered, status.sinks["search"].delivered_events), (0, all), "{}", agent.log());
    ask("POST", &format!("{index}/_refresh"));
    assert_eq!(ask("GET", &format!("{index}/_count"))["count"], all);

    let mapping = ask("GET", &format!("{index}/_mapping"));
    let (mut found, mut foreseen) = (BTreeMap::new(), BTreeMap::new());
    let properties = &mapping.as_object().unwrap().values().next().unwrap()["mappings"]["properties"];
    types(properties, "", &mut found);
    let template = ask("GET", "_component_template/forebay-mappings");
    types(&template["component_templates"][0]["component_template"]["template"]["mappings"]["properties"], "", &mut foreseen);
    for (field, kind) in &foreseen {
        assert_eq!(found.get(field), Some(kind), "{field}");
    }
    let dynamic: BTreeMap<&str, &str> =
        found.iter().filter(|(name, _)| !foreseen.contains_key(*name)).map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
    let mut expected = BTreeMap::from([("team", "keyword"), ("build", "long"), ("date_like", "keyword")]);
    if variable.contains("OPENSEARCH") {
        // Objects there, since no other type takes values of any length.
        expected.extend(["journald.__realtime_timestamp", "journald._transport", "journald.dump"].map(|name| (name, "keyword")));
        expected.insert("kubernetes.annotations.last-applied", "keyword");
    }
    assert_eq!(dynamic, expected);
    // What the fields are for: they are found.
    let found = |query: &str| ask("GET", &format!("{index}/_count?q={query}"))["count"].as_u64().unwrap();
    for (query, count) in [
        ("service.name:shop", 4),
        ("kubernetes.labels.tier:7", 4),
        ("log.syslog.severity.code:5", 1),
        ("process.pid:7", 1),
        ("systemd.unit:app.service", 1),
        ("labels.index:theirs", 2),
        ("source.ip:%22127.0.0.0/8%22", 3),
        ("message:failed", 1),
        ("log.flags:malformed", 1),
        (&format!("data_stream.dataset:{dataset}"), all),
        ("_exists_:forebay.batch_id", all),
    ] {
        assert_eq!(found(query), count, "{query}");
    }
    http::request("DELETE", &format!("{server}/_data_stream/{index}"), None).unwrap();
    http::request("DELETE", &format!("{server}/_index_template/forebay-{index}"), None).unwrap();
    let text =
        format!("{name}: {all} documents of five kinds of sources, {} fields, none of a wrong type\n", foreseen.len() + dynamic.len());
    std::io::stdout().write_all(text.as_bytes()).unwrap();
}

#[test]
fn documents_of_every_kind_fit_the_mappings_of_elasticsearch() {
    real_server("elasticsearch", "FOREBAY_TEST_ELASTICSEARCH");
}

#[test]
fn documents_of_every_kind_fit_the_mappings_of_opensearch() {
    real_server("opensearch", "FOREBAY_TEST_OPENSEARCH");
}
