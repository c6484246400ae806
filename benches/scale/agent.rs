//! The agent from outside: what it says of itself, and what the system says of it.

use crate::MIB;
use crate::common::usage;
use serde_json::Value;
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);

/// A running agent on a pipeline of its own.
pub struct Agent {
    child: Child,
    pub admin: SocketAddr,
    begun: Instant,
}

impl Agent {
    /// Starts one that follows `glob`; nobody reads what it queues.
    pub fn start(binary: &Path, dir: &Path, glob: &str) -> Agent {
        let admin = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
        let text = format!(
            "data_dir: {dir}/data\nadmin: {{listen: \"{admin}\"}}\nqueue: {{retention: {{bytes: 10GiB}}}}\n\
             sources:\n  app: {{type: file, include: [\"{glob}\"]}}\n  none: {{type: file, include: [\"{dir}/none/*.log\"], topic: none}}\n\
             sinks:\n  search: {{type: elasticsearch, endpoints: [\"http://127.0.0.1:9\"], index: none, topics: [none]}}\n",
            dir = dir.display(),
        );
        let pipeline = dir.join("pipeline.yaml");
        fs::write(&pipeline, text).expect("room for the pipeline");
        let log = OpenOptions::new().create(true).append(true).open(dir.join("agent.log")).expect("room for the agent's log");
        let begun = Instant::now();
        let child = Command::new(binary).arg("run").arg(&pipeline).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        Agent { child: child.expect("the agent"), admin, begun }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `done`; gives the seconds since the start.
    pub fn until(&self, what: &str, mut done: impl FnMut(&Value) -> bool) -> f64 {
        let mut asker = Asker::new(self.admin);
        loop {
            match asker.as_mut().map_err(|_| ()).and_then(|a| a.ask().map_err(|_| ())) {
                Ok(status) if done(&status) => return self.begun.elapsed().as_secs_f64(),
                Ok(_) => {}
                Err(()) => asker = Asker::new(self.admin),
            }
            assert!(self.begun.elapsed() < PATIENCE, "{what}: not within {} s", PATIENCE.as_secs());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops it as systemd does; gives the seconds that takes.
    pub fn stop(mut self) -> f64 {
        let begun = Instant::now();
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
        begun.elapsed().as_secs_f64()
    }

    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks for `/status` on one connection. Loosely read, so that agents of other versions can be measured, too.
pub struct Asker {
    admin: SocketAddr,
    reader: BufReader<TcpStream>,
}

impl Asker {
    pub fn new(admin: SocketAddr) -> io::Result<Asker> {
        let stream = TcpStream::connect(admin)?;
        stream.set_nodelay(true)?;
        Ok(Asker { admin, reader: BufReader::new(stream) })
    }

    pub fn ask(&mut self) -> io::Result<Value> {
        self.reader.get_ref().write_all(format!("GET /status HTTP/1.1\r\nHost: {}\r\n\r\n", self.admin).as_bytes())?;
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        Ok(serde_json::from_slice(&body)?)
    }
}

/// Events of the topic that are durable.
pub fn durable(status: &Value) -> u64 {
    let partitions = status["queue"]["partitions"].as_array().into_iter().flatten();
    partitions.filter(|p| p["topic"] == "logs").filter_map(|p| p["durable_offset"].as_u64()).sum()
}

pub fn files(status: &Value) -> u64 {
    status["sources"]["app"]["files"].as_u64().unwrap_or(0)
}

pub fn cpu(pid: u32) -> f64 {
    usage(pid).0
}

/// The most memory that a process had until now, MiB.
pub fn peak(pid: u32) -> f64 {
    usage(pid).1 as f64 / MIB
}

pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |d| d.count())
}

/// The share of a core, in percent, that a process takes for so long; and the most descriptors that it had open.
pub fn load(pid: u32, time: Duration) -> (f64, usize) {
    let (before, begun, mut open) = (cpu(pid), Instant::now(), 0);
    while begun.elapsed() < time {
        open = open.max(descriptors(pid));
        std::thread::sleep(Duration::from_millis(500).min(time));
    }
    ((cpu(pid) - before) / begun.elapsed().as_secs_f64() * 100.0, open)
}
