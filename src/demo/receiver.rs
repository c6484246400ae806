//! A small Elasticsearch in this process, for the demo and for tests: it answers `_bulk` as the real
//! one does, keeps an account of every document, and can be told to fail.

use super::account::{Account, ItemFaults};
use super::http::{Request, read_request, write_response};
use std::collections::HashMap;
use std::io::{self, BufReader};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How the receiver answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// As it should.
    #[default]
    Up,
    /// Every connection is cut; nothing is applied.
    Down,
    /// 503 to every request; nothing is applied.
    Unavailable,
    /// 429 to every request; nothing is applied.
    TooManyRequests,
    /// 429 to every third item of a bulk request; the others are applied.
    TooManyItems,
    /// 401 to every request; nothing is applied.
    Unauthorized,
}

#[derive(Default)]
struct Control {
    mode: Mode,
    lose_acks: u64,
    poison: Option<String>,
    data_streams: bool,
}

#[derive(Default)]
struct Shared {
    control: Mutex<Control>,
    account: Mutex<Account>,
    changed: Condvar,
    connections: Mutex<HashMap<u64, TcpStream>>,
    stopping: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// A receiver on a free port of loopback; dropping it closes all its connections.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts it.
    ///
    /// # Errors
    /// Where loopback cannot be listened on.
    pub fn start() -> io::Result<Receiver> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let inner = shared.clone();
        let acceptor = std::thread::Builder::new().name("receiver".into()).spawn(move || accept(&listener, &inner))?;
        Ok(Receiver { address, shared, acceptor: Some(acceptor) })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes how it answers from now on. [`Mode::Down`] cuts the connections that are open, too.
    pub fn set(&self, mode: Mode) {
        lock(&self.shared.control).mode = mode;
        if mode == Mode::Down {
            self.shared.cut_all();
        }
    }

    /// Applies each of the next `n` requests, but cuts its connection before the answer.
    pub fn lose_acks(&self, n: u64) {
        lock(&self.shared.control).lose_acks = n;
    }

    /// Documents whose `message` contains `text` get a 400 from now on, as after a mapping conflict.
    pub fn refuse_documents_with(&self, text: &str) {
        lock(&self.shared.control).poison = Some(text.into());
    }

    /// Every index is a data stream from now on, which takes only `create`.
    pub fn be_data_streams(&self) {
        lock(&self.shared.control).data_streams = true;
    }

    /// Looks at the account.
    pub fn account<T>(&self, look: impl FnOnce(&Account) -> T) -> T {
        look(&lock(&self.shared.account))
    }

    /// Waits until the account fulfils `condition`, at most `timeout`; whether it did.
    pub fn wait(&self, timeout: Duration, mut condition: impl FnMut(&Account) -> bool) -> bool {
        let until = Instant::now() + timeout;
        let mut account = lock(&self.shared.account);
        while !condition(&account) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            account = self.shared.changed.wait_timeout(account, left).unwrap_or_else(|e| e.into_inner()).0;
        }
        true
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes `accept`, which has no time-out.
        let woken = TcpStream::connect_timeout(&self.address, Duration::from_secs(5)).is_ok();
        self.shared.cut_all();
        if let (true, Some(acceptor)) = (woken, self.acceptor.take()) {
            // It ends with the connection above; a panic in it has been printed already.
            let _ = acceptor.join();
        }
    }
}

impl Shared {
    fn cut_all(&self) {
        for stream in lock(&self.connections).values() {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for number in 0.. {
        let Ok((stream, _)) = listener.accept() else { continue };
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(copy) = stream.try_clone() else { continue };
        lock(&shared.connections).insert(number, copy);
        let inner = shared.clone();
        let served = std::thread::Builder::new().name("receiver-connection".into()).spawn(move || {
            // An error is the client's going away, or a cut.
            let _ = serve(&stream, &inner);
            let _ = stream.shutdown(Shutdown::Both);
            lock(&inner.connections).remove(&number);
        });
        if served.is_err() {
            lock(&shared.connections).remove(&number);
        }
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(256 << 10, stream);
    while lock(&shared.control).mode != Mode::Down
        && let Some(request) = read_request(&mut reader)?
    {
        let Some((status, body)) = answer(request, shared) else { return Ok(()) };
        write_response(&mut &*stream, status, &body)?;
    }
    Ok(())
}

/// Status and body of the answer; `None`: the connection is cut.
fn answer(request: Request, shared: &Shared) -> Option<(u16, String)> {
    if request.method == "GET" || request.method == "HEAD" {
        let info = r#"{"name":"receiver","version":{"number":"8.19.0"},"tagline":"You Know, for Search"}"#;
        let empty = request.method == "HEAD";
        if let Some(name) = request.path.strip_prefix("/_resolve/index/") {
            let control = lock(&shared.control);
            let streams = if control.data_streams { format!(r#"{{"name":"{name}","backing_indices":[]}}"#) } else { String::new() };
            let found = format!(r#"{{"indices":[],"aliases":[],"data_streams":[{streams}]}}"#);
            return (control.mode != Mode::Down).then_some((200, found));
        }
        return (lock(&shared.control).mode != Mode::Down)
            .then(|| if request.path == "/" { (200, if empty { "" } else { info }.to_string()) } else { (404, String::new()) });
    }
    // Held to the end, so that a request is either wholly before a change of mode or wholly after it.
    let mut control = lock(&shared.control);
    let mut account = lock(&shared.account);
    account.requests += 1;
    let refusal =
        |status: u16, kind: &str| Some((status, format!(r#"{{"error":{{"type":"{kind}","reason":"{kind}"}},"status":{status}}}"#)));
    match control.mode {
        Mode::Up | Mode::TooManyItems => {}
        Mode::Down => return None,
        Mode::Unavailable => return refusal(503, "cluster_block_exception"),
        Mode::TooManyRequests => return refusal(429, "es_rejected_execution_exception"),
        Mode::Unauthorized => return refusal(401, "security_exception"),
    }
    let faults = ItemFaults {
        busy_every: if control.mode == Mode::TooManyItems { 3 } else { 0 },
        poison: control.poison.clone(),
        data_streams: control.data_streams,
    };
    let (status, body) = match request.path.trim_start_matches('/').split('/').collect::<Vec<_>>()[..] {
        ["_bulk"] => account.bulk("", &request.body, &faults),
        [index, "_bulk"] => account.bulk(index, &request.body, &faults),
        _ => {
            account.post(request.idempotency_key, request.body);
            (200, "{}".into())
        }
    };
    if control.lose_acks > 0 {
        control.lose_acks -= 1;
        account.lost_acks += 1;
        shared.changed.notify_all();
        return None;
    }
    shared.changed.notify_all();
    Some((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn create(receiver: &Receiver, id: u32) -> io::Result<u16> {
        let body = format!("{{\"create\":{{\"_id\":\"{id}\"}}}}\n{{\"message\":\"line {id}\"}}\n");
        let mut stream = TcpStream::connect(receiver.address)?;
        stream.write_all(format!("POST /logs/_bulk HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(std::str::from_utf8(&head[9..]).unwrap().parse().unwrap())
    }

    fn stored(receiver: &Receiver) -> usize {
        receiver.account(|a| a.documents().len())
    }

    #[test]
    fn loses_an_acknowledgement_after_applying() {
        let receiver = Receiver::start().unwrap();
        receiver.lose_acks(1);
        assert!(create(&receiver, 1).is_err());
        assert_eq!(stored(&receiver), 1);
        assert_eq!(create(&receiver, 1).unwrap(), 200);
        assert_eq!(receiver.account(|a| (a.documents().len(), a.conflicts, a.collisions, a.lost_acks)), (1, 1, 0, 1));
    }

    #[test]
    fn fails_as_told_and_recovers() {
        let receiver = Receiver::start().unwrap();
        receiver.set(Mode::Down);
        assert!(create(&receiver, 1).is_err());
        for (mode, status) in [(Mode::Unavailable, 503), (Mode::TooManyRequests, 429), (Mode::Unauthorized, 401)] {
            receiver.set(mode);
            assert_eq!(create(&receiver, 1).unwrap(), status);
        }
        assert_eq!(stored(&receiver), 0);
        receiver.set(Mode::Up);
        assert_eq!(create(&receiver, 1).unwrap(), 200);
        assert!(receiver.wait(Duration::from_secs(10), |a| a.lines().get("line 1") == Some(&1)));
        assert!(!receiver.wait(Duration::ZERO, |a| a.documents().len() == 2));
    }

    #[test]
    fn going_down_cuts_open_connections() {
        let receiver = Receiver::start().unwrap();
        let mut idle = TcpStream::connect(receiver.address).unwrap();
        // The answer shows that the connection is known to the receiver.
        idle.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let mut some = [0; 1];
        idle.read_exact(&mut some).unwrap();
        receiver.set(Mode::Down);
        let mut rest = Vec::new();
        let _ = idle.read_to_end(&mut rest);
        assert!(rest.ends_with(b"}"));
    }
}
