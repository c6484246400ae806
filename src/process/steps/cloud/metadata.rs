//! Asks a cloud's metadata service: plain HTTP to a link-local address, in small requests with one deadline for all of them.

use crate::process::steps::host::provider;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Where the services of all three providers are.
pub(super) const ENDPOINT: &str = "http://169.254.169.254";
/// Longest answer that is read.
const MOST_BYTES: usize = 64 << 10;

/// Whose service it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    Aws,
    Gcp,
    Azure,
}

/// The address of an endpoint; no names, so that no resolver is asked.
pub(super) fn address(endpoint: &str) -> Option<SocketAddr> {
    let rest = endpoint.strip_prefix("http://")?.trim_end_matches('/');
    rest.parse().ok().or_else(|| Some(SocketAddr::new(rest.trim_matches(['[', ']']).parse::<IpAddr>().ok()?, 80)))
}

/// One exchange after the other, all before one deadline.
struct Service {
    at: SocketAddr,
    until: Instant,
}

impl Service {
    fn left(&self) -> Result<Duration, String> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err("no answer in time".into()) } else { Ok(left) }
    }

    /// The body of the answer, where its status is 200.
    fn exchange(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<String, String> {
        let said = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => "no answer in time".to_string(),
            _ => e.to_string(),
        };
        let mut stream = TcpStream::connect_timeout(&self.at, self.left()?).map_err(said)?;
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: 0\r\n", self.at.ip());
        headers.iter().for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
        request.push_str("\r\n");
        stream.set_write_timeout(Some(self.left()?)).map_err(said)?;
        stream.write_all(request.as_bytes()).map_err(said)?;
        let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            stream.set_read_timeout(Some(self.left()?)).map_err(said)?;
            match stream.read(&mut piece).map_err(said)? {
                0 => break,
                n => answer.extend_from_slice(&piece[..n]),
            }
            if answer.len() > MOST_BYTES {
                return Err(format!("the answer is longer than {} KiB", MOST_BYTES >> 10));
            }
        }
        body(&answer)
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<String, String> {
        self.exchange("GET", path, headers)
    }
}

/// The body of an answer.
fn body(answer: &[u8]) -> Result<String, String> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no answer of HTTP")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        let digits: String = status.chars().filter(char::is_ascii_digit).take(3).collect();
        return Err(format!("it answers with status {digits}"));
    }
    let chunked = head.lines().any(|line| {
        let line = line.to_ascii_lowercase();
        line.starts_with("transfer-encoding:") && line.contains("chunked")
    });
    if !chunked {
        return Ok(body.to_string());
    }
    let (mut rest, mut whole) = (body, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16).map_err(|_| "no chunks of HTTP")?;
        if size == 0 {
            break;
        }
        whole.push_str(after.get(..size).ok_or("a chunk without its end")?);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    Ok(whole)
}

/// What the service says, by the names of ECS; `None` for the provider that the firmware names.
pub(super) fn ask(of: Option<Provider>, endpoint: &str, timeout: Duration) -> Result<Vec<(&'static str, String)>, String> {
    let at = address(endpoint).ok_or("no address")?;
    let service = Service { at, until: Instant::now() + timeout };
    let of = match of {
        Some(of) => of,
        None => match provider(std::path::Path::new("/")) {
            Some("aws") => Provider::Aws,
            Some("gcp") => Provider::Gcp,
            Some("azure") => Provider::Azure,
            Some(other) => return Err(format!("the metadata service of {other} is not known; `provider` may be aws, gcp or azure")),
            None => return Err("the firmware names no cloud; say `provider: aws`, `gcp` or `azure`".into()),
        },
    };
    let mut found = match of {
        Provider::Aws => aws(&service)?,
        Provider::Gcp => gcp(&service)?,
        Provider::Azure => azure(&service)?,
    };
    found.retain(|(_, value)| !value.is_empty());
    Ok(found)
}

/// IMDSv2: a token first.
fn aws(service: &Service) -> Result<Vec<(&'static str, String)>, String> {
    let token = service.exchange("PUT", "/latest/api/token", &[("X-aws-ec2-metadata-token-ttl-seconds", "60")])?;
    let token = token.trim();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("its token is none".into());
    }
    let text = service.get("/latest/dynamic/instance-identity/document", &[("X-aws-ec2-metadata-token", token)])?;
    let document: Value = serde_json::from_str(&text).map_err(|_| "its answer is no JSON")?;
    let of = |name: &str| document[name].as_str().unwrap_or_default().to_string();
    Ok(vec![
        ("cloud.provider", "aws".into()),
        ("cloud.account.id", of("accountId")),
        ("cloud.region", of("region")),
        ("cloud.availability_zone", of("availabilityZone")),
        ("cloud.instance.id", of("instanceId")),
        ("cloud.machine.type", of("instanceType")),
    ])
}

fn gcp(service: &Service) -> Result<Vec<(&'static str, String)>, String> {
    let get = |path: &str| service.get(&format!("/computeMetadata/v1/{path}"), &[("Metadata-Flavor", "Google")]);
    let last = |path: String| path.trim().rsplit('/').next().unwrap_or_default().to_string();
    let zone = last(get("instance/zone")?);
    let region = zone.rsplit_once('-').map_or(String::new(), |(region, _)| region.to_string());
    Ok(vec![
        ("cloud.provider", "gcp".into()),
        ("cloud.project.id", last(get("project/project-id")?)),
        ("cloud.region", region),
        ("cloud.availability_zone", zone),
        ("cloud.instance.id", last(get("instance/id")?)),
        ("cloud.instance.name", last(get("instance/name")?)),
        ("cloud.machine.type", last(get("instance/machine-type")?)),
    ])
}

fn azure(service: &Service) -> Result<Vec<(&'static str, String)>, String> {
    let text = service.get("/metadata/instance/compute?api-version=2021-02-01&format=json", &[("Metadata", "true")])?;
    let document: Value = serde_json::from_str(&text).map_err(|_| "its answer is no JSON")?;
    let of = |name: &str| document[name].as_str().unwrap_or_default().to_string();
    let zone = of("zone");
    Ok(vec![
        ("cloud.provider", "azure".into()),
        ("cloud.account.id", of("subscriptionId")),
        ("cloud.region", of("location")),
        ("cloud.availability_zone", if zone.is_empty() { zone } else { format!("{}-{zone}", of("location")) }),
        ("cloud.instance.id", of("vmId")),
        ("cloud.instance.name", of("name")),
        ("cloud.machine.type", of("vmSize")),
    ])
}
