//! Entries for `fuzz/`: each decoder of the queue on arbitrary bytes. Exists only when built for fuzzing
//! (and, for the seeds of the corpora, in tests).
//!
//! A checksum would keep a fuzzer at the door, so each entry tries the bytes as they are and once more with
//! the checksum made right.

use super::codec::{Reader, Writer};
use super::compression::decompress;
use super::disk::DiskFile;
use super::format::{BATCH_HEADER, BatchHeader, MAX_BODY, MAX_RUNS, SEGMENT_HEADER, SegmentHeader};
use super::index::Sealed;
use super::registry::{Registry, StreamRecord};
use super::segment::{self, Found};
use super::snapshot::Snapshot;
use super::{Compression, Events};
use std::io;

/// The ID of the segment that fuzzed batches are in.
const SEGMENT: u64 = 1 << 32;

/// A file in memory; what lies in it never changes.
#[derive(Debug)]
struct Bytes(Vec<u8>);

impl DiskFile for Bytes {
    fn write_all_at(&self, _: &[&[u8]], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn read_at(&self, buf: &mut [u8], pos: u64) -> io::Result<usize> {
        let from = usize::try_from(pos).unwrap_or(usize::MAX).min(self.0.len());
        let n = buf.len().min(self.0.len() - from);
        buf[..n].copy_from_slice(&self.0[from..from + n]);
        Ok(n)
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

/// A segment without its header: batches from byte 4096 on.
pub fn segment(data: &[u8]) {
    let mut file = vec![0; SEGMENT_HEADER];
    file.extend_from_slice(data);
    scan(&Bytes(file.clone()));
    // Once more, with all checksums right of what begins like a batch.
    for at in (SEGMENT_HEADER..file.len()).step_by(8) {
        if !BatchHeader::looks_like(&file[at..]) {
            continue;
        }
        let Ok(head) = BatchHeader::head_len(&file[at..]) else { continue };
        let body_end = at + BATCH_HEADER + super::format::u32_at(&file, at + 8) as usize;
        if let Some(payload) = file.get(at + head..body_end) {
            let crc = crc32c::crc32c(payload);
            file[at + 12..at + 16].copy_from_slice(&crc.to_le_bytes());
        }
        if let Some(bytes) = file.get(at..at + head) {
            let crc = super::format::header_crc(SEGMENT, at as u64, bytes, &bytes[BATCH_HEADER..]);
            file[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        }
    }
    scan(&Bytes(file));
}

fn scan(file: &Bytes) {
    let registry = Registry::new(1);
    let mut pos = SEGMENT_HEADER as u64;
    let len = file.0.len() as u64;
    while pos < len {
        let found = match segment::locate(file, SEGMENT, pos) {
            Ok(Found::Batch(batch)) => Some(batch),
            _ => segment::search(file, SEGMENT, pos + 8, 0).ok().flatten(),
        };
        let Some(batch) = found else { break };
        assert!(batch.pos >= pos && batch.next_pos() > batch.pos, "a scan goes forward");
        assert!(batch.runs.len() <= MAX_RUNS && batch.header.payload_len() <= MAX_BODY);
        pos = batch.next_pos();
        // Only what is in the file may be read: a sound header of the program never says more.
        if batch.pos + BATCH_HEADER as u64 + u64::from(batch.header.body_len) > len || batch.header.raw_len > 1 << 20 {
            continue;
        }
        let Ok(Some(payload)) = segment::payload(file, &batch) else { continue };
        assert_eq!(payload.len(), batch.header.payload_len());
        if segment::is_data(&batch) {
            if let Ok(batch) = segment::record_batch(&batch, &payload, &registry) {
                for run in &batch.runs {
                    assert!(Events::new(run, batch.base_offset, 0, u32::MAX).map(|e| e.raw.len()).sum::<usize>() <= run.data.len());
                }
            }
        } else {
            let mut reader = Reader(&payload);
            while let Some(record) = StreamRecord::decode(&mut reader) {
                registry.load(record);
            }
        }
    }
}

/// The first block of a segment file.
pub fn header(data: &[u8]) {
    if let Ok(header) = SegmentHeader::decode(data) {
        assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
    }
}

/// The bytes as they are, and with the magic before them and the checksum made right.
fn both<T>(magic: &[u8; 8], data: &[u8], decode: impl Fn(&[u8]) -> T) -> [T; 2] {
    let mut sealed = magic.to_vec();
    sealed.extend_from_slice(&crc32c::crc32c(data).to_le_bytes());
    sealed.extend_from_slice(data);
    [decode(data), decode(&sealed)]
}

/// An index.
pub fn index(data: &[u8]) {
    for index in both(b"FBINDEX1", data, Sealed::decode).into_iter().flatten() {
        assert_eq!(Sealed::decode(&index.encode()), Some(index));
    }
}

/// A snapshot.
pub fn snapshot(data: &[u8]) {
    for snapshot in both(b"FBSNAPS1", data, Snapshot::decode).into_iter().flatten() {
        assert_eq!(Snapshot::decode(&snapshot.encode()), Some(snapshot));
    }
}

/// Stream records.
pub fn stream(data: &[u8]) {
    let mut reader = Reader(data);
    while let Some(record) = StreamRecord::decode(&mut reader) {
        let mut w = Writer::default();
        record.encode(&mut w);
        assert_eq!(StreamRecord::decode(&mut Reader(&w.0)), Some(record));
    }
}

/// The groups' journal: whole, and as the content of one record.
pub fn journal(data: &[u8]) {
    super::group_state::replay(data);
    let mut sealed = b"FBG1".to_vec();
    sealed.extend_from_slice(&(data.len() as u32).to_le_bytes());
    sealed.extend_from_slice(&crc32c::crc32c(data).to_le_bytes());
    sealed.extend_from_slice(data);
    super::group_state::replay(&sealed);
}

/// A compressed payload: first its length before compression (2 bytes), then what was stored.
pub fn payload(data: &[u8]) {
    header(data);
    let Some((len, stored)) = data.split_at_checked(2) else { return };
    let raw_len = usize::from(u16::from_le_bytes([len[0], len[1]]));
    for codec in [Compression::None, Compression::Lz4, Compression::Zstd] {
        if let Some(raw) = decompress(codec, stored.to_vec(), raw_len) {
            assert_eq!(raw.len(), raw_len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpora_are_passed_by_all_decoders() {
        type Target = fn(&[u8]);
        let targets: [(&str, Target); 6] = [
            ("segment", segment),
            ("index", index),
            ("snapshot", snapshot),
            ("stream", stream),
            ("journal", journal),
            ("payload", payload),
        ];
        for (name, target) in targets {
            crate::corpus::each(name, target);
        }
    }
}
