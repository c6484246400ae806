//! `sources.NAME` with `type: file` in the configuration.

use std::time::Duration;

/// Where a file that is seen for the first time at the agent's very first start is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// At byte 0: nothing is missed.
    Beginning,
    /// At its end; files that appear later are read from byte 0.
    End,
}

/// How lines are joined to events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multiline {
    /// A line that matches begins an event; lines that do not match belong to the event before.
    pub start_pattern: String,
    /// Most lines of an event; the next line begins another.
    pub max_lines: u32,
    /// An event without a successor is complete after this quiet time.
    pub timeout: Duration,
}

/// Options of a file source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOptions {
    /// Name in the configuration.
    pub name: String,
    /// Topic for its records.
    pub topic: String,
    /// Globs of the files to follow; `**` crosses directories.
    pub include: Vec<String>,
    /// Globs of files to leave out.
    pub exclude: Vec<String>,
    /// See [`StartAt`].
    pub start_at: StartAt,
    /// A last line without newline is an event after this quiet time.
    pub idle_flush: Duration,
    /// Longest event in bytes; of a longer one the first bytes are kept and the rest is counted.
    pub max_line_bytes: usize,
    /// How often directories are listed even when no change was announced.
    pub rescan: Duration,
    /// Files untouched for longer are not begun.
    pub ignore_older: Option<Duration>,
    /// See [`Multiline`].
    pub multiline: Option<Multiline>,
    /// Extra members of each document, as (dotted name, JSON value).
    pub fields: Vec<(String, String)>,
}

impl Default for FileOptions {
    fn default() -> Self {
        FileOptions {
            name: String::new(),
            topic: "logs".into(),
            include: Vec::new(),
            exclude: Vec::new(),
            start_at: StartAt::Beginning,
            idle_flush: Duration::from_secs(5),
            max_line_bytes: 1 << 20,
            rescan: Duration::from_secs(5),
            ignore_older: None,
            multiline: None,
            fields: Vec::new(),
        }
    }
}
