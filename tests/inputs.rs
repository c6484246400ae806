//! Sources that are pushed to, with the real binary: standard input, HTTP, syslog, the journal.

mod common;

use common::http::{ask, gzip};
use common::{Bench, PATIENCE, assert_exactly, elasticsearch_sink, free_address, lines, quoted};
use forebay::demo::receiver::{Mode, Receiver};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Small segments, so that rolling and recycling happen between the kills.
const SMALL: &str = "queue: {segment_bytes: 1MiB, batch_size: 16KiB, max_bytes: 64MiB, retention: {bytes: 2MiB}}";

#[test]
fn standard_input_is_shipped_to_its_end_and_then_the_agent_exits() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.inputs("  app: {type: stdin, fields: {service.name: shop}}", &elasticsearch_sink(&receiver.url()), "");
    // The receiver is down at first: the end of the input must wait for it.
    receiver.set(Mode::Down);
    let mut agent = bench.start_fed(&[], Stdio::piped());
    let mut input = agent.stdin();
    input.write_all(lines(0..20_000).as_bytes()).unwrap();
    input.write_all(b"no newline at the end").unwrap();
    drop(input);
    agent.wait_for("the end is seen", || true);
    receiver.set(Mode::Up);
    assert_eq!(agent.wait().code(), Some(0), "{}", agent.log());
    assert_exactly(&receiver, &(lines(0..20_000) + "no newline at the end"));
    receiver.account(|a| {
        let document: serde_json::Value = serde_json::from_str(&a.documents().values().next().unwrap().source).unwrap();
        assert_eq!(document["service"]["name"], "shop");
        assert!(document["event"]["sequence"].is_u64() && document["log"]["offset"].is_null(), "{document}");
    });
}

#[test]
fn standard_input_that_does_not_end_is_drained_at_the_stop() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.inputs("  app: {type: stdin, max_line_bytes: 120}", &elasticsearch_sink(&receiver.url()), "");
    let mut agent = bench.start_fed(&[], Stdio::piped());
    let mut input = agent.stdin();
    input.write_all(lines(0..100).as_bytes()).unwrap();
    agent.wait_for("the lines arrive", || receiver.account(|a| a.documents().len() == 100));
    input.write_all(format!("{}\nlast", "y".repeat(170)).as_bytes()).unwrap();
    let status = agent.wait_status("the long line is cut", |s| s.sources["app"].cut_bytes == 50);
    assert_eq!((status.sources["app"].kind.as_str(), status.sources["app"].read_events), ("stdin", 101));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_exactly(&receiver, &(lines(0..100) + &"y".repeat(120) + "\nlast"));
}

#[test]
fn http_takes_what_elasticsearch_clients_and_curl_send() {
    let (bench, receiver, address) = (Bench::new(), Receiver::start().unwrap(), free_address());
    let source =
        format!("  api: {{type: http, listen: \"{address}\", max_body: 64KiB, max_line_bytes: 1KiB, auth: {{user: me, password: pw}}}}");
    bench.inputs(&source, &elasticsearch_sink(&receiver.url()), "");
    let mut agent = bench.start();
    const AUTH: &str = "Authorization: Basic bWU6cHc=\r\n";
    agent.wait_for("it listens", || ask(address, "GET", "/", AUTH, b"").is_some());
    let post = |path: &str, headers: &str, body: &[u8]| ask(address, "POST", path, &format!("{AUTH}{headers}"), body).unwrap();
    let (status, answer) = ask(address, "GET", "/", AUTH, b"").unwrap();
    assert!(status == 200 && answer.to_lowercase().contains("x-elastic-product: elasticsearch") && answer.contains("You Know, for Search"));
    assert_eq!(ask(address, "HEAD", "/", AUTH, b"").unwrap().0, 200);
    assert_eq!(ask(address, "POST", "/", "", b"x\n").unwrap().0, 401);
    assert_eq!(post("/", "Origin: http://evil.example\r\n", b"x\n").0, 403);
    assert_eq!(post("/nothing", "", b"x\n").0, 404);
    assert_eq!(post("/", "Content-Type: application/x-ndjson\r\n", b"{\"a\":1}\n{\"a\":\n").0, 400);
    assert_eq!(post("/", "", &[b'x'; 65 << 10]).0, 413);
    assert_eq!(post("/", "", &[b'x'; 1025]).0, 413);
    // A bomb: small as it is sent, large as it is.
    assert_eq!(post("/", "Content-Encoding: gzip\r\n", &gzip(&[b'x'; 10 << 20])).0, 413);
    assert_eq!(post("/", "Content-Encoding: gzip\r\n", b"no gzip").0, 400);
    assert_eq!(post("/", "Content-Encoding: br\r\n", b"x").0, 415);
    let (status, answer) = post("/", "", b"plain one\nplain two");
    assert!(status == 200 && answer.ends_with("{\"accepted\":2}"), "{answer}");
    assert_eq!(post("/", "Content-Type: application/json\r\n", b"[{\"n\": 1},\n {\"n\":\n2}]").0, 200);
    assert_eq!(post("/", "Content-Type: application/x-ndjson\r\nContent-Encoding: gzip\r\n", &gzip(b"{\"n\":3}\n{\"n\":4}\n")).0, 200);
    let bulk = b"{\"create\":{\"_index\":\"shop\"}}\n{\"n\":5}\n{\"delete\":{\"_id\":\"1\"}}\n{\"index\":{}}\n{\"n\":6}\n";
    let (status, answer) = post("/web/_bulk", "Content-Type: application/x-ndjson\r\n", bulk);
    assert_eq!(status, 200);
    let answer: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let told: Vec<_> = answer["items"].as_array().unwrap().iter().flat_map(|i| i.as_object().unwrap().values()).collect();
    assert_eq!(told.iter().map(|i| i["status"].as_u64().unwrap()).collect::<Vec<_>>(), [201, 400, 201]);
    assert_eq!(told[0]["_index"], "shop");
    let expected = "plain one\nplain two\n{\"n\": 1}\n{\"n\": 2}\n{\"n\":3}\n{\"n\":4}\n{\"n\":5}\n{\"n\":6}\n";
    agent.wait_for("all is shipped", || receiver.account(|a| a.documents().len() >= 8));
    let status = agent.wait_status("counted", |s| s.sources["api"].read_events == 8);
    assert_eq!((status.sources["api"].kind.as_str(), status.sources["api"].refused_requests), ("http", 9));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_exactly(&receiver, expected);
    receiver.account(|a| {
        let of = |text: &str| {
            serde_json::from_str::<serde_json::Value>(&a.documents().values().find(|d| d.message == text).unwrap().source).unwrap()
        };
        assert_eq!(of("{\"n\":5}")["labels"]["index"], "shop");
        assert_eq!(of("{\"n\":6}")["labels"]["index"], "web");
    });
    assert!(!agent.log().contains("plain one"), "bytes of logs are never printed");
}

/// Everything that was answered with 200 arrives; what was sent again because the answer was lost may be there twice.
#[test]
fn kill_9_under_http_load_loses_nothing_that_was_answered() {
    let (bench, receiver, address) = (Bench::new(), Receiver::start().unwrap(), free_address());
    bench.inputs(&format!("  api: {{type: http, listen: \"{address}\"}}"), &elasticsearch_sink(&receiver.url()), SMALL);
    let (stop, mut agent) = (AtomicBool::new(false), bench.start());
    let (answered, mut agent): (Vec<String>, _) = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let stop = &stop;
                scope.spawn(move || {
                    let (mut answered, mut n) = (Vec::new(), 0);
                    while !stop.load(Ordering::SeqCst) {
                        let lines: Vec<String> = (n..n + 20).map(|n| format!("sender {sender} line {n}")).collect();
                        n += 20;
                        if ask(address, "POST", "/", "", (lines.join("\n") + "\n").as_bytes()).is_some_and(|(status, _)| status == 200) {
                            answered.extend(lines);
                        } else {
                            std::thread::yield_now();
                        }
                    }
                    answered
                })
            })
            .collect();
        for round in 1..=5 {
            agent.wait_for("some arrives", || receiver.account(|a| a.documents().len() > round * 200));
            if round == 2 {
                receiver.lose_acks(1);
            }
            agent.kill();
            agent = bench.start();
        }
        agent.wait_for("some arrives", || receiver.account(|a| a.documents().len() > 1_400));
        stop.store(true, Ordering::SeqCst);
        (senders.into_iter().flat_map(|s| s.join().unwrap()).collect(), agent)
    });
    assert!(answered.len() > 500, "{}", answered.len());
    agent.wait_for("all that was answered arrives", || receiver.account(|a| answered.iter().all(|l| a.lines().contains_key(l))));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    receiver.account(|a| assert_eq!((a.collisions, a.without_id), (0, 0), "an ID names two events"));
}

#[test]
fn http_says_429_when_the_queue_is_full_and_503_when_it_stops() {
    let (bench, receiver, address) = (Bench::new(), Receiver::start().unwrap(), free_address());
    receiver.set(Mode::Down);
    let queue = "queue: {segment_bytes: 1MiB, batch_size: 64KiB, max_bytes: 8MiB, buffer_memory: 4MiB, max_block: 300ms, retention: {bytes: 1MiB}}\nshutdown: {drain: 1m}";
    bench.inputs(&format!("  api: {{type: http, listen: \"{address}\", max_body: 1MiB}}"), &elasticsearch_sink(&receiver.url()), queue);
    let mut agent = bench.start();
    agent.wait_for("it listens", || ask(address, "GET", "/", "", b"").is_some());
    let body: String = (0..2_000).map(|n| format!("{n:06} {}\n", "x".repeat(200))).collect();
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..60 {
        match ask(address, "POST", "/", "", body.as_bytes()).unwrap() {
            (200, _) => taken += 1,
            (429, answer) => {
                assert!(answer.to_lowercase().contains("\r\nretry-after: 1\r\n") && answer.contains("send them again"), "{answer}");
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
        if refused == 5 {
            break;
        }
    }
    assert!(refused == 5 && taken >= 10, "taken {taken}, refused {refused}");
    let status = agent.wait_status("the refusals are counted", |s| s.sources["api"].refused_requests == 5);
    assert!(status.queue.memory_bytes <= 4 << 20 && status.resident_bytes < 200 << 20, "{status:?}");
    receiver.set(Mode::Up);
    agent.wait_for("what was taken arrives", || receiver.account(|a| a.lines().values().sum::<u64>() >= taken * 2_000));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert!(ask(address, "POST", "/", "", b"x").is_none());
}

/// `cert.pem` and `key.pem` for localhost; `false` without `openssl`.
fn certificate(bench: &Bench) -> bool {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(bench.path("key.pem"))
        .arg("-out")
        .arg(bench.path("cert.pem"))
        .output();
    made.is_ok_and(|o| o.status.success())
}

/// A connection that trusts that certificate alone.
fn encrypted(bench: &Bench, address: SocketAddr) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(bench.path("cert.pem")).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = rustls::ClientConnection::new(config.into(), "localhost".try_into().unwrap()).unwrap();
    rustls::StreamOwned::new(client, TcpStream::connect(address).unwrap())
}

#[test]
fn https_and_no_more_connections_than_allowed() {
    let (bench, receiver, address) = (Bench::new(), Receiver::start().unwrap(), free_address());
    if !certificate(&bench) {
        println!("SKIPPED: no openssl to make a certificate");
        return;
    }
    let (cert, key) = (quoted(bench.path("cert.pem")), quoted(bench.path("key.pem")));
    let source = format!("  api: {{type: http, listen: \"{address}\", max_connections: 2, tls: {{cert_file: {cert}, key_file: {key}}}}}");
    // `max_body` is not written: it becomes a quarter of this memory.
    bench.inputs(&source, &elasticsearch_sink(&receiver.url()), "queue: {buffer_memory: 8MiB}");
    let mut agent = bench.start();
    agent.wait_for("it listens", || TcpStream::connect(address).is_ok());
    // Plain text is refused and counted; two that say nothing take both places for a while.
    assert!(ask(address, "POST", "/", "", b"plain\n").is_none());
    let idle = [encrypted(&bench, address), encrypted(&bench, address)];
    agent.wait_status("both places are taken", |s| s.sources["api"].connections == 2 && s.sources["api"].refused_requests >= 1);
    let mut third = encrypted(&bench, address);
    third.sock.set_read_timeout(Some(PATIENCE)).unwrap();
    drop(idle);
    let request =
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\none\nt\r\n3\r\nwo\n\r\n0\r\n\r\n";
    third.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = third.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("{\"accepted\":2}"), "{answer}");
    let mut large = encrypted(&bench, address);
    large.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2097153\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = large.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("max_body (2097152 bytes)"), "{answer}");
    agent.wait_for("all is shipped", || receiver.account(|a| a.documents().len() == 2));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_exactly(&receiver, "one\ntwo\n");
}

/// Syslog messages with numbers, RFC 5424.
fn syslog_line(n: u32) -> String {
    format!("<14>1 2026-03-09T10:15:02Z web app {n} - - message {n:06}")
}

#[test]
fn syslog_comes_over_udp_tcp_tls_and_unix_sockets() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    let [udp, tcp, tls] = [free_address(), free_address(), free_address()];
    let [stream, datagram, cert, key] = ["log.stream", "log.dgram", "cert.pem", "key.pem"].map(|name| bench.path(name));
    let with_tls = certificate(&bench);
    if !with_tls {
        println!("SKIPPED the part with TLS: no openssl to make a certificate");
    }
    let tls_yaml = format!("\n    tls: {{cert_file: {}, key_file: {}}}", quoted(&cert), quoted(&key));
    let source = format!(
        "  net:\n    type: syslog\n    listen: [\"udp://{udp}\", \"tcp://{tcp}\", \"unix:{}\", \"unixgram:{}\"{}]\n    receive_buffer: 200KiB{}",
        stream.display(),
        datagram.display(),
        if with_tls { format!(", \"tls://{tls}\"") } else { String::new() },
        if with_tls { &tls_yaml } else { "" }
    );
    bench.inputs(&source, &elasticsearch_sink(&receiver.url()), "");
    let mut agent = bench.start();
    // They are bound one after the other.
    agent.wait_for("it listens", || TcpStream::connect(tcp).is_ok() && datagram.exists());
    agent.wait_for("it listens for TLS", || !with_tls || TcpStream::connect(tls).is_ok());
    let expected = std::cell::Cell::new(0u32);
    let number = || {
        expected.set(expected.get() + 1);
        syslog_line(expected.get())
    };
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..50 {
        socket.send_to(number().as_bytes(), udp).unwrap();
    }
    let mut connection = TcpStream::connect(tcp).unwrap();
    for _ in 0..500 {
        let (counted, line) = (number(), number());
        connection.write_all(format!("{} {counted}{line}\n", counted.len()).as_bytes()).unwrap();
    }
    let mut local = UnixStream::connect(&stream).unwrap();
    local.write_all((number() + "\n" + &number()).as_bytes()).unwrap();
    drop(local);
    UnixDatagram::unbound().unwrap().send_to(number().as_bytes(), &datagram).unwrap();
    if with_tls {
        let mut encrypted = encrypted(&bench, tls);
        for _ in 0..100 {
            encrypted.write_all((number() + "\n").as_bytes()).unwrap();
        }
        encrypted.conn.send_close_notify();
        encrypted.flush().unwrap();
        // No TLS at all is refused and counted.
        let _ = TcpStream::connect(tls).unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n");
    }
    let total = expected.get() as usize;
    agent.wait_for("all is shipped", || receiver.account(|a| a.documents().len() >= total));
    let status = agent.wait_status("counted", |s| s.sources["net"].read_events == total as u64 && s.sources["net"].connections <= 1);
    assert_eq!(status.sources["net"].dropped_events, 0);
    // The connection that is still open is read to its end at the stop.
    connection.write_all(number().as_bytes()).unwrap();
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    let messages: String = (1..=expected.get()).map(|n| format!("message {n:06}\n")).collect();
    assert_exactly(&receiver, &messages);
    receiver.account(|a| {
        let of = |n: u32| -> serde_json::Value {
            let message = format!("message {n:06}");
            serde_json::from_str(&a.documents().values().find(|d| d.message == message).unwrap().source).unwrap()
        };
        let (first, local) = (of(1), of(1051));
        assert_eq!((first["source"]["ip"].as_str(), local["source"]["ip"].as_str()), (Some("127.0.0.1"), None));
        assert_eq!(first["log"]["syslog"]["facility"]["name"], "user");
        assert_eq!((&first["process"]["pid"], &first["@timestamp"]), (&1.into(), &"2026-03-09T10:15:02.000Z".into()));
    });
    assert!(!stream.exists() && !datagram.exists(), "the sockets' files go with the agent");
}

/// The queue is small and full, the receiver is down: connections wait, datagrams are dropped and counted, memory is bounded.
#[test]
fn a_flood_of_syslog_waits_or_is_counted_and_takes_no_memory() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    let [udp, tcp] = [free_address(), free_address()];
    let queue = "queue: {segment_bytes: 1MiB, batch_size: 64KiB, max_bytes: 8MiB, buffer_memory: 8MiB, max_block: 1s, retention: {bytes: 1MiB}}\nshutdown: {drain: 1m}";
    bench.inputs(
        &format!("  net: {{type: syslog, listen: [\"udp://{udp}\", \"tcp://{tcp}\"], receive_buffer: 200KiB}}"),
        &elasticsearch_sink(&receiver.url()),
        queue,
    );
    receiver.set(Mode::Down);
    let mut agent = bench.start();
    agent.wait_for("it listens", || TcpStream::connect(tcp).is_ok());
    let (stop, sent) = (AtomicBool::new(false), std::sync::atomic::AtomicU64::new(0));
    let memory = std::thread::scope(|scope| {
        for _ in 0..4 {
            let (stop, sent) = (&stop, &sent);
            scope.spawn(move || {
                let mut connection = TcpStream::connect(tcp).unwrap();
                connection.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
                let line = format!("<14>Oct 11 22:14:15 web app: {}\n", "t".repeat(200));
                let mut left: &[u8] = line.as_bytes();
                // Whole lines only, also where a write was cut short by the time-out.
                while !stop.load(Ordering::SeqCst) || left.len() < line.len() {
                    match connection.write(left) {
                        Ok(n) => left = &left[n..],
                        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                        Err(error) => panic!("{error}"),
                    }
                    if left.is_empty() {
                        sent.fetch_add(1, Ordering::SeqCst);
                        left = line.as_bytes();
                    }
                }
            });
        }
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let status = agent.wait_status("datagrams are dropped", |s| {
            for _ in 0..200 {
                socket.send_to(&[b'u'; 1000], udp).unwrap();
            }
            s.queue.state == "full" && s.sources["net"].dropped_events > 0
        });
        // Some senders are in the middle of a line: they end it when there is room again.
        receiver.set(Mode::Up);
        stop.store(true, Ordering::SeqCst);
        status
    });
    assert!(memory.queue.memory_bytes <= 8 << 20 && memory.resident_bytes < 200 << 20, "{memory:?}");
    assert!(agent.log().contains("the sender waits") || agent.log().contains("the kernel dropped"), "{}", agent.log());
    let sent = sent.load(Ordering::SeqCst);
    let over_tcp = "t".repeat(200);
    agent.wait_for("all that was sent over TCP arrives", || receiver.account(|a| a.lines().get(&over_tcp).copied().unwrap_or(0) >= sent));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    receiver.account(|a| assert_eq!((a.lines()[&over_tcp], a.collisions), (sent, 0)));
}

/// Stands for `journalctl`: follows the file `journal`, in which each entry is `N MESSAGE`, from after the cursor on.
const FAKE_JOURNALCTL: &str = r#"#!/bin/sh
after=0
for arg in "$@"; do
  case "$arg" in
    --after-cursor=*) after="${arg#--after-cursor=s=1;i=}" ;;
    --lines=1) last=1 ;;
  esac
done
echo "$*" >> "DIR/calls"
[ -e "DIR/broken" ] && { echo "No such journal" >&2; exit 1; }
while kill -0 $PPID 2>/dev/null; do
  new=$(tail -n +$((after + 1)) "DIR/journal")
  while read -r n text; do
    [ -n "$n" ] || continue
    printf '__CURSOR=s=1;i=%s\n__REALTIME_TIMESTAMP=17730513031234%02d\nPRIORITY=6\nSYSLOG_IDENTIFIER=app\n_PID=7\nMESSAGE=%s\n\n' "$n" "$((n % 100))" "$text"
    after=$n
  done <<EOF
$new
EOF
  sleep 0.05
done
"#;

#[test]
fn the_journal_is_followed_exactly_once_through_kills() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    let (script, dir) = (bench.path("journalctl"), bench.path("state").parent().unwrap().to_path_buf());
    std::fs::write(&script, FAKE_JOURNALCTL.replace("DIR", dir.to_str().unwrap())).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    bench.inputs(&format!("  sys: {{type: journald, journalctl_path: {}}}", quoted(&script)), &elasticsearch_sink(&receiver.url()), SMALL);
    let mut written = 0;
    let mut write = |count: u32| {
        let text: String = (written..written + count).map(|n| format!("{} entry {n:06}\n", n + 1)).collect();
        written += count;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("journal")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        written as usize
    };
    write(300);
    std::fs::write(dir.join("broken"), "").unwrap();
    let mut agent = bench.start();
    let status = agent.wait_status("a broken journalctl is said", |s| !s.sources["sys"].last_error.is_empty());
    let said = &status.sources["sys"].last_error;
    assert!(said.starts_with("journalctl ended with exit status: 1: No such journal; it is started again"), "{said}");
    std::fs::remove_file(dir.join("broken")).unwrap();
    for round in 0..4 {
        let want = write(200);
        agent.wait_for("some arrives", || receiver.account(|a| a.documents().len() > want - if round % 2 == 0 { 200 } else { 1 }));
        write(150);
        agent.kill();
        write(50);
        agent = bench.start();
    }
    let all = write(10);
    agent.wait_for("all is shipped", || receiver.account(|a| a.documents().len() >= all));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_exactly(&receiver, &(0..all).map(|n| format!("entry {n:06}\n")).collect::<String>());
    assert!(!agent.log().contains("sent again under other IDs"), "{}", agent.log());
    receiver.account(|a| {
        let document: serde_json::Value = serde_json::from_str(&a.documents().values().next().unwrap().source).unwrap();
        assert_eq!((&document["log"]["syslog"]["appname"], &document["process"]["pid"]), (&"app".into(), &7.into()), "{document}");
    });
    assert!(std::fs::read_to_string(dir.join("calls")).unwrap().lines().last().unwrap().contains("--after-cursor=s=1;i="));
}
