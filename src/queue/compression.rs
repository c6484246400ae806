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
    let mut raw;
    let n = match codec {
        Compression::None => return (stored.len() == raw_len).then_some(stored),
        Compression::Lz4 => {
            raw = vec![0; raw_len];
            lz4_flex::block::decompress_into(&stored, &mut raw).ok()?
        }
        Compression::Zstd => {
            raw = vec![0; raw_len];
            zstd::bulk::decompress_to_buffer(&stored, &mut raw[..]).ok()?
        }
    };
    (n == raw_len).then_some(raw)
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
}
