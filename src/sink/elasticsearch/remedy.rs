//! What an operator can do about an error that is the operator's to mend.

/// What mends an error of this type and reason, where that is known: to be read at night, so it names the request or the key.
pub(super) fn remedy(kind: &str, reason: &str) -> Option<&'static str> {
    let says = |what: &str| reason.contains(what);
    Some(match kind {
        "index_closed_exception" => "open the index (POST INDEX/_open)",
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
pub(super) fn with_remedy(kind: &str, reason: String) -> String {
    match remedy(kind, &reason) {
        Some(remedy) => format!("{}; to mend it: {remedy}", reason.trim_end_matches([';', '.', ' '])),
        None => reason,
    }
}
