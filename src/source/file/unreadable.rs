//! Generations in a compression that cannot be read (`.bz2`, `.xz`, `.zip` …): passed over, said once for each log, counted.

use super::globs::is_unreadable;
use super::not_followed::Reason;
use super::tailer::Tailer;
use super::tracked::Look;
use std::path::{Path, PathBuf};

impl Tailer {
    /// Whether `path` may be a generation of a followed file, in a form that cannot be read.
    pub(crate) fn is_unreadable_generation(&mut self, path: &Path) -> bool {
        is_unreadable(path) && self.originals(path).iter().any(|o| self.globs.iter().any(|g| g.matches(o)))
    }

    /// Passes over a generation that cannot be read; those that are older than what is followed are of no concern.
    pub(crate) fn pass_over(&mut self, path: &Path, look: &Look) {
        if self.not_followed.get(look) == Some(Reason::Unrelated) {
            return;
        }
        self.not_followed.insert(look, Reason::Unrelated);
        if self.globs.iter().any(|g| g.excludes(path)) {
            return;
        }
        let originals = self.originals(path);
        let mut ours = |o: &PathBuf| self.was_followed(o) && (1..=look.modified_ns).contains(&self.followed_since(o));
        let original = originals.into_iter().find(|o| ours(o));
        let Some((original, source)) = original.and_then(|o| Some((self.source_of(&o)?, o))).map(|(s, o)| (o, s)) else { return };
        self.shared.sources[source].counters.unreadable_generations.add(1);
        let form = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        self.say_once(format!(
            "generations of {} are compressed as .{form}, which cannot be read: what of them was not read before (while the agent is down, or the \
             queue full) is not shipped. Use gzip or zstd, or let rotation compress one generation later (delaycompress); `exclude` \
             silences this, the status counts them (unreadable_generations)",
            original.display()
        ));
    }
}
