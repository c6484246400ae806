//! `tests:`: inputs of a chain, and what must become of them. Nothing in them is expanded: lines of logs are what they are.

use super::decode::{Field, Map};
use super::diagnostic::{Problem, SourceFile};
use super::process::{Chains, chain_of};
use super::sources::{Component, SourceOptions};
use super::whole::Named;
use super::yaml::{Kind, Node};
use crate::admin::human::plural;
use crate::process::chain::Chain;
use crate::process::document::members;
use crate::process::event::{Constant, Path};
use crate::process::example::{Example, Expect, Input};
use crate::sink::SinkOptions;
use serde_json::Value;

/// When events count as appended unless told otherwise, 2026-01-01T00:00:00Z: a test must not depend on the day it is run.
const NOW_MS: u64 = 1_767_225_600_000;

const EXPECT: &str = "a map of fields, `filtered`, or `dead_letter`, for each event of the input";

/// What a test may be about.
pub(crate) struct Subjects<'a> {
    pub(crate) chains: &'a Chains,
    pub(crate) sinks: &'a Named<SinkOptions>,
    pub(crate) sources: &'a Named<SourceOptions>,
    /// The one chain of a preset.
    pub(crate) only: Option<&'a Chain>,
}

/// All tests of a file; those with mistakes are left out, with the mistakes noted.
pub(crate) fn examples(field: &Field<'_>, subjects: &Subjects<'_>, files: &[SourceFile]) -> Vec<Example> {
    match &field.node.kind {
        Kind::Seq(_) => field.list("a list of tests").iter().filter_map(|item| example(item, subjects, files)).collect(),
        Kind::Null => Vec::new(),
        _ => {
            field.wrong(
                format!("`{}` is {}", field.path, field.node.what()),
                "a list of tests, such as `- {name: …, process: …, input: …, expect: …}`",
            );
            Vec::new()
        }
    }
}

fn example(item: &Field<'_>, subjects: &Subjects<'_>, files: &[SourceFile]) -> Option<Example> {
    let (mut map, pos) = (item.map()?, item.pos());
    let name = map.get("name").and_then(|f| f.string("a name for the test"));
    let chain = subject(&mut map, subjects);
    let input = map.require("input", "a line, a list of lines, or `{file: PATH}`").and_then(|f| input(&f, files));
    let now_ms = map.get("now").map_or(Some(NOW_MS), |f| moment(&f));
    let fields = map.get("fields").map(|f| super::sources::fields(&f)).unwrap_or_default();
    let exact = map.flag("exact");
    let required = map.require("expect", EXPECT);
    let expect = required.as_ref().and_then(expectations);
    map.finish(&[]);
    let ((subject, chain), input, expect) = (chain?, input?, expect?);
    if let Input::Events(events) = &input
        && events.len() != expect.len()
        && let Some(field) = required
    {
        let entries = if expect.len() == 1 { "one entry".to_string() } else { format!("{} entries", expect.len()) };
        let message = format!("`{}` has {entries}, but the input has {}", field.path, plural(events.len() as u64, "event"));
        field.wrong(message, EXPECT);
        return None;
    }
    let file = files.get(pos.file as usize).map(|f| f.path.display().to_string()).unwrap_or_default();
    Some(Example {
        name: name.unwrap_or_else(|| item.path.clone()),
        place: format!("{file}:{}", pos.line),
        subject,
        chain,
        input,
        now_ms: now_ms?,
        fields: members(&fields),
        exact,
        expect,
    })
}

/// What is tested, by name.
fn subject(map: &mut Map<'_>, subjects: &Subjects<'_>) -> Option<(String, Chain)> {
    if let Some(only) = subjects.only {
        return Some((String::new(), only.clone()));
    }
    match (map.get("process"), map.get("sink"), map.get("source")) {
        (Some(field), None, None) => {
            let name = match &field.node.kind {
                Kind::Scalar { text, .. } => format!("process {text}"),
                _ => "a chain of the test".to_string(),
            };
            chain_of(&field, subjects.chains).map(|chain| (name, chain))
        }
        (None, Some(field), None) => of_one(&field, "sink", subjects.sinks, |options| options.process.clone()),
        (None, None, Some(field)) => of_one(&field, "source", subjects.sources, |options| options.process().map(|p| p.chain.clone())),
        (None, None, None) => {
            map.require("process", "the name of a chain, a chain, or `sink: NAME` or `source: NAME` for that of a sink or source");
            None
        }
        (process, sink, source) => {
            let had = [("process", &process), ("sink", &sink), ("source", &source)];
            let names: Vec<&str> = had.iter().filter(|(_, field)| field.is_some()).map(|(name, _)| *name).collect();
            if let Some(second) = [&process, &sink, &source].into_iter().flatten().nth(1) {
                second.wrong(format!("`{}` has both `{}`", map.path, names.join("` and `")), "one of them");
            }
            None
        }
    }
}

/// The chain of a sink or source.
fn of_one<T>(field: &Field<'_>, kind: &str, all: &Named<T>, chain: impl Fn(&T) -> Option<Chain>) -> Option<(String, Chain)> {
    let value = field.value(&format!("the name of a {kind} with a chain"))?;
    let Some((_, Component { options, .. })) = all.iter().find(|(name, _)| *name == value.text) else {
        field.unknown(&value, || all.iter().map(|(name, _)| name.as_str()), &format!("a {kind} of this configuration"));
        return None;
    };
    match chain(options.as_ref()?) {
        Some(chain) => Some((format!("{kind} {}", value.text), chain)),
        None => {
            field.wrong(
                format!("`{}` is `{}`, which has no chain that can be tested", field.path, value.text),
                format!("the name of a {kind} with `process`"),
            );
            None
        }
    }
}

/// The text of a value as it stands there.
fn raw(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Scalar { text, .. } => Some(text),
        Kind::Null => Some(""),
        _ => None,
    }
}

fn input(field: &Field<'_>, files: &[SourceFile]) -> Option<Input> {
    let expected = "a line, a list of lines, or `{file: PATH}`";
    // What a block of YAML ends with is no part of the event.
    let line = |text: &str| text.strip_suffix('\n').unwrap_or(text).to_string();
    match &field.node.kind {
        Kind::Scalar { text, .. } => Some(Input::Events(vec![line(text)])),
        Kind::Seq(items) => {
            let events: Option<Vec<String>> = items.iter().map(|item| raw(item).map(line)).collect();
            if events.as_ref().is_none_or(Vec::is_empty) {
                let what = if items.is_empty() { "has no line" } else { "has something that is no line" };
                field.wrong(format!("`{}` {what}", field.path), expected);
            }
            events.filter(|events| !events.is_empty()).map(Input::Events)
        }
        Kind::Null => {
            field.wrong(format!("`{}` is empty", field.path), expected);
            None
        }
        Kind::Map(_) => {
            let mut map = field.map()?;
            let path = map.require("file", "the path of a file, relative to the pipeline's").and_then(|f| f.string("a path"));
            map.finish(&[]);
            let folder = files.get(field.pos().file as usize).and_then(|f| f.path.parent());
            path.map(|path| Input::File(folder.unwrap_or(std::path::Path::new("")).join(path)))
        }
    }
}

fn moment(field: &Field<'_>) -> Option<u64> {
    let expected = "a time such as `2026-03-09T10:11:12Z`";
    let value = field.value(expected)?;
    let ms = value.text.parse::<jiff::Timestamp>().ok().and_then(|time| u64::try_from(time.as_millisecond()).ok());
    if ms.is_none() {
        field.report(field.is(&value).expected(expected));
    }
    ms
}

fn expectations(field: &Field<'_>) -> Option<Vec<Expect>> {
    match &field.node.kind {
        Kind::Seq(_) => field.list(EXPECT).iter().map(expectation).collect::<Vec<_>>().into_iter().collect(),
        _ => expectation(field).map(|one| vec![one]),
    }
}

fn expectation(field: &Field<'_>) -> Option<Expect> {
    match &field.node.kind {
        Kind::Scalar { .. } => field.one_of(&[("filtered", Expect::Filtered), ("dead_letter", Expect::DeadLetter(String::new()))]),
        Kind::Map(entries) => match &entries[..] {
            [(key, node)] if key.text == "dead_letter" => raw(node).map(|part| Expect::DeadLetter(part.to_string())),
            _ => {
                let mut fields = Vec::new();
                flatten(field, field.node, &mut Vec::new(), &mut fields).then_some(Expect::Document(fields))
            }
        },
        _ => {
            field.wrong(format!("`{}` is {}", field.path, field.node.what()), EXPECT);
            None
        }
    }
}

/// Fields of a map by their whole names; `false` with a mistake noted.
fn flatten(field: &Field<'_>, node: &Node, above: &mut Vec<String>, out: &mut Vec<(Vec<String>, Value)>) -> bool {
    let Kind::Map(entries) = &node.kind else { return true };
    let mut right = true;
    for (key, node) in entries {
        let path = match Path::parse(&key.text) {
            Ok(path) => path,
            Err(why) => {
                let message = format!("`{}` is no name of a field", key.text.escape_debug());
                field.report(Problem::new(key.pos, &field.path, message).expected("a name such as `http.response.status_code`").help(why));
                right = false;
                continue;
            }
        };
        let depth = above.len();
        above.extend(path.parts().iter().map(|part| part.name().to_string()));
        match &node.kind {
            Kind::Map(inner) if !inner.is_empty() => right &= flatten(field, node, above, out),
            _ => out.push((above.clone(), json(node))),
        }
        above.truncate(depth);
    }
    right
}

/// A value as JSON: numbers, `true` and `false` unless they stand in quotes.
fn json(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Scalar { text, quoted: true } => Value::from(text.as_str()),
        Kind::Scalar { text, quoted: false } => match Constant::of_word(text) {
            Constant::Bool(b) => b.into(),
            Constant::Int(n) => n.into(),
            Constant::Float(n) => n.into(),
            _ => Value::from(text.as_str()),
        },
        Kind::Seq(items) => items.iter().map(json).collect(),
        Kind::Map(entries) => entries.iter().map(|(key, node)| (key.text.clone(), json(node))).collect::<serde_json::Map<_, _>>().into(),
    }
}
