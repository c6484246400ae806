//! `data_dir`, `agent:`, `admin:`, `shutdown:`.

use super::decode::{Field, shown};
use super::options::AdminOptions;
use super::yaml::Kind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Where the admin listener is unless told otherwise.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8686);

/// `data_dir` unless told otherwise, in the working directory.
pub(crate) const DATA_DIR: &str = "forebay-data";

/// `shutdown.drain` unless told otherwise.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// `data_dir:`; a relative one is relative to the working directory.
pub(crate) fn data_dir(field: &Field<'_>) -> Option<PathBuf> {
    field.string("the path of a folder").map(PathBuf::from)
}

/// `agent.id` and `agent.host_name`.
pub(crate) fn agent(field: &Field<'_>) -> (Option<String>, Option<String>) {
    let Some(mut map) = field.map() else { return (None, None) };
    let mut text = |name| {
        let field: Field<'_> = map.get(name)?;
        let value = field.value("a name")?;
        if value.text.len() > 255 || value.text.chars().any(char::is_control) {
            field.report(field.is(&value).expected("at most 255 bytes without control characters"));
            return None;
        }
        Some(value.text)
    };
    let names = (text("id"), text("host_name"));
    map.finish(&[]);
    names
}

/// The admin listener of a configuration without `admin:`.
pub(crate) fn admin_default() -> AdminOptions {
    AdminOptions { listen: Some(LISTEN), explicit: false }
}

/// `admin: off`, or a map.
pub(crate) fn admin(field: &Field<'_>) -> AdminOptions {
    let mut options = admin_default();
    if matches!(field.node.kind, Kind::Scalar { .. }) {
        let expected = "`off`, or a map with `listen`";
        if let Some(value) = field.value(expected) {
            if matches!(&*value.text, "off" | "false") {
                return AdminOptions { listen: None, explicit: true };
            }
            let help = value.text.parse::<SocketAddr>().is_ok().then(|| format!("write `admin: {{listen: \"{}\"}}`", value.text));
            field.report(field.is(&value).expected(expected).help_if(help));
        }
        return options;
    }
    let Some(mut map) = field.map() else { return options };
    let remote = map.get("allow_remote").and_then(|f| f.boolean()).unwrap_or(false);
    if let Some(at) = map.get("listen") {
        let expected = "an address and port such as `127.0.0.1:8686`, or `off`";
        if let Some(value) = at.value(expected) {
            options.explicit = true;
            match value.text.parse::<SocketAddr>() {
                _ if value.text == "off" => options.listen = None,
                Ok(address) if address.ip().is_loopback() || remote => options.listen = Some(address),
                Ok(address) => at.report(
                    at.problem(format!("`admin.listen` is {}, which others on the network can reach", shown(&address.to_string())))
                        .found(address.to_string())
                        .expected("a loopback address such as `127.0.0.1:8686`")
                        .note("the admin listener asks for no password and shows paths, hosts and errors")
                        .help("set `admin.allow_remote: true` if a firewall or a pod's network stands before it"),
                ),
                Err(_) => {
                    let port = value.text.strip_prefix("localhost:").or(value.text.strip_prefix(':')).unwrap_or(&value.text);
                    let help = port.parse::<u16>().ok().map(|port| format!("write `127.0.0.1:{port}`"));
                    at.report(at.is(&value).expected(expected).help_if(help));
                }
            }
        }
    }
    map.finish(&[]);
    options
}

/// `shutdown.drain`.
pub(crate) fn shutdown(field: &Field<'_>) -> Option<Duration> {
    let mut map = field.map()?;
    let drain = map.get("drain").and_then(|f| f.duration(Duration::ZERO..=Duration::from_secs(86_400)));
    map.finish(&[]);
    drain
}
