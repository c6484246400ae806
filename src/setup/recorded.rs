//! A search server as the tests need it: keeps what it is given, answers in the form of the real ones.

use super::wire::{Body, Reply, Request, Server};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// See the module.
#[derive(Default)]
pub(super) struct Recorded {
    /// The version that it gives itself.
    pub number: &'static str,
    pub opensearch: bool,
    /// It has ILM, or ISM.
    pub lifecycle: bool,
    /// A type that it refuses in mappings.
    pub lacks: Option<&'static str>,
    /// Requests that it refuses: method and beginning of the path, status, reason.
    pub refuses: Option<(&'static str, &'static str, u16, &'static str)>,
    /// What it was given, by path without a query.
    pub has: RefCell<BTreeMap<String, Value>>,
    /// Each request that changes something: method and path.
    pub changes: RefCell<Vec<String>>,
}

impl Recorded {
    pub fn elasticsearch() -> Recorded {
        Recorded { number: "8.19.21", lifecycle: true, ..Recorded::default() }
    }

    pub fn opensearch() -> Recorded {
        Recorded { number: "2.19.4", opensearch: true, lifecycle: true, ..Recorded::default() }
    }

    fn error(status: u16, kind: &str, reason: &str) -> (u16, Value) {
        (status, json!({"error": {"root_cause": [{"type": kind, "reason": reason}], "type": kind, "reason": reason}, "status": status}))
    }

    fn answer(&self, request: &Request) -> (u16, Value) {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let (place, name) = path.rsplit_once('/').unwrap_or(("", path));
        if let Some((method, prefix, status, reason)) = self.refuses
            && request.method == method
            && path.starts_with(prefix)
        {
            return Recorded::error(status, "security_exception", reason);
        }
        if path == "/" {
            let mut version = json!({"number": self.number});
            if self.opensearch {
                version["distribution"] = "opensearch".into();
            }
            return (200, json!({"version": version}));
        }
        let is_policy = matches!(place, "/_ilm/policy" | "/_plugins/_ism/policies");
        if is_policy && !(self.lifecycle && place.starts_with("/_plugins") == self.opensearch) {
            return (400, json!({"error": format!("no handler found for uri [{path}] and method [{}]", request.method)}));
        }
        if request.method == "PUT" {
            return self.put(path, query, &request.body);
        }
        let has = self.has.borrow();
        if path == "/_index_template" {
            let templates = has.iter().filter_map(|(path, own)| Some((path.strip_prefix("/_index_template/")?, own)));
            return (
                200,
                json!({"index_templates": templates.map(|(name, own)| json!({"name": name, "index_template": own})).collect::<Vec<_>>()}),
            );
        }
        let Some(own) = has.get(path).cloned() else {
            return match place {
                "/_ilm/policy" => Recorded::error(404, "resource_not_found_exception", &format!("Lifecycle policy not found: {name}")),
                "/_plugins/_ism/policies" => Recorded::error(404, "status_exception", "Policy not found"),
                "/_data_stream" if !self.opensearch => (404, json!({"data_streams": []})),
                _ => Recorded::error(404, "resource_not_found_exception", &format!("template matching [{name}] not found")),
            };
        };
        let mut own = own;
        (
            200,
            match place {
                "/_component_template" => json!({"component_templates": [{"name": name, "component_template": own}]}),
                "/_index_template" => {
                    if own.get("data_stream").is_some() {
                        own["data_stream"] = if self.opensearch {
                            json!({"timestamp_field": {"name": "@timestamp"}})
                        } else {
                            json!({"hidden": false, "allow_custom_routing": false})
                        };
                    }
                    json!({"index_templates": [{"name": name, "index_template": own}]})
                }
                "/_ilm/policy" => {
                    json!({name: {"version": 1, "modified_date": "2026-03-09T10:15:02.123Z", "policy": own["policy"], "in_use_by": {"indices": []}}})
                }
                "/_plugins/_ism/policies" => {
                    let mut policy = own["policy"].clone();
                    for (field, value) in [
                        ("policy_id", json!(name)),
                        ("last_updated_time", json!(1)),
                        ("schema_version", json!(21)),
                        ("error_notification", Value::Null),
                    ] {
                        policy[field] = value;
                    }
                    policy["ism_template"][0]["last_updated_time"] = json!(1);
                    for state in policy["states"].as_array_mut().into_iter().flatten() {
                        for action in state["actions"].as_array_mut().into_iter().flatten() {
                            action["retry"] = json!({"count": 3, "backoff": "exponential", "delay": "1m"});
                        }
                    }
                    json!({"_id": name, "_version": 1, "_seq_no": 7, "_primary_term": 2, "policy": policy})
                }
                _ => json!({"data_streams": [{"name": name}]}),
            },
        )
    }

    fn put(&self, path: &str, query: &str, body: &Body) -> (u16, Value) {
        let body = if let Body::Json(body) = body { body.clone() } else { Value::Null };
        if let Some(kind) = self.lacks
            && body.to_string().contains(&format!("\"{kind}\""))
            && path.starts_with("/_component_template")
            && !body["_meta"]["without"].to_string().contains(kind)
        {
            let reason = format!(
                "The mapper type [{kind}] declared on field [x] does not exist. It might have been created within a future version or requires a plugin to be installed. Check the documentation."
            );
            return Recorded::error(400, "mapper_parsing_exception", &reason);
        }
        let mut has = self.has.borrow_mut();
        if path.starts_with("/_plugins/_ism") && has.contains_key(path) && query != "if_seq_no=7&if_primary_term=2" {
            return Recorded::error(409, "version_conflict_engine_exception", "version conflict, document already exists");
        }
        has.insert(path.to_string(), body);
        (200, json!({"acknowledged": true}))
    }
}

impl Server for Recorded {
    fn name(&self) -> String {
        "http://search:9200".into()
    }

    fn ask(&self, request: &Request) -> Result<Reply, String> {
        let (status, body) = self.answer(request);
        if request.method != "GET" && status < 300 {
            self.changes.borrow_mut().push(format!("{} {}", request.method, request.path));
        }
        Ok(Reply::new(status, body.to_string().as_bytes()))
    }
}
