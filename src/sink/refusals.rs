//! Whether refusals are the events' fault or a setting's: a setting refuses all alike, and goes on to, whatever is sent.
//!
//! The run is counted over batches, so that a trickle of events, each in a batch of its own, does not drip into the dead letters.

use super::client::Rejection;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

/// So many events with one and the same fault and not one that arrives: that is no fault of the events.
pub(crate) const SUSPICIOUS: usize = 8;

/// What the receiver makes of the events of a sink.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<State>);

#[derive(Default)]
struct State {
    /// Events accepted so far.
    accepted: u64,
    /// What the last refusals have in common.
    fault: Option<(u16, String, String)>,
    /// How many of them follow each other.
    run: usize,
    /// A batch is held because of them.
    suspected: bool,
    /// When the receiver took an event again after that.
    cleared: Option<Instant>,
}

impl Refusals {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Events have arrived: a run of refusals ends.
    pub fn accepted(&self, events: usize) {
        if events > 0 {
            let mut state = self.state();
            state.accepted += events as u64;
            (state.fault, state.run) = (None, 0);
            if std::mem::take(&mut state.suspected) {
                state.cleared = Some(Instant::now());
            }
        }
    }

    /// A batch is held because all that was sent is refused alike.
    pub fn suspect(&self) {
        self.state().suspected = true;
    }

    /// Whether what was refused in an answer to a request that was sent at `sent` may have been refused by a setting that is
    /// mended by now; `takes_some`: in the same answer the receiver took others. A setting may change in the middle of a request.
    pub fn may_be_mended(&self, sent: Instant, takes_some: bool) -> bool {
        let state = self.state();
        state.suspected && takes_some || state.cleared.is_some_and(|at| sent <= at)
    }

    /// How many events were accepted so far: more of them later show that the receiver takes events.
    pub fn accepted_so_far(&self) -> u64 {
        self.state().accepted
    }

    /// A batch was refused, event for event; how long the run of refusals is that are all alike.
    pub fn refused(&self, all: &[Rejection]) -> usize {
        let mut state = self.state();
        for rejection in all {
            let fault = fault(rejection);
            match state.fault.as_ref() == Some(&fault) {
                true => state.run += 1,
                false => (state.fault, state.run) = (Some(fault), 1),
            }
        }
        state.run
    }
}

/// What refusals of the same fault have in common.
fn fault(rejection: &Rejection) -> (u16, String, String) {
    (rejection.status, rejection.kind.clone(), shape(&rejection.reason))
}

/// Whether all have the same fault.
pub(crate) fn alike(rejected: &[Rejection]) -> bool {
    rejected.split_first().is_some_and(|(first, rest)| {
        let first = fault(first);
        rest.iter().all(|other| fault(other) == first)
    })
}

/// A reason without what differs from event to event: numbers and what stands in quotes.
fn shape(reason: &str) -> String {
    let (mut out, mut quoted) = (String::new(), false);
    for c in reason.chars() {
        match c {
            '\'' | '"' => quoted = !quoted,
            c if quoted || c.is_ascii_digit() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(kind: &str, reason: &str) -> Rejection {
        Rejection { item: 0, status: 400, kind: kind.into(), reason: reason.into() }
    }

    #[test]
    fn a_run_is_of_one_fault_and_ends_with_the_first_event_that_arrives() {
        let refusals = Refusals::default();
        let bad = |n: u32| rejection("document_parsing_exception", &format!("[1:{n}] failed to parse field [n] of 'doc {n}'"));
        assert_eq!((refusals.refused(&[bad(1), bad(2)]), refusals.refused(&[bad(3)])), (2, 3));
        assert_eq!(refusals.refused(&[rejection("other", "x")]), 1, "another fault is another run");
        assert_eq!(refusals.refused(&[bad(4), bad(5)]), 2);
        refusals.accepted(0);
        assert_eq!(refusals.refused(&[bad(6)]), 3);
        refusals.accepted(1);
        assert_eq!((refusals.refused(&[bad(7)]), refusals.accepted_so_far()), (1, 1));
    }

    #[test]
    fn what_was_refused_before_a_setting_was_mended_is_told_from_what_was_refused_after() {
        let refusals = Refusals::default();
        let before = Instant::now();
        refusals.accepted(1);
        assert!(!refusals.may_be_mended(before, true), "nothing was suspected");
        refusals.suspect();
        assert!(refusals.may_be_mended(before, true) && !refusals.may_be_mended(before, false));
        refusals.accepted(1);
        assert!(refusals.may_be_mended(before, true) && refusals.may_be_mended(before, false));
        let later = Instant::now() + std::time::Duration::from_secs(1);
        assert!(!refusals.may_be_mended(later, true) && !refusals.may_be_mended(later, false));
    }

    #[test]
    fn what_is_alike() {
        let reasons = |all: &[&str]| all.iter().map(|reason| rejection("k", reason)).collect::<Vec<_>>();
        assert!(alike(&reasons(&["bad 'a' at 7", "bad 'bc' at 19"])));
        assert!(!alike(&reasons(&["bad 'a' at 7", "good 'a' at 7"])));
        assert!(!alike(&[]));
    }
}
