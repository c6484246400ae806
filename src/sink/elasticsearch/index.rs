//! Where an event goes: the name of an index or a data stream, after the rules of Elasticsearch.

use super::options::{DataStreamOptions, ElasticsearchOptions};
use super::pattern::{Facts, Pattern, UNKNOWN};

/// Most bytes of a name.
const LONGEST: usize = 255;
/// Most bytes of the dataset and of the namespace of a data stream.
const LONGEST_PART: usize = 100;

/// What an index name must not hold; control characters and white space aside.
const FORBIDDEN: [char; 11] = ['\\', '/', '*', '?', '"', '<', '>', '|', ',', '#', ':'];

fn is_forbidden(c: char) -> bool {
    FORBIDDEN.contains(&c) || c.is_whitespace() || c.is_control()
}

/// Why `name` can be no index, if it cannot.
pub(crate) fn index_fault(name: &str) -> Option<String> {
    if name.to_lowercase() != name {
        Some(format!("index names are lower case: `{}`", name.to_lowercase()))
    } else if let Some(c) = name.chars().find(|c| is_forbidden(*c)) {
        Some(format!("index names must not hold `{}`", c.escape_debug()))
    } else if name.starts_with(['-', '_', '+']) {
        Some("index names must not begin with `-`, `_` or `+`".to_string())
    } else if name.is_empty() || name == "." || name == ".." || name.len() > LONGEST {
        Some(format!("index names are at most {LONGEST} bytes, and neither empty nor `.` nor `..`"))
    } else {
        None
    }
}

/// Why `part` can be no type, dataset or namespace of a data stream, if it cannot.
pub(crate) fn part_fault(part: &str) -> Option<String> {
    if part.to_lowercase() != part {
        Some(format!("it must be lower case: `{}`", part.to_lowercase()))
    } else if part.contains('-') {
        Some("it must not hold `-`, which parts type, dataset and namespace".to_string())
    } else if let Some(c) = part.chars().find(|c| is_forbidden(*c)) {
        Some(format!("it must not hold `{}`", c.escape_debug()))
    } else if part.is_empty() || part.len() > LONGEST_PART {
        Some(format!("it must have 1 to {LONGEST_PART} bytes"))
    } else {
        None
    }
}

/// A value as part of a name: in lower case, with `_` for what a name cannot hold.
fn as_part(value: &str, dash: bool) -> String {
    value.to_lowercase().chars().map(|c| if is_forbidden(c) || (c == '-' && !dash) { '_' } else { c }).collect()
}

fn truncated(mut name: String, most: usize) -> String {
    while name.len() > most {
        name.pop();
    }
    name
}

/// Where the events of a sink go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An index, an alias, or a data stream by its name.
    Index(Pattern),
    /// A data stream after the naming scheme: `TYPE-DATASET-NAMESPACE`.
    DataStream { kind: String, dataset: Pattern, namespace: Pattern },
}

impl Target {
    /// What the options name. The error says what is wrong with it.
    pub fn of(options: &ElasticsearchOptions) -> Result<Target, String> {
        match &options.data_stream {
            None => Ok(Target::Index(Pattern::parse(&options.index, true).map_err(|why| format!("index: {why}"))?)),
            Some(DataStreamOptions { kind, dataset, namespace }) => Ok(Target::DataStream {
                kind: kind.clone(),
                dataset: Pattern::parse(dataset, false).map_err(|why| format!("data_stream.dataset: {why}"))?,
                namespace: Pattern::parse(namespace, false).map_err(|why| format!("data_stream.namespace: {why}"))?,
            }),
        }
    }

    /// The name, if it is the same for all events.
    pub fn constant(&self) -> Option<String> {
        match self {
            Target::Index(pattern) => pattern.constant().map(str::to_string),
            Target::DataStream { kind, dataset, namespace } => Some(format!("{kind}-{}-{}", dataset.constant()?, namespace.constant()?)),
        }
    }

    /// Whether it differs from stream to stream.
    pub fn names_fields(&self) -> bool {
        match self {
            Target::Index(pattern) => pattern.names_fields(),
            Target::DataStream { dataset, namespace, .. } => dataset.names_fields() || namespace.names_fields(),
        }
    }

    /// The name with `*` for all that is not constant.
    pub fn wildcard(&self) -> String {
        match self {
            Target::Index(pattern) => pattern.wildcard(),
            Target::DataStream { kind, dataset, namespace } => format!("{kind}-{}-{}", dataset.wildcard(), namespace.wildcard()),
        }
    }

    /// The name for events of a stream that were appended at `append_ms`.
    pub fn name(&self, facts: &Facts<'_>, append_ms: u64) -> String {
        match self {
            Target::Index(pattern) => {
                let name = pattern.resolve(append_ms, |name, default| Some(value(facts, name, default, true))).unwrap_or_default();
                let name = truncated(name.trim_start_matches(['-', '_', '+']).to_string(), LONGEST);
                if matches!(&*name, "" | "." | "..") { UNKNOWN.to_string() } else { name }
            }
            Target::DataStream { .. } => self.data_stream(facts).map(|parts| parts.join("-")).unwrap_or_default(),
        }
    }

    /// Type, dataset and namespace, where it is a data stream after the naming scheme.
    pub fn data_stream(&self, facts: &Facts<'_>) -> Option<[String; 3]> {
        let Target::DataStream { kind, dataset, namespace } = self else { return None };
        let part = |pattern: &Pattern| {
            let part = pattern.resolve(0, |name, default| Some(value(facts, name, default, false))).unwrap_or_default();
            truncated(part, LONGEST_PART)
        };
        Some([kind.clone(), part(dataset), part(namespace)])
    }
}

/// What stands for a field in a name.
fn value(facts: &Facts<'_>, name: &str, default: Option<&str>, dash: bool) -> String {
    let value = facts.get(name).map(|value| as_part(&value, dash)).filter(|value| !value.is_empty());
    value.unwrap_or_else(|| default.unwrap_or(UNKNOWN).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::StreamSpec;
    use proptest::prelude::*;

    fn options(index: &str) -> ElasticsearchOptions {
        ElasticsearchOptions { index: index.into(), ..ElasticsearchOptions::default() }
    }

    fn stream(dataset: &str, namespace: &str) -> ElasticsearchOptions {
        let data_stream = Some(DataStreamOptions { dataset: dataset.into(), namespace: namespace.into(), ..DataStreamOptions::default() });
        ElasticsearchOptions { data_stream, ..ElasticsearchOptions::default() }
    }

    fn name(options: &ElasticsearchOptions, service: &str) -> String {
        let fields = format!(r#""service.name":{}"#, serde_json::Value::from(service));
        let spec = StreamSpec { fields, ..StreamSpec::default() };
        Target::of(options).unwrap().name(&Facts::new(&spec, "web-1"), 1_609_459_200_000)
    }

    #[test]
    fn values_become_parts_of_valid_names() {
        for (index, service, expected) in [
            ("logs-{service.name}-%Y.%m.%d", "Shop Front/EU", "logs-shop_front_eu-2021.01.01"),
            ("{service.name}", "-_+x", "x"),
            ("{service.name}", "..", "unknown"),
            ("{service.name}", "--", "unknown"),
            ("logs-{service.name:none}", "", "logs-none"),
            ("logs-{other}", "x", "logs-unknown"),
            ("{service.name}", &"ä".repeat(200), &"ä".repeat(127)),
        ] {
            assert_eq!(name(&options(index), service), expected, "{index} {service}");
        }
        assert_eq!(name(&stream("{service.name:generic}", "{host.name}"), "My-App"), "logs-my_app-web_1");
        assert_eq!(name(&stream("{service.name:generic}", "prod"), ""), "logs-generic-prod");
        assert_eq!(Target::of(&stream("app", "prod")).unwrap().constant().as_deref(), Some("logs-app-prod"));
        assert_eq!(Target::of(&stream("{a}", "prod")).unwrap().wildcard(), "logs-*-prod");
    }

    proptest! {
        /// Whatever a field holds, the name is one that the server takes.
        #[test]
        fn no_value_makes_a_bad_name(service in "\\PC{0,200}|[-_+./]{0,9}") {
            for options in [options("{service.name}"), options("logs-{service.name:x}-%Y"), stream("{service.name:x}", "{service.name}")] {
                let name = name(&options, &service);
                prop_assert_eq!(index_fault(&name), None, "{}", name);
                if options.data_stream.is_some() {
                    let parts: Vec<&str> = name.split('-').collect();
                    prop_assert_eq!(parts.len(), 3);
                    prop_assert!(parts.iter().all(|part| part_fault(part).is_none()), "{}", name);
                }
            }
        }
    }
}
