//! `redact: {what: […], patterns: […]}`: replaces what nobody should read by `[email]`, `[ip]`, `[card]`, `[token]`, `[redacted]`.
//!
//! With `secret` a keyed hash stands there, too: `[email:3f2a…]`, 64 bits of HMAC-SHA256. What is the same has the same, so it can be
//! counted and joined, and nobody who has not the secret can tell what it was, not even by trying all addresses.
//!
//! It looks at all texts of the event, or at those of `fields`: what `json` has taken out of the message stands in the message,
//! too. Numbers of cards are only those whose check digit (Luhn) is right.

use super::keyed::{key_of, put_hex};
use crate::config::decode::Map;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path};
use regex::Regex;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Something to look for.
#[derive(Clone, Debug)]
struct Kind {
    regex: Regex,
    mask: &'static str,
    /// Whether what the expression finds is it.
    is: fn(&str) -> bool,
}

/// An expression, what stands in its place, and whether what it finds is it.
type Known = (&'static str, &'static str, fn(&str) -> bool);

const KINDS: [(&str, Known); 5] = [
    ("email", (r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+", "[email]", |_| true)),
    ("ipv4", (r"\b\d{1,3}(?:\.\d{1,3}){3}\b", "[ip]", |text| text.parse::<Ipv4Addr>().is_ok())),
    ("ipv6", (r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:\d{1,3}(?:\.\d{1,3}){3})?", "[ip]", |text| text.parse::<Ipv6Addr>().is_ok())),
    ("card", (r"\b\d(?:[ -]?\d){12,18}\b", "[card]", luhn)),
    ("bearer", (r"(?i)\bbearer\s+[A-Za-z0-9._~+/=-]+", "[token]", |_| true)),
];

/// Whether the digits end in the right check digit.
fn luhn(text: &str) -> bool {
    let sum: u32 = text
        .bytes()
        .rev()
        .filter(u8::is_ascii_digit)
        .enumerate()
        .map(|(n, b)| u32::from(b - b'0') * if n % 2 == 1 { 2 } else { 1 })
        .map(|d| if d > 9 { d - 9 } else { d })
        .sum();
    sum.is_multiple_of(10)
}

/// See the module.
#[derive(Clone, Debug)]
struct Redact {
    kinds: Vec<Kind>,
    fields: Option<Vec<Path>>,
    key: Option<ring::hmac::Key>,
}

impl Processor for Redact {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        let only: Option<Vec<u32>> = self.fields.as_ref().map(|fields| fields.iter().filter_map(|path| event.find(path)).collect());
        for Kind { regex, mask, is } in &self.kinds {
            event.rewrite_texts(only.as_deref(), |old, new| {
                let mut at = 0;
                for found in regex.find_iter(old).filter(|found| is(found.as_str())) {
                    new.push_str(&old[at..found.start()]);
                    match &self.key {
                        None => new.push_str(mask),
                        Some(key) => {
                            new.push_str(mask.trim_end_matches(']'));
                            new.push(':');
                            put_hex(&ring::hmac::sign(key, found.as_str().as_bytes()).as_ref()[..8], new);
                            new.push(']');
                        }
                    }
                    at = found.end();
                }
                if at > 0 {
                    new.push_str(&old[at..]);
                }
                at > 0
            });
        }
        Ok(Flow::On)
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let (mut kinds, mut right) = (Vec::new(), true);
    let (what, patterns, fields) = (map.get("what"), map.get("patterns"), map.get("fields"));
    let key = key_of(map)?;
    if what.is_none() && patterns.is_none() {
        map.require("what", "one or several of `email`, `ipv4`, `ipv6`, `card`, `bearer`, or `patterns`");
        return None;
    }
    for item in what.iter().flat_map(|f| f.list("what to look for")) {
        match item.one_of(&KINDS) {
            Some((pattern, mask, is)) => match crate::process::pattern::regex(pattern) {
                Ok(regex) => kinds.push(Kind { regex, mask, is }),
                Err(_) => right = false,
            },
            None => right = false,
        }
    }
    for item in patterns.iter().flat_map(|f| f.list("a regular expression, or a list of them")) {
        match item.value("a regular expression").map(|value| (crate::process::pattern::regex(&value.text), value)) {
            // What matches nothing would be found without end.
            Some((Ok(regex), _)) if !regex.is_match("") => kinds.push(Kind { regex, mask: "[redacted]", is: |_| true }),
            Some((why, value)) => {
                let why = why.err().unwrap_or_else(|| "it matches the empty text".into());
                item.report(item.is(&value).expected("a regular expression").help(why));
                right = false;
            }
            None => right = false,
        }
    }
    let fields = fields.map(|f| f.event_fields());
    right.then(|| Box::new(Redact { kinds, fields, key }) as Box<dyn Processor>)
}

#[cfg(test)]
mod tests {
    use crate::process::steps::testing::{members, wrong};

    #[test]
    fn masks_what_it_finds_everywhere() {
        let chain = "[{json: {}}, {redact: {what: [email, ipv4, ipv6, card, bearer], patterns: 'k-\\d+'}}]";
        let line = r#"{"a":"x.y@example.org 10.0.0.1 999.0.0.1","b":["fe80::1, 10:15:02","4111 1111 1111 1111 4111 1111 1111 1112"],"c":"Authorization: Bearer abc.def k-12"}"#;
        let shown = members(chain, line);
        assert!(
            shown.ends_with(
                r#""a":"[email] [ip] 999.0.0.1","b":["[ip], 10:15:02","[card] 4111 1111 1111 1112"],"c":"Authorization: [token] [redacted]""#
            ),
            "{shown}"
        );
        assert!(!shown.contains("example.org") && !shown.contains("abc.def"), "the message too: {shown}");
        assert_eq!(members("[{redact: {what: ipv4, fields: a}}]", "1.2.3.4"), r#""message":"1.2.3.4","log":{"offset":0}"#);
        assert!(wrong("[{redact: {}}]").contains("has no `what`"));
        assert!(wrong("[{redact: {patterns: 'x*'}}]").contains("empty text"));
    }

    #[test]
    fn a_secret_gives_the_same_a_name() {
        let shown = |secret: &str| members(&format!("[{{redact: {{what: ipv4, secret: {secret}}}}}]"), "10.0.0.1 10.0.0.2 10.0.0.1");
        let text = shown("0123456789abcdef");
        let names: Vec<&str> = text.split('"').nth(3).unwrap().split(' ').collect();
        assert!(names[0] == names[2] && names[0] != names[1] && names[0] == "[ip:a21b5a555b15e7c0]", "{text}");
        assert_ne!(text, shown("0123456789abcdeg"));
    }
}
