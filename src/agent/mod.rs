//! Wires sources, queue and sinks together and supervises them.

mod catch_up;
mod identity;
mod progress;
mod room;
mod running;
mod shutdown;
mod signals;

pub use catch_up::{Draining, Undelivered};

use crate::admin::AdminError;
use crate::config::Config;
use crate::queue::OpenError;
use crate::sink::SinkError;
use crate::source::file::SourceError;
use crate::source::push::PushError;
use progress::Progress;
use running::Running;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Instant;

/// How a run ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All that was read is delivered.
    Drained,
    /// Events are safe in the queue that some sink has not delivered.
    Remaining {
        /// How many, over all sinks.
        events: u64,
    },
}

/// Why a run ended badly. Whatever was in the queue is still there.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Another process works on the same `data_dir`.
    #[error("{message}")]
    DataDirInUse {
        /// The `data_dir`.
        dir: PathBuf,
        /// What to do about it.
        message: String,
    },
    /// The queue cannot be opened.
    #[error("the queue cannot be opened: {cause}{remedy}; nothing was read or shipped, and what is in the queue stays there", cause = .0, remedy = remedy(.0))]
    Queue(OpenError),
    /// A sink cannot join its consumer group.
    #[error("sink {sink}: cannot write the groups' journal: {source}; nothing was shipped, the queue is as it was")]
    Join {
        /// The sink.
        sink: String,
        /// The cause.
        source: io::Error,
    },
    /// A sink cannot start.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A source cannot start.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A source that is pushed to cannot start.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The admin listener cannot start.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The system refuses a thread or a signal handler.
    #[error("cannot start {what}: {source}")]
    System {
        /// What cannot be started.
        what: &'static str,
        /// The cause.
        source: io::Error,
    },
}

/// What the operator can do where the disk is the cause.
fn remedy(error: &OpenError) -> &'static str {
    let OpenError::Io { source, .. } = error else { return "" };
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => " (make room on the disk of data_dir, and start again)",
        io::ErrorKind::PermissionDenied => " (this user must be allowed to write to data_dir)",
        io::ErrorKind::ReadOnlyFilesystem => " (choose a data_dir that can be written to)",
        io::ErrorKind::NotADirectory => " (data_dir must be a folder)",
        _ => "",
    }
}

impl From<OpenError> for AgentError {
    fn from(error: OpenError) -> AgentError {
        match &error {
            OpenError::InUse { dir, .. } => AgentError::DataDirInUse { dir: dir.clone(), message: error.to_string() },
            _ => AgentError::Queue(error),
        }
    }
}

/// Runs until SIGTERM or SIGINT; then drains for at most `config.drain`. A second signal stops at once. Where standard input
/// is the only source, its end is the end, too: then there is no limit but a signal.
///
/// # Errors
/// [`AgentError`] when it cannot start.
pub fn run(mut config: Config) -> Result<Exit, AgentError> {
    let drain = config.drain;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("network")
        .enable_all()
        .build()
        .map_err(|source| AgentError::System { what: "the network runtime", source })?;
    more_descriptors();
    let (ended, signals) =
        signals::listen(runtime.handle()).map_err(|source| AgentError::System { what: "the signal handlers", source })?;
    for sink in &config.sinks {
        let (kind, target) = sink.target();
        tracing::info!("sink {}: {kind}, {target}", sink.name);
    }
    room::fit_queue(&mut config.queue);
    let memory = config.limits.memory;
    let running = Running::start(config, runtime.handle(), ended)?;
    tracing::info!("running; Ctrl-C or SIGTERM drains and stops, a second one stops at once (nothing is lost either way)");
    let mut progress = Progress::new(memory, Instant::now());
    let signal = loop {
        match signals.recv_timeout(progress.pause(Instant::now())) {
            Ok(signal) => break signal,
            Err(RecvTimeoutError::Disconnected) => break signals::Signal::Terminate,
            Err(RecvTimeoutError::Timeout) => {
                let status = running.parts.status();
                progress.look(&status, Instant::now()).iter().for_each(|line| tracing::info!("{line}"));
                progress.beyond(&status, resident()).iter().for_each(|line| tracing::warn!("{line}"));
            }
        }
    };
    let exit = shutdown::drain(running, &signals, signal, drain);
    // Requests that hang must not hold up the end: their batches are in the queue.
    runtime.shutdown_background();
    Ok(exit)
}

/// Bytes of this process that are in memory; 0 where the system does not tell.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// Takes as many file descriptors as the system grants: the usual 1024 are for programs that use `select`.
fn more_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!("the limit of open files stays as it is: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_cannot_be_opened_says_what_to_do() {
        let source = io::Error::from_raw_os_error(28);
        let error = AgentError::from(OpenError::Io { path: "/var/lib/forebay/queue.meta".into(), source });
        insta::assert_snapshot!(error, @"the queue cannot be opened: /var/lib/forebay/queue.meta: No space left on device (os error 28) (make room on the disk of data_dir, and start again); nothing was read or shipped, and what is in the queue stays there");
    }
}
