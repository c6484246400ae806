//! `regex: {patterns: […]}`: the named groups of the first pattern that matches become fields; a name may have dots.
//!
//! Finding a match is fast however long the text is; finding where its groups are is not, so what a pattern matches may have
//! at most 64 KiB. A last group that takes all that follows, `…(?<name>(?s:.*))$`, does not count: it is where the rest of the
//! pattern ends. A group that took just the text `absent`, such as `-`, is left out. With `optional: true` it is no failure that no pattern matches, or that there is no text.

use crate::config::decode::{Field, Map};
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path, Saved, Span, Value};
use crate::process::pattern::{self, Match};

/// Longest match, bytes.
const LONGEST: usize = 64 << 10;

/// See the module.
#[derive(Clone, Debug)]
struct Matcher {
    field: Path,
    patterns: Vec<Pattern>,
    optional: bool,
    /// What stands for nothing.
    absent: Option<String>,
    saved: Saved,
}

#[derive(Clone, Debug)]
struct Pattern {
    pattern: pattern::Pattern,
    groups: Vec<(usize, Path)>,
    /// A group that goes on to the end of the text.
    rest: Option<usize>,
}

impl Pattern {
    /// Makes its groups fields: those that were found in `span`, and are not `absent`.
    fn set(&self, event: &mut Document, span: Span, absent: Option<&str>) -> Result<(), Failure> {
        for (group, path) in &self.groups {
            let Some((from, to)) = self.pattern.group(*group) else { continue };
            let found = span.part(from, if self.rest == Some(*group) { usize::MAX >> 1 } else { to });
            if absent.is_none_or(|absent| event.str(found) != absent) {
                event.set(path, Value::Text(found))?;
            }
        }
        Ok(())
    }
}

impl Processor for Matcher {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        let span = match event.get(&self.field) {
            Some(Value::Text(span)) => span,
            _ if self.optional => return Ok(Flow::On),
            _ => event.text(&self.field)?,
        };
        let mut long = false;
        for pattern in &mut self.patterns {
            match pattern.pattern.find(event.str(span), LONGEST) {
                Match::No => {}
                Match::TooLong => long = true,
                Match::Yes => {
                    // A field that stands in the way of one is seen when others are set already.
                    event.save(&mut self.saved);
                    pattern.set(event, span, self.absent.as_deref()).inspect_err(|_| event.restore(&self.saved))?;
                    return Ok(Flow::On);
                }
            }
        }
        match long {
            _ if self.optional => Ok(Flow::On),
            true => Err(Failure::new("what a pattern matches is longer than 64 KiB")),
            false => Err(Failure::new("no pattern matches")),
        }
    }
}

/// One pattern; `None` with a mistake noted.
fn pattern(field: &Field<'_>) -> Option<Pattern> {
    let value = field.value("a regular expression with named groups, such as `(?<http.request.method>[A-Z]+)`")?;
    let wrong = |why: String| field.report(field.is(&value).expected("a regular expression with named groups").help(why));
    let without = without_rest(&value.text);
    let (text, rest) = without.as_ref().map_or((value.text.as_str(), None), |(text, group)| (text, Some(*group)));
    let pattern = match pattern::Pattern::new(text) {
        Ok(pattern) => pattern,
        Err(why) => {
            wrong(why);
            return None;
        }
    };
    let mut groups = Vec::new();
    for (number, name) in pattern.names() {
        match Path::parse(name) {
            Ok(path) => groups.push((number, path)),
            Err(why) => {
                wrong(format!("the group {name}: {why}"));
                return None;
            }
        }
    }
    if groups.is_empty() {
        wrong("it has no named group: `(?<name>…)`".into());
        return None;
    }
    Some(Pattern { pattern, groups, rest })
}

/// A pattern that ends with `(?s:.*))$` without it, and the number of the group that it ends. Both match the same texts with
/// the same groups, but for the end of that one. `None` where it does not end so, or where that is not sure.
fn without_rest(pattern: &str) -> Option<(String, usize)> {
    let head = pattern.strip_suffix("(?s:.*))$")?;
    let (mut open, mut groups) = (Vec::new(), 0);
    let mut at = 0;
    while let Some(c) = head[at..].chars().next() {
        at += c.len_utf8();
        let rest = &head[at..];
        match c {
            '\\' => at += rest.chars().next()?.len_utf8(),
            '[' => {
                let mut inside = rest.char_indices().skip(usize::from(rest.starts_with('^')));
                // A `]` that stands first, and sets within sets, are for others to understand.
                let mut first = true;
                at += loop {
                    match inside.next()? {
                        (n, ']') if !first => break n + 1,
                        (_, ']' | '[') => return None,
                        (_, '\\') => drop(inside.next()?),
                        _ => {}
                    }
                    first = false;
                };
            }
            '(' => {
                let name = rest.starts_with("?<") || rest.starts_with("?P<");
                if !name && rest.starts_with('?') && !rest.starts_with("?:") && !rest.starts_with("?s:") {
                    return None;
                }
                let captures = name || !rest.starts_with('?');
                groups += usize::from(captures);
                open.push(captures.then_some(groups));
            }
            ')' => drop(open.pop()?),
            '|' if open.len() == 1 => return None,
            _ => {}
        }
    }
    match open[..] {
        [Some(group)] => Some((format!("{head})"), group)),
        _ => None,
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let (field, optional) = (map.field_or("field", "message"), map.flag("optional"));
    let absent = map.get("absent").and_then(|f| f.value("a text such as `-`")).map(|value| value.text.to_string());
    let patterns = map
        .require("patterns", "a regular expression with named groups, or a list of them")?
        .list("a regular expression or a list of them");
    let compiled: Vec<Pattern> = patterns.iter().filter_map(pattern).collect();
    (compiled.len() == patterns.len() && !compiled.is_empty()).then_some(())?;
    Some(Box::new(Matcher { field: field?, patterns: compiled, optional, absent, saved: Saved::default() }))
}

#[cfg(test)]
mod tests {
    use super::without_rest;
    use crate::process::steps::testing::{members, run, wrong};
    use proptest::prelude::*;
    use regex::Regex;

    #[test]
    fn what_stands_for_nothing_is_left_out() {
        let chain = "[{regex: {patterns: '^(?<a>[^ ]+) (?<b>[^ ]+)$', absent: '-'}}]";
        assert_eq!(members(chain, "x -"), r#""message":"x -","log":{"offset":0},"a":"x""#);
        assert_eq!(members(chain, "- --"), r#""message":"- --","log":{"offset":0},"b":"--""#);
        assert_eq!(members("[{regex: {patterns: '^(?<message.x>-)', absent: '-'}}]", "-"), r#""message":"-","log":{"offset":0}"#);
    }

    #[test]
    fn groups_become_fields() {
        let chain = r"[{regex: {patterns: ['^(?<client.ip>\S+) (?<n>\d+)?$', '^(?<word>\w+)']}}]";
        assert_eq!(members(chain, "::1 42"), r#""message":"::1 42","log":{"offset":0},"client":{"ip":"::1"},"n":"42""#);
        assert!(members(chain, "::1 ").ends_with(r#""client":{"ip":"::1"}"#));
        assert!(members(chain, "é-").ends_with(r#""word":"é""#));
        assert!(run(chain, "-").contains("regex (1): no pattern matches"));
        assert!(wrong("[{regex: {patterns: 'abc'}}]").contains("no named group"));
        assert!(wrong("[{regex: {patterns: '('}}]").contains("unclosed group"));
    }

    #[test]
    fn a_field_in_the_way_of_one_keeps_all_from_being_set() {
        for pattern in ["^(?<a>x)(?<message.b>y)", "^(?<a>x)(?<a.b>y)"] {
            let shown = run(&format!("[{{regex: {{patterns: '{pattern}'}}}}]"), "xy");
            assert!(shown.contains("stands in the way") && !shown.contains(r#""a":"#), "{shown}");
        }
    }

    #[test]
    fn long_texts_take_bounded_time() {
        let long = "x".repeat(100_000);
        let shown = run("[{regex: {patterns: '^(?<a>x+)$'}}]", &long);
        assert!(shown.contains("what a pattern matches is longer than 64 KiB"), "{}", &shown[100_000..]);
        let shown = members("[{regex: {patterns: '^(?<a>.)(?<b>(?s:.*))$'}}]", &long);
        assert!(shown.ends_with(&format!(r#""a":"x","b":"{}""#, &long[1..])));
        let shown = members("[{regex: {patterns: '^(?<a>[^ ]*) (?<b>(?s:.*))$', optional: true}}]", "none");
        assert_eq!(shown, r#""message":"none","log":{"offset":0}"#);
        assert_eq!(members("[{regex: {field: none, patterns: '(?<a>x)', optional: true}}]", "x"), r#""message":"x","log":{"offset":0}"#);
    }

    #[test]
    fn only_what_is_surely_a_rest_is_taken_for_one() {
        let of = |pattern: &str| without_rest(pattern);
        assert_eq!(of("^(?<a>b)(?:(c)) (?<d>(?s:.*))$"), Some(("^(?<a>b)(?:(c)) (?<d>)".into(), 3)));
        assert_eq!(of(r"[^\]\[(] (?<d>x(?<e>y) (?s:.*))$"), Some((r"[^\]\[(] (?<d>x(?<e>y) )".into(), 1)));
        for pattern in [
            "(?<a>.*)$",
            "(?:(?s:.*))$",
            r"\(?<a>(?s:.*))$",
            "(?<a>(?<b>x)|(?s:.*))$",
            "(?m)(?<a>(?s:.*))$",
            "[]](?<a>(?s:.*))$",
            "((?<a>(?s:.*))$",
        ] {
            assert_eq!(of(pattern), None, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn a_pattern_without_its_rest_finds_the_same(text in "[ab\n: ]{0,12}", number in 0usize..5) {
            let pattern = [
                "^(?<a>a*)(?<b>(?s:.*))$",
                "(?<a>b+?):? (?<b>(?s:.*))$",
                "^(?:(?<a>a) )?(?<c>[^:]*): (?<b>x?(?s:.*))$",
                "a|b(?<b>(?s:.*))$",
                "^(?<a>(?s:.*?))\n(?<b>(?<c>a|b)(?:: (?<d>[^\n]*))?(?s:.*))$",
            ][number];
            let (short, rest) = without_rest(pattern).unwrap();
            let (whole, short) = (Regex::new(pattern).unwrap(), Regex::new(&short).unwrap());
            let groups = |regex: &Regex| {
                regex.captures(&text).map(|found| {
                    (1..found.len()).map(|n| found.get(n).map(|m| if n == rest { m.start()..text.len() } else { m.range() })).collect::<Vec<_>>()
                })
            };
            prop_assert_eq!(groups(&whole), groups(&short), "{} {:?}", pattern, text);
        }
    }
}
