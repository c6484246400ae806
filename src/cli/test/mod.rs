//! `forebay test`: runs the tests that stand beside chains.

mod junit;
mod report;

use super::args::TestArgs;
use super::{FAILED, OK, USAGE, colour, complain, print};
use crate::config::ConfigErrors;
use crate::process::example::{Case, Example};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

/// A pipeline and how its tests went.
pub(super) struct Tested {
    path: PathBuf,
    outcome: Result<Vec<Done>, ConfigErrors>,
}

/// A test that was run.
pub(super) struct Done {
    example: Example,
    cases: Result<Vec<Case>, String>,
}

impl Done {
    /// Runs a test.
    pub(super) fn of(example: Example, host_name: &str) -> Done {
        Done { cases: example.run(host_name), example }
    }

    /// Whether all is as expected.
    pub(super) fn ok(&self) -> bool {
        self.cases.as_ref().is_ok_and(|cases| cases.iter().all(|case| case.differences.is_empty()))
    }
}

fn tested(path: PathBuf) -> Tested {
    let config = crate::config::load_for_tests(std::slice::from_ref(&path), &|name| std::env::var(name).ok());
    let outcome = config.map(|config| config.tests.into_iter().map(|example| Done::of(example, &config.host_name)).collect());
    Tested { path, outcome }
}

/// Runs; the exit code.
pub(super) fn run(args: &TestArgs) -> u8 {
    let all: Vec<Tested> = args.paths.iter().flat_map(|path| crate::config::pipelines(path)).map(tested).collect();
    let wrong = all.iter().any(|t| t.outcome.is_err());
    let failed = all.iter().filter_map(|t| t.outcome.as_ref().ok()).flatten().any(|done| !done.ok());
    if let Some(path) = &args.junit
        && let Err(error) = std::fs::write(path, junit::xml(&all))
    {
        complain(&format!("cannot write {}: {error}", path.display()));
        return FAILED;
    }
    let printed = if args.json {
        print(format!("{:#}\n", report::json(&all)).as_bytes())
    } else {
        let errors: String =
            all.iter().filter_map(|t| Some(t.outcome.as_ref().err()?.render(colour(std::io::stderr().is_terminal())))).collect();
        let _ = std::io::stderr().write_all(errors.as_bytes());
        print(report::text(&all, colour(std::io::stdout().is_terminal())).as_bytes())
    };
    match (wrong, failed) {
        (true, _) => USAGE,
        (_, true) => FAILED,
        _ if printed != OK => printed,
        _ => OK,
    }
}

#[cfg(test)]
mod tests;
