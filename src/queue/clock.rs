//! The one door to the wall clock, which may jump.
//!
//! Record batches carry the wall clock's time: documents and index names are made of it. It stands still when the
//! clock is set back a little; after a long step back (a false jump forth was put right) it follows.
//! Ages, by which something is deleted, must not follow a jump: see [`Clock::age_ms`].

use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A step back of the wall clock that is more than this, ms, is followed; less is waited out.
pub(crate) const STEP_BACK_MS: u64 = 3_600_000;

/// The wall clock may differ from the time that has passed by this much, ms, without being said to have jumped.
const JUMP_MS: u64 = 60_000;

/// For so long a jump is not believed where something would be deleted.
const DOUBT: Duration = Duration::from_secs(3600);

/// The wall clock as it is, ms since the Unix epoch; 0 before that.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// A source of wall-clock time.
pub trait Clock: Send + Sync + Debug {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;

    /// Milliseconds since the Unix epoch, for ages: a jump of the wall clock counts only when it has lasted for an hour.
    fn age_ms(&self) -> u64 {
        self.now_ms()
    }
}

/// The system's clock.
#[derive(Debug, Default)]
pub struct SystemClock(Mutex<Option<(Instant, Times)>>);

impl SystemClock {
    fn look(&self) -> Times {
        let wall = now_ms();
        let mut state: MutexGuard<'_, Option<(Instant, Times)>> = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let (began, times) = state.get_or_insert_with(|| (Instant::now(), Times::new(wall)));
        times.look(wall, began.elapsed());
        *times
    }
}

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        self.look().now_ms
    }

    fn age_ms(&self) -> u64 {
        self.look().age_ms
    }
}

/// What two clocks, the wall's and one that only goes on, tell together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) now_ms: u64,
    pub(crate) age_ms: u64,
    /// When `age_ms` was last taken, since the beginning.
    looked: Duration,
    /// Since when the wall clock is doubted.
    doubted: Option<Duration>,
}

impl Times {
    pub(crate) fn new(wall_ms: u64) -> Times {
        Times { now_ms: wall_ms, age_ms: wall_ms, looked: Duration::ZERO, doubted: None }
    }

    /// The wall clock shows `wall_ms`, and `passed` is the time since the beginning.
    pub(crate) fn look(&mut self, wall_ms: u64, passed: Duration) {
        if wall_ms > self.now_ms || self.now_ms - wall_ms > STEP_BACK_MS {
            self.now_ms = wall_ms;
        }
        let due = self.age_ms + passed.saturating_sub(self.looked).as_millis() as u64;
        self.looked = passed;
        if due.abs_diff(wall_ms) <= JUMP_MS {
            (self.age_ms, self.doubted) = (due.max(wall_ms), None);
            return;
        }
        let since = *self.doubted.get_or_insert_with(|| {
            tracing::warn!(
                "the wall clock has jumped {} by {} s; nothing is deleted by age because of that unless it stays so for an hour",
                if wall_ms > due { "forth" } else { "back" },
                due.abs_diff(wall_ms) / 1000
            );
            passed
        });
        let believed = passed.saturating_sub(since) >= DOUBT;
        (self.age_ms, self.doubted) = if believed { (wall_ms, None) } else { (due, Some(since)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEARS: u64 = 10 * 365 * 86_400_000;
    const NOW: u64 = 1_800_000_000_000;

    fn at(times: &mut Times, wall: u64, minutes: u64) -> (u64, u64) {
        times.look(wall, Duration::from_secs(60 * minutes));
        (times.now_ms, times.age_ms)
    }

    #[test]
    fn a_jump_forth_and_back_ages_nothing() {
        let mut times = Times::new(NOW);
        assert_eq!(at(&mut times, NOW + YEARS, 0), (NOW + YEARS, NOW));
        assert_eq!(at(&mut times, NOW + YEARS + 59 * 60_000, 59), (NOW + YEARS + 59 * 60_000, NOW + 59 * 60_000));
        assert_eq!(at(&mut times, NOW + 60 * 60_000, 60), (NOW + 60 * 60_000, NOW + 60 * 60_000), "stamps follow the way back, too");
        assert!(times.doubted.is_none());
    }

    #[test]
    fn a_jump_that_lasts_is_believed_after_an_hour_in_both_directions() {
        let mut times = Times::new(NOW);
        at(&mut times, NOW + YEARS, 0);
        assert_eq!(at(&mut times, NOW + YEARS + 3_600_000, 60).1, NOW + YEARS + 3_600_000);
        at(&mut times, NOW, 61);
        assert_eq!(at(&mut times, NOW, 120).1, NOW + YEARS + 120 * 60_000);
        assert_eq!(at(&mut times, NOW + 60_000, 121), (NOW + 60_000, NOW + 60_000));
    }

    #[test]
    fn small_steps_are_followed_forth_and_waited_out_back() {
        let mut times = Times::new(NOW);
        assert_eq!(at(&mut times, NOW + 30_000, 0), (NOW + 30_000, NOW + 30_000));
        assert_eq!(at(&mut times, NOW, 0), (NOW + 30_000, NOW + 30_000));
        assert_eq!(at(&mut times, NOW - 3_000_000, 0).0, NOW + 30_000);
    }
}
