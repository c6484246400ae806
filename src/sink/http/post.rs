//! Sends bodies to an HTTP endpoint.

use super::options::{BodyFormat, HttpOptions};
use crate::sink::client::{Client, Outcome, Report, Request, Sending, item_range};
use crate::sink::target::Target;
use crate::sink::transport::parse_url;
use crate::sink::verdict::by_status;
use crate::sink::{Compression, SinkError};
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

/// Headers that are sent with each request of the sink `sink`.
pub(crate) fn header_map(sink: &str, headers: &[(String, String)]) -> Result<HeaderMap, SinkError> {
    let bad = |reason: String| SinkError::Option { sink: sink.to_string(), reason };
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value = HeaderValue::from_str(value)
            .map_err(|_| bad(format!("the value of header {name} holds characters that no header can hold")))?;
        map.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad(format!("{name:?} is no name of a header")))?, value);
    }
    Ok(map)
}

/// The client of an HTTP sink.
pub(crate) struct HttpClient {
    target: Target,
    method: Method,
    headers: HeaderMap,
    format: BodyFormat,
    compression: Compression,
}

impl HttpClient {
    /// A client for the sink `sink`.
    pub fn new(sink: &str, options: &HttpOptions, in_flight: u32) -> Result<HttpClient, SinkError> {
        let bad = |reason: String| SinkError::Option { sink: sink.to_string(), reason };
        let url = parse_url(sink, &options.url)?;
        let method = match options.method.as_str() {
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            other => return Err(bad(format!("method {other:?} cannot carry logs; expected POST or PUT"))),
        };
        let mut headers = header_map(sink, &options.headers)?;
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static(match options.format {
                BodyFormat::Ndjson => "application/x-ndjson",
                BodyFormat::JsonArray => "application/json",
            }),
        );
        options.connection.compression.name_in(&mut headers);
        let target = Target::new(sink, url, &options.connection, in_flight)?;
        Ok(HttpClient { target, method, headers, format: options.format, compression: options.connection.compression })
    }

    async fn attempt(&self, request: Request<'_>) -> Outcome {
        let mut headers = self.headers.clone();
        match HeaderValue::from_str(request.key) {
            Ok(key) => headers.insert("idempotency-key", key),
            // Topic and sink names are checked to be plain long before.
            Err(_) => {
                return Outcome::Hold { reason: "the batch ID holds characters that no header can hold; rename the sink or topic".into() };
            }
        };
        let answer = match self.target.send(self.method.clone(), headers, request.body).await {
            Ok(answer) => answer,
            Err(reason) => return Outcome::Retry { reason, after: None },
        };
        by_status(&answer, &answer.excerpt())
    }
}

impl Client for HttpClient {
    fn send<'a>(&'a self, request: Request<'a>) -> Sending<'a> {
        Box::pin(self.attempt(request))
    }

    fn report(&self) -> Report {
        self.target.report()
    }

    fn pick(&self, body: &[u8], items: &[u32], pick: &[u32], out: &mut Vec<u8>) {
        match self.format {
            BodyFormat::Ndjson => pick.iter().for_each(|&item| out.extend_from_slice(&body[item_range(items, item as usize)])),
            BodyFormat::JsonArray => super::array::pick(body, items, pick, out),
        }
    }

    fn compress(&self, body: &[u8]) -> Option<Vec<u8>> {
        self.compression.apply(body)
    }
}

#[cfg(test)]
mod tests;
