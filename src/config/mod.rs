//! YAML pipelines: read, checked as a whole, and turned into options.

mod containers;
mod decode;
mod diagnostic;
mod expand;
mod load;
#[cfg(test)]
mod loaded;
mod mask;
#[cfg(test)]
mod mistakes;
mod more_sinks;
mod multiline;
mod options;
mod push_sources;
mod queue;
mod secret;
mod sink_kinds;
mod sinks;
mod sources;
mod suggest;
mod top;
mod units;
mod whole;
mod yaml;

pub use diagnostic::{ConfigErrors, Diagnostic};
pub use load::load;
pub use options::{AdminOptions, Config, LogFormat};
pub use secret::Secret;
pub(crate) use top::{DATA_DIR, admin_default};
pub(crate) use units::duration;
