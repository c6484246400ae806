//! A compiled program: its mistakes are shown where they stand, and its failures name the line that failed.

use super::{functions, guard, value};
use crate::config::decode::Field;
use crate::config::diagnostic::Problem;
use crate::config::expand::Expanded;
use crate::config::process::inside;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure};
use jiff::tz::TimeZone as Zone;
use std::fmt;
use std::sync::Arc;
use vrl::compiler::runtime::{Runtime, Terminate};
use vrl::compiler::{ExpressionError, Program, TargetValue, TimeZone, compile as compile_vrl};
use vrl::diagnostic::{Diagnostic, DiagnosticMessage as _, Note};
use vrl::value::{ObjectMap, Secrets, Value as Vrl};

/// What a value can be, as messages of the language have it.
const KINDS: &[&str] =
    &["string", "integer", "float", "boolean", "timestamp", "regex", "object", "map", "array", "null", "undefined", "or"];

/// See the module.
#[derive(Clone)]
pub(super) struct Remap {
    program: Arc<Program>,
    source: Arc<str>,
    zone: TimeZone,
}

impl fmt::Debug for Remap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remap").finish_non_exhaustive()
    }
}

impl Processor for Remap {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        let mut target = TargetValue { value: value::of(event), metadata: Vrl::Object(ObjectMap::new()), secrets: Secrets::default() };
        match guard::caught(|| Runtime::default().resolve(&mut target, &self.program, &self.zone)) {
            None => Err(Failure::new("the program ended in a panic, which is a bug of the vrl crate")),
            Some(Ok(_)) => value::put(event, target.value).map(|()| Flow::On),
            Some(Err(Terminate::Abort(ExpressionError::Abort { .. }))) => Ok(Flow::Drop),
            Some(Err(Terminate::Abort(error) | Terminate::Error(error))) => Err(self.failure(&error)),
        }
    }
}

impl Remap {
    /// What failed, and where. The language quotes values of the event in its messages, which may be what another processor has to
    /// redact: of the reason only the types are told.
    fn failure(&self, error: &ExpressionError) -> Failure {
        let message = error.message();
        let (head, reason) = match message.strip_prefix("function call error for ").and_then(|rest| rest.split_once(": ")) {
            Some((head, reason)) => (Some(head), reason),
            None => (None, message.as_str()),
        };
        let call = head.and_then(|head| head.split_once(" at ("));
        let what = call.map_or("the program fails".to_string(), |(name, _)| format!("{} fails", name.trim_matches('"')));
        let at = call.and_then(|(_, span)| span.split(':').next()?.parse().ok()).or_else(|| first(&error.labels()));
        let place = at.map_or(String::new(), |at| format!(" at {}", place(&self.source, at)));
        let types = reason
            .strip_prefix("expected ")
            .is_some_and(|rest| rest.split([' ', ',']).all(|word| word.is_empty() || word == "got" || KINDS.contains(&word)));
        Failure::new(if types { format!("{what}{place}: {reason}") } else { format!("{what}{place}") })
    }
}

/// Where the first of some labels begins.
fn first(labels: &[vrl::diagnostic::Label]) -> Option<usize> {
    labels.iter().find(|label| label.primary).or(labels.first()).map(|label| label.span.start())
}

/// Byte `at` of a program, in words.
fn place(source: &str, at: usize) -> String {
    let before = source.get(..at).unwrap_or(source);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column} of the program")
}

/// The program of a field; `None` with its mistakes noted.
pub(super) fn compile(field: &Field<'_>, value: &Expanded, zone: &Zone) -> Option<Remap> {
    let source = value.text.as_str();
    let named = zone.iana_name().and_then(TimeZone::parse);
    let Some(zone) = named else {
        field.wrong(format!("`{}` has a time zone that the language does not know", field.path), "such as `Europe/Berlin`");
        return None;
    };
    let compiled = guard::caught(|| compile_vrl(source, &functions::allowed()));
    let list = match compiled {
        None => {
            field.wrong(format!("`{}` cannot be compiled", field.path), "a program that does not make the vrl crate panic");
            return None;
        }
        Some(Ok(done)) => {
            for warning in done.warnings.iter() {
                let at = first(&warning.labels).unwrap_or_default();
                let text = format!("`{}`: {}, at {}", field.path, said(warning, source, value.secret), place(source, at));
                field.warn(inside(field, source, at, 1), text);
            }
            return Some(Remap { program: Arc::new(done.program), source: source.into(), zone });
        }
        Some(Err(list)) => list,
    };
    for error in list.iter().filter(|diagnostic| diagnostic.is_problem()) {
        report(field, value, error);
    }
    None
}

/// The message of a mistake, on one line; parts of a program that is a secret are not in it.
fn said(diagnostic: &Diagnostic, source: &str, secret: bool) -> String {
    let label = diagnostic.labels.iter().find(|label| label.primary).filter(|_| !secret);
    let span = label.and_then(|label| source.get(label.span.start()..label.span.end()));
    let name = span.filter(|name| diagnostic.code == UNDEFINED && functions::refused(name).is_some());
    match (name, label) {
        (Some(name), _) => format!("the function `{name}` is not to be had here"),
        (None, Some(label)) if !label.message.is_empty() && !diagnostic.message.ends_with(&label.message) => {
            format!("{}: {}", diagnostic.message, label.message)
        }
        _ => diagnostic.message.clone(),
    }
    .replace('\n', " ")
}

/// The number that the language gives to calls of functions that there are not.
const UNDEFINED: usize = 105;

fn report(field: &Field<'_>, value: &Expanded, error: &Diagnostic) {
    let source = value.text.as_str();
    let label = error.labels.iter().find(|label| label.primary).or(error.labels.first());
    let (at, end) = label.map_or((0, 0), |label| (label.span.start(), label.span.end()));
    let text = source.get(at..end).unwrap_or_default();
    let message = format!("`{}`: {}, at {}", field.path, said(error, source, value.secret), place(source, at));
    let len = text.lines().next().unwrap_or_default().chars().count() as u32;
    let mut problem = field.problem_at(inside(field, source, at, len.max(1)), message);
    let refused = functions::refused(text).filter(|_| error.code == UNDEFINED);
    if !value.secret && refused.is_none() {
        // The others say where there is more to read.
        let told = |note: &&Note| matches!(note, Note::Hint(_) | Note::Example(_) | Note::CoerceValue);
        let labels: Vec<&str> = error.labels.iter().filter(|label| !label.primary).map(|label| label.message.trim()).collect();
        let labels = Some(labels.join(" ")).filter(|text| !text.is_empty());
        problem = labels.into_iter().chain(error.notes.iter().filter(told).map(Note::to_string)).fold(problem, Problem::help);
    }
    field.report(problem.help_if(refused.map(str::to_string)));
}
