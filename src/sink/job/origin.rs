//! What is known of a batch once it is encoded. Its events are in the queue until they are acked, so their bytes need not stay
//! in memory while it is in flight: should some be refused, they are read again.

use crate::process::shaping::LeftOut;
use crate::queue::{Acker, Batch, BatchId, BatchKind, FetchError, Part};
use crate::sink::client::Rejection;
use std::collections::{BTreeMap, HashMap};

/// Where a body comes from.
pub(crate) struct Origin {
    pub id: BatchId,
    /// Bytes of the events.
    pub bytes: usize,
    /// See [`Batch::sent_before`].
    pub sent_before: bool,
    /// When the oldest of the events was appended, ms since the Unix epoch.
    pub since_ms: u64,
    /// Bytes of what the sink's chain left out, by the number of the stream.
    pub filtered: Vec<(u64, u64)>,
    /// Offsets of the events, ascending: the first one, and how many follow each other.
    offsets: Vec<(u64, u32)>,
    /// The events themselves where no offsets of the batch lead to them: those of redriven dead letters.
    held: Vec<Part>,
}

impl Origin {
    /// Of a batch of which `left_out` is not sent.
    pub fn new(batch: Batch, left_out: &LeftOut) -> Origin {
        let filtered = filtered_by_stream(&batch, left_out);
        let since_ms = batch.parts.iter().map(|part| part.batch.append_ms).min().unwrap_or(0);
        let offsets = offsets(&batch.parts);
        let held = if matches!(batch.id.kind, BatchKind::Letters { .. }) { batch.parts } else { Vec::new() };
        Origin { id: batch.id, bytes: batch.bytes, sent_before: batch.sent_before, since_ms, filtered, offsets, held }
    }

    /// The batch once more, and of `rejected` those that are still there, as items of it.
    pub fn again(&self, acker: &dyn Acker, rejected: &[Rejection]) -> Result<(Batch, Vec<Rejection>), FetchError> {
        let parts = if self.held.is_empty() { acker.again(&self.id)? } else { self.held.clone() };
        let found = offsets(&parts);
        let rejected = if found == self.offsets { rejected.to_vec() } else { self.moved(&found, rejected) };
        let events = parts.iter().map(|part| part.count).sum();
        Ok((Batch { id: self.id.clone(), parts, events, bytes: self.bytes, sent_before: true, cut: false }, rejected))
    }

    /// Items by their places among the offsets `found`; those that are not there are left out.
    fn moved(&self, found: &[(u64, u32)], rejected: &[Rejection]) -> Vec<Rejection> {
        let places: HashMap<u64, usize> = each(found).zip(0..).collect();
        let offsets: Vec<u64> = each(&self.offsets).collect();
        let place = |item: usize| offsets.get(item).and_then(|offset| places.get(offset).copied());
        rejected.iter().filter_map(|r| Some(Rejection { item: place(r.item)?, ..r.clone() })).collect()
    }
}

fn each(offsets: &[(u64, u32)]) -> impl Iterator<Item = u64> + '_ {
    offsets.iter().flat_map(|(first, count)| *first..*first + u64::from(*count))
}

fn offsets(parts: &[Part]) -> Vec<(u64, u32)> {
    let mut out: Vec<(u64, u32)> = Vec::new();
    for part in parts {
        let first = part.batch.base_offset + u64::from(part.skip);
        match out.last_mut() {
            Some((start, count)) if *start + u64::from(*count) == first => *count += part.count,
            _ => out.push((first, part.count)),
        }
    }
    out
}

fn filtered_by_stream(batch: &Batch, left_out: &LeftOut) -> Vec<(u64, u64)> {
    if left_out.filtered.is_empty() {
        return Vec::new();
    }
    let mut rest = left_out.filtered.iter().peekable();
    let (mut sums, mut item) = (BTreeMap::<u64, u64>::new(), 0);
    for slice in batch.runs() {
        let stream = slice.run.stream.id;
        for event in slice.events {
            if rest.next_if_eq(&&item).is_some() {
                *sums.entry(stream).or_default() += event.covers;
            }
            item += 1;
        }
    }
    sums.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::RunFlags;
    use crate::sink::testing::{Acks, batches, lines};

    fn rejected(items: &[usize]) -> Vec<Rejection> {
        items.iter().map(|item| Rejection { item: *item, status: 400, kind: "k".into(), reason: String::new() }).collect()
    }

    #[test]
    fn refused_events_are_read_again_and_found_where_others_are_gone() {
        let batch = batches(&lines(6), 6, RunFlags::UTF8).remove(0);
        let acks = Acks::of(std::slice::from_ref(&batch));
        let whole = batch.parts[0].clone();
        let origin = Origin::new(batch, &LeftOut::default());
        assert_eq!((origin.offsets.as_slice(), origin.held.len()), (&[(0, 6)][..], 0));
        let found = |acks: &Acks| {
            let (batch, rejected) = origin.again(acks, &rejected(&[1, 4])).unwrap();
            let texts: Vec<String> = batch.runs().flat_map(|s| s.events).map(|e| String::from_utf8(e.bytes.into()).unwrap()).collect();
            rejected.iter().map(|r| texts[r.item].clone()).collect::<Vec<_>>()
        };
        assert_eq!(found(&acks), ["line 1 says \"hello\"", "line 4 says \"hello\""]);
        let rest = [Part { skip: 2, count: 1, ..whole.clone() }, Part { skip: 4, count: 2, ..whole }];
        acks.1.lock().unwrap()[0].parts = rest.into();
        assert_eq!(found(&acks), ["line 4 says \"hello\""]);
    }
}
