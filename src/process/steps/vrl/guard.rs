//! A panic of a program, which is a bug of the `vrl` crate, is a failure of the processor: one line must not end the agent.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local!(static GUARDED: Cell<bool> = const { Cell::new(false) });

/// Whether a panic of this thread is caught; the hook of the process lets such a one be.
pub(crate) fn is_guarded() -> bool {
    GUARDED.get()
}

/// What `work` gives; `None` where it panics. What it changes must be thrown away then.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    GUARDED.set(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(false);
    done.ok()
}
