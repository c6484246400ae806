//! The agent as a process of its own, so that `kill -9` is a real one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running agent; dropping it kills it.
pub(super) struct Agent {
    program: PathBuf,
    config: PathBuf,
    log: PathBuf,
    child: Child,
    pub(super) kills: u64,
}

impl Agent {
    /// Starts `forebay run CONFIG` with its own log going to `log`.
    pub(super) fn start(program: PathBuf, config: PathBuf, log: PathBuf) -> io::Result<Agent> {
        let child = spawn(&program, &config, &log)?;
        Ok(Agent { program, config, log, child, kills: 0 })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and a fresh start.
    pub(super) fn kill_and_restart(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.kills += 1;
        self.child = spawn(&self.program, &self.config, &self.log)?;
        Ok(())
    }

    /// How it ended, if it did by itself.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGTERM, and the end of the process, for which it waits at most `timeout`.
    pub(super) fn stop(&mut self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM)?;
        let until = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            // The standard library has no wait with a time-out.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The last lines of its log, for an error message.
    pub(super) fn log_tail(&self) -> String {
        tail(&self.log).unwrap_or_else(|e| format!("(its log cannot be read: {e})"))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &Path, config: &Path, log: &Path) -> io::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = Command::new(program);
    command.arg("run").arg(config).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // A group of its own: Ctrl-C is for the demo, which stops the agent itself.
    command.process_group(0).spawn()
}

fn tail(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(2_000)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
