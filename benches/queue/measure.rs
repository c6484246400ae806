//! What is measured, and the table of it.

use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::time::Instant;

/// Seconds, bytes and CPU seconds of one run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub bytes: u64,
    pub wall: f64,
    pub cpu: f64,
}

fn cpu_seconds() -> f64 {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

/// What `work`, which gives its bytes, costs.
pub fn measure(work: impl FnOnce() -> u64) -> Cost {
    let (cpu, begun) = (cpu_seconds(), Instant::now());
    let bytes = work();
    Cost { bytes, wall: begun.elapsed().as_secs_f64(), cpu: cpu_seconds() - cpu }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A field of `/proc/self/status`, bytes.
pub fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kb = status.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':')?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kb.unwrap_or(0) * 1024
}

pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The table, a row at a time.
pub struct Table {
    pub json: bool,
}

impl Table {
    pub fn head(&self) {
        if !self.json {
            println!("| what | MB | wall s | GB/s | CPU s/GB | GB/CPU s | besides |");
            println!("|---|---|---|---|---|---|---|");
        }
    }

    /// Medians of `costs`.
    pub fn row(&self, what: &str, costs: &[Cost], besides: &str) {
        let bytes = costs.iter().map(|c| c.bytes).max().unwrap_or(0) as f64;
        let wall = median(costs.iter().map(|c| c.wall).collect());
        let cpu = median(costs.iter().map(|c| c.cpu).collect());
        let gb = bytes / 1e9;
        if self.json {
            let row = serde_json::json!({"what": what, "bytes": bytes, "wall_s": wall, "cpu_s": cpu, "besides": besides});
            println!("{row}");
        } else if bytes == 0.0 {
            println!("| {what} | | {wall:.3} | | | | {besides} |");
        } else {
            println!("| {what} | {:.0} | {wall:.3} | {:.2} | {:.3} | {:.2} | {besides} |", bytes / 1e6, gb / wall, cpu / gb, gb / cpu);
        }
    }
}
