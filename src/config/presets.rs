//! The presets of `parse: NAME`, read from the YAML that is part of the program.

use super::decode::{Ctx, Field};
use super::diagnostic::{ConfigErrors, SourceFile};
use super::examples::{Subjects, examples};
use super::yaml::{self, Key, Node};
use crate::process::chain::Chain;
use crate::process::example::Example;
use crate::process::presets::{section, text};
use jiff::tz::TimeZone;

/// A preset, read.
#[derive(Debug)]
pub(crate) struct Preset {
    pub(crate) name: String,
    /// What its lines are, in a few words.
    pub(crate) description: String,
    /// What the source must have as `multiline` where an event has several lines.
    pub(crate) multiline: Option<String>,
    pub(crate) chain: Chain,
    pub(crate) examples: Vec<Example>,
}

/// Reads the text of a preset. One with mistakes does not pass the tests of the project.
pub(crate) fn preset(name: &str, text: &str) -> Result<Preset, ConfigErrors> {
    preset_in(TimeZone::UTC, name, text)
}

/// The same where times that say not where they are are in `zone`.
pub(crate) fn preset_in(zone: TimeZone, name: &str, text: &str) -> Result<Preset, ConfigErrors> {
    let files = [SourceFile { path: format!("preset {name}").into(), text: text.to_string() }];
    let none = |_: &str| None;
    let ctx = Ctx { zone, ..Ctx::new(&none) };
    let (root, problems) = yaml::parse(0, text);
    problems.into_iter().for_each(|problem| ctx.report(problem));
    let root = root.unwrap_or_else(|| Node::nothing(0));
    let key = Key { pos: root.pos, text: name.to_string() };
    let read = read(&Field::new(&ctx, "", &key, &root, false), name, &files);
    match (read, ctx.problems.take()) {
        (Some(preset), problems) if problems.is_empty() => Ok(preset),
        (_, problems) => Err(ConfigErrors::new(problems, &files)),
    }
}

fn read(field: &Field<'_>, name: &str, files: &[SourceFile]) -> Option<Preset> {
    let mut map = field.map()?;
    let description = map.require("description", "a few words").and_then(|f| f.string("a few words"));
    let multiline = map.get("multiline").and_then(|f| f.string("the options of `multiline`"));
    let chain = map.require("process", "a list of processors").and_then(|f| super::process::chain(&f));
    let tests = map.require("tests", "a list of tests");
    map.finish(&[]);
    let chain = chain?;
    let subjects = Subjects { chains: &Default::default(), sinks: &Vec::new(), sources: &Vec::new(), only: Some(&chain) };
    let examples = examples(&tests?, &subjects, files);
    Some(Preset { name: name.to_string(), description: description?, multiline, chain, examples })
}

/// The chain of a preset as YAML that can be pasted into a pipeline.
pub(crate) fn pasted(name: &str) -> Option<String> {
    let text = text(name)?;
    let mut out = format!("process:\n  {name}:\n");
    for line in section(text, "process").lines().filter(|line| !line.is_empty()) {
        out.push_str("  ");
        out.push_str(line);
        out.push('\n');
    }
    Some(out)
}

/// The tests of a preset as YAML that can be pasted beside it.
pub(crate) fn pasted_tests(name: &str) -> Option<String> {
    let mut out = String::from("tests:\n");
    for line in section(text(name)?, "tests").lines().filter(|line| !line.is_empty()) {
        out.push_str(line);
        out.push('\n');
        if line.starts_with("  - name:") {
            out.push_str(&format!("    process: {name}\n"));
        }
    }
    Some(out)
}
