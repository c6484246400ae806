//! Globs of one source: which files it follows and which directories must be listed to find them.

use super::inflate::Codec;
use super::{FileOptions, SourceError};
use globset::{Glob, GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// A directory from which one include glob is walked.
#[derive(Debug)]
pub(crate) struct Root {
    /// The components before the first one with a wildcard.
    pub(crate) dir: PathBuf,
    /// For each level below, what a directory's path must match to be entered.
    pub(crate) levels: Vec<GlobMatcher>,
    /// Below the last level everything is entered (`**`).
    pub(crate) deep: bool,
}

/// The compiled globs of a source.
#[derive(Debug)]
pub(crate) struct Globs {
    include: GlobSet,
    exclude: GlobSet,
    /// Those include globs that name compressed files.
    compressed: GlobSet,
    pub(crate) roots: Vec<Root>,
}

fn compile(source: &str, pattern: &str) -> Result<Glob, SourceError> {
    GlobBuilder::new(pattern).literal_separator(true).build().map_err(|e| SourceError::Glob {
        source_name: source.to_owned(),
        pattern: pattern.to_owned(),
        reason: e.kind().to_string(),
    })
}

fn absolute(pattern: &str) -> String {
    match std::path::absolute(pattern) {
        Ok(path) => path.to_string_lossy().into_owned(),
        Err(_) => pattern.to_owned(),
    }
}

fn is_wild(component: &str) -> bool {
    component.contains(['*', '?', '[', '{', '\\'])
}

impl Root {
    fn of(source: &str, pattern: &str) -> Result<Root, SourceError> {
        let parts: Vec<String> = Path::new(pattern)
            .components()
            .filter(|c| !matches!(c, Component::RootDir))
            .map(|c| c.as_os_str().to_string_lossy().into_owned())
            .collect();
        let dirs = &parts[..parts.len().saturating_sub(1)];
        let fixed = dirs.iter().take_while(|p| !is_wild(p)).count();
        let mut dir = PathBuf::from("/");
        dir.extend(&dirs[..fixed]);
        // A separator inside braces or classes leaves no level on its own: walk all that is below.
        let split = pattern.split(['{', '[']).skip(1).any(|rest| rest.split(['}', ']']).next().is_some_and(|inner| inner.contains('/')));
        let (mut levels, mut deep) = (Vec::new(), split || parts.last().is_some_and(|p| p.contains("**")));
        let mut upto = dir.to_string_lossy().into_owned();
        for part in if split { &[][..] } else { &dirs[fixed..] } {
            if part.contains("**") {
                deep = true;
                break;
            }
            upto = format!("{}/{part}", upto.trim_end_matches('/'));
            levels.push(compile(source, &upto)?.compile_matcher());
        }
        Ok(Root { dir, levels, deep })
    }

    /// Whether a directory `depth` levels below [`Root::dir`] (its children have depth 0) is entered.
    pub(crate) fn enters(&self, path: &Path, depth: usize) -> bool {
        self.levels.get(depth).map_or(self.deep, |level| level.is_match(path))
    }
}

impl Globs {
    /// Compiles the globs of `options`; relative ones begin at the working directory.
    pub(crate) fn new(options: &FileOptions) -> Result<Globs, SourceError> {
        let (mut include, mut exclude, mut compressed) = (GlobSetBuilder::new(), GlobSetBuilder::new(), GlobSetBuilder::new());
        let mut roots = Vec::new();
        for pattern in &options.include {
            let pattern = absolute(pattern);
            let glob = compile(&options.name, &pattern)?;
            if Codec::of(Path::new(&pattern)).is_some() {
                compressed.add(glob.clone());
            }
            include.add(glob);
            roots.push(Root::of(&options.name, &pattern)?);
        }
        for pattern in &options.exclude {
            // `*.gz` excludes by name, wherever the file is.
            let pattern = if pattern.contains('/') { absolute(pattern) } else { format!("/**/{pattern}") };
            exclude.add(compile(&options.name, &pattern)?);
        }
        let build = |set: GlobSetBuilder| {
            set.build().map_err(|e| SourceError::Glob {
                source_name: options.name.clone(),
                pattern: options.include.join(", "),
                reason: e.to_string(),
            })
        };
        Ok(Globs { include: build(include)?, exclude: build(exclude)?, compressed: build(compressed)?, roots })
    }

    /// Whether the source follows a file of this path.
    ///
    /// A compressed file never is as it stands: its bytes are no lines.
    pub(crate) fn matches(&self, path: &Path) -> bool {
        Codec::of(path).is_none() && !is_unreadable(path) && self.include.is_match(path) && !self.exclude.is_match(path)
    }

    /// Whether the source asks for compressed files of this path, whatever they were before.
    pub(crate) fn names_compressed(&self, path: &Path) -> bool {
        self.compressed.is_match(path) && !self.exclude.is_match(path)
    }

    /// Whether an include glob matches the path.
    pub(crate) fn includes(&self, path: &Path) -> bool {
        self.include.is_match(path)
    }

    /// Whether a file of this path is left out.
    pub(crate) fn excludes(&self, path: &Path) -> bool {
        self.exclude.is_match(path)
    }
}

/// Ends of names of compressed files that cannot be read.
const UNREADABLE: [&str; 8] = ["bz2", "xz", "zip", "lz4", "lzma", "lzo", "br", "7z"];

/// Whether a file is compressed, by its name, in a way that cannot be read.
pub(crate) fn is_unreadable(path: &Path) -> bool {
    path.extension().is_some_and(|e| UNREADABLE.iter().any(|c| e == *c))
}

/// Ends of names that are never a generation of a log as it was written.
const NO_GENERATION: [&[u8]; 5] = [b".gz", b".zst", b".tmp", b".swp", b"~"];

/// The names of which `name` may be a rotated generation (`app.log.1` of `app.log`), the longest first.
pub(crate) fn bases(name: &OsStr) -> impl Iterator<Item = &OsStr> {
    let bytes = name.as_bytes();
    let usable = !NO_GENERATION.iter().any(|end| bytes.ends_with(end)) && !is_unreadable(Path::new(name));
    (1..bytes.len()).rev().filter(move |&i| usable && matches!(bytes[i], b'.' | b'-' | b'_')).map(|i| OsStr::from_bytes(&bytes[..i]))
}

/// The names of which `name` may be a generation that has its number or date before the extension, as logback and log4j2
/// have it (`app.1.log`, `app-2026-11-22-1.log` of `app.log`), the longest first.
///
/// Such names may as well be those of logs of their own (`worker-2.log`): only the same content makes them generations.
pub(crate) fn inner_bases(name: &OsStr) -> Vec<OsString> {
    let bytes = name.as_bytes();
    let Some(dot) = bytes.iter().rposition(|b| *b == b'.').filter(|dot| *dot > 0) else { return Vec::new() };
    let (stem, extension) = bytes.split_at(dot);
    if extension[1..].iter().all(u8::is_ascii_digit) {
        return Vec::new();
    }
    let separates = |b: u8| matches!(b, b'.' | b'-' | b'_');
    let variable = stem.iter().rposition(|b| !b.is_ascii_digit() && !separates(*b)).map_or(0, |at| at + 1);
    let ends = (variable.max(1)..stem.len()).rev().filter(|&i| separates(stem[i]) && stem[i..].iter().any(u8::is_ascii_digit));
    ends.map(|i| OsString::from_vec([&stem[..i], extension].concat())).collect()
}

/// A path with one 0 for each run of digits in its name: the same for all files that one pattern of names makes.
pub(crate) fn name_shape(path: &Path) -> PathBuf {
    let mut shape: Vec<u8> = Vec::new();
    for b in path.file_name().unwrap_or_default().as_bytes() {
        let b = if b.is_ascii_digit() { b'0' } else { *b };
        if b != b'0' || shape.last() != Some(&b'0') {
            shape.push(b);
        }
    }
    path.with_file_name(OsString::from_vec(shape))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(include: &[&str], exclude: &[&str]) -> Globs {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        Globs::new(&FileOptions { include: own(include), exclude: own(exclude), ..FileOptions::default() }).unwrap()
    }

    #[test]
    fn a_star_stays_within_a_directory_and_two_cross_them() {
        let g = globs(&["/var/log/*.log"], &["*.debug.log"]);
        assert!(g.matches(Path::new("/var/log/a.log")));
        assert!(!g.matches(Path::new("/var/log/x/a.log")));
        assert!(!g.matches(Path::new("/var/log/a.debug.log")));
        assert!(!globs(&["/var/log/*.log*"], &[]).matches(Path::new("/var/log/a.log.1.gz")));
        let g = globs(&["/var/log/**/*.log"], &["/var/log/private/**"]);
        assert!(g.matches(Path::new("/var/log/a.log")));
        assert!(g.matches(Path::new("/var/log/x/y/a.log")));
        assert!(!g.matches(Path::new("/var/log/private/a.log")));
    }

    #[test]
    fn only_directories_that_can_hold_a_match_are_entered() {
        let g = globs(&["/srv/app-*/logs/*.log", "/a/**/x.log", "/one/file"], &[]);
        assert_eq!(g.roots[0].dir, Path::new("/srv"));
        assert!(g.roots[0].enters(Path::new("/srv/app-1"), 0));
        assert!(!g.roots[0].enters(Path::new("/srv/db"), 0));
        assert!(g.roots[0].enters(Path::new("/srv/app-1/logs"), 1));
        assert!(!g.roots[0].enters(Path::new("/srv/app-1/logs/old"), 2));
        assert!(g.roots[1].enters(Path::new("/a/b"), 0) && g.roots[1].enters(Path::new("/a/b/c"), 1));
        assert_eq!((g.roots[2].dir.as_path(), g.roots[2].deep), (Path::new("/one"), false));
    }

    #[test]
    fn a_generation_is_a_name_with_a_suffix_but_no_compressed_one() {
        let all: Vec<_> = bases(OsStr::new("app.log-2024.1")).collect();
        assert_eq!(all, ["app.log-2024", "app.log", "app"]);
        assert_eq!(bases(OsStr::new("app.log.1.gz")).count(), 0);
    }

    #[test]
    fn numbers_and_dates_may_stand_before_the_extension() {
        let of = |name: &str| inner_bases(OsStr::new(name)).into_iter().map(|n| n.into_string().unwrap()).collect::<Vec<_>>();
        assert_eq!(of("app.1.log"), ["app.log"]);
        assert_eq!(of("app-2026-11-22.0.log"), ["app-2026-11-22.log", "app-2026-11.log", "app-2026.log", "app.log"]);
        for none in ["app-errors.log", "app.log", "app.log.1", "1.log", "app", ".1.log", "app-1"] {
            assert_eq!(of(none), [""; 0], "{none}");
        }
        assert_eq!(name_shape(Path::new("/v1/app-2026-11-22-1.log")), Path::new("/v1/app-0-0-0-0.log"));
    }

    #[test]
    fn a_bad_glob_says_which() {
        let err = Globs::new(&FileOptions { name: "web".into(), include: vec!["/a/[".into()], ..FileOptions::default() }).unwrap_err();
        assert!(err.to_string().starts_with("source web: `/a/[` is not a glob:"), "{err}");
    }
}
