//! A batch as a push request: an object for each change of the labels, and in it an entry for each event.
//!
//! ```json
//! {"streams":[{"stream":{"host":"web-1"},"values":[["1773051302123000000","a line",{"log_offset":"0"}],…]},…]}
//! ```

use crate::process::document::Documents;
use crate::process::escape::escape_into;
use crate::process::flat::{Flat, plain};
use crate::process::shaping::Shaping;
use crate::queue::Batch;
use crate::sink::client::{Encoder, item_range};

const OPEN: &[u8] = br#"{"streams":["#;
/// Before the first entry of an object, behind its labels.
const VALUES: &[u8] = br#","values":["#;
/// Between the last entry of an object and the next object.
const NEXT: &[u8] = b"]},";
const CLOSE: &[u8] = b"]}]}";

/// Encodes push requests.
pub(crate) struct LokiEncoder {
    documents: Documents,
    shaping: Shaping,
    labels: Vec<(String, String)>,
    metadata: bool,
    document: Vec<u8>,
}

impl LokiEncoder {
    /// An encoder of documents of the host `host_name`, with these labels from these fields.
    pub fn new(host_name: &str, labels: &[(String, String)], metadata: bool) -> LokiEncoder {
        LokiEncoder {
            documents: Documents::new(host_name),
            shaping: Shaping::default(),
            labels: labels.to_vec(),
            metadata,
            document: Vec::new(),
        }
    }

    /// Appends the labels of an event as an object. Loki takes no entry without any.
    fn put_labels(labels: &[(String, String)], flat: &Flat, out: &mut Vec<u8>) {
        let start = out.len();
        for (label, field) in labels {
            if let Some(value) = flat.text(field).filter(|value| !value.is_empty()) {
                put_member(label, &value, out.len() == start, out);
            }
        }
        if out.len() == start {
            put_member("agent", "forebay", true, out);
        }
        out.push(b'}');
    }

    fn put_entry(labels: &[(String, String)], metadata: bool, flat: &Flat, offset: u64, out: &mut Vec<u8>) {
        // What has its time from the queue has milliseconds, and what has it from a runtime, nanoseconds of its own.
        let time = if flat.time_ns.is_multiple_of(1_000_000) { flat.time_ns + offset % 1_000_000 } else { flat.time_ns };
        out.extend_from_slice(format!("[\"{time}\",\"").as_bytes());
        escape_into(flat.message.as_bytes(), out);
        out.push(b'"');
        let rest = || flat.fields.iter().filter(|(name, _)| !labels.iter().any(|(_, field)| field == name));
        if metadata && rest().next().is_some() {
            out.push(b',');
            let start = out.len();
            for (name, value) in rest() {
                put_member(&metadata_name(name), &plain(value), out.len() == start, out);
            }
            out.push(b'}');
        }
        out.push(b']');
    }
}

impl Encoder for LokiEncoder {
    fn encode(&mut self, batch: &Batch, out: &mut Vec<u8>, items: &mut Vec<u32>) {
        let (mut labels, mut before) = (Vec::new(), Vec::new());
        for slice in batch.runs() {
            let template = self.documents.template(&slice);
            self.shaping.begin(template, slice.append_ms);
            for event in slice.events {
                self.document.clear();
                if !self.shaping.write(template, &event, items.len(), &mut self.document) {
                    items.push(out.len() as u32);
                    continue;
                }
                let flat = Flat::of(&self.document);
                labels.clear();
                Self::put_labels(&self.labels, &flat, &mut labels);
                if labels == before {
                    out.push(b',');
                } else {
                    out.extend_from_slice(if out.is_empty() { OPEN } else { NEXT });
                    out.extend_from_slice(br#"{"stream":"#);
                    out.extend_from_slice(&labels);
                    out.extend_from_slice(VALUES);
                    std::mem::swap(&mut labels, &mut before);
                }
                Self::put_entry(&self.labels, self.metadata, &flat, event.offset, out);
                items.push(out.len() as u32);
            }
        }
        out.extend_from_slice(if out.is_empty() { br#"{"streams":[]}"# } else { CLOSE });
    }

    fn shaping(&mut self) -> Option<&mut Shaping> {
        Some(&mut self.shaping)
    }
}

/// Appends the request of those items of `body` that `pick` names (ascending).
pub(super) fn pick(body: &[u8], items: &[u32], pick: &[u32], out: &mut Vec<u8>) {
    // The object that is open, and the item at which it begins in `body`.
    let (mut object, mut begins, mut of, mut next) = (&body[..0], 0, None, 0);
    for &item in pick {
        while next <= item {
            let range = item_range(items, next as usize);
            let bytes = &body[range.clone()];
            if let Some(head) = bytes.strip_prefix(OPEN).or_else(|| bytes.strip_prefix(NEXT)) {
                // Labels are escaped, so that this stands nowhere within them.
                let end = memchr::memmem::find(head, VALUES).map_or(0, |at| at + VALUES.len());
                (object, begins) = (&head[..end], range.start + bytes.len() - head.len() + end);
            }
            next += 1;
        }
        let range = item_range(items, item as usize);
        // The first entry of an object stands behind its labels, each other one behind a comma.
        let entry = &body[if range.contains(&begins) { begins } else { range.start + 1 }..range.end];
        match of {
            None => out.extend_from_slice(OPEN),
            Some(same) if same == begins => out.push(b','),
            Some(_) => out.extend_from_slice(NEXT),
        }
        if of != Some(begins) {
            out.extend_from_slice(object);
            of = Some(begins);
        }
        out.extend_from_slice(entry);
    }
    out.extend_from_slice(CLOSE);
}

fn put_member(name: &str, value: &str, first: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if first { b"{\"" } else { b",\"" });
    escape_into(name.as_bytes(), out);
    out.extend_from_slice(b"\":\"");
    escape_into(value.as_bytes(), out);
    out.push(b'"');
}

/// Names of structured metadata are names of labels: letters, digits and `_`.
fn metadata_name(field: &str) -> String {
    let digit = field.starts_with(|c: char| c.is_ascii_digit());
    let name = field.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    digit.then_some('_').into_iter().chain(name).collect()
}

#[cfg(test)]
mod tests;
