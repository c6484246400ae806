//! HTTP as sinks need it: TLS, log-in, time-outs, no redirects, answers of bounded size.

use super::SinkError;
use super::elasticsearch::{Auth, TlsOptions};
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Certificate, Client, Identity, Method, Url, redirect};
use std::error::Error;
use std::path::Path;
use std::time::Duration;

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
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct NoAnswer {
    /// What the receiver did instead, to be put behind its URL.
    pub reason: String,
    /// The request cannot have arrived: there was no connection.
    pub unsent: bool,
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Answer {
    /// The beginning of the answer in words, safe to show: one line, no control characters.
    pub fn excerpt(&self) -> String {
        excerpt(&String::from_utf8_lossy(&self.body[..self.body.len().min(2000)]))
    }
}

/// "The receiver answers 503", with what it said if it said anything.
pub(crate) fn answers(status: u16, said: &str) -> String {
    let colon = if said.is_empty() { "" } else { ": " };
    format!("the receiver answers {status}{colon}{said}")
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
    client: Client,
    headers: HeaderMap,
}

impl Transport {
    /// A client for `urls`; log-in and TLS as told. Connections are kept for `in_flight` requests.
    pub fn new(sink: &str, urls: &[Url], auth: &Auth, tls: &TlsOptions, timeout: Duration, in_flight: u32) -> Result<Transport, SinkError> {
        // An error only says that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bad = |reason: String| SinkError::Tls { sink: sink.to_string(), reason };
        let mut builder = Client::builder()
            .user_agent(concat!("forebay/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .timeout(timeout)
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .pool_max_idle_per_host(in_flight.max(1) as usize)
            .http1_only()
            .no_proxy()
            .referer(false);
        if !urls.iter().any(|u| u.scheme() == "https") {
            // Without TLS nobody needs the system's certificates, and a bare container has none.
            builder = builder.tls_certs_only([]);
        } else if let Some(path) = &tls.ca_file {
            let roots = Certificate::from_pem_bundle(&read(path).map_err(bad)?)
                .map_err(|e| bad(format!("{} holds no usable certificates (expected PEM): {}", path.display(), chain(&e))))?;
            if roots.is_empty() {
                return Err(bad(format!("{} holds no certificate (expected PEM)", path.display())));
            }
            builder = builder.tls_certs_only(roots);
        }
        match (&tls.cert_file, &tls.key_file) {
            (Some(cert), Some(key)) => {
                let mut pem = read(cert).map_err(bad)?;
                pem.push(b'\n');
                pem.extend(read(key).map_err(bad)?);
                let identity = Identity::from_pem(&pem).map_err(|e| {
                    bad(format!("{} and {} are no certificate with its key (expected PEM): {}", cert.display(), key.display(), chain(&e)))
                })?;
                builder = builder.identity(identity);
            }
            (None, None) => {}
            _ => return Err(bad("cert_file and key_file belong together, but only one of them is set".into())),
        }
        if tls.insecure {
            tracing::warn!("sink {sink}: verify: false: any certificate is accepted, so anybody on the way can read and change the logs");
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        let client = builder.build().map_err(|e| bad(chain(&e)))?;
        let mut headers = HeaderMap::new();
        if let Some(value) = auth.authorization() {
            let mut value = HeaderValue::from_str(&value).map_err(|_| SinkError::Option {
                sink: sink.to_string(),
                reason: "the credentials under auth hold characters that no HTTP header can hold".into(),
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(Transport { client, headers })
    }

    /// Sends one request and reads its answer.
    pub async fn send(&self, method: Method, url: Url, headers: HeaderMap, body: Bytes) -> Result<Answer, NoAnswer> {
        let request = self.client.request(method, url).headers(self.headers.clone()).headers(headers).body(body);
        let broken = |reason| NoAnswer { reason, unsent: false };
        let mut response = request
            .send()
            .await
            .map_err(|e| NoAnswer { unsent: e.is_connect() || e.is_builder(), reason: no_answer(&chain(&e.without_url())) })?;
        let text = |name| response.headers().get(name).and_then(|v: &HeaderValue| v.to_str().ok()).unwrap_or_default().to_string();
        let mut answer = Answer {
            status: response.status().as_u16(),
            content_type: text(CONTENT_TYPE),
            // The other form of the header, a date, needs clocks that agree; the usual backoff serves as well.
            retry_after: text(RETRY_AFTER).trim().parse().ok().map(Duration::from_secs),
            location: text(LOCATION),
            body: Vec::new(),
        };
        while let Some(chunk) = response.chunk().await.map_err(|e| broken(format!("broke off its answer: {}", chain(&e.without_url()))))? {
            answer.body.extend_from_slice(&chunk);
            if answer.body.len() > LONGEST_REFUSAL && !(200..300).contains(&answer.status) {
                // The status says it all; the rest of the page is not waited for.
                answer.body.truncate(LONGEST_REFUSAL);
                break;
            }
            if answer.body.len() > LONGEST_ANSWER {
                return Err(broken(format!("sends an answer of more than {} MiB", LONGEST_ANSWER >> 20)));
            }
        }
        Ok(answer)
    }
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

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))
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

/// Why there is no answer, in the words of the layers below, with what is most likely to be done about it.
fn no_answer(cause: &str) -> String {
    let cause = cause.trim_start_matches("error sending request").trim_start_matches(": ");
    let remedy = if cause.contains("InvalidContentType") {
        " (nothing there speaks TLS: http:// instead of https://?)"
    } else if cause.contains("invalid peer certificate") {
        " (for a certificate of your own authority set tls.ca_file)"
    } else {
        ""
    };
    format!("does not answer: {cause}{remedy}")
}

/// gzip at `level` (1 to 9).
pub(crate) fn gzip(body: &[u8], level: u32) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 8 + 64), flate2::Compression::new(level.clamp(1, 9)));
    // Writing into memory cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn the_cause_of_a_missing_answer_comes_with_a_remedy() {
        let tls = no_answer("error sending request: client error (Connect): invalid peer certificate: UnknownIssuer");
        assert_eq!(
            tls,
            "does not answer: client error (Connect): invalid peer certificate: UnknownIssuer (for a certificate of your own authority set tls.ca_file)"
        );
        assert_eq!(no_answer("error sending request: operation timed out"), "does not answer: operation timed out");
    }

    #[test]
    fn credentials_go_into_the_header_that_the_server_expects() {
        let secret = || crate::config::Secret::new("k");
        assert_eq!(Auth::None.authorization(), None);
        assert_eq!(Auth::ApiKey(secret()).authorization().as_deref(), Some("ApiKey k"));
        assert_eq!(Auth::Bearer(secret()).authorization().as_deref(), Some("Bearer k"));
        assert_eq!(Auth::Basic { user: "u".into(), password: secret() }.authorization().as_deref(), Some("Basic dTpr"));
    }
}
