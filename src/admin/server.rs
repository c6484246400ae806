//! The listener itself: small answers to `GET`, on loopback.

use super::ready::{self, Movement};
use super::{Status, metrics, openmetrics};
use crate::config::AdminOptions;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::oneshot;

/// Takes a picture of the agent. It may block shortly: it runs on a thread where that is allowed.
pub type StatusFn = Arc<dyn Fn() -> Status + Send + Sync>;

/// Why there is no admin listener. No data is touched by it.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address that was asked for by name is taken.
    #[error(
        "admin.listen: {address} is taken by another program (or another agent): stop that one, or choose another \
         address (`admin: {{listen: 127.0.0.1:8687}}`), or none (`admin: off`)"
    )]
    Taken {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened on for another reason.
    #[error("admin.listen: cannot listen on {address}: {source}; choose another address, or none (`admin: off`)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
}

/// A running listener; dropping it stops listening and lets answers that are under way finish.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Admin {
    /// Where it listens, with the port that the system chose where `:0` was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

struct Shared {
    status: StatusFn,
    movement: Mutex<Movement>,
    remote: bool,
}

/// Starts the listener on `runtime`. `None`: it is off, or the default port is taken (said in the log).
///
/// # Errors
/// [`AdminError`] when an address that was asked for by name cannot be had.
pub fn serve(options: &AdminOptions, status: StatusFn, runtime: &tokio::runtime::Handle) -> Result<Option<Admin>, AdminError> {
    let Some(address) = options.listen else { return Ok(None) };
    let _inside = runtime.enter();
    let listener = TcpListener::bind(address)
        .and_then(|l| l.set_nonblocking(true).map(|()| l))
        .and_then(|l| Ok((l.local_addr()?, tokio::net::TcpListener::from_std(l)?)));
    let (bound, listener) = match listener {
        Ok(pair) => pair,
        Err(source) if !options.explicit => {
            tracing::warn!(
                "no admin listener: the default address {address} cannot be had ({source}). Shipping goes on; `forebay status` and \
                 /metrics do not work for this agent. To have them: `admin: {{listen: 127.0.0.1:PORT}}`; to silence this: `admin: off`"
            );
            return Ok(None);
        }
        Err(source) if source.kind() == io::ErrorKind::AddrInUse => return Err(AdminError::Taken { address }),
        Err(source) => return Err(AdminError::Listen { address, source }),
    };
    let shared = Arc::new(Shared { status, movement: Mutex::new(Movement::new(Instant::now())), remote: !bound.ip().is_loopback() });
    let (stop, stopped) = oneshot::channel::<()>();
    let router = router(shared);
    runtime.spawn(async move {
        // Ends when the sender is dropped; accept errors are retried inside.
        let stopped = async move { stopped.await.unwrap_or_default() };
        if let Err(e) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
            tracing::error!("the admin listener on {bound} stopped: {e}; shipping goes on");
        }
    });
    Ok(Some(Admin { address: bound, _stop: stop }))
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(|| async { "forebay: /healthz /readyz /metrics /status\n" }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_page))
        .route("/status", get(status_page))
        .layer(middleware::from_fn_with_state(shared.clone(), only_local))
        .with_state(shared)
}

/// A web page that a person has open must not reach this listener under a name that it points at
/// 127.0.0.1 (DNS rebinding): on loopback only loopback's own names are answered.
async fn only_local(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|h| h.to_str().ok());
    if shared.remote || host.is_some_and(is_loopback_host) {
        return next.run(request).await;
    }
    let text = "this listener answers only to localhost, 127.0.0.1 and [::1] in the Host header\n";
    (StatusCode::FORBIDDEN, text).into_response()
}

fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split_once(']').map_or("", |(ip, _)| ip),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

async fn picture(shared: &Arc<Shared>) -> Result<Status, Response> {
    let status = shared.status.clone();
    tokio::task::spawn_blocking(move || status()).await.map_err(|e| {
        tracing::error!("the status could not be taken: {e}");
        (StatusCode::INTERNAL_SERVER_ERROR, "the status could not be taken; see the agent's log\n").into_response()
    })
}

async fn status_page(State(shared): State<Arc<Shared>>) -> Response {
    match picture(&shared).await {
        Ok(status) => axum::Json(status).into_response(),
        Err(response) => response,
    }
}

async fn metrics_page(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match picture(&shared).await {
        Ok(status) if openmetrics::wanted(accept) => {
            ([(header::CONTENT_TYPE, openmetrics::CONTENT_TYPE)], openmetrics::render(&status)).into_response()
        }
        Ok(status) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render(&status)).into_response(),
        Err(response) => response,
    }
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let status = match picture(&shared).await {
        Ok(status) => status,
        Err(response) => return response,
    };
    let still = shared.movement.lock().unwrap_or_else(|e| e.into_inner()).observe(&status, Instant::now());
    let reasons = ready::reasons(&status, still);
    let code = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, axum::Json(serde_json::json!({ "ready": reasons.is_empty(), "reasons": reasons }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::client;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    fn options(listen: SocketAddr, explicit: bool) -> AdminOptions {
        AdminOptions { listen: Some(listen), explicit }
    }

    fn well() -> Status {
        let mut status = Status { version: "0.1.0".into(), pid: 7, ..Default::default() };
        status.queue.state = "ok".into();
        status
    }

    fn start(status: Status) -> (tokio::runtime::Runtime, Admin) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let admin = serve(&options(([127, 0, 0, 1], 0).into(), true), Arc::new(move || status.clone()), runtime.handle()).unwrap().unwrap();
        (runtime, admin)
    }

    fn ask(admin: &Admin, request: &str) -> String {
        let mut stream = TcpStream::connect(admin.address()).unwrap();
        stream.write_all(request.replace('\n', "\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(admin: &Admin, path: &str, host: &str) -> String {
        ask(admin, &format!("GET {path} HTTP/1.1\nHost: {host}\nConnection: close\n\n"))
    }

    #[test]
    fn answers_health_metrics_and_status() {
        let (_runtime, admin) = start(well());
        assert!(get(&admin, "/healthz", "localhost").starts_with("HTTP/1.1 200"));
        let metrics = get(&admin, "/metrics", "127.0.0.1:8686").to_lowercase();
        assert!(metrics.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{metrics}");
        assert!(metrics.contains("\n# type forebay_queue_disk_bytes gauge\n"), "{metrics}");
        let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
        let open = ask(&admin, &format!("GET /metrics HTTP/1.1\nHost: localhost\n{accept}\nConnection: close\n\n"));
        assert!(open.contains("content-type: application/openmetrics-text; version=1.0.0") && open.contains("\n# EOF\n"), "{open}");
        assert_eq!(client::fetch_status(admin.address()), Ok(well()));
        assert!(get(&admin, "/nothing", "localhost").starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn is_ready_or_says_why_not() {
        let (_runtime, admin) = start(well());
        let answer = get(&admin, "/readyz", "[::1]:8686");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(r#"{"ready":true,"reasons":[]}"#), "{answer}");
        let mut full = well();
        full.queue.state = "full".into();
        full.queue.reason = "files wait on disk".into();
        let (_runtime, admin) = start(full);
        let answer = get(&admin, "/readyz", "localhost:1");
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.ends_with(r#"{"ready":false,"reasons":["the queue is full: files wait on disk"]}"#), "{answer}");
    }

    #[test]
    fn refuses_other_hosts_and_methods() {
        let (_runtime, admin) = start(well());
        for host in ["evil.example", "localhost.evil.example:8686", "10.0.0.1", ""] {
            assert!(get(&admin, "/status", host).starts_with("HTTP/1.1 403"), "{host}");
        }
        assert!(
            ask(&admin, "POST /status HTTP/1.1\nHost: localhost\nConnection: close\nContent-Length: 0\n\n").starts_with("HTTP/1.1 405")
        );
    }

    #[test]
    fn a_taken_port_is_an_error_only_when_it_was_asked_for() {
        let (runtime, admin) = start(well());
        let none = serve(&options(admin.address(), false), Arc::new(well), runtime.handle());
        assert!(matches!(none, Ok(None)));
        let error = serve(&options(admin.address(), true), Arc::new(well), runtime.handle()).unwrap_err().to_string();
        assert_eq!(
            error.replace(&admin.address().to_string(), "ADDRESS"),
            "admin.listen: ADDRESS is taken by another program (or another agent): stop that one, or choose another address \
             (`admin: {listen: 127.0.0.1:8687}`), or none (`admin: off`)"
        );
        let off = serve(&AdminOptions { listen: None, explicit: true }, Arc::new(well), runtime.handle());
        assert!(matches!(off, Ok(None)));
    }

    #[test]
    fn dropping_it_frees_the_port() {
        let (runtime, admin) = start(well());
        let address = admin.address();
        drop(admin);
        let until = Instant::now() + std::time::Duration::from_secs(30);
        while TcpStream::connect(address).is_ok() {
            assert!(Instant::now() < until, "still listening");
            std::thread::yield_now();
        }
        drop(runtime);
    }
}
