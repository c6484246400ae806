//! Files whose content is used for long, and that others replace meanwhile: secrets, certificates, keys.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often it is looked whether a file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What tells one version of a file from another, also where it is exchanged by a symbolic link (Kubernetes) or in the
/// same second. `None`: it is not there.
type Stamp = Option<(u64, u64, u64, i64, i64, i64, i64)>;

/// A set of files and their versions when they were last read.
#[derive(Debug)]
pub(crate) struct Watched {
    paths: Vec<PathBuf>,
    stamps: Vec<Stamp>,
    looked: Instant,
}

impl Watched {
    /// Takes what is there now for known; to be called before the files are read.
    pub fn new(paths: Vec<PathBuf>) -> Watched {
        let stamps = stamps(&paths);
        Watched { paths, stamps, looked: Instant::now() }
    }

    /// Whether a file has changed since the last call that said so. Without `now` it looks at most once a second.
    pub fn changed(&mut self, now: bool) -> bool {
        if self.paths.is_empty() || !now && self.looked.elapsed() < LOOK_EVERY {
            return false;
        }
        self.looked = Instant::now();
        let stamps = stamps(&self.paths);
        let changed = stamps != self.stamps;
        self.stamps = stamps;
        changed
    }

    /// Has the next look, a second from now, say that there is a change: what could not be read may be readable then without one.
    pub fn look_again(&mut self) {
        self.stamps.clear();
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: &PathBuf| {
        let m = std::fs::metadata(path).ok()?;
        Some((m.dev(), m.ino(), m.len(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()))
    };
    paths.iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_points_elsewhere_is_a_change_and_so_is_a_file_that_goes() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("one"), "same").unwrap();
        std::fs::write(at("two"), "same").unwrap();
        std::os::unix::fs::symlink(at("one"), at("secret")).unwrap();
        let mut watched = Watched::new(vec![at("secret")]);
        assert!(!watched.changed(true));
        std::os::unix::fs::symlink(at("two"), at("new")).unwrap();
        std::fs::rename(at("new"), at("secret")).unwrap();
        assert!(!watched.changed(false), "looked a moment ago");
        assert!(watched.changed(true) && !watched.changed(true));
        watched.look_again();
        assert!(!watched.changed(false) && watched.changed(true) && !watched.changed(true));
        std::fs::remove_file(at("secret")).unwrap();
        assert!(watched.changed(true) && !watched.changed(true));
    }
}
