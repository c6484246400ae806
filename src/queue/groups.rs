//! Consumer groups: what each has committed, acked above that, and has in flight; and their journal.
//!
//! Each record of the journal is the whole state of one group in one partition, so the last sound one
//! counts, and losing the newest only delivers again what was delivered: event IDs remove that.

use super::ballast::is_full;
use super::codec::{Reader, Writer};
use super::disk::Disk;
use super::embedded::DEAD_LETTER_TOPIC;
use super::journal::Journal;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

const MAGIC: u32 = u32::from_le_bytes(*b"FBG1");

/// How often it is recorded that a group's sink is there, ms.
const SEEN_MS: u64 = 3_600_000;

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
    /// Dead letters below this offset of their topic were handed over by a redrive.
    pub(crate) redriven_until: u64,
    /// Ranges of the dead-letter topic whose letters are themselves to be sent, first → last (inclusive).
    pub(crate) letters: BTreeMap<u64, u64>,
    /// Names that the group had before: its dead letters may bear them.
    pub(crate) earlier: BTreeSet<Arc<str>>,
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
    fn low(&self) -> u64 {
        self.again.keys().next().map_or(self.committed, |first| self.committed.min(*first))
    }

    /// The offset after the highest one that was delivered, or may have been.
    pub(crate) fn high_end(&self) -> u64 {
        let acked = self.acked.values().max().copied().unwrap_or(0);
        let sent = self.in_flight.values().max().map_or(0, |last| last + 1);
        self.committed.max(acked).max(sent).max(self.overwrite_until)
    }

    /// The state after a move to `offset`: what was acked or in flight is forgotten, what is to be redriven is not.
    fn moved(&self, offset: u64, overwrite: bool, now_ms: u64) -> GroupState {
        let until = self.high_end();
        let overwrites = overwrite && until > offset;
        GroupState {
            committed: offset,
            updated_ms: now_ms,
            // What is not below is before the group anyway.
            again: self.again.range(..offset).map(|(first, last)| (*first, (*last).min(offset - 1))).collect(),
            overwrite_until: if overwrites { until } else { 0 },
            overwrite_ms: if overwrites { now_ms } else { 0 },
            redriven_until: self.redriven_until,
            letters: self.letters.clone(),
            earlier: self.earlier.clone(),
            ..GroupState::default()
        }
    }

    fn ack(&mut self, first: u64, last: u64) {
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
    }
}

fn encode(key: &Key, state: &GroupState) -> Vec<u8> {
    let mut w = Writer::default();
    w.bytes(key.0.as_bytes());
    w.bytes(key.1.as_bytes());
    w.u32(key.2);
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
    let mut out = Writer::default();
    out.u32(MAGIC);
    out.u32(w.0.len() as u32);
    out.u32(crc32c::crc32c(&w.0));
    out.0.extend_from_slice(&w.0);
    out.0
}

fn decode(payload: &[u8]) -> Option<(Key, GroupState)> {
    let mut r = Reader(payload);
    let key = (r.string()?.into(), r.string()?.into(), r.u32()?);
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
    Some((key, state))
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
            (r.u32()? == MAGIC).then_some(())?;
            let (len, crc) = (r.u32()? as usize, r.u32()?);
            let payload = r.0.get(..len)?;
            (crc32c::crc32c(payload) == crc).then_some(())?;
            Some((decode(payload)?, 12 + len))
        })();
        match record {
            Some(((key, state), len)) => {
                found.states.insert(key, state);
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

#[derive(Debug)]
struct Inner {
    states: HashMap<Key, GroupState>,
    registered: HashSet<Arc<str>>,
    journal: Journal,
    dirty: bool,
    /// A sync has failed: what the file holds cannot be trusted, whatever a later sync answers.
    suspect: bool,
    /// How long a group holds retention after its sink was last there, which is its `updated_ms` …
    absent_hold_ms: u64,
    /// … and at least until then, so that nothing goes before somebody could read the warning of this start.
    absent_grace_ms: u64,
    /// How often each place was reset in this process: what was begun before a reset says nothing about the time after it.
    generations: HashMap<Key, u32>,
    /// Ranges of `again` and `letters` that the running consumer does not know of yet.
    news: HashMap<Key, Vec<Again>>,
}

/// What has happened to a place since its consumer last looked.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Its state and generation, where it was reset.
    pub(crate) reset: Option<(GroupState, u32)>,
    /// Ranges to send once more.
    pub(crate) again: Vec<Again>,
}

/// The groups of a queue.
#[derive(Debug)]
pub(crate) struct Groups {
    inner: Mutex<Inner>,
    /// Counts resets and redrives, so that consumers see cheaply that there was one.
    changes: AtomicU64,
    /// Held while retention deletes and while a group is moved back, so that neither acts on what the other changes.
    retention: Mutex<()>,
    /// Whether a range in flight is durable before it is sent (`intent: synced`), or only written.
    pub(crate) intent_synced: bool,
}

impl Groups {
    /// Opens the journal and writes it anew, compact. Also tells how many damaged bytes were passed over.
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: &Path) -> io::Result<(Groups, usize)> {
        disk.create_dir_all(dir)?;
        let path = dir.join("journal");
        let (found, end) = match disk.read(&path) {
            Ok(bytes) => {
                let found = replay(&bytes);
                let end = found.end as u64;
                (found, Some(end))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => (Replayed::default(), None),
            Err(e) => return Err(e),
        };
        let journal = Journal::open(disk, path, &compact(&found.states), end)?;
        let inner = Inner {
            states: found.states,
            registered: HashSet::new(),
            journal,
            dirty: false,
            suspect: false,
            absent_hold_ms: u64::MAX,
            absent_grace_ms: 0,
            generations: HashMap::new(),
            news: HashMap::new(),
        };
        let (changes, retention) = (AtomicU64::new(0), Mutex::new(()));
        Ok((Groups { inner: Mutex::new(inner), changes, retention, intent_synced: false }, found.damaged))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Makes the group known in a partition: where it stood, else where `previous` stood, else at `earliest`.
    pub(crate) fn join(&self, key: &Key, previous: Option<&str>, earliest: u64, now_ms: u64) -> io::Result<GroupState> {
        let mut inner = self.lock();
        inner.registered.insert(key.0.clone());
        if !inner.states.contains_key(key) {
            let inherited = previous.and_then(|p| inner.states.get(&(p.into(), key.1.clone(), key.2)).cloned());
            let state = inherited.unwrap_or(GroupState { committed: earliest, ..GroupState::default() });
            inner.states.insert(key.clone(), state);
        }
        let before = previous.filter(|p| **p != *key.0);
        let mut earlier: BTreeSet<Arc<str>> = before.map(Into::into).into_iter().collect();
        if let Some(state) = before.and_then(|p| inner.states.get(&(p.into(), key.1.clone(), key.2))) {
            earlier.extend(state.earlier.iter().cloned());
        }
        self.change(&mut inner, key, |state| {
            state.updated_ms = now_ms;
            state.earlier.extend(earlier);
        })?;
        Ok(inner.states.get(key).cloned().unwrap_or_default())
    }

    /// Records that a range is about to be sent; `false` when the place was reset since `generation`: then nothing may be sent.
    pub(crate) fn begin(&self, key: &Key, generation: u32, first: u64, last: u64, now_ms: u64) -> io::Result<bool> {
        let mut inner = self.lock();
        if inner.generation(key) != generation {
            return Ok(false);
        }
        self.change(&mut inner, key, |state| {
            state.in_flight.insert(first, last);
            state.updated_ms = now_ms;
        })?;
        drop(inner);
        if self.intent_synced {
            // Also when another sync is under way: it may have begun before this record was written.
            self.sync_now()?;
        }
        Ok(true)
    }

    /// Records that a range is delivered. In memory this always holds; the journal follows when it can.
    /// What was begun before a reset changes nothing.
    pub(crate) fn ack(&self, key: &Key, generation: u32, first: u64, last: u64, now_ms: u64) -> io::Result<()> {
        let mut inner = self.lock();
        if inner.generation(key) != generation {
            return Ok(());
        }
        self.change(&mut inner, key, |state| {
            state.ack(first, last);
            state.updated_ms = now_ms;
        })
    }

    /// Records that the letters of a range are delivered; also when the place was reset meanwhile, since these ranges
    /// outlive a reset.
    pub(crate) fn ack_letters(&self, key: &Key, first: u64, last: u64, now_ms: u64) -> io::Result<()> {
        let mut inner = self.lock();
        self.change(&mut inner, key, |state| {
            if state.letters.get(&first) == Some(&last) {
                state.letters.remove(&first);
            }
            state.updated_ms = now_ms;
        })
    }

    /// How often a place was reset in this process.
    pub(crate) fn generation(&self, key: &Key) -> u32 {
        self.lock().generation(key)
    }

    /// A number that changes with each reset or redrive of any group.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// What has happened to a place since `generation`.
    pub(crate) fn changed(&self, key: &Key, generation: u32) -> Change {
        let mut inner = self.lock();
        let now = inner.generation(key);
        let news = inner.news.remove(key).unwrap_or_default();
        if now != generation {
            return Change { reset: inner.states.get(key).cloned().map(|state| (state, now)), again: Vec::new() };
        }
        Change { reset: None, again: news }
    }

    /// Sets how long absent groups hold retention; without it, for ever.
    pub(crate) fn hold_absent(&self, hold: Duration, now_ms: u64) {
        let mut inner = self.lock();
        inner.absent_hold_ms = hold.as_millis() as u64;
        inner.absent_grace_ms = now_ms + inner.absent_hold_ms.min(SEEN_MS);
    }

    /// Records that the groups' sinks are there, once an hour: an absent group is one that was not seen for a time, however
    /// long ago it delivered something.
    pub(crate) fn seen(&self, now_ms: u64) -> io::Result<()> {
        let mut inner = self.lock();
        let old = |(key, state): (&Key, &GroupState)| {
            (inner.registered.contains(&key.0) && state.updated_ms + SEEN_MS <= now_ms).then(|| key.clone())
        };
        let keys: Vec<Key> = inner.states.iter().filter_map(old).collect();
        keys.iter().try_for_each(|key| self.change(&mut inner, key, |state| state.updated_ms = now_ms))
    }

    /// Groups that have acknowledged all of these offsets, in order.
    pub(crate) fn had(&self, topic: &str, partition: u32, offsets: &Range<u64>) -> Vec<String> {
        let inner = self.lock();
        let had = |s: &GroupState| s.has_acked(offsets) && !s.again.iter().any(|(a, b)| *a < offsets.end && offsets.start <= *b);
        let here = inner.states.iter().filter(|(k, s)| *k.1 == *topic && k.2 == partition && !offsets.is_empty() && had(s));
        let mut names: Vec<String> = here.map(|(k, _)| k.0.to_string()).collect();
        names.sort();
        names
    }

    /// While this is held, retention deletes nothing.
    pub(crate) fn hold_retention(&self) -> MutexGuard<'_, ()> {
        self.retention.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Moves places to other offsets, all or none of them, durably. What was acked or in flight is forgotten.
    /// With `overwrite`, what lies between an offset and the highest that was delivered replaces what the receiver has.
    pub(crate) fn reset(&self, moves: &[(Key, u64)], overwrite: bool, now_ms: u64) -> io::Result<()> {
        let mut inner = self.lock();
        self.rewrite(&mut inner, |states| {
            for (key, offset) in moves {
                let state = states.entry(key.clone()).or_default();
                *state = state.moved(*offset, overwrite, now_ms);
            }
        })?;
        for (key, _) in moves {
            *inner.generations.entry(key.clone()).or_default() += 1;
            inner.news.remove(key);
        }
        self.changes.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Has ranges sent once more, durably, and notes up to which dead letter this was done for each place.
    pub(crate) fn redrive(&self, ranges: &[(Key, Again)], until: &[(Key, u64)]) -> io::Result<()> {
        let mut inner = self.lock();
        self.rewrite(&mut inner, |states| {
            for (key, range) in ranges {
                let state = states.entry(key.clone()).or_default();
                match *range {
                    Again::Events(first, last) => state.again.insert(first, last),
                    Again::Letters(first, last) => state.letters.insert(first, last),
                };
            }
            for (key, until) in until {
                let state = states.entry(key.clone()).or_default();
                state.redriven_until = state.redriven_until.max(*until);
            }
        })?;
        for (key, range) in ranges {
            inner.news.entry(key.clone()).or_default().push(*range);
        }
        self.changes.fetch_add(1, Ordering::Release);
        Ok(())
    }

    fn change(&self, inner: &mut Inner, key: &Key, f: impl FnOnce(&mut GroupState)) -> io::Result<()> {
        let state = inner.states.entry(key.clone()).or_default();
        f(state);
        let record = encode(key, state);
        if inner.journal.is_full(record.len()) {
            return inner.write_anew();
        }
        if let Err(e) = inner.journal.append(&record) {
            // Without room behind the records there may be room for a file of the newest ones alone; and the file may
            // belong to a file system that is gone: a fresh one tells whether the folder can be written to.
            inner.write_anew().map_err(|anew| if is_full(&e) { anew } else { io::Error::new(e.kind(), e.to_string()) })?;
            if !is_full(&e) {
                tracing::warn!("cannot write to {}: {e}; it was written anew, nothing is lost", inner.journal.path().display());
            }
            return Ok(());
        }
        inner.dirty = true;
        Ok(())
    }

    /// Changes any number of states at once; durable, and all or none of it, when this returns.
    fn rewrite(&self, inner: &mut Inner, f: impl FnOnce(&mut HashMap<Key, GroupState>)) -> io::Result<()> {
        let mut states = inner.states.clone();
        f(&mut states);
        inner.journal.rewrite(&compact(&states))?;
        (inner.states, inner.dirty, inner.suspect) = (states, false, false);
        Ok(())
    }

    /// Syncs the journal if it has changed.
    pub(crate) fn sync(&self) -> io::Result<()> {
        if !self.lock().dirty {
            return Ok(());
        }
        self.sync_now()
    }

    fn sync_now(&self) -> io::Result<()> {
        let (file, suspect) = {
            let mut inner = self.lock();
            inner.dirty = false;
            (inner.journal.file(), inner.suspect)
        };
        let synced = if suspect { Err(io::Error::other("an earlier sync of the groups' journal failed")) } else { file.sync() };
        let gone = synced.is_ok() && matches!(file.is_linked(), Ok(false));
        if synced.is_err() || gone {
            let mut inner = self.lock();
            if gone {
                let path = inner.journal.path().display();
                tracing::warn!("{path} was deleted by somebody else; it is written anew from memory, nothing is lost");
            }
            // What was written since the last sync may be gone: write the whole state to a fresh file.
            inner.journal.distrust();
            if let Err(e) = inner.write_anew() {
                (inner.dirty, inner.suspect) = (true, true);
                return Err(synced.err().filter(|_| !suspect).unwrap_or(e));
            }
        }
        Ok(())
    }

    pub(crate) fn state(&self, key: &Key) -> Option<GroupState> {
        self.lock().states.get(key).cloned()
    }

    /// The lowest committed offset among the groups that hold a partition; `None` when none does.
    pub(crate) fn low_water(&self, topic: &str, partition: u32, now_ms: u64) -> Option<u64> {
        self.low_water_without("", topic, partition, now_ms)
    }

    /// [`Groups::low_water`] as if there were no group of that name.
    pub(crate) fn low_water_without(&self, without: &str, topic: &str, partition: u32, now_ms: u64) -> Option<u64> {
        let inner = self.lock();
        let low = |((group, t, p), state): (&Key, &GroupState)| {
            let own = (&**t == topic && *p == partition).then(|| state.low());
            // Letters that are to be sent hold the topic they are in.
            let letters = if topic == DEAD_LETTER_TOPIC { state.letters.keys().next().copied() } else { None };
            let holds = &**group != without && (inner.registered.contains(group) || inner.until(state) > now_ms);
            own.into_iter().chain(letters).min().filter(|_| holds)
        };
        inner.states.iter().filter_map(low).min()
    }

    /// The lowest offset that some group which holds a partition has not committed, whatever is to be sent once more.
    pub(crate) fn committed_by_all(&self, topic: &str, partition: u32, now_ms: u64) -> Option<u64> {
        let inner = self.lock();
        let holds = |group: &Arc<str>, state: &GroupState| inner.registered.contains(group) || inner.until(state) > now_ms;
        let here = inner.states.iter().filter(|((group, t, p), s)| &**t == topic && *p == partition && holds(group, s));
        here.map(|(_, state)| state.committed).min()
    }

    /// How many of these offsets each group of a partition has not acked, where it is any.
    pub(crate) fn unread(&self, topic: &str, partition: u32, offsets: Range<u64>) -> Vec<(String, u64)> {
        let inner = self.lock();
        let at_place = inner.states.iter().filter(|((_, t, p), _)| &**t == topic && *p == partition);
        let unread = |(key, state): (&Key, &GroupState)| {
            let from = offsets.start.max(state.committed).min(offsets.end);
            let acked: u64 = state.acked.iter().map(|(s, e)| e.min(&offsets.end).saturating_sub(*s.max(&from))).sum();
            (key.0.to_string(), (offsets.end - from).saturating_sub(acked))
        };
        at_place.map(unread).filter(|(_, n)| *n > 0).collect()
    }

    /// What a group holds a partition from.
    pub(crate) fn low_of(&self, group: &str, topic: &str, partition: u32) -> Option<u64> {
        let inner = self.lock();
        inner.states.iter().find(|((g, t, p), _)| &**g == group && &**t == topic && *p == partition).map(|(_, s)| s.low())
    }

    /// The offset after the highest one that any group has seen in a partition: none below is given out again.
    pub(crate) fn high_water(&self, topic: &str, partition: u32) -> u64 {
        let inner = self.lock();
        let own = inner.states.iter().filter(|((_, t, p), _)| &**t == topic && *p == partition).map(|(_, s)| s.high_end());
        // A letter that was redriven has stood in its topic.
        let letters = inner.states.values().filter(|_| topic == DEAD_LETTER_TOPIC).map(|s| s.redriven_until);
        own.chain(letters).max().unwrap_or(0)
    }

    /// Groups that the journal knows but nobody joined, and until when each holds retention, ms since the Unix epoch.
    pub(crate) fn absent(&self) -> BTreeMap<Arc<str>, u64> {
        let inner = self.lock();
        let mut absent = BTreeMap::new();
        for (key, state) in inner.states.iter().filter(|(key, _)| !inner.registered.contains(&key.0)) {
            let until: &mut u64 = absent.entry(key.0.clone()).or_default();
            *until = (*until).max(inner.until(state));
        }
        absent
    }

    /// Groups that somebody has joined.
    pub(crate) fn joined(&self) -> Vec<Arc<str>> {
        self.lock().registered.iter().cloned().collect()
    }

    /// Forgets a group (its sink was renamed and the new name has inherited its offsets; or it was deleted).
    pub(crate) fn forget(&self, group: &str) -> io::Result<()> {
        self.rewrite(&mut self.lock(), |states| states.retain(|k, _| &*k.0 != group))
    }

    /// All states, and the groups that somebody has joined.
    pub(crate) fn all(&self) -> (HashMap<Key, GroupState>, HashSet<Arc<str>>) {
        let inner = self.lock();
        (inner.states.clone(), inner.registered.clone())
    }
}

impl Inner {
    /// Replaces the journal by the newest records alone, durably.
    fn write_anew(&mut self) -> io::Result<()> {
        self.journal.rewrite(&compact(&self.states))?;
        (self.dirty, self.suspect) = (false, false);
        Ok(())
    }

    /// Until when a group holds retention once its sink is gone.
    fn until(&self, state: &GroupState) -> u64 {
        state.updated_ms.saturating_add(self.absent_hold_ms).max(self.absent_grace_ms)
    }

    fn generation(&self, key: &Key) -> u32 {
        self.generations.get(key).copied().unwrap_or(0)
    }
}

/// The newest record of each place.
fn compact(states: &HashMap<Key, GroupState>) -> Vec<u8> {
    let mut keys: Vec<&Key> = states.keys().collect();
    keys.sort();
    keys.iter().flat_map(|k| encode(k, &states[*k])).collect()
}

#[cfg(test)]
mod tests {
    use super::super::disk::StdDisk;
    use super::*;
    use proptest::prelude::*;

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

    #[test]
    fn in_flight_ranges_and_offsets_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(StdDisk);
        {
            let (groups, _) = Groups::open(disk.clone(), dir.path()).unwrap();
            groups.join(&key(), None, 10, 1).unwrap();
            assert!(groups.begin(&key(), 0, 10, 19, 2).unwrap());
            assert!(groups.begin(&key(), 0, 20, 29, 3).unwrap());
            groups.ack(&key(), 0, 20, 29, 4).unwrap();
        }
        let (groups, skipped) = Groups::open(disk, dir.path()).unwrap();
        assert_eq!(skipped, 0);
        let state = groups.join(&key(), None, 0, 5).unwrap();
        assert_eq!((state.committed, state.in_flight.get(&10)), (10, Some(&19)));
        assert_eq!(state.acked.get(&20), Some(&30));
        let renamed = ("archive".into(), "logs".into(), 0);
        assert_eq!(groups.join(&renamed, Some("search"), 0, 6).unwrap().committed, 10, "a renamed sink inherits");
    }

    #[test]
    fn what_was_begun_before_a_reset_moves_nothing_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(StdDisk);
        let (groups, _) = Groups::open(disk.clone(), dir.path()).unwrap();
        groups.join(&key(), None, 0, 1).unwrap();
        assert!(groups.begin(&key(), 0, 0, 9, 2).unwrap());
        groups.reset(&[(key(), 5)], false, 3).unwrap();
        assert!(!groups.begin(&key(), 0, 10, 19, 4).unwrap(), "it is from the time before");
        groups.ack(&key(), 0, 0, 9, 4).unwrap();
        let change = groups.changed(&key(), 0);
        let (state, generation) = change.reset.unwrap();
        assert_eq!((state.committed, state.in_flight.len(), generation), (5, 0, 1));
        assert!(groups.begin(&key(), 1, 5, 9, 5).unwrap());
        groups.ack(&key(), 1, 5, 9, 6).unwrap();
        drop(groups);
        let (groups, _) = Groups::open(disk, dir.path()).unwrap();
        assert_eq!(groups.state(&key()).unwrap().committed, 10);
    }

    #[test]
    fn a_redriven_range_survives_a_restart_holds_retention_and_goes_when_it_is_acked() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(StdDisk);
        let (groups, _) = Groups::open(disk.clone(), dir.path()).unwrap();
        groups.join(&key(), None, 100, 1).unwrap();
        groups.redrive(&[(key(), Again::Events(7, 9))], &[]).unwrap();
        assert_eq!(groups.changed(&key(), 0).again, [Again::Events(7, 9)]);
        assert!(groups.changed(&key(), 0).again.is_empty(), "told once");
        drop(groups);
        let (groups, _) = Groups::open(disk, dir.path()).unwrap();
        assert_eq!(groups.low_water("logs", 0, 1), Some(7));
        groups.ack(&key(), 0, 7, 9, 2).unwrap();
        assert_eq!(groups.state(&key()).unwrap(), GroupState { committed: 100, updated_ms: 2, ..GroupState::default() });
    }

    #[test]
    fn an_overwrite_lasts_until_the_commit_has_passed_what_was_delivered() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(StdDisk);
        let (groups, _) = Groups::open(disk.clone(), dir.path()).unwrap();
        groups.join(&key(), None, 0, 1).unwrap();
        groups.ack(&key(), 0, 0, 9, 2).unwrap();
        assert!(groups.begin(&key(), 0, 20, 29, 2).unwrap(), "it may have arrived");
        groups.redrive(&[(key(), Again::Events(1, 7)), (key(), Again::Letters(3, 4))], &[(key(), 5)]).unwrap();
        groups.reset(&[(key(), 4)], true, 77).unwrap();
        let moved = |state: GroupState| (state.committed, state.overwrite_until, state.overwrite_ms, state.redriven_until);
        drop(groups);
        let (groups, _) = Groups::open(disk.clone(), dir.path()).unwrap();
        let state = groups.state(&key()).unwrap();
        assert_eq!((moved(state.clone()), state.in_flight.len()), ((4, 30, 77, 5), 0));
        assert_eq!((state.again, state.letters), (BTreeMap::from([(1, 3)]), BTreeMap::from([(3, 4)])), "redriven still");
        groups.reset(&[(key(), 2)], true, 88).unwrap();
        assert_eq!(groups.state(&key()).unwrap().overwrite_until, 30, "from before");
        groups.ack(&key(), 0, 2, 29, 90).unwrap();
        assert_eq!(groups.state(&key()).unwrap().overwrite_until, 30, "it is from the time before the reset");
        groups.ack(&key(), 1, 10, 40, 90).unwrap();
        assert_eq!(groups.state(&key()).unwrap().overwrite_until, 30, "below it something is missing");
        groups.ack(&key(), 1, 2, 9, 91).unwrap();
        assert_eq!(moved(groups.state(&key()).unwrap()), (41, 0, 0, 5));
        groups.reset(&[(key(), 60)], true, 99).unwrap();
        assert_eq!(groups.state(&key()).unwrap().overwrite_until, 0, "there is nothing to overwrite");
        assert_eq!((groups.low_water(DEAD_LETTER_TOPIC, 0, 99), groups.high_water(DEAD_LETTER_TOPIC, 0)), (Some(3), 5));
        groups.ack_letters(&key(), 3, 4, 100).unwrap();
        assert_eq!(groups.low_water(DEAD_LETTER_TOPIC, 0, 100), None);
    }

    #[test]
    fn journals_of_earlier_programs_are_read_and_names_are_remembered() {
        let state = GroupState { committed: 7, acked: BTreeMap::from([(9, 12)]), ..GroupState::default() };
        let bytes = encode(&key(), &state);
        // Three numbers and two empty lists came later.
        let content = &bytes[12..bytes.len() - 32];
        let old = [&bytes[..4], &(content.len() as u32).to_le_bytes(), &crc32c::crc32c(content).to_le_bytes(), content].concat();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("journal"), old).unwrap();
        let (groups, skipped) = Groups::open(Arc::new(StdDisk), dir.path()).unwrap();
        assert_eq!((skipped, groups.state(&key())), (0, Some(state)));
        for (name, before) in [("find", "search"), ("found", "find"), ("found", "found")] {
            groups.join(&(name.into(), "logs".into(), 0), Some(before), 0, 1).unwrap();
        }
        let found = groups.state(&("found".into(), "logs".into(), 0)).unwrap();
        assert_eq!((found.committed, found.earlier), (7, BTreeSet::from(["find".into(), "search".into()])));
    }
}
