//! The file source: follows log files through growth, rotation and truncation.
//!
//! One thread ([`FileSources`]) drives one tailer: `watch` hints where something changed, `listing`
//! is the truth behind the hints, `discover` decides which file a name means, `resume` where
//! reading goes on, `copies` what a copy is good for, and `read` turns bytes into blocks for the
//! queue. Positions live in the queue, nowhere else.
//!
//! A generation that was compressed before it was read to its end is read from the compressed file
//! (`compressed`, gzip and zstd), unless it was open: then it is read to its end, though its name is gone.

mod again;
mod announce;
mod aside;
mod by_path;
mod catch_up;
mod compressed;
mod copies;
mod counters;
mod discover;
mod drain;
mod error;
mod expire;
pub(crate) mod filesystem;
mod flush;
#[doc(hidden)]
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod globs;
mod gone;
mod grammar;
mod horizon;
mod inflate;
mod kubernetes;
pub(in crate::source) mod lines;
mod links;
mod listing;
mod marks;
mod missed;
mod multiline;
mod not_followed;
mod open_files;
mod options;
mod polling;
mod read;
mod records;
mod renumbered;
mod resume;
pub(crate) mod sample;
mod shared;
pub(crate) mod survey;
mod tailer;
#[cfg(test)]
mod tests;
mod thread;
mod tracked;
mod unreadable;
mod watch;

pub use error::SourceError;
pub use options::{FileEncoding, FileFormat, FileOptions, Joining, LongLine, Multiline, Preset, StartAt, Watch};
pub use thread::FileSources;
