//! Many files: start, rest, growth, restart, audit.

use crate::agent::{Agent, cpu, durable, files, load, peak};
use crate::common::resident;
use crate::options::Options;
use crate::table::Table;
use crate::writing::{grow, line, write_files};
use crate::{ASK, MIB};
use forebay::queue::{Start, View};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Start, rest, restart and audit with many files.
pub fn many(o: &Options, dir: &Path, table: &mut Table) {
    let paths = write_files(&dir.join("logs"), o);
    let glob = format!("{}/logs/*/*.log", dir.display());
    let (all, mut lines) = (o.files as u64, (o.files * o.lines) as u64);
    let start = || Agent::start(&o.agent, dir, &glob);
    let n = o.files;

    let agent = start();
    let followed = agent.until("to follow every file", |s| files(s) >= all);
    let queued = agent.until("to queue what they hold", |s| durable(s) >= lines);
    table.row(&format!("first start until all of {n} files are followed"), followed, "s", Some(5.0));
    table.row(&format!("first start until their {lines} lines are durable in the queue"), queued, "s", Some(5.0));
    table.row("first start: CPU until then", cpu(agent.pid()), "s", None);
    table.row("first start: peak memory (RSS)", peak(agent.pid()), "MiB", Some(100.0));

    // The first seconds are those in which it tells what it found.
    std::thread::sleep(Duration::from_secs(o.seconds.min(6)));
    let (share, fds) = load(agent.pid(), Duration::from_secs(o.seconds));
    table.row("CPU while no file grows", share, "% of a core", Some(1.0));
    table.row("descriptors open then", fds as f64, "", Some(2048.0));
    table.row("memory (RSS) then", resident(agent.pid()) as f64 / MIB, "MiB", Some(100.0));

    let active: Vec<PathBuf> = paths.iter().step_by(n / o.active.max(1)).take(o.active).cloned().collect();
    let stop = AtomicBool::new(false);
    let (share, fds, written) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| grow(&active, &stop));
        std::thread::sleep(Duration::from_secs(o.seconds.min(3)));
        let (share, fds) = load(agent.pid(), Duration::from_secs(o.seconds));
        stop.store(true, Ordering::Relaxed);
        (share, fds, writer.join().expect("the writer"))
    });
    lines += written as u64;
    let last = Instant::now();
    agent.until("to queue what the active ones hold", |s| durable(s) >= lines);
    // The bar of 1 % is that of rest. Here each line costs a hint, a look and a read of its own, and forty syncs a second keep
    // the delay below 50 ms.
    table.row(&format!("CPU while {} files grow by a line a second", active.len()), share, "% of a core", None);
    table.row("descriptors open then", fds as f64, "", Some(2048.0));
    table.row("the last of these lines is durable after", last.elapsed().as_secs_f64(), "s", Some(1.0));
    table.row("peak memory (RSS) so far", peak(agent.pid()), "MiB", Some(100.0));

    audit(o, dir, &agent, table);
    table.row("stop by SIGTERM", agent.stop(), "s", Some(5.0));

    for how in ["a stop", "kill -9"] {
        for path in &active {
            OpenOptions::new().append(true).open(path).and_then(|mut f| f.write_all(line(0, 0).as_bytes())).expect("room for a line");
        }
        lines += active.len() as u64;
        let agent = start();
        let followed = agent.until("to follow every file again", |s| files(s) >= all);
        let queued = agent.until("to queue what came meanwhile", |s| durable(s) >= lines);
        table.row(&format!("start after {how} until all are followed"), followed, "s", Some(5.0));
        table.row(&format!("start after {how} until {} new lines are durable", active.len()), queued, "s", Some(5.0));
        table.row(&format!("start after {how}: CPU until then"), cpu(agent.pid()), "s", None);
        table.row(&format!("start after {how}: peak memory (RSS)"), peak(agent.pid()), "MiB", Some(100.0));
        agent.kill();
    }
    let view = View::open(&dir.join("data")).expect("the queue");
    let mut events = 0;
    for mut reader in view.readers("logs", None, Start::Earliest).expect("readers") {
        while let Some(part) = reader.read().expect("a readable queue") {
            events += u64::from(part.count);
        }
    }
    assert_eq!(events, lines, "each line must be in the queue once");
}

/// `forebay audit` beside the running agent, and without it.
fn audit(o: &Options, dir: &Path, agent: &Agent, table: &mut Table) {
    let (before, begun) = (cpu(agent.pid()), Instant::now());
    let mut command = Command::new(&o.agent);
    command.arg("audit").arg("--data-dir").arg(dir.join("data")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the audit");
    let mut most = 0.0f64;
    let code = loop {
        most = most.max(peak(child.id()));
        if let Some(status) = child.try_wait().expect("the audit") {
            break status.code();
        }
        std::thread::sleep(ASK);
    };
    let wall = begun.elapsed().as_secs_f64();
    // No sink reads the topic, so all is under way.
    assert!(matches!(code, Some(0 | 3..=9)), "the audit failed: {code:?}");
    table.row(&format!("`forebay audit` of {} files", o.files), wall, "s", None);
    table.row("the agent's CPU for it", cpu(agent.pid()) - before, "s", None);
    table.row("peak memory (RSS) of the command", most, "MiB", None);
    table.row("the agent's peak memory (RSS) by then", peak(agent.pid()), "MiB", Some(120.0));
}
