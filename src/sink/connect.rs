//! New connections: the name is resolved each time, its addresses race, then proxy and TLS.

use super::certificate::Validity;
use super::proxy::{Proxies, ProxyServer};
use super::tls::{Tls, tls_error};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

/// How long one address has before the next one is tried beside it (RFC 8305, 5).
const HEAD_START: Duration = Duration::from_millis(250);
/// How soon the kernel finds out that the other side is gone without a word.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A stream of bytes to a server.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type Addresses = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Looks up the addresses of a name.
pub(crate) type Resolve = Arc<dyn Fn(String, u16) -> Addresses + Send + Sync>;

/// The system's way: `/etc/hosts`, DNS. Nothing is kept.
pub(crate) fn system() -> Resolve {
    Arc::new(|host, port| Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) }))
}

/// A connection that is ready for requests.
pub(crate) struct Connected {
    pub io: Box<dyn Io>,
    /// The server's certificate.
    pub certificate: Option<Validity>,
    /// Of the TLS files that it was made with.
    pub generation: u64,
    /// A proxy that wants whole URLs and its own log-in with each request.
    pub proxy: Option<Arc<ProxyServer>>,
}

/// Makes the connections of a sink.
pub(crate) struct Connector {
    pub tls: Option<Tls>,
    pub proxies: Proxies,
    pub timeout: Duration,
    pub resolve: Resolve,
    /// Which of several addresses is the first.
    pub turn: AtomicUsize,
}

impl Connector {
    /// Connects to the host of a URL. The error says what the host does instead, to be put behind its name.
    pub async fn connect(&self, url: &Url) -> Result<Connected, String> {
        let mut missing = "no connection";
        let connected = timeout(self.timeout, self.connect_patiently(url, &mut missing)).await;
        connected.unwrap_or_else(|_| Err(format!("does not answer: {missing} within {} s", self.timeout.as_secs_f32())))
    }

    async fn connect_patiently(&self, url: &Url, missing: &mut &'static str) -> Result<Connected, String> {
        // Checked when the URL was.
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(443));
        let proxy = self.proxies.proxy_for(url);
        let mut stream = match proxy {
            None => self.tcp(host, port).await.map_err(|why| format!("does not answer: {why}"))?,
            Some(proxy) => self
                .tcp(&proxy.host, proxy.port)
                .await
                .map_err(|why| format!("cannot be reached: {} does not answer: {why}", proxy.name()))?,
        };
        let Some(tls) = self.tls.as_ref().filter(|_| url.scheme() == "https") else {
            return Ok(Connected { io: Box::new(stream), certificate: None, generation: 0, proxy: proxy.cloned() });
        };
        if let Some(proxy) = proxy {
            *missing = "no word of the proxy";
            proxy.tunnel(&mut stream, &format!("{host}:{port}")).await.map_err(|why| format!("cannot be reached: {why}"))?;
        }
        *missing = "it takes the connection, but there is no TLS handshake (does it speak TLS?)";
        let current = tls.current();
        let name = tls.server_name(host)?;
        let stream = TlsConnector::from(current.config).connect(name, stream).await.map_err(|error| match tls_error(&error) {
            Some(error) => format!("does not answer: TLS: {}", tls.explain(host, error)),
            None if error.kind() == io::ErrorKind::UnexpectedEof => {
                "does not answer: TLS: it closes the connection in the handshake (nothing there speaks TLS?)".to_string()
            }
            None => format!("does not answer: TLS: {error}"),
        })?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| Validity::of(chain.first()?));
        Ok(Connected { io: Box::new(stream), certificate, generation: current.generation, proxy: None })
    }

    async fn tcp(&self, host: &str, port: u16) -> Result<TcpStream, String> {
        let bare = host.trim_matches(['[', ']']);
        let mut addresses = (self.resolve)(bare.to_string(), port)
            .await
            .map_err(|e| format!("the name {bare:?} cannot be resolved ({e}): check the name, or the resolver of this system"))?;
        if addresses.is_empty() {
            return Err(format!("the name {bare:?} has no address"));
        }
        // Each new connection begins with another one; the system's order counts between IPv6 and IPv4.
        if addresses.iter().all(|a| a.is_ipv4() == addresses[0].is_ipv4()) {
            let turn = self.turn.fetch_add(1, Relaxed) % addresses.len();
            addresses.rotate_left(turn);
        }
        let stream = race(&addresses).await.map_err(|(address, error)| match error.kind() {
            io::ErrorKind::ConnectionRefused => format!("{address} refuses the connection: nothing listens there"),
            _ => format!("no connection to {address}: {error}"),
        })?;
        let keep_alive = socket2::TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE / 3);
        if let Err(error) = stream.set_nodelay(true).and_then(|()| socket2::SockRef::from(&stream).set_tcp_keepalive(&keep_alive)) {
            tracing::debug!("options of a connection to {host}: {error}");
        }
        Ok(stream)
    }
}

/// The first connection that comes about; the last error where none does.
async fn race(addresses: &[SocketAddr]) -> Result<TcpStream, (SocketAddr, io::Error)> {
    let (mut racing, mut rest) = (JoinSet::new(), addresses.iter().copied());
    let mut last = (addresses[0], io::Error::from(io::ErrorKind::NotConnected));
    loop {
        match rest.next() {
            Some(address) => {
                racing.spawn(async move { TcpStream::connect(address).await.map_err(|error| (address, error)) });
            }
            None if racing.is_empty() => return Err(last),
            None => {}
        }
        match timeout(HEAD_START, racing.join_next()).await {
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(error)))) => last = error,
            Ok(Some(Err(_)) | None) | Err(_) => {}
        }
    }
}
