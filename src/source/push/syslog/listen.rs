//! Sockets: bound before anything is served, so that a mistake is an error of the start.

use crate::source::push::options::{SyslogAddress, SyslogOptions};
use crate::source::push::tls;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UdpSocket, UnixDatagram, UnixListener};
use tokio_rustls::TlsAcceptor;

/// A bound socket.
pub(crate) enum Listener {
    Udp(UdpSocket),
    Tcp(TcpListener, Option<TlsAcceptor>),
    Unix(UnixListener, OwnedPath),
    UnixDatagram(UnixDatagram, OwnedPath),
}

/// A socket's file, which goes with it.
pub(crate) struct OwnedPath(PathBuf);

impl Drop for OwnedPath {
    fn drop(&mut self) {
        // What is gone already is right too.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Binds one address. To be called inside the runtime.
pub(crate) fn bind(address: &SyslogAddress, options: &SyslogOptions) -> io::Result<Listener> {
    Ok(match address {
        SyslogAddress::Udp(at) => {
            let socket = std::net::UdpSocket::bind(at)?;
            socket.set_nonblocking(true)?;
            let wanted = options.receive_buffer;
            let known = socket2::SockRef::from(&socket);
            known.set_recv_buffer_size(wanted)?;
            let got = known.recv_buffer_size()? / 2;
            if got < wanted {
                tracing::warn!(
                    "syslog on {address}: the kernel grants a receive buffer of {got} bytes instead of {wanted}; in bursts it drops \
                     datagrams earlier (counted). To have more: sysctl -w net.core.rmem_max={wanted}"
                );
            }
            Listener::Udp(UdpSocket::from_std(socket)?)
        }
        SyslogAddress::Tcp(at) => Listener::Tcp(tcp(at)?, None),
        SyslogAddress::Tls(at) => {
            let acceptor = options.tls.as_ref().map(tls::acceptor).transpose().map_err(io::Error::other)?;
            let acceptor = acceptor.ok_or_else(|| io::Error::other("there is no `tls: {cert_file: …, key_file: …}`"))?;
            Listener::Tcp(tcp(at)?, Some(acceptor))
        }
        SyslogAddress::Unix(path) => {
            remove_stale(path, |path| std::os::unix::net::UnixStream::connect(path).map(drop))?;
            Listener::Unix(UnixListener::bind(path)?, OwnedPath(path.clone()))
        }
        SyslogAddress::UnixDatagram(path) => {
            remove_stale(path, |path| std::os::unix::net::UnixDatagram::unbound()?.connect(path))?;
            Listener::UnixDatagram(UnixDatagram::bind(path)?, OwnedPath(path.clone()))
        }
    })
}

fn tcp(at: &std::net::SocketAddr) -> io::Result<TcpListener> {
    // As tokio's own `bind` does: a restart must not wait for old connections.
    let socket = if at.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(*at)?;
    socket.listen(1024)
}

/// After `kill -9` the file stands there without anybody behind it.
fn remove_stale(path: &Path, connect: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    if is_socket && connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
        std::fs::remove_file(path)?;
    }
    Ok(())
}
