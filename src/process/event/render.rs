//! The fields as JSON.

use super::{Document, Id, ROOT, Value};
use crate::process::document::put_number;
use crate::process::escape::escape_into;
use crate::process::timestamp::rfc3339;
use std::io::Write as _;

impl Document {
    /// Appends the document, without a newline.
    pub(crate) fn render(&self, out: &mut Vec<u8>) {
        self.put(ROOT, out);
    }

    pub(super) fn put(&self, id: Id, out: &mut Vec<u8>) {
        match self.value(id) {
            Value::Object(_) => {
                out.push(b'{');
                for (n, member) in self.children(id).enumerate() {
                    out.extend_from_slice(if n > 0 { b",\"" } else { b"\"" });
                    escape_into(self.name(member).as_bytes(), out);
                    out.extend_from_slice(b"\":");
                    self.put(member, out);
                }
                out.push(b'}');
            }
            Value::Array(_) => {
                out.push(b'[');
                for (n, item) in self.children(id).enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    self.put(item, out);
                }
                out.push(b']');
            }
            Value::Text(span) => {
                out.push(b'"');
                escape_into(self.str(span).as_bytes(), out);
                out.push(b'"');
            }
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
            Value::Int(value) => {
                if value < 0 {
                    out.push(b'-');
                }
                put_number(value.unsigned_abs(), out);
            }
            // What is neither number nor infinite has no form in JSON.
            Value::Float(value) if !value.is_finite() => out.extend_from_slice(b"null"),
            Value::Float(value) => drop(serde_json::to_writer(out, &value)),
            Value::Number(span) => out.extend_from_slice(self.str(span).as_bytes()),
            Value::Time(ns) => put_time(ns, out),
        }
    }
}

/// RFC 3339 in UTC, with as many digits of a second as the time has, three at least.
fn put_time(ns: i64, out: &mut Vec<u8>) {
    let (ms, below) = (ns.div_euclid(1_000_000), ns.rem_euclid(1_000_000));
    out.push(b'"');
    match u64::try_from(ms) {
        Ok(ms) => {
            out.extend_from_slice(&rfc3339(ms));
            if below != 0 {
                out.pop();
                let digits = if below % 1000 == 0 { (3, below / 1000) } else { (6, below) };
                let _ = write!(out, "{:0width$}Z", digits.1, width = digits.0);
            }
        }
        // Before 1970.
        Err(_) => drop(write!(out, "{}", jiff::Timestamp::from_nanosecond(ns.into()).unwrap_or_default())),
    }
    out.push(b'"');
}
