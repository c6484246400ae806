//! `sinks.NAME` with `type: http` in the configuration.

use crate::sink::{Auth, Compression, ProxyOptions, TlsOptions};
use std::time::Duration;

/// Form of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// One document a line.
    Ndjson,
    /// One JSON array of documents.
    JsonArray,
}

/// Options of an HTTP sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpOptions {
    /// Where to send.
    pub url: String,
    /// `POST` or `PUT`.
    pub method: String,
    /// See [`BodyFormat`].
    pub format: BodyFormat,
    /// Further headers.
    pub headers: Vec<(String, String)>,
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

impl Default for HttpOptions {
    fn default() -> Self {
        HttpOptions {
            url: String::new(),
            method: "POST".into(),
            format: BodyFormat::Ndjson,
            headers: Vec::new(),
            auth: Auth::None,
            tls: TlsOptions::default(),
            proxy: ProxyOptions::default(),
            compression: Compression::None,
            timeout: Duration::from_secs(30),
        }
    }
}
