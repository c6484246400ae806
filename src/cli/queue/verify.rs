//! `forebay verify`.

use super::args::VerifyArgs;
use super::{Told, code, failed, print_json};
use crate::admin::human::{bytes, count};
use crate::cli::{FAILED, IN_USE, OK, colour, complain, print};
use crate::queue::{Finding, Held, Severity, StoppedError, Verification, View, repair, verify as check};
use serde_json::json;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

/// Checks a queue's files, and repairs them if asked to; the exit code.
pub(in crate::cli) fn verify(args: &VerifyArgs) -> u8 {
    code(run(args))
}

fn run(args: &VerifyArgs) -> Result<u8, Told> {
    let dir = args.place.dir()?;
    let running = View::held(&dir).map_err(failed)? != Held::Free;
    let mut shown = None;
    let terminal = io::stderr().is_terminal();
    let mut progress = |done: u64, total: u64| {
        let percent = (done * 100).checked_div(total).unwrap_or(100).min(100);
        if terminal && shown != Some(percent) {
            shown = Some(percent);
            let _ = write!(io::stderr(), "\rchecking {}: {percent} %", bytes(total));
        }
    };
    let outcome = if args.repair { repair(&dir, &mut progress) } else { check(&dir, &mut progress).map(|found| (found.clone(), found)) };
    if terminal {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    let (before, after) = match outcome {
        Ok(pair) => pair,
        Err(error @ StoppedError::InUse { .. }) => {
            complain(&format!("{error}: only what nobody works on can be repaired; stop the agent first. Nothing was changed"));
            return Ok(IN_USE);
        }
        Err(error) => return Err(failed(error)),
    };
    let printed = if args.json {
        let mut report = json!(after);
        report["sound"] = json!(after.is_sound());
        report["running"] = json!(running);
        if args.repair {
            report["before"] = json!(before.findings);
        }
        print_json(&report)
    } else {
        print(text(&before, &after, args.repair, running).as_bytes())
    };
    Ok(if printed != OK {
        printed
    } else if after.is_sound() {
        OK
    } else {
        FAILED
    })
}

fn text(before: &Verification, after: &Verification, repaired: bool, running: bool) -> String {
    let mut out = String::new();
    before.findings.iter().for_each(|f| line(f, &mut out));
    let found = |v: &Verification| v.findings.iter().filter(|f| f.severity == Severity::Damage).count();
    let _ = write!(
        out,
        "{} segments, {} record batches, {} events, {} read: ",
        count(before.segments),
        count(before.batches),
        count(before.events),
        bytes(before.bytes)
    );
    let _ = match (found(before), found(after)) {
        (0, _) => writeln!(out, "all is sound"),
        (n, _) if !repaired && running => writeln!(out, "{n} damaged (stop the agent and use --repair to move it aside)"),
        (n, _) if !repaired => writeln!(out, "{n} damaged (--repair moves it aside)"),
        (n, 0) => writeln!(out, "{n} damaged and repaired; the damaged bytes are in quarantine/"),
        (n, m) => {
            let _ = writeln!(out, "{n} damaged, of which {m} could not be repaired:");
            after.findings.iter().filter(|f| f.severity == Severity::Damage).for_each(|f| line(f, &mut out));
            Ok(())
        }
    };
    out
}

fn line(finding: &Finding, out: &mut String) {
    let (on, off) = match (finding.severity, colour(io::stdout().is_terminal())) {
        (Severity::Damage, true) => ("\x1b[1;31m", "\x1b[0m"),
        _ => ("", ""),
    };
    let severity = match finding.severity {
        Severity::Note => "note",
        Severity::Damage => "damage",
    };
    let _ = write!(out, "{on}{severity:6}{off}  ");
    if let (Some(topic), Some(partition)) = (&finding.topic, finding.partition) {
        let _ = write!(out, "{topic}/{partition}  ");
    }
    if let Some((first, end)) = finding.offsets {
        let _ = write!(out, "offsets {first} to {} ({} events)  ", end - 1, count(end - first));
    }
    if let Some((from, to)) = finding.bytes {
        let _ = write!(out, "bytes {from} to {}  ", to.saturating_sub(1));
    }
    let _ = writeln!(out, "{}: {}", finding.file.display(), finding.what);
}
