//! Connections for the HTTP server: at most so many, with or without TLS.

use crate::source::push::counters::{Counters, add};
use crate::source::push::tls::keep_alive;
use axum::serve::Listener;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;

/// How long a client may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Before accepting is tried again after an error, such as no descriptors.
const PAUSE: Duration = Duration::from_millis(100);

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection, which counts while it lives. One that is quiet for too long gives its place to others.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    idle: Pin<Box<Sleep>>,
    patience: Duration,
    counters: Arc<Counters>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.counters.connections.fetch_sub(1, Relaxed);
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(read) => {
                let until = Instant::now() + self.patience;
                self.idle.as_mut().reset(until);
                Poll::Ready(read)
            }
            Poll::Pending => self.idle.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Connections that are ready to be served.
pub(crate) struct Connections {
    ready: mpsc::Receiver<(Connection, SocketAddr)>,
    address: SocketAddr,
}

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The accepting task lives as long as this.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Accepts on `listener` as long as somebody takes the connections.
pub(crate) fn connections(
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    most: usize,
    patience: Duration,
    counters: &Arc<Counters>,
) -> Connections {
    let (sender, ready) = mpsc::channel(1);
    let counters = counters.clone();
    tokio::spawn(async move {
        let places = Arc::new(Semaphore::new(most));
        loop {
            // A place first: who finds none waits in the kernel's queue.
            if places.available_permits() == 0 {
                counters.set_error(&format!("all {most} connections (max_connections) are taken; further ones wait"));
            }
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let (stream, peer) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        counters.set_error(&format!("cannot accept a connection: {error}; it is tried again"));
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                },
                () = sender.closed() => return,
            };
            let (tls, sender, counters) = (tls.clone(), sender.clone(), counters.clone());
            add(&counters.connections, 1);
            keep_alive(&stream);
            let counted = move |stream| {
                let idle = Box::pin(tokio::time::sleep(patience));
                Connection { stream, idle, patience, counters, _place: place }
            };
            tokio::spawn(async move {
                let connection = match tls {
                    None => counted(Box::new(stream)),
                    Some(tls) => match handshake(tls, stream).await {
                        Ok(stream) => counted(stream),
                        Err((stream, why)) => {
                            let refused = counted(Box::new(stream));
                            add(&refused.counters.refused_requests, 1);
                            refused.counters.set_error(&format!("no TLS with {}: {why}; nothing was taken from it", peer.ip()));
                            return;
                        }
                    },
                };
                // The server ends: nobody takes it.
                let _ = sender.send((connection, peer)).await;
            });
        }
    });
    Connections { ready, address }
}

async fn handshake(tls: TlsAcceptor, stream: TcpStream) -> Result<Box<dyn Stream>, (tokio::io::Empty, String)> {
    match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err((tokio::io::empty(), error.to_string())),
        Err(_) => Err((tokio::io::empty(), "the handshake took too long".into())),
    }
}
