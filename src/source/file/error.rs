//! Why file sources cannot start.

/// Why file sources cannot start. Nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A glob is not one.
    #[error("source {source_name}: `{pattern}` is not a glob: {reason}; nothing of this source is read until it is mended")]
    Glob {
        /// Name of the source.
        source_name: String,
        /// The glob as configured.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A pattern of a multiline source is no regular expression.
    #[error("source {source_name}: multiline.{key} `{pattern}` is not a regular expression: {reason}")]
    Pattern {
        /// Name of the source.
        source_name: String,
        /// Which of the patterns.
        key: &'static str,
        /// The pattern as configured.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The kernel refused a thread or a descriptor.
    #[error("cannot start the file reader ({what}): {source}")]
    Start {
        /// What was refused.
        what: &'static str,
        /// The cause.
        source: std::io::Error,
    },
}
