//! A batch as one JSON array. Each item is a comma (a bracket before the first) and a document, so that any
//! choice of items is an array again once its first byte is a bracket.

use crate::process::document::Documents;
use crate::process::shaping::Shaping;
use crate::queue::Batch;
use crate::sink::client::{Encoder, item_range};

/// Encodes a JSON array of documents.
pub(crate) struct ArrayEncoder {
    documents: Documents,
    shaping: Shaping,
}

impl ArrayEncoder {
    /// Documents of the host `host_name`.
    pub fn new(host_name: &str) -> ArrayEncoder {
        ArrayEncoder { documents: Documents::new(host_name), shaping: Shaping::default() }
    }
}

impl Encoder for ArrayEncoder {
    fn encode(&mut self, batch: &Batch, out: &mut Vec<u8>, items: &mut Vec<u32>) {
        for slice in batch.runs() {
            let template = self.documents.template(&slice);
            self.shaping.begin(template, slice.append_ms);
            for event in slice.events {
                let start = out.len();
                out.push(if start == 0 { b'[' } else { b',' });
                if !self.shaping.write(template, &event, items.len(), out) {
                    out.truncate(start);
                }
                items.push(out.len() as u32);
            }
        }
        out.extend_from_slice(if out.is_empty() { b"[]" } else { b"]" });
    }

    fn shaping(&mut self) -> Option<&mut Shaping> {
        Some(&mut self.shaping)
    }
}

/// The array of some items of such an array.
pub(crate) fn pick(body: &[u8], items: &[u32], pick: &[u32], out: &mut Vec<u8>) {
    for (i, &item) in pick.iter().enumerate() {
        let range = item_range(items, item as usize);
        out.push(if i == 0 { b'[' } else { b',' });
        out.extend_from_slice(&body[range.start + 1..range.end]);
    }
    out.push(b']');
}
