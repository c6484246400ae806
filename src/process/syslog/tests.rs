use super::*;
use proptest::prelude::*;

fn shown(raw: &str) -> String {
    let s = Syslog::parse(raw.as_bytes());
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let priority = s.priority.map_or("-".into(), |p| format!("{p} {}.{}", s.facility().unwrap().1, s.severity().unwrap().1));
    [
        priority,
        s.version.to_string(),
        text(s.timestamp),
        text(s.host),
        text(s.app),
        text(s.procid),
        text(s.msgid),
        text(s.structured),
        text(s.message),
    ]
    .join("|")
}

#[test]
fn messages_of_the_standards_and_of_devices() {
    for (raw, expected) in [
        // The examples of RFC 5424.
        (
            "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed for lonvick on /dev/pts/8",
            "34 auth.crit|1|2003-10-11T22:14:15.003Z|mymachine.example.com|su||ID47||'su root' failed for lonvick on /dev/pts/8",
        ),
        (
            "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.",
            "165 local4.notice|1|2003-08-24T05:14:15.000003-07:00|192.0.2.1|myproc|8710|||%% It's time to make the do-nuts.",
        ),
        (
            "<165>1 2003-10-11T22:14:15.003Z host evntslog - ID47 [exampleSDID@32473 iut=\"3\" x=\"a]\\\"b\"][p@1 q=\"\"] An event",
            "165 local4.notice|1|2003-10-11T22:14:15.003Z|host|evntslog||ID47|[exampleSDID@32473 iut=\"3\" x=\"a]\\\"b\"][p@1 q=\"\"]|An event",
        ),
        ("<13>1 - - - - - -", "13 user.notice|1|||||||"),
        // Structured data that is none stays in the message.
        ("<13>1 - h a - - [open it", "13 user.notice|1||h|a||||[open it"),
        ("<13>1 - h a - - [x]y", "13 user.notice|1||h|a||||[x]y"),
        // The examples of RFC 3164.
        ("<34>Oct 11 22:14:15 mymachine su: 'su root' failed", "34 auth.crit|0|Oct 11 22:14:15|mymachine|su||||'su root' failed"),
        ("<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!", "13 user.notice|0|Feb  5 17:32:18|10.0.0.99|||||Use the BFG!"),
        ("<30>Oct 11 22:14:15 web sshd[123]: ok: yes", "30 daemon.info|0|Oct 11 22:14:15|web|sshd|123|||ok: yes"),
        // What glibc's syslog() writes to /dev/log: no host.
        ("<30>Oct 11 22:14:15 sshd[123]: ok", "30 daemon.info|0|Oct 11 22:14:15||sshd|123|||ok"),
        ("<30>Oct 11 22:14:15 cron: ok", "30 daemon.info|0|Oct 11 22:14:15||cron||||ok"),
        // rsyslog's and Cisco's stamps.
        ("<30>2026-10-11T22:14:15+02:00 web app: x", "30 daemon.info|0|2026-10-11T22:14:15+02:00|web|app||||x"),
        (
            "<189>Oct 11 2026 22:14:15.123: %SYS-5-CONFIG_I: Configured",
            "189 local7.notice|0|Oct 11 2026 22:14:15.123||||||: %SYS-5-CONFIG_I: Configured",
        ),
        ("<14>app[9]: x", "14 user.info|0|||app|9|||x"),
        ("<14>just: text", "14 user.info|0|||||||just: text"),
        ("no header at all", "-|0|||||||no header at all"),
        ("<192>x", "-|0|||||||<192>x"),
        ("<>x", "-|0|||||||<>x"),
        ("<13>", "13 user.notice|0|||||||"),
        ("", "-|0|||||||"),
    ] {
        assert_eq!(shown(raw), expected, "{raw}");
    }
}

#[test]
fn parameters_have_names_and_values() {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let found: Vec<_> =
        parameters(b"[a@1 x=\"1\" y=\"q\\\"]\"][b]").into_iter().map(|(i, n, v)| [text(i), text(n), text(v)].join(" ")).collect();
    assert_eq!(found, ["a@1 x 1", "a@1 y q\\\"]"]);
}

/// RFC 5424 by a regular expression: slow and plain.
fn reference(raw: &str) -> Option<Vec<String>> {
    let re = regex::Regex::new(
        r#"(?s)^<([0-9]{1,3})>1 (-|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) (-|(?:\[[^"\]](?:[^"\]]|"(?:[^"\\]|\\.)*")*\])+)(?: (.*))?$"#,
    )
    .unwrap();
    let found = re.captures(raw)?;
    let of = |n: usize| found.get(n).map_or("", |m| m.as_str());
    let priority: u32 = of(1).parse().unwrap();
    let nil = |n| if of(n) == "-" { String::new() } else { of(n).to_string() };
    (priority < 192).then(|| vec![priority.to_string(), nil(2), nil(3), nil(4), nil(5), nil(6), nil(7), of(8).to_string()])
}

proptest! {
    #[test]
    fn rfc_5424_agrees_with_the_reference(
        priority in 0u32..220, stamp in "(-|2026-10-1[0-9]T22:14:15(\\.[0-9]{1,6})?(Z|\\+02:00))", words in prop::collection::vec("(-|[a-z\\[\\]:]{1,6})", 4),
        structured in prop_oneof![Just("-".to_string()), "(\\[[a-z]{1,3}( [a-z]=\"([a-z\\] =]|\\\\\"|\\\\\\\\){0,5}\"){0,2}\\]){1,3}"], message in "( [ -~\n]{0,20})?",
    ) {
        let raw = format!("<{priority}>1 {stamp} {} {structured}{message}", words.join(" "));
        let got = Syslog::parse(raw.as_bytes());
        if let Some(want) = reference(&raw) {
            let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
            let got = vec![got.priority.unwrap().to_string(), text(got.timestamp), text(got.host), text(got.app), text(got.procid), text(got.msgid), text(got.structured), text(got.message)];
            prop_assert_eq!(got, want);
        } else {
            prop_assert!(priority >= 192);
        }
    }

    #[test]
    fn any_bytes_are_a_message_whose_parts_are_in_it(raw in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"<>1 -[]\":=\\JanOct 22:14:15".to_vec())], 0..120)) {
        let s = Syslog::parse(&raw);
        prop_assert!(raw.ends_with(s.message), "nothing of the message's end is lost");
        for part in [s.timestamp, s.host, s.app, s.procid, s.msgid, s.structured] {
            prop_assert!(part.is_empty() || raw.windows(part.len()).any(|w| w == part));
        }
        let _ = parameters(s.structured);
    }
}
