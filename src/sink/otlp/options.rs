//! `sinks.NAME` with `type: otlp` in the configuration.

use crate::sink::ConnectionOptions;

/// Options of an OTLP sink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtlpOptions {
    /// Base URL, such as `http://collector:4318`; `/v1/logs` is put behind it.
    pub endpoint: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// How it is reached.
    pub connection: ConnectionOptions,
}
