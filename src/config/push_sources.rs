//! The keys of the sources that are pushed to.

use super::decode::{Ctx, Field, Map};
use super::http_client::auth;
use super::process::Chains;
use super::sources::{fields, process};
use crate::source::push::{
    HttpInputOptions, JournaldOptions, PushKind, PushOptions, StdinOptions, SyslogAddress, SyslogOptions, TlsServerOptions,
};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The kinds, before their options are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `type: stdin`.
    Stdin,
    /// `type: http`.
    Http,
    /// `type: syslog`.
    Syslog,
    /// `type: journald`.
    Journald,
}

/// Decodes a source of `kind`.
pub(crate) fn push(ctx: &Ctx<'_>, name: &str, kind: Kind, mut map: Map<'_>, chains: &Chains) -> PushOptions {
    let mut options = PushOptions {
        name: name.to_string(),
        topic: "logs".into(),
        // A connection holds as much as its longest message.
        max_line_bytes: if kind == Kind::Syslog { 64 << 10 } else { 1 << 20 },
        fields: Vec::new(),
        process: None,
        kind: match kind {
            Kind::Stdin => PushKind::Stdin(StdinOptions::default()),
            Kind::Http => PushKind::Http(http(ctx, &mut map)),
            Kind::Journald => PushKind::Journald(journald(&mut map)),
            Kind::Syslog => PushKind::Syslog(syslog(ctx, &mut map)),
        },
    };
    if let Some(topic) = map.get("topic").and_then(|f| f.name()) {
        options.topic = topic;
    }
    if let Some(bytes) = map.get("max_line_bytes").and_then(|f| f.size(64..=64 << 20)) {
        options.max_line_bytes = bytes as usize;
    }
    if let Some(field) = map.get("fields") {
        options.fields = fields(&field);
    }
    options.process = process(&mut map, chains);
    map.finish(&[]);
    options
}

/// An address of this machine. Beyond loopback only what is written out listens.
fn address(field: &Field<'_>, example: &str) -> Option<SocketAddr> {
    let expected = format!("an IP address with a port, such as `{example}`");
    let value = field.value(&expected)?;
    let text = value.text.trim();
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let help = match text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        Ok(port) => Some(format!("did you mean `127.0.0.1:{port}`? `0.0.0.0:{port}` listens on all interfaces")),
        Err(_) => text.strip_prefix("localhost:").map(|port| format!("did you mean `127.0.0.1:{port}`?")),
    };
    field.report(field.is(&value).expected(expected).help_if(help.filter(|_| !value.secret)));
    None
}

fn http(ctx: &Ctx<'_>, map: &mut Map<'_>) -> HttpInputOptions {
    let mut options = HttpInputOptions::default();
    if let Some(address) = map.get("listen").and_then(|f| address(&f, "127.0.0.1:9200")) {
        options.listen = address;
    }
    if let Some(bytes) = map.get("max_body").and_then(|f| f.size(1 << 10..=256 << 20)) {
        options.max_body = bytes as usize;
    }
    if let Some(found) = map.get("auth").and_then(|f| auth(ctx, &f)) {
        options.auth = found;
    }
    options.tls = map.get("tls").as_ref().and_then(tls);
    if let Some(count) = map.get("max_connections").and_then(|f| f.integer(1..=10_000)) {
        options.max_connections = count as usize;
    }
    options
}

/// The certificate that a listener shows.
fn tls(field: &Field<'_>) -> Option<TlsServerOptions> {
    let mut map = field.map()?;
    let file = |field: Field<'_>| field.string("the path of a PEM file").map(PathBuf::from);
    let cert_file = map.require("cert_file", "the path of a PEM file with the certificate").and_then(file);
    let key_file = map.require("key_file", "the path of a PEM file with the key").and_then(file);
    let ca_file = map.get("ca_file").and_then(file);
    map.finish(&[]);
    Some(TlsServerOptions { cert_file: cert_file?, key_file: key_file?, ca_file })
}

const SYSLOG_ADDRESS: &str = "`udp://IP:PORT`, `tcp://IP:PORT`, `tls://IP:PORT`, `unix:/PATH` or `unixgram:/PATH`";

fn syslog(ctx: &Ctx<'_>, map: &mut Map<'_>) -> SyslogOptions {
    let mut options = SyslogOptions::default();
    let mut wants_tls = None;
    if let Some(field) = map.require("listen", "where to listen, such as `udp://127.0.0.1:514`") {
        for item in field.list(SYSLOG_ADDRESS) {
            let Some(address) = syslog_address(&item) else { continue };
            if options.listen.contains(&address) {
                item.wrong(format!("`{}` is there twice", item.path), "each address once");
                continue;
            }
            if matches!(address, SyslogAddress::Tls(_)) {
                wants_tls.get_or_insert(item);
            }
            options.listen.push(address);
        }
    }
    let field = map.get("tls");
    options.tls = field.as_ref().and_then(tls);
    if let (Some(item), None, false) = (wants_tls, &field, ctx.lenient.get()) {
        item.wrong(format!("`{}` is `tls://`, but `{}.tls` is not there", item.path, map.path), "`tls: {cert_file: …, key_file: …}`");
    }
    if let Some(bytes) = map.get("receive_buffer").and_then(|f| f.size(64 << 10..=1 << 30)) {
        options.receive_buffer = bytes as usize;
    }
    if let Some(count) = map.get("max_connections").and_then(|f| f.integer(1..=10_000)) {
        options.max_connections = count as usize;
    }
    options
}

fn syslog_address(item: &Field<'_>) -> Option<SyslogAddress> {
    let value = item.value(SYSLOG_ADDRESS)?;
    let text = value.text.trim();
    let found = match text.split_once(':') {
        Some(("unix", path)) if path.starts_with('/') => Some(SyslogAddress::Unix(path.into())),
        Some(("unixgram", path)) if path.starts_with('/') => Some(SyslogAddress::UnixDatagram(path.into())),
        Some((kind, rest)) => rest.strip_prefix("//").and_then(|at| at.parse().ok()).and_then(|at| match kind {
            "udp" => Some(SyslogAddress::Udp(at)),
            "tcp" => Some(SyslogAddress::Tcp(at)),
            "tls" => Some(SyslogAddress::Tls(at)),
            _ => None,
        }),
        None => None,
    };
    if found.is_none() {
        let help = text.parse::<SocketAddr>().is_ok().then(|| format!("did you mean `udp://{text}` or `tcp://{text}`?"));
        item.report(item.is(&value).expected(SYSLOG_ADDRESS).help_if(help.filter(|_| !value.secret)));
    }
    found
}

fn journald(map: &mut Map<'_>) -> JournaldOptions {
    let mut options = JournaldOptions::default();
    if let Some(path) = map.get("journalctl_path").and_then(|f| f.string("the path of `journalctl`")) {
        options.journalctl_path = path.into();
    }
    if let Some(field) = map.get("units") {
        options.units = field.list("a unit or a list of units").iter().filter_map(|f| f.string("a unit such as `nginx.service`")).collect();
    }
    options.directory = map.get("directory").and_then(|f| f.string("the path of a folder with journal files")).map(PathBuf::from);
    if let Some(end) = map.get("start_at").and_then(|f| f.one_of(&[("beginning", false), ("end", true)])) {
        options.start_at_end = end;
    }
    options
}
