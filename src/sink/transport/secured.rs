//! TLS against servers with certificates of the test's own.

use super::tests::{ask, ok, options, status};
use super::*;
use crate::queue::now_ms;
use crate::sink::testing::*;
use crate::sink::tls::TlsVersion;
use crate::sink::{ProxyOptions, TlsOptions};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Runtime;

const DAY: u64 = 86_400;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Authority { certificate: certificate.der().clone(), pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    /// Certificate and key in PEM for a name, valid from so many days ago for so many days.
    fn issue(&self, name: &str, ago: u64, days: u64) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_string()]).unwrap();
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(now_ms() / 1000 - ago * DAY);
        params.not_after = params.not_before + Duration::from_secs(days * DAY);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// A server's TLS with this certificate; senders must show one of `senders`.
    fn server(
        &self,
        (certificate, key): (String, String),
        senders: Option<&Authority>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).unwrap();
        let builder = match senders {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.certificate.clone()).unwrap();
                builder.with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap())
            }
        };
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        Arc::new(builder.with_single_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap())
    }
}

fn serve(runtime: &Runtime, config: Arc<ServerConfig>) -> Server {
    Server::start_at(runtime, "127.0.0.1:0", Some(config), |_, _| ok())
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    /// Exchanges a file at once, as those do that renew certificates.
    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(path.with_extension("new"), text).unwrap();
        std::fs::rename(path.with_extension("new"), &path).unwrap();
        path
    }
}

fn client(url: &str, tls: &TlsOptions) -> Transport {
    Transport::new("out", &[Url::parse(url).unwrap()], &options(tls.clone(), ProxyOptions::None), 2).unwrap()
}

fn trusting(ca: &Path) -> TlsOptions {
    TlsOptions { ca_file: Some(ca.into()), ..TlsOptions::default() }
}

fn refusal(runtime: &Runtime, transport: &Transport, url: &str) -> String {
    ask(runtime, transport, url).unwrap_err().reason
}

/// Asks until what is said has `words`: with TLS 1.3 a refused certificate may look like a connection that breaks off.
fn refused(runtime: &Runtime, transport: &Transport, url: &str, words: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        let said = refusal(runtime, transport, url);
        if said.contains(words) {
            return;
        }
        assert!(Instant::now() < until, "{said}");
    }
}

/// Asks until there is an answer.
fn until_answered(runtime: &Runtime, transport: &Transport, url: &str) {
    let until = Instant::now() + PATIENCE;
    while let Err(error) = ask(runtime, transport, url) {
        assert!(Instant::now() < until, "{error}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_authority_of_ones_own_and_what_is_said_without_it() {
    let (runtime, files, authority) = (runtime(), Files::new(), Authority::new("ours"));
    let server = serve(&runtime, authority.server(authority.issue("127.0.0.1", 1, 365), None, rustls::ALL_VERSIONS));
    let tls = trusting(&files.put("ca.pem", &authority.pem));
    let transport = client(&server.url, &tls);
    assert_eq!([(); 3].map(|()| status(&runtime, &transport, &server.url)), [200; 3]);
    assert!(transport.notices().is_empty(), "{:?}", transport.notices());
    assert!(server.requests().iter().all(|r| r.connection == 0), "one handshake");
    let other = trusting(&files.put("other.pem", &Authority::new("theirs").pem));
    let said = refusal(&runtime, &client(&server.url, &other), &server.url);
    assert_eq!(
        said,
        format!(
            "does not answer: TLS: its certificate is not of the authority in {} (tls.ca_file)",
            other.ca_file.as_ref().unwrap().display()
        )
    );
    let insecure = TlsOptions { insecure: true, ..other };
    assert_eq!(status(&runtime, &client(&server.url, &insecure), &server.url), 200);
    let plain = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("https://{}", plain.local_addr().unwrap());
    runtime.spawn(async move {
        let (mut stream, _) = plain.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        // Until the client has read it: a reset would overtake it.
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut Vec::new()).await;
    });
    let said = refusal(&runtime, &client(&url, &tls), &url);
    assert!(said.ends_with("(nothing there speaks TLS: http:// instead of https://?)"), "{said}");
}

/// A certificate for `name` that is its own authority, valid from so many days ago for a year, and its key.
fn own_authority(name: &str, ago: u64) -> (String, String) {
    let mut params = CertificateParams::new(vec![name.to_string()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(now_ms() / 1000 - ago * DAY);
    params.not_after = params.not_before + Duration::from_secs(365 * DAY);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn a_certificate_that_is_its_own_authority_is_trusted_where_it_stands_in_the_file_itself() {
    let (runtime, files, authority) = (runtime(), Files::new(), Authority::new("ours"));
    let (certificate, key) = own_authority("127.0.0.1", 1);
    let tls = trusting(&files.put("self.pem", &certificate));
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let server = serve(&runtime, authority.server((certificate.clone(), key.clone()), None, versions));
        assert_eq!(status(&runtime, &client(&server.url, &tls), &server.url), 200);
        // One that looks the same, and no file at all.
        let other = trusting(&files.put("other.pem", &own_authority("127.0.0.1", 1).0));
        let said = refusal(&runtime, &client(&server.url, &other), &server.url);
        assert_eq!(
            said,
            format!(
                "does not answer: TLS: its certificate is its own authority, and does not stand in {} (tls.ca_file)",
                other.ca_file.unwrap().display()
            )
        );
        let said = refusal(&runtime, &client(&server.url, &TlsOptions::default()), &server.url);
        assert_eq!(said, "does not answer: TLS: its certificate is its own authority: put it into a PEM file, and set tls.ca_file to that");
    }
    let all = rustls::ALL_VERSIONS;
    for (name, ago, said) in [
        ("search.internal", 1, "its certificate is not for 127.0.0.1, but for DnsName(\"search.internal\")"),
        ("127.0.0.1", 375, "its certificate (or that of its authority) expired 10 days ago"),
    ] {
        let (certificate, key) = own_authority(name, ago);
        let tls = trusting(&files.put("self.pem", &certificate));
        let server = serve(&runtime, authority.server((certificate, key), None, all));
        let got = refusal(&runtime, &client(&server.url, &tls), &server.url);
        assert!(got.contains(said), "{got}");
    }
    // It speaks for no other: one that it signed is judged as any.
    let (certificate, _) = own_authority("127.0.0.1", 1);
    let server = serve(&runtime, authority.server(authority.issue("127.0.0.1", 1, 365), None, all));
    let said = refusal(&runtime, &client(&server.url, &trusting(&files.put("self.pem", &certificate))), &server.url);
    assert!(said.contains("its certificate is not of the authority in"), "{said}");
}

#[test]
fn the_name_of_the_certificate_may_be_another_than_that_of_the_url() {
    let (runtime, files, authority) = (runtime(), Files::new(), Authority::new("ours"));
    let server = serve(&runtime, authority.server(authority.issue("search.internal", 1, 365), None, rustls::ALL_VERSIONS));
    let tls = trusting(&files.put("ca.pem", &authority.pem));
    let said = refusal(&runtime, &client(&server.url, &tls), &server.url);
    assert!(said.contains("its certificate is not for 127.0.0.1, but for"), "{said}");
    assert!(
        said.contains("search.internal") && said.ends_with("set tls.server_name to the name that it has, or correct the URL"),
        "{said}"
    );
    let named = TlsOptions { server_name: Some("search.internal".into()), ..tls };
    assert_eq!(status(&runtime, &client(&server.url, &named), &server.url), 200);
    assert_eq!(server.requests()[0].server_name.as_deref(), Some("search.internal"));
    assert_eq!(server.requests()[0].header("host"), server.url.trim_start_matches("https://"));
}

#[test]
fn a_certificate_that_ends_is_told_of_before_and_after() {
    let (runtime, files, authority) = (runtime(), Files::new(), Authority::new("ours"));
    let tls = trusting(&files.put("ca.pem", &authority.pem));
    let soon = serve(&runtime, authority.server(authority.issue("127.0.0.1", 352, 365), None, rustls::ALL_VERSIONS));
    let transport = client(&soon.url, &tls);
    assert_eq!(status(&runtime, &transport, &soon.url), 200);
    let ends = transport.certificate_ends_ms(&Url::parse(&soon.url).unwrap()).unwrap();
    let date = super::super::certificate::day(ends);
    assert_eq!(transport.notices(), [format!("the certificate of {} expires in 12 days ({date}); renew it there", soon.url)]);
    let gone = serve(&runtime, authority.server(authority.issue("127.0.0.1", 20, 10), None, rustls::ALL_VERSIONS));
    let said = refusal(&runtime, &client(&gone.url, &tls), &gone.url);
    assert!(said.contains("its certificate (or that of its authority) expired 10 days ago"), "{said}");
    assert!(said.ends_with("renew it there, or set this machine's clock right"), "{said}");
}

#[test]
fn a_client_certificate_that_is_renewed_is_used_without_a_restart() {
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let (runtime, files) = (runtime(), Files::new());
        let (authority, senders) = (Authority::new("ours"), Authority::new("senders"));
        let server = serve(&runtime, authority.server(authority.issue("127.0.0.1", 1, 365), Some(&senders), versions));
        let tls = trusting(&files.put("ca.pem", &authority.pem));
        refused(&runtime, &client(&server.url, &tls), &server.url, "set tls.cert_file and tls.key_file");
        // First one of the wrong authority, that ends soon.
        let (certificate, key) = authority.issue("web-1", 355, 365);
        let tls = TlsOptions { cert_file: Some(files.put("tls.crt", &certificate)), key_file: Some(files.put("tls.key", &key)), ..tls };
        let transport = client(&server.url, &tls);
        refused(&runtime, &transport, &server.url, "check tls.cert_file");
        assert!(transport.notices()[0].contains("tls.crt expires in 9 days"), "{:?}", transport.notices());
        // The certificate is there before its key: what was is used on.
        let (certificate, key) = senders.issue("web-1", 1, 365);
        files.put("tls.crt", &certificate);
        let until = Instant::now() + PATIENCE;
        while !transport.notices().iter().any(|n| n.contains("are no certificate with its key")) {
            let said = refusal(&runtime, &transport, &server.url);
            assert!(Instant::now() < until, "{said}; {:?}", transport.notices());
        }
        files.put("tls.key", &key);
        until_answered(&runtime, &transport, &server.url);
        assert!(transport.notices().is_empty(), "{:?}", transport.notices());
    }
}

#[test]
fn an_authority_that_is_renewed_is_trusted_without_a_restart() {
    let (runtime, files, authority) = (runtime(), Files::new(), Authority::new("new"));
    let server = serve(&runtime, authority.server(authority.issue("127.0.0.1", 1, 365), None, rustls::ALL_VERSIONS));
    let transport = client(&server.url, &trusting(&files.put("ca.pem", &Authority::new("old").pem)));
    assert!(ask(&runtime, &transport, &server.url).is_err());
    files.put("ca.pem", &authority.pem);
    until_answered(&runtime, &transport, &server.url);
}

#[test]
fn an_old_version_of_tls_can_be_refused() {
    let (runtime, files, authority) = (runtime(), Files::new(), Authority::new("ours"));
    let server = serve(&runtime, authority.server(authority.issue("127.0.0.1", 1, 365), None, &[&rustls::version::TLS12]));
    let tls = trusting(&files.put("ca.pem", &authority.pem));
    assert_eq!(status(&runtime, &client(&server.url, &tls), &server.url), 200);
    let strict = TlsOptions { min_version: TlsVersion::V13, ..tls };
    let said = refusal(&runtime, &client(&server.url, &strict), &server.url);
    assert!(said.ends_with("(it speaks no version of TLS that we do: see tls.min_version)"), "{said}");
}

#[test]
fn files_that_cannot_be_used_are_told_of_at_the_start() {
    let (files, authority) = (Files::new(), Authority::new("ours"));
    let error = |tls: TlsOptions| match Transport::new("out", &[Url::parse("https://a").unwrap()], &options(tls, ProxyOptions::None), 1) {
        Err(error) => error.to_string().replace(&files.0.path().display().to_string(), "DIR"),
        Ok(_) => panic!("it is taken"),
    };
    insta::assert_snapshot!(error(trusting(&files.put("empty.pem", "no PEM"))), @"sink out: TLS: DIR/empty.pem holds no certificate (expected PEM)");
    let (certificate, key) = authority.issue("a", 1, 10);
    let (certificate, key) = (files.put("a.crt", &certificate), files.put("a.key", &key));
    let pair = |cert: &Path, key: &Path| TlsOptions {
        cert_file: Some(cert.into()),
        key_file: Some(key.into()),
        ..trusting(&files.put("ca.pem", &authority.pem))
    };
    insta::assert_snapshot!(error(TlsOptions { key_file: None, ..pair(&certificate, &key) }), @"sink out: TLS: cert_file and key_file belong together, but only one of them is set");
    let other = files.put("b.key", &authority.issue("a", 1, 10).1);
    insta::assert_snapshot!(error(pair(&certificate, &other)), @"sink out: TLS: DIR/a.crt and DIR/b.key are no certificate with its key: keys may not be consistent: KeyMismatch");
    insta::assert_snapshot!(error(pair(&certificate, &certificate)), @"sink out: TLS: DIR/a.crt holds no private key (expected PEM): no items found");
}
