//! Sends `_bulk` requests.

use super::classify;
use super::encode::{CREATE, INDEX};
use super::endpoints::Endpoints;
use super::index::IndexName;
use super::options::{Compression, ElasticsearchOptions};
use crate::queue::Overwriting;
use crate::sink::SinkError;
use crate::sink::client::{Client, Outcome, Request, Sending, item_range};
use crate::sink::transport::{Transport, gzip, parse_url};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use std::future::Future;
use std::pin::Pin;

/// What of the answer is of use; the rest would be some 190 bytes for each event.
const FILTER: &str = "errors,error,status,items.*.status,items.*.error";

/// The client of an Elasticsearch sink.
pub(crate) struct BulkClient {
    transport: Transport,
    endpoints: Endpoints,
    compression: Compression,
    headers: HeaderMap,
    /// The index; each part of a date as `*`.
    target: String,
    /// The index is named by each event's date, not by the URL.
    dated: bool,
}

/// The answer of `_resolve/index`.
#[derive(serde::Deserialize)]
struct Resolved {
    #[serde(default)]
    aliases: Vec<Alias>,
    #[serde(default)]
    data_streams: Vec<Named>,
}

#[derive(serde::Deserialize)]
struct Alias {
    name: String,
    #[serde(default)]
    indices: Vec<String>,
}

#[derive(serde::Deserialize)]
struct Named {
    name: String,
}

impl Resolved {
    fn overwriting(&self) -> Overwriting {
        if let Some(stream) = self.data_streams.first() {
            return Overwriting::Refuses(format!("{} is a data stream, and a data stream takes only new documents", stream.name));
        }
        match self.aliases.iter().find(|a| a.indices.len() > 1) {
            Some(alias) => Overwriting::Refuses(format!(
                "{} is an alias of {} indices: what stands in an older one would not be replaced, but be there twice",
                alias.name,
                alias.indices.len()
            )),
            None => Overwriting::Replaces,
        }
    }
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
        Ok(BulkClient {
            transport,
            endpoints: Endpoints::new(urls),
            compression: options.compression,
            headers,
            target: index.any_date(),
            dated: index.constant().is_none(),
        })
    }

    /// What the target is: a data stream or an alias of several indices takes no replacements.
    async fn ask_overwriting(&self) -> Overwriting {
        let target = &self.target;
        let unknown = |why: String| {
            Overwriting::Unknown(format!(
                "whether {target} takes replacements could not be asked ({why}): if it is a data stream, it does not; the sink says so in \
                 its log then, and what is indexed already stays as it is"
            ))
        };
        let Some(index) = self.endpoints.order().first().copied() else { return unknown("there is no endpoint".into()) };
        let mut url = self.endpoints.url(index).clone();
        if let Ok(mut path) = url.path_segments_mut() {
            // After the base stand the index, where it is one, and `_bulk`.
            path.pop();
            if !self.dated {
                path.pop();
            }
            path.extend(["_resolve", "index", target]);
        }
        url.set_query(None);
        let answer = match self.transport.send(Method::GET, url, HeaderMap::new(), bytes::Bytes::new()).await {
            Ok(answer) => answer,
            Err(error) => return unknown(error),
        };
        match (answer.status, serde_json::from_slice::<Resolved>(&answer.body)) {
            // There is nothing yet that could be replaced.
            (404, _) => Overwriting::Replaces,
            (200, Ok(resolved)) => resolved.overwriting(),
            (200, Err(_)) => unknown("its answer is not understood".into()),
            (status, _) => unknown(format!("{status} {}", answer.excerpt())),
        }
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

    fn without_overwrite(&self, body: &[u8], items: &[u32], out: &mut Vec<u8>, ends: &mut Vec<u32>) {
        for item in 0..items.len() {
            let item = &body[item_range(items, item)];
            match item.strip_prefix(INDEX) {
                Some(rest) => {
                    out.extend_from_slice(CREATE);
                    out.extend_from_slice(rest);
                }
                None => out.extend_from_slice(item),
            }
            ends.push(out.len() as u32);
        }
    }

    fn names_items(&self) -> bool {
        true
    }

    fn overwriting<'a>(&'a self) -> Pin<Box<dyn Future<Output = Overwriting> + Send + 'a>> {
        Box::pin(self.ask_overwriting())
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
