//! `lowercase` and `uppercase`: `{fields: […]}`. What is not there, or is no text, stays as it is.

use crate::config::decode::Map;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path, Value};

/// See the module.
#[derive(Clone, Debug)]
struct Case {
    fields: Vec<Path>,
    upper: bool,
}

impl Processor for Case {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        for path in &self.fields {
            let Some(id) = event.find(path) else { continue };
            if let Value::Text(span) = event.value(id) {
                let upper = self.upper;
                let new = event.rewrite(span, |old, new| {
                    for c in old.chars() {
                        if upper { new.extend(c.to_uppercase()) } else { new.extend(c.to_lowercase()) }
                    }
                });
                event.set_value(id, Value::Text(new));
            }
        }
        Ok(Flow::On)
    }
}

pub(super) fn lower(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    Some(Box::new(Case { fields: super::fields_of(map)?, upper: false }))
}

pub(super) fn upper(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    Some(Box::new(Case { fields: super::fields_of(map)?, upper: true }))
}

#[cfg(test)]
mod tests {
    use crate::process::steps::testing::members;

    #[test]
    fn changes_text_only() {
        assert_eq!(members("[{lowercase: {fields: [message, log.offset, x]}}]", "ÄBc"), r#""message":"äbc","log":{"offset":0}"#);
        assert_eq!(members("[{uppercase: {fields: message}}]", "äß"), r#""message":"ÄSS","log":{"offset":0}"#);
    }
}
