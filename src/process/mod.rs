//! What happens to events between queue and sink: identity and the document.
pub(crate) mod container;
pub mod document;
pub mod escape;
pub(crate) mod flat;
pub mod identity;
pub mod journal;
mod json_string;
mod shaped;
pub mod syslog;
pub mod timestamp;
