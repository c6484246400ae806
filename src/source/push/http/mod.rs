//! `type: http`: NDJSON, JSON arrays, plain lines, and as much of Elasticsearch's API as its clients need to send `_bulk`.
//!
//! A 200 says that the queue has the events under the configured `acks`; with `acks: synced` many requests share a sync.
//! No room within `max_block` is a 429 with `Retry-After`, a stop is a 503: in both cases the sender sends again. Between
//! an answer that was lost and the next try there is no memory here: an `Idempotency-Key` is not looked at, so what is
//! sent twice is there twice.

mod accept;
mod answer;
mod body;
mod bulk;
mod filter;
mod gather;
mod probes;
mod server;

pub(crate) use server::{Limits, listen, serve};

/// Takes bytes apart in every form.
#[cfg(any(fuzzing, test))]
pub(super) fn fuzz_bodies(data: &[u8]) {
    for form in [body::Form::Json, body::Form::Text] {
        if let Ok(events) = body::events(&mut data.to_vec(), form, 64) {
            assert!(events.events() <= data.len() as u64);
        }
    }
    if let Ok(bulk) = bulk::parse(&mut data.to_vec(), "i", 64) {
        assert_eq!(bulk.events.pieces.len(), bulk.indices.len());
    }
}
