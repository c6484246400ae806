//! What our IDs cost a search server, against the IDs that it gives itself: the same documents in the same bulk requests, with
//! and without `_id`.
//!
//! `FOREBAY_TEST_ELASTICSEARCH=http://host:port FOREBAY_TEST_OPENSEARCH=… cargo bench --bench ids` (`-- --documents 500000 --runs 3
//! --bulk 5000`) prints for each server and each kind of ID: documents a second (the median of the runs, which take turns),
//! and the bytes of the index once it is merged into one segment. One client, one shard, no replica; the requests are made before
//! the clock starts.

use forebay::process::identity::{EventIds, checksum};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

fn main() {
    let (mut documents, mut runs, mut bulk) = (500_000, 3, 5_000);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("{arg} takes a number"));
        match arg.as_str() {
            "--documents" => documents = value(),
            "--runs" => runs = value(),
            "--bulk" => bulk = value(),
            // What `cargo bench` adds.
            "--bench" => {}
            other => panic!("unknown option {other}: --documents, --runs, --bulk"),
        }
    }
    println!("{documents} documents, {bulk} a request, median of {runs} runs");
    println!("| server | `_id` | documents/s | slowest to fastest run | index, one segment | bytes a document |");
    println!("|---|---|---|---|---|---|");
    for (name, variable) in [("Elasticsearch", "FOREBAY_TEST_ELASTICSEARCH"), ("OpenSearch", "FOREBAY_TEST_OPENSEARCH")] {
        match std::env::var(variable) {
            Ok(url) if !url.is_empty() => measure(name, url.trim_end_matches('/'), documents, runs, bulk),
            _ => println!("{name}: SKIPPED, set {variable}=http://host:port"),
        }
    }
}

fn measure(name: &str, url: &str, documents: u64, runs: u64, bulk: u64) {
    let mut connection = Connection::to(url);
    let about = connection.ask("GET", "/", b"");
    let version = about["version"]["number"].as_str().unwrap_or("?").to_string();
    let index = format!("/forebay-bench-ids-{}", std::process::id());
    // Rates of the runs, and bytes; first with our IDs, then without. A run of each warms the server up.
    let (mut rates, mut bytes) = ([Vec::new(), Vec::new()], [0, 0]);
    for run in 0..=runs {
        for own in [0, 1] {
            let requests: Vec<Vec<u8>> =
                (0..documents).step_by(bulk as usize).map(|n| body(n..documents.min(n + bulk), own == 0)).collect();
            let settings = json!({"settings": {"number_of_shards": 1, "number_of_replicas": 0}});
            connection.ask("PUT", &index, settings.to_string().as_bytes());
            let begun = Instant::now();
            for request in &requests {
                let answer = connection.ask("POST", &format!("{index}/_bulk?filter_path=errors"), request);
                assert_eq!(answer["errors"], false, "a document was refused");
            }
            if run > 0 {
                rates[own].push(documents as f64 / begun.elapsed().as_secs_f64());
            }
            if run == runs {
                connection.ask("POST", &format!("{index}/_forcemerge?max_num_segments=1&flush=true"), b"");
                connection.ask("POST", &format!("{index}/_refresh"), b"");
                let stats = connection.ask("GET", &format!("{index}/_stats/store,docs"), b"");
                let total = &stats["_all"]["primaries"];
                assert_eq!(total["docs"]["count"], documents, "each once");
                bytes[own] = total["store"]["size_in_bytes"].as_u64().expect("bytes");
            }
            connection.ask("DELETE", &index, b"");
        }
    }
    for (own, what) in ["ours", "the server's"].into_iter().enumerate() {
        rates[own].sort_by(f64::total_cmp);
        println!(
            "| {name} {version} | {what} | {:.0} | {:.0} to {:.0} | {:.1} MB | {:.1} |",
            rates[own][rates[own].len() / 2],
            rates[own][0],
            rates[own][rates[own].len() - 1],
            bytes[own] as f64 / 1e6,
            bytes[own] as f64 / documents as f64
        );
    }
}

/// A bulk request with documents as the sink writes them.
fn body(numbers: std::ops::Range<u64>, own_id: bool) -> Vec<u8> {
    const WORDS: [&str; 12] =
        ["order", "paid", "cache", "miss", "retry", "upstream", "pool", "flushed", "segment", "session", "token", "renewed"];
    let ids = EventIds::new("search", 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    let (mut out, mut message) = (String::new(), String::new());
    for n in numbers {
        message.clear();
        let _ = write!(message, "INFO [worker-{}] com.example.orders.Service - seq={n:012}", n % 16);
        for i in 0..10 {
            message.push(' ');
            // A walk that does not repeat soon.
            message.push_str(WORDS[((n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (4 * i)) % 12) as usize]);
        }
        let position = n * 131;
        match own_id {
            true => {
                let id = ids.id(position, checksum(message.as_bytes()));
                let _ = writeln!(out, r#"{{"create":{{"_id":"{}"}}}}"#, String::from_utf8_lossy(&id));
            }
            false => out.push_str("{\"create\":{}}\n"),
        }
        let (s, ms) = (n / 1000, n % 1000);
        let _ = writeln!(
            out,
            r#"{{"@timestamp":"2026-03-09T{:02}:{:02}:{:02}.{ms:03}Z","message":"{message}","host.name":"shop-1","log.file.path":"/var/log/shop/app.log","log.offset":{position}}}"#,
            s / 3600 % 24,
            s / 60 % 60,
            s % 60
        );
    }
    out.into_bytes()
}

/// A connection that is kept.
struct Connection {
    host: String,
    reader: BufReader<TcpStream>,
}

impl Connection {
    fn to(url: &str) -> Connection {
        let host = url.strip_prefix("http://").expect("http://…").to_string();
        let stream = TcpStream::connect(&host).expect("a server");
        stream.set_nodelay(true).expect("a socket");
        Connection { host, reader: BufReader::new(stream) }
    }

    /// The JSON of a 2xx answer.
    fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Value {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        let stream = self.reader.get_mut();
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect("a request");
        let line = |reader: &mut BufReader<TcpStream>| {
            let mut line = String::new();
            reader.read_line(&mut line).expect("an answer");
            line.trim_end().to_ascii_lowercase()
        };
        let status = line(&mut self.reader);
        let (mut length, mut chunked) = (0, false);
        loop {
            let header = line(&mut self.reader);
            match header.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().expect("a length"),
                Some(("transfer-encoding", "chunked")) => chunked = true,
                None if header.is_empty() => break,
                _ => {}
            }
        }
        let mut answer = Vec::new();
        loop {
            if chunked {
                length = usize::from_str_radix(&line(&mut self.reader), 16).expect("a chunk");
            }
            let at = answer.len();
            answer.resize(at + length, 0);
            self.reader.read_exact(&mut answer[at..]).expect("the whole answer");
            if chunked {
                line(&mut self.reader);
            }
            if !chunked || length == 0 {
                break;
            }
        }
        assert!(
            status.split(' ').nth(1).is_some_and(|s| s.starts_with('2')),
            "{method} {path}: {status}: {}",
            String::from_utf8_lossy(&answer)
        );
        serde_json::from_slice(&answer).expect("JSON")
    }
}
