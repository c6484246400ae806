//! `dedupe: {fields: […], window: 1m}`: of events with the same values, only the first within a time goes on; the others are
//! filtered.
//!
//! The time is that of the events, and the first event of a key is remembered by its place: when it is encoded again, or the group
//! is rewound to before it, it goes on again, and those that were filtered are filtered again. Where a replay begins within a window,
//! or nothing is known of a key any more (the process began anew, `keys` others came), the next event of the key is its first. What
//! always holds: near each event that is filtered, within the window, one with the same values goes on.

use super::recent::{Recent, When, seed};
use crate::config::decode::Map;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path};
use std::time::Duration;

/// The event that was the first of its key: where it stands, and when it happened.
#[derive(Clone, Copy, Debug)]
struct First {
    origin: u64,
    ms: i64,
}

/// See the module.
#[derive(Clone, Debug)]
struct Dedupe {
    fields: Vec<Path>,
    window_ms: u64,
    when: When,
    seed: u64,
    firsts: Recent<First>,
}

impl Processor for Dedupe {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        // What has none of the fields is like nothing.
        if !self.fields.iter().any(|path| event.find(path).is_some()) {
            return Ok(Flow::On);
        }
        let key = event.digest(&self.fields, self.seed);
        let this = First { origin: event.origin, ms: self.when.of(event) };
        let first = self.firsts.entry(key, || this);
        if first.origin == this.origin {
            return Ok(Flow::On);
        }
        if first.ms.abs_diff(this.ms) <= self.window_ms {
            return Ok(Flow::Drop);
        }
        *first = this;
        Ok(Flow::On)
    }

    fn needs_origin(&self) -> bool {
        true
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let fields = map.get("fields").map_or_else(|| Path::parse("message").map(|path| vec![path]).unwrap_or_default(), |f| f.event_fields());
    let window =
        map.get("window").map_or(Some(Duration::from_secs(60)), |f| f.duration(Duration::from_millis(1)..=Duration::from_secs(7 * 86_400)));
    let keys = map.get("keys").map_or(Some(10_000), |f| f.integer(2..=1_000_000));
    (!fields.is_empty()).then_some(())?;
    let (window_ms, keys) = (window?.as_millis() as u64, keys? as usize);
    Some(Box::new(Dedupe { fields, window_ms, when: When::default(), seed: seed(), firsts: Recent::new(keys) }))
}

#[cfg(test)]
mod tests {
    use crate::process::steps::testing::Lines;
    use proptest::prelude::*;

    #[test]
    fn the_first_goes_on() {
        let mut lines = Lines::new("[{dedupe: {window: 10s}}]");
        let mut go = |line, at, ms| lines.at(line, at, ms).starts_with('{');
        assert_eq!([go("a", 0, 0), go("a", 1, 5_000), go("b", 2, 5_000), go("a", 3, 10_000)], [true, false, true, false]);
        assert_eq!([go("a", 4, 10_001), go("a", 5, 10_002)], [true, false], "a window begins with the first, not with the last");
        assert_eq!([go("a", 4, 10_001), go("a", 5, 10_002)], [true, false], "encoded again");
        assert_eq!([go("a", 0, 0), go("a", 1, 5_000), go("a", 4, 10_001)], [true, false, true], "rewound");
        assert_eq!(lines.at("a", 6, 10_003), "filtered by dedupe (1)");
    }

    #[test]
    fn the_time_is_that_of_the_event() {
        let mut lines = Lines::new("[{json: {}}, {timestamp: {field: t, formats: epoch_s}}, {dedupe: {fields: [k], window: 10s}}]");
        let mut go = |t: u32, at| lines.at(&format!(r#"{{"k":1,"t":{t}}}"#), at, 0).starts_with('{');
        assert_eq!([go(100, 0), go(105, 1), go(111, 2)], [true, false, true]);
        assert!(lines.at("no json", 3, 0).starts_with('{') && lines.at("no json", 4, 0).starts_with('{'), "no field, no key");
    }

    proptest! {
        #[test]
        fn a_replay_decides_the_same_and_a_part_of_one_leaves_nothing_without_a_first(
            events in prop::collection::vec((0u8..3, 0u64..5_000), 1..40), from in any::<prop::sample::Index>(),
        ) {
            let mut lines = Lines::new("[{dedupe: {window: 3s}}]");
            let mut ms = 0;
            let events: Vec<(String, u64)> = events.iter().map(|(k, step)| { ms += step; (k.to_string(), ms) }).collect();
            let mut run = |from: usize| -> Vec<bool> {
                events.iter().enumerate().map(|(n, (k, ms))| n >= from && lines.at(k, n as u64, *ms).starts_with('{')).collect()
            };
            let first = run(0);
            prop_assert_eq!(run(0), first.clone());
            let from = from.index(events.len());
            let again = run(from);
            for n in from..events.len() {
                let near = |m: &usize| events[*m].0 == events[n].0 && events[*m].1.abs_diff(events[n].1) <= 3_000;
                prop_assert!((0..events.len()).filter(near).any(|m| again[m] || first[m]), "{} of {:?}", n, again);
            }
        }
    }
}
