//! How tests went, for people and as JSON.

use super::{Done, Tested};
use crate::admin::human::plural;
use crate::process::example::Case;
use crate::process::trial::Outcome;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Most characters of a line or a document that are shown.
const WIDTH: usize = 200;

/// One line of at most [`WIDTH`] characters.
fn short(text: &str) -> String {
    let line = text.replace('\n', "⏎").replace(|c: char| c.is_control(), "·");
    match line.char_indices().nth(WIDTH) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

/// What is wrong with a test, for people; nothing where it is right.
pub(super) fn differences(done: &Done, out: &mut String) {
    let cases = match &done.cases {
        Ok(cases) => cases,
        Err(why) => {
            let _ = writeln!(out, "      {why}");
            return;
        }
    };
    for (number, case) in cases.iter().enumerate().filter(|(_, case)| !case.differences.is_empty()) {
        let _ = writeln!(out, "      event {}: {}", number + 1, short(&case.input));
        for difference in &case.differences {
            if !difference.field.is_empty() {
                let _ = writeln!(out, "        {}", difference.field);
            }
            let _ = writeln!(out, "          expected {}", short(&difference.expected));
            let _ = writeln!(out, "          found    {}", short(&difference.found));
        }
        if let Some(failure) = &case.failure {
            let _ = writeln!(out, "        a processor failed: {}", short(failure));
        }
    }
}

/// The form for people, with ANSI colours or without.
pub(super) fn text(all: &[Tested], colour: bool) -> String {
    let paint = |code: &str, text: &str| if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() };
    let (mut out, mut good, mut bad, mut wrong) = (String::new(), 0, 0, 0);
    for Tested { path, outcome } in all {
        let _ = write!(out, "{}", paint("1", &path.display().to_string()));
        match outcome {
            Err(_) => {
                wrong += 1;
                let _ = writeln!(out, ": {}", paint("1;31", "the configuration is wrong, so nothing was tested"));
            }
            Ok(tests) if tests.is_empty() => drop(writeln!(out, ": it has no tests")),
            Ok(tests) => {
                out.push('\n');
                for done in tests {
                    let events = plural(done.example.expect.len() as u64, "event");
                    if done.ok() {
                        good += 1;
                        let _ = writeln!(out, "  {}    {} ({events})", paint("32", "ok"), done.example.name);
                    } else {
                        bad += 1;
                        let about = if done.example.subject.is_empty() { String::new() } else { format!(", {}", done.example.subject) };
                        let _ = writeln!(out, "  {}  {} ({}{about})", paint("1;31", "FAIL"), done.example.name, done.example.place);
                        differences(done, &mut out);
                    }
                }
            }
        }
    }
    let _ = write!(out, "{}: {good} as expected, {bad} not", plural(good + bad, "test"));
    if wrong > 0 {
        let _ = write!(out, "; {} with a wrong configuration", plural(wrong, "pipeline"));
    }
    out.push('\n');
    out
}

fn case(number: usize, case: &Case) -> Value {
    let (outcome, detail) = match &case.outcome {
        Outcome::Document(text) => ("document", serde_json::from_str(text).unwrap_or(Value::Null)),
        Outcome::Filtered(step) => ("filtered", step.as_str().into()),
        Outcome::DeadLetter(why) => ("dead_letter", why.as_str().into()),
    };
    let difference = |d: &crate::process::example::Difference| json!({"field": d.field, "expected": d.expected, "found": d.found});
    json!({
        "event": number + 1,
        "input": case.input,
        "outcome": outcome,
        outcome: detail,
        "ok": case.differences.is_empty(),
        "differences": case.differences.iter().map(difference).collect::<Vec<_>>(),
        "failure": case.failure,
    })
}

/// The form for programs.
pub(super) fn json(all: &[Tested]) -> Value {
    let test = |done: &Done| {
        json!({
            "name": done.example.name,
            "place": done.example.place,
            "subject": done.example.subject,
            "ok": done.ok(),
            "error": done.cases.as_ref().err(),
            "events": done.cases.iter().flatten().enumerate().map(|(number, one)| case(number, one)).collect::<Vec<_>>(),
        })
    };
    let pipeline = |tested: &Tested| match &tested.outcome {
        Ok(tests) => json!({"path": tested.path, "errors": [], "tests": tests.iter().map(test).collect::<Vec<_>>()}),
        Err(errors) => json!({"path": tested.path, "errors": errors.to_json(), "tests": []}),
    };
    let ok = all.iter().all(|tested| tested.outcome.as_ref().is_ok_and(|tests| tests.iter().all(Done::ok)));
    json!({"ok": ok, "pipelines": all.iter().map(pipeline).collect::<Vec<_>>()})
}
