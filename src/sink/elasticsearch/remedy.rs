//! What an operator can do about an error that is the operator's to mend.

use super::answer::ErrorCause;

/// What mends an error of this type and reason, where that is known: to be read at night, so it names the request or the key.
/// INDEX stands for the name of the index.
fn remedy(kind: &str, reason: &str) -> Option<&'static str> {
    let says = |what: &str| reason.contains(what);
    Some(match kind {
        "index_closed_exception" => "open the index (POST INDEX/_open)",
        "cluster_block_exception" if says("/cluster read-only") => {
            "lift the block of the cluster (PUT _cluster/settings, cluster.blocks.read_only and .read_only_allow_delete: null)"
        }
        "cluster_block_exception" if says("create-index blocked") => {
            "free disk space on the cluster's nodes (or PUT _cluster/settings, cluster.blocks.create_index: null), or create the index"
        }
        "cluster_block_exception" if says("flood-stage") || says("read-only-allow-delete") || says("read-only / allow delete") => {
            "free disk space on the cluster's nodes; the server then lifts the block by itself (before 7.4: \
             index.blocks.read_only_allow_delete: null)"
        }
        "cluster_block_exception" => "lift the block of the index (PUT INDEX/_settings, index.blocks.*: null)",
        "validation_exception" if says("shards open") => "delete indices, or raise cluster.max_shards_per_node",
        "index_not_found_exception" => "create the index or its data stream's template, or allow it in action.auto_create_index",
        "security_exception" => "grant the sink's user create_doc on the target",
        "routing_missing_exception" => "set `routing` of the sink, or mappings without _routing.required",
        "illegal_argument_exception" if says("pipeline with id") => "create the ingest pipeline, or correct `pipeline` of the sink",
        "illegal_argument_exception" if says("no write index is defined") => "set is_write_index for one index of the alias",
        "illegal_argument_exception" if says("custom routing") => "allow_custom_routing in the data stream's template, or no `routing`",
        _ => return None,
    })
}

/// `reason` with what can be done about it.
pub(super) fn with_remedy(error: &ErrorCause, reason: String) -> String {
    let Some(remedy) = remedy(&error.kind, &error.reason) else { return reason };
    let in_words = || error.reason.split_once("index [")?.1.split_once(']').map(|(name, _)| name);
    let index = Some(error.index.as_str()).filter(|index| !index.is_empty()).or_else(in_words).unwrap_or("INDEX");
    format!("{}; to mend it: {}", reason.trim_end_matches([';', '.', ' ']), remedy.replace("INDEX", index))
}
