//! The types of the fields that Forebay's documents have, after the Elastic Common Schema.
//!
//! What has names of its own making (labels, structured data of syslog, fields of the journal) is one field of the type
//! `flattened` or `flat_object` where that can hold all that may come: else each new name would be a new field, and an index
//! has room for a thousand. A `flat_object` refuses a document with a value of more than 32,766 bytes, so annotations and
//! the journal are plain objects on OpenSearch. All other strings that nobody has foreseen are keywords.

use super::ecs;
use super::identify::Product;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The name of the component template; all index templates of Forebay are made of it.
pub(crate) const NAME: &str = "forebay-mappings";

/// Longer keywords are kept but not indexed, so that none is refused (the limit of Lucene is 32,766 bytes).
const LONGEST: u32 = 1024;
/// The same for paths: `PATH_MAX`.
const LONGEST_PATH: u32 = 4096;

/// Which types a server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Types {
    opensearch: bool,
    version: (u32, u32),
    /// Types that it should have but refuses.
    pub without: BTreeSet<String>,
}

impl Types {
    pub fn of(product: &Product) -> Types {
        Types { opensearch: product.is_opensearch(), version: product.version, without: BTreeSet::new() }
    }

    fn has(&self, name: &str) -> bool {
        let since = match (name, self.opensearch) {
            ("constant_keyword", false) => (7, 7),
            ("match_only_text", false) => (7, 14),
            ("flattened", false) => (7, 3),
            ("wildcard", false) => (7, 9),
            ("wildcard", true) => (2, 15),
            // OpenSearch has a `constant_keyword` too, but it takes its value from the mapping only, not from documents.
            ("flat_object", true) => (2, 7),
            _ => return false,
        };
        self.version >= since && !self.without.contains(name)
    }

    /// One value in all documents of an index.
    fn constant(&self) -> Value {
        if self.has("constant_keyword") { json!({"type": "constant_keyword"}) } else { keyword() }
    }

    fn text(&self) -> Value {
        json!({"type": if self.has("match_only_text") { "match_only_text" } else { "text" }})
    }

    /// Texts of any length that are searched for a part.
    fn wildcard(&self) -> Value {
        if self.has("wildcard") { json!({"type": "wildcard"}) } else { keyword() }
    }

    /// Names of somebody else's making, with values that may be `long`.
    fn names(&self, long: bool) -> Value {
        if self.has("flattened") {
            json!({"type": "flattened", "ignore_above": LONGEST})
        } else if self.has("flat_object") && !long {
            json!({"type": "flat_object"})
        } else {
            json!({"type": "object", "dynamic": "true"})
        }
    }

    /// The mappings.
    pub fn mappings(&self) -> Value {
        let (keyword, long, path) = (keyword(), json!({"type": "long"}), json!({"type": "keyword", "ignore_above": LONGEST_PATH}));
        let named = |name: &Value| json!({"properties": {"code": long, "name": name}});
        let mut mappings = json!({
            "date_detection": false,
            "numeric_detection": false,
            "dynamic_templates": [{"strings": {"match_mapping_type": "string", "mapping": keyword}}],
            "properties": {
                "@timestamp": {"type": "date"},
                "message": self.text(),
                "stream": keyword,
                "tags": keyword,
                "container": {"properties": {"id": keyword, "name": keyword, "image": {"properties": {"name": keyword}}}},
                "data_stream": {"properties": {"type": self.constant(), "dataset": self.constant(), "namespace": self.constant()}},
                "event": {"properties": {"sequence": long}},
                "forebay": {"properties": {"batch_id": keyword}},
                "host": {"properties": {"name": keyword, "hostname": keyword}},
                "journald": self.names(true),
                "kubernetes": {"properties": {
                    "namespace": keyword,
                    "node": {"properties": {"name": keyword}},
                    "pod": {"properties": {"name": keyword, "uid": keyword}},
                    "container": {"properties": {"name": keyword}},
                    "labels": self.names(false),
                    "annotations": self.names(true),
                }},
                "labels": {"properties": {"index": keyword}},
                "log": {"properties": {
                    "offset": long,
                    "file": {"properties": {"path": path}},
                    "flags": keyword,
                    "level": keyword,
                    "syslog": {"properties": {
                        "priority": long,
                        "facility": named(&keyword),
                        "severity": named(&keyword),
                        "version": keyword,
                        "hostname": keyword,
                        "appname": keyword,
                        "procid": keyword,
                        "msgid": keyword,
                        "structured_data": self.names(false),
                    }},
                }},
                "process": {"properties": {"name": keyword, "pid": long}},
                "service": {"properties": {"name": keyword, "version": keyword, "environment": keyword}},
                "systemd": {"properties": {"unit": keyword}},
            }
        });
        ecs::add(&mut mappings["properties"], &self.wildcard(), &self.text());
        mappings
    }

    /// The body of the component template.
    pub fn component(&self) -> Value {
        let mut meta = super::meta();
        if !self.without.is_empty() {
            // For the next run, which would else take the stand-ins for somebody's change.
            meta["without"] = json!(self.without);
        }
        json!({"template": {"mappings": self.mappings()}, "_meta": meta})
    }
}

fn keyword() -> Value {
    json!({"type": "keyword", "ignore_above": LONGEST})
}

/// The type that a server has not, from its reason for a refusal.
pub(crate) fn missing_type(reason: &str) -> Option<&str> {
    let rest = ["No handler for type [", "The mapper type ["].iter().find_map(|words| reason.split_once(words))?.1;
    let (name, _) = rest.split_once(']')?;
    ["constant_keyword", "match_only_text", "flattened", "flat_object", "wildcard"].contains(&name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::identify::Family;

    fn types(family: Family, version: (u32, u32)) -> Types {
        Types::of(&Product { family, version, number: String::new() })
    }

    #[test]
    fn each_server_gets_the_types_that_it_has() {
        let shape = |types: &Types| {
            let all = types.mappings();
            let of = |at: &str| all.pointer(&format!("/properties/{at}/type")).unwrap().as_str().unwrap().to_string();
            ["message", "data_stream/properties/type", "kubernetes/properties/labels", "kubernetes/properties/annotations"].map(of)
        };
        use Family::*;
        assert_eq!(shape(&types(Elasticsearch, (8, 19))), ["match_only_text", "constant_keyword", "flattened", "flattened"]);
        assert_eq!(shape(&types(Elasticsearch, (7, 13))), ["text", "constant_keyword", "flattened", "flattened"]);
        assert_eq!(shape(&types(OpenSearch, (2, 19))), ["text", "keyword", "flat_object", "object"]);
        assert_eq!(shape(&types(OpenSearch, (2, 6))), ["text", "keyword", "object", "object"]);
        let mut bare = types(Elasticsearch, (8, 19));
        bare.without = ["constant_keyword", "match_only_text", "flattened"].map(String::from).into();
        assert_eq!(shape(&bare), ["text", "keyword", "object", "object"]);
        assert_eq!(bare.component()["_meta"]["without"], json!(["constant_keyword", "flattened", "match_only_text"]));
    }

    #[test]
    fn a_missing_type_is_found_in_the_reason() {
        assert_eq!(missing_type("x: No handler for type [flattened] declared on field [a]"), Some("flattened"));
        assert_eq!(missing_type("The mapper type [match_only_text] declared on field [a] does not exist."), Some("match_only_text"));
        assert_eq!(missing_type("No handler for type [own] declared on field [a]"), None);
        assert_eq!(missing_type("anything else"), None);
    }
}
