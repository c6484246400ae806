//! Where events come from. A source hands whole buffers of events to the queue's [`crate::queue::Producer`].
//!
//! [`file`] follows files, which can be read again; [`push`] takes what is pushed, which cannot.

pub mod file;
pub mod push;
