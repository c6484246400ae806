//! Running a program, and why it gives what `regex` gives.
//!
//! What `regex` finds is by definition what one finds who tries the ways of an expression in the order of preference (the first
//! alternative, one more repetition) and goes back to the last choice where nothing fits further. A program does just that, but
//!
//! - it takes no way, and keeps none for later, of which the next byte says that it cannot lead to a match;
//! - it gives up where it went back too much: the work is bounded by a small multiple of the text's length;
//! - it gives up at characters that are not ASCII and of which it knows too little.
//!
//! Giving up is not an answer, but [`Outcome::Unsure`]: then `regex` is asked.

use super::compile::compile;
use super::program::{Id, Kind, NO_GROUP, Run, Step};

/// Most choices to which it may be gone back at a time.
const MOST_CHOICES: usize = 32;
/// Work beyond twice the text's length that going back may cost, bytes.
const WORK: usize = 512;
/// Where a group is that took no part.
const NOWHERE: u32 = u32::MAX;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The text matches up to this byte.
    Found(usize),
    None,
    /// It is for another to say.
    Unsure,
}

/// Where a group is.
#[derive(Clone, Copy, Debug)]
struct Place {
    from: u32,
    to: u32,
}

/// A choice to which it may be gone back.
#[derive(Clone, Copy, Debug)]
struct Back {
    step: Id,
    at: u32,
    /// Where a run begins.
    from: u32,
}

/// A program with what it works with.
#[derive(Clone, Debug)]
pub(super) struct Straight {
    steps: Box<[Step]>,
    first: Id,
    groups: Box<[Place]>,
    back: Vec<Back>,
}

impl Straight {
    /// `None` for an expression that is not for a program.
    pub(super) fn new(pattern: &str) -> Option<Straight> {
        let (steps, first, groups) = compile(pattern)?;
        let groups = vec![Place { from: NOWHERE, to: NOWHERE }; groups].into();
        Some(Straight { steps: steps.into(), first, groups, back: Vec::with_capacity(MOST_CHOICES) })
    }

    /// Where a group is; 0 is the match.
    #[inline]
    pub(super) fn group(&self, number: usize) -> Option<(usize, usize)> {
        let place = self.groups.get(number)?;
        (place.to != NOWHERE).then_some((place.from as usize, place.to as usize))
    }

    /// Matches from the beginning of `text`.
    pub(super) fn find(&mut self, text: &str) -> Outcome {
        let Straight { steps, first, groups, back } = self;
        let bytes = text.as_bytes();
        if bytes.len() >= NOWHERE as usize {
            return Outcome::Unsure;
        }
        back.clear();
        groups.fill(Place { from: NOWHERE, to: NOWHERE });
        let mut work = 2 * bytes.len() + WORK;
        let (mut id, mut at) = (*first, 0);
        loop {
            let step = &steps[usize::from(id)];
            let rest = &bytes[at..];
            let right = match &step.kind {
                Kind::Run(run) => {
                    let len = run.scan.len(&rest[..rest.len().min(run.max)]);
                    let to = at + len;
                    if run.unsure && len < run.max && bytes.get(to).is_some_and(|byte| !byte.is_ascii()) {
                        return Outcome::Unsure;
                    }
                    if run.fewer.is_some() && len > run.min {
                        if back.len() == MOST_CHOICES {
                            return Outcome::Unsure;
                        }
                        back.push(Back { step: id, at: to as u32, from: at as u32 });
                    }
                    if run.group != NO_GROUP {
                        groups[usize::from(run.group)] = Place { from: at as u32, to: to as u32 };
                    }
                    at = to;
                    len >= run.min
                }
                Kind::Choice(choice) => match choice.way(rest.first()) {
                    0 => false,
                    way => {
                        if way == 3 {
                            if back.len() == MOST_CHOICES {
                                return Outcome::Unsure;
                            }
                            back.push(Back { step: id, at: at as u32, from: at as u32 });
                        }
                        id = if way == 2 { choice.second } else { choice.first };
                        continue;
                    }
                },
                Kind::Word => true,
                Kind::Open(group) => {
                    groups[usize::from(*group)].from = at as u32;
                    true
                }
                Kind::Close(group) => {
                    groups[usize::from(*group)].to = at as u32;
                    true
                }
                Kind::Literal(literal) => {
                    let same = rest.starts_with(literal);
                    at += if same { literal.len() } else { 0 };
                    same
                }
                Kind::Start => at == 0,
                Kind::End => rest.is_empty(),
                Kind::Accept => {
                    groups[0] = Place { from: 0, to: at as u32 };
                    return Outcome::Found(at);
                }
            };
            if right && step.word.begins(&bytes[at..]) {
                at += step.word.len;
                id = step.next;
                continue;
            }
            // Back to the last choice that has another way.
            loop {
                let Some(last) = back.pop() else { return Outcome::None };
                let was = last.at as usize;
                let step = &steps[usize::from(last.step)];
                let to = match &step.kind {
                    Kind::Choice(choice) => {
                        groups[usize::from(choice.later)..].fill(Place { from: NOWHERE, to: NOWHERE });
                        id = choice.second;
                        Some(was)
                    }
                    Kind::Run(run) => {
                        groups[usize::from(run.later)..].fill(Place { from: NOWHERE, to: NOWHERE });
                        id = step.next;
                        fewer(run, text, last)
                    }
                    _ => None,
                };
                let done = at.abs_diff(to.unwrap_or(last.from as usize)) + 16;
                let Some(left) = work.checked_sub(done) else { return Outcome::Unsure };
                work = left;
                let Some(to) = to else { continue };
                if let Kind::Run(run) = &step.kind {
                    back.push(Back { at: to as u32, ..last });
                    if run.group != NO_GROUP {
                        groups[usize::from(run.group)] = Place { from: last.from, to: to as u32 };
                    }
                }
                at = to;
                break;
            }
        }
    }
}

/// Where a run may end that ended at `last.at`, before that: the last place behind which what must follow can stand.
fn fewer(run: &Run, text: &str, last: Back) -> Option<usize> {
    let set = run.fewer.as_ref()?;
    let (from, to) = (last.from as usize, last.at as usize);
    // One character of any kind, or so many that are ASCII: otherwise it is unsure.
    let least = match run.min {
        0 => from,
        1 => from + text[from..].chars().next().map_or(0, char::len_utf8),
        min => from + min,
    };
    (least..to).rev().find(|at| set.has(text.as_bytes()[*at]) && text.is_char_boundary(*at))
}
