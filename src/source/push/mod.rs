//! Sources that are pushed to: standard input, HTTP, syslog, the systemd journal. What they get exists nowhere else
//! (the journal aside), so a sender is told "done" only when the queue has its events under the configured `acks`.
//!
//! - `inlet`: one stream of the queue that events are appended to, and how memory for them is had.
//! - `pump`: the two threads behind the network sources: one appends, one waits until what was appended is done.
//! - `cutter`: lines out of a stream of bytes.
//! - `stdin`, `http`, `syslog`, `journald`: one kind of source each.
//!
//! **Identity.** A push input has no place to be read again from, so its events are named by where they stand in the
//! queue ([`RunFlags::NO_POSITION`](crate::queue::RunFlags::NO_POSITION): queue UUID, topic, partition, epoch, offset).
//! After `kill -9` the byte counter of a stream goes on from its durable end and may give bytes out again that were
//! appended but never durable; the offset with its epoch never names two events, so no ID does.

mod counters;
mod cutter;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod inlet;
mod journald;
mod lines;
mod options;
mod pump;
mod sources;
mod stdin;
mod stopping;
mod syslog;
mod tls;

pub use options::{
    HttpInputOptions, JournaldOptions, MAX_BODY, PushKind, PushOptions, StdinOptions, SyslogAddress, SyslogOptions, TlsServerOptions,
};
pub use sources::{PushError, PushSources, Surroundings};
