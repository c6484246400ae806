//! Backoff that all batches of a sink share, so that an outage is probed with one request at a time.

use super::RetryOptions;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::MutexGuard;
use tokio::time::{Instant, sleep_until};

/// The longest `Retry-After` that is believed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// How long to wait after the `failures`th failure in a row: exponential, with full jitter, so that many
/// agents do not come back at the same moment. What waits for a person starts slower and never hurries.
pub(crate) fn backoff(retry: &RetryOptions, failures: u32, hold: bool, after: Option<Duration>) -> Duration {
    let first = if hold { retry.initial.saturating_mul(5) } else { retry.initial };
    let ceiling = first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(retry.max.max(retry.initial));
    let random = getrandom::u32().map_or(0.5, |r| f64::from(r) / f64::from(u32::MAX));
    let jittered = if hold { ceiling.mul_f64(0.5 + random / 2.0) } else { ceiling.mul_f64(random) };
    // A tiny floor: full jitter may come out as zero, and a busy loop helps nobody.
    let floor = retry.initial.min(Duration::from_millis(20));
    jittered.max(floor).max(after.unwrap_or_default().min(LONGEST_RETRY_AFTER))
}

#[derive(Default)]
struct State {
    failures: u32,
    next_try: Option<Instant>,
}

/// Open while all is well; after a failure one attempt at a time is let through, each after the backoff.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    probe: tokio::sync::Mutex<()>,
}

impl Gate {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Waits until an attempt may be made; the guard is held through the attempt.
    pub async fn admit(&self) -> Option<MutexGuard<'_, ()>> {
        let waiting = |gate: &Gate| gate.state().next_try;
        waiting(self)?;
        let guard = self.probe.lock().await;
        loop {
            match waiting(self)? {
                at if at <= Instant::now() => return Some(guard),
                at => sleep_until(at).await,
            }
        }
    }

    /// Failures since the receiver last answered.
    pub fn failures(&self) -> u32 {
        self.state().failures
    }

    /// The receiver answers: all may go.
    pub fn opened(&self) {
        *self.state() = State::default();
    }

    /// An attempt failed. Returns how long all wait now.
    pub fn failed(&self, retry: &RetryOptions, hold: bool, after: Option<Duration>) -> Duration {
        let mut state = self.state();
        let now = Instant::now();
        // Those that were in flight together fail together: that is one failure.
        if let Some(at) = state.next_try.filter(|at| *at > now && after.is_none()) {
            return at - now;
        }
        state.failures = state.failures.saturating_add(1);
        let wait = backoff(retry, state.failures, hold, after);
        state.next_try = Some(now + wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: RetryOptions = RetryOptions { initial: Duration::from_millis(200), max: Duration::from_secs(15) };

    #[test]
    fn backoff_grows_to_its_cap() {
        for failures in 1..200 {
            let wait = backoff(&RETRY, failures, false, None);
            assert!(wait >= Duration::from_millis(20) && wait <= RETRY.max, "{wait:?}");
            assert!(failures > 1 || wait <= RETRY.initial);
            let hold = backoff(&RETRY, failures, true, None);
            assert!(hold >= Duration::from_millis(500) && hold <= RETRY.max, "{hold:?}");
        }
    }

    #[test]
    fn retry_after_is_honoured_to_a_limit() {
        assert!(backoff(&RETRY, 1, false, Some(Duration::from_secs(40))) >= Duration::from_secs(40));
        assert_eq!(backoff(&RETRY, 1, false, Some(Duration::from_secs(86_400))), LONGEST_RETRY_AFTER);
    }

    #[tokio::test]
    async fn one_at_a_time_after_a_failure_and_all_after_a_success() {
        let gate = Gate::default();
        assert!(gate.admit().await.is_none());
        let quick = RetryOptions { initial: Duration::from_millis(1), max: Duration::from_millis(1) };
        gate.failed(&quick, false, None);
        let probe = gate.admit().await;
        assert!(probe.is_some());
        let other = gate.admit();
        tokio::pin!(other);
        assert!(tokio::time::timeout(Duration::from_millis(30), other.as_mut()).await.is_err(), "the other waits");
        gate.opened();
        drop(probe);
        assert!(other.await.is_none(), "open again");
    }
}
