//! Consumer groups: what each has committed, acked above that, and has in flight; and their journal.
//!
//! Each record of the journal is the whole state of one group in one partition, so the last sound one
//! counts, and losing the newest only delivers again what was delivered: event IDs remove that.

use super::ballast::is_full;
use super::disk::Disk;
use super::embedded::DEAD_LETTER_TOPIC;
use super::group_state::{Again, GroupState, Key, Replayed, compact, encode, encode_filtered, replay};
use super::journal::Journal;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// How often it is recorded that a group's sink is there, ms.
const SEEN_MS: u64 = 3_600_000;

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
        if inner.states.get(key).is_some_and(|state| !state.filtered.is_empty()) {
            // What is inherited stands in no record of this group's yet.
            inner.write_anew()?;
        }
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

    /// Records that a range is delivered, but for what the sink has left out: bytes by stream, ascending. In memory this
    /// always holds; the journal follows when it can. What was begun before a reset changes nothing.
    pub(crate) fn ack(
        &self,
        key: &Key,
        generation: u32,
        (first, last): (u64, u64),
        filtered: &[(u64, u64)],
        now_ms: u64,
    ) -> io::Result<()> {
        let mut inner = self.lock();
        if inner.generation(key) != generation {
            return Ok(());
        }
        let concerned = inner.states.get(key).map_or(!filtered.is_empty(), |s| s.filtered.concerns(first, last, filtered));
        let before = if concerned { encode_filtered(key, first, last, filtered) } else { Vec::new() };
        self.change_after(&mut inner, key, before, |state| {
            if concerned {
                Arc::make_mut(&mut state.filtered).add(first, last, filtered);
            }
            state.ack(first, last);
            state.updated_ms = now_ms;
        })
    }

    /// What was left out before the first offset of a partition, as `first` tells it, is but a sum from now on, and that of
    /// streams that are not known any more is forgotten.
    pub(crate) fn settle_filtered(&self, first: impl Fn(&str, u32) -> Option<u64>, known: impl Fn(u64) -> bool) {
        for (key, state) in self.lock().states.iter_mut().filter(|(_, s)| !s.filtered.is_empty()) {
            if let Some(first) = first(&key.1, key.2) {
                Arc::make_mut(&mut state.filtered).settle(first, &known);
            }
        }
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
        self.change_after(inner, key, Vec::new(), f)
    }

    /// The same behind another record: both are written, or none.
    fn change_after(&self, inner: &mut Inner, key: &Key, mut record: Vec<u8>, f: impl FnOnce(&mut GroupState)) -> io::Result<()> {
        let state = inner.states.entry(key.clone()).or_default();
        f(state);
        record.extend(encode(key, state));
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

#[cfg(test)]
mod tests;
