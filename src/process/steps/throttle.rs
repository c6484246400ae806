//! `throttle: {limit: 100, period: 1s, key: […]}`: so many events of a key go on in each period; the others are filtered.
//!
//! Periods are those of the events' time, one behind the other since 1970, and which events went on in one is remembered by their
//! places: an event that is encoded again, or comes again because the group was rewound, goes on again. A period of which nothing is
//! known any more begins anew: then some go on too many, never one too few.

use super::recent::{Recent, When, seed};
use crate::config::decode::Map;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path};
use std::collections::HashSet;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Most events that all keys together may let through in a period: they are remembered.
const MOST: u64 = 1_000_000;

/// See the module.
#[derive(Clone, Debug)]
struct Throttle {
    key: Vec<Path>,
    limit: usize,
    period_ms: i64,
    when: When,
    seed: u64,
    /// The places of the events that went on, by key and period.
    went: Recent<HashSet<u64>>,
}

impl Processor for Throttle {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        let period = self.when.of(event).div_euclid(self.period_ms);
        let key = xxh3_64_with_seed(&period.to_le_bytes(), event.digest(&self.key, self.seed));
        let went = self.went.entry(key, HashSet::new);
        if went.contains(&event.origin) {
            return Ok(Flow::On);
        }
        if went.len() >= self.limit {
            return Ok(Flow::Drop);
        }
        went.insert(event.origin);
        Ok(Flow::On)
    }

    fn needs_origin(&self) -> bool {
        true
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let key = map.get("key").map(|f| f.event_fields()).unwrap_or_default();
    let period =
        map.get("period").map_or(Some(Duration::from_secs(1)), |f| f.duration(Duration::from_millis(1)..=Duration::from_secs(86_400)));
    let limit_field = map.require("limit", "how many events of a key go on in a period");
    let keys_field = map.get("keys");
    let keys = keys_field.as_ref().map_or(Some(1000), |f| f.integer(2..=100_000));
    let field = limit_field?;
    let (limit, keys) = (field.integer(1..=MOST / 2)?, keys?);
    // Without an own `keys` as many as there is room for.
    let keys = if keys_field.is_some() { keys } else { keys.min(MOST / limit).max(2) };
    if limit.saturating_mul(keys) > MOST {
        field.wrong(
            format!("`{}` times `keys` is {}", field.path, limit.saturating_mul(keys)),
            format!("at most {MOST}: the events that go on in a period are remembered"),
        );
        return None;
    }
    let period_ms = i64::try_from(period?.as_millis()).ok()?;
    let went = Recent::new(keys as usize);
    Some(Box::new(Throttle { key, limit: limit as usize, period_ms, when: When::default(), seed: seed(), went }))
}

#[cfg(test)]
mod tests {
    use crate::process::steps::testing::{Lines, wrong};

    #[test]
    fn so_many_go_on() {
        let mut lines = Lines::new("[{json: {}}, {throttle: {limit: 2, period: 10s, key: k}}]");
        let mut go = |k: u8, at, ms| lines.at(&format!(r#"{{"k":{k}}}"#), at, ms).starts_with('{');
        let run = |go: &mut dyn FnMut(u8, u64, u64) -> bool| {
            [go(1, 0, 0), go(1, 1, 1), go(1, 2, 2), go(2, 3, 3), go(1, 4, 9_999), go(1, 5, 10_000), go(1, 6, 9_000)]
        };
        let want = [true, true, false, true, false, true, false];
        assert_eq!(run(&mut go), want);
        assert_eq!(run(&mut go), want, "rewound");
        assert_eq!([go(1, 1, 1), go(1, 2, 2)], [true, false], "a part again");
        assert_eq!(lines.at(r#"{"k":1}"#, 9, 5), "filtered by throttle (2)");
        assert!(wrong("[{throttle: {limit: 10000, keys: 1000}}]").contains("at most 1000000"));
        assert!(wrong("[{throttle: {}}]").contains("has no `limit`"));
    }
}
