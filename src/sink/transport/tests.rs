use super::*;
use crate::sink::connect::Resolve;
use crate::sink::testing::*;
use crate::sink::{ProxyOptions, TlsOptions};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use tokio::runtime::Runtime;

#[test]
fn words_of_a_receiver_are_made_safe_to_show() {
    assert_eq!(excerpt(" a\r\n\tb\u{1b}[31m  c "), "a b [31m c");
    assert_eq!(excerpt(&"é".repeat(400)).chars().count(), 301);
    assert_eq!(
        without_values("failed to parse field [n] of type [long] in document with id 'x'. Preview of field's value: 'secret'"),
        "failed to parse field [n] of type [long] in document with id …"
    );
    assert_eq!(without_values("For input string: \"secret\""), "For input string: …");
    assert_eq!(without_values("the field's type is unknown"), "the field's type is unknown");
}

/// A connection without a log-in.
pub(super) fn options(tls: TlsOptions, proxy: ProxyOptions) -> ConnectionOptions {
    ConnectionOptions { tls, proxy, timeout: PATIENCE, ..ConnectionOptions::default() }
}

fn plain(url: &str, proxy: &ProxyOptions) -> Transport {
    let url = Url::parse(url).unwrap();
    Transport::new("out", &[url], &options(TlsOptions::default(), proxy.clone()), 2).unwrap()
}

/// Asks a URL; status, or what is said where there is no answer.
pub(super) fn ask(runtime: &Runtime, transport: &Transport, url: &str) -> Result<Answer, NoAnswer> {
    let url = Url::parse(url).unwrap();
    runtime.block_on(transport.send(Method::POST, url, HeaderMap::new(), Bytes::from_static(b"body")))
}

pub(super) fn status(runtime: &Runtime, transport: &Transport, url: &str) -> u16 {
    ask(runtime, transport, url).unwrap().status
}

pub(super) fn ok() -> Reply {
    Reply::Answer(200, &[], "fine".into())
}

/// Names lead to these addresses.
fn resolver(addresses: impl Fn() -> Vec<SocketAddr> + Send + Sync + 'static) -> Resolve {
    Arc::new(move |_, _| {
        let found = addresses();
        Box::pin(async move { Ok(found) })
    })
}

fn address(server: &Server) -> SocketAddr {
    server.url.trim_start_matches("http://").parse().unwrap()
}

#[test]
fn a_connection_is_used_again_and_the_request_is_as_told() {
    let runtime = runtime();
    let server = Server::start(&runtime, |_, _| ok());
    let transport = plain(&server.url, &ProxyOptions::None);
    for _ in 0..20 {
        assert_eq!(status(&runtime, &transport, &format!("{}/a/b?c=d", server.url)), 200);
    }
    let seen = server.requests();
    assert!(seen.iter().all(|r| r.connection == 0), "{} connections", seen.last().unwrap().connection + 1);
    let host = server.url.trim_start_matches("http://");
    assert_eq!((seen[0].line.as_str(), seen[0].header("host"), &seen[0].body[..]), ("POST /a/b?c=d HTTP/1.1", host, &b"body"[..]));
}

#[test]
fn a_connection_that_the_server_closes_while_it_is_idle_is_no_failure() {
    let runtime = runtime();
    // Every other request comes over a connection that is closed as it arrives.
    let server = Server::start(&runtime, |n, _| if n % 2 == 1 { Reply::Reset } else { ok() });
    let transport = plain(&server.url, &ProxyOptions::None);
    let answers: Vec<Answer> = (0..4).map(|_| ask(&runtime, &transport, &server.url).unwrap()).collect();
    assert!(!answers[0].resent && answers[1..].iter().all(|a| a.resent), "it may have arrived, and that is said");
    assert_eq!(server.requests().len(), 7);
    // For a receiver that may take it twice that is not done.
    let once = |transport: &Transport| {
        let url = Url::parse(&server.url).unwrap();
        runtime.block_on(transport.send_once(Method::POST, url, HeaderMap::new(), Bytes::from_static(b"body")))
    };
    let transport = plain(&server.url, &ProxyOptions::None);
    assert!(once(&transport).is_err_and(|e| !e.unsent), "the eighth request comes over a new connection and is cut");
    assert!(once(&transport).is_ok());
    assert!(once(&transport).is_err_and(|e| !e.unsent));
    assert_eq!(server.requests().len(), 10);
    // A new connection that is closed is an error.
    let dead = Server::start(&runtime, |_, _| Reply::Reset);
    let error = ask(&runtime, &plain(&dead.url, &ProxyOptions::None), &dead.url).unwrap_err();
    assert_eq!((dead.requests().len(), error.unsent), (1, false));
    assert_eq!(error.reason, "closes the connection without an answer (should it last: does it want https://?)");
}

#[test]
fn a_name_that_leads_elsewhere_is_followed_when_connections_are_old_enough() {
    let runtime = runtime();
    let (old, new) = (Server::start(&runtime, |_, _| ok()), Server::start(&runtime, |_, _| ok()));
    let (moved, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (from, to) = (address(&old), address(&new));
    let transport = || {
        let (moved, asked) = (moved.clone(), asked.clone());
        let resolve = resolver(move || {
            asked.fetch_add(1, SeqCst);
            vec![if moved.load(SeqCst) { to } else { from }]
        });
        plain("http://search", &ProxyOptions::None).with(resolve, Lifetimes { age: Duration::from_millis(300), idle: PATIENCE })
    };
    let transport = transport();
    assert_eq!([(); 2].map(|()| status(&runtime, &transport, "http://search")), [200; 2]);
    moved.store(true, SeqCst);
    let until = Instant::now() + PATIENCE;
    while new.requests().is_empty() {
        assert!(Instant::now() < until);
        assert_eq!(status(&runtime, &transport, "http://search"), 200);
    }
    let before = old.requests().len();
    assert_eq!(status(&runtime, &transport, "http://search"), 200);
    assert_eq!(old.requests().len(), before);
    assert!(
        asked.load(SeqCst) <= new.requests().last().unwrap().connection + old.requests().last().unwrap().connection + 2,
        "by connection, not by request"
    );
}

#[test]
fn idle_connections_end() {
    let runtime = runtime();
    let server = Server::start(&runtime, |_, _| ok());
    let at = address(&server);
    let lives = Lifetimes { age: PATIENCE, idle: Duration::ZERO };
    let transport = plain(&server.url, &ProxyOptions::None).with(resolver(move || vec![at]), lives);
    assert_eq!([(); 3].map(|()| status(&runtime, &transport, &server.url)), [200; 3]);
    assert_eq!(server.requests().iter().map(|r| r.connection).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn of_several_addresses_one_that_answers_is_enough() {
    let runtime = runtime();
    let server = Server::start(&runtime, |_, _| ok());
    let well = address(&server);
    // Nobody listens at the others.
    let dead: SocketAddr = format!("127.0.0.2:{}", well.port()).parse().unwrap();
    let gone: SocketAddr = format!("127.0.0.3:{}", well.port()).parse().unwrap();
    let lives = Lifetimes { age: Duration::ZERO, idle: PATIENCE };
    let transport = plain("http://search", &ProxyOptions::None).with(resolver(move || vec![dead, well, gone]), lives);
    assert_eq!([(); 4].map(|()| status(&runtime, &transport, "http://search")), [200; 4]);
    let transport = plain("http://search", &ProxyOptions::None).with(resolver(move || vec![dead]), lives);
    let error = ask(&runtime, &transport, "http://search").unwrap_err();
    assert_eq!(error.reason, format!("does not answer: {dead} refuses the connection: nothing listens there"));
    assert!(error.unsent);
    let nothing = plain("http://search", &ProxyOptions::None).with(resolver(Vec::new), lives);
    assert_eq!(ask(&runtime, &nothing, "http://search").unwrap_err().reason, "does not answer: the name \"search\" has no address");
}

#[test]
fn retry_after_is_a_date_by_the_clock_of_the_server() {
    let runtime = runtime();
    let headers = &[("date", "Tue, 10 Nov 2026 08:00:00 GMT"), ("retry-after", "Tue, 10 Nov 2026 08:00:40 GMT")];
    let server = Server::start(&runtime, |_, _| Reply::Answer(503, headers, String::new()));
    let answer = ask(&runtime, &plain(&server.url, &ProxyOptions::None), &server.url).unwrap();
    assert_eq!(answer.retry_after, Some(Duration::from_secs(40)));
}
