//! The bytes of a segment: its header, and the headers of the record batches in it.
//!
//! `docs/queue-format.md` is the specification; this file is its code. All integers are
//! little-endian. A record batch is 64 bytes of header, a table of runs (48 bytes each), the
//! payload, and zeros up to the next multiple of 8.

use super::{Compression, Filtered, RunFlags};

/// Bytes of a segment header (one block, so that it is written whole).
pub const SEGMENT_HEADER: usize = 4096;
/// Bytes of a batch header.
pub const BATCH_HEADER: usize = 64;
/// Bytes of an entry of the run table.
pub const RUN_ENTRY: usize = 48;
/// A batch holds at most this many runs.
pub const MAX_RUNS: usize = 1000;
/// A batch body (run table and payload) is at most this long; a header that says more is damage. The largest
/// that can be written: `batch_size` of 64 MiB, passed by one event of 64 MiB, and as many bytes of lengths
/// again where all lines are empty.
pub const MAX_BODY: usize = 512 << 20;
/// Version of the format that this program writes.
pub const VERSION: u32 = 1;

const SEGMENT_MAGIC: &[u8; 8] = b"FBSEGMT\n";
const BATCH_MAGIC: u32 = u32::from_le_bytes(*b"FBB1");

/// What a batch holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Events.
    Data,
    /// Stream records; takes no offsets.
    Streams,
}

/// Header of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Never used twice in a queue; the upper half is the epoch, so IDs order segments by creation.
    pub segment_id: u64,
    /// UUID of the queue.
    pub queue: u128,
    /// Partition.
    pub partition: u32,
    /// CRC32C of the topic's name.
    pub topic: u32,
    /// Offset of the first event.
    pub base_offset: u64,
    /// Epoch in which it was created.
    pub epoch: u32,
    /// When it was created, ms since the Unix epoch.
    pub created_ms: u64,
}

/// Why a header was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Not what stands at the beginning of such a thing.
    #[error("no magic number")]
    Magic,
    /// Written by a newer program.
    #[error("format version {0} is newer than {VERSION}")]
    Newer(u32),
    /// The checksum differs.
    #[error("checksum differs")]
    Checksum,
    /// A way of compression that this program does not know.
    #[error("compression codec {0} is unknown")]
    Codec(u8),
    /// A length is out of range or the bytes end too early.
    #[error("length out of range")]
    Length,
}

/// Reads little-endian integers from a slice whose length was checked.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn u128_at(bytes: &[u8], at: usize) -> u128 {
    u128::from(u64_at(bytes, at)) | u128::from(u64_at(bytes, at + 8)) << 64
}

/// CRC of version and fields.
fn segment_crc(block: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&block[8..12]), &block[16..SEGMENT_HEADER])
}

impl SegmentHeader {
    /// The header's block.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEGMENT_HEADER);
        out.extend_from_slice(SEGMENT_MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.segment_id.to_le_bytes());
        out.extend_from_slice(&self.queue.to_le_bytes());
        out.extend_from_slice(&self.base_offset.to_le_bytes());
        out.extend_from_slice(&self.created_ms.to_le_bytes());
        out.extend_from_slice(&self.partition.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.topic.to_le_bytes());
        out.resize(SEGMENT_HEADER, 0);
        let crc = segment_crc(&out);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`FormatError`]; [`FormatError::Newer`] means that the file must not be touched.
    pub fn decode(bytes: &[u8]) -> Result<SegmentHeader, FormatError> {
        if bytes.len() < SEGMENT_HEADER {
            return Err(FormatError::Length);
        }
        let bytes = &bytes[..SEGMENT_HEADER];
        if &bytes[..8] != SEGMENT_MAGIC {
            return Err(FormatError::Magic);
        }
        // First the checksum, at the place where every version has it: a flipped bit is no newer version.
        if segment_crc(bytes) != u32_at(bytes, 12) {
            return Err(FormatError::Checksum);
        }
        if u32_at(bytes, 8) > VERSION {
            return Err(FormatError::Newer(u32_at(bytes, 8)));
        }
        Ok(SegmentHeader {
            segment_id: u64_at(bytes, 16),
            queue: u128_at(bytes, 24),
            base_offset: u64_at(bytes, 40),
            created_ms: u64_at(bytes, 48),
            partition: u32_at(bytes, 56),
            epoch: u32_at(bytes, 60),
            topic: u32_at(bytes, 64),
        })
    }
}

/// Header of a record batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// What it holds.
    pub kind: Kind,
    /// Bytes of run table and payload.
    pub body_len: u32,
    /// CRC32C of the payload as stored.
    pub payload_crc: u32,
    /// Offset of the first event.
    pub base_offset: u64,
    /// Number of events.
    pub count: u32,
    /// When it was appended, ms since the Unix epoch.
    pub append_ms: u64,
    /// Epoch in which it was first appended; a copy keeps it.
    pub epoch: u32,
    /// How many offsets before `base_offset` were not durable yet when it was written.
    pub durable_lag: u32,
    /// Entries of the run table, those among them that tell of filtered events.
    pub runs: u16,
    /// How the payload is stored.
    pub codec: Compression,
    /// Bytes of the payload before compression; 0 where it is not compressed.
    pub raw_len: u32,
}

/// Entry of the run table, with those before it that tell what was filtered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEntry {
    /// The stream's number.
    pub stream: u64,
    /// Byte of the source where the first event begins.
    pub source_start: u64,
    /// Byte of the source after the last event.
    pub source_end: u64,
    /// Number of events.
    pub count: u32,
    /// Bytes of lengths in the payload.
    pub lens_len: u32,
    /// Bytes of events in the payload.
    pub data_len: u32,
    /// See [`super::RunFlags`].
    pub flags: u32,
    /// See [`super::Tail`].
    pub tail_len: u32,
    /// See [`super::Tail`].
    pub tail_crc: u32,
    /// What was filtered before the queue.
    pub filtered: Vec<Filtered>,
}

impl RunEntry {
    /// Entries that it takes in the table.
    pub fn entries(&self) -> usize {
        1 + self.filtered.len()
    }

    /// What the run says of filtered events, as an entry of its own.
    fn of_filtered(&self, sum: &Filtered) -> RunEntry {
        RunEntry {
            stream: self.stream,
            source_start: sum.events,
            source_end: sum.bytes,
            count: 0,
            lens_len: 0,
            data_len: 0,
            flags: RunFlags::FILTERED,
            tail_len: sum.rule,
            tail_crc: 0,
            filtered: Vec::new(),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for sum in &self.filtered {
            self.of_filtered(sum).encode(out);
        }
        out.extend_from_slice(&self.stream.to_le_bytes());
        out.extend_from_slice(&self.source_start.to_le_bytes());
        out.extend_from_slice(&self.source_end.to_le_bytes());
        for field in [self.count, self.lens_len, self.data_len, self.flags, self.tail_len, self.tail_crc] {
            out.extend_from_slice(&field.to_le_bytes());
        }
    }

    fn decode(e: &[u8]) -> RunEntry {
        RunEntry {
            stream: u64_at(e, 0),
            source_start: u64_at(e, 8),
            source_end: u64_at(e, 16),
            count: u32_at(e, 24),
            lens_len: u32_at(e, 28),
            data_len: u32_at(e, 32),
            flags: u32_at(e, 36),
            tail_len: u32_at(e, 40),
            tail_crc: u32_at(e, 44),
            filtered: Vec::new(),
        }
    }
}

/// The header's CRC begins with the segment's ID and the batch's place in the file, so that neither
/// the stale bytes of a recycled segment nor a misdirected write can pass for a batch.
pub(crate) fn header_crc(segment_id: u64, pos: u64, header: &[u8], table: &[u8]) -> u32 {
    let mut seed = [0; 16];
    seed[..8].copy_from_slice(&segment_id.to_le_bytes());
    seed[8..].copy_from_slice(&pos.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&seed), &header[8..BATCH_HEADER]);
    crc32c::crc32c_append(crc, table)
}

/// Bytes that a batch with this body takes in the file.
pub fn padded(body_len: usize) -> usize {
    (BATCH_HEADER + body_len).next_multiple_of(8)
}

impl BatchHeader {
    /// Header and run table for a batch at byte `pos` of segment `segment_id`.
    pub fn encode(&self, runs: &[RunEntry], segment_id: u64, pos: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(BATCH_HEADER + usize::from(self.runs) * RUN_ENTRY);
        out.extend_from_slice(&BATCH_MAGIC.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.body_len.to_le_bytes());
        out.extend_from_slice(&self.payload_crc.to_le_bytes());
        out.extend_from_slice(&self.base_offset.to_le_bytes());
        out.extend_from_slice(&self.append_ms.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.durable_lag.to_le_bytes());
        out.extend_from_slice(&self.runs.to_le_bytes());
        out.push(match self.kind {
            Kind::Data => 1,
            Kind::Streams => 2,
        });
        out.push(self.codec.code());
        out.extend_from_slice(&self.raw_len.to_le_bytes());
        out.resize(BATCH_HEADER, 0);
        runs.iter().for_each(|run| run.encode(&mut out));
        let crc = header_crc(segment_id, pos, &out[..BATCH_HEADER], &out[BATCH_HEADER..]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Whether `bytes` can be the beginning of a batch; cheap, for a search.
    pub fn looks_like(bytes: &[u8]) -> bool {
        bytes.len() >= BATCH_HEADER && u32_at(bytes, 0) == BATCH_MAGIC
    }

    /// Bytes of header and run table, once the first [`BATCH_HEADER`] bytes are there.
    ///
    /// # Errors
    /// [`FormatError`] when they cannot be a header.
    pub fn head_len(bytes: &[u8]) -> Result<usize, FormatError> {
        if bytes.len() < BATCH_HEADER {
            return Err(FormatError::Length);
        }
        if !Self::looks_like(bytes) {
            return Err(FormatError::Magic);
        }
        let runs = usize::from(u16::from_le_bytes([bytes[44], bytes[45]]));
        let body = u32_at(bytes, 8) as usize;
        if runs > MAX_RUNS || body > MAX_BODY || runs * RUN_ENTRY > body {
            return Err(FormatError::Length);
        }
        Ok(BATCH_HEADER + runs * RUN_ENTRY)
    }

    /// Reads header and run table of the batch at byte `pos` of segment `segment_id`.
    ///
    /// # Errors
    /// [`FormatError`] when they are not whole and sound.
    pub fn decode(bytes: &[u8], segment_id: u64, pos: u64) -> Result<(BatchHeader, Vec<RunEntry>), FormatError> {
        let head = Self::head_len(bytes)?;
        let table = bytes.get(BATCH_HEADER..head).ok_or(FormatError::Length)?;
        if header_crc(segment_id, pos, bytes, table) != u32_at(bytes, 4) {
            return Err(FormatError::Checksum);
        }
        let header = BatchHeader {
            kind: match bytes[46] {
                1 => Kind::Data,
                2 => Kind::Streams,
                _ => return Err(FormatError::Magic),
            },
            body_len: u32_at(bytes, 8),
            payload_crc: u32_at(bytes, 12),
            base_offset: u64_at(bytes, 16),
            append_ms: u64_at(bytes, 24),
            count: u32_at(bytes, 32),
            epoch: u32_at(bytes, 36),
            durable_lag: u32_at(bytes, 40),
            runs: u16::from_le_bytes([bytes[44], bytes[45]]),
            codec: Compression::of_code(bytes[47]).ok_or(FormatError::Codec(bytes[47]))?,
            raw_len: u32_at(bytes, 48),
        };
        let mut runs: Vec<RunEntry> = Vec::with_capacity(table.len() / RUN_ENTRY);
        let mut filtered: Vec<Filtered> = Vec::new();
        let mut of = 0;
        for mut entry in table.chunks_exact(RUN_ENTRY).map(RunEntry::decode) {
            if !filtered.is_empty() && entry.stream != of {
                return Err(FormatError::Length);
            }
            if RunFlags(entry.flags).has(RunFlags::FILTERED) {
                if (entry.count, entry.lens_len, entry.data_len) != (0, 0, 0) {
                    return Err(FormatError::Length);
                }
                of = entry.stream;
                filtered.push(Filtered { rule: entry.tail_len, events: entry.source_start, bytes: entry.source_end });
                continue;
            }
            entry.filtered = std::mem::take(&mut filtered);
            runs.push(entry);
        }
        if !filtered.is_empty() {
            return Err(FormatError::Length);
        }
        // The raw length decides how much memory a reader takes.
        if header.payload_len() > MAX_BODY || (header.codec == Compression::None && header.raw_len != 0) {
            return Err(FormatError::Length);
        }
        if header.kind == Kind::Data {
            // Sums in u64: the fields are foreign until they agree with each other.
            let payload: u64 = runs.iter().map(|r| u64::from(r.lens_len) + u64::from(r.data_len)).sum();
            let events: u64 = runs.iter().map(|r| u64::from(r.count)).sum();
            if payload != header.payload_len() as u64 || payload > MAX_BODY as u64 || events != u64::from(header.count) {
                return Err(FormatError::Length);
            }
        }
        Ok((header, runs))
    }

    /// Bytes of the payload as it lies in the file.
    pub fn stored_len(&self) -> usize {
        (self.body_len as usize).saturating_sub(usize::from(self.runs) * RUN_ENTRY)
    }

    /// Bytes of the payload before compression.
    pub fn payload_len(&self) -> usize {
        if self.codec == Compression::None { self.stored_len() } else { self.raw_len as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn any_segment()(segment_id: u64, queue: u128, partition: u32, topic: u32, base_offset: u64, epoch: u32, created_ms: u64) -> SegmentHeader {
            SegmentHeader { segment_id, queue, partition, topic, base_offset, epoch, created_ms }
        }
    }

    prop_compose! {
        fn any_run()(stream: u64, source: (u64, u64), count in 0u32..1000, lens_len in 0u32..2000, data_len in 0u32..50_000, flags: u32, tail: (u32, u32),
            filtered in prop::collection::vec((any::<u32>(), any::<u64>(), any::<u64>()), 0..3)) -> RunEntry {
            let filtered = filtered.into_iter().map(|(rule, events, bytes)| Filtered { rule, events, bytes }).collect();
            let flags = flags & !RunFlags::FILTERED;
            RunEntry { stream, source_start: source.0, source_end: source.1, count, lens_len, data_len, flags, tail_len: tail.0, tail_crc: tail.1, filtered }
        }
    }

    prop_compose! {
        fn any_batch()(runs in prop::collection::vec(any_run(), 0..12), payload_crc: u32, base_offset: u64, append_ms: u64, epoch: u32, durable_lag: u32,
            codec in 0u8..3, stored in 0u32..1000) -> (BatchHeader, Vec<RunEntry>) {
            let codec = Compression::of_code(codec).unwrap();
            let payload: u32 = runs.iter().map(|r| r.lens_len + r.data_len).sum();
            let (stored, raw_len) = if codec == Compression::None { (payload, 0) } else { (stored, payload) };
            let header = BatchHeader {
                kind: Kind::Data,
                body_len: (runs.iter().map(RunEntry::entries).sum::<usize>() * RUN_ENTRY) as u32 + stored,
                payload_crc, base_offset, append_ms, epoch, durable_lag, codec, raw_len,
                count: runs.iter().map(|r| r.count).sum(),
                runs: runs.iter().map(RunEntry::entries).sum::<usize>() as u16,
            };
            (header, runs)
        }
    }

    proptest! {
        #[test]
        fn a_segment_header_survives_the_round_trip_and_no_flipped_bit_passes(header in any_segment(), bit in 0..SEGMENT_HEADER * 8) {
            let mut bytes = header.encode();
            prop_assert_eq!(bytes.len(), SEGMENT_HEADER);
            prop_assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(SegmentHeader::decode(&bytes).is_err());
        }

        #[test]
        fn a_batch_header_survives_the_round_trip_at_its_place_only((header, runs) in any_batch(), segment: u64, pos: u64, other in 1u64..) {
            let bytes = header.encode(&runs, segment, pos);
            prop_assert_eq!(BatchHeader::head_len(&bytes), Ok(bytes.len()));
            prop_assert_eq!(BatchHeader::decode(&bytes, segment, pos), Ok((header, runs)));
            prop_assert!(BatchHeader::decode(&bytes, segment.wrapping_add(other), pos).is_err(), "bytes of a recycled segment");
            prop_assert!(BatchHeader::decode(&bytes, segment, pos.wrapping_add(other)).is_err(), "a misdirected write");
        }

        #[test]
        fn no_flipped_bit_passes_in_a_batch_header_or_run_table((header, runs) in any_batch(), bit: usize) {
            let mut bytes = header.encode(&runs, 7, 4096);
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(BatchHeader::decode(&bytes, 7, 4096).is_err());
        }

        #[test]
        fn a_header_that_ends_early_is_not_one((header, runs) in any_batch(), cut: usize) {
            let bytes = header.encode(&runs, 7, 4096);
            prop_assert!(BatchHeader::decode(&bytes[..cut % bytes.len()], 7, 4096).is_err());
        }

        #[test]
        fn no_bytes_make_the_decoders_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..5000), kind: u8, sealed: bool) {
            let _ = SegmentHeader::decode(&bytes);
            let _ = BatchHeader::decode(&bytes, 1, 4096);
            // Past the magic, and past the checksum too.
            if bytes.len() >= BATCH_HEADER {
                bytes[..4].copy_from_slice(&BATCH_MAGIC.to_le_bytes());
                (bytes[10], bytes[11], bytes[44], bytes[45], bytes[46]) = (0, 0, bytes[44] % 16, 0, kind % 4);
                if let (true, Ok(head)) = (sealed, BatchHeader::head_len(&bytes)) && head <= bytes.len() {
                    let crc = header_crc(1, 4096, &bytes, &bytes[BATCH_HEADER..head]);
                    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
                }
                if let Ok((header, runs)) = BatchHeader::decode(&bytes, 1, 4096) {
                    prop_assert!(header.payload_len() <= MAX_BODY && runs.len() <= MAX_RUNS);
                }
            }
        }
    }

    #[test]
    fn a_newer_segment_is_told_from_a_damaged_one() {
        let header = SegmentHeader { segment_id: 1, queue: 2, partition: 0, topic: 3, base_offset: 4, epoch: 5, created_ms: 6 };
        let mut bytes = header.encode();
        bytes[8] = 9;
        assert_eq!(SegmentHeader::decode(&bytes), Err(FormatError::Checksum), "one flipped bit is no newer version");
        let crc = crc32c::crc32c(&[&bytes[8..12], &bytes[16..]].concat());
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(FormatError::Newer(9)));
    }
}
