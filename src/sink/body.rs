//! Buffers for encoded bodies: reused, shared with the HTTP client without a copy, counted, and given back when idle.

use super::memory::{Charge, Share};
use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// A buffer, and the charge for it.
type Free = (Vec<u8>, Option<Charge>);

/// Keeps the buffers of bodies that are no longer in flight.
pub(crate) struct BodyPool {
    most: usize,
    share: Arc<Share>,
    /// Bytes that a body may have now.
    largest: AtomicUsize,
    free: Mutex<Vec<Free>>,
}

impl BodyPool {
    /// Keeps at most `most` buffers, and counts them and those in use at `share`.
    pub fn new(most: usize, share: Arc<Share>) -> Arc<BodyPool> {
        Arc::new(BodyPool { most, share, largest: AtomicUsize::new(0), free: Mutex::default() })
    }

    /// An empty buffer with room for `needed` bytes. Large ones have one size, `largest`, so that each serves again; those that
    /// are larger are not kept from now on.
    pub fn take(self: &Arc<Self>, needed: usize, largest: usize) -> Body {
        // Growing step by step would copy, and leave twice the memory that is needed; what is not written to costs nothing.
        let room = if needed > largest / 2 { needed.max(largest) } else { needed };
        let before = self.largest.swap(largest, Relaxed);
        let mut free = self.free.lock().unwrap_or_else(|e| e.into_inner());
        if largest < before {
            free.retain(|(bytes, _)| fits(bytes, largest));
        }
        let found = free.pop().filter(|(bytes, _)| bytes.capacity() >= room);
        drop(free);
        let (bytes, charge) = found.unwrap_or_else(|| (Vec::with_capacity(room), None));
        let charge = charge.or_else(|| Some(self.share.charge(bytes.capacity())));
        Body { bytes, charge, pool: self.clone() }
    }

    /// Gives all unused memory back.
    pub fn trim(&self) {
        self.free.lock().unwrap_or_else(|e| e.into_inner()).clear();
    }
}

/// Whether a buffer is not much larger than a body may be.
fn fits(bytes: &Vec<u8>, largest: usize) -> bool {
    bytes.capacity() <= largest + largest / 4
}

/// A buffer that returns to its pool.
pub(crate) struct Body {
    /// What is encoded so far.
    pub bytes: Vec<u8>,
    charge: Option<Charge>,
    pool: Arc<BodyPool>,
}

impl Body {
    /// Shares the bytes; the buffer returns to its pool with the last of them.
    pub fn freeze(mut self) -> Bytes {
        // It may have grown.
        self.charge = None;
        self.charge = Some(self.pool.share.charge(self.bytes.capacity()));
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        // One huge event must not keep its memory for ever.
        if bytes.capacity() > 0 && fits(&bytes, self.pool.largest.load(Relaxed)) {
            bytes.clear();
            let mut free = self.pool.free.lock().unwrap_or_else(|e| e.into_inner());
            if free.len() < self.pool.most {
                free.push((bytes, self.charge.take()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::memory::BodyMemory;

    #[test]
    fn buffers_come_back_unless_they_are_huge() {
        let memory = BodyMemory::new(1000);
        let pool = BodyPool::new(1, memory.share());
        let body = pool.take(80, 100);
        assert_eq!(body.bytes.capacity(), 100, "large bodies have one size");
        let at = body.bytes.as_ptr();
        let shared = body.freeze();
        let copy = shared.clone();
        drop(shared);
        assert_eq!((pool.take(10, 100).bytes.capacity(), memory.used()), (10, 110), "still shared");
        pool.trim();
        drop(copy);
        assert_eq!(memory.used(), 100, "what is kept counts");
        let mut again = pool.take(80, 100);
        assert_eq!((again.bytes.as_ptr(), memory.used()), (at, 100));
        again.bytes.reserve_exact(1000);
        assert_eq!(again.freeze().len(), 0);
        assert_eq!(memory.used(), 0, "a huge one is not kept");
        drop(pool.take(80, 100));
        drop(pool.take(50, 50));
        assert_eq!(memory.used(), 50, "bodies have become smaller");
        pool.trim();
        assert_eq!(memory.used(), 0);
    }
}
