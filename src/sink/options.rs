//! `sinks.NAME` in the configuration: what all sinks share.

use super::{console::ConsoleOptions, elasticsearch::ElasticsearchOptions, file::FileSinkOptions, http::HttpOptions};
use super::{loki::LokiOptions, otlp::OtlpOptions};
use crate::process::chain::Chain;
use crate::queue::CatchUp;
use std::time::Duration;

/// How batches are cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// Most bytes of an encoded batch, before compression.
    pub max_bytes: usize,
    /// Most events.
    pub max_events: u32,
    /// How long a batch that is not full waits for more.
    pub linger: Duration,
}

/// How a failed batch is tried again: without end, with exponential backoff and full jitter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryOptions {
    /// First backoff.
    pub initial: Duration,
    /// Longest backoff.
    pub max: Duration,
}

/// What kind of sink, with its own options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// `type: elasticsearch` (OpenSearch too).
    Elasticsearch(ElasticsearchOptions),
    /// `type: http`.
    Http(HttpOptions),
    /// `type: loki`.
    Loki(LokiOptions),
    /// `type: otlp`.
    Otlp(OtlpOptions),
    /// `type: file`.
    File(FileSinkOptions),
    /// `type: console`.
    Console(ConsoleOptions),
}

/// Options of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkOptions {
    /// Name in the configuration: the consumer group.
    pub name: String,
    /// Earlier name of the sink, whose offsets (and IDs) it inherits.
    pub previous_name: Option<String>,
    /// Topics it consumes; empty: all but the dead letters.
    pub topics: Vec<String>,
    /// In which order it takes what it is behind with.
    pub catch_up: CatchUp,
    /// See [`BatchOptions`].
    pub batch: BatchOptions,
    /// Most batches in flight; how many there are is found out (see `window`).
    pub in_flight: u32,
    /// See [`RetryOptions`].
    pub retry: RetryOptions,
    /// What its events go through on the way.
    pub process: Option<Chain>,
    /// The kind and its options.
    pub kind: SinkKind,
}

impl SinkOptions {
    /// The defaults for a sink of this kind.
    pub fn new(name: &str, kind: SinkKind) -> SinkOptions {
        SinkOptions {
            name: name.to_string(),
            previous_name: None,
            topics: Vec::new(),
            catch_up: CatchUp::default(),
            batch: BatchOptions { max_bytes: 5 << 20, max_events: 50_000, linger: Duration::from_millis(200) },
            in_flight: 4,
            retry: RetryOptions { initial: Duration::from_millis(200), max: Duration::from_secs(15) },
            process: None,
            kind,
        }
    }

    /// The kind, and where it sends, without secrets.
    pub(crate) fn target(&self) -> (&'static str, String) {
        match &self.kind {
            SinkKind::Elasticsearch(own) => ("elasticsearch", format!("{} {}", own.endpoints.join(", "), own.target())),
            // The path of a webhook is often its key, and a query may carry one.
            SinkKind::Http(own) => ("http", own.url.split('/').take(3).collect::<Vec<_>>().join("/")),
            SinkKind::Loki(own) => ("loki", own.endpoint.clone()),
            SinkKind::Otlp(own) => ("otlp", own.endpoint.clone()),
            SinkKind::File(own) => ("file", own.path.display().to_string()),
            SinkKind::Console(_) => ("console", "standard output".to_string()),
        }
    }
}
