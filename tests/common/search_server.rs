//! A real search server of a test's own, which the test may fill, press and kill.

use super::{PATIENCE, free_address, machine, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

/// `COMMAND NAME PORT DATADIR [SETTING=VALUE…]` starts a server on 127.0.0.1 in the background, and ends, with a
/// line of output that holds `pid=NUMBER`, when it serves.
const COMMAND: &str = "FOREBAY_TEST_SERVER_COMMAND";

/// Its data outlives a kill, and goes with it when it is dropped.
pub struct SearchServer {
    command: String,
    name: String,
    settings: Vec<String>,
    port: u16,
    dir: tempfile::TempDir,
    pid: Option<Pid>,
}

impl SearchServer {
    /// Starts one; where no command is named it is said that `test` is skipped.
    pub fn start(test: &str, name: &str, settings: &[&str]) -> Option<SearchServer> {
        let Some(command) = std::env::var(COMMAND).ok().filter(|v| !v.is_empty()) else {
            machine::skipped(test, &format!("set {COMMAND} to a program that starts the server NAME PORT DATADIR"));
            return None;
        };
        let settings = settings.iter().map(|s| s.to_string()).collect();
        let dir = tempfile::Builder::new().prefix("forebay-server-").tempdir().expect("a temporary folder");
        let mut server = SearchServer { command, name: name.to_string(), settings, port: free_address().port(), dir, pid: None };
        server.up();
        Some(server)
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts it (again) on the same port and data.
    pub fn up(&mut self) {
        // One at a time: what the command lays out for its servers may be the same files.
        static STARTING: Mutex<()> = Mutex::new(());
        let _starting = STARTING.lock().unwrap_or_else(|e| e.into_inner());
        let mut words = self.command.split_whitespace();
        let output = Command::new(words.next().expect("not empty"))
            .args(words)
            .args([&self.name, &self.port.to_string()])
            .arg(self.dir.path())
            .args(&self.settings)
            .stdin(Stdio::null())
            .output()
            .expect("the command runs");
        let said = String::from_utf8_lossy(&output.stdout);
        let pid = said.split_whitespace().find_map(|word| word.strip_prefix("pid=")?.parse().ok());
        let why = || format!("{} did not start: {said}{}", self.name, String::from_utf8_lossy(&output.stderr));
        self.pid = Some(pid.and_then(Pid::from_raw).filter(|_| output.status.success()).unwrap_or_else(|| panic!("{}", why())));
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let pid = self.pid.take().expect("it runs");
        kill_process(pid, Signal::KILL).expect("a kill");
        let address = ([127, 0, 0, 1], self.port).into();
        wait_for("its port is closed", || TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err());
    }
}

impl Drop for SearchServer {
    fn drop(&mut self) {
        if let Some(pid) = self.pid.take() {
            // It may have died already.
            let _ = kill_process(pid, Signal::KILL);
            let until = std::time::Instant::now() + PATIENCE;
            let address = ([127, 0, 0, 1], self.port).into();
            // It writes to its folder to the last, and the folder is to go.
            while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() && std::time::Instant::now() < until {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}
