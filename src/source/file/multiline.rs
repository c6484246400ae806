//! Joins lines to events.
//!
//! Whether a line joins depends on the lines of its event before it and on nothing else, so that an event is the same
//! whether it is read at once, in pieces, or again after a restart.

use super::grammar::{Grammar, State};
use super::lines::{Begins, Rules, Split};
use super::{Joining, Multiline, SourceError};
use regex::bytes::Regex;
use std::time::Duration;

#[derive(Debug)]
enum How {
    Grammar(Grammar),
    Patterns { start: Option<Regex>, proceed: Option<Regex>, end: Option<Regex> },
}

/// A compiled [`Multiline`].
#[derive(Debug)]
pub(crate) struct Multi {
    how: How,
    pub(super) max_lines: u32,
    max_bytes: Option<usize>,
    pub(crate) timeout: Duration,
}

impl Multi {
    pub(crate) fn new(source: &str, options: &Multiline) -> Result<Multi, SourceError> {
        let compile = |key: &'static str, pattern: &Option<String>| {
            let Some(pattern) = pattern else { return Ok(None) };
            Regex::new(pattern).map(Some).map_err(|e| SourceError::Pattern {
                source_name: source.to_owned(),
                key,
                pattern: pattern.clone(),
                reason: e.to_string(),
            })
        };
        let how = match &options.joining {
            Joining::Preset(preset) => How::Grammar(Grammar::new(*preset)),
            Joining::Patterns { start, proceed, end } => How::Patterns {
                start: compile("start_pattern", start)?,
                proceed: compile("continue_pattern", proceed)?,
                end: compile("end_pattern", end)?,
            },
        };
        let max_bytes = options.max_bytes.map(|bytes| bytes.clamp(1, 1 << 30));
        Ok(Multi { how, max_lines: options.max_lines.max(1), max_bytes, timeout: options.timeout })
    }

    /// Most bytes of an event of several lines, the last delimiter aside.
    pub(super) fn most(&self, rules: &Rules) -> usize {
        self.max_bytes.unwrap_or(rules.max)
    }

    /// So many bytes from the beginning of an event on hold its end, or the end of its first line at least is not among them.
    pub(crate) fn enough(&self, rules: &Rules) -> usize {
        self.most(rules).max(rules.max) + 2 * rules.text.longest_delimiter()
    }

    /// The state behind the first line of an event.
    pub(super) fn first(&self, line: &[u8]) -> State {
        match &self.how {
            How::Grammar(grammar) => grammar.first(line),
            How::Patterns { .. } => State::default(),
        }
    }

    /// The state behind one more line of an event, or `None` where the line begins another.
    pub(super) fn next(&self, state: State, line: &[u8]) -> Option<State> {
        match &self.how {
            How::Grammar(grammar) => grammar.next(state, line),
            How::Patterns { start, proceed, .. } => {
                let begins = start.as_ref().is_some_and(|p| p.is_match(line)) || proceed.as_ref().is_some_and(|p| !p.is_match(line));
                (!begins).then_some(state)
            }
        }
    }

    /// Whether a line is the last of its event.
    pub(super) fn ends(&self, line: &[u8]) -> bool {
        matches!(&self.how, How::Patterns { end: Some(end), .. } if end.is_match(line))
    }

    /// Splits like [`super::lines::split_lines`], but an event ends only where the next one begins, behind a line that
    /// ends it, at `max_lines`, or before the line with which it would exceed `max_bytes`, and before a line that is
    /// too long. The last event stays unless one of these ends it.
    pub(crate) fn split(&self, data: &[u8], rules: &Rules, begins: Begins, lens: &mut Vec<u8>) -> Split {
        let (mut split, mut scratch) = (Split::default(), String::new());
        let (mut at, mut lines, mut ends, mut state) = (0, 0, 0, State::default());
        let (text, most) = (rules.text, self.most(rules));
        while let Some(end) = text.line_end(data, at, at, begins.odd) {
            let line_ends = text.delimiter(&data[at..end]);
            let line = &data[at..end - line_ends];
            let long = line.len() > rules.max;
            let mark = if begins.first && at == 0 { text.encoding.mark(line) } else { 0 };
            let line = text.encoding.text(&line[mark..], &mut scratch);
            let fits = lines > 0 && !long && end - split.end - line_ends <= most;
            let joined = if fits { self.next(state, line) } else { None };
            if lines > 0 && joined.is_none() {
                split.push(at - split.end, ends, lens);
                lines = 0;
            }
            if long {
                split.long = Some(end - at);
                return split;
            }
            state = joined.unwrap_or_else(|| self.first(line));
            (at, ends) = (end, line_ends);
            lines += 1;
            if lines >= self.max_lines || self.ends(line) {
                split.push(at - split.end, ends, lens);
                lines = 0;
            }
        }
        // Whatever the rest of the line will be: it is too long by itself, or for this event.
        let rest = data.len() - at >= rules.surely_long();
        let full = data.len() - split.end >= most.saturating_add(text.longest_delimiter());
        if lines > 0 && (rest || full) {
            split.push(at - split.end, ends, lens);
        }
        split
    }
}
