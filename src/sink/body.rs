//! Memory for encoded bodies: reused, shared with the HTTP client without a copy, and given back when idle.

use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// Keeps the buffers of bodies that are no longer in flight.
pub(crate) struct BodyPool {
    most: usize,
    /// Bytes that a body may have now.
    largest: AtomicUsize,
    free: Mutex<Vec<Vec<u8>>>,
}

impl BodyPool {
    /// Keeps at most `most` buffers.
    pub fn new(most: usize) -> Arc<BodyPool> {
        Arc::new(BodyPool { most, largest: AtomicUsize::new(0), free: Mutex::default() })
    }

    /// An empty buffer for about `largest` bytes; larger ones are not kept from now on.
    pub fn take(self: &Arc<Self>, largest: usize) -> Body {
        let before = self.largest.swap(largest, Relaxed);
        let mut free = self.free.lock().unwrap_or_else(|e| e.into_inner());
        if largest < before {
            free.retain(|bytes| fits(bytes, largest));
        }
        let bytes = free.pop().unwrap_or_default();
        drop(free);
        Body { bytes, pool: self.clone() }
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
    pool: Arc<BodyPool>,
}

impl Body {
    /// Shares the bytes; the buffer returns to its pool with the last of them.
    pub fn freeze(self) -> Bytes {
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
                free.push(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_unless_they_are_huge() {
        let pool = BodyPool::new(1);
        let mut body = pool.take(100);
        body.bytes.reserve_exact(80);
        let at = body.bytes.as_ptr();
        let shared = body.freeze();
        let copy = shared.clone();
        drop(shared);
        assert_eq!(pool.take(100).bytes.capacity(), 0, "still shared");
        drop(copy);
        let mut again = pool.take(100);
        assert_eq!(again.bytes.as_ptr(), at);
        again.bytes.reserve_exact(1000);
        drop(again);
        let mut small = pool.take(100);
        assert_eq!(small.bytes.capacity(), 0);
        small.bytes.reserve_exact(80);
        drop(small);
        assert_eq!(pool.take(50).bytes.capacity(), 0, "bodies have become smaller");
    }
}
