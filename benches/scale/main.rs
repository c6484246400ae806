//! Many files, and few: what following them costs, and how fast a line is safe, measured from outside on the real binary.
//!
//! `cargo bench --bench scale` prints one table with the bars beside the figures; `-- --check` fails when one is missed, and
//! `-- --help` lists the options. Nothing is shipped: the figures are those of the way into the queue. What is durable is
//! what the agent says of its queue (`durable_offset` in `/status`), asked about every other millisecond.

mod agent;
#[path = "../common/mod.rs"]
mod common;
mod latency;
mod many;
mod options;
mod table;
mod writing;

use options::Options;
use std::fs;
use std::path::Path;
use std::time::Duration;
use table::Table;

/// Between two questions for what is durable.
const ASK: Duration = Duration::from_millis(2);
const MIB: f64 = (1u64 << 20) as f64;

fn main() {
    let o = options::options();
    let base = o.dir.clone().unwrap_or_else(std::env::temp_dir);
    fs::create_dir_all(&base).expect("the folder of --dir");
    let dir = tempfile::Builder::new().prefix("forebay-scale-").disable_cleanup(o.keep).tempdir_in(&base).expect("a temporary folder");
    let mut table = Table::default();
    Table::head();
    for (name, part) in [("low", latency::low as fn(&Options, &Path, &mut Table)), ("noisy", latency::noisy), ("many", many::many)] {
        if o.only.is_empty() || o.only.iter().any(|only| only == name) {
            let dir = dir.path().join(name);
            fs::create_dir_all(&dir).expect("a folder");
            part(&o, &dir, &mut table);
            if !o.keep {
                let _ = fs::remove_dir_all(&dir);
            }
        }
    }
    if o.check && table.missed > 0 {
        eprintln!("{} bars are missed", table.missed);
        std::process::exit(1);
    }
}
