//! From sockets to the queue.

use super::drops::Drops;
use super::frames::Frames;
use super::listen::Listener;
use super::peers::Peers;
use crate::queue::{RunFlags, put_varint};
use crate::source::push::counters::add;
use crate::source::push::inlet::{Filled, Inlet, Owner, Piece};
use crate::source::push::lines::{cut, delimiter, flags};
use crate::source::push::pump::Pump;
use crate::source::push::tls::keep_alive;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// Bytes in which datagrams are gathered.
const GATHER: usize = 256 << 10;
/// The largest datagram.
const DATAGRAM: usize = 64 << 10;
/// Bytes of one read of a connection.
const READ: usize = 16 << 10;
/// At the stop, a socket is read for at most this long, and until it is quiet for a moment.
const LAST: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_millis(100);
/// How long a sender may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How often drops of the kernel are looked at after a burst.
const DROPS: Duration = Duration::from_secs(1);

/// What all sockets of a source share.
#[derive(Clone)]
struct Shared {
    owner: Owner,
    peers: Arc<Peers>,
    pump: Pump,
    closing: watch::Receiver<bool>,
    connections: Arc<Semaphore>,
}

/// Serves all sockets of a source until `closing`.
pub(crate) async fn serve(listeners: Vec<Listener>, owner: Owner, pump: Pump, most: usize, closing: watch::Receiver<bool>) {
    let peers = Arc::new(Peers::new(&owner));
    let shared = Shared { owner, peers, pump, closing, connections: Arc::new(Semaphore::new(most)) };
    let mut tasks = tokio::task::JoinSet::new();
    for listener in listeners {
        let shared = shared.clone();
        tasks.spawn(async move {
            match listener {
                Listener::Udp(socket) => datagrams(&Udp { drops: Drops::of(&socket).into(), socket }, &shared).await,
                Listener::UnixDatagram(socket, _path) => datagrams(&Unix(socket), &shared).await,
                Listener::Tcp(listener, tls) => {
                    accept(&shared, || async {
                        let (stream, peer) = listener.accept().await?;
                        keep_alive(&stream);
                        Ok((stream, Some(peer.ip()), tls.clone()))
                    })
                    .await;
                }
                Listener::Unix(listener, _path) => accept(&shared, || async { Ok((listener.accept().await?.0, None, None)) }).await,
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

async fn closed(closing: &watch::Receiver<bool>) {
    let mut closing = closing.clone();
    // An error is the sender's end, which is the same.
    let _ = closing.wait_for(|closing| *closing).await;
}

/// A socket that datagrams come from.
trait Datagrams {
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;
    fn receive(&self, room: &mut [u8]) -> io::Result<(usize, Option<IpAddr>)>;
    /// Datagrams that were dropped since the last look.
    fn dropped(&self) -> u64 {
        0
    }
}

struct Udp {
    socket: UdpSocket,
    drops: std::sync::Mutex<Drops>,
}

impl Datagrams for Udp {
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
        self.socket.readable()
    }

    fn receive(&self, room: &mut [u8]) -> io::Result<(usize, Option<IpAddr>)> {
        self.socket.try_recv_from(room).map(|(n, peer)| (n, Some(peer.ip())))
    }

    fn dropped(&self) -> u64 {
        self.drops.lock().unwrap_or_else(|e| e.into_inner()).look(Instant::now())
    }
}

struct Unix(UnixDatagram);

impl Datagrams for Unix {
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
        self.0.readable()
    }

    fn receive(&self, room: &mut [u8]) -> io::Result<(usize, Option<IpAddr>)> {
        self.0.try_recv(room).map(|n| (n, None))
    }
}

/// Takes datagrams: all that wait are gathered first, so that under load a block holds many and at rest each goes at once.
async fn datagrams(socket: &impl Datagrams, shared: &Shared) {
    let mut room = vec![0; GATHER];
    let mut closing = pin!(closed(&shared.closing));
    let mut until: Option<Instant> = None;
    let mut look_again = false;
    loop {
        tokio::select! {
            ready = socket.readable() => if let Err(error) = ready {
                note(shared, &format!("a socket fails: {error}"));
                return;
            },
            () = &mut closing, if until.is_none() => {
                until = Some(Instant::now() + LAST);
                continue;
            }
            () = tokio::time::sleep(QUIET), if until.is_some() => return,
            () = tokio::time::sleep(DROPS), if look_again => {
                look_again = false;
                tell_drops(socket, shared);
                continue;
            }
        }
        if until.is_some_and(|until| Instant::now() > until) {
            return;
        }
        let (mut slots, mut at) = (Vec::new(), 0);
        while room.len() - at >= DATAGRAM {
            match socket.receive(&mut room[at..at + DATAGRAM]) {
                Ok((n, peer)) => {
                    if n > 0 {
                        slots.push((peer, at, at + n));
                    }
                    at += n;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    // Of another sender's making (an ICMP answer); the socket goes on.
                    tracing::debug!("syslog: {error}");
                    break;
                }
            }
        }
        if !flush(&room, slots, shared).await {
            return;
        }
        tell_drops(socket, shared);
        look_again = true;
    }
}

fn tell_drops(socket: &impl Datagrams, shared: &Shared) {
    let dropped = socket.dropped();
    if dropped > 0 {
        add(&shared.owner.counters.dropped_events, dropped);
        note(
            shared,
            &format!(
                "the kernel dropped {} datagrams that came faster than they could be taken; raise receive_buffer, or send over TCP",
                shared.owner.counters.dropped_events.load(Relaxed)
            ),
        );
    }
}

fn note(shared: &Shared, text: &str) {
    if shared.owner.counters.set_error(text) {
        tracing::warn!("source {}: {text}", shared.owner.options.name);
    }
}

/// Groups the datagrams by sender and hands them over. `false` when the agent stops.
async fn flush(room: &[u8], mut slots: Vec<(Option<IpAddr>, usize, usize)>, shared: &Shared) -> bool {
    // Stable: a sender's messages stay in order.
    slots.sort_by_key(|(peer, ..)| *peer);
    let max = shared.owner.options.max_line_bytes;
    let mut events = Vec::new();
    for group in slots.chunk_by(|a, b| a.0 == b.0) {
        let inlet = shared.peers.inlet(group[0].0);
        for part in group.chunk_by(|a, b| (a.2 - a.1 <= max) && (b.2 - b.1 <= max)) {
            let kept: Vec<&[u8]> = part.iter().map(|(_, from, to)| cut(&room[*from..*to], max)).collect();
            let total: usize = kept.iter().map(|m| m.len()).sum();
            let Some(mut buffer) = shared.pump.buffer(total, None).await else {
                inlet.lost(part.len() as u64);
                return false;
            };
            let (mut lens, mut at, mut delimiters) = (Vec::with_capacity(part.len() * 2), 0, 0);
            for message in &kept {
                buffer[at..at + message.len()].copy_from_slice(message);
                put_varint(&mut lens, message.len() as u32);
                at += message.len();
                delimiters += delimiter(message);
            }
            let mut flags = flags(&buffer, delimiters);
            let covers: usize = part.iter().map(|(_, from, to)| to - from).sum();
            if covers > total {
                flags.0 |= RunFlags::CUT;
                add(&shared.owner.counters.cut_events, part.len() as u64);
                add(&shared.owner.counters.cut_bytes, (covers - total) as u64);
            }
            let filled = Filled { data: buffer.freeze(), lens: lens.into(), count: part.len() as u32, flags };
            events.push((inlet.clone(), filled));
        }
    }
    events.is_empty() || shared.pump.hand_over(events).await
}

/// Accepts connections; each has a task of its own.
async fn accept<S, F>(shared: &Shared, next: impl Fn() -> F)
where
    S: AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = io::Result<(S, Option<IpAddr>, Option<TlsAcceptor>)>>,
{
    let mut closing = pin!(closed(&shared.closing));
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        // A place first: who finds none waits in the kernel's queue.
        if shared.connections.available_permits() == 0 {
            note(shared, "all connections (max_connections) are taken; further ones wait");
        }
        let place = tokio::select! {
            place = shared.connections.clone().acquire_owned() => place,
            () = &mut closing => break,
        };
        let accepted = tokio::select! {
            accepted = next() => accepted,
            () = &mut closing => break,
        };
        while tasks.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer, tls)) => {
                let shared = shared.clone();
                tasks.spawn(async move {
                    let _place = place;
                    add(&shared.owner.counters.connections, 1);
                    serve_one(stream, peer, tls, &shared).await;
                    shared.owner.counters.connections.fetch_sub(1, Relaxed);
                });
            }
            Err(error) => {
                note(shared, &format!("cannot accept a connection: {error}; it is tried again"));
                // Out of descriptors: others must end first.
                tokio::time::sleep(QUIET).await;
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn serve_one<S: AsyncRead + tokio::io::AsyncWrite + Unpin>(
    stream: S,
    peer: Option<IpAddr>,
    tls: Option<TlsAcceptor>,
    shared: &Shared,
) {
    let inlet = shared.peers.inlet(peer);
    match tls {
        None => connection(stream, &inlet, shared).await,
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => connection(stream, &inlet, shared).await,
            Ok(Err(error)) => refuse(shared, peer, &error.to_string()),
            Err(_) => refuse(shared, peer, "the handshake took too long"),
        },
    }
}

fn refuse(shared: &Shared, peer: Option<IpAddr>, why: &str) {
    add(&shared.owner.counters.refused_requests, 1);
    let peer = peer.map_or_else(|| "a local program".into(), |ip| ip.to_string());
    note(shared, &format!("no TLS with {peer}: {why}; nothing was taken from it"));
}

/// Reads a connection to its end, or at the stop until it is quiet.
async fn connection(mut stream: impl AsyncRead + Unpin, inlet: &Arc<Inlet>, shared: &Shared) {
    let mut frames = Frames::new(shared.owner.options.max_line_bytes);
    let mut closing = pin!(closed(&shared.closing));
    let mut until: Option<Instant> = None;
    loop {
        let room = frames.room(READ);
        let read = tokio::select! {
            read = stream.read(room) => read,
            () = &mut closing, if until.is_none() => {
                until = Some(Instant::now() + LAST);
                continue;
            }
            () = tokio::time::sleep(QUIET), if until.is_some() => break,
        };
        let n = match read {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) => {
                tracing::debug!("syslog: a connection broke off: {error}");
                break;
            }
        };
        let pieces = frames.read(n, &shared.owner.counters);
        if !take(&frames, pieces, inlet, shared).await || until.is_some_and(|until| Instant::now() > until) {
            return;
        }
    }
    let last = frames.end(&shared.owner.counters).into_iter().collect();
    take(&frames, last, inlet, shared).await;
}

/// Copies messages into one block (those that were cut aside) and hands it over. `false` when the agent stops.
async fn take(frames: &Frames, pieces: Vec<Piece>, inlet: &Arc<Inlet>, shared: &Shared) -> bool {
    let is_cut = |piece: &Piece| piece.flags.has(RunFlags::CUT);
    let mut events = Vec::new();
    for part in pieces.chunk_by(|a, b| !is_cut(a) && !is_cut(b)) {
        let total = part.iter().map(|p| p.end - p.start).sum();
        let Some(mut buffer) = shared.pump.buffer(total, None).await else {
            inlet.lost(part.len() as u64);
            return false;
        };
        let (mut lens, mut at, mut all) = (Vec::with_capacity(part.len() * 2), 0, part[0].flags.0);
        for piece in part {
            let bytes = frames.bytes(piece);
            buffer[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
            lens.extend_from_slice(&piece.lens);
            all &= piece.flags.0;
        }
        let filled = Filled { data: buffer.freeze(), lens: lens.into(), count: part.len() as u32, flags: RunFlags(all) };
        events.push((inlet.clone(), filled));
    }
    events.is_empty() || shared.pump.hand_over(events).await
}
