//! What goes wrong in the demo, and when.

use std::fmt;
use std::time::Duration;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The receiver goes down.
    Down,
    /// The receiver comes back.
    Up,
    /// The receiver applies the next request and cuts the connection before the answer.
    LoseAck,
    /// The agent gets `kill -9` and is started again.
    Kill,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Down => "the receiver is DOWN: connections are cut",
            Step::Up => "the receiver is back",
            Step::LoseAck => "the receiver LOSES an acknowledgement",
            Step::Kill => "KILL -9 of the agent, and a fresh start",
        })
    }
}

/// The steps in the order of their time after the start, spread over `time`.
pub(super) fn script(time: Duration) -> Vec<(Duration, Step)> {
    let at = |percent: u32| time * percent / 100;
    vec![
        (at(20), Step::Down),
        // With the receiver down, all that was read since is only in the queue.
        (at(30), Step::Kill),
        (at(40), Step::Up),
        (at(55), Step::LoseAck),
        (at(70), Step::Kill),
        (at(85), Step::LoseAck),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_in_order_and_the_receiver_is_up_at_the_end() {
        let steps = script(Duration::from_secs(25));
        assert!(steps.is_sorted_by_key(|(at, _)| *at));
        assert!(steps.iter().all(|(at, _)| *at < Duration::from_secs(25)));
        let last = steps.iter().rev().find(|(_, s)| [Step::Up, Step::Down].contains(s));
        assert_eq!(last.map(|(_, s)| *s), Some(Step::Up));
        assert!(steps.iter().any(|(_, s)| *s == Step::Kill) && steps.iter().any(|(_, s)| *s == Step::LoseAck));
    }
}
