//! Servers whose certificate is its own authority, as `openssl req -x509` makes them, and as many an Elasticsearch has one.
//!
//! Such a certificate says that it is an authority's, and webpki takes none of these for a server's, whoever trusts it. OpenSSL and
//! Go, and so most of what ships logs, take one that stands itself in the file of what is trusted; so does this: where it is there
//! byte for byte, its name and its dates are left to check. Nothing is trusted for which this certificate would speak.

use super::certificate::Validity;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use std::sync::Arc;
use std::time::Duration;

/// What webpki accepts, and besides it servers with one of the certificates of `tls.ca_file`.
#[derive(Debug)]
pub(super) struct Trusted {
    pub(super) chains: Arc<WebPkiServerVerifier>,
    pub(super) certificates: Vec<CertificateDer<'static>>,
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

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.chains.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(error) if is_authority(&error) && self.certificates.contains(certificate) => {
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
        self.chains.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}
