//! YAML pipelines: read, checked as a whole, and turned into options.

mod options;
mod secret;

pub use options::{AdminOptions, Config, LogFormat};
pub use secret::Secret;
