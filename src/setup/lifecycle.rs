//! When an index makes room for the next one, and when it is deleted: ILM of Elasticsearch, ISM of OpenSearch.

use super::Flags;
use super::identify::Product;
use super::target::{Indices, Kind};
use super::wire::Reply;
use serde_json::{Value, json};
use std::time::Duration;

/// How the description of a policy of ISM begins, which has no place for anything else.
pub(crate) const MARK: &str = "Managed by forebay ";

/// A time as both have it: the largest unit in which it is whole.
fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match [(86_400, "d"), (3_600, "h"), (60, "m")].into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit) && seconds > 0) {
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

/// When an index is deleted, counted from the rollover, or where there is none from its creation: then it is written to for
/// `days` more.
fn deleted(indices: &Indices, flags: &Flags) -> Option<String> {
    let days = if let Kind::Dated(days) = indices.kind { days } else { 0 };
    Some(time(flags.retention? + Duration::from_secs(86_400) * days))
}

/// Why these indices get no policy, if they get none.
pub(crate) fn none(indices: &Indices, flags: &Flags) -> Option<String> {
    let pattern = &indices.pattern;
    match (&indices.kind, flags.retention) {
        _ if !flags.lifecycle => Some("no lifecycle policy, as --no-lifecycle says".into()),
        (Kind::Endless, Some(_)) => Some(format!(
            "no lifecycle policy: {pattern} is an index without an end, of which no part can be deleted by its age; use `data_stream` in the \
             sink, or a date in `index`"
        )),
        (Kind::Endless, None) => Some(format!("no lifecycle policy: {pattern} is an index without an end")),
        (Kind::Dated(_), None) => Some(format!("no lifecycle policy: without --retention the indices {pattern} are kept")),
        _ => None,
    }
}

/// The path of a policy.
pub(crate) fn path(product: &Product, name: &str) -> String {
    format!("/{}/{name}", if product.is_opensearch() { "_plugins/_ism/policies" } else { "_ilm/policy" })
}

/// The privilege to write one.
pub(crate) fn privilege(product: &Product) -> &'static str {
    if product.is_opensearch() { "cluster:admin/opendistro/ism/policy/write" } else { "manage_ilm" }
}

/// The body of the request that writes a policy.
pub(crate) fn policy(product: &Product, indices: &Indices, flags: &Flags) -> Value {
    let rolls = matches!(indices.kind, Kind::DataStream(_));
    let deleted = deleted(indices, flags);
    if product.is_opensearch() { ism(product, indices, flags, rolls, deleted) } else { ilm(product, flags, rolls, deleted) }
}

fn ilm(product: &Product, flags: &Flags, rolls: bool, deleted: Option<String>) -> Value {
    let size = if product.version >= (7, 13) { "max_primary_shard_size" } else { "max_size" };
    let actions = if rolls { json!({"rollover": {"max_age": time(flags.rollover_age), size: flags.rollover_size}}) } else { json!({}) };
    let mut phases = json!({"hot": {"min_age": "0ms", "actions": actions}});
    if let Some(age) = deleted {
        phases["delete"] = json!({"min_age": age, "actions": {"delete": {"delete_searchable_snapshot": true}}});
    }
    let mut policy = json!({"phases": phases});
    if product.version >= (7, 16) {
        policy["_meta"] = super::meta();
    }
    json!({"policy": policy})
}

fn ism(product: &Product, indices: &Indices, flags: &Flags, rolls: bool, deleted: Option<String>) -> Value {
    let size = if product.version >= (1, 3) { "min_primary_shard_size" } else { "min_size" };
    let hot = if rolls { json!([{"rollover": {"min_index_age": time(flags.rollover_age), size: flags.rollover_size}}]) } else { json!([]) };
    let mut states = vec![json!({"name": "hot", "actions": hot, "transitions": []})];
    if let Some(age) = deleted {
        let condition = if rolls { "min_rollover_age" } else { "min_index_age" };
        states[0]["transitions"] = json!([{"state_name": "delete", "conditions": {condition: age}}]);
        states.push(json!({"name": "delete", "actions": [{"delete": {}}], "transitions": []}));
    }
    json!({"policy": {
        "description": format!("{MARK}{}: {}", env!("CARGO_PKG_VERSION"), indices.pattern),
        "default_state": "hot",
        "states": states,
        "ism_template": [{"index_patterns": [indices.pattern], "priority": flags.priority}],
    }})
}

/// What the answer to a question for a policy tells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// There is one: the policy, and the query with which it is replaced.
    Found(Value, String),
    /// There is none of that name.
    Absent,
    /// The server has no lifecycle policies.
    Unknown,
    /// It does not say.
    Refused,
}

/// Reads the answer for the policy `name`.
pub(crate) fn answer(product: &Product, name: &str, reply: &Reply) -> Answer {
    match reply.status {
        200 if product.is_opensearch() => {
            let number = |field: &str| reply.body[field].as_i64();
            let query = match (number("_seq_no"), number("_primary_term")) {
                (Some(seq_no), Some(term)) => format!("?if_seq_no={seq_no}&if_primary_term={term}"),
                _ => String::new(),
            };
            Answer::Found(reply.body["policy"].clone(), query)
        }
        200 => Answer::Found(reply.body[name]["policy"].clone(), String::new()),
        401 | 403 | 429 | 502..=504 => Answer::Refused,
        404 if reply.said.to_lowercase().contains("policy") && !reply.said.contains("no handler") => Answer::Absent,
        // A 400 says that there is no such path; a 500 is the answer of a build with half of it; 410 that of Serverless.
        _ => Answer::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::identify::Family;

    fn product(family: Family, version: (u32, u32)) -> Product {
        Product { family, version, number: String::new() }
    }

    fn flags(days: u64) -> Flags {
        let day = Duration::from_secs(86_400);
        Flags {
            lifecycle: true,
            retention: (days > 0).then(|| day * days as u32),
            rollover_age: day,
            rollover_size: "50gb".into(),
            priority: 200,
            ..Flags::default()
        }
    }

    fn shown(product: &Product, kind: Kind, days: u64) -> String {
        let indices = Indices { pattern: "logs-app".into(), kind };
        policy(product, &indices, &flags(days)).to_string().replace(env!("CARGO_PKG_VERSION"), "V")
    }

    #[test]
    fn what_is_sent_to_each() {
        let (es, os) = (product(Family::Elasticsearch, (8, 19)), product(Family::OpenSearch, (2, 19)));
        insta::assert_snapshot!(shown(&es, Kind::DataStream(None), 30), @r#"{"policy":{"_meta":{"managed_by":"forebay","version":"V"},"phases":{"delete":{"actions":{"delete":{"delete_searchable_snapshot":true}},"min_age":"30d"},"hot":{"actions":{"rollover":{"max_age":"1d","max_primary_shard_size":"50gb"}},"min_age":"0ms"}}}}"#);
        insta::assert_snapshot!(shown(&os, Kind::DataStream(None), 30), @r#"{"policy":{"default_state":"hot","description":"Managed by forebay V: logs-app","ism_template":[{"index_patterns":["logs-app"],"priority":200}],"states":[{"actions":[{"rollover":{"min_index_age":"1d","min_primary_shard_size":"50gb"}}],"name":"hot","transitions":[{"conditions":{"min_rollover_age":"30d"},"state_name":"delete"}]},{"actions":[{"delete":{}}],"name":"delete","transitions":[]}]}}"#);
        let dated = shown(&es, Kind::Dated(31), 30);
        assert!(
            dated.contains(r#""min_age":"61d""#) && !dated.contains("rollover"),
            "a month of writing before a month of keeping: {dated}"
        );
        let kept = shown(&os, Kind::DataStream(None), 0);
        assert!(kept.contains("rollover") && !kept.contains("delete"), "nothing is deleted that nobody asked for: {kept}");
        let old = shown(&product(Family::Elasticsearch, (7, 10)), Kind::DataStream(None), 1);
        assert!(old.contains(r#""max_size""#) && !old.contains("_meta"), "{old}");
    }

    #[test]
    fn an_index_that_is_written_to_for_ever_is_never_deleted() {
        let of = |kind, days| none(&Indices { pattern: "app".into(), kind }, &flags(days));
        assert!(of(Kind::Endless, 30).unwrap().contains("no part can be deleted by its age"));
        assert!(of(Kind::Endless, 0).is_some() && of(Kind::Dated(1), 0).is_some());
        assert_eq!((of(Kind::Dated(1), 30), of(Kind::DataStream(None), 0)), (None, None));
    }

    #[test]
    fn times_as_the_servers_write_them() {
        let shown = [30 * 86_400, 36 * 3_600, 90 * 60, 61, 0].map(|s| time(Duration::from_secs(s)));
        assert_eq!(shown, ["30d", "36h", "90m", "61s", "0s"]);
    }

    #[test]
    fn servers_without_policies_are_known() {
        let (es, os) = (product(Family::Elasticsearch, (8, 19)), product(Family::OpenSearch, (2, 19)));
        let ask = |product, status, body: &str| answer(product, "p", &Reply::new(status, body.as_bytes()));
        // Answers of the test servers, which have none.
        assert_eq!(ask(&es, 400, r#"{"error":"no handler found for uri [/_ilm/policy/p] and method [GET]"}"#), Answer::Unknown);
        assert_eq!(ask(&os, 400, r#"{"error":"no handler found for uri [/_plugins/_ism/policies/p] and method [GET]"}"#), Answer::Unknown);
        assert_eq!(ask(&es, 500, r#"{"error":"x-pack"}"#), Answer::Unknown);
        // Answers as the documentation has them.
        let missing = r#"{"error":{"root_cause":[{"type":"resource_not_found_exception","reason":"Lifecycle policy not found: p"}],"type":"resource_not_found_exception","reason":"Lifecycle policy not found: p"},"status":404}"#;
        assert_eq!(ask(&es, 404, missing), Answer::Absent);
        let missing = r#"{"error":{"root_cause":[{"type":"status_exception","reason":"Policy not found"}],"type":"status_exception","reason":"Policy not found"},"status":404}"#;
        assert_eq!(ask(&os, 404, missing), Answer::Absent);
        assert_eq!(ask(&es, 403, "{}"), Answer::Refused);
        let found = ask(&os, 200, r#"{"_id":"p","_version":1,"_primary_term":2,"_seq_no":7,"policy":{"policy_id":"p"}}"#);
        assert_eq!(found, Answer::Found(json!({"policy_id": "p"}), "?if_seq_no=7&if_primary_term=2".into()));
    }
}
