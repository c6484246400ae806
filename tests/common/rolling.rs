//! Search servers between which and the agent a test stands: a small one of its own whose names are rolled over, and a
//! proxy before a real one. On the way an answer is lost, and the target rolled over behind it.

use super::http;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// A request as it came.
pub struct Request {
    pub method: String,
    /// With its query.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    pub fn is_bulk(&self) -> bool {
        self.path.contains("/_bulk")
    }
}

/// Serves on a port of its own, whose URL it returns, until the process ends; `None` closes the connection without an answer.
pub fn serve(answer: impl Fn(&Request) -> Option<Vec<u8>> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || while connection(&stream, &*answer).is_some() {});
        }
    });
    url
}

fn connection(mut stream: &TcpStream, answer: &dyn Fn(&Request) -> Option<Vec<u8>>) -> Option<()> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 65_536]);
    let mut more = |bytes: &mut Vec<u8>| {
        let n = stream.read(&mut buffer).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&buffer[..n]);
        Some(())
    };
    let end = loop {
        match bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            Some(end) => break end,
            None => more(&mut bytes)?,
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ').map(str::to_string);
    let (method, path) = (words.next()?, words.next()?);
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.into(), value.into())).collect();
    let mut request = Request { method, path, headers, body: Vec::new() };
    let len: usize = request.header("content-length").parse().unwrap_or(0);
    while bytes.len() < end + 4 + len {
        more(&mut bytes)?;
    }
    request.body = bytes[end + 4..end + 4 + len].to_vec();
    let answer = answer(&request)?;
    stream.write_all(&answer).ok()
}

/// What becomes of the next `_bulk` request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Done; the target rolled over; the connection closed without an answer.
    Lose,
    /// Done; the target rolled over; no answer until [`Trap::release`].
    Hold,
}

/// Lets a test decide what becomes of a `_bulk` request.
#[derive(Default)]
pub struct Trap {
    state: Mutex<(Option<Fault>, Held)>,
    changed: Condvar,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Held {
    #[default]
    No,
    /// With the name of the request.
    Yes(String),
}

impl Trap {
    pub fn arm(&self, fault: Fault) {
        *self.state.lock().unwrap() = (Some(fault), Held::No);
    }

    fn take(&self, request: &Request) -> Option<Fault> {
        if request.is_bulk() { self.state.lock().unwrap().0.take() } else { None }
    }

    /// The name of the request that is held.
    pub fn held(&self) -> Option<String> {
        match &self.state.lock().unwrap().1 {
            Held::Yes(name) => Some(name.clone()),
            Held::No => None,
        }
    }

    fn hold(&self, request: &Request) {
        let mut state = self.state.lock().unwrap();
        state.1 = Held::Yes(request.header("x-opaque-id").to_string());
        let (_state, timeout) = self.changed.wait_timeout_while(state, super::PATIENCE, |state| state.1 != Held::No).unwrap();
        assert!(!timeout.timed_out(), "never released");
    }

    pub fn release(&self) {
        self.state.lock().unwrap().1 = Held::No;
        self.changed.notify_all();
    }
}

/// A search server with one name that is rolled over; each of its indices knows its own IDs only.
#[derive(Default)]
pub struct Rolling {
    /// By ID: how often it was created, and its message.
    pub created: HashMap<String, (u32, String)>,
    indices: Vec<HashMap<String, ()>>,
    /// How often it was asked whether it still works on something.
    pub asked_tasks: u32,
}

impl Rolling {
    /// Starts one; its URL, and what it holds.
    pub fn start(trap: Arc<Trap>) -> (String, Arc<Mutex<Rolling>>) {
        let rolling = Arc::new(Mutex::new(Rolling { indices: vec![HashMap::new()], ..Rolling::default() }));
        let own = rolling.clone();
        let url = serve(move |request| {
            let fault = trap.take(request);
            let (status, answer) = {
                let mut rolling = own.lock().unwrap();
                // What is held has arrived in part.
                let answer = rolling.answer(request, &trap, fault == Some(Fault::Hold));
                if fault.is_some() {
                    rolling.indices.push(HashMap::new());
                }
                answer
            };
            match fault {
                Some(Fault::Hold) => trap.hold(request),
                Some(Fault::Lose) => {}
                None => {
                    let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", answer.len());
                    return Some([head.as_bytes(), answer.as_bytes()].concat());
                }
            }
            None
        });
        (url, rolling)
    }

    fn name(index: usize) -> String {
        format!(".ds-logs-test-2026.03.09-{:06}", index + 1)
    }

    fn answer(&mut self, request: &Request, trap: &Trap, in_part: bool) -> (u16, String) {
        let path = request.path.split('?').next().expect("a path");
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let answer = match parts[..] {
            [_, "_settings", _] => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis().to_string();
                let own = |i| (Rolling::name(i), json!({"settings": {"index.creation_date": now}}));
                Value::Object((0..self.indices.len()).map(own).collect())
            }
            [name, "_mget"] => {
                let Some(index) = (0..self.indices.len()).find(|i| Rolling::name(*i) == name) else { return (404, "{}".into()) };
                let body: Value = serde_json::from_slice(&request.body).expect("JSON");
                let found = |doc: &Value| json!({"found": self.indices[index].contains_key(doc["_id"].as_str().expect("an ID"))});
                json!({"docs": body["docs"].as_array().expect("docs").iter().map(found).collect::<Vec<_>>()})
            }
            ["_tasks"] => {
                self.asked_tasks += 1;
                match trap.held() {
                    Some(name) => json!({"tasks": [{"headers": {"X-Opaque-Id": name}}]}),
                    None => json!({}),
                }
            }
            [_, "_bulk"] => {
                let text = std::str::from_utf8(&request.body).expect("UTF-8");
                let (lines, mut items): (Vec<&str>, _) = (text.lines().collect(), Vec::new());
                for (i, pair) in lines.chunks(2).enumerate().filter(|(i, _)| !in_part || i % 2 == 0) {
                    let [action, document] = [pair[0], pair[1]].map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
                    let id = action["create"]["_id"].as_str().expect("an ID").to_string();
                    let index = self.indices.last_mut().expect("one");
                    let status = if index.insert(id.clone(), ()).is_some() { 409 } else { 201 };
                    if status == 201 {
                        let message = document["message"].as_str().expect("a message").to_string();
                        self.created.entry(id).or_insert((0, message)).0 += 1;
                    }
                    items.push(json!({"create": {"status": status, "_seq_no": i}}));
                }
                json!({"errors": true, "items": items})
            }
            _ => return (404, "{}".into()),
        };
        (200, answer.to_string())
    }
}

/// A proxy before `server` that rolls `target` over when the trap springs. Returns its URL.
pub fn proxy(server: &str, target: &str, trap: Arc<Trap>) -> String {
    let (host, rollover) = (server.trim_start_matches("http://").to_string(), format!("{server}/{target}/_rollover"));
    serve(move |request| {
        let fault = trap.take(request);
        let mut stream = TcpStream::connect(&host).ok()?;
        let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", request.method, request.path);
        for (name, value) in request.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("connection")) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(&[head.as_bytes(), b"\r\n", &request.body].concat()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        if fault.is_none() {
            return Some(answer);
        }
        let (status, said) = http::request("POST", &rollover, None).expect("the server answers");
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&said));
        if fault == Some(Fault::Hold) {
            trap.hold(request);
        }
        None
    })
}
