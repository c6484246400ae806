//! `sinks.NAME` with `type: loki` in the configuration.

use crate::sink::ConnectionOptions;

/// Options of a Loki sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LokiOptions {
    /// Base URL, such as `http://loki:3100`; `/loki/api/v1/push` is put behind it.
    pub endpoint: String,
    /// Tenant: the header `X-Scope-OrgID`.
    pub tenant: Option<String>,
    /// Labels and the fields that they come from, such as `host` and `host.name`. Fields that an event has not are left out.
    pub labels: Vec<(String, String)>,
    /// Whether all other fields go with each entry as structured metadata (Loki 3, or 2.9 where it is allowed).
    pub structured_metadata: bool,
    /// How it is reached.
    pub connection: ConnectionOptions,
}

impl Default for LokiOptions {
    fn default() -> Self {
        let label = |name: &str, field: &str| (name.to_string(), field.to_string());
        LokiOptions {
            endpoint: String::new(),
            tenant: None,
            labels: vec![label("host", "host.name"), label("service_name", "service.name")],
            structured_metadata: true,
            connection: ConnectionOptions::default(),
        }
    }
}
