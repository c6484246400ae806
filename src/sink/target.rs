//! The one URL that a sink sends to, with its health: for sinks that know no other endpoint to go to.

use super::client::Report;
use super::endpoints::Endpoints;
use super::transport::{Answer, Transport};
use super::{ConnectionOptions, SinkError};
use bytes::Bytes;
use hyper::{HeaderMap, Method};
use url::Url;

/// A URL and the connections to it.
pub(crate) struct Target {
    transport: Transport,
    endpoint: Endpoints,
}

impl Target {
    /// See [`Transport::new`].
    pub fn new(sink: &str, url: Url, options: &ConnectionOptions, in_flight: u32) -> Result<Target, SinkError> {
        let urls = vec![url];
        let transport = Transport::new(sink, &urls, options, in_flight)?;
        Ok(Target { transport, endpoint: Endpoints::new(sink, urls.clone(), urls) })
    }

    /// Sends one request and reads its answer. The error is one for the log: which host does what instead.
    pub async fn send(&self, method: Method, headers: HeaderMap, body: Bytes) -> Result<Answer, String> {
        let flight = self.endpoint.begin(0);
        let url = self.endpoint.url(0);
        match self.transport.send(method, url.clone(), headers, body).await {
            Ok(answer) => {
                flight.ended(answer.health());
                Ok(answer)
            }
            Err(error) => {
                let words = format!("{} {error}", url.origin().ascii_serialization());
                flight.ended(Err(error.reason));
                Err(words)
            }
        }
    }

    /// How it stands.
    pub fn report(&self) -> Report {
        Report { endpoints: self.endpoint.status(&self.transport), notices: self.transport.notices() }
    }
}
