//! A segment file: its name, its header, and the batches in it by position.

use super::compression::{decompress, decompress_into};
use super::disk::{Disk, DiskFile, is_medium_error};
use super::format::{BATCH_HEADER, BatchHeader, Kind, RUN_ENTRY, RunEntry, SEGMENT_HEADER, SegmentHeader, padded};
use super::index::{Index, Sealed};
use super::registry::Registry;
use super::spare::Spare;
use super::{Compression, RecordBatch, Run, RunFlags, Tail};
use bytes::Bytes;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// Of a segment that is not read to its end the system is told no fewer bytes at a time.
const REST_BYTES: u64 = 1 << 20;

/// File name of a segment.
pub(crate) fn file_name(base_offset: u64, segment_id: u64) -> String {
    format!("{base_offset:020}-{segment_id:016x}.seg")
}

/// Base offset and segment ID from a file name.
pub(crate) fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (base, id) = name.strip_suffix(".seg")?.split_once('-')?;
    (base.len() == 20 && id.len() == 16).then_some(())?;
    Some((base.parse().ok()?, u64::from_str_radix(id, 16).ok()?))
}

/// A batch as it lies in a segment, header checked, payload not read.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    pub(crate) pos: u64,
    pub(crate) header: BatchHeader,
    pub(crate) runs: Vec<RunEntry>,
}

impl Located {
    /// Where the next batch begins.
    pub(crate) fn next_pos(&self) -> u64 {
        self.pos + padded(self.header.body_len as usize) as u64
    }

    pub(crate) fn end_offset(&self) -> u64 {
        self.header.base_offset.saturating_add(u64::from(self.header.count))
    }
}

/// What stands at a position of a segment.
#[derive(Debug)]
pub(crate) enum Found {
    Batch(Located),
    /// The file ends here, or nothing was ever written here.
    End,
    /// Something that is no sound batch.
    Damage,
}

/// Reads and checks the header at `pos`.
pub(crate) fn locate(file: &dyn DiskFile, segment_id: u64, pos: u64) -> io::Result<Found> {
    let mut head = vec![0; BATCH_HEADER + RUN_ENTRY];
    let n = file.read_at(&mut head, pos)?;
    if n == 0 || head[..n.min(BATCH_HEADER)].iter().all(|b| *b == 0) {
        return Ok(Found::End);
    }
    head.truncate(n);
    let len = match BatchHeader::head_len(&head) {
        Ok(len) => len,
        Err(_) => return Ok(Found::Damage),
    };
    if len > head.len() {
        head.resize(len, 0);
        let n = file.read_at(&mut head, pos)?;
        head.truncate(n);
    }
    Ok(match BatchHeader::decode(&head, segment_id, pos) {
        Ok((header, runs)) => Found::Batch(Located { pos, header, runs }),
        Err(_) => Found::Damage,
    })
}

/// Reads the payload of a batch as it is stored and checks it; `None` when it is damaged or cut short.
pub(crate) fn stored(file: &dyn DiskFile, batch: &Located) -> io::Result<Option<Vec<u8>>> {
    let mut body = vec![0; batch.header.stored_len()];
    Ok(stored_in(file, batch, &mut body)?.then_some(body))
}

/// Like [`stored`], into memory of the right length.
fn stored_in(file: &dyn DiskFile, batch: &Located, body: &mut [u8]) -> io::Result<bool> {
    let table = usize::from(batch.header.runs) * RUN_ENTRY;
    let n = file.read_at(body, batch.pos + (BATCH_HEADER + table) as u64)?;
    Ok(n == body.len() && crc32c::crc32c(body) == batch.header.payload_crc)
}

/// Reads the payload of a batch, checks and decompresses it; `None` when it is damaged or cut short.
pub(crate) fn payload(file: &dyn DiskFile, batch: &Located) -> io::Result<Option<Bytes>> {
    let Some(body) = stored(file, batch)? else { return Ok(None) };
    Ok(decompress(batch.header.codec, body, batch.header.payload_len()).map(Bytes::from))
}

/// Like [`payload`], in memory that was used before.
pub(crate) fn payload_in(file: &dyn DiskFile, batch: &Located, spare: &Arc<Spare>) -> io::Result<Option<Bytes>> {
    let mut body = spare.take(batch.header.stored_len());
    let sound = stored_in(file, batch, &mut body);
    if batch.header.codec == Compression::None && matches!(sound, Ok(true)) && body.len() == batch.header.payload_len() {
        return Ok(Some(spare.share(body)));
    }
    let mut raw = None;
    if batch.header.codec != Compression::None && matches!(sound, Ok(true)) {
        let mut out = spare.take(batch.header.payload_len());
        match decompress_into(batch.header.codec, &body, &mut out) {
            Some(()) => raw = Some(spare.share(out)),
            None => spare.give(out),
        }
    }
    spare.give(body);
    sound.map(|_| raw)
}

/// Searches from `from` to the end of the file for the next sound batch header that reaches `min_offset`
/// or begins after it; headers stand at multiples of 8. What cannot be read is passed over.
///
/// # Errors
/// The disk's, where it gives nothing at all.
pub(crate) fn search(file: &dyn DiskFile, segment_id: u64, from: u64, min_offset: u64) -> io::Result<Option<Located>> {
    const CHUNK: usize = 1 << 20;
    let mut pos = from.next_multiple_of(8);
    let mut chunk = vec![0; CHUNK + BATCH_HEADER];
    let (mut failed, mut readable) = (None, false);
    loop {
        let n = match file.read_around(&mut chunk, pos) {
            Ok((n, _)) => n,
            Err(e) if is_medium_error(&e) && pos < file.len()? => {
                failed = Some(e);
                pos += CHUNK as u64;
                continue;
            }
            Err(e) => return Err(e),
        };
        if n < BATCH_HEADER {
            return failed.filter(|_| !readable).map_or(Ok(None), Err);
        }
        readable = true;
        for at in (0..n.saturating_sub(BATCH_HEADER - 1).min(CHUNK)).step_by(8) {
            if BatchHeader::looks_like(&chunk[at..n]) {
                let found = match locate(file, segment_id, pos + at as u64) {
                    Err(e) if is_medium_error(&e) => Found::Damage,
                    found => found?,
                };
                match found {
                    Found::Batch(found) if found.header.base_offset.max(found.end_offset().saturating_sub(1)) >= min_offset => {
                        return Ok(Some(found));
                    }
                    _ => {}
                }
            }
        }
        pos += CHUNK as u64;
    }
}

/// Makes a record batch of a located batch and its payload.
///
/// # Errors
/// The number of a stream of which there is no record: without it its events have no identity.
pub(crate) fn record_batch(batch: &Located, payload: &Bytes, registry: &Registry) -> Result<RecordBatch, u64> {
    let mut runs = Vec::with_capacity(batch.runs.len());
    let lens_total: usize = batch.runs.iter().map(|r| r.lens_len as usize).sum();
    let (mut lens_at, mut data_at) = (0, lens_total);
    for entry in &batch.runs {
        let (lens_end, data_end) = (lens_at + entry.lens_len as usize, data_at + entry.data_len as usize);
        let stream = registry.get(entry.stream).ok_or(entry.stream)?;
        runs.push(Run {
            stream,
            source_start: entry.source_start,
            source_end: entry.source_end,
            count: entry.count,
            flags: RunFlags(entry.flags),
            tail: Tail { len: entry.tail_len, crc: entry.tail_crc },
            lens: payload.slice(lens_at..lens_end),
            data: payload.slice(data_at..data_end),
            filtered: entry.filtered.clone(),
        });
        (lens_at, data_at) = (lens_end, data_end);
    }
    let h = &batch.header;
    Ok(RecordBatch { base_offset: h.base_offset, count: h.count, epoch: h.epoch, append_ms: h.append_ms, runs })
}

/// A segment that exists on disk.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: u64,
    pub(crate) base: u64,
    pub(crate) path: PathBuf,
    /// Offset after the last event that counts (a later segment may take over earlier).
    end: AtomicU64,
    /// Bytes written.
    size: AtomicU64,
    /// Append time of the newest batch, ms.
    newest_ms: AtomicU64,
    pub(crate) index: Mutex<Index>,
    open: Mutex<Weak<dyn DiskFile>>,
    /// The file where it was deleted by somebody else: consumers still read it while the process lives.
    kept: Mutex<Option<Arc<dyn DiskFile>>>,
    /// The system was told that nobody reads soon what is before this byte.
    resting: AtomicU64,
}

#[derive(Debug)]
struct Never;
impl DiskFile for Never {
    fn write_all_at(&self, _: &[&[u8]], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn len(&self) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Segment {
    pub(crate) fn new(id: u64, base: u64, path: PathBuf, end: u64, size: u64, newest_ms: u64, index: Index) -> Segment {
        let open: Weak<dyn DiskFile> = Weak::<Never>::new();
        Segment {
            id,
            base,
            path,
            end: AtomicU64::new(end),
            size: AtomicU64::new(size),
            newest_ms: AtomicU64::new(newest_ms),
            index: Mutex::new(index),
            open: Mutex::new(open),
            kept: Mutex::default(),
            resting: AtomicU64::new(0),
        }
    }

    /// Lets the system forget the pages of what every group has, all before `low`: only a replay reads it again. Of an `active`
    /// segment as well, since of many partitions none may ever fill one; but in steps, and never of the page that is written next,
    /// which would be read for that.
    pub(crate) fn rest(&self, disk: &dyn Disk, low: u64, active: bool) {
        let from = self.resting.load(Ordering::Relaxed);
        let (to, step) = if self.end() <= low && !active { (self.size(), 1) } else { (self.seek(low), REST_BYTES) };
        if to < from.saturating_add(step) {
            return;
        }
        let open = self.open.lock().unwrap_or_else(|e| e.into_inner()).upgrade();
        if let Some(file) = open.or_else(|| disk.open(&self.path).ok()) {
            file.uncache(from..to);
        }
        self.resting.store(to, Ordering::Relaxed);
    }

    /// Creates the file with its header, durable and known to its folder.
    pub(crate) fn create(disk: &dyn Disk, dir: &Path, header: &SegmentHeader) -> io::Result<(Segment, Arc<dyn DiskFile>)> {
        let path = dir.join(file_name(header.base_offset, header.segment_id));
        let file = disk.create(&path)?;
        let made = file.write_all_at(&[&header.encode()], 0).and_then(|()| file.sync()).and_then(|()| disk.sync_dir(dir));
        if let Err(e) = made {
            // Without its header it is nothing; a leftover would only be reported at the next start.
            let _ = disk.remove(&path);
            return Err(e);
        }
        let base = header.base_offset;
        let segment = Segment::new(header.segment_id, base, path, base, SEGMENT_HEADER as u64, 0, Index::default());
        segment.remember(&file);
        Ok((segment, file))
    }

    /// Writes the segment's index file, once nothing more is appended to it.
    pub(crate) fn write_index(&self, disk: &dyn Disk) -> io::Result<()> {
        disk.replace(&self.path.with_extension("idx"), &self.sealed().encode())
    }

    /// What the segment's index file says of it.
    pub(crate) fn sealed(&self) -> Sealed {
        let index = self.index.lock().unwrap_or_else(|e| e.into_inner()).clone();
        Sealed { segment_id: self.id, base: self.base, end: self.end(), size: self.size(), newest_ms: self.newest_ms(), index }
    }

    pub(crate) fn remember(&self, file: &Arc<dyn DiskFile>) {
        *self.open.lock().unwrap_or_else(|e| e.into_inner()) = Arc::downgrade(file);
    }

    /// Keeps the file open for as long as the segment counts.
    pub(crate) fn keep(&self, file: Arc<dyn DiskFile>) {
        self.remember(&file);
        *self.kept.lock().unwrap_or_else(|e| e.into_inner()) = Some(file);
    }

    /// The file, shared by all who have it open.
    pub(crate) fn file(&self, disk: &Arc<dyn Disk>) -> io::Result<Arc<dyn DiskFile>> {
        let mut open = self.open.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(file) = open.upgrade() {
            return Ok(file);
        }
        let file = super::patient::open(disk, &self.path)?;
        *open = Arc::downgrade(&file);
        Ok(file)
    }

    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    pub(crate) fn set_end(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    pub(crate) fn newest_ms(&self) -> u64 {
        self.newest_ms.load(Ordering::Relaxed)
    }

    /// A batch was written at `pos`.
    pub(crate) fn wrote(&self, pos: u64, next_pos: u64, base_offset: u64, end_offset: u64, append_ms: u64) {
        self.index.lock().unwrap_or_else(|e| e.into_inner()).add(base_offset, pos, append_ms);
        self.size.store(next_pos, Ordering::Relaxed);
        self.newest_ms.fetch_max(append_ms, Ordering::Relaxed);
        self.set_end(end_offset);
    }

    /// Where to begin looking for `offset`: position of a batch that is not after it.
    pub(crate) fn seek(&self, offset: u64) -> u64 {
        self.index.lock().unwrap_or_else(|e| e.into_inner()).floor(offset).map_or(SEGMENT_HEADER as u64, |e| e.pos)
    }

    /// Position (for bytes) and append time of the indexed batch that is not after `offset`.
    pub(crate) fn place(&self, offset: u64) -> Option<(u64, u64)> {
        self.index.lock().unwrap_or_else(|e| e.into_inner()).floor(offset).map(|e| (e.pos, e.append_ms))
    }
}

/// Whether a located batch holds events; one without any only moves its streams' positions.
pub(crate) fn holds_events(batch: &Located) -> bool {
    is_data(batch) && batch.header.count > 0
}

/// Whether a located batch is one of events, perhaps of dropped ones alone.
pub(crate) fn is_data(batch: &Located) -> bool {
    batch.header.kind == Kind::Data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::disk::StdDisk;
    use std::ops::Range;

    #[derive(Debug, Default)]
    struct Forgetful(Mutex<Vec<Range<u64>>>);

    impl DiskFile for Forgetful {
        fn write_all_at(&self, _: &[&[u8]], _: u64) -> io::Result<()> {
            Ok(())
        }
        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Ok(0)
        }
        fn sync(&self) -> io::Result<()> {
            Ok(())
        }
        fn len(&self) -> io::Result<u64> {
            Ok(0)
        }
        fn uncache(&self, bytes: Range<u64>) {
            self.0.lock().unwrap().push(bytes);
        }
    }

    #[test]
    fn what_every_group_has_is_forgotten_once_and_the_page_that_is_written_next_is_kept() {
        let forgetful = Arc::new(Forgetful::default());
        let file: Arc<dyn DiskFile> = forgetful.clone();
        let segment = Segment::new(1, 0, "/nowhere".into(), 0, 0, 0, Index::default());
        segment.remember(&file);
        // Ten events, of 300 KiB each.
        let at = |n: u64| n * 300 * 1024;
        (0..10).for_each(|n| segment.wrote(at(n), at(n + 1), n, n + 1, 0));
        let told = |low, active| {
            segment.rest(&StdDisk, low, active);
            forgetful.0.lock().unwrap().pop()
        };
        assert_eq!(told(3, true), None);
        assert_eq!(told(4, true), Some(0..at(4)));
        assert_eq!(told(4, true), None);
        assert_eq!(told(10, true), Some(at(4)..at(9)), "what comes next goes into the page behind it");
        assert_eq!(told(9, false), None, "some group has not read it to its end");
        assert_eq!(told(10, false), Some(at(9)..at(10)));
        assert_eq!(told(10, false), None);
    }
}
