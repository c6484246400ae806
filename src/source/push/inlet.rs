//! One stream of the queue that pushed events are appended to.

use super::PushOptions;
use super::counters::{Counters, add};
use crate::process::document::members;
use crate::queue::{AppendError, Block, Buffer, Producer, RunFlags, Stream, StreamSpec, Tail, put_varint};
use bytes::Bytes;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::Xxh3;

/// How long a wait for room lasts before it is asked again whether to go on.
const LOOK: Duration = Duration::from_millis(250);
/// A wait for room that is longer is worth a word.
const PATIENT: Duration = Duration::from_secs(5);

/// Whole events in a range of some buffer.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) count: u32,
    /// Lengths, LEB128, as in a [`Block`].
    pub(crate) lens: Vec<u8>,
    pub(crate) flags: RunFlags,
}

impl Piece {
    /// A piece of one event.
    pub(crate) fn one(start: usize, end: usize, flags: RunFlags) -> Piece {
        let mut lens = Vec::with_capacity(5);
        put_varint(&mut lens, (end - start) as u32);
        Piece { start, end, count: 1, lens, flags }
    }

    #[cfg(test)]
    pub(crate) fn lens(&self) -> Vec<usize> {
        let (mut out, mut value, mut shift) = (Vec::new(), 0, 0);
        for byte in &self.lens {
            value |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if *byte < 0x80 {
                out.push(value);
                (value, shift) = (0, 0);
            }
        }
        out
    }
}

/// Events with the memory that they are in.
#[derive(Clone, Debug)]
pub(crate) struct Filled {
    pub(crate) data: Bytes,
    pub(crate) lens: Bytes,
    pub(crate) count: u32,
    pub(crate) flags: RunFlags,
}

impl Filled {
    /// A piece of `memory`, without a copy.
    pub(crate) fn of(memory: &Bytes, piece: Piece) -> Filled {
        Filled { data: memory.slice(piece.start..piece.end), lens: piece.lens.into(), count: piece.count, flags: piece.flags }
    }

    /// A piece whose `bytes` are copied to `buffer`, which is as long.
    pub(crate) fn copied(mut buffer: Buffer, bytes: &[u8], piece: Piece) -> Filled {
        buffer.copy_from_slice(bytes);
        Filled { data: buffer.freeze(), lens: piece.lens.into(), count: piece.count, flags: piece.flags }
    }
}

/// A stream and where it stands.
pub(crate) struct Inlet {
    producer: Arc<dyn Producer>,
    stream: Arc<Stream>,
    /// The byte after what was appended.
    next: Mutex<u64>,
    /// Flags of all its runs.
    flags: u32,
    counters: Arc<Counters>,
}

/// Who owns the streams of a source.
#[derive(Clone)]
pub(crate) struct Owner {
    pub(crate) producer: Arc<dyn Producer>,
    pub(crate) agent_id: String,
    pub(crate) options: Arc<PushOptions>,
    pub(crate) counters: Arc<Counters>,
}

impl Owner {
    /// The stream `part` of the source, going on where it was; `more` are fields that only it has. `flags` go to all its runs.
    pub(crate) fn inlet(&self, part: &str, more: &[(String, String)], flags: u32) -> Inlet {
        let spec = self.spec(part, more);
        let known = self.producer.streams().into_iter().find(|s| {
            let s = s.spec();
            s.key == spec.key && s.topic == spec.topic && s.file.is_none()
        });
        let stream = match known {
            Some(stream) => {
                let was = stream.spec();
                if was.fields != spec.fields {
                    self.producer.amend(&stream, StreamSpec { fields: spec.fields, ..(*was).clone() });
                }
                stream
            }
            None => self.producer.declare(spec),
        };
        self.on(stream, flags)
    }

    /// The same as a stream that the queue does not know.
    pub(crate) fn fresh_inlet(&self, part: &str, more: &[(String, String)], flags: u32) -> Inlet {
        self.on(self.producer.declare(self.spec(part, more)), flags)
    }

    fn on(&self, stream: Arc<Stream>, flags: u32) -> Inlet {
        let next = Mutex::new(stream.durable().end);
        Inlet { producer: self.producer.clone(), stream, next, flags: flags | RunFlags::NO_POSITION, counters: self.counters.clone() }
    }

    fn spec(&self, part: &str, more: &[(String, String)]) -> StreamSpec {
        let mut hash = Xxh3::new();
        for text in [&self.agent_id, "push", &self.options.name, &self.options.topic, part] {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        let own: Vec<_> = self.options.fields.iter().chain(more).cloned().collect();
        StreamSpec {
            key: hash.digest128(),
            source: self.options.name.clone(),
            topic: self.options.topic.clone(),
            fields: members(&own),
            ..StreamSpec::default()
        }
    }

    /// Memory for events; waits, and asks now and then whether to `give_up`.
    pub(crate) fn buffer(&self, len: usize, give_up: impl Fn() -> bool) -> Option<Buffer> {
        loop {
            if let Some(buffer) = self.producer.buffer(len, LOOK) {
                return Some(buffer);
            }
            if give_up() {
                return None;
            }
        }
    }
}

impl Inlet {
    /// Appends events; the byte of the stream after them. Counts them.
    ///
    /// # Errors
    /// As [`Producer::append`]: nothing is in the queue then.
    pub(crate) fn append(&self, filled: Filled) -> Result<u64, AppendError> {
        let mut next = self.next.lock().unwrap_or_else(|e| e.into_inner());
        let (bytes, events) = (filled.data.len() as u64, u64::from(filled.count));
        let end = *next + bytes;
        self.producer.append(Block {
            stream: self.stream.clone(),
            source_start: *next,
            source_end: end,
            count: filled.count,
            lens: filled.lens,
            tail: Tail::of(&filled.data),
            data: filled.data,
            flags: RunFlags(filled.flags.0 | self.flags),
            filtered: Vec::new(),
        })?;
        *next = end;
        add(&self.counters.read_bytes, bytes);
        add(&self.counters.read_events, events);
        Ok(end)
    }

    /// Appends events of a sender who cannot be refused: waits for room, says so, and asks now and then whether to
    /// `give_up`. `None`: the events are not in the queue.
    pub(crate) fn append_patiently(&self, filled: Filled, give_up: impl Fn() -> bool) -> Option<u64> {
        let mut said = false;
        let since = Instant::now();
        loop {
            // In short steps: who stops must not wait for `max_block`.
            let result = if self.producer.has_room(LOOK) { self.append(filled.clone()).map(Some) } else { Ok(None) };
            match result {
                Ok(Some(end)) => {
                    if said {
                        self.counters.set_error("");
                    }
                    return Some(end);
                }
                Err(AppendError::Closed) => return None,
                Ok(None) | Err(AppendError::TimedOut { .. }) => {}
            }
            if !said && since.elapsed() > PATIENT {
                said = true;
                let text = "the queue has no room (its own state says why); the sender waits, and nothing that was taken is lost";
                if self.counters.set_error(text) {
                    tracing::warn!("source {}: {text}", self.stream.spec().source);
                }
            }
            if give_up() {
                return None;
            }
        }
    }

    /// Notes events that a stop found no room for.
    pub(crate) fn lost(&self, events: u64) {
        add(&self.counters.dropped_events, events);
        tracing::error!(
            "source {}: {events} events that were taken did not get into the queue before the stop: they are lost",
            self.stream.spec().source
        );
    }

    /// Whether all before byte `end` is done under the configured `acks`; waits at most `wait`.
    pub(crate) fn acked(&self, end: u64, wait: Duration) -> bool {
        self.producer.acked(&self.stream, end, wait)
    }

    /// The stream.
    pub(crate) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Changes what the queue remembers for the source to go on, with the next events.
    pub(crate) fn set_resume(&self, resume: Vec<u8>) {
        self.producer.amend(&self.stream, StreamSpec { resume, ..(*self.stream.spec()).clone() });
    }
}
