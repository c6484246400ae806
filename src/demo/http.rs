//! As much of HTTP/1.1's server side as the receiver needs: requests with a body, kept-alive connections.

use std::io::{self, BufRead, Read, Write};

const MAX_HEAD: u64 = 64 << 10;
const MAX_BODY: u64 = 256 << 20;

/// A request with its whole body, decompressed.
pub(super) struct Request {
    pub(super) method: String,
    /// Path without the query.
    pub(super) path: String,
    pub(super) idempotency_key: Option<String>,
    pub(super) body: Vec<u8>,
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

/// Reads the next request; `None` when the client has closed the connection.
pub(super) fn read_request(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut head = stream.by_ref().take(MAX_HEAD);
    let mut line = String::new();
    if head.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Err(invalid("no request line")) };
    let path = target.split(['?', '#']).next().unwrap_or_default().to_string();
    let mut request = Request { method: method.to_string(), path, idempotency_key: None, body: Vec::new() };
    let (mut length, mut chunked, mut gzip) = (0, false, false);
    loop {
        line.clear();
        if head.read_line(&mut line)? == 0 {
            return Err(invalid("the head has no end"));
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            if line.trim_end().is_empty() {
                break;
            }
            return Err(invalid("a header without a colon"));
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().map_err(|_| invalid("content-length is no number"))?,
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            "content-encoding" => gzip = value.eq_ignore_ascii_case("gzip"),
            "idempotency-key" => request.idempotency_key = Some(value.to_string()),
            _ => {}
        }
    }
    if chunked {
        read_chunks(stream, &mut request.body)?;
    } else {
        read_exactly(stream, length, &mut request.body)?;
    }
    if gzip {
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(request.body.as_slice()).take(MAX_BODY).read_to_end(&mut plain)?;
        request.body = plain;
    }
    Ok(Some(request))
}

fn read_exactly(stream: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    if length > MAX_BODY || body.len() as u64 + length > MAX_BODY {
        return Err(invalid("the body is too large"));
    }
    if stream.by_ref().take(length).read_to_end(body)? as u64 != length {
        return Err(invalid("the body is cut"));
    }
    Ok(())
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        stream.by_ref().take(1024).read_line(&mut line)?;
        let size = line.trim_end().split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(size, 16).map_err(|_| invalid("a chunk without a size"))?;
        read_exactly(stream, size, body)?;
        line.clear();
        stream.by_ref().take(1024).read_line(&mut line)?;
        if size == 0 {
            return Ok(());
        }
    }
}

/// Writes an answer with a JSON body.
pub(super) fn write_response(stream: &mut impl Write, status: u16, body: &str) -> io::Result<()> {
    // Only the number counts for a client.
    let head = format!(
        "HTTP/1.1 {status} .\r\ncontent-type: application/json\r\nx-elastic-product: Elasticsearch\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> io::Result<Option<Request>> {
        read_request(&mut io::BufReader::new(bytes))
    }

    #[test]
    fn reads_plain_chunked_and_gzip_bodies_one_after_the_other() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"zipped").unwrap();
        let gzip = gzip.finish().unwrap();
        let mut bytes = b"POST /_bulk?filter_path=errors HTTP/1.1\r\nContent-Length: 5\r\nIdempotency-Key: k1\r\n\r\nhello".to_vec();
        bytes.extend(b"POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n");
        bytes.extend(format!("PUT /b HTTP/1.1\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", gzip.len()).bytes());
        bytes.extend(gzip);
        let mut stream = io::BufReader::new(bytes.as_slice());
        let mut next = || read_request(&mut stream).unwrap();
        let first = next().unwrap();
        assert_eq!((first.method.as_str(), first.path.as_str(), first.idempotency_key.as_deref()), ("POST", "/_bulk", Some("k1")));
        assert_eq!(first.body, b"hello");
        assert_eq!(next().unwrap().body, b"abc0123456789");
        assert_eq!(next().unwrap().body, b"zipped");
        assert!(next().is_none());
    }

    #[test]
    fn a_cut_body_is_an_error() {
        assert!(read(b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc").is_err());
        assert!(read(b"POST / HTTP/1.1\r\ncontent-length: 99999999999999\r\n\r\nabc").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>, tail in "(POST / HTTP/1.1\r\n(content-length: [0-9]{1,4}|transfer-encoding: chunked)\r\n\r\n[0-9a-f]{0,3}\r\n)?") {
            let _ = read(&bytes);
            let _ = read(tail.as_bytes());
        }
    }
}
