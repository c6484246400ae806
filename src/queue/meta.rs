//! Who may open a data directory, and the queue's UUID and epoch.

use super::ballast::is_full;
use super::disk::Disk;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// `queue.meta`: small, and readable by people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// Version of the layout of the data directory.
    pub(crate) format: u32,
    /// UUID of the queue, 32 hexadecimal digits.
    pub(crate) queue: String,
    /// Counts openings; part of segment IDs, so that none is used twice.
    pub(crate) epoch: u32,
}

/// Bytes of the file, spaces at its end included.
const FIXED: usize = 128;

/// The file: the fields, and the CRC32C of `FORMAT QUEUE EPOCH` in eight hexadecimal digits. A later
/// format may add fields; these four stay, so that a flipped bit never passes for a newer version.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    meta: Meta,
    crc: String,
}

impl Meta {
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join("queue.meta")
    }

    /// `None` where there is none, or none that is sound.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> io::Result<Option<Meta>> {
        match disk.read(&Self::path(dir)) {
            Ok(bytes) => Ok(serde_json::from_slice::<Stored>(&bytes).ok().filter(|s| s.crc == s.meta.crc()).map(|s| s.meta)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    pub(crate) fn write(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let stored = Stored { meta: self.clone(), crc: self.crc() };
        let mut text = serde_json::to_vec(&stored).map_err(io::Error::other)?;
        // Of one length whatever the epoch, so that it can be written over in place.
        text.resize(text.len().max(FIXED), b' ');
        let path = Self::path(dir);
        match disk.replace(&path, &text) {
            // One sector is written whole or not at all; and what is damaged is made anew from the segments.
            Err(e) if is_full(&e) => {
                let file = disk.open(&path).map_err(|_| e)?;
                file.write_all_at(&[&text], 0)?;
                file.sync()
            }
            done => done,
        }
    }

    fn crc(&self) -> String {
        format!("{:08x}", crc32c::crc32c(format!("{} {} {}", self.format, self.queue, self.epoch).as_bytes()))
    }
}

/// Holds the lock on a data directory; the kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code)] File);

/// How long [`Lock::holder`] of another process may stand in the way, at the very most.
const PROBED: Duration = Duration::from_millis(200);

/// Why the lock was not had.
pub(crate) enum LockError {
    /// Another process has it; its process ID, where it could be read.
    Held(Option<u32>),
    Io(io::Error),
}

impl Lock {
    /// Whether a process has the lock, and which; nothing is changed. An absent file is an error of kind `NotFound`.
    pub(crate) fn holder(dir: &Path) -> io::Result<Option<Option<u32>>> {
        let mut file = File::open(dir.join("LOCK"))?;
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                Ok(Some(text.trim().parse().ok()))
            }
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    pub(crate) fn take(dir: &Path) -> Result<Lock, LockError> {
        let path = dir.join("LOCK");
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(LockError::Io)?;
        let until = Instant::now() + PROBED;
        let locked = loop {
            match file.try_lock() {
                // Perhaps only somebody who looks whether it is held; the kernel has no wait with a limit.
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(PROBED / 20),
                locked => break locked,
            }
        };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                return Err(LockError::Held(text.trim().parse().ok()));
            }
            Err(TryLockError::Error(e)) => return Err(LockError::Io(e)),
        }
        let pid = format!("{}\n", std::process::id());
        // The process ID is a help for people; the lock itself does not depend on it.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(pid.as_bytes()));
        Ok(Lock(file))
    }
}
