//! Reading up to where the files end now, without a stop afterwards: what `forebay drain` waits for.

use super::tailer::Tailer;
use super::tracked::{FileId, Tracked};
use std::collections::HashMap;
use std::time::Instant;

/// What is to be read.
#[derive(Debug)]
pub(crate) struct CatchUp {
    /// Which wish it is.
    pub(crate) number: u64,
    /// Generation and size of the files that are not read to there yet.
    pub(crate) ends: HashMap<FileId, (u32, u64)>,
}

impl Tailer {
    /// Notes where every file ends now, as the state of reading with this number.
    pub(crate) fn begin_catch_up(&mut self, number: u64, now: Instant) {
        if self.catch_up.as_ref().is_some_and(|c| c.number == number) {
            return;
        }
        self.take_hints(now);
        self.scan(now);
        let mut ends = HashMap::new();
        for (id, file) in &self.files {
            let size = match (&file.file, &file.at) {
                _ if file.packed.is_some() => Ok(u64::MAX),
                (Some(open), _) => open.metadata().map(|m| m.len()),
                (None, Some(at)) => std::fs::metadata(at).map(|m| m.len()),
                (None, None) => Ok(file.size),
            };
            let end = size.unwrap_or(file.size);
            if end > file.pos {
                ends.insert(*id, (file.generation, end));
            }
        }
        for id in ends.keys() {
            self.activate(*id);
        }
        self.catch_up = Some(CatchUp { number, ends });
    }

    /// The number of the state of reading that was asked for, once it is reached.
    pub(crate) fn caught_up(&mut self) -> Option<u64> {
        let mut catch_up = self.catch_up.take()?;
        let (files, inflating, next) = (&self.files, self.inflating, &self.inflate_next);
        catch_up.ends.retain(|id, (generation, end)| {
            // An incomplete last line is waited for until its quiet time is over; a lone CR has none.
            let rests = |f: &Tracked| {
                !f.queued && f.aside.deadline.is_none() && f.aside.failed.is_none() && inflating != Some(*id) && !next.contains(id)
            };
            files.get(id).is_some_and(|f| f.generation == *generation && f.pos < *end && !(rests(f) && f.scanned >= (*end).min(f.size)))
        });
        let number = catch_up.number;
        if catch_up.ends.is_empty() && !self.undecided && self.untold.is_empty() {
            return Some(number);
        }
        self.catch_up = Some(catch_up);
        None
    }
}
