//! One run of the real agent over a corpus, into a receiver that only counts.

use super::{Receiver, Stat, io, stat, threads, usage};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
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

impl Kernel {
    fn of(pid: u32, faults: u64) -> Kernel {
        Kernel { bytes: io(pid, &["rchar", "wchar"]), calls: io(pid, &["syscr", "syscw"]), faults }
    }
}

/// An agent that ends with its owner.
pub struct Agent(pub Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
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
    let agent = Agent(Command::new(agent).arg("run").arg(&pipeline).stderr(Stdio::null()).spawn().expect("the agent"));
    let all = receiver.await_documents(lines, PATIENCE);
    let wall = begun.elapsed().as_secs_f64();
    let pid = agent.0.id();
    let (threads, (cpu, peak), Stat { user, faults, .. }) = (threads(pid), usage(pid), stat(pid));
    let kernel = Kernel::of(pid, faults);
    drop(agent);
    let got = receiver.count.documents.load(Ordering::Relaxed);
    assert!(all, "only {got} of {lines} lines came in {} s", PATIENCE.as_secs());
    Run { threads, cpu, user, kernel, wall, peak }
}
