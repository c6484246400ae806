//! A batch as the body of a `_bulk` request: an action line and a document for each event.

use super::index::IndexName;
use crate::process::document::Documents;
use crate::process::escape::escape_into;
use crate::queue::Batch;
use crate::sink::client::Encoder;
use crate::sink::event_id::RunIds;

/// Encodes `_bulk` bodies.
pub(crate) struct BulkEncoder {
    scope: String,
    documents: Documents,
    index: IndexName,
    /// The action line up to the ID; without the index where the URL names it, which saves bytes.
    action: Vec<u8>,
    /// For what `action` is right: whether it replaces, and the time where the index depends on it.
    action_of: Option<(bool, Option<u64>)>,
}

/// How the action line of an event begins that replaces nothing.
pub(super) const CREATE: &[u8] = br#"{"create":{"#;
/// How the action line of an event begins that replaces the document of its ID.
pub(super) const INDEX: &[u8] = br#"{"index":{"#;

impl BulkEncoder {
    /// An encoder of the IDs of `scope` and documents of the host `host_name` for the index `index`.
    pub fn new(scope: &str, host_name: &str, index: &str) -> BulkEncoder {
        let index = IndexName::new(index);
        BulkEncoder { scope: scope.to_string(), documents: Documents::new(host_name), index, action: Vec::new(), action_of: None }
    }
}

impl Encoder for BulkEncoder {
    fn encode(&mut self, batch: &Batch, out: &mut Vec<u8>, items: &mut Vec<u32>) {
        let (dated, replaces) = (self.index.constant().is_none(), batch.id.overwrites());
        for slice in batch.runs() {
            let wanted = Some((replaces, dated.then_some(slice.append_ms)));
            if self.action_of != wanted {
                self.action.clear();
                self.action.extend_from_slice(if replaces { INDEX } else { CREATE });
                if dated {
                    self.action.extend_from_slice(br#""_index":""#);
                    escape_into(self.index.at(slice.append_ms).as_bytes(), &mut self.action);
                    self.action.extend_from_slice(br#"","#);
                }
                self.action.extend_from_slice(br#""_id":""#);
                self.action_of = wanted;
            }
            let ids = RunIds::new(&self.scope, &batch.id, &slice);
            let template = self.documents.template(&slice);
            for event in slice.events {
                out.extend_from_slice(&self.action);
                out.extend_from_slice(&ids.id(&event));
                out.extend_from_slice(b"\"}}\n");
                template.write(&event, out);
                out.push(b'\n');
                items.push(out.len() as u32);
            }
        }
    }
}

#[cfg(test)]
mod tests;
