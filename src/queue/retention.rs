//! Deletes whole segments that are acknowledged by all groups and beyond what is kept for a replay.

use super::QueueOptions;
use super::disk::Disk;
use super::groups::Groups;
use super::partition::Partition;
use super::snapshot::Snapshots;
use std::sync::Arc;

/// What retention looks at.
pub(crate) struct Context<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) options: &'a QueueOptions,
    pub(crate) partitions: &'a [Arc<Partition>],
    pub(crate) groups: &'a Groups,
    pub(crate) snapshots: &'a Snapshots,
    pub(crate) now_ms: u64,
    /// There is no room: what is acknowledged goes, whatever is kept for a replay.
    pub(crate) urgent: bool,
}

/// Deletes what may go; returns the bytes freed. Of each partition the newest segment stays.
pub(crate) fn enforce(c: &Context<'_>) -> u64 {
    let _turn = c.groups.hold_retention();
    let mut kept: u64 = c.partitions.iter().map(|p| p.disk_bytes()).sum();
    let oldest = c.now_ms.saturating_sub(c.options.retention.age.as_millis() as u64);
    let mut freed = 0;
    for partition in c.partitions {
        let low = c.groups.low_water(&partition.topic, partition.number, c.now_ms).unwrap_or_else(|| partition.visible());
        let segments = partition.segments();
        let candidates = segments.len().saturating_sub(1);
        for segment in &segments[..candidates] {
            let superseded = segment.end() <= segment.base;
            let acknowledged = segment.end() <= low;
            let beyond = superseded || c.urgent || kept > c.options.retention.bytes || segment.newest_ms() < oldest;
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
