//! What the listeners have in common: the server's side of TLS, and peers that vanish.

use crate::source::push::options::TlsServerOptions;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// Has the kernel find out when the other side is gone without a word, so that its place becomes free.
pub(crate) fn keep_alive(stream: &TcpStream) {
    let often = socket2::TcpKeepalive::new().with_time(Duration::from_secs(60));
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_keepalive(&often) {
        tracing::debug!("no keep-alive for a connection: {error}");
    }
}

/// An acceptor with the certificate and key of `options`; with `ca_file`, senders must show a certificate of that CA.
///
/// # Errors
/// What is wrong with which file.
pub(crate) fn acceptor(options: &TlsServerOptions) -> Result<TlsAcceptor, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificates = certificates(&options.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&options.key_file)
        .map_err(|e| format!("{} holds no private key in PEM: {e}", options.key_file.display()))?;
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let builder = match &options.ca_file {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for certificate in self::certificates(file)? {
                roots.add(certificate).map_err(|e| format!("{}: {e}", file.display()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| format!("{}: {e}", file.display()))?)
        }
    };
    let mut config = builder
        .with_single_cert(certificates, key)
        .map_err(|e| format!("{} and {} do not fit: {e}", options.cert_file.display(), options.key_file.display()))?;
    // Senders of syslog only write. A ticket that one has not read when it closes makes its kernel send a reset, and ours
    // then drops what was not read yet.
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bad = |e: &dyn std::fmt::Display| format!("{} holds no certificates in PEM: {e}", file.display());
    let found: Vec<_> = CertificateDer::pem_file_iter(file).map_err(|e| bad(&e))?.collect::<Result<_, _>>().map_err(|e| bad(&e))?;
    if found.is_empty() { Err(bad(&"it has none")) } else { Ok(found) }
}
