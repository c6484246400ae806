//! A batch as an `ExportLogsServiceRequest`: a `ResourceLogs` for each run, and in it a `LogRecord` for each event.
//!
//! The messages are the crate's; the two lengths around the records of a run are written here, five bytes each, so that
//! they can be put in behind what they count, and so that any choice of records is a request again.

use crate::process::document::Documents;
use crate::process::flat::Flat;
use crate::process::shaping::Shaping;
use crate::queue::Batch;
use crate::sink::client::{Encoder, item_range};
use crate::sink::event_id::RunIds;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde_json::Value;

/// Field 1, a message: `resource_logs`, `resource`, `scope`.
const FIRST: u8 = 0x0a;
/// Field 2, a message: `scope_logs`, `log_records`.
const SECOND: u8 = 0x12;
/// Bytes of a length that is put in later: enough for 4 GiB.
const LENGTH: usize = 5;
/// Fields of these objects say where an event comes from, not what happened.
const RESOURCE: [&str; 8] = ["agent.", "cloud.", "container.", "host.", "k8s.", "kubernetes.", "orchestrator.", "service."];

/// Encodes OTLP requests.
pub(crate) struct OtlpEncoder {
    scope: String,
    documents: Documents,
    shaping: Shaping,
    document: Vec<u8>,
}

impl OtlpEncoder {
    /// An encoder of the IDs of `scope` and documents of the host `host_name`.
    pub fn new(scope: &str, host_name: &str) -> OtlpEncoder {
        OtlpEncoder { scope: scope.to_string(), documents: Documents::new(host_name), shaping: Shaping::default(), document: Vec::new() }
    }
}

impl Encoder for OtlpEncoder {
    fn encode(&mut self, batch: &Batch, out: &mut Vec<u8>, items: &mut Vec<u32>) {
        let mut group: Option<(Vec<KeyValue>, Lengths)> = None;
        for slice in batch.runs() {
            let ids = RunIds::new(&self.scope, &batch.id, &slice);
            let template = self.documents.template(&slice);
            self.shaping.begin(template, slice.append_ms);
            for event in slice.events {
                self.document.clear();
                if !self.shaping.write(template, &event, items.len(), &mut self.document) {
                    items.push(out.len() as u32);
                    continue;
                }
                let (resource, record) = split(Flat::of(&self.document), &ids.id(&event), slice.append_ms);
                if group.as_ref().is_none_or(|(of, _)| *of != resource) {
                    if let Some((_, lengths)) = group.take() {
                        lengths.close(out);
                    }
                    let lengths = Lengths::open(&resource, out);
                    group = Some((resource, lengths));
                }
                put_record(&record, out);
                items.push(out.len() as u32);
            }
        }
        if let Some((_, lengths)) = group {
            lengths.close(out);
        }
    }

    fn shaping(&mut self) -> Option<&mut Shaping> {
        Some(&mut self.shaping)
    }
}

/// Appends the request of those items of `body` that `pick` names (ascending).
pub(super) fn pick(body: &[u8], items: &[u32], pick: &[u32], out: &mut Vec<u8>) {
    let (mut open, mut header, mut of, mut next) = (None::<Lengths>, 0..0, None, 0);
    for &item in pick {
        // The header of a group stands before its first record.
        while next <= item {
            let range = item_range(items, next as usize);
            if !range.is_empty() && body.get(range.start) == Some(&FIRST) {
                header = range.start..range.start + header_len(&body[range]);
            }
            next += 1;
        }
        if of != Some(header.start) {
            if let Some(lengths) = open.take() {
                lengths.close(out);
            }
            open = Some(Lengths::copy(&body[header.clone()], out));
            of = Some(header.start);
        }
        let range = item_range(items, item as usize);
        out.extend_from_slice(&body[range.start.max(if range.start == header.start { header.end } else { 0 })..range.end]);
    }
    if let Some(lengths) = open {
        lengths.close(out);
    }
}

/// Where the lengths of a group stand that are not known before its end.
struct Lengths {
    resource_logs: usize,
    scope_logs: usize,
}

impl Lengths {
    /// Writes all of a group that stands before its records.
    fn open(resource: &[KeyValue], out: &mut Vec<u8>) -> Lengths {
        let start = out.len();
        out.push(FIRST);
        out.extend_from_slice(&[0; LENGTH]);
        out.push(FIRST);
        // Writing into memory cannot fail for want of room.
        let _ = Resource { attributes: resource.to_vec(), ..Resource::default() }.encode_length_delimited(out);
        let scope_logs = out.len() + 1;
        out.push(SECOND);
        out.extend_from_slice(&[0; LENGTH]);
        out.push(FIRST);
        let scope = InstrumentationScope { name: "forebay".into(), version: env!("CARGO_PKG_VERSION").into(), ..Default::default() };
        let _ = scope.encode_length_delimited(out);
        Lengths { resource_logs: start + 1, scope_logs }
    }

    /// Writes the same once more.
    fn copy(header: &[u8], out: &mut Vec<u8>) -> Lengths {
        let start = out.len();
        out.extend_from_slice(header);
        Lengths { resource_logs: start + 1, scope_logs: start + scope_logs_at(header) }
    }

    fn close(self, out: &mut [u8]) {
        for at in [self.scope_logs, self.resource_logs] {
            let mut length = out.len() - at - LENGTH;
            for (i, byte) in out[at..at + LENGTH].iter_mut().enumerate() {
                *byte = (length & 0x7f) as u8 | if i + 1 < LENGTH { 0x80 } else { 0 };
                length >>= 7;
            }
        }
    }
}

/// Where, in what [`Lengths::open`] wrote, the length of the `scope_logs` stands.
fn scope_logs_at(header: &[u8]) -> usize {
    let resource = 1 + LENGTH;
    resource + 1 + delimited(&header[resource + 1..]) + 1
}

/// Bytes of what [`Lengths::open`] wrote.
fn header_len(group: &[u8]) -> usize {
    let scope = scope_logs_at(group) + LENGTH;
    scope + 1 + delimited(&group[scope + 1..])
}

/// Bytes of a message and its length before it.
fn delimited(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    let length = prost::decode_length_delimiter(&mut rest).unwrap_or(0);
    bytes.len() - rest.len() + length
}

fn put_record(record: &LogRecord, out: &mut Vec<u8>) {
    out.push(SECOND);
    let _ = record.encode_length_delimited(out);
}

/// Where the event comes from, and what it is.
fn split(flat: Flat, id: &[u8], append_ms: u64) -> (Vec<KeyValue>, LogRecord) {
    let level = flat.text("log.level");
    let (resource, mut attributes): (Vec<_>, Vec<_>) =
        flat.fields.into_iter().partition(|(name, _)| RESOURCE.iter().any(|object| name.starts_with(object)));
    attributes.push(("log.record.uid".into(), Value::String(String::from_utf8_lossy(id).into_owned())));
    let all = |fields: Vec<(String, Value)>| fields.into_iter().map(|(name, value)| attribute(name, value)).collect::<Vec<_>>();
    let record = LogRecord {
        time_unix_nano: flat.time_ns,
        observed_time_unix_nano: append_ms.saturating_mul(1_000_000),
        severity_number: level.as_deref().map_or(SeverityNumber::Unspecified, severity) as i32,
        severity_text: level.unwrap_or_default(),
        body: Some(AnyValue { value: Some(any_value::Value::StringValue(flat.message)) }),
        attributes: all(attributes),
        ..LogRecord::default()
    };
    (all(resource), record)
}

fn attribute(key: String, value: Value) -> KeyValue {
    KeyValue { key, value: Some(any(value)), ..KeyValue::default() }
}

fn any(value: Value) -> AnyValue {
    use any_value::Value as Any;
    let value = match value {
        Value::Null => None,
        Value::Bool(value) => Some(Any::BoolValue(value)),
        Value::Number(number) => Some(match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Any::IntValue(value),
            (None, Some(value)) => Any::DoubleValue(value),
            (None, None) => Any::StringValue(number.to_string()),
        }),
        Value::String(text) => Some(Any::StringValue(text)),
        Value::Array(values) => Some(Any::ArrayValue(ArrayValue { values: values.into_iter().map(any).collect() })),
        // Only an empty one is left.
        Value::Object(_) => Some(Any::KvlistValue(Default::default())),
    };
    AnyValue { value }
}

/// The level as the specification of logs maps names to numbers.
fn severity(level: &str) -> SeverityNumber {
    match level.to_ascii_lowercase().as_str() {
        "trace" | "finest" => SeverityNumber::Trace,
        "debug" | "fine" | "finer" => SeverityNumber::Debug,
        "info" | "information" | "informational" | "config" => SeverityNumber::Info,
        "notice" => SeverityNumber::Info2,
        "warn" | "warning" => SeverityNumber::Warn,
        "error" | "err" | "severe" => SeverityNumber::Error,
        "critical" | "crit" => SeverityNumber::Error2,
        "alert" => SeverityNumber::Error3,
        "fatal" | "panic" | "emerg" | "emergency" => SeverityNumber::Fatal,
        _ => SeverityNumber::Unspecified,
    }
}

#[cfg(test)]
mod tests;
