//! All streams that the queue remembers, and their records on disk.
//!
//! A stream's record stands in each segment before the stream's first run in it, so that every
//! segment explains itself; the snapshots carry the streams whose segments were recycled.

use super::codec::{Reader, Writer};
use super::{FileIdentity, Head, Position, Rule, Stream, StreamSpec, Tail};
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A stream as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamRecord {
    pub(crate) id: u64,
    pub(crate) partition: u32,
    pub(crate) spec: StreamSpec,
    pub(crate) position: Position,
    /// What was filtered before the queue up to the position, by rule.
    pub(crate) rules: Vec<Rule>,
}

impl StreamRecord {
    pub(crate) fn of(stream: &Stream) -> StreamRecord {
        let (spec, position, rules) = stream.at_once();
        StreamRecord { id: stream.id, partition: stream.partition, spec: Arc::unwrap_or_clone(spec), position, rules }
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        let mut w = Writer::default();
        w.u64(self.id);
        w.u32(self.partition);
        w.u128(self.spec.key);
        w.u32(self.spec.generation);
        w.u8(u8::from(self.spec.file.is_some()));
        let file = self.spec.file.unwrap_or_default();
        w.u64(file.device);
        w.u64(file.inode);
        w.u64(file.born_ns as u64);
        w.u32(self.spec.head.len);
        w.u64(self.spec.head.hash);
        w.bytes(self.spec.source.as_bytes());
        w.bytes(self.spec.topic.as_bytes());
        w.bytes(self.spec.path.as_os_str().as_bytes());
        w.bytes(self.spec.fields.as_bytes());
        w.u64(self.position.end);
        w.u32(self.position.tail.len);
        w.u32(self.position.tail.crc);
        let (seen_ms, gone_ms, filtered) = (self.spec.seen_ms, self.spec.gone_ms, !self.rules.is_empty());
        if !self.spec.resume.is_empty() || seen_ms > 0 || gone_ms > 0 || filtered {
            w.bytes(&self.spec.resume);
        }
        if seen_ms > 0 || gone_ms > 0 || filtered {
            w.u64(seen_ms);
        }
        if gone_ms > 0 || filtered {
            w.u64(gone_ms);
        }
        if filtered {
            w.u32(self.rules.len() as u32);
            for rule in &self.rules {
                w.bytes(rule.name.as_bytes());
                w.u64(rule.events);
                w.u64(rule.bytes);
            }
        }
        out.bytes(&w.0);
    }

    /// Reads one record; `None` where the bytes are not one. Fields that a later version appends are passed over.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<StreamRecord> {
        let mut r = Reader(reader.bytes()?);
        let (id, partition, key, generation) = (r.u64()?, r.u32()?, r.u128()?, r.u32()?);
        let has_file = r.u8()? != 0;
        let file = FileIdentity { device: r.u64()?, inode: r.u64()?, born_ns: r.u64()? as i64 };
        let head = Head { len: r.u32()?, hash: r.u64()? };
        let (source, topic) = (r.string()?, r.string()?);
        let path = PathBuf::from(OsString::from_vec(r.bytes()?.to_vec()));
        let fields = r.string()?;
        let position = Position { end: r.u64()?, tail: Tail { len: r.u32()?, crc: r.u32()? } };
        // All grown later: a record may end before them.
        let resume = if r.0.is_empty() { Vec::new() } else { r.bytes()?.to_vec() };
        let seen_ms = if r.0.is_empty() { 0 } else { r.u64()? };
        let gone_ms = if r.0.is_empty() { 0 } else { r.u64()? };
        let count = if r.0.is_empty() { 0 } else { r.u32()? };
        let rules = (0..count).map(|_| Some(Rule::new(r.string()?, r.u64()?, r.u64()?))).collect::<Option<_>>()?;
        let spec =
            StreamSpec { resume, seen_ms, gone_ms, key, source, topic, path, file: has_file.then_some(file), generation, head, fields };
        Some(StreamRecord { id, partition, spec, position, rules })
    }
}

/// The streams by number.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    streams: Mutex<HashMap<u64, Arc<Stream>>>,
    forgotten: Mutex<HashMap<u64, u64>>,
    /// Streams were forgotten since it was last looked which of them may go.
    fresh: AtomicBool,
    next: AtomicU64,
    partitions: u32,
}

impl Registry {
    pub(crate) fn new(partitions: u32) -> Registry {
        Registry {
            streams: Mutex::default(),
            forgotten: Mutex::default(),
            fresh: AtomicBool::new(false),
            next: AtomicU64::new(1),
            partitions: partitions.max(1),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Stream>>> {
        self.streams.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(crate) fn all(&self) -> Vec<Arc<Stream>> {
        let mut all: Vec<_> = self.lock().values().cloned().collect();
        all.sort_by_key(|s| s.id);
        all
    }

    pub(crate) fn get(&self, id: u64) -> Option<Arc<Stream>> {
        self.lock().get(&id).cloned()
    }

    /// Takes a record from disk: a later record of a stream replaces what an earlier one said.
    pub(crate) fn load(&self, record: StreamRecord) {
        self.next.fetch_max(record.id.saturating_add(1), Ordering::Relaxed);
        let mut streams = self.lock();
        match streams.get(&record.id) {
            Some(stream) => {
                stream.set_spec(record.spec);
                stream.rest();
                stream.set_durable(record.position);
                stream.learn_rules(record.rules);
            }
            None => {
                let stream = Stream::resting(record.id, record.partition, &record.spec, record.position);
                stream.learn_rules(record.rules);
                streams.insert(record.id, stream);
            }
        }
    }

    /// No stream may get a number below `next`, even when the streams that had them are forgotten.
    pub(crate) fn reserve(&self, next: u64) {
        self.next.fetch_max(next, Ordering::Relaxed);
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    pub(crate) fn declare(&self, spec: StreamSpec) -> Arc<Stream> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        // One that is only announced has no key yet, and would go to the same partition as all the others.
        let spread = if spec.key == 0 { u128::from(id) } else { spec.key };
        let partition = (spread % u128::from(self.partitions)) as u32;
        let stream = Stream::new(id, partition, spec, Position::default());
        self.lock().insert(id, stream.clone());
        stream
    }

    /// The stream's file is gone. Its record goes too once its partition retains nothing before `end`.
    pub(crate) fn forget(&self, stream: &Stream, end: u64) {
        self.forgotten.lock().unwrap_or_else(|e| e.into_inner()).insert(stream.id, end);
        self.fresh.store(true, Ordering::Relaxed);
    }

    /// Whether streams were forgotten since this was asked last.
    pub(crate) fn has_forgotten(&self) -> bool {
        self.fresh.swap(false, Ordering::Relaxed)
    }

    /// Drops the forgotten streams of which nothing is retained; `first` tells a stream's first retained offset.
    pub(crate) fn expire(&self, first: impl Fn(&Stream) -> Option<u64>) {
        let mut forgotten = self.forgotten.lock().unwrap_or_else(|e| e.into_inner());
        let mut streams = self.lock();
        forgotten.retain(|id, end| {
            let gone = streams.get(id).is_none_or(|s| first(s).is_some_and(|first| first >= *end));
            if gone {
                streams.remove(id);
            }
            !gone
        });
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        pub(crate) fn any_record()(id: u64, partition: u32, key: u128, generation: u32, file in prop::option::of(any::<(u64, u64, i64)>()),
            head: (u32, u64), source in "[a-z]{0,8}", topic in "[a-z]{0,8}", path in "/[a-z/ü]{0,20}", fields in ".{0,20}", resume in prop::collection::vec(any::<u8>(), 0..20), times: (u64, u64), end: u64, tail: (u32, u32),
            rules in prop::collection::vec((".{0,9}", any::<u64>(), any::<u64>()), 0..3)) -> StreamRecord {
            StreamRecord {
                id, partition,
                spec: StreamSpec {
                    key, source, topic, path: PathBuf::from(path), generation, fields, resume, seen_ms: times.0, gone_ms: times.1,
                    file: file.map(|(device, inode, born_ns)| FileIdentity { device, inode, born_ns }),
                    head: Head { len: head.0, hash: head.1 },
                },
                position: Position { end, tail: Tail { len: tail.0, crc: tail.1 } },
                rules: rules.into_iter().map(|(name, events, bytes)| Rule::new(name, events, bytes)).collect(),
            }
        }
    }

    #[test]
    fn the_last_number_of_all_is_loaded_as_any_other() {
        let registry = Registry::new(1);
        let spec = StreamSpec::default();
        registry.load(StreamRecord { id: u64::MAX, partition: 0, spec, position: Position::default(), rules: Vec::new() });
        assert_eq!((registry.all().len(), registry.next_id()), (1, u64::MAX));
    }

    proptest! {
        #[test]
        fn a_record_survives_the_round_trip(record in any_record()) {
            let mut w = Writer::default();
            record.encode(&mut w);
            let mut r = Reader(&w.0);
            prop_assert_eq!(StreamRecord::decode(&mut r), Some(record));
            prop_assert!(r.0.is_empty());
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = StreamRecord::decode(&mut Reader(&bytes));
        }
    }
}
