//! Sends dead letters again.
//!
//! A dead letter names the topic, partition and offset of the event that was refused. As long as that event is
//! retained, it is handed to its sink once more from where it stands, like a batch that was in flight when a
//! process ended: so it is the same event under the same ID, no other sink sees it, and what arrived meanwhile is
//! recognised as such. The ranges are in the groups' journal until they are acked, and hold retention until then.

use super::embedded::DEAD_LETTER_TOPIC;
use super::groups::{Groups, Key};
use super::manage::{ManageError, Managed};
use super::reader::{Reader, Start};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

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
    /// Events that the sink has before it anyway, since its group was moved back.
    pub waiting: u64,
    /// Events that retention has removed from their topic; only their dead letters are left.
    pub gone: u64,
}

#[derive(Deserialize)]
struct Letter {
    sink: String,
    topic: String,
    partition: u32,
    offset: u64,
}

impl Managed<'_> {
    /// Has the events of a sink's dead letters sent once more. An event with several dead letters is sent once.
    ///
    /// # Errors
    /// [`ManageError`].
    pub fn redrive(&self, sink: &str, dry_run: bool) -> Result<Redriven, ManageError> {
        let _hold = self.groups.map(Groups::hold_retention);
        self.keys_of(sink)?;
        let mut letters: HashMap<(String, u32), BTreeMap<u64, u64>> = HashMap::new();
        for partition in self.partitions.iter().filter(|p| *p.topic == *DEAD_LETTER_TOPIC) {
            let failed = |source| ManageError::Io { what: "read the dead-letter topic", source };
            let mut reader = Reader::open(self.disk.clone(), partition, Start::Earliest).map_err(failed)?;
            while let Some(part) = reader.read().map_err(failed)? {
                for event in part.runs().flat_map(|run| run.events) {
                    // What an operator put there by hand in another form is left alone.
                    if let Ok(letter) = serde_json::from_slice::<Letter>(event.bytes)
                        && letter.sink == sink
                    {
                        letters.entry((letter.topic, letter.partition)).or_default().insert(letter.offset, event.raw.len() as u64);
                    }
                }
            }
        }
        let mut done = Redriven { sink: sink.into(), active: self.joined.contains(sink), dry_run, ..Redriven::default() };
        let mut ranges = Vec::new();
        for ((topic, number), offsets) in letters {
            let key: Key = (sink.into(), topic.as_str().into(), number);
            let place = self.partition(&topic, number).zip(self.states.get(&key));
            let Some((partition, state)) = place else {
                done.gone += offsets.len() as u64;
                continue;
            };
            let (first, end) = (partition.first(), partition.visible());
            let mut kept: Vec<(u64, u64)> = Vec::new();
            for (offset, bytes) in offsets {
                let pending = state.again.range(..=offset).next_back().is_some_and(|(_, last)| *last >= offset);
                let delivered = offset < state.committed || state.acked.range(..=offset).next_back().is_some_and(|(_, end)| *end > offset);
                if !(first..end).contains(&offset) {
                    done.gone += 1;
                } else if pending || !delivered {
                    done.waiting += 1;
                } else {
                    done.events += 1;
                    kept.push((offset, bytes));
                }
            }
            ranges.extend(united(&kept).into_iter().map(|(first, last)| (key.clone(), first, last)));
        }
        if !dry_run && !ranges.is_empty() {
            let groups = self.groups.ok_or(ManageError::ReadOnly)?;
            groups.redrive(&ranges).map_err(|source| ManageError::Io { what: "write the groups' journal", source })?;
            self.wake();
        }
        Ok(done)
    }
}

/// Ranges (first, last) of consecutive offsets, none much larger than [`RANGE_BYTES`].
fn united(offsets: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let (mut ranges, mut bytes): (Vec<(u64, u64)>, u64) = (Vec::new(), 0);
    for (offset, len) in offsets {
        bytes += len;
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *offset && bytes <= RANGE_BYTES => *last = *offset,
            _ => {
                ranges.push((*offset, *offset));
                bytes = *len;
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
        assert_eq!(united(&[(1, 10), (2, 10), (4, 10)]), [(1, 2), (4, 4)]);
        assert_eq!(united(&[(1, half), (2, half), (3, half), (4, 1)]), [(1, 2), (3, 4)]);
        assert_eq!(united(&[]), []);
    }
}
