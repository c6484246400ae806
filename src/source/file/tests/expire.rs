//! The real queue under the real tailer: what is known of files that are gone does not grow for ever.

use super::compressed::compress;
use super::rig::append;
use crate::queue::{Producer, Queue, QueueOptions, Retention};
use crate::source::file::FileOptions;
use crate::source::file::tailer::{Step, Tailer};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(120);

struct Life {
    dir: tempfile::TempDir,
    queue: Option<Arc<Queue>>,
    tailer: Option<Tailer>,
    now: Instant,
    forget_after: Duration,
}

impl Life {
    fn new(forget_after: Duration) -> Life {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        let mut life = Life { dir, queue: None, tailer: None, now: Instant::now(), forget_after };
        life.start();
        life
    }

    fn start(&mut self) {
        let options = QueueOptions {
            dir: self.dir.path().join("state"),
            segment_bytes: 64 << 10,
            retention: Retention { bytes: 0, age: Duration::ZERO },
            ..QueueOptions::default()
        };
        let include = vec![self.log("*.log").to_str().unwrap().into()];
        let source = FileOptions { name: "app".into(), include, forget_after: self.forget_after, ..FileOptions::default() };
        let queue = Queue::open(options, std::slice::from_ref(&source.topic)).unwrap();
        self.tailer = Some(Tailer::new(vec![source], "agent".into(), queue.clone(), self.now).unwrap());
        self.queue = Some(queue);
    }

    fn queue(&self) -> &Arc<Queue> {
        self.queue.as_ref().unwrap()
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.path().join("logs").join(name)
    }

    /// Reads all, has it durable, and lets some time pass.
    fn settle(&mut self) {
        for _ in 0..4 {
            self.now += Duration::from_secs(6);
            let until = Instant::now() + LONG;
            while !matches!(self.tailer.as_mut().unwrap().step(self.now), Step::Until(_)) {
                assert!(Instant::now() < until, "the tailer never settles");
            }
            assert!(self.queue().flush(LONG));
        }
    }

    fn streams(&self) -> usize {
        self.queue().streams().len()
    }

    fn kill(&mut self) {
        self.tailer = None;
        if let Some(queue) = self.queue.take() {
            queue.abandon();
        }
    }
}

#[test]
fn a_file_that_is_announced_is_known_after_a_kill() {
    let mut life = Life::new(LONG);
    // An incomplete line: nothing of it can be in the queue.
    append(&life.log("a.log"), b"no end");
    life.now += Duration::from_secs(1);
    let now = life.now;
    life.tailer.as_mut().unwrap().step(now);
    assert!(life.queue().flush(LONG));
    life.kill();
    life.start();
    let streams = life.queue().streams();
    let spec = streams[0].spec();
    assert_eq!((streams.len(), spec.key, spec.head.len, spec.path.clone()), (1, 0, 6, life.log("a.log")));
    append(&life.log("a.log"), b" yet\n");
    fs::rename(life.log("a.log"), life.log("a.log.1")).unwrap();
    life.settle();
    let streams = life.queue().streams();
    assert!(streams.len() == 1 && streams[0].spec().key != 0 && streams[0].durable().end == 11, "{streams:?}");
    life.kill();
    life.start();
    assert_eq!((life.queue().streams().len(), life.queue().streams()[0].durable().end), (1, 11));
}

#[test]
fn a_hundred_thousand_records_cost_few_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(QueueOptions { dir: dir.path().into(), ..QueueOptions::default() }, &["logs".into()]).unwrap();
    let spec = |n: u64| crate::queue::StreamSpec {
        topic: "logs".into(),
        path: format!("/var/log/containers/application-{n}.log").into(),
        file: Some(crate::queue::FileIdentity { device: 1, inode: n, born_ns: 1 }),
        ..crate::queue::StreamSpec::default()
    };
    let begin = Instant::now();
    queue.announce((0..100_000).map(|n| (queue.declare(spec(n)), crate::queue::Position::default())).collect());
    assert!(queue.flush(LONG));
    let (took, syncs) = (begin.elapsed(), queue.status().syncs);
    println!("100,000 files announced in {took:?} with {syncs} syncs, {} bytes", queue.status().disk_bytes);
    assert!(syncs < 20, "{syncs}");
    queue.abandon();
    drop(queue);
    let queue = Queue::open(QueueOptions { dir: dir.path().into(), ..QueueOptions::default() }, &[]).unwrap();
    assert_eq!(queue.streams().len(), 100_000);
}

#[test]
fn files_that_come_and_go_leave_nothing_behind() {
    let (rounds, each) = std::env::var("FOREBAY_FILES").ok().and_then(|n| n.parse().ok()).map_or((4, 1000), |n: usize| (10, n / 10));
    let mut life = Life::new(Duration::ZERO);
    let mut most = 0;
    for round in 0..rounds {
        for n in 0..each {
            append(&life.log(&format!("{round}-{n}.log")), format!("line of file {n} in round {round}\n").as_bytes());
        }
        life.settle();
        for n in 0..each {
            fs::remove_file(life.log(&format!("{round}-{n}.log"))).unwrap();
        }
        life.settle();
        most = most.max(life.streams());
        if round == 1 {
            life.kill();
            life.start();
        }
    }
    // What the newest segments hold stays until newer ones come.
    let until = Instant::now() + LONG;
    let mut filler = 0;
    while life.streams() > 2 * each {
        assert!(Instant::now() < until, "{} streams", life.streams());
        append(&life.log("filler.log"), "and more\n".repeat(1000).as_bytes());
        filler += 1;
        life.settle();
    }
    println!("{} files came and went, at most {most} streams were known, now {}; {filler} more writes", rounds * each, life.streams());
    let tailer = life.tailer.as_ref().unwrap();
    let known = tailer.remembered.values().flatten().count();
    assert!(known < each && tailer.remembered_paths.len() <= each && tailer.seen_since.len() <= each + 1, "{known}");
}

#[test]
fn what_may_come_again_is_not_forgotten() {
    // Whether a look falls between the copy and the end of its original makes no difference.
    for looks in [false, true] {
        let mut life = Life::new(Duration::ZERO);
        // Long enough for a copy to prove itself by what the queue remembers.
        let lines = |name: &str| (0..300).map(|n| format!("line {n} of {name}\n")).collect::<String>();
        let all = ["packed.log", "copied.log", "gone.log", "there.log"];
        for name in all {
            append(&life.log(name), lines(name).as_bytes());
        }
        life.settle();
        fs::copy(life.log("copied.log"), life.log("copied.log.bak")).unwrap();
        compress(&life.log("packed.log"), &life.log("packed.log.1.gz"));
        if looks {
            life.settle();
        }
        for name in ["copied.log", "gone.log"] {
            fs::remove_file(life.log(name)).unwrap();
        }
        let names = |life: &Life| {
            let mut names: Vec<_> = life.queue().streams().iter().map(|s| s.spec().path.file_name().unwrap().to_owned()).collect();
            names.sort();
            names
        };
        let read = |life: &Life| life.tailer.as_ref().unwrap().shared.sources[0].counters.status().read_events;
        let (until, mut written) = (Instant::now() + LONG, 4 * 300);
        while names(&life).iter().any(|n| n == "gone.log") {
            assert!(Instant::now() < until, "{:?}", names(&life));
            append(&life.log("there.log"), "and more\n".repeat(1000).as_bytes());
            written += 1000;
            life.settle();
        }
        assert_eq!(names(&life), ["copied.log", "packed.log", "there.log"], "{looks}");
        assert_eq!(read(&life), written, "{looks}: nothing is read twice");
        life.kill();
        life.start();
        life.settle();
        assert_eq!(read(&life), 0, "{looks}: nothing is read twice after a kill: {:#?}", life.tailer.as_ref().unwrap().files);
    }
}
