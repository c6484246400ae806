//! The steps of a program.

use super::scan::Scan;
use super::set::{END, Set};

/// Number of a step.
pub(super) type Id = u16;

/// Stands for no group.
pub(super) const NO_GROUP: u16 = u16::MAX;

/// One step, and the one behind it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) kind: Kind,
    /// What must stand behind it, unless it is a choice.
    pub(super) word: Word,
    pub(super) next: Id,
}

/// At most eight bytes, as they stand in a word.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Word {
    bytes: u64,
    mask: u64,
    pub(super) len: usize,
}

impl Word {
    pub(super) fn of(text: &[u8]) -> Option<Word> {
        let len = text.len();
        (1..=8).contains(&len).then(|| Word { bytes: word(text), mask: u64::MAX >> (64 - 8 * len), len })
    }

    /// Whether `text` begins with it.
    #[inline]
    pub(super) fn begins(&self, text: &[u8]) -> bool {
        word(text) & self.mask == self.bytes && text.len() >= self.len
    }
}

/// The first eight bytes of a text as a number, with zeros behind its end.
#[inline]
fn word(text: &[u8]) -> u64 {
    match text.first_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => text.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// The text matches.
    Accept,
    /// Here must be the beginning of the text.
    Start,
    /// Here must be the end of the text.
    End,
    /// What must stand here is the step's word.
    Word,
    Literal(Box<[u8]>),
    /// A group begins.
    Open(u16),
    /// A group ends.
    Close(u16),
    Run(Run),
    Choice(Box<Choice>),
}

/// As many characters of a class as there are.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) scan: Scan,
    pub(super) min: usize,
    pub(super) max: usize,
    /// Of a character that is not ASCII it cannot be said here whether it belongs to it.
    pub(super) unsure: bool,
    /// The group that it is, or [`NO_GROUP`].
    pub(super) group: u16,
    /// What may stand behind it, where that may be in the class, too: then fewer may be right.
    pub(super) fewer: Option<Box<Set>>,
    /// The first of the groups that may be found behind it.
    pub(super) later: u16,
}

/// Two ways to go on, of which the first is to be preferred.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// For each byte that stands next, and the end: whether the first way can be right (1), the second (2), or both.
    ways: [u8; END + 1],
    pub(super) first: Id,
    pub(super) second: Id,
    /// The first of the groups that may be found on either way or behind them.
    pub(super) later: u16,
}

impl Choice {
    pub(super) fn new(first: (Id, &Set), second: (Id, &Set), later: u16) -> Choice {
        let ways = std::array::from_fn(|symbol| u8::from(first.1.has_symbol(symbol)) | u8::from(second.1.has_symbol(symbol)) << 1);
        Choice { ways, first: first.0, second: second.0, later }
    }

    /// Which ways can be right with this byte next.
    #[inline]
    pub(super) fn way(&self, next: Option<&u8>) -> u8 {
        self.ways[next.map_or(END, |byte| usize::from(*byte))]
    }
}
