//! What all sinks share that speak HTTP: how the receiver is reached.

use super::{Auth, Compression, ProxyOptions, TlsOptions};
use std::time::Duration;

/// How a receiver is reached by HTTP: `auth`, `tls`, `proxy`, `compression` and `timeout` of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionOptions {
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

impl Default for ConnectionOptions {
    fn default() -> Self {
        ConnectionOptions {
            auth: Auth::None,
            tls: TlsOptions::default(),
            proxy: ProxyOptions::default(),
            compression: Compression::None,
            timeout: Duration::from_secs(30),
        }
    }
}
