//! TLS of the HTTP sinks: which servers are trusted, which certificate is shown, what went wrong in words; and files that
//! are renewed while the agent runs.

use super::certificate::{Validity, day};
use super::trusted::{Trust, Verifier, is_authority};
use super::watched::Watched;
use crate::queue::now_ms;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// `1.2`.
    #[default]
    V12,
    /// `1.3`.
    V13,
}

/// TLS of an HTTP client; verified unless told otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TlsOptions {
    /// PEM file of the certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client's certificate chain.
    pub cert_file: Option<PathBuf>,
    /// PEM file of the client's key.
    pub key_file: Option<PathBuf>,
    /// Name that is asked for (SNI) and that the certificate must have, where it is another than the URL's.
    pub server_name: Option<String>,
    /// See [`TlsVersion`].
    pub min_version: TlsVersion,
    /// `verify: false` accepts any certificate (said loudly at each start).
    pub insecure: bool,
}

/// What connections are made with at the moment.
#[derive(Clone)]
pub(crate) struct Current {
    pub config: Arc<ClientConfig>,
    /// Another number for other files.
    pub generation: u64,
}

struct State {
    current: Current,
    watched: Watched,
    /// That of the client's own certificate.
    own: Option<Validity>,
    /// Why the files that are there now are not used.
    trouble: Option<String>,
}

/// TLS of one sink, made anew when its files change.
pub(crate) struct Tls {
    sink: String,
    options: TlsOptions,
    state: Mutex<State>,
}

impl Tls {
    /// # Errors
    /// What is wrong with which file.
    pub fn new(sink: &str, options: &TlsOptions) -> Result<Tls, String> {
        let files = [&options.ca_file, &options.cert_file, &options.key_file];
        let watched = Watched::new(files.into_iter().flatten().cloned().collect());
        let (config, own) = build(options)?;
        if options.insecure {
            tracing::warn!("sink {sink}: verify: false: any certificate is accepted, so anybody on the way can read and change the logs");
        }
        let state = Mutex::new(State { current: Current { config, generation: 0 }, watched, own, trouble: None });
        let tls = Tls { sink: sink.to_string(), options: options.clone(), state };
        tls.notices().iter().for_each(|notice| tracing::warn!("sink {sink}: {notice}"));
        Ok(tls)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// What to connect with, after a look at the files. Those that cannot be used (a certificate that is there before its key)
    /// leave what was.
    pub fn current(&self) -> Current {
        let mut state = self.state();
        if state.watched.changed(false) {
            match build(&self.options) {
                Ok((config, own)) => {
                    state.current = Current { config, generation: state.current.generation + 1 };
                    (state.own, state.trouble) = (own, None);
                    tracing::info!("sink {}: the TLS files have changed and are read again", self.sink);
                }
                Err(reason) => {
                    if state.trouble.as_ref() != Some(&reason) {
                        tracing::warn!("sink {}: the TLS files have changed, but: {reason}; those from before are used on", self.sink);
                    }
                    state.trouble = Some(reason);
                    // For want of a descriptor, say, it may be no fault of theirs.
                    state.watched.look_again();
                }
            }
        }
        state.current.clone()
    }

    /// What somebody should know: a certificate of our own that ends, files that cannot be used.
    pub fn notices(&self) -> Vec<String> {
        let (state, now) = (self.state(), now_ms());
        let own = state.own.filter(|own| own.ends_soon(now)).zip(self.options.cert_file.as_ref());
        let own = own.map(|(own, path)| {
            format!("the certificate in {} {}; renew it: it is read again without a restart", path.display(), own.words(now))
        });
        let trouble = state.trouble.as_ref().map(|why| format!("the TLS files cannot be read again, those from before are used on: {why}"));
        own.into_iter().chain(trouble).collect()
    }

    /// The name to ask for and to verify, for a URL's host.
    pub fn server_name(&self, host: &str) -> Result<ServerName<'static>, String> {
        let name = self.options.server_name.as_deref().unwrap_or(host);
        let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
        ServerName::try_from(bare.to_string()).map_err(|_| format!("{name:?} is no name that a certificate could have"))
    }

    /// Why there is no TLS with the server `host`, and what is most likely to be done about it.
    pub fn explain(&self, host: &str, error: &rustls::Error) -> String {
        use CertificateError as C;
        let wanted = self.options.server_name.as_deref().unwrap_or(host);
        let at = |time: &UnixTime| time.as_secs().saturating_mul(1000);
        let remedy = match error {
            rustls::Error::InvalidCertificate(C::ExpiredContext { not_after, .. }) => {
                let ends = Validity { from_ms: 0, until_ms: at(not_after) };
                return format!(
                    "its certificate (or that of its authority) {}: renew it there, or set this machine's clock right",
                    ends.words(now_ms())
                );
            }
            rustls::Error::InvalidCertificate(C::NotValidYetContext { not_before, .. }) => {
                return format!("its certificate is not valid before {}: set the clocks right, there or here", day(at(not_before)));
            }
            rustls::Error::InvalidCertificate(C::UnknownIssuer) => {
                return match &self.options.ca_file {
                    None => "its certificate is of no authority that this system knows: set tls.ca_file to the PEM file of its authority"
                        .to_string(),
                    Some(file) => format!("its certificate is not of the authority in {} (tls.ca_file)", file.display()),
                };
            }
            rustls::Error::InvalidCertificate(C::NotValidForNameContext { presented, .. }) => {
                let names = if presented.is_empty() { "no name at all".to_string() } else { presented.join(", ") };
                return format!(
                    "its certificate is not for {wanted}, but for {}: set tls.server_name to the name that it has, or correct the URL",
                    super::transport::excerpt(&names)
                );
            }
            error if is_authority(error) => {
                return match &self.options.ca_file {
                    None => "its certificate is its own authority: put it into a PEM file, and set tls.ca_file to that".to_string(),
                    Some(file) => format!("its certificate is its own authority, and does not stand in {} (tls.ca_file)", file.display()),
                };
            }
            rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
                "nothing there speaks TLS: http:// instead of https://?"
            }
            rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
                "it wants a certificate of ours: set tls.cert_file and tls.key_file"
            }
            rustls::Error::AlertReceived(
                AlertDescription::BadCertificate
                | AlertDescription::UnknownCA
                | AlertDescription::CertificateUnknown
                | AlertDescription::AccessDenied,
            ) => "it does not accept our certificate: check tls.cert_file",
            rustls::Error::AlertReceived(AlertDescription::CertificateExpired) => "our certificate has expired: renew tls.cert_file",
            rustls::Error::AlertReceived(AlertDescription::UnrecognisedName) => "it does not know this name: check tls.server_name",
            rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) | rustls::Error::PeerIncompatible(_) => {
                "it speaks no version of TLS that we do: see tls.min_version"
            }
            _ => return error.to_string(),
        };
        format!("{error} ({remedy})")
    }
}

/// The rustls error in an error or its causes.
pub(crate) fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An I/O error passes over what it holds when it is asked for its source.
        next = match error.downcast_ref::<std::io::Error>().and_then(|e| e.get_ref()) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn build(options: &TlsOptions) -> Result<(Arc<ClientConfig>, Option<Validity>), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = match options.min_version {
        TlsVersion::V12 => rustls::ALL_VERSIONS,
        TlsVersion::V13 => &[&rustls::version::TLS13],
    };
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).map_err(|e| e.to_string())?;
    // A file that is wrong is told of, also where it is not used.
    let own_roots = options.ca_file.as_deref().map(roots).transpose()?;
    let trust = match own_roots {
        _ if options.insecure => Some(Trust::Anybody),
        None => None,
        Some((roots, certificates)) => {
            let chains =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().map_err(|e| e.to_string())?;
            Some(Trust::Certificates { chains, certificates })
        }
    };
    let builder = match trust {
        Some(trust) => builder.dangerous().with_custom_certificate_verifier(Arc::new(Verifier { provider, trust })),
        None => builder.with_root_certificates(system_roots()?),
    };
    let (mut config, own) = match (&options.cert_file, &options.key_file) {
        (Some(cert), Some(key)) => {
            let chain = certificates(cert)?;
            let own = chain.first().and_then(Validity::of);
            let unreadable = |e: &dyn std::fmt::Display| format!("{} holds no private key (expected PEM): {e}", key.display());
            let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|e| unreadable(&e))?;
            let config = builder
                .with_client_auth_cert(chain, private)
                .map_err(|e| format!("{} and {} are no certificate with its key: {e}", cert.display(), key.display()))?;
            (config, own)
        }
        (None, None) => (builder.with_no_client_auth(), None),
        _ => return Err("cert_file and key_file belong together, but only one of them is set".into()),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), own))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match found {
        Ok(found) if found.is_empty() => Err(format!("{} holds no certificate (expected PEM)", path.display())),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("{} holds no usable certificates (expected PEM): {error}", path.display())),
    }
}

/// Those whose word is trusted, and their certificates.
fn roots(path: &Path) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), String> {
    let (mut roots, certificates) = (RootCertStore::empty(), certificates(path)?);
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|e| format!("{} holds no usable certificates (expected PEM): {e}", path.display()))?;
    }
    Ok((roots, certificates))
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems carry some that are too odd to be of use.
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable > 0 {
        return Ok(roots);
    }
    let why = found.errors.first().map_or_else(String::new, |e| format!(" ({e})"));
    Err(format!("this system has no certificate authorities{why}: install ca-certificates, or set tls.ca_file"))
}
