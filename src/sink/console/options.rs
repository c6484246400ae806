//! `sinks.NAME` with `type: console` in the configuration.

/// What is printed of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ConsoleFormat {
    /// The whole document, one JSON object a line.
    #[default]
    Json,
    /// The message alone.
    Text,
}

/// Options of a console sink.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ConsoleOptions {
    /// See [`ConsoleFormat`].
    pub format: ConsoleFormat,
}
