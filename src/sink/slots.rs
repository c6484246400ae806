//! How many batches may be in flight.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A fixed number of slots.
pub(crate) struct Slots {
    free: Mutex<u32>,
    freed: Condvar,
}

impl Slots {
    /// `count` free slots.
    pub fn new(count: u32) -> Arc<Slots> {
        Arc::new(Slots { free: Mutex::new(count), freed: Condvar::new() })
    }

    /// A slot, or `None` if none is free within `wait`.
    pub fn take(self: &Arc<Self>, wait: Duration) -> Option<Slot> {
        let free = self.free.lock().unwrap_or_else(|e| e.into_inner());
        let (mut free, _) = self.freed.wait_timeout_while(free, wait, |free| *free == 0).unwrap_or_else(|e| e.into_inner());
        if *free == 0 {
            return None;
        }
        *free -= 1;
        Some(Slot(self.clone()))
    }
}

/// A place for one batch; free again when dropped.
pub(crate) struct Slot(Arc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(|e| e.into_inner()) += 1;
        self.0.freed.notify_one();
    }
}
