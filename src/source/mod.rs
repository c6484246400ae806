//! Where events come from. A source hands whole buffers of events to the queue's [`crate::queue::Producer`].

pub mod file;
