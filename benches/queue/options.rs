//! What can be asked for.

use crate::common::arguments::arguments;
use forebay::queue::BLOCK_BYTES;
use std::path::PathBuf;

const HELP: &str = "\
cargo bench --bench queue -- [options]

  --bytes N        bytes of events of each run of append and read (default 1GiB)
  --runs N         runs of each measurement; the median is shown (default 3)
  --start-bytes N  bytes in the queue whose start is measured (default 1GiB)
  --groups N       consumer groups at the head, beside one (default 100)
  --size N         bytes of a line (default 200)
  --only LIST      of machine,append,sync,read,groups,start (default: all)
  --dir DIR        where the files go (default: a temporary folder in the system's)
  --json           one JSON object a row instead of the table

N may end in KiB, MiB or GiB. The files take about twice the larger of --bytes and --start-bytes.";

pub struct Options {
    pub bytes: u64,
    pub runs: usize,
    pub start_bytes: u64,
    pub groups: usize,
    pub size: usize,
    pub only: Vec<String>,
    pub dir: Option<PathBuf>,
    pub json: bool,
}

fn bytes_of(text: &str) -> u64 {
    let (number, shift) = [("KiB", 10), ("MiB", 20), ("GiB", 30)]
        .iter()
        .find_map(|(unit, shift)| text.strip_suffix(unit).map(|n| (n, *shift)))
        .unwrap_or((text, 0));
    number.trim().parse::<u64>().unwrap_or_else(|_| panic!("{text} is no number of bytes")) << shift
}

pub fn options() -> Options {
    let mut o = Options { bytes: 1 << 30, runs: 3, start_bytes: 1 << 30, groups: 100, size: 200, only: Vec::new(), dir: None, json: false };
    arguments(HELP, |name, value| {
        match name {
            "--bytes" => o.bytes = bytes_of(&value()),
            "--runs" => o.runs = value().parse().expect("--runs N"),
            "--start-bytes" => o.start_bytes = bytes_of(&value()),
            "--groups" => o.groups = value().parse().expect("--groups N"),
            "--size" => o.size = value().parse().expect("--size N"),
            "--only" => o.only = value().split(',').map(str::to_string).collect(),
            "--dir" => o.dir = Some(value().into()),
            "--json" => o.json = true,
            _ => return false,
        }
        true
    });
    assert!(o.runs > 0 && o.size > 1 && o.size <= BLOCK_BYTES, "--runs and --size must be sensible");
    o
}
