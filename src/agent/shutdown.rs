//! The way out: read to the end, ship for a while, keep the rest in the queue.

use super::Exit;
use super::running::Running;
use super::signals::Signal;
use crate::sink::Sink;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How often progress is looked at while draining.
const LOOK: Duration = Duration::from_millis(20);
/// A year.
const UNLIMITED: Duration = Duration::from_secs(365 * 86_400);

/// Drains for at most `limit`, or until another signal comes; then stops everything and says what remains.
pub(super) fn drain(running: Running, signals: &Receiver<Signal>, signal: Signal, limit: Duration) -> Exit {
    let parts = &running.parts;
    parts.draining.store(true, Ordering::Relaxed);
    let until = if signal == Signal::Ended {
        tracing::info!("all sources have ended: shipping the rest; a signal stops at once, nothing is lost");
        Instant::now() + UNLIMITED
    } else {
        tracing::info!(?signal, "draining for at most {} s; another signal stops at once, nothing is lost", limit.as_secs_f32());
        Instant::now() + limit
    };
    let hurried = || !matches!(signals.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout));
    // Those that are pushed to first: their senders wait for an answer.
    let pushed = parts.pushed.lock().unwrap_or_else(|e| e.into_inner()).take();
    let sources = parts.sources.lock().unwrap_or_else(|e| e.into_inner()).take();
    let mut stop = false;
    if let Some(pushed) = pushed {
        while !stop && Instant::now() < until && !pushed.drain(Instant::now() + LOOK) {
            stop = hurried();
        }
        pushed.stop();
    }
    if let Some(sources) = sources {
        while !stop && Instant::now() < until && !sources.drain(Instant::now() + LOOK) {
            stop = hurried();
        }
        sources.stop();
    }
    // What was handed over becomes visible to the sinks.
    if !stop {
        parts.queue.flush(until.saturating_duration_since(Instant::now()).max(LOOK));
    }
    while !stop && Instant::now() < until && parts.remaining() > 0 {
        stop = hurried();
    }
    let sinks = std::mem::take(&mut *parts.sinks.lock().unwrap_or_else(|e| e.into_inner()));
    sinks.values().for_each(Sink::begin_stop);
    sinks.into_values().for_each(Sink::stop);
    parts.queue.close();
    match parts.remaining() {
        0 => {
            tracing::info!("stopped; every event that was read is delivered");
            Exit::Drained
        }
        events => Exit::Remaining { events },
    }
}
