//! `process:` of a sink, and the named chains of the top level.

use super::decode::{Field, Map, quoted_list};
use super::diagnostic::Problem;
use super::expand::expand;
use super::suggest::nearest;
use super::yaml::{Key, Kind, Node, Pos};
use crate::process::chain::{Chain, OnError, Step};
use crate::process::condition::Condition;
use crate::process::event::{Constant, Path};
use crate::process::presets::{section, text as text_of_preset};
use crate::process::steps;
use std::collections::BTreeMap;

/// Most processors of a chain.
const MOST_STEPS: usize = 200;

/// The chains of the top level; `None` for one with mistakes.
pub(crate) type Chains = BTreeMap<String, Option<Chain>>;

const ON_ERROR: [(&str, OnError); 3] = [("keep", OnError::Keep), ("drop", OnError::Drop), ("dead_letter", OnError::DeadLetter)];

/// The name of a chain, or a chain.
pub(crate) fn chain_of(field: &Field<'_>, chains: &Chains) -> Option<Chain> {
    if !matches!(field.node.kind, Kind::Scalar { .. }) {
        return chain(field);
    }
    let value = field.value("a list of processors, or the name of a chain of the top level")?;
    if let Some(chain) = chains.get(&value.text) {
        return chain.clone();
    }
    if !value.secret && text_of_preset(&value.text).is_some() {
        let help = format!("a preset is a processor of a chain: `process: [{{parse: {}}}]`", value.text);
        field.report(field.is(&value).expected("a list of processors, or the name of a chain of the top level").help(help));
        return None;
    }
    field.unknown(&value, || chains.keys().map(String::as_str), "a chain below `process` of the top level");
    None
}

/// A list of processors.
pub(crate) fn chain(field: &Field<'_>) -> Option<Chain> {
    let expected = "a list of processors, such as `- json: {}`";
    let Kind::Seq(items) = &field.node.kind else {
        field.wrong(format!("`{}` is {}", field.path, field.node.what()), expected);
        return None;
    };
    if items.len() > MOST_STEPS {
        field.wrong(format!("`{}` has more than {MOST_STEPS} processors", field.path), "fewer");
        return None;
    }
    let mut steps = Vec::with_capacity(items.len());
    for (number, item) in field.list(expected).iter().enumerate() {
        steps.extend(step(item, number + 1));
    }
    let mut text = String::new();
    canonical(field, field.node, &mut text);
    (steps.len() == items.len()).then(|| Chain::new(steps, xxhash_rust::xxh3::xxh3_64(text.as_bytes())))
}

/// One processor; `None` with a mistake noted.
fn step(item: &Field<'_>, number: usize) -> Option<Step> {
    let expected = "a map with one key, the name of a processor, such as `json: {}`";
    let Kind::Map(entries) = &item.node.kind else {
        item.wrong(format!("`{}` is {}", item.path, item.node.what()), expected);
        return None;
    };
    let [(key, node)] = &entries[..] else {
        item.wrong(format!("`{}` has {} keys", item.path, entries.len()), expected);
        return None;
    };
    let Some((name, decode)) = steps::ALL.iter().find(|(name, _)| *name == key.text) else {
        let names = || steps::ALL.iter().map(|(name, _)| *name);
        let near = nearest(&key.text, names());
        let elsewhere = match key.text.as_str() {
            "kubernetes" | "add_kubernetes_metadata" => Some(
                "names of pod and container come with the source: `format: cri` there, and `downward_api` for labels (docs/containers.md)",
            ),
            "docker" | "add_docker_metadata" => Some("names come with the source: `format: docker` there (docs/containers.md)"),
            "add_cloud_metadata" => Some("did you mean `cloud`?"),
            "add_host_metadata" => Some("did you mean `host`?"),
            "date" => Some("did you mean `timestamp`?"),
            "gsub" | "mutate" => Some("one of `set`, `rename`, `remove`, `convert`, `lowercase`, `redact`, `split` does each of its parts"),
            _ => None,
        };
        item.report(
            Problem::new(key.pos, &item.path, format!("there is no processor `{}`", key.text.escape_debug()))
                .found(key.text.clone())
                .expected(format!("one of: {}", quoted_list(names())))
                .help_if(elsewhere.map(str::to_string).or_else(|| near.map(|near| format!("did you mean `{near}`?")))),
        );
        return None;
    };
    // `parse: NAME` has its name where others have a map of options.
    let short = *name == "parse" && matches!(node.kind, Kind::Scalar { .. } | Kind::Seq(_));
    let mut map = if short { item.map() } else { item.child(key, node).map() }?;
    let when = map.get("when").map(|f| condition(&f));
    let on_error = map.get("on_error").and_then(|f| f.one_of(&ON_ERROR)).unwrap_or_default();
    let noted = item.mistakes();
    let processor = decode(&mut map);
    map.finish(&[]);
    if processor.is_none() && noted.is_some() && item.mistakes() == noted {
        // None without a word would be a chain that is silently not there.
        item.wrong(format!("`{}` is not right", item.path), "its options as docs/processing.md has them");
    }
    let when = match when {
        Some(None) => return None,
        Some(when) => when,
        None => None,
    };
    Some(Step { name: format!("{name} ({number})"), when, on_error, processor: processor? })
}

/// A condition; its mistakes are shown where they are.
pub(crate) fn condition(field: &Field<'_>) -> Option<Condition> {
    let value = field.value("a condition such as `log.level == \"debug\"`")?;
    match Condition::parse(&value.text) {
        Ok(condition) => Some(condition),
        Err(wrong) => {
            let message = format!("`{}`: {}, at column {}", field.path, wrong.why, value.text[..wrong.at].chars().count() + 1);
            field.report(Problem::new(inside(field, &value.text, wrong.at, 1), &field.path, message));
            None
        }
    }
}

/// The place of `len` characters at byte `at` of a value, where it stands in the file as it is.
pub(crate) fn inside(field: &Field<'_>, text: &str, at: usize, len: u32) -> Pos {
    let (pos, before) = (field.pos(), text.get(..at).unwrap_or(text));
    let as_it_is = matches!(&field.node.kind, Kind::Scalar { text: raw, .. } if raw == text);
    if let Some(block) = field.node.block.filter(|_| as_it_is) {
        let ahead = before.rsplit('\n').next().unwrap_or_default().chars().count() as u32;
        return Pos { line: block.line + before.matches('\n').count() as u32, col: block.col + ahead, len, ..pos };
    }
    match (pos.len as usize).checked_sub(text.chars().count()) {
        Some(quotes @ (0 | 2)) if as_it_is => Pos { col: pos.col + before.chars().count() as u32 + quotes as u32 / 2, len, ..pos },
        _ => pos,
    }
}

/// The value in one form, with what is expanded in it, for the version of the chain.
fn canonical(field: &Field<'_>, node: &Node, out: &mut String) {
    match &node.kind {
        Kind::Null => out.push('~'),
        Kind::Scalar { text, quoted } => {
            let text = field.expanded(text).unwrap_or_else(|| text.clone());
            out.push_str(&format!("{}{text:?}", if *quoted { "'" } else { "" }));
        }
        Kind::Seq(items) => {
            out.push('[');
            for item in items {
                canonical(field, item, out);
                out.push(',');
            }
            out.push(']');
        }
        Kind::Map(entries) => {
            out.push('{');
            for (key, node) in entries {
                out.push_str(&format!("{:?}:", key.text));
                canonical(field, node, out);
                if key.text == "parse" {
                    presets(node, out);
                }
                out.push(',');
            }
            out.push('}');
        }
    }
}

/// What the presets that are named stand for: it may change from version to version.
fn presets(node: &Node, out: &mut String) {
    match &node.kind {
        Kind::Null => {}
        Kind::Scalar { text, .. } => out.extend(text_of_preset(text).map(|text| section(text, "process"))),
        Kind::Seq(items) => items.iter().for_each(|item| presets(item, out)),
        Kind::Map(entries) => entries.iter().for_each(|(_, node)| presets(node, out)),
    }
}

impl<'a> Field<'a> {
    /// The value of a key of the map that this is.
    fn child(&self, key: &'a Key, node: &'a Node) -> Field<'a> {
        let mut child = self.at_key(key.pos);
        (child.path, child.node) = (format!("{}.{}", self.path, key.text), node);
        child
    }

    /// A text after expansion, without a word about mistakes.
    fn expanded(&self, text: &str) -> Option<String> {
        expand(text, self.env()).ok().map(|value| value.text)
    }

    /// The name of a field of events.
    pub(crate) fn event_field(&self) -> Option<Path> {
        let value = self.value("the name of a field, such as `http.response.status_code`")?;
        match Path::parse(&value.text) {
            Ok(path) => Some(path),
            Err(why) => {
                let expected = "a name such as `http.response.status_code`; a part with other characters stands in backquotes";
                self.report(self.is(&value).expected(expected).help(why));
                None
            }
        }
    }

    /// One or several names of fields of events.
    pub(crate) fn event_fields(&self) -> Vec<Path> {
        self.list("the name of a field, or a list of them").iter().filter_map(Field::event_field).collect()
    }

    /// A constant: numbers, `true`, `false` and `null` unless they stand in quotes.
    pub(crate) fn constant(&self) -> Option<Constant> {
        match &self.node.kind {
            Kind::Null => Some(Constant::Null),
            Kind::Seq(_) => self.list("a value or a list").iter().map(Field::constant).collect::<Option<_>>().map(Constant::List),
            Kind::Scalar { quoted, .. } => {
                let value = self.scalar("a value")?;
                Some(if *quoted { Constant::Text(value.text.into()) } else { Constant::of_word(&value.text) })
            }
            Kind::Map(_) => {
                self.wrong(format!("`{}` is a map", self.path), "a value or a list of values");
                None
            }
        }
    }
}

impl<'a> Map<'a> {
    /// The field of events under `name`, or this one.
    pub(crate) fn field_or(&mut self, name: &'static str, default: &str) -> Option<Path> {
        match self.get(name) {
            Some(field) => field.event_field(),
            None => Path::parse(default).ok(),
        }
    }

    /// A yes or no, which is a no unless it is there.
    pub(crate) fn flag(&mut self, name: &'static str) -> bool {
        self.get(name).and_then(|f| f.boolean()).unwrap_or(false)
    }
}
