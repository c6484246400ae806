use super::*;
use crate::queue::RunFlags;
use crate::sink::SinkKind;
use crate::sink::elasticsearch::{DataStreamOptions, ElasticsearchOptions};
use crate::sink::testing::*;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
/// A minute after the events were appended.
const FIRST: u64 = APPENDED - 60_000;

/// A name that is rolled over: each index knows its own IDs, as at the real servers.
#[derive(Default)]
struct Rolling {
    /// Name, creation, IDs; the last one is written to.
    indices: Vec<(String, u64, HashSet<String>)>,
    /// Whether the name still stands for the old ones.
    swapped: bool,
    asked: Vec<String>,
}

impl Rolling {
    fn new(first: &str) -> Arc<Mutex<Rolling>> {
        let indices = vec![(first.to_string(), FIRST, HashSet::new())];
        Arc::new(Mutex::new(Rolling { indices, ..Rolling::default() }))
    }

    fn roll_over(&mut self) {
        let (name, created, _) = self.indices.last().unwrap();
        let (stem, number) = generation(name).unwrap();
        self.indices.push((format!("{stem}-{:06}", number + 1), created + 120_000, HashSet::new()));
    }

    /// Creates those of a request's events that `takes` says, as a bulk request does.
    fn store(&mut self, request: &Seen, takes: impl Fn(usize) -> bool) -> Reply {
        let index = self.indices.last_mut().unwrap();
        let item = |(i, id): (usize, String)| {
            let status = if takes(i) { if index.2.insert(id) { 201 } else { 409 } } else { 503 };
            json!({"create": {"status": status, "_index": index.0}})
        };
        let items: Vec<Value> = request.ids().into_iter().enumerate().map(item).collect();
        Reply::Answer(200, JSON, json!({"errors": true, "items": items}).to_string())
    }

    /// Everything but `_bulk`.
    fn answer(&mut self, request: &Seen) -> Reply {
        let path = request.line.split([' ', '?']).nth(1).unwrap().to_string();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        self.asked.push(parts.last().unwrap().to_string());
        let answer = match parts[..] {
            [name, "_settings", _] => {
                let stem = name.strip_suffix("-*");
                let from = if self.swapped && stem.is_none() { self.indices.len() - 1 } else { 0 };
                let own = |(name, ms, _): &(String, u64, _)| (name.clone(), json!({"settings": {"index.creation_date": ms.to_string()}}));
                Value::Object(self.indices[from..].iter().map(own).collect())
            }
            [name, "_mget"] => {
                let index = &self.indices.iter().find(|(own, ..)| own == name).unwrap().2;
                let body: Value = serde_json::from_slice(&request.body).unwrap();
                let found = |doc: &Value| json!({"found": index.contains(doc["_id"].as_str().unwrap())});
                json!({"docs": body["docs"].as_array().unwrap().iter().map(found).collect::<Vec<_>>()})
            }
            ["_tasks"] => json!({}),
            _ => panic!("{}", request.line),
        };
        Reply::Answer(200, JSON, answer.to_string())
    }

    fn total(&self) -> usize {
        self.indices.iter().map(|(_, _, ids)| ids.len()).sum()
    }

    fn distinct(&self) -> usize {
        self.indices.iter().flat_map(|(_, _, ids)| ids).collect::<HashSet<_>>().len()
    }
}

fn is_bulk(request: &Seen) -> bool {
    request.line.contains("/_bulk")
}

fn options(url: &str) -> ElasticsearchOptions {
    ElasticsearchOptions { endpoints: vec![url.to_string()], index: "logs-app".into(), ..ElasticsearchOptions::default() }
}

/// Ships forty events in four batches to a server that treats the `n`th bulk request as `bulk` says.
fn ship(
    rolling: &Arc<Mutex<Rolling>>,
    sent_before: bool,
    mut bulk: impl FnMut(usize, &Seen, &mut Rolling) -> Reply + Send + 'static,
) -> (Bench, Server) {
    let runtime = runtime();
    let (own, mut n) = (rolling.clone(), 0);
    let server = Server::start(&runtime, move |_, request| {
        let mut rolling = own.lock().unwrap();
        if !is_bulk(request) {
            return rolling.answer(request);
        }
        n += 1;
        bulk(n - 1, request, &mut rolling)
    });
    let mut all = batches(&lines(40), 10, RunFlags::UTF8);
    all.iter_mut().for_each(|batch| batch.sent_before = sent_before);
    let bench = Bench::start(SinkKind::Elasticsearch(options(&server.url)), all, runtime);
    bench.finish();
    (bench, server)
}

#[test]
fn a_lost_answer_and_a_rollover_double_nothing() {
    type Fault = fn(Reply) -> Reply;
    let faults: [Fault; 3] = [
        |_| Reply::Reset,
        |_| Reply::Cut(r#"{"items":[{"create":{"status":201}},"#.into()),
        |_| Reply::Answer(504, &[], "<html>a proxy has lost patience</html>".into()),
    ];
    for fault in faults {
        let rolling = Rolling::new(".ds-logs-app-2026.03.09-000001");
        let (bench, _server) = ship(&rolling, false, move |n, request, rolling| {
            // One arrives as a whole, one in part, one not at all; each time there is another write index afterwards.
            let reply = match n {
                0 => rolling.store(request, |_| true),
                2 => rolling.store(request, |i| i % 3 == 0),
                4 => Reply::Reset,
                _ => return rolling.store(request, |_| true),
            };
            rolling.roll_over();
            fault(reply)
        });
        let rolling = rolling.lock().unwrap();
        assert_eq!((rolling.total(), rolling.distinct()), (40, 40));
        let status = bench.sink().status();
        assert_eq!((status.delivered_events, status.already_there, status.possibly_doubled), (40, 14, 0));
        assert!(status.last_batch.starts_with("00000000000000000000000000000007-search-logs-0-1-"), "{}", status.last_batch);
    }
}

#[test]
fn without_the_question_the_fake_doubles() {
    // What the test above proves depends on it.
    let rolling = Rolling::new(".ds-logs-app-2026.03.09-000001");
    let mut own = rolling.lock().unwrap();
    let request = Seen { body: b"{\"create\":{\"_id\":\"a\"}}\n{}\n".to_vec(), ..Seen::default() };
    own.store(&request, |_| true);
    own.roll_over();
    own.store(&request, |_| true);
    assert_eq!((own.total(), own.distinct()), (2, 1));
}

#[test]
fn items_that_fail_half_way_are_asked_for_too() {
    let rolling = Rolling::new(".ds-logs-app-2026.03.09-000001");
    let (bench, _server) = ship(&rolling, false, |n, request, rolling| {
        if n > 0 {
            return rolling.store(request, |_| true);
        }
        // Stored, but the primary failed while it replicated: each item says 503.
        rolling.store(request, |_| true);
        let reply = rolling.store(request, |_| false);
        rolling.roll_over();
        reply
    });
    assert_eq!((rolling.lock().unwrap().total(), bench.sink().status().already_there), (40, 10));
}

#[test]
fn what_was_in_flight_at_a_crash_is_asked_for_before_it_is_sent() {
    let rolling = Rolling::new("logs-000007");
    rolling.lock().unwrap().swapped = true;
    let before = rolling.clone();
    // An alias without `is_write_index`: the rollover has taken it away from the index that has the events.
    let (bench, server) = ship(&rolling, true, |_, request, rolling| rolling.store(request, |_| true));
    assert_eq!(bench.sink().status().already_there, 0);
    drop((bench, server));
    before.lock().unwrap().roll_over();
    let (bench, server) = ship(&rolling, true, |_, request, rolling| rolling.store(request, |_| true));
    assert_eq!((rolling.lock().unwrap().total(), bench.sink().status().already_there), (40, 40));
    assert!(!server.requests().iter().any(is_bulk), "nothing was left to send");
}

#[test]
fn a_plain_index_is_not_asked_for_ids() {
    let rolling = Rolling::new("logs-app");
    let (bench, _server) = ship(&rolling, false, |n, request, rolling| match n {
        0 => {
            rolling.store(request, |_| true);
            Reply::Reset
        }
        _ => rolling.store(request, |_| true),
    });
    let rolling = rolling.lock().unwrap();
    assert_eq!((rolling.total(), rolling.asked.join(" ").as_str()), (40, "index.creation_date"));
    assert_eq!(bench.sink().status().already_there, 10);
}

#[test]
fn nothing_that_is_certain_is_asked() {
    let rolling = Rolling::new(".ds-logs-app-2026.03.09-000001");
    let (_bench, _server) = ship(&rolling, false, |n, request, rolling| match n {
        0 => Reply::Answer(429, &[], "busy".into()),
        1 => Reply::Answer(401, &[], String::new()),
        2 => Reply::Answer(302, &[("location", "https://elsewhere/")], String::new()),
        _ => rolling.store(request, |_| true),
    });
    assert_eq!(rolling.lock().unwrap().asked, [""; 0]);
}

#[test]
fn an_earlier_try_that_goes_on_is_waited_for() {
    let rolling = Rolling::new(".ds-logs-app-2026.03.09-000001");
    let (own, runtime) = (rolling.clone(), runtime());
    let mut late: Option<(Seen, usize)> = None;
    let server = Server::start(&runtime, move |n, request| {
        let mut rolling = own.lock().unwrap();
        if n == 0 {
            late = Some((request.clone(), 0));
            return Reply::Reset;
        }
        if request.line.starts_with("GET /_tasks?actions=indices%3Adata%2Fwrite%2Fbulk*&") {
            let Some((first, asked)) = &mut late else { return rolling.answer(request) };
            *asked += 1;
            if *asked < 3 {
                let tasks = json!({"tasks": [{"headers": {}}, {"headers": {"X-Opaque-Id": first.header("x-opaque-id")}}]});
                return Reply::Answer(200, JSON, tasks.to_string());
            }
            // It ends, into the index that it began with, when there is a newer one.
            rolling.store(first, |_| true);
            rolling.roll_over();
            late = None;
            return rolling.answer(request);
        }
        if is_bulk(request) { rolling.store(request, |_| true) } else { rolling.answer(request) }
    });
    let bench = Bench::start(SinkKind::Elasticsearch(options(&server.url)), batches(&lines(10), 10, RunFlags::UTF8), runtime);
    bench.finish();
    let rolling = rolling.lock().unwrap();
    assert_eq!((rolling.total(), bench.sink().status().already_there), (10, 10));
}

#[test]
fn without_the_privilege_it_is_sent_counted_and_said() {
    let stream = ".ds-logs-app-2026.03.09-000001";
    for (refused, status, name, doubled) in [
        ("_settings", 403, stream, 6),
        ("_mget", 403, stream, 6),
        ("_mget", 503, stream, 6),
        ("_settings", 400, stream, 6),
        // The answer to the second try tells that it is a plain index: what was there is recognised.
        ("_settings", 403, "logs-app", 0),
    ] {
        let rolling = Rolling::new(name);
        let (own, runtime, mut asked) = (rolling.clone(), runtime(), false);
        let server = Server::start(&runtime, move |n, request| {
            let mut rolling = own.lock().unwrap();
            if request.line.contains(refused) {
                asked = true;
                return Reply::Answer(status, JSON, json!({"error": {"type": "security_exception", "reason": "no"}}).to_string());
            }
            match is_bulk(request) {
                true if n == 0 => {
                    rolling.store(request, |i| i < 4);
                    Reply::Reset
                }
                true if !asked => Reply::Answer(429, &[], "others come later".into()),
                true => rolling.store(request, |_| true),
                false => rolling.answer(request),
            }
        });
        // While the questions are answered with 503, other batches are delivered: it is no outage.
        let bench = Bench::start(SinkKind::Elasticsearch(options(&server.url)), batches(&lines(100), 10, RunFlags::UTF8), runtime);
        bench.finish();
        let found = bench.sink().status();
        // What is answered with 409 is not doubled for certain.
        assert_eq!(
            (found.possibly_doubled, found.already_there, rolling.lock().unwrap().total()),
            (doubled, 4, 100),
            "{refused} {status} {name}"
        );
    }
}

#[test]
fn another_endpoint_gets_nothing_before_the_question() {
    let rolling = Rolling::new(".ds-logs-app-2026.03.09-000001");
    let runtime = runtime();
    let (own, first) = (rolling.clone(), rolling.clone());
    let bad = Server::start(&runtime, move |_, request| {
        if is_bulk(request) {
            let mut rolling = first.lock().unwrap();
            rolling.store(request, |_| true);
            rolling.roll_over();
        }
        Reply::Reset
    });
    let good = Server::start(&runtime, move |_, request| {
        let mut rolling = own.lock().unwrap();
        if is_bulk(request) { rolling.store(request, |_| true) } else { rolling.answer(request) }
    });
    let options = ElasticsearchOptions { endpoints: vec![bad.url.clone(), good.url.clone()], ..options("") };
    let bench = Bench::start(SinkKind::Elasticsearch(options), batches(&lines(50), 5, RunFlags::UTF8), runtime);
    bench.finish();
    let rolling = rolling.lock().unwrap();
    assert!(rolling.indices.len() > 1, "the bad one had a batch");
    assert_eq!((rolling.total(), rolling.distinct()), (50, 50));
}

#[test]
fn targets_by_field_are_asked_one_by_one() {
    // One stream, so one name; it stands in the action lines and not in the URL.
    let rolling = Rolling::new(".ds-logs-web_1-default-2026.03.09-000001");
    let (own, runtime) = (rolling.clone(), runtime());
    let server = Server::start(&runtime, move |n, request| {
        let mut rolling = own.lock().unwrap();
        match is_bulk(request) {
            true if n == 0 => {
                rolling.store(request, |_| true);
                rolling.roll_over();
                Reply::Reset
            }
            true => rolling.store(request, |_| true),
            false => rolling.answer(request),
        }
    });
    let data_stream = Some(DataStreamOptions { dataset: "{host.name}".into(), ..DataStreamOptions::default() });
    let options = ElasticsearchOptions { data_stream, routing: Some("{host.name}".into()), ..options(&server.url) };
    let bench = Bench::start(SinkKind::Elasticsearch(options), batches(&lines(10), 10, RunFlags::UTF8), runtime);
    bench.finish();
    let requests = server.requests();
    assert_eq!(rolling.lock().unwrap().total(), 10);
    let lines: Vec<&str> = requests.iter().map(|r| r.line.split(['?', ' ']).nth(1).unwrap()).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    /_bulk
    /logs-web_1-default/_settings/index.creation_date
    /_tasks
    /logs-web_1-default/_settings/index.creation_date
    /.ds-logs-web_1-default-2026.03.09-000002/_mget
    /.ds-logs-web_1-default-2026.03.09-000001/_mget
    ");
    let body: Value = serde_json::from_slice(&requests[4].body).unwrap();
    assert_eq!((body["docs"].as_array().unwrap().len(), &body["docs"][0]["routing"]), (10, &json!("web-1")));
}

#[test]
fn only_indices_that_can_have_it_are_asked() {
    const DAY: u64 = 86_400_000;
    let of = |names: &[(&str, u64)], since: u64| {
        let created = names.iter().map(|(name, day)| (name.to_string(), day * DAY)).collect();
        let mut found = reachable(&created, since * DAY);
        found.sort();
        found.join(" ")
    };
    let daily = [(".ds-x-1970.01.10-000008", 10), (".ds-x-1970.01.11-000009", 11), (".ds-x-1970.01.12-000010", 12)];
    // Until the eleventh the first was written to; clocks may differ by a day.
    assert_eq!(of(&daily, 11), ".ds-x-1970.01.10-000008 .ds-x-1970.01.11-000009 .ds-x-1970.01.12-000010");
    assert_eq!(of(&daily, 13), ".ds-x-1970.01.11-000009 .ds-x-1970.01.12-000010");
    assert_eq!(of(&daily, 99), ".ds-x-1970.01.12-000010");
    assert_eq!(of(&[("old", 1), ("x-000002", 2)], 99), "old x-000002", "not made by a rollover alone");
    assert_eq!((generation("a-b-000012"), generation("a-1x"), generation("12")), (Some(("a-b", 12)), None, None));
}
