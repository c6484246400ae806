//! Where events go. Each sink is a consumer group; the delivery engine gives all of them
//! batches with stable IDs, retries, dead letters and metrics, so that a new sink is an
//! encoder and a `send`.
//!
//! | file | idea |
//! |---|---|
//! | `client` | the two traits that a kind of sink implements |
//! | `delivery` | the thread that fetches and encodes |
//! | `job` | one batch in flight: retries, splits, dead letters, ack |
//! | `memory`, `body`, `body_limit` | what bodies may take, their buffers, and what a receiver takes at once |
//! | `gate` | backoff shared by all batches of a sink |
//! | `window` | how many batches may be in flight |
//! | `endpoints`, `target` | which of several endpoints is next; the one where there are not several |
//! | `transport` | HTTP: a request over a connection that is there, or a new one (`pool`, `connect`) |
//! | `tls`, `auth`, `proxy` | trust, log-in and way, read again when their files change (`watched`) |
//! | `refusals` | whether refusals are the events' fault or a setting's |
//! | `verdict` | what a status means where a body is taken or refused as a whole |

mod auth;
mod body;
mod body_limit;
mod certificate;
pub(crate) mod client;
mod compression;
mod connect;
mod connection;
pub mod console;
pub(crate) mod dead_letter;
mod delivery;
mod driven;
pub mod elasticsearch;
mod endpoints;
mod event_id;
pub mod file;
mod gate;
pub mod http;
mod job;
pub mod loki;
mod memory;
mod ndjson;
mod options;
pub mod otlp;
mod pool;
mod proxy;
mod refusals;
mod retry_after;
mod start;
mod stats;
mod target;
#[cfg(test)]
pub(crate) mod testing;
mod tls;
pub(crate) mod transport;
mod trusted;
mod verdict;
mod watched;
mod window;

pub use auth::Auth;
pub use compression::Compression;
pub use connection::ConnectionOptions;
pub(crate) use dead_letter::base64;
pub use memory::BodyMemory;
pub use options::{BatchOptions, RetryOptions, SinkKind, SinkOptions};
pub use proxy::ProxyOptions;
pub use start::{Sink, SinkError};
pub use tls::{TlsOptions, TlsVersion};
