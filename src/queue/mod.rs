//! The embedded queue: topics, partitions, segments, record batches, consumer groups.
//!
//! A source hands over [`Block`]s: runs of whole events of one stream, the bytes
//! exactly as they were read. The queue packs them into record batches that carry
//! the stream's identity and byte range, so that data and position become durable
//! in one sync: the queue is the registry. A sink is a consumer group: it polls
//! [`Batch`]es, each a range of offsets with a stable [`BatchId`], and acks them.

mod api;
mod block;
mod options;
mod record;
mod stream;

pub use api::{Acker, AppendError, Batch, BatchId, Consumer, DeadLetters, FetchError, Limits, Part, Producer, RunSlice};
pub(crate) use block::put_varint;
pub use block::{Block, Buffer, BufferPool, RunFlags, Tail};
pub use options::{Acks, OnFull, QueueOptions, Retention};
pub use record::{Event, Events, RecordBatch, Run};
pub use stream::{FileIdentity, Head, Position, Stream, StreamSpec};
