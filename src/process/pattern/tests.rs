use super::*;
use crate::process::presets;
use proptest::prelude::*;
use std::cell::Cell;

fn says(pattern: &str, text: &str) -> Option<bool> {
    Pattern::new(pattern).unwrap().compared(text)
}

#[test]
fn what_becomes_a_program() {
    for pattern in [
        "^a",
        r"\Aa\z",
        "^(?:a|b)$",
        "^(?<a>[^ ]+) - \\[(?<b>[^\\]]+)\\] \"(?<c>[^\"]*)\" (?<d>[0-9]{3}) (?<e>[0-9]+|-)(?: \"(?<f>[^\", ]+)(?:[, ][^\"]*)?\")?",
        r"^(?<a>\S+) (?<b>\d+) (?<c>\w+)$",
        r#"^"(?<a>(?:[^"\\]|\\.)*)"$"#,
        "^(?:# [^\n]*\n)*(?<q>(?s:.*))$",
        "^(?:ab){2,4}c",
        "^(?<a>.*):(?<b>[0-9]+)$",
        "^(?i:get) ",
        "^(?:(?:(?:a?)?)?)?$",
        "(^a|^b)",
        "^(?<a>)x",
    ] {
        assert!(Pattern::new(pattern).unwrap().straight.is_some(), "{pattern}");
    }
    for pattern in [
        "a",
        "^a|b",
        "(?:^a)?b",
        r"^\ba",
        "(?m)^a",
        "(?m:^a$)",
        "^a+?b",
        "^(a|b)*",
        "^(?:a?)*b",
        "^(?:ab){9}",
        "^(?:ab|c){2,100}",
        "^(a?b?)+",
    ] {
        assert!(Pattern::new(pattern).unwrap().straight.is_none(), "{pattern}");
    }
}

#[test]
fn what_is_sure() {
    for (pattern, text, right) in [
        ("^(?<a>[^ ]+) (?<b>[0-9]+|-)$", "é 12", Some(true)),
        ("^(?<a>[^ ]+) (?<b>[0-9]+|-)$", "é 12-", Some(false)),
        // Back to a shorter run, and to another way.
        ("^(?<a>.*):(?<b>[0-9]+)$", "a:b:12", Some(true)),
        ("^(?<a>[^ ]+):(?<b>[0-9]+) ", "::1:80 ", Some(true)),
        ("^(?:-|(?<a>[^ ]+)) (?<b>x)?", "-a x", Some(true)),
        ("^(?<a>a)(?: (?<b>b)(?: (?<c>c))?(?<d>d)?)?", "a b d", Some(true)),
        ("^(?<a>a(?: (?<b>b)(?<c>c)?x)?)", "a bc", Some(true)),
        (r#"^(?<a>(?:[^"\\]|\\.)*)" (?<b>.)"#, r#"a\"é" x"#, Some(true)),
        // A character of which the tables do not say whether it is in the class.
        (r"^(?<a>\w+) ", "é ", None),
        (r"^(?<a>[^ ]{3})", "aé-", None),
        (r"^(?<a>[^ ]{3})", "abc-", Some(true)),
        ("^(?i:k) ", "\u{212a} ", None),
    ] {
        assert_eq!(says(pattern, text), right, "{pattern} {text:?}");
    }
}

#[test]
fn going_back_is_bounded() {
    // Each blank could be the one, and none is; `regex` is asked then.
    let text = "a b".repeat(10_000);
    assert_eq!(says("^(?<a>.*) (?<b>.*) (?<c>.*)x$", &text), None);
    assert_eq!(says("^(?<a>(?:aa|a)*)$", &"a".repeat(1000)), None, "more choices than are kept");
    assert_eq!(says("^(?<a>.*) (?<b>.*)$", &text), Some(true));
    assert_eq!(says(&format!("^(?<a>[a-z]{{{}}})", 1000), &"a".repeat(999)), Some(false));
}

#[test]
fn a_long_match_is_told_from_one_that_may_be_used() {
    for pattern in ["^(?<a>a+)", "(?<a>a+)"] {
        let mut pattern = Pattern::new(pattern).unwrap();
        assert_eq!(pattern.find("aaab", 3), Match::Yes);
        assert_eq!((pattern.group(1), pattern.group(2)), (Some((0, 3)), None));
        assert_eq!(pattern.find("aaab", 2), Match::TooLong);
        assert_eq!(pattern.find("b", 2), Match::No);
    }
    let mut pattern = Pattern::new(r"^(?<a>\w+)").unwrap();
    for text in ["ab", "é", "ab"] {
        assert_eq!(pattern.find(text, 2), Match::Yes);
        assert_eq!(pattern.group(1), Some((0, 2)), "{text}");
    }
}

/// Part of an expression, and a text that it may match.
type Piece = (String, String);

fn pieces() -> impl Strategy<Value = Piece> {
    let of = |all: &'static [&'static str]| prop::sample::select(all);
    let literal = of(&["a", "b", " ", " - ", "[", "] \"", "\"", "é", "ab", "--", "longer than a word"])
        .prop_map(|text| (regex_syntax::escape(text), text.to_string()));
    let classes = [
        "[^ ]",
        "[a-z]",
        "[0-9]",
        r#"[^"\]]"#,
        r#"[^", ]"#,
        r#"[^"\\]"#,
        ".",
        "(?s:.)",
        r"\S",
        r"\w",
        r"\d",
        "[ab]",
        "[^a]",
        "[é-ü]",
        "(?i:k)",
        "-",
    ];
    let times = ["", "*", "+", "+", "?", "{2}", "{1,3}", "{2,}", "*?"];
    let class =
        (prop::sample::select(classes.to_vec()), prop::sample::select(times.to_vec()), "[ab0-]{0,4}|[a-z ]{0,12}|.{0,2}|[0-9]{1,3}")
            .prop_map(|(class, times, text)| (format!("{class}{times}"), text));
    let leaf = prop_oneof![literal, class];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let sequence = |most| {
            prop::collection::vec(inner.clone(), 1..most).prop_map(|all| {
                let (patterns, texts): (Vec<_>, Vec<_>) = all.into_iter().unzip();
                (patterns.concat(), texts.concat())
            })
        };
        let ways = (prop::collection::vec(sequence(3), 2..4), any::<prop::sample::Index>()).prop_map(|(all, which)| {
            let text = which.get(&all).1.clone();
            (all.into_iter().map(|(pattern, _)| pattern).collect::<Vec<_>>().join("|"), text)
        });
        let group = (prop_oneof![sequence(4), ways], of(&["(", "(?:"]), of(&["", "", "?", "?", "*", "+", "{2}", "{0,2}"]), 0..3usize);
        let group = group.prop_map(|((pattern, text), open, times, turns)| {
            let turns = if times.is_empty() { 1 } else { turns };
            (format!("{open}{pattern}){times}"), text.repeat(turns))
        });
        prop_oneof![group, sequence(5)]
    })
}

/// One character of a text is left out, doubled, or another.
fn changed(text: &str, at: usize, how: usize) -> String {
    let mut all: Vec<char> = text.chars().collect();
    if all.is_empty() {
        return " ".into();
    }
    let at = at % all.len();
    match how {
        0 => drop(all.remove(at)),
        1 => all.insert(at, all[at]),
        2 => all.truncate(at),
        how => all[at] = [' ', '"', '-', '[', ']', ':', '0', 'a', 'é', '\n', '\\'][how % 11],
    }
    all.into_iter().collect()
}

#[test]
fn a_program_gives_what_regex_gives() {
    let cases = std::env::var("FOREBAY_PATTERNS").map_or(1500, |n| n.parse().expect("FOREBAY_PATTERNS=N"));
    let (all, programs, sure, matches) = (Cell::new(0), Cell::new(0), Cell::new(0), Cell::new(0));
    let count = |of: &Cell<u32>| of.set(of.get() + 1);
    let end = prop::sample::select(vec!["", "", "$", r"\z"]);
    proptest!(ProptestConfig::with_cases(cases), |(piece in pieces(), end in end, more in prop::collection::vec((any::<usize>(), 0..14usize), 8))| {
        let (expression, text) = piece;
        let mut pattern = Pattern::new(&format!("^(?:{expression}){end}")).unwrap();
        count(&all);
        if pattern.straight.is_some() {
            count(&programs);
            let mut text = text;
            for (at, how) in more {
                match pattern.compared(&text) {
                    Some(true) => [&sure, &matches].into_iter().for_each(count),
                    Some(false) => count(&sure),
                    None => {}
                }
                text = changed(&text, at, how);
            }
        }
    });
    let (all, programs, sure, matches) = (all.get(), programs.get(), sure.get(), matches.get());
    println!("{all} expressions, {programs} programs; of {} texts {sure} sure, {matches} match", 8 * programs);
    // Otherwise it shows little.
    assert!(programs * 4 > all && sure > 4 * programs && matches * 10 > sure);
}

/// All expressions of a preset.
fn expressions(text: &str) -> Vec<&str> {
    let quoted = regex::Regex::new(r"'([^'\n]*\(\?<[^'\n]*)'").unwrap();
    quoted.captures_iter(presets::section(text, "process")).map(|found| found.get(1).unwrap().as_str()).collect()
}

#[test]
fn the_presets_match_what_regex_matches() {
    let (mut programs, mut others, mut sure, mut all) = (0, Vec::new(), 0, 0);
    let events: std::collections::BTreeMap<_, _> = crate::process::fuzzing::presets().into_iter().map(|p| (p.name, p.events)).collect();
    let mut numbers = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        numbers ^= numbers << 13;
        numbers ^= numbers >> 7;
        numbers ^= numbers << 17;
        numbers as usize >> 8
    };
    for (name, text) in presets::ALL {
        for expression in expressions(text) {
            let mut pattern = Pattern::new(expression).unwrap();
            if pattern.straight.is_none() {
                others.push((name, expression));
                continue;
            }
            programs += 1;
            for event in &events[name] {
                let mut text = event.clone();
                for n in 0..30 {
                    all += 1;
                    sure += usize::from(pattern.compared(&text).is_some());
                    text = changed(if n % 3 == 0 { event } else { &text }, next(), next() % 14);
                }
            }
        }
    }
    println!("{programs} programs, {sure} of {all} sure; not {}: {others:#?}", others.len());
    assert!(programs > 30 && sure * 10 > all * 9, "{programs} programs; of {all} texts {sure} sure");
}
