//! `type: journald`: the systemd journal, read by `journalctl -o export --follow`.
//!
//! The journal can be read again, so it is followed exactly once, like a file. Each entry is stored as it is exported. The
//! queue remembers of the stream a cursor and the byte of the stream at which the cursor's entry ends; it rides in the
//! stream's record, in the same write and sync as events that come after it, so it can be old but never too new. At a
//! start the entries after the cursor that are durable already (their bytes are known: the stream's durable end minus the
//! cursor's byte) are passed over, and a checksum of the last of them shows that they are the same. Where it does not, they
//! are sent again, and that is said.

mod entries;
mod follow;

#[cfg(any(fuzzing, test))]
pub(super) use entries::Entries;
pub(crate) use follow::follow;
