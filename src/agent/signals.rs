//! Signals as messages.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

/// A wish to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
    /// No signal: all sources have ended.
    Ended,
}

/// Receives SIGTERM and SIGINT from now on. SIGHUP is told to be without effect, so that a reload by
/// habit does not end the agent. The sender is for [`Signal::Ended`].
pub(super) fn listen(runtime: &Handle) -> io::Result<(Sender<Signal>, Receiver<Signal>)> {
    let _inside = runtime.enter();
    let (sender, receiver) = channel();
    let other = sender.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    runtime.spawn(async move {
        loop {
            let got = tokio::select! {
                _ = terminate.recv() => Signal::Terminate,
                _ = interrupt.recv() => Signal::Interrupt,
                _ = hangup.recv() => {
                    tracing::warn!("SIGHUP: this version does not reload; restart the agent to use a changed configuration (nothing is lost by a restart)");
                    continue;
                }
            };
            if sender.send(got).is_err() {
                return;
            }
        }
    });
    Ok((other, receiver))
}
