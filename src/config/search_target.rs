//! Where the events of an Elasticsearch sink go: `index`, or `data_stream`; `routing`; and what is added to documents.

use super::decode::{Ctx, Field, Map};
use super::expand::Expanded;
use super::sources::SourceOptions;
use super::whole::{Named, live};
use crate::sink::elasticsearch::index::{index_fault, part_fault};
use crate::sink::elasticsearch::pattern::Pattern;
use crate::sink::elasticsearch::{DataStreamOptions, ElasticsearchOptions};
use crate::sink::{SinkKind, SinkOptions};

/// Reads `index`, `data_stream`, `routing` and `include`.
pub(crate) fn decode(map: &mut Map<'_>, options: &mut ElasticsearchOptions) {
    let (named, stream) = (map.get("index"), map.get("data_stream"));
    if let (Some(named), Some(stream)) = (&named, &stream) {
        stream.report(
            stream
                .problem(format!("`{}` has both `index` and `data_stream`", map.path))
                .expected("one of the two")
                .help(format!("remove `{}` or `{}`; `index` may name a data stream too", named.path, stream.path)),
        );
    }
    if let Some(name) = named.and_then(|f| index(&f)) {
        options.index = name;
    }
    options.data_stream = stream.and_then(|f| data_stream(&f));
    options.routing = map.get("routing").and_then(|f| {
        let expected = "a text that may name fields of the source, such as `{service.name}`";
        let value = f.value(expected)?;
        pattern(&f, &value, false, expected)?;
        Some(value.text)
    });
    if let Some(field) = map.get("include") {
        for item in field.list("a list of what documents are to hold: `batch_id`") {
            options.include_batch_id |= item.one_of(&[("batch_id", ())]).is_some();
        }
    }
}

fn pattern(field: &Field<'_>, value: &Expanded, dates: bool, expected: &str) -> Option<Pattern> {
    match Pattern::parse(&value.text, dates) {
        Ok(pattern) => Some(pattern),
        Err(why) => {
            field.report(field.is(value).expected(expected).help_if((!value.secret).then_some(why)));
            None
        }
    }
}

/// A name in which `%Y`, `%m` and `%d` stand for the event's date and `{…}` for fields of its source.
fn index(field: &Field<'_>) -> Option<String> {
    let expected = "an index name after the rules of Elasticsearch, such as `logs-app` or `logs-app-%Y.%m.%d`";
    let value = field.value("the name of an index")?;
    let pattern = pattern(field, &value, true, expected)?;
    let fault = if pattern.lowercase() == value.text {
        index_fault(&pattern.sample())
    } else {
        Some(format!("index names are lower case: `{}`", pattern.lowercase()))
    };
    match fault {
        Some(why) => {
            field.report(field.is(&value).expected(expected).help_if((!value.secret).then_some(why)));
            None
        }
        None => Some(value.text),
    }
}

/// `data_stream: {type: …, dataset: …, namespace: …}`.
fn data_stream(field: &Field<'_>) -> Option<DataStreamOptions> {
    let (mut map, mut options) = (field.map()?, DataStreamOptions::default());
    for (name, own, fields) in
        [("type", &mut options.kind, false), ("dataset", &mut options.dataset, true), ("namespace", &mut options.namespace, true)]
    {
        let Some(field) = map.get(name) else { continue };
        let example = if fields { "such as `shop` or `{service.name:generic}`" } else { "such as `logs`" };
        let expected = format!("a part of a data stream's name, in lower case and without `-`, {example}");
        let Some(value) = field.value(&expected) else { continue };
        let fault = match pattern(&field, &value, false, &expected) {
            None => continue,
            Some(pattern) if !fields && pattern.names_fields() => Some("the type is the same for all events".to_string()),
            Some(pattern) => part_fault(&pattern.sample()),
        };
        match fault {
            Some(why) => field.report(field.is(&value).expected(expected).help_if((!value.secret).then_some(why))),
            None => *own = value.text,
        }
    }
    map.finish(&[]);
    Some(options)
}

/// Warns of fields in a target that no source has, and for which the target names nothing else: all events would go where
/// `unknown` stands.
pub(crate) fn fields_are_there(ctx: &Ctx<'_>, sources: &Named<SourceOptions>, sinks: &Named<SinkOptions>) {
    if sources.iter().any(|(_, c)| c.enabled && c.options.is_none()) {
        return;
    }
    let known = |name: &str| {
        // What the kubelet's paths tell is known only when there are files.
        let always = ["host.name", "log.file.path"].contains(&name) || name.starts_with("kubernetes.");
        let has = |options: &SourceOptions| {
            let fields = match options {
                SourceOptions::File(file) => &file.fields,
                SourceOptions::Push(push) => &push.fields,
            };
            let within = |own: &str| own.strip_prefix(name).or(name.strip_prefix(own)).is_some_and(|r| r.is_empty() || r.starts_with('.'));
            fields.iter().any(|(own, _)| within(own))
        };
        always || live(sources).any(|(_, _, options)| has(options))
    };
    for (sink, component, options) in live(sinks) {
        let SinkKind::Elasticsearch(own) = &options.kind else { continue };
        let (stream, index) = (own.data_stream.as_ref(), own.data_stream.is_none().then_some(&own.index));
        let texts = [
            ("index", index),
            ("data_stream.dataset", stream.map(|s| &s.dataset)),
            ("data_stream.namespace", stream.map(|s| &s.namespace)),
        ];
        for (key, text) in texts {
            let Some(pattern) = text.and_then(|text| Pattern::parse(text, key == "index").ok()) else { continue };
            for name in pattern.bare_fields().filter(|name| !known(name)) {
                ctx.warn(
                    component.pos,
                    format!(
                        "`sinks.{sink}.{key}` names the field `{name}`, which no source has under `fields`: `unknown` stands in its place; \
                         write `{{{name}:…}}` to say what is to stand there"
                    ),
                );
            }
        }
    }
}
