//! The embedded queue: topics, partitions, segments, record batches, consumer groups.
//!
//! A source hands over [`Block`]s: runs of whole events of one stream, the bytes
//! exactly as they were read. The queue packs them into record batches that carry
//! the stream's identity and byte range, so that data and position become durable
//! in one sync: the queue is the registry. A sink is a consumer group: it polls
//! [`Batch`]es, each a range of offsets with a stable [`BatchId`], and acks them.

mod absent;
mod admission;
mod api;
mod append;
mod ballast;
mod block;
mod books;
mod clock;
mod codec;
mod compression;
mod consumer;
mod cursor;
mod dead_letter;
mod disk;
mod drops;
mod embedded;
mod fail_point;
mod fetch;
mod filtered;
mod findings;
mod floor;
mod format;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod group_state;
mod groups;
mod holes;
mod inbox;
mod index;
mod journal;
pub(crate) mod letter;
mod log;
mod losses;
mod manage;
mod meta;
mod open;
mod options;
mod pace;
mod packed;
mod partition;
mod patient;
mod ranges;
mod reader;
mod record;
mod recovery;
mod redrive;
mod registry;
mod repair;
mod retention;
mod segment;
mod shed;
mod side_by_side;
mod snapshot;
mod spare;
mod stats;
mod stream;
mod syncer;
pub(crate) mod text;
mod verify;
mod view;
mod writer;

pub use absent::AbsentGroup;
pub use api::{Acker, AppendError, Batch, BatchId, BatchKind, Consumer, DeadLetters, FetchError, Limits, Part, Producer, RunSlice};
pub use block::{Block, Buffer, BufferPool, Filtered, Format, RunFlags, Tail, put_varint};
pub use books::{Books, MissingEvents, SinkBooks, StreamBooks, UnplacedLoss};
pub(crate) use clock::now_ms;
pub use cursor::CatchUp;
pub use dead_letter::DeadLetterWriter;
pub use embedded::{BLOCK_BYTES, DEAD_LETTER_TOPIC, GroupLag, Queue, Subscription};
pub use findings::{Finding, Severity, Verification};
pub(crate) use floor::floor;
pub use losses::{
    Cause, Loss, LossEntry, LossState, LossTotals, Losses, LossesError, LostPart, LostStream, LostUnread, Settled, Span, Wanted,
};
pub use manage::{GroupInfo, GroupPlace, Inventory, ManageError, Managed, Move, Moved, Overwriting, Reset, ResetTo, TopicPlace};
pub use open::OpenError;
pub use options::{Acks, Compression, Intent, OnFull, QueueOptions, Retention};
pub use reader::{Reader, Start};
pub use record::{Event, Events, RecordBatch, Run, Stored};
pub use recovery::{Lost, RecoveryError, RecoveryReport};
pub use redrive::Redriven;
pub use repair::repair;
pub use stream::{FileIdentity, Head, Position, Rule, Stream, StreamSpec};
pub use text::{Encoding, LineEnding, Text};
pub use verify::verify;
pub use view::{Held, Stopped, StoppedError, View};

#[cfg(test)]
mod tests;
