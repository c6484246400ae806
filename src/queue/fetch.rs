//! Reads a partition in order: from the tail cache where it can, else from the segments.

use super::disk::{Disk, DiskFile, is_medium_error};
use super::holes::Holes;
use super::partition::Partition;
use super::registry::Registry;
use super::segment::{self, Found, Segment};
use super::spare::Spare;
use super::stats::QueueStats;
use super::{FetchError, RecordBatch};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What is at an offset.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// The batch that holds it.
    Batch(Arc<RecordBatch>),
    /// Damage or a deletion has taken the events before this offset; counted and told already.
    Gap(u64),
    /// Nothing that consumers may see yet.
    Nothing,
    /// Something, but there is no memory to read it into: the queue's notifier tells when it is worth asking again.
    NoRoom,
}

/// Where a reader stands in a segment.
#[derive(Debug)]
struct Place {
    segment: Arc<Segment>,
    file: Arc<dyn DiskFile>,
    pos: u64,
    /// Offset of the batch at `pos`, as far as it is known.
    offset: u64,
}

/// What stands next in a segment.
enum Next {
    Batch(RecordBatch),
    /// The segment has no more of it.
    End,
    /// As [`Fetched::NoRoom`].
    NoRoom,
}

/// Reads one partition for one consumer.
#[derive(Debug)]
pub(crate) struct Fetcher {
    disk: Arc<dyn Disk>,
    registry: Arc<Registry>,
    stats: Arc<QueueStats>,
    /// Absent where one only looks.
    holes: Option<Arc<Holes>>,
    pub(crate) partition: Arc<Partition>,
    place: Option<Place>,
    spare: Arc<Spare>,
}

impl Fetcher {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        registry: Arc<Registry>,
        stats: Arc<QueueStats>,
        holes: Option<Arc<Holes>>,
        partition: Arc<Partition>,
        spare: Arc<Spare>,
    ) -> Fetcher {
        Fetcher { disk, registry, stats, holes, partition, place: None, spare }
    }

    /// Gives memory back that only a next batch would need.
    pub(crate) fn rest(&self) {
        self.spare.trim();
    }

    /// Another reader of the same partition, which stands nowhere yet.
    pub(crate) fn renewed(&self) -> Fetcher {
        let (holes, partition, spare) = (self.holes.clone(), self.partition.clone(), self.spare.clone());
        Fetcher::new(self.disk.clone(), self.registry.clone(), self.stats.clone(), holes, partition, spare)
    }

    /// What is at `offset`, as soon as there is memory for it.
    pub(crate) fn fetch(&mut self, offset: u64) -> Result<Fetched, FetchError> {
        self.fetch_as(offset, false)
    }

    /// The same whatever memory is in use: for what must be read as a whole.
    pub(crate) fn fetch_now(&mut self, offset: u64) -> Result<Fetched, FetchError> {
        self.fetch_as(offset, true)
    }

    fn fetch_as(&mut self, offset: u64, now: bool) -> Result<Fetched, FetchError> {
        if let Some(batch) = self.partition.cached(offset) {
            self.place = None;
            self.partition.took(batch.end_offset());
            return Ok(Fetched::Batch(batch));
        }
        let visible = self.partition.visible();
        let mut wanted = offset;
        while wanted < visible {
            let here = self.place.take().filter(|p| p.offset == wanted && wanted < p.segment.end());
            let mut place = match here {
                Some(place) => place,
                None => match self.seek(wanted)? {
                    Some(place) => place,
                    // No segment is left up to where recovery began: nobody will write there any more.
                    None if wanted < self.partition.opened_end => return self.gap(offset, self.partition.opened_end),
                    None => break,
                },
            };
            match self.next(&mut place, wanted, visible, now)? {
                Next::Batch(batch) if batch.base_offset > offset => return self.gap(offset, batch.base_offset),
                Next::Batch(batch) => {
                    place.offset = batch.end_offset();
                    self.place = Some(place);
                    self.partition.took(batch.end_offset());
                    return Ok(Fetched::Batch(Arc::new(batch)));
                }
                Next::NoRoom => {
                    place.offset = wanted;
                    self.place = Some(place);
                    return if wanted > offset { self.gap(offset, wanted) } else { Ok(Fetched::NoRoom) };
                }
                Next::End => {}
            }
            let end = place.segment.end();
            if end > visible {
                // The rest of the segment is not for consumers yet.
                return Ok(Fetched::Nothing);
            }
            wanted = wanted.max(end);
        }
        if wanted > offset { self.gap(offset, wanted) } else { Ok(Fetched::Nothing) }
    }

    /// The events before `to` are not there: that is on record before anybody can ack them.
    fn gap(&self, from: u64, to: u64) -> Result<Fetched, FetchError> {
        let untold = self.holes.as_ref().map_or(Ok(0), |h| h.found(&self.partition, from..to))?;
        self.stats.lost_events.fetch_add(untold, Ordering::Relaxed);
        Ok(Fetched::Gap(to))
    }

    fn seek(&self, offset: u64) -> Result<Option<Place>, FetchError> {
        while let Some(segment) = self.partition.segment_at(offset) {
            match segment.file(&self.disk) {
                Ok(file) => {
                    let pos = segment.seek(offset);
                    return Ok(Some(Place { segment, file, pos, offset }));
                }
                // Waiting would not bring it back; what was in it is a gap, told when it is met.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    // `on_full: drop_oldest` may have been faster; that is told already.
                    if !self.partition.is_lost(offset) {
                        tracing::error!(
                            "{} was deleted by somebody else; what was in it is lost to the sinks that had not read it",
                            segment.path.display()
                        );
                    }
                    self.partition.remove_segment(segment.id);
                }
                Err(e) => return Err(io_error(&segment, e)),
            }
        }
        Ok(None)
    }

    /// What was read; or `rot` where the medium has failed at this place for good: the fresh tries are over, and
    /// the disk reads elsewhere. A disk that gives nothing at all may come back, so there the consumer waits.
    fn or_rot<T>(&self, segment: &Segment, wanted: u64, pos: u64, read: io::Result<T>, rot: T) -> Result<T, FetchError> {
        match read {
            Err(e) if is_medium_error(&e) && self.disk_answers(segment) => {
                self.stats.disk_errors.fetch_add(1, Ordering::Relaxed);
                if !self.partition.is_lost(wanted) {
                    tracing::error!(
                        "{}: cannot be read near byte {pos}: {e}; tried several times, and the rest of the disk can be read: the bad place \
                         is passed over, and the events in it are counted as lost. Check the disk",
                        segment.path.display()
                    );
                }
                Ok(rot)
            }
            read => read.map_err(|e| io_error(segment, e)),
        }
    }

    /// Whether the disk takes writes, and the head of this segment or of one of the newest can be read.
    fn disk_answers(&self, segment: &Segment) -> bool {
        let reads = |s: &Segment| {
            let mut head = [0; 64];
            s.file(&self.disk).is_ok_and(|f| f.read_at(&mut head, 0).is_ok())
        };
        self.stats.state().0 != "degraded" && (reads(segment) || self.partition.segments().iter().rev().take(3).any(|s| reads(s)))
    }

    /// The first sound batch of the segment that ends after `wanted`, if there is room for it or it must be had `now`.
    fn next(&self, place: &mut Place, wanted: u64, visible: u64, now: bool) -> Result<Next, FetchError> {
        loop {
            let found = segment::locate(&*place.file, place.segment.id, place.pos);
            let found = self.or_rot(&place.segment, wanted, place.pos, found, Found::Damage)?;
            let located = match found {
                Found::Batch(located) => located,
                Found::End | Found::Damage if place.pos >= place.segment.size() => return Ok(Next::End),
                Found::End | Found::Damage => {
                    tracing::error!("{}: damage at byte {}; looking for the next sound batch", place.segment.path.display(), place.pos);
                    let found = segment::search(&*place.file, place.segment.id, place.pos + 8, wanted);
                    match self.or_rot(&place.segment, wanted, place.pos + 8, found, None)? {
                        Some(located) => located,
                        None => return Ok(Next::End),
                    }
                }
            };
            let end = place.segment.end().min(visible);
            if located.header.base_offset >= end && located.header.count > 0 {
                return Ok(Next::End);
            }
            place.pos = located.next_pos();
            if !segment::holds_events(&located) || located.end_offset() <= wanted {
                continue;
            }
            if !now && !self.spare.has_room(located.header.payload_len()) {
                place.pos = located.pos;
                return Ok(Next::NoRoom);
            }
            let payload = segment::payload_in(&*place.file, &located, &self.spare);
            let payload = self.or_rot(&place.segment, wanted, located.pos, payload, None)?;
            match payload.map(|p| segment::record_batch(&located, &p, &self.registry)) {
                Some(Ok(batch)) => return Ok(Next::Batch(batch)),
                Some(Err(stream)) => tracing::error!(
                    "{}: batch at byte {} belongs to stream {stream}, of which no record is left",
                    place.segment.path.display(),
                    located.pos
                ),
                None => tracing::error!("{}: payload of the batch at byte {} is damaged", place.segment.path.display(), located.pos),
            }
        }
    }

    /// Position in its segment and append time of the batch that holds `offset`.
    pub(crate) fn place_of(&self, offset: u64) -> Option<(Arc<Segment>, u64, u64)> {
        let segment = self.partition.segment_at(offset)?;
        let file = segment.file(&self.disk).ok()?;
        let (mut pos, mut append_ms) = segment.place(offset)?;
        while let Ok(Found::Batch(located)) = segment::locate(&*file, segment.id, pos) {
            append_ms = located.header.append_ms;
            if segment::holds_events(&located) && located.end_offset() > offset {
                break;
            }
            pos = located.next_pos();
        }
        Some((segment, pos, append_ms))
    }
}

fn io_error(segment: &Segment, source: io::Error) -> FetchError {
    FetchError::Io { what: segment.path.display().to_string(), source }
}
