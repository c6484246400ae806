//! Memory for payloads that are read back from disk, of all groups together: counted, bounded, and used again, since fresh
//! memory costs the kernel as much as reading into it.
//!
//! A group holds payloads from reading them until their batch is encoded, so a few MiB serve many groups, one after the other.
//! Where there is no room, a batch is cut where it stands, or its group waits until another one has let go.

use super::partition::Notifier;
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard};

/// Larger buffers are given back: a single huge event must not hold memory for ever.
const KEPT_BYTES: usize = 4 << 20;

/// Lengths differ from batch to batch; a buffer serves all of about its length.
const STEP: usize = 256 << 10;

/// The same for short ones: what is written at a slow rate has record batches of some ten KiB, and a batch is made of many.
const SHORT_STEP: usize = 32 << 10;

/// The buffers.
#[derive(Debug)]
pub(crate) struct Spare {
    /// Most bytes, in use or waiting for their next use; one payload may be larger.
    cap: usize,
    state: Mutex<State>,
    /// Told when there is room again after somebody was refused.
    notifier: Arc<Notifier>,
}

#[derive(Debug, Default)]
struct State {
    free: Vec<Vec<u8>>,
    free_bytes: usize,
    /// Bytes that are shared now.
    lent: usize,
    /// Bytes that are being read into, and yet to be shared.
    taken: usize,
    /// Somebody waits for room.
    wanted: bool,
    /// A buffer was taken since the last look.
    busy: bool,
}

/// What a buffer for `len` bytes takes.
fn size(len: usize) -> usize {
    match len {
        0..=STEP => len.next_multiple_of(SHORT_STEP),
        _ if len <= KEPT_BYTES => len.next_multiple_of(STEP),
        _ => len,
    }
}

impl Spare {
    /// Memory of at most `cap` bytes.
    pub(crate) fn new(cap: usize, notifier: Arc<Notifier>) -> Arc<Spare> {
        Arc::new(Spare { cap, state: Mutex::default(), notifier })
    }

    /// For one who only looks.
    pub(crate) fn apart() -> Arc<Spare> {
        Spare::new(0, Arc::default())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Bytes that are in use now.
    pub(crate) fn used(&self) -> usize {
        self.lock().lent
    }

    /// Whether a payload of `len` bytes may be read now; if not, the notifier tells when it is worth asking again. The first
    /// one is always let in.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        let mut state = self.lock();
        let used = state.lent + state.taken;
        let room = used == 0 || used + size(len) <= self.cap;
        state.wanted |= !room;
        room
    }

    /// A buffer of `len` bytes, whatever is in them.
    pub(crate) fn take(&self, len: usize) -> Vec<u8> {
        let mut state = self.lock();
        state.busy = true;
        // The smallest one that is large enough; else the one that is to make room for it.
        let fits = (0..state.free.len()).filter(|i| state.free[*i].capacity() >= len).min_by_key(|i| state.free[*i].capacity());
        let found = fits.or_else(|| state.free.len().checked_sub(1)).map(|i| state.free.swap_remove(i));
        state.free_bytes -= found.as_ref().map_or(0, Vec::capacity);
        let found = found.filter(|bytes| bytes.capacity() >= len);
        state.taken += found.as_ref().map_or(size(len), Vec::capacity);
        drop(state);
        let mut bytes = found.unwrap_or_else(|| vec![0; size(len)]);
        bytes.resize(len, 0);
        bytes
    }

    /// Makes a buffer shareable; it comes back when the last slice of it is dropped.
    pub(crate) fn share(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        let mut state = self.lock();
        state.taken = state.taken.saturating_sub(bytes.capacity());
        state.lent += bytes.capacity();
        drop(state);
        Bytes::from_owner(Lent { bytes, home: self.clone() })
    }

    /// Takes back a buffer that was not shared.
    pub(crate) fn give(&self, bytes: Vec<u8>) {
        let mut state = self.lock();
        state.taken = state.taken.saturating_sub(bytes.capacity());
        drop(state);
        self.keep(bytes, 0);
    }

    fn keep(&self, bytes: Vec<u8>, lent: usize) {
        let mut state = self.lock();
        state.lent -= lent;
        let size = bytes.capacity();
        let gone = if size <= KEPT_BYTES && state.free_bytes + state.lent + state.taken + size <= self.cap {
            state.free_bytes += size;
            state.free.push(bytes);
            None
        } else {
            Some(bytes)
        };
        let wanted = std::mem::take(&mut state.wanted);
        drop(state);
        drop(gone);
        if wanted {
            self.notifier.notify();
        }
    }

    /// Gives the memory back that nobody has used since it was called last.
    pub(crate) fn trim(&self) {
        let mut state = self.lock();
        if !std::mem::take(&mut state.busy) {
            state.free_bytes = 0;
            drop(std::mem::take(&mut state.free));
        }
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
        let bytes = std::mem::take(&mut self.bytes);
        let lent = bytes.capacity();
        self.home.keep(bytes, lent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spare(cap: usize) -> Arc<Spare> {
        Spare::new(cap, Arc::default())
    }

    #[test]
    fn a_buffer_comes_back_when_its_last_slice_is_dropped() {
        let spare = spare(2 * STEP);
        let mut first = spare.take(100);
        first.fill(7);
        let at = first.as_ptr();
        let shared = spare.share(first);
        let slice = shared.slice(10..20);
        drop(shared);
        let other = spare.take(10);
        assert!(other.as_ptr() != at, "a slice is still in use");
        assert_eq!((&slice[..], spare.used()), (&[7; 10][..], SHORT_STEP));
        drop(slice);
        let again = spare.take(50);
        assert_eq!((again.as_ptr(), again.len(), spare.used()), (at, 50, 0));
        spare.give(again);
        let longer = spare.take(SHORT_STEP);
        assert_eq!(longer.as_ptr(), at, "it serves others of about its length");
        assert_eq!([1, STEP - 1, STEP + 1].map(|len| spare.take(len).capacity()), [SHORT_STEP, STEP, 2 * STEP]);
    }

    #[test]
    fn all_together_stay_under_the_cap_but_one_is_always_let_in() {
        let notifier = Arc::new(Notifier::default());
        let spare = Spare::new(3 * STEP, notifier.clone());
        assert!(spare.has_room(9 * STEP), "nothing else is in use");
        let two: Vec<Bytes> = [STEP, 2 * STEP].map(|n| spare.share(spare.take(n))).into();
        let seen = notifier.version();
        assert!(!spare.has_room(1) && notifier.version() == seen);
        let huge = spare.share(spare.take(KEPT_BYTES + 1));
        drop(huge);
        assert!(notifier.version() > seen && spare.lock().free.is_empty(), "no huge one is kept");
        drop(two);
        assert_eq!((spare.used(), spare.lock().free_bytes), (0, 3 * STEP));
        let [first, second] = [STEP, 3 * STEP].map(|n| spare.take(n));
        assert!(!spare.has_room(1), "what is being read is in use as well");
        spare.give(first);
        spare.give(second);
        assert!(spare.lock().free_bytes <= 3 * STEP, "what is kept is under the cap too");
        assert!(spare.has_room(3 * STEP));
    }

    #[test]
    fn what_nobody_needs_any_more_is_given_back() {
        let spare = spare(3 * STEP);
        let small = spare.take(1);
        let large = spare.take(2 * STEP);
        let at = [small.as_ptr(), large.as_ptr()];
        spare.give(small);
        spare.give(large);
        spare.trim();
        let [small, large] = [spare.take(2), spare.take(STEP + 1)];
        assert_eq!([small.as_ptr(), large.as_ptr()], at, "each for what fits it, and not given back while it is in use");
        spare.give(small);
        spare.trim();
        spare.trim();
        let state = spare.lock();
        assert_eq!((state.free.len(), state.free_bytes), (0, 0));
    }
}
