//! What all files of a source have in common, and all sources.

use super::FileOptions;
use super::counters::Counters;
use super::kubernetes::with_names;
use super::multiline::Multi;
use crate::queue::Producer;
use std::path::Path;
use std::sync::Arc;

/// What all files of a source share.
pub(crate) struct Source {
    pub(crate) options: FileOptions,
    pub(crate) multi: Option<Multi>,
    /// `fields` as they stand in a stream's spec.
    pub(crate) fields: String,
    pub(crate) counters: Arc<Counters>,
    /// The way to the queue through the source's chain, where it has one.
    pub(crate) before: Option<Arc<dyn Producer>>,
}

impl Source {
    /// The fields of a stream, with what the path tells.
    pub(crate) fn fields_of(&self, path: &Path) -> String {
        if self.options.kubernetes { with_names(&self.fields, &self.options.fields, path) } else { self.fields.clone() }
    }
}

/// What all files share.
pub(crate) struct Shared {
    pub(crate) producer: Arc<dyn Producer>,
    pub(crate) agent_id: String,
    pub(crate) sources: Vec<Source>,
}

impl Shared {
    /// To whom a source hands its blocks.
    pub(crate) fn producer_of(&self, source: usize) -> &dyn Producer {
        match &self.sources[source].before {
            Some(before) => &**before,
            None => &*self.producer,
        }
    }
}
