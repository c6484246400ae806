//! Commands that look at a queue and move its groups: `topics`, `groups`, `read`, `redrive`, `verify`,
//! `audit`, `why`, `drain`.

mod args;
mod audit;
mod drain;
mod groups;
pub(super) mod help;
mod read;
mod topics;
mod verify;

pub(super) use args::{AuditArgs, DrainArgs, GroupsArgs, ReadArgs, RedriveArgs, TopicsArgs, VerifyArgs, WhyArgs};
pub(super) use audit::{audit, why};
pub(super) use drain::drain;
pub(super) use groups::{groups, redrive};
pub(super) use read::read;
pub(super) use topics::topics;
pub(super) use verify::verify;

use super::{FAILED, colour, complain, load, load_or_tell, print};
use crate::admin::control::{self, Answer, Request};
use crate::process::timestamp::rfc3339;
use crate::queue::{Held, Overwriting, Stopped, StoppedError, View};
use crate::sink::SinkKind;
use args::Where;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Why a command has nothing to show: the exit code; the message is told already.
struct Told(u8);

fn failed(message: impl std::fmt::Display) -> Told {
    complain(&message.to_string());
    Told(FAILED)
}

/// Runs a command to its exit code.
fn code(outcome: Result<u8, Told>) -> u8 {
    outcome.unwrap_or_else(|told| told.0)
}

impl Where {
    /// The folder of the queue.
    fn dir(&self) -> Result<PathBuf, Told> {
        match (&self.data_dir, self.config.is_empty()) {
            (Some(dir), _) => Ok(dir.clone()),
            (None, true) => Ok(PathBuf::from(crate::config::DATA_DIR)),
            (None, false) => load_or_tell(&self.config).map(|config| config.queue.dir).map_err(Told),
        }
    }

    /// What the target of a sink makes of events that overwrite, as far as it can be told while the agent is stopped.
    fn overwriting(&self, sink: &str) -> Overwriting {
        let config = (!self.config.is_empty()).then(|| load(&self.config).ok()).flatten();
        match config.and_then(|config| config.sinks.into_iter().find(|s| s.name == sink)).map(|s| s.kind) {
            Some(SinkKind::Elasticsearch(_)) | None => Overwriting::Unknown(
                "the agent is stopped, so its target was not asked: if that is a data stream, it takes no replacements; the sink says so in its \
                 log then, and what is indexed already stays as it is"
                    .into(),
            ),
            Some(_) => Overwriting::SendsAgain(
                "its target knows no documents that could be replaced: all is simply sent again (under new batch names)".into(),
            ),
        }
    }
}

/// Has a request done: by the agent where one runs, else on the files.
fn ask(place: &Where, request: &Request) -> Result<Answer, Told> {
    let dir = &place.dir()?;
    let answer = match on_files(dir, request, &|sink| place.overwriting(sink)) {
        Ok(answer) => answer,
        Err(StoppedError::InUse { .. }) => control::ask(dir, request).map_err(failed)?,
        Err(error) => return Err(failed(format!("{error}; nothing was changed"))),
    };
    match answer {
        Answer::Error(message) => Err(failed(message)),
        answer => Ok(answer),
    }
}

fn on_files(dir: &Path, request: &Request, target: &dyn Fn(&str) -> Overwriting) -> Result<Answer, StoppedError> {
    if request.changes() {
        let stopped = Stopped::open(dir)?;
        return Ok(control::handle(&stopped.manage(), request, target));
    }
    match View::held(dir)? {
        Held::Free => Ok(control::handle(&View::open(dir)?.manage(), request, target)),
        Held::By(pid) => Err(StoppedError::InUse { dir: dir.to_path_buf(), pid }),
    }
}

/// An answer that does not belong to the request.
fn foreign() -> Told {
    failed("the agent answered something else than was asked: is it another version of forebay?")
}

fn print_json(value: &impl serde::Serialize) -> u8 {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print(format!("{text}\n").as_bytes()),
        Err(error) => {
            complain(&format!("cannot write JSON: {error}"));
            FAILED
        }
    }
}

/// A table for people; its head is bold on a terminal.
fn print_table(table: &str) -> u8 {
    if !colour(std::io::stdout().is_terminal()) {
        return print(table.as_bytes());
    }
    let (head, rows) = table.split_once('\n').unwrap_or((table, ""));
    print(format!("\x1b[1m{head}\x1b[0m\n{rows}").as_bytes())
}

/// A moment for people and machines; `-` where there is none.
fn moment(ms: Option<u64>) -> String {
    ms.map_or("-".into(), |ms| String::from_utf8_lossy(&rfc3339(ms)).into_owned())
}
