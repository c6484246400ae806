//! The file source: follows log files through growth, rotation and truncation.
//!
//! One thread ([`FileSources`]) drives one [`tailer::Tailer`]: [`watch`] hints where something
//! changed, [`discover`] decides which file a name means, [`resume`] where reading goes on,
//! [`read`] turns bytes into blocks for the queue. Positions live in the queue, nowhere else.

mod copies;
mod counters;
mod discover;
mod error;
mod globs;
mod lines;
mod multiline;
mod options;
mod read;
mod resume;
mod tailer;
#[cfg(test)]
mod tests;
mod thread;
mod tracked;
mod watch;

pub use error::SourceError;
pub use options::{FileOptions, Multiline, StartAt};
pub use thread::FileSources;
