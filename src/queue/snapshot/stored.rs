//! Reads a snapshot file piece by piece: with a hundred thousand streams, it would be the largest thing in memory.

use super::super::codec::Reader;
use super::super::disk::{DiskFile, is_medium_error};
use super::super::registry::StreamRecord;
use super::{MAGIC, Mark, Snapshot};
use std::io;

/// Bytes of one read.
const READ: usize = 64 << 10;

/// Why reading ends early.
enum Stop {
    /// The bytes are no snapshot.
    Unsound,
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Stop {
        Stop::Io(e)
    }
}

/// The part of a file that is in memory.
struct Window<'a> {
    file: &'a dyn DiskFile,
    /// Where the next read begins in the file.
    next: u64,
    bytes: Vec<u8>,
    /// What was taken of `bytes`.
    taken: usize,
}

impl Window<'_> {
    fn new(file: &dyn DiskFile) -> Window<'_> {
        Window { file, next: 0, bytes: Vec::new(), taken: 0 }
    }

    /// Reads more; whether there was more.
    fn read(&mut self) -> io::Result<bool> {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        let kept = self.bytes.len();
        self.bytes.resize(kept + READ, 0);
        let n = match self.file.read_around(&mut self.bytes[kept..], self.next) {
            // The checksum tells, and the other snapshot stands in.
            Err(e) if is_medium_error(&e) => (self.file.len()?.saturating_sub(self.next)).min(READ as u64) as usize,
            read => read?.0,
        };
        self.bytes.truncate(kept + n);
        self.next += n as u64;
        Ok(n > 0)
    }

    fn take(&mut self, n: usize) -> Result<&[u8], Stop> {
        while self.bytes.len() - self.taken < n {
            if !self.read()? {
                return Err(Stop::Unsound);
            }
        }
        self.taken += n;
        Ok(&self.bytes[self.taken - n..self.taken])
    }

    fn u32(&mut self) -> Result<u32, Stop> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().map_err(|_| Stop::Unsound)?))
    }

    fn u64(&mut self) -> Result<u64, Stop> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().map_err(|_| Stop::Unsound)?))
    }

    fn string(&mut self) -> Result<String, Stop> {
        let n = self.u32()? as usize;
        String::from_utf8(self.take(n)?.to_vec()).map_err(|_| Stop::Unsound)
    }

    fn head(&mut self) -> Result<Snapshot, Stop> {
        self.take(MAGIC.len() + 4)?;
        let mut snapshot = Snapshot { number: self.u64()?, next_stream: self.u64()?, ..Snapshot::default() };
        for _ in 0..self.u32()? {
            let mark = Mark { topic: self.string()?, partition: self.u32()?, segment_id: self.u64()?, next_offset: self.u64()? };
            snapshot.marks.push(mark);
        }
        Ok(snapshot)
    }

    /// Whether magic and checksum are right.
    fn is_sound(&mut self) -> Result<bool, Stop> {
        if self.take(MAGIC.len())? != MAGIC {
            return Ok(false);
        }
        let (wanted, mut crc) = (self.u32()?, 0);
        loop {
            crc = crc32c::crc32c_append(crc, &self.bytes[self.taken..]);
            self.taken = self.bytes.len();
            if !self.read()? {
                return Ok(crc == wanted);
            }
        }
    }
}

fn sound<T>(read: Result<T, Stop>) -> io::Result<Option<T>> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(Stop::Unsound) => Ok(None),
        Err(Stop::Io(e)) => Err(e),
    }
}

/// All but the streams; `None` where the file is no snapshot, or a damaged one.
pub(super) fn head(file: &dyn DiskFile) -> io::Result<Option<Snapshot>> {
    if sound(Window::new(file).is_sound())? != Some(true) {
        return Ok(None);
    }
    sound(Window::new(file).head())
}

/// Hands over the streams one by one, and gives the rest; `None` where the bytes are something else.
pub(super) fn streams(file: &dyn DiskFile, take: &mut dyn FnMut(StreamRecord)) -> io::Result<Option<Snapshot>> {
    let mut window = Window::new(file);
    let mut read = || {
        let snapshot = window.head()?;
        for _ in 0..window.u32()? {
            let n = window.u32()?;
            let record = [&n.to_le_bytes()[..], window.take(n as usize)?].concat();
            take(StreamRecord::decode(&mut Reader(&record)).ok_or(Stop::Unsound)?);
        }
        Ok(snapshot)
    };
    sound(read())
}
