//! Grafana Loki: its push API, with JSON.
//!
//! Rules: "Push logs to Loki" of Loki's HTTP API. Loki drops an entry whose stream, time and line it has already; so the time of an
//! entry has the event's place in the queue in its last six digits, where the event's own time has nothing there: two equal
//! lines stay two, and a batch that is sent again comes to nothing.
//!
//! | answer | meaning |
//! |---|---|
//! | 204 | delivered |
//! | 408, 425, 429, 5xx, none | sent again |
//! | 413, or 500 because the request is too large for Loki's gRPC | halves |
//! | 400, 422 | Loki has taken the entries that it can; halves, down to those that it refuses (too old, a line too long) |
//! | all others | held: a person must mend something; nothing is dropped |

mod encode;
mod options;
mod send;

pub(crate) use encode::LokiEncoder;
pub use options::LokiOptions;
pub(crate) use send::LokiClient;
