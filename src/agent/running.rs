//! A started agent: the queue, what feeds it, and what it feeds.

use super::AgentError;
use super::catch_up::Wishes;
use super::identity::agent_id;
use super::signals::Signal;
use crate::admin::control::{self, Answer, Control, Reply, Request};
use crate::admin::{self, Admin, SinkStatus, Status, StatusFn};
use crate::config::Config;
use crate::process::chain::Chain;
use crate::queue::{DeadLetterWriter, Overwriting, Queue, Subscription, now_ms};
use crate::sink::{BodyMemory, Sink};
use crate::source::file::{FileOptions, FileSources};
use crate::source::push::{PushSources, Surroundings};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use tokio::runtime::Handle;

/// Version of the documents that sinks make, part of batch IDs: other bytes are another batch.
const PIPELINE_VERSION: u32 = 1;

/// Everything that runs.
pub(super) struct Running {
    pub(super) parts: Arc<Parts>,
    _admin: Option<Admin>,
    _control: Option<Control>,
}

/// What the admin listener looks at too.
pub(super) struct Parts {
    pub(super) queue: Arc<Queue>,
    pub(super) sources: Mutex<Option<FileSources>>,
    pub(super) pushed: Mutex<Option<PushSources>>,
    pub(super) sinks: Mutex<BTreeMap<String, Sink>>,
    body_memory: Arc<BodyMemory>,
    pub(super) draining: AtomicBool,
    pub(super) wishes: Mutex<Wishes>,
    /// As configured: an audit looks for files that nobody has read yet.
    options: Vec<FileOptions>,
    names: Vec<String>,
    started_ms: u64,
}

impl Running {
    /// Opens the queue, then starts sinks, then sources, so that nothing is read before it can go on.
    pub(super) fn start(config: Config, runtime: &Handle, ended: Sender<Signal>) -> Result<Running, AgentError> {
        let body_memory = BodyMemory::new(config.queue.body_memory());
        let topics: BTreeSet<String> =
            config.sources.iter().map(|s| s.topic.clone()).chain(config.inputs.iter().map(|i| i.topic.clone())).collect();
        let queue = Queue::open(config.queue.clone(), &topics.into_iter().collect::<Vec<_>>())?;
        let data_dir = config.queue.dir.clone();
        let dead_letters = Arc::new(DeadLetterWriter::new(&queue));
        let mut sinks = BTreeMap::new();
        let files = config.sources.iter().filter_map(|s| s.process.as_ref());
        let before = files.chain(config.inputs.iter().filter_map(|s| s.process.as_ref())).map(|p| &p.chain);
        config.sinks.iter().filter_map(|s| s.process.as_ref()).chain(before).for_each(Chain::prepare);
        for options in &config.sinks {
            let subscription = Subscription {
                group: options.name.clone(),
                previous: options.previous_name.clone(),
                topics: options.topics.clone(),
                pipeline: options.process.as_ref().map_or(PIPELINE_VERSION, |chain| PIPELINE_VERSION.wrapping_add(chain.version())),
                catch_up: options.catch_up,
            };
            let consumer = queue.subscribe(&subscription).map_err(|source| AgentError::Join { sink: options.name.clone(), source })?;
            let sink = Sink::start(options.clone(), &config.host_name, consumer, dead_letters.clone(), runtime.clone(), &body_memory)?;
            sinks.insert(options.name.clone(), sink);
        }
        for group in queue.absent_groups() {
            tracing::warn!(group = group.group, "{group}. If the sink was renamed, set `previous_name: {}` at the new one", group.group);
        }
        let parts = Arc::new(Parts {
            queue: queue.clone(),
            sources: Mutex::new(None),
            pushed: Mutex::new(None),
            names: sinks.keys().cloned().collect(),
            sinks: Mutex::new(sinks),
            body_memory,
            draining: AtomicBool::new(false),
            wishes: Mutex::default(),
            options: config.sources.clone(),
            started_ms: now_ms(),
        });
        let picture = parts.clone();
        let status: StatusFn = Arc::new(move || picture.status());
        let admin = admin::serve(&config.admin, status, runtime)?;
        let agent_id = agent_id(config.agent_id, &config.host_name);
        // Standard input is the only source that ends; beside others, its end is not the agent's.
        let alone = config.sources.is_empty() && config.inputs.len() == 1;
        let ended = move || {
            if alone {
                // Nobody listens any more only when the agent is on its way out.
                let _ = ended.send(Signal::Ended);
            }
        };
        let around = Surroundings { agent_id: &agent_id, producer: queue.clone(), queue: &config.queue, runtime, ended: Arc::new(ended) };
        let pushed = PushSources::start(config.inputs, &around)?;
        *parts.pushed.lock().unwrap_or_else(|e| e.into_inner()) = Some(pushed);
        let sources = FileSources::start(config.sources, agent_id, queue)?;
        *parts.sources.lock().unwrap_or_else(|e| e.into_inner()) = Some(sources);
        let control = serve_control(&data_dir, &parts, runtime);
        Ok(Running { parts, _admin: admin, _control: control })
    }
}

impl Parts {
    /// Events that some sink has not delivered, over all sinks.
    pub(super) fn remaining(&self) -> u64 {
        self.names.iter().map(|name| self.queue.lag(name).events).sum()
    }

    /// The picture of now, for people and probes.
    pub(super) fn status(&self) -> Status {
        let mut sources = self.sources.lock().unwrap_or_else(|e| e.into_inner()).as_ref().map(|s| s.status()).unwrap_or_default();
        sources.extend(self.pushed.lock().unwrap_or_else(|e| e.into_inner()).as_ref().map(|s| s.status()).unwrap_or_default());
        let mut sinks: BTreeMap<String, SinkStatus> =
            self.sinks.lock().unwrap_or_else(|e| e.into_inner()).iter().map(|(name, sink)| (name.clone(), sink.status())).collect();
        for (name, status) in &mut sinks {
            let lag = self.queue.lag(name);
            (status.lag_events, status.lag_bytes, status.lag_seconds, status.partitions) =
                (lag.events, lag.bytes, lag.seconds, lag.partitions);
        }
        let mut queue = self.queue.status();
        queue.memory_bytes += self.body_memory.used() as u64;
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            state: if self.draining.load(Ordering::Relaxed) { "draining" } else { "running" }.into(),
            started_ms: self.started_ms,
            now_ms: now_ms(),
            resident_bytes: resident_bytes(),
            sources,
            queue,
            sinks,
        }
    }
}

/// Without the socket everything goes on but `forebay groups` and its like.
fn serve_control(dir: &Path, parts: &Arc<Parts>, runtime: &Handle) -> Option<Control> {
    let (parts, inside) = (parts.clone(), runtime.clone());
    let handler: control::Handler = Arc::new(move |request| {
        let target = |name: &str| {
            let asked = parts.sinks.lock().unwrap_or_else(|e| e.into_inner()).get(name).map(Sink::overwriting);
            match asked {
                Some(asked) => inside.block_on(asked),
                None => Overwriting::Unknown("no sink of this name runs; if its target is a data stream, nothing is replaced".into()),
            }
        };
        Reply::Whole(match request {
            Request::Audit { files } => {
                let (parts, files) = (parts.clone(), files.clone());
                return Reply::Parts(Box::new(move |out| {
                    control::write_audit(out, |take| {
                        crate::audit::audit_each(&parts.queue.manage(), Some(&parts.options), true, &files, take)
                    })
                }));
            }
            Request::Why { file } => {
                let sinks = parts.status().sinks;
                let why = crate::audit::explain(&parts.queue.manage(), Some(&parts.options), Some(&sinks), file);
                why.map_or_else(|e| Answer::Error(e.to_string()), Answer::Why)
            }
            Request::Drain { ticket } => parts.drain(*ticket).map_or_else(Answer::Error, Answer::Draining),
            _ => control::handle(&parts.queue.manage(), request, &target),
        })
    });
    match control::serve(dir, handler, runtime) {
        Ok(control) => Some(control),
        Err(e) => {
            tracing::warn!(
                "cannot make {}: {e}; shipping goes on, but commands such as `forebay groups` do not reach this agent",
                dir.join(control::SOCKET).display()
            );
            None
        }
    }
}

/// Resident memory from the kernel; 0 where it does not tell.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}
