//! Events through a chain without a queue, for `forebay try`, `forebay test` and `forebay run --dry`.
//!
//! What comes out is what a sink would send: the same template makes the document, and the same chain works on it.

use super::chain::Chain;
use super::document::Documents;
use super::shaping::Shaping;
use crate::queue::{Event, Events, Run, RunFlags, RunSlice, Stream, StreamSpec, Tail, put_varint};
use std::sync::Arc;

/// What becomes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is sent as this JSON document.
    Document(String),
    /// It is left out by this processor, such as `drop (2)`.
    Filtered(String),
    /// It goes to the dead letters, for this reason.
    DeadLetter(String),
}

/// One way of events: the chain, with the state that its processors keep.
pub(crate) struct Trial {
    documents: Documents,
    shaping: Shaping,
    text: Vec<u8>,
}

impl Trial {
    /// Through `chain` (or none) into documents of the host `host_name`.
    pub(crate) fn new(chain: Option<Chain>, host_name: &str) -> Trial {
        Trial::of(Documents::new(host_name), chain)
    }

    /// Through `chain` (or none) into `documents`.
    pub(crate) fn of(documents: Documents, chain: Option<Chain>) -> Trial {
        let mut trial = Trial { documents, shaping: Shaping::default(), text: Vec::new() };
        if let Some(chain) = chain {
            trial.shaping.through(chain);
        }
        trial
    }

    /// Tells of each of the first `most` events of `run` what becomes of it, as if it had been appended to the queue at `append_ms`.
    pub(crate) fn run<E>(
        &mut self,
        run: &Run,
        append_ms: u64,
        most: u32,
        mut each: impl FnMut(&Event<'_>, Outcome) -> Result<(), E>,
    ) -> Result<(), E> {
        let slice = RunSlice { run, append_ms, epoch: 0, events: Events::new(run, 0, 0, most) };
        let template = self.documents.template(&slice);
        self.shaping.begin(template, append_ms);
        for event in slice.events {
            self.text.clear();
            let outcome = match self.shaping.write(template, &event, 0, &mut self.text) {
                true => Outcome::Document(String::from_utf8_lossy(&self.text).into_owned()),
                false => {
                    let left_out = self.shaping.left_out();
                    match left_out.dead.into_iter().next() {
                        Some((_, why)) => Outcome::DeadLetter(why),
                        None => Outcome::Filtered(left_out.by.into_keys().next().unwrap_or_default()),
                    }
                }
            };
            each(&event, outcome)?;
        }
        Ok(())
    }

    /// What becomes of one event that begins at byte `position` of `stream`.
    pub(crate) fn one(&mut self, stream: &Arc<Stream>, event: &[u8], position: u64, append_ms: u64) -> Outcome {
        let mut lens = Vec::new();
        put_varint(&mut lens, u32::try_from(event.len()).unwrap_or(u32::MAX));
        let run = Run {
            stream: stream.clone(),
            source_start: position,
            source_end: position + event.len() as u64,
            count: 1,
            flags: RunFlags(0),
            tail: Tail::default(),
            lens: lens.into(),
            data: bytes::Bytes::copy_from_slice(event),
            filtered: Vec::new(),
        };
        let mut outcome = Outcome::Filtered(String::new());
        let _ = self.run(&run, append_ms, 1, |_, found| {
            outcome = found;
            Ok::<(), std::convert::Infallible>(())
        });
        outcome
    }
}

/// A stream of no file, whose documents have `fields` (members of a JSON object, rendered).
pub(crate) fn stream(fields: &str) -> Arc<Stream> {
    Stream::new(0, 0, StreamSpec { fields: fields.to_string(), ..StreamSpec::default() }, Default::default())
}
