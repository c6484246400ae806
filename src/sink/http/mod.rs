//! Any HTTP endpoint: NDJSON or a JSON array, with `Idempotency-Key: <batch ID>`.
//!
//! | answer | meaning |
//! |---|---|
//! | 2xx | delivered |
//! | 408, 409, 425, 429, 5xx, none | sent again under the same key (409: the earlier request is still being worked on) |
//! | 413 | halves, each under a key of its own that is the same at each retry; a single event is dead-lettered |
//! | 400, 422 | likewise: halves down to the event that causes it |
//! | 3xx and all others | held: a person must mend something; nothing is dropped |

mod array;
mod options;
mod post;

use super::client::Encoder;
use super::ndjson::LineEncoder;
pub use options::{BodyFormat, HttpOptions};
pub(crate) use post::{HttpClient, header_map};

/// The encoder for a format.
pub(crate) fn encoder(host_name: &str, format: BodyFormat) -> Box<dyn Encoder> {
    match format {
        BodyFormat::Ndjson => Box::new(LineEncoder::new(host_name)),
        BodyFormat::JsonArray => Box::new(array::ArrayEncoder::new(host_name)),
    }
}
