//! Starts, shows and stops the sources that are pushed to.

use super::counters::Counters;
use super::inlet::Owner;
use super::pump::Pump;
use super::stdin;
use super::stopping::Stopping;
use super::{HttpInputOptions, PushKind, PushOptions, SyslogOptions, http, journald, syslog};
use crate::admin::SourceStatus;
use crate::queue::{Producer, QueueOptions};
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Why a pushed source cannot start. Nothing was taken.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The address cannot be had.
    #[error("source {source_name}: cannot listen on {address}: {source}; {help}")]
    Listen {
        /// Name of the source.
        source_name: String,
        /// The address, or the path of a socket.
        address: String,
        /// The cause.
        source: std::io::Error,
        /// What to do.
        help: &'static str,
    },
    /// The kernel refused a descriptor.
    #[error("the sources that are pushed to cannot start: {0}; nothing was taken")]
    System(std::io::Error),
    /// The kernel refused a thread.
    #[error("source {source_name}: cannot start a thread: {source}")]
    Thread {
        /// Name of the source.
        source_name: String,
        /// The cause.
        source: std::io::Error,
    },
}

/// How many parts are at work.
#[derive(Debug, Default)]
struct AtWork {
    count: Mutex<usize>,
    changed: Condvar,
}

/// A part at work; dropping it ends it, also in a panic.
struct Working(Arc<AtWork>);

impl AtWork {
    fn begin(self: &Arc<Self>) -> Working {
        *self.count.lock().unwrap_or_else(|e| e.into_inner()) += 1;
        Working(self.clone())
    }

    /// Waits until nothing is at work, at most until `until`; whether nothing is.
    fn wait(&self, until: Instant) -> bool {
        let count = self.count.lock().unwrap_or_else(|e| e.into_inner());
        let left = until.saturating_duration_since(Instant::now());
        let (count, _) = self.changed.wait_timeout_while(count, left, |n| *n > 0).unwrap_or_else(|e| e.into_inner());
        *count == 0
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        *self.0.count.lock().unwrap_or_else(|e| e.into_inner()) -= 1;
        self.0.changed.notify_all();
    }
}

/// What the sources are started with.
pub struct Surroundings<'a> {
    /// Who this agent is.
    pub agent_id: &'a str,
    /// The queue.
    pub producer: Arc<dyn Producer>,
    /// Options of the queue: how long to wait for room.
    pub queue: &'a QueueOptions,
    /// Where network sources run.
    pub runtime: &'a Handle,
    /// Called when a source that can end (standard input) has ended.
    pub ended: Arc<dyn Fn() + Send + Sync>,
}

/// All sources of the agent that are pushed to.
pub struct PushSources {
    sources: Vec<(String, &'static str, Arc<Counters>)>,
    stopping: Arc<Stopping>,
    at_work: Arc<AtWork>,
    closing: watch::Sender<bool>,
}

impl PushSources {
    /// Starts all; each goes on in the streams that the queue remembers.
    ///
    /// # Errors
    /// [`PushError`] when one cannot start; those before it are stopped.
    pub fn start(options: Vec<PushOptions>, around: &Surroundings<'_>) -> Result<PushSources, PushError> {
        let stopping = Arc::new(Stopping::new().map_err(PushError::System)?);
        let mut all = PushSources { sources: Vec::new(), stopping, at_work: Arc::default(), closing: watch::Sender::new(false) };
        for options in options {
            let options = Arc::new(options);
            let counters = Arc::new(Counters::default());
            all.sources.push((options.name.clone(), options.origin().0, counters.clone()));
            let producer = match options.process.clone() {
                Some(chain) => chain.before(around.producer.clone(), counters.before.clone()),
                None => around.producer.clone(),
            };
            let owner = Owner { producer, agent_id: around.agent_id.to_string(), options: options.clone(), counters };
            match &options.kind {
                PushKind::Stdin(_) => all.stdin(owner, around.ended.clone())?,
                PushKind::Http(http) => all.http(owner, http.clone(), around)?,
                PushKind::Journald(journal) => {
                    let (stopping, journal) = (all.stopping.clone(), journal.clone());
                    all.thread(&options.name, "journald", move || journald::follow(&owner, &journal, &stopping))?;
                }
                PushKind::Syslog(syslog) => all.syslog(owner, syslog.clone(), around)?,
            }
        }
        Ok(all)
    }

    fn stdin(&self, owner: Owner, ended: Arc<dyn Fn() + Send + Sync>) -> Result<(), PushError> {
        let (stopping, name) = (self.stopping.clone(), owner.options.name.clone());
        self.thread(&name, "stdin", move || {
            if stdin::read(std::io::stdin().as_fd(), &owner, &stopping) {
                tracing::info!("source {}: standard input has ended", owner.options.name);
                ended();
            }
        })
    }

    fn http(&self, owner: Owner, options: HttpInputOptions, around: &Surroundings<'_>) -> Result<(), PushError> {
        let _inside = around.runtime.enter();
        let name = owner.options.name.clone();
        let listening = http::listen(&options).map_err(|source| refused(&name, options.listen, source))?;
        tracing::info!("source {name}: http on {}", HttpInputOptions { listen: listening.address, ..options.clone() }.url());
        let pump = self.pump(&owner)?;
        let (closing, working) = (self.closing(), self.at_work.begin());
        let limits = http::Limits { max_block: around.queue.max_block, buffer_memory: around.queue.buffer_memory };
        around.runtime.spawn(async move {
            let _working = working;
            http::serve(listening, owner, options, pump, limits, closing).await;
        });
        Ok(())
    }

    fn syslog(&self, owner: Owner, options: SyslogOptions, around: &Surroundings<'_>) -> Result<(), PushError> {
        let _inside = around.runtime.enter();
        let name = owner.options.name.clone();
        let bound = options.listen.iter().map(|at| syslog::bind(at, &options).map_err(|source| refused(&name, at, source)));
        let listeners = bound.collect::<Result<Vec<_>, _>>()?;
        tracing::info!("source {name}: syslog on {}", owner.options.origin().1);
        let pump = self.pump(&owner)?;
        let (closing, working) = (self.closing.subscribe(), self.at_work.begin());
        around.runtime.spawn(async move {
            let _working = working;
            syslog::serve(listeners, owner, pump, options.max_connections, closing).await;
        });
        Ok(())
    }

    /// The threads behind a network source.
    fn pump(&self, owner: &Owner) -> Result<Pump, PushError> {
        let (pump, threads) = Pump::new(owner, &self.stopping);
        for (name, work) in threads {
            self.thread(&owner.options.name, name, work)?;
        }
        Ok(pump)
    }

    /// Is done when nothing new is to be taken.
    fn closing(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut closing = self.closing.subscribe();
        async move {
            // An error is the sender's end, which is the same.
            let _ = closing.wait_for(|closing| *closing).await;
        }
    }

    /// A thread that is waited for at the stop.
    fn thread(&self, source: &str, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), PushError> {
        let working = self.at_work.begin();
        let spawned = std::thread::Builder::new().name(name.into()).spawn(move || {
            let _working = working;
            work();
        });
        spawned.map(drop).map_err(|error| PushError::Thread { source_name: source.into(), source: error })
    }

    /// How each source stands, by its name. Cheap: reads counters.
    pub fn status(&self) -> BTreeMap<String, SourceStatus> {
        self.sources.iter().map(|(name, kind, counters)| (name.clone(), counters.status(kind))).collect()
    }

    /// Takes nothing new, and brings what was taken into the queue. Returns at `until` at the latest; whether all is there.
    pub fn drain(&self, until: Instant) -> bool {
        self.take_nothing_new();
        self.at_work.wait(until)
    }

    fn take_nothing_new(&self) {
        self.stopping.drain();
        self.closing.send_replace(true);
    }

    /// Stops. What was not done under `acks` was never acknowledged, and its sender sends it again (standard input aside).
    pub fn stop(self) {
        drop(self);
    }
}

fn refused(name: &str, address: impl ToString, source: std::io::Error) -> PushError {
    let help = match source.kind() {
        std::io::ErrorKind::AddrInUse => "another program has it: stop that one, or choose another `listen`",
        std::io::ErrorKind::PermissionDenied => "this user may not: choose a port above 1023, or a folder that it may write to",
        std::io::ErrorKind::AddrNotAvailable => "no interface of this machine has this address",
        _ => "choose another `listen`",
    };
    PushError::Listen { source_name: name.into(), address: address.to_string(), source, help }
}

impl Drop for PushSources {
    fn drop(&mut self) {
        self.take_nothing_new();
        self.stopping.stop();
        if !self.at_work.wait(Instant::now() + Duration::from_secs(5)) {
            tracing::warn!("a source does not stop; what it was taking is not acknowledged to its sender");
        }
    }
}
