//! Rotating NDJSON files on this machine.

mod options;

pub use options::FileSinkOptions;
