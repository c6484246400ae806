//! Compression of a batch's payload, and the other way round within known bounds.
//!
//! The checksum of a batch covers the payload as it is stored: it is verified before a decompressor
//! sees the bytes, and the header says how long they become, so a decompressor never decides about memory.

use super::options::Compression;

impl Compression {
    /// Number of the codec in a batch header.
    pub(crate) fn code(self) -> u8 {
        match self {
            Compression::None => 0,
            Compression::Lz4 => 1,
            Compression::Zstd => 2,
        }
    }

    /// The codec of a number; `None` for one that this program does not know.
    pub(crate) fn of_code(code: u8) -> Option<Compression> {
        [Compression::None, Compression::Lz4, Compression::Zstd].into_iter().find(|c| c.code() == code)
    }
}

/// Level of zstd: the one whose speed still keeps up with a disk.
const ZSTD_LEVEL: i32 = 1;

/// Compresses payloads; keeps its memory from one batch to the next.
#[derive(Default)]
pub(crate) struct Compressor {
    raw: Vec<u8>,
    stored: Vec<u8>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

impl Compressor {
    /// The parts, end to end, compressed; `None` when that would not make them smaller.
    pub(crate) fn compress<'a>(&mut self, codec: Compression, parts: impl Iterator<Item = &'a [u8]>) -> Option<&[u8]> {
        if codec == Compression::None {
            return None;
        }
        self.raw.clear();
        parts.for_each(|p| self.raw.extend_from_slice(p));
        let n = match codec {
            Compression::None => return None,
            Compression::Lz4 => {
                self.stored.resize(lz4_flex::block::get_maximum_output_size(self.raw.len()), 0);
                lz4_flex::block::compress_into(&self.raw, &mut self.stored).ok()?
            }
            Compression::Zstd => {
                self.stored.resize(zstd::zstd_safe::compress_bound(self.raw.len()), 0);
                if self.zstd.is_none() {
                    self.zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
                }
                self.zstd.as_mut()?.compress_to_buffer(&self.raw, &mut self.stored[..]).ok()?
            }
        };
        (n < self.raw.len()).then(|| &self.stored[..n])
    }
}

/// The payload of exactly `raw_len` bytes that was stored as `stored`; `None` when they are not that.
pub(crate) fn decompress(codec: Compression, stored: Vec<u8>, raw_len: usize) -> Option<Vec<u8>> {
    if codec == Compression::None {
        return (stored.len() == raw_len).then_some(stored);
    }
    let mut raw = vec![0; raw_len];
    decompress_into(codec, &stored, &mut raw).map(|()| raw)
}

/// The same into memory of the payload's length.
pub(crate) fn decompress_into(codec: Compression, stored: &[u8], raw: &mut [u8]) -> Option<()> {
    let n = match codec {
        Compression::None => {
            (stored.len() == raw.len()).then(|| raw.copy_from_slice(stored))?;
            raw.len()
        }
        Compression::Lz4 => lz4_flex::block::decompress_into(stored, raw).ok()?,
        Compression::Zstd => zstd::bulk::decompress_to_buffer(stored, raw).ok()?,
    };
    (n == raw.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CODECS: [Compression; 2] = [Compression::Lz4, Compression::Zstd];

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(words in prop::collection::vec(0u8..4, 0..2000), cut in 0usize..2000) {
            let (a, b) = words.split_at(cut.min(words.len()));
            let mut compressor = Compressor::default();
            for codec in CODECS {
                if let Some(stored) = compressor.compress(codec, [a, b].into_iter()).map(<[u8]>::to_vec) {
                    prop_assert!(stored.len() < words.len());
                    prop_assert_eq!(decompress(codec, stored.clone(), words.len()), Some(words.clone()));
                    prop_assert_eq!(decompress(codec, stored.clone(), words.len() + 1), None);
                    prop_assert_eq!(decompress(codec, stored, words.len() - 1), None);
                }
            }
        }

        #[test]
        fn no_bytes_make_a_decompressor_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), raw_len in 0usize..5000) {
            for codec in CODECS {
                if let Some(raw) = decompress(codec, bytes.clone(), raw_len) {
                    prop_assert_eq!(raw.len(), raw_len);
                }
            }
        }
    }

    #[test]
    fn what_does_not_become_smaller_is_left_as_it_is() {
        let noise: Vec<u8> = (0..1000u64).map(|i| (xxhash_rust::xxh3::xxh3_64(&i.to_le_bytes()) >> 17) as u8).collect();
        for codec in CODECS {
            let mut compressor = Compressor::default();
            assert_eq!(compressor.compress(codec, [&noise[..]].into_iter()), None, "{codec:?}");
            assert_eq!(compressor.compress(codec, [&b""[..]].into_iter()), None, "{codec:?}");
        }
    }

    /// Prints the table of `docs/queue-format.md` for the logs in the folder `FOREBAY_LOGS`:
    /// `FOREBAY_LOGS=logs cargo test --release --lib compression_table -- --ignored --nocapture`
    #[test]
    #[ignore = "measures; needs a folder of logs"]
    fn compression_table() {
        use crate::queue::put_varint;
        use std::time::{Duration, Instant};
        let dir = std::env::var_os("FOREBAY_LOGS").expect("FOREBAY_LOGS names a folder of logs");
        let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        files.retain(|p| p.extension().is_some_and(|e| e == "log"));
        files.sort();
        let texts: Vec<Vec<u8>> = files.iter().map(|p| std::fs::read(p).unwrap()).collect();
        println!("| codec | batch | stored / raw | compress MB/s | verify and decompress MB/s |");
        println!("|---|---|---|---|---|");
        for batch in [16 << 10, 64 << 10, 1 << 20] {
            // The files one after the other, each line once.
            let (mut batches, mut lens, mut data) = (Vec::new(), Vec::new(), Vec::new());
            for line in texts.iter().flat_map(|t| t.split_inclusive(|b| *b == b'\n')) {
                put_varint(&mut lens, line.len() as u32);
                data.extend_from_slice(line);
                if data.len() >= batch {
                    batches.push([std::mem::take(&mut lens), std::mem::take(&mut data)]);
                }
            }
            let raw: usize = batches.iter().flatten().map(Vec::len).sum();
            for codec in CODECS {
                let mut compressor = Compressor::default();
                let mut store = |b: &[Vec<u8>; 2]| {
                    let parts = || b.iter().map(|p| &p[..]);
                    let stored = compressor.compress(codec, parts()).map_or_else(|| b.concat(), <[u8]>::to_vec);
                    (crc32c::crc32c(&stored), stored)
                };
                let (mut best_in, mut best_out, mut size) = (Duration::MAX, Duration::MAX, 0);
                for _ in 0..10 {
                    let start = Instant::now();
                    let stored: Vec<_> = batches.iter().map(&mut store).collect();
                    best_in = best_in.min(start.elapsed());
                    size = stored.iter().map(|(_, s)| s.len()).sum();
                    let start = Instant::now();
                    for ((crc, stored), batch) in stored.into_iter().zip(&batches) {
                        assert_eq!(crc32c::crc32c(&stored), crc);
                        let raw_len = batch.iter().map(Vec::len).sum();
                        let applied = if stored.len() < raw_len { codec } else { Compression::None };
                        assert_eq!(decompress(applied, stored, raw_len).map(|r| r.len()), Some(raw_len));
                    }
                    best_out = best_out.min(start.elapsed());
                }
                let rate = |t: Duration| raw as f64 / 1e6 / t.as_secs_f64();
                let name = format!("{codec:?}").to_lowercase();
                println!(
                    "| {name} | {} KiB | {:.3} | {:.0} | {:.0} |",
                    batch >> 10,
                    size as f64 / raw as f64,
                    rate(best_in),
                    rate(best_out)
                );
            }
        }
    }
}
