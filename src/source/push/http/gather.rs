//! A request's body into memory under the cap, decompressed.

use crate::queue::Buffer;
use crate::source::push::pump::Pump;
use axum::body::{Body, Bytes, HttpBody};
use flate2::bufread::MultiGzDecoder;
use std::future::poll_fn;
use std::io::Read;
use std::pin::Pin;
use std::time::{Duration, Instant};

/// First memory for a body, whatever its sender says: more when it comes.
const FIRST: usize = 256 << 10;
/// Bytes that are decompressed in one go.
const STEP: usize = 64 << 10;
/// How long a sender may take for its body.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoBody {
    /// It is larger than `max_body`.
    TooLarge,
    /// No room in memory.
    NoRoom,
    /// The connection failed, the sender is too slow, or it is not gzip; why.
    Broken(String),
}

/// Memory that grows.
struct Growing<'a> {
    pump: &'a Pump,
    buffer: Buffer,
    len: usize,
    /// What it grows to in one step, where that is known.
    known: usize,
    max: usize,
    until: Instant,
}

impl<'a> Growing<'a> {
    async fn new(pump: &'a Pump, first: usize, known: usize, max: usize, until: Instant) -> Result<Growing<'a>, NoBody> {
        let buffer = pump.buffer(first.clamp(1, max.max(1)), Some(until)).await.ok_or(NoBody::NoRoom)?;
        Ok(Growing { pump, buffer, len: 0, known, max, until })
    }

    /// Makes room for `more` bytes.
    async fn grow(&mut self, more: usize) -> Result<(), NoBody> {
        let need = self.len + more;
        if need > self.max {
            return Err(NoBody::TooLarge);
        }
        if need > self.buffer.len() {
            let size = if need <= self.known { self.known } else { need.max(self.buffer.len() * 2) }.min(self.max);
            let mut larger = self.pump.buffer(size, Some(self.until)).await.ok_or(NoBody::NoRoom)?;
            larger[..self.len].copy_from_slice(&self.buffer[..self.len]);
            self.buffer = larger;
        }
        Ok(())
    }
}

/// Reads `body`. `max` holds for the bytes as they are sent and as they are decompressed.
pub(crate) async fn gather(pump: &Pump, body: Body, gzip: bool, max: usize, until: Instant) -> Result<(Buffer, usize), NoBody> {
    let known = body.size_hint().exact();
    if known.is_some_and(|n| n > max as u64) {
        return Err(NoBody::TooLarge);
    }
    let raw = tokio::time::timeout(PATIENCE, raw(pump, body, known, max, until))
        .await
        .unwrap_or_else(|_| Err(NoBody::Broken(format!("the body did not come within {} s", PATIENCE.as_secs()))))?;
    if gzip { unzip(pump, raw, max, until).await } else { Ok(raw) }
}

async fn raw(pump: &Pump, mut body: Body, known: Option<u64>, max: usize, until: Instant) -> Result<(Buffer, usize), NoBody> {
    let known = known.map_or(0, |n| n as usize);
    let mut all = Growing::new(pump, if known == 0 { FIRST } else { known.min(FIRST) }, known, max, until).await?;
    while let Some(chunk) = next(&mut body).await? {
        all.grow(chunk.len()).await?;
        all.buffer[all.len..all.len + chunk.len()].copy_from_slice(&chunk);
        all.len += chunk.len();
    }
    Ok((all.buffer, all.len))
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, NoBody> {
    loop {
        let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await else { return Ok(None) };
        match frame {
            // Trailers are of no use here.
            Ok(frame) => match frame.into_data() {
                Ok(data) => return Ok(Some(data)),
                Err(_) => continue,
            },
            Err(error) => return Err(NoBody::Broken(format!("the body broke off: {error}"))),
        }
    }
}

async fn unzip(pump: &Pump, (packed, len): (Buffer, usize), max: usize, until: Instant) -> Result<(Buffer, usize), NoBody> {
    let mut all = Growing::new(pump, len.saturating_mul(4), 0, max, until).await?;
    let mut reader = MultiGzDecoder::new(&packed[..len]);
    loop {
        let room = all.len;
        if room == all.buffer.len() {
            // Whether there is more is only known by asking for it.
            let mut one = [0];
            match reader.read(&mut one) {
                Ok(0) => return Ok((all.buffer, all.len)),
                Ok(n) => {
                    all.grow(n).await?;
                    all.buffer[room] = one[0];
                    all.len += n;
                }
                Err(error) => return Err(NoBody::Broken(format!("the body is not gzip: {error}"))),
            }
            continue;
        }
        // A piece at a time, so that the network has its turns.
        let to = all.buffer.len().min(room + STEP);
        match reader.read(&mut all.buffer[room..to]) {
            Ok(0) => return Ok((all.buffer, all.len)),
            Ok(n) => all.len += n,
            Err(error) => return Err(NoBody::Broken(format!("the body is not gzip: {error}"))),
        }
        tokio::task::yield_now().await;
    }
}
