//! The two alternating snapshots: every stream with its durable position, and from which segment on
//! each partition must be read to bring them up to date. A segment is deleted only when both cover it,
//! so that losing either file loses no position.

mod stored;

use super::codec::{Reader, Writer};
use super::disk::Disk;
use super::registry::{Registry, StreamRecord};
use std::io;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"FBSNAPS1";

/// Where a partition stood when a snapshot was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) topic: String,
    pub(crate) partition: u32,
    /// Segments from this ID on may hold what the snapshot does not know.
    pub(crate) segment_id: u64,
    /// No offset below this is given out again.
    pub(crate) next_offset: u64,
}

/// What a snapshot file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) number: u64,
    pub(crate) next_stream: u64,
    pub(crate) marks: Vec<Mark>,
    pub(crate) streams: Vec<StreamRecord>,
}

/// So much of a snapshot is in memory while it is written, bytes.
const PART: usize = 64 << 10;

impl Snapshot {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (mut whole, mut crc) = (Vec::new(), 0);
        let written = self.encode_with(self.streams.iter().cloned(), &mut |part| {
            crc = crc32c::crc32c_append(crc, part);
            whole.extend_from_slice(part);
            Ok(())
        });
        debug_assert!(written.is_ok(), "memory takes everything");
        [&MAGIC[..], &crc.to_le_bytes(), &whole].concat()
    }

    /// All behind magic and checksum, in parts, with these streams: they are as many as files, and need not all be in memory
    /// once more.
    fn encode_with(
        &self,
        streams: impl ExactSizeIterator<Item = StreamRecord>,
        put: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut w = Writer(Vec::with_capacity(PART + 1024));
        w.u64(self.number);
        w.u64(self.next_stream);
        w.u32(self.marks.len() as u32);
        for mark in &self.marks {
            w.bytes(mark.topic.as_bytes());
            w.u32(mark.partition);
            w.u64(mark.segment_id);
            w.u64(mark.next_offset);
        }
        w.u32(streams.len() as u32);
        for stream in streams {
            stream.encode(&mut w);
            if w.0.len() >= PART {
                put(&w.0)?;
                w.0.clear();
            }
        }
        put(&w.0)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Snapshot> {
        let mut r = Reader(bytes.strip_prefix(MAGIC)?);
        if r.u32()? != crc32c::crc32c(r.0) {
            return None;
        }
        let mut snapshot = Snapshot { number: r.u64()?, next_stream: r.u64()?, ..Snapshot::default() };
        for _ in 0..r.u32()? {
            snapshot.marks.push(Mark { topic: r.string()?, partition: r.u32()?, segment_id: r.u64()?, next_offset: r.u64()? });
        }
        for _ in 0..r.u32()? {
            snapshot.streams.push(StreamRecord::decode(&mut r)?);
        }
        Some(snapshot)
    }
}

/// The pair of files.
#[derive(Debug)]
pub(crate) struct Snapshots {
    paths: [PathBuf; 2],
    /// Marks of what each file holds, where it is sound.
    marks: [Option<Vec<Mark>>; 2],
    number: u64,
}

impl Snapshots {
    /// Opens the pair; also gives the newest sound snapshot, and the names of damaged files.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path) -> io::Result<(Snapshots, Option<Snapshot>, Vec<PathBuf>)> {
        let mut streams = Vec::new();
        let (snapshots, newest, damaged) = Self::load(disk, dir, &mut |stream| streams.push(stream))?;
        Ok((snapshots, newest.map(|newest| Snapshot { streams, ..newest }), damaged))
    }

    /// Like [`Snapshots::open`], with the streams of the newest one handed over one by one.
    pub(crate) fn load(
        disk: &dyn Disk,
        dir: &Path,
        take: &mut dyn FnMut(StreamRecord),
    ) -> io::Result<(Snapshots, Option<Snapshot>, Vec<PathBuf>)> {
        let paths = [dir.join("streams-0.snap"), dir.join("streams-1.snap")];
        let (mut marks, mut sound, mut damaged) = ([None, None], Vec::new(), Vec::new());
        for (slot, path) in paths.iter().enumerate() {
            match disk.open(path) {
                Ok(file) => match stored::head(&*file)? {
                    Some(snapshot) => {
                        sound.push((snapshot.number, slot));
                        marks[slot] = Some(snapshot.marks);
                    }
                    None => damaged.push(path.clone()),
                },
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        sound.sort_unstable();
        let mut newest = None;
        while let (None, Some((_, slot))) = (&newest, sound.pop()) {
            let file = disk.open(&paths[slot])?;
            // What is not sound to its end is not taken at all.
            newest = match stored::streams(&*file, &mut drop)? {
                Some(_) => stored::streams(&*file, take)?,
                None => None,
            };
            if newest.is_none() {
                marks[slot] = None;
                damaged.push(paths[slot].clone());
            }
        }
        let number = newest.as_ref().map_or(0, |n| n.number);
        Ok((Snapshots { paths, marks, number }, newest, damaged))
    }

    /// Writes the next snapshot over the older file.
    pub(crate) fn write(&mut self, disk: &dyn Disk, registry: &Registry, marks: Vec<Mark>) -> io::Result<()> {
        let streams = registry.all();
        let snapshot = Snapshot { number: self.number + 1, next_stream: registry.next_id(), marks, streams: Vec::new() };
        let slot = (snapshot.number % 2) as usize;
        // Where that fails the old file stands, or else the new one, which knows no less: either way its old marks hold, so
        // that a full disk can be freed of what they cover.
        disk.replace_with(&self.paths[slot], &mut |file| {
            let (mut crc, mut at) = (0, (MAGIC.len() + 4) as u64);
            snapshot.encode_with(streams.iter().map(|s| StreamRecord::of(s)), &mut |part| {
                crc = crc32c::crc32c_append(crc, part);
                file.write_all_at(&[part], at)?;
                at += part.len() as u64;
                Ok(())
            })?;
            file.write_all_at(&[MAGIC, &crc.to_le_bytes()], 0)
        })?;
        self.number = snapshot.number;
        self.marks[slot] = Some(snapshot.marks);
        Ok(())
    }

    /// Whether both files hold these marks.
    pub(crate) fn both_have(&self, marks: &[Mark]) -> bool {
        let segments = |m: &[Mark]| m.iter().map(|m| m.segment_id).collect::<Vec<_>>();
        self.marks.iter().all(|m| m.as_ref().is_some_and(|m| segments(m) == segments(marks)))
    }

    /// Whether both files know all that segment `id` of this partition tells of streams.
    pub(crate) fn cover(&self, topic: &str, partition: u32, id: u64) -> bool {
        self.marks.iter().all(|marks| {
            marks.as_ref().is_some_and(|m| m.iter().any(|m| m.topic == topic && m.partition == partition && id < m.segment_id))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::registry::tests::any_record;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_every_stream_that_the_registry_knows() {
        let (disk, dir) = (crate::queue::tests::sim::SimDisk::new(1), Path::new("/sim"));
        disk.create_dir_all(dir).unwrap();
        let registry = Registry::new(1);
        let streams: Vec<_> = (0..3).map(|n| registry.declare(crate::queue::StreamSpec { key: n, ..Default::default() })).collect();
        for number in 1..=2 {
            Snapshots::open(&disk, dir).unwrap().0.write(&disk, &registry, Vec::new()).unwrap();
            let (_, newest, damaged) = Snapshots::open(&disk, dir).unwrap();
            let newest = newest.unwrap();
            assert_eq!((newest.number, newest.next_stream, damaged.len()), (number, registry.next_id(), 0));
            assert_eq!(newest.streams, streams.iter().map(|s| StreamRecord::of(s)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_snapshot_that_cannot_be_written_takes_nothing_away_from_those_that_were() {
        let (disk, dir) = (crate::queue::tests::sim::SimDisk::new(1), Path::new("/sim"));
        disk.create_dir_all(dir).unwrap();
        let (mut snapshots, registry) = (Snapshots::open(&disk, dir).unwrap().0, Registry::new(1));
        let marks = |segment_id| vec![Mark { topic: "logs".into(), partition: 0, segment_id, next_offset: 0 }];
        for _ in 0..2 {
            snapshots.write(&disk, &registry, marks(7)).unwrap();
        }
        disk.capacity(Some(0));
        assert!(snapshots.write(&disk, &registry, marks(9)).is_err());
        assert!(snapshots.cover("logs", 0, 6) && !snapshots.cover("logs", 0, 8));
        let (again, newest, damaged) = Snapshots::open(&disk, dir).unwrap();
        assert!(again.both_have(&marks(7)) && damaged.is_empty() && newest.is_some());
        disk.capacity(None);
        snapshots.write(&disk, &registry, marks(9)).unwrap();
        assert!(!snapshots.cover("logs", 0, 8), "the other one is older");
        snapshots.write(&disk, &registry, marks(9)).unwrap();
        assert!(snapshots.cover("logs", 0, 8));
    }

    proptest! {
        #[test]
        fn round_trip_and_one_flipped_bit(streams in prop::collection::vec(any_record(), 0..4), number: u64, bit: usize) {
            let mark = Mark { topic: "logs".into(), partition: 3, segment_id: 9, next_offset: 77 };
            let snapshot = Snapshot { number, next_stream: 5, marks: vec![mark], streams };
            let mut bytes = snapshot.encode();
            prop_assert_eq!(Snapshot::decode(&bytes), Some(snapshot));
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Snapshot::decode(&bytes), None);
        }
    }
}
