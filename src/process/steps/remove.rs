//! `remove: {fields: […]}`: takes fields away, and objects that they leave empty. What is not there is no failure.

use crate::config::decode::Map;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path};

/// See the module.
#[derive(Clone, Debug)]
struct Remove(Vec<Path>);

impl Processor for Remove {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        for path in &self.0 {
            event.remove(path);
        }
        Ok(Flow::On)
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    Some(Box::new(Remove(super::fields_of(map)?)))
}

#[cfg(test)]
mod tests {
    use crate::process::steps::testing::{members, wrong};

    #[test]
    fn removes_what_is_there() {
        assert_eq!(members("[{remove: {fields: [log.offset, none.x]}}]", "x"), r#""message":"x""#);
        assert_eq!(members("[{remove: {fields: message}}]", "x"), r#""log":{"offset":0}"#);
        assert!(wrong("[{remove: {}}]").contains("has no `fields`"));
        assert!(wrong("[{remove: {fields: []}}]").contains("names no field"));
    }
}
