//! `forebay audit` and `forebay why`.

use super::args::{AuditArgs, Where, WhyArgs};
use super::{Told, code, failed, foreign, print_json};
use crate::admin::control::{self, Answer, Request};
use crate::audit::{Audit, Verdict, Why, explain, explain_before, text};
use crate::cli::{FAILED, MISSING, OK, REMAINING, load, print};
use crate::queue::{Held, ManageError, Managed, StoppedError, View};
use crate::source::file::FileOptions;
use std::path::Path;

/// Accounts for every byte; the exit code.
pub(in crate::cli) fn audit(args: &AuditArgs) -> u8 {
    code(run_audit(args))
}

/// Explains why a file is read, or is not; the exit code.
pub(in crate::cli) fn why(args: &WhyArgs) -> u8 {
    code(run_why(args))
}

/// Asks the agent where one runs, else looks at the files.
fn answer(
    place: &Where,
    request: &Request,
    on_files: impl FnOnce(&Managed<'_>, Option<&[FileOptions]>) -> Result<Answer, ManageError>,
) -> Result<Answer, Told> {
    let dir = place.dir()?;
    let held = || View::held(&dir).map_err(|error| nothing(place, error));
    let of_agent = match held()? {
        Held::By(_) => match control::ask(&dir, request) {
            Ok(answer) => Some(answer),
            // It ended, or was killed, while it was asked: then its files answer.
            Err(_) if matches!(held()?, Held::Free) => None,
            Err(error) => return Err(failed(error)),
        },
        Held::Free => None,
    };
    let answer = match of_agent {
        Some(answer) => answer,
        None => {
            let view = View::open(&dir).map_err(|error| nothing(place, error))?;
            on_files(&view.manage(), sources(place).as_deref()).map_err(failed)?
        }
    };
    match answer {
        Answer::Error(message) => Err(failed(message)),
        answer => Ok(answer),
    }
}

/// The sources of the pipeline that was named.
fn sources(place: &Where) -> Option<Vec<FileOptions>> {
    (!place.config.is_empty()).then(|| load(&place.config).ok()).flatten().map(|config| config.sources)
}

/// A queue that cannot be looked at. Whoever has named the pipeline need not be told to name it.
fn nothing(place: &Where, error: StoppedError) -> Told {
    match error {
        StoppedError::Nothing { dir } if !place.config.is_empty() => {
            failed(format!("there is no queue in {}: no agent has run with this pipeline yet", dir.display()))
        }
        error => failed(error),
    }
}

/// As the agent knows the file, whatever folder the command is typed in.
fn absolute(file: &str) -> String {
    std::path::absolute(Path::new(file)).map_or_else(|_| file.to_string(), |p| p.to_string_lossy().into_owned())
}

fn run_audit(args: &AuditArgs) -> Result<u8, Told> {
    let files: Vec<String> = args.files.iter().map(|f| absolute(f)).collect();
    let request = Request::Audit { files: files.clone() };
    let on_files = |queue: &Managed<'_>, sources: Option<&[FileOptions]>| {
        crate::audit::audit(queue, sources, false, &files).map(|audit| Answer::Audit(Box::new(audit)))
    };
    let Answer::Audit(mut audit) = answer(&args.place, &request, on_files)? else { return Err(foreign()) };
    // An agent tells of them in no order.
    audit.sort();
    if audit.files.is_empty() && !files.is_empty() {
        return Err(failed(format!(
            "no file that the queue knows is {}: `forebay why FILE` tells whether a source follows it",
            args.files.join(" or ")
        )));
    }
    let printed = if args.json { print_json(&audit) } else { print(text(&audit, !files.is_empty()).as_bytes()) };
    Ok(if printed == OK { verdict(&audit) } else { printed })
}

fn verdict(audit: &Audit) -> u8 {
    match audit.verdict {
        Verdict::Complete => OK,
        Verdict::UnderWay => REMAINING,
        Verdict::Missing => MISSING,
    }
}

fn run_why(args: &WhyArgs) -> Result<u8, Told> {
    let file = absolute(&args.file);
    let request = Request::Why { file: file.clone() };
    let on_files = |queue: &Managed<'_>, sources: Option<&[FileOptions]>| explain(queue, sources, None, &file).map(Answer::Why);
    let dir = args.place.dir()?;
    let no_queue = matches!(View::held(&dir), Err(StoppedError::Nothing { .. }));
    let why = match no_queue.then(|| sources(&args.place)).flatten() {
        Some(sources) => explain_before(&sources, &dir, &file),
        None => match answer(&args.place, &request, on_files)? {
            Answer::Why(why) => why,
            _ => return Err(foreign()),
        },
    };
    let printed = if args.json { print_json(&why) } else { print(why_text(&why).as_bytes()) };
    Ok(match printed {
        OK if why.followed => OK,
        OK => FAILED,
        printed => printed,
    })
}

fn why_text(why: &Why) -> String {
    let verdict = if why.followed { "is followed" } else { "is not followed" };
    let lines: String = why.lines.iter().map(|line| format!("  {line}\n")).collect();
    format!("{} {verdict}\n{lines}", why.file)
}
