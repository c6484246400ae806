//! Hints from the kernel (inotify) and wake-ups from other threads (eventfd).
//!
//! Directories are watched, not files. The hints save latency and work; the rescan is the truth.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Wakes the reader thread.
#[derive(Clone, Debug)]
pub(crate) struct Waker(Arc<OwnedFd>);

impl Waker {
    pub(crate) fn wake(&self) {
        // It fails only when the counter is full, and then the thread is being woken already.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
}

/// What a hint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HintKind {
    /// Bytes were written (or the file was truncated or closed).
    Changed,
    /// A name came, went, or means another file now.
    Name,
    /// The name was the first half of a rename.
    MovedFrom(u32),
    /// The name was the second half of a rename.
    MovedTo(u32),
    /// The tree of directories changed.
    Directories,
    /// The watch ended with what was watched.
    Ended,
    /// The kernel dropped hints.
    Overflow,
}

/// One hint: a name in a watched directory.
#[derive(Debug)]
pub(crate) struct Hint {
    pub(crate) watch: i32,
    pub(crate) name: OsString,
    pub(crate) kind: HintKind,
}

/// The inotify descriptor, where the kernel grants one, and the eventfd.
#[derive(Debug)]
pub(crate) struct Watcher {
    inotify: Option<OwnedFd>,
    event: Arc<OwnedFd>,
    #[cfg(test)]
    blind: bool,
}

impl Watcher {
    /// Opens the eventfd; for hints, [`Watcher::open`] is asked.
    pub(crate) fn new() -> io::Result<Watcher> {
        let event = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        Ok(Watcher {
            inotify: None,
            event,
            #[cfg(test)]
            blind: false,
        })
    }

    /// Asks the kernel for hints unless it gives them already: at first, and again where it had refused.
    pub(crate) fn open(&mut self) -> io::Result<()> {
        #[cfg(test)]
        if self.blind {
            return Err(Errno::MFILE.into());
        }
        if self.inotify.is_none() {
            self.inotify = Some(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?);
        }
        Ok(())
    }

    /// As where the kernel grants no inotify, or grants it again.
    #[cfg(test)]
    pub(crate) fn set_blind(&mut self, blind: bool) {
        self.blind = blind;
        if blind {
            self.inotify = None;
        }
    }

    /// As where the kernel grants no inotify.
    #[cfg(test)]
    pub(crate) fn blind(&mut self) {
        self.set_blind(true);
    }

    pub(crate) fn waker(&self) -> Waker {
        Waker(self.event.clone())
    }

    /// Whether there can be hints at all.
    pub(crate) fn hints(&self) -> bool {
        self.inotify.is_some()
    }

    /// Watches a directory; watching it again gives the same number.
    pub(crate) fn watch_dir(&self, dir: &Path) -> io::Result<i32> {
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        self.watch(dir, flags)
    }

    /// Watches the file that a symlink leads to, since its own directory is not watched.
    pub(crate) fn watch_target(&self, link: &Path) -> io::Result<i32> {
        self.watch(link, WatchFlags::MODIFY)
    }

    fn watch(&self, path: &Path, flags: WatchFlags) -> io::Result<i32> {
        let fd = self.inotify.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        Ok(inotify::add_watch(fd, path, flags)?)
    }

    /// Forgets a watch.
    pub(crate) fn unwatch(&self, watch: i32) {
        if let Some(fd) = &self.inotify {
            // The kernel may have removed it already with its directory.
            let _ = inotify::remove_watch(fd, watch);
        }
    }

    /// Waits for a wake-up, or with `hints` also for a hint, at most `timeout` (`None`: for ever).
    pub(crate) fn wait(&self, hints: bool, timeout: Option<Duration>) {
        let timeout = timeout.map(|t| Timespec { tv_sec: t.as_secs() as i64, tv_nsec: i64::from(t.subsec_nanos()) });
        let mut fds = vec![PollFd::new(&*self.event, PollFlags::IN)];
        if let (true, Some(fd)) = (hints, &self.inotify) {
            fds.push(PollFd::new(fd, PollFlags::IN));
        }
        // EINTR and the like only make the thread look once more.
        let _ = poll(&mut fds, timeout.as_ref());
        let _ = rustix::io::read(&*self.event, &mut [0u8; 8]);
    }

    /// Takes all hints that are there, without waiting.
    pub(crate) fn hints_now(&self, mut take: impl FnMut(Hint)) {
        let Some(fd) = &self.inotify else { return };
        let mut memory = [MaybeUninit::uninit(); 16 << 10];
        let mut reader = inotify::Reader::new(fd.as_fd(), &mut memory);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(_) => return,
            };
            let flags = event.events();
            let kind = if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                HintKind::Overflow
            } else if flags.contains(ReadFlags::IGNORED) {
                HintKind::Ended
            } else if flags.intersects(ReadFlags::ISDIR | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT) {
                HintKind::Directories
            } else if flags.contains(ReadFlags::MOVED_FROM) {
                HintKind::MovedFrom(event.cookie())
            } else if flags.contains(ReadFlags::MOVED_TO) {
                HintKind::MovedTo(event.cookie())
            } else if flags.intersects(ReadFlags::CREATE | ReadFlags::DELETE) {
                HintKind::Name
            } else {
                HintKind::Changed
            };
            let name = event.file_name().map(|n| OsString::from_vec(n.to_bytes().to_vec())).unwrap_or_default();
            take(Hint { watch: event.wd(), name, kind });
        }
    }
}
