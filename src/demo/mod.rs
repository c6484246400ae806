//! `forebay demo`: half a minute that convinces.
//!
//! An app writes numbered lines and rotates its log; a real agent, a process of its own, ships
//! them to a receiver in this process. The receiver goes down for a while and loses an
//! acknowledgement, the agent gets `kill -9`. At the end every line is counted.

pub mod account;
mod child;
mod http;
pub mod receiver;
mod script;
mod tally;
mod view;
mod writer;

use crate::admin::client;
use child::Agent;
use receiver::{Mode, Receiver};
use script::{Step, script};
use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tally::Tally;
use view::{Scene, View};
use writer::Writer;

/// How often the picture is taken.
const FRAME: Duration = Duration::from_millis(200);
/// How long a step that takes no time is shown.
const NEWS: Duration = Duration::from_millis(1500);
/// The rest must arrive within this time without progress after the app has ended.
const SETTLE: Duration = Duration::from_secs(60);

/// Options of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemoOptions {
    /// For how long the app writes, seconds.
    pub seconds: u64,
    /// Lines a second; `None`: [`DemoOptions::RATE`].
    pub rate: Option<u64>,
    /// One line a second instead of a picture that is drawn over.
    pub plain: bool,
}

impl DemoOptions {
    /// Lines a second unless told otherwise.
    pub const RATE: u64 = 5_000;
}

impl Default for DemoOptions {
    fn default() -> Self {
        DemoOptions { seconds: 30, rate: None, plain: false }
    }
}

/// Runs the demo with this very program as the agent; `true` when each line arrived exactly once.
///
/// # Errors
/// In words, when the demo itself could not be done: no temporary directory, an agent that does not start, Ctrl-C.
pub fn run(options: DemoOptions) -> Result<bool, String> {
    let program = std::env::current_exe().map_err(|e| format!("cannot find this program's own file: {e}"))?;
    let stop = stop_on_signals()?;
    let stdout = io::stdout();
    let plain = options.plain || !stdout.is_terminal();
    let tally = play(&program, &options, plain, &stop, &mut stdout.lock())?;
    let verdict = if tally.exactly_once() {
        "Every line arrived, and each exactly once."
    } else {
        "That is not what Forebay promises: please report it, with the command that you typed."
    };
    println!("\n{}\n{verdict}", tally.table());
    Ok(tally.exactly_once())
}

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn create() -> io::Result<Folder> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let path = std::env::temp_dir().join(format!("forebay-demo-{:016x}", u64::from_le_bytes(random)));
        std::fs::create_dir(&path)?;
        std::fs::create_dir(path.join("logs"))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.0) {
            eprintln!("could not remove {}: {e}", self.0.display());
        }
    }
}

fn stop_on_signals() -> Result<Arc<AtomicBool>, String> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let cannot = |e: io::Error| format!("cannot wait for Ctrl-C: {e}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(cannot)?;
    // Ends with the process.
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime.block_on(async {
                let term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
                match term {
                    Ok(mut term) => tokio::select! { _ = tokio::signal::ctrl_c() => {}, _ = term.recv() => {} },
                    Err(_) => drop(tokio::signal::ctrl_c().await),
                }
            });
            flag.store(true, Ordering::SeqCst);
        })
        .map_err(cannot)?;
    Ok(stop)
}

fn configuration(folder: &Path, url: &str, admin: SocketAddr) -> String {
    // JSON strings are YAML strings: quotes and backslashes in a path are safe.
    let quoted = |path: PathBuf| serde_json::Value::from(path.to_string_lossy().into_owned()).to_string();
    format!(
        "data_dir: {}\nadmin: {{listen: \"{admin}\"}}\nsources:\n  app:\n    type: file\n    include: [{}]\nsinks:\n  search:\n    \
         type: elasticsearch\n    endpoints: [\"{url}\"]\n    index: demo\n    retry: {{max: 1s}}\n",
        quoted(folder.join("state")),
        quoted(folder.join("logs").join("*.log")),
    )
}

fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn play(program: &Path, options: &DemoOptions, plain: bool, stop: &AtomicBool, out: &mut impl Write) -> Result<Tally, String> {
    let folder =
        Folder::create().map_err(|e| format!("cannot make a temporary directory under {}: {e}", std::env::temp_dir().display()))?;
    let receiver = Receiver::start().map_err(|e| format!("cannot listen on 127.0.0.1 for the receiver: {e}"))?;
    let admin = free_port().map_err(|e| format!("no free port on 127.0.0.1: {e}"))?;
    let config = folder.0.join("demo.yaml");
    std::fs::write(&config, configuration(&folder.0, &receiver.url(), admin)).map_err(|e| format!("{}: {e}", config.display()))?;
    let mut agent = Agent::start(program.to_path_buf(), config, folder.0.join("agent.log"))
        .map_err(|e| format!("cannot start {}: {e}", program.display()))?;
    let time = Duration::from_secs(options.seconds.max(1));
    let mut writer = Writer::start(&folder.0.join("logs"), options.rate.unwrap_or(DemoOptions::RATE).max(1), time)
        .map_err(|e| format!("cannot write the log: {e}"))?;

    let start = Instant::now();
    let mut steps = script(time).into_iter().peekable();
    let mut view = View::new(plain);
    let mut scene = Scene { total: options.seconds, ..Scene::default() };
    let mut tally = Tally::default();
    let (mut down, mut writing, mut moved) = (false, true, Instant::now());
    let mut last_step = (Instant::now(), String::new());
    loop {
        if stop.load(Ordering::SeqCst) {
            return Err("stopped; the agent is ended and the temporary directory is removed".into());
        }
        if let Some(status) = agent.ended() {
            return Err(format!("the agent ended by itself ({status}); the end of its log:\n{}", agent.log_tail()));
        }
        let mut news = false;
        while let Some((_, step)) = steps.next_if(|(at, _)| *at <= start.elapsed()) {
            (news, last_step) = (true, (Instant::now(), step.to_string()));
            match step {
                Step::Down => (down, tally.outages) = (true, tally.outages + 1),
                Step::Up => down = false,
                Step::LoseAck => receiver.lose_acks(1),
                Step::Kill => agent.kill_and_restart().map_err(|e| format!("cannot restart the agent: {e}"))?,
            }
            receiver.set(if down { Mode::Down } else { Mode::Up });
        }
        if writing && let Some(done) = writer.finished() {
            done.map_err(|e| format!("cannot write the log: {e}"))?;
            (writing, moved) = (false, Instant::now());
        }
        let (written, rotations) = writer.so_far();
        let (delivered, recognised) = receiver.account(|a| (a.documents().len() as u64, a.conflicts));
        if delivered != scene.delivered {
            moved = Instant::now();
        }
        let lag = client::fetch_status(admin).ok().map(|s| s.sinks.values().map(|s| s.lag_events).sum());
        let trouble = match (last_step.0.elapsed() < NEWS, down) {
            (true, _) => last_step.1.clone(),
            (false, true) => Step::Down.to_string(),
            (false, false) => String::new(),
        };
        let seconds = start.elapsed().as_secs_f64();
        scene = Scene { seconds, written, rotations, delivered, recognised, lag, pid: agent.pid(), kills: agent.kills, trouble, ..scene };
        // A closed pipe must not end the count.
        let _ = view.draw(&scene, news, out);
        if !writing && (delivered >= written || moved.elapsed() > SETTLE) {
            break;
        }
        std::thread::sleep(FRAME);
    }
    // Once it has ended, nothing can come any more: only then the count is final.
    let ended = agent.stop(Duration::from_secs(30)).map_err(|e| format!("cannot stop the agent: {e}"))?;
    if ended.is_none() {
        let _ = writeln!(out, "the agent did not stop within 30 s of SIGTERM; the end of its log:\n{}", agent.log_tail());
    }
    let counted = receiver.account(|a| Tally::count(a, writer.so_far().0));
    Ok(Tally { kills: agent.kills, outages: tally.outages, rotations: scene.rotations, ..counted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_quotes_its_paths() {
        let text = configuration(Path::new("/tmp/a \"b\""), "http://127.0.0.1:1", ([127, 0, 0, 1], 2).into());
        insta::assert_snapshot!(text, @r#"
        data_dir: "/tmp/a \"b\"/state"
        admin: {listen: "127.0.0.1:2"}
        sources:
          app:
            type: file
            include: ["/tmp/a \"b\"/logs/*.log"]
        sinks:
          search:
            type: elasticsearch
            endpoints: ["http://127.0.0.1:1"]
            index: demo
            retry: {max: 1s}
        "#);
    }

    #[test]
    fn an_agent_that_ends_by_itself_is_an_error() {
        let options = DemoOptions { seconds: 5, rate: Some(100), plain: true };
        let error = play(Path::new("/bin/false"), &options, true, &AtomicBool::new(false), &mut Vec::new()).unwrap_err();
        assert!(error.starts_with("the agent ended by itself (exit status: 1)"), "{error}");
    }

    #[test]
    fn a_stop_is_obeyed() {
        let options = DemoOptions { seconds: 5, rate: Some(100), plain: true };
        let error = play(Path::new("/bin/cat"), &options, true, &AtomicBool::new(true), &mut Vec::new()).unwrap_err();
        assert!(error.starts_with("stopped"), "{error}");
    }
}
