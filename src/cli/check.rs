//! `forebay check`: what was understood.

use super::files::{Matched, matched};
use super::{OK, USAGE, colour, load, print};
use crate::config::Config;
use crate::sink::SinkOptions;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;

/// Checks and reports; the exit code.
pub(super) fn check(paths: &[PathBuf], as_json: bool) -> u8 {
    match load(paths) {
        Ok(config) => {
            let files: Vec<Matched> = config.sources.iter().map(matched).collect();
            let code = if as_json {
                print(format!("{:#}\n", report(&config, &files)).as_bytes())
            } else {
                print(text(&config, &files, colour(std::io::stdout().is_terminal())).as_bytes())
            };
            if code == OK { OK } else { code }
        }
        Err(errors) if as_json => {
            print(format!("{:#}\n", json!({"ok": false, "errors": errors.to_json(), "warnings": []})).as_bytes());
            USAGE
        }
        Err(errors) => {
            let text = errors.render(colour(std::io::stderr().is_terminal()));
            let _ = std::io::stderr().write_all(text.as_bytes());
            USAGE
        }
    }
}

/// The topics that sources write, in order.
fn topics(config: &Config) -> BTreeSet<&str> {
    config.sources.iter().map(|source| source.topic.as_str()).chain(config.inputs.iter().map(|input| input.topic.as_str())).collect()
}

/// The topics that a sink reads.
fn reads<'a>(sink: &'a SinkOptions, all: &BTreeSet<&'a str>) -> Vec<&'a str> {
    if sink.topics.is_empty() { all.iter().copied().collect() } else { sink.topics.iter().map(String::as_str).collect() }
}

/// Bytes for people.
fn bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

fn text(config: &Config, files: &[Matched], colour: bool) -> String {
    let bold = |text: &str| if colour { format!("\x1b[1m{text}\x1b[0m") } else { text.to_string() };
    let yellow = |text: &str| if colour { format!("\x1b[1;33m{text}\x1b[0m") } else { text.to_string() };
    let all = topics(config);
    let mut out = String::new();
    let _ = writeln!(out, "{}", bold("sources"));
    for (source, found) in config.sources.iter().zip(files) {
        let plural = if found.files == 1 { "" } else { "s" };
        let more = if found.more { " at least" } else { "" };
        let _ =
            writeln!(out, "  {} -> topic {}:{more} {} file{plural} now, {}", source.name, source.topic, found.files, bytes(found.bytes));
        for glob in &source.include {
            let _ = writeln!(out, "      {glob}");
        }
        for glob in &source.exclude {
            let _ = writeln!(out, "      not {glob}");
        }
    }
    for input in &config.inputs {
        let (kind, origin) = input.origin();
        let _ = writeln!(out, "  {} -> topic {}: {kind}, {origin}", input.name, input.topic);
    }
    let _ = writeln!(out, "{}", bold("sinks"));
    for sink in &config.sinks {
        let (kind, target) = sink.target();
        let _ = writeln!(out, "  {} <- topic {}: {kind}, {target}", sink.name, reads(sink, &all).join(", "));
    }
    let _ = writeln!(out, "{}", bold("state"));
    let cap = bytes(config.queue.max_bytes);
    let _ = writeln!(
        out,
        "  data_dir {}: at most {cap} on disk, {} of memory for data",
        config.queue.dir.display(),
        bytes(config.queue.buffer_memory as u64)
    );
    match config.admin.listen {
        Some(address) => drop(writeln!(out, "  admin on http://{address}")),
        None => drop(writeln!(out, "  admin off")),
    }
    for (source, found) in config.sources.iter().zip(files) {
        if found.files == 0 {
            let _ = writeln!(
                out,
                "{}: no file matches sources.{} now; files that appear later are read from their first byte",
                yellow("note"),
                source.name
            );
        }
        for folder in &found.unreadable {
            let _ = writeln!(
                out,
                "{}: sources.{}: the folder {} cannot be listed by this user",
                yellow("warning"),
                source.name,
                folder.display()
            );
        }
    }
    for warning in &config.warnings {
        let _ = writeln!(out, "{}: {warning}", yellow("warning"));
    }
    let _ = writeln!(out, "the configuration is right");
    out
}

fn report(config: &Config, files: &[Matched]) -> Value {
    let all = topics(config);
    let sources: serde_json::Map<String, Value> = config
        .sources
        .iter()
        .zip(files)
        .map(|(source, found)| {
            let value = json!({"type": "file", "topic": source.topic, "include": source.include, "exclude": source.exclude, "files": found.files, "bytes": found.bytes, "more": found.more});
            (source.name.clone(), value)
        })
        .collect();
    let inputs = config.inputs.iter().map(|input| {
        let (kind, origin) = input.origin();
        (input.name.clone(), json!({"type": kind, "topic": input.topic, "origin": origin}))
    });
    let sources: serde_json::Map<String, Value> = sources.into_iter().chain(inputs).collect();
    let sinks: serde_json::Map<String, Value> = config
        .sinks
        .iter()
        .map(|sink| {
            let (kind, target) = sink.target();
            (sink.name.clone(), json!({"type": kind, "target": target, "topics": reads(sink, &all)}))
        })
        .collect();
    json!({
        "ok": true,
        "errors": [],
        "warnings": config.warnings,
        "data_dir": config.queue.dir.display().to_string(),
        "topics": all,
        "sources": sources,
        "sinks": sinks,
        "admin": config.admin.listen.map(|address| address.to_string()),
    })
}
