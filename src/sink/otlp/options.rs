//! `sinks.NAME` with `type: otlp` in the configuration.

use crate::sink::elasticsearch::{Auth, Compression, TlsOptions};
use std::time::Duration;

/// Options of an OTLP sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpOptions {
    /// Base URL, such as `http://collector:4318`; `/v1/logs` is put behind it.
    pub endpoint: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// See [`Auth`].
    pub auth: Auth,
    /// See [`TlsOptions`].
    pub tls: TlsOptions,
    /// See [`Compression`].
    pub compression: Compression,
    /// Longest wait for an answer.
    pub timeout: Duration,
}

impl Default for OtlpOptions {
    fn default() -> Self {
        OtlpOptions {
            endpoint: String::new(),
            headers: Vec::new(),
            auth: Auth::None,
            tls: TlsOptions::default(),
            compression: Compression::None,
            timeout: Duration::from_secs(30),
        }
    }
}
