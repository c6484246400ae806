//! Stand-ins for tests: a queue in memory, dead letters in memory, and an HTTP server that misbehaves.

use super::client::{Client, Encoder};
use super::{BodyMemory, RetryOptions, Sink, SinkKind, SinkOptions};
use crate::queue::*;

use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// Long enough for a loaded machine; reached only when a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// 2026-03-09T10:15:02.123Z.
pub const APPENDED: u64 = 1_773_051_302_123;

/// Batches of these lines, `each` events in one, as one stream of `path`.
pub fn batches(lines: &[Vec<u8>], each: usize, flags: u32) -> Vec<Batch> {
    let spec = StreamSpec { key: 42, path: "/var/log/app.log".into(), ..StreamSpec::default() };
    let stream = Stream::new(1, 0, spec, Position::default());
    let (mut position, mut offset, mut out) = (0, 0, Vec::new());
    for chunk in lines.chunks(each) {
        let (mut lens, mut data) = (Vec::new(), Vec::new());
        for line in chunk {
            put_lens(&mut lens, line.len() as u32 + 1);
            data.extend_from_slice(line);
            data.push(b'\n');
        }
        let (count, bytes) = (chunk.len() as u32, data.len());
        let run = Run {
            stream: stream.clone(),
            source_start: position,
            source_end: position + bytes as u64,
            count,
            flags: RunFlags(flags),
            tail: Tail::of(&data),
            lens: Bytes::from(lens),
            data: Bytes::from(data),
            filtered: Vec::new(),
        };
        let record = RecordBatch { base_offset: offset, count, epoch: 1, append_ms: APPENDED, runs: vec![run] };
        let id = BatchId {
            queue: 7,
            group: "search".into(),
            topic: "logs".into(),
            partition: 0,
            epoch: 1,
            first: offset,
            last: offset + u64::from(count) - 1,
            pipeline: 0,
            reset: 0,
            kind: BatchKind::Events,
        };
        let parts = vec![Part { batch: Arc::new(record), skip: 0, count }];
        out.push(Batch { id, parts, events: count, bytes, sent_before: false, cut: false });
        position += bytes as u64;
        offset += u64::from(count);
    }
    out
}

fn put_lens(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// `count` numbered lines.
pub fn lines(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|i| format!("line {i} says \"hello\"").into_bytes()).collect()
}

/// Waits until `done` holds of the value.
pub fn wait<T>(value: &(Mutex<T>, Condvar), what: &str, mut done: impl FnMut(&T) -> bool) {
    let until = Instant::now() + PATIENCE;
    let mut guard = value.0.lock().unwrap();
    while !done(&guard) {
        let left = until.checked_duration_since(Instant::now()).unwrap_or_else(|| panic!("never: {what}"));
        guard = value.1.wait_timeout(guard, left).unwrap().0;
    }
}

#[derive(Default)]
pub struct Acks(pub (Mutex<Vec<BatchId>>, Condvar), pub Mutex<Vec<Batch>>);

impl Acks {
    /// For these batches.
    pub fn of(batches: &[Batch]) -> Acks {
        Acks(Default::default(), Mutex::new(batches.to_vec()))
    }
}

impl Acker for Acks {
    fn ack(&self, id: &BatchId) {
        self.0.0.lock().unwrap().push(id.clone());
        self.0.1.notify_all();
    }
    fn lag_events(&self) -> u64 {
        41_233
    }
    fn again(&self, id: &BatchId) -> Result<Vec<Part>, FetchError> {
        let batches = self.1.lock().unwrap();
        Ok(batches.iter().find(|batch| batch.id == *id).map(|batch| batch.parts.clone()).unwrap_or_default())
    }
}

struct MemoryQueue {
    batches: VecDeque<Batch>,
    acks: Arc<Acks>,
    limits: Arc<Mutex<Vec<Limits>>>,
}

impl Consumer for MemoryQueue {
    fn poll(&mut self, limits: &Limits, wait: Duration) -> Result<Option<Batch>, FetchError> {
        self.limits.lock().unwrap().push(*limits);
        let next = self.batches.pop_front();
        if next.is_none() {
            std::thread::park_timeout(wait.min(Duration::from_millis(20)));
        }
        Ok(next)
    }
    fn acker(&self) -> Arc<dyn Acker> {
        self.acks.clone()
    }
}

#[derive(Default)]
pub struct Letters {
    pub records: Mutex<Vec<serde_json::Value>>,
    pub full: Mutex<u32>,
}

impl DeadLetters for Letters {
    fn put(&self, records: Vec<Vec<u8>>) -> Result<(), AppendError> {
        let mut full = self.full.lock().unwrap();
        if *full > 0 {
            *full -= 1;
            return Err(AppendError::TimedOut { waited_ms: 1, reason: "full".into() });
        }
        self.records.lock().unwrap().extend(records.iter().map(|r| serde_json::from_slice(r).unwrap()));
        Ok(())
    }
}

/// A sink at work on batches in memory.
pub struct Bench {
    pub sink: Option<Sink>,
    pub acks: Arc<Acks>,
    pub letters: Arc<Letters>,
    pub batches: Vec<Batch>,
    /// What each poll asked for.
    pub limits: Arc<Mutex<Vec<Limits>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Bench {
    /// Starts the sink that `kind` describes.
    pub fn start(kind: SinkKind, batches: Vec<Batch>, runtime: tokio::runtime::Runtime) -> Bench {
        Self::start_letters(kind, batches, runtime, Arc::default())
    }

    /// The same with dead letters of the test's own.
    pub fn start_letters(kind: SinkKind, batches: Vec<Batch>, runtime: tokio::runtime::Runtime, letters: Arc<Letters>) -> Bench {
        let acks = Arc::new(Acks::of(&batches));
        let limits = Arc::default();
        let consumer = Box::new(MemoryQueue { batches: batches.clone().into(), acks: acks.clone(), limits: Arc::clone(&limits) });
        let sink =
            Sink::start(options(kind), "web-1", consumer, letters.clone(), runtime.handle().clone(), &BodyMemory::new(8 << 20)).unwrap();
        Bench { sink: Some(sink), acks, letters, batches, limits, _runtime: runtime }
    }

    /// Starts a sink with a client of the test's own.
    pub fn start_with(encoder: Box<dyn Encoder>, client: Box<dyn Client>, in_flight: u32, batches: Vec<Batch>) -> Bench {
        let (acks, letters) = (Arc::new(Acks::of(&batches)), Arc::new(Letters::default()));
        let limits = Arc::default();
        let consumer = Box::new(MemoryQueue { batches: batches.clone().into(), acks: acks.clone(), limits: Arc::clone(&limits) });
        let runtime = runtime();
        let options = options(SinkKind::Console(Default::default()));
        let handle = runtime.handle().clone();
        let sink =
            Sink::start_with(options, "test", encoder, client, in_flight, consumer, letters.clone(), handle, &BodyMemory::new(8 << 20))
                .unwrap();
        Bench { sink: Some(sink), acks, letters, batches, limits, _runtime: runtime }
    }

    pub fn sink(&self) -> &Sink {
        self.sink.as_ref().unwrap()
    }

    /// Waits until each batch is acked, exactly once.
    pub fn finish(&self) {
        wait(&self.acks.0, "all batches acked", |acks| acks.len() >= self.batches.len());
        let mut firsts: Vec<u64> = self.acks.0.0.lock().unwrap().iter().map(|id| id.first).collect();
        firsts.sort_unstable();
        assert_eq!(firsts, self.batches.iter().map(|b| b.id.first).collect::<Vec<_>>());
    }
}

/// Options with short times.
pub fn options(kind: SinkKind) -> SinkOptions {
    SinkOptions {
        retry: RetryOptions { initial: Duration::from_millis(2), max: Duration::from_millis(20) },
        ..SinkOptions::new("search", kind)
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A request that the server has read.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Number of the connection that it came over, from 0.
    pub connection: usize,
    /// Name that the client asked for in the TLS handshake.
    pub server_name: Option<String>,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, v)| v)
    }

    /// The IDs of the `create` actions of a bulk body.
    pub fn ids(&self) -> Vec<String> {
        let text = std::str::from_utf8(&self.body).unwrap();
        let id = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["create"]["_id"].as_str().unwrap().to_string();
        text.lines().step_by(2).map(id).collect()
    }
}

/// What the server does with a request.
pub enum Reply {
    Answer(u16, &'static [(&'static str, &'static str)], String),
    /// Closes the connection without an answer.
    Reset,
    /// Promises more bytes than it sends.
    Cut(String),
    /// The same, after a while.
    Late(Duration, Box<Reply>),
}

type Script = Box<dyn FnMut(usize, &Seen) -> Reply + Send>;

/// An HTTP/1.1 server whose behaviour is a function of the request's number and content.
pub struct Server {
    pub url: String,
    pub seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub fn start(runtime: &tokio::runtime::Runtime, script: impl FnMut(usize, &Seen) -> Reply + Send + 'static) -> Server {
        Self::start_at(runtime, "127.0.0.1:0", None, script)
    }

    /// The same at an address, with TLS where `tls` is there.
    pub fn start_at(
        runtime: &tokio::runtime::Runtime,
        address: &str,
        tls: Option<Arc<rustls::ServerConfig>>,
        script: impl FnMut(usize, &Seen) -> Reply + Send + 'static,
    ) -> Server {
        let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
        let url = format!("{}://{}", if tls.is_some() { "https" } else { "http" }, listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        let all = seen.clone();
        runtime.spawn(async move {
            let mut number = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let (script, seen, tls) = (script.clone(), all.clone(), tls.clone());
                let first = Seen { connection: number, ..Seen::default() };
                number += 1;
                tokio::spawn(async move {
                    let Some(tls) = tls else { return serve(stream, script, seen, first).await };
                    let stream = tokio_rustls::TlsAcceptor::from(tls).accept(stream).await.ok()?;
                    let server_name = stream.get_ref().1.server_name().map(str::to_string);
                    serve(stream, script, seen, Seen { server_name, ..first }).await
                });
            }
        });
        Server { url, seen }
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    script: Arc<Mutex<Script>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    first: Seen,
) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = memchr::memmem::find(&buffer, b"\r\n\r\n") {
                break end;
            }
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8(buffer[..end].to_vec()).ok()?;
        let mut head = head.split("\r\n");
        let line = head.next()?.to_string();
        let headers: Vec<(String, String)> = head.filter_map(|h| h.split_once(": ")).map(|(n, v)| (n.into(), v.into())).collect();
        let mut request = Seen { line, headers, ..first.clone() };
        let len: usize = request.header("content-length").parse().unwrap_or(0);
        while buffer.len() < end + 4 + len {
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        }
        request.body = buffer[end + 4..end + 4 + len].to_vec();
        buffer.drain(..end + 4 + len);
        let mut reply = {
            let mut seen = seen.lock().unwrap();
            let reply = (script.lock().unwrap())(seen.len(), &request);
            seen.push(request);
            reply
        };
        while let Reply::Late(wait, then) = reply {
            tokio::time::sleep(wait).await;
            reply = *then;
        }
        match reply {
            // What is late comes after its wait.
            Reply::Late(..) => return None,
            Reply::Answer(status, headers, body) => {
                let headers: String = headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
                let answer = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.ok()?;
            }
            Reply::Reset => return None,
            Reply::Cut(body) => {
                let answer =
                    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len() + 50);
                stream.write_all(answer.as_bytes()).await.ok()?;
                return None;
            }
        }
    }
}
