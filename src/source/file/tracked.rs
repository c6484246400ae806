//! One followed file: where it stands and how it is opened. No bytes of it are kept in memory.

use super::aside::Seldom;
use super::compressed::Packed;
use super::counters::Counters;
use super::marks::Marks;
use crate::queue::{FileIdentity, Head, Stream, Tail};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// Number of a followed file within the tailer.
pub(crate) type FileId = usize;

/// What a look at a name shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) identity: FileIdentity,
    pub(crate) size: u64,
    pub(crate) modified_ns: i64,
}

impl Look {
    pub(crate) fn of(meta: &Metadata) -> Look {
        let born_ns =
            meta.created().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(0));
        Look {
            identity: FileIdentity { device: meta.dev(), inode: meta.ino(), born_ns },
            size: meta.len(),
            modified_ns: meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec()),
        }
    }

    /// Order of generations: birth where there is one, else the last change.
    pub(crate) fn age_key(&self) -> i64 {
        if self.identity.born_ns == 0 { self.modified_ns } else { self.identity.born_ns }
    }
}

/// Whether both can be the same file; the device may differ after a reboot.
pub(crate) fn same_file(a: &FileIdentity, b: &FileIdentity) -> bool {
    a.inode == b.inode && (a.born_ns == b.born_ns || a.born_ns == 0 || b.born_ns == 0)
}

/// Reads until `buf` is full or the file ends.
pub(crate) fn read_full(file: &File, buf: &mut [u8], at: u64) -> io::Result<usize> {
    let mut n = 0;
    while n < buf.len() {
        match file.read_at(&mut buf[n..], at + n as u64) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}

/// The tail of what `file` holds before byte `at`.
pub(crate) fn tail_at(file: &File, at: u64) -> io::Result<Tail> {
    let mut buf = [0; Tail::MAX];
    let len = at.min(Tail::MAX as u64) as usize;
    let n = read_full(file, &mut buf[..len], at - len as u64)?;
    Ok(if n < len { Tail::default() } else { Tail::of(&buf[..len]) })
}

/// Whether the bytes before `at` are still those of `tail`.
pub(crate) fn tail_agrees(file: &File, at: u64, tail: &Tail) -> io::Result<bool> {
    let len = tail.len as usize;
    let mut buf = [0; Tail::MAX];
    if len > Tail::MAX || len as u64 > at {
        return Ok(false);
    }
    let n = read_full(file, &mut buf[..len], at - len as u64)?;
    Ok(n == len && Tail::of(&buf[..len]) == *tail)
}

/// What a truncated file was before: a copy may still hold its unread end.
#[derive(Clone, Debug)]
pub(crate) struct Former {
    pub(crate) stream: Option<Arc<Stream>>,
    pub(crate) identity: FileIdentity,
    pub(crate) generation: u32,
    pub(crate) head: Head,
    pub(crate) marks: Marks,
    pub(crate) pos: u64,
    pub(crate) tail: Tail,
    pub(crate) size: u64,
}

/// A followed file. What most of them need not have is [`super::aside::Aside`].
#[derive(Debug)]
pub(crate) struct Tracked {
    source: u32,
    pub(crate) generation: u32,
    /// Path under which it was first matched; goes into the stream.
    pub(crate) path: Arc<Path>,
    /// Where it is now, in one memory with `path` where that is the same; `None` when no listed directory has it.
    pub(crate) at: Option<Arc<Path>>,
    pub(crate) identity: FileIdentity,
    pub(crate) file: Option<File>,
    /// The queue knows the stream, but not its key: no event of it was handed over yet.
    pub(crate) announced: bool,
    /// It waits for its turn.
    pub(crate) queued: bool,
    /// It had a turn since the last search for files to close.
    pub(crate) used: bool,
    /// Whole lines are read whose event may go on; it waits for its quiet time.
    pub(crate) open_event: bool,
    pub(crate) stream: Option<Arc<Stream>>,
    pub(crate) head: Head,
    /// All bytes before are handed over (or deliberately skipped).
    pub(crate) pos: u64,
    /// The bytes before `pos`.
    pub(crate) tail: Tail,
    /// There is no whole event in `pos..scanned`.
    pub(crate) scanned: u64,
    /// Size and time of change at the last look.
    pub(crate) size: u64,
    pub(crate) modified_ns: i64,
    /// What this file adds to the gauge of unread bytes.
    unread: u64,
    pub(crate) counters: Arc<Counters>,
    pub(crate) aside: Seldom,
    /// Set where the file is compressed: then sizes and positions are those of its content.
    pub(crate) packed: Option<Box<Packed>>,
}

impl Tracked {
    pub(crate) fn new(source: usize, counters: Arc<Counters>, path: &Path, at: &Path, look: &Look) -> Tracked {
        counters.files.add(1);
        let first: Arc<Path> = path.into();
        let at = if at == path { first.clone() } else { at.into() };
        Tracked {
            source: source as u32,
            generation: 0,
            path: first,
            at: Some(at),
            identity: look.identity,
            file: None,
            announced: false,
            queued: false,
            used: false,
            open_event: false,
            stream: None,
            head: Head::default(),
            pos: 0,
            tail: Tail::default(),
            scanned: 0,
            size: look.size,
            modified_ns: 0,
            unread: 0,
            counters,
            aside: Seldom::default(),
            packed: None,
        }
    }

    /// Index of the source it belongs to.
    pub(crate) fn source(&self) -> usize {
        self.source as usize
    }

    /// Goes on at `pos`, behind the bytes of `tail`.
    pub(crate) fn seek(&mut self, pos: u64, tail: Tail) {
        (self.pos, self.tail) = (pos, tail);
        self.scanned = self.scanned.max(pos);
    }

    /// Brings the gauge of unread bytes up to date.
    pub(crate) fn gauge(&mut self) {
        let unread = self.size.saturating_sub(self.pos);
        if unread > self.unread {
            self.counters.unread_bytes.add(unread - self.unread);
        } else {
            self.counters.unread_bytes.sub(self.unread - unread);
        }
        self.unread = unread;
    }

    /// Opens the file where it is now; an error of kind `NotFound` when that name means another file. Gives what was seen
    /// of it on the way.
    pub(crate) fn open(&mut self) -> io::Result<Option<Metadata>> {
        if self.file.is_none() {
            let at = self.at.as_deref().ok_or(io::ErrorKind::NotFound)?;
            let (file, meta) = open_seen(at)?;
            if Look::of(&meta).identity != self.identity {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the name means another file now"));
            }
            self.file = Some(self.unpack(file)?);
            self.counters.open_files.add(1);
            if let Some(stream) = &self.stream {
                stream.wake();
                self.aside.marks = Marks::decode(&stream.spec().resume);
            }
            return Ok(Some(meta).filter(|_| self.packed.is_none()));
        }
        Ok(None)
    }

    pub(crate) fn close(&mut self) {
        if let Some(packed) = &mut self.packed {
            packed.inflater = None;
        }
        if self.file.take().is_some() {
            self.counters.open_files.sub(1);
            self.rest();
        }
    }

    /// While it is not open, what is known of it and of its stream takes little memory.
    pub(crate) fn rest(&mut self) {
        if self.file.is_some() {
            return;
        }
        self.aside.closed();
        if let Some(stream) = &self.stream {
            let path = stream.rest_at(&self.path);
            if let Some(path) = path.filter(|path| !Arc::ptr_eq(path, &self.path)) {
                if self.at.as_ref().is_some_and(|at| Arc::ptr_eq(at, &self.path)) {
                    self.at = Some(path.clone());
                }
                self.path = path;
            }
        }
    }

    /// What it held at some of the positions up to which it was read.
    pub(crate) fn known_marks(&self) -> Marks {
        match (&self.file, &self.stream) {
            (None, Some(stream)) => Marks::decode(&stream.spec().resume),
            _ => self.aside.marks.clone(),
        }
    }

    /// Where it is, for people.
    pub(crate) fn place(&self) -> &Path {
        self.at.as_deref().unwrap_or(&self.path)
    }

    /// A failure, said once for each kind in a row.
    pub(crate) fn fail(&mut self, doing: &str, error: &io::Error) {
        if self.aside.failed != Some(error.kind()) {
            self.aside.failed = Some(error.kind());
            use rustix::io::Errno;
            if matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE)) {
                // It is the same for all files: said once.
                if self.counters.no_descriptor() {
                    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
                    let text = format!(
                        "no file descriptor is left ({error}; the limit of open files is {limit}): files are read as others are closed, \
                         trying again; nothing is lost unless rotation deletes it by then. Raise the limit (LimitNOFILE, ulimit -n)"
                    );
                    tracing::warn!("{text}");
                    self.counters.set_error(&text);
                }
                return;
            }
            let text = format!(
                "cannot {doing} {}: {error}; its {} bytes from byte {} on stay unread, trying again",
                self.place().display(),
                self.size.saturating_sub(self.pos),
                self.pos
            );
            tracing::warn!("{text}");
            self.counters.set_error(&text);
        }
    }

    pub(crate) fn healthy(&mut self) {
        if self.aside.failed.take().is_some() {
            tracing::info!("{} can be read again, going on at byte {}", self.place().display(), self.pos);
            self.counters.set_error("");
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.close();
        self.counters.files.sub(1);
        self.counters.unread_bytes.sub(self.unread);
    }
}

/// Opens a file for reading that must be a regular one, without waiting for the writer of a FIFO.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    open_seen(path).map(|(file, _)| file)
}

/// Like [`open_regular`], with what was seen of the file.
fn open_seen(path: &Path) -> io::Result<(File, Metadata)> {
    use rustix::fs::{Mode, OFlags};
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?;
    let file = File::from(fd);
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok((file, meta))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_thousand_files_take_little() {
        assert!(std::mem::size_of::<Tracked>() <= 168, "{}", std::mem::size_of::<Tracked>());
    }
}
