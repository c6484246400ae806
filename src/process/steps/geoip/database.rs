//! The file, in memory, read again when it has changed.

use maxminddb::Reader;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// What tells one state of a file from another.
type Stamp = (SystemTime, u64);

type Bytes = Reader<Vec<u8>>;

struct State {
    reader: Arc<Bytes>,
    stamp: Option<Stamp>,
    looked: Instant,
}

/// See the module. Sinks that share a chain share it.
pub(super) struct Database {
    path: PathBuf,
    state: Mutex<State>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("path", &self.path).finish()
    }
}

impl Database {
    /// Reads the file.
    pub(super) fn open(path: PathBuf) -> Result<Database, String> {
        let stamp = stamp(&path);
        let reader = Arc::new(read(&path)?);
        Ok(Database { path, state: Mutex::new(State { reader, stamp, looked: Instant::now() }) })
    }

    /// The file as it is, or was a few seconds ago.
    pub(super) fn now(&self) -> Arc<Bytes> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK {
            state.looked = Instant::now();
            self.look(&mut state);
        }
        state.reader.clone()
    }

    /// Looks now, whenever it was looked at.
    #[cfg(test)]
    pub(super) fn look_now(&self) {
        self.look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn look(&self, state: &mut State) {
        let stamp = stamp(&self.path);
        // One that is gone for a moment is being replaced.
        if stamp.is_none() || stamp == state.stamp {
            return;
        }
        match read(&self.path) {
            Ok(reader) => {
                tracing::info!("geoip: {} has changed and was read again", self.path.display());
                state.reader = Arc::new(reader);
            }
            Err(why) => tracing::warn!(
                "geoip: {} has changed and cannot be used, so events get their fields from what it was before: {why}. Put a right file \
                 there, under another name first, and rename it",
                self.path.display()
            ),
        }
        // One that cannot be used is told once; it is read again when it changes again.
        state.stamp = stamp;
    }
}

fn stamp(path: &PathBuf) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

fn read(path: &PathBuf) -> Result<Bytes, String> {
    Reader::open_readfile(path).map_err(|error| error.to_string())
}
