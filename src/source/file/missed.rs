//! Generations that came and went while nobody looked: which files beside a followed one are taken for them.
//!
//! A file is taken in although no glob matches its name, and nobody saw it under one that matches, when all of this holds:
//! its name is that of a followed path with an end that rotation gives (`app.log.1`, `app.log-20261122`, `app.log.old`); it
//! was born when that path, or its source, was followed already; and it is no copy of what was read of the path before.
//! What was rotated away before the agent first saw anything of the source was born before, and is never taken in.

use super::tailer::Tailer;
use super::tracked::Look;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What rotation puts at the end of a name besides numbers and times.
const WORDS: [&[u8]; 10] = [b"old", b"bak", b"backup", b"prev", b"previous", b"last", b"rotated", b"save", b"sav", b"orig"];
/// Months as `%b` writes them.
const MONTHS: [&[u8]; 12] = [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

/// File systems stamp births with a clock that may be so far behind: a timer's tick, ns.
const CLOCK_STEP_NS: i64 = 20_000_000;

/// The least birth of a file that came into being after this time. Of what came at most a step of the clock before, nobody can
/// tell: rather it is read than left out.
pub(super) fn seen_ns(ms: u64) -> i64 {
    i64::try_from(ms.saturating_mul(1_000_000)).unwrap_or(i64::MAX) - CLOCK_STEP_NS
}

/// Whether `path` is `base` itself, or `base` with an end that rotation gives: numbers, dates, times, `old` and the like.
pub(super) fn is_rotated_name(base: &Path, path: &Path) -> bool {
    let (Some(base), Some(name)) = (base.file_name(), path.file_name()) else { return false };
    let Some(end) = name.as_bytes().strip_prefix(base.as_bytes()) else { return false };
    let Some((first, rest)) = end.split_first() else { return true };
    // A number, perhaps with letters (1a), or a time: 20261122T101500Z, 10:15:00+0100, 2026w47. But no archive.
    let number =
        |part: &[u8]| part[0].is_ascii_digit() && part.iter().all(|b| b.is_ascii_alphanumeric() || b":+".contains(b)) && part != b"7z";
    let word = |part: &[u8]| {
        let letters = part.to_ascii_lowercase();
        let month = letters.get(..3).is_some_and(|m| MONTHS.contains(&m)) && letters[3..].iter().all(u8::is_ascii_digit);
        WORDS.contains(&&letters[..]) || month
    };
    let separates = |b: &u8| matches!(b, b'.' | b'-' | b'_');
    separates(first) && rest.split(|b| separates(b)).all(|part| !part.is_empty() && (number(part) || word(part)))
}

impl Tailer {
    /// Whether a file with the name of a generation of `base` was `base` while nobody looked.
    pub(super) fn is_missed(&mut self, path: &Path, base: &Path, look: &Look) -> bool {
        let born = look.identity.born_ns;
        if born == 0 || self.globs.iter().any(|g| g.excludes(path)) {
            return false;
        }
        if self.is_unseen_copy(path, base, look) {
            return true;
        }
        let since = self.followed_since(base);
        self.has_name_of_generation(base, path) && since != 0 && since < born
    }

    /// [`is_rotated_name`], also where `base` is a link: then rotation extends the name of its file.
    pub(super) fn has_name_of_generation(&self, base: &Path, path: &Path) -> bool {
        is_rotated_name(base, path) || self.links.target(base).is_some_and(|target| is_rotated_name(target, path))
    }

    /// Whether a file of this path is, or was, followed.
    pub(super) fn was_followed(&self, path: &Path) -> bool {
        self.names(path).is_some() || self.remembered_paths.get(path).is_some() || self.seen_since.get(path).is_some()
    }

    /// Since when a path is followed, ns since the Unix epoch: since a file was first seen there, or one of its source,
    /// where that was earlier; 0: it is not.
    pub(super) fn followed_since(&mut self, base: &Path) -> i64 {
        let seen = self.seen_since.get(base).copied().filter(|since| *since != 0);
        let source = self.source_of(base).map(|source| self.source_since[source]);
        seen.into_iter().chain(source).min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_ends_names_with_numbers_times_and_a_few_words() {
        let is = |end: &str| is_rotated_name(Path::new("/a/app.log"), Path::new(&format!("/a/app.log{end}")));
        for end in [
            "",
            ".1",
            ".12",
            "-20261122",
            "-20261122-1763800000",
            ".2026-11-22",
            ".2026-11-22_10-15-00",
            "-20261122T101500Z",
            ".old",
            "_10:15:00+0100",
            ".OLD.2",
            ".bak",
            "-22-Nov-2026",
            ".Nov22",
            ".1a",
            ".0b",
            ".1.bak",
            ".2026-11-22.7",
        ] {
            assert!(is(end), "{end}");
        }
        for end in
            ["-errors", ".err", ".lock", "1", ".", "..1", ".1.", "-audit.1", ".pid", ".7z", "~", ".tmp", ".json", ".offset", ".x20261122"]
        {
            assert!(!is(end), "{end}");
        }
        assert!(!is_rotated_name(Path::new("/a/app.log"), Path::new("/a/other.log.1")));
    }
}
