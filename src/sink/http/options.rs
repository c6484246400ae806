//! `sinks.NAME` with `type: http` in the configuration.

use crate::sink::ConnectionOptions;

/// Form of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// One document a line.
    Ndjson,
    /// One JSON array of documents.
    JsonArray,
}

/// Options of an HTTP sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpOptions {
    /// Where to send.
    pub url: String,
    /// `POST` or `PUT`.
    pub method: String,
    /// See [`BodyFormat`].
    pub format: BodyFormat,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// How it is reached.
    pub connection: ConnectionOptions,
}

impl Default for HttpOptions {
    fn default() -> Self {
        HttpOptions {
            url: String::new(),
            method: "POST".into(),
            format: BodyFormat::Ndjson,
            headers: Vec::new(),
            connection: ConnectionOptions::default(),
        }
    }
}
