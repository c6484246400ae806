//! The keys of everything that speaks HTTP as a client: log-in, TLS, proxy, compression, time-out.

use super::decode::{Ctx, Field, Map, shown};
use super::yaml::{Kind, Pos};
use crate::sink::{Auth, Compression, ConnectionOptions, ProxyOptions, TlsOptions, TlsVersion};
use rustls::pki_types::ServerName;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Level of `compression: gzip` without a level: most of the gain for little CPU.
const GZIP_LEVEL: u32 = 3;

/// Keys of everything that speaks HTTP.
pub(crate) fn client(ctx: &Ctx<'_>, map: &mut Map<'_>, options: &mut ConnectionOptions) {
    if let Some(auth) = map.get("auth").and_then(|f| self::auth(ctx, &f)) {
        options.auth = auth;
    }
    if let Some(tls) = map.get("tls").and_then(|f| self::tls(ctx, &f)) {
        options.tls = tls;
    }
    if let Some(proxy) = map.get("proxy").and_then(|f| self::proxy(ctx, &f)) {
        options.proxy = proxy;
    }
    if let Some(compression) = map.get("compression").and_then(|f| self::compression(&f)) {
        options.compression = compression;
    }
    if let Some(timeout) = map.get("timeout").and_then(|f| f.duration(Duration::from_millis(100)..=Duration::from_secs(3600))) {
        options.timeout = timeout;
    }
}

/// An `http://` or `https://` URL without user and password.
pub(crate) fn url(field: &Field<'_>, expected: &str, base: bool) -> Option<Url> {
    url_of(field, expected, base, "put them under `auth: {user: …, password: \"${ES_PASSWORD}\"}`")
}

fn url_of(field: &Field<'_>, expected: &str, base: bool, credentials: &str) -> Option<Url> {
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
                .help(credentials),
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
            let (user, password) = (user.secret("a user name"), password.secret("a password"));
            Some(Auth::Basic { user: user?, password: password? })
        }
        (Some(_), None) | (None, Some(_)) => {
            field.wrong(format!("`{}` needs both `user` and `password`", field.path), expected);
            None
        }
        (None, None) => match (api_key, bearer) {
            (Some(key), _) if matches!(key.node.kind, Kind::Map(_)) => api_key_pair(&key),
            (Some(key), _) => {
                key.secret("the key in base64 (`encoded`), as Elasticsearch hands it out, or `{id: …, key: …}`").map(Auth::ApiKey)
            }
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

/// `api_key: {id: …, key: …}`.
fn api_key_pair(field: &Field<'_>) -> Option<Auth> {
    let mut map = field.map()?;
    let (id, key) = (
        map.require("id", "the `id` of the key, as Elasticsearch hands it out"),
        map.require("key", "the `api_key` that Elasticsearch hands out with it"),
    );
    map.finish(&[]);
    Some(Auth::ApiKeyPair { id: id?.secret("the key's ID")?, key: key?.secret("the key")? })
}

/// `proxy:`: `none`, `environment`, a URL, or a URL with a log-in.
fn proxy(ctx: &Ctx<'_>, field: &Field<'_>) -> Option<ProxyOptions> {
    let expected = "a URL such as `http://proxy:3128`, `environment` or `none`";
    let help = "write `proxy: {url: …, user: …, password: \"${PROXY_PASSWORD}\"}`";
    let server = |field: &Field<'_>, expected: &str| {
        let url = url_of(field, expected, true, help)?;
        if url.scheme() != "http" || url.path() != "/" {
            let why = "a proxy is spoken to over plain HTTP; what it passes on (`https://` to the endpoint) is encrypted all the way";
            let problem = field.problem(format!("`{}` cannot be used", field.path)).expected("`http://HOST:PORT` without a path").help(why);
            field.report(problem);
            return None;
        }
        Some(url.as_str().trim_end_matches('/').to_string())
    };
    if !matches!(field.node.kind, Kind::Map(_)) {
        let value = field.value(expected)?;
        return match &*value.text {
            "none" => Some(ProxyOptions::None),
            "environment" => Some(ProxyOptions::Environment),
            text => match super::suggest::nearest(text, ["none", "environment"]) {
                Some(near) => {
                    field.report(field.is(&value).expected(expected).help(format!("did you mean `{near}`?")));
                    None
                }
                None => server(field, expected).map(|url| ProxyOptions::Url { url, auth: Auth::None }),
            },
        };
    }
    let mut map = field.map()?;
    let url = map.require("url", "a URL such as `http://proxy:3128`").and_then(|f| server(&f, "a URL such as `http://proxy:3128`"));
    let (user, password) = (map.get("user"), map.get("password"));
    let auth = match (user, password) {
        (None, None) => Some(Auth::None),
        (Some(user), Some(password)) => {
            let (user, password) = (user.secret("a user name"), password.secret("a password"));
            user.zip(password).map(|(user, password)| Auth::Basic { user, password })
        }
        _ => {
            if !ctx.lenient.get() {
                field.wrong(format!("`{}` needs both `user` and `password`, or neither", field.path), "a log-in");
            }
            None
        }
    };
    map.finish(&[]);
    Some(ProxyOptions::Url { url: url?, auth: auth? })
}

fn tls(ctx: &Ctx<'_>, field: &Field<'_>) -> Option<TlsOptions> {
    let mut map = field.map()?;
    let mut path = |name| -> Option<PathBuf> { map.get(name)?.string("the path of a PEM file").map(PathBuf::from) };
    let (ca_file, cert_file, key_file) = (path("ca_file"), path("cert_file"), path("key_file"));
    let mut options = TlsOptions { ca_file, cert_file, key_file, ..TlsOptions::default() };
    if let Some(name) = map.get("server_name")
        && let Some(value) = name.value("the name in the server's certificate")
    {
        match ServerName::try_from(value.text.as_str()) {
            Ok(_) => options.server_name = Some(value.text),
            Err(_) => {
                name.report(name.is(&value).expected("the name in the server's certificate, such as `search.example.com`: no URL, no port"))
            }
        }
    }
    if let Some(version) = map.get("min_version").and_then(|f| f.one_of(&[("1.2", TlsVersion::V12), ("1.3", TlsVersion::V13)])) {
        options.min_version = version;
    }
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

/// A password on a network that anyone may listen to is worth a warning.
pub(crate) fn warn_plain(ctx: &Ctx<'_>, path: &str, auth: &Auth, target: Option<&(Url, Pos)>) {
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
