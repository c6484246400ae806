//! Wires sources, queue and sinks together and supervises them.

use crate::config::Config;
use std::path::PathBuf;

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

/// Why a run ended badly.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Another process works on the same `data_dir`.
    #[error("{dir} is in use by another process")]
    DataDirInUse {
        /// The `data_dir`.
        dir: PathBuf,
    },
    /// Anything else, in words.
    #[error("{0}")]
    Failed(String),
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// [`AgentError`] when it cannot start or go on.
pub fn run(_config: Config) -> Result<Exit, AgentError> {
    Err(AgentError::Failed("the agent is not in this build".into()))
}
