//! Joins lines to events: an event begins at a line that matches the start pattern.

use super::lines::{Split, delimiter};
use super::{Multiline, SourceError};
use memchr::memchr_iter;
use regex::bytes::Regex;
use std::time::Duration;

/// A compiled [`Multiline`].
#[derive(Debug)]
pub(crate) struct Multi {
    start: Regex,
    max_lines: u32,
    pub(crate) timeout: Duration,
}

impl Multi {
    pub(crate) fn new(source: &str, options: &Multiline) -> Result<Multi, SourceError> {
        let start = Regex::new(&options.start_pattern).map_err(|e| SourceError::Pattern {
            source_name: source.to_owned(),
            pattern: options.start_pattern.clone(),
            reason: e.to_string(),
        })?;
        Ok(Multi { start, max_lines: options.max_lines.max(1), timeout: options.timeout })
    }

    /// Splits like [`super::lines::split_lines`], but an event ends only before the next start line, at `max_lines`,
    /// or before the line with which it would exceed `max` bytes. The last event stays unless one of these ends it.
    pub(crate) fn split(&self, data: &[u8], max: usize, lens: &mut Vec<u8>) -> Split {
        let mut split = Split::default();
        let (mut at, mut lines, mut ends) = (0, 0, 0);
        for newline in memchr_iter(b'\n', data) {
            let line = &data[at..=newline];
            let line_ends = delimiter(line);
            let long = line.len() - line_ends > max;
            let full = newline + 1 - split.end - line_ends > max;
            if lines > 0 && (lines >= self.max_lines || long || full || self.start.is_match(&line[..line.len() - line_ends])) {
                split.push(at - split.end, ends, lens);
                lines = 0;
            }
            if long {
                split.long = Some(line.len());
                return split;
            }
            (at, ends) = (newline + 1, line_ends);
            lines += 1;
        }
        // What follows can only be a line that is too long: it does not join.
        let long_follows = data.len() - at > max.saturating_add(2);
        if lines > 0 && (lines >= self.max_lines || long_follows) {
            split.push(at - split.end, ends, lens);
        }
        split
    }
}
