//! `kv`: pairs such as logfmt has: `level=info msg="it is \"so\"" took=3ms`.
//!
//! Values are text. A word without the separator is passed over; an event without any pair has failed. Conflicts are ruled as `json`
//! rules them.

use crate::config::decode::Map;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path, ROOT, Value};

/// See the module.
#[derive(Clone, Debug)]
struct Pairs {
    field: Path,
    target: Option<Path>,
    between: char,
    separator: char,
    overwrite: bool,
    found: Vec<Pair>,
}

/// Where name and value stand; whether the value has escapes.
type Pair = ((usize, usize), (usize, usize), bool);

/// The pairs of `text`, into `found`.
fn pairs(text: &str, between: char, separator: char, found: &mut Vec<Pair>) {
    found.clear();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let Some(c) = rest.chars().next() else { return };
        if c == between || (between == ' ' && c.is_whitespace()) {
            at += c.len_utf8();
            continue;
        }
        let ends = |c: char| c == between || (between == ' ' && c.is_whitespace());
        let len = rest.find(|c: char| c == separator || ends(c)).unwrap_or(rest.len());
        let name = (at, at + rest[..len].trim_end().len());
        at += len;
        if !text[at..].starts_with(separator) {
            continue;
        }
        at += separator.len_utf8();
        let value = &text[at..];
        let (from, to, escaped) = match value.strip_prefix('"') {
            Some(quoted) => {
                let (mut end, mut escaped) = (quoted.len(), false);
                let mut bytes = quoted.bytes().enumerate();
                while let Some((n, b)) = bytes.next() {
                    match b {
                        b'"' => {
                            end = n;
                            break;
                        }
                        b'\\' => {
                            escaped = true;
                            bytes.next();
                        }
                        _ => {}
                    }
                }
                at = (at + end + 2).min(text.len());
                let from = text.len() - value.len() + 1;
                (from, from + end, escaped)
            }
            None => {
                let from = at;
                at += value.find(ends).unwrap_or(value.len());
                (from, at, false)
            }
        };
        if name.0 < name.1 {
            found.push((name, (from, to), escaped));
        }
    }
}

impl Processor for Pairs {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        let span = event.text(&self.field)?;
        pairs(event.str(span), self.between, self.separator, &mut self.found);
        if self.found.is_empty() {
            return Err(Failure::new("no pair is in it"));
        }
        let object = event.fresh_object();
        for (name, value, escaped) in &self.found {
            let mut value = span.part(value.0, value.1);
            if *escaped {
                value = event.rewrite(value, |old, new| {
                    let mut chars = old.chars();
                    while let Some(c) = chars.next() {
                        match if c == '\\' { chars.next() } else { Some(c) } {
                            Some('n') if c == '\\' => new.push('\n'),
                            Some('t') if c == '\\' => new.push('\t'),
                            other => new.extend(other),
                        }
                    }
                });
            }
            event.add(object, span.part(name.0, name.1), Value::Text(value))?;
        }
        let into = match &self.target {
            Some(target) => event.object(target)?,
            None => ROOT,
        };
        event.fits(into, object)?;
        event.merge(into, object, self.overwrite);
        Ok(Flow::On)
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let field = map.field_or("field", "message");
    let target = map.get("target").map(|f| f.event_field());
    let mut sign = |name, default| {
        let Some(field) = map.get(name) else { return Some(default) };
        let value = field.scalar("one character")?;
        let mut chars = value.text.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) if c != '"' => Some(c),
            _ => {
                field.wrong(format!("`{}` is not one character", field.path), "one character such as `=`, but not `\"`");
                None
            }
        }
    };
    let (between, separator) = (sign("between", ' '), sign("separator", '='));
    let overwrite = map.flag("overwrite");
    let target = match target {
        Some(None) => return None,
        Some(target) => target,
        None => None,
    };
    Some(Box::new(Pairs { field: field?, target, between: between?, separator: separator?, overwrite, found: Vec::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::steps::testing::{members, run};
    use proptest::prelude::*;

    #[test]
    fn reads_logfmt() {
        assert_eq!(
            members("[{kv: {target: x}}, {remove: {fields: [message, log]}}]", r#"level=info word msg="it is \"so\"\n" a.b=1 e= q="open"#),
            r#""x":{"level":"info","msg":"it is \"so\"\n","a":{"b":"1"},"e":"","q":"open"}"#
        );
        assert!(members("[{kv: {between: '&', separator: ':'}}]", "a b:c d&e:f").ends_with(r#""a b":"c d","e":"f""#));
        assert!(run("[{kv: {}}]", "no pairs").contains("kv (1): no pair is in it"));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in r#"[a="\\ é\t]{0,20}"#) {
            let mut found = Vec::new();
            pairs(&text, ' ', '=', &mut found);
            for (name, value, _) in found {
                prop_assert!(text.get(name.0..name.1).is_some() && text.get(value.0..value.1).is_some());
            }
        }
    }
}
