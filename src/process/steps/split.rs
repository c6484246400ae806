//! `split: {field: tags, separator: ","}`: one text becomes an array of texts.

use crate::config::decode::Map;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path, Value};

/// Most parts.
const MOST: usize = 1000;

/// See the module.
#[derive(Clone, Debug)]
struct Split {
    field: Path,
    target: Path,
    separator: String,
    trim: bool,
}

impl Processor for Split {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        let span = event.text(&self.field)?;
        if event.str(span).split(&self.separator).nth(MOST).is_some() {
            return Err(Failure::new(format!("the field {} has more than {MOST} parts", self.field)));
        }
        event.free(&self.target)?;
        let array = event.fresh_array();
        let mut at = 0;
        loop {
            let rest = &event.str(span)[at..];
            let (len, more) = rest.find(&self.separator).map_or((rest.len(), false), |len| (len, true));
            let part = &rest[..len];
            let (from, part) = if self.trim { (len - part.trim_start().len(), part.trim()) } else { (0, part) };
            let item = span.part(at + from, at + from + part.len());
            event.add_item(array, Value::Text(item));
            if !more {
                break;
            }
            at += len + self.separator.len();
        }
        let value = event.value(array);
        event.set(&self.target, value)?;
        Ok(Flow::On)
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let expected = "what stands between the parts, such as `','`";
    let field = map.require("field", "the field to split").and_then(|f| f.event_field());
    let target = map.get("target").map_or_else(|| field.clone(), |f| f.event_field());
    let trim = map.flag("trim");
    let separator = map.require("separator", expected)?;
    let value = separator.scalar(expected)?;
    if value.text.is_empty() {
        separator.wrong(format!("`{}` is empty", separator.path), expected);
        return None;
    }
    Some(Box::new(Split { field: field?, target: target?, separator: value.text, trim }))
}

#[cfg(test)]
mod tests {
    use crate::process::steps::testing::{members, run, wrong};

    #[test]
    fn parts_are_items() {
        assert_eq!(members("[{split: {field: message, separator: ','}}]", "a, é,,b"), r#""message":["a"," é","","b"],"log":{"offset":0}"#);
        assert!(
            members("[{split: {field: message, separator: ', ', target: x.y, trim: true}}]", "a,  b").ends_with(r#""x":{"y":["a","b"]}"#)
        );
        assert!(members("[{split: {field: message, separator: ' '}}]", "").starts_with(r#""message":[""]"#));
        assert!(run("[{split: {field: message, separator: ','}}]", &",".repeat(1000)).contains("more than 1000 parts"));
        assert!(run("[{split: {field: log, separator: ','}}]", "x").contains("the field log is no text"));
        assert!(wrong("[{split: {field: a, separator: ''}}]").contains("is empty"));
    }
}
