//! What the sources that are pushed to cost: events into the durable queue, per CPU second of the agent.
//!
//! `cargo bench --bench push` (`-- --help`) starts the agent with
//! its defaults and sends to one source after the other: Elasticsearch's `_bulk` and NDJSON over HTTP (1,000 events a
//! request, four connections), syslog over TCP (four connections), lines over standard input. Nothing is shipped: the sink's
//! server is not there. Prints wall seconds, events a second, CPU seconds of the agent, events a CPU second, its peak
//! resident memory. The senders run in this process, on the same cores.

mod common;

use common::arguments::arguments;
use common::usage;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const HELP: &str = "\
cargo bench --bench push -- [options]

  --events N    events of each run, rounded up to whole requests (default 400000)
  --size BYTES  of an event (default 200)
  --runs N      runs of each way in, a row each (default 1)
  --only NAME   one of bulk, ndjson, syslog, stdin (default: all, one after the other)
  --indices N   indices that the events of a _bulk go to in turns (default 1)
  --set YAML    more of the pipeline, such as 'queue: {acks: written}'
  --agent PATH  another agent";

const PATIENCE: Duration = Duration::from_secs(300);
const CONNECTIONS: u64 = 4;
const BATCH: u64 = 1_000;
const KINDS: [&str; 4] = ["bulk", "ndjson", "syslog", "stdin"];

struct Options {
    events: u64,
    size: usize,
    runs: u32,
    only: Option<String>,
    indices: u64,
    set: String,
    agent: String,
}

fn options() -> Options {
    let mut options = Options {
        events: 400_000,
        size: 200,
        runs: 1,
        only: None,
        indices: 1,
        set: String::new(),
        agent: env!("CARGO_BIN_EXE_forebay").into(),
    };
    arguments(HELP, |name, value| {
        match name {
            "--events" => options.events = value().parse().expect("--events N"),
            "--size" => options.size = value().parse().expect("--size BYTES"),
            "--runs" => options.runs = value().parse().expect("--runs N"),
            "--only" => options.only = Some(value()),
            "--indices" => options.indices = value().parse().expect("--indices N"),
            "--set" => options.set = value(),
            "--agent" => options.agent = value(),
            _ => return false,
        }
        true
    });
    options.events = options.events.next_multiple_of(BATCH * CONNECTIONS);
    options
}

/// An event as each kind of sender writes it, with `size` bytes of text in it.
fn event(kind: &str, options: &Options, n: u64) -> String {
    let size = options.size;
    let text = format!("seq={n:012} order paid, cache miss, retry upstream {}", "session token renewed ".repeat(size / 22 + 1));
    let (text, index) = (&text[..size.max(20)], n % options.indices.max(1));
    match kind {
        "bulk" => {
            format!(
                "{{\"create\":{{\"_index\":\"logs-{index}\"}}}}\n{{\"@timestamp\":\"2026-03-09T10:15:02.123Z\",\"message\":\"{text}\"}}\n"
            )
        }
        "ndjson" => format!("{{\"@timestamp\":\"2026-03-09T10:15:02.123Z\",\"message\":\"{text}\"}}\n"),
        "syslog" => format!("<14>1 2026-03-09T10:15:02Z web app {n} - - {text}\n"),
        _ => format!("{text}\n"),
    }
}

/// Sends requests on one kept connection and waits for the answer of each.
fn requests(address: SocketAddr, path: &str, body: &[u8], count: u64) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let mut reader = BufReader::new(stream.try_clone().expect("the same connection"));
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n", body.len());
    for _ in 0..count {
        stream.write_all(head.as_bytes()).expect("a request");
        stream.write_all(body).expect("a request");
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            reader.read_line(&mut line).expect("an answer");
            assert!(!line.starts_with("HTTP/1.1 ") || line.starts_with("HTTP/1.1 200"), "{line}");
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
        }
        std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink()).expect("an answer");
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port")
}

/// Sends all and waits until the queue has it.
fn send(kind: &str, agent: &mut Child, to: SocketAddr, admin: SocketAddr, options: &Options) {
    let each = options.events / CONNECTIONS;
    match kind {
        "bulk" | "ndjson" => {
            let body: String = (0..BATCH).map(|n| event(kind, options, n)).collect();
            let path = if kind == "bulk" { "/_bulk" } else { "/" };
            std::thread::scope(|scope| {
                (0..CONNECTIONS).for_each(|_| drop(scope.spawn(|| requests(to, path, body.as_bytes(), each / BATCH))));
            });
        }
        "syslog" => std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| {
                    let body: String = (0..BATCH).map(|n| event(kind, options, n)).collect();
                    let mut stream = TcpStream::connect(to).expect("a connection");
                    (0..each / BATCH).for_each(|_| stream.write_all(body.as_bytes()).expect("syslog"));
                });
            }
        }),
        _ => {
            let body: String = (0..BATCH).map(|n| event(kind, options, n)).collect();
            let input = agent.stdin.as_mut().expect("a pipe");
            (0..options.events / BATCH).for_each(|_| input.write_all(body.as_bytes()).expect("standard input"));
        }
    }
    let until = Instant::now() + PATIENCE;
    loop {
        let status = forebay::admin::client::fetch_status(admin).expect("the status");
        if status.sources["app"].read_events >= options.events {
            return;
        }
        assert!(Instant::now() < until, "{kind}: only {} of {} events came", status.sources["app"].read_events, options.events);
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn main() {
    let options = options();
    println!("{} events of {} bytes; every byte synced unless --set says otherwise", options.events, options.size);
    println!("| source | wall s | events/s | CPU s | events/CPU s | peak memory MiB |");
    println!("|---|---|---|---|---|---|");
    for kind in KINDS.into_iter().filter(|kind| options.only.as_deref().is_none_or(|only| only == *kind)) {
        for _ in 0..options.runs {
            let (state, to, admin) = (tempfile::tempdir().expect("a temporary folder"), free_address(), free_address());
            let source = match kind {
                "bulk" | "ndjson" => format!("{{type: http, listen: \"{to}\"}}"),
                "syslog" => format!("{{type: syslog, listen: \"tcp://{to}\"}}"),
                _ => "{type: stdin}".into(),
            };
            let pipeline = state.path().join("pipeline.yaml");
            let text = format!(
                "data_dir: {}/data\nadmin: {{listen: \"{admin}\"}}\n{}\nsources:\n  app: {source}\nsinks:\n  nowhere: {{type: elasticsearch, endpoints: [\"http://127.0.0.1:1\"], index: logs-app}}\n",
                state.path().display(),
                options.set
            );
            fs::write(&pipeline, text).expect("room for the pipeline");
            let mut agent = Command::new(&options.agent)
                .arg("run")
                .arg(&pipeline)
                .stdin(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("the agent");
            let until = Instant::now() + PATIENCE;
            while forebay::admin::client::fetch_status(admin).is_err() {
                assert!(Instant::now() < until && agent.try_wait().expect("a wait").is_none(), "{kind}: the agent does not start");
                std::thread::sleep(Duration::from_millis(5));
            }
            let (begun, before) = (Instant::now(), usage(agent.id()).0);
            send(kind, &mut agent, to, admin, &options);
            let (wall, (cpu, peak)) = (begun.elapsed().as_secs_f64(), usage(agent.id()));
            let _ = agent.kill();
            let _ = agent.wait();
            let cpu = cpu - before;
            println!(
                "| {kind} | {wall:.2} | {:.0} | {cpu:.2} | {:.0} | {:.1} |",
                options.events as f64 / wall,
                options.events as f64 / cpu,
                peak as f64 / (1 << 20) as f64
            );
        }
    }
}
