use super::*;
use crate::queue::RunFlags;
use crate::sink::testing::*;
use crate::sink::{Auth, ConnectionOptions, SinkKind, TlsOptions};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

fn kind(url: &str) -> ElasticsearchOptions {
    ElasticsearchOptions { endpoints: vec![url.to_string()], index: "logs-app".into(), ..ElasticsearchOptions::default() }
}

/// Answers each item with the status that `status` gives it.
fn items(request: &Seen, mut status: impl FnMut(usize, &Value) -> (u16, &'static str)) -> Reply {
    let text = std::str::from_utf8(&request.body).unwrap();
    let items: Vec<Value> = text
        .lines()
        .skip(1)
        .step_by(2)
        .enumerate()
        .map(|(i, line)| match status(i, &serde_json::from_str(line).unwrap()) {
            (status, "") => json!({"create": {"status": status}}),
            (status, kind) => json!({"create": {"status": status, "error": {"type": kind, "reason": format!("item {i} of '{i}'")}}}),
        })
        .collect();
    Reply::Answer(200, JSON, json!({"errors": false, "items": items}).to_string())
}

fn all_created(request: &Seen) -> Reply {
    items(request, |_, _| (201, ""))
}

/// Messages by ID, as an index would hold them.
fn indexed(requests: &[Seen]) -> BTreeMap<String, String> {
    let mut index = BTreeMap::new();
    for request in requests {
        let text = std::str::from_utf8(&request.body).unwrap();
        for (id, document) in request.ids().into_iter().zip(text.lines().skip(1).step_by(2)) {
            let document: Value = serde_json::from_str(document).unwrap();
            let message = document["message"].as_str().unwrap().to_string();
            if let Some(before) = index.insert(id, message.clone()) {
                assert_eq!(before, message, "one ID, two events");
            }
        }
    }
    index
}

#[test]
fn a_bulk_request_as_it_goes_over_the_wire() {
    let runtime = runtime();
    let server = Server::start(&runtime, |_, request| all_created(request));
    let options = ElasticsearchOptions {
        pipeline: Some("my pipe".into()),
        connection: ConnectionOptions {
            auth: Auth::Basic { user: "ship".into(), password: crate::config::Secret::new("secret") },
            ..ConnectionOptions::default()
        },
        ..kind(&server.url)
    };
    let bench = Bench::start(SinkKind::Elasticsearch(options), batches(&lines(2), 2, RunFlags::UTF8), runtime);
    bench.finish();
    let request = server.requests().remove(0);
    insta::assert_snapshot!(request.line, @"POST /logs-app/_bulk?filter_path=errors%2Cerror%2Cstatus%2Citems.*.status%2Citems.*.error&timeout=24000ms&pipeline=my+pipe HTTP/1.1");
    assert_eq!(request.header("content-type"), "application/x-ndjson");
    assert_eq!(request.header("authorization"), "Basic c2hpcDpzZWNyZXQ=");
    assert!(request.header("user-agent").starts_with("forebay/"));
    insta::assert_snapshot!(String::from_utf8(request.body).unwrap(), @r#"
    {"create":{"_id":"XgkBepwxnftjk3YAAAAAAABd7AB2"}}
    {"@timestamp":"2026-03-09T10:15:02.123Z","message":"line 0 says \"hello\"","log":{"offset":0,"file":{"path":"/var/log/app.log"}},"host":{"name":"web-1"}}
    {"create":{"_id":"XgkBepwxnftjk3YAAAAAABQJ61Uw"}}
    {"@timestamp":"2026-03-09T10:15:02.123Z","message":"line 1 says \"hello\"","log":{"offset":20,"file":{"path":"/var/log/app.log"}},"host":{"name":"web-1"}}
    "#);
    let status = bench.sink().status();
    assert_eq!((status.delivered_events, status.delivered_bytes, status.batches_sent, status.dead_lettered), (2, 40, 1, 0));
}

#[test]
fn nothing_is_lost_and_the_same_bytes_are_sent_again_whatever_happens() {
    let runtime = runtime();
    let mut n = 0;
    let server = Server::start(&runtime, move |_, request| match n {
        _ if request.line.starts_with("GET") => Reply::Answer(404, JSON, "{}".into()),
        _ => {
            n += 1;
            fault(n - 1, request)
        }
    });
    fn fault(n: usize, request: &Seen) -> Reply {
        match n {
            0 => Reply::Reset,
            1 => Reply::Cut(r#"{"items":[{"create":{"status":201}},"#.into()),
            2 => Reply::Answer(503, &[], "busy".into()),
            3 => Reply::Answer(200, &[("content-type", "text/html")], "<html>log in</html>".into()),
            4 => Reply::Answer(429, &[("retry-after", "0")], String::new()),
            5 => Reply::Answer(302, &[("location", "https://elsewhere/")], String::new()),
            6 => Reply::Answer(401, &[], "{}".into()),
            7 => Reply::Answer(200, JSON, r#"{"errors":false,"items":[]}"#.into()),
            _ => all_created(request),
        }
    }
    let bench = Bench::start(SinkKind::Elasticsearch(kind(&server.url)), batches(&lines(10), 10, RunFlags::UTF8), runtime);
    bench.finish();
    let requests: Vec<Seen> = server.requests().into_iter().filter(|r| r.line.starts_with("POST")).collect();
    assert_eq!(requests.len(), 9);
    let name = "00000000000000000000000000000007-search-logs-0-1-0-9-00000000";
    assert!(requests.iter().all(|r| r.header("x-opaque-id") == name), "one name at each try");
    assert!(requests.iter().all(|r| r.body == requests[0].body));
    assert_eq!(indexed(&requests).len(), 10);
    let status = bench.sink().status();
    assert_eq!((status.batches_sent, status.batches_retried, status.delivered_events), (9, 8, 10));
    assert!(bench.letters.records.lock().unwrap().is_empty());
}

#[test]
fn a_receiver_that_was_down_is_asked_with_a_small_part() {
    let runtime = runtime();
    let mut n = 0;
    let server = Server::start(&runtime, move |_, request| match n {
        _ if request.line.starts_with("GET") => Reply::Answer(404, JSON, "{}".into()),
        5 => all_created(request),
        _ => {
            n += 1;
            Reply::Answer(503, &[], "starting".into())
        }
    });
    let events: Vec<Vec<u8>> = (0..3000).map(|i| format!("{i:0>200}").into_bytes()).collect();
    let bench = Bench::start(SinkKind::Elasticsearch(kind(&server.url)), batches(&events, 3000, RunFlags::UTF8), runtime);
    bench.finish();
    let requests: Vec<Seen> = server.requests().into_iter().filter(|r| r.line.starts_with("POST")).collect();
    let sizes: Vec<usize> = requests.iter().map(|r| r.body.len()).collect();
    let whole = sizes[0];
    assert!(whole > 1 << 20 && sizes.len() == 7, "{sizes:?}");
    assert!(sizes[2..6].iter().all(|size| (16 << 10..=64 << 10).contains(size)), "asked with little after two failures: {sizes:?}");
    assert_eq!(sizes[5] + sizes[6], whole, "and then the rest at once: {sizes:?}");
    assert_eq!(indexed(&requests[5..]).len(), 3000);
}

#[test]
fn many_batches_through_a_receiver_that_fails_all_the_time() {
    let runtime = runtime();
    let (mut posts, mut questions) = (0, 0);
    let server = Server::start(&runtime, move |_, request| {
        if request.line.starts_with("GET") {
            questions += 1;
            return if questions % 3 == 0 { Reply::Reset } else { Reply::Answer(404, JSON, "{}".into()) };
        }
        posts += 1;
        let n = posts;
        match n % 7 {
            0 | 3 => Reply::Reset,
            5 => Reply::Answer(503, &[], String::new()),
            _ => items(request, move |i, _| if (i + n) % 5 == 0 { (429, "es_rejected_execution_exception") } else { (201, "") }),
        }
    });
    let bench = Bench::start(SinkKind::Elasticsearch(kind(&server.url)), batches(&lines(400), 20, RunFlags::UTF8), runtime);
    bench.finish();
    let requests: Vec<Seen> = server.requests().into_iter().filter(|r| r.line.starts_with("POST")).collect();
    assert_eq!(indexed(&requests).len(), 400);
    assert_eq!(bench.sink().status().delivered_events, 400);
}

#[test]
fn items_with_429_or_503_are_sent_again_alone_and_409_has_arrived() {
    let runtime = runtime();
    let server = Server::start(&runtime, |n, request| {
        items(request, move |i, _| match (n, i) {
            (0, 1) => (429, "es_rejected_execution_exception"),
            (0, 3) => (503, "unavailable_shards_exception"),
            (0, 0) => (409, "version_conflict_engine_exception"),
            _ => (201, ""),
        })
    });
    let bench = Bench::start(SinkKind::Elasticsearch(kind(&server.url)), batches(&lines(5), 5, RunFlags::UTF8), runtime);
    bench.finish();
    let requests: Vec<Seen> = server.requests().into_iter().filter(|r| r.line.starts_with("POST")).collect();
    assert_eq!(requests.len(), 2);
    let (first, second) = (requests[0].ids(), requests[1].ids());
    assert_eq!(second, [first[1].clone(), first[3].clone()]);
    let status = bench.sink().status();
    assert_eq!((status.delivered_events, status.already_there), (5, 1));
}

#[test]
fn the_documents_fault_goes_to_the_dead_letters_with_all_that_is_known() {
    let runtime = runtime();
    let server = Server::start(&runtime, |_, request| {
        items(request, |_, document| {
            let bad = document["message"].as_str().unwrap().starts_with("bad");
            if bad { (400, "document_parsing_exception") } else { (201, "") }
        })
    });
    let events = [b"good".to_vec(), b"bad \"one\"".to_vec(), b"good".to_vec(), b"bad \xff\x00".to_vec()];
    let bench = Bench::start(SinkKind::Elasticsearch(kind(&server.url)), batches(&events, 4, 0), runtime);
    bench.finish();
    let letters = bench.letters.records.lock().unwrap();
    let ids = server.requests()[0].ids();
    assert_eq!(letters.len(), 2);
    assert_eq!(letters[0]["event_id"], ids[1]);
    assert_eq!(letters[1]["event_id"], ids[3]);
    insta::assert_snapshot!(serde_json::to_string_pretty(&letters[0]).unwrap(), @r#"
    {
      "appended": "2026-03-09T10:15:02.123Z",
      "batch_id": "00000000000000000000000000000007-search-logs-0-1-0-3-00000000",
      "event_id": "XgkBepwxnftjk3YAAAAAAAV_20My",
      "offset": 1,
      "original": "bad \"one\"",
      "partition": 0,
      "path": "/var/log/app.log",
      "position": 5,
      "reason": "item 1 of '1'",
      "sink": "search",
      "status": 400,
      "topic": "logs",
      "type": "document_parsing_exception"
    }
    "#);
    assert_eq!(letters[1]["original_base64"], "YmFkIP8A");
    let status = bench.sink().status();
    assert_eq!((status.delivered_events, status.dead_lettered, status.delivered_bytes), (2, 2, 10));
}

#[test]
fn an_ack_waits_for_the_dead_letters() {
    let runtime = runtime();
    let server =
        Server::start(&runtime, |_, request| items(request, |i, _| if i == 0 { (400, "document_parsing_exception") } else { (201, "") }));
    let all = batches(&lines(3), 3, RunFlags::UTF8);
    let letters = std::sync::Arc::new(Letters::default());
    *letters.full.lock().unwrap() = 3;
    let bench = Bench::start_letters(SinkKind::Elasticsearch(kind(&server.url)), all, runtime, letters.clone());
    bench.finish();
    assert_eq!(*letters.full.lock().unwrap(), 0);
    assert_eq!(letters.records.lock().unwrap().len(), 1);
}

#[test]
fn when_every_event_is_refused_alike_it_is_held_not_dropped() {
    let runtime = runtime();
    let server = Server::start(&runtime, |n, request| {
        items(request, move |_, _| if n < 3 { (400, "document_parsing_exception") } else { (201, "") })
    });
    let bench = Bench::start(SinkKind::Elasticsearch(kind(&server.url)), batches(&lines(20), 20, RunFlags::UTF8), runtime);
    bench.finish();
    assert!(bench.letters.records.lock().unwrap().is_empty());
    assert_eq!(bench.sink().status().delivered_events, 20);
}

#[test]
fn a_setting_that_is_mended_in_the_middle_of_a_request_costs_no_event() {
    let runtime = runtime();
    let server = Server::start(&runtime, |n, request| {
        items(request, move |item, _| match n {
            0 | 1 => (400, "strict_dynamic_mapping_exception"),
            2 if item < 12 => (400, "strict_dynamic_mapping_exception"),
            _ => (201, ""),
        })
    });
    let bench = Bench::start(SinkKind::Elasticsearch(kind(&server.url)), batches(&lines(20), 20, RunFlags::UTF8), runtime);
    bench.finish();
    assert_eq!(bench.letters.records.lock().unwrap().len(), 0);
    assert_eq!((bench.sink().status().delivered_events, server.requests().len()), (20, 4));
}

#[test]
fn a_trickle_of_events_that_are_refused_alike_is_held_too() {
    let runtime = runtime();
    let mended = std::sync::Arc::new(AtomicUsize::new(0));
    let seen = mended.clone();
    let server = Server::start(&runtime, move |_, request| {
        let ok = seen.load(SeqCst) > 0;
        items(request, move |_, _| if ok { (201, "") } else { (400, "document_parsing_exception") })
    });
    let bench = Bench::start(SinkKind::Elasticsearch(kind(&server.url)), batches(&lines(20), 1, RunFlags::UTF8), runtime);
    let until = std::time::Instant::now() + PATIENCE;
    while bench.sink().status().state != "held" {
        assert!(std::time::Instant::now() < until);
        std::thread::yield_now();
    }
    let reason = bench.sink().status().reason;
    assert!(reason.starts_with("every event is refused with the same 400 document_parsing_exception: item 0 of"), "{reason}");
    mended.store(1, SeqCst);
    bench.finish();
    assert_eq!(bench.letters.records.lock().unwrap().len(), 7, "the eighth in a row is held, and those behind it");
    assert_eq!(bench.sink().status().delivered_events, 13);
}

#[test]
fn many_bad_events_of_one_stream_hold_nothing_once_the_receiver_takes_others() {
    let runtime = runtime();
    let server = Server::start(&runtime, |_, request| {
        items(request, |_, document| {
            let bad = document["message"].as_str().unwrap().starts_with("bad");
            if bad { (400, "document_parsing_exception") } else { (201, "") }
        })
    });
    let events: Vec<Vec<u8>> = (0..300).map(|i| if i < 200 { format!("bad {i}") } else { format!("good {i}") }.into_bytes()).collect();
    let bench = Bench::start(SinkKind::Elasticsearch(kind(&server.url)), batches(&events, 100, RunFlags::UTF8), runtime);
    bench.finish();
    assert_eq!(bench.letters.records.lock().unwrap().len(), 200);
    assert_eq!(bench.sink().status().delivered_events, 100);
}

#[test]
fn a_missing_pipeline_holds_only_what_it_stops() {
    let runtime = runtime();
    let server = Server::start(&runtime, |n, request| {
        items(request, move |i, _| if n < 3 && i == 0 { (400, "index_closed_exception") } else { (201, "") })
    });
    let bench = Bench::start(SinkKind::Elasticsearch(kind(&server.url)), batches(&lines(3), 3, RunFlags::UTF8), runtime);
    bench.finish();
    assert_eq!(server.requests().iter().map(|r| r.ids().len()).collect::<Vec<_>>(), [3, 1, 1, 1]);
    assert!(bench.letters.records.lock().unwrap().is_empty());
}

#[test]
fn a_413_splits_down_to_the_event_that_is_too_large() {
    let runtime = runtime();
    let server =
        Server::start(
            &runtime,
            |_, request| if request.body.len() > 2000 { Reply::Answer(413, &[], String::new()) } else { all_created(request) },
        );
    let mut events = lines(40);
    events[17] = vec![b'x'; 5000];
    let bench = Bench::start(SinkKind::Elasticsearch(kind(&server.url)), batches(&events, 40, RunFlags::UTF8), runtime);
    bench.finish();
    let letters = bench.letters.records.lock().unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["status"], 413);
    assert_eq!(letters[0]["original"].as_str().unwrap().len(), 5000);
    assert!(letters[0]["reason"].as_str().unwrap().contains("5,185 bytes"), "{}", letters[0]["reason"]);
    let small: Vec<Seen> = server.requests().into_iter().filter(|r| r.body.len() <= 2000).collect();
    assert_eq!(indexed(&small).len(), 39);
    assert_eq!(bench.sink().status().delivered_events, 39);
}

#[test]
fn a_whole_400_splits_down_to_its_cause_but_never_condemns_all() {
    let runtime = runtime();
    let refusal = r#"{"error":{"type":"illegal_argument_exception","reason":"no good"},"status":400}"#;
    let poisoned = |request: &Seen| memchr::memmem::find(&request.body, b"line 5 ").is_some();
    let server = Server::start(
        &runtime,
        move |_, request| if poisoned(request) { Reply::Answer(400, JSON, refusal.into()) } else { all_created(request) },
    );
    let bench = Bench::start(SinkKind::Elasticsearch(kind(&server.url)), batches(&lines(16), 16, RunFlags::UTF8), runtime);
    bench.finish();
    assert_eq!(bench.letters.records.lock().unwrap().len(), 1);
    assert_eq!(bench.sink().status().delivered_events, 15);

    let runtime = crate::sink::testing::runtime();
    let mended = AtomicUsize::new(0);
    let server = Server::start(&runtime, move |_, request| {
        if mended.fetch_add(1, SeqCst) < 60 { Reply::Answer(400, JSON, refusal.into()) } else { all_created(request) }
    });
    let bench = Bench::start(SinkKind::Elasticsearch(kind(&server.url)), batches(&lines(16), 16, RunFlags::UTF8), runtime);
    bench.finish();
    assert!(bench.letters.records.lock().unwrap().is_empty(), "mended in the middle of a split");
    assert_eq!(bench.sink().status().delivered_events, 16);
}

#[test]
fn bad_events_at_the_head_of_a_batch_do_not_hold_it() {
    let runtime = runtime();
    let large = |request: &Seen| request.body.len() > 4000;
    let server = Server::start(
        &runtime,
        move |_, request| if large(request) { Reply::Answer(413, &[], String::new()) } else { all_created(request) },
    );
    let mut events = vec![vec![b'x'; 5000]; 12];
    events.extend(lines(60));
    let bench = Bench::start(SinkKind::Elasticsearch(kind(&server.url)), batches(&events, 72, RunFlags::UTF8), runtime);
    bench.finish();
    assert_eq!(bench.letters.records.lock().unwrap().len(), 12);
    assert_eq!(bench.sink().status().delivered_events, 60);
}

#[test]
fn gzip_bodies_hold_the_same_and_dated_indices_come_from_the_event() {
    let runtime = runtime();
    let answers = |count: usize| Reply::Answer(200, JSON, json!({"items": vec![json!({"create": {"status": 201}}); count]}).to_string());
    let server = Server::start(&runtime, move |_, _| answers(3));
    let connection = ConnectionOptions { compression: Compression::Gzip(1), ..ConnectionOptions::default() };
    let options = ElasticsearchOptions { connection, index: "logs-%Y.%m.%d".into(), ..kind(&server.url) };
    let bench = Bench::start(SinkKind::Elasticsearch(options), batches(&lines(3), 3, RunFlags::UTF8), runtime);
    bench.finish();
    let request = server.requests().remove(0);
    assert!(request.line.starts_with("POST /_bulk?"));
    assert_eq!(request.header("content-encoding"), "gzip");
    let mut plain = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&request.body[..]), &mut plain).unwrap();
    assert!(plain.starts_with(r#"{"create":{"_index":"logs-2026.03.09","_id":""#), "{plain}");
}

#[test]
fn another_endpoint_takes_over() {
    let runtime = runtime();
    let bad = Server::start(&runtime, |_, _| Reply::Reset);
    let good = Server::start(&runtime, |_, request| {
        let plain = json!({"logs-app": {"settings": {"index.creation_date": "1"}}});
        if request.line.contains("/_settings/") { Reply::Answer(200, JSON, plain.to_string()) } else { all_created(request) }
    });
    let options = ElasticsearchOptions { endpoints: vec![bad.url.clone(), good.url.clone()], ..kind("") };
    let bench = Bench::start(SinkKind::Elasticsearch(options), batches(&lines(50), 5, RunFlags::UTF8), runtime);
    bench.finish();
    let bulk = |server: &Server| server.requests().iter().filter(|r| r.line.contains("/_bulk")).count();
    assert_eq!(bulk(&good), 10);
    assert_eq!(bench.sink().status().batches_retried, 0);
    assert!(bulk(&bad) < 10, "avoided after it failed");
}

#[test]
fn a_held_sink_says_so() {
    let runtime = runtime();
    let server = Server::start(&runtime, |_, _| Reply::Answer(401, &[], "Unauthorized".into()));
    let mut bench = Bench::start(SinkKind::Elasticsearch(kind(&server.url)), batches(&lines(4), 2, RunFlags::UTF8), runtime);
    let until = std::time::Instant::now() + PATIENCE;
    while bench.sink().status().state != "held" {
        assert!(std::time::Instant::now() < until);
        std::thread::yield_now();
    }
    insta::assert_snapshot!(bench.sink().status().reason, @r"the log-in is not accepted (401); check `auth` of the sink, or set it: Unauthorized; nothing is given up, it stays in the queue");
    assert!(!bench.sink().idle());
    bench.sink.take().unwrap().stop();
    assert!(bench.acks.0.0.lock().unwrap().is_empty(), "what is in flight stays unacked");
}

#[test]
fn https_clients_can_be_built_and_bad_options_are_told() {
    let https = ElasticsearchOptions { endpoints: vec!["https://search:9200".into()], ..ElasticsearchOptions::default() };
    let secured = |tls: TlsOptions| {
        let connection = ConnectionOptions { tls, ..ConnectionOptions::default() };
        ElasticsearchOptions { connection, ..https.clone() }
    };
    for tls in [TlsOptions::default(), TlsOptions { insecure: true, ..TlsOptions::default() }] {
        BulkClient::new("search", &secured(tls), 2).map(drop).unwrap();
    }
    let error = |options: &ElasticsearchOptions| BulkClient::new("search", options, 2).map(drop).unwrap_err().to_string();
    let missing = TlsOptions { ca_file: Some("/nowhere/ca.pem".into()), ..TlsOptions::default() };
    insta::assert_snapshot!(error(&secured(missing)), @r"sink search: TLS: cannot read /nowhere/ca.pem: No such file or directory (os error 2)");
    insta::assert_snapshot!(error(&kind("ftp://search")), @r"sink search: ftp://search cannot be used: it is neither http:// nor https://; expected something like https://search:9200");
    insta::assert_snapshot!(error(&kind("http://me:hush@search")), @r"sink search: http://search cannot be used: user and password belong under auth, not into the URL; expected something like https://search:9200");
    insta::assert_snapshot!(error(&ElasticsearchOptions::default()), @r"sink search: it has no endpoints; expected at least one URL");
}

#[test]
fn what_takes_no_replacements_is_known_by_what_the_name_resolves_to() {
    let of = |answer: &str| serde_json::from_str::<Resolved>(answer).unwrap().overwriting();
    let index = r#"{"indices":[{"name":"logs-app","attributes":["open"]}],"aliases":[],"data_streams":[]}"#;
    assert_eq!(of(index), Overwriting::Replaces);
    assert_eq!(of(r#"{"indices":[],"aliases":[{"name":"logs-app","indices":["a-1"]}],"data_streams":[]}"#), Overwriting::Replaces);
    let alias = of(r#"{"aliases":[{"name":"logs-app","indices":["a-1","a-2"]}]}"#);
    let told = "logs-app is an alias of 2 indices: what stands in an older one would not be replaced, but be there twice";
    assert_eq!(alias, Overwriting::Refuses(told.into()));
    let stream = of(r#"{"data_streams":[{"name":"logs-app","backing_indices":[".ds-logs-app-000001"],"timestamp_field":"@timestamp"}]}"#);
    assert_eq!(stream, Overwriting::Refuses("logs-app is a data stream, and a data stream takes only new documents".into()));
}

#[test]
fn a_body_that_replaces_becomes_one_that_creates_with_the_same_documents() {
    let runtime = runtime();
    let refuse = |_: usize, _: &Value| (400, "illegal_argument_exception");
    let server = Server::start(&runtime, move |_, request| {
        if request.body.starts_with(br#"{"create""#) {
            return all_created(request);
        }
        let Reply::Answer(status, headers, body) = items(request, refuse) else { unreachable!() };
        // As Elasticsearch says it, of each item.
        let reason = "only write ops with an op_type of create are allowed in data streams";
        Reply::Answer(status, headers, body.replace("item ", &format!("{reason} ")))
    });
    let mut all = batches(&lines(6), 3, RunFlags::UTF8);
    all.iter_mut().for_each(|b| b.id.kind = crate::queue::BatchKind::Overwrite { asked_ms: 9 });
    let bench = Bench::start(SinkKind::Elasticsearch(kind(&server.url)), all, runtime);
    bench.finish();
    assert!(bench.letters.records.lock().unwrap().is_empty(), "no event is refused for it");
    assert_eq!(bench.sink().status().delivered_events, 6);
    let created: Vec<Seen> = server.requests().into_iter().filter(|r| r.body.starts_with(br#"{"create""#)).collect();
    assert_eq!(indexed(&created).len(), 6);

    let client = BulkClient::new("search", &kind(&server.url), 1).unwrap();
    let (first, second) = ("{\"index\":{\"_id\":\"a\"}}\n{\"index\":{\"x\":1}}\n", "{\"index\":{\"_id\":\"b\"}}\n{}\n");
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    let items = [first.len() as u32, (first.len() + second.len()) as u32];
    client.without_overwrite(format!("{first}{second}").as_bytes(), &items, &mut out, &mut ends);
    let expected = "{\"create\":{\"_id\":\"a\"}}\n{\"index\":{\"x\":1}}\n{\"create\":{\"_id\":\"b\"}}\n{}\n";
    assert_eq!((String::from_utf8(out).unwrap().as_str(), ends), (expected, vec![items[0] + 1, items[1] + 2]), "only the actions change");
}
