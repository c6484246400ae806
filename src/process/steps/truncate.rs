//! `truncate: {fields: […], max_bytes: 8KiB}`: shortens long texts, between two characters, and marks them.
//!
//! The mark is part of the `max_bytes`. What is not there, is no text, or is short enough stays as it is.

use crate::config::decode::Map;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path, Value};

/// See the module.
#[derive(Clone, Debug)]
struct Truncate {
    fields: Vec<Path>,
    max_bytes: usize,
    mark: String,
}

/// The longest beginning of at most `most` bytes that ends between two characters.
fn beginning(text: &str, most: usize) -> usize {
    (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

impl Processor for Truncate {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        for path in &self.fields {
            let Some(id) = event.find(path) else { continue };
            let Value::Text(span) = event.value(id) else { continue };
            if event.str(span).len() <= self.max_bytes {
                continue;
            }
            let kept = span.part(0, beginning(event.str(span), self.max_bytes - self.mark.len()));
            let new = if self.mark.is_empty() {
                kept
            } else {
                event.rewrite(kept, |old, new| {
                    new.push_str(old);
                    new.push_str(&self.mark);
                })
            };
            event.set_value(id, Value::Text(new));
        }
        Ok(Flow::On)
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let mark = map.get("mark").map_or(Some("…".to_string()), |f| f.scalar("a text, such as `…`").map(|value| value.text));
    let max_bytes = map.require("max_bytes", "a size such as `8KiB`").and_then(|f| f.size(16..=1 << 30));
    let fields = super::fields_of(map);
    let mark = mark?;
    if mark.len() >= 16 {
        map.report(map.problem(format!("`{}.mark` has {} bytes", map.path, mark.len())).expected("at most 15"));
        return None;
    }
    Some(Box::new(Truncate { fields: fields?, max_bytes: max_bytes? as usize, mark }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::steps::testing::{members, wrong};
    use proptest::prelude::*;

    #[test]
    fn shortens_and_marks() {
        let chain = |more: &str| format!("[{{truncate: {{fields: [message, log.offset, none], max_bytes: 16{more}}}}}]");
        let text = |more, line: &str| members(&chain(more), line).split('"').nth(3).unwrap().to_string();
        assert_eq!(text("", "0123456789abcdef"), "0123456789abcdef");
        assert_eq!(text("", "0123456789abcdefg"), "0123456789abc…");
        assert_eq!(text("", "0123456789abéééé"), "0123456789ab…", "between two characters");
        assert_eq!(text(", mark: ''", "0123456789abcdeé"), "0123456789abcde");
        assert!(wrong(&chain(", mark: '[all this was cut]'")).contains("at most 15"));
        assert!(wrong("[{truncate: {fields: a}}]").contains("has no `max_bytes`"));
    }

    proptest! {
        #[test]
        fn ends_between_characters(text in "[aé😀]{0,20}", most in 0usize..40) {
            let at = beginning(&text, most);
            prop_assert!(at <= most && text.is_char_boundary(at) && (at == text.len() || at + 4 > most));
        }
    }
}
