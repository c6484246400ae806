//! Standard input: `app | forebay run pipeline.yaml`.
//!
//! What is read is nowhere else, so what the queue has no room for is not read: the pipe fills, and the writer waits.

use super::cutter::LineCutter;
use super::inlet::{Filled, Inlet, Owner, Piece};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Bytes of one read: what a pipe holds.
const READ: usize = 64 << 10;
/// How long a quiet input is waited for before the wish to stop is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How the reader is told to stop.
#[derive(Debug, Default)]
pub(crate) struct Stopping {
    /// Take what is there, then stop.
    pub(crate) drain: AtomicBool,
    /// Stop between two reads.
    pub(crate) stop: AtomicBool,
}

/// Reads `input` to its end. Returns whether the end came (and not the wish to stop).
pub(crate) fn read(input: BorrowedFd<'_>, owner: &Owner, stopping: &Arc<Stopping>) -> bool {
    let inlet = owner.inlet("", &[], 0);
    let mut cutter = LineCutter::new(owner.options.max_line_bytes);
    let stop = || stopping.stop.load(Relaxed);
    let hand_over = |cutter: &LineCutter, piece: Piece| take(cutter, piece, owner, &inlet, &stop);
    let ended = loop {
        if stop() {
            break false;
        }
        let draining = stopping.drain.load(Relaxed);
        match readable(input, if draining { Duration::ZERO } else { LOOK }) {
            Ok(true) => {}
            Ok(false) if draining => break false,
            Ok(false) => continue,
            Err(error) => break failed(owner, &error),
        }
        match rustix::io::read(input, cutter.room(READ)) {
            Ok(0) => break true,
            Ok(n) => {
                for piece in cutter.read(n, &owner.counters) {
                    if !hand_over(&cutter, piece) {
                        return false;
                    }
                }
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(error) => break failed(owner, &error.into()),
        }
    };
    // What was read cannot be read again: also the line that has no end.
    if let Some(piece) = cutter.end(&owner.counters) {
        hand_over(&cutter, piece);
    }
    ended
}

fn failed(owner: &Owner, error: &io::Error) -> bool {
    let text = format!("standard input cannot be read: {error}; what was read is in the queue, nothing more comes");
    owner.counters.set_error(&text);
    tracing::error!("source {}: {text}", owner.options.name);
    true
}

pub(crate) fn readable(input: BorrowedFd<'_>, wait: Duration) -> io::Result<bool> {
    let fd = input.as_fd();
    let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
    match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&wait)) {
        Ok(n) => Ok(n > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether the queue took the piece.
fn take(cutter: &LineCutter, piece: Piece, owner: &Owner, inlet: &Inlet, stop: &impl Fn() -> bool) -> bool {
    let (bytes, events) = (cutter.bytes(&piece), u64::from(piece.count));
    let taken =
        owner.buffer(bytes.len(), stop).and_then(|buffer| inlet.append_patiently(Filled::copied(buffer, bytes, piece), stop)).is_some();
    if !taken {
        inlet.lost(events);
    }
    taken
}
