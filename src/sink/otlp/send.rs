//! Sends requests to an OTLP receiver.

use super::options::OtlpOptions;
use crate::sink::client::{Client, Outcome, Report, Request, Sending};
use crate::sink::http::header_map;
use crate::sink::target::Target;
use crate::sink::transport::{Answer, excerpt, parse_url};
use crate::sink::verdict::by_status;
use crate::sink::{Compression, SinkError};
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message;

/// `google.rpc.Status`, as far as it is of use.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(string, tag = "2")]
    message: String,
}

/// The client of an OTLP sink.
pub(crate) struct OtlpClient {
    target: Target,
    headers: HeaderMap,
    compression: Compression,
}

impl OtlpClient {
    /// A client for the sink `sink`.
    pub fn new(sink: &str, options: &OtlpOptions, in_flight: u32) -> Result<OtlpClient, SinkError> {
        let mut url = parse_url(sink, &options.endpoint)?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["v1", "logs"]);
        }
        let mut headers = header_map(sink, &options.headers)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        options.connection.compression.name_in(&mut headers);
        let target = Target::new(sink, url, &options.connection, in_flight)?;
        Ok(OtlpClient { target, headers, compression: options.connection.compression })
    }

    async fn attempt(&self, request: Request<'_>) -> Outcome {
        match self.target.send(Method::POST, self.headers.clone(), request.body).await {
            Ok(answer) => outcome(&answer, request.items),
            Err(reason) => Outcome::Retry { reason, after: None },
        }
    }
}

fn outcome(answer: &Answer, items: usize) -> Outcome {
    let protobuf = answer.content_type.contains("protobuf");
    if !(200..300).contains(&answer.status) {
        let said = match RpcStatus::decode(&answer.body[..]) {
            Ok(status) if protobuf => excerpt(&status.message),
            _ => answer.excerpt(),
        };
        return by_status(answer, &said);
    }
    match ExportLogsServiceResponse::decode(&answer.body[..]) {
        Ok(response) if protobuf || answer.body.is_empty() => match response.partial_success {
            Some(partial) if partial.rejected_log_records > 0 => {
                let refused = usize::try_from(partial.rejected_log_records).unwrap_or(items).min(items);
                let reason = excerpt(&partial.error_message);
                match refused == items {
                    true => Outcome::Refused { status: 400, reason },
                    false => Outcome::RefusedUnnamed { refused, reason },
                }
            }
            Some(partial) if !partial.error_message.is_empty() => {
                tracing::warn!("the OTLP receiver takes all and says: {}", excerpt(&partial.error_message));
                Outcome::Delivered { already_there: 0 }
            }
            _ => Outcome::Delivered { already_there: 0 },
        },
        _ => Outcome::Hold {
            reason: format!(
                "{} with an answer that is not OTLP ({}): is the endpoint right? {}",
                answer.status,
                excerpt(&answer.content_type),
                answer.excerpt()
            ),
        },
    }
}

impl Client for OtlpClient {
    fn send<'a>(&'a self, request: Request<'a>) -> Sending<'a> {
        Box::pin(self.attempt(request))
    }

    fn report(&self) -> Report {
        self.target.report()
    }

    fn pick(&self, body: &[u8], items: &[u32], pick: &[u32], out: &mut Vec<u8>) {
        super::encode::pick(body, items, pick, out);
    }

    fn compress(&self, body: &[u8]) -> Option<Vec<u8>> {
        self.compression.apply(body)
    }
}

#[cfg(test)]
mod tests;
