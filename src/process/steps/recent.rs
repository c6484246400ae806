//! What some processors remember of events: a bounded memory of keys, and the time of an event.

use crate::process::event::{Document, Path, Value};
use crate::process::timestamp::parse_rfc3339;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// The last so many keys, of which those that are asked for stay longest: two halves, of which the older is forgotten as a whole.
#[derive(Clone, Debug)]
pub(super) struct Recent<V> {
    young: HashMap<u64, V>,
    old: HashMap<u64, V>,
    half: usize,
}

impl<V> Recent<V> {
    /// Remembers at most `keys`.
    pub(super) fn new(keys: usize) -> Recent<V> {
        Recent { young: HashMap::new(), old: HashMap::new(), half: (keys / 2).max(1) }
    }

    /// What is known of a key, or what is known now.
    pub(super) fn entry(&mut self, key: u64, new: impl FnOnce() -> V) -> &mut V {
        if !self.young.contains_key(&key) && self.young.len() >= self.half {
            std::mem::swap(&mut self.young, &mut self.old);
            // The key may stand in what was the older half until now.
            let kept = self.young.remove_entry(&key);
            self.young.clear();
            self.young.extend(kept);
        }
        let old = &mut self.old;
        self.young.entry(key).or_insert_with(|| old.remove(&key).unwrap_or_else(new))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

/// A seed that who writes logs cannot know, so that no line can be made to look like another one.
pub(super) fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// When an event happened.
#[derive(Clone, Debug)]
pub(super) struct When(Path);

impl Default for When {
    fn default() -> When {
        When(Path::parse("@timestamp").expect("a right name"))
    }
}

impl When {
    /// Milliseconds since the Unix epoch: `@timestamp`, else when it was appended to the queue. Never the clock, so that a replay
    /// decides the same.
    pub(super) fn of(&self, event: &Document) -> i64 {
        let appended = || i64::try_from(event.append_ms).unwrap_or(i64::MAX);
        match event.get(&self.0) {
            Some(Value::Time(ns)) => ns.div_euclid(1_000_000),
            Some(Value::Text(span)) => parse_rfc3339(event.str(span)).and_then(|ms| ms.try_into().ok()).unwrap_or_else(appended),
            _ => appended(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_bounded_and_knows_what_was_asked_for_last(keys in prop::collection::vec(0u64..40, 1..200), most in 2usize..20) {
            let mut recent = Recent::new(most);
            for (n, key) in keys.iter().enumerate() {
                let first = keys[..n].iter().rposition(|other| other == key);
                let value = *recent.entry(*key, || n);
                prop_assert!(recent.len() <= most.max(2));
                // What came among the last `half` different keys is known.
                if let Some(first) = first {
                    let between: std::collections::BTreeSet<_> = keys[first + 1..n].iter().collect();
                    prop_assert!(between.len() >= most / 2 || value < n, "{} {}", n, value);
                }
            }
        }
    }
}
