//! One picture of the agent, from which `/status`, `/metrics` and `forebay status` are made.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How the agent stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Process ID.
    pub pid: u32,
    /// `running` or `draining`.
    pub state: String,
    /// Start, ms since the Unix epoch.
    pub started_ms: u64,
    /// When this picture was taken, ms since the Unix epoch.
    pub now_ms: u64,
    /// Resident memory, bytes.
    pub resident_bytes: u64,
    /// Sources by name.
    pub sources: BTreeMap<String, SourceStatus>,
    /// The queue.
    pub queue: QueueStatus,
    /// Sinks by name.
    pub sinks: BTreeMap<String, SinkStatus>,
}

/// How a source stands. Counters count from the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Kind of source: `file`, `stdin`, `http`, `syslog`, `journald`.
    pub kind: String,
    /// Files that are followed.
    pub files: u64,
    /// Files that are open.
    pub open_files: u64,
    /// Bytes taken.
    pub read_bytes: u64,
    /// Events handed to the queue.
    pub read_events: u64,
    /// Bytes on disk that are not read yet.
    pub unread_bytes: u64,
    /// Rotations seen.
    pub rotations: u64,
    /// Truncations seen.
    pub truncations: u64,
    /// Events cut at `max_line_bytes`.
    pub cut_events: u64,
    /// Bytes cut off them.
    pub cut_bytes: u64,
    /// Bytes known to be lost (deleted or truncated before they were read).
    pub lost_bytes: u64,
    /// Bytes that a truncated or replaced file still held of what was read before, and that were not sent again.
    #[serde(default)]
    pub kept_bytes: u64,
    /// Directories that are looked at regularly, since the kernel does not tell of all changes in them.
    #[serde(default)]
    pub polled_dirs: u64,
    /// Generations in a compression that cannot be read (`.bz2`, `.xz`, `.zip` …): what was not read before is not shipped.
    #[serde(default)]
    pub unreadable_generations: u64,
    /// Requests of senders that were answered with an error: none of their events counts as taken.
    pub refused_requests: u64,
    /// Events known to be dropped: datagrams by the kernel, input that a stop found no room for.
    pub dropped_events: u64,
    /// Connections that are open.
    pub connections: u64,
    /// Events that the chain before the queue has filtered since the start.
    #[serde(default)]
    pub filtered: u64,
    /// The same by processor, such as `drop (2)`.
    #[serde(default)]
    pub filtered_by: BTreeMap<String, u64>,
    /// Failures of its processors at events that went on all the same.
    #[serde(default)]
    pub process_failures: u64,
    /// In how many seconds rotation will delete bytes that will not be read by then, as far as can be foreseen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_to_loss: Option<f64>,
    /// The last error, in words; empty when all is well.
    pub last_error: String,
}

/// How the queue stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// `ok`, `full`, `degraded` or `dropping`.
    pub state: String,
    /// Why it is not `ok`, and what happens to the data.
    pub reason: String,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Most bytes on disk.
    pub max_bytes: u64,
    /// Bytes of memory that hold data.
    pub memory_bytes: u64,
    /// Cap on them.
    pub memory_cap: u64,
    /// Events lost to damage of the queue's files since the start.
    pub lost_events: u64,
    /// Failed writes and syncs since the start.
    pub disk_errors: u64,
    /// Syncs since the start.
    pub syncs: u64,
    /// Partitions of all topics.
    pub partitions: Vec<PartitionStatus>,
    /// What was lost since the queue was made, by cause.
    #[serde(default)]
    pub losses: BTreeMap<String, LossStatus>,
    /// Streams with bytes that are to be read again; the first of them.
    #[serde(default)]
    pub wanted: Vec<WantedStatus>,
}

/// What was lost by one cause since the queue was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LossStatus {
    /// Events that the queue has lost, also those that were read again from their source.
    pub events: u64,
    /// Bytes of sources that it has lost, as far as they are known.
    pub bytes: u64,
    /// Events that were read again.
    pub read_again_events: u64,
    /// Bytes that were read again.
    pub read_again_bytes: u64,
    /// Bytes that are to be read again.
    pub wanted_bytes: u64,
    /// Events that are gone for good, as far as they were counted.
    pub gone_events: u64,
    /// Bytes that are gone for good.
    pub gone_bytes: u64,
}

/// A stream with bytes that the queue has lost and that are to be read again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WantedStatus {
    /// Source.
    pub source: String,
    /// Path under which its file was first seen.
    pub path: String,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// Why they are lost.
    pub cause: String,
    /// Byte ranges of the source (first, end).
    pub ranges: Vec<(u64, u64)>,
}

/// How a partition stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartitionStatus {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// First retained offset.
    pub first_offset: u64,
    /// Offset after the last event that is written.
    pub end_offset: u64,
    /// Offset after the last event that consumers may see.
    pub durable_offset: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Segment files.
    pub segments: u64,
}

/// How a sink stands. Counters count from the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SinkStatus {
    /// Kind of sink.
    pub kind: String,
    /// `idle`, `sending`, `retrying` or `held`.
    pub state: String,
    /// Why it is retrying or held, and what happens to the data.
    pub reason: String,
    /// Events in the queue that are not delivered.
    pub lag_events: u64,
    /// Bytes of them, about.
    pub lag_bytes: u64,
    /// Age of the oldest of them, seconds.
    pub lag_seconds: f64,
    /// Events delivered.
    pub delivered_events: u64,
    /// Bytes of events delivered (as read, not as encoded).
    pub delivered_bytes: u64,
    /// Events that the receiver had already (409 at Elasticsearch).
    pub already_there: u64,
    /// Events that were sent again after a try of which nobody can know whether it arrived, so that they may be there twice.
    #[serde(default)]
    pub possibly_doubled: u64,
    /// Name of the batch that was delivered last: the same at each retry, in the receiver's logs too.
    #[serde(default)]
    pub last_batch: String,
    /// Requests sent.
    pub batches_sent: u64,
    /// Requests that were sent again.
    pub batches_retried: u64,
    /// Requests that were refused.
    pub batches_refused: u64,
    /// Events in the dead-letter topic because of this sink.
    pub dead_lettered: u64,
    /// Events that its chain of processors left out.
    #[serde(default)]
    pub filtered: u64,
    /// How many by which processor; `when` is the sink's own.
    #[serde(default)]
    pub filtered_by: BTreeMap<String, u64>,
    /// Failures of processors at events that were sent all the same, tagged.
    #[serde(default)]
    pub process_failures: u64,
    /// Batches in flight.
    pub in_flight: u64,
    /// How many may be in flight now: as many as speed the receiver up, fewer when it is pressed.
    #[serde(default)]
    pub in_flight_limit: u64,
    /// How many may ever be.
    #[serde(default)]
    pub in_flight_most: u64,
    /// Offsets by partition.
    pub partitions: Vec<GroupPartition>,
    /// Where it sends, for sinks that speak HTTP.
    #[serde(default)]
    pub endpoints: Vec<EndpointStatus>,
    /// What somebody should know although all works, such as a certificate that ends.
    #[serde(default)]
    pub notices: Vec<String>,
}

/// How an endpoint of a sink stands. Counters count from the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// `scheme://host:port`.
    pub url: String,
    /// `up`, `slow` (another one is much faster) or `down` (left out until a probe finds it well).
    pub state: String,
    /// Since when it is up or down, ms since the Unix epoch.
    pub since_ms: u64,
    /// The last error, in words; empty where there was none.
    pub last_error: String,
    /// Requests sent.
    pub requests: u64,
    /// Requests that failed because of it.
    pub failures: u64,
    /// Requests in flight.
    pub in_flight: u64,
    /// How long answers take, a moving average, seconds.
    pub latency_seconds: f64,
    /// When its certificate ends, ms since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_ends_ms: Option<u64>,
}

/// A consumer group's place in a partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupPartition {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// Offset below which all is delivered.
    pub committed: u64,
    /// Offset after the last event that the group may see.
    pub end: u64,
    /// Events below this offset are sent to replace what the receiver has; 0: none.
    #[serde(default)]
    pub overwrite_until: u64,
    /// Dead letters below this offset of their topic were sent again by `forebay redrive`; 0: none.
    #[serde(default)]
    pub redriven_until: u64,
}
