//! The admin listener: health, readiness, metrics and the status that people read.
//!
//! One [`Status`] is the only source: `/status` is its JSON, `/metrics` and the page of
//! `forebay status` are rendered from it, so that they can never disagree.

pub mod client;
pub mod control;
pub(crate) mod human;
mod metrics;
mod openmetrics;
mod ready;
pub mod render;
mod server;
mod status;

pub use server::{Admin, AdminError, StatusFn, serve};
pub use status::{
    EndpointStatus, GroupPartition, LossStatus, PartitionStatus, QueueStatus, SinkStatus, SourceStatus, Status, WantedStatus,
};
