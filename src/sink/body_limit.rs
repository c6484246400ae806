//! How large a request may be: what is configured, or less where the receiver has said that it is too large (413).
//!
//! A refusal halves the limit. It is not for ever: whoever has raised `http.max_content_length`, or has mended the proxy, need
//! not restart the agent. After a rest the limit is doubled, and should that be refused, the next rest is longer.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Smallest body that a sink works with, bytes.
const SMALLEST: usize = 64 << 10;
/// How long a limit that was refused is not tried again, at first and at most.
const REST: Duration = Duration::from_secs(300);
const LONGEST_REST: Duration = Duration::from_secs(6 * 3600);

/// See the module.
pub(crate) struct BodyLimit {
    /// As configured, bytes.
    most: usize,
    state: Mutex<State>,
}

struct State {
    now: usize,
    rest: Duration,
    /// When it was refused or raised last.
    since: Instant,
    /// It was raised since it was refused last.
    raised: bool,
}

impl BodyLimit {
    /// `most` bytes, until something is refused.
    pub fn new(most: usize) -> BodyLimit {
        BodyLimit { most, state: Mutex::new(State { now: most, rest: REST, since: Instant::now(), raised: false }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Bytes of a body that may have `share` bytes of memory.
    pub fn cut(&self, share: usize) -> usize {
        self.cut_at(share, Instant::now())
    }

    fn cut_at(&self, share: usize, now: Instant) -> usize {
        let mut state = self.state();
        if state.now < self.most && now.saturating_duration_since(state.since) >= state.rest {
            *state = State { now: (state.now * 2).min(self.most), since: now, raised: true, ..*state };
        }
        state.now.min(share).max(SMALLEST)
    }

    /// A request of several events was refused: it has `bytes` before compression, its largest event `largest`. Where that
    /// one event is most of it, it may be the one that is too large, and nothing is said of others.
    pub fn too_large(&self, bytes: usize, largest: usize) {
        self.too_large_at(bytes, largest, Instant::now());
    }

    fn too_large_at(&self, bytes: usize, largest: usize, at: Instant) {
        let mut state = self.state();
        let limit = (bytes / 2).max(SMALLEST);
        if largest * 2 > bytes || limit >= state.now {
            return;
        }
        // The requests of one batch are one refusal.
        let rest = if state.raised { (state.rest * 2).min(LONGEST_REST) } else { state.rest };
        *state = State { now: limit, rest, since: at, raised: false };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn a_refusal_halves_it_unless_one_event_is_to_blame() {
        let limit = BodyLimit::new(5 * MIB);
        assert_eq!((limit.cut(9 * MIB), limit.cut(2 * MIB), limit.cut(1)), (5 * MIB, 2 * MIB, SMALLEST));
        limit.too_large(4 * MIB, 3 * MIB);
        assert_eq!(limit.cut(9 * MIB), 5 * MIB);
        limit.too_large(4 * MIB, 1000);
        assert_eq!(limit.cut(9 * MIB), 2 * MIB);
        limit.too_large(5 * MIB, 1000);
        assert_eq!(limit.cut(9 * MIB), 2 * MIB, "one that was sent before");
        limit.too_large(1000, 100);
        assert_eq!(limit.cut(9 * MIB), SMALLEST);
    }

    #[test]
    fn it_is_tried_again_after_a_rest_and_after_a_longer_one() {
        let limit = BodyLimit::new(4 * MIB);
        let mut now = Instant::now();
        limit.too_large_at(4 * MIB, 1000, now);
        let after = |now: &mut Instant, rest: Duration| {
            *now += rest;
            limit.cut_at(9 * MIB, *now)
        };
        assert_eq!(after(&mut now, REST / 2), 2 * MIB);
        assert_eq!(after(&mut now, REST / 2), 4 * MIB);
        limit.too_large_at(4 * MIB, 1000, now);
        assert_eq!(after(&mut now, REST), 2 * MIB, "it was refused again");
        assert_eq!(after(&mut now, REST), 4 * MIB);
        for _ in 0..20 {
            limit.too_large_at(4 * MIB, 1000, now);
            assert_eq!(after(&mut now, LONGEST_REST), 4 * MIB);
        }
    }
}
