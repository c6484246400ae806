//! What the agent says of itself while all is well: that lines arrive, and once a minute how many.

use crate::admin::human::{bytes, plural};
use crate::admin::{SinkStatus, Status};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// In the first moments somebody may be watching.
const WATCHED: Duration = Duration::from_secs(5);
/// Between two looks in that time.
const LOOK: Duration = Duration::from_millis(250);
/// When it is said what the sources found.
const FOUND: Duration = Duration::from_secs(1);
/// Between two lines later; none is written where nothing moved.
const EVERY: Duration = Duration::from_secs(60);

/// What was said last.
pub(super) struct Progress {
    started: Instant,
    said: Instant,
    found: bool,
    /// Files at the last look: as long as they become more, the first listing goes on.
    files: u64,
    read: u64,
    delivered: BTreeMap<String, u64>,
    /// `limits.memory`, and whether it was said that it does not hold.
    memory: Option<u64>,
    beyond: bool,
}

impl Progress {
    pub(super) fn new(memory: Option<u64>, now: Instant) -> Progress {
        Progress { started: now, said: now, found: false, files: 0, read: 0, delivered: BTreeMap::new(), memory, beyond: false }
    }

    /// What is to be said where the process has `resident` bytes in memory; once each time that it passes its limit.
    pub(super) fn beyond(&mut self, status: &Status, resident: u64) -> Option<String> {
        let limit = self.memory?;
        let before = std::mem::replace(&mut self.beyond, resident > limit);
        (self.beyond && !before).then(|| {
            format!(
                "{} are in memory, more than limits.memory ({}): at most {} of it is data (queue.buffer_memory), the rest is the program and \
                 what it knows of {}; nothing is lost. Raise the limit, or follow fewer files",
                bytes(resident),
                bytes(limit),
                bytes(status.queue.memory_cap),
                plural(status.sources.values().map(|s| s.files).sum(), "file")
            )
        })
    }

    /// How long until the next look.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        if now < self.started + WATCHED { LOOK } else { (self.said + EVERY).saturating_duration_since(now).max(LOOK) }
    }

    /// The lines that are due.
    pub(super) fn look(&mut self, status: &Status, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        let files = status.sources.values().map(|s| s.files).sum();
        let finding = std::mem::replace(&mut self.files, files) != files && now < self.started + WATCHED;
        if !self.found && !finding && now >= self.started + FOUND {
            self.found = true;
            for (name, source) in &status.sources {
                let events = source.read_events;
                if source.kind != "file" {
                    continue;
                }
                lines.push(match (source.files, events) {
                    (0, 0) => format!("source {name}: no file matches yet; one that appears is read from its first byte"),
                    (files, 0) => {
                        format!("source {name}: {}, nothing new in {}", plural(files, "file"), if files == 1 { "it" } else { "them" })
                    }
                    (files, _) => format!("source {name}: {}, {} read so far", plural(files, "file"), plural(events, "event")),
                });
            }
        }
        for (name, sink) in &status.sinks {
            if done(sink) > 0 && !self.delivered.contains_key(name) {
                lines.push(format!("sink {name}: delivery works, {} so far", plural(done(sink), "event")));
                self.delivered.insert(name.clone(), done(sink));
            }
        }
        if now >= self.said + EVERY {
            self.said = now;
            let read = status.sources.values().map(|s| s.read_events).sum();
            let moved: Vec<(&String, u64, &SinkStatus)> = status
                .sinks
                .iter()
                .map(|(name, sink)| (name, done(sink) - self.delivered.insert(name.clone(), done(sink)).unwrap_or(0).min(done(sink)), sink))
                .collect();
            let news = std::mem::replace(&mut self.read, read) != read || moved.iter().any(|(_, events, _)| *events > 0);
            if news {
                let sinks = moved.iter().map(|(name, events, sink)| format!("{name} delivered {events} (behind by {})", sink.lag_events));
                lines.push(format!(
                    "{} read since the start; in the last minute {}",
                    plural(read, "event"),
                    sinks.collect::<Vec<_>>().join(", ")
                ));
            }
        }
        lines
    }
}

/// Events that the sink is done with.
fn done(sink: &SinkStatus) -> u64 {
    sink.delivered_events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::SourceStatus;

    fn status(files: u64, read: u64, delivered: u64) -> Status {
        let source = SourceStatus { kind: "file".into(), files, read_events: read, ..SourceStatus::default() };
        let sink = SinkStatus { delivered_events: delivered, lag_events: read - delivered, ..SinkStatus::default() };
        Status {
            sources: BTreeMap::from([("app".to_string(), source)]),
            sinks: BTreeMap::from([("search".to_string(), sink)]),
            ..Status::default()
        }
    }

    #[test]
    fn the_first_lines_are_told_and_then_once_a_minute_if_something_moved() {
        let start = Instant::now();
        let mut progress = Progress::new(None, start);
        let mut at = |seconds, files, read, delivered| progress.look(&status(files, read, delivered), start + Duration::from_secs(seconds));
        assert!(at(0, 3, 0, 0).is_empty());
        assert_eq!(at(1, 3, 121, 0), ["source app: 3 files, 121 events read so far"]);
        assert_eq!(at(2, 3, 121, 100), ["sink search: delivery works, 100 events so far"]);
        assert!(at(3, 3, 121, 121).is_empty());
        assert_eq!(at(60, 3, 150, 140), ["150 events read since the start; in the last minute search delivered 40 (behind by 10)"]);
        assert!(at(61, 3, 160, 160).is_empty());
        assert_eq!(at(120, 3, 160, 160), ["160 events read since the start; in the last minute search delivered 20 (behind by 0)"]);
        assert!(at(180, 3, 160, 160).is_empty());
    }

    #[test]
    fn a_quiet_start_is_explained() {
        let start = Instant::now();
        let one = start + Duration::from_secs(1);
        assert_eq!(
            Progress::new(None, start).look(&status(0, 0, 0), one),
            ["source app: no file matches yet; one that appears is read from its first byte"]
        );
        let mut quiet = Progress::new(None, start);
        quiet.look(&status(1, 0, 0), start);
        assert_eq!(quiet.look(&status(1, 0, 0), one), ["source app: 1 file, nothing new in it"]);
    }

    #[test]
    fn files_are_counted_when_the_first_listing_is_over_or_takes_long() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut progress = Progress::new(None, start);
        assert!(progress.look(&status(10, 0, 0), at(750)).is_empty());
        assert!(progress.look(&status(20, 0, 0), at(1000)).is_empty());
        assert!(progress.look(&status(30, 0, 0), at(1250)).is_empty());
        assert_eq!(progress.look(&status(30, 0, 0), at(1500)), ["source app: 30 files, nothing new in them"]);
        let mut long = Progress::new(None, start);
        assert!(long.look(&status(10, 0, 0), at(4750)).is_empty());
        assert_eq!(long.look(&status(20, 0, 0), at(5000)).len(), 1);
    }

    #[test]
    fn memory_beyond_its_limit_is_told_each_time_it_gets_there() {
        const MIB: u64 = 1 << 20;
        let mut progress = Progress::new(Some(64 * MIB), Instant::now());
        let mut status = status(100_000, 0, 0);
        status.queue.memory_cap = 24 * MIB;
        let mut at = |mib: u64| progress.beyond(&status, mib * MIB);
        assert_eq!((at(64), at(63)), (None, None));
        insta::assert_snapshot!(at(120).unwrap(), @r#"120.0 MiB are in memory, more than limits.memory (64.0 MiB): at most 24.0 MiB of it is data (queue.buffer_memory), the rest is the program and what it knows of 100000 files; nothing is lost. Raise the limit, or follow fewer files"#);
        assert_eq!((at(121), at(60)), (None, None));
        assert!(at(65).is_some());
        assert_eq!(Progress::new(None, Instant::now()).beyond(&status, u64::MAX), None);
    }

    #[test]
    fn a_quiet_agent_wakes_once_a_minute() {
        let start = Instant::now();
        let mut progress = Progress::new(None, start);
        assert_eq!(progress.pause(start), LOOK);
        let later = start + Duration::from_secs(600);
        progress.look(&status(1, 0, 0), later);
        assert_eq!(progress.pause(later), EVERY);
    }
}
