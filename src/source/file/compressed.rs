//! Generations that were compressed before they were read to their end: what the queue does not have of them is read
//! from the compressed file, as part of the same stream, so that events keep their positions and IDs.
//!
//! With `*.log` and with `*.log*` alike, a compressed file is looked at only as a generation of a followed one. Of its
//! content nothing is read that was read before: its first bytes find the stream, the bytes before the position prove
//! it, and where the trailer says that nothing more is in it, it is not even decompressed.

use super::globs::{bases, inner_bases, name_shape};
use super::inflate::{Codec, Inflater, stated_size};
use super::not_followed::Reason;
use super::resume::first_bytes;
use super::tailer::Tailer;
use super::tracked::{FileId, Look, Tracked, open_regular, read_full, same_file, tail_agrees};
use crate::queue::{Head, Position, Stream};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// How far decompression runs ahead of reading, bytes.
const AHEAD: u64 = 2 << 20;
/// Content that is passed over in one turn, bytes: about ten milliseconds.
const SKIP: u64 = 4 << 20;
/// So many first bytes are compared with those of a followed file.
const COMPARED: u64 = 128 << 10;
/// A file that cannot be decompressed may still be being written: it is tried this often.
const TRIES: u32 = 3;

/// What a followed file that is compressed has besides.
#[derive(Debug)]
pub(crate) struct Packed {
    codec: Codec,
    /// Its size on disk, bytes.
    pub(super) size: u64,
    pub(crate) inflater: Option<Inflater>,
    /// The bytes before the position were compared with what is remembered of them.
    proved: bool,
    failures: u32,
    /// All that can be had of it was decompressed.
    pub(crate) whole: bool,
}

/// What [`Tracked::inflate`] found.
pub(crate) enum Inflated {
    /// There is content at the position, or its end.
    Ready,
    /// More has to be passed over first.
    Skipping,
    /// It is not the file that it was taken for.
    Unlike,
}

impl Tracked {
    /// Sees to it that there is content to read, if the file is a compressed one.
    pub(crate) fn inflate(&mut self) -> io::Result<Inflated> {
        let (pos, scanned, tail) = (self.pos, self.scanned, self.tail);
        let place = self.place().to_owned();
        let (Some(packed), Some(file)) = (&mut self.packed, &self.file) else { return Ok(Inflated::Ready) };
        let Some(inflater) = &mut packed.inflater else { return Ok(Inflated::Ready) };
        if !packed.whole && inflater.at() < scanned + AHEAD {
            match inflater.advance(pos, if inflater.at() < pos { SKIP } else { AHEAD }) {
                Ok(more) => packed.whole = !more,
                Err(e) => {
                    packed.failures += 1;
                    if packed.failures < TRIES {
                        return Err(e);
                    }
                    tracing::error!(
                        "{} cannot be decompressed beyond byte {} of its content: {e}; what was before is kept, the rest is lost",
                        place.display(),
                        inflater.at()
                    );
                    packed.whole = true;
                }
            }
        }
        if inflater.at() < pos {
            return Ok(if packed.whole { Inflated::Unlike } else { Inflated::Skipping });
        }
        if !packed.proved {
            packed.proved = true;
            if pos > 0 && !tail_agrees(file, pos, &tail)? {
                return Ok(Inflated::Unlike);
            }
        }
        inflater.forget_before(pos, scanned);
        Ok(Inflated::Ready)
    }

    /// Makes the content readable.
    pub(crate) fn unpack(&mut self, file: std::fs::File) -> io::Result<std::fs::File> {
        let Some(packed) = &mut self.packed else { return Ok(file) };
        let inflater = Inflater::new(file, packed.codec)?;
        let content = inflater.content()?;
        (packed.inflater, packed.proved, packed.whole) = (Some(inflater), false, false);
        Ok(content)
    }

    /// Whether no more will ever come: a compressed file that was decompressed to its end.
    pub(crate) fn is_whole(&self) -> bool {
        self.packed.as_ref().is_some_and(|p| p.whole)
    }
}

/// The names of which the compressed file `path` may be a generation: `app.log.1`, `app.log` and `app` of `app.log.1.gz`.
fn originals(path: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(stem)) = (path.parent(), path.file_stem()) else { return Vec::new() };
    std::iter::once(stem).chain(bases(stem)).map(|name| dir.join(name)).collect()
}

impl Tailer {
    /// The paths of which the compressed file `path` may be a generation, also by links and by a number before the extension.
    pub(crate) fn originals(&self, path: &Path) -> Vec<PathBuf> {
        let mut found = originals(path);
        if let (Some(dir), Some(stem)) = (path.parent(), path.file_stem()) {
            found.extend(inner_bases(stem).into_iter().map(|name| dir.join(name)));
        }
        let links: Vec<PathBuf> = found.iter().flat_map(|o| self.links_to(o)).cloned().collect();
        found.extend(links);
        found
    }

    /// Whether `path` may be a compressed generation of a followed file, or is followed as it is.
    pub(crate) fn is_compressed_generation(&mut self, path: &Path) -> bool {
        Codec::of(path).is_some()
            && (self.globs.iter().any(|g| g.names_compressed(path))
                || self.originals(path).iter().any(|o| self.globs.iter().any(|g| g.matches(o))))
    }

    /// A compressed file that is not followed: whether it should be, and from where.
    pub(crate) fn begin_compressed(&mut self, path: PathBuf, look: Look, codec: Codec, now: Instant) {
        let settled = match self.not_followed.get(&look) {
            Some(Reason::Unrelated) => true,
            Some(Reason::Read { size }) => size == look.size,
            // Whatever it holds is read from the original first, as long as that can be.
            Some(Reason::Waits(stream)) => self.tracks(stream),
            _ => false,
        };
        if settled || self.globs.iter().any(|g| g.excludes(&path)) {
            return;
        }
        let originals = self.originals(&path);
        if std::fs::symlink_metadata(path.with_extension("")).is_ok_and(|m| m.is_file()) {
            // It is still being written; its writer removes the original when it is whole.
            return;
        }
        let head = match open_regular(&path).and_then(|file| Inflater::new(file, codec)).and_then(|mut i| i.first(Head::MAX)) {
            Ok(head) => head,
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof || e.kind() == io::ErrorKind::NotFound => return,
            Err(e) => {
                let text = format!(
                    "{} cannot be decompressed: {e}; if it holds lines that were not read yet, they are not shipped",
                    path.display()
                );
                self.say_once(text);
                self.not_followed.insert(&look, Reason::Unrelated);
                return;
            }
        };
        if head.is_empty() {
            self.not_followed.insert(&look, Reason::Unrelated);
            return;
        }
        while let Some((stream, position)) = self.stream_of(&look, &originals, &head) {
            if self.is_other_than_followed(&stream, &path, codec) {
                self.unlike.insert((look.identity.inode, stream.id));
                continue;
            }
            let all_read = !self.tracks(stream.id) && stated_size(&path, codec) == Some(position.end);
            if all_read && !self.comes_again(&stream, &look, &originals, &head) {
                self.has_read(&stream, &look);
            } else {
                self.go_on_compressed(path, look, codec, stream, position, now);
            }
            return;
        }
        let named = self.globs.iter().position(|g| g.names_compressed(&path)).map(|source| (source, path.clone()));
        let stem = path.parent().zip(path.file_stem()).map(|(dir, stem)| dir.join(stem));
        let inner: Vec<PathBuf> =
            path.file_stem().map(inner_bases).unwrap_or_default().into_iter().map(|n| path.with_file_name(n)).collect();
        // Its time of change is that of its content where the compressor keeps it (gzip, zstd, logrotate), else later.
        let unpacked = path.with_extension("");
        // A name with the number before the extension must be asked for by itself: it may be that of another log.
        let asked = stem.as_ref().is_some_and(|s| self.globs.iter().any(|g| g.matches(s)));
        let missed = originals.iter().find(|o| {
            let rotated = if inner.contains(o) { asked } else { self.has_name_of_generation(o, &unpacked) };
            let since = if rotated { self.followed_since(o) } else { 0 };
            since != 0 && since <= look.modified_ns
        });
        // Each generation has its own name from the beginning (log4j2 without `fileName`, logback without `file`).
        let sibling = |s: &&PathBuf| self.seen_shapes.get(&name_shape(s)).is_some_and(|since| *since != 0 && *since <= look.modified_ns);
        let missed = missed.cloned().or_else(|| stem.as_ref().filter(sibling).cloned());
        let missed = missed.filter(|_| !self.unrelated_heads.contains(&Head::of(&head)));
        let Some((source, original)) = missed.and_then(|o| Some((self.source_of(&o)?, o))).or(named) else {
            self.not_followed.insert(&look, Reason::Unrelated);
            return;
        };
        if self.is_unread_still(&originals, &head) {
            // It is open, though its name is gone: read to its end, it tells how much of it there is in here.
            return self.scan_soon(now);
        }
        if original != path {
            tracing::info!(
                "{} is a generation of {} that was compressed before it was seen: reading it",
                path.display(),
                original.display()
            );
        }
        let mut file = Tracked::new(source, self.shared.sources[source].counters.clone(), &original, &path, &look);
        file.counters.rotations.add(u64::from(*file.path != *path));
        file.packed = Some(Box::new(Packed::new(codec, look.size)));
        file.aside.moved = Some(now);
        let id = self.insert(file);
        self.name(&path, id);
    }

    /// The stream that a compressed file with these first bytes belongs to, and how far it was read.
    fn stream_of(&self, look: &Look, originals: &[PathBuf], head: &[u8]) -> Option<(Arc<Stream>, Position)> {
        let known = self.remembered.values().chain(self.remembered_paths.values()).flatten();
        let mut fitting: Vec<(Arc<Stream>, Position)> = known
            .chain(self.files.values().filter_map(|f| f.stream.as_ref()))
            .filter(|s| !self.unlike.contains(&(look.identity.inode, s.id)))
            .filter(|s| {
                let brief = s.brief();
                let own = || brief.file.is_some_and(|f| same_file(&f, &look.identity));
                brief.head.len > 0 && (own() || originals.iter().any(|o| s.is_of(o))) && brief.head.matches(head)
            })
            .map(|s| (s.clone(), self.reached(s)))
            .collect();
        // The longest fingerprint says most; of equal ones, the one that was read farthest.
        fitting.sort_by_key(|(s, position)| (s.brief().head.len, position.end));
        fitting.pop()
    }

    /// Whether a file that begins like this is open, with nothing read of it yet.
    fn is_unread_still(&self, originals: &[PathBuf], head: &[u8]) -> bool {
        self.files.values().any(|f| {
            f.pos == 0
                && f.packed.is_none()
                && originals.iter().any(|o| **o == *f.path)
                && f.file.as_ref().is_some_and(|open| first_bytes(open).is_ok_and(|first| first == head))
        })
    }

    /// How far a stream was handed over: as far as it is durable, or, by this process, farther.
    pub(crate) fn reached(&self, stream: &Stream) -> Position {
        let durable = stream.durable();
        self.handed_over.get(&stream.id).copied().filter(|p| p.end > durable.end).unwrap_or(durable)
    }

    /// Whether a stream ended with a truncation of its file, so that a copy may hold less of it than was read.
    fn was_truncated(&self, stream: &Stream) -> bool {
        let brief = stream.brief();
        let later = |s: &Arc<Stream>| {
            let other = s.brief();
            other.generation > brief.generation && other.file.zip(brief.file).is_some_and(|(a, b)| same_file(&a, &b))
        };
        let known = self.remembered.values().chain(self.remembered_paths.values()).flatten();
        self.ended_here.contains(&stream.id) || known.chain(self.files.values().filter_map(|f| f.stream.as_ref())).any(later)
    }

    pub(super) fn tracks(&self, stream: u64) -> bool {
        self.files.values().any(|f| f.stream.as_ref().is_some_and(|s| s.id == stream))
    }

    /// Whether a compressed file that begins like `stream`, and is as long as what was read of it, may be another generation,
    /// because those of its log begin alike. Then its last bytes tell, for which all of it is decompressed.
    fn comes_again(&self, stream: &Stream, look: &Look, originals: &[PathBuf], head: &[u8]) -> bool {
        let another = |s: &&Arc<Stream>| s.id != stream.id && s.brief().head.matches(head);
        let known = originals.iter().filter_map(|o| self.remembered_paths.get(o)).flatten();
        let followed = originals.iter().filter_map(|o| self.files.get(&self.names(o)?)?.stream.as_ref());
        let taken = self.read_packed.get(&stream.id).is_some_and(|file| *file != look.identity);
        head.len() == Head::MAX
            && (taken
                || known.chain(followed).any(|s| another(&s))
                || originals.iter().any(|o| open_regular(o).and_then(|file| first_bytes(&file)).is_ok_and(|first| first == head)))
    }

    /// Whether a compressed file begins with other bytes than the followed file that `stream` is read from, although the
    /// fingerprint is the same.
    fn is_other_than_followed(&self, stream: &Stream, path: &Path, codec: Codec) -> bool {
        let followed = self.files.values().find(|f| f.packed.is_none() && f.stream.as_ref().is_some_and(|s| s.id == stream.id));
        let Some(followed) = followed.filter(|f| f.pos > Head::MAX as u64) else { return false };
        let Some(Ok(file)) = followed.at.as_deref().map(open_regular) else { return false };
        let mut ours = vec![0; followed.pos.min(COMPARED) as usize];
        let theirs = open_regular(path).and_then(|packed| Inflater::new(packed, codec)).and_then(|mut i| i.first(ours.len()));
        let (Ok(n), Ok(theirs)) = (read_full(&file, &mut ours, 0), theirs) else { return false };
        let n = n.min(theirs.len());
        // Looked at last: were it truncated before, these would be the bytes of another generation.
        ours[..n] != theirs[..n] && followed.as_former().stands_in(&file)
    }

    /// The compressed file holds what was read of the stream, and no more.
    fn has_read(&mut self, stream: &Stream, look: &Look) {
        self.not_followed.insert(look, Reason::Read { size: look.size });
        if self.read_packed.len() > 100_000 {
            self.read_packed.clear();
        }
        self.read_packed.insert(stream.id, look.identity);
    }

    fn go_on_compressed(&mut self, path: PathBuf, look: Look, codec: Codec, stream: Arc<Stream>, at: Position, now: Instant) {
        let spec = stream.spec();
        if self.tracks(stream.id) {
            // A short fingerprint may fit by chance: then it is judged anew at the next listing.
            if spec.head.len as usize == Head::MAX {
                self.not_followed.insert(&look, Reason::Waits(stream.id));
            }
            return;
        }
        let Some(source) = self.source_of(&spec.path) else { return };
        let mut file = Tracked::new(source, self.shared.sources[source].counters.clone(), &spec.path, &path, &look);
        (file.generation, file.head, file.announced, file.stream) = (spec.generation, spec.head, spec.key == 0, Some(stream));
        file.packed = Some(Box::new(Packed::new(codec, look.size)));
        file.aside.moved = Some(now);
        file.seek(at.end, at.tail);
        tracing::info!("{} holds what was read of {} up to byte {}: reading on from there", path.display(), spec.path.display(), at.end);
        let id = self.insert(file);
        self.name(&path, id);
    }

    /// Whether a compressed file holds what was not read of the file `id`.
    pub(crate) fn is_held_compressed(&self, id: FileId) -> bool {
        let Some(file) = self.files.get(&id) else { return false };
        match &file.stream {
            Some(stream) if !file.announced => self.not_followed.0.values().any(|(_, reason)| *reason == Reason::Waits(stream.id)),
            _ => self.files.values().any(|f| f.packed.is_some() && f.path == file.path && f.identity.born_ns >= file.identity.born_ns),
        }
    }

    /// A compressed file that was read to its end is not followed any more.
    pub(crate) fn end_compressed(&mut self, id: FileId) {
        let Some(file) = self.files.get(&id) else { return };
        let size = file.packed.as_ref().map_or(file.size, |packed| packed.size);
        let look = Look { identity: file.identity, size, modified_ns: 0 };
        match file.stream.clone() {
            Some(stream) => self.has_read(&stream, &look),
            None => self.not_followed.insert(&look, Reason::Read { size }),
        }
        self.remember_and_remove(id);
    }

    /// A compressed file is not what it was taken for: it is judged anew, without that stream.
    pub(crate) fn unlike(&mut self, id: FileId, now: Instant) {
        if let Some(file) = self.files.get(&id)
            && let Some(stream) = &file.stream
        {
            if file.is_whole() && self.was_truncated(stream) {
                // A copy that was made before the last bytes came that were read of the original: it holds nothing new.
                return self.end_compressed(id);
            }
            self.unlike.insert((file.identity.inode, stream.id));
        }
        self.remove(id);
        self.scan_soon(now);
    }
}

impl Packed {
    fn new(codec: Codec, size: u64) -> Packed {
        Packed { codec, size, inflater: None, proved: false, failures: 0, whole: false }
    }
}
