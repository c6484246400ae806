//! `convert: {fields: {name: type}}`: `integer`, `float`, `boolean`, `string`, `bytes` (`10KiB` to 10240) and `duration` (`5s` to
//! nanoseconds, as ECS has them). What is not there is no failure; what cannot be converted is.

use crate::config::decode::Map;
use crate::config::units;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Id, Path, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Integer,
    Float,
    Boolean,
    Text,
    Bytes,
    Duration,
}

const TYPES: [(&str, Type); 6] = [
    ("integer", Type::Integer),
    ("float", Type::Float),
    ("boolean", Type::Boolean),
    ("string", Type::Text),
    ("bytes", Type::Bytes),
    ("duration", Type::Duration),
];

/// See the module.
#[derive(Clone, Debug)]
struct Convert {
    fields: Vec<(Path, Type)>,
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
            (Value::Array(_) | Value::Object(_) | Value::Null, _) => None,
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
        Type::Duration => i64::try_from(units::duration(text).ok()?.as_nanos()).ok().map(Value::Int),
    }
}

impl Processor for Convert {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        self.converted.clear();
        for (path, to) in &self.fields {
            let Some(id) = event.find(path) else { continue };
            match convert(event.value(id), *to, event) {
                Some(value) => self.converted.push((id, value)),
                None => {
                    let name = TYPES.iter().find(|(_, t)| t == to).map_or("", |(name, _)| name);
                    return Err(Failure::new(format!("the field {path} cannot be converted to {name}")));
                }
            }
        }
        self.converted.iter().for_each(|(id, value)| event.set_value(*id, *value));
        Ok(Flow::On)
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let (mut fields, mut right) = (Vec::new(), true);
    for (key, field) in map.require("fields", "a map of fields and types")?.map()?.fields() {
        match (super::path_of(key, &field), field.one_of(&TYPES)) {
            (Some(path), Some(to)) => fields.push((path, to)),
            _ => right = false,
        }
    }
    right.then(|| Box::new(Convert { fields, converted: Vec::new() }) as Box<dyn Processor>)
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
        assert!(wrong("[{convert: {fields: {a: int}}}]").contains("`integer`"));
    }
}
