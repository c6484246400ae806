//! Streams of vanished files are forgotten after a while, so that a host that makes a hundred thousand files a day fills
//! neither the memory nor the snapshots.
//!
//! A stream is forgotten when its file was gone (under any name in its folder) for `forget_after`, all that was read of it is
//! durable, and nothing in the folder can be a generation of it: no compressed file and no copy whose first bytes agree.
//! Since when it is gone stands in its record, so a restart begins nothing anew. The queue keeps the record for as long as it
//! keeps any of the stream's events.

use super::globs::{bases, name_shape};
use super::inflate::{Codec, Inflater};
use super::missed::is_rotated_name;
use super::resume::first_bytes;
use super::survey::{Finder, linked_file};
use super::tailer::Tailer;
use super::tracked::open_regular;
use crate::queue::{Head, Stream, StreamSpec, now_ms};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Streams that are looked at in one step: so many that files that grow wait no longer than for a listing.
const AT_ONCE: usize = 500;
/// With more unfollowed generations in a folder than this, its streams are kept: opening them all would cost too much, and
/// as long as they are there, they bound the streams.
const MOST_SIBLINGS: usize = 1000;

/// A generation that is not followed, by the name it had before it was compressed, and its first bytes where they can be had.
type Sibling = (PathBuf, Option<Vec<u8>>);

/// The pass over the streams that are not followed.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    due: Option<Instant>,
    todo: Vec<Arc<Stream>>,
    /// Streams that were followed when the pass began.
    followed: HashSet<u64>,
    finder: Finder,
    /// By folder; `None`: too many.
    siblings: HashMap<PathBuf, Option<Vec<Sibling>>>,
    forgotten: u64,
}

impl Tailer {
    /// Looks whether files are gone, and forgets streams that were gone for long; `true` when there is more to do at once.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        if self.expiry.todo.is_empty() && !self.begin_expiry(now) {
            return false;
        }
        let most = self.expiry.todo.len().saturating_sub(AT_ONCE);
        let (mut stamped, now_ms) = (Vec::new(), now_ms());
        for stream in self.expiry.todo.split_off(most) {
            let spec = stream.spec();
            let (Some(identity), durable) = (spec.file, stream.durable()) else { continue };
            let followed = self.by_inode.get(&identity).and_then(|id| self.files.get(&id));
            let followed = followed.is_some_and(|f| f.stream.as_ref().is_some_and(|s| s.id == stream.id));
            if followed || self.reached(&stream).end > durable.end {
                continue;
            }
            let gone = self.expiry.finder.find(&spec.path, &identity, &spec.head).is_none();
            if gone != (spec.gone_ms > 0) {
                let gone_ms = if gone { now_ms } else { 0 };
                self.shared.producer.amend(&stream, StreamSpec { gone_ms, ..(*spec).clone() });
                stream.rest();
                stamped.push((stream, durable));
            } else if gone && now_ms >= spec.gone_ms.saturating_add(self.forget_after(&spec.path)) && !self.has_sibling(&spec) {
                self.forget(&stream, &spec);
            }
        }
        if !stamped.is_empty() {
            self.shared.producer.announce(stamped);
        }
        let more = !self.expiry.todo.is_empty();
        if !more {
            if self.expiry.forgotten > 0 {
                let known = self.remembered.values().flatten().map(|s| name_shape(&s.spec().path));
                let shapes: HashSet<PathBuf> = known.chain(self.files.values().map(|f| name_shape(&f.path))).collect();
                self.seen_shapes.retain(|shape, _| shapes.contains(shape));
                tracing::info!("{} files that are gone for long, and were read, are forgotten", self.expiry.forgotten);
            }
            self.expiry = Expiry { due: self.expiry.due, ..Expiry::default() };
        }
        more
    }

    fn begin_expiry(&mut self, now: Instant) -> bool {
        let least = self.shared.sources.iter().map(|s| s.options.forget_after).min().unwrap_or_default();
        let pause = (least / 4).clamp(Duration::from_secs(1), Duration::from_secs(600));
        // What is lost of a stream is read again with what is known of it.
        if now < *self.expiry.due.get_or_insert(now + pause) || !self.looked_once || self.shared.producer.any_wanted() {
            return false;
        }
        self.expiry.due = Some(now + pause);
        self.expiry.followed = self.files.values().filter_map(|f| f.stream.as_ref()).map(|s| s.id).collect();
        let known = self.remembered.values().flatten().filter(|s| !self.expiry.followed.contains(&s.id));
        self.expiry.todo = known.cloned().collect();
        !self.expiry.todo.is_empty()
    }

    /// How long a vanished file is remembered, ms; where no source follows its path any more, as long as by any.
    fn forget_after(&mut self, path: &Path) -> u64 {
        let all = || self.shared.sources.iter().map(|s| s.options.forget_after).max().unwrap_or_default();
        let time = self.globs.iter().position(|g| g.matches(path)).map_or_else(all, |s| self.shared.sources[s].options.forget_after);
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether its folder holds what may be a generation of the stream.
    fn has_sibling(&mut self, spec: &StreamSpec) -> bool {
        let own = linked_file(&spec.path);
        std::iter::once(&spec.path).chain(&own).any(|path| self.has_sibling_of(path, spec))
    }

    fn has_sibling_of(&mut self, path: &Path, spec: &StreamSpec) -> bool {
        let Some(dir) = path.parent() else { return false };
        if !self.expiry.siblings.contains_key(dir) {
            let siblings = self.siblings(dir);
            self.expiry.siblings.insert(dir.to_owned(), siblings);
        }
        let Some(Some(siblings)) = self.expiry.siblings.get(dir) else { return true };
        let agrees = |first: &Option<Vec<u8>>| spec.head.len == 0 || first.as_ref().is_none_or(|first| spec.head.matches(first));
        siblings.iter().any(|(name, first)| is_rotated_name(path, name) && agrees(first))
    }

    /// The files of a folder that are not followed and have names of generations.
    fn siblings(&self, dir: &Path) -> Option<Vec<Sibling>> {
        let mut siblings = Vec::new();
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let (name, path) = (entry.file_name(), entry.path());
            let codec = Codec::of(&path);
            let unpacked = if codec.is_some() { path.with_extension("") } else { path.clone() };
            let rotated = codec.is_some() || bases(&name).any(|base| is_rotated_name(&dir.join(base), &path));
            if !rotated || self.dirs.get(dir).is_some_and(|d| d.names.get(&name).is_some()) {
                continue;
            }
            if siblings.len() == MOST_SIBLINGS {
                return None;
            }
            let first = open_regular(&path).and_then(|file| match codec {
                Some(codec) => Inflater::new(file, codec)?.first(Head::MAX),
                None => first_bytes(&file),
            });
            siblings.push((unpacked, first.ok()));
        }
        Some(siblings)
    }

    fn forget(&mut self, stream: &Arc<Stream>, spec: &StreamSpec) {
        self.shared.producer.forget(stream);
        if let Some(file) = &spec.file
            && let Some(streams) = self.remembered.get_mut(&file.inode)
        {
            streams.retain(|s| s.id != stream.id);
            if streams.as_slice().is_empty() {
                self.remembered.remove(&file.inode);
            }
        }
        let none_left = self.remembered_paths.get_mut(&spec.path).is_none_or(|streams| {
            streams.retain(|s| s.id != stream.id);
            streams.as_slice().is_empty()
        });
        if none_left {
            self.remembered_paths.remove(&spec.path);
            if self.names(&spec.path).is_none() {
                self.seen_since.remove(&spec.path);
            }
        }
        self.ended_here.remove(&stream.id);
        self.handed_over.remove(&stream.id);
        self.expiry.forgotten += 1;
    }
}
