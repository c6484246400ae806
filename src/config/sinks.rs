//! `sinks.NAME`: what all sinks share.

use super::decode::{Ctx, Field, Map};
use super::more_sinks as more;
use super::process::{Chains, chain_of, condition};
use super::sink_kinds as kinds;
use super::sources::{Component, enabled};
use super::yaml::{Kind, Pos};
use crate::process::chain::Chain;
use crate::queue::CatchUp;
use crate::sink::{SinkKind, SinkOptions, console, elasticsearch, file, http, loki, otlp};
use std::collections::BTreeMap;
use std::time::Duration;

/// The word after `type:`.
#[derive(Clone, Copy)]
enum Type {
    Elasticsearch,
    Http,
    Loki,
    Otlp,
    File,
    Console,
}

const TYPES: [(&str, Type); 7] = [
    ("elasticsearch", Type::Elasticsearch),
    ("opensearch", Type::Elasticsearch),
    ("http", Type::Http),
    ("loki", Type::Loki),
    ("otlp", Type::Otlp),
    ("file", Type::File),
    ("console", Type::Console),
];

const CATCH_UP: [(&str, CatchUp); 2] = [("oldest_first", CatchUp::OldestFirst), ("newest_first", CatchUp::NewestFirst)];

/// Decodes one entry of `sinks:`.
pub(crate) fn sink(ctx: &Ctx<'_>, name: &str, pos: Pos, field: &Field<'_>, chains: &Chains) -> Component<SinkOptions> {
    let mut component = Component { pos, enabled: true, options: None, places: BTreeMap::new() };
    let Some(mut map) = field.map() else { return component };
    let kind = map.get("type");
    component.enabled = enabled(&mut map);
    ctx.begin(component.enabled);
    let kind = match kind {
        Some(field) => field.one_of(&TYPES),
        None => {
            let names = super::decode::quoted_list(TYPES.iter().map(|(word, _)| *word));
            map.report(map.problem(format!("`{}` has no `type`", map.path)).expected(format!("the kind of sink: one of {names}")));
            None
        }
    };
    // Without a kind nobody can tell which keys are right.
    if let Some(kind) = kind {
        for key in ["topics", "previous_name", "path"] {
            if let Some(field) = map.peek(key) {
                component.places.insert(key.to_string(), field.pos());
            }
        }
        component.options = Some(options(ctx, name, kind, map, chains));
    }
    ctx.lenient.set(false);
    component
}

fn options(ctx: &Ctx<'_>, name: &str, kind: Type, mut map: Map<'_>, chains: &Chains) -> SinkOptions {
    let kind = match kind {
        Type::Elasticsearch => SinkKind::Elasticsearch(elasticsearch::ElasticsearchOptions::default()),
        Type::Http => SinkKind::Http(http::HttpOptions::default()),
        Type::Loki => SinkKind::Loki(loki::LokiOptions::default()),
        Type::Otlp => SinkKind::Otlp(otlp::OtlpOptions::default()),
        Type::File => SinkKind::File(file::FileSinkOptions::default()),
        Type::Console => SinkKind::Console(console::ConsoleOptions::default()),
    };
    let mut options = SinkOptions::new(name, kind);
    match &mut options.kind {
        SinkKind::Elasticsearch(own) => kinds::elasticsearch(ctx, &mut map, own),
        SinkKind::Http(own) => kinds::http(ctx, &mut map, own),
        SinkKind::Loki(own) => more::loki(ctx, &mut map, own),
        SinkKind::Otlp(own) => more::otlp(ctx, &mut map, own),
        SinkKind::File(own) => kinds::file(&mut map, own),
        SinkKind::Console(own) => kinds::console(&mut map, own),
    }
    options.previous_name = map.get("previous_name").and_then(|f| f.name());
    if let Some(field) = map.get("topics") {
        if matches!(&field.node.kind, Kind::Seq(items) if items.is_empty()) {
            field.wrong(format!("`{}` is an empty list", field.path), "names of topics; without `topics` a sink gets all of them");
        }
        options.topics = field.list("a topic or a list of topics").iter().filter_map(Field::name).collect();
    }
    if let Some(mut batch) = map.get("batch").and_then(|f| f.map()) {
        if let Some(bytes) = batch.get("max_bytes").and_then(|f| f.size(1 << 10..=100 << 20)) {
            options.batch.max_bytes = bytes as usize;
        }
        if let Some(events) = batch.get("max_events").and_then(|f| f.integer(1..=1_000_000)) {
            options.batch.max_events = events as u32;
        }
        if let Some(time) = batch.get("linger").and_then(|f| f.duration(Duration::ZERO..=Duration::from_secs(60))) {
            options.batch.linger = time;
        }
        batch.finish(&[]);
    }
    if let Some(order) = map.get("catch_up").and_then(|f| f.one_of(&CATCH_UP)) {
        options.catch_up = order;
    }
    if let Some(number) = map.get("in_flight").and_then(|f| f.integer(1..=64)) {
        options.in_flight = number as u32;
    }
    if let Some(mut retry) = map.get("retry").and_then(|f| f.map()) {
        let range = || Duration::from_millis(1)..=Duration::from_secs(3600);
        let (initial, max) = (retry.get("initial"), retry.get("max"));
        if let Some(time) = initial.as_ref().and_then(|f| f.duration(range())) {
            options.retry.initial = time;
        }
        if let Some(time) = max.as_ref().and_then(|f| f.duration(range())) {
            options.retry.max = time;
        }
        if options.retry.initial > options.retry.max
            && let Some(at) = max.or(initial)
        {
            at.wrong(
                format!("`{}.initial` is longer than `{}.max`", retry.path, retry.path),
                "a first wait that is not longer than the longest",
            );
        }
        for limit in ["attempts", "max_attempts", "max_retries", "retries"] {
            retry.refuse(
                limit,
                "retries have no limit here, so that an outage loses nothing",
                "remove it; while a sink is down, its events are safe in the queue",
            );
        }
        retry.finish(&["attempts", "max_attempts", "max_retries", "retries"]);
    }
    if let Some(field) = map.get("process") {
        options.process = chain_of(&field, chains);
        wants_documents(&field, &options.kind);
    }
    if let Some(field) = map.get("when") {
        route(&field, &mut options);
    }
    map.finish(&[]);
    options
}

/// A key that only does something where the sink makes documents.
fn wants_documents(field: &Field<'_>, kind: &SinkKind) {
    if let SinkKind::Console(own) = kind
        && own.format == console::ConsoleFormat::Text
    {
        field.wrong(format!("`{}` does nothing where lines are shown as they are", field.path), "`format: json` beside it");
    }
}

/// `when` of a sink: of what its chain leaves it gets only that for which the condition holds.
fn route(field: &Field<'_>, options: &mut SinkOptions) {
    wants_documents(field, &options.kind);
    let Some(condition) = condition(field) else { return };
    let hash = field.value("a condition").map_or(0, |value| xxhash_rust::xxh3::xxh3_64(value.text.as_bytes()));
    let chain = options.process.take().unwrap_or_else(|| Chain::new(Vec::new(), 0));
    options.process = Some(chain.routed(condition, hash));
}
