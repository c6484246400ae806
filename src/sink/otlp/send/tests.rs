use super::*;
use crate::queue::RunFlags;
use crate::sink::testing::*;
use crate::sink::{ConnectionOptions, SinkKind};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceRequest};
use opentelemetry_proto::tonic::common::v1::any_value::Value;

const PROTOBUF: &[(&str, &str)] = &[("content-type", "application/x-protobuf")];

fn kind(url: &str) -> OtlpOptions {
    let headers = vec![("X-Team".into(), "shop".into())];
    let connection = ConnectionOptions { compression: Compression::Gzip(1), ..ConnectionOptions::default() };
    OtlpOptions { endpoint: url.into(), headers, connection }
}

/// The messages of a request.
fn messages(request: &Seen) -> Vec<String> {
    let mut body = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&request.body[..]), &mut body).unwrap();
    let request = ExportLogsServiceRequest::decode(&body[..]).unwrap();
    let records = request.resource_logs.into_iter().flat_map(|r| r.scope_logs).flat_map(|s| s.log_records);
    records
        .map(|r| match r.body.unwrap().value.unwrap() {
            Value::StringValue(text) => text,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn partly(refused: i64, why: &str) -> Reply {
    let partial = ExportLogsPartialSuccess { rejected_log_records: refused, error_message: why.into() };
    // The answers of these tests are ASCII.
    let body = ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    Reply::Answer(200, PROTOBUF, String::from_utf8(body).unwrap())
}

#[test]
fn it_is_sent_until_it_is_taken_and_bad_records_are_found() {
    let runtime = runtime();
    let server = Server::start(&runtime, |n, request| match n {
        0 => Reply::Reset,
        1 => Reply::Answer(503, PROTOBUF, String::from_utf8(RpcStatus { message: "queue is full".into() }.encode_to_vec()).unwrap()),
        2 => Reply::Answer(200, &[("content-type", "text/html")], "<html>".into()),
        _ if messages(request).iter().any(|m| m.starts_with("line 2 ")) => Reply::Answer(400, PROTOBUF, String::new()),
        _ => Reply::Answer(200, PROTOBUF, String::new()),
    });
    let bench = Bench::start(SinkKind::Otlp(kind(&server.url)), batches(&lines(5), 5, RunFlags::UTF8), runtime);
    bench.finish();
    let requests = server.requests();
    assert_eq!(requests[0].line, "POST /v1/logs HTTP/1.1");
    assert_eq!((requests[0].header("content-type"), requests[0].header("x-team")), ("application/x-protobuf", "shop"));
    assert!(requests[..4].iter().all(|r| r.body == requests[0].body), "the same bytes at each retry");
    let status = bench.sink().status();
    assert_eq!((status.delivered_events, status.dead_lettered), (4, 1));
    assert!(bench.letters.records.lock().unwrap()[0].to_string().contains("line 2 "));
}

#[test]
fn what_is_refused_without_a_name_goes_to_the_dead_letters_and_is_not_sent_again() {
    let runtime = runtime();
    let server = Server::start(&runtime, |_, _| partly(2, "too old"));
    let bench = Bench::start(SinkKind::Otlp(kind(&server.url)), batches(&lines(9), 9, RunFlags::UTF8), runtime);
    bench.finish();
    assert_eq!(server.requests().len(), 1);
    let letters = bench.letters.records.lock().unwrap();
    assert_eq!(letters.len(), 9);
    assert!(letters[0].to_string().contains("refused 2 of 9 events and does not say which: too old"), "{}", letters[0]);
}

#[test]
fn records_that_are_all_refused_are_tried_in_halves_and_a_warning_is_no_refusal() {
    let runtime = runtime();
    let server = Server::start(&runtime, |_, request| match messages(request) {
        all if all.iter().all(|m| m.starts_with("line 0 ")) => partly(1, "bad"),
        all if all.iter().any(|m| m.starts_with("line 0 ")) => partly(all.len() as i64, "bad"),
        _ => partly(0, "deprecated"),
    });
    let bench = Bench::start(SinkKind::Otlp(kind(&server.url)), batches(&lines(4), 4, RunFlags::UTF8), runtime);
    bench.finish();
    let status = bench.sink().status();
    assert_eq!((status.delivered_events, status.dead_lettered), (3, 1));
}
