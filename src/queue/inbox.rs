//! The log thread's inbox. A block wakes the thread only where that would not wake by itself within the linger, or where a
//! record batch is full: a thousand small blocks a second need not cost a thousand wake-ups.

use super::format::MAX_RUNS;
use super::log::Message;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Message>,
    /// Bytes of the blocks among them.
    bytes: usize,
    /// The receiver waits; until this instant, where there is one.
    waiting: Option<Option<Instant>>,
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    filled: Condvar,
    linger: Duration,
    batch: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Gives messages to the log thread.
#[derive(Clone, Debug)]
pub(crate) struct Sender(Arc<Shared>);

/// Takes them, in order.
#[derive(Debug)]
pub(crate) struct Receiver {
    shared: Arc<Shared>,
    /// Taken off the shared ones, and yet to be handled.
    taken: VecDeque<Message>,
}

/// An inbox for a log that lets blocks wait `linger` for more, up to `batch` bytes.
pub(crate) fn inbox(linger: Duration, batch: usize) -> (Sender, Receiver) {
    let shared = Arc::new(Shared { state: Mutex::default(), filled: Condvar::new(), linger, batch });
    (Sender(shared.clone()), Receiver { shared, taken: VecDeque::new() })
}

impl Sender {
    /// Hands a message over.
    ///
    /// # Errors
    /// The message, where nobody receives any more.
    pub(crate) fn send(&self, message: Message) -> Result<(), Box<Message>> {
        let mut state = self.0.lock();
        if state.closed {
            return Err(Box::new(message));
        }
        let can_wait = if let Message::Append(block) = &message {
            state.bytes += block.data.len();
            state.bytes < self.0.batch && state.messages.len() < MAX_RUNS
        } else {
            false
        };
        state.messages.push_back(message);
        let soon = |until: Instant| until <= Instant::now() + self.0.linger;
        let wake = state.waiting.is_some_and(|until| !(can_wait && until.is_some_and(soon)));
        if wake {
            state.waiting = None;
            drop(state);
            self.0.filled.notify_one();
        }
        Ok(())
    }
}

impl Receiver {
    /// The next message; `None` where none came before `until`.
    pub(crate) fn recv(&mut self, until: Option<Instant>) -> Option<Message> {
        if let Some(message) = self.try_recv() {
            return Some(message);
        }
        let mut state = self.shared.lock();
        // What came between the two looks is taken at once.
        if state.messages.is_empty() {
            state.waiting = Some(until);
            while state.waiting.is_some() {
                match until.map(|until| until.saturating_duration_since(Instant::now())) {
                    Some(left) if left.is_zero() => break,
                    Some(left) => state = self.shared.filled.wait_timeout(state, left).unwrap_or_else(|e| e.into_inner()).0,
                    None => state = self.shared.filled.wait(state).unwrap_or_else(|e| e.into_inner()),
                }
            }
            state.waiting = None;
        }
        drop(state);
        self.try_recv()
    }

    /// A message that is there.
    pub(crate) fn try_recv(&mut self) -> Option<Message> {
        if self.taken.is_empty() {
            let mut state = self.shared.lock();
            std::mem::swap(&mut state.messages, &mut self.taken);
            state.bytes = 0;
        }
        self.taken.pop_front()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Block, RunFlags, Stream, StreamSpec, Tail};
    use bytes::Bytes;

    const LONG: Duration = Duration::from_secs(60);

    fn block(len: usize) -> Message {
        let stream = Stream::new(1, 0, StreamSpec::default(), Default::default());
        let (lens, data) = (Bytes::from_static(&[1]), Bytes::from(vec![0; len]));
        let (flags, tail) = (RunFlags::default(), Tail::default());
        Message::Append(Block { stream, source_start: 0, source_end: len as u64, count: 1, lens, data, flags, tail, filtered: Vec::new() })
    }

    /// Whether a message wakes a receiver that waits until `until`.
    fn wakes(until: Option<Instant>, linger: Duration, message: Message) -> bool {
        let (sender, receiver) = inbox(linger, 100);
        sender.0.lock().waiting = Some(until);
        sender.send(message).unwrap();
        let woken = sender.0.lock().waiting.is_none();
        drop(receiver);
        woken
    }

    #[test]
    fn a_block_wakes_nobody_who_wakes_in_time_by_himself() {
        let soon = || Some(Instant::now() + LONG / 2);
        assert!(!wakes(soon(), LONG, block(1)));
        assert!(wakes(soon(), LONG, block(100)), "the batch is full");
        assert!(wakes(soon(), Duration::ZERO, block(1)), "nothing lingers");
        assert!(wakes(None, LONG, block(1)), "nobody else wakes it");
        assert!(wakes(soon(), LONG, Message::Close), "no block");
    }

    #[test]
    fn messages_come_in_order_and_late_ones_are_given_back() {
        let (sender, mut receiver) = inbox(LONG, 100);
        assert!(receiver.recv(Some(Instant::now())).is_none());
        sender.send(block(7)).unwrap();
        sender.send(Message::Reclaimed(3)).unwrap();
        assert!(matches!(receiver.recv(None), Some(Message::Append(b)) if b.data.len() == 7));
        assert!(matches!(receiver.try_recv(), Some(Message::Reclaimed(3))));
        let waiting = std::thread::spawn(move || (receiver.recv(None), receiver));
        sender.send(Message::Close).unwrap();
        let (message, receiver) = waiting.join().unwrap();
        assert!(matches!(message, Some(Message::Close)));
        drop(receiver);
        assert!(sender.send(block(1)).is_err());
    }
}
