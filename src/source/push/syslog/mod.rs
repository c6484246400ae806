//! `type: syslog`: datagrams and connections, over the network and over Unix sockets.
//!
//! The messages are stored as they came; they are taken apart behind the queue ([`crate::process::syslog`]). Syslog has no
//! acknowledgement: what a sender has written and this process has not brought into the queue dies with it. When the queue
//! has no room, nothing more is read: connections make their senders wait, datagrams are dropped by the kernel, which is
//! counted.

mod drops;
mod frames;
mod listen;
mod peers;
mod receive;

#[cfg(any(fuzzing, test))]
pub(super) use frames::Frames;
pub(crate) use listen::bind;
pub(crate) use receive::serve;
