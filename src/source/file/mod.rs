//! The file source: follows log files through growth, rotation and truncation.

mod options;

pub use options::{FileOptions, Multiline, StartAt};
