//! The hot path asks for no memory for an event: what it allocates in the steady state goes by batches and requests. Nor
//! does a chain of processors, for an event or for a field.
//!
//! The agent runs in this process, so that its allocator can be counted; the receiver's threads are left out.

#[path = "../benches/common/mod.rs"]
mod receiver;

#[cfg(debug_assertions)]
use forebay::process::fuzzing::Lines;
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

/// Of all threads that are not left out.
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static LEFT_OUT: Cell<bool> = const { Cell::new(false) };
    /// Of this thread.
    static OWN: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    let _ = OWN.try_with(|n| n.set(n.get() + 1));
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

/// Allocations of the lines, once all buffers have the size that they need.
#[cfg(debug_assertions)]
fn allocated(chain: &str, lines: &[String]) -> u64 {
    let mut through = Lines::new(chain).unwrap_or_else(|| panic!("{chain}"));
    for _ in 0..3 {
        assert!(lines.iter().all(|line| !through.send(line).windows(16).any(|w| w == b"_forebay_failure")), "{chain}");
    }
    let before = OWN.get();
    let sent = lines.iter().filter(|line| !through.send(line).is_empty()).count();
    let after = OWN.get();
    assert!(sent > 0, "{chain}");
    after - before
}

#[cfg(debug_assertions)]
#[test]
fn neither_an_event_nor_a_field_costs_an_allocation() {
    LEFT_OUT.set(true);
    let counted = OWN.get();
    drop(std::hint::black_box(Box::new(1u64)));
    assert_eq!(OWN.get() - counted, 1, "it counts");

    let json = |n: u32| {
        format!(
            r#"{{"ts":"2026-03-09T10:15:02.{n:03}Z","log.level":"info","message":"order {n} \"paid\" \u00e9","user":{{"id":{n}}},"tags":["a","b"],"took":1.{n}}}"#
        )
    };
    let access = |n: u32| {
        format!(
            r#"192.0.2.{} - - [09/Mar/2026:10:15:{:02} +0100] "GET /item/{n}?a=b HTTP/1.1" 200 {n} "http://example.org/{n}" "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.{n}.0 Safari/537.36""#,
            n % 256,
            n % 60
        )
    };
    let lines = |line: &dyn Fn(u32) -> String| (0..500).map(line).collect::<Vec<_>>();
    let (json, access) = (lines(&json), lines(&access));
    let (pairs, values) = (lines(&|n| format!("level=info n={n} msg=\"a \\\"b\\\"\"")), lines(&|n| format!("{n},\"a \"\"b\"\"\",c")));
    for (chain, lines) in [
        ("[{json: {}}, {timestamp: {field: ts, formats: iso8601, remove_source: true}}, {convert: {fields: {user.id: string}}}]", &json),
        (
            "[{json: {target: a.b}}, {drop: {when: 'log.level in [\"debug\"]'}}, {set: {fields: {service.name: shop}, copy: {x: a.b.user}}}]",
            &json,
        ),
        ("[{grok: {patterns: ['%{SYSLOGLINE}', '%{COMBINEDAPACHELOG}']}}, {user_agent: {}}]", &access),
        ("[{grok: {anchored: true, patterns: '%{COMBINEDAPACHELOG}'}}]", &access),
        (
            r#"[{regex: {patterns: '^(?<source.address>\S+) \S+ \S+ \[(?<ts>[^\]]+)\] "(?<http.request.method>\S+) (?<url.original>\S+)'}}, {timestamp: {field: ts, formats: '%d/%b/%Y:%H:%M:%S %z', remove_source: true}}]"#,
            &access,
        ),
        (
            "[{dissect: {pattern: '%{source.address} - - [%{ts}] \"%{http.request.method} %{}'}}, {truncate: {fields: message, max_bytes: 64}}]",
            &access,
        ),
        ("[{kv: {target: kv}}, {fingerprint: {fields: [kv.n, kv.msg], secret: 0123456789abcdef}}]", &pairs),
        ("[{csv: {fields: [a, b, c]}}, {split: {field: b, separator: ' '}}, {uppercase: {fields: c}}]", &values),
        ("[{parse: nginx.access}]", &access),
        ("[{parse: {preset: [postgres, nginx.access], keep_original: true}}]", &access),
        ("[{sample: {rate: 0.5, key: message}}, {throttle: {limit: 100, key: a}}, {dedupe: {}}]", &values),
    ] {
        let found = allocated(chain, lines);
        assert_eq!(found, 0, "{chain}: {found} allocations for {} lines", lines.len());
    }
    // Of presets too. Those that have to find out which form of time a line has pay one for each form that it has not.
    const GUESS: [&str; 8] = ["apache.error", "java.log4j2", "java.logback", "mysql.error", "postgres", "python", "rails", "syslog"];
    for preset in forebay::process::fuzzing::presets() {
        let found = allocated(&format!("[{{parse: {}}}]", preset.name), &preset.events);
        let most = if GUESS.contains(&preset.name) { 3 * preset.events.len() as u64 } else { 0 };
        assert!(found <= most, "{}: {found} allocations for {} events", preset.name, preset.events.len());
    }
}
