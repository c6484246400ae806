//! Which expressions become programs, and how.
//!
//! An expression does if it is anchored at its start and has nothing but literals, classes, groups, alternatives, greedy
//! repetitions, `^` and `$`. Not: word boundaries and the ends of lines, lazy repetitions, repetitions of what may be empty or has
//! groups in it (`x?` with groups is right), and long counted ones of more than a class.
//!
//! A program is made from its end to its beginning, so that at each step it is known what may stand behind it: the [`Set`]
//! of bytes with which the rest of the text can begin, never too small. Where a choice has two ways, the next byte mostly says
//! that only one of them can be right; where a run of a class ends, it mostly says that no shorter one can.

use super::program::{Choice, Id, Kind, NO_GROUP, Run, Step, Word};
use super::scan::Scan;
use super::set::{High, Members, Set};
use regex_syntax::hir::{Hir, HirKind, Look, Repetition};

/// Most steps of a program.
const MOST_STEPS: usize = 1000;
/// Most copies of what is repeated.
const MOST_COPIES: u32 = 8;

/// A step to go on with, and what may stand there.
#[derive(Clone, Copy)]
struct Next {
    id: Id,
    first: Set,
}

struct Compiler {
    steps: Vec<Step>,
    /// Number of the first group of what is compiled already, which stands behind all that is not.
    later: u16,
}

/// The steps of an expression, the number of the first, and how many groups it has with the match itself; `None` where it is not
/// for a program.
pub(super) fn compile(pattern: &str) -> Option<(Vec<Step>, Id, usize)> {
    let hir = regex_syntax::parse(pattern).ok()?;
    let properties = hir.properties();
    let groups = properties.explicit_captures_len() + 1;
    if !properties.look_set_prefix().contains(Look::Start) {
        return None;
    }
    let mut compiler = Compiler { steps: Vec::new(), later: u16::try_from(groups).ok()? };
    let accept = compiler.step(Kind::Accept, 0, Set::ANY)?;
    let first = compiler.compile(&hir, accept)?;
    let first = match compiler.steps[usize::from(first.id)] {
        // It begins there.
        Step { kind: Kind::Start, word: Word { len: 0, .. }, next } => next,
        _ => first.id,
    };
    Some((compiler.steps, first, groups))
}

impl Compiler {
    fn step(&mut self, kind: Kind, next: Id, first: Set) -> Option<Next> {
        let id = self.steps.len();
        // A word behind a step is a part of it, where nothing goes back to the place between them.
        let (word, next) = match (&kind, self.steps.get(usize::from(next))) {
            (Kind::Run(Run { fewer: Some(_), .. }) | Kind::Choice(_) | Kind::Word, _) => (Word::default(), next),
            (_, Some(Step { kind: Kind::Word, word, next })) => (*word, *next),
            _ => (Word::default(), next),
        };
        self.steps.push(Step { kind, word, next });
        (id < MOST_STEPS).then_some(Next { id: id as Id, first })
    }

    fn compile(&mut self, hir: &Hir, next: Next) -> Option<Next> {
        match hir.kind() {
            HirKind::Empty => Some(next),
            HirKind::Literal(literal) => self.literal(&literal.0, next),
            HirKind::Class(class) => self.run(&Members::of(class), (1, 1), NO_GROUP, next),
            HirKind::Look(Look::Start) => self.step(Kind::Start, next.id, next.first),
            HirKind::Look(Look::End) => self.step(Kind::End, next.id, Set::AT_END.and(next.first)),
            HirKind::Look(_) => None,
            HirKind::Repetition(repetition) => self.repetition(repetition, next),
            HirKind::Capture(capture) => {
                let group = u16::try_from(capture.index).ok()?;
                let first = match run_of(&capture.sub) {
                    Some((members, times)) => self.run(&members, times, group, next)?,
                    None => {
                        let close = self.step(Kind::Close(group), next.id, next.first)?;
                        let inside = self.compile(&capture.sub, close)?;
                        self.step(Kind::Open(group), inside.id, inside.first)?
                    }
                };
                self.later = group;
                Some(first)
            }
            HirKind::Concat(parts) => parts.iter().rev().try_fold(next, |next, part| self.compile(part, next)),
            HirKind::Alternation(ways) => {
                let (last, others) = ways.split_last()?;
                let last = self.compile(last, next)?;
                others.iter().rev().try_fold(last, |second, way| {
                    let first = self.compile(way, next)?;
                    self.choice(first, second)
                })
            }
        }
    }

    fn literal(&mut self, literal: &[u8], next: Next) -> Option<Next> {
        // A program always stands between two characters.
        std::str::from_utf8(literal).ok()?;
        let first = Set::of(*literal.first()?);
        let Some(word) = Word::of(literal) else { return self.step(Kind::Literal(literal.into()), next.id, first) };
        let step = self.step(Kind::Word, next.id, first)?;
        self.steps[usize::from(step.id)].word = word;
        Some(step)
    }

    fn choice(&mut self, first: Next, second: Next) -> Option<Next> {
        let kind = Kind::Choice(Box::new(Choice::new((first.id, &first.first), (second.id, &second.first), self.later)));
        self.step(kind, 0, first.first.or(second.first))
    }

    /// `min` to `max` characters of a class.
    fn run(&mut self, members: &Members, (min, max): (usize, usize), group: u16, next: Next) -> Option<Next> {
        let fewer = (min != max && !members.first().is_apart(&next.first)).then(|| Box::new(next.first));
        self.fixed_run(members, (min, max), group, next, fewer)
    }

    /// The same, where it is known whether fewer characters may be right.
    fn fixed_run(
        &mut self,
        members: &Members,
        (min, max): (usize, usize),
        group: u16,
        next: Next,
        fewer: Option<Box<Set>>,
    ) -> Option<Next> {
        // Bytes are counted, not characters.
        let unsure = match members.high {
            High::None => false,
            High::Some => true,
            High::All => min > 1 || max != usize::MAX,
        };
        let members = if unsure { Members { high: High::None, ..*members } } else { *members };
        let first = if unsure { members.first().or(Set::HIGH) } else { members.first() };
        let first = if min == 0 { first.or(next.first) } else { first };
        let run = Run { scan: Scan::of(&members), min, max, unsure, group, fewer, later: self.later };
        self.step(Kind::Run(run), next.id, first)
    }

    fn repetition(&mut self, repetition: &Repetition, next: Next) -> Option<Next> {
        if !repetition.greedy {
            return None;
        }
        if let Some((members, times)) = run_of_repetition(repetition) {
            return self.run(&members, times, NO_GROUP, next);
        }
        let (body, min) = (&*repetition.sub, repetition.min);
        if (min, repetition.max) == (0, Some(1)) {
            let first = self.compile(body, next)?;
            return self.choice(first, next);
        }
        // A turn that may be empty, and groups of which the last turn counts, are more than a choice.
        let properties = body.properties();
        let plain = properties.minimum_len().is_some_and(|len| len > 0) && properties.explicit_captures_len() == 0;
        if !plain || repetition.max.unwrap_or(min) > MOST_COPIES {
            return None;
        }
        let rest = match repetition.max {
            None => self.turns(body, next)?,
            Some(max) => (min..max).try_fold(next, |rest, _| {
                let first = self.compile(body, rest)?;
                self.choice(first, next)
            })?,
        };
        (0..min).try_fold(rest, |rest, _| self.compile(body, rest))
    }

    /// As many turns of `body` as there are.
    fn turns(&mut self, body: &Hir, next: Next) -> Option<Next> {
        // What may stand at the choice between one more turn and what is behind: needed before the turn is compiled.
        let turn = first_of(body)?.0;
        let head = self.step(Kind::Accept, 0, turn.or(next.first))?;
        let first = match body.kind() {
            HirKind::Alternation(ways) => {
                let compiled = ways.iter().enumerate().rev().try_fold(None, |second: Option<Next>, (n, way)| {
                    let first = self.way_of_turn(ways, n, head, next)?.map_or_else(|| self.compile(way, head), Some)?;
                    Some(Some(match second {
                        Some(second) => self.choice(first, second)?,
                        None => first,
                    }))
                });
                compiled??
            }
            _ => self.compile(body, head)?,
        };
        let choice = Choice::new((first.id, &first.first), (next.id, &next.first), self.later);
        self.steps[usize::from(head.id)].kind = Kind::Choice(Box::new(choice));
        Some(head)
    }

    /// A class that is one way of a turn takes all characters at once, where each could go this way only. Inside `None`
    /// where it could not.
    fn way_of_turn(&mut self, ways: &[Hir], number: usize, head: Next, next: Next) -> Option<Option<Next>> {
        let Some((members, (1, 1))) = run_of(&ways[number]) else { return Some(None) };
        let mut others = next.first;
        for (_, way) in ways.iter().enumerate().filter(|(n, _)| *n != number) {
            others = others.or(first_of(way)?.0);
        }
        if !members.first().is_apart(&others) {
            return Some(None);
        }
        self.fixed_run(&members, (1, usize::MAX), NO_GROUP, head, None).map(Some)
    }
}

/// The class and how many characters of it, where an expression is just that.
fn run_of(hir: &Hir) -> Option<(Members, (usize, usize))> {
    match hir.kind() {
        HirKind::Class(class) => Some((Members::of(class), (1, 1))),
        HirKind::Repetition(repetition) if repetition.greedy => run_of_repetition(repetition),
        _ => None,
    }
}

fn run_of_repetition(repetition: &Repetition) -> Option<(Members, (usize, usize))> {
    let members = match repetition.sub.kind() {
        HirKind::Class(class) => Members::of(class),
        HirKind::Literal(literal) => match literal.0[..] {
            [byte] if byte.is_ascii() => Members { ascii: Set::of(byte), high: High::None },
            _ => return None,
        },
        _ => return None,
    };
    let max = repetition.max.map_or(Some(usize::MAX), |max| usize::try_from(max).ok())?;
    Some((members, (usize::try_from(repetition.min).ok()?, max)))
}

/// The bytes with which an expression may begin, or more, and whether it may be empty.
fn first_of(hir: &Hir) -> Option<(Set, bool)> {
    Some(match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => (Set::default(), true),
        HirKind::Literal(literal) => (Set::of(*literal.0.first()?), false),
        HirKind::Class(class) => (Members::of(class).first(), false),
        HirKind::Repetition(repetition) => {
            let (first, empty) = first_of(&repetition.sub)?;
            (first, empty || repetition.min == 0)
        }
        HirKind::Capture(capture) => first_of(&capture.sub)?,
        HirKind::Concat(parts) => {
            let mut all = Set::default();
            for part in parts {
                let (first, empty) = first_of(part)?;
                all = all.or(first);
                if !empty {
                    return Some((all, false));
                }
            }
            (all, true)
        }
        HirKind::Alternation(ways) => ways.iter().try_fold((Set::default(), false), |(all, any), way| {
            let (first, empty) = first_of(way)?;
            Some((all.or(first), any || empty))
        })?,
    })
}
