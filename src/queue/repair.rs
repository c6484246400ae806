//! Puts a stopped agent's data directory right: indexes and snapshots are made anew, and damaged ranges are moved
//! aside. What is lost is lost before this begins; afterwards nothing stumbles over it any more.

use super::disk::{Disk, StdDisk};
use super::findings::{Missing, Verification, missing_path};
use super::format::{BATCH_HEADER, RUN_ENTRY, SEGMENT_HEADER, SegmentHeader, VERSION};
use super::groups::Groups;
use super::index::{Index, Sealed};
use super::losses::Losses;
use super::meta::Meta;
use super::segment;
use super::snapshot::Snapshot;
use super::verify::{Checked, Details, SNAPSHOTS, examine, read_header};
use super::view::{StoppedError, View, at, take_lock};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file of damaged bytes has at most this many.
const ASIDE_BYTES: u64 = 16 << 20;

/// Checks `dir`, repairs what can be repaired, and checks again: what was found before, and after.
///
/// Every damaged byte is copied to `quarantine/` before anything is changed.
///
/// # Errors
/// [`StoppedError`]: a running agent, or the disk. What was done until then is whole.
pub fn repair(dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<(Verification, Verification), StoppedError> {
    View::held(dir)?;
    let _lock = take_lock(dir)?;
    let disk = StdDisk;
    let (before, details) = examine(&disk, dir, progress)?;
    if before.is_sound() {
        return Ok((before.clone(), before));
    }
    let quarantine = dir.join("quarantine");
    disk.create_dir_all(&quarantine).map_err(at(&quarantine))?;
    // The metadata is put right first: headers are made anew from it.
    small_files(&disk, dir, &quarantine, &details)?;
    let mut missing = details.missing.clone();
    for seg in &details.segments {
        segment_file(&disk, dir, &quarantine, seg, &details, &mut missing).map_err(at(&seg.path))?;
    }
    let path = missing_path(dir);
    let text = serde_json::to_vec_pretty(&missing).map_err(|e| at(&path)(io::Error::other(e)))?;
    disk.replace(&path, &text).map_err(at(&path))?;
    let (after, _) = examine(&disk, dir, progress)?;
    Ok((before, after))
}

fn small_files(disk: &dyn Disk, dir: &Path, quarantine: &Path, details: &Details) -> Result<(), StoppedError> {
    let keep = |from: &Path, name: &str| -> io::Result<()> {
        match disk.read(from) {
            Ok(bytes) => disk.replace(&quarantine.join(name), &bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        }
    };
    for slot in &details.bad_snapshots {
        let (path, other) = (dir.join(SNAPSHOTS[*slot]), dir.join(SNAPSHOTS[1 - *slot]));
        keep(&path, &format!("{}.bin", SNAPSHOTS[*slot])).map_err(at(&path))?;
        match disk.read(&other).ok().and_then(|b| Snapshot::decode(&b)) {
            // The older of the two is the one that is written over next.
            Some(sound) => {
                let copy = Snapshot { number: sound.number.saturating_sub(1), ..sound };
                disk.replace(&path, &copy.encode()).map_err(at(&path))?;
            }
            None => disk.remove(&path).map_err(at(&path))?,
        }
    }
    if let Some(sound) = &details.sound_losses {
        let path = Losses::path(dir);
        keep(&path, "losses.bin").map_err(at(&path))?;
        disk.replace(&path, sound).map_err(at(&path))?;
    }
    if details.journal_wrong {
        let folder = dir.join("groups");
        keep(&folder.join("journal"), "journal.bin").map_err(at(&folder))?;
        // Opening writes what is sound anew.
        drop(Groups::open(Arc::new(StdDisk), &folder).map_err(at(&folder))?);
    }
    if details.meta_wrong {
        let path = Meta::path(dir);
        keep(&path, "queue.meta.bin").map_err(at(&path))?;
        let header = details.segments.iter().filter_map(|s| read_header(disk, &s.path)).max_by_key(|h| h.epoch);
        let epochs = details.segments.iter().map(|s| (s.id >> 32) as u32);
        if let Some(header) = header {
            let epoch = epochs.max().unwrap_or(0).max(header.epoch);
            let meta = Meta { format: VERSION, queue: format!("{:032x}", header.queue), epoch };
            meta.write(disk, dir).map_err(at(&path))?;
        }
    }
    Ok(())
}

fn segment_file(
    disk: &dyn Disk,
    dir: &Path,
    quarantine: &Path,
    seg: &Checked,
    details: &Details,
    missing: &mut Vec<Missing>,
) -> io::Result<()> {
    // A torn tail is for the next start, which knows what of it to keep.
    let bad: Vec<_> = seg.bad.iter().filter(|b| !b.torn).collect();
    let idx = seg.path.with_extension("idx");
    if bad.is_empty() && !seg.header_wrong {
        if seg.index_wrong {
            disk.replace(&idx, &sealed(seg, seg.batches.iter().map(|l| (l.pos, l))).encode())?;
        }
        return Ok(());
    }
    let file = disk.open(&seg.path)?;
    for range in &bad {
        let mut from = range.bytes.start;
        while from < range.bytes.end {
            let mut bytes = vec![0; (range.bytes.end - from).min(ASIDE_BYTES) as usize];
            let n = file.read_at(&mut bytes, from)?;
            if n == 0 {
                break;
            }
            let name = format!("{}-{}-{:016x}-{from}.bin", seg.topic, seg.partition, seg.id);
            disk.replace(&quarantine.join(name), &bytes[..n])?;
            from += n as u64;
        }
        let end = range.offsets.end.min(seg.bound);
        if end > range.offsets.start {
            missing.push(Missing { topic: seg.topic.clone(), partition: seg.partition, first: range.offsets.start, end });
        }
    }
    // The sound batches move together; their headers are made for their new places, their payloads are as they were.
    let mut head = vec![0; SEGMENT_HEADER];
    let n = file.read_at(&mut head, 0)?;
    let header = if seg.header_wrong { rebuilt_header(disk, dir, seg, details) } else { SegmentHeader::decode(&head[..n]).ok() };
    let Some(header) = header else { return Ok(()) };
    let aside = seg.path.with_extension("tmp");
    match disk.remove(&aside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let fresh = disk.create(&aside)?;
    fresh.write_all_at(&[&header.encode()], 0)?;
    let (mut pos, mut places) = (SEGMENT_HEADER as u64, Vec::new());
    for located in &seg.batches {
        let Some(payload) = segment::stored(&*file, located)? else { return Err(io::Error::other("it changed while it was repaired")) };
        let head = located.header.encode(&located.runs, seg.id, pos);
        debug_assert_eq!(head.len(), BATCH_HEADER + usize::from(located.header.runs) * RUN_ENTRY);
        let next = pos + (located.next_pos() - located.pos);
        let zeros = [0; 8];
        let pad = (next - pos) as usize - head.len() - payload.len();
        fresh.write_all_at(&[&head, &payload, &zeros[..pad]], pos)?;
        places.push((pos, located));
        pos = next;
    }
    fresh.sync()?;
    // Without an index in between, so that none ever tells of another file's bytes.
    match disk.remove(&idx) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    disk.rename(&aside, &seg.path)?;
    disk.sync_dir(seg.path.parent().unwrap_or(dir))?;
    disk.replace(&idx, &sealed(seg, places.into_iter()).encode())
}

fn sealed<'a>(seg: &Checked, places: impl Iterator<Item = (u64, &'a segment::Located)>) -> Sealed {
    let (mut index, mut size, mut newest_ms, mut end) = (Index::default(), SEGMENT_HEADER as u64, 0, seg.base);
    for (pos, located) in places {
        size = pos + (located.next_pos() - located.pos);
        newest_ms = located.header.append_ms.max(newest_ms);
        if segment::is_data(located) {
            index.add(located.header.base_offset, pos, located.header.append_ms);
            end = located.end_offset();
        }
    }
    Sealed { segment_id: seg.id, base: seg.base, end: end.min(seg.bound).max(seg.base), size, newest_ms, index }
}

/// From the file's name, and what the other files say of the queue.
fn rebuilt_header(disk: &dyn Disk, dir: &Path, seg: &Checked, details: &Details) -> Option<SegmentHeader> {
    let uuid = |meta: Meta| u128::from_str_radix(&meta.queue, 16).ok();
    let others = || details.segments.iter().filter(|s| !s.header_wrong).find_map(|s| read_header(disk, &s.path)).map(|h| h.queue);
    Some(SegmentHeader {
        segment_id: seg.id,
        queue: Meta::read(disk, dir).ok().flatten().and_then(uuid).or_else(others)?,
        topic: crc32c::crc32c(seg.topic.as_bytes()),
        partition: seg.partition,
        base_offset: seg.base,
        epoch: (seg.id >> 32) as u32,
        created_ms: seg.batches.first().map_or(0, |l| l.header.append_ms),
    })
}
