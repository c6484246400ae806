//! What a person types: `run`, `check`, `demo`, `status`, `topics`, `groups`, `read`, `redrive`, `verify`,
//! `audit`, `why`, `drain`, `setup`, `try`, `test`, `explain`, `completions`.

mod args;
mod check;
mod dry;
mod explain;
mod files;
mod help;
mod logging;
mod panic;
mod queue;
mod setup;
mod setup_help;
mod test;
mod try_chain;

use crate::agent::{AgentError, Exit};
use crate::config::{Config, ConfigErrors};
use crate::demo::DemoOptions;
use args::{Args, Command, DemoArgs, RunArgs, StatusArgs};
use clap::{CommandFactory, Parser};
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// All went well; after `run`: everything is delivered.
const OK: u8 = 0;
/// It failed at run time.
const FAILED: u8 = 1;
/// Wrong usage or a wrong configuration; nothing was started. (clap uses the same code.)
const USAGE: u8 = 2;
/// Stopped with undelivered events, which are safe in the queue.
const REMAINING: u8 = 3;
/// Another process works on the same `data_dir`.
const IN_USE: u8 = 4;
/// `audit`: something is lost, dead-lettered or in no book.
const MISSING: u8 = 5;
/// `setup`: somebody else's template, policy or component is in the way; nothing of that sink was changed.
const OCCUPIED: u8 = 6;

/// The whole program: parses the command line, does what it says, and returns the exit code.
pub fn main() -> ExitCode {
    let args = Args::parse();
    ExitCode::from(match args.command {
        Command::Run(args) => run(args),
        Command::Check { paths, json } => check::check(&paths, json),
        Command::Demo(args) => demo(&args),
        Command::Status(args) => status(&args),
        Command::Topics(args) => queue::topics(&args),
        Command::Groups(args) => queue::groups(&args),
        Command::Read(args) => queue::read(&args),
        Command::Redrive(args) => queue::redrive(&args),
        Command::Verify(args) => queue::verify(&args),
        Command::Audit(args) => queue::audit(&args),
        Command::Why(args) => queue::why(&args),
        Command::Drain(args) => queue::drain(&args),
        Command::Setup(args) => setup::setup(&args),
        Command::Try(args) => try_chain::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Completions { shell } => {
            // Through a buffer, since a reader such as `head` may close the pipe.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "forebay", &mut script);
            print(&script)
        }
    })
}

/// Loads a configuration with the process's environment.
fn load(paths: &[PathBuf]) -> Result<Config, ConfigErrors> {
    crate::config::load(paths, &|name| std::env::var(name).ok())
}

/// The same; mistakes are shown, and the exit code is what is left.
fn load_or_tell(paths: &[PathBuf]) -> Result<Config, u8> {
    load(paths).map_err(|errors| {
        let text = errors.render(colour(std::io::stderr().is_terminal()));
        let _ = std::io::stderr().write_all(text.as_bytes());
        USAGE
    })
}

/// Whether to colour: a terminal, no `NO_COLOR`, and not a dumb one.
fn colour(terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Writes to standard output. A closed pipe is the reader's choice, not a failure.
fn print(bytes: &[u8]) -> u8 {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            complain(&format!("cannot write to standard output: {error}"));
            FAILED
        }
        _ => OK,
    }
}

/// Says on standard error what went wrong.
fn complain(message: &str) {
    let (red, off) = if colour(std::io::stderr().is_terminal()) { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    let _ = writeln!(std::io::stderr(), "{red}error{off}: {message}");
}

fn run(args: RunArgs) -> u8 {
    let config = match load_or_tell(&args.paths) {
        Ok(config) => config,
        Err(code) => return code,
    };
    if args.dry {
        return dry::run(&config, args.lines);
    }
    if let Err(message) = logging::start(args.log_format.into(), args.log_level.as_deref()) {
        complain(&message);
        return USAGE;
    }
    panic::ends_the_process();
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    match crate::agent::run(config) {
        Ok(Exit::Drained) => OK,
        Ok(Exit::Remaining { events }) => {
            tracing::warn!(events, "stopped with undelivered events; they are safe in the queue and are sent at the next start");
            REMAINING
        }
        Err(error @ AgentError::DataDirInUse { .. }) => {
            complain(&error.to_string());
            IN_USE
        }
        Err(error) => {
            complain(&error.to_string());
            FAILED
        }
    }
}

fn demo(args: &DemoArgs) -> u8 {
    let options = DemoOptions { seconds: args.seconds, rate: args.rate, plain: args.plain || !std::io::stdout().is_terminal() };
    match crate::demo::run(options) {
        Ok(true) => OK,
        Ok(false) => FAILED,
        Err(message) => {
            complain(&message);
            FAILED
        }
    }
}

/// Where the admin listener is that is meant.
fn admin(args: &StatusArgs) -> Result<SocketAddr, u8> {
    let listen = match (args.admin, args.config.is_empty()) {
        (Some(address), _) => return Ok(address),
        (None, true) => crate::config::admin_default().listen,
        (None, false) => load_or_tell(&args.config)?.admin.listen,
    };
    listen.ok_or_else(|| {
        complain("the pipeline has `admin: off`, so there is no listener to ask: `forebay groups list` and `forebay audit` work without");
        FAILED
    })
}

fn status(args: &StatusArgs) -> u8 {
    let address = match admin(args) {
        Ok(address) => address,
        Err(code) => return code,
    };
    let status = match crate::admin::client::fetch_status(address) {
        Ok(status) => status,
        Err(message) => {
            complain(&message);
            return FAILED;
        }
    };
    if !args.json {
        return print(crate::admin::render::text(&status, colour(std::io::stdout().is_terminal())).as_bytes());
    }
    match serde_json::to_string_pretty(&status) {
        Ok(text) => print(format!("{text}\n").as_bytes()),
        Err(error) => {
            complain(&format!("cannot write the status as JSON: {error}"));
            FAILED
        }
    }
}
