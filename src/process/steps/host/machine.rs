//! What the system says of itself.

use crate::process::event::Constant;
use std::fs::read_to_string;
use std::net::Ipv6Addr;
use std::path::Path;

/// Firmware's name of the maker, and of the cloud. Microsoft's is that of its clouds and of its desktops, too: the tag tells.
const CLOUDS: [(&str, &str); 7] = [
    ("Amazon EC2", "aws"),
    ("Google", "gcp"),
    ("DigitalOcean", "digitalocean"),
    ("Hetzner", "hetzner"),
    ("Alibaba Cloud", "aliyun"),
    ("Tencent Cloud", "tencent"),
    ("Scaleway", "scaleway"),
];

/// The tag that all machines of Azure have.
const AZURE: &str = "7783-7084-3265-9085-8269-3286-77";

/// A value of `/etc/os-release`.
fn release<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?.trim();
    let bare = value.strip_prefix(['"', '\'']).and_then(|v| v.strip_suffix(['"', '\''])).unwrap_or(value);
    (!bare.is_empty()).then_some(bare)
}

/// The addresses of IPv4 that are the machine's own, from the kernel's table of routes.
fn ipv4(table: &str) -> Vec<String> {
    let (mut found, mut last) = (Vec::new(), "");
    for line in table.lines() {
        match line.trim().strip_prefix("|-- ").or_else(|| line.trim().strip_prefix("+-- ")) {
            Some(address) => last = address,
            None if line.contains("/32 host LOCAL") && !last.starts_with("127.") => found.push(last.to_string()),
            None => {}
        }
    }
    // Each stands in the tables Main and Local.
    found.sort();
    found.dedup();
    found
}

/// The addresses of IPv6 but for loopback, from the kernel's list.
fn ipv6(list: &str) -> Vec<String> {
    let address = |line: &str| u128::from_str_radix(line.split_whitespace().next()?, 16).ok().map(Ipv6Addr::from);
    list.lines().filter_map(address).filter(|a| !a.is_loopback()).map(|a| a.to_string()).collect()
}

/// Hardware addresses as ECS writes them: `00-00-5E-00-53-23`.
fn macs(interfaces: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(interfaces) else { return Vec::new() };
    let mac =
        |entry: std::fs::DirEntry| read_to_string(entry.path().join("address")).ok().map(|a| a.trim().to_uppercase().replace(':', "-"));
    let mut found: Vec<String> =
        entries.flatten().filter_map(mac).filter(|mac| mac.len() == 17 && mac.bytes().any(|b| !matches!(b, b'0' | b'-'))).collect();
    found.sort();
    found.dedup();
    found
}

fn texts(items: Vec<String>) -> Option<Constant> {
    (!items.is_empty()).then(|| Constant::List(items.into_iter().map(|text| Constant::Text(text.into())).collect()))
}

/// The cloud that the firmware names; `root` is where the system's files are.
pub(in crate::process::steps) fn provider(root: &Path) -> Option<&'static str> {
    let firmware = |name: &str| read_to_string(root.join("sys/class/dmi/id").join(name)).unwrap_or_default();
    let maker = firmware("sys_vendor");
    let azure = || (firmware("chassis_asset_tag").trim() == AZURE).then_some("azure");
    CLOUDS.iter().find(|(sign, _)| maker.starts_with(sign)).map(|(_, name)| *name).or_else(azure)
}

/// All that is known, by the names of ECS; `root` is where the system's files are.
pub(super) fn facts(root: &Path) -> Vec<(&'static str, Constant)> {
    let read = |path: &str| read_to_string(root.join(path)).map(|text| text.trim().to_string()).ok().filter(|text| !text.is_empty());
    let text = |text: &str| Some(Constant::Text(text.into()));
    let (uname, os) = (rustix::system::uname(), read("etc/os-release").unwrap_or_default());
    let os = |name| release(&os, name).and_then(text);
    let firmware = |name: &str| read(&format!("sys/class/dmi/id/{name}"));
    let cloud = provider(root);
    let mut ips = ipv4(&read("proc/net/fib_trie").unwrap_or_default());
    ips.extend(ipv6(&read("proc/net/if_inet6").unwrap_or_default()));
    let host = uname.nodename().to_string_lossy();
    // On EC2 the firmware has both; elsewhere they would be other things.
    let aws = |name: &str| firmware(name).filter(|_| cloud == Some("aws")).map(|value| Constant::Text(value.into()));
    [
        ("host.name", text(&host)),
        ("host.hostname", text(&host)),
        ("host.id", read("etc/machine-id").map(|id| Constant::Text(id.into()))),
        ("host.architecture", text(&uname.machine().to_string_lossy())),
        ("host.ip", texts(ips)),
        ("host.mac", texts(macs(&root.join("sys/class/net")))),
        ("host.os.type", text("linux")),
        ("host.os.platform", os("ID")),
        ("host.os.name", os("NAME")),
        ("host.os.full", os("PRETTY_NAME")),
        ("host.os.version", os("VERSION_ID")),
        ("host.os.kernel", text(&uname.release().to_string_lossy())),
        ("cloud.provider", cloud.and_then(text)),
        ("cloud.machine.type", aws("product_name")),
        ("cloud.instance.id", aws("board_asset_tag").filter(|id| matches!(id, Constant::Text(id) if id.starts_with("i-")))),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_system_are_read() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\nVERSION_ID='12'\nNAME=\"\"\n"),
            ("etc/machine-id", "0123\n"),
            ("sys/class/dmi/id/sys_vendor", "Amazon EC2\n"),
            ("sys/class/dmi/id/product_name", "m5.large\n"),
            ("sys/class/dmi/id/board_asset_tag", "i-0abc\n"),
            ("sys/class/net/eth0/address", "00:00:5e:00:53:23\n"),
            ("sys/class/net/lo/address", "00:00:00:00:00:00\n"),
            (
                "proc/net/fib_trie",
                "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.2\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\nLocal:\n     |-- 10.0.0.2\n        /32 host LOCAL\n",
            ),
            (
                "proc/net/if_inet6",
                "fe8000000000000000fc00fffe000001 04 40 20 80     eth0\n00000000000000000000000000000001 01 80 10 80       lo\n",
            ),
        ] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let facts: std::collections::BTreeMap<_, _> = facts(dir.path()).into_iter().collect();
        let text = |text: &str| Constant::Text(text.into());
        let list = |items: &[&str]| Constant::List(items.iter().map(|item| text(item)).collect());
        for (name, want) in [
            ("host.id", text("0123")),
            ("host.ip", list(&["10.0.0.2", "fe80::fc:ff:fe00:1"])),
            ("host.mac", list(&["00-00-5E-00-53-23"])),
            ("host.os.full", text("Debian GNU/Linux 12")),
            ("host.os.platform", text("debian")),
            ("host.os.version", text("12")),
            ("cloud.provider", text("aws")),
            ("cloud.machine.type", text("m5.large")),
            ("cloud.instance.id", text("i-0abc")),
        ] {
            assert_eq!(facts.get(name), Some(&want), "{name}");
        }
        assert!(!facts.contains_key("host.os.name"));
    }
}
