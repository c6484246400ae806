//! Mistakes that only show when the whole configuration is seen.

use super::decode::Ctx;
use super::diagnostic::Problem;
use super::sources::{Component, SourceOptions};
use super::suggest::nearest;
use super::yaml::Pos;
use crate::queue::QueueOptions;
use crate::sink::{SinkKind, SinkOptions};
use crate::source::push::{MAX_BODY, PushKind};
use globset::{GlobBuilder, GlobMatcher};
use std::path::{Component as Part, Path, PathBuf};

/// Sources or sinks by name, in the order of the files.
pub(crate) type Named<T> = Vec<(String, Component<T>)>;

/// Those that are enabled and could be decoded.
fn live<T>(all: &Named<T>) -> impl Iterator<Item = (&str, &Component<T>, &T)> {
    all.iter().filter(|(_, c)| c.enabled).filter_map(|(name, c)| Some((name.as_str(), c, c.options.as_ref()?)))
}

/// All whole-configuration checks. `misspelt` are top-level keys that stand there under a wrong name.
pub(crate) fn check(ctx: &Ctx<'_>, sources: &Named<SourceOptions>, sinks: &Named<SinkOptions>, queue: &QueueOptions, misspelt: &[&str]) {
    if !misspelt.contains(&"sources") {
        some(ctx, "source", sources, "sources:\n       app:\n         type: file\n         include: /var/log/app/*.log");
    }
    if !misspelt.contains(&"sinks") {
        some(ctx, "sink", sinks, "sinks:\n       search:\n         type: elasticsearch\n         endpoints: http://localhost:9200");
    }
    one_stdin(ctx, sources);
    topics(ctx, sources, sinks);
    names(ctx, sinks);
    loops(ctx, sources, sinks, queue);
    shared_targets(ctx, sinks);
    for (name, component, options) in live(sources) {
        if let SourceOptions::Push(push) = options
            && let PushKind::Http(http) = &push.kind
            && http.max_body != MAX_BODY
            && http.max_body > queue.buffer_memory / 4
        {
            ctx.report(
                Problem::new(
                    component.pos,
                    &format!("sources.{name}.max_body"),
                    format!("`sources.{name}.max_body` is more than a quarter of `queue.buffer_memory`"),
                )
                .expected("room for at least two of the largest bodies in the half of the memory that sources have"),
            );
        }
        let joined = options.file().and_then(|o| o.multiline.as_ref()?.max_bytes).unwrap_or_default();
        for (key, bytes) in [("max_line_bytes", options.max_line_bytes()), ("multiline.max_bytes", joined)] {
            if bytes > queue.buffer_memory / 4 {
                let path = format!("sources.{name}.{key}");
                ctx.report(
                    Problem::new(component.pos, &path, format!("`{path}` is more than a quarter of `queue.buffer_memory`"))
                        .expected("room for at least four of the longest events in memory"),
                );
            }
        }
    }
}

/// At least one source and one sink.
fn some<T>(ctx: &Ctx<'_>, kind: &str, all: &Named<T>, example: &str) {
    if all.iter().any(|(_, c)| c.enabled) {
        return;
    }
    let problem = if all.is_empty() {
        Problem::new(Pos::default(), &format!("{kind}s"), format!("there is no {kind}")).help(format!("for example\n     {example}"))
    } else {
        let names = super::decode::quoted_list(all.iter().map(|(name, _)| name.as_str()));
        Problem::new(all[0].1.pos, &format!("{kind}s"), format!("every {kind} is disabled: {names}"))
            .help("set `enabled: true` for one, or the variable that it depends on")
    };
    ctx.report(problem.expected(format!("at least one {kind}")));
}

/// There is one standard input: two sources would share its lines at random.
fn one_stdin(ctx: &Ctx<'_>, sources: &Named<SourceOptions>) {
    let mut first: Option<&str> = None;
    for (name, component, options) in live(sources) {
        if !matches!(options, SourceOptions::Push(push) if matches!(push.kind, PushKind::Stdin(_))) {
            continue;
        }
        if let Some(first) = first {
            let message = format!("both `sources.{first}` and `sources.{name}` read standard input");
            ctx.report(Problem::new(component.pos, &format!("sources.{name}"), message).expected("one source of `type: stdin`"));
        }
        first.get_or_insert(name);
    }
}

/// Topics that nobody writes, topics that nobody reads.
fn topics(ctx: &Ctx<'_>, sources: &Named<SourceOptions>, sinks: &Named<SinkOptions>) {
    let written: Vec<&str> = live(sources).map(|(_, _, options)| options.topic()).collect();
    let resting: Vec<&str> = sources.iter().filter(|(_, c)| !c.enabled).filter_map(|(_, c)| Some(c.options.as_ref()?.topic())).collect();
    // A source that could not be decoded may write any topic.
    let sure = sources.iter().all(|(_, c)| c.options.is_some()) && !written.is_empty();
    for (name, component, options) in live(sinks).filter(|_| sure) {
        for topic in options.topics.iter().filter(|topic| !written.contains(&topic.as_str())) {
            let place = component.place("topics");
            if resting.contains(&topic.as_str()) {
                ctx.warn(place, format!("`sinks.{name}` reads the topic `{topic}`, whose only source is disabled"));
                continue;
            }
            let near = nearest(topic, written.iter().copied());
            let mut known = written.clone();
            known.sort_unstable();
            known.dedup();
            ctx.report(
                Problem::new(
                    place,
                    &format!("sinks.{name}.topics"),
                    format!("`sinks.{name}` reads the topic `{topic}`, which no source writes: nothing feeds it"),
                )
                .found(topic.clone())
                .expected(format!("one of: {}", known.join(", ")))
                .help_if(near.map(|near| format!("did you mean `{near}`?"))),
            );
        }
    }
    let readers: Vec<&SinkOptions> = live(sinks).map(|(_, _, options)| options).collect();
    if readers.is_empty() || sinks.iter().any(|(_, c)| c.enabled && c.options.is_none()) {
        return;
    }
    let mut said: Vec<&str> = Vec::new();
    for (name, component, options) in live(sources) {
        let read = readers.iter().any(|sink| sink.topics.is_empty() || sink.topics.iter().any(|topic| topic == options.topic()));
        if !read && !said.contains(&options.topic()) {
            said.push(options.topic());
            ctx.warn(
                component.place("topic"),
                format!(
                    "no sink reads the topic `{}` that `sources.{name}` writes: its events stay in the queue until retention removes them",
                    options.topic()
                ),
            );
        }
    }
}

/// `previous_name` must be free, or two sinks would share one set of offsets.
fn names(ctx: &Ctx<'_>, sinks: &Named<SinkOptions>) {
    let mut taken: Vec<(&str, &str)> = Vec::new();
    for (name, component) in sinks {
        let Some(previous) = component.options.as_ref().and_then(|o| o.previous_name.as_deref()) else { continue };
        let message = if previous == name {
            Some(format!("`sinks.{name}` has its own name as `previous_name`"))
        } else if sinks.iter().any(|(other, _)| other == previous) {
            Some(format!("`sinks.{name}` wants to go on where `{previous}` stopped, but a sink `{previous}` is still there"))
        } else {
            taken
                .iter()
                .find(|(other, _)| *other == previous)
                .map(|(_, by)| format!("both `sinks.{by}` and `sinks.{name}` have `previous_name: {previous}`"))
        };
        if let Some(message) = message {
            let path = format!("sinks.{name}.previous_name");
            ctx.report(
                Problem::new(component.place("previous_name"), &path, message)
                    .expected("the name of a sink that is no longer in the configuration"),
            );
        }
        taken.push((previous, name));
    }
}

/// Two sinks that write one file would destroy each other's lines; two that fill one index from one topic double each line.
fn shared_targets(ctx: &Ctx<'_>, sinks: &Named<SinkOptions>) {
    let all: Vec<_> = live(sinks).collect();
    for (n, (name, component, options)) in all.iter().enumerate() {
        for (other, _, first) in &all[..n] {
            match (&options.kind, &first.kind) {
                (SinkKind::File(a), SinkKind::File(b)) if absolute(&a.path) == absolute(&b.path) => ctx.report(
                    Problem::new(
                        component.place("path"),
                        &format!("sinks.{name}.path"),
                        format!("`sinks.{name}` writes the same file as `sinks.{other}`"),
                    )
                    .expected("a file of its own for each sink"),
                ),
                (SinkKind::Elasticsearch(a), SinkKind::Elasticsearch(b))
                    if a.index == b.index
                        && a.endpoints.iter().any(|url| b.endpoints.contains(url))
                        && (options.topics.is_empty()
                            || first.topics.is_empty()
                            || options.topics.iter().any(|topic| first.topics.contains(topic))) =>
                {
                    ctx.warn(
                        component.place("index"),
                        format!(
                            "`sinks.{name}` and `sinks.{other}` fill the same index from the same topic: each line is there twice, once for each sink"
                        ),
                    );
                }
                _ => {}
            }
        }
    }
}

/// The path without `.` and `..`, from the root.
fn absolute(path: &Path) -> PathBuf {
    let whole = if path.is_absolute() { path.to_path_buf() } else { std::env::current_dir().unwrap_or_default().join(path) };
    let mut clean = PathBuf::new();
    for part in whole.components() {
        match part {
            Part::CurDir => {}
            Part::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}

fn matchers(globs: &[String]) -> Vec<GlobMatcher> {
    // The working directory's name is no pattern, whatever it holds.
    let here = std::env::current_dir().ok().and_then(|dir| dir.to_str().map(globset::escape)).unwrap_or_default();
    let whole = |glob: &String| absolute(&Path::new(&here).join(glob)).to_str().map(str::to_string);
    globs
        .iter()
        .filter_map(whole)
        .filter_map(|glob| GlobBuilder::new(&glob).literal_separator(true).build().ok())
        .map(|glob| glob.compile_matcher())
        .collect()
}

/// What Forebay writes must not be what it reads, or it would feed itself for ever.
fn loops(ctx: &Ctx<'_>, sources: &Named<SourceOptions>, sinks: &Named<SinkOptions>, queue: &QueueOptions) {
    for (source, component, options) in live(sources) {
        let Some(options) = options.file() else { continue };
        let (include, exclude) = (matchers(&options.include), matchers(&options.exclude));
        let follows = |path: &Path| {
            let path = absolute(path);
            include.iter().any(|glob| glob.is_match(&path)) && !exclude.iter().any(|glob| glob.is_match(&path))
        };
        for (sink, place, path) in live(sinks).filter_map(|(name, c, o)| match &o.kind {
            SinkKind::File(file) if !file.path.as_os_str().is_empty() => Some((name, c.place("path"), &file.path)),
            _ => None,
        }) {
            let rotated = PathBuf::from(format!("{}.1", path.display()));
            if follows(path) || follows(&rotated) {
                let what = if follows(path) { "" } else { " (once it is rotated)" };
                ctx.report(
                    Problem::new(
                        place,
                        &format!("sinks.{sink}.path"),
                        format!("`sinks.{sink}` writes a file that `sources.{source}` reads{what}: a loop without end"),
                    )
                    .expected("a file that no source follows")
                    .help(format!("write elsewhere, or add the file to `sources.{source}.exclude`")),
                );
            }
        }
        let own = ["LOCK", "topics/logs/0/00000000000000000000-0.seg", "groups/journal"].map(|name| queue.dir.join(name));
        if own.iter().any(|path| follows(path)) {
            ctx.report(
                Problem::new(
                    component.place("include"),
                    &format!("sources.{source}.include"),
                    format!("`sources.{source}` follows files of the data_dir itself: a loop without end"),
                )
                .expected("globs that leave `data_dir` out")
                .help(format!("narrow the globs, or add `{}/**` to `exclude`", queue.dir.display())),
            );
        }
    }
}
