//! What happens to events between queue and sink: identity and the document.
pub mod identity;
