//! What happens to events between queue and sink: identity and the document.
pub(crate) mod container;
pub mod document;
pub mod escape;
pub mod identity;
mod json_string;
pub mod timestamp;
