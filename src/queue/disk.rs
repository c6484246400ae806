//! The one door to the disk: everything the queue reads or writes goes through [`Disk`], so that a
//! simulated disk can stand in and lose what was never synced.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

/// An open file.
#[allow(clippy::len_without_is_empty)]
pub trait DiskFile: Send + Sync + Debug {
    /// Writes all of `bufs` one after the other at byte `pos`.
    ///
    /// # Errors
    /// The system's; some of the bytes may have been written.
    fn write_all_at(&self, bufs: &[&[u8]], pos: u64) -> io::Result<()>;

    /// Reads into `buf` at byte `pos`; less than its length only at the end of the file.
    ///
    /// # Errors
    /// The system's.
    fn read_at(&self, buf: &mut [u8], pos: u64) -> io::Result<usize>;

    /// Reads like [`DiskFile::read_at`], with zeros in place of blocks that cannot be read any more; also tells how many bytes those are.
    ///
    /// # Errors
    /// The system's, where it is not the medium that fails (see [`is_medium_error`]), or where it gives nothing at all.
    fn read_around(&self, buf: &mut [u8], pos: u64) -> io::Result<(usize, u64)> {
        match self.read_at(buf, pos) {
            Err(e) if is_medium_error(&e) => blocks_around(self, buf, pos, e),
            read => Ok((read?, 0)),
        }
    }

    /// Makes what was written durable (`fdatasync`). After an error nothing that was written since
    /// the last success may be trusted, even if a later call succeeds.
    ///
    /// # Errors
    /// The system's.
    fn sync(&self) -> io::Result<()>;

    /// Bytes in the file.
    ///
    /// # Errors
    /// The system's.
    fn len(&self) -> io::Result<u64>;

    /// Lets the system forget what it holds in memory of these bytes of the file and has written already. Only a hint.
    fn uncache(&self, _bytes: Range<u64>) {}

    /// Whether the file still has a name; without one it is gone when the process ends.
    ///
    /// # Errors
    /// The system's.
    fn is_linked(&self) -> io::Result<bool> {
        Ok(true)
    }
}

/// Blocks in which [`DiskFile::read_around`] passes over what cannot be read: pages, since the system reads no less.
const BLOCK: usize = 4096;

/// Whether the medium has lost what was asked for, so that other places may still be read (a bad sector), in
/// contrast to a permission, a limit, or a file that is not there.
pub(crate) fn is_medium_error(e: &io::Error) -> bool {
    use rustix::io::Errno;
    let medium = [Errno::IO, Errno::BADMSG, Errno::UCLEAN, Errno::NODATA, Errno::ILSEQ];
    e.raw_os_error().is_some_and(|code| medium.iter().any(|m| m.raw_os_error() == code))
}

/// [`DiskFile::read_around`] block by block, after `error`.
fn blocks_around<F: DiskFile + ?Sized>(file: &F, buf: &mut [u8], pos: u64, error: io::Error) -> io::Result<(usize, u64)> {
    let len = (file.len()?.saturating_sub(pos)).min(buf.len() as u64) as usize;
    let (mut done, mut bad) = (0, 0);
    while done < len {
        let size = (BLOCK - (pos + done as u64) as usize % BLOCK).min(len - done);
        let block = &mut buf[done..done + size];
        match file.read_at(block, pos + done as u64) {
            Ok(n) => block[n..].fill(0),
            Err(e) if is_medium_error(&e) => {
                block.fill(0);
                bad += size;
            }
            Err(e) => return Err(e),
        }
        done += size;
    }
    if bad == len { Err(error) } else { Ok((len, bad as u64)) }
}

/// Bytes of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of them.
    pub total: u64,
    /// Those that this user may still take.
    pub free: u64,
}

/// The file operations that the queue needs; errors are the system's.
#[allow(clippy::missing_errors_doc)]
pub trait Disk: Send + Sync + Debug {
    /// Creates a file that must not exist.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Names in a folder, sorted; an absent folder is an error.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Creates a folder and those above it, durably.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Renames a file within its folder, over an existing one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Deletes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and deletions in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Lets two existing files of one folder change their names, at once. Not every file system can.
    fn exchange(&self, _a: &Path, _b: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// How large the disk is on which a folder lies, and how much of it is free.
    fn space(&self, _dir: &Path) -> io::Result<Space> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The whole content of a small file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path)?;
        let mut bytes = vec![0; file.len()? as usize];
        // Checksums tell where something is missing, and whoever reads can do without: one bad sector must not keep the queue shut.
        let n = match file.read_around(&mut bytes, 0) {
            Err(e) if is_medium_error(&e) => bytes.len(),
            read => read?.0,
        };
        bytes.truncate(n);
        Ok(bytes)
    }

    /// Replaces a small file so that after a crash it is the old one or the new one, whole:
    /// write aside, sync, rename, sync the folder.
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.replace_with(path, &mut |file| file.write_all_at(&[content], 0))
    }

    /// Like [`Disk::replace`], for what need not be in memory as a whole: `write` writes the file, perhaps twice.
    fn replace_with(&self, path: &Path, write: &mut dyn FnMut(&dyn DiskFile) -> io::Result<()>) -> io::Result<()> {
        let aside = path.with_extension("tmp");
        match self.remove(&aside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = self.create(&aside)?;
        write(&*file)?;
        file.sync()?;
        self.rename(&aside, path)?;
        self.sync_dir(path.parent().unwrap_or(Path::new(".")))
    }
}

/// The real disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct StdDisk;

#[derive(Debug)]
struct StdFile(File);

/// `IOV_MAX` on Linux; more slices in one call are an error.
const MAX_SLICES: usize = 1024;

impl DiskFile for StdFile {
    fn write_all_at(&self, bufs: &[&[u8]], mut pos: u64) -> io::Result<()> {
        for chunk in bufs.chunks(MAX_SLICES) {
            let mut slices: Vec<IoSlice<'_>> = chunk.iter().filter(|b| !b.is_empty()).map(|b| IoSlice::new(b)).collect();
            let mut left = &mut slices[..];
            while !left.is_empty() {
                match rustix::io::pwritev(&self.0, left, pos) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(n) => {
                        pos += n as u64;
                        IoSlice::advance_slices(&mut left, n);
                    }
                    Err(rustix::io::Errno::INTR) => {}
                    Err(e) => return Err(e.into()),
                }
            }
        }
        Ok(())
    }

    fn read_at(&self, buf: &mut [u8], pos: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.0.read_at(&mut buf[done..], pos + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn uncache(&self, bytes: Range<u64>) {
        // Without it the pages stay until somebody needs them: it costs nothing but memory.
        let len = NonZeroU64::new(bytes.end.saturating_sub(bytes.start));
        let _ = len.map(|len| rustix::fs::fadvise(&self.0, bytes.start, Some(len), rustix::fs::Advice::DontNeed));
    }

    fn is_linked(&self) -> io::Result<bool> {
        Ok(self.0.metadata()?.nlink() > 0)
    }
}

/// The real disk for those who only look: whatever would change something is an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOnlyDisk;

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "opened for looking only"))
}

impl Disk for ReadOnlyDisk {
    fn create(&self, _: &Path) -> io::Result<Arc<dyn DiskFile>> {
        refused()
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(StdFile(File::open(path)?)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        StdDisk.list(dir)
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }
}

impl Disk for StdDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(StdFile(OpenOptions::new().read(true).write(true).create_new(true).open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(StdFile(OpenOptions::new().read(true).write(true).open(path)?)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // Names that are not UTF-8 are not ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        let parent = dir.parent().filter(|p| !p.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.create_dir_all(parent)?;
        }
        match fs::create_dir(dir) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        self.sync_dir(parent.unwrap_or(Path::new(".")))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        Ok(rustix::fs::renameat_with(rustix::fs::CWD, a, rustix::fs::CWD, b, rustix::fs::RenameFlags::EXCHANGE)?)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        let disk = rustix::fs::statvfs(dir)?;
        Ok(Space { total: disk.f_blocks.saturating_mul(disk.f_frsize), free: disk.f_bavail.saturating_mul(disk.f_frsize) })
    }
}
