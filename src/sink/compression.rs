//! Compression of request bodies.

use hyper::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};

/// Compression of request bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// `gzip` at this level (1 to 9).
    Gzip(u32),
}

impl Compression {
    /// Says in the headers of a request how its body is compressed.
    pub(crate) fn name_in(self, headers: &mut HeaderMap) {
        if self != Compression::None {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }

    /// What is sent for `body`; `None` for `body` itself.
    pub(crate) fn apply(self, body: &[u8]) -> Option<Vec<u8>> {
        match self {
            Compression::None => None,
            Compression::Gzip(level) => Some(gzip(body, level)),
        }
    }
}

/// gzip at `level` (1 to 9).
pub(crate) fn gzip(body: &[u8], level: u32) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 8 + 64), flate2::Compression::new(level.clamp(1, 9)));
    // Writing into memory cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}
