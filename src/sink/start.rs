//! A running sink.

use super::body_limit::BodyLimit;
use super::client::{Client, Encoder, Report};
use super::delivery::Delivery;
use super::gate::Gate;
use super::job::Shared;
use super::memory::BodyMemory;
use super::refusals::Refusals;
use super::stats::Stats;
use super::window::Window;
use super::{SinkKind, SinkOptions, console, elasticsearch, file, http, loki, otlp};
use crate::admin::SinkStatus;
use crate::queue::{Consumer, DeadLetters, Overwriting};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// Why a sink cannot start. Nothing was taken from the queue.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// An endpoint is no usable URL.
    #[error("sink {sink}: {url} cannot be used: {reason}; expected something like https://search:9200")]
    Endpoint {
        /// The sink.
        sink: String,
        /// The URL, without credentials.
        url: String,
        /// Why not.
        reason: String,
    },
    /// A certificate or key cannot be used.
    #[error("sink {sink}: TLS: {reason}")]
    Tls {
        /// The sink.
        sink: String,
        /// What is wrong, with the file's name.
        reason: String,
    },
    /// An option cannot be used.
    #[error("sink {sink}: {reason}")]
    Option {
        /// The sink.
        sink: String,
        /// What is wrong.
        reason: String,
    },
    /// A file cannot be opened.
    #[error("sink {sink}: cannot open {}: {source}", path.display())]
    File {
        /// The sink.
        sink: String,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The thread cannot be started.
    #[error("sink {sink}: cannot start its thread: {source}")]
    Thread {
        /// The sink.
        sink: String,
        /// The cause.
        source: std::io::Error,
    },
}

/// A running sink: a consumer group with a thread of its own and its batches in flight.
pub struct Sink {
    kind: &'static str,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Sink {
    /// Starts a sink that consumes from `consumer` and sends on `runtime`.
    ///
    /// `memory` is what all sinks share for their bodies.
    ///
    /// # Errors
    /// [`SinkError`] where the options cannot be used at all. A receiver that is down is no error.
    pub fn start(
        options: SinkOptions,
        host_name: &str,
        consumer: Box<dyn Consumer>,
        dead_letters: Arc<dyn DeadLetters>,
        runtime: tokio::runtime::Handle,
        memory: &Arc<BodyMemory>,
    ) -> Result<Sink, SinkError> {
        let scope = options.previous_name.clone().unwrap_or_else(|| options.name.clone());
        let (kind, mut encoder, client, in_flight) = build(&options, &scope, host_name)?;
        if let (Some(chain), Some(shaping)) = (&options.process, encoder.shaping()) {
            shaping.through(chain.clone());
        }
        Self::start_with(options, kind, encoder, client, in_flight, consumer, dead_letters, runtime, memory)
    }

    #[expect(clippy::too_many_arguments, reason = "the seam where tests put their own client")]
    pub(crate) fn start_with(
        options: SinkOptions,
        kind: &'static str,
        encoder: Box<dyn Encoder>,
        client: Box<dyn Client>,
        in_flight: u32,
        consumer: Box<dyn Consumer>,
        dead_letters: Arc<dyn DeadLetters>,
        runtime: tokio::runtime::Handle,
        memory: &Arc<BodyMemory>,
    ) -> Result<Sink, SinkError> {
        let shared = Arc::new(Shared {
            scope: options.previous_name.unwrap_or_else(|| options.name.clone()),
            retry: options.retry,
            stats: Stats::default(),
            gate: Gate::default(),
            client,
            acker: consumer.acker(),
            dead_letters,
            body_limit: BodyLimit::new(options.batch.max_bytes),
            memory: memory.share(),
            window: Window::new(in_flight),
            no_overwrite: AtomicBool::new(false),
            told_doubled: AtomicBool::new(false),
            refusals: Refusals::default(),
            name: options.name.clone(),
        });
        let (stop, stopped) = watch::channel(false);
        let delivery = Delivery { shared: shared.clone(), batch: options.batch, encoder, consumer, runtime, stop: stopped };
        let thread = std::thread::Builder::new()
            .name(format!("sink-{}", options.name))
            .spawn(move || delivery.run())
            .map_err(|source| SinkError::Thread { sink: options.name, source })?;
        Ok(Sink { kind, shared, stop, thread: Some(thread) })
    }

    /// How the sink stands; lag and offsets are left for the queue to fill in.
    pub fn status(&self) -> SinkStatus {
        let mut status = self.shared.stats.status(self.kind);
        (status.in_flight_limit, status.in_flight_most) = (self.shared.window.limit().into(), self.shared.window.most().into());
        let Report { endpoints, notices } = self.shared.client.report();
        (status.endpoints, status.notices) = (endpoints, notices);
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) && !*self.stop.borrow() {
            status.state = "held".into();
            status.reason =
                "its thread has ended (the queue is closed, or it failed: see the log); what is not delivered stays in the queue".into();
        }
        status
    }

    /// Asks the target what it makes of events that are to replace what it has; for at most ten seconds.
    pub fn overwriting(&self) -> impl Future<Output = Overwriting> + Send + use<> {
        let shared = self.shared.clone();
        async move {
            let asked = tokio::time::timeout(Duration::from_secs(10), shared.client.overwriting()).await;
            asked.unwrap_or_else(|_| Overwriting::Unknown("its target could not be asked whether it takes replacements: no answer".into()))
        }
    }

    /// Whether nothing is in flight. Only together with a lag of zero does it mean that all is delivered.
    pub fn idle(&self) -> bool {
        self.shared.stats.in_flight.load(Relaxed) == 0
    }

    /// Tells the sink to stop, without waiting: several stop in the time of one.
    pub fn begin_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Stops at once. What is in flight stays unacked: the queue's journal remembers it, and it is sent again
    /// under the same IDs. Waits for the sink's thread, at most about half a second.
    pub fn stop(mut self) {
        self.begin_stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of sink {} had panicked; what it held is still in the queue", self.shared.name);
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

type Built = (&'static str, Box<dyn Encoder>, Box<dyn Client>, u32);

fn build(options: &SinkOptions, scope: &str, host_name: &str) -> Result<Built, SinkError> {
    let (name, many) = (options.name.as_str(), options.in_flight);
    Ok(match &options.kind {
        SinkKind::Elasticsearch(kind) => {
            let encoder = elasticsearch::BulkEncoder::new(scope, host_name, kind)
                .map_err(|reason| SinkError::Option { sink: name.into(), reason })?;
            ("elasticsearch", Box::new(encoder), Box::new(elasticsearch::BulkClient::new(name, kind, many)?), many)
        }
        SinkKind::Http(kind) => {
            let encoder = http::encoder(host_name, kind.format);
            ("http", encoder, Box::new(http::HttpClient::new(name, kind, many)?), many)
        }
        SinkKind::Loki(kind) => {
            let encoder = loki::LokiEncoder::new(host_name, &kind.labels, kind.structured_metadata);
            ("loki", Box::new(encoder), Box::new(loki::LokiClient::new(name, kind, many)?), many)
        }
        SinkKind::Otlp(kind) => {
            ("otlp", Box::new(otlp::OtlpEncoder::new(scope, host_name)), Box::new(otlp::OtlpClient::new(name, kind, many)?), many)
        }
        // What is appended to one file, in order, cannot be in flight twice.
        SinkKind::File(kind) => {
            ("file", Box::new(super::ndjson::LineEncoder::new(host_name)), Box::new(file::FileClient::new(name, kind)?), 1)
        }
        SinkKind::Console(kind) => ("console", console::encoder(host_name, kind.format), Box::new(console::ConsoleClient::stdout()), 1),
    })
}
