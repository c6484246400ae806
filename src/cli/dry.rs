//! `forebay run --dry`: the first events of the real files, as each sink would send them. No queue is opened, nobody is contacted.

use super::files::matched;
use super::{FAILED, OK, complain};
use crate::config::Config;
use crate::process::before::BeforeQueue;
use crate::process::document::Documents;
use crate::process::trial::{Outcome, Trial};
use crate::queue::{Run, now_ms};
use crate::sink::{SinkKind, SinkOptions, elasticsearch};
use crate::source::file::FileOptions;
use crate::source::file::sample::first_events;
use std::io::{ErrorKind, Write};

/// Shows `lines` events of each file to each sink; the exit code. Documents go to standard output, all else to standard error.
pub(super) fn run(config: &Config, lines: u32) -> u8 {
    match show(config, lines, &mut std::io::stdout().lock(), &mut std::io::stderr()) {
        Ok(true) => OK,
        Ok(false) => FAILED,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => OK,
        Err(error) => {
            complain(&format!("cannot write to standard output: {error}"));
            FAILED
        }
    }
}

/// `false` where a file could not be looked at.
fn show(config: &Config, lines: u32, out: &mut impl Write, err: &mut impl Write) -> std::io::Result<bool> {
    let (mut runs, mut right) = (Vec::<Run>::new(), true);
    let now = now_ms();
    for source in &config.sources {
        let found = matched(source);
        if found.paths.is_empty() {
            writeln!(err, "source {}: no file matches now", source.name)?;
        }
        for path in &found.paths {
            match first_events(source, path) {
                Ok(Some(run)) => match &source.process {
                    Some(before) => runs.push(processed(source, before, &run, (now, lines), err)?),
                    None => runs.push(run),
                },
                Ok(None) => writeln!(err, "source {}: {} is empty", source.name, path.display())?,
                Err(why) => {
                    right = false;
                    writeln!(err, "source {}: {} is not shown: {why}", source.name, path.display())?;
                }
            }
        }
    }
    for input in &config.inputs {
        writeln!(err, "source {}: {} is pushed to: there is nothing to read", input.name, input.origin().0)?;
    }
    for sink in &config.sinks {
        let (kind, target) = sink.target();
        writeln!(err, "sink {}: {kind}, {target}", sink.name)?;
        let mut trial = match documents(sink, &config.host_name) {
            Ok(documents) => Trial::of(documents, sink.process.clone()),
            Err(why) => {
                right = false;
                writeln!(err, "  not shown: {why}")?;
                continue;
            }
        };
        for run in &runs {
            let spec = run.stream.spec();
            if !sink.topics.is_empty() && !sink.topics.contains(&spec.topic) {
                continue;
            }
            writeln!(err, "  {}: {} of its first events", spec.path.display(), run.count.min(lines))?;
            trial.run(run, now, lines, |event, outcome| match outcome {
                Outcome::Document(text) => writeln!(out, "{text}"),
                Outcome::Filtered(step) => writeln!(err, "  event at byte {}: filtered by {step}", event.position),
                Outcome::DeadLetter(why) => writeln!(err, "  event at byte {}: to the dead letters: {why}", event.position),
            })?;
            out.flush()?;
        }
    }
    writeln!(err, "nothing was sent, and no position was moved")?;
    Ok(right)
}

/// What a source's chain leaves of the first events; says what it filters.
fn processed(
    source: &FileOptions,
    before: &BeforeQueue,
    run: &Run,
    (now, lines): (u64, u32),
    err: &mut impl Write,
) -> std::io::Result<Run> {
    let (made, filtered) = before.preview(run, now, lines);
    writeln!(
        err,
        "source {}: {}: {} of its first events go through its chain",
        source.name,
        run.stream.spec().path.display(),
        run.count.min(lines)
    )?;
    for (position, step) in filtered {
        writeln!(err, "  event at byte {position}: filtered by {step} before the queue")?;
    }
    Ok(made)
}

fn documents(sink: &SinkOptions, host_name: &str) -> Result<Documents, String> {
    match &sink.kind {
        SinkKind::Elasticsearch(own) => elasticsearch::documents_of(own, host_name),
        _ => Ok(Documents::new(host_name)),
    }
}
