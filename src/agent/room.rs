//! How much the queue may take of the disk it lies on.
//!
//! `queue.min_free_bytes` stops it while it runs; here `queue.max_bytes` is fitted to the disk at the start, so that what
//! people read of it is true.

use crate::admin::human::bytes;
use crate::queue::{OnFull, QueueOptions, floor};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Least that the queue takes in any case.
const LEAST: u64 = 4 << 20;

/// Lowers `queue.max_bytes`, and what must be smaller than that, where the disk of `dir` has less room. Where the system
/// does not tell, all stays as it is.
pub(super) fn fit_queue(queue: &mut QueueOptions) {
    let dir = &queue.dir;
    let there = dir.ancestors().find(|d| d.exists()).filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(disk) = rustix::fs::statvfs(there) else { return };
    let floor = floor(queue.min_free_bytes, disk.f_blocks * disk.f_frsize);
    let fitted = fit(queue.max_bytes, floor, disk.f_bavail * disk.f_frsize, used(dir.join("topics")));
    if fitted < queue.max_bytes {
        tracing::warn!(
            "queue.max_bytes is {}, but the disk of {} has room for {}: the queue takes at most that now; when it is full, {}",
            bytes(queue.max_bytes),
            dir.display(),
            bytes(fitted),
            match queue.on_full {
                OnFull::Block => "files wait",
                OnFull::DropOldest => "the oldest events are dropped (queue.on_full)",
                OnFull::DropNewest => "the newest events are dropped (queue.on_full)",
            }
        );
        lower(queue, fitted);
    }
}

/// The proportions are those that a configuration must have: only whole segments can be removed.
fn lower(queue: &mut QueueOptions, max_bytes: u64) {
    queue.max_bytes = max_bytes;
    queue.retention.bytes = queue.retention.bytes.min(max_bytes);
    queue.dead_letters.bytes = queue.dead_letters.bytes.min(max_bytes / 8);
    queue.segment_bytes = queue.segment_bytes.min(max_bytes / 4);
    queue.batch_size = queue.batch_size.min(usize::try_from(queue.segment_bytes / 4).unwrap_or(usize::MAX));
}

fn fit(max_bytes: u64, floor: u64, free: u64, used: u64) -> u64 {
    let room = (free + used).saturating_sub(floor);
    max_bytes.min(room.max(LEAST))
}

/// Bytes on disk of all files below `dir`.
fn used(dir: PathBuf) -> u64 {
    let (mut folders, mut bytes) = (vec![dir], 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                Ok(meta) => bytes += meta.blocks() * 512,
                Err(_) => {}
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_leaves_room_on_its_disk() {
        const GIB: u64 = 1 << 30;
        assert_eq!(fit(10 * GIB, GIB, 50 * GIB, 0), 10 * GIB);
        assert_eq!(fit(10 * GIB, GIB / 4, 4 * GIB, 0), 4 * GIB - GIB / 4);
        assert_eq!(fit(10 * GIB, GIB / 20, 0, GIB / 2), GIB / 2 - GIB / 20, "what it has taken already counts");
        assert_eq!(fit(10 * GIB, 1 << 20, 0, 0), LEAST);
    }

    #[test]
    fn what_is_used_is_counted_and_a_missing_folder_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("topics/logs/0")).unwrap();
        fs::write(dir.path().join("topics/logs/0/a.seg"), vec![1; 100_000]).unwrap();
        assert!((90_000..400_000).contains(&used(dir.path().join("topics"))));
        assert_eq!(used(dir.path().join("none")), 0);
        let mut options = QueueOptions { dir: dir.path().join("not/there/yet"), max_bytes: LEAST, ..QueueOptions::default() };
        let before = options.clone();
        fit_queue(&mut options);
        assert_eq!(options, before, "there is room for so little");
    }

    #[test]
    fn segments_shrink_with_the_queue() {
        let mut options = QueueOptions::default();
        lower(&mut options, 40 << 20);
        assert_eq!((options.max_bytes, options.segment_bytes), (40 << 20, 10 << 20));
        assert!(options.retention.bytes <= options.max_bytes && options.batch_size as u64 <= options.segment_bytes / 4);
    }
}
