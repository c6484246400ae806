//! The IDs of a run's events under one sink.

use crate::process::identity::{EventIds, ID_LEN, checksum, queue_key};
use crate::queue::{BatchId, Event, RunFlags, RunSlice};

/// IDs of the events of one run.
pub(crate) struct RunIds {
    ids: EventIds,
    by_offset: bool,
    /// Of an event that comes from a dead letter: the ID of the first time, whatever the sink is called by now.
    known: Option<[u8; ID_LEN]>,
}

impl RunIds {
    /// IDs for `slice` of the batch `id`, under `scope`: the sink's name, or the `previous_name` it inherits from.
    pub fn new(scope: &str, id: &BatchId, slice: &RunSlice<'_>) -> RunIds {
        let by_offset = slice.run.flags.has(RunFlags::NO_POSITION);
        let key = if by_offset { queue_key(id.queue, &id.topic, id.partition, slice.epoch) } else { slice.run.stream.brief().key };
        RunIds { ids: EventIds::new(scope, key), by_offset, known: slice.run.stream.event_id() }
    }

    /// The ID of `event`.
    #[inline]
    pub fn id(&self, event: &Event<'_>) -> [u8; ID_LEN] {
        if let Some(known) = self.known {
            return known;
        }
        self.ids.id(if self.by_offset { event.offset } else { event.position }, checksum(event.bytes))
    }
}
