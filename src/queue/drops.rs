//! What `on_full` drops, as it is told: at once when it begins, then once a minute, by stream.

use super::Cause;
use crate::admin::human::{bytes, count};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often it is told while it lasts, and how long after the last drop it is taken to last.
pub(super) const TELL: Duration = Duration::from_secs(60);
/// Streams that are named at a time.
const NAMED: usize = 10;

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    events: u64,
    bytes: u64,
}

#[derive(Debug, Default)]
struct Inner {
    /// By cause and path, since it was told last.
    untold: BTreeMap<(Cause, String), Sum>,
    unread: BTreeMap<String, u64>,
    why: String,
    told: Option<Instant>,
    last: Option<Instant>,
    /// Of this episode.
    all: Sum,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Drops(Mutex<Inner>);

impl Drops {
    /// Some events of the stream at `path` were dropped, and why.
    pub(crate) fn add(&self, now: Instant, cause: Cause, path: &str, events: u64, bytes: u64, why: &str) {
        let mut inner = self.lock();
        if !inner.lasts(now) {
            inner.all = Sum::default();
        }
        let inner = &mut *inner;
        for sum in [inner.untold.entry((cause, path.to_string())).or_default(), &mut inner.all] {
            (sum.events, sum.bytes) = (sum.events + events, sum.bytes + bytes);
        }
        inner.last = Some(now);
        if inner.why != why {
            inner.why = why.to_string();
        }
    }

    /// So many dropped events a group had not acknowledged.
    pub(crate) fn unread(&self, group: &str, events: u64) {
        *self.lock().unread.entry(group.to_string()).or_default() += events;
    }

    /// What is to be said in the log now.
    pub(crate) fn tell(&self, now: Instant) -> Vec<String> {
        let mut inner = self.lock();
        if inner.untold.is_empty() || inner.told.is_some_and(|told| now.saturating_duration_since(told) < TELL) {
            return Vec::new();
        }
        inner.told = Some(now);
        let mut unread: Vec<String> = inner.unread.iter().map(|(group, n)| format!("`{group}` {}", count(*n))).collect();
        inner.unread.clear();
        let unread =
            if unread.is_empty() { String::new() } else { format!("; not acknowledged by {}", std::mem::take(&mut unread).join(", ")) };
        let mut sums: Vec<((Cause, String), Sum)> = std::mem::take(&mut inner.untold).into_iter().collect();
        sums.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.bytes));
        let rest = sums.split_off(sums.len().min(NAMED));
        let others = rest.iter().fold(Sum::default(), |a, (_, s)| Sum { events: a.events + s.events, bytes: a.bytes + s.bytes });
        let line = |cause: Cause, sum: Sum, of: &str| {
            let which = if cause == Cause::DroppedOldest { "oldest" } else { "newest" };
            format!("dropped the {which} {} events ({}) of {of}, because {}{unread}", count(sum.events), bytes(sum.bytes), inner.why)
        };
        let mut lines: Vec<String> = sums.iter().map(|((cause, path), sum)| line(*cause, *sum, path)).collect();
        if let Some(((cause, _), _)) = rest.first() {
            lines.push(line(*cause, others, &format!("{} other streams", rest.len())));
        }
        lines
    }

    /// What is being dropped, for the status; `None` when nothing was for a minute.
    pub(crate) fn state(&self, now: Instant) -> Option<String> {
        let inner = self.lock();
        inner
            .lasts(now)
            .then(|| format!("{} events ({}) were dropped, because {}", count(inner.all.events), bytes(inner.all.bytes), inner.why))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Inner {
    fn lasts(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now.saturating_duration_since(last) < TELL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_once_and_then_once_a_minute() {
        let (drops, start, mut said) = (Drops::default(), Instant::now(), Vec::new());
        for second in 0..130 {
            let now = start + Duration::from_secs(second);
            if second < 90 {
                drops.add(
                    now,
                    Cause::DroppedOldest,
                    "/var/log/app.log",
                    1000,
                    200_000,
                    "queue.max_bytes (1.0 GiB) is reached (on_full: drop_oldest)",
                );
                drops.unread("search", 1000);
            }
            said.extend(drops.tell(now).into_iter().map(|line| format!("{second}: {line}")));
        }
        insta::assert_snapshot!(said.join("\n"), @r"
        0: dropped the oldest 1,000 events (195.3 KiB) of /var/log/app.log, because queue.max_bytes (1.0 GiB) is reached (on_full: drop_oldest); not acknowledged by `search` 1,000
        60: dropped the oldest 60,000 events (11.4 MiB) of /var/log/app.log, because queue.max_bytes (1.0 GiB) is reached (on_full: drop_oldest); not acknowledged by `search` 60,000
        120: dropped the oldest 29,000 events (5.5 MiB) of /var/log/app.log, because queue.max_bytes (1.0 GiB) is reached (on_full: drop_oldest); not acknowledged by `search` 29,000
        ");
        assert!(drops.state(start + Duration::from_secs(100)).unwrap().starts_with("90,000 events (17.2 MiB) were dropped, because"));
        assert_eq!(drops.state(start + Duration::from_secs(150)), None);
    }
}
