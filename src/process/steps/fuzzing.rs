//! Entry for `fuzz/`, and for tests that count allocations or speak with servers: lines through a chain. Does not exist in release builds.

use crate::config::decode::{Ctx, Field};
use crate::config::process;
use crate::config::yaml::{Key, Pos, parse};
use crate::process::chain::{Chain, Verdict};
use crate::process::event::{Document, Path, Value};
use crate::process::example::Input;
use crate::process::pattern::Pattern;
use serde::de::IgnoredAny;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// A chain and what it works with.
pub struct Lines {
    chain: Chain,
    base: Document,
    document: Document,
    message: Path,
    out: Vec<u8>,
}

impl Lines {
    /// Of the YAML of a chain; `None` if it is wrong.
    pub fn new(chain: &str) -> Option<Lines> {
        let ctx = Ctx::new(&|_| None);
        let (root, problems) = parse(0, chain);
        let (root, key) = (root.filter(|_| problems.is_empty())?, Key { pos: Pos::default(), text: "chain".into() });
        let chain = process::chain(&Field::new(&ctx, "", &key, &root, false))?;
        let mut base = Document::default();
        base.begin_with(r#"{"@timestamp":"2026-03-09T10:15:02.123Z","message":"","log":{"offset":0}}"#, 1_773_051_302_123).ok()?;
        Some(Lines { chain, base, document: Document::default(), message: Path::parse("message").ok()?, out: Vec::new() })
    }

    /// The document of a line; empty where it is not sent.
    pub fn send(&mut self, line: &str) -> &[u8] {
        self.document.begin(&self.base);
        let text = self.document.push(line);
        self.out.clear();
        // It stands in the base: it cannot fail.
        let _ = self.document.set(&self.message, Value::Text(text));
        if self.chain.run(&mut self.document, &mut 0) == Verdict::Send {
            self.document.render(&mut self.out);
        }
        &self.out
    }
}

/// Chains for the lines of a target; each line goes through all.
fn through(chains: &'static [&'static str], data: &[u8]) {
    thread_local!(static LINES: RefCell<Vec<(&'static str, Lines)>> = const { RefCell::new(Vec::new()) });
    let line = String::from_utf8_lossy(data);
    LINES.with_borrow_mut(|known| {
        for chain in chains {
            let at = known.iter().position(|(text, _)| text == chain).unwrap_or_else(|| {
                known.push((chain, Lines::new(chain).expect("a right chain")));
                known.len() - 1
            });
            let document = known[at].1.send(&line);
            assert!(document.is_empty() || serde_json::from_slice::<IgnoredAny>(document).is_ok(), "{chain}");
        }
    });
}

/// The first line is a pattern, the rest is a text; and the rest goes through patterns that everybody knows.
pub fn grok(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (pattern, rest) = text.split_once('\n').unwrap_or(("", &text));
    if let Some(mut lines) = Lines::new(&format!("[{{grok: {{patterns: {pattern:?}}}}}]")) {
        lines.send(rest);
    }
    through(
        &[
            "[{grok: {patterns: ['%{COMBINEDAPACHELOG}', '%{HTTPD_ERRORLOG}', '%{SYSLOG5424LINE}', '%{SYSLOGLINE}', '%{HAPROXYHTTP}', '%{JAVASTACKTRACEPART}', '%{URI:u} %{IP:i} %{PATH:p}']}}]",
        ],
        rest.as_bytes(),
    );
}

/// A preset as its test against a search server needs it.
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// What its source must have as `multiline`.
    pub multiline: Option<String>,
    /// The events of its own tests.
    pub events: Vec<String>,
}

/// All presets.
pub fn presets() -> Vec<Preset> {
    let read = |(name, text): &(&'static str, &str)| {
        let preset = crate::config::presets::preset(name, text).ok()?;
        let events = preset.examples.iter().flat_map(|example| match &example.input {
            Input::Events(events) => events.clone(),
            Input::File(_) => Vec::new(),
        });
        Some(Preset { name, events: events.collect(), multiline: preset.multiline })
    };
    crate::process::presets::ALL.iter().filter_map(read).collect()
}

/// Values between separators.
pub fn csv(data: &[u8]) {
    through(&["[{csv: {fields: [a, ~, b.c, b.d]}}]", "[{csv: {fields: [a, b], separator: ';', quote: \"'\", trim: true}}]"], data);
}

/// What calls itself a browser.
pub fn user_agent(data: &[u8]) {
    through(&["[{user_agent: {field: message}}]"], data);
}

/// The first line is a pattern of `name`, such as `dissect: {pattern: …}`; the rest is a text that goes through it.
fn patterned(data: &[u8], chain: impl Fn(&str) -> String) {
    let text = String::from_utf8_lossy(data);
    let (pattern, rest) = text.split_once('\n').unwrap_or(("", &text));
    // A text of YAML in double quotes, as JSON has it.
    if let Some(mut lines) = Lines::new(&chain(&serde_json::Value::from(pattern).to_string())) {
        let document = lines.send(rest);
        assert!(document.is_empty() || serde_json::from_slice::<IgnoredAny>(document).is_ok(), "{pattern:?}");
    }
}

/// A pattern of `dissect`, and a text.
pub fn dissect(data: &[u8]) {
    patterned(data, |pattern| format!("[{{dissect: {{pattern: {pattern}}}}}]"));
}

/// A format of `timestamp`, and a text.
pub fn timestamp(data: &[u8]) {
    patterned(data, |format| {
        format!("[{{timestamp: {{field: message, formats: [{format}, iso8601, epoch_ms], zone: America/New_York}}}}]")
    });
}

/// A condition, and a text.
pub fn condition(data: &[u8]) {
    patterned(data, |when| format!("[{{json: {{}}}}, {{drop: {{when: {when}}}}}]"));
}

/// A regular expression, and a text: what is found by stepping from left to right is what `regex` finds.
pub fn pattern(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (expression, rest) = text.split_once('\n').unwrap_or(("", &text));
    if let Ok(mut pattern) = Pattern::new(expression) {
        pattern.compared(rest);
    }
}

/// Keys and values.
pub fn kv(data: &[u8]) {
    through(&["[{kv: {}}]", "[{kv: {target: a.b, between: ',', separator: ':', overwrite: true}}]"], data);
}

/// JSON: read by a parser of our own, of which `serde_json` knows what is right.
pub fn json(data: &[u8]) {
    through(&["[{json: {}}]", "[{json: {target: a, overwrite: true, remove_source: true}}]", "[{parse: ecs-json}]"], data);
    let (text, right) = (String::from_utf8_lossy(data), serde_json::from_slice::<BTreeMap<String, IgnoredAny>>);
    let mut document = Document::default();
    if document.begin_with(&text, 0).is_ok() {
        let mut out = Vec::new();
        document.render(&mut out);
        assert!(right(text.as_bytes()).is_ok(), "{text:?} is no JSON");
        assert!(right(&out).is_ok(), "{text:?} became {:?}", String::from_utf8_lossy(&out));
    }
}

/// All presets.
pub fn presets_target(data: &[u8]) {
    thread_local!(static ALL: RefCell<Vec<Lines>> = const { RefCell::new(Vec::new()) });
    let line = String::from_utf8_lossy(data);
    ALL.with_borrow_mut(|all| {
        if all.is_empty() {
            all.extend(crate::process::presets::ALL.iter().filter_map(|(name, _)| Lines::new(&format!("[{{parse: {name}}}]"))));
        }
        for lines in all {
            let document = lines.send(&line);
            assert!(document.is_empty() || serde_json::from_slice::<IgnoredAny>(document).is_ok());
        }
    });
}

/// The other processors that take a text apart or change it.
pub fn processors(data: &[u8]) {
    through(
        &[
            "[{json: {}}, {split: {field: a, separator: ','}}, {fingerprint: {fields: [a, b, log]}}, {dedupe: {fields: [a]}}]",
            "[{kv: {}}, {truncate: {fields: [message, a], max_bytes: 16}}, {sample: {rate: 0.5, key: a}}]",
            "[{dissect: {pattern: '%{a} %{b->} [%{c}] %{d}'}}, {timestamp: {field: c, formats: [iso8601, epoch_s, '%d/%b/%Y:%H:%M:%S %z']}}]",
            "[{redact: {what: [email, ipv4, ipv6, card, bearer], secret: 0123456789abcdef}}, {split: {field: message, separator: ' ', trim: true}}]",
        ],
        data,
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    #[test]
    fn the_corpora_are_survived() {
        for (name, target) in [
            ("grok", super::grok as fn(&[u8])),
            ("csv", super::csv),
            ("user_agent", super::user_agent),
            ("processors", super::processors),
            ("dissect", super::dissect),
            ("timestamp", super::timestamp),
            ("condition", super::condition),
            ("pattern", super::pattern),
            ("kv", super::kv),
            ("json", super::json),
            ("presets", super::presets_target),
        ] {
            crate::corpus::each(name, target);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_are_survived(data in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"%{}:[]\"',;=@. ()1a/\n".to_vec())], 0..80)) {
            super::grok(&data);
            super::csv(&data);
            super::user_agent(&data);
            super::processors(&data);
            super::dissect(&data);
            super::timestamp(&data);
            super::condition(&data);
            super::pattern(&data);
            super::kv(&data);
            super::json(&data);
        }
    }
}
