//! Any HTTP endpoint: NDJSON or a JSON array, with `Idempotency-Key: <batch ID>`.

mod options;

pub use options::{BodyFormat, HttpOptions};
