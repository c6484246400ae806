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
//! | `window` | how many batches may be in flight |
//! | `transport` | HTTP with TLS, log-in and time-outs |
//! | `verdict` | what a status means where a body is taken or refused as a whole |

mod body;
pub(crate) mod client;
pub mod console;
pub(crate) mod dead_letter;
mod delivery;
pub mod elasticsearch;
mod event_id;
pub mod file;
mod gate;
pub mod http;
mod job;
pub mod loki;
mod ndjson;
mod options;
pub mod otlp;
mod start;
mod stats;
#[cfg(test)]
mod testing;
mod transport;
mod verdict;
mod window;

pub(crate) use dead_letter::base64;
pub use options::{BatchOptions, RetryOptions, SinkKind, SinkOptions};
pub use start::{Sink, SinkError};
