//! Standard output, for a look at what would be sent.

mod options;
mod print;

use super::client::Encoder;
use super::ndjson::LineEncoder;
pub use options::{ConsoleFormat, ConsoleOptions};
pub(crate) use print::ConsoleClient;

/// The encoder for a format.
pub(crate) fn encoder(host_name: &str, format: ConsoleFormat) -> Box<dyn Encoder> {
    match format {
        ConsoleFormat::Json => Box::new(LineEncoder::new(host_name)),
        ConsoleFormat::Text => Box::new(print::TextEncoder),
    }
}
