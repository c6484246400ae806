//! Requests of `forebay setup`, one after the other, through the HTTP client of the sinks.

use crate::sink::transport::{Transport, excerpt, parse_url};
use crate::sink::{ConnectionOptions, SinkError};
use bytes::Bytes;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use url::Url;

/// What a request carries.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    None,
    Json(Value),
    /// A file as the one part of a form.
    File {
        name: &'static str,
        lines: Vec<Value>,
    },
}

/// A request as it is sent, and as `--dry-run` shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub method: &'static str,
    /// With its query; behind the path of the base URL.
    pub path: String,
    /// Beside the log-in and the content type.
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: Body,
}

/// What separates the parts of a form; no JSON text holds it.
const BOUNDARY: &str = "forebay-saved-objects-7d1c2a";

impl Request {
    pub fn get(path: impl Into<String>) -> Request {
        Request { method: "GET", path: path.into(), headers: Vec::new(), body: Body::None }
    }

    pub fn put(path: impl Into<String>, body: Value) -> Request {
        Request { method: "PUT", path: path.into(), headers: Vec::new(), body: Body::Json(body) }
    }

    /// For people: the form that the consoles of Kibana and OpenSearch Dashboards take.
    pub fn text(&self) -> String {
        let mut out = format!("{} {}\n", self.method, self.path);
        for (name, value) in &self.headers {
            out.push_str(&format!("# {name}: {value}\n"));
        }
        match &self.body {
            Body::None => {}
            Body::Json(body) => out.push_str(&format!("{body:#}\n")),
            Body::File { name, lines } => {
                out.push_str(&format!("# multipart/form-data, file={name}:\n"));
                lines.iter().for_each(|line| out.push_str(&format!("{line}\n")));
            }
        }
        out
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let mut out = json!({"method": self.method, "path": self.path});
        if !self.headers.is_empty() {
            out["headers"] = self.headers.iter().map(|(n, v)| (n.to_string(), json!(v))).collect::<serde_json::Map<_, _>>().into();
        }
        match &self.body {
            Body::None => {}
            Body::Json(body) => out["body"] = body.clone(),
            Body::File { name, lines } => out["file"] = json!({"name": name, "lines": lines}),
        }
        out
    }

    fn bytes(&self) -> (Option<String>, Bytes) {
        match &self.body {
            Body::None => (None, Bytes::new()),
            Body::Json(body) => (Some("application/json".into()), body.to_string().into()),
            Body::File { name, lines } => {
                let mut form = format!(
                    "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: application/ndjson\r\n\r\n"
                );
                lines.iter().for_each(|line| form.push_str(&format!("{line}\n")));
                form.push_str(&format!("\r\n--{BOUNDARY}--\r\n"));
                (Some(format!("multipart/form-data; boundary={BOUNDARY}")), form.into())
            }
        }
    }
}

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub status: u16,
    /// `Null` where the answer is no JSON.
    pub body: Value,
    /// Its beginning in one line, safe to show.
    pub said: String,
}

impl Reply {
    pub fn new(status: u16, body: &[u8]) -> Reply {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let reason = ["/error/root_cause/0/reason", "/error/reason", "/message", "/error/message", "/error"]
            .iter()
            .find_map(|at| json.pointer(at)?.as_str());
        let said = match reason {
            // The causes below say what is wrong with a mapping; those above only that something is.
            Some(reason) => {
                let (mut words, mut below) = (reason.to_string(), json.pointer("/error/caused_by"));
                while let Some(cause) = below {
                    let reason = cause["reason"].as_str().unwrap_or_default();
                    if !words.contains(reason) {
                        words = format!("{words}: {reason}");
                    }
                    below = cause.get("caused_by");
                }
                excerpt(&words)
            }
            None => excerpt(&String::from_utf8_lossy(&body[..body.len().min(2000)])),
        };
        Reply { status, body: json, said }
    }

    pub fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Who answers requests.
pub(crate) trait Server {
    /// The URL for messages.
    fn name(&self) -> String;

    /// The answer, or why there is none.
    fn ask(&self, request: &Request) -> Result<Reply, String>;
}

/// A server behind one of several URLs.
pub(crate) struct Wire {
    bases: Vec<Url>,
    transport: Transport,
    runtime: tokio::runtime::Runtime,
}

impl Wire {
    /// For the sink (or the command) `name`; reached as `options` tell.
    pub fn new(name: &str, urls: &[String], options: &ConnectionOptions) -> Result<Wire, SinkError> {
        let bases = urls.iter().map(|url| parse_url(name, url)).collect::<Result<Vec<_>, _>>()?;
        let transport = Transport::new(name, &bases, options, 1)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| SinkError::Option { sink: name.into(), reason: format!("cannot wait for answers: {e}") })?;
        Ok(Wire { bases, transport, runtime })
    }
}

impl Server for Wire {
    fn name(&self) -> String {
        self.bases.iter().map(|base| base.as_str().trim_end_matches('/')).collect::<Vec<_>>().join(", ")
    }

    fn ask(&self, request: &Request) -> Result<Reply, String> {
        let method = Method::from_bytes(request.method.as_bytes()).map_err(|e| e.to_string())?;
        let (content_type, body) = request.bytes();
        let mut headers = HeaderMap::new();
        if let Some(value) = content_type.and_then(|t| HeaderValue::from_str(&t).ok()) {
            headers.insert(CONTENT_TYPE, value);
        }
        for (name, value) in &request.headers {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let mut why = "there is no endpoint".to_string();
        for base in &self.bases {
            let url = format!("{}{}", base.as_str().trim_end_matches('/'), request.path);
            let url = Url::parse(&url).map_err(|e| format!("{url}: {e}"))?;
            // All that is sent here comes to the same when it comes twice.
            match self.runtime.block_on(self.transport.send(method.clone(), url, headers.clone(), body.clone())) {
                Ok(answer) if (300..400).contains(&answer.status) => {
                    why =
                        format!("{base} answers {} with a redirect to {}: give that URL instead", answer.status, excerpt(&answer.location));
                }
                Ok(answer) if matches!(answer.status, 502..=504) => why = format!("{base} answers {}: {}", answer.status, answer.excerpt()),
                Ok(answer) => return Ok(Reply::new(answer.status, &answer.body)),
                Err(error) => why = format!("{} {error}", base.origin().ascii_serialization()),
            }
        }
        Err(why)
    }
}
