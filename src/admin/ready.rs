//! Whether the agent does its work: what `/readyz` answers.

use super::Status;
use std::time::{Duration, Instant};

/// Data that waits for longer than this without anything moving is a reason not to be ready.
pub(crate) const STALL: Duration = Duration::from_secs(60);

/// Remembers when anything moved last, as far as somebody asked: readiness is probed at an
/// interval, so that no timer of its own is needed.
#[derive(Debug)]
pub(crate) struct Movement {
    seen: u64,
    since: Instant,
}

impl Movement {
    pub(crate) fn new(now: Instant) -> Movement {
        Movement { seen: 0, since: now }
    }

    /// How long nothing was read into the queue and nothing left it.
    pub(crate) fn observe(&mut self, status: &Status, now: Instant) -> Duration {
        let read = status.sources.values().map(|s| s.read_events).fold(0, u64::wrapping_add);
        let left = status
            .sinks
            .values()
            .map(|s| s.delivered_events.wrapping_add(s.dead_lettered).wrapping_add(s.filtered))
            .fold(0, u64::wrapping_add);
        let seen = read.wrapping_add(left);
        if seen != self.seen {
            (self.seen, self.since) = (seen, now);
        }
        let waiting = status.sources.values().any(|s| s.unread_bytes > 0) || status.sinks.values().any(|s| s.lag_events > 0);
        if !waiting {
            // Idle time is no stall: the clock starts when data begins to wait.
            self.since = now;
        }
        now.duration_since(self.since)
    }
}

/// The reasons not to be ready; none means ready.
pub(crate) fn reasons(status: &Status, still: Duration) -> Vec<String> {
    let mut reasons = Vec::new();
    if status.queue.state != "ok" {
        reasons.push(format!("the queue is {}: {}", status.queue.state, status.queue.reason));
    }
    for (name, sink) in status.sinks.iter().filter(|(_, s)| s.state == "held") {
        reasons.push(format!("sink {name} is held: {}", sink.reason));
    }
    if still >= STALL {
        let unread: u64 = status.sources.values().map(|s| s.unread_bytes).sum();
        let lag: u64 = status.sinks.values().map(|s| s.lag_events).sum();
        reasons
            .push(format!("nothing moved for {} s, while {unread} bytes are unread and {lag} events are not delivered", still.as_secs()));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{SinkStatus, SourceStatus};

    fn status(read: u64, unread: u64, delivered: u64, lag: u64) -> Status {
        let mut status = Status::default();
        status.queue.state = "ok".into();
        status.sources.insert("app".into(), SourceStatus { read_events: read, unread_bytes: unread, ..Default::default() });
        status.sinks.insert("search".into(), SinkStatus { delivered_events: delivered, lag_events: lag, ..Default::default() });
        status
    }

    #[test]
    fn a_stall_needs_waiting_data_and_a_minute_without_movement() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut movement = Movement::new(start);
        assert_eq!(movement.observe(&status(5, 0, 5, 0), at(100)), Duration::ZERO, "idle is no stall");
        assert_eq!(movement.observe(&status(5, 7, 5, 0), at(130)), Duration::from_secs(30), "unread bytes wait");
        assert_eq!(movement.observe(&status(5, 7, 6, 0), at(150)), Duration::ZERO, "a delivery is movement");
        assert_eq!(movement.observe(&status(5, 0, 6, 3), at(209)), Duration::from_secs(59), "undelivered events wait");
        assert_eq!(reasons(&status(5, 0, 6, 3), Duration::from_secs(59)), [""; 0]);
        let still = movement.observe(&status(5, 0, 6, 3), at(210));
        assert_eq!(
            reasons(&status(5, 0, 6, 3), still),
            ["nothing moved for 60 s, while 0 bytes are unread and 3 events are not delivered"]
        );
        assert_eq!(movement.observe(&status(6, 0, 6, 3), at(220)), Duration::ZERO, "a read is movement");
    }

    #[test]
    fn a_full_queue_and_a_held_sink_are_reasons() {
        let mut status = status(0, 0, 0, 0);
        status.queue.state = "full".into();
        status.queue.reason = "10 GiB of 10 GiB; files wait".into();
        let sink = status.sinks.get_mut("search").unwrap();
        sink.state = "held".into();
        sink.reason = "401 Unauthorized; the events wait in the queue".into();
        assert_eq!(
            reasons(&status, Duration::ZERO),
            ["the queue is full: 10 GiB of 10 GiB; files wait", "sink search is held: 401 Unauthorized; the events wait in the queue"]
        );
    }
}
