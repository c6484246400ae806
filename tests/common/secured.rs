//! A real search server with TLS and users: who and where by variables, and what it is asked by a test.

use super::http;
use super::machine;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use std::io;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// `FOREBAY_TEST_SECURED=https://…`, with `_CA` (a PEM file), `_USER` and `_PASSWORD`.
pub struct Secured {
    pub url: String,
    pub ca: PathBuf,
    pub user: String,
    pub password: String,
}

impl Secured {
    /// `None`, and said so, where none is named.
    pub fn named(test: &str) -> Option<Secured> {
        let var = |end: &str| std::env::var(format!("FOREBAY_TEST_SECURED{end}")).ok().filter(|v| !v.is_empty());
        let Some(url) = var("") else {
            machine::skipped(test, "set FOREBAY_TEST_SECURED=https://host:port, and …_CA, …_USER and …_PASSWORD");
            return None;
        };
        let with = |end: &str| var(end).unwrap_or_else(|| panic!("FOREBAY_TEST_SECURED{end} is not set"));
        Some(Secured {
            url: url.trim_end_matches('/').to_string(),
            ca: with("_CA").into(),
            user: with("_USER"),
            password: with("_PASSWORD"),
        })
    }

    /// One request as the user; status and body.
    pub fn request(&self, method: &str, path: &str, json: Option<&str>) -> (u16, Vec<u8>) {
        let host = self.url.strip_prefix("https://").expect("https://");
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&self.ca).expect("a PEM file") {
            roots.add(certificate.expect("a certificate")).expect("a CA");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).to_string();
        let name = ServerName::try_from(name).expect("a name");
        let stream = TcpStream::connect(host).expect("the server is there");
        stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a time-out");
        let client = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut stream = rustls::StreamOwned::new(client, stream);
        let log_in = format!("authorization: Basic {}\r\n", base64(format!("{}:{}", self.user, self.password).as_bytes()));
        let url = format!("{}{path}", self.url);
        let head = http::head(method, host, path, &log_in, json.unwrap_or_default().len());
        let answer = http::exchange(&mut stream, &[head.as_bytes(), json.unwrap_or_default().as_bytes()].concat());
        answer
            .and_then(|answer| http::parse(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into()))
            .unwrap_or_else(|e| panic!("{method} {url}: {e}"))
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let triple = |chunk: &[u8]| {
        let word = (0..3).fold(0u32, |word, i| word << 8 | u32::from(chunk.get(i).copied().unwrap_or(0)));
        let character = |i: usize| if i <= chunk.len() { ALPHABET[(word >> (18 - 6 * i)) as usize & 63] as char } else { '=' };
        (0..4).map(character).collect::<String>()
    };
    bytes.chunks(3).map(triple).collect()
}
