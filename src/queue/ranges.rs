//! A set of offsets, as ranges.

use std::collections::BTreeMap;

/// Ranges start → end (exclusive) that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds `start..end`; gives how many of them were not in the set before.
    pub(crate) fn insert(&mut self, start: u64, end: u64) -> u64 {
        if start >= end {
            return 0;
        }
        let (mut from, mut to, mut fresh) = (start, end, end - start);
        let touching: Vec<(u64, u64)> = self.0.range(..=end).filter(|(_, e)| **e >= start).map(|(s, e)| (*s, *e)).collect();
        for (s, e) in touching {
            self.0.remove(&s);
            fresh -= e.min(end).saturating_sub(s.max(start));
            (from, to) = (from.min(s), to.max(e));
        }
        self.0.insert(from, to);
        fresh
    }

    pub(crate) fn contains(&self, offset: u64) -> bool {
        self.0.range(..=offset).next_back().is_some_and(|(_, end)| offset < *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn counts_each_offset_once(inserts in prop::collection::vec((0u64..60, 0u64..20), 0..30)) {
            let (mut ranges, mut all) = (Ranges::default(), BTreeSet::new());
            for (start, len) in inserts {
                let fresh = (start..start + len).filter(|o| all.insert(*o)).count() as u64;
                prop_assert_eq!(ranges.insert(start, start + len), fresh);
                let held: BTreeSet<u64> = ranges.0.iter().flat_map(|(s, e)| *s..*e).collect();
                prop_assert_eq!(&held, &all);
                prop_assert!((0..90).all(|o| ranges.contains(o) == all.contains(&o)));
            }
        }
    }
}
