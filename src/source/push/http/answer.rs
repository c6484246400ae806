//! Answers in the form in which Elasticsearch's clients expect them.

use super::body::Wrong;
use super::bulk::{Item, Op};
use super::filter::Keep;
use super::gather::NoBody;
use crate::process::escape::escape_into;
use crate::source::push::pump::Refusal;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use std::time::Duration;

/// Seconds after which a sender may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Beats refuse what is older than themselves, so no server is newer; the major is the newest that is there, and clients
/// talk to that too.
pub(super) const VERSION: &str = "9.99.0";

/// An answer with a JSON body.
pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Clients of version 7.14 and later look for it.
    headers.insert("X-Elastic-Product", HeaderValue::from_static("Elasticsearch"));
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}

/// An error as Elasticsearch words it.
pub(crate) fn error(status: StatusCode, kind: &str, reason: &str) -> Response<Body> {
    let cause = serde_json::json!({"type": kind, "reason": reason});
    let body = serde_json::json!({"error": {"root_cause": [cause], "type": kind, "reason": reason}, "status": status.as_u16()});
    json(status, body.to_string().into_bytes())
}

/// The queue did not take the events.
pub(crate) fn refused(refusal: &Refusal) -> Response<Body> {
    match refusal {
        Refusal::NoRoom(why) => error(
            StatusCode::TOO_MANY_REQUESTS,
            "es_rejected_execution_exception",
            &format!("{why}; the events are not acknowledged: send them again later"),
        ),
        Refusal::Closing => error(
            StatusCode::SERVICE_UNAVAILABLE,
            "node_closed_exception",
            "the agent stops; the events are not acknowledged: send them again later",
        ),
    }
}

/// The body could not be had.
pub(crate) fn no_body(no: &NoBody, max: usize) -> Response<Body> {
    match no {
        NoBody::TooLarge => error(
            StatusCode::PAYLOAD_TOO_LARGE,
            "content_too_long_exception",
            &format!("the body has more than max_body ({max} bytes); nothing of it was taken: send it in parts"),
        ),
        NoBody::NoRoom => refused(&Refusal::NoRoom("there is no memory for the body (queue.buffer_memory)".into())),
        NoBody::Broken(why) => error(StatusCode::BAD_REQUEST, "parse_exception", &format!("{why}; nothing of it was taken")),
    }
}

/// The body is no events.
pub(crate) fn wrong(wrong: &Wrong) -> Response<Body> {
    match wrong {
        Wrong::Malformed(why) => {
            error(StatusCode::BAD_REQUEST, "illegal_argument_exception", &format!("{why}; nothing of the body was taken"))
        }
        Wrong::TooLong(why) => {
            error(StatusCode::PAYLOAD_TOO_LARGE, "content_too_long_exception", &format!("{why}; nothing of the body was taken"))
        }
    }
}

/// What `GET /` says.
pub(crate) fn greeting(name: &str) -> Response<Body> {
    let version = serde_json::json!({
        "number": VERSION, "build_flavor": "default", "build_type": "forebay", "build_hash": "unknown", "build_date": "2026-01-01T00:00:00Z",
        "build_snapshot": false, "lucene_version": "10.2.0", "minimum_wire_compatibility_version": "8.18.0",
        "minimum_index_compatibility_version": "8.0.0"
    });
    let body = serde_json::json!({
        "name": name, "cluster_name": "forebay", "cluster_uuid": "forebay", "version": version, "tagline": "You Know, for Search"
    });
    json(StatusCode::OK, body.to_string().into_bytes())
}

/// What `_bulk` says, item by item, as far as `keep` wants it.
pub(crate) fn items(items: &[Item], took: Duration, keep: Keep) -> Response<Body> {
    let errors = items.iter().any(|item| item.error.is_some());
    let mut out = Vec::with_capacity(64 + items.len() * if keep == Keep::ALL { 160 } else { 40 });
    out.push(b'{');
    if keep.has("took") {
        out.extend_from_slice(format!(r#""took":{},"#, took.as_millis()).as_bytes());
    }
    if keep.has("errors") {
        out.extend_from_slice(format!(r#""errors":{errors},"#).as_bytes());
    }
    let (start, created) = (out.len(), created(keep));
    out.extend_from_slice(br#""items":["#);
    let empty = out.len();
    for item in items {
        let before = out.len();
        out.extend_from_slice(br#"{""#);
        out.extend_from_slice(item.op.name().as_bytes());
        out.extend_from_slice(br#"":{"#);
        let members = out.len();
        if keep.has("_index") {
            out.extend_from_slice(br#""_index":""#);
            escape_into(item.index.as_bytes(), &mut out);
            out.extend_from_slice(br#"","#);
        }
        if keep.has("_id") {
            match &item.id {
                Some(id) => {
                    out.extend_from_slice(br#""_id":""#);
                    escape_into(id.as_bytes(), &mut out);
                    out.extend_from_slice(br#"","#);
                }
                // The event's own ID is made by each sink.
                None => out.extend_from_slice(br#""_id":null,"#),
            }
        }
        match &item.error {
            None => out.extend_from_slice(&created),
            Some(reason) => {
                if keep.has("status") {
                    out.extend_from_slice(br#""status":400,"#);
                }
                if keep.has("error") {
                    let kind = if matches!(item.op, Op::Update | Op::Delete) {
                        "illegal_argument_exception"
                    } else {
                        "document_parsing_exception"
                    };
                    out.extend_from_slice(format!(r#""error":{{"type":"{kind}","reason":""#).as_bytes());
                    escape_into(reason.as_bytes(), &mut out);
                    out.extend_from_slice(br#""},"#);
                }
            }
        }
        // Nor does Elasticsearch leave an empty item.
        if out.len() == members {
            out.truncate(before);
            continue;
        }
        out.pop();
        out.extend_from_slice(b"}},");
    }
    if out.len() == empty && !items.is_empty() {
        out.truncate(start);
    } else {
        if out.len() > empty {
            out.pop();
        }
        out.extend_from_slice(b"],");
    }
    if out.len() > 1 {
        out.pop();
    }
    out.push(b'}');
    json(StatusCode::OK, out)
}

/// The members of an item that was taken, behind its index and ID, with a comma behind each.
fn created(keep: Keep) -> Vec<u8> {
    const MEMBERS: [(&str, &str); 6] = [
        ("_version", "1"),
        ("result", r#""created""#),
        ("_shards", r#"{"total":1,"successful":1,"failed":0}"#),
        ("_seq_no", "0"),
        ("_primary_term", "1"),
        ("status", "201"),
    ];
    MEMBERS.iter().filter(|(name, _)| keep.has(name)).flat_map(|(name, value)| format!(r#""{name}":{value},"#).into_bytes()).collect()
}

/// What is said of one document that was sent alone.
pub(crate) fn document(index: &str, id: &str) -> Response<Body> {
    let body = serde_json::json!({
        "_index": index, "_id": id, "_version": 1, "result": "created", "_shards": {"total": 1, "successful": 1, "failed": 0},
        "_seq_no": 0, "_primary_term": 1
    });
    json(StatusCode::CREATED, body.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::bulk;
    use super::*;

    #[tokio::test]
    async fn a_bulk_answer_has_one_item_for_each_action() {
        let mut body = b"{\"create\":{\"_id\":\"a\\\"b\"}}\n{}\n{\"delete\":{\"_id\":\"1\"}}\n".to_vec();
        let bulk = bulk::parse(&mut body, "logs", 100).unwrap();
        let response = items(&bulk.items, Duration::from_millis(3), Keep::ALL);
        assert_eq!(response.headers()["x-elastic-product"], "Elasticsearch");
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(answer["errors"], true);
        assert_eq!(answer["items"][0]["create"]["status"], 201);
        assert_eq!(answer["items"][0]["create"]["_id"], "a\"b");
        assert_eq!(answer["items"][1]["delete"]["status"], 400);
        assert_eq!(answer["items"][0]["create"].as_object().unwrap().len(), 8);
    }

    #[tokio::test]
    async fn a_bulk_answer_is_filtered_as_the_client_asks() {
        let mut body = b"{\"create\":{\"_index\":\"a\"}}\n{}\n{\"delete\":{\"_index\":\"a\",\"_id\":1}}\n".to_vec();
        let bulk = bulk::parse(&mut body, "logs", 100).unwrap();
        let told = async |all: &[Item], path: &str| {
            let response = items(all, Duration::from_millis(3), Keep::of(Some(&format!("a=b&filter_path={path}"))));
            String::from_utf8(axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
        };
        let both = &bulk.items[..];
        let refused = r#""error":{"type":"illegal_argument_exception","reason":"Forebay only takes new documents (index, create): a queue of events has nothing to update or delete"}"#;
        assert_eq!(
            told(both, "errors,items.*.error,items.*.status").await,
            format!(r#"{{"errors":true,"items":[{{"create":{{"status":201}}}},{{"delete":{{"status":400,{refused}}}}}]}}"#)
        );
        assert_eq!(told(both, "items.*.error.type").await, format!(r#"{{"items":[{{"delete":{{{refused}}}}}]}}"#));
        assert_eq!(told(&both[..1], "errors,items.*.error").await, r#"{"errors":false}"#);
        assert_eq!(told(&both[..1], "items.*.error").await, "{}");
        assert_eq!(told(&[], "").await, r#"{"took":3,"errors":false,"items":[]}"#);
    }
}
