//! The rotating handlers of Python's `logging`, the real ones.

use super::rig::Fake;
use crate::source::file::{FileOptions, FileSources};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Writes as many lines as each line of its input says. The clock of the timed handler goes on by a second every 40 lines.
const WRITER: &str = r#"
import sys, os, time, logging, logging.handlers
class Clock:
    now = 1_700_000_000
    def time(self): return self.now
    def __getattr__(self, name): return getattr(time, name)
kind, path = sys.argv[1], sys.argv[2]
clock = Clock()
if kind == "size":
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=1500, backupCount=1000)
elif kind == "few":
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=1500, backupCount=3)
elif kind == "timed":
    logging.handlers.time = clock
    handler = logging.handlers.TimedRotatingFileHandler(path, when="S", interval=1, backupCount=0)
else:
    handler = logging.handlers.WatchedFileHandler(path)
log = logging.getLogger("x")
log.setLevel(logging.INFO)
log.addHandler(handler)
handler.setFormatter(logging.Formatter("%(message)s"))
n = 0
for request in sys.stdin:
    for _ in range(int(request)):
        if n % 40 == 39: clock.now += 1
        if kind == "watched" and n % 40 == 39: os.rename(path, f"{path}.{n}")
        log.info("line %06d of a program in python", n)
        n += 1
    print("ok", flush=True)
"#;

struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    wrote: usize,
}

impl Program {
    fn start(kind: &str, path: &Path) -> Option<Program> {
        if !Command::new("python3").args(["-c", "import logging.handlers"]).output().is_ok_and(|o| o.status.success()) {
            eprintln!("skipped: there is no python3");
            return None;
        }
        let mut command = Command::new("python3");
        command.args(["-c", WRITER, kind]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Some(Program { child, input, output, wrote: 0 })
    }

    fn write(&mut self, lines: usize) {
        writeln!(self.input, "{lines}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        assert_eq!(answer, "ok\n");
        self.wrote += lines;
    }

    fn end(mut self) {
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
    }
}

fn start(dir: &Path, glob: &str, fake: &Arc<Fake>) -> FileSources {
    let include = vec![dir.join(glob).to_str().unwrap().to_owned()];
    let rescan = Duration::from_millis(200);
    let options = FileOptions { name: "app".into(), include, rescan, ..FileOptions::default() };
    FileSources::start(vec![options], "agent".into(), fake.clone()).unwrap()
}

/// Waits until all lines are there, each once.
fn expect(fake: &Fake, wrote: usize, of: &str) {
    let until = Instant::now() + Duration::from_secs(60);
    while fake.lines().len() < wrote && Instant::now() < until {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let mut got: Vec<usize> = fake.lines().iter().map(|l| l[5..11].parse().unwrap()).collect();
    got.sort_unstable();
    assert!(got.iter().copied().eq(0..wrote), "{of}: {} of {wrote}", got.len());
}

fn run(kind: &str) {
    for glob in ["*.log", "*.log*"] {
        let dir = tempfile::tempdir().unwrap();
        let Some(mut program) = Program::start(kind, &dir.path().join("app.log")) else { return };
        let mut fake = Fake::new();
        program.write(10);
        let mut sources = start(dir.path(), glob, &fake);
        expect(&fake, 10, kind);
        for round in 0..3 {
            program.write(500);
            expect(&fake, program.wrote, kind);
            // Killed: of what was handed over in this round, a part is durable.
            drop(sources);
            fake = fake.crash(1 + fake.len() * (round + 1) / 4);
            program.write(500);
            sources = start(dir.path(), glob, &fake);
            program.write(500);
            expect(&fake, program.wrote, kind);
        }
        program.end();
        assert!(sources.drain(Instant::now() + Duration::from_secs(60)));
        assert_eq!(sources.status()["app"].lost_bytes, 0);
        expect(&fake, 4510, kind);
    }
}

#[test]
fn a_rotating_file_handler_loses_and_doubles_nothing() {
    run("size");
}

#[test]
fn a_timed_rotating_file_handler_loses_and_doubles_nothing() {
    run("timed");
}

#[test]
fn a_watched_file_handler_loses_and_doubles_nothing() {
    run("watched");
}

#[test]
fn a_rotating_file_handler_that_keeps_three_is_read_while_the_agent_runs() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut program) = Program::start("few", &dir.path().join("app.log")) else { return };
    let fake = Fake::new();
    let sources = start(dir.path(), "*.log", &fake);
    for round in 1..=60 {
        // Two generations or so: what is not read yet is still there.
        program.write(100);
        expect(&fake, 100 * round, "few");
    }
    program.end();
    assert_eq!(sources.status()["app"].lost_bytes, 0);
}
