//! The dead-letter topic: what a sink can never deliver, durable before the offset is committed.

use super::block::put_varint;
use super::embedded::{DEAD_LETTER_TOPIC, Queue};
use super::{AppendError, Block, DeadLetters, Producer, RunFlags, Stream, StreamSpec, Tail};
use bytes::Bytes;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Writes dead letters as one stream of their topic.
pub struct DeadLetterWriter {
    queue: Arc<Queue>,
    /// The stream and the number of the next byte in it.
    stream: Mutex<(Arc<Stream>, u64)>,
}

impl DeadLetterWriter {
    /// Finds the stream of earlier dead letters, or makes it.
    pub fn new(queue: &Arc<Queue>) -> DeadLetterWriter {
        let known = queue.streams().into_iter().find(|s| s.spec().topic == DEAD_LETTER_TOPIC);
        let spec = || StreamSpec { topic: DEAD_LETTER_TOPIC.into(), source: DEAD_LETTER_TOPIC.into(), ..StreamSpec::default() };
        let stream = known.unwrap_or_else(|| queue.declare(spec()));
        let next = stream.durable().end;
        DeadLetterWriter { queue: queue.clone(), stream: Mutex::new((stream, next)) }
    }
}

impl DeadLetters for DeadLetterWriter {
    fn put(&self, records: Vec<Vec<u8>>) -> Result<(), AppendError> {
        let (mut lens, mut data) = (Vec::new(), Vec::new());
        for record in &records {
            put_varint(&mut lens, record.len() as u32 + 1);
            data.extend_from_slice(record);
            data.push(b'\n');
        }
        if records.is_empty() {
            return Ok(());
        }
        {
            let mut stream = self.stream.lock().unwrap_or_else(|e| e.into_inner());
            let (start, end) = (stream.1, stream.1 + data.len() as u64);
            self.queue.append_reserved(Block {
                stream: stream.0.clone(),
                source_start: start,
                source_end: end,
                count: records.len() as u32,
                lens: lens.into(),
                tail: Tail::of(&data),
                data: Bytes::from(data),
                flags: RunFlags(RunFlags::UTF8 | RunFlags::NO_POSITION),
            })?;
            stream.1 = end;
        }
        let wait = Duration::from_secs(60);
        if self.queue.flush_of(Some((DEAD_LETTER_TOPIC.to_string(), 0)), wait) {
            Ok(())
        } else {
            Err(AppendError::TimedOut { waited_ms: wait.as_millis() as u64, reason: "the dead letters are not durable yet".into() })
        }
    }
}
