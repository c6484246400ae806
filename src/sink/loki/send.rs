//! Sends push requests to Loki.

use super::options::LokiOptions;
use crate::sink::client::{Client, Outcome, Report, Request, Sending};
use crate::sink::http::header_map;
use crate::sink::target::Target;
use crate::sink::transport::{Answer, parse_url};
use crate::sink::verdict::by_status;
use crate::sink::{Compression, SinkError};
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

/// The client of a Loki sink.
pub(crate) struct LokiClient {
    target: Target,
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
        options.connection.compression.name_in(&mut headers);
        let target = Target::new(sink, url, &options.connection, in_flight)?;
        Ok(LokiClient { target, headers, compression: options.connection.compression })
    }

    async fn attempt(&self, request: Request<'_>) -> Outcome {
        match self.target.send(Method::POST, self.headers.clone(), request.body).await {
            Ok(answer) => outcome(&answer),
            Err(reason) => Outcome::Retry { reason, after: None },
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

    fn report(&self) -> Report {
        self.target.report()
    }

    fn pick(&self, body: &[u8], items: &[u32], pick: &[u32], out: &mut Vec<u8>) {
        super::encode::pick(body, items, pick, out);
    }

    /// Loki drops what it has already, entry by entry.
    fn names_items(&self) -> bool {
        true
    }

    fn compress(&self, body: &[u8]) -> Option<Vec<u8>> {
        self.compression.apply(body)
    }
}

#[cfg(test)]
mod tests;
