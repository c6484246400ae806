//! Memory for payloads that are read back from disk: a reader's next batch gets what an earlier one has left, since
//! fresh memory costs the kernel as much as reading into it.

use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard};

/// So many buffers wait for their next use however few are in use.
const KEPT: usize = 2;

/// Larger ones are given back: a single huge event must not hold memory for ever.
const KEPT_BYTES: usize = 4 << 20;

/// Lengths differ from batch to batch; a buffer serves all of about its length.
const STEP: usize = 256 << 10;

/// Buffers that wait for their next use.
#[derive(Debug, Default)]
pub(crate) struct Spare(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    free: Vec<Vec<u8>>,
    /// How many are shared now.
    lent: usize,
}

impl Spare {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// A buffer of `len` bytes, whatever is in them.
    pub(crate) fn take(&self, len: usize) -> Vec<u8> {
        let mut bytes = self.lock().free.pop().unwrap_or_default();
        if bytes.capacity() < len {
            bytes = vec![0; if len > KEPT_BYTES { len } else { len.next_multiple_of(STEP) }];
        }
        bytes.resize(len, 0);
        bytes
    }

    /// Makes a buffer shareable; it comes back when the last slice of it is dropped.
    pub(crate) fn share(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        self.lock().lent += 1;
        Bytes::from_owner(Lent { bytes, home: self.clone() })
    }

    /// Gives the memory back that nobody uses.
    pub(crate) fn trim(&self) {
        self.lock().free.clear();
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
        let mut state = self.home.lock();
        state.lent -= 1;
        // As many are worth keeping as are in use: the batches in flight hold theirs until they are acked.
        if state.free.len() < state.lent.max(KEPT) && self.bytes.capacity() <= KEPT_BYTES {
            state.free.push(std::mem::take(&mut self.bytes));
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
        let mut lent: Vec<Bytes> = [10, 20, 30, 40, 50, KEPT_BYTES + 1].map(|n| spare.share(spare.take(n))).into();
        lent.drain(..3);
        assert_eq!(spare.lock().free.len(), 3, "as many as are in use");
        drop(lent);
        {
            let state = spare.lock();
            assert_eq!((state.free.len(), state.lent), (3, 0));
            assert!(state.free.iter().all(|b| b.capacity() <= KEPT_BYTES));
        }
        let one = spare.take(STEP / 2);
        assert_eq!(one.capacity(), STEP, "it serves others of about its length");
        spare.trim();
        assert_eq!(spare.lock().free.len(), 0);
    }
}
