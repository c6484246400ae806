//! A batch as the body of a `_bulk` request: an action line and a document for each event.

use super::index::Target;
use super::options::ElasticsearchOptions;
use super::pattern::{Facts, Pattern};
use crate::process::document::Documents;
use crate::process::escape::escape_into;
use crate::process::framed::Frame;
use crate::process::identity::ID_LEN;
use crate::process::shaping::Shaping;
use crate::queue::{Batch, RunSlice, StreamSpec};
use crate::sink::client::Encoder;
use crate::sink::event_id::RunIds;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// Action lines kept; beyond it all are dropped, so that a churn of streams cannot grow the cache.
const MOST_ACTIONS: usize = 4096;

/// The object of a document that tells which batch brought it.
const OWN: &str = "forebay";

/// Encodes `_bulk` bodies.
pub(crate) struct BulkEncoder {
    scope: String,
    host_name: String,
    documents: Documents,
    shaping: Shaping,
    frame: Frame,
    heads: Heads,
    batch_id: bool,
}

/// How the action line of an event begins that replaces nothing.
pub(super) const CREATE: &[u8] = br#"{"create":{"#;
/// How the action line of an event begins that replaces the document of its ID.
pub(super) const INDEX: &[u8] = br#"{"index":{"#;

/// What stands between the ID and the document.
const AFTER_ID: &[u8] = b"\"}}\n";

/// The action lines up to the ID: by stream where they differ from stream to stream.
struct Heads {
    target: Target,
    routing: Option<Pattern>,
    /// The URL names the index, which saves bytes.
    in_url: bool,
    by_stream: bool,
    cached: HashMap<u64, Head>,
}

struct Head {
    spec: Arc<StreamSpec>,
    day: u64,
    replaces: bool,
    action: Vec<u8>,
}

impl Heads {
    fn of(&mut self, slice: &RunSlice<'_>, replaces: bool, host_name: &str) -> &[u8] {
        let (id, day) = (if self.by_stream { slice.run.stream.id } else { 0 }, slice.append_ms / 86_400_000);
        let spec = slice.run.stream.spec();
        let right = |head: &Head| {
            let dated = self.in_url || head.day == day;
            head.replaces == replaces && dated && (!self.by_stream || Arc::ptr_eq(&head.spec, &spec))
        };
        if !self.cached.get(&id).is_some_and(right) {
            if self.cached.len() >= MOST_ACTIONS {
                self.cached.clear();
            }
            let action = self.action(&Facts::new(&spec, host_name), slice.append_ms, replaces);
            self.cached.insert(id, Head { spec, day, replaces, action });
        }
        self.cached.get(&id).map_or(&[], |head| &head.action)
    }

    fn action(&self, facts: &Facts<'_>, append_ms: u64, replaces: bool) -> Vec<u8> {
        let mut action = if replaces { INDEX } else { CREATE }.to_vec();
        let mut member = |name: &[u8], value: &str| {
            action.extend_from_slice(name);
            escape_into(value.as_bytes(), &mut action);
            action.extend_from_slice(br#"","#);
        };
        if !self.in_url {
            member(br#""_index":""#, &self.target.name(facts, append_ms));
        }
        let value = |name: &str, default: Option<&str>| facts.get(name).or(default.map(str::to_string));
        if let Some(routing) = self.routing.as_ref().and_then(|r| r.resolve(append_ms, value)).filter(|r| !r.is_empty()) {
            member(br#""routing":""#, &routing);
        }
        action.extend_from_slice(br#""_id":""#);
        action
    }
}

impl BulkEncoder {
    /// An encoder of the IDs of `scope` and documents of the host `host_name` for the target of `options`. The error says
    /// what is wrong with the target.
    pub fn new(scope: &str, host_name: &str, options: &ElasticsearchOptions) -> Result<BulkEncoder, String> {
        let target = Target::of(options)?;
        let routing = options.routing.as_deref().map(|r| Pattern::parse(r, false).map_err(|why| format!("routing: {why}"))).transpose()?;
        let documents = documents(&target, host_name, options.include_batch_id);
        let heads = Heads {
            in_url: target.constant().is_some(),
            by_stream: target.names_fields() || routing.as_ref().is_some_and(Pattern::names_fields),
            target,
            routing,
            cached: HashMap::new(),
        };
        Ok(BulkEncoder {
            scope: scope.to_string(),
            host_name: host_name.to_string(),
            documents,
            shaping: Shaping::default(),
            frame: Frame::default(),
            heads,
            batch_id: options.include_batch_id,
        })
    }
}

/// The documents of what `options` say, for those who send nothing. The error says what is wrong with the target.
pub(crate) fn documents_of(options: &ElasticsearchOptions, host_name: &str) -> Result<Documents, String> {
    Ok(documents(&Target::of(options)?, host_name, options.include_batch_id))
}

fn documents(target: &Target, host_name: &str, batch_id: bool) -> Documents {
    let (named, host) = (target.clone(), host_name.to_string());
    match target {
        Target::Index(_) => documents_of_sink(Documents::new(host_name), batch_id),
        _ => {
            let more = Box::new(move |spec: &StreamSpec, root: &mut Map<String, Value>| {
                if let Some(parts) = named.data_stream(&Facts::new(spec, &host)) {
                    put_data_stream(root, parts);
                }
            });
            documents_of_sink(Documents::adding(host_name, more), batch_id)
        }
    }
}

fn documents_of_sink(documents: Documents, batch_id: bool) -> Documents {
    if batch_id { documents.reserving(OWN) } else { documents }
}

/// The members that the naming scheme of data streams demands; they agree with the data stream's name, whatever the
/// source's fields say, or the server would refuse the document.
fn put_data_stream(root: &mut Map<String, Value>, [kind, dataset, namespace]: [String; 3]) {
    let own = json!({"type": kind, "dataset": dataset, "namespace": namespace});
    match (root.get_mut("data_stream"), own) {
        (Some(Value::Object(there)), Value::Object(own)) => there.extend(own),
        (_, own) => drop(root.insert("data_stream".into(), own)),
    }
}

impl Encoder for BulkEncoder {
    fn encode(&mut self, batch: &Batch, out: &mut Vec<u8>, items: &mut Vec<u32>) {
        let replaces = batch.id.overwrites();
        let mut end = b"}\n".to_vec();
        if self.batch_id {
            end = format!(",\"{OWN}\":{{\"batch_id\":\"").into_bytes();
            escape_into(batch.id.to_string().as_bytes(), &mut end);
            end.extend_from_slice(b"\"}}\n");
        }
        if self.batch_id {
            self.shaping.reserve(OWN);
        }
        for slice in batch.runs() {
            let action = self.heads.of(&slice, replaces, &self.host_name);
            let ids = RunIds::new(&self.scope, &batch.id, &slice);
            let template = self.documents.template(&slice);
            let before: [&[u8]; 3] = [action, &[0; ID_LEN], AFTER_ID];
            if !self.shaping.has_chain() && self.frame.begin(template, &before, &end) {
                let id_at = action.len();
                for event in slice.events {
                    let id = ids.id(&event);
                    let at = out.len() + id_at;
                    self.frame.write(&event, out);
                    out[at..at + ID_LEN].copy_from_slice(&id);
                    items.push(out.len() as u32);
                }
                continue;
            }
            self.shaping.begin(template, slice.append_ms);
            for event in slice.events {
                let start = out.len();
                out.extend_from_slice(action);
                out.extend_from_slice(&ids.id(&event));
                out.extend_from_slice(AFTER_ID);
                if self.shaping.write(template, &event, items.len(), out) {
                    // The brace that ends the document.
                    out.pop();
                    out.extend_from_slice(&end);
                } else {
                    out.truncate(start);
                }
                items.push(out.len() as u32);
            }
        }
    }

    fn shaping(&mut self) -> Option<&mut Shaping> {
        Some(&mut self.shaping)
    }
}

#[cfg(test)]
mod tests;
