//! `sources.NAME` with `type: file` in the configuration.

use crate::process::before::BeforeQueue;
use crate::queue::{Encoding, Format, LineEnding};
use std::time::Duration;

/// Where a file that is seen for the first time at the agent's very first start is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// At byte 0: nothing is missed.
    Beginning,
    /// At its end; files that appear later are read from byte 0.
    End,
}

/// In which encoding files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileEncoding {
    /// All in the same.
    Is(Encoding),
    /// In UTF-16, low or high byte first as the byte order mark of each says; without one, low byte first.
    Utf16,
}

/// What the lines of files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// The same in all files.
    Is(Format),
    /// As the first line of each file tells.
    Auto,
}

/// How changes in directories are noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watch {
    /// The kernel announces them, and where it does not tell of all (network file systems), directories are polled.
    #[default]
    Auto,
    /// The kernel announces them; what it does not tell of is found by the rescan.
    Inotify,
    /// All directories are polled; the kernel is asked for nothing.
    Poll,
}

/// What becomes of a line that is longer than `max_line_bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongLine {
    /// Its first bytes are an event with a mark; the rest is counted and skipped.
    Cut,
    /// It becomes several events, each with its own position and a mark; nothing is skipped.
    Split,
}

/// A known form of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// A timestamp, level or JSON object begins an event.
    Auto,
    /// Java and other languages of the JVM.
    Java,
    /// Python.
    Python,
    /// Go.
    Go,
    /// Ruby and Rails.
    Ruby,
    /// .NET.
    Dotnet,
}

/// Which lines make an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joining {
    /// As a [`Preset`] knows.
    Preset(Preset),
    /// A line joins the event before unless that has ended with `end`, `start` matches, or `proceed` does not.
    Patterns {
        /// A line that matches begins an event.
        start: Option<String>,
        /// A line that does not match begins an event (`continue_pattern`).
        proceed: Option<String>,
        /// A line that matches ends its event.
        end: Option<String>,
    },
}

/// How lines are joined to events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multiline {
    /// See [`Joining`].
    pub joining: Joining,
    /// Most lines of an event; the next line begins another.
    pub max_lines: u32,
    /// Most bytes of an event, the last delimiter aside; the line that would go beyond begins another. `None`: as
    /// `max_line_bytes`. A line that is longer by itself is an event by itself.
    pub max_bytes: Option<usize>,
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
    /// Longest line in bytes, its delimiter aside.
    pub max_line_bytes: usize,
    /// What becomes of a longer one.
    pub on_long_line: LongLine,
    /// See [`FileEncoding`].
    pub encoding: FileEncoding,
    /// What ends a line.
    pub line_ending: LineEnding,
    /// See [`FileFormat`].
    pub format: FileFormat,
    /// Whether streams of paths that the kubelet makes have the names in them as fields.
    pub kubernetes: bool,
    /// How often directories are listed even when no change was announced.
    pub rescan: Duration,
    /// See [`Watch`].
    pub watch: Watch,
    /// How often directories are looked at that are polled, or that the kernel does not watch.
    pub poll_interval: Duration,
    /// Files untouched for longer are not begun.
    pub ignore_older: Option<Duration>,
    /// The stream of a file that is gone, and was read, is forgotten after this.
    pub forget_after: Duration,
    /// See [`Multiline`].
    pub multiline: Option<Multiline>,
    /// Extra members of each document, as (dotted name, JSON value).
    pub fields: Vec<(String, String)>,
    /// The chain before the queue.
    pub process: Option<BeforeQueue>,
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
            on_long_line: LongLine::Cut,
            encoding: FileEncoding::Is(Encoding::UTF8),
            line_ending: LineEnding::Auto,
            format: FileFormat::Is(Format::Plain),
            kubernetes: false,
            rescan: Duration::from_secs(5),
            watch: Watch::Auto,
            poll_interval: Duration::from_secs(1),
            ignore_older: None,
            forget_after: Duration::from_secs(7 * 86_400),
            multiline: None,
            fields: Vec::new(),
            process: None,
        }
    }
}
