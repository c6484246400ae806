//! What happens to events between queue and sink: identity, the document, and the chain of processors.
pub(crate) mod before;
pub(crate) mod chain;
pub(crate) mod condition;
pub(crate) mod container;
pub mod document;
pub mod escape;
pub(crate) mod event;
pub(crate) mod example;
pub(crate) mod flat;
pub(crate) mod framed;
#[doc(hidden)]
#[cfg(any(fuzzing, test, debug_assertions))]
pub use steps::fuzzing;
pub mod identity;
#[cfg(feature = "vrl")]
pub(crate) use steps::guarded;
pub mod journal;
pub(crate) use steps::is_processor;
mod json_string;
pub(crate) mod pattern;
pub(crate) mod presets;
mod shaped;
pub(crate) mod shaping;
pub(crate) mod steps;
mod stored;
pub mod syslog;
pub mod timestamp;
pub(crate) mod trial;
