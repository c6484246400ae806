//! Programs over lines, and mistakes in programs.

use super::{functions, guard};
use crate::process::steps::hostile::{UNITS, cpu};
use crate::process::steps::testing::{Lines, members, run, wrong};
use insta::assert_snapshot;
use std::time::Duration;

/// A line of a message, without the folder of the test.
fn in_file(line: &str) -> String {
    match line.split_once("--> ") {
        Some((before, path)) => format!("{before}--> {}", path.rsplit('/').next().unwrap_or_default()),
        None => line.to_string(),
    }
}

/// A chain of one program.
fn vrl(source: &str) -> String {
    format!("[{{vrl: {{source: {source:?}}}}}]")
}

#[test]
fn a_program_as_people_have_them() {
    let source = r#"
        . |= object!(parse_json!(.message))
        .level = downcase(string!(.level))
        .status = to_int(.status) ?? 0
        if .status >= 500 { .tags = push(array(.tags) ?? [], "server_error") }
        .user.name = del(.who)
        ."@timestamp" = parse_timestamp!(del(.at), "%d/%b/%Y:%H:%M:%S %z")
        .took, err = .missing * 2
        if err != null { del(.took) }
        del(.message)
    "#;
    let line = r#"{"level":"WARN","status":"503","who":"ann","at":"09/Mar/2026:10:15:02 +0100"}"#;
    assert_eq!(
        run(&vrl(source), line),
        r#"{"log":{"offset":0},"@timestamp":"2026-03-09T09:15:02.000Z","level":"warn","status":503,"tags":["server_error"],"user":{"name":"ann"}}"#
    );
}

#[test]
fn what_a_program_leaves_alone_stays_as_it_was() {
    let line = r#"{"z":2.50,"big":123456789012345678901234567890,"a":{"c":[1,{"d":1e3}],"b":null},"log.level":"info"}"#;
    let plain = run("[{json: {}}]", line);
    assert_eq!(run("[{json: {}}, {vrl: {source: 'if false { .x = 1 }'}}]", line), plain);
    let one = run("[{json: {}}, {vrl: {source: '.a.b = true'}}]", line);
    assert_eq!(one, plain.replace(r#""b":null"#, r#""b":true"#));
    let gone = run("[{json: {}}, {vrl: {source: 'del(.a.c)'}}]", line);
    assert_eq!(gone, plain.replace(r#""c":[1,{"d":1e3}],"#, ""));
}

#[test]
fn times_are_times() {
    let time = |source: &str| {
        let shown = run(&vrl(source), "x");
        shown.split_once(r#""@timestamp":""#).map_or(shown.clone(), |(_, time)| time.trim_end_matches(['"', '}']).to_string())
    };
    assert_eq!(time(r#"."@timestamp" = t'2026-03-09T10:15:02.123456Z'"#), "2026-03-09T10:15:02.123456Z");
    assert_eq!(time(r#"."@timestamp" = "2026-03-09T10:15:02+01:00""#), "2026-03-09T09:15:02.000Z");
    assert_eq!(time(r#"."@timestamp" = "soon""#), "soon");
    assert_eq!(time(r#"."@timestamp" = from_unix_timestamp!(-1)"#), "1969-12-31T23:59:59Z");
    let day = vrl(r#".day = format_timestamp!(."@timestamp", "%F"); .old = t'1500-01-01T00:00:00Z'"#);
    let shown = members(&format!("[{{timestamp: {{field: message, formats: iso8601}}}}, {}", &day[1..]), "2026-03-09T10:15:02Z");
    assert!(shown.contains(r#""day":"2026-03-09""#) && shown.contains(r#""old":"1500-01-01T00:00:00+00:00""#), "{shown}");
    let zone = r#"[{vrl: {zone: America/New_York, source: '.t = parse_timestamp!("2026-07-09 10:15:02", "%F %T")'}}]"#;
    assert!(members(zone, "x").contains(r#""t":"2026-07-09T14:15:02.000Z""#));
}

#[test]
fn abort_filters() {
    assert_eq!(run(&vrl("if contains(string!(.message), \"debug\") { abort }"), "a debug line"), "filtered by vrl (1)");
    assert_eq!(run(&vrl("abort \"said why\""), "x"), "filtered by vrl (1)");
}

#[test]
fn a_failure_undoes_the_program_and_quotes_nothing_of_the_event() {
    let error = |source: &str, line: &str| {
        let shown = run(&vrl(source), line);
        let (before, after) = shown.split_once(r#","tags":["_forebay_failure"],"error":{"message":""#).unwrap_or_else(|| panic!("{shown}"));
        assert!(before.ends_with(r#""log":{"offset":0}"#) && !before.contains("new"), "{shown}");
        after.trim_end_matches(['"', '}']).replace("\\\"", "\"")
    };
    assert_eq!(
        error(".new = 1\n  .a = parse_int!(.message)", "4111 1111 1111 1111"),
        "vrl (1): parse_int fails at line 2, column 8 of the program"
    );
    assert_eq!(
        error(".new = object!(.message)", "x"),
        "vrl (1): object fails at line 1, column 8 of the program: expected object, got string"
    );
    assert_eq!(error(". = [1, 2]", "x"), "vrl (1): `.` is no object in the end but an array: one event becomes one document");
    assert_eq!(error(". = \"text\"", "x"), "vrl (1): `.` is no object in the end but a plain value: one event becomes one document");
    assert_eq!(
        error(".new.a = encode_json(.message)\nassert!(false, .message)", "a secret"),
        "vrl (1): assert fails at line 2, column 1 of the program"
    );
    let dead = format!("[{{vrl: {{source: {:?}, on_error: dead_letter}}}}]", "parse_json!(.message)");
    assert_eq!(run(&dead, "no JSON"), "dead letter: vrl (1): parse_json fails at line 1, column 1 of the program");
}

#[test]
fn what_no_event_may_be_is_refused() {
    let many = (0..1001).map(|n| format!(r#""a{n}":1"#)).collect::<Vec<_>>().join(",");
    let shown = run(&vrl(".a = parse_json!(.message)"), &format!("{{{many}}}"));
    assert!(shown.contains("an object has more than 1000 members"), "{shown}");
    let deep = format!("{}1{}", "[".repeat(70), "]".repeat(70));
    let shown = run(&vrl(".a = parse_json!(.message)"), &deep);
    assert!(shown.contains("nested deeper than 64 levels"), "{shown}");
}

#[test]
fn mistakes_are_told_where_they_stand() {
    let block = "\n    - vrl:\n        source: |\n          .a = 1\n          .b = parse_json(.message)\n          .c = uuid_v4()\n          .d = downcased(.x)";
    let shown = |chain: &str| wrong(chain).lines().filter(|line| !line.contains("p.yaml; ")).map(in_file).collect::<Vec<_>>().join("\n");
    assert_snapshot!(shown(block), @r#"
    error: `process.c[0].vrl.source`: unhandled fallible assignment: this expression is fallible because at least one argument's type cannot be verified to be valid, at line 2, column 6 of the program
      --> p.yaml:8:16
       |
     8 |           .b = parse_json(.message)
       |                ^^^^^^^^^^^^^^^^^^^^
       = help: or change this to an infallible assignment: .b, err = parse_json(.message)

    error: `process.c[0].vrl.source`: the function `uuid_v4` is not to be had here, at line 3, column 6 of the program
      --> p.yaml:9:16
       |
     9 |           .c = uuid_v4()
       |                ^^^^^^^
       = help: a retry must make the same document of an event; its time is `."@timestamp"`, and the processor `fingerprint` makes IDs

    error: `process.c[0].vrl.source`: call to undefined function, at line 4, column 6 of the program
       --> p.yaml:10:16
        |
     10 |           .d = downcased(.x)
        |                ^^^^^^^^^
        = help: did you mean "downcase"?
    "#);
    assert_snapshot!(shown("[{vrl: {source: '.a = now()'}}]"), @r#"
    error: `process.c[0].vrl.source`: the function `now` is not to be had here, at line 1, column 6 of the program
      --> p.yaml:4:28
       |
     4 |   c: [{vrl: {source: '.a = now()'}}]
       |                            ^^^
       = help: a retry must make the same document of an event; its time is `."@timestamp"`, and the processor `fingerprint` makes IDs
    "#);
    let said = shown("[{vrl: {source: '.a = = 1'}}]");
    assert!(
        said.contains("syntax error: unexpected syntax token: \"Equals\", at line 1, column 6") && said.contains("p.yaml:4:28"),
        "{said}"
    );
    assert!(wrong("[{vrl: {}}]").contains("has no `source`"));
    assert!(wrong("[{vrl: {source: ' '}}]").contains("is empty"));
    assert!(wrong("[{vrl: {source: '.a = 1', zone: Mars}}]").contains("Europe/Berlin"));
    assert!(wrong(&vrl(&"x".repeat(70_000))).contains("at most 65536"));
}

#[test]
fn a_program_that_comes_from_a_secret_is_not_quoted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop.vrl");
    std::fs::write(&path, ".a = hunter2(.message)\n").unwrap();
    let said = wrong(&format!("[{{vrl: {{source: \"${{file:{}}}\"}}}}]", path.display()));
    assert!(said.contains("call to undefined function, at line 1, column 6 of the program") && !said.contains("hunter2"), "{said}");
    std::fs::write(&path, ".a = upcase(string!(.message))\n").unwrap();
    assert!(members(&format!("[{{vrl: {{source: \"${{file:{}}}\"}}}}]", path.display()), "x").contains(r#""a":"X""#));
}

#[test]
fn a_panic_is_a_failure() {
    assert!(!guard::is_guarded());
    assert_eq!(guard::caught(guard::is_guarded), Some(true));
    assert_eq!(
        guard::caught(|| if guard::is_guarded() {
            panic!("a bug, as a test has it")
        }),
        None
    );
    assert!(!guard::is_guarded());
}

/// Functions of several arguments, as programs call them; those of one are found.
const CALLS: &[&str] = &[
    ". |= object!(parse_json!(.message))",
    ".a, err = parse_regex(.message, r'^(?P<a>(a|aa)+)(?P<b>.*)$')",
    ".a, err = parse_regex_all(.message, r'(?P<a>a|.)')",
    ".a, err = parse_nginx_log(.message, format: \"combined\")",
    ".a, err = parse_nginx_log(.message, format: \"error\")",
    ".a, err = parse_apache_log(.message, format: \"combined\")",
    ".a, err = parse_timestamp(.message, \"%d/%b/%Y:%H:%M:%S %z\")",
    ".a, err = parse_duration(.message, \"s\")",
    ".a, err = parse_int(.message, 16)",
    ".a, err = split(.message, \",\")",
    ".a, err = split(.message, r'(a|aa)+')",
    ".a, err = replace(.message, r'(a|aa)+$', \"\")",
    ".a, err = replace(.message, \"a\", \"bb\")",
    ".a, err = match(.message, r'(a|aa)+$')",
    ".a, err = contains(.message, \"aab\", case_sensitive: false)",
    ".a, err = truncate(.message, 10)",
    ".a, err = slice(.message, 10)",
    ".a = redact(string!(.message), filters: [r'(a|aa)+$'])",
    ".a = redact(string!(.message), filters: [\"us_social_security_number\"])",
    ".a = join!(unique(split!(.message, \" \")), \",\")",
    ".a = encode_json(parse_json!(.message))",
    ".a = flatten!(parse_json!(.message))",
];

#[test]
fn a_hostile_line_ends_soon() {
    const SIZE: usize = 64 << 10;
    let found = functions::allowed().into_iter().filter_map(|function| {
        let (name, first) = (function.identifier(), function.parameters().first()?.keyword);
        let calls = [format!(".a, err = {name}({first}: .message)"), format!(".a = {name}({first}: .message)")];
        calls.into_iter().find(|source| ::vrl::compiler::compile(source, &functions::allowed()).is_ok())
    });
    let mut sources: Vec<String> = found.collect();
    assert!(sources.len() > 80, "{sources:?}");
    sources.extend(CALLS.iter().map(|source| source.to_string()));
    let long: Vec<String> =
        UNITS.iter().chain(&["<a>", "a: [", "a.b.", "a: &a *a ", "%7B"]).map(|unit| unit.repeat(SIZE / unit.len())).collect();
    // Each meets some of the lines, or all of them where that is asked for.
    let every = if std::env::var_os("FOREBAY_VRL_HOSTILE").is_some() { 1 } else { 5 };
    let mut all = Vec::new();
    for (n, source) in sources.iter().enumerate() {
        let mut lines = Lines::new(&vrl(source));
        for (m, line) in long.iter().enumerate().filter(|(m, _)| (n + m).is_multiple_of(every)) {
            let begun = cpu();
            lines.chain_only(line, m as u64);
            all.push((cpu() - begun, format!("{:?} {source}", line.chars().take(40).collect::<String>())));
        }
    }
    all.sort();
    all.iter().rev().take(12).for_each(|(time, what)| println!("{time:?} {what}"));
    assert!(all.iter().all(|(time, _)| *time < Duration::from_secs(2)), "{:?}", all.last());
}
