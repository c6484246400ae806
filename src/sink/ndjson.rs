//! A batch as documents, one a line: what the http, file and console sinks write.

use super::client::Encoder;
use crate::process::document::Documents;
use crate::queue::Batch;

/// Encodes one document a line.
pub(crate) struct LineEncoder {
    documents: Documents,
}

impl LineEncoder {
    /// Documents of the host `host_name`.
    pub fn new(host_name: &str) -> LineEncoder {
        LineEncoder { documents: Documents::new(host_name) }
    }
}

impl Encoder for LineEncoder {
    fn encode(&mut self, batch: &Batch, out: &mut Vec<u8>, items: &mut Vec<u32>) {
        for slice in batch.runs() {
            let template = self.documents.template(&slice);
            for event in slice.events {
                template.write(&event, out);
                out.push(b'\n');
                items.push(out.len() as u32);
            }
        }
    }
}
