//! Reads the records of a partition from its files, in order, beside whoever writes them.

use super::Part;
use super::disk::{Disk, DiskFile};
use super::format::SEGMENT_HEADER;
use super::manage::offset_at_time;
use super::partition::Partition;
use super::registry::{Registry, StreamRecord};
use super::segment::{self, Found, Located};
use super::view::segment_files;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the first retained record.
    Earliest,
    /// After the last one.
    Latest,
    /// At an offset.
    Offset(u64),
    /// So many records before the end.
    Last(u64),
    /// At the first record batch that was appended at or after this time, ms since the Unix epoch.
    Time(u64),
}

#[derive(Debug)]
struct Place {
    id: u64,
    file: Arc<dyn DiskFile>,
    pos: u64,
    /// A later segment takes over at this offset.
    bound: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Reader {
    disk: Arc<dyn Disk>,
    registry: Registry,
    dir: PathBuf,
    topic: Arc<str>,
    number: u32,
    next: u64,
    place: Option<Place>,
    skipped: u64,
}

/// What one look at a segment gave.
enum Look {
    Part(Part),
    /// Go on in another segment.
    Elsewhere,
    /// There is nothing more yet.
    Nothing,
}

impl Reader {
    pub(crate) fn open(disk: Arc<dyn Disk>, partition: &Partition, start: Start) -> io::Result<Reader> {
        let (first, end) = (partition.first(), partition.visible());
        let next = match start {
            Start::Earliest => first,
            Start::Latest => end,
            Start::Offset(offset) => offset.max(first),
            Start::Last(n) => end.saturating_sub(n).max(first),
            Start::Time(ms) => offset_at_time(&disk, partition, ms)?,
        };
        Ok(Reader {
            disk,
            registry: Registry::new(1),
            dir: partition.dir.clone(),
            topic: partition.topic.clone(),
            number: partition.number,
            next,
            place: None,
            skipped: 0,
        })
    }

    /// A stream that the segments may not tell of any more.
    pub(crate) fn know(&mut self, record: StreamRecord) {
        self.registry.load(record);
    }

    /// Topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Partition.
    pub fn partition(&self) -> u32 {
        self.number
    }

    /// Events that could not be read because their bytes are damaged, or not there.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The next events; `None` when there are none yet. It may be called again later: then it goes on there.
    ///
    /// # Errors
    /// The disk's; it may be called again.
    pub fn read(&mut self) -> io::Result<Option<Part>> {
        loop {
            let mut place = match self.place.take() {
                Some(place) => place,
                None => match self.find()? {
                    Some(place) => place,
                    None => return Ok(None),
                },
            };
            match self.look(&mut place)? {
                Look::Part(part) => {
                    self.place = Some(place);
                    return Ok(Some(part));
                }
                Look::Nothing => {
                    self.place = Some(place);
                    return Ok(None);
                }
                Look::Elsewhere => {}
            }
        }
    }

    /// The segment that holds the next offset, or else the one after it.
    fn find(&mut self) -> io::Result<Option<Place>> {
        let files = segment_files(&*self.disk, &self.dir)?;
        let holds = files.iter().rposition(|(_, base, _)| *base <= self.next);
        let Some(at) = holds.or_else(|| (0..files.len()).min_by_key(|i| files[*i].1)) else { return Ok(None) };
        let (id, base, path) = &files[at];
        let bound = files[at + 1..].iter().map(|(_, base, _)| *base).min().unwrap_or(u64::MAX);
        self.skip_to(*base);
        let file = match self.disk.open(path) {
            Ok(file) => file,
            // Retention was faster: the next look finds another one.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        Ok(Some(Place { id: *id, file, pos: SEGMENT_HEADER as u64, bound }))
    }

    fn skip_to(&mut self, offset: u64) {
        if offset > self.next {
            self.skipped += offset - self.next;
            self.next = offset;
        }
    }

    fn look(&mut self, place: &mut Place) -> io::Result<Look> {
        loop {
            let located = match segment::locate(&*place.file, place.id, place.pos)? {
                Found::Batch(located) => located,
                Found::End | Found::Damage => match segment::search(&*place.file, place.id, place.pos + 8, self.next)? {
                    Some(located) => located,
                    None => return self.at_end(place),
                },
            };
            if located.header.base_offset >= place.bound {
                return self.at_end(place);
            }
            let has_none = segment::is_data(&located) && located.header.count == 0;
            if has_none || (located.header.count > 0 && located.end_offset() <= self.next) {
                place.pos = located.next_pos();
                continue;
            }
            let Some(payload) = segment::payload(&*place.file, &located)? else {
                // At the end of what is written it may be under way; else it is damage.
                let later = place.bound < u64::MAX || segment::search(&*place.file, place.id, located.pos + 8, self.next)?.is_some();
                if !later {
                    return self.at_end(place);
                }
                self.pass_over(place, &located);
                continue;
            };
            if !segment::is_data(&located) {
                let mut records = super::codec::Reader(&payload);
                while let Some(record) = StreamRecord::decode(&mut records) {
                    self.registry.load(record);
                }
                place.pos = located.next_pos();
                continue;
            }
            let Ok(batch) = segment::record_batch(&located, &payload, &self.registry) else {
                self.pass_over(place, &located);
                continue;
            };
            self.skip_to(batch.base_offset);
            let (skip, end) = ((self.next - batch.base_offset) as u32, batch.end_offset().min(place.bound));
            let count = (end - self.next) as u32;
            (place.pos, self.next) = (located.next_pos(), end);
            return Ok(Look::Part(Part { batch: Arc::new(batch), skip, count }));
        }
    }

    fn pass_over(&mut self, place: &mut Place, located: &Located) {
        if segment::is_data(located) {
            self.skip_to(located.end_offset().min(place.bound));
        }
        place.pos = located.next_pos();
    }

    /// Whether another segment goes on here.
    fn at_end(&mut self, place: &mut Place) -> io::Result<Look> {
        let files = segment_files(&*self.disk, &self.dir)?;
        let bound = files.iter().filter(|(id, _, _)| *id > place.id).map(|(_, base, _)| *base).min();
        let Some(bound) = bound else { return Ok(Look::Nothing) };
        if place.bound == u64::MAX {
            // It is new: what was written here before it was made must be looked at first.
            place.bound = bound;
            if bound > self.next {
                return self.look(place);
            }
        }
        self.skip_to(bound);
        Ok(Look::Elsewhere)
    }
}
