//! Reads that are tried again before they count as failed: from a freshly opened file, after a short wait.

use super::disk::{Disk, DiskFile, is_medium_error};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Waits before the fresh tries. What a disk cannot read after its own many tries is seldom there a moment later.
const WAITS: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(200)];

/// A file whose reads are patient with the medium; all else goes straight to it.
#[derive(Debug)]
struct Patient {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
}

/// Opens a file like [`Disk::open`], for patient reads.
pub(crate) fn open(disk: &Arc<dyn Disk>, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
    let mut opened = disk.open(path);
    for wait in WAITS {
        if !matches!(&opened, Err(e) if is_medium_error(e)) {
            break;
        }
        std::thread::sleep(wait);
        opened = disk.open(path);
    }
    Ok(Arc::new(Patient { disk: disk.clone(), path: path.to_path_buf(), file: opened? }))
}

impl DiskFile for Patient {
    fn write_all_at(&self, bufs: &[&[u8]], pos: u64) -> io::Result<()> {
        self.file.write_all_at(bufs, pos)
    }

    fn read_at(&self, buf: &mut [u8], pos: u64) -> io::Result<usize> {
        let mut read = self.file.read_at(buf, pos);
        for wait in WAITS {
            match &read {
                Err(e) if is_medium_error(e) => std::thread::sleep(wait),
                _ => break,
            }
            // Where it cannot be opened any more, the read error is what tells.
            if let Ok(fresh) = self.disk.open(&self.path) {
                read = fresh.read_at(buf, pos);
            }
        }
        read
    }

    fn read_around(&self, buf: &mut [u8], pos: u64) -> io::Result<(usize, u64)> {
        match self.read_at(buf, pos) {
            // Block by block nothing is waited for: a large bad place would take hours.
            Err(e) if is_medium_error(&e) => self.file.read_around(buf, pos),
            read => Ok((read?, 0)),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn is_linked(&self) -> io::Result<bool> {
        self.file.is_linked()
    }
}
