//! Regular expressions of the configuration: linear time, with bounds on their size.
//!
//! The crate `regex` is what says which texts an expression matches, and where its groups are. Finding groups costs it about 3 ns a
//! byte, and most patterns for lines of logs are so plain that this is not needed: anchored at the start, and made of literals and
//! runs of one class whose end is seen at the next byte. Such a pattern becomes a program that steps from left to right
//! over whole runs (`straight`), at a fraction of the cost.
//!
//! | file | idea |
//! |---|---|
//! | `set` | which bytes may stand next |
//! | `scan` | how far a class goes |
//! | `program` | the steps of a program |
//! | `compile` | which expressions become programs, and how |
//! | `straight` | running a program, and why it gives what `regex` gives |

mod compile;
mod program;
mod scan;
mod set;
mod straight;
#[cfg(test)]
mod tests;

use regex::{CaptureLocations, Regex, RegexBuilder};
use straight::{Outcome, Straight};

/// Compiles a regular expression; the error is in words and on one line.
pub(crate) fn regex(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(4 << 20).dfa_size_limit(4 << 20).build().map_err(|error| {
        let text = error.to_string();
        text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_string()
    })
}

/// Whether a text matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    No,
    Yes,
    /// It does, but the match is longer than was allowed; where its groups are is not known.
    TooLong,
}

/// A regular expression whose groups are asked for.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    locations: CaptureLocations,
    straight: Option<Straight>,
    /// The groups that were found last are those of `straight`.
    by_straight: bool,
}

impl Pattern {
    /// Compiles it; the error is in words and on one line.
    pub(crate) fn new(pattern: &str) -> Result<Pattern, String> {
        let regex = regex(pattern)?;
        Ok(Pattern { locations: regex.capture_locations(), straight: Straight::new(pattern), regex, by_straight: false })
    }

    /// What says what is right.
    #[cfg(test)]
    pub(crate) fn regex(&self) -> &Regex {
        &self.regex
    }

    /// Numbers and names of the groups that have one.
    pub(crate) fn names(&self) -> impl Iterator<Item = (usize, &str)> {
        self.regex.capture_names().enumerate().filter_map(|(number, name)| Some((number, name?)))
    }

    /// Finds the groups of the first match in `text`, which may have at most `longest` bytes.
    #[inline]
    pub(crate) fn find(&mut self, text: &str, longest: usize) -> Match {
        if let Some(straight) = &mut self.straight {
            match straight.find(text) {
                Outcome::Found(end) if end > longest => return Match::TooLong,
                Outcome::Found(_) => {
                    self.by_straight = true;
                    return Match::Yes;
                }
                Outcome::None => return Match::No,
                Outcome::Unsure => {}
            }
        }
        self.find_slowly(text, longest)
    }

    fn find_slowly(&mut self, text: &str, longest: usize) -> Match {
        self.by_straight = false;
        if text.len() > longest && self.regex.find(text).is_some_and(|found| found.len() > longest) {
            return Match::TooLong;
        }
        if self.regex.captures_read(&mut self.locations, text).is_some() { Match::Yes } else { Match::No }
    }

    /// From where to where a group of the last match is, in bytes; 0 is the match. `None` where it took no part.
    #[inline]
    pub(crate) fn group(&self, number: usize) -> Option<(usize, usize)> {
        match &self.straight {
            Some(straight) if self.by_straight => straight.group(number),
            _ => self.locations.get(number),
        }
    }

    /// What a program says of a text: whether it matches; `None` where there is no program, or it is unsure. Panics where `regex` says
    /// otherwise.
    #[cfg(any(fuzzing, test, debug_assertions))]
    pub(crate) fn compared(&mut self, text: &str) -> Option<bool> {
        let straight = self.straight.as_mut()?;
        let (outcome, expression) = (straight.find(text), self.regex.as_str());
        let right = self.regex.captures(text);
        let ends = match outcome {
            Outcome::Unsure => return None,
            Outcome::None => None,
            Outcome::Found(end) => Some(end),
        };
        assert_eq!(ends, right.as_ref().map(|right| right.get(0).map_or(0, |all| all.end())), "{expression} {text:?}");
        for (number, group) in right.iter().flat_map(|right| right.iter().enumerate()) {
            assert_eq!(straight.group(number), group.map(|g| (g.start(), g.end())), "group {number} of {expression} {text:?}");
        }
        Some(ends.is_some())
    }
}
