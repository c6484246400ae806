//! A group's state in one partition, and its record in the groups' journal: each is the whole state, so the last sound
//! one counts. Only what was left out stands in records of its own, batch by batch.

use super::codec::{Reader, Writer};
use super::filtered::{self, Filtered};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

const MAGIC: u32 = u32::from_le_bytes(*b"FBG1");

/// Names a group's place: group, topic, partition.
pub(crate) type Key = (Arc<str>, Arc<str>, u32);

/// A group's state in one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupState {
    /// All offsets below are acked.
    pub(crate) committed: u64,
    /// Acked ranges above, start → end (exclusive).
    pub(crate) acked: BTreeMap<u64, u64>,
    /// Ranges in flight, first → last (inclusive).
    pub(crate) in_flight: BTreeMap<u64, u64>,
    /// Ranges to send once more although they are acked (dead letters that are redriven), first → last (inclusive).
    pub(crate) again: BTreeMap<u64, u64>,
    /// When the state last changed, ms since the Unix epoch.
    pub(crate) updated_ms: u64,
    /// Events below this offset are sent to replace what the receiver has; 0: none.
    pub(crate) overwrite_until: u64,
    /// When that was asked for, ms since the Unix epoch; part of the batches' names.
    pub(crate) overwrite_ms: u64,
    /// The group was moved back: events below this offset may have been sent before; 0: none.
    pub(crate) replay_until: u64,
    /// Dead letters below this offset of their topic were handed over by a redrive.
    pub(crate) redriven_until: u64,
    /// Ranges of the dead-letter topic whose letters are themselves to be sent, first → last (inclusive).
    pub(crate) letters: BTreeMap<u64, u64>,
    /// Names that the group had before: its dead letters may bear them.
    pub(crate) earlier: BTreeSet<Arc<str>>,
    /// What its sink has left out.
    pub(crate) filtered: Arc<Filtered>,
}

/// A range (first, last) that is to be sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// Offsets of the place itself.
    Events(u64, u64),
    /// Offsets of the dead-letter topic: the originals are in the letters.
    Letters(u64, u64),
}

impl GroupState {
    /// Whether all of these offsets are acked.
    pub(crate) fn has_acked(&self, offsets: &Range<u64>) -> bool {
        offsets.end <= self.committed
            || self.acked.range(..=offsets.start.max(self.committed)).next_back().is_some_and(|(_, end)| *end >= offsets.end)
    }

    /// Nothing from here on may be deleted.
    pub(crate) fn low(&self) -> u64 {
        self.again.keys().next().map_or(self.committed, |first| self.committed.min(*first))
    }

    /// The offset after the highest one that was delivered, or may have been.
    pub(crate) fn high_end(&self) -> u64 {
        let acked = self.acked.values().max().copied().unwrap_or(0);
        let sent = self.in_flight.values().max().map_or(0, |last| last + 1);
        self.committed.max(acked).max(sent).max(self.overwrite_until)
    }

    /// The state after a move to `offset`: what was acked or in flight is forgotten, what is to be redriven is not.
    pub(crate) fn moved(&self, offset: u64, overwrite: bool, now_ms: u64) -> GroupState {
        let until = self.high_end();
        let overwrites = overwrite && until > offset;
        let sent = until.max(self.replay_until);
        let mut filtered = self.filtered.clone();
        Arc::make_mut(&mut filtered).moved(offset);
        GroupState {
            committed: offset,
            updated_ms: now_ms,
            // What is not below is before the group anyway.
            again: self.again.range(..offset).map(|(first, last)| (*first, (*last).min(offset - 1))).collect(),
            overwrite_until: if overwrites { until } else { 0 },
            overwrite_ms: if overwrites { now_ms } else { 0 },
            replay_until: if sent > offset { sent } else { 0 },
            redriven_until: self.redriven_until,
            letters: self.letters.clone(),
            earlier: self.earlier.clone(),
            filtered,
            ..GroupState::default()
        }
    }

    pub(crate) fn ack(&mut self, first: u64, last: u64) {
        if self.in_flight.get(&first) == Some(&last) {
            self.in_flight.remove(&first);
        }
        if self.again.get(&first) == Some(&last) {
            self.again.remove(&first);
        }
        let (mut start, mut end) = (first, last + 1);
        // Unite with the ranges that touch it.
        let touching: Vec<u64> = self.acked.range(..=end).filter(|(_, e)| **e >= start).map(|(s, _)| *s).collect();
        for s in touching {
            if let Some(e) = self.acked.remove(&s) {
                (start, end) = (start.min(s), end.max(e));
            }
        }
        if start <= self.committed {
            self.committed = self.committed.max(end);
        } else {
            self.acked.insert(start, end);
        }
        while let Some((&s, &e)) = self.acked.first_key_value() {
            if s > self.committed {
                break;
            }
            self.acked.remove(&s);
            self.committed = self.committed.max(e);
        }
        if self.committed >= self.overwrite_until {
            (self.overwrite_until, self.overwrite_ms) = (0, 0);
        }
        if self.committed >= self.replay_until {
            self.replay_until = 0;
        }
    }
}

pub(crate) fn encode(key: &Key, state: &GroupState) -> Vec<u8> {
    let mut w = of_key(key);
    w.u64(state.committed);
    w.u64(state.updated_ms);
    for map in [&state.acked, &state.in_flight, &state.again] {
        w.u32(map.len() as u32);
        for (a, b) in map {
            w.u64(*a);
            w.u64(*b);
        }
    }
    w.u64(state.overwrite_until);
    w.u64(state.overwrite_ms);
    w.u64(state.redriven_until);
    w.u32(state.letters.len() as u32);
    for (first, last) in &state.letters {
        w.u64(*first);
        w.u64(*last);
    }
    w.u32(state.earlier.len() as u32);
    state.earlier.iter().for_each(|name| w.bytes(name.as_bytes()));
    w.u64(state.replay_until);
    sealed(MAGIC, &w)
}

/// The record of what was left out of one batch.
pub(crate) fn encode_filtered(key: &Key, first: u64, last: u64, parts: &[(u64, u64)]) -> Vec<u8> {
    let mut w = of_key(key);
    w.u8(0);
    filtered::encode_batch(first, last, parts, &mut w);
    sealed(filtered::MAGIC, &w)
}

fn of_key(key: &Key) -> Writer {
    let mut w = Writer::default();
    w.bytes(key.0.as_bytes());
    w.bytes(key.1.as_bytes());
    w.u32(key.2);
    w
}

fn key_of(r: &mut Reader<'_>) -> Option<Key> {
    Some((r.string()?.into(), r.string()?.into(), r.u32()?))
}

fn sealed(magic: u32, content: &Writer) -> Vec<u8> {
    let mut out = Writer::default();
    out.u32(magic);
    out.u32(content.0.len() as u32);
    out.u32(crc32c::crc32c(&content.0));
    out.0.extend_from_slice(&content.0);
    out.0
}

fn decode(r: &mut Reader<'_>) -> Option<GroupState> {
    let mut state = GroupState { committed: r.u64()?, updated_ms: r.u64()?, ..GroupState::default() };
    for map in [&mut state.acked, &mut state.in_flight, &mut state.again] {
        for _ in 0..r.u32()? {
            map.insert(r.u64()?, r.u64()?);
        }
    }
    // Earlier programs wrote no more than this.
    if !r.0.is_empty() {
        (state.overwrite_until, state.overwrite_ms, state.redriven_until) = (r.u64()?, r.u64()?, r.u64()?);
        for _ in 0..r.u32()? {
            state.letters.insert(r.u64()?, r.u64()?);
        }
        for _ in 0..r.u32()? {
            state.earlier.insert(r.string()?.into());
        }
    }
    if !r.0.is_empty() {
        state.replay_until = r.u64()?;
    }
    Some(state)
}

/// What a journal holds.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// The newest sound record of each place.
    pub(crate) states: HashMap<Key, GroupState>,
    /// Bytes that were passed over between sound records: damage.
    pub(crate) damaged: usize,
    /// Bytes after the last sound record that are not zero: a torn tail, which a process leaves that was killed.
    pub(crate) torn: usize,
    /// Where the last sound record ends.
    pub(crate) end: usize,
}

/// All sound records of a journal. Behind them stand the zeros of a file that has its blocks in advance.
pub(crate) fn replay(bytes: &[u8]) -> Replayed {
    let (mut found, mut at) = (Replayed::default(), 0);
    let written = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    while at < written {
        let mut r = Reader(&bytes[at..]);
        let record = (|| {
            let magic = r.u32().filter(|m| [MAGIC, filtered::MAGIC].contains(m))?;
            let (len, crc) = (r.u32()? as usize, r.u32()?);
            let payload = r.0.get(..len)?;
            (crc32c::crc32c(payload) == crc).then_some(())?;
            let mut content = Reader(payload);
            let key = key_of(&mut content)?;
            if magic == MAGIC {
                let state = found.states.entry(key).or_default();
                let filtered = state.filtered.clone();
                *state = GroupState { filtered, ..decode(&mut content)? };
            } else {
                Arc::make_mut(&mut found.states.entry(key).or_default().filtered).apply(&mut content)?;
            }
            Some(12 + len)
        })();
        match record {
            Some(len) => {
                found.damaged += at - found.end;
                at += len;
                found.end = at;
            }
            None => at += 1,
        }
    }
    found.torn = at.saturating_sub(found.end);
    found
}

/// The newest record of each place.
pub(crate) fn compact(states: &HashMap<Key, GroupState>) -> Vec<u8> {
    let mut keys: Vec<&Key> = states.keys().collect();
    keys.sort();
    let mut out = Vec::new();
    for key in keys {
        out.extend(encode(key, &states[key]));
        if !states[key].filtered.is_empty() {
            let mut w = of_key(key);
            states[key].filtered.encode(&mut w);
            out.extend(sealed(filtered::MAGIC, &w));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn key() -> Key {
        ("search".into(), "logs".into(), 0)
    }

    proptest! {
        /// Whatever the order of acks, the commit is the low-water mark of a plain set of offsets.
        #[test]
        fn commits_the_low_water_mark(ranges in Just((0..12u64).map(|i| (i * 5, i * 5 + 4)).collect::<Vec<_>>()).prop_shuffle(), n in 0usize..12) {
            let mut state = GroupState::default();
            let mut done = HashSet::new();
            for (first, last) in &ranges[..n] {
                state.in_flight.insert(*first, *last);
                state.ack(*first, *last);
                done.extend(*first..=*last);
            }
            let expected = (0..).find(|o| !done.contains(o)).unwrap_or(0);
            prop_assert_eq!(state.committed, expected);
            let above: u64 = state.acked.iter().map(|(s, e)| e - s).sum();
            prop_assert_eq!(above, done.iter().filter(|o| **o >= expected).count() as u64);
            prop_assert!(state.in_flight.is_empty());
        }

        #[test]
        fn a_torn_or_flipped_journal_gives_an_earlier_state(cut in 0usize..400, bit in 0usize..3000, flip: bool) {
            let states: Vec<GroupState> = (0..5).map(|i| GroupState { committed: i, ..GroupState::default() }).collect();
            let mut bytes: Vec<u8> = states.iter().flat_map(|s| encode(&key(), s)).collect();
            if flip {
                let bit = bit % (bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            } else {
                bytes.truncate(cut);
            }
            if let Some(found) = replay(&bytes).states.get(&key()) {
                prop_assert!(states.contains(found));
            }
        }
    }

    #[test]
    fn a_torn_tail_is_normal_and_a_hole_is_damage() {
        let record = |n| encode(&key(), &GroupState { committed: n, ..GroupState::default() });
        let (first, second) = (record(1), record(2));
        let torn = [&first[..], &second[..second.len() - 1]].concat();
        let found = replay(&torn);
        assert_eq!((found.states[&key()].committed, found.damaged, found.end), (1, 0, first.len()), "kill -9 leaves this");
        assert_eq!(found.torn, torn.iter().rposition(|b| *b != 0).unwrap() + 1 - first.len());
        let found = replay(&[&first[..], b"garbage", &second].concat());
        assert_eq!((found.states[&key()].committed, found.damaged), (2, 7));
        let mut flipped = [first.clone(), second].concat();
        flipped[first.len() - 1] ^= 1;
        assert_eq!(replay(&flipped).damaged, first.len());
    }
}
