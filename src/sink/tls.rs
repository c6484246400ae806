//! TLS of the HTTP sinks.

use std::path::PathBuf;

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
