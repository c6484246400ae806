//! What happens to a partition's files when the queue opens.
//!
//! Nothing is ever appended to a segment of an earlier process. What was not surely durable is checked
//! and copied forward into a fresh segment; a torn tail is dropped without a word of loss (it was never
//! acknowledged, and its source still has it); damage before it is passed over, kept aside and reported.

use super::append::{Declared, append};
use super::ballast::is_full;
use super::codec::Reader;
use super::compression::Compressor;
use super::disk::{Disk, DiskFile, is_medium_error};
use super::format::{FormatError, SEGMENT_HEADER, SegmentHeader};
use super::holes::keep_aside;
use super::index::{Index, Sealed};
use super::registry::{Registry, StreamRecord};
use super::segment::{self, Found, Located, Segment};
use super::snapshot::Mark;
use super::{Position, RunFlags, Tail};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Offsets that damage has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// First lost offset.
    pub first: u64,
    /// Offset after the last lost one.
    pub end: u64,
    /// Damaged bytes.
    pub bytes: u64,
    /// The file.
    pub file: PathBuf,
}

/// What recovery found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Acknowledged data that is damaged.
    pub lost: Vec<Lost>,
    /// Events that were written but perhaps not durable, copied to a fresh segment.
    pub copied_events: u64,
    /// Events of a torn tail, which are read again from their source.
    pub torn_events: u64,
    /// Files that are damaged as a whole, in words.
    pub damaged: Vec<String>,
}

/// Why a partition cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// A file of a newer version; it is left as it is.
    #[error("{path} has format version {version}, which is newer than this program understands; nothing was changed")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The disk failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// What recovery works with.
pub(crate) struct Recovery<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    pub(crate) registry: &'a Registry,
    pub(crate) report: &'a mut RecoveryReport,
    pub(crate) quarantine: &'a Path,
    pub(crate) queue: u128,
    pub(crate) epoch: u32,
    pub(crate) topic: &'a str,
    pub(crate) number: u32,
    /// Damage by segment, until it is known which of it counts.
    pub(crate) holes: Vec<(u64, Lost)>,
}

/// A batch that is not surely durable, and the segment that holds it.
type Unsure<'s> = (&'s Scanned, &'s Located);

struct Scanned {
    segment: Segment,
    file: Arc<dyn DiskFile>,
    /// Whether its batches were looked at, because the snapshot may not know them.
    scanned: bool,
    batches: Vec<Located>,
    /// The end that a sound index file tells.
    sealed_end: Option<u64>,
}

fn at(path: &Path) -> impl Fn(io::Error) -> RecoveryError + '_ {
    move |source| RecoveryError::Io { path: path.to_path_buf(), source }
}

impl Recovery<'_> {
    /// Opens one partition; gives its segments and the next offset.
    pub(crate) fn partition(
        &mut self,
        dir: &Path,
        mark: Option<&Mark>,
        next_segment: &mut u64,
    ) -> Result<(Vec<Arc<Segment>>, u64), RecoveryError> {
        let mut named: Vec<(u64, u64, PathBuf)> = Vec::new();
        for name in self.disk.list(dir).map_err(at(dir))? {
            let path = dir.join(&name);
            if name.ends_with(".tmp") {
                self.disk.remove(&path).map_err(at(&path))?;
            } else if let Some((base, id)) = segment::parse_name(&name) {
                named.push((id, base, path));
            }
        }
        named.sort();
        let scan_from = mark.map_or(0, |m| m.segment_id);
        let mut scanned: Vec<Scanned> = Vec::new();
        for (id, base, path) in named {
            if let Some(s) = self.open_segment(id, base, &path, id >= scan_from)? {
                scanned.push(s);
            }
        }
        // A later segment takes over at its base, wherever an earlier one ends.
        let mut bound = u64::MAX;
        for s in scanned.iter().rev() {
            s.segment.set_end(s.segment.end().min(bound).max(s.segment.base));
            bound = bound.min(s.segment.base);
        }
        let durable =
            scanned.iter().filter_map(|s| s.batches.last()).map(|b| b.header.base_offset.saturating_sub(b.header.durable_lag.into())).max();
        let durable = durable.unwrap_or(0).max(mark.map_or(0, |m| m.next_offset));
        for (id, mut lost) in std::mem::take(&mut self.holes) {
            // What a later segment took over, or what was never acknowledged, is no loss.
            let counts = scanned.iter().find(|s| s.segment.id == id).map_or(0, |s| s.segment.end()).min(durable);
            lost.end = lost.end.min(counts);
            self.lose(lost);
        }
        let (copy, mut end) = self.unsure_tail(&scanned, durable)?;
        let mut segments: Vec<Arc<Segment>> = Vec::new();
        let mut taken_over = u64::MAX;
        if !copy.is_empty() {
            let id = *next_segment;
            *next_segment += 1;
            let copied = self.report.copied_events;
            match self.copy_forward(dir, id, &copy) {
                Ok(fresh) => {
                    (end, taken_over) = (fresh.end(), fresh.base);
                    segments.push(Arc::new(fresh));
                }
                Err(RecoveryError::Io { source, .. }) if is_full(&source) => {
                    self.report.copied_events = copied;
                    self.keep_in_place(dir, id, &copy)?;
                }
                Err(e) => return Err(e),
            }
        }
        for s in &scanned {
            for batch in s.batches.iter().filter(|b| segment::is_data(b) && b.end_offset() <= s.segment.end().min(end)) {
                self.advance(batch);
            }
            s.segment.set_end(s.segment.end().min(end).min(taken_over).max(s.segment.base));
        }
        // None of them is ever appended to: with their ends on record no later start has to find out again.
        for s in scanned.iter().filter(|s| s.sealed_end != Some(s.segment.end())) {
            self.seal(&s.segment);
        }
        let mut all: Vec<Arc<Segment>> = scanned.into_iter().map(|s| Arc::new(s.segment)).collect();
        all.append(&mut segments);
        let known_end = mark.map_or(0, |m| m.next_offset);
        if known_end > end {
            self.lose(Lost {
                topic: self.topic.into(),
                partition: self.number,
                first: end,
                end: known_end,
                bytes: 0,
                file: dir.to_path_buf(),
            });
        }
        Ok((all, end.max(known_end)))
    }

    /// What was read; or `damage`, loudly, where the medium gives it no more: one bad place must not keep the queue shut.
    fn or_damaged<T>(&mut self, path: &Path, read: io::Result<T>, damage: T) -> Result<T, RecoveryError> {
        match read {
            Err(e) if is_medium_error(&e) => {
                let told = format!("{}: {e}; what cannot be read is passed over like damage. Check the disk", path.display());
                if !self.report.damaged.contains(&told) {
                    self.report.damaged.push(told);
                }
                Ok(damage)
            }
            read => read.map_err(at(path)),
        }
    }

    fn seal(&mut self, segment: &Segment) {
        if let Err(e) = segment.write_index(&**self.disk) {
            self.report
                .damaged
                .push(format!("{}: cannot write its index: {e}; the next start looks at the segment again", segment.path.display()));
        }
    }

    fn lose(&mut self, lost: Lost) {
        if lost.end > lost.first {
            self.report.lost.push(lost);
        }
    }

    fn open_segment(&mut self, id: u64, base: u64, path: &Path, scan: bool) -> Result<Option<Scanned>, RecoveryError> {
        let file = match super::patient::open(self.disk, path) {
            Err(e) if is_medium_error(&e) => {
                self.report.damaged.push(format!("{}: {e}; the disk cannot open it: it is left as it is and not read", path.display()));
                return Ok(None);
            }
            file => file.map_err(at(path))?,
        };
        let mut block = vec![0; SEGMENT_HEADER];
        let n = self.or_damaged(path, file.read_at(&mut block, 0), block.len())?;
        let sealed = self
            .disk
            .read(&path.with_extension("idx"))
            .ok()
            .and_then(|b| Sealed::decode(&b))
            .filter(|s| s.segment_id == id && s.base == base);
        let mut headless = None;
        match SegmentHeader::decode(&block[..n]) {
            Ok(header) => {
                let stranger = if header.queue != self.queue {
                    Some("of another queue")
                } else if (header.segment_id, header.base_offset) != (id, base) {
                    Some("that was copied or renamed")
                } else {
                    ((header.topic, header.partition) != (crc32c::crc32c(self.topic.as_bytes()), self.number))
                        .then_some("of another partition")
                };
                if let Some(stranger) = stranger {
                    self.report.damaged.push(format!("{}: a segment {stranger}; it is left as it is and not read", path.display()));
                    return Ok(None);
                }
            }
            Err(FormatError::Newer(version)) => return Err(RecoveryError::Newer { path: path.to_path_buf(), version }),
            Err(_) if n < SEGMENT_HEADER && sealed.as_ref().is_none_or(|s| s.end == base) => {
                // Its creation was never finished, so nothing was appended.
                self.disk.remove(path).map_err(at(path))?;
                return Ok(None);
            }
            Err(e) => headless = Some(e),
        }
        let sealed_end = sealed.as_ref().map(|s| s.end);
        if let (Some(s), false) = (sealed, scan) {
            if let Some(e) = headless {
                self.report.damaged.push(format!("{}: segment header: {e}; read by its file name and index", path.display()));
            }
            let segment = Segment::new(id, base, path.to_path_buf(), s.end, s.size, s.newest_ms, s.index);
            return Ok(Some(Scanned { segment, file, scanned: false, batches: Vec::new(), sealed_end }));
        }
        let batches = self.scan(&*file, id, base, path, scan)?;
        if let Some(e) = headless {
            // The name says what the header says, and each batch's checksum confirms it.
            let found = if batches.is_empty() { "nothing sound is in it; it is left as it is" } else { "read by its file name" };
            self.report.damaged.push(format!("{}: segment header: {e}; {found}", path.display()));
            if batches.is_empty() {
                return Ok(None);
            }
        }
        let mut index = Index::default();
        let (mut end, mut size, mut newest_ms) = (base, SEGMENT_HEADER as u64, 0);
        for batch in &batches {
            (end, size, newest_ms) = (batch.end_offset(), batch.next_pos(), batch.header.append_ms.max(newest_ms));
            if segment::is_data(batch) {
                index.add(batch.header.base_offset, batch.pos, batch.header.append_ms);
            }
        }
        let segment = Segment::new(id, base, path.to_path_buf(), end, size, newest_ms, index);
        Ok(Some(Scanned { segment, file, scanned: scan, batches: if scan { batches } else { Vec::new() }, sealed_end }))
    }

    /// All sound batches of a segment by their headers. What lies between two of them is damage.
    fn scan(&mut self, file: &dyn DiskFile, id: u64, base: u64, path: &Path, newest: bool) -> Result<Vec<Located>, RecoveryError> {
        let (mut batches, mut pos, mut expected) = (Vec::new(), SEGMENT_HEADER as u64, base);
        let len = file.len().map_err(at(path))?;
        while pos < len {
            let batch = match self.or_damaged(path, segment::locate(file, id, pos), Found::Damage)? {
                Found::Batch(batch) => batch,
                Found::End | Found::Damage => match self.or_damaged(path, segment::search(file, id, pos + 8, expected), None)? {
                    None => break,
                    Some(found) => {
                        self.keep_aside(file, id, pos, found.pos);
                        let lost = Lost {
                            topic: self.topic.into(),
                            partition: self.number,
                            first: expected,
                            end: found.header.base_offset,
                            bytes: found.pos - pos,
                            file: path.to_path_buf(),
                        };
                        self.holes.push((id, lost));
                        found
                    }
                },
            };
            pos = batch.next_pos();
            expected = batch.end_offset();
            if !segment::is_data(&batch)
                && let Some(payload) = self.or_damaged(path, segment::payload(file, &batch), None)?
            {
                let mut reader = Reader(&payload);
                while let Some(record) = StreamRecord::decode(&mut reader) {
                    // An old segment tells only of streams that the snapshot has forgotten.
                    if newest || self.registry.get(record.id).is_none() {
                        self.registry.load(record);
                    }
                }
            }
            // Also where the record of a stream is damaged: another stream under its number would be given its events.
            batch.runs.iter().for_each(|run| self.registry.reserve(run.stream.saturating_add(1)));
            batches.push(batch);
        }
        Ok(batches)
    }

    /// Copies damaged bytes to the quarantine folder, as far as the disk lets us.
    fn keep_aside(&mut self, file: &dyn DiskFile, id: u64, from: u64, to: u64) {
        let kept = keep_aside(&**self.disk, self.quarantine, (self.topic, self.number, id), file, from..to);
        if let Err(e) = kept {
            self.report.damaged.push(format!("cannot keep damaged bytes of segment {id:016x} aside: {e}"));
        }
    }

    /// The batches from the durable end on that are whole, and the offset after the last of them.
    fn unsure_tail<'s>(&mut self, scanned: &'s [Scanned], durable: u64) -> Result<(Vec<Unsure<'s>>, u64), RecoveryError> {
        let (mut copy, mut end) = (Vec::new(), 0);
        for s in scanned {
            if !s.scanned {
                end = end.max(s.segment.end());
            }
            for batch in s.batches.iter().filter(|b| segment::is_data(b) && b.end_offset() <= s.segment.end()) {
                if batch.end_offset() <= durable {
                    end = batch.end_offset();
                    continue;
                }
                let follows = end == batch.header.base_offset || (copy.is_empty() && batch.header.base_offset <= durable.max(end));
                if !follows || self.or_damaged(&s.segment.path, segment::payload(&*s.file, batch), None)?.is_none() {
                    self.report.torn_events += u64::from(batch.header.count);
                    continue;
                }
                copy.push((s, batch));
                end = batch.end_offset();
            }
        }
        Ok((copy, end))
    }

    fn advance(&self, batch: &Located) {
        for run in batch.runs.iter().filter(|r| !RunFlags(r.flags).has(RunFlags::REPAIR)) {
            if let Some(stream) = self.registry.get(run.stream) {
                let reached = Position { end: run.source_end, tail: Tail { len: run.tail_len, crc: run.tail_crc } };
                stream.reach(reached, &run.filtered);
            }
        }
    }

    /// Makes the unsure batches durable where they are, on a disk without room for a copy: they are written once more over
    /// themselves, since a sync alone says nothing of pages that an earlier failed one has dropped.
    fn keep_in_place(&mut self, dir: &Path, id: u64, copy: &[Unsure<'_>]) -> Result<(), RecoveryError> {
        let base = copy.first().map_or(0, |(_, b)| b.header.base_offset);
        let _ = self.disk.remove(&dir.join(segment::file_name(base, id)).with_extension("tmp"));
        for (s, located) in copy {
            let mut bytes = vec![0; (located.next_pos() - located.pos) as usize];
            let read = s.file.read_at(&mut bytes, located.pos);
            let kept = read.and_then(|n| s.file.write_all_at(&[&bytes[..n]], located.pos)).and_then(|()| s.file.sync());
            kept.map_err(at(&s.segment.path))?;
            self.report.copied_events += u64::from(located.header.count);
        }
        Ok(())
    }

    /// Writes the unsure batches, with their offsets and epochs, to a fresh segment that appears only when it is whole and durable.
    fn copy_forward(&mut self, dir: &Path, id: u64, copy: &[Unsure<'_>]) -> Result<Segment, RecoveryError> {
        let base_offset = copy.first().map_or(0, |(_, b)| b.header.base_offset);
        let created_ms = copy.last().map_or(0, |(_, b)| b.header.append_ms);
        let topic = crc32c::crc32c(self.topic.as_bytes());
        let header =
            SegmentHeader { segment_id: id, queue: self.queue, topic, partition: self.number, base_offset, epoch: self.epoch, created_ms };
        let path = dir.join(segment::file_name(base_offset, id));
        let aside = path.with_extension("tmp");
        let file = self.disk.create(&aside).map_err(at(&aside))?;
        file.write_all_at(&[&header.encode()], 0).map_err(at(&aside))?;
        let fresh = Segment::new(id, base_offset, path.clone(), base_offset, SEGMENT_HEADER as u64, 0, Index::default());
        let (mut pos, mut declared, mut compressor) = (SEGMENT_HEADER as u64, Declared::new(), Compressor::default());
        for (s, located) in copy {
            let payload = self.or_damaged(&s.segment.path, segment::payload(&*s.file, located), None)?;
            let Some(batch) = payload.and_then(|p| segment::record_batch(located, &p, self.registry).ok()) else { break };
            let start = pos;
            let compress = (located.header.codec, &mut compressor);
            pos = append(&*file, id, start, &batch, 0, &mut declared, compress).map_err(at(&aside))?;
            fresh.wrote(start, pos, batch.base_offset, batch.end_offset(), batch.append_ms);
            self.report.copied_events += u64::from(batch.count);
        }
        file.sync().map_err(at(&aside))?;
        self.disk.rename(&aside, &path).map_err(at(&path))?;
        self.disk.sync_dir(dir).map_err(at(dir))?;
        Ok(fresh)
    }
}
