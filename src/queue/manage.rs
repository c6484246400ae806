//! What operators do with a queue: list topics and groups, move a group, delete one, send dead letters again.
//! The same code works in the agent and on the files of a stopped one.

use super::books::Known;
use super::disk::Disk;
use super::fetch::Fetcher;
use super::group_state::{GroupState, Key};
use super::groups::Groups;
use super::partition::{Notifier, Partition};
use super::registry::Registry;
use super::segment::{self, Found};
use super::spare::Spare;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::sync::Arc;

/// A partition of a topic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TopicPlace {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// First retained offset.
    pub first_offset: u64,
    /// Offset after the last event.
    pub end_offset: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// When the oldest retained record batch was appended, ms since the Unix epoch.
    pub oldest_ms: Option<u64>,
    /// When the newest record batch was appended, ms since the Unix epoch.
    pub newest_ms: Option<u64>,
}

/// A consumer group's place in a partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupPlace {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// Offset below which all is delivered.
    pub committed: u64,
    /// Offset after the last event that the group may see.
    pub end: u64,
    /// Events that are not delivered, those that are to be sent again included.
    pub lag_events: u64,
    /// Bytes of them, about.
    pub lag_bytes: u64,
    /// Age of the oldest of them, seconds.
    pub lag_seconds: f64,
    /// Batches that are recorded as under way.
    pub in_flight: u64,
    /// Events above the commit that are delivered already.
    pub acked_above: u64,
    /// Events below this offset are sent to replace what the receiver has; 0: none.
    #[serde(default)]
    pub overwrite_until: u64,
    /// When the place last changed, ms since the Unix epoch.
    pub updated_ms: u64,
}

/// A consumer group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupInfo {
    /// Its name: the sink's.
    pub group: String,
    /// Whether its sink runs.
    pub active: bool,
    /// Its places.
    pub partitions: Vec<GroupPlace>,
}

impl GroupInfo {
    /// Events that are not delivered, over all partitions.
    pub fn lag_events(&self) -> u64 {
        self.partitions.iter().map(|p| p.lag_events).sum()
    }
}

/// All that is in a queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// UUID of the queue.
    pub queue: String,
    /// When this picture was taken, ms since the Unix epoch.
    pub now_ms: u64,
    /// Partitions by topic.
    pub topics: Vec<TopicPlace>,
    /// Groups by name.
    pub groups: Vec<GroupInfo>,
}

/// Where a group is moved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetTo {
    /// The first retained record.
    Earliest,
    /// After the last record.
    Latest,
    /// This offset, or the nearest that is retained.
    Offset(u64),
    /// The first record batch that was appended at or after this time, ms since the Unix epoch.
    Time(u64),
    /// So many offsets forward, or back.
    ShiftBy(i64),
}

/// The wish to move a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// The group.
    pub group: String,
    /// Where to.
    pub to: ResetTo,
    /// Only this topic.
    pub topic: Option<String>,
    /// Only this partition.
    pub partition: Option<u32>,
    /// What was delivered is to replace what the receiver has.
    #[serde(default)]
    pub overwrite: bool,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What the target of a sink makes of events that are to replace what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overwriting {
    /// It replaces documents.
    Replaces,
    /// It knows no documents, so all is simply sent again; why, in words.
    SendsAgain(String),
    /// It takes no replacements; why, in words.
    Refuses(String),
    /// It could not be asked; why, in words.
    Unknown(String),
}

/// How one place of a group moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// The commit before.
    pub from: u64,
    /// The commit after.
    pub to: u64,
    /// Events from there to below this offset replace what the receiver has; 0: none.
    #[serde(default)]
    pub overwrite_until: u64,
    /// An earlier overwrite that was not finished ends: it would have gone on to below this offset; 0: there was none.
    #[serde(default)]
    pub overwrite_ended: u64,
}

impl Move {
    /// Events that replace what the receiver has.
    pub fn overwrites(&self) -> u64 {
        self.overwrite_until.saturating_sub(self.to)
    }
}

/// What a reset has done, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The group.
    pub group: String,
    /// Whether its sink runs and has taken it up.
    pub active: bool,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Its places.
    pub moves: Vec<Move>,
    /// Of an overwrite: whether the target replaces what it has; `None` where it could not be asked.
    #[serde(default)]
    pub replaces: Option<bool>,
    /// What is to be known of overwriting at this sink, in words.
    #[serde(default)]
    pub note: Option<String>,
}

/// Why something cannot be done. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// There is no such group.
    #[error("there is no group `{group}`; there {}", are(known, "is no group yet: a group begins with its sink's first start"))]
    NoGroup {
        /// The name.
        group: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The group has no such place.
    #[error("group `{group}` does not read {what}; it reads {}", places.join(", "))]
    NoPlace {
        /// The group.
        group: String,
        /// What was asked for.
        what: String,
        /// What there is.
        places: Vec<String>,
    },
    /// The sink of the group runs.
    #[error(
        "group `{group}` cannot be deleted: its sink runs; take the sink out of the pipeline and restart the agent first, or stop the agent"
    )]
    Active {
        /// The group.
        group: String,
    },
    /// The target of the sink takes no replacements.
    #[error(
        "group `{group}` was not moved: {reason}. A reset without --overwrite ships again without changing what is indexed; to store what is \
         shipped again anew, give the pipeline a new sink with a new target (it begins at the earliest retained record)"
    )]
    TakesNoOverwrite {
        /// The group.
        group: String,
        /// Why, in words.
        reason: String,
    },
    /// This side only looks.
    #[error("the data directory was opened for looking only")]
    ReadOnly,
    /// The disk failed.
    #[error("cannot {what}: {source}; nothing was changed")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The cause.
        source: io::Error,
    },
}

fn are(known: &[String], none: &str) -> String {
    match known {
        [] => none.to_string(),
        [one] => format!("is only `{one}`"),
        many => format!("are: {}", many.join(", ")),
    }
}

/// A queue as those see it who list it and move its groups.
pub struct Managed<'a> {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) queue: u128,
    pub(crate) partitions: Vec<Arc<Partition>>,
    pub(crate) states: HashMap<Key, GroupState>,
    pub(crate) joined: HashSet<Arc<str>>,
    pub(crate) now_ms: u64,
    pub(crate) groups: Option<&'a Groups>,
    pub(crate) notifier: Option<&'a Notifier>,
    pub(crate) known: Known<'a>,
}

impl Managed<'_> {
    /// All topics and groups.
    pub fn inventory(&self) -> Inventory {
        let mut groups: BTreeMap<&str, Vec<GroupPlace>> = BTreeMap::new();
        let mut keys: Vec<&Key> = self.states.keys().collect();
        keys.sort();
        for key in keys {
            groups.entry(&key.0).or_default().push(self.place(key, &self.states[key]));
        }
        Inventory {
            queue: format!("{:032x}", self.queue),
            now_ms: self.now_ms,
            topics: self.partitions.iter().map(|p| topic_place(p)).collect(),
            groups: groups
                .into_iter()
                .map(|(group, partitions)| GroupInfo { group: group.into(), active: self.joined.contains(group), partitions })
                .collect(),
        }
    }

    pub(crate) fn partition(&self, topic: &str, number: u32) -> Option<&Arc<Partition>> {
        self.partitions.iter().find(|p| *p.topic == *topic && p.number == number)
    }

    fn place(&self, key: &Key, state: &GroupState) -> GroupPlace {
        let acked_above: u64 = state.acked.iter().map(|(start, end)| end - start).sum();
        let again: u64 = state.again.iter().chain(&state.letters).map(|(first, last)| last + 1 - first).sum();
        let mut place = GroupPlace {
            topic: key.1.to_string(),
            partition: key.2,
            committed: state.committed,
            end: state.committed,
            in_flight: state.in_flight.values().filter(|last| **last >= state.committed).count() as u64,
            acked_above,
            overwrite_until: state.overwrite_until,
            updated_ms: state.updated_ms,
            ..GroupPlace::default()
        };
        let Some(partition) = self.partition(&key.1, key.2) else { return place };
        place.end = partition.visible();
        place.lag_events = partition.lag(state.committed).saturating_sub(acked_above) + again;
        if place.lag_events == 0 {
            return place;
        }
        let registry = Arc::new(Registry::new(1));
        let fetcher = Fetcher::new(self.disk.clone(), registry, Arc::default(), None, partition.clone(), Spare::apart());
        if let Some((segment, pos, append_ms)) = fetcher.place_of(state.committed.max(partition.first())) {
            let later: u64 = partition.segments().iter().filter(|s| s.id > segment.id).map(|s| s.size()).sum();
            place.lag_bytes = segment.size().saturating_sub(pos) + later;
            place.lag_seconds = self.now_ms.saturating_sub(append_ms) as f64 / 1000.0;
        }
        place
    }

    pub(crate) fn keys_of(&self, group: &str) -> Result<Vec<&Key>, ManageError> {
        let mut keys: Vec<&Key> = self.states.keys().filter(|k| *k.0 == *group).collect();
        if keys.is_empty() {
            let known: BTreeSet<&str> = self.states.keys().map(|k| &*k.0).collect();
            return Err(ManageError::NoGroup { group: group.into(), known: known.into_iter().map(str::to_string).collect() });
        }
        keys.sort();
        Ok(keys)
    }

    /// Moves a group, or says how it would move.
    ///
    /// A sink that runs takes up the new place at once; batches that it began before are finished, but no longer
    /// move the commit. Event IDs are the same as the first time. `target` tells what the sink's target makes of events
    /// that overwrite.
    ///
    /// # Errors
    /// [`ManageError`].
    pub fn reset(&self, wanted: &Reset, target: &dyn Fn(&str) -> Overwriting) -> Result<Moved, ManageError> {
        self.keys_of(&wanted.group)?;
        let group = wanted.group.clone();
        // It may take a while to ask, which nobody else is to wait for.
        let (replaces, note) = match wanted.overwrite.then(|| target(&group)) {
            Some(Overwriting::Refuses(reason)) => return Err(ManageError::TakesNoOverwrite { group, reason }),
            Some(Overwriting::SendsAgain(note)) => (Some(false), Some(note)),
            Some(Overwriting::Unknown(note)) => (None, Some(note)),
            Some(Overwriting::Replaces) => (Some(true), None),
            None => (None, None),
        };
        // What the new place is to have must not be deleted before the group is known to stand there.
        let _hold = self.groups.map(Groups::hold_retention);
        let (keys, mut targets, mut moves) = (self.keys_of(&wanted.group)?, Vec::new(), Vec::new());
        let listed = |key: &&Key| wanted.topic.as_deref().is_none_or(|t| *t == *key.1) && wanted.partition.is_none_or(|p| p == key.2);
        for key in keys.iter().copied().filter(listed) {
            let Some(partition) = self.partition(&key.1, key.2) else { continue };
            let state = &self.states[key];
            let (first, end, from) = (partition.first(), partition.visible(), state.committed);
            let to = match wanted.to {
                ResetTo::Earliest => first,
                ResetTo::Latest => end,
                ResetTo::Offset(offset) => offset,
                ResetTo::ShiftBy(by) => from.saturating_add_signed(by),
                ResetTo::Time(ms) => offset_at_time(&self.disk, partition, ms)
                    .map_err(|source| ManageError::Io { what: "look for the time in the segments", source })?,
            };
            let to = to.clamp(first, end);
            let until = if wanted.overwrite && state.high_end() > to { state.high_end() } else { 0 };
            let ended = if until == 0 { state.overwrite_until } else { 0 };
            let (topic, partition) = (key.1.to_string(), key.2);
            targets.push((key.clone(), to));
            moves.push(Move { topic, partition, from, to, overwrite_until: until, overwrite_ended: ended });
        }
        if moves.is_empty() {
            let what = match (&wanted.topic, wanted.partition) {
                (Some(topic), Some(number)) => format!("partition {number} of topic `{topic}`"),
                (Some(topic), None) => format!("topic `{topic}`"),
                (None, Some(number)) => format!("any partition {number}"),
                (None, None) => "any topic that is still there".into(),
            };
            let places = keys.iter().map(|k| format!("{}/{}", k.1, k.2)).collect();
            return Err(ManageError::NoPlace { group: wanted.group.clone(), what, places });
        }
        if !wanted.dry_run {
            let groups = self.groups.ok_or(ManageError::ReadOnly)?;
            groups
                .reset(&targets, wanted.overwrite, self.now_ms)
                .map_err(|source| ManageError::Io { what: "write the groups' journal", source })?;
            self.wake();
        }
        Ok(Moved {
            group: wanted.group.clone(),
            active: self.joined.contains(&*wanted.group),
            dry_run: wanted.dry_run,
            moves,
            replaces,
            note,
        })
    }

    pub(crate) fn wake(&self) {
        if let Some(notifier) = self.notifier {
            notifier.notify();
        }
    }

    /// Forgets a group whose sink does not run; gives what it was.
    ///
    /// # Errors
    /// [`ManageError`].
    pub fn delete(&self, group: &str, dry_run: bool) -> Result<GroupInfo, ManageError> {
        let keys = self.keys_of(group)?;
        if self.joined.contains(group) {
            return Err(ManageError::Active { group: group.into() });
        }
        let info =
            GroupInfo { group: group.into(), active: false, partitions: keys.iter().map(|k| self.place(k, &self.states[*k])).collect() };
        if !dry_run {
            let groups = self.groups.ok_or(ManageError::ReadOnly)?;
            groups.forget(group).map_err(|source| ManageError::Io { what: "write the groups' journal", source })?;
        }
        Ok(info)
    }
}

fn topic_place(p: &Partition) -> TopicPlace {
    let segments = p.segments();
    let live = || segments.iter().filter(|s| s.end() > s.base);
    let oldest = live().min_by_key(|s| s.base);
    TopicPlace {
        topic: p.topic.to_string(),
        partition: p.number,
        first_offset: p.first(),
        end_offset: p.visible(),
        bytes: p.disk_bytes(),
        segments: segments.len() as u64,
        oldest_ms: oldest.and_then(|s| s.index.lock().unwrap_or_else(|e| e.into_inner()).entries().first().map(|e| e.append_ms)),
        newest_ms: live().map(|s| s.newest_ms()).max(),
    }
}

/// Offset of the first record batch that was appended at or after `ms`; the end where there is none.
pub(crate) fn offset_at_time(disk: &Arc<dyn Disk>, partition: &Partition, ms: u64) -> io::Result<u64> {
    let mut segments = partition.segments();
    segments.sort_by_key(|s| s.base);
    // Append times never go back within a segment, and in a partition only when a false jump of the clock was put right.
    for s in segments.iter().filter(|s| s.end() > s.base && s.newest_ms() >= ms) {
        let file = s.file(disk)?;
        let before = s.index.lock().unwrap_or_else(|e| e.into_inner()).before(ms);
        let mut pos = before.map_or(super::format::SEGMENT_HEADER as u64, |e| e.pos);
        loop {
            let batch = match segment::locate(&*file, s.id, pos)? {
                Found::Batch(batch) => batch,
                Found::End | Found::Damage if pos >= s.size() => break,
                Found::End | Found::Damage => match segment::search(&*file, s.id, pos + 8, s.base)? {
                    Some(batch) => batch,
                    None => break,
                },
            };
            if batch.header.base_offset >= s.end() {
                break;
            }
            if segment::is_data(&batch) && batch.header.append_ms >= ms {
                return Ok(batch.header.base_offset.min(partition.visible()));
            }
            pos = batch.next_pos();
        }
    }
    Ok(partition.visible())
}
