//! The real binary against a receiver in this process: lines in, documents out, whatever goes wrong.

mod common;

use common::{Bench, PATIENCE, assert_exactly, elasticsearch_sink, lines, messages, rename};
use forebay::demo::receiver::{Mode, Receiver};
use std::time::Duration;

fn shipped(receiver: &Receiver, lines: usize) -> bool {
    receiver.account(|a| a.documents().len() >= lines)
}

#[test]
fn lines_in_are_documents_out_byte_for_byte() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    let long = "long ".to_string() + &"0123456789".repeat(20_000);
    bench.append("plain.log", lines(0..2_000));
    bench.append("crlf.log", "crlf one\r\ncrlf two\r\n\r\ncrlf \r inside\r\n");
    bench.append("open.log", "with newline\nwithout newline at the end");
    bench.append("long.log", format!("before\n{long}\nafter\n"));
    bench.append("odd.log", "tab\tquote\" back\\slash é 日本語 \u{1} \u{7f}\nspaces  \n");
    bench.append("other.txt", "matches no glob\n");
    bench.ship_all(|| shipped(&receiver, 2_000 + 4 + 2 + 3 + 2));
    receiver.account(|account| {
        let odd = ["crlf one", "crlf two", "", "crlf \r inside", "with newline", "without newline at the end", "before", "after", &long];
        for line in odd.into_iter().chain(["tab\tquote\" back\\slash é 日本語 \u{1} \u{7f}", "spaces  "]) {
            assert_eq!(account.lines().get(line), Some(&1), "{:?}", &line[..line.len().min(60)]);
        }
        assert!(lines(0..2_000).lines().all(|l| account.lines().get(l) == Some(&1)));
        assert_eq!(account.documents().len(), 2_011);
        assert_eq!((account.collisions, account.without_id), (0, 0));
    });
}

#[test]
fn a_line_over_the_limit_is_cut_and_stops_nothing() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "    max_line_bytes: 1KiB", "");
    let long = "abcdefghij".repeat(500_000);
    bench.append("app.log", format!("before\n{long}\nafter\n"));
    bench.ship_all(|| shipped(&receiver, 3));
    receiver.account(|account| {
        assert_eq!((account.lines().get("before"), account.lines().get("after")), (Some(&1), Some(&1)));
        let cut: Vec<_> = account.lines().keys().filter(|l| l.starts_with("abc")).collect();
        assert_eq!(cut.len(), 1);
        assert!(long.starts_with(cut[0].as_str()) && (900..=1024).contains(&cut[0].len()), "{} bytes", cut[0].len());
    });
}

#[test]
fn a_long_line_may_be_split_and_then_nothing_of_it_is_missing() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "    max_line_bytes: 1KiB\n    on_long_line: split", "");
    let long: String = (0..3_000).map(|n| format!("{n:04} ")).collect();
    bench.append("app.log", format!("before\n{long}\nafter\n"));
    bench.ship_all(|| shipped(&receiver, 2 + 15));
    receiver.account(|account| {
        let mut pieces: Vec<(u64, String)> = Vec::new();
        for document in account.documents().values() {
            let source: serde_json::Value = serde_json::from_str(&document.source).unwrap();
            let flags = source["log"].get("flags");
            assert_eq!(flags.is_some(), !["before", "after"].contains(&document.message.as_str()), "{source}");
            if let Some(flags) = flags {
                assert_eq!(flags, &serde_json::json!(["partial"]));
                pieces.push((source["log"]["offset"].as_u64().unwrap(), document.message.clone()));
            }
        }
        pieces.sort();
        assert!(pieces.iter().zip(0..).all(|((at, _), n)| *at == 7 + 1024 * n));
        assert_eq!(pieces.iter().map(|(_, text)| text.as_str()).collect::<String>(), long);
    });
}

#[test]
fn utf_16_with_stack_traces_arrives_as_text_through_kill_9() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    let source = "    encoding: utf-16\n    multiline: {preset: dotnet, timeout: 200ms}";
    bench.pipeline(&elasticsearch_sink(&receiver.url()), source, "");
    let event = |n: u32| format!("2026-01-31 12:00:00 größe {n:04} 日本\r\nA.BException: x\r\n   at A.B() in a.cs:line {n}");
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    bench.append("app.log", wide("\u{feff}"));
    let mut agent = bench.start();
    for n in 0..400 {
        bench.append("app.log", wide(&format!("{}\r\n", event(n))));
        if n % 150 == 149 {
            agent.wait_for("half is shipped", || shipped(&receiver, n as usize / 2));
            agent.kill();
            agent = bench.start();
        }
    }
    agent.wait_for("all is shipped", || shipped(&receiver, 400));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    receiver.account(|account| {
        assert!((0..400).all(|n| account.lines().get(&event(n)) == Some(&1)), "{:?}", account.lines().keys().next());
        assert_eq!((account.documents().len(), account.collisions, account.without_id), (400, 0, 0));
    });
}

#[test]
fn documents_carry_their_origin() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "    fields: {service: shop}", "");
    bench.append("app.log", "first\nsecond\n");
    bench.ship_all(|| shipped(&receiver, 2));
    receiver.account(|account| {
        let second = account.documents().values().find(|d| d.message == "second").unwrap();
        assert_eq!(second.index, "logs-test");
        let source: serde_json::Value = serde_json::from_str(&second.source).unwrap();
        // Dotted names and nested objects are the same to Elasticsearch.
        let field = |dotted: &str| {
            let nested = dotted.split('.').try_fold(&source, |v, name| v.get(name));
            source.get(dotted).or(nested).unwrap_or_else(|| panic!("no {dotted} in {source}")).clone()
        };
        assert_eq!(field("log.offset"), 6);
        assert_eq!(field("service"), "shop");
        assert!(field("log.file.path").as_str().unwrap().ends_with("/app.log"));
        assert!(!field("host.name").as_str().unwrap().is_empty());
        assert!(field("@timestamp").as_str().unwrap().ends_with('Z'));
    });
}

#[test]
fn kill_9_and_rotation_by_rename_lose_and_double_nothing() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    let mut agent = bench.start();
    // What was rotated away before the agent ever followed the file is not its business: `*.log` leaves it out.
    bench.append("app.log", lines(0..500));
    let mut written = 500;
    agent.wait_for("the file is followed", || shipped(&receiver, 500));
    for round in 0..8 {
        // Written and rotated while the agent runs, twice, and once while it is dead: the glob is `*.log`.
        bench.append("app.log", lines(written..written + 3_000));
        rename(&bench.log("app.log"), &bench.log(&format!("app.log.{round}a")));
        bench.append("app.log", lines(written + 3_000..written + 5_000));
        let some = written as usize + 1_000 * (round % 3);
        agent.wait_for("some of it arrives", || shipped(&receiver, some));
        agent.kill();
        bench.append("app.log", lines(written + 5_000..written + 6_000));
        rename(&bench.log("app.log"), &bench.log(&format!("app.log.{round}b")));
        bench.append("app.log", lines(written + 6_000..written + 6_500));
        written += 6_500;
        agent = bench.start();
    }
    agent.wait_for("all is shipped", || shipped(&receiver, written as usize));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_exactly(&receiver, &lines(0..written));
}

#[test]
fn every_fault_of_the_receiver_is_outlasted() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    let mut agent = bench.start();
    let mut written = 0;
    let faults = [Mode::Down, Mode::Unavailable, Mode::TooManyRequests, Mode::TooManyItems, Mode::Unauthorized];
    for mode in faults {
        receiver.set(mode);
        let seen = receiver.account(|a| a.requests);
        bench.append("app.log", lines(written..written + 2_000));
        written += 2_000;
        if mode != Mode::Down {
            // The fault must have been met, else this shows nothing.
            agent.wait_for("a request meets the fault", || receiver.account(|a| a.requests > seen));
        }
        receiver.set(Mode::Up);
        receiver.lose_acks(1);
        agent.wait_for("all is shipped", || shipped(&receiver, written as usize));
    }
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_exactly(&receiver, &lines(0..written));
    receiver.account(|a| {
        assert!(a.lost_acks > 0 && a.conflicts > 0, "{} acknowledgements lost, {} recognised", a.lost_acks, a.conflicts);
    });
}

#[test]
fn a_lost_data_dir_doubles_nothing() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    let text = lines(0..5_000);
    bench.append("app.log", &text);
    bench.ship_all(|| shipped(&receiver, 5_000));
    std::fs::remove_dir_all(bench.path("state")).unwrap();
    bench.ship_all(|| receiver.account(|a| a.conflicts >= 5_000));
    assert_exactly(&receiver, &text);
}

#[test]
fn a_refused_document_goes_to_the_dead_letters_and_holds_up_nothing() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    receiver.refuse_documents_with("poison");
    bench.append("app.log", "before\nthe poison is here\nafter\n");
    let mut agent = bench.start();
    let status = agent.wait_status("the dead letter is counted", |s| s.sinks["search"].dead_lettered == 1);
    assert_eq!(status.sinks["search"].lag_events, 0);
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_exactly(&receiver, "before\nafter\n");
}

#[test]
fn an_http_sink_names_each_batch_by_an_idempotency_key_that_outlives_kill_9() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    let sink = format!("  hook:\n    type: http\n    url: {}/hook\n    retry: {{initial: 50ms, max: 500ms}}", receiver.url());
    bench.pipeline(&sink, "", "");
    let all = || -> Vec<String> {
        receiver.account(|a| a.posts().iter().flat_map(|p| messages(std::str::from_utf8(&p.body).unwrap())).collect())
    };
    // The receiver has the batch, the agent never learns of it, neither in this life nor in the next.
    receiver.lose_acks(u64::MAX);
    bench.append("app.log", lines(0..1_000));
    let mut agent = bench.start();
    agent.wait_for("a retry under the same key", || receiver.account(|a| a.repeated_posts >= 1));
    agent.kill();
    let before = receiver.account(|a| a.repeated_posts);
    bench.append("app.log", lines(1_000..3_000));
    agent = bench.start_under(&["env", "FOREBAY_LOG=debug"]);
    agent.wait_for("the batch again", || receiver.account(|a| a.repeated_posts > before));
    receiver.lose_acks(0);
    agent.wait_for("all is shipped", || all().len() >= 3_000);
    let last = agent.wait_status("all is acked", |s| s.sinks["hook"].lag_events == 0).sinks["hook"].last_batch.clone();
    let accept = "accept: application/openmetrics-text;version=1.0.0\r\n";
    let head = common::http::head("GET", "localhost", "/metrics", accept, 0);
    let page = common::http::exchange(&mut std::net::TcpStream::connect(bench.admin).unwrap(), head.as_bytes()).unwrap();
    let exemplar = format!("forebay_sink_delivered_events_total{{sink=\"hook\"}} 3000 # {{batch=\"{last}\"}} 1\n");
    assert!(String::from_utf8_lossy(&page).contains(&exemplar), "{exemplar}{}", String::from_utf8_lossy(&page));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    receiver.account(|a| {
        for key in a.posts().iter().map(|p| p.key.as_ref().expect("a key")) {
            assert!(agent.log().contains(&format!("batch {key} is done in ")), "{key}: {}", agent.log());
        }
        assert_eq!(a.changed_posts, 0, "one key named two bodies");
    });
    let mut arrived = all();
    arrived.sort();
    let text = lines(0..3_000);
    let mut expected: Vec<_> = text.lines().collect();
    expected.sort();
    assert_eq!(arrived, expected);
}

#[test]
fn a_file_sink_writes_the_lines_in_their_order() {
    let bench = Bench::new();
    let out = bench.path("out.ndjson");
    bench.pipeline(&format!("  copy:\n    type: file\n    path: {}", common::quoted(&out)), "", "");
    let text = lines(0..3_000);
    bench.append("app.log", &text);
    let content = || std::fs::read_to_string(&out).unwrap_or_default();
    bench.ship_all(|| content().lines().count() >= 3_000);
    assert_eq!(messages(&content()), text.lines().collect::<Vec<_>>());
}

#[test]
fn a_sink_that_is_down_delays_no_other() {
    let (bench, up, down) = (Bench::new(), Receiver::start().unwrap(), Receiver::start().unwrap());
    down.set(Mode::Down);
    let sinks = elasticsearch_sink(&up.url()) + "\n" + &elasticsearch_sink(&down.url()).replace("  search:", "  second:");
    bench.pipeline(&sinks, "", "");
    let text = lines(0..3_000);
    bench.append("app.log", &text);
    let mut agent = bench.start();
    agent.wait_for("the first sink has all", || shipped(&up, 3_000));
    assert_eq!(down.account(|a| a.documents().len()), 0);
    down.set(Mode::Up);
    assert!(down.wait(PATIENCE, |a| a.documents().len() >= 3_000), "{}", agent.log());
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_exactly(&up, &text);
    assert_exactly(&down, &text);
    // Two sinks never share an ID.
    let same = up.account(|a| a.documents().keys().cloned().collect::<Vec<_>>());
    assert_eq!(down.account(|b| same.iter().filter(|id| b.documents().contains_key(*id)).count()), 0);
}

#[test]
fn growing_files_are_followed() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    let mut agent = bench.start();
    for round in 0..5u32 {
        bench.append("app.log", lines(round * 100..(round + 1) * 100));
        bench.append(&format!("new-{round}.log"), format!("file {round}\n"));
        let so_far = (round as usize + 1) * 101;
        agent.wait_for("what was appended arrives", || shipped(&receiver, so_far));
    }
    assert!(receiver.wait(Duration::ZERO, |a| a.documents().len() == 505));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
}
