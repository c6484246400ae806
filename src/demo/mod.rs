//! Shows in a minute that nothing is lost and nothing comes twice.

/// Options of `forebay demo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoOptions {
    /// How long lines are written, seconds.
    pub seconds: u64,
    /// Lines per second to write; `None`: a rate that the demo chooses.
    pub rate: Option<u64>,
    /// No live view, just lines of text.
    pub plain: bool,
}

/// Runs the demo; `true` when every line arrived once.
///
/// # Errors
/// What hindered the demo, in words.
pub fn run(_options: DemoOptions) -> Result<bool, String> {
    Err("the demo is not in this build".into())
}
