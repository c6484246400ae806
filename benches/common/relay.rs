//! A door in front of a real server: what goes through it is counted, and it can be shut.

use super::Count;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Reads the head of a message to `to`; the bytes of its body, `None` where it comes in chunks.
fn head(from: &mut impl BufRead, to: &mut Vec<u8>) -> io::Result<Option<usize>> {
    let (mut length, mut line) = (Some(0), String::new());
    while line != "\r\n" {
        line.clear();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.extend_from_slice(line.as_bytes());
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = Some(value.trim().parse().map_err(io::Error::other)?);
        } else if lower.starts_with("transfer-encoding:") {
            length = None;
        }
    }
    Ok(length)
}

fn exactly(from: &mut impl Read, bytes: usize, to: &mut Vec<u8>) -> io::Result<()> {
    let at = to.len();
    to.resize(at + bytes, 0);
    from.read_exact(&mut to[at..])
}

/// A message as it came, and its body without the seams between chunks, which may lie anywhere.
fn message(from: &mut impl BufRead) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (mut bytes, mut body) = (Vec::new(), Vec::new());
    match head(from, &mut bytes)? {
        Some(length) => {
            exactly(from, length, &mut bytes)?;
            body.extend_from_slice(&bytes[bytes.len() - length..]);
        }
        None => loop {
            let at = bytes.len();
            from.read_until(b'\n', &mut bytes)?;
            let size = std::str::from_utf8(&bytes[at..]).map_err(io::Error::other)?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
            exactly(from, size + 2, &mut bytes)?;
            body.extend_from_slice(&bytes[bytes.len() - size - 2..bytes.len() - 2]);
            if size == 0 {
                break;
            }
        },
    }
    Ok((bytes, body))
}

/// Passes requests on to `server` (`host:port`) until one of the two has gone, or the door is shut.
pub(super) fn pass(client: TcpStream, server: &str, count: &Count, up: &AtomicBool) -> io::Result<()> {
    let (behind, mut to_client) = (TcpStream::connect(server)?, client.try_clone()?);
    let (mut requests, mut answers, mut to_server) = (BufReader::new(client), BufReader::new(behind.try_clone()?), behind);
    loop {
        let (request, _) = message(&mut requests)?;
        if !up.load(Relaxed) {
            return Ok(());
        }
        to_server.write_all(&request)?;
        let (answer, body) = message(&mut answers)?;
        if request.starts_with(b"POST") && request.windows(6).take(200).any(|w| w == b"/_bulk") {
            let created = memchr::memmem::find_iter(&body, br#""status":201"#).count() as u64;
            let busy = answer.get(9..12) == Some(b"429") || memchr::memmem::find(&body, br#""status":429"#).is_some();
            count.busy.fetch_add(busy.into(), Relaxed);
            count.requests.fetch_add(1, Relaxed);
            count.documents.fetch_add(created, Relaxed);
        }
        to_client.write_all(&answer)?;
    }
}
