//! The keys of each kind of sink.

use super::cloud_id::cloud_id;
use super::decode::{Ctx, Field, Map, shown};
use super::http_client::{client, url, warn_plain};
use super::yaml::Kind;
use crate::sink::Auth;
use crate::sink::console::{ConsoleFormat, ConsoleOptions};
use crate::sink::elasticsearch::ElasticsearchOptions;
use crate::sink::file::FileSinkOptions;
use crate::sink::http::{BodyFormat, HttpOptions};
use std::path::PathBuf;

/// Keys of an Elasticsearch sink.
pub(crate) fn elasticsearch(ctx: &Ctx<'_>, map: &mut Map<'_>, options: &mut ElasticsearchOptions) {
    let mut first = None;
    if let Some(field) = map.get("cloud_id") {
        if map.get("endpoints").is_some() {
            field.wrong(format!("`{}` has both `cloud_id` and `endpoints`", map.path), "one of the two");
        } else if let Some(url) = cloud_id(&field) {
            options.endpoints.push(url.as_str().trim_end_matches('/').to_string());
            first = Some((url, field.pos()));
        }
    } else if let Some(field) = map.require("endpoints", "base URLs such as `https://search:9200`, or `cloud_id`") {
        if matches!(&field.node.kind, Kind::Seq(items) if items.is_empty()) && !ctx.lenient.get() {
            field.wrong(format!("`{}` is an empty list", field.path), "at least one URL such as `https://search:9200`");
        }
        for item in field.list("a URL or a list of URLs") {
            if let Some(url) = url(&item, "a URL such as `https://search:9200`", true) {
                options.endpoints.push(url.as_str().trim_end_matches('/').to_string());
                first.get_or_insert((url, item.pos()));
            }
        }
    }
    super::search_target::decode(map, options);
    options.pipeline = map.get("pipeline").and_then(|f| f.string("the name of an ingest pipeline"));
    client(ctx, map, &mut options.connection);
    warn_plain(ctx, &map.path, &options.connection.auth, first.as_ref());
}

/// Keys of an HTTP sink.
pub(crate) fn http(ctx: &Ctx<'_>, map: &mut Map<'_>, options: &mut HttpOptions) {
    let mut target = None;
    if let Some(field) = map.require("url", "a URL such as `https://collector/logs`")
        && let Some(url) = url(&field, "a URL such as `https://collector/logs`", false)
    {
        options.url = url.to_string();
        target = Some((url, field.pos()));
    }
    if let Some(method) = map.get("method").and_then(|f| f.one_of(&[("POST", "POST"), ("PUT", "PUT")])) {
        options.method = method.to_string();
    }
    if let Some(format) = map.get("format").and_then(|f| f.one_of(&[("ndjson", BodyFormat::Ndjson), ("json_array", BodyFormat::JsonArray)]))
    {
        options.format = format;
    }
    client(ctx, map, &mut options.connection);
    if let Some(field) = map.get("headers") {
        options.headers = headers(&field, options.connection.auth != Auth::None);
    }
    warn_plain(ctx, &map.path, &options.connection.auth, target.as_ref());
}

/// Keys of a file sink.
pub(crate) fn file(map: &mut Map<'_>, options: &mut FileSinkOptions) {
    if let Some(field) = map.require("path", "the path of the file to write")
        && let Some(value) = field.value("the path of the file to write")
    {
        if value.text.ends_with('/') {
            field.report(field.is(&value).expected("the path of a file, not of a folder"));
        }
        options.path = PathBuf::from(value.text);
    }
    if let Some(bytes) = map.get("rotate_bytes").and_then(|f| f.size(64 << 10..=1 << 40)) {
        options.rotate_bytes = bytes;
    }
    if let Some(count) = map.get("keep").and_then(|f| f.integer(1..=10_000)) {
        options.keep = count as u32;
    }
}

/// Keys of a console sink.
pub(crate) fn console(map: &mut Map<'_>, options: &mut ConsoleOptions) {
    if let Some(format) = map.get("format").and_then(|f| f.one_of(&[("json", ConsoleFormat::Json), ("text", ConsoleFormat::Text)])) {
        options.format = format;
    }
}

/// Headers that the sink sets itself.
const OWN_HEADERS: [&str; 7] =
    ["content-type", "content-length", "content-encoding", "transfer-encoding", "idempotency-key", "host", "connection"];

pub(super) fn headers(field: &Field<'_>, has_auth: bool) -> Vec<(String, String)> {
    let Some(map) = field.map() else { return Vec::new() };
    let mut headers = Vec::new();
    for (key, field) in map.fields() {
        let at_key = |message: String| super::diagnostic::Problem::new(key.pos, &field.path, message);
        let lower = key.text.to_ascii_lowercase();
        if key.text.is_empty() || !key.text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)) {
            map.report(at_key(format!("{} cannot be the name of a header", shown(&key.text))).expected("letters, digits and `-`"));
        } else if OWN_HEADERS.contains(&&*lower) {
            map.report(at_key(format!("the header `{}` is set by the sink itself", key.text)).help("remove it"));
        } else if lower == "authorization" && has_auth {
            map.report(at_key("there is both `auth` and a header `Authorization`".into()).expected("one of the two"));
        } else if let Some(value) = field.value("the value of a header") {
            if value.text.chars().any(|c| c.is_control() && c != '\t') {
                field.wrong(format!("`{}` has control characters (a line break?)", field.path), "a value on one line");
            } else {
                headers.push((key.text.clone(), value.text));
            }
        }
    }
    headers
}
