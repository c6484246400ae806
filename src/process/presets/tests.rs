use super::*;
use crate::config::presets::{Preset, preset};
use crate::process::example::{Example, Input};
use crate::process::steps::fuzzing::Lines;
use crate::process::trial::{self, Outcome, Trial};
use proptest::prelude::*;
use rustix::time::{ClockId, clock_gettime};
use std::cell::{Cell, RefCell};

fn all() -> impl Iterator<Item = Preset> {
    ALL.iter().map(|(name, text)| preset(name, text).unwrap_or_else(|errors| panic!("{errors}")))
}

fn lines(preset: &Preset) -> Vec<String> {
    let lines = |example: &Example| match &example.input {
        Input::Events(events) => events.clone(),
        Input::File(_) => panic!("{}: the input of a preset stands in it", preset.name),
    };
    preset.examples.iter().flat_map(lines).collect()
}

#[test]
fn each_gives_the_documents_of_its_own_tests() {
    let mut wrong = Vec::new();
    for preset in all() {
        assert!(preset.examples.iter().map(|e| e.expect.len()).sum::<usize>() >= 5, "{} has fewer than five lines", preset.name);
        for example in &preset.examples {
            for case in example.run("h").unwrap() {
                if !case.differences.is_empty() {
                    wrong.push(format!(
                        "{} {}: {}\n  {:#?}\n  {:?}\n  {:?}",
                        preset.name, example.place, case.input, case.differences, case.failure, case.outcome
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ALL.is_sorted_by(|a, b| a.0 < b.0));
}

/// The chain of nginx.access as one would write it who does not think of its speed.
const PLAIN_NGINX: &str = r#"
- regex:
    patterns: '^(?<source.address>[^ ]+) - (?<user.name>[^ ]+) \[(?<_tmp.time>[^\]]+)\] "(?<_tmp.request>[^"]*)" (?<http.response.status_code>[0-9]{3}) (?<http.response.body.bytes>[0-9]+|-) "(?<http.request.referrer>[^"]*)" "(?<user_agent.original>[^"]*)"(?: "(?<client.address>[^", ]+)(?:[, ][^"]*)?")?'
    absent: '-'
    on_error: drop
- regex:
    field: _tmp.request
    patterns: '^(?<http.request.method>[A-Z]+) (?<url.original>[^ ]+)(?: HTTP/(?<http.version>[0-9.]+))?$'
    optional: true
- timestamp: {field: _tmp.time, formats: '%d/%b/%Y:%H:%M:%S %z', on_error: drop}
- remove: {fields: _tmp}
- set: {copy: {source.ip: source.address, client.ip: client.address}}
- convert: {fields: {http.response.status_code: integer, http.response.body.bytes: integer}, on_error: drop}
- convert: {fields: {source.ip: ip, client.ip: ip}, otherwise: remove}
"#;

#[test]
fn nginx_access_gives_what_its_plain_form_gives() {
    let parts: [&[&str]; 13] = [
        &["192.0.2.1", "192.0.2.1", "-", "-x", "unix:", "2001:db8::17", "é"],
        &[" - ", " - ", " - ", " -", " "],
        &["-", "ann", "--", "-ann"],
        &[" [", " [", " [", " "],
        &["09/Mar/2026:10:15:02 +0100", "09/Mar/2026:10:15:02 +0100", "09/Mar/2026:10:15:02 +0100", "-", "29/Feb/2026:10:15:02 +0100"],
        &["] \"", "] \"", "] \"", "] "],
        &[
            "GET / HTTP/1.1",
            "GET /a?b HTTP/2.0",
            "GET - HTTP/1.0",
            "GET -",
            "-",
            "",
            "GET",
            "get /",
            "GET  /",
            "GET / HTTP/x",
            "G\u{e9}T /",
            "\\x16",
        ],
        &["\" 200 ", "\" 200 ", "\" 404 ", "\" - ", "\" 20 ", "\" 2000 "],
        &["5316", "-", "0", "-1", "99999999999999999999", ""],
        &[" \"-\" \"", " \"\" \"", " \"https://shop.example.org/\" \"", " \"-a\" \"", " \"-\""],
        &["-", "", "curl/8.12.1", "-x", "\u{fc}"],
        &["\"", "\"", "\"", "", "\" "],
        &["", "", " \"198.51.100.20, 192.0.2.11\"", " \"-\"", " \"-, x\"", " \"-a\"", " \"198.51.100.20", " \"\"", " x"],
    ];
    let chains = ["[{parse: {preset: nginx.access, on_error: drop}}]", PLAIN_NGINX];
    let chains = RefCell::new(chains.map(|chain| Lines::new(chain).unwrap()));
    let sent = Cell::new(0);
    proptest!(ProptestConfig::with_cases(3000), |(chosen in prop::collection::vec(any::<prop::sample::Index>(), 13), odd in prop::collection::vec(0..13usize, 0..4))| {
        // The first of each is as it should be.
        let line: String = parts.iter().enumerate().map(|(n, of)| if odd.contains(&n) { *chosen[n].get(of) } else { of[0] }).collect();
        let [fast, plain] = chains.borrow_mut().each_mut().map(|chain| serde_json::from_slice::<serde_json::Value>(chain.send(&line)).ok());
        sent.set(sent.get() + u32::from(plain.is_some()));
        prop_assert_eq!(fast, plain, "{}", line);
    });
    assert!(sent.get() > 500, "{sent:?} lines were sent");
}

#[test]
fn a_pasted_chain_gives_the_same_documents() {
    for preset in all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.yaml");
        std::fs::write(&path, crate::config::presets::pasted(&preset.name).unwrap()).unwrap();
        let config = crate::config::load_for_tests(&[path], &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
        let pasted = config.process[preset.name.as_str()].clone();
        for example in &preset.examples {
            let example = Example { chain: pasted.clone(), ..example.clone() };
            for case in example.run("h").unwrap() {
                let told = matches!(case.outcome, Outcome::Document(_)) && case.failure.is_some();
                assert!(case.differences.is_empty() || told, "{}: {:?}", preset.name, case);
            }
        }
    }
}

/// Seconds of this thread on a processor: others may have the machine meanwhile.
fn seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// What becomes of lines that are sent through `parse: NAME`; how many seconds the slowest took.
fn through(name: &str, lines: &[String]) -> (Vec<serde_json::Value>, f64) {
    let chain = crate::process::steps::testing::chain(&format!("[{{parse: {name}}}]"));
    let (mut trial, stream, mut slowest) = (Trial::new(Some(chain), "h"), trial::stream(""), 0f64);
    let documents = lines.iter().map(|line| {
        let line = format!("{line}\n");
        let began = seconds();
        let outcome = trial.one(&stream, line.as_bytes(), 100, 1_767_225_600_000);
        slowest = slowest.max(seconds() - began);
        match outcome {
            Outcome::Document(text) => serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}: {text}")),
            // Headers of IIS.
            Outcome::Filtered(_) if name == "iis" && line.starts_with('#') => serde_json::Value::Null,
            other => panic!("{name}: {other:?}"),
        }
    });
    let documents = documents.collect();
    (documents, slowest)
}

/// What a line must keep: a failed preset leaves it as it was, tagged.
fn kept(document: &serde_json::Value, line: &str) -> bool {
    let tagged = document["tags"].as_array().is_some_and(|tags| tags.iter().any(|tag| tag == crate::process::chain::FAILED));
    !tagged || document["message"] == line
}

#[test]
fn lines_of_others_and_broken_ones_are_kept() {
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below.max(1) as u64) as usize
    };
    let own: Vec<(String, Vec<String>)> = all().map(|preset| (preset.name.clone(), lines(&preset))).collect();
    let foreign: Vec<String> = own.iter().flat_map(|(_, lines)| lines.iter().take(2).cloned()).collect();
    for (name, lines) in &own {
        let mut hostile: Vec<String> =
            ["", " ", "-", "{", "{}", "[]", "null", "\"", "\u{feff}", "é", "\n\n", "\u{0}", "%%", "<0>", "<999>1"]
                .map(str::to_string)
                .into();
        hostile.extend(foreign.iter().cloned());
        for line in lines {
            let chars: Vec<char> = line.chars().collect();
            for _ in 0..12 {
                let mut broken = chars.clone();
                match next(4) {
                    0 => broken.truncate(next(chars.len())),
                    1 => drop(broken.remove(next(chars.len()))),
                    2 => broken.swap(next(chars.len()), next(chars.len())),
                    _ => broken.insert(next(chars.len()), ['"', '\\', 'é', '9', '{', '\n', '-', ' '][next(8)]),
                }
                hostile.push(broken.into_iter().collect());
            }
            // Words of the line in another order.
            let mut words: Vec<&str> = line.split(' ').collect();
            for at in (1..words.len()).rev() {
                words.swap(at, next(at + 1));
            }
            hostile.push(words.join(" "));
        }
        let (documents, _) = through(name, &hostile);
        for (line, document) in hostile.iter().zip(&documents) {
            assert!(kept(document, line), "{name}: {line:?}: {document}");
        }
    }
}

/// A mebibyte made of the parts of which a preset's lines are made; less where the build is slow.
fn endless(line: &str) -> Vec<String> {
    const SIZE: usize = if cfg!(debug_assertions) { 1 << 15 } else { 1 << 20 };
    let fill = |head: &str, part: &str, tail: &str| {
        format!("{head}{}{tail}", part.repeat((SIZE.saturating_sub(head.len() + tail.len())) / part.len().max(1)))
    };
    let middle = line.char_indices().nth(line.chars().count() / 2).map_or(0, |(at, _)| at);
    let (head, tail) = line.split_at(middle);
    let mut all: Vec<String> = ["a", " ", "\"", "1", "[", "a=", "\\", "é", "\n\tat x"].iter().map(|part| fill(line, part, "")).collect();
    all.extend(["a", " ", "0", "\""].iter().map(|part| fill(head, part, tail)));
    all.push(fill("", &format!("{line} "), ""));
    all
}

#[test]
fn a_line_without_end_takes_bounded_time() {
    // Debug builds are slow.
    let most = if cfg!(debug_assertions) { 5.0 } else { 0.1 };
    let mut told = Vec::new();
    for preset in all() {
        let own = lines(&preset);
        let hostile: Vec<String> =
            own.iter().take(if cfg!(debug_assertions) { 1 } else { own.len() }).flat_map(|line| endless(line)).collect();
        // Caches are cold once, and neighbours share them: where it was slow the best of five runs counts.
        let best = |line: &String| {
            let once = || through(&preset.name, std::slice::from_ref(line)).1;
            (1..5).fold(once(), |best, _| if best > most / 3.0 { best.min(once()) } else { best })
        };
        let slowest = through(&preset.name, &hostile).1;
        let slowest = if slowest > most / 3.0 { hostile.iter().map(best).fold(0.0, f64::max) } else { slowest };
        told.push(format!("{}: {:.1} ms", preset.name, slowest * 1e3));
        assert!(slowest < most, "{} took {slowest} s for one line", preset.name);
    }
    println!("{}", told.join("\n"));
}

#[test]
fn the_document_has_each_preset_with_its_fields() {
    let document = include_str!("../../../docs/presets.md");
    for preset in all() {
        let head = format!("| `{}` | {} |", preset.name, preset.description);
        let row = document.lines().find(|line| line.starts_with(&head)).unwrap_or_else(|| panic!("no row {head}"));
        for example in preset.examples.iter().filter(|_| preset.name != "ecs-json") {
            for case in example.run("h").unwrap() {
                let Outcome::Document(text) = case.outcome else { continue };
                let (mut names, document) = (Vec::new(), serde_json::from_str(&text).unwrap());
                leaves(&document, String::new(), &mut names);
                let common = ["@timestamp", "host.name", "log.offset"];
                for name in names.iter().filter(|name| !common.contains(&name.as_str())) {
                    let below = row.split('`').filter_map(|word| word.strip_suffix(".*")).any(|own| name.starts_with(&format!("{own}.")));
                    assert!(below || row.contains(&format!("`{name}`")), "{}: `{name}`", preset.name);
                }
            }
        }
        if let Some(multiline) = &preset.multiline {
            assert!(document.contains(&format!("| `{}` | `{multiline}` |", preset.name)), "{}", preset.name);
            let pipeline =
                format!("sources: {{a: {{type: file, include: /a, multiline: {multiline}}}}}\nsinks: {{o: {{type: console}}}}\n");
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("p.yaml");
            std::fs::write(&path, pipeline).unwrap();
            let config = crate::config::load(&[path], &|_| None).unwrap_or_else(|errors| panic!("{}: {errors}", preset.name));
            assert!(config.sources[0].multiline.is_some());
        }
    }
}

fn leaves(value: &serde_json::Value, name: String, out: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(members) => {
            for (member, value) in members {
                leaves(value, if name.is_empty() { member.clone() } else { format!("{name}.{member}") }, out);
            }
        }
        _ => out.push(name),
    }
}
