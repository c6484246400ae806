//! Elasticsearch and OpenSearch: the `_bulk` API with `create` and deterministic IDs.

mod answer;
mod bulk;
mod classify;
mod encode;
pub(crate) mod index;
mod options;
pub(crate) mod pattern;
mod remedy;
mod rollover;
mod uniform;

pub(crate) use bulk::BulkClient;
pub(crate) use encode::{BulkEncoder, documents_of};
pub use options::{DataStreamOptions, ElasticsearchOptions};
