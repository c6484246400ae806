//! `keep: {fields: […]}`: takes all other fields away, but for `@timestamp` and where an event comes from (`log.offset`,
//! `log.file.path`, `event.sequence`).

use crate::config::decode::Map;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path};

/// Without these an event could not be sorted or found again.
const ALWAYS: [&str; 4] = ["@timestamp", "log.offset", "log.file.path", "event.sequence"];

/// See the module.
#[derive(Clone, Debug)]
struct Keep(Vec<Path>);

impl Processor for Keep {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        event.keep(&self.0);
        Ok(Flow::On)
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let mut fields = super::fields_of(map)?;
    fields.extend(ALWAYS.iter().filter_map(|name| Path::parse(name).ok()));
    Some(Box::new(Keep(fields)))
}

#[cfg(test)]
mod tests {
    use crate::process::steps::testing::members;

    #[test]
    fn keeps_what_is_named_and_where_it_comes_from() {
        let line = r#"{"a":{"b":1,"c":2},"d":3,"e":{"f":4}}"#;
        assert_eq!(members("[{json: {}}, {keep: {fields: [a.c, e, none]}}]", line), r#""log":{"offset":0},"a":{"c":2},"e":{"f":4}"#);
    }
}
