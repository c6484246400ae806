//! Where events go. Each sink is a consumer group; the delivery engine gives all of them
//! batches with stable IDs, retries, dead letters and metrics, so that a new sink is an
//! encoder and a `send`.

pub mod console;
pub mod elasticsearch;
pub mod file;
pub mod http;
mod options;

pub use options::{BatchOptions, RetryOptions, SinkKind, SinkOptions};
