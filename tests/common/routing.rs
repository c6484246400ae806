//! `routing` against a real search server.

use super::real_server::{Index, server};
use super::{Bench, http, lines, quoted};
use serde_json::json;

/// Two sources, one with the field that `routing` names, into an index of five shards: the events of the one are all on the
/// shard of its value, those of the other are spread; sent again, each is recognised, which only its own shard can do.
pub fn a_stream_with_the_field_has_one_shard(name: &str, variable: &str) {
    let Some(server) = server(name, variable) else { return };
    let index = Index::named(&server, "routed");
    let fields = json!({"properties": {"service": {"properties": {"name": {"type": "keyword"}}}}});
    index.ask("PUT", "", Some(json!({"settings": {"number_of_shards": 5, "number_of_replicas": 0}, "mappings": fields})));
    let bench = Bench::new();
    let source =
        |name: &str| format!("  {name}: {{type: file, include: [{}], idle_flush: 200ms", quoted(bench.log(&format!("{name}.log"))));
    let sources = format!("{}, fields: {{service.name: Shop/7}}}}\n{}}}", source("shop"), source("other"));
    let sink = format!(
        "  search:\n    type: elasticsearch\n    endpoints: [\"{server}\"]\n    index: {}\n    routing: \"{{service.name}}\"",
        index.name()
    );
    bench.inputs(&sources, &sink, "");
    bench.append("shop.log", lines(0..1_000));
    bench.append("other.log", lines(1_000..2_000));
    let mut agent = bench.start();
    agent.wait_status("all is delivered", |s| s.sinks["search"].delivered_events >= 2_000 && s.sinks["search"].lag_events == 0);
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_eq!(index.count(), 2_000);
    let count = |path: &str, query| index.ask("POST", path, Some(json!({"query": query})))["count"].as_u64().expect("a count");
    let shop = || json!({"term": {"service.name": "Shop/7"}});
    assert_eq!(count("/_count?routing=Shop%2F7", shop()), 1_000, "all are on the shard of their routing");
    assert_eq!(count("/_count", json!({"term": {"_routing": "Shop/7"}})), 1_000, "the value stands in the document as it is");
    assert_eq!(count("/_count", json!({"bool": {"must_not": [{"exists": {"field": "_routing"}}]}})), 1_000, "the others have none");
    let others = json!({"bool": {"must_not": [shop()]}});
    assert!(count("/_count?routing=Shop%2F7", others) < 900, "and are spread");

    let state = bench.path("state");
    let reset = super::forebay(&["groups", "reset", "search", "--to-earliest", "--data-dir", state.to_str().expect("UTF-8")]);
    assert!(reset.status.success(), "{}", String::from_utf8_lossy(&reset.stderr));
    let mut agent = bench.start();
    agent.wait_status("each is recognised on its shard", |s| s.sinks["search"].already_there >= 2_000 && s.sinks["search"].lag_events == 0);
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_eq!(index.count(), 2_000);
}

/// A data stream that allows no routing: the sink holds and says why, nothing becomes a dead letter. Mended, all arrives:
/// in Elasticsearch by a template with `allow_custom_routing`, in OpenSearch, which takes that key and allows none all the
/// same, by a sink without `routing`.
pub fn a_data_stream_that_allows_none_holds_the_sink(name: &str, variable: &str) {
    let Some(server) = server(name, variable) else { return };
    let server = server.trim_end_matches('/');
    let (strict, open) = (Index::named(server, "unrouted"), Index::named(server, "routable"));
    for (index, stream) in [(&strict, json!({})), (&open, json!({"allow_custom_routing": true}))] {
        let template = json!({
            "index_patterns": [index.name()], "data_stream": stream, "priority": 500,
            "template": {"settings": {"number_of_replicas": 0, "number_of_shards": 3}}
        });
        let url = format!("{server}/_index_template/{}", index.name());
        let (status, said) = http::request("PUT", &url, Some(&template.to_string())).expect("the server answers");
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&said));
    }
    let bench = Bench::new();
    let sink = |index: &Index, routing: &str| {
        let keys = format!("endpoints: [\"{server}\"]\n    index: {}\n    retry: {{initial: 50ms, max: 500ms}}", index.name());
        bench.pipeline(&format!("  search:\n    type: elasticsearch\n    {keys}\n{routing}"), "    fields: {service.name: shop}", "");
    };
    let routing = "    routing: \"{service.name}\"";
    sink(&strict, routing);
    bench.append("app.log", lines(0..500));
    let mut agent = bench.start();
    let status = agent.wait_status("it holds", |s| s.sinks["search"].state == "held");
    let reason = &status.sinks["search"].reason;
    assert!(reason.contains("specifies a custom routing"), "{reason}");
    assert_eq!((status.sinks["search"].dead_lettered, status.sinks["search"].delivered_events), (0, 0), "{reason}");
    agent.kill();
    let mended = match name {
        "opensearch" => (&strict, ""),
        _ => (&open, routing),
    };
    sink(mended.0, mended.1);
    let mut agent = bench.start();
    agent.wait_status("all is delivered", |s| s.sinks["search"].delivered_events >= 500 && s.sinks["search"].lag_events == 0);
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_eq!(mended.0.count(), 500);
    for index in [&strict, &open] {
        // Not every server of the tests can delete one.
        let _ = http::request("DELETE", &format!("{server}/_data_stream/{}", index.name()), None);
        let _ = http::request("DELETE", &format!("{server}/_index_template/{}", index.name()), None);
    }
}
