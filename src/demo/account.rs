//! What the receiver has got: every document by its ID, and all that came again.

use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;

/// A document as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its index.
    pub index: String,
    /// Its `message`: the line.
    pub message: String,
    /// The whole document, JSON.
    pub source: String,
    /// How often it was stored: 1, and one more each time that it was replaced.
    pub version: u64,
}

/// A request that was no bulk request, as an HTTP sink sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// Its `Idempotency-Key`.
    pub key: Option<String>,
    /// Its body, decompressed.
    pub body: Vec<u8>,
}

/// What was received.
#[derive(Clone, Debug, Default)]
pub struct Account {
    documents: HashMap<String, Document>,
    lines: HashMap<String, u64>,
    posts: Vec<Post>,
    /// Bulk requests and posts, answered or not.
    pub requests: u64,
    /// Events that came again under an ID that is stored (409).
    pub conflicts: u64,
    /// Conflicts in which the stored document is another line: a silent loss at the sender.
    pub collisions: u64,
    /// Documents without an `_id`, which a retry would double.
    pub without_id: u64,
    /// Documents that replaced one under their ID (`index`).
    pub replaced: u64,
    /// Documents refused with 400 because they contain the poison.
    pub refused: u64,
    /// Requests that were applied, but whose connection was cut before the answer.
    pub lost_acks: u64,
    /// Posts under an `Idempotency-Key` that was there already.
    pub repeated_posts: u64,
    /// Of these, the ones with another body: a key that names two batches.
    pub changed_posts: u64,
}

/// How items are answered that are not simply stored.
#[derive(Clone, Debug, Default)]
pub(super) struct ItemFaults {
    /// Every n-th item gets 429; 0: none.
    pub(super) busy_every: u64,
    /// Documents that contain this get 400.
    pub(super) poison: Option<String>,
    /// Each index is a data stream, which takes only `create`.
    pub(super) data_streams: bool,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    message: String,
}

impl Account {
    /// Documents by `_id`.
    pub fn documents(&self) -> &HashMap<String, Document> {
        &self.documents
    }

    /// In how many documents each line stands; more than 1 is a double where lines are unique.
    pub fn lines(&self) -> &HashMap<String, u64> {
        &self.lines
    }

    /// The posts that were accepted, one for each `Idempotency-Key`, in the order in which they came.
    pub fn posts(&self) -> &[Post] {
        &self.posts
    }

    /// Takes a bulk body; returns status and answer.
    pub(super) fn bulk(&mut self, default_index: &str, body: &[u8], faults: &ItemFaults) -> (u16, String) {
        let refuse = |reason: &str| {
            let error = json!({"type": "illegal_argument_exception", "reason": reason});
            (
                400,
                json!({"error": {"root_cause": [error], "type": "illegal_argument_exception", "reason": reason}, "status": 400})
                    .to_string(),
            )
        };
        if body.last() != Some(&b'\n') {
            return refuse("The bulk request must be terminated by a newline [\\n]");
        }
        // As at Elasticsearch, nothing is stored where the request as a whole is malformed.
        let mut operations = Vec::new();
        let mut lines = body[..body.len() - 1].split(|b| *b == b'\n');
        while let Some(action) = lines.next() {
            let Some((op, meta)) = operation(action) else { return refuse("Malformed action/metadata line") };
            let Some(source) = lines.next() else { return refuse("an action without a document") };
            operations.push((op, meta, source));
        }
        let (mut items, mut errors) = (Vec::with_capacity(operations.len()), false);
        for (i, (op, meta, source)) in operations.into_iter().enumerate() {
            let index = meta["_index"].as_str().unwrap_or(default_index).to_string();
            let id = meta["_id"].as_str().map(str::to_string);
            let busy = faults.busy_every > 0 && (i as u64 + 1).is_multiple_of(faults.busy_every);
            let (status, error) = if busy {
                (429, Some(("es_rejected_execution_exception", "rejected execution of coordinating operation".to_string())))
            } else {
                self.store(&op, &index, id.as_deref(), source, faults)
            };
            let mut item = json!({"_index": index, "_id": id, "status": status});
            if let Some((kind, reason)) = error {
                errors = true;
                item["error"] = json!({"type": kind, "reason": reason});
            }
            items.push(json!({ op: item }));
        }
        (200, json!({"errors": errors, "took": 1, "items": items}).to_string())
    }

    fn store(
        &mut self,
        op: &str,
        index: &str,
        id: Option<&str>,
        source: &[u8],
        faults: &ItemFaults,
    ) -> (u16, Option<(&'static str, String)>) {
        if faults.data_streams && op != "create" {
            let reason = "only write ops with an op_type of create are allowed in data streams";
            return (400, Some(("illegal_argument_exception", reason.into())));
        }
        let malformed = |reason: String| (400, Some(("document_parsing_exception", reason)));
        let Ok(text) = std::str::from_utf8(source) else { return malformed("Invalid UTF-8".into()) };
        let line = match serde_json::from_str::<Line>(text) {
            Ok(line) => line.message,
            Err(e) => return malformed(format!("failed to parse: {e}")),
        };
        if faults.poison.as_ref().is_some_and(|poison| line.contains(poison.as_str())) {
            self.refused += 1;
            return malformed("failed to parse field [message]: poison".into());
        }
        let id = match id {
            Some(id) => id.to_string(),
            None => {
                self.without_id += 1;
                format!("without-id-{}", self.without_id)
            }
        };
        let mut version = 1;
        if let Some(there) = self.documents.get(&id) {
            self.collisions += u64::from(there.message != line);
            version = there.version + 1;
            if op == "create" {
                self.conflicts += 1;
                let reason = format!("[{id}]: version conflict, document already exists (current version [{}])", there.version);
                return (409, Some(("version_conflict_engine_exception", reason)));
            }
            self.replaced += 1;
            if let Some(n) = self.lines.get_mut(&there.message) {
                *n -= 1;
            }
        }
        *self.lines.entry(line.clone()).or_default() += 1;
        self.documents.insert(id, Document { index: index.into(), message: line, source: text.into(), version });
        (if version > 1 { 200 } else { 201 }, None)
    }

    /// Takes a post that is no bulk request.
    pub(super) fn post(&mut self, key: Option<String>, body: Vec<u8>) {
        let there = key.as_ref().and_then(|key| self.posts.iter().find(|p| p.key.as_ref() == Some(key)));
        match there {
            Some(there) => {
                self.repeated_posts += 1;
                self.changed_posts += u64::from(there.body != body);
            }
            None => self.posts.push(Post { key, body }),
        }
    }
}

/// The operation and its metadata, of an action line.
fn operation(action: &[u8]) -> Option<(String, Value)> {
    let Ok(Value::Object(members)) = serde_json::from_slice(action) else { return None };
    let (op, meta) = members.into_iter().next()?;
    (["create", "index"].contains(&op.as_str()) && meta.is_object()).then_some((op, meta))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(account: &mut Account, body: &str, faults: &ItemFaults) -> (u16, Vec<u64>) {
        let (status, answer) = account.bulk("logs", body.as_bytes(), faults);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        (status, items.iter().map(|i| i.as_object().unwrap().values().next().unwrap()["status"].as_u64().unwrap()).collect())
    }

    fn create(id: &str, message: &str) -> String {
        format!("{{\"create\":{{\"_id\":\"{id}\"}}}}\n{{\"message\":\"{message}\"}}\n")
    }

    #[test]
    fn knows_an_id_again_and_sees_another_line_under_it() {
        let mut account = Account::default();
        let none = ItemFaults::default();
        assert_eq!(bulk(&mut account, &(create("1", "a") + &create("2", "b")), &none), (200, vec![201, 201]));
        assert_eq!(bulk(&mut account, &(create("1", "a") + &create("3", "c")), &none), (200, vec![409, 201]));
        assert_eq!((account.conflicts, account.collisions), (1, 0));
        assert_eq!(bulk(&mut account, &create("2", "another"), &none), (200, vec![409]));
        assert_eq!((account.conflicts, account.collisions), (2, 1));
        assert_eq!(account.documents().len(), 3);
        assert_eq!(account.documents()["3"].index, "logs");
    }

    #[test]
    fn an_index_replaces_and_counts_versions_but_not_in_a_data_stream() {
        let (mut account, none) = (Account::default(), ItemFaults::default());
        let index = |id: &str, message: &str| create(id, message).replace("create", "index");
        assert_eq!(bulk(&mut account, &(create("1", "a") + &index("1", "a") + &index("2", "b")), &none), (200, vec![201, 200, 201]));
        assert_eq!((account.documents()["1"].version, account.documents()["2"].version, account.replaced), (2, 1, 1));
        assert_eq!((account.lines()["a"], account.conflicts, account.collisions), (1, 0, 0));
        let streams = ItemFaults { data_streams: true, ..ItemFaults::default() };
        assert_eq!(bulk(&mut account, &(index("1", "a") + &create("3", "c")), &streams), (200, vec![400, 201]));
    }

    #[test]
    fn one_line_under_two_ids_is_counted_twice() {
        let mut account = Account::default();
        bulk(&mut account, &(create("1", "a") + &create("2", "a")), &ItemFaults::default());
        assert_eq!(account.lines()["a"], 2);
    }

    #[test]
    fn refuses_the_whole_request_or_single_items() {
        let mut account = Account::default();
        let none = ItemFaults::default();
        assert_eq!(bulk(&mut account, create("1", "a").trim_end(), &none).0, 400, "no newline at the end");
        assert_eq!(bulk(&mut account, &(create("1", "a") + "{\"frobnicate\":{}}\n{}\n"), &none).0, 400);
        assert_eq!(account.documents().len(), 0, "nothing of it is stored");
        let faults = ItemFaults { busy_every: 2, poison: Some("bad".into()), ..ItemFaults::default() };
        let body = create("1", "a") + &create("2", "b") + &create("3", "bad line");
        assert_eq!(bulk(&mut account, &body, &faults), (200, vec![201, 429, 400]));
        assert_eq!((account.documents().len(), account.refused), (1, 1));
    }

    #[test]
    fn posts_are_known_by_their_key() {
        let mut account = Account::default();
        account.post(Some("k".into()), b"a".to_vec());
        account.post(Some("k".into()), b"a".to_vec());
        account.post(Some("k".into()), b"b".to_vec());
        account.post(None, b"c".to_vec());
        assert_eq!((account.posts().len(), account.repeated_posts, account.changed_posts), (2, 2, 1));
    }
}
