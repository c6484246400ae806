//! Standard input: `app | forebay run pipeline.yaml`.
//!
//! What is read is nowhere else, so what the queue has no room for is not read: the pipe fills, and the writer waits.

use super::cutter::LineCutter;
use super::inlet::{Filled, Inlet, Owner, Piece};
use super::stopping::Stopping;
use std::io;
use std::os::fd::BorrowedFd;

/// Bytes of one read: what a pipe holds.
const READ: usize = 64 << 10;

/// Reads `input` to its end. Returns whether the end came (and not the wish to stop).
pub(crate) fn read(input: BorrowedFd<'_>, owner: &Owner, stopping: &Stopping) -> bool {
    let inlet = owner.inlet("", &[], 0);
    let mut cutter = LineCutter::new(owner.options.max_line_bytes);
    let stop = || stopping.is_stopping();
    let hand_over = |cutter: &LineCutter, piece: Piece| take(cutter, piece, owner, &inlet, &stop);
    let ended = loop {
        match stopping.readable(input) {
            Ok(true) if !stop() => {}
            Ok(_) => break false,
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
