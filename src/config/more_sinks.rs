//! The keys of the sinks for Loki and OTLP.

use super::decode::{Ctx, Field, Map, shown};
use super::http_client::{client, url, warn_plain};
use super::sink_kinds::headers;
use super::yaml::Pos;
use crate::sink::Auth;
use crate::sink::loki::LokiOptions;
use crate::sink::otlp::OtlpOptions;
use url::Url;

/// Keys of a Loki sink.
pub(crate) fn loki(ctx: &Ctx<'_>, map: &mut Map<'_>, options: &mut LokiOptions) {
    let target = endpoint(map, "http://loki:3100", "/loki/api/v1/push", &mut options.endpoint);
    options.tenant = map.get("tenant").and_then(|f| f.string("the ID of a tenant"));
    if let Some(map) = map.get("labels").and_then(|f| f.map()) {
        options.labels = labels(map);
    }
    if let Some(wanted) = map.get("structured_metadata").and_then(|f| f.boolean()) {
        options.structured_metadata = wanted;
    }
    client(ctx, map, &mut options.connection);
    warn_plain(ctx, &map.path, &options.connection.auth, target.as_ref());
}

/// Keys of an OTLP sink.
pub(crate) fn otlp(ctx: &Ctx<'_>, map: &mut Map<'_>, options: &mut OtlpOptions) {
    let target = endpoint(map, "http://collector:4318", "/v1/logs", &mut options.endpoint);
    client(ctx, map, &mut options.connection);
    if let Some(field) = map.get("headers") {
        options.headers = headers(&field, options.connection.auth != Auth::None);
    }
    warn_plain(ctx, &map.path, &options.connection.auth, target.as_ref());
}

/// The base URL; the path that the sink adds itself may stand there already.
fn endpoint(map: &mut Map<'_>, example: &str, path: &str, out: &mut String) -> Option<(Url, Pos)> {
    let expected = format!("a URL such as `{example}`; `{path}` is put behind it");
    let field = map.require("endpoint", &expected)?;
    let found = url(&field, &expected, true)?;
    let base = found.as_str().trim_end_matches('/');
    *out = base.strip_suffix(path).unwrap_or(base).to_string();
    Some((found, field.pos()))
}

fn labels(map: Map<'_>) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    for (key, field) in map.fields() {
        let name = key.text.as_bytes();
        let right = name.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
            && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
        if !right {
            let problem = super::diagnostic::Problem::new(key.pos, &field.path, format!("{} cannot be a label", shown(&key.text)));
            map.report(problem.expected("letters, digits and `_`, and no digit first"));
        } else if let Some(source) = text(&field) {
            labels.push((key.text.clone(), source));
        }
    }
    labels
}

fn text(field: &Field<'_>) -> Option<String> {
    field.string("the name of a field, such as `host.name`")
}
