//! Death at a chosen disk operation, for tests: every point between two operations of the queue can be named.
//!
//! `FOREBAY_FAIL_POINT="after sync seg:3"` has the process killed, as by `kill -9`, after the third sync of a segment:
//! `before` or `after`, an operation (`create`, `write`, `sync`, `rename`, `remove`, `sync_dir`, `any`), a kind of file
//! (`seg`, `idx`, `snap`, `meta`, `journal`, `tmp`, `dir`, `any`; a rename counts for the name that it gives), and the
//! how manieth. It does nothing in release builds without the feature `failpoints`.

use super::disk::{Disk, StdDisk};
use std::sync::Arc;

/// The real disk.
#[cfg(not(any(debug_assertions, feature = "failpoints")))]
pub(crate) fn real_disk() -> Arc<dyn Disk> {
    Arc::new(StdDisk)
}

/// The real disk, and death where the environment asks for it.
#[cfg(any(debug_assertions, feature = "failpoints"))]
pub(crate) fn real_disk() -> Arc<dyn Disk> {
    let Some(text) = std::env::var_os("FOREBAY_FAIL_POINT") else { return Arc::new(StdDisk) };
    match text.to_str().and_then(armed::Point::parse) {
        Some(point) => Arc::new(armed::Mortal(Arc::new(point))),
        None => {
            tracing::error!("FOREBAY_FAIL_POINT is {text:?}; expected something like `after sync seg:3`");
            Arc::new(StdDisk)
        }
    }
}

#[cfg(any(debug_assertions, feature = "failpoints"))]
mod armed {
    use super::super::disk::{Disk, DiskFile, Space, StdDisk};
    use std::io;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Debug)]
    pub(super) struct Point {
        after: bool,
        operation: String,
        what: String,
        left: AtomicU64,
    }

    impl Point {
        pub(super) fn parse(text: &str) -> Option<Point> {
            let (place, nth) = text.split_once(':')?;
            let mut words = place.split(' ');
            let after = match words.next()? {
                "before" => false,
                "after" => true,
                _ => return None,
            };
            let (operation, what) = (words.next()?.to_string(), words.next()?.to_string());
            Some(Point { after, operation, what, left: AtomicU64::new(nth.parse().ok().filter(|n| *n > 0)?) })
        }

        /// Runs `f`, and kills the process before or after it when its turn has come.
        fn at<T>(&self, operation: &str, path: &Path, f: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
            let is = |wanted: &str, name: &str| wanted == "any" || wanted == name;
            let met = is(&self.operation, operation) && is(&self.what, kind(path));
            let now = met && self.left.fetch_sub(1, Ordering::SeqCst) == 1;
            if now && !self.after {
                die();
            }
            let done = f();
            if now {
                die();
            }
            done
        }
    }

    fn kind(path: &Path) -> &str {
        let name = path.extension().or(path.file_name()).and_then(|n| n.to_str()).unwrap_or_default();
        // The journal and its spare change places.
        let name = if name == "spare" { "journal" } else { name };
        if ["seg", "idx", "snap", "meta", "journal", "tmp"].contains(&name) { name } else { "dir" }
    }

    fn die() {
        // Not an abort: nothing of this process may run any more, as after `kill -9`.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::process::abort();
    }

    /// The real disk until the point is met.
    #[derive(Debug)]
    pub(super) struct Mortal(pub(super) Arc<Point>);

    #[derive(Debug)]
    struct MortalFile {
        point: Arc<Point>,
        path: std::path::PathBuf,
        file: Arc<dyn DiskFile>,
    }

    impl Mortal {
        fn wrap(&self, path: &Path, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
            Arc::new(MortalFile { point: self.0.clone(), path: path.to_path_buf(), file })
        }
    }

    impl DiskFile for MortalFile {
        fn write_all_at(&self, bufs: &[&[u8]], pos: u64) -> io::Result<()> {
            self.point.at("write", &self.path, || self.file.write_all_at(bufs, pos))
        }

        fn read_at(&self, buf: &mut [u8], pos: u64) -> io::Result<usize> {
            self.file.read_at(buf, pos)
        }

        fn sync(&self) -> io::Result<()> {
            self.point.at("sync", &self.path, || self.file.sync())
        }

        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }

        fn is_linked(&self) -> io::Result<bool> {
            self.file.is_linked()
        }
    }

    impl Disk for Mortal {
        fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
            Ok(self.wrap(path, self.0.at("create", path, || StdDisk.create(path))?))
        }

        fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
            Ok(self.wrap(path, StdDisk.open(path)?))
        }

        fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
            StdDisk.list(dir)
        }

        fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
            StdDisk.create_dir_all(dir)
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.0.at("rename", to, || StdDisk.rename(from, to))
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            self.0.at("remove", path, || StdDisk.remove(path))
        }

        fn sync_dir(&self, dir: &Path) -> io::Result<()> {
            self.0.at("sync_dir", dir, || StdDisk.sync_dir(dir))
        }

        fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
            self.0.at("rename", b, || StdDisk.exchange(a, b))
        }

        fn space(&self, dir: &Path) -> io::Result<Space> {
            StdDisk.space(dir)
        }
    }
}
