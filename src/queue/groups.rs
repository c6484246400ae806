//! Consumer groups: what each has committed, acked above that, and has in flight; and their journal.
//!
//! Each record of the journal is the whole state of one group in one partition, so the last sound one
//! counts, and losing the newest only delivers again what was delivered: event IDs remove that.

use super::codec::{Reader, Writer};
use super::disk::{Disk, DiskFile};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

const MAGIC: u32 = u32::from_le_bytes(*b"FBG1");

/// The journal is written anew when it has grown beyond this many bytes.
const COMPACT_BYTES: u64 = 1 << 20;

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
}

impl GroupState {
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
    Some((key, state))
}

/// All sound records of a journal, how many bytes were passed over between them, and how many after the
/// last: a torn tail, which a process leaves that was killed, and no damage.
pub(crate) fn replay(bytes: &[u8]) -> (HashMap<Key, GroupState>, usize, usize) {
    let (mut states, mut at, mut skipped, mut passed) = (HashMap::new(), 0, 0, 0);
    while at < bytes.len() {
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
                states.insert(key, state);
                at += len;
                skipped += std::mem::take(&mut passed);
            }
            None => {
                at += 1;
                passed += 1;
            }
        }
    }
    (states, skipped, passed)
}

#[derive(Debug)]
struct Inner {
    states: HashMap<Key, GroupState>,
    registered: HashSet<Arc<str>>,
    file: Arc<dyn DiskFile>,
    len: u64,
    dirty: bool,
    /// A sync has failed: what the file holds cannot be trusted, whatever a later sync answers.
    suspect: bool,
    /// Since when absent groups are known to be absent is their `updated_ms`; this is how long they hold retention.
    absent_hold_ms: u64,
    /// How often each place was reset in this process: what was begun before a reset says nothing about the time after it.
    generations: HashMap<Key, u32>,
    /// Ranges of `again` that the running consumer does not know of yet.
    news: HashMap<Key, Vec<(u64, u64)>>,
}

/// What has happened to a place since its consumer last looked.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Its state and generation, where it was reset.
    pub(crate) reset: Option<(GroupState, u32)>,
    /// Ranges to send once more.
    pub(crate) again: Vec<(u64, u64)>,
}

/// The groups of a queue.
#[derive(Debug)]
pub(crate) struct Groups {
    disk: Arc<dyn Disk>,
    path: PathBuf,
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
        let (states, skipped, _) = match disk.read(&path) {
            Ok(bytes) => replay(&bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => (HashMap::new(), 0, 0),
            Err(e) => return Err(e),
        };
        let (file, len) = compact(&*disk, &path, &states)?;
        let inner = Inner {
            states,
            registered: HashSet::new(),
            file,
            len,
            dirty: false,
            suspect: false,
            absent_hold_ms: 7 * 86_400_000,
            generations: HashMap::new(),
            news: HashMap::new(),
        };
        let (changes, retention) = (AtomicU64::new(0), Mutex::new(()));
        Ok((Groups { disk, path, inner: Mutex::new(inner), changes, retention, intent_synced: false }, skipped))
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
        self.change(&mut inner, key, |state| state.updated_ms = now_ms)?;
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

    /// While this is held, retention deletes nothing.
    pub(crate) fn hold_retention(&self) -> MutexGuard<'_, ()> {
        self.retention.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Moves places to other offsets, all or none of them, durably. What was acked or in flight is forgotten.
    pub(crate) fn reset(&self, moves: &[(Key, u64)], now_ms: u64) -> io::Result<()> {
        let mut inner = self.lock();
        self.rewrite(&mut inner, |states| {
            for (key, offset) in moves {
                states.insert(key.clone(), GroupState { committed: *offset, updated_ms: now_ms, ..GroupState::default() });
            }
        })?;
        for (key, _) in moves {
            *inner.generations.entry(key.clone()).or_default() += 1;
            inner.news.remove(key);
        }
        self.changes.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Has ranges (first, last) sent once more, durably.
    pub(crate) fn redrive(&self, ranges: &[(Key, u64, u64)]) -> io::Result<()> {
        let mut inner = self.lock();
        self.rewrite(&mut inner, |states| {
            for (key, first, last) in ranges {
                states.entry(key.clone()).or_default().again.insert(*first, *last);
            }
        })?;
        for (key, first, last) in ranges {
            inner.news.entry(key.clone()).or_default().push((*first, *last));
        }
        self.changes.fetch_add(1, Ordering::Release);
        Ok(())
    }

    fn change(&self, inner: &mut Inner, key: &Key, f: impl FnOnce(&mut GroupState)) -> io::Result<()> {
        let state = inner.states.entry(key.clone()).or_default();
        f(state);
        let record = encode(key, state);
        if inner.len + record.len() as u64 > COMPACT_BYTES {
            (inner.file, inner.len) = compact(&*self.disk, &self.path, &inner.states)?;
            (inner.dirty, inner.suspect) = (false, false);
            return Ok(());
        }
        if let Err(e) = inner.file.write_all_at(&[&record], inner.len) {
            // The file may belong to a file system that is gone: a fresh one tells whether the folder can be written to.
            let Ok((file, len)) = compact(&*self.disk, &self.path, &inner.states) else { return Err(e) };
            tracing::warn!("cannot write to {}: {e}; it was written anew, nothing is lost", self.path.display());
            (inner.file, inner.len, inner.dirty, inner.suspect) = (file, len, false, false);
            return Ok(());
        }
        inner.len += record.len() as u64;
        inner.dirty = true;
        Ok(())
    }

    /// Changes any number of states at once; durable, and all or none of it, when this returns.
    fn rewrite(&self, inner: &mut Inner, f: impl FnOnce(&mut HashMap<Key, GroupState>)) -> io::Result<()> {
        let mut states = inner.states.clone();
        f(&mut states);
        (inner.file, inner.len) = compact(&*self.disk, &self.path, &states)?;
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
            (inner.file.clone(), inner.suspect)
        };
        let synced = if suspect { Err(io::Error::other("an earlier sync of the groups' journal failed")) } else { file.sync() };
        let gone = synced.is_ok() && matches!(file.is_linked(), Ok(false));
        if synced.is_err() || gone {
            if gone {
                tracing::warn!("{} was deleted by somebody else; it is written anew from memory, nothing is lost", self.path.display());
            }
            // What was written since the last sync may be gone: write the whole state to a fresh file.
            let mut inner = self.lock();
            match compact(&*self.disk, &self.path, &inner.states) {
                Ok((file, len)) => (inner.file, inner.len, inner.dirty, inner.suspect) = (file, len, false, false),
                Err(e) => {
                    (inner.dirty, inner.suspect) = (true, true);
                    return Err(synced.err().filter(|_| !suspect).unwrap_or(e));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn state(&self, key: &Key) -> Option<GroupState> {
        self.lock().states.get(key).cloned()
    }

    /// The lowest committed offset among the groups that hold a partition; `None` when none does.
    pub(crate) fn low_water(&self, topic: &str, partition: u32, now_ms: u64) -> Option<u64> {
        let inner = self.lock();
        inner
            .states
            .iter()
            .filter(|((group, t, p), state)| {
                &**t == topic && *p == partition && (inner.registered.contains(group) || state.updated_ms + inner.absent_hold_ms > now_ms)
            })
            .map(|(_, state)| state.again.keys().next().map_or(state.committed, |first| state.committed.min(*first)))
            .min()
    }

    /// The offset after the highest one that any group has seen in a partition: none below is given out again.
    pub(crate) fn high_water(&self, topic: &str, partition: u32) -> u64 {
        let inner = self.lock();
        let states = inner.states.iter().filter(|((_, t, p), _)| &**t == topic && *p == partition);
        states
            .map(|(_, s)| {
                let acked = s.acked.values().max().copied().unwrap_or(0);
                let sent = s.in_flight.values().max().map_or(0, |last| last + 1);
                s.committed.max(acked).max(sent)
            })
            .max()
            .unwrap_or(0)
    }

    /// Groups that the journal knows but nobody joined.
    pub(crate) fn absent(&self) -> Vec<Arc<str>> {
        let inner = self.lock();
        let mut absent: Vec<Arc<str>> = inner.states.keys().map(|k| k.0.clone()).filter(|g| !inner.registered.contains(g)).collect();
        absent.sort();
        absent.dedup();
        absent
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
    fn generation(&self, key: &Key) -> u32 {
        self.generations.get(key).copied().unwrap_or(0)
    }
}

fn compact(disk: &dyn Disk, path: &Path, states: &HashMap<Key, GroupState>) -> io::Result<(Arc<dyn DiskFile>, u64)> {
    let mut keys: Vec<&Key> = states.keys().collect();
    keys.sort();
    let content: Vec<u8> = keys.iter().flat_map(|k| encode(k, &states[*k])).collect();
    match disk.replace(path, &content) {
        // Somebody has deleted the folder.
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            disk.create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
            disk.replace(path, &content)?;
        }
        written => written?,
    }
    Ok((disk.open(path)?, content.len() as u64))
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
            if let Some(found) = replay(&bytes).0.get(&key()) {
                prop_assert!(states.contains(found));
            }
        }
    }

    #[test]
    fn a_torn_tail_is_normal_and_a_hole_is_damage() {
        let record = |n| encode(&key(), &GroupState { committed: n, ..GroupState::default() });
        let (first, second) = (record(1), record(2));
        let torn = [&first[..], &second[..second.len() - 1]].concat();
        let (states, skipped, tail) = replay(&torn);
        assert_eq!((states[&key()].committed, skipped, tail), (1, 0, second.len() - 1), "kill -9 leaves this");
        let (states, skipped, _) = replay(&[&first[..], b"garbage", &second].concat());
        assert_eq!((states[&key()].committed, skipped), (2, 7));
        let mut flipped = [first.clone(), second].concat();
        flipped[first.len() - 1] ^= 1;
        assert_eq!(replay(&flipped).1, first.len());
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
        groups.reset(&[(key(), 5)], 3).unwrap();
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
        groups.redrive(&[(key(), 7, 9)]).unwrap();
        assert_eq!(groups.changed(&key(), 0).again, [(7, 9)]);
        assert!(groups.changed(&key(), 0).again.is_empty(), "told once");
        drop(groups);
        let (groups, _) = Groups::open(disk, dir.path()).unwrap();
        assert_eq!(groups.low_water("logs", 0, 1), Some(7));
        groups.ack(&key(), 0, 7, 9, 2).unwrap();
        assert_eq!(groups.state(&key()).unwrap(), GroupState { committed: 100, updated_ms: 2, ..GroupState::default() });
    }
}
