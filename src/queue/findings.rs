//! What a check of the files tells, and what is known to be missing.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is lost, and nothing has to be done.
    Note,
    /// Something is not as it was written.
    Damage,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What it is, in words.
    pub what: String,
    /// The file.
    pub file: PathBuf,
    /// Topic, where it belongs to one.
    pub topic: Option<String>,
    /// Partition, where it belongs to one.
    pub partition: Option<u32>,
    /// Bytes of the file (from, to; exclusive).
    pub bytes: Option<(u64, u64)>,
    /// Offsets that cannot be read (first, end; exclusive).
    pub offsets: Option<(u64, u64)>,
}

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Segment files that were read.
    pub segments: u64,
    /// Sound record batches in them.
    pub batches: u64,
    /// Events in these.
    pub events: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// All that is not as it should be.
    pub findings: Vec<Finding>,
}

impl Verification {
    /// Whether there is no damage.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|f| f.severity == Severity::Note)
    }
}

/// Offsets of which it is known that they are not there any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Missing {
    pub(crate) topic: String,
    pub(crate) partition: u32,
    pub(crate) first: u64,
    pub(crate) end: u64,
}

/// Where `verify --repair` writes down what is gone, so that it is told once as damage and then as a note.
pub(crate) fn missing_path(dir: &Path) -> PathBuf {
    dir.join("quarantine").join("missing.json")
}
