//! `vrl: {source: …}`: a program of the Vector Remap Language, for who brings such programs along.
//!
//! It needs the feature `vrl` of the build. The event is `.`; where the program ends without an error, what `.` is then is the event.
//! `abort` filters it. Whatever the program did before an error is undone. Functions that would make another event of the same line
//! the next time, or whose work has no bound, are refused when the configuration is read.

#[cfg(feature = "vrl")]
mod functions;
#[cfg(feature = "vrl")]
pub(crate) mod guard;
#[cfg(feature = "vrl")]
mod program;
#[cfg(all(test, feature = "vrl"))]
mod tests;
#[cfg(feature = "vrl")]
mod value;

use crate::config::decode::Map;
use crate::process::chain::Processor;

/// A program is at most this long, bytes.
#[cfg(feature = "vrl")]
const LONGEST: usize = 64 << 10;

#[cfg(feature = "vrl")]
pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let field = map.require("source", "a program of the Vector Remap Language");
    let zone = match map.get("zone") {
        Some(field) => Some(super::zone_of(&field)?),
        None => Some(map.zone()),
    };
    let field = field?;
    let value = field.value("a program of the Vector Remap Language")?;
    if value.text.len() > LONGEST {
        field.wrong(format!("`{}` has {} bytes", field.path, value.text.len()), format!("at most {LONGEST}"));
        return None;
    }
    let program = program::compile(&field, &value, &zone?)?;
    Some(Box::new(program))
}

#[cfg(not(feature = "vrl"))]
pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    for name in ["source", "zone"] {
        // Known, so that what is said is the one thing that is wrong.
        let _ = map.get(name);
    }
    let message = format!("`{}`: this forebay was built without the Vector Remap Language", map.path);
    map.report(
        map.problem(message).help(
            "`cargo build --release --features vrl` builds one that has it; docs/processing.md says what other processors do the same",
        ),
    );
    None
}
