//! `grok: {patterns: […]}`: named patterns such as `%{IPORHOST:source.address}`, put together to one regular expression.
//!
//! | file | idea |
//! |---|---|
//! | `expand` | from `%{NAME:field:type}` to an expression that takes linear time |
//! | `standard` | finding a pattern that everybody knows |
//! | `base`, `time`, `servers`, `network` | the tables of them |
//!
//! The first pattern that matches gives the fields. Where two parts of it have the same name, the first that took part counts.

mod base;
mod expand;
mod network;
mod servers;
mod standard;
#[cfg(test)]
mod tests;
mod time;

use crate::config::decode::{Field, Map};
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path, Span, Value};
use crate::process::pattern::{self, Match};
use expand::{Capture, Expander, Own, Type};

/// See the module.
#[derive(Clone, Debug)]
struct Grok {
    field: Path,
    patterns: Vec<Pattern>,
    found: Vec<(usize, Value)>,
}

#[derive(Clone, Debug)]
struct Pattern {
    pattern: pattern::Pattern,
    captures: Vec<Capture>,
    /// Fields of what is left of the line behind the match: the first has it, others nothing.
    rest: Vec<Path>,
}

/// What was found as the type that is asked for.
fn typed(event: &Document, span: Span, kind: Type) -> Option<Value> {
    let text = event.str(span);
    match kind {
        Type::Text => Some(Value::Text(span)),
        // `2.5` as an `int` is 2; beyond 2^53 a float is no longer exact.
        Type::Int => {
            let whole = || text.parse::<f64>().ok().filter(|n| n.abs() < 9e15).map(|n| n as i64);
            text.parse().ok().or_else(whole).map(Value::Int)
        }
        Type::Float => text.parse::<f64>().ok().filter(|n| n.is_finite()).map(Value::Float),
        Type::Boolean => Some(Value::Bool(text.eq_ignore_ascii_case("true"))),
    }
}

impl Processor for Grok {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        let span = event.text(&self.field)?;
        for Pattern { pattern, captures, rest } in &mut self.patterns {
            if pattern.find(event.str(span), usize::MAX) != Match::Yes {
                continue;
            }
            self.found.clear();
            for (number, Capture { group, path, kind }) in captures.iter().enumerate() {
                let Some((from, to)) = pattern.group(*group) else { continue };
                if self.found.iter().any(|(other, _)| captures[*other].path == *path) {
                    continue;
                }
                event.free(path)?;
                let value = typed(event, span.part(from, to), *kind);
                let value = value.ok_or_else(|| Failure::new(format!("what the pattern found for {path} is no {}", kind.name())))?;
                self.found.push((number, value));
            }
            rest.iter().try_for_each(|path| event.free(path))?;
            let end = pattern.group(0).map_or(0, |(_, end)| end);
            let text = event.str(span);
            let line = end + memchr::memchr(b'\n', &text.as_bytes()[end..]).unwrap_or(text.len() - end);
            self.found.iter().try_for_each(|(number, value)| event.set(&captures[*number].path, *value))?;
            for (n, path) in rest.iter().enumerate() {
                if rest[..n].contains(path) || self.found.iter().any(|(number, _)| captures[*number].path == *path) {
                    continue;
                }
                event.set(path, Value::Text(span.part(if n == 0 { end } else { line }, line)))?;
            }
            return Ok(Flow::On);
        }
        Err(Failure::new("no pattern matches"))
    }
}

const EXPECTED: &str = "a pattern such as `%{IPORHOST:source.address} %{WORD:http.request.method}`";

/// One pattern; `None` with a mistake noted.
fn pattern(field: &Field<'_>, own: &Own, anchored: bool) -> Option<Pattern> {
    let value = field.value(EXPECTED)?;
    let (head, rest) = if anchored { (value.text.as_str(), Vec::new()) } else { expand::without_rest(&value.text, own) };
    let compiled = Expander::new(own).compile(head, anchored);
    let rest = rest.into_iter().map(expand::path).collect::<Result<Vec<Path>, String>>();
    match compiled.and_then(|(pattern, captures)| Ok((pattern, captures, rest?))) {
        Ok((pattern, captures, rest)) => Some(Pattern { pattern, captures, rest }),
        Err(why) => {
            field.report(field.is(&value).expected(EXPECTED).help(why));
            None
        }
    }
}

/// `pattern_definitions`: each must be right by itself, whether it is used or not.
fn definitions(field: Option<Field<'_>>) -> Option<Own> {
    let Some(field) = field else { return Some(Own::default()) };
    let (mut own, mut right) = (Own::default(), true);
    for (key, field) in field.map()?.fields() {
        match field.value("a regular expression, which may have `%{NAME}` in it") {
            Some(value) if expand::is_name(&key.text) => drop(own.insert(key.text.clone(), value.text)),
            Some(_) => {
                field.wrong(format!("`{}` is no name of a pattern", key.text.escape_debug()), "a name of `A-Z a-z 0-9 _`");
                right = false;
            }
            None => right = false,
        }
    }
    for (key, field) in field.map()?.fields().filter(|_| right) {
        if let Err(why) = Expander::new(&own).compile(&format!("%{{{}}}", key.text), false) {
            field.report(field.problem(format!("`{}` is no right pattern", field.path)).help(why));
            return None;
        }
    }
    right.then_some(own)
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let field = map.field_or("field", "message");
    let anchored = map.flag("anchored");
    let patterns = map.require("patterns", "a pattern such as `%{COMBINEDAPACHELOG}`, or a list of them");
    let own = definitions(map.get("pattern_definitions"))?;
    let patterns = patterns?.list("a pattern such as `%{COMBINEDAPACHELOG}`, or a list of them");
    let compiled: Vec<Pattern> = patterns.iter().filter_map(|field| pattern(field, &own, anchored)).collect();
    (compiled.len() == patterns.len() && !compiled.is_empty()).then_some(())?;
    Some(Box::new(Grok { field: field?, patterns: compiled, found: Vec::new() }))
}
