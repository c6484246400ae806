//! `set`: constants and copies of fields. What is there is replaced, unless `overwrite: false`.

use crate::config::decode::Map;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Constant, Document, Failure, Path};

/// See the module.
#[derive(Clone, Debug)]
struct Set {
    fields: Vec<(Path, Constant)>,
    copies: Vec<(Path, Path)>,
    overwrite: bool,
}

impl Processor for Set {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        let names = self.fields.iter().map(|(path, _)| path).chain(self.copies.iter().map(|(path, _)| path));
        names.into_iter().try_for_each(|path| event.free(path))?;
        for (path, constant) in &self.fields {
            if self.overwrite || event.find(path).is_none() {
                let value = event.constant(constant);
                event.set(path, value)?;
            }
        }
        for (path, from) in &self.copies {
            // A field that is not there gives nothing to copy.
            if let Some(value) = event.get(from).filter(|_| self.overwrite || event.find(path).is_none()) {
                let value = event.copy(value);
                event.set(path, value)?;
            }
        }
        Ok(Flow::On)
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let (mut fields, mut copies, mut right) = (Vec::new(), Vec::new(), true);
    let (constants, copied) = (map.get("fields"), map.get("copy"));
    if constants.is_none() && copied.is_none() {
        map.require("fields", "a map of fields and their values, or `copy`, a map of fields and those that they copy");
        right = false;
    }
    for (key, field) in constants.and_then(|f| f.map()).iter().flat_map(Map::fields) {
        match (super::path_of(key, &field), field.constant()) {
            (Some(path), Some(value)) => fields.push((path, value)),
            _ => right = false,
        }
    }
    for (key, field) in copied.and_then(|f| f.map()).iter().flat_map(Map::fields) {
        match (super::path_of(key, &field), field.event_field()) {
            (Some(path), Some(from)) => copies.push((path, from)),
            _ => right = false,
        }
    }
    let overwrite = map.get("overwrite").and_then(|f| f.boolean()).unwrap_or(true);
    right.then(|| Box::new(Set { fields, copies, overwrite }) as Box<dyn Processor>)
}

#[cfg(test)]
mod tests {
    use crate::process::steps::testing::{members, run, wrong};

    #[test]
    fn sets_and_copies() {
        assert_eq!(
            members("[{set: {fields: {a.b: 1, a.c: '1', d: [true, 2.5, null], e: text}, copy: {f: a, g: none}}}]", "x"),
            r#""message":"x","log":{"offset":0},"a":{"b":1,"c":"1"},"d":[true,2.5,null],"e":"text","f":{"b":1,"c":"1"}"#
        );
        assert_eq!(members("[{set: {fields: {message: y}, overwrite: false}}]", "x"), r#""message":"x","log":{"offset":0}"#);
    }

    #[test]
    fn a_plain_value_on_the_way_fails_and_changes_nothing() {
        let shown = run("[{set: {fields: {a: 1, message.b: 1}}}]", "x");
        assert!(shown.contains("set (1): the field message stands in the way") && !shown.contains(r#""a":1"#), "{shown}");
        assert!(wrong("[{set: {}}]").contains("has no `fields`"));
        assert!(wrong("[{set: {fields: {a: {b: 1}}}}]").contains("is a map"));
    }
}
