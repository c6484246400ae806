//! The listener: who may send, what is asked, and the way of a body through to its answer.

use super::accept::connections;
use super::body::{self, Form};
use super::filter::Keep;
use super::gather::{NoBody, gather};
use super::probes::probe;
use super::{answer, bulk};
use crate::source::push::HttpInputOptions;
use crate::source::push::counters::add;
use crate::source::push::inlet::{Filled, Inlet, Owner, Piece};
use crate::source::push::pump::{Pump, Refusal};
use crate::source::push::tls;
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use axum::routing::{get, post};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// Streams of their own for at most this many indices; the events of others go to the common one.
const MOST_INDICES: usize = 64;
/// A body up to this is taken apart on the network's own thread.
const SMALL: usize = 64 << 10;

/// A connection without a request for this long is closed.
const QUIET: Duration = Duration::from_secs(300);

/// A bound listener.
pub(crate) struct Listening {
    listener: tokio::net::TcpListener,
    tls: Option<TlsAcceptor>,
    pub(crate) address: SocketAddr,
}

/// Binds. To be called inside the runtime.
pub(crate) fn listen(options: &HttpInputOptions) -> io::Result<Listening> {
    let tls = options.tls.as_ref().map(tls::acceptor).transpose().map_err(io::Error::other)?;
    let listener = TcpListener::bind(options.listen)?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    Ok(Listening { address: listener.local_addr()?, listener, tls })
}

struct Shared {
    pump: Pump,
    owner: Owner,
    max_body: usize,
    max_block: Duration,
    authorization: Option<String>,
    /// KiB of bodies that may be on their way: with it, none waits for memory that another one holds which waits too.
    bodies: Semaphore,
    bodies_kib: u32,
    common: Arc<Inlet>,
    by_index: Mutex<HashMap<Arc<str>, Arc<Inlet>>>,
}

/// What the queue's options say.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_block: Duration,
    /// Half of it is for what sources read.
    pub(crate) buffer_memory: usize,
}

/// Serves until `closing` is done and the requests that are under way have their answers.
pub(crate) async fn serve(
    listening: Listening,
    owner: Owner,
    options: HttpInputOptions,
    pump: Pump,
    queue: Limits,
    closing: impl Future<Output = ()> + Send + 'static,
) {
    let name = owner.options.name.clone();
    let max_body = options.max_body.min(queue.buffer_memory / 4);
    let bodies_kib = u32::try_from((queue.buffer_memory / 4) >> 10).unwrap_or(u32::MAX >> 3);
    let Listening { listener, tls, address } = listening;
    // Longer than any answer takes.
    let patience = queue.max_block + QUIET;
    let connections = connections(listener, address, tls, options.max_connections, patience, &owner.counters);
    let shared = Arc::new(Shared {
        common: Arc::new(owner.inlet("", &[], 0)),
        by_index: Mutex::default(),
        authorization: options.auth.authorization(),
        max_body,
        max_block: queue.max_block,
        bodies: Semaphore::new(bodies_kib as usize),
        bodies_kib,
        pump,
        owner,
    });
    let router = Router::new()
        .route("/", get(greet).post(plain).put(plain))
        .route("/_bulk", post(bulk_all).put(bulk_all))
        .route("/{index}/_bulk", post(bulk_into).put(bulk_into))
        // Clients of version 6 name a type.
        .route("/{index}/{type}/_bulk", post(bulk_typed).put(bulk_typed))
        .route("/{index}/_doc", post(document))
        .route("/{index}/_doc/{id}", post(document_named).put(document_named))
        .route("/{index}/_create/{id}", post(document_named).put(document_named))
        .fallback(other)
        .with_state(shared);
    if let Err(error) = axum::serve(connections, router).with_graceful_shutdown(closing).await {
        tracing::error!("source {name}: the listener on {address} stopped: {error}; nothing more is taken");
    }
}

/// In time that tells only the length.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

impl Shared {
    /// Whether the request may be answered at all.
    fn admit(&self, headers: &HeaderMap) -> Result<(), Box<Response<Body>>> {
        if let Some(expected) = &self.authorization {
            let given = headers.get(header::AUTHORIZATION).map(|v| v.as_bytes()).unwrap_or_default();
            if !same(given, expected.as_bytes()) {
                let mut response =
                    answer::error(StatusCode::UNAUTHORIZED, "security_exception", "missing or wrong credentials; nothing was taken");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Basic realm=\"forebay\""));
                return Err(Box::new(response));
            }
        }
        // A web page must not write to a listener of the machine it is looked at on.
        if headers.contains_key(header::ORIGIN) {
            let why = "requests of web pages (with an Origin header) are not taken";
            return Err(Box::new(answer::error(StatusCode::FORBIDDEN, "security_exception", why)));
        }
        if self.pump.is_closing() {
            return Err(Box::new(answer::refused(&Refusal::Closing)));
        }
        Ok(())
    }

    /// The stream of an index.
    fn inlet(&self, index: &Arc<str>) -> Arc<Inlet> {
        if index.is_empty() {
            return self.common.clone();
        }
        let mut all = self.by_index.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(inlet) = all.get(index) {
            return inlet.clone();
        }
        if all.len() >= MOST_INDICES || index.len() > 255 {
            return self.common.clone();
        }
        let field = ("labels.index".to_string(), serde_json::Value::from(&**index).to_string());
        let inlet = Arc::new(self.owner.inlet(&format!("index {index}"), &[field], 0));
        all.insert(index.clone(), inlet.clone());
        inlet
    }

    fn counted(&self, response: Response<Body>) -> Response<Body> {
        if !response.status().is_success() {
            add(&self.owner.counters.refused_requests, 1);
        }
        response
    }

    /// From a request to an answer: `take` makes of the body the pieces with their indices, and the answer when they are done.
    async fn handle<T: Send + 'static>(
        &self,
        request: Request,
        take: impl FnOnce(&mut [u8], Option<&str>) -> Result<(Vec<(Piece, Arc<str>)>, T), body::Wrong> + Send + 'static,
        done: impl FnOnce(T) -> Response<Body>,
    ) -> Response<Body> {
        let until = Instant::now() + self.max_block;
        let (parts, body) = request.into_parts();
        if let Err(response) = self.admit(&parts.headers) {
            return self.counted(*response);
        }
        let text = |name| parts.headers.get(name).and_then(|v: &header::HeaderValue| v.to_str().ok()).map(str::to_string);
        let gzip = match text(header::CONTENT_ENCODING).as_deref() {
            None | Some("identity") => false,
            Some("gzip") => true,
            Some(_) => {
                let why = "only `Content-Encoding: gzip` is known; nothing was taken";
                return self.counted(answer::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "illegal_argument_exception", why));
            }
        };
        let known = body.size_hint().exact().map_or(self.max_body, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let need = if gzip { known.saturating_add(self.max_body) } else { known };
        let need = u32::try_from(need >> 10).unwrap_or(u32::MAX).saturating_add(1).min(self.bodies_kib);
        let _share = match tokio::time::timeout_at(until.into(), self.bodies.acquire_many(need)).await {
            Ok(Ok(share)) => share,
            _ => return self.counted(answer::no_body(&NoBody::NoRoom, self.max_body)),
        };
        let (mut memory, len) = match gather(&self.pump, body, gzip, self.max_body, until).await {
            Ok(body) => body,
            Err(no) => return self.counted(answer::no_body(&no, self.max_body)),
        };
        let content_type = text(header::CONTENT_TYPE);
        let work = move || take(&mut memory[..len], content_type.as_deref()).map(|taken| (taken, memory.freeze()));
        let taken = if len <= SMALL {
            work()
        } else {
            match tokio::task::spawn_blocking(work).await {
                Ok(taken) => taken,
                Err(_) => return self.counted(answer::refused(&Refusal::Closing)),
            }
        };
        let ((pieces, rest), memory) = match taken {
            Ok(taken) => taken,
            Err(wrong) => return self.counted(answer::wrong(&wrong)),
        };
        if pieces.is_empty() {
            return done(rest);
        }
        let events = pieces.into_iter().map(|(piece, index)| (self.inlet(&index), Filled::of(&memory, piece))).collect();
        match self.pump.deliver(events, until).await {
            Ok(()) => done(rest),
            Err(refusal) => self.counted(answer::refused(&refusal)),
        }
    }

    async fn bulk(&self, index: String, request: Request) -> Response<Body> {
        let (start, max) = (Instant::now(), self.owner.options.max_line_bytes);
        let keep = Keep::of(request.uri().query());
        let take = move |data: &mut [u8], _: Option<&str>| {
            let bulk = bulk::parse(data, &index, max)?;
            Ok((bulk.events.pieces.into_iter().zip(bulk.indices).collect(), bulk.items))
        };
        self.handle(request, take, |items| answer::items(&items, start.elapsed(), keep)).await
    }

    /// One document alone.
    async fn document(&self, index: String, id: String, request: Request) -> Response<Body> {
        let (max, to) = (self.owner.options.max_line_bytes, Arc::<str>::from(index.as_str()));
        let take = move |data: &mut [u8], _: Option<&str>| {
            if let Some(fault) = bulk::fault(data, max) {
                return Err(if data.len() > max { body::Wrong::TooLong(fault) } else { body::Wrong::Malformed(fault) });
            }
            let events = body::events(data, Form::Json, max)?;
            Ok((events.pieces.into_iter().map(|piece| (piece, to.clone())).collect(), ()))
        };
        self.handle(request, take, |()| answer::document(&index, &id)).await
    }
}

async fn greet(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response<Body> {
    match shared.admit(&headers) {
        Ok(()) => answer::greeting(&shared.owner.options.name),
        Err(response) => shared.counted(*response),
    }
}

async fn plain(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let max = shared.owner.options.max_line_bytes;
    let take = move |data: &mut [u8], content_type: Option<&str>| {
        let form: Form = body::form(content_type, data);
        let events = body::events(data, form, max)?;
        let (count, common): (u64, Arc<str>) = (events.events(), "".into());
        Ok((events.pieces.into_iter().map(|piece| (piece, common.clone())).collect(), count))
    };
    shared.handle(request, take, |count| answer::json(StatusCode::OK, format!("{{\"accepted\":{count}}}").into_bytes())).await
}

async fn bulk_all(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    shared.bulk(String::new(), request).await
}

async fn bulk_into(State(shared): State<Arc<Shared>>, Path(index): Path<String>, request: Request) -> Response<Body> {
    shared.bulk(index, request).await
}

async fn bulk_typed(State(shared): State<Arc<Shared>>, Path((index, _)): Path<(String, String)>, request: Request) -> Response<Body> {
    shared.bulk(index, request).await
}

async fn document(State(shared): State<Arc<Shared>>, Path(index): Path<String>, request: Request) -> Response<Body> {
    shared.document(index, String::new(), request).await
}

async fn document_named(State(shared): State<Arc<Shared>>, Path((index, id)): Path<(String, String)>, request: Request) -> Response<Body> {
    // The type of version 6 is mostly `_doc`.
    if id == "_bulk" { shared.bulk(index, request).await } else { shared.document(index, id, request).await }
}

async fn other(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    if let Err(response) = shared.admit(request.headers()) {
        return shared.counted(*response);
    }
    let host = request.headers().get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or("127.0.0.1:9200");
    let response = probe(request.method(), request.uri().path(), host);
    // A question brings no events that would be refused.
    if matches!(*request.method(), Method::GET | Method::HEAD) { response } else { shared.counted(response) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::dead_letter::base64;
    use crate::sink::elasticsearch::Auth;

    #[test]
    fn credentials_are_compared_as_they_are_sent() {
        let auth = Auth::Basic { user: "me".into(), password: crate::config::Secret::new("x:y") };
        assert_eq!(auth.authorization().as_deref(), Some("Basic bWU6eDp5"));
        assert_eq!((base64(b""), base64(b"a"), base64(b"ab")), (String::new(), "YQ==".into(), "YWI=".into()));
        assert!(same(b"abc", b"abc") && !same(b"abc", b"abd") && !same(b"abc", b"ab"));
    }
}
