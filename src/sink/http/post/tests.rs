use super::*;
use crate::queue::RunFlags;
use crate::sink::SinkKind;
use crate::sink::testing::*;
use crate::sink::transport::answers;

fn kind(url: &str, format: BodyFormat) -> HttpOptions {
    HttpOptions { url: format!("{url}/logs?x=1"), format, headers: vec![("X-Team".into(), "shop".into())], ..HttpOptions::default() }
}

fn ok() -> Reply {
    Reply::Answer(204, &[], String::new())
}

#[test]
fn the_key_is_the_batch_id_and_the_same_at_each_retry() {
    let runtime = runtime();
    let server = Server::start(&runtime, |n, _| match n {
        0 => Reply::Reset,
        1 => Reply::Answer(500, &[], String::new()),
        2 => Reply::Answer(409, &[], "in progress".into()),
        3 => Reply::Answer(301, &[("location", "/elsewhere")], String::new()),
        4 => Reply::Answer(404, &[], String::new()),
        _ => ok(),
    });
    let bench = Bench::start(SinkKind::Http(kind(&server.url, BodyFormat::Ndjson)), batches(&lines(3), 3, RunFlags::UTF8), runtime);
    bench.finish();
    let requests = server.requests();
    assert_eq!(requests.len(), 6);
    for request in &requests {
        assert_eq!(request.line, "POST /logs?x=1 HTTP/1.1");
        assert_eq!(request.header("idempotency-key"), bench.batches[0].id.to_string());
        assert_eq!((request.header("x-team"), request.header("content-type")), ("shop", "application/x-ndjson"));
        assert_eq!(request.body, requests[0].body);
    }
    assert_eq!(requests[0].body.iter().filter(|b| **b == b'\n').count(), 3);
}

#[test]
fn a_refusal_without_end_is_read_to_its_status() {
    let runtime = runtime();
    let page = "<".repeat(8 << 20);
    let server = Server::start(&runtime, move |n, _| if n == 0 { Reply::Answer(503, &[], page.clone()) } else { ok() });
    let bench = Bench::start(SinkKind::Http(kind(&server.url, BodyFormat::Ndjson)), batches(&lines(3), 3, RunFlags::UTF8), runtime);
    bench.finish();
    assert_eq!(server.requests().len(), 2);
    assert!(answers(503, "").ends_with("503") && answers(503, "busy").ends_with("503: busy"));
}

#[test]
fn halves_of_an_array_are_arrays_with_keys_of_their_own() {
    let runtime = runtime();
    let bad = |request: &Seen| memchr::memmem::find(&request.body, b"line 2 ").is_some();
    let server = Server::start(&runtime, move |_, request| {
        let _: Vec<serde_json::Value> = serde_json::from_slice(&request.body).unwrap();
        if bad(request) { Reply::Answer(422, &[], "no".into()) } else { ok() }
    });
    let bench = Bench::start(SinkKind::Http(kind(&server.url, BodyFormat::JsonArray)), batches(&lines(4), 4, RunFlags::UTF8), runtime);
    bench.finish();
    let id = bench.batches[0].id.to_string();
    let keys: Vec<String> = server.requests().iter().map(|r| r.header("idempotency-key").replace(&id, "ID")).collect();
    assert_eq!(keys, ["ID", "ID/0-1", "ID/2-3", "ID/2-2", "ID/3-3"]);
    let letters = bench.letters.records.lock().unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((&letters[0]["status"], letters[0]["original"].as_str()), (&422.into(), Some("line 2 says \"hello\"")));
    let status = bench.sink().status();
    assert_eq!((status.delivered_events, status.batches_refused), (3, 3));
}

#[test]
fn bad_options_are_told() {
    let error = |options: HttpOptions| HttpClient::new("hook", &options, 1).map(drop).unwrap_err().to_string();
    let good = || kind("http://localhost", BodyFormat::Ndjson);
    insta::assert_snapshot!(error(HttpOptions { method: "GET".into(), ..good() }), @r#"sink hook: method "GET" cannot carry logs; expected POST or PUT"#);
    insta::assert_snapshot!(error(HttpOptions { headers: vec![("a b".into(), "x".into())], ..good() }), @r#"sink hook: "a b" is no name of a header"#);
}
