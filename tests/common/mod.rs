//! What the tests share that run the real binary: a folder with logs, configuration and state, and agents in it.
// Each test binary uses its own part of this.
#![allow(dead_code)]

pub mod http;
pub mod machine;
pub mod real_server;
pub mod rolling;
pub mod routing;
pub mod search_server;
pub mod secured;

use forebay::admin::Status;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Every condition is waited for at most this long: generous, since a loaded machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Exit status of `forebay run` when data remains in the queue.
pub const UNDELIVERED: i32 = 3;

/// Exit status of `forebay run` when another process works on its `data_dir`.
pub const TAKEN: i32 = 4;

/// A string as YAML (and JSON) writes it.
pub fn quoted(text: impl AsRef<Path>) -> String {
    serde_json::Value::from(text.as_ref().to_str().expect("a path in UTF-8")).to_string()
}

/// How much of something a long form of a test wants, by its variable.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |v| v.parse().unwrap_or_else(|_| panic!("{name} is no number: {v}")))
}

/// Waits until `condition` holds.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "waited {} s in vain: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An address that nobody listens on. Below the range from which the system gives ports to
/// connections, so that none of those takes it before the agent does.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let n = (std::process::id() * 53 + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        let address = SocketAddr::from(([127, 0, 0, 1], 20_000 + n as u16));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// A temporary folder: `logs/`, `state/`, `pipeline.yaml`, `agent.log`.
pub struct Bench {
    dir: tempfile::TempDir,
    pub admin: SocketAddr,
}

impl Bench {
    pub fn new() -> Bench {
        let dir = tempfile::Builder::new().prefix("forebay-test-").tempdir().expect("a temporary folder");
        fs::create_dir(dir.path().join("logs")).expect("logs/");
        Bench { dir, admin: free_address() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.path("logs").join(name)
    }

    pub fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.log(name)).expect("a log");
        file.write_all(bytes.as_ref()).expect("a write");
    }

    /// Writes the pipeline: `*.log` to `sinks` (YAML, indented by two), with `more` on the top level and
    /// `source` as further keys of the source.
    pub fn pipeline(&self, sinks: &str, source: &str, more: &str) {
        let text = format!(
            "data_dir: {}\nadmin: {{listen: \"{}\"}}\n{more}\nsources:\n  app:\n    type: file\n    include: [{}]\n    \
             idle_flush: 200ms\n{source}\nsinks:\n{sinks}\n",
            quoted(self.path("state")),
            self.admin,
            quoted(self.log("*.log"))
        );
        fs::write(self.path("pipeline.yaml"), text).expect("pipeline.yaml");
    }

    /// Writes the pipeline: `sources` (YAML, indented by two) to `sinks`, with `more` on the top level.
    pub fn inputs(&self, sources: &str, sinks: &str, more: &str) {
        let (state, admin) = (quoted(self.path("state")), self.admin);
        let text = format!("data_dir: {state}\nadmin: {{listen: \"{admin}\"}}\n{more}\nsources:\n{sources}\nsinks:\n{sinks}\n");
        fs::write(self.path("pipeline.yaml"), text).expect("pipeline.yaml");
    }

    /// `forebay run pipeline.yaml`.
    pub fn start(&self) -> Agent {
        self.start_under(&[])
    }

    /// The same as the last arguments of another command.
    pub fn start_under(&self, prefix: &[&str]) -> Agent {
        self.start_fed(prefix, Stdio::null())
    }

    /// The same with `input` as standard input.
    pub fn start_fed(&self, prefix: &[&str], input: Stdio) -> Agent {
        let binary = binary();
        let words: Vec<&str> = prefix.iter().copied().chain([&*binary]).collect();
        let log = self.path("agent.log");
        let file = OpenOptions::new().create(true).append(true).open(&log).expect("agent.log");
        let child = Command::new(words[0])
            .args(&words[1..])
            .arg("run")
            .arg(self.path("pipeline.yaml"))
            .stdin(input)
            .stdout(file.try_clone().expect("agent.log"))
            .stderr(file)
            .spawn()
            .expect("the agent starts");
        Agent { child, log, admin: self.admin }
    }

    /// Starts the agent and lets it run until it has shipped what there is; it must end with 0.
    pub fn ship_all(&self, shipped: impl FnMut() -> bool) {
        let mut agent = self.start();
        agent.wait_for("all is shipped", shipped);
        // All may have been shipped before, and a process that has only just begun knows no signals.
        agent.wait_status("it runs", |_| true);
        assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    }
}

/// `sinks:` with one Elasticsearch sink that retries quickly.
pub fn elasticsearch_sink(url: &str) -> String {
    format!(
        "  search:\n    type: elasticsearch\n    endpoints: [\"{url}\"]\n    index: logs-test\n    retry: {{initial: 50ms, max: 500ms}}"
    )
}

/// A running agent; dropping it kills it.
pub struct Agent {
    child: Child,
    log: PathBuf,
    admin: SocketAddr,
}

impl Agent {
    /// What it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its standard input, once.
    pub fn stdin(&mut self) -> std::process::ChildStdin {
        self.child.stdin.take().expect("started with a pipe")
    }

    /// Its process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a condition; fails at once, with the agent's log, when the agent ends before.
    pub fn wait_for(&mut self, what: &str, mut condition: impl FnMut() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !condition() {
            if let Some(status) = self.child.try_wait().expect("a wait") {
                panic!("waiting for: {what}; the agent ended with {status}:\n{}", self.log());
            }
            assert!(Instant::now() < until, "waited {} s in vain: {what}; the agent's log:\n{}", PATIENCE.as_secs(), self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until its log has these words: it may show a state a moment before it speaks of it.
    pub fn wait_log(&mut self, words: &str) {
        let log = self.log.clone();
        self.wait_for(&format!("its log says {words:?}"), || fs::read_to_string(&log).unwrap_or_default().contains(words));
    }

    /// Waits until the admin listener answers and `condition` holds of the status.
    pub fn wait_status(&mut self, what: &str, mut condition: impl FnMut(&Status) -> bool) -> Status {
        let (admin, mut seen) = (self.admin, None);
        self.wait_for(what, || {
            seen = forebay::admin::client::fetch_status(admin).ok().filter(|s| condition(s));
            seen.is_some()
        });
        seen.expect("waited for")
    }

    /// Whether it ends by itself in that time.
    pub fn ends_within(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if self.child.try_wait().expect("a wait").is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// `SIGSTOP`, or on with it.
    pub fn pause(&self, stop: bool) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let signal = if stop { rustix::process::Signal::STOP } else { rustix::process::Signal::CONT };
        rustix::process::kill_process(pid, signal).expect("a signal");
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().expect("a kill");
        self.child.wait().expect("a wait");
    }

    /// SIGTERM, without waiting for what comes of it. A process that was only just started dies of it: not before it is heeded.
    pub fn signal_term(&self) {
        let heeds_term = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
            let caught = status.lines().find_map(|l| l.strip_prefix("SigCgt:")).map(|mask| u64::from_str_radix(mask.trim(), 16));
            // It has ended, or it listens: bit n - 1 is signal n.
            caught.is_none_or(|mask| mask.expect("a mask of signals") >> 14 & 1 == 1)
        };
        let until = Instant::now() + PATIENCE;
        while !heeds_term() {
            assert!(Instant::now() < until, "the agent does not listen to SIGTERM; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a wait") {
                return status;
            }
            assert!(Instant::now() < until, "the agent does not end; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGTERM, and the end of the process.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal_term();
        self.wait()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program under test: that of this build, or the one that `FOREBAY_TEST_BINARY` names, such as a release build.
fn binary() -> String {
    std::env::var("FOREBAY_TEST_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_forebay").to_string())
}

/// `forebay` with these arguments, run to its end.
pub fn forebay(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).stdin(Stdio::null()).output().expect("forebay runs")
}

/// Numbered lines, each another one, with `\n`.
pub fn lines(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|n| format!("line {n:07} {}\n", "x".repeat(n as usize % 90))).collect()
}

/// The messages of an NDJSON file, in its order.
pub fn messages(ndjson: &str) -> Vec<String> {
    let message = |line: &str| {
        let document: serde_json::Value = serde_json::from_str(line).expect("a document a line");
        document["message"].as_str().expect("a message").to_string()
    };
    ndjson.lines().map(message).collect()
}

/// Asserts that the receiver has each of the lines once and nothing else.
pub fn assert_exactly(receiver: &forebay::demo::receiver::Receiver, expected: &str) {
    receiver.account(|account| {
        let wrong: Vec<_> = expected.lines().filter(|l| account.lines().get(*l) != Some(&1)).take(5).collect();
        assert!(wrong.is_empty(), "not there exactly once: {wrong:?}");
        assert_eq!(account.documents().len(), expected.lines().count(), "there is more than was written");
        assert_eq!(account.collisions, 0, "an ID names two events");
        assert_eq!(account.without_id, 0, "documents without an ID");
    });
}

/// Makes sure that a file is on its own inode (a rename target that does not exist yet).
pub fn rename(from: &Path, to: &Path) {
    assert!(File::open(to).is_err(), "{} exists", to.display());
    fs::rename(from, to).expect("a rename");
}
