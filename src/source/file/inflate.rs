//! Decompresses a file piece by piece into memory that reads like a file, and keeps only what is being read of it.

use super::tracked::open_regular;
use crate::queue::{Head, Tail};
use flate2::read::MultiGzDecoder;
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes that are decompressed at once.
const CHUNK: usize = 128 << 10;
/// Bytes of content that are given back at once.
const FORGET: u64 = 1 << 20;
/// Where content that is given back begins: the first bytes stay.
const KEEP: u64 = 4096;
/// Reads reach no farther beyond the position than this (the longest event and a block).
const REACH: u64 = 192 << 20;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Gzip,
    Zstd,
}

impl Codec {
    /// By the file's name.
    pub(crate) fn of(path: &Path) -> Option<Codec> {
        match path.extension()?.to_str()? {
            "gz" => Some(Codec::Gzip),
            "zst" => Some(Codec::Zstd),
            _ => None,
        }
    }
}

/// The content's size as the file's trailer states it, where one member is all there is of it (gzip, less than 4 GiB).
pub(crate) fn stated_size(path: &Path, codec: Codec) -> Option<u64> {
    let file = open_regular(path).ok().filter(|_| codec == Codec::Gzip)?;
    let len = file.metadata().ok()?.len();
    let mut trailer = [0; 4];
    file.read_exact_at(&mut trailer, len.checked_sub(4)?).ok()?;
    Some(u32::from_le_bytes(trailer).into())
}

/// See the module.
pub(crate) struct Inflater {
    input: Box<dyn Read + Send>,
    content: File,
    at: u64,
    forgotten: u64,
    chunk: Vec<u8>,
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Inflater {
    pub(crate) fn new(file: File, codec: Codec) -> io::Result<Inflater> {
        let buffered = BufReader::with_capacity(CHUNK, file);
        let input: Box<dyn Read + Send> = match codec {
            Codec::Gzip => Box::new(MultiGzDecoder::new(buffered)),
            Codec::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(buffered)?),
        };
        let content = File::from(memfd_create("forebay-inflated", MemfdFlags::CLOEXEC)?);
        Ok(Inflater { input, content, at: 0, forgotten: KEEP, chunk: vec![0; CHUNK] })
    }

    /// The content as a file in which it stands at its own positions.
    pub(crate) fn content(&self) -> io::Result<File> {
        self.content.try_clone()
    }

    /// Bytes of content that were decompressed.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// The first `len` bytes of the content, or all there are; asked for before anything else.
    pub(crate) fn first(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        Read::by_ref(&mut self.input).take(len as u64).read_to_end(&mut head)?;
        Ok(head)
    }

    /// Decompresses about `budget` bytes more, of which those before `pos` are not kept, except a few; `false` at the end.
    pub(crate) fn advance(&mut self, pos: u64, budget: u64) -> io::Result<bool> {
        let (until, kept_from) = (self.at + budget, pos.saturating_sub(Tail::MAX as u64));
        while self.at < until {
            let n = match self.input.read(&mut self.chunk) {
                Ok(0) => return Ok(false),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            let end = self.at + n as u64;
            if self.at < Head::MAX as u64 {
                self.content.write_all_at(&self.chunk[..n.min(Head::MAX)], self.at)?;
            }
            if end > kept_from {
                let skip = kept_from.saturating_sub(self.at) as usize;
                self.content.write_all_at(&self.chunk[skip..n], self.at + skip as u64)?;
            }
            self.at = end;
        }
        Ok(true)
    }

    /// Gives back the memory of what was read: all before `pos`, and of a very long event what will not be read again.
    pub(crate) fn forget_before(&mut self, pos: u64, scanned: u64) {
        let upto = pos.saturating_sub(Tail::MAX as u64);
        if upto >= self.forgotten + FORGET {
            self.punch(self.forgotten, upto);
            self.forgotten = upto;
        }
        let beyond = pos + REACH;
        if scanned > beyond + FORGET {
            self.punch(beyond, scanned - FORGET / 2);
        }
    }

    fn punch(&self, from: u64, to: u64) {
        // Where it fails, memory is given back when the file is closed.
        let _ = fallocate(&self.content, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, from, to.saturating_sub(from));
    }
}
