//! Opening the queue: who may, what recovery finds, and the threads.

use super::absent::Watch;
use super::admission::Admission;
use super::ballast::Ballasted;
use super::clock::{Clock, SystemClock};
use super::disk::Disk;
use super::embedded::{BLOCK_BYTES, DEAD_LETTER_TOPIC, Queue, Threads};
use super::fail_point;
use super::floor::Floor;
use super::format::{FormatError, SegmentHeader};
use super::groups::Groups;
use super::holes::Holes;
use super::inbox::inbox;
use super::log::Log;
use super::meta::{Lock, LockError, Meta};
use super::pace::Pace;
use super::partition::{Notifier, Partition, bounded_bytes};
use super::recovery::{Lost, Recovery, RecoveryError, RecoveryReport};
use super::registry::Registry;
use super::side_by_side::SideBySide;
use super::snapshot::{Mark, Snapshots};
use super::spare::Spare;
use super::stats::QueueStats;
use super::syncer::Syncer;
use super::writer::{PartitionWriter, Shared};
use super::{BufferPool, Intent, Losses, LossesError, QueueOptions};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

/// Why a queue cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "data_dir {} is in use by another forebay{}; two agents on one data_dir would ship everything twice and damage the queue: stop the other one, or give this one a data_dir of its own",
        dir.display(),
        pid.map(|p| format!(" (process {p})")).unwrap_or_default()
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The other process.
        pid: Option<u32>,
    },
    /// Written by a newer version of the program.
    #[error("data_dir {} has format {format}, which is newer than this program understands; nothing was changed", dir.display())]
    Newer {
        /// The directory.
        dir: PathBuf,
        /// Its format.
        format: u32,
    },
    /// A partition cannot be opened.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The disk failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Bytes of the smallest segments that a small `max_bytes` leads to.
const LEAST_SEGMENT: u64 = 16 << 10;

fn at(path: &Path) -> impl Fn(io::Error) -> OpenError + '_ {
    move |source| OpenError::Io { path: path.to_path_buf(), source }
}

impl Queue {
    /// Opens (or creates) the queue in `options.dir` with at least these topics, and recovers it.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is changed when the directory belongs to another process or a newer version.
    pub fn open(options: QueueOptions, topics: &[String]) -> Result<Arc<Queue>, OpenError> {
        Self::open_on(options, topics, fail_point::real_disk(), Arc::new(SystemClock::default()))
    }

    pub(crate) fn open_on(
        mut options: QueueOptions,
        topics: &[String],
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Queue>, OpenError> {
        let dir = options.dir.clone();
        disk.create_dir_all(&dir).map_err(at(&dir))?;
        let lock = Lock::take(&dir).map_err(|e| match e {
            LockError::Held(pid) => OpenError::InUse { dir: dir.clone(), pid },
            LockError::Io(source) => OpenError::Io { path: dir.join("LOCK"), source },
        })?;
        let ballast = Arc::new(Ballasted::new(disk, &dir, options.min_free_bytes));
        let disk: Arc<dyn Disk> = ballast.clone();
        let registry = Registry::new(options.partitions);
        // They go where they stay one by one: as structures, all of them are several times as large.
        let (snapshots, newest, damaged) = Snapshots::load(&*disk, &dir, &mut |stream| registry.load(stream)).map_err(at(&dir))?;
        let mut report = RecoveryReport::default();
        let meta = open_meta(&*disk, &dir, snapshots_epoch(newest.as_ref()), &mut report)?;
        let uuid = u128::from_str_radix(&meta.queue, 16).unwrap_or(0);
        let marks = newest.as_ref().map(|n| n.marks.clone()).unwrap_or_default();
        let positions_known = newest.is_some();
        if let Some(snapshot) = &newest {
            registry.reserve(snapshot.next_stream);
        }
        let (losses, unsound) = Losses::open(disk.clone(), &dir).map_err(|e| match e {
            LossesError::Newer { version, .. } => OpenError::Newer { dir: dir.clone(), format: version },
            LossesError::Io { path, source } => OpenError::Io { path, source },
        })?;
        if unsound > 0 {
            report.damaged.push(format!(
                "{}: {unsound} lines are damaged; what they told of earlier losses is forgotten, the others count",
                Losses::path(&dir).display()
            ));
        }
        let journal = dir.join("groups").join("journal");
        let journal_lost = matches!(disk.open(&journal), Err(e) if e.kind() == io::ErrorKind::NotFound);
        let (mut groups, skipped) = Groups::open(disk.clone(), &dir.join("groups")).map_err(at(&dir))?;
        groups.hold_absent(options.absent_groups, clock.age_ms());
        report
            .damaged
            .extend(damaged.iter().map(|p| format!("{}: checksum differs; another snapshot and the record batches are used", p.display())));
        groups.intent_synced = options.intent == Intent::Synced;
        if skipped > 0 {
            report.damaged.push(format!(
                "{skipped} bytes of the groups' journal; the last sound offsets are used, so some batches are sent again under the same IDs"
            ));
        }
        let mut next_segment = u64::from(meta.epoch) << 32;
        let mut partitions = Vec::new();
        let topics_dir = dir.join("topics");
        disk.create_dir_all(&topics_dir).map_err(at(&topics_dir))?;
        let mut names: BTreeSet<String> = folders(&*disk, &topics_dir)?.into_iter().collect();
        names.extend(topics.iter().cloned());
        names.insert(DEAD_LETTER_TOPIC.to_string());
        for topic in &names {
            let wanted = if topic == DEAD_LETTER_TOPIC { 1 } else { options.partitions.max(1) };
            let topic_dir = topics_dir.join(topic);
            disk.create_dir_all(&topic_dir).map_err(at(&topic_dir))?;
            let found = folders(&*disk, &topic_dir)?.into_iter().filter_map(|n| n.parse::<u32>().ok().filter(|p| p.to_string() == n));
            for number in found.chain(0..wanted).collect::<BTreeSet<u32>>() {
                let partition_dir = topic_dir.join(number.to_string());
                disk.create_dir_all(&partition_dir).map_err(at(&partition_dir))?;
                let mark = marks.iter().find(|m| m.topic == *topic && m.partition == number);
                let mut recovery = Recovery {
                    disk: &disk,
                    registry: &registry,
                    report: &mut report,
                    quarantine: &dir.join("quarantine"),
                    queue: uuid,
                    epoch: meta.epoch,
                    topic,
                    number,
                    holes: Vec::new(),
                };
                let (segments, end) = recovery.partition(&partition_dir, mark, &mut next_segment)?;
                // What a group has seen must never name other events.
                let end = end.max(groups.high_water(topic, number));
                partitions.push(Arc::new(Partition::new(topic.as_str().into(), number, partition_dir, segments, end)));
            }
        }
        let segments = || partitions.iter().flat_map(|p| p.segments());
        if journal_lost && segments().next().is_some() {
            report.damaged.push(format!(
                "{}: missing; every group begins again at the earliest record, so events are sent again under the same IDs",
                journal.display()
            ));
        }
        if !positions_known && partitions.iter().any(|p| p.segments().iter().map(|s| s.base).min().is_some_and(|base| base > 0)) {
            report.damaged.push(format!(
                "{}: no sound snapshots; the positions of files whose records were deleted from the queue are lost, so these files are read again from their beginning, under the same event IDs",
                dir.display()
            ));
        }
        for partition in &partitions {
            // Told already, and settled or to be settled.
            for (first, end) in losses.offsets(&partition.topic, partition.number) {
                partition.lose(first, end);
            }
        }
        let (registry, groups, losses) = (Arc::new(registry), Arc::new(groups), Arc::new(losses));
        let holes = Arc::new(Holes::new(disk.clone(), dir.clone(), registry.clone(), groups.clone(), losses.clone(), clock.clone()));
        let partition_of = |l: &Lost| partitions.iter().find(|p| *p.topic == *l.topic && p.number == l.partition);
        report.lost.retain(|l| partition_of(l).is_none_or(|p| p.not_known_lost(l.first, l.end) > 0));
        tell(&report);
        let stats = Arc::new(QueueStats::default());
        stats.disk_bytes.store(bounded_bytes(&partitions), Ordering::Relaxed);
        for lost in &report.lost {
            let Some(partition) = partition_of(lost) else { continue };
            let untold = holes.found(partition, lost.first..lost.end);
            let untold = untold.map_err(|e| OpenError::Io { path: Losses::path(&dir), source: io::Error::other(e.to_string()) })?;
            stats.lost_events.fetch_add(untold, Ordering::Relaxed);
        }
        // Active segments cannot go: they may not take all.
        let active = options.max_bytes / (2 * partitions.len() as u64).max(1);
        options.segment_bytes = options.segment_bytes.min(active.max(LEAST_SEGMENT));
        for partition in &partitions {
            let settled = holes.settle_what_is_there(partition);
            settled.map_err(|e| OpenError::Io { path: Losses::path(&dir), source: io::Error::other(e.to_string()) })?;
        }
        let blocks = options.block_memory().max(4 * BLOCK_BYTES);
        let shared = Arc::new(Shared {
            disk: disk.clone(),
            options: options.clone(),
            queue: uuid,
            epoch: meta.epoch,
            next_segment: AtomicU64::new(next_segment),
            cache_cap: blocks / 3,
        });
        let notifier = Arc::new(Notifier::default());
        let admission = Arc::new(Admission::new(blocks * 2 / 3));
        // All that the segments tell is known by now.
        let marks = partitions.iter().map(|p| Mark {
            topic: p.topic.to_string(),
            partition: p.number,
            segment_id: next_segment,
            next_offset: p.written(),
        });
        let (messages, inbox) = inbox(options.linger, options.batch_size);
        let (jobs, job_inbox) = channel();
        let route = partitions.iter().enumerate().map(|(i, p)| ((p.topic.to_string(), p.number), i)).collect::<HashMap<_, _>>();
        let log = Log {
            shared: shared.clone(),
            clock: clock.clone(),
            notifier: notifier.clone(),
            admission: admission.clone(),
            stats: stats.clone(),
            groups: groups.clone(),
            partitions: partitions.clone(),
            floor: Floor::new(disk.clone(), dir.clone(), options.min_free_bytes),
            asked: None,
            exhausted: false,
            writers: partitions.iter().map(|p| PartitionWriter::new(shared.clone(), p.clone())).collect(),
            route,
            jobs,
            sync_under_way: false,
            dirty_since: None,
            last_sync: None,
            retry_at: None,
            flushes: Vec::new(),
            closing: None,
        };
        ballast.fill();
        let syncer = Syncer {
            shared: shared.clone(),
            clock: clock.clone(),
            registry: registry.clone(),
            groups: groups.clone(),
            partitions: partitions.clone(),
            snapshots,
            notifier: notifier.clone(),
            admission: admission.clone(),
            stats: stats.clone(),
            log: messages.clone(),
            side_by_side: SideBySide::default(),
            last_housekeeping: Instant::now(),
            unlooked: 0,
            snapshot_failed: false,
            last_marks: marks.collect(),
            absent: Watch::default(),
            losses: losses.clone(),
            floor: Floor::new(disk.clone(), dir.clone(), options.min_free_bytes),
            ballast: ballast.clone(),
        };
        let sync = spawn("queue-sync", move || syncer.run(job_inbox)).map_err(at(&dir))?;
        let log = spawn("queue-log", move || log.run(inbox)).map_err(at(&dir))?;
        Ok(Arc::new(Queue {
            pool: BufferPool::new(blocks, BLOCK_BYTES),
            spare: Spare::new(options.read_back_memory(), notifier.clone()),
            pace: Arc::new(Pace::new(options.cpu)),
            options,
            uuid,
            shared,
            clock,
            registry,
            groups,
            partitions,
            notifier,
            admission,
            stats,
            losses,
            holes,
            closed: Arc::default(),
            messages,
            threads: Mutex::new(Some(Threads { log, sync })),
            report,
            _lock: lock,
        }))
    }
}

fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(f)
}

/// The newest epoch that the snapshots tell of, for a lost `queue.meta`.
fn snapshots_epoch(newest: Option<&super::snapshot::Snapshot>) -> u32 {
    newest.into_iter().flat_map(|n| &n.marks).map(|m| (m.segment_id >> 32) as u32).max().unwrap_or(0)
}

/// Names of the folders in `dir`: files in it are not ours.
fn folders(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, OpenError> {
    let mut names = disk.list(dir).map_err(at(dir))?;
    names.retain(|n| !matches!(disk.list(&dir.join(n)), Err(e) if e.kind() == io::ErrorKind::NotADirectory));
    Ok(names)
}

fn open_meta(disk: &dyn Disk, dir: &Path, known_epoch: u32, report: &mut RecoveryReport) -> Result<Meta, OpenError> {
    let path = Meta::path(dir);
    let found = Meta::read(disk, dir).map_err(at(&path))?;
    if let Some(meta) = &found
        && meta.format > super::format::VERSION
    {
        return Err(OpenError::Newer { dir: dir.to_path_buf(), format: meta.format });
    }
    let mut meta = match found {
        Some(meta) => meta,
        None => {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).map_err(|e| OpenError::Io { path: path.clone(), source: io::Error::other(e.to_string()) })?;
            let (queue, epoch) = newest_segment(disk, dir)?;
            if epoch > 0 || known_epoch > 0 {
                report.damaged.push(format!("{}: missing or damaged; made anew from the headers of the segments", path.display()));
            }
            let queue = queue.unwrap_or(u128::from_le_bytes(bytes));
            Meta { format: super::format::VERSION, queue: format!("{queue:032x}"), epoch: epoch.max(known_epoch) }
        }
    };
    meta.epoch = meta.epoch.saturating_add(1);
    meta.write(disk, dir).map_err(at(&path))?;
    Ok(meta)
}

/// UUID from the newest sound segment header, and the highest epoch of all segments, when `queue.meta` is lost.
fn newest_segment(disk: &dyn Disk, dir: &Path) -> Result<(Option<u128>, u32), OpenError> {
    let (mut newest, mut highest) = (None::<(u64, u128)>, 0);
    let topics = dir.join("topics");
    for topic in disk.list(&topics).unwrap_or_default() {
        for number in disk.list(&topics.join(&topic)).unwrap_or_default() {
            let partition = topics.join(&topic).join(number);
            for name in disk.list(&partition).unwrap_or_default() {
                let Some((_, id)) = super::segment::parse_name(&name) else { continue };
                // Also of a segment whose header is damaged: no epoch may be used twice.
                highest = highest.max((id >> 32) as u32);
                let mut block = vec![0; super::format::SEGMENT_HEADER];
                let Ok(n) = disk.open(&partition.join(&name)).and_then(|f| f.read_at(&mut block, 0)) else { continue };
                match SegmentHeader::decode(&block[..n]) {
                    Ok(header) if newest.is_none_or(|(newest, _)| newest < id) => newest = Some((id, header.queue)),
                    Err(FormatError::Newer(format)) => return Err(OpenError::Newer { dir: dir.to_path_buf(), format }),
                    _ => {}
                }
            }
        }
    }
    Ok((newest.map(|(_, queue)| queue), highest))
}

fn tell(report: &RecoveryReport) {
    for damaged in &report.damaged {
        tracing::error!("damaged: {damaged}");
    }
    for lost in &report.lost {
        tracing::error!(
            topic = lost.topic,
            partition = lost.partition,
            "events {} to {} are lost: {} damaged bytes in {} (kept aside in quarantine/)",
            lost.first,
            lost.end - 1,
            lost.bytes,
            lost.file.display()
        );
    }
    if report.copied_events > 0 || report.torn_events > 0 {
        tracing::info!(
            copied = report.copied_events,
            read_again = report.torn_events,
            "the last run did not end cleanly: its last events were checked and made durable, torn ones are read again from their source"
        );
    }
}
