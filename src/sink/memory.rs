//! Memory for encoded bodies, shared by all sinks.
//!
//! Half of it is divided: so much each sink has whatever the others do, so that one that is down and keeps its bodies stops
//! nobody. The other half is for whoever needs it, at most half of that for one of several sinks.

use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard};

/// So many bodies of each sink have room when all sinks send: two in flight, and the one that is being encoded.
const BODIES: usize = 3;

/// Counts what all sinks use.
#[derive(Debug)]
pub struct BodyMemory {
    cap: usize,
    /// Bytes by sink.
    used: Mutex<Vec<usize>>,
}

impl BodyMemory {
    /// `cap` bytes for the bodies of all sinks. One event that is larger than a sink's share is sent alone all the same.
    pub fn new(cap: usize) -> Arc<BodyMemory> {
        Arc::new(BodyMemory { cap, used: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<usize>> {
        self.used.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Bytes in use now.
    pub fn used(&self) -> usize {
        self.lock().iter().sum()
    }

    /// The share of one more sink.
    pub(crate) fn share(self: &Arc<Self>) -> Arc<Share> {
        let mut used = self.lock();
        used.push(0);
        Arc::new(Share { memory: self.clone(), sink: used.len() - 1 })
    }
}

/// What one sink may use.
#[derive(Debug)]
pub(crate) struct Share {
    memory: Arc<BodyMemory>,
    sink: usize,
}

impl Share {
    /// Bytes that the sink may have now, what it uses already among them.
    pub(crate) fn most(&self) -> usize {
        let used = self.memory.lock();
        if used.len() == 1 {
            return self.memory.cap;
        }
        let own = self.memory.cap / 2 / used.len();
        let common = self.memory.cap - own * used.len();
        let others = used.iter().enumerate().filter(|(sink, _)| *sink != self.sink);
        let taken: usize = others.map(|(_, bytes)| bytes.saturating_sub(own)).sum();
        own + common.saturating_sub(taken).min(common / 2)
    }

    /// Bytes that each of so many bodies of the sink may have now. With several sinks all have bodies of one size, as long as there is
    /// room for them: what the others leave is more or less with each body, and memory that is given back and taken again in ever
    /// other sizes leaves holes; eight sinks had 40 MiB that way, of 8 MiB that they used.
    pub(crate) fn body(&self, bodies: usize) -> usize {
        let most = self.most() / bodies.max(1);
        match self.memory.lock().len() {
            1 => most,
            sinks => most.min(self.memory.cap / (sinks * BODIES)),
        }
    }

    /// Makes `bytes` shareable; they count as used until the last slice of them is dropped.
    pub(crate) fn counted(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        let charge = self.charge(bytes.capacity());
        Bytes::from_owner(Counted { bytes, _charge: charge })
    }

    /// Counts `bytes` as used until the charge is dropped.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        self.memory.lock()[self.sink] += bytes;
        Charge { share: self.clone(), bytes }
    }
}

/// Bytes that count as used.
#[derive(Debug)]
pub(crate) struct Charge {
    share: Arc<Share>,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.share.memory.lock()[self.share.sink] -= self.bytes;
    }
}

struct Counted {
    bytes: Vec<u8>,
    _charge: Charge,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sink_has_all_and_several_never_more_than_that_together() {
        let memory = BodyMemory::new(1200);
        let first = memory.share();
        assert_eq!(first.most(), 1200);
        let (second, third) = (memory.share(), memory.share());
        assert_eq!(first.most(), 200 + 300);
        let down = first.charge(first.most());
        assert_eq!((second.most(), memory.used()), (200 + 300, 500));
        let busy = second.charge(second.most());
        assert_eq!((third.most(), first.most()), (200, 500), "its own is left");
        drop(down);
        assert_eq!(third.most(), 500);
        drop(busy);
        let bytes = third.counted(vec![7; 30]);
        let slice = bytes.slice(..2);
        drop(bytes);
        assert_eq!((&slice[..], memory.used()), (&[7, 7][..], 30));
        drop(slice);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn bodies_of_several_sinks_have_one_size_whatever_the_others_use_while_there_is_room() {
        let memory = BodyMemory::new(1200);
        let first = memory.share();
        assert_eq!((first.body(3), first.body(0)), (400, 1200));
        let second = memory.share();
        let sizes = |share: &Arc<Share>| [share.body(2), share.body(3), share.body(6)];
        assert_eq!(sizes(&first), [200, 200, 100], "six have no more than the sink may use");
        let busy = second.charge(3 * 200);
        assert_eq!((first.body(3), first.most()), (200, 600));
        drop(busy);
        let others: Vec<_> = (0..6).map(|_| memory.share()).collect();
        let charges: Vec<_> = others.iter().map(|share| share.charge(150)).collect();
        assert_eq!((first.body(3), charges.len()), (50, 6));
    }
}
