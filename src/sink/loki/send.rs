//! Sends push requests to Loki.

use super::options::LokiOptions;
use crate::sink::SinkError;
use crate::sink::client::{Client, Outcome, Request, Sending};
use crate::sink::elasticsearch::Compression;
use crate::sink::http::header_map;
use crate::sink::transport::{Answer, Transport, gzip, parse_url};
use crate::sink::verdict::by_status;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};

/// The client of a Loki sink.
pub(crate) struct LokiClient {
    transport: Transport,
    url: Url,
    headers: HeaderMap,
    compression: Compression,
}

impl LokiClient {
    /// A client for the sink `sink`.
    pub fn new(sink: &str, options: &LokiOptions, in_flight: u32) -> Result<LokiClient, SinkError> {
        let mut url = parse_url(sink, &options.endpoint)?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["loki", "api", "v1", "push"]);
        }
        let tenant: Vec<_> = options.tenant.iter().map(|tenant| ("X-Scope-OrgID".to_string(), tenant.clone())).collect();
        let mut headers = header_map(sink, &tenant)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if options.compression != Compression::None {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let transport = Transport::new(sink, std::slice::from_ref(&url), &options.auth, &options.tls, options.timeout, in_flight)?;
        Ok(LokiClient { transport, url, headers, compression: options.compression })
    }

    async fn attempt(&self, request: Request<'_>) -> Outcome {
        match self.transport.send(Method::POST, self.url.clone(), self.headers.clone(), request.body).await {
            Ok(answer) => outcome(&answer),
            Err(error) => Outcome::Retry { reason: format!("{} {error}", self.url.origin().ascii_serialization()), after: None },
        }
    }
}

fn outcome(answer: &Answer) -> Outcome {
    let said = answer.excerpt();
    let too_large = said.contains("ResourceExhausted") && said.contains("larger than max");
    match answer.status {
        500 if too_large => Outcome::TooLarge { reason: format!("500 {said}") },
        _ => by_status(answer, &said),
    }
}

impl Client for LokiClient {
    fn send<'a>(&'a self, request: Request<'a>) -> Sending<'a> {
        Box::pin(self.attempt(request))
    }

    fn pick(&self, body: &[u8], items: &[u32], pick: &[u32], out: &mut Vec<u8>) {
        super::encode::pick(body, items, pick, out);
    }

    /// Loki drops what it has already, entry by entry.
    fn names_items(&self) -> bool {
        true
    }

    fn compress(&self, body: &[u8]) -> Option<Vec<u8>> {
        match self.compression {
            Compression::None => None,
            Compression::Gzip(level) => Some(gzip(body, level)),
        }
    }
}

#[cfg(test)]
mod tests;
