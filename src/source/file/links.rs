//! Links to files. What happens to a link's file happens in another directory (Kubernetes: the kubelet rotates the file in
//! `/var/log/pods` to which `/var/log/containers/*.log` leads), so that directory is listed and watched too, for the
//! file's generations only.

use super::discover::look_at;
use super::listing::Listing;
use super::tailer::Tailer;
use super::tracked::Look;
use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where followed links lead.
#[derive(Debug, Default)]
pub(crate) struct Links {
    /// The file of each link: device, inode, and its own path.
    targets: HashMap<PathBuf, (u64, u64, PathBuf)>,
    /// The links to each file.
    links: HashMap<PathBuf, Vec<PathBuf>>,
}

impl Tailer {
    /// The directories of the files to which the followed links among `listed` lead, with the source of a link.
    pub(super) fn linked_dirs(&mut self, listed: &HashMap<PathBuf, Listing>) -> HashMap<PathBuf, usize> {
        let named = |(dir, listing): (&PathBuf, &Listing)| {
            let links = listing.files.iter().flatten().filter(|(_, inode)| *inode == 0);
            links.map(|(name, _)| dir.join(name)).collect::<Vec<_>>()
        };
        let found: HashSet<PathBuf> = listed.iter().flat_map(named).collect();
        self.links.targets.retain(|link, _| found.contains(link));
        self.links.links.clear();
        let mut dirs = HashMap::new();
        for link in found {
            let Some(source) = self.source_of(&link) else { continue };
            if let Some(target) = self.links.resolve(&link) {
                if let Some(dir) = target.parent() {
                    dirs.insert(dir.to_owned(), source);
                }
                self.links.links.entry(target).or_default().push(link);
            }
        }
        dirs
    }

    /// The followed links to the file that has, or had, this path.
    pub(super) fn links_to(&self, path: &Path) -> &[PathBuf] {
        self.links.links.get(path).map_or(&[], Vec::as_slice)
    }

    /// The followed link by which a file is known whose own path no source matches.
    pub(super) fn link_of(&mut self, path: &Path, look: &Look) -> Option<PathBuf> {
        let is_it = |link: &&PathBuf| look_at(link).is_some_and(|l| l.identity == look.identity);
        self.links_to(path).iter().find(is_it).cloned()
    }

    /// The link to `path` under which its file was followed, with the link's source.
    pub(super) fn linked(&mut self, path: &Path) -> Option<(usize, PathBuf)> {
        let links = self.links_to(path);
        let link = links.iter().find(|l| self.was_followed(l)).or(links.first())?.clone();
        Some((self.source_of(&link)?, link))
    }

    /// A link that is followed: whether the directory of its file is not listed yet.
    pub(super) fn leads_astray(&mut self, link: &Path) -> bool {
        let target = self.links.resolve(link);
        target.as_deref().and_then(Path::parent).is_some_and(|dir| !self.dirs.contains_key(dir))
    }
}

impl Links {
    /// Whether there is any followed link.
    pub(super) fn any(&self) -> bool {
        !self.links.is_empty()
    }

    /// Where a followed link leads, as far as that is known.
    pub(super) fn target(&self, link: &Path) -> Option<&Path> {
        self.targets.get(link).map(|(.., target)| target.as_path())
    }

    /// The path of a link's file itself; while the file is missing, the last one.
    fn resolve(&mut self, link: &Path) -> Option<PathBuf> {
        let known = self.targets.get(link);
        let Ok(meta) = std::fs::metadata(link) else { return known.map(|(.., target)| target.clone()) };
        match known {
            Some((device, inode, target)) if (*device, *inode) == (meta.dev(), meta.ino()) => Some(target.clone()),
            _ => {
                let target = std::fs::canonicalize(link).ok()?;
                self.targets.insert(link.to_owned(), (meta.dev(), meta.ino(), target.clone()));
                Some(target)
            }
        }
    }
}
