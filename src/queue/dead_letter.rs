//! The dead-letter topic: what a sink can never deliver, durable before the offset is committed.

use super::block::put_varint;
use super::embedded::{DEAD_LETTER_TOPIC, Queue};
use super::group_state::{GroupState, Key};
use super::letter::Letter;
use super::reader::{Reader, Start};
use super::{AppendError, Block, DeadLetters, Producer, RunFlags, Stream, StreamSpec, Tail};
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A process that was killed wrote its last letters at most so long before it wrote its very last one, ms.
const LAST_MS: u64 = 120_000;

/// Which refusal a letter tells of: event and batch.
type Refusal = (String, String);

/// A letter that an earlier process wrote without having acked the batch.
struct Known {
    key: Key,
    offset: u64,
}

/// Writes dead letters as one stream of their topic. The same refusal makes one letter: also where it is seen a second
/// time because a process was killed, or the letter was slow to become durable. An event that a redrive sends and that
/// is refused again gets another letter, since that is news.
pub struct DeadLetterWriter {
    queue: Arc<Queue>,
    /// The stream and the number of the next byte in it.
    stream: Mutex<(Arc<Stream>, u64)>,
    /// Letters of batches that will be sent again.
    known: HashMap<Refusal, Known>,
    /// Letters that were handed to the queue, but are not known to be durable.
    unsure: Mutex<HashSet<Refusal>>,
}

impl DeadLetterWriter {
    /// Finds the stream of earlier dead letters, or makes it. To be made before any sink sends.
    pub fn new(queue: &Arc<Queue>) -> DeadLetterWriter {
        let known = queue.streams().into_iter().find(|s| s.spec().topic == DEAD_LETTER_TOPIC);
        let spec = || StreamSpec { topic: DEAD_LETTER_TOPIC.into(), source: DEAD_LETTER_TOPIC.into(), ..StreamSpec::default() };
        let stream = known.unwrap_or_else(|| queue.declare(spec()));
        let next = stream.durable().end;
        let known = known_letters(queue).unwrap_or_else(|e| {
            tracing::warn!("cannot look for the last dead letters: {e}; some may be written twice, and are recognised as the same");
            HashMap::new()
        });
        DeadLetterWriter { queue: queue.clone(), stream: Mutex::new((stream, next)), known, unsure: Mutex::default() }
    }

    fn settle(&self, refusals: &[Refusal]) {
        let mut unsure = self.unsure.lock().unwrap_or_else(|e| e.into_inner());
        refusals.iter().for_each(|r| {
            unsure.remove(r);
        });
    }

    /// Whether the letter of this refusal is in the topic, and no redrive has handed it over since.
    fn is_there(&self, refusal: &Refusal) -> bool {
        let Some(known) = self.known.get(refusal) else { return false };
        let redriven = self.queue.groups.state(&known.key).map_or(0, |s| s.redriven_until);
        let retained = self.queue.partitions.iter().filter(|p| *p.topic == *DEAD_LETTER_TOPIC).all(|p| p.first() <= known.offset);
        redriven <= known.offset && retained
    }
}

fn refusal(record: &[u8]) -> Refusal {
    serde_json::from_slice::<Letter>(record).map(|l| (l.event_id, l.batch_id)).unwrap_or_default()
}

/// The letters of batches that were sent, but not acked, when the process before this one ended.
fn known_letters(queue: &Queue) -> io::Result<HashMap<Refusal, Known>> {
    let mut known = HashMap::new();
    let (states, _) = queue.groups.all();
    let open = |s: &GroupState| !(s.in_flight.is_empty() && s.again.is_empty() && s.letters.is_empty());
    let letters = queue.partitions.iter().filter(|p| *p.topic == *DEAD_LETTER_TOPIC);
    for partition in letters.filter(|_| states.values().any(open)) {
        let newest = partition.segments().iter().map(|s| s.newest_ms()).max().unwrap_or(0);
        let mut reader = Reader::open(queue.shared.disk.clone(), partition, Start::Time(newest.saturating_sub(LAST_MS)))?;
        while let Some(part) = reader.read()? {
            for event in part.runs().flat_map(|run| run.events) {
                let Ok(letter) = serde_json::from_slice::<Letter>(event.bytes) else { continue };
                let key: Key = (letter.sink.as_str().into(), letter.topic.as_str().into(), letter.partition);
                if states.get(&key).is_some_and(open) {
                    known.insert((letter.event_id, letter.batch_id), Known { key, offset: event.offset });
                }
            }
        }
    }
    Ok(known)
}

impl DeadLetters for DeadLetterWriter {
    fn put(&self, mut records: Vec<Vec<u8>>) -> Result<(), AppendError> {
        if records.is_empty() {
            return Ok(());
        }
        let (mut lens, mut data) = (Vec::new(), Vec::new());
        let mut refusals: Vec<Refusal> = records.iter().map(|r| refusal(r)).collect();
        {
            let mut unsure = self.unsure.lock().unwrap_or_else(|e| e.into_inner());
            let mut fresh = refusals.iter().map(|r| *r == Refusal::default() || !self.is_there(r) && unsure.insert(r.clone()));
            records.retain(|_| fresh.next().unwrap_or(true));
        }
        refusals.retain(|r| *r != Refusal::default());
        for record in &records {
            put_varint(&mut lens, record.len() as u32 + 1);
            data.extend_from_slice(record);
            data.push(b'\n');
        }
        if !records.is_empty() {
            let mut stream = self.stream.lock().unwrap_or_else(|e| e.into_inner());
            let (start, end) = (stream.1, stream.1 + data.len() as u64);
            let appended = self.queue.append_reserved(Block {
                stream: stream.0.clone(),
                source_start: start,
                source_end: end,
                count: records.len() as u32,
                lens: lens.into(),
                tail: Tail::of(&data),
                data: Bytes::from(data),
                flags: RunFlags(RunFlags::UTF8 | RunFlags::NO_POSITION),
                filtered: Vec::new(),
            });
            if let Err(error) = appended {
                self.settle(&refusals);
                return Err(error);
            }
            stream.1 = end;
        }
        let wait = Duration::from_secs(60);
        if self.queue.flush_of(Some((DEAD_LETTER_TOPIC.to_string(), 0)), wait) {
            self.settle(&refusals);
            Ok(())
        } else {
            Err(AppendError::TimedOut { waited_ms: wait.as_millis() as u64, reason: "the dead letters are not durable yet".into() })
        }
    }
}
