//! `user_agent: {field: user_agent.original}`: the name and version of what sent a request, its system and its device.
//!
//! It knows the common browsers, robots and tools, and calls them as ECS data does elsewhere. A product that it does not know gives
//! its own first word, if that is no `Mozilla`. Of devices it knows Apple's, and for Android the model that is stated.

mod known;

use crate::config::decode::Map;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path, Value};
use known::{BROWSERS, SYSTEMS, System, TOOLS};

/// More than this of a text is not looked at: the longest real ones have 400 bytes.
const LONGEST: usize = 2048;

/// Where a version stands in the text.
type Part = (usize, usize);

/// What was found in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Agent<'a> {
    name: Option<&'a str>,
    version: Option<Part>,
    os: Option<&'a str>,
    os_version: Option<OsVersion<'a>>,
    device: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OsVersion<'a> {
    Known(&'a str),
    /// With `_` for `.`, maybe.
    Stated(&'a str),
}

/// The digits, points (and underscores, where they stand for points) at byte `at`.
fn version(text: &str, at: usize) -> Option<Part> {
    let rest = text.get(at..)?;
    let len = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+'))).unwrap_or(rest.len());
    let digit = rest.starts_with(|c: char| c.is_ascii_digit());
    digit.then_some((at, at + len))
}

/// Byte behind `sign`.
fn behind(text: &str, sign: &str) -> Option<usize> {
    text.find(sign).map(|at| at + sign.len())
}

/// The word at byte `at` or around it, as far as it belongs to the name of a product.
fn product(text: &str, at: usize) -> (usize, usize) {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let from = text[..at].rfind(|c| !part(c)).map_or(0, |n| n + text[n..].chars().next().map_or(1, char::len_utf8));
    let to = text[at..].find(|c| !part(c)).map_or(text.len(), |n| at + n);
    (from, to)
}

/// A robot that says so: `…bot`, `…crawler`, `…spider` in the name of a product.
fn robot(text: &str) -> Option<(usize, usize)> {
    let lower = text.as_bytes();
    let found = |sign: &[u8]| lower.windows(sign.len()).position(|w| w.eq_ignore_ascii_case(sign));
    let at = [&b"bot"[..], b"crawler", b"spider"].iter().filter_map(|sign| found(sign)).min()?;
    let (from, to) = product(text, at);
    // `Cubot` makes telephones.
    (!text[from..to].eq_ignore_ascii_case("cubot")).then_some((from, to))
}

fn system(text: &str) -> (Option<&str>, Option<OsVersion<'_>>) {
    for System { sign, name, versions } in SYSTEMS {
        let Some(at) = behind(text, sign) else { continue };
        let stated = text[at..].trim_start_matches([' ', '/']);
        let at = text.len() - stated.len();
        let version = version(text, at).map(|(from, to)| &text[from..to]);
        let known = version.and_then(|v| versions.iter().find(|(number, _)| *number == v)).map(|(_, version)| OsVersion::Known(version));
        return (Some(name), known.or(version.map(OsVersion::Stated)));
    }
    (None, None)
}

/// The model that Android states: what stands last in the parentheses, before `Build/`.
fn model(text: &str) -> Option<&str> {
    let at = behind(text, "Android")?;
    let inside = &text[at..at + text[at..].find(')')?];
    let model = inside.split(';').nth(1)?;
    let model = model.split("Build/").next()?.trim();
    (!model.is_empty() && model != "K" && !model.eq_ignore_ascii_case("wv") && !model.starts_with("rv:")).then_some(model)
}

fn agent(text: &str) -> Agent<'_> {
    let mut found = Agent::default();
    (found.os, found.os_version) = system(text);
    found.device = match () {
        () if text.contains("iPhone") => Some("iPhone"),
        () if text.contains("iPad") => Some("iPad"),
        () if text.contains("iPod") => Some("iPod"),
        () if text.contains("Macintosh") => Some("Mac"),
        () => model(text),
    };
    let versioned = |sign: &str| behind(text, sign).and_then(|at| version(text, at));
    if let Some((from, to)) = robot(text) {
        (found.name, found.device) = (Some(&text[from..to]), Some("Spider"));
        found.version = text[to..].starts_with(['/', ' ', '-']).then(|| version(text, to + 1)).flatten();
        return found;
    }
    let tool = TOOLS.iter().find(|(sign, _)| text.starts_with(sign) || text.find(sign).is_some_and(|at| text[..at].ends_with(' ')));
    if let Some((sign, name)) = tool {
        found.name = Some(name);
        found.version = behind(text, sign).filter(|at| text[*at..].starts_with('/')).and_then(|at| version(text, at + 1));
        return found;
    }
    for browser in BROWSERS.iter().filter(|browser| text.contains(browser.sign)) {
        if browser.needs.is_some_and(|needed| !text.contains(needed)) {
            continue;
        }
        found.name = Some(browser.name);
        found.version = versioned(browser.version);
        return found;
    }
    let (from, to) = product(text, 0);
    if to > from && !text.starts_with("Mozilla") {
        found.name = Some(&text[from..to]);
        found.version = text[to..].starts_with('/').then(|| version(text, to + 1)).flatten();
    }
    found
}

/// See the module.
#[derive(Clone, Debug)]
struct UserAgent {
    field: Path,
    name: Path,
    version: Path,
    os_name: Path,
    os_version: Path,
    device: Path,
    /// What was found, so that no text of the event is held while it changes.
    found: String,
}

impl Processor for UserAgent {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        let Some(Value::Text(span)) = event.get(&self.field) else { return Ok(Flow::On) };
        for path in [&self.name, &self.version, &self.os_name, &self.os_version, &self.device] {
            event.free(path)?;
        }
        let mut text = std::mem::take(&mut self.found);
        text.clear();
        let whole = event.str(span);
        let end = (0..=whole.len().min(LONGEST)).rev().find(|at| whole.is_char_boundary(*at)).unwrap_or(0);
        text.push_str(&whole[..end]);
        let agent = agent(&text);
        let mut put = |path: &Path, value: &str, points: bool| {
            let new = event.push_with(|out| out.extend(value.chars().map(|c| if points && c == '_' { '.' } else { c })));
            event.set(path, Value::Text(new))
        };
        let mut put_all = || -> Result<(), Failure> {
            agent.name.map_or(Ok(()), |name| put(&self.name, name, false))?;
            agent.version.map_or(Ok(()), |(from, to)| put(&self.version, &text[from..to], false))?;
            agent.os.map_or(Ok(()), |name| put(&self.os_name, name, false))?;
            match agent.os_version {
                Some(OsVersion::Known(version)) => put(&self.os_version, version, false)?,
                Some(OsVersion::Stated(version)) => put(&self.os_version, version, true)?,
                None => {}
            }
            put(&self.device, agent.device.unwrap_or("Other"), false)
        };
        let result = put_all();
        self.found = text;
        result.map(|()| Flow::On)
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let (field, target) = (map.field_or("field", "user_agent.original"), map.field_or("target", "user_agent"));
    let (field, target) = (field?, target?);
    let below = |name: &str| Path::parse(&format!("{target}.{name}")).ok();
    Some(Box::new(UserAgent {
        field,
        name: below("name")?,
        version: below("version")?,
        os_name: below("os.name")?,
        os_version: below("os.version")?,
        device: below("device.name")?,
        found: String::new(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::steps::testing::members;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        let a = agent(text);
        let version = a.version.map_or("-", |(from, to)| &text[from..to]);
        let os = match a.os_version {
            Some(OsVersion::Known(v) | OsVersion::Stated(v)) => v,
            None => "-",
        };
        format!("{}|{version}|{}|{os}|{}", a.name.unwrap_or("-"), a.os.unwrap_or("-"), a.device.unwrap_or("-"))
    }

    #[test]
    fn knows_the_common_ones() {
        for (text, want) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
                "Chrome|120.0.0.0|Windows|10|-",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 Edg/120.0.2210.91",
                "Edge|120.0.2210.91|Windows|10|-",
            ),
            ("Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko", "IE|11.0|Windows|7|-"),
            ("Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.0)", "IE|9.0|Windows|Vista|-"),
            ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0", "Firefox|121.0|Ubuntu|-|-"),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Safari/605.1.15",
                "Safari|17.2|Mac OS X|10_15_7|Mac",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/604.1",
                "Mobile Safari|17.2|iOS|17_2|iPhone",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/120.0.6099.119 Mobile/15E148 Safari/604.1",
                "Chrome Mobile iOS|120.0.6099.119|iOS|17_2|iPhone",
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; SM-G991B Build/TP1A) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Mobile Safari/537.36",
                "Chrome Mobile|119.0.0.0|Android|13|SM-G991B",
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/23.0 Chrome/115.0.0.0 Mobile Safari/537.36",
                "Samsung Internet|23.0|Android|10|-",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36 OPR/105.0.0.0",
                "Opera|105.0.0.0|Linux|-|-",
            ),
            (
                "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36",
                "Chrome|119.0.0.0|Chrome OS|-|-",
            ),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot|2.1|-|-|Spider"),
            (
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/103.0.5060.134 Safari/537.36",
                "bingbot|2.0|-|-|Spider",
            ),
            ("curl/8.5.0", "curl|8.5.0|-|-|-"),
            ("Wget/1.21.4", "Wget|1.21.4|-|-|-"),
            ("python-requests/2.31.0", "Python Requests|2.31.0|-|-|-"),
            ("Go-http-client/1.1", "Go-http-client|1.1|-|-|-"),
            ("okhttp/4.12.0", "okhttp|4.12.0|-|-|-"),
            ("kube-probe/1.28", "kube-probe|1.28|-|-|-"),
            ("MyApp/2.0 (internal)", "MyApp|2.0|-|-|-"),
            ("Mozilla/5.0", "-|-|-|-|-"),
            ("-", "-|-|-|-|-"),
            ("", "-|-|-|-|-"),
        ] {
            assert_eq!(shown(text), want, "{text}");
        }
    }

    #[test]
    fn becomes_fields_of_ecs() {
        let chain = "[{user_agent: {field: message, target: ua}}, {keep: {fields: ua}}]";
        let mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Safari/605.1.15";
        assert_eq!(
            members(chain, mac),
            r#""log":{"offset":0},"ua":{"name":"Safari","version":"17.2","os":{"name":"Mac OS X","version":"10.15.7"},"device":{"name":"Mac"}}"#
        );
        assert_eq!(members("[{user_agent: {}}]", "x"), r#""message":"x","log":{"offset":0}"#, "no field is no failure");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in r"(Android|[;)( /é_.]|Build/|bot|Chrome/|Windows NT |1|Mozilla/5.0|Safari|\PC){0,14}") {
            shown(&text);
        }
    }
}
