//! The real binary's commands on a queue, while the agent is stopped and while it runs: topics, groups, read,
//! redrive, verify.

mod common;

use common::{Bench, assert_exactly, elasticsearch_sink, forebay, lines};
use forebay::demo::receiver::{Mode, Receiver};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};

/// `forebay ARGUMENTS --data-dir STATE`.
fn on(bench: &Bench, arguments: &[&str]) -> Output {
    let state = bench.path("state");
    forebay(&[arguments, &["--data-dir", state.to_str().expect("UTF-8")]].concat())
}

/// The same, which must succeed; what it printed.
fn text(bench: &Bench, arguments: &[&str]) -> String {
    let output = on(bench, arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn json(bench: &Bench, arguments: &[&str]) -> Value {
    serde_json::from_str(&text(bench, &[arguments, &["--json"]].concat())).expect("JSON")
}

/// The same, which must fail with 1; what it said.
fn refused(bench: &Bench, arguments: &[&str]) -> String {
    let output = on(bench, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).expect("UTF-8")
}

/// A queue with 3,000 lines that are all shipped; the agent is stopped.
fn shipped() -> (Bench, Receiver, String) {
    let (bench, receiver) = (Bench::new(), Receiver::start().expect("a receiver"));
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    let text = lines(0..3_000);
    bench.append("app.log", &text);
    bench.ship_all(|| receiver.account(|a| a.documents().len() >= 3_000));
    (bench, receiver, text)
}

fn committed(bench: &Bench) -> (u64, u64) {
    let place = &json(bench, &["groups", "describe", "search"])[0]["partitions"][0];
    (place["committed"].as_u64().expect("a number"), place["lag_events"].as_u64().expect("a number"))
}

#[test]
fn a_reset_on_a_stopped_agent_ships_again_under_the_same_ids() {
    let (bench, receiver, text) = shipped();
    assert_eq!(committed(&bench), (3_000, 0));
    let dry = self::text(&bench, &["groups", "reset", "search", "--to-earliest", "--dry-run"]);
    assert!(dry.contains("nothing was changed: 3,000 events are shipped again"), "{dry}");
    assert_eq!(committed(&bench), (3_000, 0), "a dry run changes nothing");
    let moved = json(&bench, &["groups", "reset", "search", "--shift-by", "-1000"]);
    assert_eq!((&moved["moves"][0]["from"], &moved["moves"][0]["to"]), (&3_000.into(), &2_000.into()));
    assert_eq!(committed(&bench), (2_000, 1_000));
    let before = receiver.account(|a| a.conflicts);
    bench.ship_all(|| receiver.account(|a| a.conflicts >= before + 1_000));
    assert_eq!(receiver.account(|a| a.conflicts), before + 1_000, "exactly what lies after the reset is shipped again");
    assert_exactly(&receiver, &text);
    assert_eq!(committed(&bench), (3_000, 0));
}

#[test]
fn a_reset_on_a_running_agent_takes_effect_at_once() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    let text = lines(0..3_000);
    bench.append("app.log", &text);
    let mut agent = bench.start();
    agent.wait_status("all is delivered", |s| s.sinks.get("search").is_some_and(|s| s.delivered_events >= 3_000 && s.lag_events == 0));
    // What `kill -9` leaves in the socket's place is replaced.
    agent.kill();
    let mut agent = bench.start();
    agent.wait_for("the control socket answers", || on(&bench, &["groups", "list"]).stdout.windows(7).any(|w| w == b"running"));
    let before = receiver.account(|a| a.conflicts);
    let said = self::text(&bench, &["groups", "reset", "search", "--to-datetime", "2020-01-01T00:00:00Z"]);
    assert!(said.contains("the running sink goes on there now: 3,000 events are shipped again"), "{said}");
    agent.wait_for("all is shipped again", || receiver.account(|a| a.conflicts >= before + 3_000));
    agent.wait_for("it is committed", || committed(&bench) == (3_000, 0));
    let refusal = refused(&bench, &["groups", "delete", "search"]);
    assert!(refusal.contains("cannot be deleted: its sink runs"), "{refusal}");
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert!(!bench.path("state").join("control.sock").exists(), "a clean stop removes the socket");
    assert_exactly(&receiver, &text);
}

#[test]
fn an_ack_from_before_a_reset_does_not_move_the_group() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    receiver.set(Mode::Unavailable);
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    let text = lines(0..3_000);
    bench.append("app.log", &text);
    let mut agent = bench.start();
    agent.wait_status("batches are under way", |s| {
        s.sinks.get("search").is_some_and(|s| s.in_flight > 0 && s.batches_sent > 0 && s.lag_events == 3_000)
    });
    // What is under way lies before the new place, so that its ack would move the commit from 0 if it counted.
    self::text(&bench, &["groups", "reset", "search", "--to-latest"]);
    agent.wait_status("nothing is left to do", |s| s.sinks["search"].lag_events == 0);
    self::text(&bench, &["groups", "reset", "search", "--to-earliest"]);
    receiver.set(Mode::Up);
    agent.wait_for("all is shipped", || receiver.account(|a| a.documents().len() >= 3_000));
    // The batches from before are delivered too: each event of them arrives twice, under one ID.
    agent.wait_for("it is committed", || committed(&bench) == (3_000, 0));
    agent.wait_status("nothing is in flight", |s| s.sinks["search"].in_flight == 0);
    assert!(receiver.account(|a| a.conflicts) > 0, "what was under way was not begun again");
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_exactly(&receiver, &text);
}

#[test]
fn lag_topics_and_lines_are_shown_beside_a_running_agent() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    receiver.set(Mode::Down);
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "shutdown: {drain: 200ms}");
    let text = lines(0..1_000);
    bench.append("app.log", &text);
    let mut agent = bench.start();
    agent.wait_for("describe shows the lag", || bench.path("state").join("control.sock").exists() && committed(&bench) == (0, 1_000));
    let describe = self::text(&bench, &["groups", "describe"]);
    assert!(describe.starts_with("GROUP") && describe.contains("running") && describe.contains("1,000"), "{describe}");
    assert_eq!(self::text(&bench, &["read", "logs"]), text);
    assert_eq!(self::text(&bench, &["read", "logs", "--from", "990", "--count", "5"]).lines().count(), 5);
    let last = json(&bench, &["read", "logs", "--from", "-1"]);
    assert_eq!(last["message"], text.lines().last().unwrap());
    assert_eq!((last["offset"].as_u64(), last["topic"].as_str()), (Some(999), Some("logs")));
    assert!(last["path"].as_str().unwrap().ends_with("/app.log") && last["position"].as_u64().unwrap() > 0);
    let topics = json(&bench, &["topics", "describe", "logs"]);
    assert_eq!((&topics[0]["end_offset"], &topics[0]["groups"]["search"]["lag_events"]), (&1_000.into(), &1_000.into()));
    agent.terminate();
    // The same from the files.
    assert_eq!(committed(&bench), (0, 1_000));
    assert_eq!(self::text(&bench, &["read", "logs"]), text);
    assert!(self::text(&bench, &["topics", "list"]).contains("logs"), "topics list");
    assert!(refused(&bench, &["read", "lgos"]).contains("there are: logs, dead-letter"));
    assert!(refused(&bench, &["groups", "reset", "serach", "--to-latest"]).contains("there is only `search`"));
}

#[test]
fn a_followed_topic_shows_what_is_appended() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    bench.append("app.log", lines(0..10));
    let mut agent = bench.start();
    agent.wait_for("the first lines arrive", || receiver.account(|a| a.documents().len() >= 10));
    let state = bench.path("state");
    let mut reader = Command::new(env!("CARGO_BIN_EXE_forebay"))
        .args(["read", "logs", "--from", "5", "--count", "20", "--follow", "--data-dir"])
        .arg(&state)
        .stdout(Stdio::piped())
        .spawn()
        .expect("forebay runs");
    let (mut out, mut seen) = (BufReader::new(reader.stdout.take().expect("a pipe")), String::new());
    for _ in 5..10 {
        out.read_line(&mut seen).expect("a line");
    }
    // It waits at the end now; then over the end of the segment, which a restart closes.
    bench.append("app.log", lines(10..15));
    agent.wait_for("more arrives", || receiver.account(|a| a.documents().len() >= 15));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    bench.append("app.log", lines(15..40));
    bench.ship_all(|| receiver.account(|a| a.documents().len() >= 40));
    out.read_to_string(&mut seen).expect("the rest");
    assert!(reader.wait().expect("an end").success());
    assert_eq!(seen, lines(5..25));
}

#[test]
fn a_deleted_group_is_forgotten() {
    let (bench, _receiver, _) = shipped();
    self::text(&bench, &["groups", "delete", "search", "--dry-run"]);
    assert!(self::text(&bench, &["groups", "list"]).contains("search"));
    self::text(&bench, &["groups", "delete", "search"]);
    assert!(!self::text(&bench, &["groups", "list"]).contains("search"));
    assert!(refused(&bench, &["groups", "delete", "search"]).contains("no group"));
    let nowhere = forebay(&["groups", "list", "--data-dir", "/nonexistent"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("there is no queue in /nonexistent"));
    assert_eq!(on(&bench, &["groups", "reset", "search"]).status.code(), Some(2), "where to?");
}

#[test]
fn redriven_dead_letters_arrive_under_the_ids_they_would_have_had() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    receiver.refuse_documents_with("poison");
    let text = lines(0..100) + "the poison is here\nand more poison\n" + &lines(100..200);
    bench.append("app.log", &text);
    let mut agent = bench.start();
    agent.wait_status("the dead letters are counted", |s| s.sinks.get("search").is_some_and(|s| s.dead_lettered == 2));
    let letters = self::text(&bench, &["read", "dead-letter"]);
    let ids: Vec<String> =
        letters.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["event_id"].as_str().unwrap().to_string()).collect();
    assert_eq!(ids.len(), 2);
    // Refused still: another dead letter, nothing else.
    assert_eq!(json(&bench, &["redrive", "search"])["events"], 2);
    agent.wait_status("they are refused again", |s| s.sinks["search"].dead_lettered == 4);
    receiver.refuse_documents_with("no such thing");
    assert_eq!(json(&bench, &["redrive", "search", "--dry-run"])["events"], 2, "an event with two letters is one event");
    agent.terminate();
    // On a stopped agent: they go out at its next start.
    assert!(self::text(&bench, &["redrive", "search"]).contains("2 refused events are sent again at the next start"));
    bench.ship_all(|| receiver.account(|a| a.documents().len() >= 202));
    assert_exactly(&receiver, &text);
    let settled = json(&bench, &["redrive", "search"]);
    assert_eq!((&settled["events"], &settled["earlier"], &settled["letters"]), (&0.into(), &2.into(), &4.into()));
    assert!(self::text(&bench, &["redrive", "search"]).contains("2 were sent by an earlier redrive and not refused since"));
    receiver.account(|a| assert!(ids.iter().all(|id| a.documents().contains_key(id)), "the IDs of the letters"));
    assert_eq!(committed(&bench), (202, 0));
}

#[test]
fn verify_names_what_a_flipped_bit_has_cost_and_repairs_it() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    let mut agent = bench.start();
    for part in 0..3u32 {
        bench.append("app.log", lines(part * 100..(part + 1) * 100));
        let so_far = (part as usize + 1) * 100;
        agent.wait_for("it arrives", || receiver.account(|a| a.documents().len() >= so_far));
    }
    assert!(self::text(&bench, &["verify"]).contains("all is sound"), "beside a running agent");
    assert_eq!(on(&bench, &["verify", "--repair"]).status.code(), Some(common::TAKEN));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    let folder = bench.path("state").join("topics/logs/0");
    let is_segment = |p: &std::path::PathBuf| p.extension().is_some_and(|e| e == "seg");
    let segment = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).find(is_segment).expect("a segment");
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(12).position(|w| w == b"line 0000150").expect("the line is stored as it was");
    bytes[at + 3] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let output = on(&bench, &["verify"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let lines: Vec<&str> = said.lines().filter(|l| l.starts_with("damage")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(lines[0].contains("logs/0  offsets ") && lines[0].contains("the payload's checksum differs"), "{said}");
    let report: Value = serde_json::from_slice(&on(&bench, &["verify", "--json"]).stdout).unwrap();
    let (first, end) = (report["findings"][0]["offsets"][0].as_u64().unwrap(), report["findings"][0]["offsets"][1].as_u64().unwrap());
    assert!((first..end).contains(&150) && report["sound"] == false, "{report}");
    assert!(self::text(&bench, &["verify", "--repair"]).contains("1 damaged and repaired"));
    let again = self::text(&bench, &["verify"]);
    assert!(again.contains("all is sound") && again.contains("lost earlier"), "{again}");
    bench.append("app.log", "after it\n");
    bench.ship_all(|| receiver.account(|a| a.lines().contains_key("after it")));
    assert_eq!(receiver.account(|a| (a.documents().len(), a.collisions)), (301, 0));
}

#[test]
fn neither_a_busy_agent_nor_a_killed_one_looks_damaged() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "queue: {segment_bytes: 1MiB, batch_size: 16KiB}");
    for round in 0..2u32 {
        let mut agent = bench.start();
        for part in 0..6u32 {
            let from = (round * 6 + part) * 4_000;
            bench.append("app.log", lines(from..from + 4_000));
            if from > 0 {
                self::text(&bench, &["verify"]);
            }
            agent.wait_for("some of it arrives", || receiver.account(|a| a.documents().len() > from as usize));
            self::text(&bench, &["verify"]);
        }
        agent.kill();
        self::text(&bench, &["verify"]);
    }
    bench.append("app.log", lines(48_000..50_000));
    bench.ship_all(|| receiver.account(|a| a.documents().len() >= 50_000));
    assert!(self::text(&bench, &["verify"]).contains("50,000 events"), "all of them, once");
    assert_exactly(&receiver, &lines(0..50_000));
}

#[test]
fn an_overwrite_stores_new_versions_of_what_was_delivered_also_through_a_kill() {
    let (bench, receiver, text) = shipped();
    let arguments = ["groups", "reset", "search", "--to-offset", "1000", "--overwrite"];
    let dry = self::text(&bench, &[&arguments[..], &["--dry-run"]].concat());
    assert!(dry.contains("OVERWRITTEN") && dry.contains("2,000 of them are to replace what the sink's target has"), "{dry}");
    assert!(dry.contains("note: the agent is stopped, so its target was not asked"), "{dry}");
    assert!(!self::text(&bench, &["groups", "describe"]).contains("overwriting"), "a dry run changes nothing");
    let moved = json(&bench, &arguments);
    assert_eq!((&moved["moves"][0]["to"], &moved["moves"][0]["overwrite_until"]), (&1_000.into(), &3_000.into()));
    let describe = self::text(&bench, &["groups", "describe"]);
    assert!(describe.contains("stopped, overwriting") && describe.contains("OVERWRITES UP TO"), "{describe}");
    // Killed while the overwrite is under way, and while what comes behind it is there.
    receiver.set(Mode::TooManyItems);
    receiver.lose_acks(1);
    let more = lines(3_000..4_000);
    bench.append("app.log", &more);
    let mut agent = bench.start();
    agent.wait_for("some of it is replaced", || receiver.account(|a| a.replaced > 0));
    agent.kill();
    receiver.set(Mode::Unavailable);
    let mut agent = bench.start();
    agent.wait_status("the status shows it", |s| {
        s.sinks.get("search").is_some_and(|s| s.partitions.iter().any(|p| p.overwrite_until == 3_000) && s.batches_sent > 0)
    });
    let shown = forebay(&["status", "--admin", &bench.admin.to_string()]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("overwriting up to 3,000"), "{shown}");
    receiver.set(Mode::Up);
    agent.wait_for("all is committed", || committed(&bench) == (4_000, 0));
    assert!(!self::text(&bench, &["groups", "describe"]).contains("overwriting"), "it ends by itself");
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    let text = text + &more;
    assert_exactly(&receiver, &text);
    receiver.account(|a| {
        let versions: std::collections::HashMap<&str, u64> = a.documents().values().map(|d| (d.message.as_str(), d.version)).collect();
        let of = |range: std::ops::Range<usize>| text.lines().skip(range.start).take(range.len()).map(|l| versions[l]).collect::<Vec<_>>();
        assert!(of(0..1_000).iter().all(|v| *v == 1), "before the new place");
        assert!(of(1_000..3_000).iter().all(|v| *v >= 2), "delivered before");
        assert!(of(3_000..4_000).iter().all(|v| *v == 1), "not delivered before");
    });
}

#[test]
fn an_overwrite_of_a_data_stream_is_refused_or_said_loudly() {
    let (bench, receiver, text) = shipped();
    receiver.be_data_streams();
    let mut agent = bench.start();
    agent.wait_for("the control socket answers", || on(&bench, &["groups", "list"]).stdout.windows(7).any(|w| w == b"running"));
    for arguments in [&["--to-earliest", "--overwrite"][..], &["--to-earliest", "--overwrite", "--dry-run"]] {
        let refusal = refused(&bench, &[&["groups", "reset", "search"], arguments].concat());
        assert!(refusal.contains("`search` was not moved: logs-test is a data stream") && refusal.contains("a new sink"), "{refusal}");
    }
    assert_eq!(committed(&bench), (3_000, 0));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    // Nobody is there to ask: the sink finds out, says so, and creates.
    self::text(&bench, &["groups", "reset", "search", "--to-earliest", "--overwrite"]);
    let before = receiver.account(|a| a.conflicts);
    let mut agent = bench.start();
    agent.wait_for("all is sent as new", || receiver.account(|a| a.conflicts >= before + 3_000));
    agent.wait_for("it is committed", || committed(&bench) == (3_000, 0));
    assert_eq!(agent.log().matches("the target takes no replacements").count(), 1, "{}", agent.log());
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_eq!(receiver.account(|a| a.replaced), 0);
    assert_exactly(&receiver, &text);
    assert_eq!(self::text(&bench, &["read", "dead-letter"]), "", "nothing is refused");
}

#[test]
fn a_new_sink_gets_everything_a_renamed_one_nothing_twice_and_a_removed_one_is_shown() {
    let (bench, receiver, text) = shipped();
    let file = bench.path("copy.ndjson");
    let copy = format!("  copy:\n    type: file\n    path: {}", common::quoted(&file));
    let search = elasticsearch_sink(&receiver.url());
    bench.pipeline(&format!("{search}\n{copy}"), "", "");
    let there = || std::fs::read_to_string(&file).unwrap_or_default();
    let mut agent = bench.start();
    agent.wait_for("the new sink has it all", || there().lines().count() >= 3_000);
    // It knows no documents, and says so.
    let told = self::text(&bench, &["groups", "reset", "copy", "--to-latest", "--overwrite", "--dry-run"]);
    assert!(told.contains("there is nothing to overwrite") && told.contains("knows no documents that could be replaced"), "{told}");
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_eq!(common::messages(&there()), text.lines().collect::<Vec<_>>(), "all that is retained, in order");
    let conflicts = receiver.account(|a| a.conflicts);
    assert_eq!(conflicts, 0, "the other sink has not moved");

    let renamed = search.replace("  search:", "  find:\n    previous_name: search");
    bench.pipeline(&renamed, "", "");
    let more = lines(3_000..3_100);
    bench.append("app.log", &more);
    bench.ship_all(|| receiver.account(|a| a.documents().len() >= 3_100));
    assert_eq!(receiver.account(|a| (a.conflicts, a.replaced)), (0, 0), "nothing is sent twice");
    assert_exactly(&receiver, &(text + &more));
    let groups = json(&bench, &["groups", "list"]);
    let names: Vec<&str> = groups.as_array().expect("groups").iter().map(|g| g["group"].as_str().expect("a name")).collect();
    assert_eq!(names, ["copy", "find"], "the old name is gone, the removed sink is shown");
    assert_eq!(groups[0]["partitions"][0]["lag_events"], 100, "it holds what it has not got");
    let log = std::fs::read_to_string(bench.path("agent.log")).unwrap();
    assert!(log.contains("no sink is configured for group `copy` any more"), "{log}");

    // It comes back, and goes on where it was.
    bench.pipeline(&format!("{renamed}\n{copy}"), "", "");
    bench.ship_all(|| there().lines().count() >= 3_100);
    assert_eq!(there().lines().count(), 3_100);
}

#[test]
fn a_letter_whose_event_is_gone_is_sent_from_the_letter_also_after_the_sink_was_renamed() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    let small = "queue: {segment_bytes: 1MiB, batch_size: 16KiB, max_bytes: 64MiB, retention: {bytes: 0}}";
    let search = elasticsearch_sink(&receiver.url());
    bench.pipeline(&search, "    fields: {team: shop}", small);
    receiver.refuse_documents_with("poison");
    let mut text = "the \"poison\" is here\n".to_string();
    bench.append("app.log", &text);
    let mut agent = bench.start();
    agent.wait_status("it is refused", |s| s.sinks.get("search").is_some_and(|s| s.dead_lettered == 1));
    let letter = json(&bench, &["read", "dead-letter"]);
    let letter: Value = serde_json::from_str(letter["message"].as_str().expect("a letter")).expect("JSON");
    // Until retention has taken it.
    let (mut from, mut place) = (0, Value::Null);
    agent.wait_for("its event is not retained any more", || {
        let documents = receiver.account(|a| a.documents().len());
        if documents >= from as usize && from < 400_000 {
            let more = lines(from..from + 20_000);
            bench.append("app.log", &more);
            text.push_str(&more);
            from += 20_000;
        }
        place = json(&bench, &["topics", "describe", "logs"])[0].take();
        place["first_offset"].as_u64().is_some_and(|first| first > 0)
    });
    agent.wait_for("the rest is delivered", || receiver.account(|a| a.documents().len() >= from as usize));
    let dry = self::text(&bench, &["redrive", "search", "--dry-run"]);
    assert!(dry.contains("1 refused events would be sent again; nothing was changed: 0 from the queue, 1 from their letters"), "{dry}");
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    bench.pipeline(&search.replace("  search:", "  find:\n    previous_name: search"), "    fields: {team: other}", small);
    receiver.refuse_documents_with("no such thing");
    let mut agent = bench.start();
    agent.wait_for("the sink goes by its new name", || on(&bench, &["groups", "list"]).stdout.windows(4).any(|w| w == b"find"));
    let done = json(&bench, &["redrive", "find"]);
    assert_eq!((&done["from_letter"], &done["from_queue"]), (&1.into(), &0.into()));
    agent.wait_for("it arrives", || receiver.account(|a| a.lines().contains_key("the \"poison\" is here")));
    agent.wait_for("it is settled", || json(&bench, &["redrive", "find", "--dry-run"])["earlier"] == 1);
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_exactly(&receiver, &text);
    receiver.account(|a| {
        let document = &a.documents()[letter["event_id"].as_str().expect("an ID")];
        let source: Value = serde_json::from_str(&document.source).expect("JSON");
        assert_eq!((&source["team"], &source["log"]["offset"]), (&"shop".into(), &0.into()), "{source}");
        assert_eq!((&source["@timestamp"], &source["log"]["file"]["path"]), (&letter["appended"], &letter["path"]), "{source}");
    });
}
