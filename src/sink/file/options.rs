//! `sinks.NAME` with `type: file` in the configuration.

use std::path::PathBuf;

/// Options of a file sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSinkOptions {
    /// The file that is written; rotated ones get `.1`, `.2`, ….
    pub path: PathBuf,
    /// Rotate when the file would grow beyond this many bytes.
    pub rotate_bytes: u64,
    /// Rotated files to keep.
    pub keep: u32,
}

impl Default for FileSinkOptions {
    fn default() -> Self {
        FileSinkOptions { path: PathBuf::new(), rotate_bytes: 100 << 20, keep: 10 }
    }
}
