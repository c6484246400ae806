//! What a group's sink has left out, bytes by stream, so that the audit can tell it from what was delivered.
//!
//! It is kept by batch as long as the batch's offsets are in the queue: a group that is moved back to them is given them
//! again, and may leave out other events then. What lies before the queue's first offset is only a sum.

use super::codec::{Reader, Writer};
use std::collections::BTreeMap;

pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"FBF1");

/// The most sums by batch and stream that are kept apart, 16 bytes each; beyond, neighbours are put together, and a move
/// back into them forgets both.
const MOST: usize = 16 << 10;

/// Bytes by the number of a stream.
type Parts = Vec<(u64, u64)>;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filtered {
    settled: BTreeMap<u64, u64>,
    /// First offset → last one, and what was left out of these.
    batches: BTreeMap<u64, (u64, Parts)>,
}

/// Adds sums to sums.
fn merge(into: &mut Parts, more: &[(u64, u64)]) {
    let mut sums: BTreeMap<u64, u64> = into.iter().copied().collect();
    for (stream, bytes) in more {
        let sum = sums.entry(*stream).or_default();
        *sum = sum.saturating_add(*bytes);
    }
    *into = sums.into_iter().collect();
}

impl Filtered {
    /// Whether nothing is known of any event.
    pub(crate) fn is_empty(&self) -> bool {
        self.settled.is_empty() && self.batches.is_empty()
    }

    /// Whether an ack of these offsets changes anything, with `parts` left out of them.
    pub(crate) fn concerns(&self, first: u64, last: u64, parts: &[(u64, u64)]) -> bool {
        !parts.is_empty() || self.batches.range(..=last).next_back().is_some_and(|(_, (end, _))| *end >= first)
    }

    /// The batch of these offsets was acked without `parts`, whose streams ascend. It takes the place of what it covers; inside of an earlier
    /// one (a redrive) it is added to that.
    pub(crate) fn add(&mut self, first: u64, last: u64, parts: &[(u64, u64)]) {
        let covered = |(from, (to, _)): &(&u64, &(u64, Parts))| **from >= first && *to <= last;
        let gone: Vec<u64> = self.batches.range(first..=last).filter(covered).map(|(from, _)| *from).collect();
        gone.iter().for_each(|from| drop(self.batches.remove(from)));
        if parts.is_empty() {
            return;
        }
        match self.batches.range_mut(..=last).next_back().filter(|(_, (to, _))| *to >= first) {
            Some((_, (_, sums))) => merge(sums, parts),
            None => drop(self.batches.insert(first, (last, parts.to_vec()))),
        }
        self.bound();
    }

    fn bound(&mut self) {
        let mut sums: usize = self.batches.values().map(|(_, parts)| parts.len()).sum();
        while sums > MOST && self.batches.len() > 1 {
            let mut halved: BTreeMap<u64, (u64, Parts)> = BTreeMap::new();
            for (number, (first, (last, parts))) in std::mem::take(&mut self.batches).into_iter().enumerate() {
                match halved.last_entry().filter(|_| number % 2 == 1) {
                    Some(mut before) => {
                        before.get_mut().0 = last;
                        merge(&mut before.get_mut().1, &parts);
                    }
                    None => drop(halved.insert(first, (last, parts))),
                }
            }
            self.batches = halved;
            sums = self.batches.values().map(|(_, parts)| parts.len()).sum();
        }
    }

    /// The group was moved to `offset`: what lies behind will be judged anew.
    pub(crate) fn moved(&mut self, offset: u64) {
        self.batches.retain(|_, (last, _)| *last < offset);
    }

    /// Nothing below `offset` will be delivered again; streams that are not known any more are forgotten.
    pub(crate) fn settle(&mut self, offset: u64, known: impl Fn(u64) -> bool) {
        while let Some(batch) = self.batches.first_entry().filter(|b| b.get().0 < offset) {
            for (stream, bytes) in batch.remove().1 {
                let sum = self.settled.entry(stream).or_default();
                *sum = sum.saturating_add(bytes);
            }
        }
        self.settled.retain(|stream, _| known(*stream));
    }

    /// Bytes of a stream that were left out.
    pub(crate) fn of(&self, stream: u64) -> u64 {
        let in_batch = |(_, parts): &(u64, Parts)| parts.binary_search_by_key(&stream, |p| p.0).map_or(0, |at| parts[at].1);
        let batches = self.batches.values().map(in_batch).fold(0, u64::saturating_add);
        batches.saturating_add(self.settled.get(&stream).copied().unwrap_or(0))
    }

    /// All of it, as it stands in a journal that is written anew.
    pub(crate) fn encode(&self, w: &mut Writer) {
        w.u8(1);
        w.u32(self.settled.len() as u32);
        self.settled.iter().for_each(|(stream, bytes)| [*stream, *bytes].into_iter().for_each(|v| w.u64(v)));
        w.u32(self.batches.len() as u32);
        for (first, (last, parts)) in &self.batches {
            encode_batch(*first, *last, parts, w);
        }
    }

    /// Brings it up to date by the content of a record; `None`, and nothing changed, where that is none.
    pub(crate) fn apply(&mut self, r: &mut Reader<'_>) -> Option<()> {
        match r.u8()? {
            0 => {
                let (first, last, parts) = decode_batch(r)?;
                self.add(first, last, &parts);
            }
            1 => {
                let mut all = Filtered::default();
                for _ in 0..r.u32()? {
                    all.settled.insert(r.u64()?, r.u64()?);
                }
                let count = r.u32()?;
                let batch = |_| decode_batch(r).map(|(first, last, parts)| (first, (last, parts)));
                all.batches = (0..count).map(batch).collect::<Option<_>>()?;
                *self = all;
            }
            _ => return None,
        }
        Some(())
    }
}

/// The record of one batch.
pub(crate) fn encode_batch(first: u64, last: u64, parts: &[(u64, u64)], w: &mut Writer) {
    w.u64(first);
    w.u64(last);
    w.u32(parts.len() as u32);
    parts.iter().for_each(|(stream, bytes)| [*stream, *bytes].into_iter().for_each(|v| w.u64(v)));
}

fn decode_batch(r: &mut Reader<'_>) -> Option<(u64, u64, Parts)> {
    let (first, last) = (r.u64()?, r.u64()?);
    let parts = (0..r.u32()?).map(|_| Some((r.u64()?, r.u64()?))).collect::<Option<Parts>>()?;
    (first <= last && parts.is_sorted()).then_some((first, last, parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_delivered_again_is_judged_anew() {
        let mut f = Filtered::default();
        assert!(!f.concerns(0, 9, &[]));
        f.add(0, 9, &[(1, 100), (2, 50)]);
        f.add(10, 19, &[(1, 7)]);
        assert_eq!((f.of(1), f.of(2), f.of(3)), (107, 50, 0));
        // Another batch over the same offsets, by another chain.
        assert!(f.concerns(5, 30, &[]));
        f.add(0, 9, &[(2, 1)]);
        assert_eq!((f.of(1), f.of(2)), (7, 1));
        // A dead letter of the first that is redriven, and left out now.
        f.add(3, 3, &[(1, 2)]);
        assert_eq!(f.of(1), 9);
        f.moved(15);
        assert_eq!((f.of(1), f.of(2)), (2, 1));
        f.settle(10, |stream| stream == 2);
        assert_eq!((f.of(1), f.of(2), f.batches.len()), (0, 1, 0));
        f.moved(0);
        assert_eq!(f.of(2), 1, "what cannot be delivered again stands");
        f.add(20, 29, &[(2, 4)]);
        f.add(20, 29, &[]);
        assert_eq!(f.of(2), 1);
    }

    #[test]
    fn many_batches_are_put_together() {
        let mut f = Filtered::default();
        (0..40_000).for_each(|n| f.add(n * 10, n * 10 + 9, &[(n % 3, 1)]));
        assert!(f.batches.len() <= MOST, "{}", f.batches.len());
        assert_eq!((0..3).map(|s| f.of(s)).sum::<u64>(), 40_000);
        f.moved(200_000);
        let left: u64 = (0..3).map(|s| f.of(s)).sum();
        assert!((19_900..=20_000).contains(&left), "{left}");
    }

    #[test]
    fn records_bring_it_back_and_bytes_that_are_none_change_nothing() {
        let mut f = Filtered::default();
        f.add(0, 9, &[(1, 100), (2, 50)]);
        f.settle(10, |_| true);
        f.add(10, 19, &[(1, 7)]);
        let mut w = Writer::default();
        f.encode(&mut w);
        let mut back = Filtered::default();
        back.add(3, 4, &[(9, 9)]);
        assert_eq!((back.apply(&mut Reader(&w.0)), &back), (Some(()), &f));
        for cut in 0..w.0.len() {
            assert_eq!((back.apply(&mut Reader(&w.0[..cut])), &back), (None, &f));
        }
        let mut one = Writer::default();
        one.u8(0);
        encode_batch(20, 29, &[(2, 3)], &mut one);
        f.add(20, 29, &[(2, 3)]);
        assert_eq!((back.apply(&mut Reader(&one.0)), &back), (Some(()), &f));
    }
}
