//! A batch as documents, one a line: what the http, file and console sinks write.

use super::client::Encoder;
use crate::process::document::Documents;
use crate::process::shaping::Shaping;
use crate::queue::Batch;

/// Encodes one document a line.
pub(crate) struct LineEncoder {
    documents: Documents,
    shaping: Shaping,
}

impl LineEncoder {
    /// Documents of the host `host_name`.
    pub fn new(host_name: &str) -> LineEncoder {
        LineEncoder { documents: Documents::new(host_name), shaping: Shaping::default() }
    }
}

impl Encoder for LineEncoder {
    fn encode(&mut self, batch: &Batch, out: &mut Vec<u8>, items: &mut Vec<u32>) {
        for slice in batch.runs() {
            let template = self.documents.template(&slice);
            self.shaping.begin(template, slice.append_ms);
            for event in slice.events {
                if self.shaping.write(template, &event, items.len(), out) {
                    out.push(b'\n');
                }
                items.push(out.len() as u32);
            }
        }
    }

    fn shaping(&mut self) -> Option<&mut Shaping> {
        Some(&mut self.shaping)
    }
}
