//! What real clients of Elasticsearch send to `type: http`, recorded: Filebeat 7.17, the clients for Python and Node.js; and, not from a
//! run but as far as it is known, Vector, Fluent Bit and Logstash.

mod common;

use common::http::{ask, gzip};
use common::{Agent, Bench, assert_exactly, elasticsearch_sink, free_address};
use forebay::demo::receiver::Receiver;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// An agent with an HTTP source that listens.
fn start(bench: &Bench, receiver: &Receiver) -> (Agent, SocketAddr) {
    let address = free_address();
    bench.inputs(&format!("  api: {{type: http, listen: \"{address}\"}}"), &elasticsearch_sink(&receiver.url()), "");
    let mut agent = bench.start();
    agent.wait_for("it listens", || ask(address, "GET", "/", "", b"").is_some());
    (agent, address)
}

/// Status and JSON of an answer, which must have the header that clients look for.
fn told(answer: Option<(u16, String)>) -> (u16, Value) {
    let (status, answer) = answer.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.to_lowercase().contains("x-elastic-product: elasticsearch"), "{head}");
    (status, if body.is_empty() { Value::Null } else { serde_json::from_str(body).expect("JSON") })
}

/// Filebeat with its defaults asks for the version, which must not be older than its own, for a licence, for ILM and for its
/// template; then it sends, and takes the answers item by item.
#[test]
fn filebeat() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    let (mut agent, address) = start(&bench, &receiver);
    let headers = "Accept: application/json\r\nUser-Agent: Elastic-filebeat/7.17.28 (linux; amd64)\r\n";
    let get = |path: &str| told(ask(address, "GET", path, headers, b""));
    let (status, greeting) = get("/");
    let version: Vec<u32> = greeting["version"]["number"].as_str().unwrap().split('.').map(|n| n.parse().unwrap()).collect();
    assert!(status == 200 && version >= vec![9, 5], "{greeting}");
    let (status, license) = get("/_license?human=false");
    assert_eq!((status, &license["license"]["status"], &license["license"]["type"]), (200, &"active".into(), &"basic".into()));
    assert!(license["license"]["uid"].is_string());
    assert_eq!(get("/_xpack").1["features"]["ilm"], serde_json::json!({"available": false, "enabled": false}));
    // What it would make is there; HEAD has no body.
    for path in ["/_index_template/filebeat-7.17.28", "/_template/filebeat-7.17.28", "/filebeat-7.17.28"] {
        assert_eq!(told(ask(address, "HEAD", path, headers, b"")), (200, Value::Null), "{path}");
    }
    for path in ["/_ilm/policy/filebeat", "/_alias/filebeat-7.17.28", "/_data_stream/filebeat-8.17.0", "/_ingest/pipeline/filebeat-x"] {
        assert_eq!(get(path).0, 200, "{path}");
    }
    // With `setup.template.overwrite: true` it insists: that must not look as if it had worked.
    let (status, refused) = told(ask(address, "PUT", "/_index_template/filebeat-7.17.28", headers, b"{\"index_patterns\":[]}"));
    assert!(status == 400 && refused["error"]["reason"].as_str().unwrap().contains("setup.template.enabled: false"), "{refused}");
    let body = |texts: [&str; 2]| {
        let [one, two] = texts.map(|text| format!("{{\"message\":\"{text}\"}}"));
        let index = "\"_index\":\"filebeat-7.17.28\"";
        format!("{{\"create\":{{{index}}}}}\n{one}\n{{\"index\":{{{index},\"_type\":\"_doc\"}}}}\n{two}\n")
    };
    let (status, answer) = told(ask(address, "POST", "/_bulk", headers, body(["one", "two"]).as_bytes()));
    let statuses = [&answer["items"][0]["create"]["status"], &answer["items"][1]["index"]["status"]];
    assert_eq!((status, statuses), (200, [&201.into(), &201.into()]), "{answer}");
    // Version 8 asks for less, and compresses.
    let (path, headers) =
        ("/_bulk?filter_path=errors%2Citems.%2A.error%2Citems.%2A.status", format!("{headers}Content-Encoding: gzip\r\n"));
    let (_, answer) = told(ask(address, "POST", path, &headers, &gzip(body(["three", "four"]).as_bytes())));
    assert_eq!(answer, serde_json::json!({"errors": false, "items": [{"create": {"status": 201}}, {"index": {"status": 201}}]}));
    let expected = "{\"message\":\"one\"}\n{\"message\":\"two\"}\n{\"message\":\"three\"}\n{\"message\":\"four\"}\n";
    agent.wait_for("all is shipped", || receiver.account(|a| a.documents().len() >= 4));
    let status = agent.wait_status("counted", |s| s.sources["api"].read_events == 4);
    assert_eq!(status.sources["api"].refused_requests, 1, "questions are no refused events");
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_exactly(&receiver, expected);
}

#[test]
fn the_clients_for_programming_languages() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    let (mut agent, address) = start(&bench, &receiver);
    let headers = |version: u32| {
        format!(
            "accept: application/vnd.elasticsearch+json; compatible-with={version}\r\ncontent-type: \
             application/vnd.elasticsearch+x-ndjson; compatible-with={version}\r\n"
        )
    };
    // Python: PUT, numbers as IDs; sniffing finds the address by which it came.
    let body = "{\"create\":{\"_id\":7,\"_index\":\"app\"}}\n{\"message\":\"héllo\"}\n".as_bytes();
    let (status, answer) = told(ask(address, "PUT", "/_bulk?refresh=wait_for", &headers(8), body));
    assert_eq!((status, &answer["items"][0]["create"]["_id"]), (200, &"7".into()), "{answer}");
    let (_, nodes) = told(ask(address, "GET", "/_nodes/_all/http", &headers(8), b""));
    assert_eq!(nodes["nodes"]["forebay"]["http"]["publish_address"], "x", "the `Host` of the request");
    // One document alone, with and without an ID; Node.js; types of version 6, where one is called `_doc`.
    for (method, path, id) in [("POST", "/app/_doc", ""), ("PUT", "/app/_doc/9", "9"), ("PUT", "/app/_create/10?refresh=true", "10")] {
        let document = format!("{{\"alone\":\n\"{id}\"}}");
        let (status, answer) = told(ask(address, method, path, "Content-Type: application/json\r\n", document.as_bytes()));
        assert_eq!((status, &answer["result"], &answer["_id"]), (201, &"created".into(), &id.into()), "{path}: {answer}");
    }
    assert_eq!(told(ask(address, "POST", "/app/_doc", "", b"[1]")).0, 400);
    let paths = ["/_bulk", "/app/_bulk", "/app/_doc/_bulk", "/app/log/_bulk"];
    for path in paths {
        let body = format!("{{\"create\":{{\"_index\":\"node\"}}}}\n{{\"to\":\"{path}\"}}\n");
        assert_eq!(told(ask(address, "POST", path, &headers(9), body.as_bytes())).0, 200, "{path}");
    }
    let (status, answer) = told(ask(address, "POST", "/app/_refresh", "", b""));
    assert_eq!((status, &answer["_shards"]["failed"]), (200, &0.into()));
    let (status, answer) = told(ask(address, "POST", "/app/_search", "", b"{}"));
    assert!(status == 404 && answer["error"]["type"] == "resource_not_found_exception");
    // What Node.js and OpenTelemetry collect before they send: 5 MB.
    let documents = |n: usize| format!("{{\"create\":{{}}}}\n{{\"large\":\"{n} {}\"}}\n", "x".repeat(500_000));
    let body: String = (0..10).map(documents).collect();
    assert_eq!(told(ask(address, "POST", "/_bulk", &headers(9), body.as_bytes())).0, 200);
    agent.wait_for("all is shipped", || receiver.account(|a| a.documents().len() >= 18));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    let alone = ["", "9", "10"].map(|id| format!("{{\"alone\": \"{id}\"}}\n")).concat();
    let bulk = paths.map(|path| format!("{{\"to\":\"{path}\"}}\n")).concat();
    let large: String = body.lines().filter(|line| line.starts_with("{\"large")).map(|line| format!("{line}\n")).collect();
    assert_exactly(&receiver, &format!("{{\"message\":\"héllo\"}}\n{alone}{bulk}{large}"));
}

/// Vector looks for the cluster's health; Fluent Bit for a piece of text where an answer is longer than its buffer; Logstash for a
/// licence, an alias and a template; curl waits to be told to go on, and may send in chunks.
#[test]
fn vector_fluent_bit_logstash_and_curl() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    let (mut agent, address) = start(&bench, &receiver);
    assert_eq!(told(ask(address, "GET", "/_cluster/health", "", b"")).1["status"], "green");
    for path in ["/_index_template/ecs-logstash", "/logstash"] {
        assert_eq!(told(ask(address, "HEAD", path, "", b"")).0, 200, "{path}");
    }
    let headers = "User-Agent: Fluent-Bit\r\nContent-Type: application/x-ndjson\r\n";
    let (_, answer) =
        ask(address, "POST", "/_bulk", headers, b"{\"create\":{\"_index\":\"fluent-bit\",\"_type\":\"_doc\"}}\n{\"n\":1}\n").unwrap();
    assert!(answer.contains("\"errors\":false,\"items\":["), "{answer}");
    let mut curl = TcpStream::connect(address).unwrap();
    curl.set_read_timeout(Some(common::PATIENCE)).unwrap();
    curl.write_all(
        b"POST /app/_bulk HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
    )
    .unwrap();
    let mut go_on = [0; 25];
    curl.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    for part in ["{\"index\"", ":{}}\n{\"n\"", ":2}\n"] {
        curl.write_all(format!("{:x}\r\n{part}\r\n", part.len()).as_bytes()).unwrap();
    }
    curl.write_all(b"0\r\n\r\n").unwrap();
    let mut answer = String::new();
    curl.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"_index\":\"app\""), "{answer}");
    agent.wait_for("all is shipped", || receiver.account(|a| a.documents().len() >= 2));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_exactly(&receiver, "{\"n\":1}\n{\"n\":2}\n");
}
