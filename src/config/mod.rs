//! YAML pipelines: read, checked as a whole, and turned into options.

mod cloud_id;
mod containers;
pub(crate) mod decode;
pub(crate) mod diagnostic;
pub(crate) mod examples;
pub(crate) mod expand;
mod http_client;
mod limits;
mod load;
#[cfg(test)]
mod loaded;
mod mask;
#[cfg(test)]
mod mistakes;
mod more_sinks;
mod multiline;
mod options;
pub(crate) mod presets;
pub(crate) mod process;
mod push_sources;
mod queue;
mod search_target;
mod secret;
mod sink_kinds;
mod sinks;
mod sources;
pub(crate) mod suggest;
mod top;
pub(crate) mod units;
mod whole;
pub(crate) mod yaml;

pub use diagnostic::{ConfigErrors, Diagnostic};
pub use load::load;
pub(crate) use load::{host_name_of_kernel, load_for_tests, pipelines};
pub use options::{AdminOptions, Config, LimitOptions, LogFormat};
pub use secret::Secret;
pub(crate) use top::{DATA_DIR, admin_default};
pub(crate) use units::duration;
