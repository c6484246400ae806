//! `forebay explain`: the presets, and what each stands for.

use super::args::ExplainArgs;
use super::{FAILED, USAGE, complain, print};
use crate::config::presets::{pasted, pasted_tests, preset};
use crate::process::is_processor;
use crate::process::presets::{ALL, like};
use std::fmt::Write as _;

/// Lists presets, or prints one; the exit code.
pub(super) fn run(args: &ExplainArgs) -> u8 {
    let Some(name) = &args.name else { return list() };
    let Some((_, text)) = ALL.iter().find(|(own, _)| own == name) else {
        let processor = is_processor(name).then(|| "this is a processor, which docs/processing.md describes".to_string());
        let help = processor.or_else(|| like(name)).unwrap_or("`forebay explain` lists them".to_string());
        complain(&format!("there is no preset `{}`: {help}", name.escape_debug()));
        return USAGE;
    };
    let (Ok(preset), Some(chain)) = (preset(name, text), pasted(name)) else { return broken(name) };
    let mut out = format!("# {name}: {}\n", preset.description);
    let events: usize = preset.examples.iter().map(|example| example.expect.len()).sum();
    let _ = writeln!(out, "# It is tested with {events} events{}.", if args.tests { "" } else { ", which --tests shows" });
    if let Some(multiline) = &preset.multiline {
        let _ = writeln!(out, "# The source needs `multiline: {multiline}`.");
    }
    out.push_str(&chain);
    if args.tests {
        out.push_str(&pasted_tests(name).unwrap_or_default());
    }
    print(out.as_bytes())
}

fn list() -> u8 {
    let mut out = String::new();
    for (name, text) in ALL {
        match preset(name, text) {
            Ok(preset) => drop(writeln!(out, "{name:<22} {}", preset.description)),
            Err(_) => return broken(name),
        }
    }
    print(out.as_bytes())
}

/// The project's tests compile each preset.
fn broken(name: &str) -> u8 {
    complain(&format!("the preset {name} of this build is wrong"));
    FAILED
}
