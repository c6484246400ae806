//! One run of the real agent over a corpus, into a receiver that only counts.

use super::{Receiver, threads, usage};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(300);

/// One run of the agent: CPU seconds by thread, of the whole process, of it in user mode, wall seconds, and peak memory.
pub struct Run {
    pub threads: BTreeMap<String, f64>,
    pub cpu: f64,
    pub user: f64,
    pub kernel: Kernel,
    pub wall: f64,
    pub peak: u64,
}

/// What a process has asked of the kernel: bytes read and written (files and sockets), calls for that, pages that came at a touch.
pub struct Kernel {
    pub bytes: u64,
    pub calls: u64,
    pub faults: u64,
}

/// User seconds of a process, and what it has asked of the kernel.
fn asked(pid: u32) -> (f64, Kernel) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<u64> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().map(|f| f.parse().unwrap_or(0)).collect();
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let count = |name: &str| io.lines().find_map(|l| l.strip_prefix(name)?.trim().parse::<u64>().ok()).unwrap_or(0);
    let kernel = Kernel {
        bytes: count("rchar:") + count("wchar:"),
        calls: count("syscr:") + count("syscw:"),
        faults: fields.get(7).copied().unwrap_or(0),
    };
    (fields.get(11).copied().unwrap_or(0) as f64 / rustix::param::clock_ticks_per_second() as f64, kernel)
}

/// Runs `agent` with its defaults and `set`, until the receiver has `lines` lines of the corpus; its state goes to `dir` and is deleted.
pub fn agent(agent: &str, set: &str, lines: u64, dir: &Path, corpus: &Path) -> Run {
    let receiver = Receiver::start();
    let state = tempfile::tempdir_in(dir).expect("a temporary folder");
    let pipeline = state.path().join("pipeline.yaml");
    let text = format!(
        "data_dir: {state}/data\nadmin: off\n{set}\nsources:\n  app: {{type: file, include: [\"{corpus}/*.log\"]}}\nsinks:\n  search: {{type: elasticsearch, endpoints: [\"{url}\"], index: logs-app}}\n",
        state = state.path().display(),
        url = receiver.url(),
        corpus = corpus.display()
    );
    fs::write(&pipeline, text).expect("room for the pipeline");
    let begun = Instant::now();
    let mut agent = Command::new(agent).arg("run").arg(&pipeline).stderr(Stdio::null()).spawn().expect("the agent");
    let all = receiver.await_documents(lines, PATIENCE);
    let wall = begun.elapsed().as_secs_f64();
    let (threads, (cpu, peak), (user, kernel)) = (threads(agent.id()), usage(agent.id()), asked(agent.id()));
    let _ = agent.kill();
    let _ = agent.wait();
    let got = receiver.count.documents.load(Ordering::Relaxed);
    assert!(all, "only {got} of {lines} lines came in {} s", PATIENCE.as_secs());
    Run { threads, cpu, user, kernel, wall, peak }
}
