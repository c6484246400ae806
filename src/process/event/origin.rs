//! Where an event comes from, and fields as bytes: what processors decide by that must decide the same of an event again.

use super::{Document, Id, Path, Value};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Fields that together say where an event stands: on which host, in which file, at which byte; or its number in the queue.
const NAMES: [&str; 4] = ["host.name", "log.file.path", "log.offset", "event.sequence"];

/// Makes of an event's place one number; see [`Document::origin`].
#[derive(Clone, Debug)]
pub(crate) struct Origin([Path; 4]);

impl Default for Origin {
    fn default() -> Origin {
        Origin(NAMES.map(|name| Path::parse(name).expect("a right name")))
    }
}

impl Origin {
    /// The same for an event that is processed again, also by another process that has it at the same place.
    pub(crate) fn of(&self, event: &mut Document) -> u64 {
        event.digest(&self.0, 0)
    }
}

impl Document {
    /// The bytes of a field: text as it is, anything else as JSON.
    pub(crate) fn with_bytes<R>(&mut self, id: Id, read: impl FnOnce(&[u8]) -> R) -> R {
        if let Value::Text(span) = self.value(id) {
            return read(self.str(span).as_bytes());
        }
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        self.put(id, &mut bytes);
        let result = read(&bytes);
        self.scratch = bytes;
        result
    }

    /// One number of some fields and their order; a field that is not there counts as such.
    pub(crate) fn digest(&mut self, fields: &[Path], seed: u64) -> u64 {
        fields.iter().fold(seed, |seed, path| match self.find(path) {
            Some(id) => self.with_bytes(id, |bytes| xxh3_64_with_seed(bytes, seed)),
            None => xxh3_64_with_seed(b"\0none", seed),
        })
    }
}
