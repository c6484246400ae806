//! Real faults under the real binary: errors from the kernel, full, read-only and vanished folders. The agent stays up,
//! says what happens to the data, goes on by itself, and each line is at the receiver exactly once.

mod common;

use common::machine::{Mount, run, skipped};
use common::{Agent, Bench, assert_exactly, elasticsearch_sink, lines};
use forebay::demo::receiver::{Mode, Receiver};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Small segments, so that files are made and deleted all the time.
const SMALL: &str = "queue: {segment_bytes: 1MiB, batch_size: 16KiB, max_bytes: 64MiB, retention: {bytes: 2MiB}}";

fn shipped(receiver: &Receiver, lines: u32) -> bool {
    receiver.account(|a| a.documents().len() >= lines as usize)
}

fn bench(receiver: &Receiver) -> Bench {
    let bench = Bench::new();
    bench.pipeline(&elasticsearch_sink(&receiver.url()), "", SMALL);
    bench
}

/// All is there once, the agent is well and ends well.
fn assert_well(agent: &mut Agent, receiver: &Receiver, written: u32) {
    agent.wait_for("all is shipped", || shipped(receiver, written));
    agent.wait_status("the queue is well", |s| s.queue.state == "ok" && s.queue.lost_events == 0);
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    assert_exactly(receiver, &lines(0..written));
}

/// Says in the log what `words` says, one of them at least.
fn assert_said(agent: &Agent, words: &[&str]) {
    let log = agent.log();
    assert!(words.iter().any(|w| log.contains(w)), "none of {words:?} is in the log:\n{log}");
}

/// The agent under strace, which lets system calls fail.
fn traced(name: &str, bench: &Bench, inject: &str) -> Option<Agent> {
    if let Err(why) = run(&["strace", "-f", "-o", "/dev/null", "true"]) {
        skipped(name, &why);
        return None;
    }
    let (calls, trace) = (inject.split(':').next().unwrap_or_default(), bench.path("strace"));
    // -D: the agent is our child, and strace is its grandchild.
    let expression = [format!("trace={calls}"), format!("inject={inject}")];
    Some(bench.start_under(&[
        "strace",
        "-D",
        "-f",
        "-qq",
        "-o",
        trace.to_str().expect("UTF-8"),
        "-e",
        &expression[0],
        "-e",
        &expression[1],
    ]))
}

/// Writes in steps while system calls fail, ships all, and gives the agent's disk errors.
fn injected(name: &str, inject: &str) -> Option<(u64, String)> {
    let receiver = Receiver::start().unwrap();
    let bench = bench(&receiver);
    bench.append("app.log", lines(0..500));
    let mut agent = traced(name, &bench, inject)?;
    for step in 1..40 {
        agent.wait_for("a step is shipped", || shipped(&receiver, 500 * step));
        bench.append("app.log", lines(500 * step..500 * (step + 1)));
    }
    agent.wait_for("all is shipped", || shipped(&receiver, 20_000));
    let errors = agent.wait_status("the status", |_| true).queue.disk_errors;
    let log = agent.log();
    assert_well(&mut agent, &receiver, 20_000);
    let trace = fs::read_to_string(bench.path("strace")).unwrap_or_default();
    assert!(trace.contains("(INJECTED)"), "nothing was injected");
    Some((errors, log))
}

#[test]
fn failing_syncs_lose_nothing() {
    let Some((errors, log)) = injected("failing_syncs_lose_nothing", "fdatasync:error=EIO:when=8..11") else { return };
    assert!(errors > 0);
    assert!(log.contains("a sync of") && log.contains("written to a fresh segment") && log.contains("appends go on"), "{log}");
}

#[test]
fn failing_writes_lose_nothing() {
    let Some((errors, log)) = injected("failing_writes_lose_nothing", "pwritev:error=EIO:when=8..11") else { return };
    assert!(errors > 0 && log.contains("cannot write to"), "{log}");
}

#[test]
fn a_file_system_that_turns_read_only_under_open_files_loses_nothing() {
    let name = "a_file_system_that_turns_read_only_under_open_files_loses_nothing";
    let Some((errors, log)) = injected(name, "pwritev,?renameat,?renameat2,?rename:error=EROFS:when=12..16") else { return };
    assert!(errors > 0 && log.contains("Read-only file system"), "{log}");
}

#[test]
fn reads_that_fail_once_lose_nothing() {
    let receiver = Receiver::start().unwrap();
    let bench = bench(&receiver);
    receiver.set(Mode::Down);
    bench.append("app.log", lines(0..30_000));
    let mut agent = bench.start();
    agent.wait_status("all is in the queue", |s| s.sinks["search"].lag_events == 30_000);
    agent.kill();
    receiver.set(Mode::Up);
    // What is in the queue is read from the disk, in recovery and by the sink.
    let Some(mut agent) = traced("reads_that_fail_once_lose_nothing", &bench, "pread64:error=EIO:when=10..11+20") else { return };
    assert_well(&mut agent, &receiver, 30_000);
}

#[test]
fn a_full_disk_makes_sources_wait() {
    let receiver = Receiver::start().unwrap();
    let bench = bench(&receiver);
    let state = bench.path("state");
    let _mount = match Mount::tmpfs(&state, 4 << 20) {
        Ok(mount) => mount,
        Err(why) => return skipped("a_full_disk_makes_sources_wait", &why),
    };
    let mut agent = bench.start();
    bench.append("app.log", lines(0..1_000));
    agent.wait_for("it runs", || shipped(&receiver, 1_000));
    // Somebody else fills the disk.
    let filler = state.join("filler");
    let taken = (0..64).take_while(|n| fs::write(state.join(format!("filler-{n}")), vec![0; 64 << 10]).is_ok()).count();
    let _ = fs::write(&filler, vec![0; 60 << 10]);
    bench.append("app.log", lines(1_000..40_000));
    agent.wait_status("it says so", |s| s.queue.state != "ok");
    assert_said(&agent, &["sources wait"]);
    for n in 0..=taken {
        let _ = fs::remove_file(state.join(format!("filler-{n}")));
    }
    let _ = fs::remove_file(&filler);
    assert_well(&mut agent, &receiver, 40_000);
}

#[test]
fn a_folder_that_is_read_only_for_a_while_is_waited_for() {
    let receiver = Receiver::start().unwrap();
    let bench = bench(&receiver);
    let (state, name) = (bench.path("state"), "a_folder_that_is_read_only_for_a_while_is_waited_for");
    let _mount = match Mount::image(&bench.path("image"), Some(64 << 20), &state) {
        Ok(mount) => mount,
        Err(why) => return skipped(name, &why),
    };
    let mut agent = bench.start();
    bench.append("app.log", lines(0..1_000));
    agent.wait_for("it runs", || shipped(&receiver, 1_000));
    // The kernel refuses to make a mount read-only in which files are open for writing; over it, it may be.
    let over = Mount::bind(&state, &state).unwrap();
    run(&["mount", "-o", "remount,bind,ro", state.to_str().unwrap()]).unwrap();
    bench.append("app.log", lines(1_000..40_000));
    agent.wait_status("it says so", |s| s.queue.state == "degraded");
    assert_said(&agent, &["Read-only file system"]);
    drop(over);
    assert_well(&mut agent, &receiver, 40_000);
}

#[test]
fn a_data_dir_that_is_deleted_is_made_anew() {
    let receiver = Receiver::start().unwrap();
    let bench = bench(&receiver);
    let mut agent = bench.start();
    bench.append("app.log", lines(0..20_000));
    agent.wait_status("all is acked", |s| s.sinks["search"].delivered_events == 20_000);
    // Also while something is in it that no sink has seen.
    receiver.set(Mode::Down);
    bench.append("app.log", lines(20_000..21_000));
    agent.wait_status("it is in the queue", |s| s.sinks["search"].lag_events == 1_000);
    fs::remove_dir_all(bench.path("state")).unwrap();
    bench.append("app.log", lines(21_000..30_000));
    agent.wait_for("it is said", || fs::read_to_string(bench.path("agent.log")).is_ok_and(|l| l.contains("deleted by somebody else")));
    receiver.set(Mode::Up);
    agent.wait_for("all is shipped", || shipped(&receiver, 30_000));
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    // What was made anew is a whole data_dir.
    bench.append("app.log", lines(30_000..31_000));
    bench.ship_all(|| shipped(&receiver, 31_000));
    assert_exactly(&receiver, &lines(0..31_000));
}

#[test]
fn a_permission_that_is_lost_for_a_while_is_waited_for() {
    let name = "a_permission_that_is_lost_for_a_while_is_waited_for";
    let receiver = Receiver::start().unwrap();
    let bench = bench(&receiver);
    let state = bench.path("state");
    let prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    fs::create_dir(&state).unwrap();
    let open = |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    open(bench.log("").parent().unwrap().parent().unwrap(), 0o755).unwrap();
    let able = run(&["chown", "65534:65534", state.to_str().unwrap()])
        .and_then(|()| run(&[&prefix[..], &[env!("CARGO_BIN_EXE_forebay"), "--version"]].concat()));
    if let Err(why) = able {
        return skipped(name, &why);
    }
    bench.append("app.log", lines(0..1_000));
    let mut agent = bench.start_under(&prefix);
    agent.wait_for("it runs", || shipped(&receiver, 1_000));
    open(&state, 0o000).unwrap();
    bench.append("app.log", lines(1_000..40_000));
    agent.wait_status("it says so", |s| s.queue.state == "degraded");
    assert_said(&agent, &["Permission denied"]);
    open(&state, 0o755).unwrap();
    assert_well(&mut agent, &receiver, 40_000);
}
