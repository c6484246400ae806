//! Where reading goes on: files are matched with the streams that the queue remembers.

use super::marks::Marks;
use super::tailer::Tailer;
use super::tracked::{Former, Look, Tracked, open_regular, read_full, same_file, tail_agrees, tail_at};
use super::{FileOptions, StartAt};
use crate::queue::{Head, Position, Stream, StreamSpec, Tail};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Where a known file goes on.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// In its stream, behind the last durable record batch.
    On(Position),
    /// As another generation, behind the bytes of the tail.
    Anew(u64, Tail),
}

/// The first bytes of a file, as many as a fingerprint covers.
pub(crate) fn first_bytes(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; Head::MAX];
    let n = read_full(file, &mut bytes, 0)?;
    bytes.truncate(n);
    Ok(bytes)
}

/// Compares what a file holds with what the queue remembers of it; the words say what differs.
fn place(file: &File, head: &[u8], size: u64, spec: &StreamSpec, durable: Position) -> io::Result<(Place, Option<String>)> {
    if !spec.head.matches(head) {
        return Ok((Place::Anew(0, Tail::default()), Some("begins with other bytes than those that were read".into())));
    }
    let differs = if size < durable.end {
        format!("holds {size} bytes, but {} were read", durable.end)
    } else if !tail_agrees(file, durable.end, &durable.tail)? {
        format!("has other bytes before byte {} than those that were read", durable.end)
    } else {
        return Ok((Place::On(durable), None));
    };
    // What is kept of it is not sent again, as far as that can be believed.
    let (at, tail) = Marks::decode(&spec.resume).kept(file, size, &spec.head, durable.end)?;
    Ok((Place::Anew(at, tail), Some(differs)))
}

impl Tailer {
    /// Goes on with a file whose stream the queue remembers; `false` when it remembers none.
    pub(crate) fn resume(&mut self, path: &Path, look: &Look, matched: Option<usize>, now: Instant) -> io::Result<bool> {
        let Some(streams) = self.remembered.get(&look.identity.inode) else { return Ok(false) };
        let same = |s: &&Arc<Stream>| s.brief().file.is_some_and(|f| same_file(&f, &look.identity));
        let Some(stream) = streams.into_iter().filter(same).max_by_key(|s| s.brief().generation).cloned() else { return Ok(false) };
        let spec = stream.spec();
        let file = open_regular(path)?;
        let opened = Look::of(&file.metadata()?);
        if opened.identity != look.identity {
            // Replaced since it was listed; the next look sees the other one.
            return Ok(true);
        }
        let head = first_bytes(&file)?;
        // What this process handed over is on its way, even where it is not durable yet.
        let durable = self.reached(&stream);
        let (mut place, differs) = place(&file, &head, opened.size, &spec, durable)?;
        let agrees = differs.is_none();
        let born = spec.file.is_some_and(|f| f.born_ns != 0) && look.identity.born_ns != 0;
        // Without a birth time, another beginning means that the inode was used again for another file.
        let reused = !born && !spec.head.matches(&head);
        let source = match matched {
            Some(source) => source,
            None if reused => return Ok(false),
            None => match self.source_of(&spec.path) {
                Some(source) => source,
                None => return Ok(false),
            },
        };
        let options = &self.shared.sources[source].options;
        if agrees && spec.topic != options.topic {
            tracing::info!("{} goes on at byte {} in the topic {}", path.display(), durable.end, options.topic);
            place = Place::Anew(durable.end, durable.tail);
        }
        let first_path = if reused { path } else { &spec.path };
        let counters = self.shared.sources[source].counters.clone();
        let mut tracked = Tracked::new(source, counters, first_path, path, look);
        tracked.aside.moved = (*tracked.path != *path).then_some(now);
        let mut former = None;
        match place {
            Place::On(position) => {
                tracked.generation = spec.generation;
                tracked.head = spec.head;
                tracked.seek(position.end, position.tail);
                let source = &self.shared.sources[source];
                let fields = source.fields_of(&spec.path);
                if spec.source != source.options.name || spec.fields != fields || spec.gone_ms > 0 {
                    let spec = StreamSpec { source: source.options.name.clone(), fields, gone_ms: 0, ..(*spec).clone() };
                    self.shared.producer.amend(&stream, spec);
                }
                (tracked.announced, tracked.stream) = (spec.key == 0, Some(stream));
            }
            Place::Anew(at, tail) => {
                tracked.generation = spec.generation.saturating_add(1);
                tracked.seek(at, tail);
                if let (Some(differs), false) = (differs, reused) {
                    tracing::warn!("{} {differs}: going on at byte {at} as generation {}", path.display(), tracked.generation);
                    tracked.counters.kept_bytes.add(at);
                    tracked.counters.truncations.add(1);
                    former = Some(Former {
                        identity: look.identity,
                        generation: spec.generation,
                        head: spec.head,
                        marks: Marks::decode(&spec.resume),
                        pos: durable.end,
                        tail: durable.tail,
                        size: durable.end,
                        stream: Some(stream),
                    });
                }
            }
        }
        let id = self.insert(tracked);
        self.name(path, id);
        if let Some(former) = former {
            self.adopt_copy(id, &former, now);
        }
        Ok(true)
    }

    /// Whether files that are found now are begun at their end.
    pub(crate) fn starts_at_end(&self, source: usize) -> bool {
        !self.looked_once && self.first_start[source] && self.shared.sources[source].options.start_at == StartAt::End
    }
}

impl Tracked {
    /// Begins behind the last end of a line of what is there now.
    pub(crate) fn seek_to_end(&mut self, options: &FileOptions, look: &Look) -> io::Result<()> {
        self.open()?;
        let Some(rules) = self.learn(options)? else { return Ok(()) };
        let Some(file) = &self.file else { return Ok(()) };
        let (mut end, mut chunk) = (look.size, vec![0; 64 << 10]);
        while end > 0 {
            let from = end.saturating_sub(chunk.len() as u64);
            let n = read_full(file, &mut chunk[..(end - from) as usize], from)?;
            if let Some(line_end) = rules.text.last_line_end(&chunk[..n], from % 2 == 1) {
                let at = from + line_end as u64;
                let tail = tail_at(file, at)?;
                self.seek(at, tail);
                return Ok(());
            }
            if from == 0 {
                break;
            }
            // A delimiter may lie across the seam.
            end = from + rules.text.longest_delimiter() as u64 - 1;
        }
        Ok(())
    }
}
