//! The audit: for each generation of a file what was written, read and queued, and for each sink what became of it.
//!
//! `written = acknowledged + filtered + dead-lettered + lost`, once nothing is under way; until then what waits in the
//! file and what is pending in the queue stand on the right, too. All figures are bytes of the file. The queue's side
//! comes from [`crate::queue::Books`], the file's from a look at it; bytes that no look ever saw (written and truncated
//! or deleted in between) are in no book.

mod text;
mod why;

pub use text::text;
pub(crate) use why::explain_before;
pub use why::{Why, explain};

use crate::queue::{Head, ManageError, Managed, MissingEvents, SinkBooks, StreamBooks, UnplacedLoss};
use crate::source::file::survey::{Finder, There, base_paths, followed, head_of, is_packed};
use crate::source::file::{FileOptions, StartAt};
use globset::GlobBuilder;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// One generation of a file. All figures are bytes of the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AuditedFile {
    /// Name of its source.
    pub source: String,
    /// Topic.
    pub topic: String,
    /// Path under which it was first seen.
    pub path: String,
    /// Where it is now.
    pub now: Option<String>,
    /// `there`, `renamed`, `truncated` (an earlier generation, or one that is about to be), `gone`.
    pub state: String,
    /// Counts truncations of the file.
    pub generation: u32,
    /// Number of its stream; none where nothing of it was read.
    pub stream: Option<u64>,
    /// Written to it, as far as it was ever seen.
    pub written: u64,
    /// Handed to the queue.
    pub read: u64,
    /// Durable in the queue.
    pub queued: u64,
    /// In the file and not durable in the queue yet: no loss.
    pub waiting: u64,
    /// Gone before it was read, by cause.
    pub lost: BTreeMap<String, u64>,
    /// Byte ranges (first, end) of what was gone before it was read.
    pub lost_ranges: Vec<(u64, u64)>,
    /// Filtered before the queue, by rule. It is part of what each sink's books have as `filtered`.
    #[serde(default)]
    pub filtered: BTreeMap<String, FilteredBefore>,
    /// In no book: the equation does not hold without it.
    pub unexplained: u64,
    /// By sink.
    pub sinks: BTreeMap<String, SinkBooks>,
}

/// What a rule before the queue has filtered of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilteredBefore {
    /// Events.
    pub events: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

impl AuditedFile {
    /// What the books of a sink say in sum; [`AuditedFile::written`] where they hold.
    pub fn sum(&self, sink: &SinkBooks) -> u64 {
        sink.sum() + self.waiting + self.lost.values().sum::<u64>() + self.unexplained
    }

    fn is_lost(&self, counts: impl Fn(&str) -> bool) -> bool {
        let at = |(name, s): (&String, &SinkBooks)| counts(name) && (s.dead_lettered + s.dead_letters > 0 || !s.lost.is_empty());
        self.unexplained > 0 || !self.lost.is_empty() || self.sinks.iter().any(at)
    }

    fn is_under_way(&self, counts: impl Fn(&str) -> bool) -> bool {
        let at = |(name, s): (&String, &SinkBooks)| counts(name) && s.pending + s.to_be_read_again > 0;
        let nobody = self.queued > 0 && !self.sinks.keys().any(|name| counts(name));
        self.waiting > 0 || nobody || self.sinks.iter().any(at)
    }

    /// Whether the equation holds for every sink.
    pub fn balances(&self) -> bool {
        self.unexplained == 0 && self.sinks.values().all(|s| self.sum(s) == self.written)
    }
}

/// The verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every byte that was written is acknowledged (or filtered) by every sink.
    Complete,
    /// Nothing is lost, but something waits in a file or in the queue.
    UnderWay,
    /// Something is lost, dead-lettered, or in no book.
    #[default]
    Missing,
}

/// What the audit found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// In short.
    pub verdict: Verdict,
    /// Whether the agent runs.
    pub running: bool,
    /// The generations, by path and age.
    pub files: Vec<AuditedFile>,
    /// Sums over all files.
    pub total: AuditedFile,
    /// Sinks that once read and do not run: they do not count.
    pub absent: Vec<String>,
    /// What must be in the queue and is not found.
    pub missing_events: Vec<MissingEvents>,
    /// What was lost of files that are not known.
    pub unplaced: Vec<UnplacedLoss>,
    /// What the audit could not look at, in words.
    pub notes: Vec<String>,
}

/// Which files are meant.
struct Filter(Vec<(PathBuf, Option<globset::GlobMatcher>)>);

impl Filter {
    fn new(files: &[String]) -> Filter {
        let wild = |f: &str| f.contains(['*', '?', '[', '{']);
        let glob = |f: &str| GlobBuilder::new(f).literal_separator(true).build().ok().map(|g| g.compile_matcher());
        Filter(files.iter().map(|f| (PathBuf::from(f), if wild(f) { glob(f) } else { None })).collect())
    }

    fn takes(&self, path: &str) -> bool {
        let path = Path::new(path);
        self.0.is_empty() || self.0.iter().any(|(wanted, glob)| path.starts_with(wanted) || glob.as_ref().is_some_and(|g| g.is_match(path)))
    }
}

/// Audits a queue and the files of its sources. `files` are absolute paths, folders or globs; none means all. Without
/// `sources`, files of which nothing was read yet are not known.
///
/// # Errors
/// [`ManageError`] where the queue cannot be read.
pub fn audit(queue: &Managed<'_>, sources: Option<&[FileOptions]>, running: bool, files: &[String]) -> Result<Audit, ManageError> {
    let mut rows = Vec::new();
    let mut audit = audit_each(queue, sources, running, files, &mut |row| rows.push(row))?;
    audit.files = rows;
    audit.sort();
    Ok(audit)
}

/// Like [`audit`], with the generations handed over one by one, in no order: there may be a hundred thousand files, and the
/// agent is to stay small. [`Audit::files`] is empty then. After an error nothing was handed over.
///
/// # Errors
/// [`ManageError`] where the queue cannot be read.
pub(crate) fn audit_each(
    queue: &Managed<'_>,
    sources: Option<&[FileOptions]>,
    running: bool,
    files: &[String],
    take: &mut dyn FnMut(AuditedFile),
) -> Result<Audit, ManageError> {
    let mut account = queue.account()?;
    let mut audit = Audit { running, ..Audit::default() };
    // A stopped agent's sinks are those that have a place.
    audit.absent = account.groups().iter().filter(|(_, joined)| running && !**joined).map(|(name, _)| name.clone()).collect();
    // The file itself belongs to its newest generation.
    let mut newest: HashMap<(u64, i64), (u32, u64)> = HashMap::new();
    for (file, generation, number) in account.files() {
        let of = newest.entry((file.inode, file.born_ns)).or_default();
        *of = (*of).max((generation, number));
    }
    let mut unread = Vec::new();
    match sources {
        Some(sources) => {
            // Begun at its end, it may have nothing to read for ever.
            let is_new = |source: usize, there: &There| {
                let file = &there.identity;
                there.size > 0 && sources[source].start_at == StartAt::Beginning && !newest.contains_key(&(file.inode, file.born_ns))
            };
            let found = followed(sources, &mut |source, there| {
                if is_new(source, &there) {
                    unread.push((source, there));
                }
            });
            if let Err(error) = found {
                unread.clear();
                audit.notes.push(error.to_string());
            }
        }
        None => audit.notes.push("files of which nothing was read yet are not known: name the pipeline with --config".into()),
    }
    let bases: HashSet<PathBuf> = unread.iter().flat_map(|(_, there)| base_paths(&there.path)).collect();
    let mut heads: HashMap<PathBuf, Vec<Head>> = HashMap::new();
    let filter = Filter::new(files);
    let counts = |name: &str| !audit.absent.iter().any(|a| a == name);
    let (mut lost, mut under_way, mut total) = (false, false, AuditedFile::default());
    let mut enter = |row: AuditedFile| {
        if filter.takes(&row.path) || row.now.as_deref().is_some_and(|now| filter.takes(now)) {
            lost |= row.is_lost(counts);
            under_way |= row.is_under_way(counts);
            add(&mut total, &row);
            take(row);
        }
    };
    let mut finder = Finder::default();
    account.each(|stream| {
        if stream.head.len > 0 && bases.contains(&stream.path) {
            heads.entry(stream.path.clone()).or_default().push(stream.head);
        }
        let is_newest = stream.file.is_some_and(|f| newest.get(&(f.inode, f.born_ns)) == Some(&(stream.generation, stream.number)));
        enter(row(&stream, is_newest, &mut finder));
    });
    let sources = sources.unwrap_or_default();
    unread.into_iter().filter(|(_, there)| !is_copy(there, &heads)).for_each(|(source, there)| enter(unread_row(&sources[source], &there)));
    let books = account.rest();
    let missed = books.missing.iter().any(|m| counts(&m.sink));
    let unplaced = files.is_empty() && books.unplaced.iter().any(|u| books.groups.keys().any(|g| counts(g) && !u.had.contains(g)));
    let verdict = match (lost || missed || unplaced, under_way) {
        (true, _) => Verdict::Missing,
        (false, true) => Verdict::UnderWay,
        (false, false) => Verdict::Complete,
    };
    Ok(Audit { verdict, total, missing_events: books.missing, unplaced: books.unplaced, ..audit })
}

impl Audit {
    /// Puts the generations in order, by path and age.
    pub(crate) fn sort(&mut self) {
        let order = |f: &AuditedFile| f.stream.unwrap_or(u64::MAX);
        self.files.sort_by(|a, b| (&a.path, order(a), &a.now).cmp(&(&b.path, order(b), &b.now)));
    }
}

/// Adds the figures of a row to their sum.
fn add(total: &mut AuditedFile, row: &AuditedFile) {
    total.written += row.written;
    total.read += row.read;
    total.queued += row.queued;
    total.waiting += row.waiting;
    total.unexplained += row.unexplained;
    row.lost.iter().for_each(|(cause, n)| *total.lost.entry(cause.clone()).or_default() += n);
    for (name, sink) in &row.sinks {
        let sum = total.sinks.entry(name.clone()).or_default();
        sum.acknowledged += sink.acknowledged;
        sum.filtered += sink.filtered;
        sum.dead_lettered += sink.dead_lettered;
        sum.dead_letters += sink.dead_letters;
        sum.pending += sink.pending;
        sum.in_flight += sink.in_flight;
        sum.to_be_read_again += sink.to_be_read_again;
        sink.lost.iter().for_each(|(cause, n)| *sum.lost.entry(cause.clone()).or_default() += n);
    }
}

fn row(stream: &StreamBooks, newest: bool, finder: &mut Finder) -> AuditedFile {
    let there = stream.file.as_ref().filter(|_| newest).and_then(|f| finder.find(&stream.path, f, &stream.head));
    let read = stream.read.max(stream.queued);
    let size = there.as_ref().filter(|t| !is_packed(&t.path)).map(|t| t.size);
    let state = match (&there, size) {
        _ if !newest && stream.file.is_some() => "truncated",
        (_, Some(size)) if size < read => "truncated",
        (Some(there), _) if there.path == stream.path => "there",
        (Some(_), _) => "renamed",
        (None, _) => "gone",
    };
    let mut file = AuditedFile {
        source: stream.source.clone(),
        topic: stream.topic.clone(),
        path: stream.path.to_string_lossy().into_owned(),
        now: there.map(|t| t.path.to_string_lossy().into_owned()),
        state: state.into(),
        generation: stream.generation,
        stream: (stream.number != 0 && !stream.key.is_empty()).then_some(stream.number),
        read,
        queued: stream.queued,
        filtered: stream
            .filtered
            .iter()
            .filter(|rule| rule.events > 0)
            .map(|rule| (rule.name.clone(), FilteredBefore { events: rule.events, bytes: rule.bytes }))
            .collect(),
        sinks: stream.sinks.clone(),
        ..AuditedFile::default()
    };
    match size.filter(|size| *size >= read) {
        // What was taken for lost and is there is not.
        Some(size) => (file.written, file.waiting) = (size, size - file.queued),
        None => {
            file.waiting = read - file.queued;
            for (cause, ranges) in &stream.unread {
                for (start, end) in ranges.iter().map(|(s, e)| ((*s).max(read), *e)).filter(|(s, e)| s < e) {
                    *file.lost.entry(cause.clone()).or_default() += end - start;
                    file.lost_ranges.push((start, end));
                }
            }
            file.written = file.lost_ranges.iter().map(|r| r.1).max().unwrap_or(read);
            if stream.file.is_none() {
                // Its stream's record is gone, with what it told of the bytes before.
                (file.read, file.queued, file.waiting) = (0, 0, 0);
                file.written = file.lost.values().sum();
            } else {
                // Handed over, but not durable when the process ended; and then the file was truncated.
                file.unexplained = file.written.saturating_sub(read + file.lost.values().sum::<u64>());
            }
        }
    }
    file
}

/// Whether a file of which nothing was read yet begins like a stream of which it may be a generation.
fn is_copy(there: &There, heads: &HashMap<PathBuf, Vec<Head>>) -> bool {
    let paths = base_paths(&there.path);
    let mut originals = paths.iter().filter_map(|base| heads.get(base)).flatten().peekable();
    originals.peek().is_some() && head_of(&there.path).is_ok_and(|head| originals.any(|original| original.matches(&head)))
}

/// A file that is followed, and of which nothing was read yet.
fn unread_row(source: &FileOptions, there: &There) -> AuditedFile {
    AuditedFile {
        source: source.name.clone(),
        topic: source.topic.clone(),
        path: there.path.to_string_lossy().into_owned(),
        now: Some(there.path.to_string_lossy().into_owned()),
        state: "there".into(),
        written: there.size,
        waiting: there.size,
        ..AuditedFile::default()
    }
}
