//! How much may wait to become durable: beyond it producers wait, so that memory stays bounded
//! whatever the disk does.

use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// Counts bytes between append and sync.
#[derive(Debug)]
pub(crate) struct Admission {
    cap: usize,
    used: Mutex<usize>,
    freed: Condvar,
}

impl Admission {
    pub(crate) fn new(cap: usize) -> Admission {
        Admission { cap, used: Mutex::new(0), freed: Condvar::new() }
    }

    /// Waits until there is room, then takes `len`: the last block may pass over the cap, so that one that asked
    /// [`Admission::has_room`] need not wait again. `false` after `wait`.
    pub(crate) fn acquire(&self, len: usize, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        let mut used = self.used.lock().unwrap_or_else(|e| e.into_inner());
        while *used >= self.cap {
            let now = Instant::now();
            if now >= until {
                return false;
            }
            used = self.freed.wait_timeout(used, until - now).unwrap_or_else(|e| e.into_inner()).0;
        }
        *used += len;
        true
    }

    /// Takes `len` whatever is taken: for the little that must pass.
    pub(crate) fn force(&self, len: usize) {
        *self.used.lock().unwrap_or_else(|e| e.into_inner()) += len;
    }

    /// Waits until there is some room; `false` after `wait`.
    pub(crate) fn has_room(&self, wait: Duration) -> bool {
        let used = self.used.lock().unwrap_or_else(|e| e.into_inner());
        let (used, _) = self.freed.wait_timeout_while(used, wait, |u| *u >= self.cap).unwrap_or_else(|e| e.into_inner());
        *used < self.cap
    }

    pub(crate) fn release(&self, len: usize) {
        let mut used = self.used.lock().unwrap_or_else(|e| e.into_inner());
        *used = used.saturating_sub(len);
        drop(used);
        self.freed.notify_all();
    }
}
