//! `sinks.NAME` with `type: elasticsearch` in the configuration.

use crate::sink::{Auth, Compression, ProxyOptions, TlsOptions};
use std::time::Duration;

/// Options of an Elasticsearch sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElasticsearchOptions {
    /// Base URLs, such as `https://search:9200`.
    pub endpoints: Vec<String>,
    /// Index; `%Y`, `%m`, `%d` are the UTC date of the event.
    pub index: String,
    /// Ingest pipeline.
    pub pipeline: Option<String>,
    /// See [`Auth`].
    pub auth: Auth,
    /// See [`TlsOptions`].
    pub tls: TlsOptions,
    /// See [`ProxyOptions`].
    pub proxy: ProxyOptions,
    /// See [`Compression`].
    pub compression: Compression,
    /// Longest wait for an answer.
    pub timeout: Duration,
}

impl Default for ElasticsearchOptions {
    fn default() -> Self {
        ElasticsearchOptions {
            endpoints: Vec::new(),
            index: "logs-forebay".into(),
            pipeline: None,
            auth: Auth::None,
            tls: TlsOptions::default(),
            proxy: ProxyOptions::default(),
            compression: Compression::None,
            timeout: Duration::from_secs(30),
        }
    }
}
