//! Parts of a batch: which of its items a request holds, under which name, in which bytes.

use super::doubt::Doubts;
use super::{Job, SUSPICIOUS, Tally, item_range};
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

/// About so many bytes ask a receiver whether it is there again.
const PROBE: usize = 64 << 10;

/// A body and which items of the batch it holds.
#[derive(Clone)]
pub(super) struct Chunk {
    pub key: String,
    /// Indices in the batch, ascending.
    pub items: Vec<u32>,
    /// Made when it is sent for the first time.
    pub body: Option<Bytes>,
    pub attempts: u32,
    pub doubts: Doubts,
}

impl Job {
    /// All that is to be sent of the batch.
    pub(super) fn whole(&self) -> Chunk {
        let doubts = Doubts::of(self.origin.sent_before);
        Chunk { key: self.origin.id.to_string(), items: self.live(), body: Some(self.wire()), attempts: 0, doubts }
    }

    /// The items that are to be sent.
    fn live(&self) -> Vec<u32> {
        let kept_out = |item: &u32| {
            self.left_out.filtered.binary_search(item).is_ok() || self.left_out.dead.binary_search_by_key(item, |(i, _)| *i).is_ok()
        };
        let all = 0..self.items.len() as u32;
        if self.left_out.filtered.is_empty() && self.left_out.dead.is_empty() {
            all.collect()
        } else {
            all.filter(|i| !kept_out(i)).collect()
        }
    }

    fn wire(&self) -> Bytes {
        self.compressed.as_ref().unwrap_or(&self.body).clone()
    }

    /// Bytes of a chunk before compression, and those of its largest item.
    pub(super) fn sizes(&self, chunk: &Chunk) -> (usize, usize) {
        let sizes = chunk.items.iter().map(|i| item_range(&self.items, *i as usize).len());
        sizes.fold((0, 0), |(sum, largest), size| (sum + size, largest.max(size)))
    }

    /// What a receiver that was down is asked with: a small part of the chunk where it does not matter how events are
    /// grouped, so that one that has just come up, or is pressed, is not met with megabytes.
    pub(super) fn probe(&self, chunk: Chunk, work: &mut Vec<Chunk>) -> Chunk {
        let mut bytes = 0;
        let few = chunk.items.iter().take_while(|i| {
            bytes += item_range(&self.items, **i as usize).len();
            bytes <= PROBE
        });
        let (few, count) = (few.count().max(1), chunk.items.len());
        if !self.shared.client.names_items() || self.shared.gate.failures() < 2 || few * 2 > count {
            return chunk;
        }
        let rest = self.part(&chunk, &(few..count).collect::<Vec<_>>());
        let probe = self.part(&chunk, &(0..few).collect::<Vec<_>>());
        work.push(rest);
        probe
    }

    /// When the first event arrives after many were refused: perhaps the receiver was mended meanwhile, so those
    /// that were refused before are sent once more.
    pub(super) fn second_chance(&self, tally: &mut Tally) -> Option<Chunk> {
        if tally.accepted > 0 || tally.rejected.len() < SUSPICIOUS {
            return None;
        }
        let mut items: Vec<u32> = tally.rejected.drain(..).map(|r| r.item as u32).collect();
        items.sort_unstable();
        Some(self.chunk(items, 0))
    }

    /// Those items of `chunk` that `indices` names.
    pub(super) fn part(&self, chunk: &Chunk, indices: &[usize]) -> Chunk {
        let items: Vec<u32> = indices.iter().filter_map(|i| chunk.items.get(*i).copied()).collect();
        if items.len() == chunk.items.len() {
            return Chunk { items, ..chunk.clone() };
        }
        Chunk { doubts: chunk.doubts.clone(), ..self.chunk(items, chunk.attempts) }
    }

    /// A chunk of these items of the batch, under a name that is the same at each retry.
    fn chunk(&self, items: Vec<u32>, attempts: u32) -> Chunk {
        let id = &self.origin.id;
        let key = match items[..] {
            [first, .., last] if (last - first) as usize + 1 == items.len() => format!("{id}/{first}-{last}"),
            [first] => format!("{id}/{first}-{first}"),
            _ => format!("{id}/{:016x}", xxh3_64(&items.iter().flat_map(|i| i.to_le_bytes()).collect::<Vec<_>>())),
        };
        Chunk { key, items, body: None, attempts, doubts: Doubts::default() }
    }

    /// The body of a chunk, for this attempt and the next.
    pub(super) async fn body_of(&self, chunk: &mut Chunk) -> Bytes {
        if let Some(body) = &chunk.body {
            return body.clone();
        }
        let (shared, body, all, wanted) = (self.shared.clone(), self.body.clone(), self.items.clone(), chunk.items.clone());
        let encode = move || {
            let mut out = Vec::with_capacity(wanted.iter().map(|i| item_range(&all, *i as usize).len()).sum());
            shared.client.pick(&body, &all, &wanted, &mut out);
            shared.compressed(&out).unwrap_or_else(|| shared.memory.counted(out))
        };
        // Copying and compressing megabytes is no work for a network thread.
        let body = tokio::task::spawn_blocking(encode).await.unwrap_or_default();
        chunk.body.insert(body).clone()
    }

    /// Two halves for a chunk that is refused as a whole.
    pub(super) fn split(&self, chunk: Chunk, work: &mut Vec<Chunk>) {
        let (count, half) = (chunk.items.len(), chunk.items.len() / 2);
        let second = self.part(&chunk, &(half..count).collect::<Vec<_>>());
        let first = self.part(&chunk, &(0..half).collect::<Vec<_>>());
        work.push(Chunk { attempts: 0, ..second });
        work.push(Chunk { attempts: 0, ..first });
    }
}
