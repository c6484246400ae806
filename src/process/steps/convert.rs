//! `convert: {fields: {name: type}}`: `integer`, `float`, `boolean`, `string`, `bytes` (`10KiB` to 10240) and `duration` (`5s` to
//! nanoseconds, as ECS has them), `seconds`, `milliseconds` and `microseconds` (a number of them to nanoseconds), `ip` (a text that
//! is an address stays). What is not there is no failure; what cannot be converted is, unless `otherwise: remove` takes it away.

use super::timestamp::epoch;
use crate::config::decode::Map;
use crate::config::units;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Id, Path, Value};
use std::net::IpAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Integer,
    Float,
    Boolean,
    Text,
    Bytes,
    Duration,
    /// A number of units of a second with so many digits behind the point.
    Time(u32),
    Ip,
}

const TYPES: [(&str, Type); 10] = [
    ("integer", Type::Integer),
    ("float", Type::Float),
    ("boolean", Type::Boolean),
    ("string", Type::Text),
    ("bytes", Type::Bytes),
    ("duration", Type::Duration),
    ("seconds", Type::Time(0)),
    ("milliseconds", Type::Time(3)),
    ("microseconds", Type::Time(6)),
    ("ip", Type::Ip),
];

/// See the module.
#[derive(Clone, Debug)]
struct Convert {
    fields: Vec<(Path, Type)>,
    /// What cannot be converted is removed.
    removes: bool,
    converted: Vec<(Id, Value)>,
}

fn convert(value: Value, to: Type, event: &mut Document) -> Option<Value> {
    let Value::Text(span) = value else {
        return match (value, to) {
            (Value::Int(_), Type::Integer | Type::Bytes | Type::Duration)
            | (Value::Int(_) | Value::Float(_) | Value::Number(_), Type::Float)
            | (Value::Bool(_), Type::Boolean) => Some(value),
            // Beyond 2^53 a float is no longer exact.
            (Value::Float(_) | Value::Number(_), Type::Integer) => {
                event.number(value).filter(|n| n.abs() < 9e15).map(|n| Value::Int(n as i64))
            }
            (Value::Int(n @ (0 | 1)), Type::Boolean) => Some(Value::Bool(n == 1)),
            (Value::Int(n), Type::Time(digits)) => 10i64.pow(9 - digits).checked_mul(n).map(Value::Int),
            (Value::Array(_) | Value::Object(_) | Value::Null, _) => None,
            (Value::Float(_) | Value::Number(_), Type::Time(digits)) => {
                let text = event.shown(value);
                epoch(event.str(text), digits).map(Value::Int)
            }
            (value, Type::Text) => Some(Value::Text(event.shown(value))),
            _ => None,
        };
    };
    let text = event.str(span).trim();
    match to {
        Type::Text => Some(value),
        Type::Integer => text.parse().ok().map(Value::Int),
        Type::Float => text.parse::<f64>().ok().filter(|n| n.is_finite()).map(Value::Float),
        Type::Boolean => match text {
            "true" | "yes" | "on" | "1" => Some(Value::Bool(true)),
            "false" | "no" | "off" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        Type::Bytes => i64::try_from(units::size(text).ok()?).ok().map(Value::Int),
        Type::Time(digits) => epoch(text, digits).map(Value::Int),
        Type::Ip => text.parse::<IpAddr>().ok().map(|_| value),
        Type::Duration => i64::try_from(units::duration(text).ok()?.as_nanos()).ok().map(Value::Int),
    }
}

impl Processor for Convert {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        self.converted.clear();
        let mut all = true;
        for (path, to) in &self.fields {
            let Some(id) = event.find(path) else { continue };
            match convert(event.value(id), *to, event) {
                Some(value) => self.converted.push((id, value)),
                None if self.removes => all = false,
                None => {
                    let name = TYPES.iter().find(|(_, t)| t == to).map_or("", |(name, _)| name);
                    return Err(Failure::new(format!("the field {path} cannot be converted to {name}")));
                }
            }
        }
        if !all {
            let converted = &self.converted;
            let stays = |event: &Document, path: &Path| event.find(path).is_none_or(|id| converted.iter().any(|(done, _)| *done == id));
            for (path, _) in &self.fields {
                if !stays(event, path) {
                    event.remove(path);
                }
            }
        }
        self.converted.iter().for_each(|(id, value)| event.set_value(*id, *value));
        Ok(Flow::On)
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let removes = map.get("otherwise").and_then(|f| f.one_of(&[("fail", false), ("remove", true)])).unwrap_or(false);
    let (mut fields, mut right) = (Vec::new(), true);
    for (key, field) in map.require("fields", "a map of fields and types")?.map()?.fields() {
        match (super::path_of(key, &field), field.one_of(&TYPES)) {
            (Some(path), Some(to)) => fields.push((path, to)),
            _ => right = false,
        }
    }
    right.then(|| Box::new(Convert { fields, removes, converted: Vec::new() }) as Box<dyn Processor>)
}

#[cfg(test)]
mod tests {
    use crate::process::steps::testing::{members, run, wrong};

    #[test]
    fn converts() {
        let line = r#"{"a":"42","b":"2.5","c":"yes","d":7,"e":"10KiB","f":"5s","g":2.0}"#;
        let chain = "[{json: {}}, {remove: {fields: [message, log]}}, {convert: {fields: {a: integer, b: float, c: boolean, d: string, e: bytes, f: duration, g: integer, none: float}}}]";
        assert_eq!(members(chain, line), r#""a":42,"b":2.5,"c":true,"d":"7","e":10240,"f":5000000000,"g":2"#);
        let shown = run("[{json: {}}, {convert: {fields: {a: integer, b: integer}}}]", line);
        assert!(shown.contains("the field b cannot be converted to integer") && shown.contains(r#""a":"42""#), "{shown}");
        let line = r#"{"a":"1.5","b":20,"c":0.25,"d":"2001:db8::1","e":"web-1","f":{"g":"-"}}"#;
        let chain = "[{json: {}}, {remove: {fields: [message, log]}}, {convert: {otherwise: remove, fields: {a: milliseconds, b: microseconds, c: seconds, d: ip, e: ip, f.g: integer}}}]";
        assert_eq!(members(chain, line), r#""a":1500000,"b":20000,"c":250000000,"d":"2001:db8::1""#);
        assert!(run("[{convert: {fields: {message: ip}}}]", "192.0.2.256").contains("cannot be converted to ip"));
        assert!(wrong("[{convert: {fields: {a: int}}}]").contains("`integer`"));
    }
}
