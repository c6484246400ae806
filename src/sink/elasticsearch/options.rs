//! `sinks.NAME` with `type: elasticsearch` in the configuration.

use crate::sink::ConnectionOptions;

/// A data stream after the naming scheme: `TYPE-DATASET-NAMESPACE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataStreamOptions {
    /// `type`: the first part of the name.
    pub kind: String,
    /// The second part; may name fields of the source: `{service.name:generic}`.
    pub dataset: String,
    /// The third part; may name fields too.
    pub namespace: String,
}

impl Default for DataStreamOptions {
    fn default() -> Self {
        DataStreamOptions { kind: "logs".into(), dataset: "generic".into(), namespace: "default".into() }
    }
}

/// Options of an Elasticsearch sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElasticsearchOptions {
    /// Base URLs, such as `https://search:9200`.
    pub endpoints: Vec<String>,
    /// Index; `%Y`, `%m`, `%d` are the UTC date of the event, `{service.name:none}` a field of its source.
    pub index: String,
    /// The data stream to which the events go instead of `index`.
    pub data_stream: Option<DataStreamOptions>,
    /// `routing` of each event; may name fields, and is left out where a stream has none of that name.
    pub routing: Option<String>,
    /// `include: batch_id`: each document tells the batch that brought it.
    pub include_batch_id: bool,
    /// Ingest pipeline.
    pub pipeline: Option<String>,
    /// How it is reached.
    pub connection: ConnectionOptions,
}

impl ElasticsearchOptions {
    /// The target as it is configured.
    pub(crate) fn target(&self) -> String {
        match &self.data_stream {
            None => format!("index {}", self.index),
            Some(own) => format!("data stream {}-{}-{}", own.kind, own.dataset, own.namespace),
        }
    }
}

impl Default for ElasticsearchOptions {
    fn default() -> Self {
        ElasticsearchOptions {
            endpoints: Vec::new(),
            index: "logs-forebay".into(),
            data_stream: None,
            routing: None,
            include_batch_id: false,
            pipeline: None,
            connection: ConnectionOptions::default(),
        }
    }
}
