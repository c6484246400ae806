//! `sources.*.process` with the real binary: what a chain drops or redacts before the queue never touches the disk, is never
//! shipped, is on the books, and costs no other line, whatever happens to the agent and its files.

mod common;

use common::http::ask;
use common::{Bench, elasticsearch_sink, forebay, free_address, quoted};
use forebay::demo::receiver::{Mode, Receiver};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const CARD: &str = "4111 1111 1111 1111";
const SMALL: &str = "queue: {segment_bytes: 1MiB, batch_size: 16KiB, max_bytes: 64MiB, retention: {bytes: 64MiB}}";

/// Lines as an app writes them: some for nobody, some with a card number, one or two with a second line.
fn written(numbers: std::ops::Range<u32>) -> String {
    let line = |n: u32| match n % 6 {
        0 | 3 => format!("2026-03-09 10:15:02 DEBUG {n} for nobody {}\n", "d".repeat(n as usize % 50)),
        1 => format!("2026-03-09 10:15:02 INFO {n} paid with {CARD} today\n"),
        4 => format!("2026-03-09 10:15:02 ERROR {n} failed\n\tat card {CARD}\n"),
        _ => format!("2026-03-09 10:15:02 INFO {n} {}\n", "x".repeat(n as usize % 70)),
    };
    numbers.map(line).collect()
}

/// What must arrive of them, and bytes and number of those that must not.
fn expected(text: &str) -> (Vec<String>, u64, u64) {
    let text = text.replace("\n\tat", "\r\tat");
    let (mut kept, mut bytes, mut events) = (Vec::new(), 0, 0);
    for line in text.lines() {
        if line.contains(" DEBUG ") {
            (bytes, events) = (bytes + line.len() as u64 + 1, events + 1);
        } else {
            kept.push(line.replace(CARD, "[card]").replace("\r\tat", "\n\tat"));
        }
    }
    (kept, bytes, events)
}

fn exactly(receiver: &Receiver, kept: &[String]) {
    receiver.account(|account| {
        let wrong: Vec<_> = kept.iter().filter(|line| account.lines().get(*line) != Some(&1)).take(5).collect();
        assert!(wrong.is_empty(), "not there exactly once: {wrong:?}");
        assert_eq!((account.documents().len(), account.collisions, account.without_id), (kept.len(), 0, 0));
    });
}

/// All files below a folder that hold one of these texts.
fn holding(dir: &Path, texts: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path, texts));
        } else if let Ok(bytes) = fs::read(&path) {
            let has = |text: &&&str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            found.extend(texts.iter().filter(has).map(|text| format!("{}: {text}", path.display())));
        }
    }
    found
}

fn audit(bench: &Bench) -> (Option<i32>, Value) {
    let (state, pipeline) = (bench.path("state"), bench.path("pipeline.yaml"));
    let output = forebay(&["audit", "--json", "--data-dir", state.to_str().unwrap(), "--config", pipeline.to_str().unwrap()]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    for file in found["files"].as_array().into_iter().flatten() {
        for (sink, s) in file["sinks"].as_object().unwrap() {
            let here: u64 =
                ["acknowledged", "filtered", "dead_lettered", "pending", "to_be_read_again"].iter().map(|p| s[*p].as_u64().unwrap()).sum();
            assert_eq!(here + file["waiting"].as_u64().unwrap(), file["written"].as_u64().unwrap(), "{sink}: {file:#}");
        }
    }
    (output.status.code(), found)
}

const SOURCE: &str = "    multiline: {preset: java, timeout: 300ms}\n    process:\n      - drop: {when: 'message matches \" DEBUG \"'}\n      \
                      - redact: {what: [card]}";

#[test]
fn what_must_not_touch_the_disk_does_not_and_the_books_balance_after_each_kill() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), SOURCE, SMALL);
    let (mut text, mut had) = (String::new(), 0);
    for round in 0..8u32 {
        let more = written(round * 3_000..(round + 1) * 3_000);
        bench.append("app.log", &more);
        text.push_str(&more);
        receiver.set(if round % 3 == 1 { Mode::Down } else { Mode::Up });
        receiver.lose_acks(u64::from(round % 2));
        let mut agent = bench.start();
        match round % 3 {
            1 => drop(agent.wait_status("some of it is queued", |s| s.queue.partitions.iter().any(|p| p.durable_offset as usize > had))),
            _ => agent.wait_for("some of it is shipped", || receiver.account(|a| a.documents().len()) > had),
        }
        if round == 5 {
            bench.append("app.log", "");
            common::rename(&bench.log("app.log"), &bench.log("app.log.1"));
        }
        agent.kill();
        had = receiver.account(|a| a.documents().len());
        audit(&bench);
    }
    receiver.set(Mode::Up);
    let (kept, bytes, events) = expected(&text);
    let mut agent = bench.start();
    let mut found = Value::Null;
    agent.wait_for("all is acknowledged", || {
        let (code, now) = audit(&bench);
        found = now;
        code == Some(0)
    });
    exactly(&receiver, &kept);
    assert_eq!(found["total"]["sinks"]["search"]["filtered"], bytes, "{found:#}");
    let sums = |found: &Value| {
        let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for file in found["files"].as_array().unwrap() {
            for (rule, sum) in file["filtered"].as_object().unwrap() {
                let all = sums.entry(rule.clone()).or_default();
                *all = (all.0 + sum["events"].as_u64().unwrap(), all.1 + sum["bytes"].as_u64().unwrap());
            }
        }
        sums
    };
    assert_eq!(sums(&found), BTreeMap::from([("drop (1)".to_string(), (events, bytes))]));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    // What a stop has written, and what the files alone say.
    let (code, stopped) = audit(&bench);
    assert_eq!((code, sums(&stopped)), (Some(0), sums(&found)));
    assert!(!holding(&bench.path("state"), &[" INFO ", "[card]"]).is_empty(), "the queue has what was kept");
    assert_eq!(holding(&bench.path("state"), &[CARD, "for nobody"]), Vec::<String>::new());
    let shown = forebay(&["audit", "--data-dir", bench.path("state").to_str().unwrap()]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("events) by drop (1)"), "{shown}");
}

/// What a chain that makes much of little is given: `n` stands in each event, some are for nobody, some have a second line.
fn short(numbers: std::ops::Range<u32>) -> String {
    let line = |n: u32| match n % 5 {
        0 => format!("{n};DEBUG;\n"),
        1 => format!("{n};ERROR;a,b\n\tat x.y(z)\n"),
        _ => format!("{n};INFO;a,b\n"),
    };
    numbers.map(line).collect()
}

#[test]
fn what_is_made_of_short_lines_is_there_once_though_its_parts_find_no_room_and_the_agent_is_killed() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    let chain = format!(
        "    multiline: {{start_pattern: '^[0-9]', timeout: 300ms}}\n    process:\n      - regex: {{patterns: '^(?<n>[0-9]+);(?<log.level>[A-Z]+);(?<tags>[a-z,]*)'}}\n      \
         - drop: {{when: 'log.level == \"DEBUG\"'}}\n      - split: {{field: tags, separator: ','}}\n      - convert: {{fields: {{n: integer}}}}\n      \
         - set: {{fields: {{labels.much: {}}}}}",
        "m".repeat(900)
    );
    bench.pipeline(
        &elasticsearch_sink(&receiver.url()),
        &chain,
        "queue: {segment_bytes: 1MiB, batch_size: 16KiB, max_bytes: 4MiB, buffer_memory: 6MiB}",
    );
    let each = 8_000;
    let (mut text, mut blocked, rounds) = (String::new(), 0, 4);
    for round in 0..rounds {
        let more = short(round * each..(round + 1) * each);
        bench.append("app.log", &more);
        text.push_str(&more);
        // Where nothing is taken the queue is soon full, in the middle of what was made of a block.
        receiver.set(if round % 2 == 0 { Mode::Down } else { Mode::Up });
        let had = receiver.account(|a| a.documents().len());
        let mut agent = bench.start();
        if round % 2 == 0 {
            agent.wait_status("the queue is full, and more is to be read", |s| {
                s.queue.partitions.iter().map(|p| p.bytes).sum::<u64>() > 3 << 20
                    && s.sources.get("app").is_some_and(|app| app.unread_bytes > 0)
            });
            blocked += 1;
        } else {
            agent.wait_for("some of it is shipped", || receiver.account(|a| a.documents().len()) > had + 1_000);
        }
        if round == 2 {
            common::rename(&bench.log("app.log"), &bench.log("app.log.1"));
        }
        agent.kill();
        audit(&bench);
    }
    assert_eq!(blocked, rounds / 2);
    receiver.set(Mode::Up);
    let mut agent = bench.start();
    let mut found = Value::Null;
    agent.wait_for("all is acknowledged", || {
        let (code, now) = audit(&bench);
        found = now;
        code == Some(0)
    });
    let mut numbers: Vec<u64> = receiver.account(|account| {
        assert_eq!((account.collisions, account.without_id), (0, 0));
        let documents = account.documents().values();
        documents
            .map(|d| serde_json::from_str::<Value>(&d.source).unwrap())
            .inspect(|d| assert_eq!(d["tags"], json!(["a", "b"])))
            .map(|d| d["n"].as_u64().unwrap())
            .collect()
    });
    numbers.sort_unstable();
    let kept: Vec<u64> = (0..u64::from(rounds * each)).filter(|n| n % 5 != 0).collect();
    assert!(numbers == kept, "{} documents rather than {}", numbers.len(), kept.len());
    let dropped: u64 = text.lines().filter(|line| line.contains(";DEBUG;")).map(|line| line.len() as u64 + 1).sum();
    assert_eq!(found["total"]["sinks"]["search"]["filtered"], dropped, "{found:#}");
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
}

#[test]
fn what_the_queue_loses_goes_through_the_chain_again_when_it_is_read_again() {
    let (bench, receiver) = (Bench::new(), Receiver::start().unwrap());
    bench.pipeline(&elasticsearch_sink(&receiver.url()), SOURCE, "queue: {linger: 1ms}");
    receiver.set(Mode::Down);
    let text = written(0..6_000);
    let (kept, bytes, _) = expected(&text);
    let mut agent = bench.start();
    let mut end = 0;
    for round in 0..6 {
        let more = written(round * 1_000..(round + 1) * 1_000);
        bench.append("app.log", &more);
        end += more.len();
        agent.wait_status("it is read", |s| s.sources.get("app").is_some_and(|app| app.unread_bytes == 0 && app.read_bytes == end as u64));
    }
    agent.wait_status("it is durable", |s| s.queue.partitions.iter().map(|p| p.durable_offset).sum::<u64>() == kept.len() as u64);
    agent.kill();
    let segments: Vec<_> = fs::read_dir(bench.path("state/topics/logs/0")).unwrap().flatten().map(|e| e.path()).collect();
    let path = segments.iter().find(|p| p.extension().is_some_and(|e| e == "seg") && fs::metadata(p).unwrap().len() > 100_000).unwrap();
    let mut content = fs::read(path).unwrap();
    let batches: Vec<usize> = (4096..content.len() - 64).step_by(8).filter(|at| &content[*at..*at + 4] == b"FBB1").collect();
    let large: Vec<usize> = batches.windows(2).filter(|w| w[1] - w[0] > 5_000).map(|w| w[0]).collect();
    // A payload, and a header.
    content[large[0] + 900] ^= 1;
    content[large[large.len() / 2] + 17] ^= 1;
    fs::write(path, content).unwrap();
    receiver.set(Mode::Up);
    let mut agent = bench.start();
    agent.wait_for("all is shipped", || receiver.account(|a| a.documents().len() >= kept.len()));
    agent.wait_status("nothing is open", |s| s.queue.losses.get("damaged").is_some_and(|l| l.wanted_bytes == 0 && l.gone_bytes == 0));
    let mut found = Value::Null;
    agent.wait_for("all is acknowledged", || {
        let (code, now) = audit(&bench);
        found = now;
        code == Some(0)
    });
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    exactly(&receiver, &kept);
    assert_eq!(found["total"]["sinks"]["search"]["filtered"], bytes, "{found:#}");
    assert_eq!(holding(&bench.path("state"), &[CARD, "for nobody"]), Vec::<String>::new());
}

#[test]
fn a_structured_chain_makes_documents_before_the_queue_of_files_and_of_what_is_pushed() {
    let (bench, receiver, address) = (Bench::new(), Receiver::start().unwrap(), free_address());
    let process = "process: [{json: {remove_source: true}}, {timestamp: {field: ts, formats: [epoch_s], remove_source: true, when: exists(ts)}}, \
                   {drop: {when: 'level == \"debug\"'}}, {redact: {what: [email]}}]";
    let sources = format!(
        "  files: {{type: file, include: [{}], {process}}}\n  web: {{type: http, listen: \"{address}\", {process}}}",
        quoted(bench.log("*.log"))
    );
    let sinks = format!(
        "{}\n  shaped:\n    type: file\n    path: {}\n    process: [{{drop: {{when: n == 2}}}}, {{set: {{fields: {{seen: true}}}}}}]",
        elasticsearch_sink(&receiver.url()),
        quoted(bench.path("shaped.ndjson"))
    );
    bench.inputs(&sources, &sinks, "");
    let lines =
        "{\"level\":\"info\",\"n\":1,\"mail\":\"ann@example.org\"}\n{\"level\":\"debug\",\"n\":9}\n{\"n\":2,\"ts\":1773051302}\nno json\n";
    bench.append("a.log", lines);
    let mut agent = bench.start();
    agent.wait_for("it listens", || {
        ask(address, "POST", "/", "Content-Type: text/plain\r\n", lines.as_bytes()).is_some_and(|(code, _)| code == 200)
    });
    agent.wait_for("all is shipped", || receiver.account(|a| a.documents().len()) >= 6);
    agent.wait_status("the other sink has it, too", |s| s.sinks["shaped"].delivered_events + s.sinks["shaped"].filtered >= 6);
    let status = agent.wait_status("it is counted", |_| true);
    for source in ["files", "web"] {
        let source = &status.sources[source];
        assert_eq!((source.filtered, source.filtered_by.get("drop (3)"), source.process_failures), (1, Some(&1), 1));
    }
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    let documents: Vec<Value> = receiver.account(|a| a.documents().values().map(|d| serde_json::from_str(&d.source).unwrap()).collect());
    assert_eq!(documents.len(), 6);
    for pushed in [false, true] {
        let of = |document: &&Value| document["log"]["offset"].is_null() == pushed;
        let mut all: Vec<&Value> = documents.iter().filter(of).collect();
        all.sort_by_key(|d| if pushed { d["event"]["sequence"].as_u64() } else { d["log"]["offset"].as_u64() });
        assert_eq!(all.len(), 3, "{documents:#?}");
        assert_eq!((&all[0]["n"], &all[0]["mail"], &all[0]["message"]), (&json!(1), &json!("[email]"), &Value::Null));
        assert_eq!((&all[1]["n"], &all[1]["@timestamp"]), (&json!(2), &json!("2026-03-09T10:15:02.000Z")));
        assert_eq!((&all[2]["message"], &all[2]["tags"][0]), (&json!("no json"), &json!("_forebay_failure")));
        assert!(all.iter().all(|d| d["host"]["name"].is_string() && d["@timestamp"].is_string()));
        if pushed {
            let numbers: Vec<_> = all.iter().map(|d| d["event"]["sequence"].as_u64().unwrap()).collect();
            assert!(numbers.windows(2).all(|w| w[0] < w[1]), "{numbers:?}");
        } else {
            let at = ["{\"level\":\"info", "{\"n\":2", "no json"].map(|begin| lines.find(begin).unwrap() as u64);
            assert_eq!(all.iter().map(|d| d["log"]["offset"].as_u64().unwrap()).collect::<Vec<_>>(), at);
        }
    }
    let shaped = fs::read_to_string(bench.path("shaped.ndjson")).unwrap();
    let shaped: Vec<Value> = shaped.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((shaped.len(), shaped.iter().all(|d| d["seen"] == true && d["n"] != 2)), (4, true));
    assert_eq!(holding(&bench.path("state"), &["ann@example.org", "debug"]), Vec::<String>::new());
    // What the queue shows of it.
    let read = forebay(&["read", "logs", "--json", "--data-dir", bench.path("state").to_str().unwrap(), "--from", "earliest"]);
    let read = String::from_utf8_lossy(&read.stdout).into_owned();
    assert!(read.lines().count() == 6 && read.lines().filter(|line| line.contains("\"document\":{")).count() == 6, "{read}");
}

#[test]
fn a_chain_before_the_queue_is_shown_tried_and_tested_like_any_other() {
    let bench = Bench::new();
    let tests = "tests:\n  - {name: debug lines go, source: app, input: [x DEBUG y, 'card 4111 1111 1111 1111'], expect: [filtered, {message: 'card [card]'}]}";
    bench.pipeline("  out: {type: console, process: [{set: {fields: {a: 1}}}]}", SOURCE, tests);
    bench.append("app.log", written(0..6));
    let pipeline = bench.path("pipeline.yaml");
    let pipeline = pipeline.to_str().unwrap();
    let output = forebay(&["test", pipeline]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    let output = forebay(&["run", "--dry", pipeline]);
    let (out, err) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!((output.status.code(), out.lines().count()), (Some(0), 4), "{out}{err}");
    assert!(out.lines().all(|line| line.contains("\"a\":1")) && out.contains("[card]") && !out.contains(CARD), "{out}");
    assert!(err.contains("event at byte 0: filtered by drop (1) before the queue"), "{err}");
    assert!(!bench.path("state").exists());
}
