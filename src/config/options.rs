//! The whole configuration, checked.

use crate::process::chain::Chain;
use crate::process::example::Example;
use crate::queue::QueueOptions;
use crate::sink::SinkOptions;
use crate::source::file::FileOptions;
use crate::source::push::PushOptions;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Form of the agent's own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `admin:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminOptions {
    /// Loopback address to listen on; `None` with `admin: off`.
    pub listen: Option<SocketAddr>,
    /// Whether the address was asked for by name: then a taken port is an error.
    pub explicit: bool,
}

/// `limits:`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitOptions {
    /// Bytes of memory that the process is to keep to; `None`: as much as `queue.buffer_memory` and the files that it follows take.
    pub memory: Option<u64>,
    /// Most that it uses of the processors on average, thousandths of one; `None`: all it can get.
    pub cpu: Option<u32>,
}

/// A checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `agent.id` if set; else machine ID, host name and pod UID name the agent.
    pub agent_id: Option<String>,
    /// `host.name` of the documents; the host's own name by default.
    pub host_name: String,
    /// `limits:`.
    pub limits: LimitOptions,
    /// `queue:` with `data_dir:`, within the limits.
    pub queue: QueueOptions,
    /// Those of `sources:` that follow files.
    pub sources: Vec<FileOptions>,
    /// Those of `sources:` that are pushed to.
    pub inputs: Vec<PushOptions>,
    /// `sinks:`.
    pub sinks: Vec<SinkOptions>,
    /// `process:`: the chains that sources and sinks may name.
    pub process: BTreeMap<String, Chain>,
    /// `tests:` of the chains.
    pub tests: Vec<Example>,
    /// `admin:`.
    pub admin: AdminOptions,
    /// `shutdown.drain`: how long to go on shipping after SIGTERM.
    pub drain: Duration,
    /// Things worth saying that are not errors.
    pub warnings: Vec<String>,
}
