//! Files that have lost their names, or their bytes: what is unread of them is looked for, and where it is not found, counted and
//! put on record.

use super::by_path::Few;
use super::read::Turn;
use super::tailer::{MOVED_QUIET, RETRY, Tailer};
use super::tracked::{FileId, Tracked};
use crate::queue::{Cause, FileIdentity, LostUnread, Position, Stream};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

impl Tailer {
    /// A file that is not open has lost its name. Where something of it is unread it is looked for during [`MOVED_QUIET`]: a
    /// listing may miss a file that is renamed meanwhile. Then its unread bytes are lost.
    pub(crate) fn gone(&mut self, id: FileId, now: Instant) {
        let Some(file) = self.files.get_mut(&id) else { return };
        if let Some(at) = file.at.take() {
            file.aside.moved = Some(now);
            if let Some(dir) = at.parent().and_then(|dir| self.dirs.get_mut(dir)) {
                dir.unchanged_since = None;
            }
            self.horizon.moved(id);
            self.scan(now);
            if self.files.get(&id).is_some_and(|f| f.at.is_none()) {
                tracing::debug!("{} is gone", at.display());
            }
            self.activate(id);
            return;
        }
        let unread = file.size > file.pos || file.packed.is_some();
        let until = file.aside.moved.map_or(now, |since| since + MOVED_QUIET);
        if unread && file.aside.drain_end.is_some() {
            // A drain cannot wait: it looks once more, with what the kernel has announced meanwhile.
            self.take_hints(now);
            self.scan(now);
            if self.files.get(&id).is_none_or(|f| f.at.is_some()) {
                self.activate(id);
                return;
            }
        } else if unread && now < until {
            self.look_again(id, until.min(now + RETRY));
            self.scan_soon(now);
            return;
        }
        let Some(file) = self.files.get_mut(&id) else { return };
        let lost = file.packed.as_ref().map_or(file.size.saturating_sub(file.pos), |packed| packed.size);
        if lost > 0 && self.is_held_compressed(id) {
            // What is left of it is read from there.
            self.scan_soon(now);
        } else if let Some(file) = self.files.get(&id)
            && lost > 0
        {
            file.counters.lost_bytes.add(lost);
            let text = match file.packed {
                Some(_) => format!(
                    "{} was deleted before it was read from byte {} on: {lost} compressed bytes at most are lost",
                    file.place().display(),
                    file.pos
                ),
                None => format!(
                    "{} was deleted before it was read to its end: {lost} bytes from byte {} on are lost",
                    file.path.display(),
                    file.pos
                ),
            };
            file.counters.set_error(&text);
            tracing::warn!("{text}");
            let (start, stream) = (if file.packed.is_some() { 0 } else { file.pos }, file.stream.clone().filter(|_| file.packed.is_none()));
            let lost = self.lost_unread(file, Cause::DeletedUnread, stream, file.identity, file.generation, start..start + lost);
            self.untold.push(lost);
        }
        self.remember_and_remove(id);
    }

    /// What the ledger is to know of bytes that are gone unread.
    fn lost_unread(
        &self,
        file: &Tracked,
        cause: Cause,
        stream: Option<Arc<Stream>>,
        identity: FileIdentity,
        generation: u32,
        bytes: Range<u64>,
    ) -> LostUnread {
        let options = &self.shared.sources[file.source()].options;
        let why = match (cause, file.packed.is_some()) {
            (Cause::TruncatedUnread, _) => "truncated before it was read to its end",
            (_, true) => "compressed, and deleted before it was read to its end: the bytes are compressed ones, at most",
            _ => "deleted before it was read to its end",
        };
        let (source, topic) = (options.name.clone(), options.topic.clone());
        LostUnread { cause, stream, file: identity, generation, source, topic, path: file.path.to_path_buf(), bytes, why: why.into() }
    }

    /// Has what was lost put on record; what is not is asked for again at the next step.
    pub(super) fn tell_lost(&mut self) {
        if !self.untold.is_empty() && self.shared.producer.lost_unread(&self.untold) {
            self.untold.clear();
        }
    }

    /// Forgets a finished file, but not its stream: it may come back from another directory.
    pub(crate) fn remember_and_remove(&mut self, id: FileId) {
        if let Some(tracked) = self.files.get(&id)
            && let Some(stream) = tracked.stream.clone()
            && let Some(file) = stream.brief().file
        {
            if tracked.pos > stream.durable().end {
                self.handed_over.insert(stream.id, Position { end: tracked.pos, tail: tracked.tail });
            }
            let by_path = self.remembered_paths.get_or_insert_with(&tracked.path, Few::default);
            for streams in [self.remembered.entry(file.inode).or_default(), by_path] {
                streams.retain(|s| s.id != stream.id);
                streams.push(stream.clone());
            }
        }
        self.remove(id);
    }

    /// A truncated file: looks for the copy that may hold its unread end, and counts what is lost.
    pub(crate) fn after_truncation(&mut self, id: FileId, now: Instant) -> Turn {
        let Some(file) = self.files.get_mut(&id) else { return Turn::Gone };
        let Some(former) = file.aside.former.take() else { return Turn::More };
        let counters = file.counters.clone();
        if let Some(stream) = &former.stream {
            // Its copies are to be recognised whenever they are looked at.
            self.ended_here.insert(stream.id);
            self.handed_over.insert(stream.id, Position { end: former.pos, tail: former.tail });
            self.remembered_paths.get_or_insert_with(&file.path, Few::default).push(stream.clone());
        }
        let unread = former.size.saturating_sub(former.pos);
        if !self.adopt_copy(id, &former, now) && unread > 0 {
            counters.lost_bytes.add(unread);
            if let Some(file) = self.files.get(&id) {
                let text = format!("{unread} bytes of {} were truncated away before they were read", file.path.display());
                counters.set_error(&text);
                tracing::warn!("{text}");
                let bytes = former.pos..former.size;
                self.untold.push(self.lost_unread(
                    file,
                    Cause::TruncatedUnread,
                    former.stream.clone(),
                    former.identity,
                    former.generation,
                    bytes,
                ));
            }
        }
        Turn::More
    }
}
