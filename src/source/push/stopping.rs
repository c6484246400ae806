//! The wish to stop, for threads that wait in `poll`: they sleep until there is input or the wish, however long.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

/// How sources are told to stop.
#[derive(Debug)]
pub(crate) struct Stopping {
    drain: AtomicBool,
    stop: AtomicBool,
    /// Readable from the first wish on.
    wake: OwnedFd,
}

impl Stopping {
    pub(crate) fn new() -> io::Result<Stopping> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Stopping { drain: AtomicBool::new(false), stop: AtomicBool::new(false), wake })
    }

    /// Take what is there, then stop.
    pub(crate) fn drain(&self) {
        self.drain.store(true, SeqCst);
        // It can only fail when it is readable for a long time already.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Stop between two reads.
    pub(crate) fn stop(&self) {
        self.stop.store(true, SeqCst);
        self.drain();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drain.load(SeqCst)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.load(SeqCst)
    }

    /// Waits until `input` can be read (or has ended); `false` when the wish to stop comes first or stands already.
    pub(crate) fn readable(&self, input: impl AsFd) -> io::Result<bool> {
        let input = input.as_fd();
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        loop {
            let mut fds = [PollFd::new(&input, PollFlags::IN), PollFd::new(&self.wake, PollFlags::IN)];
            match poll(&mut fds, self.is_draining().then_some(&zero)) {
                Ok(_) if !fds[0].revents().is_empty() => return Ok(true),
                Ok(_) if self.is_draining() => return Ok(false),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for the wish to stop, at most `wait`.
    pub(crate) fn wait(&self, wait: Duration) {
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        // Woken early, the caller looks again.
        let _ = poll(&mut [PollFd::new(&self.wake, PollFlags::IN)], Some(&wait));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    #[test]
    fn input_and_the_wish_to_stop_wake() {
        let (input, mut other) = UnixStream::pair().unwrap();
        let stopping = Arc::new(Stopping::new().unwrap());
        other.write_all(b"x").unwrap();
        assert!(stopping.readable(&input).unwrap());
        let (quiet, _other) = UnixStream::pair().unwrap();
        let inner = stopping.clone();
        let waiting = std::thread::spawn(move || inner.readable(&quiet).unwrap());
        stopping.stop();
        assert!(!waiting.join().unwrap());
        assert!(stopping.readable(&input).unwrap(), "what is there is still read");
        stopping.wait(Duration::from_secs(3600));
        assert!(stopping.is_draining() && stopping.is_stopping());
    }
}
