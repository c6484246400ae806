//! Presets: chains for the lines of well-known programs, as YAML of the same form as a pipeline's, with their own tests.
//!
//! A file has `description`, `multiline` (what the source must be told where an event has several lines), `process` (a chain)
//! and `tests`, in this order. Nothing here is privileged: `forebay explain NAME` prints what can be pasted into a pipeline.

use crate::config::suggest::nearest;

/// Name and text of each preset, in the order of their names.
pub(crate) const ALL: &[(&str, &str)] = &[
    ("apache.access", include_str!("apache.access.yaml")),
    ("apache.error", include_str!("apache.error.yaml")),
    ("bunyan", include_str!("bunyan.yaml")),
    ("cef", include_str!("cef.yaml")),
    ("docker", include_str!("docker.yaml")),
    ("ecs-json", include_str!("ecs-json.yaml")),
    ("elasticsearch.server", include_str!("elasticsearch.server.yaml")),
    ("go.slog", include_str!("go.slog.yaml")),
    ("haproxy", include_str!("haproxy.yaml")),
    ("iis", include_str!("iis.yaml")),
    ("java.log4j2", include_str!("java.log4j2.yaml")),
    ("java.logback", include_str!("java.logback.yaml")),
    ("k8s.klog", include_str!("k8s.klog.yaml")),
    ("kafka", include_str!("kafka.yaml")),
    ("mongodb", include_str!("mongodb.yaml")),
    ("mysql.error", include_str!("mysql.error.yaml")),
    ("mysql.slow", include_str!("mysql.slow.yaml")),
    ("nginx.access", include_str!("nginx.access.yaml")),
    ("nginx.error", include_str!("nginx.error.yaml")),
    ("pino", include_str!("pino.yaml")),
    ("postgres", include_str!("postgres.yaml")),
    ("python", include_str!("python.yaml")),
    ("rails", include_str!("rails.yaml")),
    ("redis", include_str!("redis.yaml")),
    ("syslog", include_str!("syslog.yaml")),
];

/// What may have been meant by a name that no preset has: one that is written like it, or those of the program of this name.
pub(crate) fn like(name: &str) -> Option<String> {
    let names = || ALL.iter().map(|(own, _)| *own);
    let of_program = || names().filter(|own| own.split(['.', '-']).any(|part| part == name)).map(|own| format!("`{own}`"));
    let meant = match nearest(name, names()) {
        Some(near) => format!("`{near}`"),
        None => of_program().collect::<Vec<_>>().join(" or "),
    };
    (!meant.is_empty()).then(|| format!("did you mean {meant}?"))
}

/// The text of a preset.
pub(crate) fn text(name: &str) -> Option<&'static str> {
    ALL.iter().find(|(own, _)| *own == name).map(|(_, text)| *text)
}

/// The lines of the key `section` of a preset's text, with their indentation.
pub(crate) fn section<'a>(text: &'a str, section: &str) -> &'a str {
    let Some(start) = text.find(&format!("\n{section}:\n")).map(|at| at + section.len() + 3) else { return "" };
    let body = &text[start..];
    let end = body.match_indices('\n').find(|(at, _)| body[at + 1..].starts_with(|c: char| c.is_ascii_lowercase()));
    &body[..end.map_or(body.len(), |(at, _)| at + 1)]
}

#[cfg(test)]
mod tests;
