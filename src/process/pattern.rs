//! Regular expressions of the configuration: linear time, with bounds on their size.

use regex::{Regex, RegexBuilder};

/// Compiles a regular expression; the error is in words and on one line.
pub(crate) fn regex(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(4 << 20).dfa_size_limit(4 << 20).build().map_err(|error| {
        let text = error.to_string();
        text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_string()
    })
}
