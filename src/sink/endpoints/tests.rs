use super::*;
use crate::queue::RunFlags;
use crate::sink::SinkKind;
use crate::sink::elasticsearch::ElasticsearchOptions;
use crate::sink::testing::*;

fn endpoints(names: &[&str]) -> Endpoints {
    let urls: Vec<Url> = names.iter().map(|u| Url::parse(u).unwrap()).collect();
    Endpoints::new("search", urls.clone(), urls)
}

fn answered(endpoints: &Endpoints, index: usize, seconds: f64) {
    let mut health = endpoints.all[index].health();
    (health.latency, health.measured) = (Some(seconds), Instant::now());
}

/// What tells that the target is one index, which recognises an ID that it has.
fn plain_index() -> Reply {
    Reply::Answer(200, &[("content-type", "application/json")], r#"{"logs":{"settings":{"index.creation_date":"1"}}}"#.into())
}

#[test]
fn in_turn_and_by_what_is_in_flight() {
    let endpoints = endpoints(&["http://a", "http://b", "http://c"]);
    assert_eq!(endpoints.order(), [0, 1, 2]);
    assert_eq!(endpoints.order(), [1, 2, 0]);
    let (first, second) = (endpoints.begin(2), endpoints.begin(0));
    assert_eq!(endpoints.order()[0], 1);
    drop(first);
    assert_eq!(endpoints.order(), [1, 2, 0]);
    second.ended(Ok(()));
    // Somewhat slower is no reason, or the fastest would get all.
    (0..3).for_each(|i| answered(&endpoints, i, 0.1 + 0.02 * i as f64));
    assert_eq!([endpoints.order()[0], endpoints.order()[0], endpoints.order()[0]], [1, 2, 0]);
}

#[test]
fn one_that_fails_is_left_out_for_longer_and_longer_until_a_probe_finds_it_well() {
    let endpoints = endpoints(&["http://a", "http://b"]);
    let mut last = Duration::ZERO;
    for round in 0..8 {
        let (before, far) = (Instant::now(), Instant::now() + Duration::from_secs(3600));
        match round {
            0 => endpoints.begin(0).ended(Err("refuses".into())),
            _ => {
                assert_eq!((endpoints.due(before), endpoints.due(far), endpoints.due(far)), (vec![], vec![0], vec![]), "one probe");
                endpoints.probed(0, Err("refuses still".into()));
            }
        }
        let pause = endpoints.all[0].health().down_until.unwrap() - before;
        assert!(pause > last.mul_f64(0.9) && pause <= LONGEST_PAUSE.mul_f64(1.3), "{pause:?}");
        last = pause.min(LONGEST_PAUSE.mul_f64(0.7));
        assert_eq!(endpoints.order(), [1]);
    }
    endpoints.begin(1).ended(Err("refuses".into()));
    assert_eq!(endpoints.order().len(), 2, "all are down: each is tried");
    assert!(endpoints.due(Instant::now() + LONGEST_PAUSE * 2).is_empty(), "and what is sent is the probe");
    endpoints.begin(1).ended(Ok(()));
    endpoints.all[0].health().probing = true;
    endpoints.probed(0, Ok(()));
    assert_eq!(endpoints.order().len(), 2);
    assert!(endpoints.all[0].health().streak > 5, "a probe is no proof: it is avoided for long if it fails again");
}

#[test]
fn a_slow_one_gets_what_it_can_do_and_no_more() {
    let endpoints = endpoints(&["http://fast", "http://slow"]);
    answered(&endpoints, 0, 0.1);
    answered(&endpoints, 1, 1.0);
    let mut flights = Vec::new();
    for _ in 0..16 {
        flights.push(endpoints.begin(endpoints.order()[0]));
    }
    let slow = flights.iter().filter(|f| f.index == 1).count();
    assert!((1..=2).contains(&slow), "{slow} of 16");
    drop(flights);
    assert!((0..4).all(|_| endpoints.order()[0] == 0));
    // What was measured fades, so that it is tried again.
    endpoints.all[1].health().measured = Instant::now().checked_sub(FADES * 3).unwrap();
    assert!((0..2).any(|_| endpoints.order()[0] == 1));
}

#[test]
fn one_that_hangs_is_slow_before_it_has_answered() {
    let endpoints = endpoints(&["http://well", "http://hangs"]);
    answered(&endpoints, 0, 0.1);
    let flight = endpoints.begin(1);
    endpoints.all[1].health().flying[0] = Instant::now().checked_sub(Duration::from_secs(5)).unwrap();
    assert!((0..8).all(|_| endpoints.order()[0] == 0));
    drop(flight);
}

fn bulk(request: &Seen) -> Reply {
    let items = vec![r#"{"create":{"status":201}}"#; request.body.iter().filter(|b| **b == b'\n').count() / 2].join(",");
    Reply::Answer(200, &[("content-type", "application/json")], format!("{{\"errors\":false,\"items\":[{items}]}}"))
}

fn sink(endpoints: &[&str]) -> SinkKind {
    let endpoints = endpoints.iter().map(|e| e.to_string()).collect();
    SinkKind::Elasticsearch(ElasticsearchOptions { endpoints, index: "logs".into(), ..ElasticsearchOptions::default() })
}

#[test]
fn one_slow_node_holds_up_none_of_the_others() {
    let runtime = runtime();
    let slow = Server::start(&runtime, |_, request| Reply::Late(Duration::from_secs(2), Box::new(bulk(request))));
    let fast = Server::start(&runtime, |_, request| bulk(request));
    let bench = Bench::start(sink(&[&slow.url, &fast.url]), batches(&lines(200), 1, RunFlags::UTF8), runtime);
    bench.finish();
    let (slow_got, fast_got) = (slow.requests().len(), fast.requests().len());
    assert_eq!(slow_got + fast_got, 200);
    assert!((1..20).contains(&slow_got), "{slow_got} went to the slow one");
    let endpoints = bench.sink().status().endpoints;
    assert_eq!(endpoints.iter().map(|e| e.requests as usize).collect::<Vec<_>>(), [slow_got, fast_got]);
    assert_eq!((endpoints[1].state.as_str(), endpoints[0].failures, endpoints[1].failures), ("up", 0, 0));
}

#[test]
fn equal_nodes_get_equal_shares() {
    let endpoints = endpoints(&["http://a", "http://b", "http://c"]);
    let (mut flying, mut shares) = (std::collections::VecDeque::new(), [0; 3]);
    for round in 0..120 {
        let index = endpoints.order()[0];
        flying.push_back((index, endpoints.begin(index)));
        shares[index] += 1;
        if flying.len() == 4 {
            let (index, flight) = flying.pop_front().unwrap();
            flight.ended(Ok(()));
            // Equal nodes do not answer equally fast each time.
            answered(&endpoints, index, [0.018, 0.022, 0.020, 0.024, 0.019][round % 5]);
        }
    }
    assert!(shares.iter().all(|n| (36..=44).contains(n)), "{shares:?}");
}

#[test]
fn a_node_that_comes_back_is_found_by_a_probe_while_the_other_goes_on() {
    let runtime = runtime();
    let (mut posts, mut probes) = (0, 0);
    let sick = Server::start(&runtime, move |_, request| match request.line.starts_with("GET / ") {
        _ if request.line.contains("/_settings/") => plain_index(),
        false if posts == 0 => {
            posts += 1;
            Reply::Answer(503, &[], "starting".into())
        }
        false => bulk(request),
        true => {
            probes += 1;
            if probes == 1 { Reply::Answer(503, &[], "starting".into()) } else { Reply::Answer(200, &[], "{}".into()) }
        }
    });
    let well = Server::start(&runtime, |_, request| match request.line.contains("/_settings/") {
        true => plain_index(),
        false => Reply::Late(Duration::from_millis(20), Box::new(bulk(request))),
    });
    let bench = Bench::start(sink(&[&sick.url, &well.url]), batches(&lines(600), 1, RunFlags::UTF8), runtime);
    bench.finish();
    assert_eq!(bench.sink().status().batches_retried, 0, "the other took over at once");
    let lines: Vec<String> =
        sick.requests().into_iter().filter(|r| !r.line.contains("/_settings/")).map(|r| r.line[..5].to_string()).collect();
    assert_eq!(lines[..4], ["POST ", "GET /", "GET /", "POST "], "one probe at a time, then requests");
    let endpoint = &bench.sink().status().endpoints[0];
    assert_eq!((endpoint.failures, endpoint.last_error.as_str()), (1, "answers 503: starting"));
}
