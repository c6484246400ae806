//! HTTP/1.1 as sinks need it: connections that are used again, TLS, log-in, time-outs, no redirects, answers of bounded size.

use super::auth::Credentials;
use super::certificate::Validity;
use super::connect::{Connected, Connector, system};
use super::driven::Driver;
use super::pool::{Connection, Lifetimes, Pool};
use super::proxy::Proxies;
use super::retry_after::retry_after;
use super::tls::{Tls, tls_error};
use super::{ConnectionOptions, SinkError};
use crate::queue::now_ms;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, DATE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, PROXY_AUTHORIZATION, RETRY_AFTER,
    USER_AGENT as AGENT,
};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};
use url::Url;

/// How the agent calls itself.
pub(crate) const USER_AGENT: &str = concat!("forebay/", env!("CARGO_PKG_VERSION"));

/// An answer longer than this is not read to its end.
const LONGEST_ANSWER: usize = 64 << 20;

/// So much of an answer that is no success is kept: enough for every reason, however long the page around it.
const LONGEST_REFUSAL: usize = 1 << 20;

/// What a receiver answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub content_type: String,
    pub retry_after: Option<Duration>,
    pub location: String,
    /// The connection was closed under an earlier try of the same request, which may have arrived nevertheless.
    #[cfg_attr(not(test), allow(dead_code, reason = "for a receiver that must be asked whether it has arrived"))]
    pub resent: bool,
    pub body: Vec<u8>,
}

impl Answer {
    /// The beginning of the answer in words, safe to show: one line, no control characters, of an HTML page what a person would read.
    pub fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(2000)]);
        if text.trim_start().starts_with('<') { excerpt(&without_tags(&text)) } else { excerpt(&text) }
    }

    /// Whether the endpoint can do its work; the error is to be put behind its URL.
    pub fn health(&self) -> Result<(), String> {
        if !matches!(self.status, 502..=504) {
            return Ok(());
        }
        let said = self.excerpt();
        Err(format!("answers {}{}{said}", self.status, if said.is_empty() { "" } else { ": " }))
    }
}

/// "The receiver answers 503", with what it said if it said anything.
pub(crate) fn answers(status: u16, said: &str) -> String {
    let colon = if said.is_empty() { "" } else { ": " };
    format!("the receiver answers {status}{colon}{said}")
}

/// An HTML page without its tags.
fn without_tags(page: &str) -> String {
    let mut out = String::new();
    for part in page.split('<') {
        // What stands before the first tag is in front of any `>`.
        out.push_str(part.split_once('>').map_or(part, |(_, text)| text));
        out.push(' ');
    }
    out
}

/// `text` as one line of at most 300 characters.
pub(crate) fn excerpt(text: &str) -> String {
    let mut out = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    match out.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", &out[..at]),
        None => out,
    }
}

/// A reason for the log and the status: receivers quote the values that they refuse, and events do not belong
/// there, so it ends before the first quoted value. The dead letter has all of it.
pub(crate) fn without_values(reason: &str) -> String {
    let mut before = ' ';
    for (at, c) in reason.char_indices() {
        if matches!(c, '\'' | '"') && !before.is_alphanumeric() {
            return format!("{}…", &reason[..at]);
        }
        before = c;
    }
    reason.to_string()
}

/// An HTTP client for one sink.
pub(crate) struct Transport {
    sink: String,
    connector: Connector,
    credentials: Credentials,
    pool: Pool,
    timeout: Duration,
    /// Of servers, by origin.
    certificates: Mutex<BTreeMap<String, Validity>>,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) struct NoAnswer {
    /// What the receiver did instead, to be put behind its URL.
    pub reason: String,
    /// Nothing of the request can have arrived; else it may have.
    pub unsent: bool,
    /// The server closed a connection that was used before, as it may close one that is idle.
    pub stale: bool,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Why an attempt has no answer.
struct Failure {
    reason: String,
    /// The server closed a connection that was waiting for a request: that is no fault, and another connection may serve.
    stale: bool,
    /// Nothing of the request can have arrived.
    unsent: bool,
}

impl Transport {
    /// A client for `urls`. Connections are kept for `in_flight` requests.
    pub fn new(sink: &str, urls: &[Url], options: &ConnectionOptions, in_flight: u32) -> Result<Transport, SinkError> {
        let timeout = options.timeout;
        let option = |reason: String| SinkError::Option { sink: sink.to_string(), reason };
        // Without TLS nobody needs the system's certificates, and a bare container has none.
        let tls = match urls.iter().any(|u| u.scheme() == "https") {
            true => Some(Tls::new(sink, &options.tls).map_err(|reason| SinkError::Tls { sink: sink.to_string(), reason })?),
            false => None,
        };
        let connector = Connector {
            tls,
            proxies: Proxies::new(sink, &options.proxy, |name| std::env::var(name).ok()).map_err(option)?,
            timeout: timeout.min(Duration::from_secs(10)),
            resolve: system(),
            turn: Default::default(),
        };
        Ok(Transport {
            sink: sink.to_string(),
            connector,
            credentials: Credentials::new(sink, &options.auth).map_err(option)?,
            pool: Pool::new(in_flight.max(1) as usize, Lifetimes::default()),
            timeout,
            certificates: Mutex::default(),
        })
    }

    /// The same with other addresses for names, and connections that live otherwise.
    #[cfg(test)]
    pub fn with(mut self, resolve: super::connect::Resolve, lifetimes: Lifetimes) -> Transport {
        self.connector.resolve = resolve;
        self.pool = Pool::new(8, lifetimes);
        self
    }

    /// Sends one request and reads its answer. Over a connection that the server closes meanwhile, as it may close one that was
    /// idle, it is sent once more, although it may have arrived ([`Answer::resent`]).
    pub async fn send(&self, method: Method, url: Url, headers: HeaderMap, body: Bytes) -> Result<Answer, NoAnswer> {
        self.send_in_time(&method, &url, &headers, &body, true).await
    }

    /// The same for a receiver that may take a request twice: what may have arrived is not sent once more.
    pub async fn send_once(&self, method: Method, url: Url, headers: HeaderMap, body: Bytes) -> Result<Answer, NoAnswer> {
        self.send_in_time(&method, &url, &headers, &body, false).await
    }

    async fn send_in_time(&self, method: &Method, url: &Url, headers: &HeaderMap, body: &Bytes, again: bool) -> Result<Answer, NoAnswer> {
        let late =
            |_| Err(NoAnswer { reason: format!("does not answer within {} s", self.timeout.as_secs_f32()), unsent: false, stale: false });
        tokio::time::timeout(self.timeout, self.send_patiently(method, url, headers, body, again)).await.unwrap_or_else(late)
    }

    async fn send_patiently(&self, method: &Method, url: &Url, headers: &HeaderMap, body: &Bytes, again: bool) -> Result<Answer, NoAnswer> {
        let origin = url.origin().ascii_serialization();
        let (mut resent, mut refused) = (false, false);
        loop {
            let credentials = self.credentials.header();
            let mut headers = headers.clone();
            if let Some(value) = &credentials {
                headers.insert(AUTHORIZATION, value.clone());
            }
            match self.attempt(method, url, &origin, headers, body, resent).await {
                // Files with credentials are exchanged while requests are on their way.
                Ok(answer) if answer.status == 401 && !refused && self.credentials.others(credentials.as_ref()) => refused = true,
                Ok(answer) => return Ok(Answer { resent, ..answer }),
                Err(failure) if failure.stale && !resent && (failure.unsent || again) => resent = !failure.unsent,
                Err(failure) => {
                    let (unsent, stale) = (failure.unsent && !resent, failure.stale && !resent);
                    return Err(NoAnswer { reason: failure.reason, unsent, stale });
                }
            }
        }
    }

    /// One request over one connection, a new one if `new`.
    async fn attempt(
        &self,
        method: &Method,
        url: &Url,
        origin: &str,
        mut headers: HeaderMap,
        body: &Bytes,
        new: bool,
    ) -> Result<Answer, Failure> {
        let generation = self.connector.tls.as_ref().filter(|_| url.scheme() == "https").map_or(0, |tls| tls.current().generation);
        let mut connection = match (!new).then(|| self.pool.take(origin, generation)).flatten() {
            Some(connection) => connection,
            None => self.connect(url, origin).await.map_err(|reason| Failure { reason, stale: false, unsent: true })?,
        };
        let stale = connection.used;
        if connection.sender.ready().await.is_err() {
            return Err(Failure { reason: "does not answer: it closes each connection at once".into(), stale, unsent: true });
        }
        let authority = url[url::Position::BeforeHost..url::Position::AfterPort].to_string();
        let target = match &connection.proxy {
            Some(_) => url[..url::Position::AfterQuery].to_string(),
            None => url[url::Position::BeforePath..url::Position::AfterQuery].to_string(),
        };
        let passport = connection.proxy.as_ref().and_then(|proxy| proxy.credentials.header());
        headers.entry(AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
        headers.extend(passport.clone().map(|value| (PROXY_AUTHORIZATION, value)));
        // A parsed URL has only characters that a header and a request line may have.
        let unsendable = |e: &dyn Error| Failure { reason: format!("cannot be asked: {e}"), stale: false, unsent: true };
        headers.insert(HOST, HeaderValue::from_str(&authority).map_err(|e| unsendable(&e))?);
        let mut request = Request::builder().method(method).uri(target).body(Full::new(body.clone())).map_err(|e| unsendable(&e))?;
        *request.headers_mut() = headers;
        let response = connection.driver.answer(connection.sender.try_send_request(request)).await;
        let Some(response) = response else {
            return Err(Failure { reason: "closes the connection without an answer".into(), stale, unsent: true });
        };
        let response = response.map_err(|mut error| {
            let unsent = error.take_message().is_some();
            let error = error.into_error();
            Failure { reason: self.no_answer(url, &error), stale: stale && (unsent || closed(&error)), unsent }
        })?;
        let proxy = connection.proxy.clone();
        let answer = read(response, connection, &self.pool).await.map_err(|reason| Failure { reason, stale: false, unsent: false })?;
        match proxy {
            Some(proxy) if answer.status == 407 => {
                let reason = format!("cannot be reached: {}", proxy.refusal(passport.as_ref()));
                Err(Failure { reason, stale: false, unsent: true })
            }
            _ => Ok(answer),
        }
    }

    async fn connect(&self, url: &Url, origin: &str) -> Result<Connection, String> {
        let Connected { io, certificate, generation, proxy } = self.connector.connect(url).await?;
        if let Some(certificate) = certificate {
            self.met(origin, certificate);
        }
        let (sender, driver) = http1::handshake(TokioIo::new(io)).await.map_err(|e| format!("does not answer: {}", chain(&e)))?;
        Ok(Connection {
            sender,
            driver: Driver::spawn(driver),
            origin: origin.to_string(),
            proxy,
            generation,
            made: Instant::now(),
            used: false,
        })
    }

    fn certificates(&self) -> MutexGuard<'_, BTreeMap<String, Validity>> {
        self.certificates.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Remembers a server's certificate, and says once that it ends.
    fn met(&self, origin: &str, certificate: Validity) {
        let known = self.certificates().insert(origin.to_string(), certificate);
        let now = now_ms();
        if known != Some(certificate) && certificate.ends_soon(now) {
            tracing::warn!("sink {}: the certificate of {origin} {}; renew it there", self.sink, certificate.words(now));
        }
    }

    /// When the certificate of the server of a URL ends, ms since the Unix epoch.
    pub fn certificate_ends_ms(&self, url: &Url) -> Option<u64> {
        self.certificates().get(&url.origin().ascii_serialization()).map(|c| c.until_ms)
    }

    /// What somebody should know although all works: certificates that end, files that cannot be read again.
    pub fn notices(&self) -> Vec<String> {
        let now = now_ms();
        let ends = |(origin, c): (&String, &Validity)| format!("the certificate of {origin} {}; renew it there", c.words(now));
        let mut notices: Vec<String> = self.certificates().iter().filter(|(_, c)| c.ends_soon(now)).map(ends).collect();
        notices.extend(self.connector.tls.iter().flat_map(Tls::notices));
        notices.extend(self.credentials.notice());
        notices
    }

    /// Why there is no answer, in the words of the layers below, with what is most likely to be done about it.
    fn no_answer(&self, url: &Url, error: &(dyn Error + 'static)) -> String {
        match (&self.connector.tls, tls_error(error)) {
            // With TLS 1.3 a server refuses our certificate only after the handshake.
            (Some(tls), Some(error)) => format!("does not answer: TLS: {}", tls.explain(url.host_str().unwrap_or_default(), error)),
            _ if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message) => {
                let hint = if url.scheme() == "http" { " (should it last: does it want https://?)" } else { "" };
                format!("closes the connection without an answer{hint}")
            }
            _ => format!("does not answer: {}", chain(error)),
        }
    }
}

/// Whether the other side closed the connection instead of answering.
fn closed(error: &hyper::Error) -> bool {
    let reset = || {
        let io = error.source().and_then(|e| e.downcast_ref::<io::Error>());
        io.is_some_and(|e| matches!(e.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof))
    };
    error.is_incomplete_message() || error.is_canceled() || error.is_closed() || reset()
}

/// Reads an answer; its connection returns to `pool` if it is read to its end.
async fn read(response: Response<Incoming>, connection: Connection, pool: &Pool) -> Result<Answer, String> {
    let (head, mut body) = response.into_parts();
    let text = |name: HeaderName| head.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_string();
    let mut answer = Answer {
        status: head.status.as_u16(),
        content_type: text(CONTENT_TYPE),
        retry_after: retry_after(&text(RETRY_AFTER), &text(DATE), SystemTime::now()),
        location: text(LOCATION),
        resent: false,
        // Growing step by step would copy it, and each step is fresh memory.
        body: Vec::with_capacity(body.size_hint().exact().map_or(0, |len| len.min(LONGEST_REFUSAL as u64) as usize)),
    };
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| format!("broke off its answer: {}", chain(&e)))?;
        let Some(chunk) = frame.data_ref() else { continue };
        answer.body.extend_from_slice(chunk);
        if answer.body.len() > LONGEST_REFUSAL && !(200..300).contains(&answer.status) {
            // The status says it all; the rest of the page is not waited for.
            answer.body.truncate(LONGEST_REFUSAL);
            return Ok(answer);
        }
        if answer.body.len() > LONGEST_ANSWER {
            return Err(format!("sends an answer of more than {} MiB", LONGEST_ANSWER >> 20));
        }
    }
    pool.put(connection);
    Ok(answer)
}

/// Parses a base URL; what cannot be used is an error that names neither user nor password.
pub(crate) fn parse_url(sink: &str, text: &str) -> Result<Url, SinkError> {
    let bad = |url: &str, reason: String| SinkError::Endpoint { sink: sink.to_string(), url: url.to_string(), reason };
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) if text.contains('@') => return Err(bad("the URL", error.to_string())),
        Err(error) => return Err(bad(text, error.to_string())),
    };
    if !url.username().is_empty() || url.password().is_some() {
        let bare = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
        return Err(bad(&bare, "user and password belong under auth, not into the URL".into()));
    }
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad(text, "it is neither http:// nor https://".into()));
    }
    Ok(url)
}

/// An error with its causes; the outer ones alone say little.
fn chain(error: &dyn Error) -> String {
    let (mut out, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        let text = cause.to_string();
        if !out.contains(&text) {
            out.push_str(": ");
            out.push_str(&text);
        }
        next = cause.source();
    }
    out
}

#[cfg(test)]
mod proxied;
#[cfg(test)]
mod secured;
#[cfg(test)]
mod tests;
