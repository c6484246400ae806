//! The keys of each kind of sink.

use super::decode::{Ctx, Field, Map, shown};
use super::yaml::{Kind, Pos};
use crate::sink::console::{ConsoleFormat, ConsoleOptions};
use crate::sink::elasticsearch::{Auth, Compression, ElasticsearchOptions, TlsOptions};
use crate::sink::file::FileSinkOptions;
use crate::sink::http::{BodyFormat, HttpOptions};
use reqwest::Url;
use std::path::PathBuf;
use std::time::Duration;

/// Level of `compression: gzip` without a level: most of the gain for little CPU.
const GZIP_LEVEL: u32 = 3;

/// Keys of an Elasticsearch sink.
pub(crate) fn elasticsearch(ctx: &Ctx<'_>, map: &mut Map<'_>, options: &mut ElasticsearchOptions) {
    let mut first = None;
    if let Some(field) = map.require("endpoints", "base URLs such as `https://search:9200`") {
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
    if let Some(index) = map.get("index").and_then(|f| index(&f)) {
        options.index = index;
    }
    options.pipeline = map.get("pipeline").and_then(|f| f.string("the name of an ingest pipeline"));
    client(ctx, map, &mut options.auth, &mut options.tls, &mut options.compression, &mut options.timeout);
    warn_plain(ctx, &map.path, &options.auth, first.as_ref());
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
    client(ctx, map, &mut options.auth, &mut options.tls, &mut options.compression, &mut options.timeout);
    if let Some(field) = map.get("headers") {
        options.headers = headers(&field, options.auth != Auth::None);
    }
    warn_plain(ctx, &map.path, &options.auth, target.as_ref());
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

/// Keys of everything that speaks HTTP.
pub(super) fn client(
    ctx: &Ctx<'_>,
    map: &mut Map<'_>,
    auth: &mut Auth,
    tls: &mut TlsOptions,
    compression: &mut Compression,
    timeout: &mut Duration,
) {
    if let Some(found) = map.get("auth").and_then(|f| self::auth(ctx, &f)) {
        *auth = found;
    }
    if let Some(found) = map.get("tls").and_then(|f| self::tls(ctx, &f)) {
        *tls = found;
    }
    if let Some(found) = map.get("compression").and_then(|f| self::compression(&f)) {
        *compression = found;
    }
    if let Some(found) = map.get("timeout").and_then(|f| f.duration(Duration::from_millis(100)..=Duration::from_secs(3600))) {
        *timeout = found;
    }
}

/// An `http://` or `https://` URL without user and password.
pub(super) fn url(field: &Field<'_>, expected: &str, base: bool) -> Option<Url> {
    let value = field.value(expected)?;
    let text = value.text.trim();
    let Ok(url) = Url::parse(text) else {
        let help = (!text.contains("://")).then(|| format!("did you mean {}?", shown(&format!("http://{text}"))));
        field.report(field.is(&value).expected(expected).help_if(help.filter(|_| !value.secret)));
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        field.report(
            field
                .problem(format!("`{}` has a user or password in the URL, where it would end up in logs and errors", field.path))
                .expected("a URL without credentials")
                .help("put them under `auth: {user: …, password: \"${ES_PASSWORD}\"}`"),
        );
        return None;
    }
    if !matches!(url.scheme(), "http" | "https") {
        let help = (!text.contains("://")).then(|| format!("did you mean {}?", shown(&format!("http://{text}"))));
        field.report(field.is(&value).expected(format!("{expected}: `http://` or `https://`")).help_if(help.filter(|_| !value.secret)));
        return None;
    }
    if base && (url.query().is_some() || url.fragment().is_some()) {
        field.report(field.is(&value).expected("a base URL without `?…` and `#…`"));
        return None;
    }
    Some(url)
}

/// The index name rules of Elasticsearch, over a name in which `%Y`, `%m`, `%d` stand for the event's date.
fn index(field: &Field<'_>) -> Option<String> {
    let value = field.value("the name of an index")?;
    let name = &value.text;
    let lower = name.replace("%Y", "2026").replace("%m", "01").replace("%d", "01");
    let wrong = if lower.contains('%') {
        Some("only `%Y`, `%m` and `%d` (the event's date in UTC) may follow a `%`".to_string())
    } else if lower.chars().any(char::is_uppercase) {
        Some(format!(
            "index names are lower case: `{}`",
            name.split('%')
                .enumerate()
                .map(|(n, part)| {
                    // The letter after each `%` is a directive and stays.
                    let keep = if n == 0 { 0 } else { part.chars().next().map_or(0, char::len_utf8) };
                    format!("{}{}{}", if n == 0 { "" } else { "%" }, &part[..keep], part[keep..].to_lowercase())
                })
                .collect::<String>()
        ))
    } else if let Some(c) = lower
        .chars()
        .find(|c| matches!(c, '\\' | '/' | '*' | '?' | '"' | '<' | '>' | '|' | ',' | '#' | ':') || c.is_whitespace() || c.is_control())
    {
        Some(format!("index names must not hold `{}`", c.escape_debug()))
    } else if lower.starts_with(['-', '_', '+']) {
        Some("index names must not begin with `-`, `_` or `+`".to_string())
    } else if lower == "." || lower == ".." || lower.len() > 255 {
        Some("index names are at most 255 bytes, and neither `.` nor `..`".to_string())
    } else {
        None
    };
    match wrong {
        Some(why) => {
            field.report(
                field
                    .is(&value)
                    .expected("an index name after the rules of Elasticsearch, such as `logs-app` or `logs-app-%Y.%m.%d`")
                    .help_if((!value.secret).then_some(why)),
            );
            None
        }
        None => Some(value.text),
    }
}

/// `auth:`: one way to log in.
pub(crate) fn auth(ctx: &Ctx<'_>, field: &Field<'_>) -> Option<Auth> {
    let expected = "one of: `{user: …, password: …}`, `{api_key: …}`, `{bearer: …}`";
    let mut map = field.map()?;
    let (user, password) = (map.get("user"), map.get("password"));
    let (api_key, bearer) = (map.get("api_key"), map.get("bearer"));
    let ways = [user.is_some() || password.is_some(), api_key.is_some(), bearer.is_some()].iter().filter(|way| **way).count();
    let found = match (user, password) {
        _ if ways > 1 => {
            field.wrong(format!("`{}` has several ways to log in", field.path), expected);
            None
        }
        (Some(user), Some(password)) => {
            let (user, password) = (user.string("a user name"), password.secret("a password"));
            Some(Auth::Basic { user: user?, password: password? })
        }
        (Some(_), None) | (None, Some(_)) => {
            field.wrong(format!("`{}` needs both `user` and `password`", field.path), expected);
            None
        }
        (None, None) => match (api_key, bearer) {
            (Some(key), _) => key.secret("the key in base64, as Elasticsearch hands it out").map(Auth::ApiKey),
            (_, Some(token)) => token.secret("a token").map(Auth::Bearer),
            (None, None) => {
                if !ctx.lenient.get() {
                    field.wrong(format!("`{}` has no way to log in", field.path), expected);
                }
                None
            }
        },
    };
    map.finish(&[]);
    found
}

fn tls(ctx: &Ctx<'_>, field: &Field<'_>) -> Option<TlsOptions> {
    let mut map = field.map()?;
    let mut path = |name| -> Option<PathBuf> { map.get(name)?.string("the path of a PEM file").map(PathBuf::from) };
    let mut options = TlsOptions { ca_file: path("ca_file"), cert_file: path("cert_file"), key_file: path("key_file"), insecure: false };
    if options.cert_file.is_some() != options.key_file.is_some() && !ctx.lenient.get() {
        field.wrong(format!("`{}` needs both `cert_file` and `key_file`, or neither", field.path), "a certificate with its key");
    }
    if let Some(verify) = map.get("verify") {
        options.insecure = verify.boolean() == Some(false);
        if options.insecure {
            ctx.warn(verify.pos(), format!("`{}` is off: anyone on the way can read and change what is sent", verify.path));
        }
    }
    map.finish(&[]);
    Some(options)
}

/// `none`, `gzip` or `gzip:1` to `gzip:9`.
fn compression(field: &Field<'_>) -> Option<Compression> {
    let expected = "`none`, `gzip`, or `gzip:1` (fastest) to `gzip:9` (smallest)";
    if matches!(field.node.kind, Kind::Map(_)) {
        field.report(
            field.problem(format!("`{}` is a map", field.path)).found("a map").expected(expected).help("write `compression: gzip:6`"),
        );
        return None;
    }
    let value = field.value(expected)?;
    match &*value.text {
        "none" => return Some(Compression::None),
        "gzip" => return Some(Compression::Gzip(GZIP_LEVEL)),
        text => {
            let level = text.strip_prefix("gzip:").and_then(|level| level.parse().ok()).filter(|level| (1..=9).contains(level));
            if let Some(level) = level {
                return Some(Compression::Gzip(level));
            }
        }
    }
    let near = super::suggest::nearest(&value.text, ["none", "gzip"]);
    field.report(field.is(&value).expected(expected).help_if(near.map(|near| format!("did you mean `{near}`?"))));
    None
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

/// A password on a network that anyone may listen to is worth a warning.
pub(super) fn warn_plain(ctx: &Ctx<'_>, path: &str, auth: &Auth, target: Option<&(Url, Pos)>) {
    if let Some((url, pos)) = target
        && *auth != Auth::None
        && url.scheme() == "http"
    {
        let host = url.host_str().unwrap_or_default();
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        if host != "localhost" && !address.is_ok_and(|ip| ip.is_loopback()) {
            ctx.warn(*pos, format!("`{path}` sends its credentials over `http://`, unencrypted; use `https://`"));
        }
    }
}
