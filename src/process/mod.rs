//! What happens to events between queue and sink: identity and the document.
pub mod document;
pub mod escape;
pub mod identity;
pub mod journal;
mod shaped;
pub mod syslog;
pub mod timestamp;
