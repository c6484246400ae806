//! Makes files known to the queue before anything of them is in it.
//!
//! The first block of a file makes its stream durable. Until then (the queue has no room, the file is empty, its first line
//! is not complete, or a hundred thousand others have their turn before) a kill would forget that it was ever looked at; and
//! where it is renamed meanwhile to a name that no glob matches, nobody would look at it again. So each file that has no
//! stream after the round of turns in which it was found gets a record in the queue: identity, path, fingerprint, position.
//! One write for all of them, durable with the sync that comes anyway.

use super::resume::first_bytes;
use super::shared::Source;
use super::tailer::Tailer;
use super::tracked::{Look, Tracked, open_regular};
use crate::queue::{Head, Position, StreamSpec, now_ms};

/// Of so many files in one round the first bytes are read for it; of more, the time of birth has to do, since opening a
/// hundred thousand files holds up the first lines of all of them.
const WITH_HEADS: usize = 1000;

/// So many are announced after one round of turns; meanwhile others have their first block, and need it no more.
const AT_ONCE: usize = 4096;

impl Tracked {
    /// The fingerprint of what is there now, of which nothing was read yet.
    fn head_now(&self) -> Option<Head> {
        let first = match &self.file {
            Some(file) => first_bytes(file).ok()?,
            None => {
                let file = open_regular(self.at.as_deref()?).ok()?;
                let same = Look::of(&file.metadata().ok()?).identity == self.identity;
                if same { first_bytes(&file).ok()? } else { return None }
            }
        };
        Some(Head::of(&first))
    }

    /// What the queue is told of it as long as its first event, and so its key, is not known.
    fn unnamed(&self, source: &Source) -> StreamSpec {
        StreamSpec {
            source: source.options.name.clone(),
            topic: source.options.topic.clone(),
            path: self.path.to_path_buf(),
            file: Some(self.identity),
            generation: self.generation,
            head: self.head,
            fields: source.fields_of(&self.path),
            seen_ms: now_ms(),
            ..StreamSpec::default()
        }
    }
}

impl Tailer {
    /// Announces files that were found since and have no stream yet: those that wait longest for their turn first.
    pub(super) fn announce(&mut self) {
        let few = self.unannounced.len() <= WITH_HEADS;
        let found = self.unannounced.split_off(self.unannounced.len().saturating_sub(AT_ONCE));
        if self.unannounced.is_empty() {
            self.unannounced = Vec::new();
        }
        let mut waiting = Vec::new();
        for id in found {
            let Some(file) = self.files.get_mut(&id).filter(|f| f.stream.is_none() && f.packed.is_none()) else { continue };
            if few || file.identity.born_ns == 0 {
                file.head = file.head_now().unwrap_or_default();
            }
            // The number of an inode alone is soon another file's.
            if file.identity.born_ns == 0 && file.head.len == 0 {
                continue;
            }
            let stream = self.shared.producer.declare(file.unnamed(&self.shared.sources[file.source()]));
            (file.stream, file.announced) = (Some(stream.clone()), true);
            file.rest();
            waiting.push((stream, Position { end: file.pos, tail: file.tail }));
        }
        if !waiting.is_empty() {
            self.shared.producer.announce(waiting);
        }
    }
}
