//! `json`: parses a text field as a JSON object into the document, or under a field.
//!
//! Names with dots become nested objects. Where a field is there already it stays, unless `overwrite: true`; an object never
//! gives way to a plain value, nor a plain value to an object.

use crate::config::decode::Map;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path, ROOT};

/// See the module.
#[derive(Clone, Debug)]
struct Json {
    field: Path,
    target: Option<Path>,
    overwrite: bool,
    remove_source: bool,
}

impl Processor for Json {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        let text = event.text(&self.field)?;
        let parsed = event.parse(text)?;
        let into = match &self.target {
            Some(target) => event.object(target)?,
            None => ROOT,
        };
        event.fits(into, parsed)?;
        if self.remove_source {
            event.remove(&self.field);
        }
        event.merge(into, parsed, self.overwrite);
        Ok(Flow::On)
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let field = map.field_or("field", "message");
    let target = map.get("target").map(|f| f.event_field());
    let (overwrite, remove_source) = (map.flag("overwrite"), map.flag("remove_source"));
    let target = match target {
        Some(None) => return None,
        Some(target) => target,
        None => None,
    };
    Some(Box::new(Json { field: field?, target, overwrite, remove_source }))
}

#[cfg(test)]
mod tests {
    use crate::process::steps::testing::{members, run, wrong};

    const LINE: &str = r#"{"message":"m","level":"warn","log.logger":"x","a":{"b":[1,2.50,"\u00e9"]}}"#;

    #[test]
    fn merges_or_nests() {
        assert_eq!(
            members("[{json: {remove_source: true}}]", LINE),
            r#""log":{"offset":0,"logger":"x"},"message":"m","level":"warn","a":{"b":[1,2.50,"é"]}"#
        );
        assert!(members("[{json: {}}]", LINE).starts_with(r#""message":"{\"message\":\"m\""#), "ours win");
        assert!(members("[{json: {overwrite: true}}]", LINE).starts_with(r#""message":"m","log""#));
        assert_eq!(
            members("[{json: {target: a.b}}, {set: {fields: {message: x}}}]", r#"{"c":1}"#),
            r#""message":"x","log":{"offset":0},"a":{"b":{"c":1}}"#
        );
    }

    #[test]
    fn what_is_no_object_changes_nothing() {
        for line in ["", "text", "[1]", r#"{"a":1"#, r#"{"a":1}}"#, r#"{"a":01}"#] {
            let shown = run("[{json: {remove_source: true, on_error: dead_letter}}]", line);
            assert!(shown.starts_with("dead letter: json (1): no JSON object"), "{shown}");
            let shown = run("[{json: {remove_source: true}}]", line);
            assert!(shown.contains(r#""tags":["_forebay_failure"],"error":{"message":"json (1): no JSON object"#), "{shown}");
            assert!(shown.contains(r#""message":""#), "{shown}");
            assert_eq!(run("[{json: {on_error: drop}}]", line), "filtered by json (1)");
        }
        assert!(wrong("[{json: {target: 'a b'}}]").contains("backquotes"));
        assert!(wrong("[{json: {feild: a}}]").contains("did you mean `field`?"));
    }
}
