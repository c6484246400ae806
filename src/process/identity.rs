//! Event IDs: deterministic, compact, ordered, and never one for two events.
//!
//! A 409 from a `create` counts as delivered, so an ID that named two events would be a silent
//! loss. An ID is 21 bytes, written as 28 characters of unpadded base64url:
//!
//! | bytes | what | why |
//! |---|---|---|
//! | 11 | hash of the stream key and the sink's scope | other hosts, files, generations and sinks differ |
//! | 6 | start byte of the event in its source, big-endian | neighbours sort together |
//! | 4 | CRC32C of the event's bytes | other content under the same position is another event |
//!
//! Elasticsearch stores an ID that is unpadded base64url as its decoded bytes (`Uid.encodeId`),
//! so Lucene sees 21 ordered bytes. The same file read again, even after a lost `data_dir`,
//! gives the same IDs.

use crate::queue::FileIdentity;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// Characters of an event ID.
pub const ID_LEN: usize = 28;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Two characters for each 12-bit value.
static PAIRS: [[u8; 2]; 4096] = {
    let mut pairs = [[0; 2]; 4096];
    let mut i = 0;
    while i < 4096 {
        pairs[i] = [ALPHABET[i >> 6], ALPHABET[i & 63]];
        i += 1;
    }
    pairs
};

fn put48(out: &mut [u8], value: u64) {
    for (i, pair) in out.chunks_exact_mut(2).enumerate() {
        pair.copy_from_slice(&PAIRS[(value >> (36 - 12 * i)) as usize & 4095]);
    }
}

/// Identity of one generation of a file on one agent.
///
/// The device is left out (it changes over reboots); the first event tells files apart that
/// reuse an inode where the file system has no birth time; the generation tells apart what is
/// written after a truncation, which may begin with the same line.
pub fn stream_key(agent_id: &str, file: &FileIdentity, generation: u32, first_event: &[u8]) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(&(agent_id.len() as u64).to_le_bytes());
    hash.update(agent_id.as_bytes());
    hash.update(&file.inode.to_le_bytes());
    hash.update(&file.born_ns.to_le_bytes());
    hash.update(&generation.to_le_bytes());
    hash.update(first_event);
    hash.digest128()
}

/// Stands for the stream key of events whose stream has no positions ([`crate::queue::RunFlags::NO_POSITION`]):
/// their IDs are made of where they stand in the queue, with the offset as the position.
pub fn queue_key(queue: u128, topic: &str, partition: u32, epoch: u32) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(b"queue");
    hash.update(&queue.to_le_bytes());
    hash.update(&partition.to_le_bytes());
    hash.update(&epoch.to_le_bytes());
    hash.update(topic.as_bytes());
    hash.digest128()
}

/// Writes the IDs of one stream's events for one sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventIds {
    head: [u8; 12],
    low: u64,
}

impl EventIds {
    /// IDs of the stream with `key` under `scope` (the sink's name, or the `previous_name` that it inherits from).
    pub fn new(scope: &str, key: u128) -> EventIds {
        let mut bytes = key.to_le_bytes().to_vec();
        bytes.extend_from_slice(scope.as_bytes());
        let hash = xxh3_128(&bytes);
        let mut head = [0; 12];
        put48(&mut head[..8], (hash >> 80) as u64 & 0xffff_ffff_ffff);
        // 88 bits: 72 in the head, 16 go before the position.
        let next = (hash >> 40) as u64;
        head[8..10].copy_from_slice(&PAIRS[(next >> 28) as usize & 4095]);
        head[10..12].copy_from_slice(&PAIRS[(next >> 16) as usize & 4095]);
        EventIds { head, low: next & 0xffff }
    }

    /// The ID of the event that begins at `position` of its source and whose bytes have `checksum`.
    #[inline]
    pub fn id(&self, position: u64, checksum: u32) -> [u8; ID_LEN] {
        let mut out = [0; ID_LEN];
        out[..12].copy_from_slice(&self.head);
        put48(&mut out[12..20], self.low << 32 | (position >> 16) & 0xffff_ffff);
        put48(&mut out[20..], (position & 0xffff) << 32 | u64::from(checksum));
        out
    }
}

/// Checksum of an event's bytes, as it stands in the ID.
#[inline]
pub fn checksum(event: &[u8]) -> u32 {
    crc32c::crc32c(event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Base64url of the 21 bytes, the slow and plain way.
    fn reference(scope: &str, key: u128, position: u64, checksum: u32) -> String {
        let mut bytes = key.to_le_bytes().to_vec();
        bytes.extend_from_slice(scope.as_bytes());
        let hash = xxh3_128(&bytes);
        let mut raw = Vec::new();
        raw.extend_from_slice(&hash.to_be_bytes()[..11]);
        raw.extend_from_slice(&position.to_be_bytes()[2..]);
        raw.extend_from_slice(&checksum.to_be_bytes());
        raw.chunks(3)
            .flat_map(|c| {
                let v = u32::from(c[0]) << 16 | u32::from(c[1]) << 8 | u32::from(c[2]);
                (0..4).map(move |i| ALPHABET[(v >> (18 - 6 * i)) as usize & 63] as char)
            })
            .collect()
    }

    proptest! {
        #[test]
        fn is_base64url_of_key_position_checksum(scope in "[a-z]{1,12}", key: u128, position in 0u64..1 << 48, sum: u32) {
            let id = EventIds::new(&scope, key).id(position, sum);
            prop_assert_eq!(std::str::from_utf8(&id).unwrap(), reference(&scope, key, position, sum));
        }
    }

    #[test]
    fn places_in_queues_differ() {
        let key = queue_key(1, "logs", 0, 1);
        for other in [queue_key(2, "logs", 0, 1), queue_key(1, "log", 0, 1), queue_key(1, "logs", 1, 1), queue_key(1, "logs", 0, 2)] {
            assert_ne!(key, other);
        }
    }

    #[test]
    fn hosts_files_generations_sinks_and_positions_differ() {
        let file = FileIdentity { device: 1, inode: 7, born_ns: 99 };
        let key = stream_key("host-a", &file, 0, b"first");
        let others = [
            stream_key("host-b", &file, 0, b"first"),
            stream_key("host-a", &FileIdentity { inode: 8, ..file }, 0, b"first"),
            stream_key("host-a", &FileIdentity { born_ns: 100, ..file }, 0, b"first"),
            stream_key("host-a", &file, 1, b"first"),
            stream_key("host-a", &file, 0, b"other"),
        ];
        assert!(others.iter().all(|o| *o != key));
        assert_eq!(key, stream_key("host-a", &FileIdentity { device: 2, ..file }, 0, b"first"), "the device changes over reboots");
        let ids = EventIds::new("search", key);
        assert_ne!(ids.id(0, 1), EventIds::new("archive", key).id(0, 1), "two sinks share no ID");
        assert_ne!(ids.id(0, 1), ids.id(100, 1), "two equal lines share no ID");
        assert_ne!(ids.id(0, 1), ids.id(0, 2), "other content under one position is another event");
    }
}
