//! Files as somebody sees them who does not follow them: where a file is now, which files a source would follow, and
//! why it does not follow one. Reads folders and first bytes, and changes nothing.

use super::globs::{Globs, bases};
use super::resume::first_bytes;
use super::tracked::{Look, open_regular, same_file};
use super::{FileOptions, SourceError};
use crate::queue::{FileIdentity, Head};
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct There {
    pub(crate) path: PathBuf,
    pub(crate) identity: FileIdentity,
    /// Bytes.
    pub(crate) size: u64,
}

fn look(path: &Path) -> Option<Look> {
    std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|m| Look::of(&m))
}

/// The fingerprint's first bytes of a file.
pub(crate) fn head_of(path: &Path) -> io::Result<Vec<u8>> {
    first_bytes(&open_regular(path)?)
}

/// Whether the content of a file is packed, by its name, so that its size says nothing of its events.
pub(crate) fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "gz" || e == "zst")
}

/// Where a link leads, also where its file is missing now.
pub(crate) fn linked_file(path: &Path) -> Option<PathBuf> {
    let target = std::fs::read_link(path).ok()?;
    // Links to links are followed as far as they lead somewhere.
    std::fs::canonicalize(path).ok().or_else(|| Some(path.parent()?.join(target)))
}

/// So many names are remembered, of one folder more.
const MOST_NAMES: usize = 20_000;

/// Finds files by identity, also under another name in their directory, or in that of the file to which their link leads.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    dirs: HashMap<PathBuf, HashMap<u64, Vec<OsString>>>,
    /// Names in all of them.
    names: usize,
}

impl Finder {
    /// Where the file is now that was first seen at `path`.
    pub(crate) fn find(&mut self, path: &Path, identity: &FileIdentity, head: &Head) -> Option<There> {
        let is = |at: &Path, look: &Look| {
            let born = identity.born_ns != 0 && look.identity.born_ns != 0;
            // Without a birth time another file may have the inode now.
            same_file(identity, &look.identity) && (born || head_of(at).is_ok_and(|bytes| head.matches(&bytes)))
        };
        let there = |at: PathBuf, look: Look| There { path: at, identity: look.identity, size: look.size };
        if let Some(look) = look(path).filter(|l| is(path, l)) {
            return Some(there(path.to_owned(), look));
        }
        // What happens to a link's file happens in that file's folder.
        let own = linked_file(path);
        let dirs = path.parent().into_iter().chain(own.as_deref().and_then(Path::parent));
        dirs.into_iter().find_map(|dir| {
            let names = self.names(dir).get(&identity.inode)?;
            names.iter().find_map(|name| {
                let at = dir.join(name);
                look(&at).filter(|l| is(&at, l)).map(|l| there(at, l))
            })
        })
    }

    /// The names in a folder by inode.
    fn names(&mut self, dir: &Path) -> &HashMap<u64, Vec<OsString>> {
        if self.names > MOST_NAMES && !self.dirs.contains_key(dir) {
            (self.dirs, self.names) = (HashMap::new(), 0);
        }
        let count = &mut self.names;
        self.dirs.entry(dir.to_owned()).or_insert_with(|| {
            let mut by_inode: HashMap<u64, Vec<OsString>> = HashMap::new();
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                by_inode.entry(entry.ino()).or_default().push(entry.file_name());
                *count += 1;
            }
            by_inode
        })
    }
}

/// The files that sources follow now by their globs, each once, with the index of its source.
///
/// # Errors
/// [`SourceError`] for globs that are none.
pub(crate) fn followed(options: &[FileOptions], found: &mut dyn FnMut(usize, There)) -> Result<(), SourceError> {
    let mut seen = BTreeSet::new();
    for (source, options) in options.iter().enumerate() {
        let globs = Globs::new(options)?;
        let mut listed = BTreeSet::new();
        for root in &globs.roots {
            let mut todo = vec![(root.dir.clone(), 0)];
            while let Some((dir, depth)) = todo.pop() {
                let fresh = listed.insert(dir.clone());
                for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
                    let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
                    let is_dir = kind.is_dir() || (kind.is_symlink() && depth < root.levels.len() && path.is_dir());
                    if is_dir && root.enters(&path, depth) {
                        todo.push((path, depth + 1));
                    } else if fresh
                        && globs.matches(&path)
                        && let Some(look) = look(&path).filter(|l| !is_old(options, l.modified_ns))
                        && seen.insert((look.identity.device, look.identity.inode))
                    {
                        found(source, There { path, identity: look.identity, size: look.size });
                    }
                }
            }
        }
    }
    Ok(())
}

fn is_old(options: &FileOptions, modified_ns: i64) -> bool {
    age(modified_ns).zip(options.ignore_older).is_some_and(|(age, limit)| age > limit)
}

fn age(modified_ns: i64) -> Option<Duration> {
    let modified = SystemTime::UNIX_EPOCH + Duration::from_nanos(u64::try_from(modified_ns).ok()?);
    SystemTime::now().duration_since(modified).ok()
}

/// The names of which a file of this name may be a generation, in its directory.
pub(crate) fn base_paths(path: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    bases(name).map(|base| dir.join(base)).collect()
}

/// What a source says to a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It follows it by this glob.
    Follows(String),
    /// This glob matches, but this one excludes it.
    Excluded(String, String),
    /// This glob matches, but the file was not touched for so long.
    TooOld(String, Duration),
    /// It is compressed; this glob matches its name. Only a generation of a followed file is read.
    Compressed(String),
    /// None of its globs matches: the nearest, and the first component that differs, as it is and as the glob has it.
    Differs(String, String, String),
}

fn absolute(pattern: &str) -> String {
    std::path::absolute(pattern).map_or_else(|_| pattern.to_owned(), |p| p.to_string_lossy().into_owned())
}

fn one(options: &FileOptions, include: &str, exclude: &[String]) -> Option<Globs> {
    Globs::new(&FileOptions { include: vec![include.to_owned()], exclude: exclude.to_vec(), ..options.clone() }).ok()
}

/// What a source says to `path`, which must be absolute.
pub(crate) fn verdict(options: &FileOptions, path: &Path) -> Verdict {
    let mut matching = options.include.iter().filter(|glob| one(options, glob, &[]).is_some_and(|g| g.includes(path)));
    let Some(glob) = matching.next() else { return nearest(options, path) };
    let excluded = options.exclude.iter().find(|e| one(options, glob, std::slice::from_ref(e)).is_some_and(|g| g.excludes(path)));
    if let Some(exclude) = excluded {
        return Verdict::Excluded(glob.clone(), exclude.clone());
    }
    if !one(options, glob, &[]).is_some_and(|g| g.matches(path)) {
        return Verdict::Compressed(glob.clone());
    }
    match look(path).filter(|l| is_old(options, l.modified_ns)).and_then(|l| age(l.modified_ns)) {
        Some(age) => Verdict::TooOld(glob.clone(), age),
        None => Verdict::Follows(glob.clone()),
    }
}

/// The glob that agrees with most of the path's components from the left.
fn nearest(options: &FileOptions, path: &Path) -> Verdict {
    let parts: Vec<String> = path.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
    let agrees = |glob: &str| {
        let globs: Vec<String> = Path::new(&absolute(glob)).components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
        let same = |(part, glob): &(&String, &String)| {
            globset::GlobBuilder::new(glob).literal_separator(true).build().is_ok_and(|g| g.compile_matcher().is_match(part.as_str()))
        };
        // What two stars stand for is open: they agree with all up to the last component.
        let until = globs.iter().position(|g| g.contains("**")).unwrap_or(globs.len());
        let n = parts.iter().zip(&globs[..until]).take_while(same).count();
        let (n, at) = if n == until && until < globs.len() { (parts.len() - 1, globs.len() - 1) } else { (n, n) };
        let nothing = || "nothing".to_string();
        (n, parts.get(n).cloned().unwrap_or_else(nothing), globs.get(at).cloned().unwrap_or_else(nothing))
    };
    let best = options.include.iter().map(|glob| (agrees(glob), glob)).max_by_key(|((n, ..), _)| *n);
    best.map_or_else(
        || Verdict::Differs(String::new(), String::new(), String::new()),
        |((_, own, theirs), glob)| Verdict::Differs(glob.clone(), own, theirs),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(include: &[&str], exclude: &[&str]) -> FileOptions {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        FileOptions { include: own(include), exclude: own(exclude), ..FileOptions::default() }
    }

    #[test]
    fn what_a_source_says() {
        let source = options(&["/srv/*/logs/*.log", "/var/log/app/*.log"], &["*.debug.log"]);
        let says = |path: &str| verdict(&source, Path::new(path));
        assert_eq!(says("/var/log/app/a.log"), Verdict::Follows("/var/log/app/*.log".into()));
        assert_eq!(says("/var/log/app/a.debug.log"), Verdict::Excluded("/var/log/app/*.log".into(), "*.debug.log".into()));
        assert_eq!(says("/var/log/ap/a.log"), Verdict::Differs("/var/log/app/*.log".into(), "ap".into(), "app".into()));
        assert_eq!(says("/var/log/app/a.txt"), Verdict::Differs("/var/log/app/*.log".into(), "a.txt".into(), "*.log".into()));
        assert_eq!(says("/srv/x/log/a.log"), Verdict::Differs("/srv/*/logs/*.log".into(), "log".into(), "logs".into()));
        assert_eq!(verdict(&options(&["/a/*"], &[]), Path::new("/a/b.gz")), Verdict::Compressed("/a/*".into()));
        let deep = options(&["/srv/**/*.log"], &[]);
        assert_eq!(verdict(&deep, Path::new("/srv/a/b.txt")), Verdict::Differs("/srv/**/*.log".into(), "b.txt".into(), "*.log".into()));
    }

    fn all_followed(options: &[FileOptions]) -> Vec<(usize, There)> {
        let mut found = Vec::new();
        followed(options, &mut |source, there| found.push((source, there))).unwrap();
        found
    }

    #[test]
    fn a_file_behind_a_link_is_found_in_its_own_folder_and_links_to_folders_are_entered_where_a_level_names_them() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("pods/c")).unwrap();
        std::fs::create_dir_all(at("apps/one")).unwrap();
        std::fs::write(at("pods/c/0.log"), "one\n").unwrap();
        std::os::unix::fs::symlink("pods/c/0.log", at("x.log")).unwrap();
        std::os::unix::fs::symlink("../pods/c", at("apps/two")).unwrap();
        std::os::unix::fs::symlink("../../pods/c", at("apps/one/deep")).unwrap();
        let first = look(&at("x.log")).unwrap();
        std::fs::rename(at("pods/c/0.log"), at("pods/c/0.log.1")).unwrap();
        let find = || Finder::default().find(&at("x.log"), &first.identity, &Head::of(b"one\n")).unwrap().path.canonicalize().unwrap();
        // While the link's file is missing, and when there is another.
        assert_eq!(find(), at("pods/c/0.log.1").canonicalize().unwrap());
        std::fs::write(at("pods/c/0.log"), "other\n").unwrap();
        assert_eq!(find(), at("pods/c/0.log.1").canonicalize().unwrap());
        let glob = at("apps/*/**/*.log").to_string_lossy().into_owned();
        let files: Vec<_> = all_followed(&[options(&[&glob], &[])]).into_iter().map(|(_, f)| f.path).collect();
        assert_eq!(files, [at("apps/two/0.log")]);
    }

    #[test]
    fn a_renamed_file_is_found_and_a_file_is_followed_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("a.log"), "one\n").unwrap();
        let first = look(&at("a.log")).unwrap();
        std::fs::rename(at("a.log"), at("a.log.1")).unwrap();
        std::fs::write(at("a.log"), "other\n").unwrap();
        let found = Finder::default().find(&at("a.log"), &first.identity, &Head::of(b"one\n")).unwrap();
        assert_eq!((found.path, found.size), (at("a.log.1"), 4));
        let glob = |name: &str| at(name).to_string_lossy().into_owned();
        let sources = [options(&[&glob("*.log"), &glob("a*")], &[]), options(&[&glob("*")], &[])];
        let mut files: Vec<_> = all_followed(&sources).into_iter().map(|(s, f)| (s, f.path)).collect();
        files.sort();
        assert_eq!(files, [(0, at("a.log")), (0, at("a.log.1"))]);
    }
}
