//! `sources.NAME` of the pushed kinds in the configuration.

use crate::process::before::BeforeQueue;
use crate::sink::Auth;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Options of a source that is pushed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushOptions {
    /// Name in the configuration.
    pub name: String,
    /// Topic for its records.
    pub topic: String,
    /// Longest event in bytes; of a longer one the first bytes are kept and the rest is counted.
    pub max_line_bytes: usize,
    /// Extra members of each document, as (dotted name, JSON value).
    pub fields: Vec<(String, String)>,
    /// The chain before the queue.
    pub process: Option<BeforeQueue>,
    /// The kind of source, with what only it knows.
    pub kind: PushKind,
}

/// The kinds of sources that are pushed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushKind {
    /// `type: stdin`.
    Stdin(StdinOptions),
    /// `type: http`.
    Http(HttpInputOptions),
    /// `type: syslog`.
    Syslog(SyslogOptions),
    /// `type: journald`.
    Journald(JournaldOptions),
}

impl PushOptions {
    /// The kind as it is configured, and where the events come from, for people.
    pub fn origin(&self) -> (&'static str, String) {
        match &self.kind {
            PushKind::Stdin(_) => ("stdin", "lines until its end".into()),
            PushKind::Syslog(syslog) => ("syslog", syslog.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
            PushKind::Journald(journal) => {
                let units = if journal.units.is_empty() { "all units".into() } else { journal.units.join(", ") };
                ("journald", format!("{units}, by {}", journal.journalctl_path.display()))
            }
            PushKind::Http(http) => ("http", http.url()),
        }
    }
}

/// `type: stdin`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StdinOptions {}

/// [`HttpInputOptions::max_body`] unless told otherwise: clients cut their `_bulk` at 5 MB where nobody tells them.
pub const MAX_BODY: usize = 6 << 20;

/// `type: http`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpInputOptions {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Largest body in bytes, as it is sent and as it is decompressed; [`MAX_BODY`] becomes a quarter of the queue's
    /// `buffer_memory` where that is less.
    pub max_body: usize,
    /// What senders must show.
    pub auth: Auth,
    /// With it, HTTPS.
    pub tls: Option<TlsServerOptions>,
    /// Most connections at a time; further ones wait.
    pub max_connections: usize,
}

impl HttpInputOptions {
    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http{}://{}", if self.tls.is_some() { "s" } else { "" }, self.listen)
    }
}

impl Default for HttpInputOptions {
    fn default() -> Self {
        HttpInputOptions {
            listen: SocketAddr::from(([127, 0, 0, 1], 9200)),
            max_body: MAX_BODY,
            auth: Auth::None,
            tls: None,
            max_connections: 256,
        }
    }
}

/// Where syslog messages come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogAddress {
    /// `udp://IP:PORT`.
    Udp(SocketAddr),
    /// `tcp://IP:PORT`.
    Tcp(SocketAddr),
    /// `tls://IP:PORT`.
    Tls(SocketAddr),
    /// `unix:PATH`: a stream socket.
    Unix(PathBuf),
    /// `unixgram:PATH`: a datagram socket, such as `/dev/log`.
    UnixDatagram(PathBuf),
}

impl fmt::Display for SyslogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SyslogAddress::Udp(at) => write!(f, "udp://{at}"),
            SyslogAddress::Tcp(at) => write!(f, "tcp://{at}"),
            SyslogAddress::Tls(at) => write!(f, "tls://{at}"),
            SyslogAddress::Unix(path) => write!(f, "unix:{}", path.display()),
            SyslogAddress::UnixDatagram(path) => write!(f, "unixgram:{}", path.display()),
        }
    }
}

/// The certificate that a listener shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsServerOptions {
    /// PEM file with the certificate and those between it and its CA.
    pub cert_file: PathBuf,
    /// PEM file with its key.
    pub key_file: PathBuf,
    /// PEM file with the CA whose certificates senders must show; `None`: none is asked for.
    pub ca_file: Option<PathBuf>,
}

/// `type: syslog`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogOptions {
    /// Where to listen.
    pub listen: Vec<SyslogAddress>,
    /// For `tls://`.
    pub tls: Option<TlsServerOptions>,
    /// Bytes that the kernel may hold of datagrams that are not read yet (`SO_RCVBUF`).
    pub receive_buffer: usize,
    /// Most connections at a time; further ones wait.
    pub max_connections: usize,
}

impl Default for SyslogOptions {
    fn default() -> Self {
        SyslogOptions { listen: Vec::new(), tls: None, receive_buffer: 4 << 20, max_connections: 256 }
    }
}

/// `type: journald`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournaldOptions {
    /// The program that reads the journal.
    pub journalctl_path: PathBuf,
    /// Units whose entries are taken; empty: all.
    pub units: Vec<String>,
    /// Folder of journal files, such as a host's that is mounted; `None`: the machine's own.
    pub directory: Option<PathBuf>,
    /// Whether the very first start begins with what comes from then on.
    pub start_at_end: bool,
}

impl Default for JournaldOptions {
    fn default() -> Self {
        JournaldOptions { journalctl_path: "journalctl".into(), units: Vec::new(), directory: None, start_at_end: false }
    }
}
