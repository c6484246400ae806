//! What servers need before logs come: `forebay setup elasticsearch` and `forebay setup kibana`.
//!
//! All is asked for first and compared, so that a second run changes nothing; what somebody else made is never replaced
//! without `--force`.
//!
//! | file | idea |
//! |---|---|
//! | `target` | for which names a sink needs templates |
//! | `identify` | which server it is; what its refusals mean |
//! | `mappings` | the types of the fields |
//! | `templates` | index template and data stream |
//! | `lifecycle` | ILM and ISM |
//! | `compare` | what is there against what is wanted, and whose it is |
//! | `plan` | states and requests, and sending them |
//! | `install` | all of this for one sink |
//! | `dashboards` | the saved objects |
//! | `kibana` | which of the two it is, and the import |
//! | `wire` | requests and answers |

mod compare;
mod dashboards;
mod ecs;
mod identify;
mod install;
mod kibana;
mod lifecycle;
mod mappings;
mod outcome;
mod plan;
#[cfg(test)]
mod recorded;
mod target;
mod templates;
mod wire;

pub(crate) use install::{install, json};
pub(crate) use kibana::{Access, import};
pub(crate) use outcome::Outcome;
pub(crate) use target::Indices;
pub(crate) use wire::Wire;

use std::time::Duration;

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// How long logs are kept; for ever without.
    pub retention: Option<Duration>,
    /// Age at which a data stream begins another index.
    pub rollover_age: Duration,
    /// Size of a shard at which it does, as the server writes it: `50gb`.
    pub rollover_size: String,
    /// Whether there is to be a lifecycle policy.
    pub lifecycle: bool,
    /// Primary shards of an index; the server's default without.
    pub shards: Option<u32>,
    /// Copies of each.
    pub replicas: Option<u32>,
    /// `index.codec`.
    pub codec: Option<String>,
    /// Of the index template among those whose patterns match.
    pub priority: u32,
    /// `index` names a data stream; and data streams are created now.
    pub data_stream: bool,
    /// Replaces what others made.
    pub force: bool,
    /// Sends nothing that changes anything.
    pub dry_run: bool,
}

/// The mark of what is ours.
fn meta() -> serde_json::Value {
    serde_json::json!({"managed_by": "forebay", "version": env!("CARGO_PKG_VERSION")})
}
