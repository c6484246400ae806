//! From the event to the values of a program, and back. What the program leaves as it is stays what it was, to the digit of a number.

use crate::process::event::{Document, Failure, Id, MOST_MEMBERS, MOST_NESTED, ROOT, Value};
use std::time::{Duration, SystemTime};
use vrl::value::{ObjectMap, Value as Vrl};

const TIMESTAMP: &str = "@timestamp";

/// The event as a program sees it.
pub(super) fn of(event: &Document) -> Vrl {
    let mut all = object(event, ROOT);
    if let Some(id) = event.member(ROOT, TIMESTAMP)
        && let Value::Text(span) = event.value(id)
        && let Some(ns) = nanoseconds(event.str(span))
    {
        all.insert(TIMESTAMP.into(), time(ns));
    }
    Vrl::Object(all)
}

/// A time of RFC 3339.
fn nanoseconds(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok()?.as_nanosecond().try_into().ok()
}

fn time(ns: i64) -> Vrl {
    let apart = Duration::from_nanos(ns.unsigned_abs());
    Vrl::Timestamp(if ns < 0 { SystemTime::UNIX_EPOCH - apart } else { SystemTime::UNIX_EPOCH + apart }.into())
}

fn object(event: &Document, id: Id) -> ObjectMap {
    event.children(id).map(|id| (event.name(id).into(), one(event, id))).collect()
}

fn one(event: &Document, id: Id) -> Vrl {
    let float = |n: f64| if n.is_nan() { Vrl::Null } else { Vrl::from_f64_or_zero(n) };
    match event.value(id) {
        Value::Null => Vrl::Null,
        Value::Bool(value) => Vrl::Boolean(value),
        Value::Int(value) => Vrl::Integer(value),
        Value::Float(value) => float(value),
        // A number too large for both stays what it is as long as the program does not touch it.
        Value::Number(span) => event.str(span).parse().map_or(Vrl::Null, float),
        Value::Text(span) => Vrl::from(event.str(span)),
        Value::Time(ns) => time(ns),
        Value::Array(_) => Vrl::Array(event.children(id).map(|id| one(event, id)).collect()),
        Value::Object(_) => Vrl::Object(object(event, id)),
    }
}

/// Makes the event what a program has left; one that cannot be an event is a failure, and changes nothing.
pub(super) fn put(event: &mut Document, value: Vrl) -> Result<(), Failure> {
    let Vrl::Object(new) = value else {
        return Err(Failure::new(format!("`.` is no object in the end but {}: one event becomes one document", kind(&value))));
    };
    within(&new, 0)?;
    put_members(event, ROOT, new, true);
    Ok(())
}

fn kind(value: &Vrl) -> &'static str {
    match value {
        Vrl::Array(_) => "an array",
        Vrl::Null => "null",
        _ => "a plain value",
    }
}

/// Whether an object is one that an event may have.
fn within(object: &ObjectMap, depth: u32) -> Result<(), Failure> {
    if object.len() > MOST_MEMBERS {
        return Err(Failure::new(format!("an object has more than {MOST_MEMBERS} members")));
    }
    object.values().try_for_each(|value| value_within(value, depth + 1))
}

fn value_within(value: &Vrl, depth: u32) -> Result<(), Failure> {
    match value {
        Vrl::Array(_) | Vrl::Object(_) if depth > MOST_NESTED => Err(Failure::new(format!("nested deeper than {MOST_NESTED} levels"))),
        Vrl::Array(items) => items.iter().try_for_each(|item| value_within(item, depth + 1)),
        Vrl::Object(members) => within(members, depth),
        _ => Ok(()),
    }
}

fn put_members(event: &mut Document, object: Id, new: ObjectMap, root: bool) {
    let gone: Vec<Id> = event.children(object).filter(|id| !new.contains_key(event.name(*id))).collect();
    gone.into_iter().for_each(|id| event.unlink(object, id));
    for (name, value) in new {
        let dated = root && name.as_str() == TIMESTAMP;
        match (event.member(object, &name), value) {
            (Some(id), value) if same(event, id, &value, dated) => {}
            (Some(id), Vrl::Object(new)) if matches!(event.value(id), Value::Object(_)) => put_members(event, id, new, false),
            (Some(id), value) => {
                let value = fresh(event, value, dated);
                event.set_value(id, value);
            }
            (None, value) => {
                let name = event.push(&name);
                let value = fresh(event, value, dated);
                event.add_named(object, name, value);
            }
        }
    }
}

/// Whether the program has left a field as it was.
fn same(event: &Document, id: Id, new: &Vrl, dated: bool) -> bool {
    match (event.value(id), new) {
        (Value::Text(span), Vrl::Bytes(text)) => event.str(span).as_bytes() == text,
        (Value::Text(span), Vrl::Timestamp(_)) if dated => nanoseconds(event.str(span)).map(time).as_ref() == Some(new),
        (Value::Array(_), Vrl::Array(items)) => {
            let mut ids = event.children(id);
            items.iter().all(|item| ids.next().is_some_and(|id| same(event, id, item, false))) && ids.next().is_none()
        }
        (Value::Object(_), Vrl::Object(members)) => {
            let mut ids = event.children(id);
            ids.by_ref().all(|id| members.get(event.name(id)).is_some_and(|value| same(event, id, value, false)))
                && event.children(id).count() == members.len()
        }
        (Value::Array(_) | Value::Object(_) | Value::Text(_), _) => false,
        _ => one(event, id) == *new,
    }
}

/// A value of the program as one of the event.
fn fresh(event: &mut Document, value: Vrl, dated: bool) -> Value {
    match value {
        Vrl::Null => Value::Null,
        Vrl::Boolean(value) => Value::Bool(value),
        Vrl::Integer(value) => Value::Int(value),
        Vrl::Float(value) => Value::Float(value.into_inner()),
        Vrl::Regex(regex) => Value::Text(event.push(regex.as_str())),
        Vrl::Bytes(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            match nanoseconds(&text).filter(|_| dated) {
                Some(ns) => Value::Time(ns),
                None => Value::Text(event.push(&text)),
            }
        }
        Vrl::Timestamp(time) => match time.timestamp_nanos_opt() {
            Some(ns) => Value::Time(ns),
            None => Value::Text(event.push(&time.to_rfc3339())),
        },
        Vrl::Array(items) => {
            let array = event.fresh_array();
            for item in items {
                let value = fresh(event, item, false);
                event.add_item(array, value);
            }
            event.value(array)
        }
        Vrl::Object(members) => {
            let object = event.fresh_object();
            for (name, value) in members {
                let name = event.push(&name);
                let value = fresh(event, value, false);
                event.add_named(object, name, value);
            }
            event.value(object)
        }
    }
}
