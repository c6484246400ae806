//! One run of the agent, from nothing or on a queue that is there.

use super::rows::{LINE, Machine, Row};
use super::{Options, folder};
use crate::common::run::Agent;
use crate::common::{Receiver, corpus, threads, usage};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(300);
/// Memory of the small machine.
pub const SMALL: u64 = 64 << 20;
/// MiB that a queue is filled with at a time.
const PIECE: u64 = 512;

/// A group of processes whose memory, the page cache of their files with it, has a bound.
pub struct Bounded(PathBuf);

impl Bounded {
    /// `None` where none can be made.
    pub fn new(bytes: u64) -> Option<Bounded> {
        let name = format!("forebay-growth-{}", std::process::id());
        [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")].into_iter().find_map(|(root, file)| {
            let group = Bounded(Path::new(root).join(&name));
            fs::create_dir(&group.0).ok()?;
            fs::write(group.0.join(file), bytes.to_string()).ok()?;
            Some(group)
        })
    }

    /// How often the kernel has killed for memory.
    fn kills(&self) -> u64 {
        let read = |file| fs::read_to_string(self.0.join(file)).ok();
        let text = read("memory.events").or_else(|| read("memory.oom_control")).unwrap_or_default();
        text.lines().find_map(|l| l.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Starts the agent; in `bounded` and on one core where that is asked for.
fn start(o: &Options, pipeline: &Path, row: &Row, bounded: Option<&Bounded>) -> Agent {
    let mut command = match row.small {
        None => Command::new(&o.agent),
        Some(_) => {
            let mut shell = Command::new("sh");
            let script = r#"[ -z "$1" ] || echo $$ >"$1/cgroup.procs"; exec taskset -c 0 "$0" "$2" "$3""#;
            let group = bounded.map(|b| b.0.clone()).unwrap_or_default();
            shell.args(["-c", script]).arg(&o.agent).arg(group);
            shell
        }
    };
    Agent(command.arg("run").arg(pipeline).stderr(Stdio::null()).spawn().expect("the agent"))
}

/// Has the agent finish, so that the next start has nothing to look through.
fn stop(mut agent: Agent) {
    let pid = rustix::process::Pid::from_child(&agent.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    let status = agent.0.wait().expect("it can be waited for");
    assert!(status.success(), "the agent ended with {status}");
}

/// What a run took.
#[derive(Clone, Copy)]
pub struct Figures {
    pub cpu: f64,
    pub wall: f64,
    pub peak: u64,
    /// From the start until the first request had come.
    pub first: f64,
}

/// Bytes of all files below `dir`.
fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|e| e.metadata().ok().map(|m| if m.is_dir() { size(&e.path()) } else { m.len() }));
    sizes.sum()
}

/// CPU seconds of a process so far. Its own figure counts in ticks, which are some percent of a short run; that of its threads
/// does not, but lacks those that have ended.
fn cpu(pid: u32) -> f64 {
    threads(pid).values().sum::<f64>().max(usage(pid).0)
}

/// Where the agent of a row keeps its state.
pub struct State(tempfile::TempDir);

impl State {
    pub fn new(o: &Options) -> State {
        State(folder(o))
    }

    /// Writes the pipeline that reads `logs`; gives where it is.
    fn pipeline(&self, row: &Row, receiver: &Receiver, logs: &Path) -> PathBuf {
        let pipeline = self.0.path().join("pipeline.yaml");
        let sink = |n| format!("  search-{n}: {{type: elasticsearch, endpoints: [\"{}\"], index: logs-app}}\n", receiver.url());
        let text = format!(
            "data_dir: {state}/data\nadmin: off\n{set}\nsources:\n  app: {{type: file, include: [\"{logs}/*.log\"]}}\nsinks:\n{sinks}",
            state = self.0.path().display(),
            set = row.set,
            logs = logs.display(),
            sinks = (0..row.sinks).map(sink).collect::<String>(),
        );
        fs::write(&pipeline, text).expect("room for the pipeline");
        pipeline
    }

    fn queue_bytes(&self) -> u64 {
        size(&self.0.path().join("data/topics"))
    }
}

/// A queue that holds what the row wants of events that all sinks have had.
pub fn fill(o: &Options, row: &Row) -> State {
    let (state, mut left) = (State::new(o), row.idle);
    while left > 0 {
        let (receiver, logs) = (Receiver::start(), folder(o));
        let piece = left.min(PIECE);
        let lines = (piece << 20) / LINE as u64 / 2 * 2;
        corpus(logs.path(), lines, LINE, 2);
        let agent = start(o, &state.pipeline(row, &receiver, logs.path()), row, None);
        assert!(receiver.await_documents(lines, PATIENCE), "the queue was never filled");
        stop(agent);
        left -= piece;
    }
    assert!(state.queue_bytes() >= row.idle << 20, "the queue has not kept what it had");
    state
}

/// Runs the agent on the `bytes` of `logs` until the receiver has all events.
pub fn run(o: &Options, row: &Row, state: &State, (logs, bytes): (&Path, u64)) -> Figures {
    let receiver = Receiver::start();
    let pipeline = state.pipeline(row, &receiver, logs);
    let bounded = (row.small == Some(Machine::OneCoreInMemory)).then(|| Bounded::new(SMALL).expect("asked before"));
    if row.backlog {
        receiver.set_up(false);
        let filling = start(o, &pipeline, row, None);
        let until = Instant::now() + PATIENCE;
        while state.queue_bytes() < bytes {
            assert!(Instant::now() < until, "the queue never held all of the corpus");
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(filling);
        receiver.set_up(true);
    }
    let (begun, wanted, count) = (Instant::now(), row.events(), &receiver.count);
    let mut agent = start(o, &pipeline, row, bounded.as_ref());
    let mut first = None;
    let mut guard = count.changed.0.lock().expect("not poisoned");
    while count.documents.load(Ordering::Relaxed) < wanted {
        assert!(begun.elapsed() < PATIENCE, "{} of {wanted} events came", count.documents.load(Ordering::Relaxed));
        let over = agent.0.try_wait().expect("it can be asked");
        let kills = bounded.as_ref().map_or(0, Bounded::kills);
        assert!(over.is_none(), "the agent ended ({}); killed for memory: {kills}", over.unwrap_or_default());
        guard = count.changed.1.wait_timeout(guard, Duration::from_millis(100)).expect("not poisoned").0;
        if count.documents.load(Ordering::Relaxed) > 0 {
            first.get_or_insert_with(|| begun.elapsed().as_secs_f64());
        }
    }
    drop(guard);
    let (wall, cpu, (_, peak)) = (begun.elapsed().as_secs_f64(), cpu(agent.0.id()), usage(agent.0.id()));
    if row.idle > 0 {
        stop(agent);
    }
    Figures { cpu, wall, peak, first: first.unwrap_or(wall) }
}
