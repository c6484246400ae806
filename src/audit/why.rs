//! Why a file is read, or is not, in words.

use super::{AuditedFile, audit};
use crate::admin::SinkStatus;
use crate::admin::human::{bytes, count, duration};
use crate::queue::{ManageError, Managed};
use crate::source::file::filesystem::{FileSystem, Hints};
use crate::source::file::survey::{Verdict, base_paths, head_of, is_packed, verdict};
use crate::source::file::{FileOptions, Watch};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// What there is to say of a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The file that was asked for, absolute.
    pub file: String,
    /// Whether it is read: a source follows it, or the queue knows it.
    pub followed: bool,
    /// The answer, a sentence each.
    pub lines: Vec<String>,
    /// What the queue knows of it.
    pub generations: Vec<AuditedFile>,
}

/// Explains a file. `sources` are those of the pipeline, where it is known; `sinks` those of the running agent.
///
/// # Errors
/// [`ManageError`] where the queue cannot be read.
pub fn explain(
    queue: &Managed<'_>,
    sources: Option<&[FileOptions]>,
    sinks: Option<&BTreeMap<String, SinkStatus>>,
    file: &str,
) -> Result<Why, ManageError> {
    let known = audit(queue, sources, sinks.is_some(), &[])?.files;
    Ok(explain_by(&known, sources, sinks, file))
}

/// Explains a file of which no queue knows anything, because no agent has run yet.
pub(crate) fn explain_before(sources: &[FileOptions], data_dir: &Path, file: &str) -> Why {
    let mut why = explain_by(&[], Some(sources), None, file);
    why.lines.push(format!("No agent has run yet: there is no queue in {}.", data_dir.display()));
    why
}

fn explain_by(known: &[AuditedFile], sources: Option<&[FileOptions]>, sinks: Option<&BTreeMap<String, SinkStatus>>, file: &str) -> Why {
    let path = Path::new(file);
    let mut lines = Vec::new();
    let seen = look(path, &mut lines);
    // By a link, it is known under the name of the file to which the link leads.
    let real = std::fs::canonicalize(path).ok().map(|real| real.to_string_lossy().into_owned()).filter(|real| real != file);
    let is_now = |f: &AuditedFile| f.now.as_deref().is_some_and(|now| now == file || real.as_deref() == Some(now));
    let is_it = |f: &&AuditedFile| f.path == file || is_now(f);
    let generations: Vec<AuditedFile> = known.iter().filter(is_it).filter(|f| f.stream.is_some()).cloned().collect();
    let current = generations.iter().rfind(|f| is_now(f));
    let mut follows = false;
    match sources {
        Some(sources) => {
            for source in sources {
                follows |= say(source, path, &mut lines);
            }
        }
        None => lines.push("Which source follows it is not known: no agent runs, and no pipeline was named with --config.".into()),
    }
    if let Some(known) = current.filter(|f| f.path != file && real.is_some()) {
        lines.push(format!("It is read once, under the name of {}.", known.path));
    } else if let Some(known) = current.filter(|f| f.path != file) {
        lines.push(format!("It is a rotated generation of {}, and is read as such, whatever its name is now.", known.path));
    }
    // That a file was found is on record before anything of it is.
    let current = current.filter(|f| !matches!(seen, Seen::Denied) || f.queued > 0);
    if let (None, Seen::Denied, true) = (current, &seen, follows) {
        follows = false;
        lines.push("Nothing of it is read until then; it is tried again by itself, and nothing needs to be restarted.".into());
    }
    if let (None, Seen::File) = (current, &seen) {
        related(path, known, &mut lines);
        if follows {
            lines.push(
                "Nothing of it is in the queue yet: it is empty, just found, begun at its end, or the queue has no room for it.".into(),
            );
        }
    }
    for generation in &generations {
        stand(generation, sinks, &mut lines);
    }
    Why { file: file.into(), followed: follows || current.is_some(), lines, generations }
}

/// What was found under a path.
enum Seen {
    /// A file that can be read.
    File,
    /// Something that may not be looked at or opened.
    Denied,
    /// Nothing, or nothing that is read.
    Other,
}

/// What the path is.
fn look(path: &Path, lines: &mut Vec<String>) -> Seen {
    if let Ok(link) = std::fs::read_link(path) {
        lines.push(format!("It is a symbolic link to {}; the file there is read.", link.display()));
    }
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => lines.push("It is a folder; only files are read.".into()),
        Ok(meta) if !meta.is_file() => lines.push("It is no regular file (a pipe, a socket or a device); those are not read.".into()),
        Ok(meta) => match std::fs::File::open(path) {
            Ok(_) => {
                lines.push(format!("It is a file of {}.", bytes(meta.len())));
                return Seen::File;
            }
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                lines.push(format!("It cannot be opened: {e}. The agent's user must be allowed to read it (its `r` permission)."));
                return Seen::Denied;
            }
            Err(e) => lines.push(format!("It cannot be opened: {e}.")),
        },
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            let denied = path.ancestors().skip(1).find(|dir| std::fs::metadata(dir).is_ok()).unwrap_or(Path::new("/"));
            lines.push(format!(
                "It cannot be looked at: {e}. The folder {} must let the agent's user pass (its `x` permission).",
                denied.display()
            ));
            return Seen::Denied;
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let there = path.ancestors().skip(1).find(|dir| dir.exists()).unwrap_or(Path::new("/"));
            if Some(there) == path.parent() {
                lines.push("There is no file of this name now.".into());
            } else {
                lines.push(format!("Its folder is not there yet: only {} is. Once it appears, it is found.", there.display()));
            }
        }
        Err(e) => lines.push(format!("It cannot be looked at: {e}.")),
    }
    Seen::Other
}

/// Whether the file's directory is polled, and why.
fn polled(source: &FileOptions, path: &Path) -> Option<String> {
    let every = duration(source.poll_interval.as_secs_f64());
    let fs = FileSystem::at(path.parent()?);
    match source.watch {
        Watch::Poll => Some(format!("Its folder is looked at every {every} (`watch: poll`).")),
        Watch::Auto if fs.hints == Hints::Own => Some(format!(
            "Its folder is on {}, where the kernel does not tell of the writes of other machines: it is looked at every {every} (`poll_interval`).",
            fs.name
        )),
        _ => None,
    }
}

fn say(source: &FileOptions, path: &Path, lines: &mut Vec<String>) -> bool {
    let name = &source.name;
    match verdict(source, path) {
        Verdict::Follows(glob) => {
            lines.push(format!("Source {name} follows it: {glob} matches. Topic: {}.", source.topic));
            lines.extend(polled(source, path));
            return true;
        }
        Verdict::Excluded(glob, exclude) => {
            lines.push(format!("Source {name} leaves it out: {glob} matches, but `exclude` has {exclude}."));
        }
        Verdict::TooOld(glob, age) => lines.push(format!(
            "Source {name} does not begin it: {glob} matches, but it was not touched for {}, and `ignore_older` is {}.",
            duration(age.as_secs_f64()),
            duration(source.ignore_older.unwrap_or_default().as_secs_f64())
        )),
        Verdict::Compressed(glob) => lines.push(format!(
            "Source {name} does not read it by its name: it is compressed, although {glob} matches. A compressed generation (.gz, .zst) of a \
             followed file is read as far as the file had not been read before."
        )),
        Verdict::Differs(glob, own, theirs) => lines.push(format!(
            "Source {name} does not follow it: the nearest glob is {glob}, where `{own}` of the path does not match `{theirs}`."
        )),
    }
    false
}

/// Says what else the file is: a copy or a generation of a file that is followed.
fn related(path: &Path, files: &[AuditedFile], lines: &mut Vec<String>) {
    let packed = is_packed(path);
    let unpacked = if packed { path.with_extension("") } else { path.to_owned() };
    let mut bases = base_paths(&unpacked);
    if packed {
        bases.insert(0, unpacked);
    }
    let Some(base) = bases.iter().find(|b| files.iter().any(|f| Path::new(&f.path) == b.as_path())) else { return };
    let same = |a: &Path, b: &Path| match (head_of(a), head_of(b)) {
        (Ok(a), Ok(b)) => !a.is_empty() && a.starts_with(&b[..b.len().min(a.len())]) && !b.is_empty(),
        _ => false,
    };
    if packed {
        lines.push(format!(
            "By its name it is a compressed generation of {}: what had not been read of that is read from here, and nothing else.",
            base.display()
        ));
    } else if same(path, base) {
        lines.push(format!("It begins with the same bytes as {}: a copy of it, of which nothing is read again.", base.display()));
    } else {
        lines.push(format!(
            "By its name it may be a generation of {}: what was read under that name is not read again, a copy neither.",
            base.display()
        ));
    }
}

fn stand(file: &AuditedFile, sinks: Option<&BTreeMap<String, SinkStatus>>, lines: &mut Vec<String>) {
    let what = if file.generation > 0 { format!("Generation {}", file.generation) } else { "The file".into() };
    let place = match (file.state.as_str(), &file.now) {
        ("renamed", Some(now)) => format!(" (now {now})"),
        ("gone" | "truncated", _) => format!(" ({})", file.state),
        _ => String::new(),
    };
    let behind = match file.waiting {
        0 => "nothing of it waits".to_string(),
        n => format!("{} wait to be read ({} bytes)", bytes(n), count(n)),
    };
    lines.push(format!("{what}{place}: {} bytes written, {} durable in the queue; {behind}.", count(file.written), count(file.queued)));
    for (cause, n) in &file.lost {
        lines.push(format!("{} bytes of it are lost: {}.", count(*n), cause.replace('_', " ")));
    }
    for (rule, filtered) in &file.filtered {
        let (events, bytes) = (count(filtered.events), count(filtered.bytes));
        lines.push(format!("{bytes} bytes of it ({events} events) were filtered before the queue by {rule}."));
    }
    for (name, books) in &file.sinks {
        let mut line = format!("Sink {name}: {} bytes acknowledged", count(books.acknowledged));
        let lost = books.lost.values().sum();
        for (n, what) in [
            (books.pending, "pending"),
            (books.dead_lettered, "dead-lettered"),
            (books.to_be_read_again, "to be read again"),
            (lost, "lost"),
        ] {
            if n > 0 {
                line.push_str(&format!(", {} {what}", count(n)));
            }
        }
        match sinks.map(|s| s.get(name)) {
            Some(Some(status)) if status.reason.is_empty() => line.push_str(&format!("; it is {}", status.state)),
            Some(Some(status)) => line.push_str(&format!("; it is {}: {}", status.state, status.reason)),
            Some(None) => line.push_str("; it does not run"),
            None => line.push_str("; the agent is stopped"),
        }
        lines.push(line + ".");
    }
}
