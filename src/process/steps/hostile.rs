//! No line may take long, whichever processor it meets: 1 MiB (in release builds) of what is worst for it.

use super::ALL;
use super::testing::Lines;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Debug builds are slow: there the lines are shorter, and only what is not linear is found.
const SIZE: usize = if cfg!(debug_assertions) { 64 << 10 } else { 1 << 20 };
const LIMIT: Duration = if cfg!(debug_assertions) { Duration::from_secs(5) } else { Duration::from_millis(100) };
/// Caches are cold once, and neighbours that share them cost more than as much again: the best of so many runs counts.
const RUNS: u32 = 5;

/// What is repeated until the line is long.
pub(super) const UNITS: &[&str] = &[
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
    "[{cloud: {}}]",
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

/// What is long and fits, so that all of it is looked at.
fn fitting() -> [String; 4] {
    let (url, agent) = ("/a%20b".repeat(SIZE / 12), "Mozilla (a) ".repeat(SIZE / 24));
    [
        format!("192.0.2.1 - - [09/Mar/2026:10:15:02 +0100] \"GET {url} HTTP/1.1\" 200 1 \"-\" \"{agent}\""),
        format!("Mar  9 10:15:02 web-1 sshd[42]: {agent}{url}"),
        format!("2026-03-09T10:15:02Z WARN {agent}{agent}"),
        format!("http://example.org{url}{url}"),
    ]
}

/// What this thread has computed: the machine may do other things.
pub(super) fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[test]
fn a_hostile_line_ends_soon() {
    let dir = tempfile::tempdir().unwrap();
    let database = super::geoip::tests::small_file(dir.path());
    for (name, _) in ALL {
        // Programs have a test of their own.
        assert!(*name == "vrl" || CHAINS.iter().any(|chain| chain.starts_with(&format!("[{{{name}:"))), "{name} has no chain here");
    }
    // In debug builds each line meets some of the chains.
    let every = if cfg!(debug_assertions) { 13 } else { 1 };
    let long: Vec<String> = UNITS.iter().map(|unit| unit.repeat(SIZE / unit.len())).chain(fitting()).collect();
    let mut all = Vec::new();
    for (n, chain) in CHAINS.iter().enumerate() {
        let mut lines = Lines::new(&chain.replace("DATABASE", &format!("{database:?}")));
        for (m, line) in long.iter().enumerate().filter(|(m, _)| (n + m).is_multiple_of(every)) {
            let mut took = || {
                let begun = cpu();
                lines.chain_only(line, m as u64);
                cpu() - begun
            };
            let mut best = took();
            for _ in 1..RUNS {
                if best > LIMIT / 3 {
                    best = took().min(best);
                }
            }
            all.push((best, format!("{:?} {chain}", line.chars().take(40).collect::<String>())));
        }
    }
    all.sort();
    let shown = |(time, what): &(Duration, String)| format!("{time:?} {what}");
    all.iter().rev().take(10).for_each(|one| println!("{}", shown(one)));
    let slow: Vec<String> = all.iter().filter(|(time, _)| *time > LIMIT).map(shown).collect();
    assert!(slow.is_empty(), "{}", slow.join("\n"));
}
