//! The end: every file is read to where it ends when the agent is told to stop, and no further.

use super::tailer::Tailer;
use super::tracked::FileId;
use std::time::Instant;

impl Tailer {
    /// Begins to drain: one last look, then every file is read to its present end and no further.
    pub(crate) fn begin_drain(&mut self, now: Instant) {
        if self.draining {
            return;
        }
        self.draining = true;
        self.take_hints(now);
        self.scan(now);
        let ids: Vec<FileId> = self.files.keys().copied().collect();
        for id in ids {
            if let Some(file) = self.files.get_mut(&id) {
                let size = match (&file.file, &file.at) {
                    // What is compressed goes on after the next start.
                    _ if file.packed.is_some() => Ok(file.pos),
                    (Some(open), _) => open.metadata().map(|m| m.len()),
                    (None, Some(at)) => std::fs::metadata(at).map(|m| m.len()),
                    (None, None) => Ok(file.size),
                };
                let size = size.unwrap_or(file.size);
                if size > file.scanned || file.open_event {
                    file.aside.drain_end = Some(size);
                    self.activate(id);
                }
            }
        }
    }

    /// Whether every file is read to where it ended when the drain began (incomplete last lines aside).
    pub(crate) fn drained(&self) -> bool {
        self.active.is_empty()
            && !self.undecided
            && self.files.values().all(|f| !f.open_event && f.aside.drain_end.is_none_or(|end| f.scanned >= end))
    }
}
