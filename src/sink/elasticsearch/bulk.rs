//! Sends `_bulk` requests.

use super::classify;
use super::encode::{CREATE, INDEX};
use super::index::Target;
use super::options::ElasticsearchOptions;
use crate::queue::Overwriting;
use crate::sink::client::{Arrival, Client, Doubtful, Outcome, Report, Request, Sending, item_range};
use crate::sink::endpoints::Endpoints;
use crate::sink::transport::{Answer, Transport, parse_url};
use crate::sink::{Compression, SinkError};
use bytes::Bytes;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use url::Url;

/// What of the answer is of use; the rest would be some 190 bytes for each event.
const FILTER: &str = "errors,error,status,items.*.status,items.*.error";

/// The same where it matters in which index each event is now.
const ITEMS: &str = "items.*.status";
const WITH_INDEX: &str = "items.*.status%2Citems.*._index";

/// The client of an Elasticsearch sink.
pub(crate) struct BulkClient {
    transport: Arc<Transport>,
    endpoints: Arc<Endpoints>,
    compression: Compression,
    headers: HeaderMap,
    /// The target's name, with `*` for each part that differs.
    target: String,
    /// The target, where it is the same for all events: then the URL names it.
    pub(super) constant: Option<String>,
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
        let target = Target::of(options).map_err(|reason| SinkError::Option { sink: sink.into(), reason })?;
        let constant = target.constant();
        let urls = bases.iter().map(|base| bulk_url(sink, base, constant.as_deref(), options)).collect::<Result<Vec<_>, _>>()?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        options.connection.compression.name_in(&mut headers);
        let transport = Transport::new(sink, &bases, &options.connection, in_flight)?;
        Ok(BulkClient {
            transport: Arc::new(transport),
            endpoints: Arc::new(Endpoints::new(sink, bases, urls)),
            compression: options.connection.compression,
            headers,
            target: target.wildcard(),
            constant,
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
        let answer = match self.ask(Method::GET, &["_resolve", "index", target], &[], Bytes::new()).await {
            Ok(answer) => answer,
            Err(Arrival::Later { reason, .. } | Arrival::Unknown { reason }) => return unknown(reason),
            Err(_) => return unknown("there is no answer".into()),
        };
        match (answer.status, serde_json::from_slice::<Resolved>(&answer.body)) {
            // There is nothing yet that could be replaced.
            (404, _) => Overwriting::Replaces,
            (200, Ok(resolved)) => resolved.overwriting(),
            (200, Err(_)) => unknown("its answer is not understood".into()),
            (status, _) => unknown(format!("{status} {}", answer.excerpt())),
        }
    }

    /// One question, to the endpoints in turn until one answers. Who gets no answer is to ask later.
    pub(super) async fn ask(&self, method: Method, path: &[&str], query: &[(&str, &str)], body: Bytes) -> Result<Answer, Arrival> {
        let mut reason = "there is no endpoint".to_string();
        let mut headers = HeaderMap::new();
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for index in self.endpoints.order() {
            let mut url = self.endpoints.url(index).clone();
            if let Ok(mut segments) = url.path_segments_mut() {
                // After the base stand the index, where it is one, and `_bulk`.
                segments.pop();
                if self.constant.is_some() {
                    segments.pop();
                }
                segments.extend(path);
            }
            url.set_query(None);
            if !query.is_empty() {
                url.query_pairs_mut().extend_pairs(query);
            }
            let origin = url.origin().ascii_serialization();
            match self.transport.send(method.clone(), url, headers.clone(), body.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => reason = format!("{origin} {error}"),
            }
        }
        Err(Arrival::Later { reason, hold: false, answered: false })
    }

    async fn attempt(&self, request: Request<'_>) -> Outcome {
        let mut headers = self.headers.clone();
        // The server shows it in its tasks and slow logs.
        if let Ok(name) = HeaderValue::from_str(request.key) {
            headers.insert("x-opaque-id", name);
        }
        let mut last = Outcome::Retry { reason: "there is no endpoint".into(), after: None };
        self.endpoints.probe_due(&self.transport);
        for index in self.endpoints.order() {
            let flight = self.endpoints.begin(index);
            let mut url = self.endpoints.url(index).clone();
            if request.recognised.is_some() {
                let query = url.query().unwrap_or_default().replacen(ITEMS, WITH_INDEX, 1);
                url.set_query(Some(&query));
            }
            let send = || self.transport.send_once(Method::POST, url.clone(), headers.clone(), request.body.clone());
            let mut answer = send().await;
            if answer.as_ref().is_err_and(|error| error.stale) {
                request.doubt.store(true, Relaxed);
                // The server has closed a connection that was idle: no outage, and no doubt where it says 409 to what it has.
                if self.recognises().await {
                    answer = send().await;
                }
            }
            match answer {
                Ok(answer) => {
                    let health = answer.health();
                    let well = health.is_ok();
                    flight.ended(health);
                    let doubt;
                    (last, doubt) = classify::outcome(&answer, request.items);
                    request.doubt.fetch_or(doubt, Relaxed);
                    if let Some(recognised) = request.recognised {
                        recognised.store(self.recognised(&answer), Relaxed);
                    }
                    if well {
                        return last;
                    }
                }
                Err(error) => {
                    flight.ended(Err(error.reason.clone()));
                    request.doubt.fetch_or(!error.unsent, Relaxed);
                    last = Outcome::Retry { reason: format!("{} {error}", url.origin().ascii_serialization()), after: None };
                }
            }
            // The same IDs: another endpoint of the same cluster may get what this one took already, if it then says 409.
            if request.doubt.load(Relaxed) && self.endpoints.count() > 1 && !self.recognises().await {
                return last;
            }
        }
        last
    }
}

impl Client for BulkClient {
    fn send<'a>(&'a self, request: Request<'a>) -> Sending<'a> {
        Box::pin(self.attempt(request))
    }

    fn report(&self) -> Report {
        Report { endpoints: self.endpoints.status(&self.transport), notices: self.transport.notices() }
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

    fn arrived<'a>(&'a self, doubtful: Doubtful<'a>) -> Pin<Box<dyn Future<Output = Arrival> + Send + 'a>> {
        Box::pin(self.ask_arrived(doubtful))
    }

    fn compress(&self, body: &[u8]) -> Option<Vec<u8>> {
        self.compression.apply(body)
    }
}

fn bulk_url(sink: &str, base: &Url, index: Option<&str>, options: &ElasticsearchOptions) -> Result<Url, SinkError> {
    let mut url = base.clone();
    match url.path_segments_mut() {
        Ok(mut path) => path.pop_if_empty().extend(index).push("_bulk"),
        Err(()) => {
            return Err(SinkError::Endpoint { sink: sink.into(), url: base.to_string(), reason: "it cannot have a path".into() });
        }
    };
    // The server waits less long for a shard than the client for the server: a certain 503 instead of a try that may still arrive.
    let patience = format!("{}ms", options.connection.timeout.as_millis() * 4 / 5);
    url.query_pairs_mut()
        .extend_pairs([("filter_path", FILTER), ("timeout", &patience)])
        .extend_pairs(options.pipeline.as_deref().map(|p| ("pipeline", p)));
    Ok(url)
}

#[cfg(test)]
mod live;
#[cfg(test)]
mod tests;
