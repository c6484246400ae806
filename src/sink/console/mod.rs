//! Standard output, for a look at what would be sent.

mod options;

pub use options::{ConsoleFormat, ConsoleOptions};
