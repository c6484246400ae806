//! Appends one record batch to a segment file, with the records of the streams that the segment does not know yet.

use super::codec::Writer;
use super::compression::Compressor;
use super::disk::DiskFile;
use super::format::{BATCH_HEADER, BatchHeader, Kind, RUN_ENTRY, RunEntry, padded};
use super::registry::StreamRecord;
use super::{Compression, RecordBatch};
use std::collections::HashMap;
use std::io;

/// Streams whose record stands in a segment, with the version that it has there.
pub(crate) type Declared = HashMap<u64, u32>;

/// Writes `batch` at `pos` in one write and returns the position after it. On an error `declared` is unchanged.
pub(crate) fn append(
    file: &dyn DiskFile,
    segment_id: u64,
    pos: u64,
    batch: &RecordBatch,
    durable_lag: u32,
    declared: &mut Declared,
    (codec, compressor): (Compression, &mut Compressor),
) -> io::Result<u64> {
    let mut fresh = Declared::new();
    let mut records = Writer::default();
    for run in &batch.runs {
        let version = run.stream.version();
        if declared.get(&run.stream.id) != Some(&version) && !fresh.contains_key(&run.stream.id) {
            StreamRecord::of(&run.stream).encode(&mut records);
            fresh.insert(run.stream.id, version);
        }
    }
    let template = BatchHeader {
        kind: Kind::Streams,
        body_len: records.0.len() as u32,
        payload_crc: crc32c::crc32c(&records.0),
        base_offset: batch.base_offset,
        count: 0,
        append_ms: batch.append_ms,
        epoch: batch.epoch,
        durable_lag,
        runs: 0,
        codec: Compression::None,
        raw_len: 0,
    };
    let mut control = Vec::new();
    if !fresh.is_empty() {
        control = template.encode(&[], segment_id, pos);
        control.extend_from_slice(&records.0);
        control.resize(padded(records.0.len()), 0);
    }
    let data_pos = pos + control.len() as u64;
    let entries: Vec<RunEntry> = batch
        .runs
        .iter()
        .map(|r| RunEntry {
            stream: r.stream.id,
            source_start: r.source_start,
            source_end: r.source_end,
            count: r.count,
            lens_len: r.lens.len() as u32,
            data_len: r.data.len() as u32,
            flags: r.flags.0,
            tail_len: r.tail.len,
            tail_crc: r.tail.crc,
            filtered: r.filtered.clone(),
        })
        .collect();
    // Lengths first, then one run of bytes: a reader finds both without a scan.
    let parts = || batch.runs.iter().map(|r| &r.lens[..]).chain(batch.runs.iter().map(|r| &r.data[..]));
    let raw_len: usize = parts().map(<[u8]>::len).sum();
    let compressed = compressor.compress(codec, parts());
    let crc = match compressed {
        Some(stored) => crc32c::crc32c(stored),
        None => parts().fold(0, crc32c::crc32c_append),
    };
    let table: usize = entries.iter().map(RunEntry::entries).sum();
    let body_len = table * RUN_ENTRY + compressed.map_or(raw_len, <[u8]>::len);
    let header = BatchHeader {
        kind: Kind::Data,
        body_len: body_len as u32,
        payload_crc: crc,
        count: batch.count,
        runs: table as u16,
        codec: if compressed.is_some() { codec } else { Compression::None },
        raw_len: if compressed.is_some() { raw_len as u32 } else { 0 },
        ..template
    };
    let head = header.encode(&entries, segment_id, data_pos);
    let zeros = [0; 8];
    let mut slices: Vec<&[u8]> = Vec::with_capacity(batch.runs.len() * 2 + 3);
    slices.push(&control);
    slices.push(&head);
    match compressed {
        Some(stored) => slices.push(stored),
        None => slices.extend(parts()),
    }
    slices.push(&zeros[..padded(body_len) - BATCH_HEADER - body_len]);
    file.write_all_at(&slices, pos)?;
    declared.extend(fresh);
    Ok(data_pos + padded(body_len) as u64)
}
