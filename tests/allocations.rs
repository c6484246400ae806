//! The hot path asks for no memory for an event: what it allocates in the steady state goes by batches and requests.
//!
//! The agent runs in this process, so that its allocator can be counted; the receiver's threads are left out.

#[path = "../benches/common/mod.rs"]
mod receiver;

use forebay::{agent, config};
use receiver::Receiver;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A loaded machine is no failure.
const PATIENCE: Duration = Duration::from_secs(120);

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static LEFT_OUT: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

fn count() {
    if !LEFT_OUT.try_with(Cell::get).unwrap_or(true) {
        ALLOCATIONS.fetch_add(1, Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Appends `bytes` bytes of lines of `size` bytes; gives how many lines.
fn append(path: &Path, bytes: usize, size: usize) -> u64 {
    let mut file = OpenOptions::new().append(true).open(path).expect("the log");
    let line = format!("{}\n", "x".repeat(size - 1));
    let chunk = line.repeat(bytes / size);
    file.write_all(chunk.as_bytes()).expect("room for the log");
    (bytes / size) as u64
}

#[test]
fn what_is_allocated_goes_by_requests_not_by_events() {
    LEFT_OUT.set(true);
    const BYTES: usize = 12 << 20;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (log, pipeline) = (dir.path().join("app.log"), dir.path().join("pipeline.yaml"));
    File::create(&log).expect("a log");
    let receiver = Receiver::start_with(|| LEFT_OUT.set(true));
    let count = receiver.count.clone();
    let text = format!(
        "data_dir: {dir}/data\nadmin: off\nsources:\n  app: {{type: file, include: [{log}]}}\nsinks:\n  search: {{type: elasticsearch, endpoints: [\"{url}\"], index: logs}}\n",
        dir = dir.path().display(),
        log = log.display(),
        url = receiver.url()
    );
    std::fs::write(&pipeline, text).expect("room for the pipeline");
    let config = config::load(&[PathBuf::from(&pipeline)], &|_| None).unwrap_or_else(|_| panic!("a right pipeline"));
    let running = std::thread::spawn(move || agent::run(config));
    let wait = |documents: u64| {
        let until = Instant::now() + PATIENCE;
        let mut guard = count.changed.0.lock().expect("not poisoned");
        while count.documents.load(Relaxed) < documents {
            assert!(Instant::now() < until, "{} of {documents} events came", count.documents.load(Relaxed));
            guard = count.changed.1.wait_timeout(guard, Duration::from_millis(50)).expect("not poisoned").0;
        }
    };
    // Buffers, connections, tables.
    let mut sent = append(&log, BYTES, 200);
    wait(sent);
    let mut of = |size: usize| {
        let before = (ALLOCATIONS.load(Relaxed), count.requests.load(Relaxed));
        let events = append(&log, BYTES, size);
        sent += events;
        wait(sent);
        let (allocations, requests) = (ALLOCATIONS.load(Relaxed) - before.0, count.requests.load(Relaxed) - before.1);
        println!("lines of {size} bytes: {events} events, {requests} requests, {allocations} allocations");
        (allocations as f64 / events as f64, allocations as f64 / (requests as f64 + (BYTES >> 20) as f64))
    };
    let (long_event, long) = of(400);
    let (short_event, short) = of(40);
    assert!(long_event < 0.2 && short_event < 0.05, "{long_event} and {short_event} allocations an event");
    assert!(short < 2.0 * long + 100.0, "ten times the events in a request: {short} rather than {long} allocations for each and each MiB");
    let me = rustix::process::getpid();
    rustix::process::kill_process(me, rustix::process::Signal::TERM).expect("a signal");
    assert!(running.join().expect("the agent ends").is_ok());
}
