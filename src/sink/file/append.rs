//! Appends batches to the file.

use super::options::FileSinkOptions;
use super::rotate::{directory, rotate, sync_dir};
use super::sidecar::{Mark, Sidecar};
use crate::sink::SinkError;
use crate::sink::client::{Client, Outcome, Request, Sending};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use xxhash_rust::xxh3::xxh3_128;

/// The client of a file sink. One batch at a time.
pub(crate) struct FileClient(Arc<Mutex<Writer>>);

impl FileClient {
    /// Opens the file and its sidecar, and removes an unfinished batch of an earlier process.
    pub fn new(sink: &str, options: &FileSinkOptions) -> Result<FileClient, SinkError> {
        let error = |source| SinkError::File { sink: sink.to_string(), path: options.path.clone(), source };
        let Some(name) = options.path.file_name() else {
            return Err(error(io::Error::new(ErrorKind::InvalidInput, "the path names no file")));
        };
        let mut sidecar = std::ffi::OsString::from(".");
        sidecar.push(name);
        sidecar.push(".forebay-pos");
        let mut writer = Writer {
            sink: sink.to_string(),
            options: options.clone(),
            sidecar_path: directory(&options.path).join(sidecar),
            open: None,
            mark: Mark::default(),
            unrecorded: false,
        };
        match writer.open() {
            Ok(()) => {}
            // A full disk is no error of the configuration: it is tried again with the first batch.
            Err(e) if matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ResourceBusy) => {}
            Err(e) => return Err(error(e)),
        }
        Ok(FileClient(Arc::new(Mutex::new(writer))))
    }
}

impl Client for FileClient {
    fn send<'a>(&'a self, request: Request<'a>) -> Sending<'a> {
        let (writer, id, body, items) = (self.0.clone(), xxh3_128(request.key.as_bytes()), request.body, request.items);
        let append = tokio::task::spawn_blocking(move || writer.lock().unwrap_or_else(|e| e.into_inner()).append(id, &body, items));
        Box::pin(async move { append.await.unwrap_or_else(|_| Outcome::Retry { reason: "writing was interrupted".into(), after: None }) })
    }
}

struct Open {
    file: File,
    sidecar: Sidecar,
}

struct Writer {
    sink: String,
    options: FileSinkOptions,
    sidecar_path: PathBuf,
    open: Option<Open>,
    mark: Mark,
    /// The last batch of `mark` is in the file, but the sidecar could not be written.
    unrecorded: bool,
}

impl Writer {
    fn append(&mut self, id: u128, body: &[u8], items: usize) -> Outcome {
        // What was written earlier is known only once the sidecar has been read.
        if self.mark.inode == 0
            && let Err(error) = self.open()
        {
            return self.failed(&error);
        }
        let known = self.mark.recent.contains(&id);
        let already_there = if known { items } else { 0 };
        let result = match (known, self.unrecorded) {
            (true, false) => Ok(()),
            // It is in the file, but the sidecar could not be written.
            (true, true) if self.open.is_some() => self.record(),
            (true, true) => self.open(),
            (false, _) => self.write(id, body),
        };
        match result {
            Ok(()) => Outcome::Delivered { already_there },
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&self, error: &io::Error) -> Outcome {
        let path = self.options.path.display();
        let reason = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                format!("no space left for {path} ({error}); an unfinished batch is cut off again")
            }
            _ => format!("cannot write {path}: {error}"),
        };
        Outcome::Retry { reason, after: None }
    }

    fn write(&mut self, id: u128, body: &[u8]) -> io::Result<()> {
        if !self.is_current() {
            self.open()?;
        }
        if self.mark.length > 0 && self.mark.length.saturating_add(body.len() as u64) > self.options.rotate_bytes {
            self.open = None;
            rotate(&self.options.path, self.options.keep)?;
            self.open()?;
        }
        let Some(open) = &self.open else { return Err(io::Error::other("the file is not open")) };
        let written = open.file.write_all_at(body, self.mark.length).and_then(|()| open.file.sync_data());
        if let Err(error) = written {
            // If this fails too, the next opening does it.
            let _ = open.file.set_len(self.mark.length);
            self.open = None;
            return Err(error);
        }
        self.mark.length += body.len() as u64;
        self.mark.add(id);
        self.record()
    }

    /// Whether the open file is what stands under its name, as long as we left it.
    fn is_current(&self) -> bool {
        let same = |open: &Open| {
            let named = std::fs::metadata(&self.options.path)?;
            io::Result::Ok(named.ino() == self.mark.inode && open.file.metadata()?.ino() == named.ino() && named.len() == self.mark.length)
        };
        self.open.as_ref().is_some_and(|open| same(open).unwrap_or(false))
    }

    /// Records the mark. Once the batch is in the file it must not be cut off again: the record may have
    /// reached the disk in spite of the error, and would then promise what is not there.
    fn record(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Err(io::Error::other("the sidecar is not open")) };
        let result = open.sidecar.record(&self.mark);
        self.unrecorded = result.is_err();
        result
    }

    fn open(&mut self) -> io::Result<()> {
        // The sidecar's lock is released first: it would stand in our own way.
        self.open = None;
        let path = &self.options.path;
        std::fs::create_dir_all(directory(path))?;
        let (sidecar, recorded) = Sidecar::open(&self.sidecar_path)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let found = file.metadata()?;
        // What this process knows is newer than what it could record.
        let known = if self.mark != Mark::default() { Some(self.mark.clone()) } else { recorded };
        let mut mark = known.unwrap_or_default();
        if mark.inode == found.ino() {
            if found.len() > mark.length {
                let extra = found.len() - mark.length;
                tracing::warn!(
                    "sink {}: cutting {extra} bytes of an unfinished batch off {}; it is still in the queue",
                    self.sink,
                    path.display()
                );
                file.set_len(mark.length)?;
                file.sync_all()?;
            } else if found.len() < mark.length {
                self.shrunk(path, mark.length - found.len());
                mark.length = found.len();
            }
        } else {
            // A new file, or one that somebody put there: it goes on at its end.
            (mark.inode, mark.length) = (found.ino(), found.len());
        }
        sync_dir(path)?;
        self.mark = mark;
        self.open = Some(Open { file, sidecar });
        self.record()
    }

    fn shrunk(&self, path: &Path, missing: u64) {
        tracing::warn!(
            "sink {}: {} was shortened by {missing} bytes by somebody else; writing goes on at its end",
            self.sink,
            path.display()
        );
    }
}

#[cfg(test)]
mod tests;
