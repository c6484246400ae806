//! Rotating NDJSON files on this machine.

mod append;
mod options;
mod sidecar;

pub(crate) use append::FileClient;
pub use options::FileSinkOptions;
