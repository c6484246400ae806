//! Rotating NDJSON files on this machine, each event in them exactly once, also through `kill -9`.
//!
//! A batch is appended, synced, and then recorded (its ID, the file and its length) in a sidecar beside the
//! file, `.NAME.forebay-pos`; only then is it acked. After a crash the file is cut back to the recorded length,
//! which removes an unfinished batch, and a batch whose ID is among the last recorded ones is not written again.

mod append;
mod options;
mod rotate;
mod sidecar;

pub(crate) use append::FileClient;
pub use options::FileSinkOptions;
