//! Elasticsearch and OpenSearch: the `_bulk` API with `create` and deterministic IDs.

mod options;

pub use options::{Auth, Compression, ElasticsearchOptions, TlsOptions};
