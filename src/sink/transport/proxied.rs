//! Through an HTTP proxy of the test's own.

use super::tests::{ask, ok, options as connection, status};
use super::*;
use crate::config::Secret;
use crate::sink::testing::*;
use crate::sink::{Auth, ProxyOptions, TlsOptions};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// A proxy that connects all to one address, whatever it is asked for; returns its address and the heads it has read.
fn proxy(runtime: &Runtime, to: SocketAddr, log_in: Option<&'static str>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let (address, heads) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
    let all = heads.clone();
    runtime.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let all = all.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.ok()?);
                }
                let head = String::from_utf8(head).ok()?;
                all.lock().unwrap().push(head.clone());
                if log_in.is_some_and(|wanted| !head.contains(&format!("proxy-authorization: {wanted}\r\n"))) {
                    stream.write_all(b"HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n").await.ok()?;
                    return None;
                }
                let mut onward = TcpStream::connect(to).await.ok()?;
                match head.starts_with("CONNECT ") {
                    true => stream.write_all(b"HTTP/1.1 200 Connected\r\nvia: test\r\n\r\n").await.ok()?,
                    false => onward.write_all(head.as_bytes()).await.ok()?,
                }
                copy_bidirectional(&mut stream, &mut onward).await.ok()
            });
        }
    });
    (address, heads)
}

fn options(address: SocketAddr, password: Option<Secret>) -> ProxyOptions {
    let auth = password.map_or(Auth::None, |password| Auth::Basic { user: "me".into(), password });
    ProxyOptions::Url { url: format!("http://{address}"), auth }
}

fn client(url: &str, proxy: &ProxyOptions) -> Transport {
    // Names are the proxy's to resolve.
    let tls = TlsOptions { insecure: true, ..TlsOptions::default() };
    Transport::new("out", &[Url::parse(url).unwrap()], &connection(tls, proxy.clone()), 2).unwrap()
}

fn tls() -> Arc<rustls::ServerConfig> {
    let signed = rcgen::generate_simple_self_signed(vec!["search.invalid".to_string()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let builder = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Arc::new(builder.with_single_cert(vec![signed.cert.der().clone()], key).unwrap())
}

#[test]
fn https_goes_through_a_tunnel_with_a_log_in_that_the_server_does_not_see() {
    let runtime = runtime();
    let server = Server::start_at(&runtime, "127.0.0.1:0", Some(tls()), |_, _| ok());
    let (address, heads) = proxy(&runtime, server.url.trim_start_matches("https://").parse().unwrap(), Some("Basic bWU6c2VjcmV0"));
    let transport = client("https://search.invalid:9200", &options(address, Some("secret".into())));
    assert_eq!([(); 3].map(|()| status(&runtime, &transport, "https://search.invalid:9200/x")), [200; 3]);
    let heads = heads.lock().unwrap();
    assert_eq!(heads.len(), 1, "one tunnel: {heads:?}");
    assert!(heads[0].starts_with("CONNECT search.invalid:9200 HTTP/1.1\r\nhost: search.invalid:9200\r\n"), "{heads:?}");
    let seen = &server.requests()[0];
    assert_eq!(
        (seen.line.as_str(), seen.header("host"), seen.header("proxy-authorization")),
        ("POST /x HTTP/1.1", "search.invalid:9200", "")
    );
    assert_eq!(seen.server_name.as_deref(), Some("search.invalid"));
}

#[test]
fn http_is_asked_for_by_whole_urls() {
    let runtime = runtime();
    let server = Server::start(&runtime, |_, _| ok());
    let (address, heads) = proxy(&runtime, server.url.trim_start_matches("http://").parse().unwrap(), Some("Basic bWU6c2VjcmV0"));
    let transport = client("http://search.invalid:9200", &options(address, Some("secret".into())));
    assert_eq!([(); 2].map(|()| status(&runtime, &transport, "http://search.invalid:9200/x?y=z")), [200; 2]);
    assert_eq!(heads.lock().unwrap().len(), 1, "one connection");
    let seen = server.requests();
    assert!(seen.iter().all(|r| r.line == "POST http://search.invalid:9200/x?y=z HTTP/1.1" && r.header("host") == "search.invalid:9200"));
}

#[test]
fn a_log_in_that_the_proxy_refuses_is_told_and_mended_without_a_restart() {
    let runtime = runtime();
    for (scheme, tls) in [("http", None), ("https", Some(tls()))] {
        let server = Server::start_at(&runtime, "127.0.0.1:0", tls, |_, _| ok());
        let (address, _) = proxy(&runtime, server.url.rsplit('/').next().unwrap().parse().unwrap(), Some("Basic bWU6c2VjcmV0"));
        let url = format!("{scheme}://search.invalid:9200");
        let said = ask(&runtime, &client(&url, &options(address, None)), &url).unwrap_err();
        assert_eq!(said.reason, format!("cannot be reached: the proxy {address} wants a log-in (407); set user and password under proxy"));
        assert!(said.unsent);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "wrong").unwrap();
        let transport = client(&url, &options(address, Secret::from_text(&format!("${{file:{}}}", path.display()))));
        let said = ask(&runtime, &transport, &url).unwrap_err();
        assert_eq!(
            said.reason,
            format!("cannot be reached: the proxy {address} does not accept the log-in (407); check user and password under proxy")
        );
        std::fs::write(&path, "secret\n").unwrap();
        let until = Instant::now() + PATIENCE;
        while ask(&runtime, &transport, &url).is_err() {
            assert!(Instant::now() < until);
        }
    }
}

#[test]
fn a_proxy_that_is_none_is_told() {
    let runtime = runtime();
    let server = Server::start(&runtime, |_, _| Reply::Answer(503, &[], String::new()));
    let not_one: SocketAddr = server.url.trim_start_matches("http://").parse().unwrap();
    let url = "https://search.invalid:9200";
    let said = ask(&runtime, &client(url, &options(not_one, None)), url).unwrap_err().reason;
    assert_eq!(
        said,
        format!("cannot be reached: the proxy {not_one} makes no connection to search.invalid:9200: it answers HTTP/1.1 503 X")
    );
    let nobody: SocketAddr = format!("127.0.0.2:{}", not_one.port()).parse().unwrap();
    let said = ask(&runtime, &client(url, &options(nobody, None)), url).unwrap_err().reason;
    assert_eq!(
        said,
        format!("cannot be reached: the proxy {nobody} does not answer: {nobody} refuses the connection: nothing listens there")
    );
}
