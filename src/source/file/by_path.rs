//! What is known by path, or by name, without the paths: with a hundred thousand of them, they would be most of it.

use super::tracked::FileId;
use crate::queue::FileIdentity;
use std::collections::HashMap;
use std::ffi::OsStr;
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

/// The followed file with each inode; the device tells apart those of several file systems. Two of a million are taken for
/// one as rarely as paths are; whoever asks compares identities besides.
#[derive(Debug, Default)]
pub(crate) struct ByInode(HashMap<u64, FileId>);

impl ByInode {
    fn key(device: u64, inode: u64) -> u64 {
        let [a, b] = [device, inode].map(u64::to_le_bytes);
        xxh3_64([a, b].as_flattened())
    }

    pub(crate) fn get(&self, identity: &FileIdentity) -> Option<FileId> {
        self.0.get(&Self::key(identity.device, identity.inode)).copied()
    }

    pub(crate) fn has(&self, device: u64, inode: u64) -> bool {
        self.0.contains_key(&Self::key(device, inode))
    }

    pub(crate) fn insert(&mut self, identity: &FileIdentity, id: FileId) {
        self.0.insert(Self::key(identity.device, identity.inode), id);
    }

    /// Forgets the file, unless another one has its inode by now.
    pub(crate) fn remove(&mut self, identity: &FileIdentity, id: FileId) {
        if self.get(identity) == Some(id) {
            self.0.remove(&Self::key(identity.device, identity.inode));
        }
    }

    #[cfg(test)]
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The followed file behind each name in a directory. Two of a million names are taken for one as rarely as paths are.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<u64, FileId>);

impl Names {
    pub(crate) fn key(name: &OsStr) -> u64 {
        xxh3_64(name.as_bytes())
    }

    pub(crate) fn get(&self, name: &OsStr) -> Option<FileId> {
        self.0.get(&Self::key(name)).copied()
    }

    pub(crate) fn insert(&mut self, name: &OsStr, id: FileId) {
        self.0.insert(Self::key(name), id);
    }

    pub(crate) fn remove(&mut self, name: &OsStr) {
        self.forget(Self::key(name));
    }

    /// Forgets the name with this key.
    pub(crate) fn forget(&mut self, key: u64) {
        self.0.remove(&key);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and files.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, FileId)> {
        self.0.iter().map(|(key, id)| (*key, *id))
    }
}

/// Several of a kind, of which there is nearly always one: that takes no memory of its own.
#[derive(Clone, Debug)]
pub(crate) enum Few<T> {
    One(T),
    #[expect(clippy::box_collection, reason = "two words instead of three, for each of a hundred thousand")]
    Many(Box<Vec<T>>),
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Few::Many(Box::default())
    }
}

impl<T> Few<T> {
    pub(crate) fn as_slice(&self) -> &[T] {
        match self {
            Few::One(one) => std::slice::from_ref(one),
            Few::Many(many) => many,
        }
    }

    pub(crate) fn push(&mut self, more: T) {
        *self = match std::mem::take(self) {
            Few::Many(many) if many.is_empty() => Few::One(more),
            Few::One(one) => Few::Many(Box::new(vec![one, more])),
            Few::Many(mut many) => {
                many.push(more);
                Few::Many(many)
            }
        };
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        match self {
            Few::One(one) if keep(one) => {}
            Few::One(_) => *self = Few::default(),
            Few::Many(many) => many.retain(keep),
        }
    }
}

impl<'a, T> IntoIterator for &'a Few<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.as_slice().iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_one_none_or_many() {
        let mut few = Few::default();
        assert!(few.as_slice().is_empty());
        for n in 0..4 {
            few.push(n);
            assert_eq!(few.as_slice(), (0..=n).collect::<Vec<_>>());
        }
        few.retain(|n| *n == 2);
        assert_eq!(few.as_slice(), [2]);
        few.retain(|_| false);
        few.push(7);
        assert!(matches!(few, Few::One(7)));
        few.retain(|_| false);
        assert!(few.as_slice().is_empty());
        assert!(std::mem::size_of::<Few<Box<u8>>>() <= 16);
    }
}
