//! `dissect: {pattern: "%{client.ip} - [%{time}] %{}"}`: cuts a text at fixed delimiters.
//!
//! `%{}` and `%{?name}` take a part and leave it out; `%{name->}` takes all repetitions of the delimiter behind it. The text must
//! begin with what stands before the first part, and each delimiter ends its part where it stands first.

use crate::config::decode::Map;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path, Span, Value};

/// A parsed pattern.
#[derive(Clone, Debug)]
struct Pattern {
    prefix: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    name: Option<Path>,
    /// What ends it; nothing at the end.
    delimiter: String,
    repeated: bool,
}

impl Pattern {
    fn parse(text: &str) -> Result<Pattern, String> {
        let (prefix, mut rest) = text.split_once("%{").ok_or("it has no `%{name}`")?;
        let mut parts = Vec::new();
        loop {
            let (key, after) = rest.split_once('}').ok_or("a `%{` is not closed")?;
            let (delimiter, next) = after.split_once("%{").map_or((after, None), |(d, next)| (d, Some(next)));
            let (key, repeated) = key.strip_suffix("->").map_or((key, false), |key| (key, true));
            if next.is_some() && delimiter.is_empty() {
                return Err(format!("nothing stands between `%{{{key}}}` and the next part"));
            }
            let name = match key {
                _ if key.is_empty() || key.starts_with('?') => None,
                key => Some(Path::parse(key).map_err(|why| format!("`%{{{key}}}`: {why}"))?),
            };
            parts.push(Part { name, delimiter: delimiter.into(), repeated });
            match next {
                Some(next) => rest = next,
                None => return Ok(Pattern { prefix: prefix.into(), parts }),
            }
        }
    }

    /// The parts of `text`, into `found`.
    fn cut(&self, text: &str, found: &mut Vec<(usize, usize)>) -> bool {
        found.clear();
        if !text.starts_with(&self.prefix) {
            return false;
        }
        let mut at = self.prefix.len();
        for part in &self.parts {
            let rest = &text[at..];
            let end = if part.delimiter.is_empty() { Some(rest.len()) } else { rest.find(&part.delimiter) };
            let Some(end) = end else { return false };
            found.push((at, at + end));
            at += end + part.delimiter.len();
            while part.repeated && !part.delimiter.is_empty() && text[at..].starts_with(&part.delimiter) {
                at += part.delimiter.len();
            }
        }
        true
    }
}

/// See the module.
#[derive(Clone, Debug)]
struct Dissect {
    field: Path,
    pattern: Pattern,
    found: Vec<(usize, usize)>,
}

impl Processor for Dissect {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        let span: Span = event.text(&self.field)?;
        if !self.pattern.cut(event.str(span), &mut self.found) {
            return Err(Failure::new("the pattern does not fit"));
        }
        let named = || self.pattern.parts.iter().zip(&self.found).filter_map(|(part, found)| Some((part.name.as_ref()?, *found)));
        named().try_for_each(|(path, _)| event.free(path))?;
        for (path, (from, to)) in named() {
            event.set(path, Value::Text(span.part(from, to)))?;
        }
        Ok(Flow::On)
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let field = map.field_or("field", "message");
    let pattern = map.require("pattern", "a pattern such as `%{client.ip} - [%{time}] %{}`")?;
    let value = pattern.value("a pattern such as `%{client.ip} - [%{time}] %{}`")?;
    match Pattern::parse(&value.text) {
        Ok(pattern) => Some(Box::new(Dissect { field: field?, pattern, found: Vec::new() })),
        Err(why) => {
            pattern.report(pattern.is(&value).expected("a pattern such as `%{client.ip} - [%{time}] %{}`").help(why));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::steps::testing::{members, run, wrong};
    use proptest::prelude::*;

    #[test]
    fn cuts_at_delimiters() {
        let chain = r#"[{dissect: {pattern: "<%{a.b}> %{?skip} [%{c->} %{}|%{d}"}}]"#;
        assert_eq!(
            members(chain, "<1> s [x    y|z|w"),
            r#""message":"<1> s [x    y|z|w","log":{"offset":0},"a":{"b":"1"},"c":"x","d":"z|w""#
        );
        assert!(run(chain, "1> s").contains("dissect (1): the pattern does not fit"));
        assert!(wrong(r#"[{dissect: {pattern: "%{a}%{b}"}}]"#).contains("nothing stands between"));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_parts_are_in_order(pattern in r"(%\{|\}|a|é|->|\?| |\.){0,10}", text in "[aé .]{0,12}") {
            let mut found = Vec::new();
            if let Ok(pattern) = Pattern::parse(&pattern) && pattern.cut(&text, &mut found) {
                prop_assert!(found.iter().all(|(from, to)| text.get(*from..*to).is_some()));
                prop_assert!(found.windows(2).all(|w| w[0].1 <= w[1].0));
            }
        }
    }
}
