//! No line may take long, whichever processor it meets: 1 MiB of what is worst for it.

use super::ALL;
use super::testing::Lines;
use std::time::{Duration, Instant};

const SIZE: usize = 1 << 20;

/// Debug builds are slow and share their machine; there only what is not linear is found.
const LIMIT: Duration = if cfg!(debug_assertions) { Duration::from_secs(20) } else { Duration::from_millis(100) };

/// What is repeated until the line is long.
const UNITS: &[&str] = &[
    "a",
    "0",
    " ",
    "\"",
    "\\",
    "'",
    ",",
    ",\"",
    "\"\"",
    "=",
    "a=",
    "a= ",
    "a=\"",
    "/",
    "/a",
    "?a=",
    ":",
    "::",
    "1:",
    "1.",
    "1.1.1.1 ",
    "1.1.1.1:",
    "a.",
    "a-",
    "a@",
    "a@a.",
    "(",
    "[",
    "{",
    "{\"a\":",
    "[{",
    "%{",
    "%",
    "é",
    "😀",
    "\n",
    "\n at a.b(c.d:1)",
    "\t",
    "1\t",
    "-",
    "- ",
    "- - [",
    "Jan ",
    "Jan 1 ",
    "bearer ",
    "4111 ",
    "bot",
    "Mozilla/5.0 (",
    "Android;",
    "<1>1 ",
    "a: ",
    "] ",
    "0-0-0",
    "0:0:0",
];

/// A chain with each processor.
const CHAINS: &[&str] = &[
    "[{convert: {fields: {message: integer}}}]",
    "[{convert: {fields: {message: bytes}}}]",
    "[{csv: {fields: [a, b, c]}}]",
    "[{dedupe: {}}]",
    "[{dissect: {pattern: '%{a} %{b->} [%{c}] \"%{d}\" %{e}'}}]",
    "[{drop: {when: 'message matches \"(a|aa)+$\"'}}]",
    "[{fingerprint: {fields: message}}]",
    "[{fingerprint: {fields: message, secret: 0123456789abcdef}}]",
    "[{geoip: {field: source.ip, database: DATABASE}}]",
    "[{grok: {patterns: '%{COMBINEDAPACHELOG}'}}]",
    "[{grok: {patterns: '%{COMBINEDAPACHELOG}', anchored: true}}]",
    "[{grok: {patterns: '%{SYSLOGLINE}'}}]",
    "[{grok: {patterns: '%{DATA:a}%{DATA:b}%{DATA:c}x$'}}]",
    "[{grok: {patterns: '%{GREEDYDATA:a}%{GREEDYDATA:b}'}}]",
    "[{grok: {patterns: '%{URI:a}'}}]",
    "[{grok: {patterns: '%{IP:a}'}}]",
    "[{grok: {patterns: '%{EMAILADDRESS:a}'}}]",
    "[{grok: {patterns: '%{HAPROXYHTTP}'}}]",
    "[{grok: {patterns: '%{TIMESTAMP_ISO8601:t}%{SPACE}%{LOGLEVEL:l}%{GREEDYDATA:m}'}}]",
    "[{host: {}}]",
    "[{json: {}}]",
    "[{keep: {fields: message}}]",
    "[{kv: {}}]",
    "[{lowercase: {fields: message}}]",
    "[{parse: [nginx.access, syslog]}]",
    "[{redact: {what: [email, ipv4, ipv6, card, bearer], patterns: 'k-\\d+'}}]",
    "[{redact: {what: [email, ipv4, card], secret: 0123456789abcdef}}]",
    "[{regex: {patterns: '^(?<a>(a|aa)+)(?<b>.*)$'}}]",
    "[{remove: {fields: message}}]",
    "[{rename: {fields: {message: a}}}]",
    "[{sample: {rate: 0.5, key: message}}]",
    "[{set: {copy: {a: message}}}]",
    "[{split: {field: message, separator: ','}}]",
    "[{throttle: {limit: 1, key: message}}]",
    "[{timestamp: {field: message, formats: [iso8601, epoch_s, '%d/%b/%Y:%H:%M:%S %z']}}]",
    "[{truncate: {fields: message, max_bytes: 1KiB}}]",
    "[{uppercase: {fields: message}}]",
    "[{user_agent: {field: message}}]",
];

#[test]
fn a_hostile_line_ends_soon() {
    let dir = tempfile::tempdir().unwrap();
    let database = super::geoip::tests::small_file(dir.path());
    for (name, _) in ALL {
        assert!(CHAINS.iter().any(|chain| chain.starts_with(&format!("[{{{name}:"))), "{name} has no chain here");
    }
    // In debug builds each unit meets some of the chains, all of them together each.
    let every = if cfg!(debug_assertions) { 11 } else { 1 };
    let mut slow = Vec::new();
    for (n, chain) in CHAINS.iter().enumerate() {
        let mut lines = Lines::new(&chain.replace("DATABASE", &format!("{database:?}")));
        for (m, unit) in UNITS.iter().enumerate().filter(|(m, _)| (n + m).is_multiple_of(every)) {
            let line = unit.repeat(SIZE / unit.len());
            // The best of a few: the machine may do something else.
            let took = (0..3).map(|go| {
                let begun = Instant::now();
                lines.chain_only(&line, (m * 3 + go) as u64);
                begun.elapsed()
            });
            let best = took
                .scan(Duration::MAX, |best, took| {
                    let go = *best > LIMIT;
                    *best = took.min(*best);
                    go.then_some(*best)
                })
                .last()
                .unwrap_or_default();
            if best > LIMIT {
                slow.push(format!("{best:?} {unit:?} {chain}"));
            }
        }
    }
    assert!(slow.is_empty(), "{}", slow.join("\n"));
}
