//! How many files are open at a time.

use super::tailer::Tailer;

/// Most open files; beyond, those that were quiet longest are closed and opened again on activity. A thousand busy ones
/// stay open.
const MAX_OPEN: usize = 1536;

/// How many files may be open under a limit of `descriptors`: at most half of them, since the queue, which must be
/// able to write what is read, and the sinks need some too.
fn max_open_of(descriptors: Option<u64>) -> usize {
    let half = descriptors.map_or(usize::MAX, |limit| usize::try_from(limit / 2).unwrap_or(usize::MAX));
    half.saturating_sub(16).clamp(4, MAX_OPEN)
}

/// How many files may be open under this process's limit.
pub(super) fn max_open() -> usize {
    max_open_of(rustix::process::getrlimit(rustix::process::Resource::Nofile).current)
}

impl Tailer {
    /// While the queue has no room, files that wait for their turn are held open: deleted ones can still be read later.
    pub(super) fn open_waiting(&mut self) {
        for id in &self.active {
            if self.open_order.len() >= self.max_open {
                return;
            }
            if let Some(file) = self.files.get_mut(id)
                && file.file.is_none()
                && file.open().is_ok()
            {
                self.open_order.push_back(*id);
            }
        }
    }

    /// Keeps the number of open files bounded; a file that has no name any more stays open until it is read.
    pub(super) fn close_some(&mut self) {
        for _ in 0..self.open_order.len() {
            if self.open_order.len() <= self.max_open {
                return;
            }
            let Some(id) = self.open_order.pop_front() else { return };
            let Some(file) = self.files.get_mut(&id).filter(|f| f.file.is_some()) else { continue };
            if file.used || file.at.is_none() || file.packed.is_some() {
                file.used = false;
                self.open_order.push_back(id);
            } else {
                file.close();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_OPEN, max_open_of};

    #[test]
    fn followed_files_leave_descriptors_to_the_queue() {
        assert_eq!((max_open_of(None), max_open_of(Some(1 << 20)), max_open_of(Some(1024))), (MAX_OPEN, MAX_OPEN, 496));
        assert_eq!((max_open_of(Some(64)), max_open_of(Some(20)), max_open_of(Some(0))), (16, 4, 4));
    }
}
