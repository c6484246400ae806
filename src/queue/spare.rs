//! Memory for payloads that are read back from disk: a reader's next batch gets what an earlier one has left, since
//! fresh memory costs the kernel as much as reading into it.

use bytes::Bytes;
use std::sync::{Arc, Mutex};

/// At most this many buffers wait for their next use; a reader holds two or three batches at a time.
const KEPT: usize = 2;

/// Larger ones are given back: a single huge event must not hold memory for ever.
const KEPT_BYTES: usize = 4 << 20;

/// Buffers that wait for their next use.
#[derive(Debug, Default)]
pub(crate) struct Spare(Mutex<Vec<Vec<u8>>>);

impl Spare {
    /// A buffer of `len` bytes, whatever is in them.
    pub(crate) fn take(&self, len: usize) -> Vec<u8> {
        let mut bytes = self.0.lock().unwrap_or_else(|e| e.into_inner()).pop().unwrap_or_default();
        if bytes.capacity() < len {
            return vec![0; len];
        }
        bytes.resize(len, 0);
        bytes
    }

    /// Makes a buffer shareable; it comes back when the last slice of it is dropped.
    pub(crate) fn share(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { bytes, home: self.clone() })
    }
}

struct Lent {
    bytes: Vec<u8>,
    home: Arc<Spare>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut kept = self.home.0.lock().unwrap_or_else(|e| e.into_inner());
        if kept.len() < KEPT && self.bytes.capacity() <= KEPT_BYTES {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_last_slice_is_dropped() {
        let spare = Arc::new(Spare::default());
        let mut first = spare.take(100);
        first.fill(7);
        let at = first.as_ptr();
        let shared = spare.share(first);
        let slice = shared.slice(10..20);
        drop(shared);
        let other = spare.take(10);
        assert!(other.as_ptr() != at, "a slice is still in use");
        assert_eq!(&slice[..], [7; 10]);
        drop(slice);
        let again = spare.take(50);
        assert_eq!((again.as_ptr(), again.len()), (at, 50));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let spare = Arc::new(Spare::default());
        let lent: Vec<Bytes> = [10, 20, 30, KEPT_BYTES + 1].map(|n| spare.share(spare.take(n))).into();
        drop(lent);
        let kept = spare.0.lock().unwrap();
        assert_eq!(kept.len(), KEPT);
        assert!(kept.iter().all(|b| b.capacity() <= KEPT_BYTES));
    }
}
