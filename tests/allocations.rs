//! A chain works in buffers that are used again: in the steady state neither an event nor a field costs an allocation.
#![cfg(debug_assertions)]

use forebay::process::fuzzing::Lines;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local!(static ALLOCATED: Cell<u64> = const { Cell::new(0) });

/// The system's allocator, which counts for each thread by itself.
struct Counting;

// SAFETY: all is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATED.try_with(|n| n.set(n.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATED.try_with(|n| n.set(n.get() + 1));
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations of the lines, once all buffers have the size that they need.
fn allocated(chain: &str, lines: &[String]) -> u64 {
    let mut through = Lines::new(chain).unwrap_or_else(|| panic!("{chain}"));
    for _ in 0..3 {
        assert!(lines.iter().all(|line| !through.send(line).windows(16).any(|w| w == b"_forebay_failure")), "{chain}");
    }
    let before = ALLOCATED.get();
    let sent = lines.iter().filter(|line| !through.send(line).is_empty()).count();
    let after = ALLOCATED.get();
    assert!(sent > 0, "{chain}");
    after - before
}

#[test]
fn neither_an_event_nor_a_field_costs_an_allocation() {
    let counted = ALLOCATED.get();
    drop(std::hint::black_box(Box::new(1u64)));
    assert_eq!(ALLOCATED.get() - counted, 1, "it counts");

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
        ("[{sample: {rate: 0.5, key: message}}, {throttle: {limit: 100, key: a}}, {dedupe: {}}]", &values),
    ] {
        let found = allocated(chain, lines);
        assert_eq!(found, 0, "{chain}: {found} allocations for {} lines", lines.len());
    }
}
