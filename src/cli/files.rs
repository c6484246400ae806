//! Which files match a source's globs now, for `check`. Reads folders, never files.

use crate::source::file::FileOptions;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// Most entries that are looked at: `check` answers soon, also for `/**`.
const MAX_LOOKED_AT: usize = 200_000;

/// How many files match.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Matched {
    /// Files that match now.
    pub(super) files: u64,
    /// Bytes in them.
    pub(super) bytes: u64,
    /// The files.
    pub(super) paths: BTreeSet<PathBuf>,
    /// Whether there was too much to look at all of it.
    pub(super) more: bool,
    /// Folders that cannot be listed.
    pub(super) unreadable: Vec<PathBuf>,
}

fn set(globs: &[String]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for glob in globs.iter().filter_map(|glob| GlobBuilder::new(glob.trim_start_matches("./")).literal_separator(true).build().ok()) {
        set.add(glob);
    }
    set.build().unwrap_or_default()
}

/// The folder above the first wildcard, and how many levels below it the glob can reach.
fn start(glob: &str) -> (PathBuf, usize) {
    let wild = |part: &Component<'_>| part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']);
    let parts: Vec<Component<'_>> = Path::new(glob).components().collect();
    let fixed = parts.iter().position(wild).unwrap_or(parts.len().saturating_sub(1));
    let depth = if glob.contains("**") || glob.contains('{') { 64 } else { parts.len() - fixed };
    (parts[..fixed].iter().collect(), depth)
}

/// Counts the files that a source would follow.
pub(super) fn matched(options: &FileOptions) -> Matched {
    let (include, exclude) = (set(&options.include), set(&options.exclude));
    let mut result = Matched::default();
    let mut looked_at = 0;
    let mut folders: Vec<(PathBuf, usize)> = options.include.iter().map(|glob| start(glob)).collect();
    while let Some((folder, depth)) = folders.pop() {
        if depth == 0 || result.more {
            continue;
        }
        let listed = std::fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { &folder });
        let entries = match listed {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                result.unreadable.push(folder);
                continue;
            }
            Err(_) => continue,
        };
        for entry in entries.flatten() {
            looked_at += 1;
            if looked_at > MAX_LOOKED_AT {
                result.more = true;
                break;
            }
            let path = folder.join(entry.file_name());
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                folders.push((path, depth - 1));
                continue;
            }
            let shown = path.strip_prefix("./").unwrap_or(&path);
            if !include.is_match(shown) || exclude.is_match(shown) {
                continue;
            }
            // Follows symbolic links: container logs are such.
            if let Ok(meta) = std::fs::metadata(&path)
                && meta.is_file()
                && result.paths.insert(path)
            {
                result.files += 1;
                result.bytes += meta.len();
            }
        }
    }
    result.unreadable.sort();
    result.unreadable.dedup();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_matches_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("x/y")).unwrap();
        for name in ["a.log", "b.log", "old.log", "a.txt", "x/c.log", "x/y/d.log"] {
            std::fs::write(at(name), "12345").unwrap();
        }
        let glob = |name: &str| at(name).to_str().unwrap().to_string();
        let count = |include: &[&str], exclude: &[&str]| {
            let options = FileOptions {
                include: include.iter().map(|g| glob(g)).collect(),
                exclude: exclude.iter().map(|g| glob(g)).collect(),
                ..FileOptions::default()
            };
            let found = matched(&options);
            (found.files, found.bytes)
        };
        assert_eq!(count(&["*.log"], &[]), (3, 15));
        assert_eq!(count(&["*.log", "a.log"], &["old*"]), (2, 10));
        assert_eq!(count(&["**/*.log"], &[]), (5, 25));
        assert_eq!(count(&["*/*.log"], &[]), (1, 5));
        assert_eq!(count(&["a.log"], &[]), (1, 5));
        assert_eq!(count(&["{a,b}.log"], &[]), (2, 10));
        assert_eq!(count(&["nothing/*.log"], &[]), (0, 0));
    }
}
