//! The processors, one a file: its options, what it does, and how its configuration is read.

mod case;
mod cloud;
mod convert;
mod csv;
mod dedupe;
mod dissect;
mod drop;
mod fingerprint;
#[cfg(any(fuzzing, test, debug_assertions))]
pub mod fuzzing;
mod geoip;
mod grok;
mod host;
mod json;
mod keep;
mod keyed;
mod kv;
mod parse;
mod recent;
mod redact;
mod regex;
mod remove;
mod rename;
mod sample;
mod set;
mod split;
mod throttle;
mod timestamp;
mod truncate;
mod user_agent;
mod vrl;

use super::chain::Processor;
use super::event::Path;
use crate::config::decode::{Field, Map};
use crate::config::diagnostic::Problem;
use crate::config::yaml::{Key, Kind};
use jiff::tz::TimeZone;

#[cfg(feature = "vrl")]
pub(crate) use vrl::guard::is_guarded as guarded;

/// Reads the options of a processor; `None` with a mistake noted.
type Decode = fn(&mut Map<'_>) -> Option<Box<dyn Processor>>;

/// All processors under their names.
pub(crate) const ALL: &[(&str, Decode)] = &[
    ("cloud", cloud::decode),
    ("convert", convert::decode),
    ("csv", csv::decode),
    ("dedupe", dedupe::decode),
    ("dissect", dissect::decode),
    ("drop", drop::decode),
    ("fingerprint", fingerprint::decode),
    ("geoip", geoip::decode),
    ("grok", grok::decode),
    ("host", host::decode),
    ("json", json::decode),
    ("keep", keep::decode),
    ("kv", kv::decode),
    ("lowercase", case::lower),
    ("parse", parse::decode),
    ("redact", redact::decode),
    ("regex", regex::decode),
    ("remove", remove::decode),
    ("rename", rename::decode),
    ("sample", sample::decode),
    ("set", set::decode),
    ("split", split::decode),
    ("throttle", throttle::decode),
    ("timestamp", timestamp::decode),
    ("truncate", truncate::decode),
    ("uppercase", case::upper),
    ("user_agent", user_agent::decode),
    ("vrl", vrl::decode),
];

/// Whether there is a processor of this name.
pub(crate) fn is_processor(name: &str) -> bool {
    ALL.iter().any(|(own, _)| *own == name)
}

/// `fields`, which must name one at least.
fn fields_of(map: &mut Map<'_>) -> Option<Vec<Path>> {
    let field = map.require("fields", "the name of a field, or a list of them")?;
    if matches!(&field.node.kind, Kind::Seq(items) if items.is_empty()) {
        field.wrong(format!("`{}` names no field", field.path), "the name of a field, or a list of them");
        return None;
    }
    let fields = field.event_fields();
    (!fields.is_empty()).then_some(fields)
}

/// A time zone.
fn zone_of(field: &Field<'_>) -> Option<TimeZone> {
    let value = field.value("the name of a time zone, such as `Europe/Berlin`")?;
    let zone = TimeZone::get(&value.text).ok();
    if zone.is_none() {
        field.report(field.is(&value).expected("the name of a time zone, such as `Europe/Berlin` or `UTC`"));
    }
    zone
}

/// The name of a field of events that is a key.
fn path_of(key: &Key, value: &Field<'_>) -> Option<Path> {
    match Path::parse(&key.text) {
        Ok(path) => Some(path),
        Err(why) => {
            let message = format!("`{}` is no name of a field", key.text.escape_debug());
            value.report(Problem::new(key.pos, &value.path, message).expected("a name such as `http.response.status_code`").help(why));
            None
        }
    }
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod python;
#[cfg(test)]
pub(crate) mod testing;
