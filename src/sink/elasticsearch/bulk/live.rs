//! Against a real Elasticsearch or OpenSearch, or the judge's sink, when there is one:
//! `FOREBAY_TEST_ELASTICSEARCH=http://127.0.0.1:9200 cargo test --lib live`, with `FOREBAY_TEST_USER=name:password`
//! and `FOREBAY_TEST_CA=file.pem` where it wants a log-in and TLS.

use super::*;
use crate::queue::RunFlags;
use crate::sink::testing::*;
use crate::sink::{Auth, ConnectionOptions, SinkKind, TlsOptions};
use serde_json::{Value, json};

fn call(runtime: &tokio::runtime::Runtime, method: &str, url: &str, body: &Value) -> Value {
    let (url, tls) = (Url::parse(url).unwrap(), TlsOptions { insecure: true, ..TlsOptions::default() });
    let connection = ConnectionOptions { auth: auth(), tls, timeout: std::time::Duration::from_secs(60), ..ConnectionOptions::default() };
    let transport = Transport::new("test", std::slice::from_ref(&url), &connection, 1).unwrap();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let answer = runtime.block_on(transport.send(method.parse().unwrap(), url, headers, body.into())).unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}

fn auth() -> Auth {
    match std::env::var("FOREBAY_TEST_USER").ok().as_deref().and_then(|u| u.split_once(':')) {
        Some((user, password)) => Auth::Basic { user: user.into(), password: password.into() },
        None => Auth::None,
    }
}

fn options(endpoint: &str, index: &str, compression: Compression) -> ElasticsearchOptions {
    let ca_file = std::env::var_os("FOREBAY_TEST_CA").map(Into::into);
    let tls = TlsOptions { ca_file, ..TlsOptions::default() };
    let connection = ConnectionOptions { auth: auth(), tls, compression, ..ConnectionOptions::default() };
    ElasticsearchOptions { endpoints: vec![endpoint.into()], index: index.into(), connection, ..ElasticsearchOptions::default() }
}

#[test]
fn live_server_takes_any_bytes_once() {
    let Some(endpoint) = std::env::var("FOREBAY_TEST_ELASTICSEARCH").ok().filter(|v| !v.is_empty()) else {
        // Written directly: what a passing test prints through `println!` is hidden.
        let text = b"SKIPPED live_server_takes_any_bytes_once: set FOREBAY_TEST_ELASTICSEARCH=http://host:port to run it\n";
        std::io::Write::write_all(&mut std::io::stdout(), text).unwrap();
        return;
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let index = format!("forebay-test-{now}");
    let setup = runtime();
    let mapping = json!({"settings": {"number_of_replicas": 0}, "mappings": {"properties": {"message": {"type": "keyword"}}}});
    assert_eq!(call(&setup, "PUT", &format!("{endpoint}/{index}"), &mapping)["acknowledged"], true);
    let mut events = lines(2000);
    for (i, event) in events.iter_mut().enumerate().step_by(3) {
        event.extend((0..i % 50).map(|b| ((i * 7 + b * 31) % 256) as u8).filter(|b| *b != b'\n'));
    }
    events[5].clear();
    events[77] = vec![b'x'; 40_000];
    for (round, compression) in [Compression::None, Compression::Gzip(1)].into_iter().enumerate() {
        let options = options(&endpoint, &index, compression);
        let bench = Bench::start(SinkKind::Elasticsearch(options), batches(&events, 300, 0), runtime());
        bench.finish();
        let (status, letters) = (bench.sink().status(), bench.letters.records.lock().unwrap());
        assert_eq!((status.delivered_events, status.already_there), (1999, 1999 * round as u64));
        assert_eq!(letters.len(), 1);
        println!("{}: {}", letters[0]["type"], letters[0]["reason"]);
    }
    call(&setup, "POST", &format!("{endpoint}/{index}/_refresh"), &Value::Null);
    assert_eq!(call(&setup, "GET", &format!("{endpoint}/{index}/_count"), &Value::Null)["count"], 1999);

    // A closed index is the operator's: held, nothing dropped, and delivered when it is open again.
    call(&setup, "POST", &format!("{endpoint}/{index}/_close"), &Value::Null);
    let bench = Bench::start(
        SinkKind::Elasticsearch(options(&endpoint, &index, Compression::None)),
        batches(&lines(4), 2, RunFlags::UTF8),
        runtime(),
    );
    while bench.sink().status().state != "held" {
        std::thread::yield_now();
    }
    println!("{}", bench.sink().status().reason);
    call(&setup, "POST", &format!("{endpoint}/{index}/_open"), &Value::Null);
    bench.finish();
    assert!(bench.letters.records.lock().unwrap().is_empty());

    let missing = ElasticsearchOptions { pipeline: Some("nowhere".into()), ..options(&endpoint, &index, Compression::None) };
    let bench = Bench::start(SinkKind::Elasticsearch(missing), batches(&lines(4), 2, RunFlags::UTF8), runtime());
    while bench.sink().status().state != "held" {
        std::thread::yield_now();
    }
    println!("{}", bench.sink().status().reason);
    drop(bench);
    call(&setup, "DELETE", &format!("{endpoint}/{index}"), &Value::Null);
}
