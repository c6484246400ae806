//! `rename: {fields: {old: new}}`: moves fields. What has the new name already stays, and the old with it, unless
//! `overwrite: true`; a field that is not there is no failure.

use crate::config::decode::Map;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path};

/// See the module.
#[derive(Clone, Debug)]
struct Rename {
    fields: Vec<(Path, Path)>,
    overwrite: bool,
}

impl Processor for Rename {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        for (from, to) in self.fields.iter().filter(|(from, _)| event.find(from).is_some()) {
            event.free(to)?;
            if !self.overwrite && event.find(to).is_some() {
                return Err(Failure::new(format!("there is a field {to} already, so {from} keeps its name")));
            }
        }
        for (from, to) in &self.fields {
            if let Some(value) = event.remove(from) {
                event.set(to, value)?;
            }
        }
        Ok(Flow::On)
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let field = map.require("fields", "a map of old names and new ones");
    let overwrite = map.flag("overwrite");
    let (mut fields, mut right) = (Vec::new(), true);
    for (key, field) in field?.map()?.fields() {
        match (super::path_of(key, &field), field.event_field()) {
            (Some(from), Some(to)) if to.is_within(&from) || from.is_within(&to) => {
                field.wrong(format!("`{to}` and `{from}` stand within each other"), "a name elsewhere");
                right = false;
            }
            (Some(from), Some(to)) => fields.push((from, to)),
            _ => right = false,
        }
    }
    right.then(|| Box::new(Rename { fields, overwrite }) as Box<dyn Processor>)
}

#[cfg(test)]
mod tests {
    use crate::process::steps::testing::{members, run, wrong};

    #[test]
    fn moves_fields_and_objects() {
        let line = r#"{"a":{"b":1},"d":3}"#;
        let renamed = members("[{json: {remove_source: true}}, {rename: {fields: {a: x.y, d: z, none: n}}}]", line);
        assert_eq!(renamed, r#""log":{"offset":0},"x":{"y":{"b":1}},"z":3"#);
        let shown = run("[{json: {}}, {rename: {fields: {a: d}}}]", line);
        assert!(shown.contains("there is a field d already, so a keeps its name") && shown.contains(r#""a":{"b":1},"d":3"#), "{shown}");
        assert!(wrong("[{rename: {fields: {a: a.b}}}]").contains("stand within each other"));
    }
}
