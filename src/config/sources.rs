//! `sources.NAME`.

use super::decode::{Ctx, Field, Map};
use super::diagnostic::Problem;
use super::process::{Chains, chain_of};
use super::push_sources;
use super::yaml::{Kind, Pos};
use crate::process::before::BeforeQueue;
use crate::source::file::{FileOptions, StartAt, Watch};
use crate::source::push::PushOptions;
use globset::GlobBuilder;
use std::collections::BTreeMap;
use std::time::Duration;

/// A source or a sink with the places that later checks speak of.
pub(crate) struct Component<T> {
    /// Where its name is.
    pub pos: Pos,
    /// `enabled:`.
    pub enabled: bool,
    /// The options; `None` when there were mistakes that leave none.
    pub options: Option<T>,
    /// Places of some keys.
    pub places: BTreeMap<String, Pos>,
}

impl<T> Component<T> {
    /// The place of a key, else of the name.
    pub(crate) fn place(&self, key: &str) -> Pos {
        self.places.get(key).copied().unwrap_or(self.pos)
    }
}

/// `enabled:`: an empty value means no, so that `${VAR:+true}` reads "if VAR is set".
pub(crate) fn enabled(map: &mut Map<'_>) -> bool {
    let Some(field) = map.get("enabled") else { return true };
    match field.scalar("`true` or `false`") {
        Some(value) if value.text.trim().is_empty() => false,
        _ => field.boolean().unwrap_or(true),
    }
}

/// `process:` of a source: the chain before the queue.
pub(crate) fn process(map: &mut Map<'_>, chains: &Chains) -> Option<BeforeQueue> {
    let field = map.get("process")?;
    let chain = chain_of(&field, chains)?;
    if let Some(step) = chain.dead_letters() {
        field.report(
            Problem::new(field.pos(), &field.path, format!("`{}`: its processor {step} has `on_error: dead_letter`", field.path))
                .expected(
                    "`keep` or `drop`: there are no dead letters before the queue, since they hold the bytes that may not touch the disk",
                )
                .help("keep such events here, and have a chain of the sink judge them"),
        );
        return None;
    }
    Some(BeforeQueue { chain, host_name: String::new() })
}

/// The options of one entry of `sources:`.
#[derive(Clone, Debug)]
pub(crate) enum SourceOptions {
    /// Files are followed.
    File(FileOptions),
    /// Events are pushed.
    Push(PushOptions),
}

impl SourceOptions {
    /// Topic for its records.
    pub(crate) fn topic(&self) -> &str {
        match self {
            SourceOptions::File(options) => &options.topic,
            SourceOptions::Push(options) => &options.topic,
        }
    }

    /// Longest event in bytes.
    pub(crate) fn max_line_bytes(&self) -> usize {
        match self {
            SourceOptions::File(options) => options.max_line_bytes,
            SourceOptions::Push(options) => options.max_line_bytes,
        }
    }

    /// The chain before the queue.
    pub(crate) fn process(&self) -> Option<&BeforeQueue> {
        match self {
            SourceOptions::File(options) => options.process.as_ref(),
            SourceOptions::Push(options) => options.process.as_ref(),
        }
    }

    /// The options of a file source.
    pub(crate) fn file(&self) -> Option<&FileOptions> {
        match self {
            SourceOptions::File(options) => Some(options),
            SourceOptions::Push(_) => None,
        }
    }
}

/// The kinds of sources.
#[derive(Clone, Copy)]
enum SourceKind {
    File,
    Push(push_sources::Kind),
}

const KINDS: [(&str, SourceKind); 5] = [
    ("file", SourceKind::File),
    ("stdin", SourceKind::Push(push_sources::Kind::Stdin)),
    ("http", SourceKind::Push(push_sources::Kind::Http)),
    ("syslog", SourceKind::Push(push_sources::Kind::Syslog)),
    ("journald", SourceKind::Push(push_sources::Kind::Journald)),
];

/// Decodes one entry of `sources:`.
pub(crate) fn source(ctx: &Ctx<'_>, name: &str, pos: Pos, field: &Field<'_>, chains: &Chains) -> Component<SourceOptions> {
    let mut component = Component { pos, enabled: true, options: None, places: BTreeMap::new() };
    let Some(mut map) = field.map() else { return component };
    let kind = map.get("type");
    component.enabled = enabled(&mut map);
    ctx.begin(component.enabled);
    let kind = match kind {
        Some(field) => field.one_of(&KINDS),
        None => {
            // The one key without which nothing makes sense is asked for in a disabled source, too.
            let kinds = super::decode::quoted_list(KINDS.iter().map(|(name, _)| *name));
            map.report(map.problem(format!("`{}` has no `type`", map.path)).expected(format!("the kind of source: {kinds}")));
            // What else stands there says which kind is meant; without a kind nothing is judged twice.
            map.peek("include").map(|_| SourceKind::File)
        }
    };
    if let Some(kind) = kind {
        for key in ["include", "topic"] {
            if let Some(field) = map.peek(key) {
                component.places.insert(key.to_string(), field.pos());
            }
        }
        component.options = Some(match kind {
            SourceKind::File => SourceOptions::File(file(name, map, chains)),
            SourceKind::Push(kind) => SourceOptions::Push(push_sources::push(ctx, name, kind, map, chains)),
        });
    }
    ctx.lenient.set(false);
    component
}

/// Decodes a file source.
fn file(name: &str, mut map: Map<'_>, chains: &Chains) -> FileOptions {
    let mut options = FileOptions { name: name.to_string(), ..FileOptions::default() };
    let seconds = Duration::from_secs;
    if let Some(field) = map.require("include", "globs of the files to follow, such as `/var/log/app/*.log`") {
        options.include = globs(&field);
        if matches!(&field.node.kind, Kind::Seq(items) if items.is_empty()) {
            field.wrong(format!("`{}` is an empty list", field.path), "at least one glob, such as `/var/log/app/*.log`");
        }
    }
    if let Some(field) = map.get("exclude") {
        options.exclude = globs(&field);
    }
    if let Some(topic) = map.get("topic").and_then(|f| f.name()) {
        options.topic = topic;
    }
    if let Some(start) = map.get("start_at").and_then(|f| f.one_of(&[("beginning", StartAt::Beginning), ("end", StartAt::End)])) {
        options.start_at = start;
    }
    if let Some(time) = map.get("idle_flush").and_then(|f| f.duration(Duration::from_millis(10)..=seconds(3600))) {
        options.idle_flush = time;
    }
    super::multiline::events(&mut map, &mut options);
    super::containers::containers(&mut map, &mut options);
    if let Some(time) = map.get("rescan").and_then(|f| f.duration(Duration::from_millis(100)..=seconds(3600))) {
        options.rescan = time;
    }
    let watch = [("auto", Watch::Auto), ("inotify", Watch::Inotify), ("poll", Watch::Poll)];
    if let Some(watch) = map.get("watch").and_then(|f| f.one_of(&watch)) {
        options.watch = watch;
    }
    if let Some(time) = map.get("poll_interval").and_then(|f| f.duration(Duration::from_millis(100)..=seconds(3600))) {
        options.poll_interval = time;
    }
    if let Some(time) = map.get("ignore_older").and_then(|f| f.duration(seconds(1)..=seconds(3650 * 86_400))) {
        options.ignore_older = Some(time);
    }
    if let Some(time) = map.get("forget_after").and_then(|f| f.duration(seconds(3600)..=seconds(3650 * 86_400))) {
        options.forget_after = time;
    }
    if let Some(field) = map.get("fields") {
        options.fields = fields(&field);
    }
    super::containers::downward_api(&mut map, &mut options);
    options.process = process(&mut map, chains);
    map.finish(&[]);
    options
}

/// A glob, or a list of them.
fn globs(field: &Field<'_>) -> Vec<String> {
    let mut globs = Vec::new();
    for item in field.list("a glob or a list of globs") {
        let Some(value) = item.value("a glob such as `/var/log/app/*.log`") else { continue };
        match GlobBuilder::new(&value.text).literal_separator(true).build() {
            Ok(_) => globs.push(value.text),
            Err(error) => item.report(
                item.is(&value).expected("a glob such as `/var/log/**/*.log`").help_if((!value.secret).then(|| error.kind().to_string())),
            ),
        }
    }
    globs
}

/// Members that every document has from its event; a field of the source cannot take their place.
const OWN_FIELDS: [&str; 6] = ["@timestamp", "message", "log.offset", "log.file.path", "log.flags", "event.sequence"];
/// Objects that hold such members.
const OWN_OBJECTS: [&str; 4] = ["log", "log.file", "host", "event"];

/// Whether a field of this name would stand in the way of one of ours.
fn is_own(name: &str) -> bool {
    OWN_OBJECTS.contains(&name)
        || OWN_FIELDS.iter().any(|own| name.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// `fields:`: nested maps become dotted names.
pub(crate) fn fields(field: &Field<'_>) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let Some(map) = field.map() else { return found };
    collect(&map, "", &mut found);
    found
}

fn collect(map: &Map<'_>, prefix: &str, found: &mut Vec<(String, String)>) {
    for (key, field) in map.fields() {
        let name = if prefix.is_empty() { key.text.clone() } else { format!("{prefix}.{}", key.text) };
        let at_key = || Problem::new(key.pos, &field.path, format!("`{}` cannot be the name of a field", name.escape_debug()));
        if key.text.is_empty() || key.text.split('.').any(str::is_empty) || key.text.contains("${") {
            map.report(at_key().expected("names without empty parts; `${…}` works in values only"));
            continue;
        }
        if matches!(field.node.kind, Kind::Map(_)) {
            if let Some(inner) = field.map() {
                collect(&inner, &name, found);
            }
            continue;
        }
        if is_own(&name) {
            let own = format!("its own are {}, {}", OWN_FIELDS.join(", "), OWN_OBJECTS.join(", "));
            map.report(at_key().expected("a name that Forebay does not write itself").note(own));
            continue;
        }
        let clash = found
            .iter()
            .find(|(other, _)| *other == name || other.starts_with(&format!("{name}.")) || name.starts_with(&format!("{other}.")));
        if let Some((other, _)) = clash {
            map.report(at_key().expected(format!("a name that does not clash with `{other}`")));
            continue;
        }
        if let Some(value) = json(&field) {
            found.push((name, value.to_string()));
        }
    }
}

/// A value as JSON. Plain words are typed as YAML types them; what is quoted or expanded is a string.
fn json(field: &Field<'_>) -> Option<serde_json::Value> {
    use serde_json::Value;
    match &field.node.kind {
        Kind::Null => Some(Value::Null),
        Kind::Map(_) => {
            field.map().map(|map| Value::Object(map.fields().filter_map(|(key, field)| Some((key.text.clone(), json(&field)?))).collect()))
        }
        Kind::Seq(_) => Some(Value::Array(field.list("a list").iter().filter_map(json).collect())),
        Kind::Scalar { quoted, .. } => {
            let value = field.scalar("a value")?;
            Some(if *quoted || value.changed { Value::String(value.text) } else { plain(&value.text) })
        }
    }
}

fn plain(text: &str) -> serde_json::Value {
    match text {
        "true" | "True" | "TRUE" => true.into(),
        "false" | "False" | "FALSE" => false.into(),
        // Only numbers that read back as they were written: a version `1.20` must not become 1.2.
        _ => match serde_json::from_str::<serde_json::Number>(text) {
            Ok(number) if number.to_string() == text => serde_json::Value::Number(number),
            _ => text.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_keep_their_form() {
        assert_eq!(plain("12").to_string(), "12");
        assert_eq!(plain("1.20").to_string(), "\"1.20\"");
        assert_eq!(plain("007").to_string(), "\"007\"");
        assert_eq!(plain("true").to_string(), "true");
    }
}
