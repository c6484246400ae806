//! `on_full: drop_oldest`: the oldest whole segment goes, although some group has not read it. What it holds is entered
//! in the ledger of losses first, by stream and bytes.

use super::disk::DiskFile;
use super::embedded::DEAD_LETTER_TOPIC;
use super::format::{RunEntry, SEGMENT_HEADER};
use super::partition::Partition;
use super::registry::Registry;
use super::retention::{Context, remove};
use super::segment::{self, Found, Segment};
use super::{Cause, Loss, Losses, LostPart, LostStream, RunFlags, Span};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// What has gone.
#[derive(Debug)]
pub(crate) struct Shed {
    pub(crate) bytes: u64,
    /// By the groups that had acknowledged it.
    pub(crate) losses: Vec<Loss>,
    /// How many of its events each group had not acknowledged.
    pub(crate) unread: Vec<(String, u64)>,
}

/// Drops the oldest segment that may go: no active one, no dead letters. `None` where there is none.
///
/// # Errors
/// When the ledger cannot be written: nothing was dropped.
pub(crate) fn drop_oldest(c: &Context<'_>, registry: &Registry, losses: &Losses) -> Result<Option<Shed>, String> {
    let _turn = c.groups.hold_retention();
    let oldest = |p: &Arc<Partition>| {
        let segments = p.segments();
        let first = segments.first().filter(|_| segments.len() > 1)?.clone();
        c.snapshots.cover(&p.topic, p.number, first.id).then_some((first, p.clone()))
    };
    let bounded = c.partitions.iter().filter(|p| *p.topic != *DEAD_LETTER_TOPIC);
    let Some((segment, partition)) = bounded.filter_map(oldest).min_by_key(|(s, _)| s.newest_ms()) else { return Ok(None) };
    // What is to be sent once more was delivered: it is no loss.
    let from = c.groups.committed_by_all(&partition.topic, partition.number, c.now_ms).unwrap_or(0).max(segment.base);
    let offsets = from..segment.end().max(from);
    let gone = pieces(c, &partition, &offsets).into_iter().map(|(of, had)| Loss {
        cause: Cause::DroppedOldest,
        topic: partition.topic.to_string(),
        partition: partition.number,
        parts: parts(c, registry, &segment, &of),
        at_ms: c.now_ms,
        offsets: of,
        had,
    });
    let gone: Vec<Loss> = gone.collect();
    // Known before it is gone: after a crash in between more is told than was lost, never less.
    if !gone.is_empty() {
        losses.add(&gone).map_err(|e| e.to_string())?;
    }
    partition.lose(offsets.start, offsets.end);
    if !remove(&**c.disk, &partition, &segment) {
        return Ok(None);
    }
    let unread = c.groups.unread(&partition.topic, partition.number, segment.base..segment.end());
    Ok(Some(Shed { bytes: segment.size(), losses: gone, unread }))
}

/// Cuts the offsets where a group's commit lies among them, with the groups that had acknowledged each piece.
fn pieces(c: &Context<'_>, partition: &Partition, offsets: &Range<u64>) -> Vec<(Range<u64>, Vec<String>)> {
    let (states, _) = c.groups.all();
    let here = states.iter().filter(|(k, _)| *k.1 == *partition.topic && k.2 == partition.number);
    let mut cuts: BTreeSet<u64> = here.map(|(_, s)| s.committed).filter(|at| offsets.start < *at && *at < offsets.end).collect();
    cuts.insert(offsets.end);
    let mut start = offsets.start;
    let piece = |end| {
        let of = std::mem::replace(&mut start, end)..end;
        let had = c.groups.had(&partition.topic, partition.number, &of);
        (of, had)
    };
    cuts.into_iter().map(piece).collect()
}

/// What the streams lose: by the headers of the record batches that end among the offsets.
fn parts(c: &Context<'_>, registry: &Registry, segment: &Segment, of: &Range<u64>) -> Vec<LostPart> {
    let mut spans: BTreeMap<u64, Vec<(Span, u64)>> = BTreeMap::new();
    let scanned = segment.file(c.disk).and_then(|file| scan(&*file, segment, of, &mut |run| add(&mut spans, run)));
    if let Err(e) = scanned {
        tracing::warn!("{}: {e}; what is dropped of it is counted, but not by stream from there on", segment.path.display());
    }
    let named = |number: u64| registry.get(number).map_or_else(|| LostStream { number, ..LostStream::default() }, |s| LostStream::of(&s));
    let part = |number: u64, (span, bytes): (Span, u64)| LostPart { stream: named(number), span, bytes, wanted: false, why: String::new() };
    spans.into_iter().flat_map(|(number, all)| all.into_iter().map(move |one| part(number, one))).collect()
}

fn add(spans: &mut BTreeMap<u64, Vec<(Span, u64)>>, run: &RunEntry) {
    let events = u64::from(run.count);
    let all = spans.entry(run.stream).or_default();
    // Sequence numbers are no bytes.
    let bare = run.flags & RunFlags::NO_POSITION != 0;
    match all.last_mut() {
        Some((span, bytes)) if bare || span.end == run.source_start => {
            span.end = if bare { 0 } else { run.source_end };
            span.events = span.events.map(|n| n + events);
            *bytes += if bare { u64::from(run.data_len) } else { 0 };
        }
        _ => {
            let span = if bare { Span::default() } else { Span::new(run.source_start, run.source_end) };
            all.push((Span { events: Some(events), ..span }, if bare { u64::from(run.data_len) } else { 0 }));
        }
    }
}

fn scan(file: &dyn DiskFile, segment: &Segment, of: &Range<u64>, each: &mut dyn FnMut(&RunEntry)) -> io::Result<()> {
    let mut pos = SEGMENT_HEADER as u64;
    while pos < segment.size() {
        let located = match segment::locate(file, segment.id, pos)? {
            Found::Batch(located) => located,
            Found::End | Found::Damage => match segment::search(file, segment.id, pos + 8, of.start)? {
                Some(located) => located,
                None => break,
            },
        };
        pos = located.next_pos();
        if located.header.base_offset >= segment.end().min(of.end) && located.header.count > 0 {
            break;
        }
        // One that reaches over a cut belongs to those who had not all of it.
        let end = located.end_offset().min(segment.end());
        if segment::holds_events(&located) && end > of.start && end <= of.end {
            located.runs.iter().for_each(&mut *each);
        }
    }
    Ok(())
}
