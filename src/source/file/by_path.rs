//! What is known by path, without the paths: with a hundred thousand of them, they would be most of it.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// A map from paths. Two of a million paths are taken for one with a probability of 1 in 30 million.
#[derive(Debug)]
pub(crate) struct ByPath<T>(HashMap<u64, T>);

impl<T> Default for ByPath<T> {
    fn default() -> Self {
        ByPath(HashMap::new())
    }
}

fn key(path: &Path) -> u64 {
    xxh3_64(path.as_os_str().as_bytes())
}

impl<T> ByPath<T> {
    pub(crate) fn get(&self, path: &Path) -> Option<&T> {
        self.0.get(&key(path))
    }

    /// What is there for the path, or what `new` gives, which then is.
    pub(crate) fn get_or_insert_with(&mut self, path: &Path, new: impl FnOnce() -> T) -> &mut T {
        self.0.entry(key(path)).or_insert_with(new)
    }

    pub(crate) fn get_mut(&mut self, path: &Path) -> Option<&mut T> {
        self.0.get_mut(&key(path))
    }

    pub(crate) fn remove(&mut self, path: &Path) -> Option<T> {
        self.0.remove(&key(path))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values()
    }
}
