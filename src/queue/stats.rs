//! Counters of the queue, and whether it is well.

use super::drops::Drops;
use crate::admin::human::{count, duration};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One kind of stall is told at most so often.
const TELL: Duration = Duration::from_secs(60);
/// How old the words of a stall may be that lasts.
const FRESH: Duration = Duration::from_secs(1);

/// Why the queue takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stall {
    /// `max_bytes` is reached.
    Full,
    /// The disk has less free space than the queue leaves to others.
    Floor,
    /// The disk refuses.
    Disk,
}

impl Stall {
    const ALL: usize = 3;

    fn state(self) -> &'static str {
        match self {
            Stall::Full | Stall::Floor => "full",
            Stall::Disk => "degraded",
        }
    }

    /// For a producer that waited in vain.
    fn cause(self) -> &'static str {
        match self {
            Stall::Full => "the queue is full",
            Stall::Floor => "the disk is nearly full",
            Stall::Disk => "disk error",
        }
    }
}

/// Counters since the start, and the state.
#[derive(Debug, Default)]
pub(crate) struct QueueStats {
    /// Bytes on disk of all topics but the dead letters, which have space of their own.
    pub(crate) disk_bytes: AtomicU64,
    pub(crate) disk_errors: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) lost_events: AtomicU64,
    pub(crate) drops: Drops,
    stalled: AtomicBool,
    health: Mutex<Health>,
}

impl QueueStats {
    /// The queue cannot take more for now: said in the log when it begins, and once a minute while it comes again or lasts.
    pub(crate) fn stall(&self, why: Stall, reason: impl FnOnce() -> String) {
        self.stalled.store(true, Ordering::Relaxed);
        let told = self.lock().stall(Instant::now(), why, reason);
        if let Some(text) = told {
            tracing::warn!(state = why.state(), "queue: {text}");
        }
    }

    /// All is well again; said where the stall was.
    pub(crate) fn recovered(&self) {
        if self.stalled.load(Ordering::Relaxed) && self.stalled.swap(false, Ordering::Relaxed) {
            let told = self.lock().recovered(Instant::now());
            if let Some(text) = told {
                tracing::info!("queue: {text}");
            }
        }
    }

    /// Says in the log what was dropped, as often as it is due.
    pub(crate) fn tell_drops(&self) {
        for line in self.drops.tell(Instant::now()) {
            tracing::error!("queue: {line}");
        }
    }

    /// Says it also where it is not due yet: nobody will be there to say it later.
    pub(crate) fn tell_all_drops(&self) {
        for line in self.drops.tell(Instant::now() + super::drops::TELL) {
            tracing::error!("queue: {line}");
        }
    }

    /// (`ok`, `full`, `degraded` or `dropping`; the reason).
    pub(crate) fn state(&self) -> (String, String) {
        let health = self.lock();
        if let (None, Some(dropped)) = (&health.now, self.drops.state(Instant::now())) {
            return ("dropping".into(), dropped);
        }
        health.now.as_ref().map_or_else(|| ("ok".into(), String::new()), |n| (n.why.state().into(), n.reason.clone()))
    }

    /// Why an append has to wait, in words.
    pub(crate) fn why_waiting(&self) -> String {
        let health = self.lock();
        let now = health.now.as_ref().map(|n| format!("{}: {}", n.why.cause(), n.reason));
        now.unwrap_or_else(|| "the disk is slower than the sources".into())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// The stall that holds, and what was said of those before.
#[derive(Debug, Default)]
struct Health {
    now: Option<Now>,
    kinds: [Kind; Stall::ALL],
}

#[derive(Debug)]
struct Now {
    why: Stall,
    reason: String,
    since: Instant,
    reasoned: Instant,
    told: bool,
}

#[derive(Debug, Default)]
struct Kind {
    told: Option<Instant>,
    /// Stalls that began after it was told, and how long those lasted that have ended.
    times: u64,
    lasted: Duration,
}

impl Health {
    fn stall(&mut self, at: Instant, why: Stall, reason: impl FnOnce() -> String) -> Option<String> {
        if self.now.as_ref().is_none_or(|now| now.why != why) {
            self.end(at);
            self.kinds[why as usize].times += 1;
            self.now = Some(Now { why, reason: reason(), since: at, reasoned: at, told: false });
        } else if let Some(now) = &mut self.now
            && at.saturating_duration_since(now.reasoned) >= FRESH
        {
            (now.reason, now.reasoned) = (reason(), at);
        }
        let (now, kind) = (self.now.as_mut()?, &mut self.kinds[why as usize]);
        if kind.told.is_some_and(|told| at.saturating_duration_since(told) < TELL) {
            return None;
        }
        let lasts = at.saturating_duration_since(now.since);
        let text = match (kind.told, kind.times) {
            (None, _) | (_, 1) if lasts < FRESH => now.reason.clone(),
            (_, 0 | 1) => format!("{} (for {} now)", now.reason, duration(lasts.as_secs_f64())),
            (_, times) => {
                let all = duration((kind.lasted + lasts).as_secs_f64());
                format!("{} ({} times since this was said last, {all} in all)", now.reason, count(times))
            }
        };
        (kind.told, kind.times, kind.lasted, now.told) = (Some(at), 0, Duration::ZERO, true);
        Some(text)
    }

    fn recovered(&mut self, at: Instant) -> Option<String> {
        let (told, since) = self.now.as_ref().map(|now| (now.told, now.since))?;
        self.end(at);
        told.then(|| format!("appends go on, after {}", duration(at.saturating_duration_since(since).as_secs_f64())))
    }

    fn end(&mut self, at: Instant) {
        if let Some(now) = self.now.take() {
            self.kinds[now.why as usize].lasted += at.saturating_duration_since(now.since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said when a stall of so many ms comes every second, for three minutes.
    fn flapping(stalled_ms: u64) -> Vec<String> {
        let (mut health, start, mut said) = (Health::default(), Instant::now(), Vec::new());
        for ms in (0..180_000).step_by(200) {
            let at = start + Duration::from_millis(ms);
            let text =
                if ms % 1000 < stalled_ms { health.stall(at, Stall::Full, || "max_bytes is reached".into()) } else { health.recovered(at) };
            said.extend(text.map(|t| format!("{}: {t}", ms / 1000)));
        }
        said
    }

    #[test]
    fn a_stall_that_comes_and_goes_is_told_once_a_minute() {
        insta::assert_snapshot!(flapping(400).join("\n"), @r"
        0: max_bytes is reached
        0: appends go on, after 0.4 s
        60: max_bytes is reached (60 times since this was said last, 24 s in all)
        60: appends go on, after 0.4 s
        120: max_bytes is reached (60 times since this was said last, 24 s in all)
        120: appends go on, after 0.4 s
        ");
    }

    #[test]
    fn a_stall_that_lasts_is_repeated_each_minute() {
        insta::assert_snapshot!(flapping(1000).join("\n"), @r"
        0: max_bytes is reached
        60: max_bytes is reached (for 1 min 0 s now)
        120: max_bytes is reached (for 2 min 0 s now)
        ");
    }

    #[test]
    fn another_cause_is_told_at_once() {
        let (mut health, at) = (Health::default(), Instant::now());
        assert!(health.stall(at, Stall::Full, || "full".into()).is_some());
        assert_eq!(health.stall(at, Stall::Disk, || "EIO".into()), Some("EIO".into()));
        assert_eq!(health.stall(at, Stall::Full, || "full".into()), None, "it was said this minute");
        assert_eq!(health.recovered(at), None, "this one was not told");
    }

    #[test]
    fn who_waited_in_vain_reads_the_cause() {
        let stats = QueueStats::default();
        assert_eq!(stats.why_waiting(), "the disk is slower than the sources");
        stats.stall(Stall::Floor, || "1 B free".into());
        assert_eq!((stats.state().0.as_str(), stats.why_waiting().as_str()), ("full", "the disk is nearly full: 1 B free"));
        stats.stall(Stall::Disk, || "EIO".into());
        assert_eq!((stats.state().0.as_str(), stats.why_waiting().as_str()), ("degraded", "disk error: EIO"));
        stats.recovered();
        assert_eq!(stats.state().0, "ok");
    }
}
