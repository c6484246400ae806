//! The admin listener: health, readiness, metrics and the status that people read.

pub mod client;
pub mod render;
mod status;

pub use status::{GroupPartition, PartitionStatus, QueueStatus, SinkStatus, SourceStatus, Status};
