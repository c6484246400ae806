use super::*;
use crate::queue::RunFlags;
use crate::sink::SinkKind;
use crate::sink::testing::*;

#[test]
fn it_is_sent_until_it_is_taken_and_what_loki_refuses_is_found() {
    let runtime = runtime();
    let has = |request: &Seen, what: &str| memchr::memmem::find(&request.body, what.as_bytes()).is_some();
    let server = Server::start(&runtime, move |n, request| match n {
        0 => Reply::Answer(429, &[("retry-after", "0")], "ingestion rate limit exceeded".into()),
        1 => Reply::Answer(500, &[], "rpc error: code = ResourceExhausted desc = grpc: received message larger than max".into()),
        _ if has(request, "line 3 ") => Reply::Answer(400, &[], "entry too far behind".into()),
        _ => Reply::Answer(204, &[], String::new()),
    });
    let options = LokiOptions { endpoint: server.url.clone(), tenant: Some("shop".into()), ..LokiOptions::default() };
    let bench = Bench::start(SinkKind::Loki(options), batches(&lines(6), 6, RunFlags::UTF8), runtime);
    bench.finish();
    let requests = server.requests();
    assert_eq!(requests[0].line, "POST /loki/api/v1/push HTTP/1.1");
    assert_eq!((requests[0].header("x-scope-orgid"), requests[0].header("content-type")), ("shop", "application/json"));
    assert_eq!(requests[0].body, requests[1].body, "the same bytes at each retry");
    let status = bench.sink().status();
    assert_eq!((status.delivered_events, status.dead_lettered), (5, 1));
    assert!(bench.letters.records.lock().unwrap()[0].to_string().contains("too far behind"));
}
