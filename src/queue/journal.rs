//! The file of the groups' journal. It and its spare have all their blocks from the beginning and change places when it
//! is written anew, so that delivering goes on when others have filled the disk.

use super::ballast::is_full;
use super::disk::{Disk, DiskFile};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The journal is written anew when its records take more than this many bytes (and more than twice what is compact).
const ROOM: usize = 256 << 10;

/// See the module. What is behind the records is zeros.
#[derive(Debug)]
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    len: u64,
    limit: u64,
    spare: Option<Arc<dyn DiskFile>>,
    /// Whether the file system can let two names change places.
    exchanges: bool,
}

impl Journal {
    /// Opens the journal and writes it anew as `content`. Where there is no room for that, it goes on behind the `end`
    /// of what stands there.
    pub(crate) fn open(disk: Arc<dyn Disk>, path: PathBuf, content: &[u8], end: Option<u64>) -> io::Result<Journal> {
        let (spare, exchanges) = (disk.open(&path.with_extension("spare")).ok(), true);
        let Some(end) = end else {
            let file = replaced(&*disk, &path, content, room(content))?;
            let mut journal = Journal { disk, path, file, len: content.len() as u64, limit: room(content) as u64, spare: None, exchanges };
            journal.make_spare(room(content));
            return Ok(journal);
        };
        let file = disk.open(&path)?;
        let mut journal = Journal { disk, path, file, len: end, limit: (end as usize + ROOM) as u64, spare, exchanges };
        match journal.rewrite(content) {
            Err(e) if !is_full(&e) => Err(e),
            _ => Ok(journal),
        }
    }

    /// Whether `more` bytes are too many without writing it anew.
    pub(crate) fn is_full(&self, more: usize) -> bool {
        self.len + more as u64 > self.limit
    }

    /// Appends a record; durable with the next sync of [`Journal::file`].
    pub(crate) fn append(&mut self, record: &[u8]) -> io::Result<()> {
        self.file.write_all_at(&[record], self.len)?;
        self.len += record.len() as u64;
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> Arc<dyn DiskFile> {
        self.file.clone()
    }

    /// A sync has failed: neither file is written to again, see the module `writer`.
    pub(crate) fn distrust(&mut self) {
        self.spare = None;
    }

    /// Replaces all records, durably. On an error the old ones stand.
    pub(crate) fn rewrite(&mut self, content: &[u8]) -> io::Result<()> {
        let room = room(content);
        let swapped = match self.spare.take() {
            Some(spare) if spare.len().is_ok_and(|n| n >= room as u64) => self.change_places(spare, content),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        if swapped.is_err() {
            self.file = replaced(&*self.disk, &self.path, content, room)?;
            self.make_spare(room);
        }
        (self.len, self.limit) = (content.len() as u64, room as u64);
        Ok(())
    }

    fn change_places(&mut self, spare: Arc<dyn DiskFile>, content: &[u8]) -> io::Result<()> {
        let zeros = vec![0; (spare.len()? as usize).saturating_sub(content.len())];
        spare.write_all_at(&[content, &zeros], 0)?;
        spare.sync()?;
        if let Err(e) = self.disk.exchange(&self.path.with_extension("spare"), &self.path) {
            // Where a name is missing, somebody has deleted it: that says nothing of the file system.
            self.exchanges = e.kind() == io::ErrorKind::NotFound;
            return Err(e);
        }
        let old = std::mem::replace(&mut self.file, spare);
        // Whatever becomes of the names: records go behind what this file holds.
        (self.len, self.limit) = (content.len() as u64, room(content) as u64);
        // Before that the old file may come back under this name: it must not be written to.
        self.disk.sync_dir(self.path.parent().unwrap_or(Path::new(".")))?;
        self.spare = Some(old);
        Ok(())
    }

    /// A help, not a need: without it the journal is replaced the ordinary way.
    fn make_spare(&mut self, room: usize) {
        let path = self.path.with_extension("spare");
        let _ = self.disk.remove(&path);
        if !self.exchanges {
            return;
        }
        let made = self.disk.create(&path).and_then(|file| {
            file.write_all_at(&[&vec![0; room]], 0)?;
            file.sync()?;
            Ok(file)
        });
        if made.is_err() {
            let _ = self.disk.remove(&path);
        }
        self.spare = made.ok();
    }
}

fn room(content: &[u8]) -> usize {
    ROOM.max((content.len() * 2).next_multiple_of(4096))
}

/// Replaces the file, with zeros behind the content as far as there is room.
fn replaced(disk: &dyn Disk, path: &Path, content: &[u8], room: usize) -> io::Result<Arc<dyn DiskFile>> {
    let mut padded = content.to_vec();
    padded.resize(room, 0);
    match disk.replace(path, &padded) {
        Err(e) if is_full(&e) => disk.replace(path, content)?,
        // Somebody has deleted the folder.
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            disk.create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
            disk.replace(path, &padded)?;
        }
        done => done?,
    }
    disk.open(path)
}
