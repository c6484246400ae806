//! What the books say.

use crate::queue::{FileIdentity, Head, Rule, Tail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What became of a stream at one group. All but `dead_letters` are bytes of the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkBooks {
    /// Delivered. What lay in the queue before the group began, or was passed over by a reset, counts as delivered.
    pub acknowledged: u64,
    /// Left out by a processor of the sink, or before the queue.
    pub filtered: u64,
    /// Refused for good; the events are in the dead-letter topic.
    pub dead_lettered: u64,
    /// Events of them.
    pub dead_letters: u64,
    /// In the queue, not acknowledged yet.
    pub pending: u64,
    /// Of what is pending: under way.
    pub in_flight: u64,
    /// Lost to the queue and to be read again from the file.
    pub to_be_read_again: u64,
    /// Lost to the queue before the group had it, by cause.
    pub lost: BTreeMap<String, u64>,
}

impl SinkBooks {
    /// All of it: what is queued.
    pub fn sum(&self) -> u64 {
        self.acknowledged + self.missing() + self.filtered
    }

    /// What is not delivered.
    pub fn missing(&self) -> u64 {
        self.dead_lettered + self.pending + self.to_be_read_again + self.lost.values().sum::<u64>()
    }
}

/// A stream: one generation of a file. All figures are bytes of the source.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamBooks {
    /// Number of the stream; from 2^63 on where nothing of the file was read.
    pub number: u64,
    /// Its key, 32 hexadecimal digits; empty where nothing was read.
    pub key: String,
    /// Its generation.
    pub generation: u32,
    /// Name of its source.
    pub source: String,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// Path under which its file was first seen.
    pub path: PathBuf,
    /// Its file, where the queue knows it.
    pub file: Option<FileIdentity>,
    /// Its file's first bytes.
    pub head: Head,
    /// What the bytes before `queued` look like.
    pub tail: Tail,
    /// Handed to the queue and written.
    pub read: u64,
    /// Durable in the queue: here reading goes on after a restart.
    pub queued: u64,
    /// Gone before they were read, by cause: ranges (first, end), in order.
    pub unread: BTreeMap<String, Vec<(u64, u64)>>,
    /// What a chain before the queue has filtered, by rule.
    pub filtered: Vec<Rule>,
    /// By group.
    pub sinks: BTreeMap<String, SinkBooks>,
}

/// Events that are not acknowledged, not in the queue's files and not on record as lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingEvents {
    /// The group.
    pub sink: String,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// How many.
    pub events: u64,
}

/// A loss of which the file is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnplacedLoss {
    /// Why.
    pub cause: String,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// Events, as far as they were counted.
    pub events: u64,
    /// Groups that had acknowledged it before.
    pub had: Vec<String>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// Streams of files, by number.
    pub streams: Vec<StreamBooks>,
    /// Groups, and whether each has a sink that runs.
    pub groups: BTreeMap<String, bool>,
    /// What must be in the queue and is not found.
    pub missing: Vec<MissingEvents>,
    /// What was lost of files that are not known.
    pub unplaced: Vec<UnplacedLoss>,
}
