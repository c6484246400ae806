//! Deletes whole segments that are acknowledged by all groups and beyond what is kept for a replay.

use super::disk::Disk;
use super::embedded::DEAD_LETTER_TOPIC;
use super::groups::Groups;
use super::partition::Partition;
use super::segment::Segment;
use super::snapshot::Snapshots;
use super::stats::QueueStats;
use super::{QueueOptions, Retention};
use crate::admin::human::{bytes, duration};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What retention looks at.
pub(crate) struct Context<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    pub(crate) options: &'a QueueOptions,
    pub(crate) partitions: &'a [Arc<Partition>],
    pub(crate) groups: &'a Groups,
    pub(crate) snapshots: &'a Snapshots,
    pub(crate) stats: &'a QueueStats,
    pub(crate) now_ms: u64,
    /// There is no room: what is acknowledged goes, whatever is kept for a replay.
    pub(crate) urgent: bool,
}

/// Deletes what may go; returns the bytes freed. Of each partition the newest segment stays.
pub(crate) fn enforce(c: &Context<'_>) -> u64 {
    let _turn = c.groups.hold_retention();
    let (letters, others): (Vec<_>, Vec<_>) = c.partitions.iter().partition(|p| *p.topic == *DEAD_LETTER_TOPIC);
    let freed = delete(c, &others, c.options.retention, c.urgent);
    let before: u64 = letters.iter().map(|p| p.first()).sum();
    // What the other topics do does not touch dead letters.
    let freed = freed + delete(c, &letters, c.options.dead_letters, false);
    let expired = letters.iter().map(|p| p.first()).sum::<u64>() - before;
    if expired > 0 {
        tracing::error!(
            "{expired} dead letters have expired and are lost: kept are at most {} and {} (queue.retention.dead_letters)",
            bytes(c.options.dead_letters.bytes),
            duration(c.options.dead_letters.age.as_secs_f64())
        );
        c.stats.lost_events.fetch_add(expired, Ordering::Relaxed);
    }
    freed
}

fn delete(c: &Context<'_>, partitions: &[&Arc<Partition>], keep: Retention, urgent: bool) -> u64 {
    let mut kept: u64 = partitions.iter().map(|p| p.disk_bytes()).sum();
    let oldest = c.now_ms.saturating_sub(keep.age.as_millis() as u64);
    let mut freed = 0;
    for partition in partitions {
        let low = c.groups.low_water(&partition.topic, partition.number, c.now_ms).unwrap_or_else(|| partition.visible());
        let mut segments = partition.segments();
        let active = segments.pop();
        // What holds no event goes wherever it stands: of a queue that drops for hours there may be much.
        let covered = |s: &Segment| c.snapshots.cover(&partition.topic, partition.number, s.id);
        for empty in segments.extract_if(.., |s| s.end() <= s.base && covered(s)) {
            if active.is_some() && remove(&**c.disk, partition, &empty) {
                kept -= empty.size();
                freed += empty.size();
            }
        }
        let rest = |s: &Arc<Segment>, active| s.rest(&**c.disk, low, active);
        segments.iter().take_while(|s| s.base < low).for_each(|s| rest(s, false));
        active.iter().filter(|s| s.base < low).for_each(|s| rest(s, true));
        for segment in &segments {
            let acknowledged = segment.end() <= low;
            let beyond = urgent || kept > keep.bytes || segment.newest_ms() < oldest;
            if !acknowledged || !beyond || !covered(segment) {
                break;
            }
            if !remove(&**c.disk, partition, segment) {
                break;
            }
            kept -= segment.size();
            freed += segment.size();
        }
    }
    freed
}

/// Deletes a segment; `false` where the disk refuses.
pub(crate) fn remove(disk: &dyn Disk, partition: &Partition, segment: &Segment) -> bool {
    // The index first: an index without a segment is harmless, and so is the other way round.
    let _ = disk.remove(&segment.path.with_extension("idx"));
    if let Err(e) = disk.remove(&segment.path)
        && e.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!("cannot delete {}: {e}; tried again later", segment.path.display());
        return false;
    }
    partition.remove_segment(segment.id);
    true
}
