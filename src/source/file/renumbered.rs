//! Files whose device or inode number has changed although they are the same: after a remount (network file systems,
//! overlays and containers get another device number), and on file systems that make inode numbers up (FUSE, 9p, SMB).
//! What was read of them proves them: their first bytes, and those before the position.

use super::resume::first_bytes;
use super::tailer::Tailer;
use super::tracked::{FileId, Look, Tracked, open_regular, same_file, tail_agrees};
use crate::queue::{FileIdentity, Head, Position, Stream, StreamSpec};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Whether the file holds all that was read of another up to a position.
fn holds(path: &Path, look: &Look, head: &Head, at: Position) -> io::Result<bool> {
    if look.size < at.end {
        return Ok(false);
    }
    let file = open_regular(path)?;
    let same = Look::of(&file.metadata()?).identity == look.identity;
    Ok(same && (at.end == 0 || (head.matches(&first_bytes(&file)?) && tail_agrees(&file, at.end, &at.tail)?)))
}

/// Whether only the device differs.
fn moved_device(a: &FileIdentity, b: &FileIdentity) -> bool {
    a.device != b.device && a.inode == b.inode && a.born_ns == b.born_ns
}

impl Tailer {
    /// A file that is not followed under its numbers: goes on with it where it is one that has lost its name, under
    /// other numbers. Else a stream that it continues is remembered under its numbers.
    pub(super) fn adopt_renumbered(&mut self, path: &Path, look: &Look, nameless: &[FileId]) -> bool {
        let renumbers = path.parent().and_then(|dir| self.dirs.get(dir)).is_some_and(|d| self.polling.renumbers(&d.fs));
        let is_it = |file: &Tracked| {
            let same_numbers = moved_device(&file.identity, &look.identity) && (file.pos > 0 || look.identity.born_ns != 0);
            let may_be = same_numbers || (renumbers && *file.path == *path && file.pos > 0);
            may_be && file.packed.is_none() && holds(path, look, &file.head, Position { end: file.pos, tail: file.tail }).unwrap_or(false)
        };
        let found = nameless.iter().find(|id| self.files.get(id).is_some_and(|f| f.at.is_none() && is_it(f)));
        if let Some(&id) = found
            && let Some(file) = self.files.get_mut(&id)
        {
            let before = std::mem::replace(&mut file.identity, look.identity);
            file.close();
            file.at = Some(path.into());
            file.aside.moved = None;
            if let Some(stream) = &file.stream {
                let spec = stream.spec();
                self.shared.producer.amend(stream, StreamSpec { file: Some(look.identity), ..(*spec).clone() });
            }
            self.by_inode.remove(&before, id);
            self.by_inode.insert(&look.identity, id);
            tracing::info!("{} has other numbers than before (a remount?), but holds what was read of it: going on", path.display());
            self.name(path, id);
            self.activate(id);
            return true;
        }
        let known = |s: &Arc<Stream>| s.brief().file.is_some_and(|f| same_file(&f, &look.identity));
        if renumbers && !self.remembered.get(&look.identity.inode).is_some_and(|streams| streams.into_iter().any(known)) {
            self.remember_renumbered(path, look);
        }
        false
    }

    /// Finds the stream that a file of this path continues, if any is left without a file.
    fn remember_renumbered(&mut self, path: &Path, look: &Look) {
        let followed = |id: u64| self.files.values().any(|f| f.stream.as_ref().is_some_and(|s| s.id == id));
        let gone = self.remembered.values().flatten().filter(|s| s.is_of(path));
        let mut streams: Vec<_> = self.remembered_paths.get(path).into_iter().flatten().chain(gone).cloned().collect();
        streams.retain(|s| s.durable().end > 0 && !self.ended_here.contains(&s.id) && !followed(s.id));
        // That which was read farthest says most.
        streams.sort_by_key(|s| std::cmp::Reverse(s.durable().end));
        let found = streams.into_iter().find(|s| holds(path, look, &s.brief().head, s.durable()).unwrap_or(false));
        if let Some(stream) = found {
            let spec = stream.spec();
            self.shared.producer.amend(&stream, StreamSpec { file: Some(look.identity), ..(*spec).clone() });
            self.remembered.entry(look.identity.inode).or_default().push(stream);
        }
    }
}
