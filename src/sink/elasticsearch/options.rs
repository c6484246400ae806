//! `sinks.NAME` with `type: elasticsearch` in the configuration.

use crate::config::Secret;
use crate::sink::dead_letter::base64;
use std::path::PathBuf;
use std::time::Duration;

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// `auth: {user: …, password: …}`.
    Basic {
        /// User name.
        user: String,
        /// Password.
        password: Secret,
    },
    /// `auth: {api_key: …}`: the base64 form that Elasticsearch hands out.
    ApiKey(Secret),
    /// `auth: {bearer: …}`.
    Bearer(Secret),
}

impl Auth {
    /// The `Authorization` header, where there is one (RFC 7617, RFC 6750; `ApiKey` is Elasticsearch's own). A secret.
    pub(crate) fn authorization(&self) -> Option<String> {
        match self {
            Auth::None => None,
            Auth::Basic { user, password } => Some(format!("Basic {}", base64(format!("{user}:{}", password.expose()).as_bytes()))),
            Auth::ApiKey(key) => Some(format!("ApiKey {}", key.expose())),
            Auth::Bearer(token) => Some(format!("Bearer {}", token.expose())),
        }
    }
}

/// Compression of request bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// `gzip` at this level (1 to 9).
    Gzip(u32),
}

/// TLS of an HTTP client; verified unless told otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TlsOptions {
    /// PEM file of the certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client's certificate chain.
    pub cert_file: Option<PathBuf>,
    /// PEM file of the client's key.
    pub key_file: Option<PathBuf>,
    /// `verify: false` accepts any certificate (said loudly at each start).
    pub insecure: bool,
}

/// A data stream after the naming scheme: `TYPE-DATASET-NAMESPACE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataStreamOptions {
    /// `type`: the first part of the name.
    pub kind: String,
    /// The second part; may name fields of the source: `{service.name:generic}`.
    pub dataset: String,
    /// The third part; may name fields too.
    pub namespace: String,
}

impl Default for DataStreamOptions {
    fn default() -> Self {
        DataStreamOptions { kind: "logs".into(), dataset: "generic".into(), namespace: "default".into() }
    }
}

/// Options of an Elasticsearch sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElasticsearchOptions {
    /// Base URLs, such as `https://search:9200`.
    pub endpoints: Vec<String>,
    /// Index; `%Y`, `%m`, `%d` are the UTC date of the event, `{service.name:none}` a field of its source.
    pub index: String,
    /// The data stream to which the events go instead of `index`.
    pub data_stream: Option<DataStreamOptions>,
    /// `routing` of each event; may name fields, and is left out where a stream has none of that name.
    pub routing: Option<String>,
    /// `include: batch_id`: each document tells the batch that brought it.
    pub include_batch_id: bool,
    /// Ingest pipeline.
    pub pipeline: Option<String>,
    /// See [`Auth`].
    pub auth: Auth,
    /// See [`TlsOptions`].
    pub tls: TlsOptions,
    /// See [`Compression`].
    pub compression: Compression,
    /// Longest wait for an answer.
    pub timeout: Duration,
}

impl ElasticsearchOptions {
    /// The target as it is configured.
    pub(crate) fn target(&self) -> String {
        match &self.data_stream {
            None => format!("index {}", self.index),
            Some(own) => format!("data stream {}-{}-{}", own.kind, own.dataset, own.namespace),
        }
    }
}

impl Default for ElasticsearchOptions {
    fn default() -> Self {
        ElasticsearchOptions {
            endpoints: Vec::new(),
            index: "logs-forebay".into(),
            data_stream: None,
            routing: None,
            include_batch_id: false,
            pipeline: None,
            auth: Auth::None,
            tls: TlsOptions::default(),
            compression: Compression::None,
            timeout: Duration::from_secs(30),
        }
    }
}
