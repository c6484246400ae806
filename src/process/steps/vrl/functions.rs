//! The functions that a program may call, and why it may not call the others.

use vrl::compiler::Function;

const AGAIN: &str =
    "a retry must make the same document of an event; its time is `.\"@timestamp\"`, and the processor `fingerprint` makes IDs";
const BOUND: &str = "its patterns take more than linear time; the processor `grok` understands them and does not";
const SQUARE: &str =
    "what a hostile line costs it grows with the square of its length; the processors `kv` and `json` before this one have no such lines";
const DEEP: &str = "what it makes of a line may be nested so deep that it takes all of the stack, which ends the agent";
const SIZE: &str = "what it makes of a line has no bound";
const NOBODY: &str = "nobody is asked on the way of an event";
const SYSTEM: &str =
    "what it looks at is not part of the event; `${NAME}` puts a variable into the program, and the processor `host` has the host";
const FILES: &str = "what it reads from a file is not part of the event";
const LOG: &str = "the agent's own log never holds what events hold; set a field";
const VECTOR: &str = "it belongs to Vector and not to the language";

/// Functions that are not there, and why.
const REFUSED: &[(&str, &str)] = &[
    ("decode_gzip", SIZE),
    ("decode_lz4", SIZE),
    ("decode_snappy", SIZE),
    ("decode_zlib", SIZE),
    ("decode_zstd", SIZE),
    ("dns_lookup", NOBODY),
    ("encode_proto", FILES),
    ("find_enrichment_table_records", VECTOR),
    ("find_vector_metrics", VECTOR),
    ("get_enrichment_table_record", VECTOR),
    ("get_env_var", SYSTEM),
    ("get_hostname", SYSTEM),
    ("get_secret", VECTOR),
    ("get_timezone_name", SYSTEM),
    ("get_vector_metric", VECTOR),
    ("http_request", NOBODY),
    ("log", LOG),
    ("now", AGAIN),
    ("parse_etld", FILES),
    ("parse_grok", BOUND),
    ("parse_groks", BOUND),
    ("parse_key_value", SQUARE),
    ("parse_logfmt", SQUARE),
    ("parse_proto", FILES),
    ("parse_ruby_hash", DEEP),
    ("parse_xml", DEEP),
    ("parse_yaml", SQUARE),
    ("random_bool", AGAIN),
    ("random_bytes", AGAIN),
    ("random_float", AGAIN),
    ("random_int", AGAIN),
    ("remove_secret", VECTOR),
    ("reverse_dns", NOBODY),
    ("set", DEEP),
    ("set_secret", VECTOR),
    ("set_semantic_meaning", VECTOR),
    ("unflatten", DEEP),
    ("uuid_v4", AGAIN),
    ("uuid_v7", AGAIN),
    ("validate_json_schema", FILES),
];

/// Why there is no function of this name, where there is one elsewhere.
pub(super) fn refused(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(refused, _)| *refused == name).map(|(_, why)| *why)
}

/// All that may be called.
pub(super) fn allowed() -> Vec<Box<dyn Function>> {
    vrl::stdlib::all().into_iter().filter(|function| refused(function.identifier()).is_none()).collect()
}
