//! What Elasticsearch's clients ask before they send, and after.
//!
//! They look for a licence, for ILM, for other nodes, and whether templates, policies, aliases and data streams are there,
//! which they would make otherwise. Here nothing is made and nothing is missed: each is said to be there, and who insists on
//! storing one is told where it belongs, rather than that it was stored.

use super::answer::{VERSION, error, json};
use axum::body::Body;
use axum::http::{Method, Response, StatusCode};
use serde_json::{Value, json as value};

const NOTHING: &str = "here are only GET /, POST / (NDJSON, JSON, text), POST /_bulk, POST /INDEX/_bulk and POST /INDEX/_doc";
const ELSEWHERE: &str = "Forebay is a queue and keeps no templates, policies, pipelines or indices: set them up where its sink ships to \
(for Beats: setup.template.enabled: false, setup.ilm.enabled: false)";

/// The answer to what no other route takes. `host` is what the client calls this listener.
pub(crate) fn probe(method: &Method, path: &str, host: &str) -> Response<Body> {
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    let reads = matches!(*method, Method::GET | Method::HEAD);
    // Whether an index is there is asked with HEAD; a GET of one name is rather a health check that is wrong here.
    if *method == Method::HEAD && matches!(segments[..], [index] if !index.starts_with('_')) {
        return json(StatusCode::OK, Vec::new());
    }
    let found = if reads { read(&segments, host) } else { done(method, &segments) };
    match found {
        Some(body) => json(StatusCode::OK, body.to_string().into_bytes()),
        None if reads || *method == Method::POST => error(StatusCode::NOT_FOUND, "resource_not_found_exception", NOTHING),
        None => error(StatusCode::BAD_REQUEST, "illegal_argument_exception", ELSEWHERE),
    }
}

fn read(segments: &[&str], host: &str) -> Option<Value> {
    Some(match segments {
        // Filebeat and Logstash.
        ["_license"] => value!({"license": {"status": "active", "uid": "forebay", "type": "basic", "mode": "basic", "issuer": "forebay"}}),
        // Beats: without ILM they neither make a policy nor write to an alias.
        ["_xpack"] => value!({
            "build": {"hash": "unknown", "date": "2026-01-01T00:00:00Z"},
            "license": {"uid": "forebay", "type": "basic", "mode": "basic", "status": "active"},
            "features": {"ilm": {"available": false, "enabled": false}}
        }),
        // Vector's health check.
        ["_cluster", "health", ..] => value!({
            "cluster_name": "forebay", "status": "green", "timed_out": false, "number_of_nodes": 1, "number_of_data_nodes": 1,
            "active_primary_shards": 0, "active_shards": 0, "relocating_shards": 0, "initializing_shards": 0, "unassigned_shards": 0
        }),
        // Clients that sniff replace their list of addresses with these: the one by which they came.
        ["_nodes"] | ["_nodes", "http" | "_all", ..] => value!({"cluster_name": "forebay", "nodes": {"forebay": {
            "name": "forebay", "version": VERSION, "roles": ["data", "ingest"], "http": {"publish_address": host, "bound_address": [host]}
        }}}),
        ["_index_template", name] => value!({"index_templates": [{"name": name, "index_template": {"index_patterns": []}}]}),
        ["_component_template", name] => value!({"component_templates": [{"name": name, "component_template": {"template": {}}}]}),
        ["_template" | "_ingest", .., name] => value!({*name: {}}),
        ["_ilm", "policy", name] => value!({*name: {"version": 1, "policy": {"phases": {}}}}),
        ["_data_stream", name] => value!({"data_streams": [{"name": name, "timestamp_field": {"name": "@timestamp"}, "status": "GREEN"}]}),
        ["_alias", name] | [_, "_alias", name] => value!({*name: {"aliases": {*name: {"is_write_index": true}}}}),
        _ => return None,
    })
}

/// What can be answered without doing anything.
fn done(method: &Method, segments: &[&str]) -> Option<Value> {
    (*method == Method::POST && matches!(segments, ["_refresh" | "_flush"] | [_, "_refresh" | "_flush"]))
        .then(|| value!({"_shards": {"total": 0, "successful": 0, "failed": 0}}))
}
