//! Record batches in memory: what consumers see, whether it came from the tail cache or from disk.

use super::{Block, Filtered, RunFlags, Stream, Tail, Text};
use bytes::Bytes;
use std::sync::Arc;

/// A run of events of one stream inside a record batch.
#[derive(Clone, Debug)]
pub struct Run {
    /// The stream.
    pub stream: Arc<Stream>,
    /// Byte of the source where the first event begins.
    pub source_start: u64,
    /// Byte of the source after the last event.
    pub source_end: u64,
    /// Number of events.
    pub count: u32,
    /// See [`RunFlags`].
    pub flags: RunFlags,
    /// The source's last bytes before `source_end`.
    pub tail: Tail,
    /// Lengths of the events, LEB128.
    pub lens: Bytes,
    /// The events end to end, delimiters included.
    pub data: Bytes,
    /// What was filtered before the queue, where that has changed.
    pub filtered: Vec<Filtered>,
}

impl From<&Block> for Run {
    /// The run that a block becomes; the bytes are shared, not copied.
    fn from(block: &Block) -> Run {
        Run {
            stream: block.stream.clone(),
            source_start: block.source_start,
            source_end: block.source_end,
            count: block.count,
            flags: block.flags,
            tail: block.tail,
            lens: block.lens.clone(),
            data: block.data.clone(),
            filtered: block.filtered.clone(),
        }
    }
}

/// The unit of append, checksum and fetch: consecutive offsets of one partition.
#[derive(Clone, Debug)]
pub struct RecordBatch {
    /// Offset of the first event.
    pub base_offset: u64,
    /// Number of events.
    pub count: u32,
    /// Epoch of the queue in which the batch was first appended.
    pub epoch: u32,
    /// When it was appended, ms since the Unix epoch; never goes back within a partition.
    pub append_ms: u64,
    /// The events by stream.
    pub runs: Vec<Run>,
}

impl RecordBatch {
    /// Offset after the last event.
    pub fn end_offset(&self) -> u64 {
        self.base_offset + u64::from(self.count)
    }

    /// Bytes of all events.
    pub fn data_len(&self) -> usize {
        self.runs.iter().map(|r| r.data.len()).sum()
    }
}

/// What is stored of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stored {
    /// Its bytes as they were read.
    #[default]
    AsRead,
    /// Another message, in UTF-8: a chain before the queue has changed it, and nothing else.
    Text,
    /// A JSON object, the document that a chain before the queue has made; without `@timestamp`, which is when it was appended.
    /// That of a stream without positions has no `event.sequence`, which is known only in the queue.
    Document,
    /// The same with an `@timestamp` of its own.
    Dated,
}

impl Stored {
    /// By the two lowest bits of a stored length.
    fn of(bits: u32) -> Stored {
        match bits & 3 {
            0 => Stored::AsRead,
            1 => Stored::Text,
            2 => Stored::Document,
            _ => Stored::Dated,
        }
    }

    /// Its name in a dead letter; `None` for what is as it was read.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Stored::AsRead => None,
            Stored::Text => Some("text"),
            Stored::Document => Some("document"),
            Stored::Dated => Some("dated_document"),
        }
    }

    /// Whether it is a JSON object.
    pub fn is_document(self) -> bool {
        matches!(self, Stored::Document | Stored::Dated)
    }

    /// Appends the three numbers of an event of a run with [`RunFlags::PROCESSED`]: bytes of the source between the event
    /// before (or the run's start) and this one, bytes of the source that it covers, bytes that are stored.
    pub(crate) fn put_lens(self, gap: u64, covers: u64, len: u32, lens: &mut Vec<u8>) {
        for mut value in [gap, covers, u64::from(len) << 2 | self as u64] {
            while value >= 0x80 {
                lens.push(value as u8 | 0x80);
                value >>= 7;
            }
            lens.push(value as u8);
        }
    }
}

/// The numbers of one event of a run with [`RunFlags::PROCESSED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnLens {
    pub(crate) gap: u64,
    pub(crate) covers: u64,
    pub(crate) len: u64,
    pub(crate) stored: Stored,
}

impl OwnLens {
    /// Takes them from the front of `lens`; `None` where they are not there.
    pub(crate) fn take(lens: &mut &[u8]) -> Option<OwnLens> {
        let (gap, covers, len) = (take_varint(lens)?, take_varint(lens)?, take_varint(lens)?);
        Some(OwnLens { gap, covers, len: len >> 2, stored: Stored::of(len as u32) })
    }
}

fn take_varint(lens: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = lens.split_first()?;
        *lens = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// One event, borrowed from a record batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Offset in the partition.
    pub offset: u64,
    /// Byte of the source where the event begins.
    pub position: u64,
    /// The event's bytes without the delimiter at its end, and without the byte order mark at the beginning of a file.
    pub bytes: &'a [u8],
    /// The event's bytes as stored, with the delimiter.
    pub raw: &'a [u8],
    /// Bytes of the source that it covers, delimiter included; of an event as it was read, as many as there are.
    pub covers: u64,
    /// What its bytes are.
    pub stored: Stored,
}

impl<'a> Event<'a> {
    /// An event as it was read; `bytes` is `raw` without its delimiter.
    pub fn as_read(offset: u64, position: u64, bytes: &'a [u8], raw: &'a [u8]) -> Event<'a> {
        Event { offset, position, bytes, raw, covers: raw.len() as u64, stored: Stored::AsRead }
    }
}

/// The events of a run, in order.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    lens: &'a [u8],
    data: &'a [u8],
    offset: u64,
    position: u64,
    left: u32,
    text: Text,
    /// The next event is the first of its source.
    first: bool,
    /// Each event has three numbers: see [`RunFlags::PROCESSED`].
    processed: bool,
}

impl<'a> Events<'a> {
    /// Events of `run`, whose first event has `offset`, leaving out the first `skip`, at most `take`.
    pub fn new(run: &'a Run, offset: u64, skip: u32, take: u32) -> Events<'a> {
        let mut events = Events {
            lens: &run.lens,
            data: &run.data,
            offset,
            position: run.source_start,
            left: run.count,
            text: run.flags.text(),
            first: run.source_start == 0 && !run.flags.has(RunFlags::NO_POSITION),
            processed: run.flags.has(RunFlags::PROCESSED),
        };
        for _ in 0..skip {
            if events.pass().is_none() {
                break;
            }
        }
        events.left = events.left.min(take);
        events
    }

    /// Passes over the next event without a look at its bytes; gives how many they are, with the delimiter.
    #[inline]
    fn pass(&mut self) -> Option<usize> {
        if self.left == 0 {
            return None;
        }
        if self.processed {
            return self.pass_processed().map(|(own, _)| own.len as usize);
        }
        let len = self.take_len()?;
        self.data = self.data.get(len..)?;
        self.first = false;
        // Numbers from a file: wrong ones may give wrong numbers, never a panic.
        self.offset = self.offset.wrapping_add(1);
        self.position = self.position.wrapping_add(len as u64);
        self.left -= 1;
        Some(len)
    }

    /// The same in a run with [`RunFlags::PROCESSED`]: the numbers of the event, and its position.
    #[cold]
    fn pass_processed(&mut self) -> Option<(OwnLens, u64)> {
        let own = OwnLens::take(&mut self.lens)?;
        self.data = self.data.get(usize::try_from(own.len).ok()?..)?;
        let position = self.position.wrapping_add(own.gap);
        self.first = false;
        self.offset = self.offset.wrapping_add(1);
        self.position = position.wrapping_add(own.covers);
        self.left -= 1;
        Some((own, position))
    }

    #[cold]
    fn next_processed(&mut self) -> Option<Event<'a>> {
        let (data, offset) = (self.data, self.offset);
        let first = self.first;
        let (own, position) = self.pass_processed()?;
        let raw = &data[..own.len as usize];
        let mut bytes = raw;
        if own.stored == Stored::AsRead {
            bytes = &raw[..raw.len() - self.text.delimiter(raw)];
            if first && own.gap == 0 {
                bytes = &bytes[self.text.encoding.mark(bytes)..];
            }
        }
        Some(Event { offset, position, bytes, raw, covers: own.covers, stored: own.stored })
    }

    fn take_len(&mut self) -> Option<usize> {
        let (mut value, mut shift) = (0u32, 0);
        loop {
            let (&byte, rest) = self.lens.split_first()?;
            self.lens = rest;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value as usize);
            }
            shift += 7;
            if shift > 28 {
                return None;
            }
        }
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Event<'a>;

    #[inline]
    fn next(&mut self) -> Option<Event<'a>> {
        if self.processed && self.left > 0 {
            return self.next_processed();
        }
        let (data, first) = (self.data, self.first);
        let (offset, position) = (self.offset, self.position);
        let len = self.pass()?;
        let raw = &data[..len];
        let mut bytes = &raw[..len - self.text.delimiter(raw)];
        if first {
            bytes = &bytes[self.text.encoding.mark(bytes)..];
        }
        Some(Event { offset, position, bytes, raw, covers: len as u64, stored: Stored::AsRead })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left as usize))
    }
}

/// How many events of `batch` after the first `skip`, at most `most`, fit into `room` bytes when each
/// costs `overhead` more than its own length; at least one if `forced`. Also gives their bytes.
pub(crate) fn cut_events(batch: &RecordBatch, skip: u32, most: u32, room: usize, overhead: usize, forced: bool) -> (u32, usize) {
    let (mut skip, mut count, mut bytes) = (skip, 0u32, 0usize);
    for run in &batch.runs {
        if skip >= run.count {
            skip -= run.count;
            continue;
        }
        let mut events = Events::new(run, 0, skip, u32::MAX);
        while let Some(len) = events.pass() {
            let first = forced && count == 0;
            if count >= most || (!first && bytes + len + (count as usize + 1) * overhead > room) {
                return (count, bytes);
            }
            count += 1;
            bytes += len;
        }
        skip = 0;
    }
    (count, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Encoding, LineEnding, Position, StreamSpec, put_varint};

    fn bytes_of(start: u64, flags: u32, events: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lens = Vec::new();
        events.iter().for_each(|e| put_varint(&mut lens, e.len() as u32));
        let run = Run {
            stream: Stream::new(0, 0, StreamSpec::default(), Position::default()),
            source_start: start,
            source_end: 0,
            count: events.len() as u32,
            flags: RunFlags(flags),
            tail: Tail::default(),
            lens: lens.into(),
            data: events.concat().into(),
            filtered: Vec::new(),
        };
        Events::new(&run, 0, 0, u32::MAX).map(|e| e.bytes.to_vec()).collect()
    }

    #[test]
    fn delimiters_are_those_of_the_run() {
        let events: [&[u8]; 4] = [b"a\r\n", b"b\n", b"c\r", b"d"];
        for (ending, want) in [
            (LineEnding::Auto, ["a", "b", "c\r", "d"]),
            (LineEnding::Lf, ["a\r", "b", "c\r", "d"]),
            (LineEnding::Crlf, ["a", "b\n", "c\r", "d"]),
            (LineEnding::Cr, ["a\r\n", "b\n", "c", "d"]),
        ] {
            let got = bytes_of(7, Text { encoding: Encoding::UTF8, ending }.flags(), &events);
            assert_eq!(got, want.map(|w| w.as_bytes().to_vec()), "{ending:?}");
        }
        let wide = Text { encoding: Encoding::UTF16LE, ending: LineEnding::Auto }.flags();
        assert_eq!(bytes_of(2, wide, &[b"a\0\r\0\n\0", b"\0\n\n\0"]), [b"a\0", b"\0\n"]);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_event() {
        let bom = b"\xef\xbb\xbfa\n";
        assert_eq!(bytes_of(0, 0, &[bom, bom]), [b"a".to_vec(), b"\xef\xbb\xbfa".to_vec()]);
        assert_eq!(bytes_of(5, 0, &[bom]), [b"\xef\xbb\xbfa"]);
        assert_eq!(bytes_of(0, RunFlags::NO_POSITION, &[bom]), [b"\xef\xbb\xbfa"]);
        let wide = Text { encoding: Encoding::UTF16BE, ending: LineEnding::Auto }.flags();
        assert_eq!(bytes_of(0, wide, &[b"\xfe\xff\0a\0\n"]), [b"\0a"]);
        let latin = Text { encoding: Encoding::named("latin1").unwrap(), ending: LineEnding::Auto }.flags();
        assert_eq!(bytes_of(0, latin, &[bom]), [b"\xef\xbb\xbfa"]);
    }
}
