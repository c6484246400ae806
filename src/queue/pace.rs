//! `limits.cpu`: how much of the processors the process may use, on average.
//!
//! Who is about to take up work asks first: sources for memory to read into, sinks for a batch to encode. What they set going
//! (writing, syncing, sending) counts as well, since the whole process is measured. Nothing is dropped or refused: files wait on
//! disk, sinks fall behind. No thread waits in the middle of its work, so that nobody else waits for it.

use rustix::time::{ClockId, clock_gettime};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What was not used may be used up later, but no more than that of so long a time: a burst is short.
const BURST: Duration = Duration::from_millis(200);

/// Processor time as an account: it earns with time, and pays for what the process has used.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Thousandths of a processor; 0: no limit.
    limit: u32,
    account: Mutex<Account>,
}

#[derive(Debug)]
struct Account {
    at: Instant,
    used: Duration,
    /// Nanoseconds of processor time to one's credit; less than zero: overdrawn.
    credit: i64,
}

impl Pace {
    /// A limit of so many thousandths of a processor; `None`: no limit.
    pub(crate) fn new(limit: Option<u32>) -> Pace {
        Pace { limit: limit.unwrap_or(0), account: Mutex::new(Account { at: Instant::now(), used: used(), credit: 0 }) }
    }

    /// How long to wait before work is taken up.
    pub(crate) fn due(&self) -> Duration {
        if self.limit == 0 {
            return Duration::ZERO;
        }
        let mut account = self.account.lock().unwrap_or_else(|e| e.into_inner());
        account.book(Instant::now(), used(), self.limit)
    }

    /// Waits until work may be taken up, at most `wait`; whether it may.
    pub(crate) fn wait(&self, wait: Duration) -> bool {
        let due = self.due();
        std::thread::sleep(due.min(wait));
        due <= wait
    }
}

impl Account {
    /// Enters what was earned and used up to now; gives how long it takes until it is not overdrawn any more.
    fn book(&mut self, now: Instant, used: Duration, limit: u32) -> Duration {
        let share = |time: Duration| i64::try_from(time.as_nanos() * u128::from(limit) / 1000).unwrap_or(i64::MAX);
        let earned = share(now.saturating_duration_since(self.at));
        let spent = i64::try_from(used.saturating_sub(self.used).as_nanos()).unwrap_or(i64::MAX);
        (self.at, self.used) = (now, used);
        self.credit = self.credit.saturating_add(earned).min(share(BURST)).saturating_sub(spent);
        Duration::from_nanos(self.credit.min(0).unsigned_abs().saturating_mul(1000) / u64::from(limit.max(1)))
    }
}

/// Processor time of this process so far.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn without_a_limit_nobody_waits() {
        assert_eq!(Pace::new(None).due(), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn over_time_no_more_is_used_than_allowed(limit in 1u32..4000, costs in prop::collection::vec((0u64..50_000_000, 0u64..50_000_000), 1..200)) {
            let begin = Instant::now();
            let mut account = Account { at: begin, used: Duration::ZERO, credit: 0 };
            let (mut now, mut used, mut dearest) = (begin, Duration::ZERO, Duration::ZERO);
            for (cost, idle) in costs {
                // Waits as it is told, then works on one processor, then rests.
                now += account.book(now, used, limit);
                let cost = Duration::from_nanos(cost);
                (now, used, dearest) = (now + cost + Duration::from_nanos(idle), used + cost, dearest.max(cost));
                let allowed = (now - begin + BURST).mul_f64(f64::from(limit) / 1000.0) + dearest;
                prop_assert!(used <= allowed + Duration::from_micros(1), "{used:?} of {allowed:?}");
            }
        }
    }
}
