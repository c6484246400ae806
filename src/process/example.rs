//! An example of a chain's work: an input, and what must become of it. `tests:` of a pipeline and the tests of a preset are such.

use super::chain::{Chain, FAILED};
use super::event::shown;
use super::trial::{self, Outcome, Trial};
use crate::admin::human::plural;
use serde_json::Value;
use std::path::PathBuf;

/// A test of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Its name.
    pub(crate) name: String,
    /// `file:line` at which it stands.
    pub(crate) place: String,
    /// What is tested, for people: the name of a chain or sink.
    pub(crate) subject: String,
    /// The chain.
    pub(crate) chain: Chain,
    /// The events.
    pub(crate) input: Input,
    /// When they count as appended to the queue, ms since the Unix epoch.
    pub(crate) now_ms: u64,
    /// Fields of the source: members of a JSON object, rendered.
    pub(crate) fields: String,
    /// Whether a document must have nothing but what is expected.
    pub(crate) exact: bool,
    /// What must become of each event.
    pub(crate) expect: Vec<Expect>,
}

/// Where events come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// These, each perhaps of several lines.
    Events(Vec<String>),
    /// The lines of a file.
    File(PathBuf),
}

/// What must become of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// A document with these fields; `Value::Null`: without that field.
    Document(Vec<(Vec<String>, Value)>),
    /// It is left out.
    Filtered,
    /// It goes to the dead letters, for a reason that has this in it.
    DeadLetter(String),
}

/// An event of an example, and what became of it.
#[derive(Debug)]
pub(crate) struct Case {
    /// The event.
    pub(crate) input: String,
    /// What became of it.
    pub(crate) outcome: Outcome,
    /// Where that is not what was expected; nothing where all is right.
    pub(crate) differences: Vec<Difference>,
    /// What a processor that failed said, where the event goes on all the same.
    pub(crate) failure: Option<String>,
}

/// Something that is not as expected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The name of the field; empty for the event as a whole.
    pub(crate) field: String,
    pub(crate) expected: String,
    pub(crate) found: String,
}

/// Longest file of input.
const MOST_BYTES: u64 = 16 << 20;

impl Example {
    /// Sends all through the chain. An error where there is nothing to send, or not as much as there are expectations.
    pub(crate) fn run(&self, host_name: &str) -> Result<Vec<Case>, String> {
        let events = self.events()?;
        if events.len() != self.expect.len() {
            return Err(format!("the input has {}, but `expect` has {} of them", plural(events.len() as u64, "event"), self.expect.len()));
        }
        let stream = trial::stream(&self.fields);
        let (mut trial, mut plain) = (Trial::new(Some(self.chain.clone()), host_name), Trial::new(None, host_name));
        let mut position = 0;
        let cases = events.into_iter().zip(&self.expect).map(|(input, expect)| {
            let line = format!("{input}\n");
            let outcome = trial.one(&stream, line.as_bytes(), position, self.now_ms);
            let before = match plain.one(&stream, line.as_bytes(), position, self.now_ms) {
                Outcome::Document(text) => serde_json::from_str(&text).unwrap_or_default(),
                _ => Value::Null,
            };
            position += line.len() as u64;
            let document: Value = match &outcome {
                Outcome::Document(text) => serde_json::from_str(text).unwrap_or_default(),
                _ => Value::Null,
            };
            Case { differences: self.judge(expect, &outcome, &document, &before), failure: failure(&document), input, outcome }
        });
        Ok(cases.collect())
    }

    fn events(&self) -> Result<Vec<String>, String> {
        let path = match &self.input {
            Input::Events(events) => return Ok(events.clone()),
            Input::File(path) => path,
        };
        let length = std::fs::metadata(path).map_err(|e| format!("cannot read the input {}: {e}", path.display()))?.len();
        if length > MOST_BYTES {
            return Err(format!("the input {} is longer than {} MiB", path.display(), MOST_BYTES >> 20));
        }
        let bytes = std::fs::read(path).map_err(|e| format!("cannot read the input {}: {e}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_string).collect())
    }

    fn judge(&self, expect: &Expect, outcome: &Outcome, document: &Value, before: &Value) -> Vec<Difference> {
        let whole = |expected: String| {
            let found = match outcome {
                Outcome::Document(text) => text.clone(),
                Outcome::Filtered(step) => format!("filtered by {step}"),
                Outcome::DeadLetter(why) => format!("dead letter: {why}"),
            };
            vec![Difference { field: String::new(), expected, found }]
        };
        match (expect, outcome) {
            (Expect::Filtered, Outcome::Filtered(_)) => Vec::new(),
            (Expect::DeadLetter(part), Outcome::DeadLetter(why)) if why.contains(part.as_str()) => Vec::new(),
            (Expect::Document(fields), Outcome::Document(_)) => {
                let mut differences: Vec<Difference> =
                    fields.iter().filter_map(|(path, value)| difference(path, value, document)).collect();
                if self.exact {
                    unexpected(document, &mut Vec::new(), fields, before, &mut differences);
                }
                differences
            }
            (Expect::Filtered, _) => whole("filtered".into()),
            (Expect::DeadLetter(part), _) if part.is_empty() => whole("dead letter".into()),
            (Expect::DeadLetter(part), _) => whole(format!("dead letter: … {part} …")),
            (Expect::Document(_), _) => whole("a document".into()),
        }
    }
}

/// What the first processor that failed said.
fn failure(document: &Value) -> Option<String> {
    let tagged = document.get("tags")?.as_array()?.iter().any(|tag| tag == FAILED);
    tagged.then(|| document.pointer("/error/message").and_then(Value::as_str).unwrap_or("a processor failed").to_string())
}

fn find<'a>(document: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(document, |at, part| at.get(part))
}

fn difference(path: &[String], expected: &Value, document: &Value) -> Option<Difference> {
    let found = find(document, path).filter(|value| !value.is_null());
    let right = match (expected, found) {
        (Value::Null, found) => found.is_none(),
        (expected, Some(found)) => same(expected, found),
        (_, None) => false,
    };
    let text = |value: Option<&Value>| value.map_or("no such field".to_string(), Value::to_string);
    (!right).then(|| Difference { field: shown(path), expected: text(Some(expected).filter(|v| !v.is_null())), found: text(found) })
}

/// Whether what was found is what was expected: numbers by their value, times by the moment that they mean.
fn same(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::String(a), Value::String(b)) => {
            let moment = |text: &str| text.parse::<jiff::Timestamp>().ok();
            a == b || moment(a).is_some_and(|time| moment(b) == Some(time))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b))),
        _ => expected == found,
    }
}

/// Fields of a document that nobody expected, but for those that the event had before the chain; its message must be named.
fn unexpected(value: &Value, path: &mut Vec<String>, expected: &[(Vec<String>, Value)], before: &Value, out: &mut Vec<Difference>) {
    if expected.iter().any(|(name, _)| name == path) {
        return;
    }
    if let Value::Object(members) = value
        && (path.is_empty() || !members.is_empty())
    {
        for (name, member) in members {
            path.push(name.clone());
            unexpected(member, path, expected, before, out);
            path.pop();
        }
        return;
    }
    if find(before, path) != Some(value) || path.as_slice() == ["message"] {
        out.push(Difference { field: shown(path), expected: "no such field".into(), found: value.to_string() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::steps::testing::chain;
    use serde_json::json;

    fn example(steps: &str, input: &[&str], expect: Vec<Expect>) -> Example {
        Example {
            name: "e".into(),
            place: String::new(),
            subject: String::new(),
            chain: chain(steps),
            input: Input::Events(input.iter().map(|line| line.to_string()).collect()),
            now_ms: 1_767_323_045_000,
            fields: r#""service.name":"shop""#.into(),
            exact: false,
            expect,
        }
    }

    fn document(fields: &[(&str, Value)]) -> Expect {
        Expect::Document(fields.iter().map(|(name, value)| (name.split('.').map(str::to_string).collect(), value.clone())).collect())
    }

    fn said(example: &Example) -> Vec<String> {
        let cases = example.run("h").unwrap();
        let differences = cases.iter().flat_map(|case| &case.differences);
        differences.map(|d| format!("{}: {} | {}", d.field, d.expected, d.found)).collect()
    }

    #[test]
    fn what_is_as_expected_has_no_difference() {
        let steps = r#"[{json: {on_error: dead_letter}}, {drop: {when: "n == 2"}}]"#;
        let right = document(&[
            ("n", json!(1.0)),
            ("service.name", json!("shop")),
            ("@timestamp", json!("2026-01-02T04:04:05+01:00")),
            ("none", Value::Null),
            ("l", json!([1, {"a": null}])),
        ]);
        let expect = vec![right, Expect::Filtered, Expect::DeadLetter("no JSON".into())];
        let mut example = example(steps, &[r#"{"n":1,"l":[1,{"a":null}]}"#, r#"{"n":2}"#, "x"], expect);
        assert_eq!(said(&example), Vec::<String>::new());
        example.expect.pop();
        assert_eq!(example.run("h").unwrap_err(), "the input has 3 events, but `expect` has 2 of them");
        example.input = Input::File("/does/not/exist".into());
        assert!(example.run("h").unwrap_err().starts_with("cannot read the input /does/not/exist: "));
    }

    #[test]
    fn what_is_not_is_told() {
        let steps = r#"[{json: {}}, {drop: {when: "n == 2"}}]"#;
        let expect =
            vec![document(&[("n", json!("1")), ("m", json!(1)), ("host", Value::Null)]), document(&[]), Expect::DeadLetter("why".into())];
        let mut example = example(steps, &[r#"{"n":1}"#, r#"{"n":2}"#, "{"], expect);
        let all = said(&example);
        assert_eq!(
            all[..4],
            ["n: \"1\" | 1", "m: 1 | no such field", "host: no such field | {\"name\":\"h\"}", ": a document | filtered by drop (2)",]
        );
        assert!(all[4].starts_with(": dead letter: … why … | {\"@timestamp\""), "{all:?}");
        assert_eq!(example.run("h").unwrap()[2].failure.as_deref(), Some("json (1): no JSON object: no name at byte 1"));
        (example.exact, example.expect) = (true, vec![document(&[("n", json!(1))]), Expect::Filtered, Expect::Filtered]);
        assert_eq!(said(&example)[0], r#"message: no such field | "{\"n\":1}""#);
    }
}
