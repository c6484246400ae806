//! The real binary accounts for every byte: `audit`, `why` and `drain`, on a running agent and on a stopped one.

mod common;

use common::{Agent, Bench, UNDELIVERED, elasticsearch_sink, forebay, lines, number, rename};
use forebay::demo::receiver::{Mode, Receiver};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use std::time::Duration;

const COMPLETE: i32 = 0;
const FAILED: i32 = 1;
const UNDER_WAY: i32 = 3;
const MISSING: i32 = 5;

fn on(bench: &Bench, arguments: &[&str]) -> Output {
    let (state, pipeline) = (bench.path("state"), bench.path("pipeline.yaml"));
    let place = ["--data-dir", state.to_str().expect("UTF-8"), "--config", pipeline.to_str().expect("UTF-8")];
    forebay(&[arguments, &place].concat())
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The exit code and what was found; the books must balance whatever it is.
fn audit(bench: &Bench) -> (i32, Value) {
    let output = on(bench, &["audit", "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&output)));
    for file in found["files"].as_array().expect("files") {
        let n = |v: &Value| v.as_u64().expect("a number");
        let sum = |v: &Value| v.as_object().expect("by cause").values().map(n).sum::<u64>();
        for (sink, s) in file["sinks"].as_object().expect("sinks") {
            let parts = ["acknowledged", "filtered", "dead_lettered", "pending", "to_be_read_again"];
            let here: u64 = parts.iter().map(|p| n(&s[*p])).sum::<u64>() + sum(&s["lost"]);
            let all = here + n(&file["waiting"]) + sum(&file["lost"]) + n(&file["unexplained"]);
            assert_eq!(all, n(&file["written"]), "{sink}: the books do not balance: {file:#}");
        }
    }
    (output.status.code().expect("a code"), found)
}

fn total<'a>(found: &'a Value, what: &str) -> &'a Value {
    &found["total"]["sinks"]["search"][what]
}

fn shipped(receiver: &Receiver, lines: usize) -> bool {
    receiver.account(|a| a.documents().len() >= lines)
}

/// Until the acks are in the group's state.
fn complete(bench: &Bench, agent: &mut Agent) -> Value {
    let mut found = Value::Null;
    agent.wait_for("all is acknowledged", || {
        let (code, now) = audit(bench);
        found = now;
        code == COMPLETE
    });
    found
}

/// Starts the agent and waits until it can be asked.
fn start(bench: &Bench) -> Agent {
    let mut agent = bench.start();
    // Before it has the lock, the files answer.
    agent.wait_for("it can be asked", || {
        let output = on(bench, &["audit", "--json"]);
        serde_json::from_slice::<Value>(&output.stdout).is_ok_and(|found| found["running"] == true)
    });
    assert_eq!(on(bench, &["drain", "--timeout", "0s"]).status.code().map(|c| c == FAILED), Some(false));
    agent
}

/// What is the same whether the agent runs or not.
fn books(found: &Value) -> Value {
    serde_json::json!([found["files"], found["total"]])
}

#[test]
fn what_is_delivered_is_complete_running_and_stopped() {
    let (bench, receiver) = (Bench::new(), Receiver::start().expect("a receiver"));
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    let text = lines(0..3_000);
    bench.append("app.log", &text);
    bench.append("empty.log", "");
    let mut agent = bench.start();
    agent.wait_for("all is shipped", || shipped(&receiver, 3_000));
    let running = complete(&bench, &mut agent);
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    let (code, stopped) = audit(&bench);
    assert_eq!(code, COMPLETE, "{stopped:#}");
    assert_eq!(books(&running), books(&stopped));
    let bytes = text.len() as u64;
    assert_eq!((&stopped["total"]["written"], total(&stopped, "acknowledged")), (&bytes.into(), &bytes.into()));
    let shown = on(&bench, &["audit"]);
    assert!(said(&shown).contains("complete: every byte that was written is acknowledged"), "{}", said(&shown));
    // A line that nobody has read yet, in an old file and in a new one.
    bench.append("app.log", "more\n");
    bench.append("new.log", "new\n");
    let (code, found) = audit(&bench);
    assert_eq!((code, &found["total"]["waiting"], &found["verdict"]), (UNDER_WAY, &9.into(), &"under_way".into()), "{found:#}");
    let one = on(&bench, &["audit", bench.log("new.log").to_str().expect("UTF-8")]);
    assert!(said(&one).contains("new.log") && !said(&one).contains("app.log"), "{}", said(&one));
    assert_eq!(on(&bench, &["audit", "/nowhere"]).status.code(), Some(FAILED));
}

#[test]
fn what_a_sink_did_not_take_is_pending_through_a_kill() {
    let (bench, receiver) = (Bench::new(), Receiver::start().expect("a receiver"));
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    bench.append("app.log", lines(0..1_000));
    let mut agent = bench.start();
    agent.wait_for("all is shipped", || shipped(&receiver, 1_000));
    complete(&bench, &mut agent);
    receiver.set(Mode::Down);
    let more = lines(1_000..3_000);
    bench.append("app.log", &more);
    let pending = Value::from(more.len() as u64);
    agent.wait_for("it is queued", || total(&audit(&bench).1, "pending") == &pending);
    let (code, running) = audit(&bench);
    assert_eq!((code, &running["total"]["waiting"]), (UNDER_WAY, &0.into()), "{running:#}");
    agent.kill();
    let (code, stopped) = audit(&bench);
    assert_eq!((code, total(&stopped, "pending")), (UNDER_WAY, &pending), "{stopped:#}");
    receiver.set(Mode::Up);
    bench.ship_all(|| shipped(&receiver, 3_000));
    assert_eq!(audit(&bench).0, COMPLETE);
}

#[test]
fn dead_letters_are_missing_until_they_are_redriven() {
    let (bench, receiver) = (Bench::new(), Receiver::start().expect("a receiver"));
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    receiver.refuse_documents_with("POISON");
    let text = format!("{}line POISON 1\n{}line POISON 2\n", lines(0..100), lines(100..200));
    bench.append("app.log", &text);
    let mut agent = bench.start();
    agent.wait_status("two letters", |s| s.sinks["search"].dead_lettered == 2 && s.sinks["search"].lag_events == 0);
    let (code, running) = audit(&bench);
    assert_eq!((code, total(&running, "dead_letters"), total(&running, "dead_lettered")), (MISSING, &2.into(), &28.into()), "{running:#}");
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    let (code, stopped) = audit(&bench);
    assert_eq!((code, books(&running)), (MISSING, books(&stopped)));
    receiver.refuse_documents_with("no such thing");
    assert!(on(&bench, &["redrive", "search"]).status.success());
    assert_eq!(audit(&bench).0, UNDER_WAY, "it is to be sent again");
    bench.ship_all(|| shipped(&receiver, 202));
    let (code, found) = audit(&bench);
    assert_eq!((code, total(&found, "dead_lettered")), (COMPLETE, &0.into()), "{found:#}");
}

#[test]
fn a_file_that_was_truncated_unread_is_named_with_its_bytes() {
    let (bench, receiver) = (Bench::new(), Receiver::start().expect("a receiver"));
    receiver.set(Mode::Down);
    let small = "queue: {segment_bytes: 1MiB, batch_size: 16KiB, max_bytes: 4MiB, retention: {bytes: 1MiB}, buffer_memory: 4MiB}";
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", small);
    // More than the queue takes.
    let text = lines(0..300_000);
    bench.append("app.log", &text);
    let mut agent = bench.start();
    agent.wait_status("the queue is full", |s| s.queue.state == "full");
    let queued = |found: &Value| found["files"][0]["queued"].as_u64().expect("a number");
    let mut before = 0;
    agent.wait_for("nothing moves any more", || {
        std::thread::sleep(Duration::from_millis(300));
        let now = queued(&audit(&bench).1);
        std::mem::replace(&mut before, now) == now && now > 0
    });
    fs::File::create(bench.log("app.log")).expect("truncated");
    receiver.set(Mode::Up);
    agent.wait_status("the loss is on record", |s| s.queue.losses.contains_key("truncated_unread"));
    let written = text.len() as u64;
    let mut found = Value::Null;
    agent.wait_for("the rest is delivered", || {
        found = audit(&bench).1;
        total(&found, "pending") == 0
    });
    let file = &found["files"][0];
    let lost = file["lost"]["truncated_unread"].as_u64().expect("bytes");
    assert_eq!((file["written"].as_u64(), queued(&found) + lost), (Some(written), written), "{found:#}");
    assert_eq!(file["lost_ranges"], serde_json::json!([[queued(&found), written]]));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    let (code, stopped) = audit(&bench);
    assert_eq!((code, &stopped["files"][0]["lost"]), (MISSING, &file["lost"]), "it survives the restart: {stopped:#}");
    let shown = said(&on(&bench, &["audit"]));
    assert!(shown.contains("truncated away before they were read") && shown.contains("MISSING"), "{shown}");
}

/// The longest line that there can be: 128 MiB (of a sparse file), or as much as `FOREBAY_LONG_LINE` says.
#[test]
fn a_file_without_a_newline_is_one_event_and_takes_no_memory() {
    let (bench, receiver) = (Bench::new(), Receiver::start().expect("a receiver"));
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "    max_line_bytes: 64KiB", "");
    let long = number("FOREBAY_LONG_LINE", 128 << 20);
    fs::File::create(bench.log("app.log")).and_then(|file| file.set_len(long)).expect("a sparse file");
    let mut agent = bench.start();
    agent.wait_for("it is shipped", || shipped(&receiver, 1));
    let found = complete(&bench, &mut agent);
    assert_eq!(found["total"]["written"], long, "{found:#}");
    let status = fs::read_to_string(format!("/proc/{}/status", agent.id())).expect("its status");
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    let peak = peak.expect("its peak memory, KiB") << 10;
    println!("{long} bytes without a newline: {} MiB of memory at most", peak >> 20);
    assert!(peak < 64 << 20, "{peak}");
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_eq!(receiver.account(|a| a.documents().len()), 1);
}

/// Rotations and kills at random (seeded), several generations and files: the books balance at each moment, and in the
/// end all is delivered and complete.
#[test]
fn the_books_balance_through_rotations_and_kills() {
    let (bench, receiver) = (Bench::new(), Receiver::start().expect("a receiver"));
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "queue: {segment_bytes: 1MiB, batch_size: 16KiB}");
    let (mut seed, mut next, mut rotated, mut bytes) = (0x5eed_u64, 0, 0, 0);
    let mut random = |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    let mut agent = start(&bench);
    // Generations of a path that the queue has never seen are nobody's.
    for name in ["a.log", "b.log", "c.log"] {
        let text = lines(next..next + 10);
        next += 10;
        bytes += text.len() as u64;
        bench.append(name, text);
    }
    assert_eq!(on(&bench, &["drain", "--timeout", "100s"]).status.code(), Some(0));
    for _ in 0..24 {
        let name = ["a.log", "b.log", "c.log"][random(3) as usize];
        match random(6) {
            0 => {
                agent.kill();
                audit(&bench);
                agent = start(&bench);
            }
            1 if bench.log(name).exists() => {
                rotated += 1;
                rename(&bench.log(name), &bench.log(&format!("{name}.{rotated}")));
            }
            2 => receiver.set(if random(2) == 0 { Mode::Down } else { Mode::Up }),
            3 => {
                audit(&bench);
            }
            _ => {
                let text = lines(next..next + 400);
                next += 400;
                bytes += text.len() as u64;
                bench.append(name, text);
            }
        }
    }
    receiver.set(Mode::Up);
    let drained = on(&bench, &["drain", "--timeout", "100s"]);
    assert_eq!(drained.status.code(), Some(0), "{}\n{}", said(&drained), agent.log());
    let (there, shown) = (receiver.account(|a| a.documents().len()), said(&on(&bench, &["audit"])));
    assert_eq!(there, next as usize, "{shown}\n{}", agent.log());
    let running = complete(&bench, &mut agent);
    assert_eq!(running["total"]["written"], Value::from(bytes), "{running:#}");
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    let (code, stopped) = audit(&bench);
    assert_eq!((code, books(&running)), (COMPLETE, books(&stopped)));
}

#[test]
fn drain_ships_the_last_line_without_a_newline_and_leaves_the_agent_running() {
    let (bench, receiver) = (Bench::new(), Receiver::start().expect("a receiver"));
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    assert_eq!(on(&bench, &["drain"]).status.code(), Some(FAILED), "no agent runs");
    let mut agent = start(&bench);
    agent.wait_status("it runs", |_| true);
    agent.wait_for("it can be asked", || bench.path("state").join("control.sock").exists());
    bench.append("app.log", format!("{}the end", lines(0..500)));
    let drained = on(&bench, &["drain", "--timeout", "100s"]);
    assert_eq!(drained.status.code(), Some(0), "{}", said(&drained));
    assert!(shipped(&receiver, 501));
    receiver.set(Mode::Down);
    bench.append("late.log", "late\n");
    let stuck = on(&bench, &["drain", "--timeout", "2s"]);
    assert_eq!(stuck.status.code(), Some(UNDELIVERED), "{}", said(&stuck));
    assert!(said(&stuck).contains("sink search") && said(&stuck).contains("1 events to deliver"), "{}", said(&stuck));
    receiver.set(Mode::Up);
    assert_eq!(on(&bench, &["drain", "--timeout", "100s"]).status.code(), Some(0));
    assert!(shipped(&receiver, 502));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
}

#[test]
fn why_says_what_holds_for_a_file() {
    let (bench, receiver) = (Bench::new(), Receiver::start().expect("a receiver"));
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "    exclude: [\"*.debug.log\"]", "");
    bench.append("app.log", lines(0..100));
    bench.append("x.debug.log", "x\n");
    bench.append("app.txt", "x\n");
    let why = |name: &str| {
        let output = on(&bench, &["why", bench.log(name).to_str().expect("UTF-8")]);
        (output.status.code().expect("a code"), said(&output))
    };
    let check = |name: &str, code: i32, words: &[&str]| {
        let (got, text) = why(name);
        assert!(got == code && words.iter().all(|w| text.contains(w)), "{name}: {got}: {text}");
    };
    // The globs can be asked before anything has run; there is nothing to account for.
    check("app.log", 0, &["Source app follows it", "No agent has run yet"]);
    check("x.debug.log", 1, &["leaves it out", "No agent has run yet"]);
    let output = on(&bench, &["audit"]);
    assert_eq!(output.status.code(), Some(FAILED));
    assert!(said(&output).contains("no agent has run with this pipeline yet"), "{}", said(&output));
    let mut agent = bench.start();
    agent.wait_for("all is shipped", || shipped(&receiver, 100));
    complete(&bench, &mut agent);
    check("app.log", 0, &["Source app follows it", "Sink search:", "bytes acknowledged; it is"]);
    check("x.debug.log", 1, &["leaves it out", "*.debug.log"]);
    check("app.txt", 1, &["does not follow it", "`app.txt` of the path does not match `*.log`"]);
    check("sub/none.log", 1, &["Its folder is not there yet"]);
    std::os::unix::fs::symlink("app.log", bench.log("link.log")).expect("a link");
    check("link.log", 0, &["It is a symbolic link to app.log", "It is read once, under the name of", "bytes acknowledged; it is"]);
    rename(&bench.log("app.log"), &bench.log("app.log.1"));
    agent.wait_for("the new name is known", || why("app.log.1").1.contains("rotated generation"));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    check("app.log.1", 0, &["It is a rotated generation of", "the agent is stopped"]);
    bench.append("app.log.3.gz", "not read by its name");
    check("app.log.3.gz", 1, &["By its name it is a compressed generation of", "what had not been read of that is read from here"]);
}

/// What a sink leaves out is told apart from what it delivered, also by the files of an agent that was killed; and judged
/// anew where the group is moved back.
#[test]
fn what_a_sink_has_left_out_is_told_apart() {
    let (bench, receiver) = (Bench::new(), Receiver::start().expect("a receiver"));
    let sink = |when: &str| format!("{}\n    when: {when}", elasticsearch_sink(&receiver.url()));
    bench.pipeline(&sink(r#"'message matches "-0*[0-9]*[05]$"'"#), "", "");
    let text: String = (0..100).map(|n| format!("line-{n}\n")).collect();
    let left_out: usize = (0..100).filter(|n| n % 5 != 0).map(|n| format!("line-{n}\n").len()).sum();
    bench.append("app.log", &text);
    let mut agent = start(&bench);
    let counts = |found: &Value| (total(found, "acknowledged").as_u64(), total(found, "filtered").as_u64());
    let expected = (Some((text.len() - left_out) as u64), Some(left_out as u64));
    assert_eq!(counts(&complete(&bench, &mut agent)), expected);
    agent.kill();
    let (code, found) = audit(&bench);
    assert_eq!((code, counts(&found)), (COMPLETE, expected), "of a killed agent");
    assert!(said(&on(&bench, &["groups", "reset", "search", "--to-earliest"])).contains("search"));
    assert_eq!(counts(&audit(&bench).1), (Some(0), Some(0)), "all is to be judged anew");
    bench.pipeline(&sink(r#"'message != "line-7"'"#), "", "");
    let mut agent = start(&bench);
    assert_eq!(counts(&complete(&bench, &mut agent)), (Some(text.len() as u64 - 7), Some(7)));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
}

#[test]
fn why_says_which_permission_is_missing() {
    let name = "why_says_which_permission_is_missing";
    let (bench, receiver) = (Bench::new(), Receiver::start().expect("a receiver"));
    let (state, top) = (bench.path("state"), bench.path("state").parent().expect("a folder").to_path_buf());
    let prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let set = |path: &std::path::Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    std::fs::create_dir(&state).expect("state/");
    set(&top, 0o755);
    let able = common::machine::run(&["chown", "65534:65534", state.to_str().expect("UTF-8")])
        .and_then(|()| common::machine::run(&[&prefix[..], &[env!("CARGO_BIN_EXE_forebay"), "--version"]].concat()))
        // The folder for temporary files may let nobody else in.
        .and_then(|()| common::machine::run(&[&prefix[..], &["ls", state.to_str().expect("UTF-8")]].concat()));
    if let Err(why) = able {
        return common::machine::skipped(name, &why);
    }
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", "");
    bench.append("app.log", lines(0..10));
    bench.append("closed.log", "not for everybody\n");
    set(&bench.log("closed.log"), 0o600);
    std::fs::create_dir(bench.log("locked")).expect("a folder");
    std::fs::write(bench.log("locked/app.log"), "x\n").expect("a log");
    set(&bench.log("locked"), 0o700);
    let mut agent = bench.start_under(&prefix);
    agent.wait_for("what may be read is shipped", || shipped(&receiver, 10));
    // The running agent is asked, so it is its user that counts and not who types.
    let check = |name: &str, words: &[&str]| {
        let output = on(&bench, &["why", bench.log(name).to_str().expect("UTF-8")]);
        let text = said(&output);
        assert!(output.status.code() == Some(1) && words.iter().all(|w| text.contains(w)), "{name}: {text}");
    };
    check("closed.log", &["is not followed", "It cannot be opened: Permission denied", "(its `r` permission)", "tried again by itself"]);
    let locked = format!("The folder {} must let the agent's user pass (its `x` permission)", bench.log("locked").display());
    check("locked/app.log", &["It cannot be looked at: Permission denied", &locked]);
    set(&bench.log("closed.log"), 0o644);
    agent.wait_for("it is read once it may be", || shipped(&receiver, 11));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
}
