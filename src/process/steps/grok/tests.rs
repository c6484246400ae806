use super::*;
use crate::process::steps::testing::{members, run, wrong};
use proptest::prelude::*;

/// What `pattern` takes out of `line`.
fn grok(pattern: &str, line: &str) -> serde_json::Value {
    let quoted = pattern.replace('\'', "''");
    let shown = run(&format!("[{{remove: {{fields: log}}}}, {{grok: {{patterns: '{quoted}'}}}}]"), line);
    let mut got: serde_json::Value = serde_json::from_str(&shown).unwrap();
    if got["message"] == line {
        got.as_object_mut().map(|members| members.remove("message"));
    }
    got
}

/// Whether the whole of `line` is what the pattern of this name matches.
fn is(name: &str, line: &str) -> bool {
    let (mut pattern, _) = Expander::new(&Own::new()).compile(&format!("%{{{name}}}"), true).unwrap();
    pattern.find(line, usize::MAX) == Match::Yes
}

#[test]
fn every_standard_pattern_is_right_and_stands_there_once() {
    let mut seen = std::collections::BTreeSet::new();
    for name in standard::names() {
        assert!(expand::is_name(name) && seen.insert(name), "{name}");
        Expander::new(&Own::new()).compile(&format!("%{{{name}}}"), false).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    assert!(seen.len() > 150, "{}", seen.len());
}

#[test]
fn what_is_one_and_what_is_none() {
    for (name, right, not) in [
        ("INT", &["1", "-12", "+7"][..], &["1.5", "x"][..]),
        ("NUMBER", &["1", "-1.5", ".5", "22"], &["1e5", "."]),
        ("BASE16NUM", &["0xDEADbeef", "ff", "-0x1"], &["0xg"]),
        ("POSINT", &["1", "65535"], &["0", "-1"]),
        ("WORD", &["ab_1"], &["a b", "a-b", ""]),
        ("USERNAME", &["john.doe-1"], &["a@b"]),
        ("EMAILADDRESS", &["a.b+c@example.org", "o'neil@host"], &["@example.org", "a@"]),
        ("UUID", &["123e4567-e89b-12d3-a456-426614174000"], &["123e4567"]),
        ("MAC", &["00:1A:2b:3c:4d:5e", "00-1a-2b-3c-4d-5e", "001a.2b3c.4d5e"], &["00:1a"]),
        ("IPV4", &["1.2.3.4", "255.255.255.255", "010.0.0.1"], &["256.1.1.1", "1.2.3"]),
        (
            "IPV6",
            &[
                "::",
                "::1",
                "fe80::1%eth0",
                "2001:db8::8a2e:370:7334",
                "1:2:3:4:5:6:7:8",
                "::ffff:10.0.0.1",
                "1::2:1.2.3.4",
                "1:2:3:4:5:6:7::",
            ],
            &["1:2:3", ":::", "1.2.3.4", "12345::"],
        ),
        ("HOSTNAME", &["a", "web-1.example.org", "xn--bcher-kva.example."], &["-a", "a b"]),
        ("HOSTPORT", &["web:80", "10.0.0.1:8080", "::1:80"], &["web"]),
        ("PATH", &["/", "/var/log/a", "/a/b.c-d", r"C:\x y\z", r"\\host\share"], &["a/b"]),
        ("URI", &["http://u:p@example.org:8080/a/b?c=d&e", "ftp://x/", "https://"], &["example.org/a"]),
        ("URIPATHPARAM", &["/a?b=c", "/"], &["a"]),
        ("QUOTEDSTRING", &[r#""a \" b""#, "'x'", "`y`", r#""""#], &[r#""a"#, "a"]),
        ("MONTH", &["Jan", "january", "März", "Dez", "okt"], &["Foo"]),
        ("MONTHNUM", &["1", "01", "12"], &["13", "0"]),
        ("MONTHDAY", &["1", "09", "31"], &["32", "0"]),
        ("TIME", &["00:00:00", "23:59:60", "1:02:03.456", "10:15:02,5"], &["24:00:00", "10:15"]),
        (
            "TIMESTAMP_ISO8601",
            &[
                "2026-03-09T10:15:02Z",
                "2026-03-09 10:15:02,123",
                "2026-03-09T10:15:02.5+01:00",
                "2026-03-09T10:15",
                "2026-03-09T101502-0500",
            ],
            &["2026-03-09", "09.03.2026 10:15"],
        ),
        ("DATE_US", &["12/31/2026", "1-2-26"], &["31/12/2026"]),
        ("DATE_EU", &["31.12.2026", "31/12/26"], &["12/31/2026"]),
        ("HTTPDATE", &["09/Mar/2026:10:15:02 +0100"], &["09/03/2026:10:15:02 +0100"]),
        ("SYSLOGTIMESTAMP", &["Mar  9 10:15:02", "Dec 31 23:59:59.123"], &["Mar 10:15:02"]),
        ("DATESTAMP_RFC2822", &["Mon, 9 Mar 2026 10:15:02 +0100", "Mon, 09 Mar 2026 10:15:02 GMT"], &["9 Mar 2026"]),
        ("LOGLEVEL", &["INFO", "warn", "Warning", "ERR", "critical"], &["loud"]),
        ("JAVACLASS", &["org.example.Foo$Bar", "Main"], &["1a"]),
        ("MAVEN_VERSION", &["1.2.3", "1.2-SNAPSHOT", "1.0.0.RC1"], &["1"]),
        ("TTY", &["/dev/pts/1", "/dev/tty7"], &["/dev/null"]),
    ] {
        right.iter().for_each(|line| assert!(is(name, line), "{name} {line}"));
        not.iter().for_each(|line| assert!(!is(name, line), "{name} {line}"));
    }
}

/// Cases that other implementations publish of their own patterns, told again as tables.
#[test]
fn agrees_with_what_others_publish() {
    for (pattern, line, want) in [
        (
            "%{IP:client} %{WORD:method} %{URIPATHPARAM:request} %{NUMBER:bytes:int} %{NUMBER:duration:float}",
            "55.3.244.1 GET /index.html 15824 0.043",
            r#"{"client":"55.3.244.1","method":"GET","request":"/index.html","bytes":15824,"duration":0.043}"#,
        ),
        (
            r"%{SYSLOGBASE} %{GREEDYDATA:rest}",
            "Mar 16 00:01:25 evita postfix/smtpd[1713]: connect from camomile.cloud9.net[168.100.1.3]",
            r#"{"timestamp":"Mar 16 00:01:25","host":{"hostname":"evita"},"process":{"name":"postfix/smtpd","pid":1713},"rest":"connect from camomile.cloud9.net[168.100.1.3]"}"#,
        ),
        (
            "%{COMBINEDAPACHELOG}",
            r#"127.0.0.1 - frank [11/Dec/2013:00:01:45 -0800] "GET /xampp/status.php HTTP/1.1" 200 3891 "http://cadenza/xampp/navi.php" "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.9; rv:25.0) Gecko/20100101 Firefox/25.0""#,
            r#"{"source":{"address":"127.0.0.1"},"user":{"name":"frank"},"timestamp":"11/Dec/2013:00:01:45 -0800","http":{"request":{"method":"GET","referrer":"http://cadenza/xampp/navi.php"},"version":"1.1","response":{"status_code":200,"body":{"bytes":3891}}},"url":{"original":"/xampp/status.php"},"user_agent":{"original":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.9; rv:25.0) Gecko/20100101 Firefox/25.0"}}"#,
        ),
        (
            "%{COMMONAPACHELOG}",
            r#"::1 - - [30/Oct/2025:13:00:00 +0000] "-" 408 -"#,
            r#"{"source":{"address":"::1"},"timestamp":"30/Oct/2025:13:00:00 +0000","http":{"response":{"status_code":408}}}"#,
        ),
        (
            "%{HTTPD_ERRORLOG}",
            "[Mon Aug 31 09:30:48.958285 2015] [proxy:error] [pid 28787:tid 140169587934976] (13)Permission denied: [client 24.0.0.1:443] AH00957: HTTP: attempt to connect failed",
            r#"{"timestamp":"Mon Aug 31 09:30:48.958285 2015","log":{"level":"error"},"apache":{"error":{"module":"proxy","proxy":{"error":{"code":"13","message":"Permission denied"}}}},"process":{"pid":28787,"thread":{"id":140169587934976}},"source":{"address":"24.0.0.1","port":443},"error":{"code":"AH00957"},"message":"HTTP: attempt to connect failed"}"#,
        ),
        (
            "%{SYSLOG5424LINE}",
            r#"<191>1 2009-06-30T18:30:00+02:00 paxton.local grokdebug 4123 - [id1 foo="bar"][id2 baz="some]thing"] Hello, syslog."#,
            r#"{"log":{"syslog":{"priority":191,"version":"1"}},"timestamp":"2009-06-30T18:30:00+02:00","host":{"hostname":"paxton.local"},"process":{"name":"grokdebug","pid":4123},"system":{"syslog":{"structured_data":"[id1 foo=\"bar\"][id2 baz=\"some]thing\"]"}},"message":"Hello, syslog."}"#,
        ),
        (
            "%{REDISMONLOG}",
            r#"1339518083.107412 [0 127.0.0.1:60866] "keys" "*""#,
            r#"{"timestamp":"1339518083.107412","redis":{"database":{"id":"0"},"command":{"name":"keys","args":"\"*\""}},"client":{"ip":"127.0.0.1","port":60866}}"#,
        ),
        (
            "%{JAVASTACKTRACEPART}",
            "  at com.sample.stacktrace.StackTraceExample.aMethod(StackTraceExample.java:42)",
            r#"{"java":{"log":{"origin":{"class":{"name":"com.sample.stacktrace.StackTraceExample"}}}},"log":{"origin":{"function":"aMethod","file":{"name":"StackTraceExample.java","line":42}}}}"#,
        ),
        (
            "%{RUBY_LOGGER}",
            "I, [2020-05-01T12:00:00.123456 #42]  INFO -- : hello",
            r#"{"timestamp":"2020-05-01T12:00:00.123456","process":{"pid":42,"name":""},"log":{"level":"INFO"},"message":"hello"}"#,
        ),
        (
            "%{SQUID3}",
            "1525334330.556      3 120.65.1.1 TCP_REFRESH_MISS/200 2014 GET http://www.sample.com/hellow_world.txt public-user DIRECT/www.sample.com text/plain",
            r#"{"timestamp":"1525334330.556","squid":{"request":{"duration":3},"hierarchy_code":"DIRECT"},"source":{"ip":"120.65.1.1"},"event":{"action":"TCP_REFRESH_MISS"},"http":{"response":{"status_code":200,"bytes":2014,"mime_type":"text/plain"},"request":{"method":"GET"}},"url":{"original":"http://www.sample.com/hellow_world.txt"},"user":{"name":"public-user"},"destination":{"address":"www.sample.com"}}"#,
        ),
        (
            "%{BIND9}",
            "17-Feb-2018 23:06:56.326 queries: info: client 172.26.0.1#12345 (test.example.com): query: test.example.com IN A +E(0)K (172.26.0.3)",
            r#"{"timestamp":"17-Feb-2018 23:06:56.326","bind":{"log":{"category":"queries","question":{"name":"test.example.com","flags":"+E(0)K"}}},"log":{"level":"info"},"client":{"ip":"172.26.0.1","port":12345},"dns":{"question":{"name":"test.example.com","class":"IN","type":"A"}},"server":{"ip":"172.26.0.3"}}"#,
        ),
        (
            "%{CRONLOG}",
            "Mar 16 00:01:25 evita CROND[1713]: (root) CMD (/usr/lib64/sa/sa1 1 1)",
            r#"{"timestamp":"Mar 16 00:01:25","host":{"hostname":"evita"},"process":{"name":"CROND","pid":1713},"user":{"name":"root"},"system":{"cron":{"action":"CMD"}},"message":"/usr/lib64/sa/sa1 1 1"}"#,
        ),
        (
            "%{CISCOFW106023}",
            r#"Deny tcp src outside:192.0.2.7/50000 dst inside:10.0.0.1/22 by access-group "outside_in" [0x0, 0x0]"#,
            r#"{"cisco":{"asa":{"outcome":"Deny","network":{"transport":"tcp"},"rule_name":"outside_in","hashcode1":"0x0","hashcode2":"0x0"}},"observer":{"ingress":{"interface":{"name":"outside"}},"egress":{"interface":{"name":"inside"}}},"source":{"ip":"192.0.2.7","port":50000},"destination":{"ip":"10.0.0.1","port":22}}"#,
        ),
        (
            "%{CISCO_TAGGED_SYSLOG} %{CISCOFW302013_302014_302015_302016}",
            "<166>Mar  9 2026 10:15:02: %ASA-6-302014: Teardown TCP connection 42 for outside:192.0.2.7/443 to inside:10.0.0.1/50000 duration 0:00:30 bytes 5678 TCP FINs",
            r#"{"log":{"syslog":{"priority":166}},"timestamp":"Mar  9 2026 10:15:02","cisco":{"asa":{"tag":"ASA-6-302014","outcome":"Teardown","network":{"transport":"TCP"},"connection_id":"42","duration":"0:00:30"}},"observer":{"ingress":{"interface":{"name":"outside"}},"egress":{"interface":{"name":"inside"}}},"source":{"ip":"192.0.2.7","port":443},"destination":{"ip":"10.0.0.1","port":50000},"network":{"bytes":5678},"event":{"reason":"TCP FINs"}}"#,
        ),
        (
            "%{HAPROXYHTTP}",
            r#"Dec  9 13:01:26 localhost haproxy[28029]: 127.0.0.1:39759 [09/Dec/2013:12:59:46.633] loadbalancer default/instance8 0/51536/1/48082/99627 200 83285 - - ---- 87/87/87/1/0 0/67 {77.24.148.74} "GET /path/to/image HTTP/1.1""#,
            r#"{"timestamp":"Dec  9 13:01:26","host":{"hostname":"localhost"},"process":{"name":"haproxy","pid":28029},"source":{"address":"127.0.0.1","port":39759,"bytes":83285},"haproxy":{"request_date":"09/Dec/2013:12:59:46.633","frontend_name":"loadbalancer","backend_name":"default","server_name":"instance8","http":{"request":{"time_wait_ms":0,"time_wait_without_data_ms":48082,"captured_headers":"77.24.148.74"}},"total_waiting_time_ms":51536,"connection_wait_time_ms":1,"termination_state":"----","connections":{"active":87,"frontend":87,"backend":87,"server":1,"retries":0},"server_queue":0,"backend_queue":67},"temp":{"duration":99627},"http":{"response":{"status_code":200},"request":{"method":"GET"},"version":"1.1"},"url":{"original":"/path/to/image"}}"#,
        ),
    ] {
        let got = grok(pattern, line);
        assert_eq!(got, serde_json::from_str::<serde_json::Value>(want).unwrap(), "{pattern}: {got}");
    }
}

#[test]
fn names_types_and_own_patterns() {
    let own = r"[{grok: {pattern_definitions: {QUEUE: '[0-9A-F]{10,11}', POST: 'id=%{QUEUE:[postfix][queue_id]}'}, patterns: ['%{POST}', '(?<a.b>\d+)(x)%{INT:n:int}?']}}]";
    assert!(members(own, "id=BEF25A72965").ends_with(r#""postfix":{"queue_id":"BEF25A72965"}"#));
    assert!(members(own, "12x5").ends_with(r#""a":{"b":"12"},"n":5"#));
    assert!(members(own, "12x").ends_with(r#""a":{"b":"12"}"#), "what took no part gives no field");
    assert!(run(own, "-").contains("grok (1): no pattern matches"));
    assert!(members("[{grok: {patterns: '%{INT:x}|%{WORD:x}'}}]", "ab").ends_with(r#""x":"ab""#), "the one that took part");
    assert!(members("[{grok: {patterns: '%{NUMBER:x:int} %{NUMBER:y:float}'}}]", "2.7 2").ends_with(r#""x":2,"y":2.0"#));
    let failed = run("[{grok: {patterns: '%{WORD:a} %{DATA:x:int}$'}}]", "a b");
    assert!(failed.contains("what the pattern found for x is no int") && !failed.contains(r#""a":"#), "{failed}");
}

#[test]
fn means_what_others_mean_by_it() {
    assert!(members(r"[{grok: {patterns: '^b (?>%{WORD:x})$'}}]", "a\nb c\nd").ends_with(r#""x":"c""#), "ends of lines");
    assert!(members(r"[{grok: {patterns: '[\d\]]+\h+[^]](?i:X)(?<x>[[:alpha:]]+)'}}]", "1]fF-xy").ends_with(r#""x":"y""#));
    assert!(run("[{grok: {anchored: true, patterns: '%{INT:x}'}}]", "a 1").contains("no pattern matches"));
    assert!(run(r"[{grok: {patterns: '^\w+$'}}]", "é").contains("no pattern matches"), "ASCII");
}

#[test]
fn mistakes_say_what_to_do() {
    for (chain, say) in [
        ("[{grok: {}}]", "has no `patterns`"),
        ("[{grok: {patterns: '%{IPORHOTS:x}'}}]", "there is no pattern `IPORHOTS`: did you mean `IPORHOST`?"),
        ("[{grok: {patterns: '%{INT:x:number}'}}]", "`number` in `%{INT:x:number}` is no type"),
        ("[{grok: {patterns: '%{INT:x'}}]", "a `%{` is not closed"),
        ("[{grok: {patterns: '%{INT:a b}'}}]", "the field `a b`"),
        ("[{grok: {patterns: '(?<!a)b'}}]", "look-around"),
        ("[{grok: {patterns: 'a('}}]", "unclosed group"),
        ("[{grok: {patterns: a, pattern_definitions: {A: '%{B}', B: '%{A}'}}}]", "does one name itself?"),
        ("[{grok: {patterns: a, pattern_definitions: {A-B: x}}}]", "`A-B` is no name of a pattern"),
    ] {
        let said = wrong(chain);
        assert!(said.contains(say), "{chain}: {said}");
    }
}

proptest! {
    #[test]
    fn no_pattern_panics(pattern in r"(%\{(INT|WORD|IP)?(:a|:\[a\]|:)?(:int)?\}?|\(\?<?|\(|\)|\[|\]|\^|\\[dwsbhZe<x]?|\||\*|é|a){0,10}", text in "[a1 é.]{0,10}") {
        if let Ok((mut compiled, captures)) = Expander::new(&Own::new()).compile(&pattern, false) {
            prop_assert_eq!(compiled.regex().captures_len(), captures.len() + 1, "{}", pattern);
            compiled.find(&text, usize::MAX);
        }
    }
}

#[test]
fn what_a_pattern_ends_with_is_told_from_what_it_may_end_with() {
    let none = Own::new();
    for (pattern, head, fields) in [
        ("%{IP:a} %{GREEDYDATA:b}", "%{IP:a} ", &["b"][..]),
        ("%{GREEDYDATA:a}%{GREEDYDATA:b}", "", &["a", "b"]),
        ("(x|y)[|]%{GREEDYDATA:b}", "(x|y)[|]", &["b"]),
        ("x|%{GREEDYDATA:b}", "x|%{GREEDYDATA:b}", &[]),
        ("(?:x%{GREEDYDATA:b}", "(?:x%{GREEDYDATA:b}", &[]),
        ("(?s)%{GREEDYDATA:b}", "(?s)%{GREEDYDATA:b}", &[]),
        ("%{GREEDYDATA:b:int}", "%{GREEDYDATA:b:int}", &[]),
        ("\\%{GREEDYDATA:b}", "\\%{GREEDYDATA:b}", &[]),
        ("%{GREEDYDATA:b}$", "%{GREEDYDATA:b}$", &[]),
    ] {
        assert_eq!(expand::without_rest(pattern, &none), (head, fields.to_vec()), "{pattern}");
    }
    let own = Own::from([("GREEDYDATA".to_string(), "x".to_string())]);
    assert_eq!(expand::without_rest("%{GREEDYDATA:b}", &own).1, Vec::<&str>::new());
}

proptest! {
    #[test]
    fn a_pattern_without_its_rest_finds_the_same(
        head in r"(%\{WORD:w\}|%\{DATA:d\}|%\{GREEDYDATA:g\}|(a|b)?|[ab]+|x|\^| ){0,4}",
        ends in 1usize..3,
        line in "[abx \n]{0,12}",
    ) {
        let pattern = format!("{head}{}", ["%{GREEDYDATA:y}", "%{GREEDYDATA:z}"][..ends].concat());
        // A group around it keeps it whole.
        let (got, whole) = (grok(&pattern, &line), grok(&format!("(?:{pattern})"), &line));
        prop_assert_eq!(got, whole, "{}", pattern);
    }
}
