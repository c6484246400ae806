//! Sends dead letters again.
//!
//! A dead letter names the topic, partition and offset of the event that was refused. As long as that event is
//! retained, it is handed to its sink once more from where it stands, like a batch that was in flight when a
//! process ended: so it is the same event under the same ID, no other sink sees it, and what arrived meanwhile is
//! recognised as such. An event that its topic no longer has is sent from the letter, which holds its bytes, its ID
//! and all else that its document is made of. The ranges are in the groups' journal until they are acked, and hold
//! retention until then; so is the place in the dead-letter topic up to which this was done, so that the next
//! redrive takes only what was refused since.

use super::embedded::DEAD_LETTER_TOPIC;
use super::group_state::{Again, GroupState, Key};
use super::groups::Groups;
use super::letter::Letter;
use super::manage::{ManageError, Managed};
use super::reader::{Reader, Start};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Events that are handed over together have at most this many bytes as dead letters.
const RANGE_BYTES: u64 = 256 << 10;

/// What is sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redriven {
    /// The sink.
    pub sink: String,
    /// Whether it runs and sends them now; else at its next start.
    pub active: bool,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Events that are sent again.
    pub events: u64,
    /// Those of them that their topic still has.
    pub from_queue: u64,
    /// Those of them that only their dead letter still has.
    pub from_letter: u64,
    /// Events that the sink has before it anyway: an earlier redrive is under way, or its group was moved back.
    pub waiting: u64,
    /// Events that an earlier redrive has sent, and that were not refused since.
    pub earlier: u64,
    /// Dead letters of the sink; an event may have several.
    pub letters: u64,
    /// Events that cannot be sent, by reason.
    pub impossible: BTreeMap<String, u64>,
}

/// Letters of one event.
struct Refused {
    /// Offset of the newest letter.
    letter: u64,
    /// Its bytes.
    bytes: u64,
    overwrite: bool,
    /// Why the event cannot be made of that letter.
    flaw: Option<&'static str>,
}

impl Managed<'_> {
    /// Has the events of a sink's dead letters sent once more; those that an earlier redrive has sent only with `all`.
    /// An event with several dead letters is sent once.
    ///
    /// # Errors
    /// [`ManageError`].
    pub fn redrive(&self, sink: &str, all: bool, dry_run: bool) -> Result<Redriven, ManageError> {
        let _hold = self.groups.map(Groups::hold_retention);
        let keys = self.keys_of(sink)?;
        let names: BTreeSet<&str> = keys.iter().flat_map(|k| &self.states[*k].earlier).map(|n| &**n).chain([sink]).collect();
        let (refused, letters, end) = self.refused(&names)?;
        let mut done = Redriven { sink: sink.into(), active: self.joined.contains(sink), dry_run, letters, ..Redriven::default() };
        let (mut ranges, mut until) = (Vec::new(), Vec::new());
        for ((topic, number), events) in refused {
            let key: Key = (sink.into(), topic.as_str().into(), number);
            let Some(state) = self.states.get(&key) else {
                *done.impossible.entry(format!("the sink does not read {topic}/{number}")).or_default() += events.len() as u64;
                continue;
            };
            let retained = self.partition(&topic, number).map_or(0..0, |p| p.first()..p.visible());
            let mut stored: Vec<(u64, u64)> = Vec::new();
            // By whether they overwrite, since a batch is of one kind.
            let mut lone: BTreeMap<bool, BTreeMap<u64, u64>> = BTreeMap::new();
            for (offset, event) in events {
                let held = retained.contains(&offset);
                if is_pending(state, offset, event.letter) || held && !is_delivered(state, offset) {
                    done.waiting += 1;
                } else if let Some(flaw) = event.flaw.filter(|_| !held || event.overwrite) {
                    let reason = if held { flaw.to_string() } else { format!("{topic}/{number} no longer has the event, and {flaw}") };
                    *done.impossible.entry(reason).or_default() += 1;
                } else if event.letter < state.redriven_until && !all {
                    done.earlier += 1;
                } else if held && !event.overwrite {
                    done.from_queue += 1;
                    stored.push((offset, event.bytes));
                } else {
                    done.from_letter += 1;
                    lone.entry(event.overwrite).or_default().insert(event.letter, event.bytes);
                }
            }
            ranges.extend(united(stored).into_iter().map(|(first, last)| (key.clone(), Again::Events(first, last))));
            for letters in lone.into_values() {
                ranges.extend(united(letters).into_iter().map(|(first, last)| (key.clone(), Again::Letters(first, last))));
            }
            until.push((key, end));
        }
        done.events = done.from_queue + done.from_letter;
        if !dry_run && !ranges.is_empty() {
            let groups = self.groups.ok_or(ManageError::ReadOnly)?;
            groups.redrive(&ranges, &until).map_err(|source| ManageError::Io { what: "write the groups' journal", source })?;
            self.wake();
        }
        Ok(done)
    }

    /// The events that these sinks could not deliver, by place and offset; the number of letters; and the offset after
    /// the last letter that was looked at.
    #[expect(clippy::type_complexity, reason = "used once")]
    fn refused(&self, names: &BTreeSet<&str>) -> Result<(BTreeMap<(String, u32), BTreeMap<u64, Refused>>, u64, u64), ManageError> {
        let (mut refused, mut letters): (BTreeMap<_, BTreeMap<_, _>>, u64) = Default::default();
        let Some(partition) = self.partition(DEAD_LETTER_TOPIC, 0) else { return Ok((refused, 0, 0)) };
        let failed = |source| ManageError::Io { what: "read the dead-letter topic", source };
        // What is written after this is for the next time.
        let end = partition.visible();
        let mut reader = Reader::open(self.disk.clone(), partition, Start::Earliest).map_err(failed)?;
        while let Some(part) = reader.read().map_err(failed)? {
            for event in part.runs().flat_map(|run| run.events).filter(|e| e.offset < end) {
                // What an operator put there by hand in another form is left alone.
                let Ok(letter) = serde_json::from_slice::<Letter>(event.bytes) else { continue };
                if names.contains(letter.sink.as_str()) {
                    letters += 1;
                    let flaw = letter.part().err();
                    let newest = Refused { letter: event.offset, bytes: event.raw.len() as u64, overwrite: letter.overwrite, flaw };
                    refused.entry((letter.topic, letter.partition)).or_default().insert(letter.offset, newest);
                }
            }
            if part.batch.end_offset() >= end {
                break;
            }
        }
        Ok((refused, letters, end))
    }
}

/// Whether an event, or its letter, is being redriven.
fn is_pending(state: &GroupState, offset: u64, letter: u64) -> bool {
    let within = |map: &BTreeMap<u64, u64>, at: u64| map.range(..=at).next_back().is_some_and(|(_, last)| *last >= at);
    within(&state.again, offset) || within(&state.letters, letter)
}

fn is_delivered(state: &GroupState, offset: u64) -> bool {
    offset < state.committed || state.acked.range(..=offset).next_back().is_some_and(|(_, end)| *end > offset)
}

/// Ranges (first, last) of consecutive offsets (with their bytes), none much larger than [`RANGE_BYTES`].
fn united(offsets: impl IntoIterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let (mut ranges, mut bytes): (Vec<(u64, u64)>, u64) = (Vec::new(), 0);
    for (offset, len) in offsets {
        bytes += len;
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == offset && bytes <= RANGE_BYTES => *last = offset,
            _ => {
                ranges.push((offset, offset));
                bytes = len;
            }
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_consecutive_and_bounded() {
        let half = RANGE_BYTES / 2;
        assert_eq!(united([(1, 10), (2, 10), (4, 10)]), [(1, 2), (4, 4)]);
        assert_eq!(united([(1, half), (2, half), (3, half), (4, 1)]), [(1, 2), (3, 4)]);
        assert_eq!(united([]), []);
    }
}
