//! Deletes whole segments that are acknowledged by all groups and beyond what is kept for a replay.

use super::QueueOptions;
use super::disk::Disk;
use super::embedded::DEAD_LETTER_TOPIC;
use super::groups::Groups;
use super::partition::Partition;
use super::snapshot::Snapshots;
use super::stats::QueueStats;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What retention looks at.
pub(crate) struct Context<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) options: &'a QueueOptions,
    pub(crate) partitions: &'a [Arc<Partition>],
    pub(crate) groups: &'a Groups,
    pub(crate) snapshots: &'a Snapshots,
    pub(crate) stats: &'a QueueStats,
    pub(crate) now_ms: u64,
    /// There is no room: what is acknowledged goes, whatever is kept for a replay.
    pub(crate) urgent: bool,
}

/// Dead letters are kept until they take more than this, or are older than [`DEAD_LETTER_AGE_MS`]; what the
/// other topics do does not touch them.
const DEAD_LETTER_BYTES: u64 = 1 << 30;
const DEAD_LETTER_AGE_MS: u64 = 30 * 86_400_000;

/// Deletes what may go; returns the bytes freed. Of each partition the newest segment stays.
pub(crate) fn enforce(c: &Context<'_>) -> u64 {
    let _turn = c.groups.hold_retention();
    let (letters, others): (Vec<_>, Vec<_>) = c.partitions.iter().partition(|p| *p.topic == *DEAD_LETTER_TOPIC);
    let age = c.options.retention.age.as_millis() as u64;
    let freed = delete(c, &others, c.options.retention.bytes, age, c.urgent);
    let before: u64 = letters.iter().map(|p| p.first()).sum();
    let freed = freed + delete(c, &letters, DEAD_LETTER_BYTES, DEAD_LETTER_AGE_MS, false);
    let expired = letters.iter().map(|p| p.first()).sum::<u64>() - before;
    if expired > 0 {
        tracing::error!("{expired} dead letters have expired (kept: 30 days, at most 1 GiB) and are lost");
        c.stats.lost_events.fetch_add(expired, Ordering::Relaxed);
    }
    freed
}

fn delete(c: &Context<'_>, partitions: &[&Arc<Partition>], keep_bytes: u64, keep_ms: u64, urgent: bool) -> u64 {
    let mut kept: u64 = partitions.iter().map(|p| p.disk_bytes()).sum();
    let oldest = c.now_ms.saturating_sub(keep_ms);
    let mut freed = 0;
    for partition in partitions {
        let low = c.groups.low_water(&partition.topic, partition.number, c.now_ms).unwrap_or_else(|| partition.visible());
        let segments = partition.segments();
        let candidates = segments.len().saturating_sub(1);
        for segment in &segments[..candidates] {
            let superseded = segment.end() <= segment.base;
            let acknowledged = segment.end() <= low;
            let beyond = superseded || urgent || kept > keep_bytes || segment.newest_ms() < oldest;
            if !acknowledged || !beyond || !c.snapshots.cover(&partition.topic, partition.number, segment.id) {
                break;
            }
            // The index first: an index without a segment is harmless, and so is the other way round.
            let _ = c.disk.remove(&segment.path.with_extension("idx"));
            if let Err(e) = c.disk.remove(&segment.path)
                && e.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!("cannot delete {}: {e}; tried again later", segment.path.display());
                break;
            }
            partition.remove_segment(segment.id);
            kept -= segment.size();
            freed += segment.size();
        }
    }
    freed
}
