//! Sends `_bulk` requests.

use super::classify;
use super::endpoints::Endpoints;
use super::index::IndexName;
use super::options::{Compression, ElasticsearchOptions};
use crate::sink::SinkError;
use crate::sink::client::{Client, Outcome, Request, Sending};
use crate::sink::transport::{Transport, gzip, parse_url};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};

/// What of the answer is of use; the rest would be some 190 bytes for each event.
const FILTER: &str = "errors,error,status,items.*.status,items.*.error";

/// The client of an Elasticsearch sink.
pub(crate) struct BulkClient {
    transport: Transport,
    endpoints: Endpoints,
    compression: Compression,
    headers: HeaderMap,
}

impl BulkClient {
    /// A client for the sink `sink`.
    pub fn new(sink: &str, options: &ElasticsearchOptions, in_flight: u32) -> Result<BulkClient, SinkError> {
        let bases = options.endpoints.iter().map(|e| parse_url(sink, e)).collect::<Result<Vec<_>, _>>()?;
        if bases.is_empty() {
            return Err(SinkError::Option { sink: sink.into(), reason: "it has no endpoints; expected at least one URL".into() });
        }
        let index = IndexName::new(&options.index);
        let urls =
            bases.iter().map(|base| bulk_url(sink, base, index.constant(), options.pipeline.as_deref())).collect::<Result<Vec<_>, _>>()?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        if options.compression != Compression::None {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let transport = Transport::new(sink, &bases, &options.auth, &options.tls, options.timeout, in_flight)?;
        Ok(BulkClient { transport, endpoints: Endpoints::new(urls), compression: options.compression, headers })
    }

    async fn attempt(&self, request: Request<'_>) -> Outcome {
        let mut last = Outcome::Retry { reason: "there is no endpoint".into(), after: None };
        for index in self.endpoints.order() {
            let url = self.endpoints.url(index);
            let answer = self.transport.send(Method::POST, url.clone(), self.headers.clone(), request.body.clone()).await;
            match answer {
                Ok(answer) => {
                    let down = matches!(answer.status, 502..=504);
                    self.endpoints.note(index, !down);
                    last = classify::outcome(&answer, request.items);
                    if !down {
                        return last;
                    }
                }
                Err(error) => {
                    self.endpoints.note(index, false);
                    last = Outcome::Retry { reason: format!("{} {error}", url.origin().ascii_serialization()), after: None };
                }
            }
            // The same IDs: another endpoint of the same cluster may get what this one took already.
        }
        last
    }
}

impl Client for BulkClient {
    fn send<'a>(&'a self, request: Request<'a>) -> Sending<'a> {
        Box::pin(self.attempt(request))
    }

    fn compress(&self, body: &[u8]) -> Option<Vec<u8>> {
        match self.compression {
            Compression::None => None,
            Compression::Gzip(level) => Some(gzip(body, level)),
        }
    }
}

fn bulk_url(sink: &str, base: &Url, index: Option<&str>, pipeline: Option<&str>) -> Result<Url, SinkError> {
    let mut url = base.clone();
    match url.path_segments_mut() {
        Ok(mut path) => path.pop_if_empty().extend(index).push("_bulk"),
        Err(()) => {
            return Err(SinkError::Endpoint { sink: sink.into(), url: base.to_string(), reason: "it cannot have a path".into() });
        }
    };
    url.query_pairs_mut().append_pair("filter_path", FILTER).extend_pairs(pipeline.map(|p| ("pipeline", p)));
    Ok(url)
}

#[cfg(test)]
mod live;
#[cfg(test)]
mod tests;
