//! Checks every byte of a data directory and tells what is wrong with it. Nothing is changed.
//!
//! Damage is what costs events, or would cost something if the other copy went too; a note is what any crash
//! leaves behind and the next start puts right by itself.

use super::disk::{Disk, DiskFile, ReadOnlyDisk};
use super::findings::{Finding, Missing, Severity, Verification, missing_path};
use super::format::{SEGMENT_HEADER, SegmentHeader, VERSION, padded};
use super::group_state::{GroupState, Key, replay};
use super::index::Sealed;
use super::losses::Losses;
use super::meta::Meta;
use super::registry::StreamRecord;
use super::segment::{self, Found, Located};
use super::snapshot::Snapshot;
use super::view::{StoppedError, at, numbers, segment_files};
use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes of a segment that are no sound batch, and the offsets that should be in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) bytes: Range<u64>,
    pub(crate) offsets: Range<u64>,
    pub(crate) what: &'static str,
    /// It is the end of a segment that was never closed: perhaps a write that did not become whole.
    pub(crate) torn: bool,
}

/// A segment, wholly read.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) id: u64,
    pub(crate) base: u64,
    pub(crate) path: PathBuf,
    pub(crate) topic: String,
    pub(crate) partition: u32,
    /// A later segment takes over here.
    pub(crate) bound: u64,
    pub(crate) header_wrong: bool,
    pub(crate) index_wrong: bool,
    pub(crate) batches: Vec<Located>,
    pub(crate) bad: Vec<Bad>,
    /// Offset after the last batch.
    pub(crate) end: u64,
}

/// What a check knows beyond the findings, for the repair.
#[derive(Debug, Default)]
pub(crate) struct Details {
    pub(crate) segments: Vec<Checked>,
    pub(crate) bad_snapshots: Vec<usize>,
    pub(crate) journal_wrong: bool,
    pub(crate) meta_wrong: bool,
    /// What is sound of the ledger of losses, where not all is.
    pub(crate) sound_losses: Option<Vec<u8>>,
    pub(crate) missing: Vec<Missing>,
}

/// Names of the two snapshots.
pub(crate) const SNAPSHOTS: [&str; 2] = ["streams-0.snap", "streams-1.snap"];

/// Checks `dir`; `progress` is told bytes done and bytes in all. Beside a running agent, what it is about to write
/// looks like the end of what is there.
///
/// # Errors
/// [`StoppedError`] where there is nothing to check or a file cannot be read.
pub fn verify(dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Verification, StoppedError> {
    Ok(examine(&ReadOnlyDisk, dir, progress)?.0)
}

pub(crate) fn examine(disk: &dyn Disk, dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<(Verification, Details), StoppedError> {
    let mut check = Check { disk, dir, result: Verification::default(), details: Details::default(), known: Vec::new(), queue: None };
    let (snapshot, states, meta) = check.small_files()?;
    let topics_dir = dir.join("topics");
    let mut partitions = Vec::new();
    let topics = match disk.list(&topics_dir) {
        Ok(topics) => topics,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(StoppedError::Nothing { dir: dir.to_path_buf() }),
        Err(e) => return Err(at(&topics_dir)(e)),
    };
    let mut total = 0;
    for topic in topics {
        let topic_dir = topics_dir.join(&topic);
        for number in numbers(disk, &topic_dir).map_err(at(&topic_dir))? {
            let folder = topic_dir.join(number.to_string());
            let files = segment_files(disk, &folder).map_err(at(&folder))?;
            total += files.iter().filter_map(|(_, _, path)| disk.open(path).and_then(|f| f.len()).ok()).sum::<u64>();
            partitions.push((topic.clone(), number, folder, files));
        }
    }
    let headers: Vec<SegmentHeader> =
        partitions.iter().flat_map(|(_, _, _, files)| files).filter_map(|(_, _, path)| read_header(disk, path)).collect();
    check.meta(meta, &headers);
    let empty = Snapshot::default();
    for (topic, number, folder, files) in partitions {
        check.partition(&topic, number, &folder, files, snapshot.as_ref().unwrap_or(&empty), &states, &mut |done| progress(done, total))?;
    }
    check.result.findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
    Ok((check.result, check.details))
}

/// The newest snapshot, the groups' states, the metadata.
type SmallFiles = (Option<Snapshot>, HashMap<Key, GroupState>, Option<Meta>);

struct Check<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    result: Verification,
    details: Details,
    /// What an earlier repair, or the ledger of losses, has told as missing.
    known: Vec<Missing>,
    queue: Option<u128>,
}

impl Check<'_> {
    fn find(&mut self, severity: Severity, file: &Path, what: impl Into<String>) -> &mut Finding {
        let file = file.strip_prefix(self.dir).unwrap_or(file).to_path_buf();
        let finding = Finding { severity, what: what.into(), file, topic: None, partition: None, bytes: None, offsets: None };
        let at = self.result.findings.len();
        self.result.findings.push(finding);
        &mut self.result.findings[at]
    }

    fn small_files(&mut self) -> Result<SmallFiles, StoppedError> {
        let (disk, dir) = (self.disk, self.dir);
        let meta = Meta::read(disk, dir).map_err(at(&Meta::path(dir)))?;
        let mut newest: Option<Snapshot> = None;
        for (slot, name) in SNAPSHOTS.iter().enumerate() {
            let path = dir.join(name);
            let Some(bytes) = read_if_there(disk, &path)? else { continue };
            self.result.bytes += bytes.len() as u64;
            match Snapshot::decode(&bytes) {
                Some(s) if newest.as_ref().is_none_or(|n| n.number < s.number) => newest = Some(s),
                Some(_) => {}
                None => {
                    self.details.bad_snapshots.push(slot);
                    self.find(
                        Severity::Damage,
                        &path,
                        "checksum differs; the other snapshot and the record batches hold the positions too",
                    );
                }
            }
        }
        let journal = dir.join("groups").join("journal");
        let bytes = read_if_there(disk, &journal)?.unwrap_or_default();
        self.result.bytes += bytes.len() as u64;
        let found = replay(&bytes);
        if found.torn > 0 {
            let what = "its last record is not whole, as a crash leaves it: some batches are sent again under the same IDs";
            let range = (found.end as u64, (found.end + found.torn) as u64);
            self.find(Severity::Note, &journal, format!("{} bytes: {what}", found.torn)).bytes = Some(range);
        }
        if found.damaged > 0 {
            self.details.journal_wrong = true;
            let what = "records are damaged: the last sound offsets count, and batches are sent again under the same IDs";
            self.find(Severity::Damage, &journal, format!("{} bytes: {what}", found.damaged));
        }
        if let Some(bytes) = read_if_there(disk, &missing_path(dir))? {
            self.known = serde_json::from_slice(&bytes).unwrap_or_default();
        }
        self.details.missing = self.known.clone();
        let losses = Losses::path(dir);
        if let Some(bytes) = read_if_there(disk, &losses)? {
            self.result.bytes += bytes.len() as u64;
            let (sound, damaged, told) = Losses::check(&bytes).map_err(|format| StoppedError::Newer { dir: losses.clone(), format })?;
            if damaged > 0 {
                self.details.sound_losses = Some(sound);
                let what = format!("{damaged} of its lines are damaged: what they tell of earlier losses is forgotten, the others count");
                self.find(Severity::Damage, &losses, what);
            }
            self.known.extend(told.into_iter().map(|(topic, partition, first, end)| Missing { topic, partition, first, end }));
        }
        Ok((newest, found.states, meta))
    }

    /// The metadata has no checksum, but the segments say the same.
    fn meta(&mut self, meta: Option<Meta>, headers: &[SegmentHeader]) {
        let queue = meta.as_ref().and_then(|m| u128::from_str_radix(&m.queue, 16).ok());
        let epoch = headers.iter().map(|h| h.epoch).max().unwrap_or(0);
        let agree = queue.is_some_and(|q| headers.is_empty() || headers.iter().any(|h| h.queue == q));
        let right = meta.is_some_and(|m| m.format == VERSION && m.epoch >= epoch);
        if !agree || !right {
            self.details.meta_wrong = true;
            let path = Meta::path(self.dir);
            self.find(Severity::Damage, &path, "it is missing, or disagrees with the segments; they hold UUID and epoch too");
        }
        self.queue = queue.filter(|_| agree).or(headers.first().map(|h| h.queue));
    }

    #[expect(clippy::too_many_arguments, reason = "a step of one function")]
    fn partition(
        &mut self,
        topic: &str,
        number: u32,
        folder: &Path,
        files: Vec<(u64, u64, PathBuf)>,
        snapshot: &Snapshot,
        states: &HashMap<Key, GroupState>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), StoppedError> {
        let newest = files.last().map(|(id, _, _)| *id);
        let snapped: HashSet<u64> = snapshot.streams.iter().map(|s| s.id).collect();
        let bounds: Vec<u64> =
            (0..files.len()).map(|i| files[i + 1..].iter().map(|(_, base, _)| *base).min().unwrap_or(u64::MAX)).collect();
        let mut end: Option<u64> = None;
        for ((id, base, path), bound) in files.into_iter().zip(bounds) {
            let file = match self.disk.open(&path) {
                Ok(file) => file,
                // Retention of a running agent was faster.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(at(&path)(e)),
            };
            let mut seg = Checked {
                id,
                base,
                path,
                topic: topic.into(),
                partition: number,
                bound,
                header_wrong: false,
                index_wrong: false,
                batches: Vec::new(),
                bad: Vec::new(),
                end: base,
            };
            if let Some(end) = end
                && seg.base > end
            {
                self.absent(&seg.path, topic, number, end..seg.base, "no segment holds them");
            }
            self.header(&*file, &mut seg)?;
            let path = seg.path.clone();
            // The index first: what a running agent closes meanwhile has no index here yet.
            let index = read_if_there(self.disk, &path.with_extension("idx"))?;
            self.batches(&*file, &mut seg, &snapped, progress).map_err(at(&path))?;
            self.index(&mut seg, index, newest);
            self.told(&seg);
            let live = seg.end.min(seg.bound).max(seg.base);
            end = Some(end.map_or(live, |e: u64| e.max(live)));
            self.result.segments += 1;
            self.details.segments.push(seg);
        }
        let marked = snapshot.marks.iter().filter(|m| m.topic == topic && m.partition == number).map(|m| m.next_offset).max();
        let seen = states.iter().filter(|((_, t, p), _)| **t == *topic && *p == number).map(|(_, s)| s.committed).max();
        if let (Some(known), Some(end)) = (marked.max(seen), end)
            && known > end
        {
            self.absent(folder, topic, number, end..known, "they were there, but the partition ends before");
        }
        Ok(())
    }

    /// Offsets of which there is nothing.
    fn absent(&mut self, file: &Path, topic: &str, partition: u32, offsets: Range<u64>, what: &str) {
        let is_known =
            self.known.iter().any(|m| m.topic == topic && m.partition == partition && m.first <= offsets.start && offsets.end <= m.end);
        let severity = if is_known { Severity::Note } else { Severity::Damage };
        let what = if is_known { "lost earlier, and told then".into() } else { format!("events are missing: {what}") };
        let finding = self.find(severity, file, what);
        (finding.topic, finding.partition, finding.offsets) = (Some(topic.into()), Some(partition), Some((offsets.start, offsets.end)));
        if !is_known {
            self.details.missing.push(Missing { topic: topic.into(), partition, first: offsets.start, end: offsets.end });
        }
    }

    fn header(&mut self, file: &dyn DiskFile, seg: &mut Checked) -> Result<(), StoppedError> {
        let mut block = vec![0; SEGMENT_HEADER];
        let n = file.read_at(&mut block, 0).map_err(at(&seg.path))?;
        let wrong = match SegmentHeader::decode(&block[..n]) {
            Ok(h) if (h.segment_id, h.base_offset, h.partition) != (seg.id, seg.base, seg.partition) => {
                Some("it belongs to another file: the name says something else".to_string())
            }
            Ok(h) if self.queue.is_some_and(|q| q != h.queue) => Some("it belongs to another queue".to_string()),
            Ok(_) => None,
            // A crash while it was created: nothing was appended.
            Err(_) if n < SEGMENT_HEADER || block.iter().all(|b| *b == 0) => return Ok(()),
            Err(super::format::FormatError::Newer(format)) => return Err(StoppedError::Newer { dir: seg.path.clone(), format }),
            Err(e) => Some(e.to_string()),
        };
        if let Some(wrong) = wrong {
            seg.header_wrong = true;
            let path = seg.path.clone();
            let finding = self.find(Severity::Damage, &path, format!("segment header: {wrong}; the batches are read by the file's name"));
            finding.bytes = Some((0, SEGMENT_HEADER as u64));
            (finding.topic, finding.partition) = (Some(seg.topic.clone()), Some(seg.partition));
        }
        Ok(())
    }

    /// Every header and every payload.
    fn batches(&mut self, file: &dyn DiskFile, seg: &mut Checked, snapped: &HashSet<u64>, progress: &mut dyn FnMut(u64)) -> io::Result<()> {
        let (len, mut pos, mut streams) = (file.len()?, SEGMENT_HEADER as u64, HashSet::new());
        self.result.bytes += len.min(SEGMENT_HEADER as u64);
        while pos < len {
            let located = match segment::locate(file, seg.id, pos)? {
                Found::Batch(located) => located,
                Found::End | Found::Damage => match segment::search(file, seg.id, pos + 8, seg.end)? {
                    Some(found) => {
                        let offsets = seg.end..found.header.base_offset;
                        seg.bad.push(Bad { bytes: pos..found.pos, offsets, what: "no sound record batch is here", torn: false });
                        self.result.bytes += found.pos - pos;
                        seg.end = found.header.base_offset;
                        found
                    }
                    None => {
                        if !all_zero(file, pos, len)? {
                            let offsets = seg.end..seg.end;
                            seg.bad.push(Bad { bytes: pos..len, offsets, what: "after the last record batch", torn: true });
                        }
                        self.result.bytes += len - pos;
                        progress(self.result.bytes);
                        break;
                    }
                },
            };
            let payload = segment::payload(file, &located)?;
            let whole = payload.is_some() && padding_is_zero(file, &located)?;
            let (pos_now, next) = (located.pos, located.next_pos());
            self.result.bytes += next - pos_now;
            progress(self.result.bytes);
            let offsets = located.header.base_offset..located.end_offset();
            if located.header.base_offset > seg.end {
                let (path, topic, number) = (seg.path.clone(), seg.topic.clone(), seg.partition);
                self.absent(&path, &topic, number, seg.end..located.header.base_offset, "the segment passes over them");
            }
            let unknown = |l: &Located| l.runs.iter().any(|r| !streams.contains(&r.stream) && !snapped.contains(&r.stream));
            let what = match &payload {
                None => Some("the payload's checksum differs"),
                Some(_) if !whole => Some("the padding is not zero"),
                Some(_) if segment::is_data(&located) && unknown(&located) => Some("no record of its stream is left"),
                Some(_) => None,
            };
            if let (Some(bytes), false) = (&payload, segment::is_data(&located)) {
                let mut records = super::codec::Reader(bytes);
                while let Some(record) = StreamRecord::decode(&mut records) {
                    streams.insert(record.id);
                }
            }
            seg.end = seg.end.max(offsets.end);
            match what {
                Some(what) => seg.bad.push(Bad { bytes: pos_now..next, offsets, what, torn: false }),
                None => {
                    self.result.batches += 1;
                    // What was copied forward after a crash counts once, where it counts.
                    self.result.events += offsets.end.min(seg.bound) - offsets.start.min(seg.bound);
                    seg.batches.push(located);
                }
            }
            pos = next;
        }
        Ok(())
    }

    fn index(&mut self, seg: &mut Checked, bytes: Option<Vec<u8>>, newest: Option<u64>) {
        let path = seg.path.with_extension("idx");
        let Some(bytes) = bytes else {
            // The segment that is appended to has none yet.
            if newest != Some(seg.id) {
                self.find(Severity::Note, &path, "there is no index, as a crash leaves it: it is made anew when it is needed");
            }
            // Nor does anything tell that its last batches were ever whole, but what stands elsewhere of the partition's end.
            let whole = seg.batches.last().map_or(0, Located::next_pos);
            for bad in seg.bad.iter_mut().rev().take_while(|b| b.bytes.start >= whole) {
                seg.end = seg.end.min(bad.offsets.start);
                (bad.offsets, bad.torn) = (bad.offsets.start..bad.offsets.start, true);
            }
            return;
        };
        self.result.bytes += bytes.len() as u64;
        let wrong = match Sealed::decode(&bytes) {
            None => Some("checksum differs"),
            Some(s) if s.segment_id != seg.id || s.base != seg.base => Some("it belongs to another segment"),
            Some(s) => {
                if s.end > seg.end {
                    let last = seg.bad.last_mut().filter(|b| b.torn);
                    // What the index knows of is no torn tail.
                    match last {
                        Some(bad) => (bad.offsets, bad.torn) = (seg.end..s.end, false),
                        None => {
                            let from = seg.batches.last().map_or(SEGMENT_HEADER as u64, Located::next_pos);
                            let what = "the segment ends before what its index knows";
                            seg.bad.push(Bad { bytes: from..from.max(s.size), offsets: seg.end..s.end, what, torn: false });
                        }
                    }
                    seg.end = s.end;
                }
                let at: HashMap<u64, &Located> = seg.batches.iter().map(|l| (l.pos, l)).collect();
                let damaged = |pos: u64| seg.bad.iter().any(|b| b.bytes.contains(&pos));
                let fits = s.index.entries().iter().all(|e| {
                    damaged(e.pos) || at.get(&e.pos).is_some_and(|l| (l.header.base_offset, l.header.append_ms) == (e.offset, e.append_ms))
                });
                (!fits).then_some("it does not agree with the record batches")
            }
        };
        if let Some(wrong) = wrong {
            seg.index_wrong = true;
            let what = format!("index: {wrong}; it is made anew when it is needed");
            let finding = self.find(Severity::Damage, &path, what);
            (finding.topic, finding.partition) = (Some(seg.topic.clone()), Some(seg.partition));
        }
    }

    /// What is bad in a segment, as far as it counts.
    fn told(&mut self, seg: &Checked) {
        for bad in &seg.bad {
            let live = bad.offsets.start..bad.offsets.end.min(seg.bound);
            let superseded = bad.offsets.start >= seg.bound;
            let (severity, what) = if superseded {
                (Severity::Note, format!("{}; a later segment holds these events", bad.what))
            } else if bad.torn {
                (
                    Severity::Note,
                    "the last write is not whole, as a crash leaves it: it was never acknowledged, its source still has it".into(),
                )
            } else {
                (Severity::Damage, bad.what.to_string())
            };
            let finding = self.find(severity, &seg.path, what);
            (finding.topic, finding.partition) = (Some(seg.topic.clone()), Some(seg.partition));
            finding.bytes = Some((bad.bytes.start, bad.bytes.end));
            finding.offsets = (live.end > live.start).then_some((live.start, live.end));
        }
    }
}

/// The header of a segment, where it is sound.
pub(crate) fn read_header(disk: &dyn Disk, path: &Path) -> Option<SegmentHeader> {
    let mut block = vec![0; SEGMENT_HEADER];
    let n = disk.open(path).ok()?.read_at(&mut block, 0).ok()?;
    SegmentHeader::decode(&block[..n]).ok()
}

fn read_if_there(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, StoppedError> {
    match disk.read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(at(path)(e)),
    }
}

fn all_zero(file: &dyn DiskFile, mut pos: u64, len: u64) -> io::Result<bool> {
    let mut chunk = vec![0; 64 << 10];
    while pos < len {
        let n = file.read_at(&mut chunk, pos)?;
        if n == 0 {
            break;
        }
        if chunk[..n].iter().any(|b| *b != 0) {
            return Ok(false);
        }
        pos += n as u64;
    }
    Ok(true)
}

fn padding_is_zero(file: &dyn DiskFile, located: &Located) -> io::Result<bool> {
    let body = located.header.body_len as usize;
    let mut rest = vec![0; padded(body) - padded(0) - body];
    let n = file.read_at(&mut rest, located.pos + (padded(0) + body) as u64)?;
    Ok(rest[..n].iter().all(|b| *b == 0))
}
