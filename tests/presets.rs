//! Documents of each preset in a real search server (`FOREBAY_TEST_ELASTICSEARCH`, `FOREBAY_TEST_OPENSEARCH`: `http://host:port`),
//! with the templates of `forebay setup`: all are accepted, and each field has the type that ECS says.

#![cfg(debug_assertions)]

mod common;

use common::real_server::{Index, server};
use common::{Bench, forebay, http, quoted};
use forebay::process::fuzzing::presets;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;

/// Objects of ECS: a field below one is a field of ECS, or is our mistake.
const ROOTS: &[&str] = &[
    "@timestamp",
    "as",
    "client",
    "cloud",
    "container",
    "destination",
    "ecs",
    "error",
    "event",
    "file",
    "geo",
    "host",
    "http",
    "labels",
    "log",
    "message",
    "network",
    "observer",
    "organization",
    "process",
    "server",
    "service",
    "source",
    "span",
    "tags",
    "trace",
    "transaction",
    "url",
    "user",
    "user_agent",
];

/// Types of ECS 8.17 of the fields that presets give, by family. `log.offset`, `log.flags` are our own.
const ECS: &[(&str, &[&str])] = &[
    ("date", &["@timestamp", "event.created", "event.ingested"]),
    ("text", &["message", "error.message"]),
    ("ip", &["client.ip", "destination.ip", "source.ip", "host.ip"]),
    (
        "long",
        &[
            "destination.bytes",
            "destination.port",
            "event.duration",
            "event.severity",
            "event.sequence",
            "http.response.body.bytes",
            "http.response.bytes",
            "http.response.status_code",
            "log.offset",
            "log.origin.file.line",
            "log.syslog.priority",
            "log.syslog.facility.code",
            "log.syslog.severity.code",
            "process.pid",
            "process.thread.id",
            "source.port",
            "url.port",
        ],
    ),
    (
        "keyword",
        &[
            "client.address",
            "container.id",
            "container.name",
            "destination.address",
            "ecs.version",
            "error.code",
            "error.id",
            "error.stack_trace",
            "error.type",
            "event.action",
            "event.code",
            "event.dataset",
            "event.module",
            "event.original",
            "event.timezone",
            "file.name",
            "host.hostname",
            "host.name",
            "http.request.id",
            "http.request.method",
            "http.request.referrer",
            "http.version",
            "log.file.path",
            "log.flags",
            "log.level",
            "log.logger",
            "log.origin.file.name",
            "log.origin.function",
            "log.syslog.appname",
            "log.syslog.hostname",
            "log.syslog.facility.name",
            "log.syslog.msgid",
            "log.syslog.procid",
            "log.syslog.severity.name",
            "log.syslog.version",
            "observer.product",
            "observer.serial_number",
            "observer.vendor",
            "observer.version",
            "process.name",
            "process.thread.name",
            "service.environment",
            "service.name",
            "service.version",
            "source.address",
            "source.domain",
            "span.id",
            "tags",
            "trace.id",
            "transaction.id",
            "url.domain",
            "url.original",
            "url.path",
            "url.query",
            "user.id",
            "user.name",
            "user_agent.original",
        ],
    ),
];

/// The family of a type: fields of one family are searched alike.
fn family(kind: &str) -> &str {
    match kind {
        "constant_keyword" | "wildcard" | "flattened" | "flat_object" => "keyword",
        "match_only_text" => "text",
        other => other,
    }
}

/// Fields of a mapping by their whole names.
fn fields(properties: &Value, above: &str, found: &mut BTreeMap<String, String>) {
    for (name, field) in properties.as_object().into_iter().flatten() {
        let name = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        if let Some(kind) = field["type"].as_str().filter(|kind| *kind != "object") {
            found.insert(name.clone(), kind.to_string());
        }
        fields(&field["properties"], &name, found);
    }
}

/// Names of all values of a document.
fn values(value: &Value, above: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                values(value, &if above.is_empty() { name.clone() } else { format!("{above}.{name}") }, found);
            }
        }
        Value::Null => {}
        Value::Array(items) if items.iter().any(Value::is_object) => {}
        _ => found.push(above.to_string()),
    }
}

/// The name of a preset as a part of other names.
fn plain(name: &str) -> String {
    name.replace('.', "-")
}

/// What is left on the server, taken away at the end.
struct Left {
    server: String,
    names: Vec<String>,
}

impl Drop for Left {
    fn drop(&mut self) {
        for name in &self.names {
            for path in [name.clone(), format!("_index_template/forebay-{name}")] {
                let _ = http::request("DELETE", &format!("{}/{path}", self.server), None);
            }
        }
    }
}

fn documents_of_each_preset_are_typed_as_ecs_says(test: &str, variable: &str) {
    let Some(server) = server(test, variable) else { return };
    let server = server.trim_end_matches('/').to_string();
    let (bench, presets) = (Bench::new(), presets());
    assert!(presets.len() >= 25);
    let run = Index::named(&server, "presets").name().to_string();
    let index = |name: &str| format!("{run}-{}", plain(name));
    let left = Left { server: server.clone(), names: presets.iter().map(|p| index(p.name)).collect() };
    let (mut sources, mut sinks) = (String::new(), String::new());
    for preset in &presets {
        let (name, parse) = (plain(preset.name), preset.name);
        // Events of several lines are joined by the source; each has a file of its own, so that it is joined with no other.
        fs::create_dir(bench.log(&name)).unwrap();
        for (n, event) in preset.events.iter().enumerate() {
            fs::write(bench.log(&name).join(format!("{n}.log")), format!("{event}\n")).unwrap();
        }
        let multiline = preset
            .multiline
            .as_deref()
            .map_or(String::new(), |text| format!(", multiline: {}, timeout: 300ms}}", text.trim_end().strip_suffix('}').expect("a map")));
        sources.push_str(&format!(
            "  {name}: {{type: file, topic: {name}, include: {}{multiline}}}\n",
            quoted(bench.log(&name).join("*.log"))
        ));
        sinks.push_str(&format!(
            "  {name}: {{type: elasticsearch, topics: {name}, endpoints: \"{server}\", index: \"{}\", process: [{{parse: {parse}}}]}}\n",
            index(parse)
        ));
    }
    bench.inputs(sources.trim_end(), sinks.trim_end(), "");
    let pipeline = bench.path("pipeline.yaml");
    let setup = forebay(&["setup", "elasticsearch", "--config", pipeline.to_str().unwrap()]);
    assert_eq!(setup.status.code(), Some(0), "{}{}", String::from_utf8_lossy(&setup.stdout), String::from_utf8_lossy(&setup.stderr));
    let mut agent = bench.start();
    let status = agent.wait_status("all is delivered", |status| {
        let done = |p: &&forebay::process::fuzzing::Preset| {
            status.sinks.get(&plain(p.name)).is_some_and(|s| s.delivered_events + s.filtered + s.dead_lettered >= p.events.len() as u64)
        };
        presets.iter().filter(done).count() == presets.len()
    });
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    let mut wrong = Vec::new();
    for preset in &presets {
        let (name, sink) = (preset.name, &status.sinks[&plain(preset.name)]);
        let index = Index { url: format!("{server}/{}", index(name)) };
        if sink.dead_lettered > 0 || index.count() != sink.delivered_events {
            wrong.push(format!("{name}: {} documents refused, {} there of {}", sink.dead_lettered, index.count(), sink.delivered_events));
        }
        let mapping = index.ask("GET", "/_mapping", None);
        let mut types = BTreeMap::new();
        fields(&mapping.as_object().unwrap().values().next().unwrap()["mappings"]["properties"], "", &mut types);
        let hits = index.ask("POST", "/_search", Some(serde_json::json!({"size": 1000})));
        let mut found = Vec::new();
        hits["hits"]["hits"].as_array().unwrap().iter().for_each(|hit| values(&hit["_source"], "", &mut found));
        found.sort();
        found.dedup();
        assert!(found.len() > 4, "{name}: {found:?}");
        for field in &found {
            let root = field.split('.').next().unwrap();
            if !ROOTS.contains(&root) || root == "labels" || field.starts_with("container.labels.") {
                continue;
            }
            let kind = types.get(field).map_or("no", String::as_str);
            let want = ECS.iter().find(|(_, fields)| fields.contains(&field.as_str())).map(|(want, _)| *want);
            match want {
                None => wrong.push(format!("{name}: {field} ({kind}) is no field of ECS that this test knows")),
                Some(want) if family(kind) != want => wrong.push(format!("{name}: {field} is {kind}, and {want} in ECS")),
                Some(_) => {}
            }
        }
    }
    drop(left);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn elasticsearch_takes_the_documents_of_each_preset_typed_as_ecs_says() {
    documents_of_each_preset_are_typed_as_ecs_says(
        "elasticsearch_takes_the_documents_of_each_preset_typed_as_ecs_says",
        "FOREBAY_TEST_ELASTICSEARCH",
    );
}

#[test]
fn opensearch_takes_the_documents_of_each_preset_typed_as_ecs_says() {
    documents_of_each_preset_are_typed_as_ecs_says(
        "opensearch_takes_the_documents_of_each_preset_typed_as_ecs_says",
        "FOREBAY_TEST_OPENSEARCH",
    );
}
