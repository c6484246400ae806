//! Compression of request bodies.

/// Compression of request bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// `gzip` at this level (1 to 9).
    Gzip(u32),
}

/// gzip at `level` (1 to 9).
pub(crate) fn gzip(body: &[u8], level: u32) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 8 + 64), flate2::Compression::new(level.clamp(1, 9)));
    // Writing into memory cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}
