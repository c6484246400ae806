//! Which servers are trusted, where it is not just what the system trusts.
//!
//! A certificate that is its own authority, as `openssl req -x509` makes it and many an Elasticsearch has one, says that it is an
//! authority's, and webpki takes none of these for a server's, whoever trusts it. OpenSSL and Go, and so most of what ships logs, take
//! one that stands itself in the file of what is trusted; so does this: where it is there byte for byte, its name and its dates are left
//! to check. Nothing is trusted for which this certificate would speak.

use super::certificate::Validity;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use std::sync::Arc;
use std::time::Duration;

/// Whose certificates are accepted.
#[derive(Debug)]
pub(super) enum Trust {
    /// `verify: false`. The handshake itself is still checked.
    Anybody,
    /// Of `tls.ca_file`: what webpki accepts by them, and servers that have one of them.
    Certificates { chains: Arc<WebPkiServerVerifier>, certificates: Vec<CertificateDer<'static>> },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) trust: Trust,
}

/// Whether an error says no more than that an authority's certificate was shown as a server's.
pub(super) fn is_authority(error: &rustls::Error) -> bool {
    // The reason is an error of webpki, which is nobody's business but rustls'.
    let shown = |other: &rustls::OtherError| format!("{other:?}").contains("CaUsedAsEndEntity");
    matches!(error, rustls::Error::InvalidCertificate(CertificateError::Other(other)) if shown(other))
}

fn in_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let Validity { from_ms, until_ms } = Validity::of(certificate).ok_or(CertificateError::BadEncoding)?;
    let at = |ms: u64| UnixTime::since_unix_epoch(Duration::from_millis(ms));
    if now < at(from_ms) {
        return Err(CertificateError::NotValidYetContext { time: now, not_before: at(from_ms) });
    }
    if now > at(until_ms) {
        return Err(CertificateError::ExpiredContext { time: now, not_after: at(until_ms) });
    }
    Ok(())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Trust::Certificates { chains, certificates } = &self.trust else { return Ok(ServerCertVerified::assertion()) };
        match chains.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(error) if is_authority(&error) && certificates.contains(certificate) => {
                in_time(certificate, now)?;
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
