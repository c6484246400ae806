//! Copies that rotation by copy and truncate leaves behind: they are not read again, but what
//! was truncated away before it was read is read from them, as part of the same stream.

use super::globs::bases;
use super::marks::{Marks, WHOLE, tells};
use super::not_followed::Reason;
use super::resume::first_bytes;
use super::tailer::Tailer;
use super::tracked::{FileId, Former, Look, Tracked, open_regular, read_full, tail_agrees};
use crate::queue::{Head, Position, Tail};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How soon a file is judged that could not be judged yet.
const SOON: Duration = Duration::from_millis(100);

/// So many first bytes say what a file is of which nothing was read.
const KNOWN: u32 = 64;

/// So many first bytes of a stream, with the last ones before its position, prove that a file of another identity holds
/// what was read of it. Fewer may come again in another generation: rather sent twice than not at all.
pub(super) const PROOF: u32 = 256;

/// What a file is beside the one whose name it extends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Likeness {
    /// It holds other bytes.
    Other,
    /// It holds what was read of the original, and maybe more.
    Copy,
}

/// Compares the file at `path` with its original: with the file itself where that still holds what was read of it,
/// else with what is remembered of it.
fn likeness(path: &Path, look: &Look, former: &Former, original: Option<&std::fs::File>) -> io::Result<Likeness> {
    let (a, b) = (former.identity.born_ns, look.identity.born_ns);
    // Of what was announced and never read, a few first bytes prove nothing.
    let known = former.head.len > 0 && (former.pos > 0 || former.head.len >= KNOWN);
    if !known || (a != 0 && b != 0 && b < a) || former.identity.inode == look.identity.inode {
        return Ok(Likeness::Other);
    }
    let copy = open_regular(path)?;
    let head = first_bytes(&copy)?;
    let size = copy.metadata()?.len();
    let agrees = if let Some(original) = original {
        // The original is as it was: a copy cannot be longer, and its last bytes must stand in the original too.
        let len = size.min(Tail::MAX as u64) as usize;
        let (mut ours, mut theirs) = ([0; Tail::MAX], [0; Tail::MAX]);
        let n = read_full(&copy, &mut ours[..len], size - len as u64)?;
        let m = read_full(original, &mut theirs[..len], size - len as u64)?;
        let mut first = vec![0; head.len()];
        let k = read_full(original, &mut first, 0)?;
        n == len && ours[..n] == theirs[..m] && first[..k] == head[..]
    } else if size >= former.pos {
        former.head.matches(&head) && tail_agrees(&copy, former.pos, &former.tail)?
    } else {
        former.head.matches(&head)
    };
    Ok(if agrees { Likeness::Copy } else { Likeness::Other })
}

/// The suffix with which `path` extends `base`, with one 0 for each run of digits.
fn shape(base: &Path, path: &Path) -> Option<Vec<u8>> {
    let suffix = path.file_name()?.as_bytes().strip_prefix(base.file_name()?.as_bytes())?;
    let mut shape: Vec<u8> = suffix.iter().map(|b| if b.is_ascii_digit() { b'0' } else { *b }).collect();
    shape.dedup_by(|a, b| *a == b'0' && *b == b'0');
    Some(shape)
}

impl Former {
    /// Whether a file still holds what was read of it.
    pub(super) fn stands_in(&self, file: &std::fs::File) -> bool {
        first_bytes(file).is_ok_and(|head| self.head.matches(&head)) && tail_agrees(file, self.pos, &self.tail).unwrap_or(false)
    }
}

impl Tracked {
    pub(super) fn as_former(&self) -> Former {
        Former {
            stream: self.stream.clone(),
            identity: self.identity,
            generation: self.generation,
            head: self.head,
            marks: self.known_marks(),
            pos: self.pos,
            tail: self.tail,
            size: self.size,
        }
    }
}

impl Tailer {
    /// Whether a file that is not followed is a copy of a followed one whose name it extends. A copy whose original
    /// was truncated already, and of which the queue remembers where it stood, is followed from there at once.
    pub(crate) fn is_copy(&mut self, path: &Path, look: &Look, now: Instant) -> bool {
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return false };
        for base in bases(name) {
            let Some(id) = self.dirs.get(dir).and_then(|d| d.names.get(base)) else { continue };
            let Some(file) = self.files.get(&id) else { continue };
            let (a, b) = (file.identity.born_ns, look.identity.born_ns);
            if a != 0 && b != 0 && b < a {
                // An older file is no copy.
                continue;
            }
            if file.pos == 0 && file.size > 0 && file.aside.failed.is_none() {
                // Nothing was read yet with which it could be compared: the original first.
                // Draining, an incomplete line is left for the next start, and this file with it.
                self.undecided |= file.aside.drain_end.is_none() || file.scanned < file.size;
                self.activate(id);
                self.scan_due = self.scan_due.min(now + SOON);
                return true;
            }
            let former = file.as_former();
            let original = file.at.as_deref().and_then(|at| open_regular(at).ok());
            let original = original.filter(|o| former.stands_in(o));
            let like = |original: Option<&std::fs::File>| likeness(path, look, &former, original).is_ok_and(|l| l == Likeness::Copy);
            let mut copy = former.pos > 0 && like(original.as_ref());
            if !copy && former.pos > 0 && original.as_ref().is_some_and(|o| !former.stands_in(o)) {
                // It was truncated while the two were compared.
                copy = like(None);
            }
            if copy {
                self.not_followed.insert(look, Reason::Copy { original: id, size: look.size });
                self.note_copy(id, path, look);
                return true;
            }
            if self.continue_in_copy(path, look, id, now) {
                return true;
            }
        }
        false
    }

    /// Whether a file beside `base` holds all that was read of a generation of it that is not there any more. What it
    /// holds beyond that is read from it, as part of the same stream.
    pub(super) fn is_copy_of_read(&mut self, path: &Path, base: &Path, look: &Look, now: Instant) -> bool {
        let mut streams: Vec<_> = self.remembered_paths.get(base).into_iter().flatten().cloned().collect();
        // One whose name has just come to mean this file is over, if it is read to its end.
        let over = |f: &Tracked| f.at.is_none() && *f.path == *base && f.size == f.pos;
        let over = |f: &Tracked| over(f) && f.file.as_ref().is_none_or(|o| o.metadata().is_ok_and(|m| m.len() == f.pos));
        let vanished: Vec<(FileId, Former)> =
            self.vanishing.iter().filter_map(|id| Some((*id, self.files.get(id).filter(|f| over(f))?.as_former()))).collect();
        streams.extend(vanished.iter().filter_map(|(_, former)| former.stream.clone()));
        if streams.iter().all(|s| s.brief().head.len < PROOF) {
            return false;
        }
        let Ok(first) = open_regular(path).and_then(|f| first_bytes(&f)) else { return false };
        if !tells(&first) {
            return false;
        }
        streams.retain(|s| s.brief().head.matches(&first));
        for stream in streams {
            let (spec, mut at) = (stream.spec(), self.reached(&stream));
            let was = vanished.iter().find(|(_, former)| former.stream.as_ref().is_some_and(|s| s.id == stream.id));
            if let Some((_, former)) = was {
                at = Position { end: former.pos, tail: former.tail };
            }
            let proves = spec.head.len >= PROOF && at.end >= WHOLE && look.size >= at.end;
            let Some(identity) = spec.file.filter(|_| proves) else { continue };
            let former = Former {
                stream: Some(stream.clone()),
                identity,
                generation: spec.generation,
                head: spec.head,
                marks: Marks::decode(&spec.resume),
                pos: at.end,
                tail: at.tail,
                size: at.end,
            };
            if (was.is_none() && self.tracks(stream.id)) || !likeness(path, look, &former, None).is_ok_and(|l| l == Likeness::Copy) {
                continue;
            }
            if let Some((id, _)) = was {
                self.remember_and_remove(*id);
            }
            if path == base || look.size > at.end && !self.ended_here.contains(&stream.id) {
                if let Some(source) = self.source_of(base) {
                    if path == base {
                        self.shared.sources[source].counters.kept_bytes.add(at.end);
                        tracing::warn!(
                            "{} was replaced by a file that holds all {} bytes that were read of it, which are not sent again",
                            path.display(),
                            at.end
                        );
                    }
                    self.go_on_in(path, look, source, base, &former, now);
                }
            } else {
                tracing::info!("{} holds what was read of {}, and is not sent again", path.display(), base.display());
                self.not_followed.insert(look, Reason::CopyOfRead { size: look.size });
            }
            return true;
        }
        false
    }

    /// How much of a new file at `path` was read before, as part of a generation of `base` that held more or something else
    /// behind it: then an older copy of it was put back.
    pub(super) fn kept_of_read(&self, path: &Path, base: &Path, look: &Look) -> io::Result<(u64, Tail)> {
        let vanished = self.vanishing.iter().filter_map(|id| self.files.get(id)).filter(|f| *f.path == *base);
        let vanished = vanished.filter_map(|f| Some((f.head, f.known_marks(), f.pos, f.stream.as_ref()?.id)));
        let known = self.remembered_paths.get(base).into_iter().flatten();
        let known: Vec<_> = known.map(|s| (s.spec(), self.reached(s).end, s.id)).filter(|k| k.0.head.len as usize == Head::MAX).collect();
        let known = known.iter().map(|(spec, pos, id)| (spec.head, Marks::decode(&spec.resume), *pos, *id)).chain(vanished);
        let known: Vec<_> = known.filter(|k| k.0.len as usize == Head::MAX).collect();
        let mut most = (0, Tail::default());
        if known.is_empty() {
            return Ok(most);
        }
        let file = open_regular(path)?;
        let first = first_bytes(&file)?;
        for (head, marks, pos, id) in known.into_iter().filter(|k| k.0.matches(&first)) {
            // One that is there still, under another name, was rotated away: what begins like it is another generation.
            if self.files.values().any(|f| f.at.is_some() && f.stream.as_ref().is_some_and(|s| s.id == id)) {
                continue;
            }
            let kept = marks.kept(&file, look.size, &head, pos)?;
            most = if kept.0 > most.0 { kept } else { most };
        }
        Ok(most)
    }

    /// A copy of an earlier generation of the file `id`: what the queue does not have of it yet is read from the copy.
    fn continue_in_copy(&mut self, path: &Path, look: &Look, id: FileId, now: Instant) -> bool {
        let Some(file) = self.files.get(&id) else { return false };
        let streams: Vec<_> = self.remembered_paths.get(&file.path).into_iter().flatten().cloned().collect();
        for stream in streams {
            let spec = stream.spec();
            let of_this_file = spec.file.is_some_and(|f| super::tracked::same_file(&f, &file.identity));
            if !of_this_file || file.stream.as_ref().is_some_and(|s| s.id == stream.id) || spec.generation >= file.generation {
                continue;
            }
            let durable = stream.durable();
            let former = Former {
                identity: file.identity,
                generation: spec.generation,
                head: spec.head,
                marks: Marks::decode(&spec.resume),
                pos: durable.end,
                tail: durable.tail,
                size: durable.end,
                stream: Some(stream.clone()),
            };
            // Another copy may be read as this stream already, or the rest was looked for when the truncation was seen:
            // then the position is ahead of the durable one.
            let read_elsewhere =
                self.ended_here.contains(&stream.id) || self.files.values().any(|f| f.stream.as_ref().is_some_and(|s| s.id == stream.id));
            if likeness(path, look, &former, None).is_ok_and(|l| l == Likeness::Copy) {
                self.note_copy(id, path, look);
                if look.size > former.pos && !read_elsewhere {
                    self.follow_copy(path, look, id, &former, now);
                } else {
                    self.not_followed.insert(look, Reason::Copy { original: id, size: look.size });
                }
                return true;
            }
        }
        false
    }

    /// After a truncation of the file `id`: finds the copy with what was not read, and follows it.
    pub(crate) fn adopt_copy(&mut self, id: FileId, former: &Former, now: Instant) -> bool {
        let Some(at) = self.files.get(&id).map(|f| f.at.clone().unwrap_or_else(|| f.path.clone())) else { return false };
        let (Some(dir), Some(name)) = (at.parent(), at.file_name()) else { return false };
        let Ok(entries) = std::fs::read_dir(dir) else { return false };
        for entry in entries.flatten() {
            let other = entry.file_name();
            if !bases(&other).any(|base| base == name) {
                continue;
            }
            let path = entry.path();
            let Some(look) = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file).map(|m| Look::of(&m)) else { continue };
            let followed = self.by_inode.get(&look.identity).is_some_and(|id| self.files.contains_key(&id));
            if followed || !likeness(&path, &look, former, None).is_ok_and(|l| l == Likeness::Copy) {
                continue;
            }
            self.note_copy(id, &path, &look);
            if look.size > former.pos {
                self.follow_copy(&path, &look, id, former, now);
                return true;
            }
            self.not_followed.insert(&look, Reason::Copy { original: id, size: look.size });
            if look.size == former.pos && look.size >= former.size {
                return true;
            }
        }
        false
    }

    /// Remembers that the file `id` is rotated by copies with names like `path`.
    fn note_copy(&mut self, id: FileId, path: &Path, look: &Look) {
        if let Some(file) = self.files.get_mut(&id)
            && let Some(shape) = shape(file.place(), path)
        {
            let born = file.aside.copies.as_ref().map_or(i64::MAX, |c| c.1).min(look.identity.born_ns);
            file.aside.copies = Some(Box::new((shape, born)));
        }
    }

    /// Whether `path` is a copy of a generation of `base` that came and went between two looks: no older than the
    /// oldest copy that is known, with a name of the same shape, and like nothing that was read.
    pub(crate) fn is_unseen_copy(&mut self, path: &Path, base: &Path, look: &Look) -> bool {
        let (Some(dir), Some(name)) = (base.parent(), base.file_name()) else { return false };
        let Some(id) = self.dirs.get(dir).and_then(|d| d.names.get(name)) else { return false };
        let known = self.files.get(&id).and_then(|f| f.aside.copies.clone());
        let unseen = known.is_some_and(|known| look.identity.born_ns >= known.1 && shape(base, path).as_ref() == Some(&known.0));
        if unseen {
            self.note_copy(id, path, look);
        }
        unseen
    }

    /// Follows the copy at `path` as the continuation of `former`.
    fn follow_copy(&mut self, path: &Path, look: &Look, original: FileId, former: &Former, now: Instant) {
        let Some(file) = self.files.get(&original) else { return };
        let (source, first_path) = (file.source(), file.path.clone());
        self.go_on_in(path, look, source, &first_path, former, now);
    }

    fn go_on_in(&mut self, path: &Path, look: &Look, source: usize, first_path: &Path, former: &Former, now: Instant) {
        let counters = self.shared.sources[source].counters.clone();
        let mut copy = Tracked::new(source, counters, first_path, path, look);
        copy.stream = former.stream.clone();
        copy.announced = former.stream.as_ref().is_some_and(|stream| stream.brief().key == 0);
        copy.generation = former.generation;
        copy.head = former.head;
        copy.seek(former.pos, former.tail);
        copy.aside.moved = (path != first_path).then_some(now);
        tracing::info!(
            "{} is a copy of what was {}: reading its last {} bytes from byte {} on",
            path.display(),
            copy.path.display(),
            look.size - former.pos,
            former.pos
        );
        let id = self.insert(copy);
        self.name(path, id);
    }
}
