//! How many batches may be in flight: as few as give the receiver's full speed, and fewer at once when it is pressed.
//!
//! The limit moves between 1 and `in_flight`. A receiver that answers 429 or 503, or not at all, takes three tenths of it
//! (multiplicative decrease, as TCP does: Chiu and Jain 1989). While the sink has more to send than slots to send it in, the
//! limit is tried one up and one down in turn: up is kept where it makes delivery measurably faster, down where it makes it
//! hardly slower. By Little's law that is a look at latency as well: where one more batch in flight only makes each
//! wait longer, nothing is gained, and the queue is a better place to wait than the receiver's. A limit that the receiver has
//! refused is not tried again at once but after a rest, which doubles each time.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Where the limit starts: one batch on its way while another is answered.
const FIRST: u32 = 2;
/// A trial lasts at least so long, and so many batches for each that may be in flight.
const TRIAL: Duration = Duration::from_secs(1);
const TRIAL_BATCHES: u32 = 4;
/// After a trial that changed nothing the next one waits, longer each time.
const REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(300);
/// One more in flight must make delivery faster by this factor, and one less slower by no more than the other.
const WORTH: f64 = 1.05;
const HARDLY: f64 = 0.97;
/// At the same limit so much slower than usual: others press the receiver.
const PRESSED: f64 = 0.5;

/// What a trial compares.
#[derive(Clone, Copy)]
struct Trial {
    /// The limit that it came from.
    from: u32,
    /// Bytes a second there.
    rate: f64,
}

/// What was seen since `since`.
struct Epoch {
    since: Instant,
    bytes: u64,
    batches: u32,
    /// Batches that were full and had waited for their slot, or took the last one.
    starved: u32,
}

impl Epoch {
    fn new(now: Instant) -> Epoch {
        Epoch { since: now, bytes: 0, batches: 0, starved: 0 }
    }
}

struct State {
    taken: u32,
    /// One of them was lent, see [`Slot::lend`].
    lent: bool,
    limit: u32,
    epoch: Epoch,
    trial: Option<Trial>,
    /// Bytes a second at this limit, smoothed; 0: not known.
    usual: f64,
    up_next: bool,
    rest: Duration,
    next_trial: Instant,
    /// Batches that began before were sent under the old limit: their failure is the one that lowered it.
    lowered: Instant,
    /// The limit at which the receiver, which took what was sent at fewer, said that it is too much; 0: none.
    ceiling: u32,
    /// When, and how long after it was met, it is tried again: longer each time.
    ceiling_until: Instant,
    ceiling_rest: Duration,
}

/// The slots of a sink.
pub(crate) struct Window {
    most: u32,
    state: Mutex<State>,
    freed: Condvar,
}

impl Window {
    /// At most `most` slots (at least 1).
    pub fn new(most: u32) -> Arc<Window> {
        let (most, now) = (most.max(1), Instant::now());
        let state = State {
            taken: 0,
            lent: false,
            limit: most.min(FIRST),
            epoch: Epoch::new(now),
            trial: None,
            usual: 0.0,
            up_next: true,
            rest: REST,
            next_trial: now,
            lowered: now,
            ceiling: 0,
            ceiling_until: now,
            ceiling_rest: REST,
        };
        Arc::new(Window { most, state: Mutex::new(state), freed: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// How many may be in flight now.
    pub fn limit(&self) -> u32 {
        self.state().limit
    }

    /// How many may ever be.
    pub fn most(&self) -> u32 {
        self.most
    }

    /// A slot, or `None` if none is free within `wait`.
    pub fn take(self: &Arc<Self>, wait: Duration) -> Option<Slot> {
        let state = self.state();
        let waited = state.is_full();
        let (mut state, _) = self.freed.wait_timeout_while(state, wait, |s| s.is_full()).unwrap_or_else(|e| e.into_inner());
        if state.is_full() {
            return None;
        }
        state.taken += 1;
        // Those that were sent together are answered together: then one of them waits, and the others find a free slot.
        let limited = waited || state.limit > 1 && state.taken >= state.limit;
        Some(Slot { window: self.clone(), limited, lent: AtomicBool::new(false) })
    }

    /// A request of `bytes` was taken; `starved`: its batch was full, and its slot [`Slot::limited`].
    pub fn delivered(&self, bytes: usize, starved: bool) {
        let mut state = self.state();
        let epoch = &mut state.epoch;
        epoch.bytes += bytes as u64;
        epoch.batches += 1;
        epoch.starved += u32::from(starved);
        let now = Instant::now();
        if epoch.batches >= TRIAL_BATCHES * state.limit && now - state.epoch.since >= TRIAL {
            state.close(self.most, now);
            drop(state);
            self.freed.notify_one();
        }
    }

    /// The receiver did not take a request that was sent at `sent`: too much, or down.
    pub fn pressed(&self, sent: Instant) {
        let mut state = self.state();
        if sent >= state.lowered {
            state.lower(Instant::now());
        }
    }
}

impl State {
    fn is_full(&self) -> bool {
        self.taken >= self.limit + u32::from(self.lent)
    }

    fn lower(&mut self, now: Instant) {
        // Not in an outage, where all fails, and not at one, which is no question of how many.
        if self.limit > 1 && (self.epoch.batches > 0 || self.trial.is_some()) {
            let again = self.limit == self.ceiling;
            self.ceiling_rest = if again { (self.ceiling_rest * 2).min(LONGEST_REST) } else { REST };
            (self.ceiling, self.ceiling_until) = (self.limit, now + self.ceiling_rest);
        }
        (self.limit, self.lowered, self.usual) = ((self.limit * 7 / 10).max(1), now, 0.0);
        (self.trial, self.rest, self.up_next) = (None, REST, true);
        self.epoch = Epoch::new(now);
        self.next_trial = now;
    }

    /// Draws the conclusion from an epoch.
    fn close(&mut self, most: u32, now: Instant) {
        let epoch = std::mem::replace(&mut self.epoch, Epoch::new(now));
        // What is limited by what there is to send says nothing about the receiver.
        if epoch.starved * self.limit * 2 < epoch.batches {
            if let Some(trial) = self.trial.take() {
                self.limit = trial.from;
            }
            return;
        }
        let rate = epoch.bytes as f64 / (now - epoch.since).as_secs_f64();
        if let Some(trial) = self.trial.take() {
            let kept = rate >= trial.rate * if self.limit > trial.from { WORTH } else { HARDLY };
            if kept {
                (self.rest, self.usual) = (REST, rate);
                if self.limit >= self.ceiling {
                    self.ceiling = 0;
                }
                // What has paid is tried again; a way down only goes on at leisure.
                self.up_next = self.limit > trial.from;
                self.next_trial = if self.up_next { now } else { now + self.rest };
            } else {
                self.up_next = self.limit < trial.from;
                self.limit = trial.from;
                self.next_trial = now + self.rest;
                self.rest = (self.rest * 2).min(LONGEST_REST);
            }
            return;
        }
        if self.usual > 0.0 && rate < self.usual * PRESSED {
            self.lower(now);
            self.next_trial = now + self.rest;
            return;
        }
        self.usual = if self.usual > 0.0 { self.usual * 0.8 + rate * 0.2 } else { rate };
        if now < self.next_trial {
            return;
        }
        let to = match self.up_next {
            true => (self.limit + 1).min(most),
            false => (self.limit - 1).max(1),
        };
        if to > self.limit && to == self.ceiling && now < self.ceiling_until {
            return;
        }
        self.up_next = !self.up_next;
        if to != self.limit {
            self.trial = Some(Trial { from: self.limit, rate });
            self.limit = to;
        }
    }
}

/// A place for one batch; free again when dropped.
pub(crate) struct Slot {
    window: Arc<Window>,
    limited: bool,
    lent: AtomicBool,
}

impl Slot {
    /// Its batch waits for an answer about an earlier try: another batch may go meanwhile, which shows whether the receiver
    /// is down or has no answer. One slot is lent at a time, and none where one batch at a time is asked for.
    pub fn lend(&self) {
        let mut state = self.window.state();
        if self.window.most > 1 && !state.lent {
            state.lent = true;
            self.lent.store(true, Relaxed);
            self.window.freed.notify_one();
        }
    }

    /// Whether the sink had to wait for it, or it was the last one: as many are in flight as may be.
    pub fn limited(&self) -> bool {
        self.limited
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.window.state();
        state.taken -= 1;
        if self.lent.load(Relaxed) {
            state.lent = false;
        }
        drop(state);
        self.window.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Epochs of a receiver whose speed at a limit is `speed`, each a second after the other; the limits in between.
    fn run(window: &Window, epochs: usize, clock: &mut Instant, speed: impl Fn(u32) -> f64) -> Vec<u32> {
        let mut limits = Vec::new();
        for _ in 0..epochs {
            let mut state = window.state();
            let bytes = speed(state.limit) as u64;
            state.epoch = Epoch { since: *clock, bytes, batches: 10, starved: 10 };
            *clock += Duration::from_secs(1);
            state.close(window.most, *clock);
            limits.push(state.limit);
        }
        limits
    }

    #[test]
    fn slots_are_bounded_and_come_back() {
        let window = Window::new(8);
        let first = window.take(Duration::ZERO).unwrap();
        let second = window.take(Duration::ZERO).unwrap();
        assert!(!first.limited() && second.limited() && window.take(Duration::ZERO).is_none());
        drop((first, second));
        let third = window.take(Duration::from_secs(60)).unwrap();
        assert!(!third.limited(), "two were free");
        drop(third);
        assert_eq!(window.state().taken, 0);
        assert_eq!(Window::new(0).limit(), 1);
    }

    #[test]
    fn one_that_waits_for_an_answer_lets_another_go() {
        let window = Window::new(8);
        let first = window.take(Duration::ZERO).unwrap();
        window.pressed(Instant::now());
        assert_eq!((window.limit(), window.take(Duration::ZERO).is_some()), (1, false));
        first.lend();
        let second = window.take(Duration::ZERO).unwrap();
        second.lend();
        assert!(window.take(Duration::ZERO).is_none(), "one is lent at a time");
        drop(second);
        drop(first);
        let third = window.take(Duration::ZERO).unwrap();
        assert!(window.take(Duration::ZERO).is_none());
        drop(third);
        let alone = Window::new(1);
        let only = alone.take(Duration::ZERO).unwrap();
        only.lend();
        assert!(alone.take(Duration::ZERO).is_none(), "one at a time is what was asked for");
    }

    #[test]
    fn it_finds_as_many_as_pay_and_stays_about_there() {
        let (window, mut clock) = (Window::new(16), Instant::now());
        // Five at a time is what the receiver can do.
        let seen = run(&window, 2000, &mut clock, |limit| 1e7 * f64::from(limit.min(5)));
        assert_eq!(seen.iter().max(), Some(&6), "{seen:?}");
        assert!(seen[1000..].iter().filter(|limit| **limit == 5).count() > 900, "{seen:?}");
        // More at a time makes it slower: it goes down to what is best.
        let seen = run(&window, 2000, &mut clock, |limit| 1e7 / f64::from(limit));
        assert_eq!(seen.last(), Some(&1));
    }

    #[test]
    fn it_goes_down_at_once_under_pressure_and_once_for_all_that_fail_together() {
        let (window, mut clock) = (Window::new(16), Instant::now());
        run(&window, 60, &mut clock, |limit| 1e7 * f64::from(limit));
        assert_eq!(window.limit(), 16);
        let sent = Instant::now();
        (0..16).for_each(|_| window.pressed(sent));
        assert_eq!(window.limit(), 11);
        (0..20).for_each(|_| window.pressed(Instant::now()));
        assert_eq!(window.limit(), 1);
        run(&window, 60, &mut clock, |limit| 1e7 * f64::from(limit));
        assert_eq!(window.limit(), 16, "and comes back");
    }

    #[test]
    fn a_receiver_that_others_press_gets_less_from_us() {
        let (window, mut clock) = (Window::new(8), Instant::now());
        let alone = |limit: u32| 1e7 * f64::from(limit.min(4));
        run(&window, 400, &mut clock, alone);
        assert_eq!(window.limit(), 4);
        let pressed = run(&window, 3, &mut clock, |limit| alone(limit) / 5.0);
        assert!(pressed.contains(&2), "{pressed:?}");
    }

    #[test]
    fn a_receiver_that_takes_one_at_a_time_is_seldom_asked_for_two() {
        let (window, mut clock, mut refused) = (Window::new(8), Instant::now(), 0);
        for _ in 0..600 {
            let mut state = window.state();
            clock += Duration::from_secs(1);
            if state.limit > 1 {
                state.lower(clock);
                refused += 1;
            } else {
                state.epoch = Epoch { since: clock - Duration::from_secs(1), bytes: 10_000_000, batches: 10, starved: 10 };
                state.close(8, clock);
            }
        }
        assert!(refused < 10, "{refused} times in ten minutes");
        // Relieved, it takes more, and so gets more.
        let seen = run(&window, 400, &mut clock, |limit| 1e7 * f64::from(limit));
        assert_eq!(seen.last(), Some(&8));
    }

    #[test]
    fn what_is_not_limited_by_slots_changes_nothing() {
        let window = Window::new(8);
        let mut state = window.state();
        let now = state.epoch.since + Duration::from_secs(9);
        state.epoch.batches = 100;
        state.epoch.bytes = 1 << 30;
        state.close(8, now);
        assert_eq!(state.limit, FIRST);
    }
}
