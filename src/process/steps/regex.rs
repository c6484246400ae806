//! `regex: {patterns: […]}`: the named groups of the first pattern that matches become fields; a name may have dots.

use crate::config::decode::{Field, Map};
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path, Value};
use regex::{CaptureLocations, Regex};

/// See the module.
#[derive(Clone, Debug)]
struct Matcher {
    field: Path,
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    regex: Regex,
    groups: Vec<(usize, Path)>,
    locations: CaptureLocations,
}

impl Processor for Matcher {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        let span = event.text(&self.field)?;
        for Pattern { regex, groups, locations } in &mut self.patterns {
            if regex.captures_read(locations, event.str(span)).is_none() {
                continue;
            }
            groups.iter().filter(|(group, _)| locations.get(*group).is_some()).try_for_each(|(_, path)| event.free(path))?;
            for (group, path) in groups {
                if let Some((from, to)) = locations.get(*group) {
                    event.set(path, Value::Text(span.part(from, to)))?;
                }
            }
            return Ok(Flow::On);
        }
        Err(Failure::new("no pattern matches"))
    }
}

/// One pattern; `None` with a mistake noted.
fn pattern(field: &Field<'_>) -> Option<Pattern> {
    let value = field.value("a regular expression with named groups, such as `(?<http.request.method>[A-Z]+)`")?;
    let wrong = |why: String| field.report(field.is(&value).expected("a regular expression with named groups").help(why));
    let regex = match crate::process::pattern::regex(&value.text) {
        Ok(regex) => regex,
        Err(why) => {
            wrong(why);
            return None;
        }
    };
    let mut groups = Vec::new();
    for (number, name) in regex.capture_names().enumerate().filter_map(|(number, name)| Some((number, name?))) {
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
    let locations = regex.capture_locations();
    Some(Pattern { regex, groups, locations })
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let field = map.field_or("field", "message");
    let patterns = map
        .require("patterns", "a regular expression with named groups, or a list of them")?
        .list("a regular expression or a list of them");
    let compiled: Vec<Pattern> = patterns.iter().filter_map(pattern).collect();
    (compiled.len() == patterns.len() && !compiled.is_empty()).then_some(())?;
    Some(Box::new(Matcher { field: field?, patterns: compiled }))
}

#[cfg(test)]
mod tests {
    use crate::process::steps::testing::{members, run, wrong};

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
}
