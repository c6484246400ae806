//! Where events go. Each sink is a consumer group; the delivery engine gives all of them
//! batches with stable IDs, retries, dead letters and metrics, so that a new sink is an
//! encoder and a `send`.
//!
//! | file | idea |
//! |---|---|
//! | `client` | the two traits that a kind of sink implements |
//! | `delivery` | the thread that fetches and encodes |
//! | `job` | one batch in flight: retries, splits, dead letters, ack |
//! | `gate` | backoff shared by all batches of a sink |
//! | `endpoints` | which of several endpoints is next |
//! | `transport` | HTTP with TLS, log-in and time-outs |

mod auth;
mod body;
pub(crate) mod client;
mod compression;
pub mod console;
pub(crate) mod dead_letter;
mod delivery;
pub mod elasticsearch;
mod endpoints;
mod event_id;
pub mod file;
mod gate;
pub mod http;
mod job;
mod ndjson;
mod options;
mod slots;
mod start;
mod stats;
#[cfg(test)]
mod testing;
mod tls;
mod transport;

pub use auth::Auth;
pub use compression::Compression;
pub(crate) use dead_letter::base64;
pub use options::{BatchOptions, RetryOptions, SinkKind, SinkOptions};
pub use start::{Sink, SinkError};
pub use tls::TlsOptions;
