//! Names of rotated files: `NAME.1` is the youngest.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The `n`th rotated file of `path`.
pub(crate) fn rotated(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    name.into()
}

/// Makes room for `path` to become `.1`, and renames it; keeps at most `keep` rotated files.
///
/// Only the files before the first gap move up: a gap is what a crash in the middle of this leaves.
pub(crate) fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    let keep = keep.max(1);
    let mut last = 1;
    while last < keep && rotated(path, last).try_exists()? {
        last += 1;
    }
    for n in (1..last).rev() {
        fs::rename(rotated(path, n), rotated(path, n + 1))?;
    }
    fs::rename(path, rotated(path, 1))?;
    sync_dir(path)
}

/// Makes renames and new names beside `path` durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    fs::File::open(directory(path))?.sync_all()
}

/// The directory that holds `path`.
pub(crate) fn directory(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_falls_off_and_a_gap_is_filled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let content = |n| fs::read_to_string(rotated(&path, n)).unwrap_or_default();
        for i in 0..5 {
            fs::write(&path, i.to_string()).unwrap();
            rotate(&path, 3).unwrap();
        }
        assert_eq!([1, 2, 3, 4].map(content), ["4", "3", "2", ""]);
        fs::remove_file(rotated(&path, 2)).unwrap();
        fs::write(&path, "5").unwrap();
        rotate(&path, 3).unwrap();
        assert_eq!([1, 2, 3].map(content), ["5", "4", "2"]);
    }
}
