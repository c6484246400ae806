//! What can be asked for.

use crate::common::arguments::arguments;
use std::path::PathBuf;

const HELP: &str = "\
cargo bench --bench scale -- [options]

  --files N          files that are followed (default 100000)
  --lines N          lines that each holds at the first start (default 10)
  --active N         how many of them grow by a line a second (default 1000)
  --seconds N        how long each rest is measured (default 30)
  --rate N           MB/s that the noisy file is to grow by (default 500)
  --noisy-seconds N  for so long (default 10)
  --low-seconds N    how long latency is measured at 10 lines a second (default 30)
  --only LIST        of many,noisy,low (default: all)
  --check            exit code 1 when a bar is missed
  --agent PATH       another binary than the one just built
  --dir DIR          where the files go (default: a temporary folder in the system's)
  --keep             leave the files where they are";

pub struct Options {
    pub files: usize,
    pub lines: usize,
    pub active: usize,
    pub seconds: u64,
    pub rate: u64,
    pub noisy_seconds: u64,
    pub low_seconds: u64,
    pub only: Vec<String>,
    pub check: bool,
    pub agent: PathBuf,
    pub dir: Option<PathBuf>,
    pub keep: bool,
}

pub fn options() -> Options {
    let agent = PathBuf::from(env!("CARGO_BIN_EXE_forebay"));
    let (only, dir) = (Vec::new(), None);
    let mut o = Options {
        files: 100_000,
        lines: 10,
        active: 1000,
        seconds: 30,
        rate: 500,
        noisy_seconds: 10,
        low_seconds: 30,
        only,
        check: false,
        agent,
        dir,
        keep: false,
    };
    if !std::env::args().any(|a| a == "--bench") {
        // Run as a test: that it works is all that is wanted.
        o = Options { files: 300, active: 20, seconds: 1, rate: 20, noisy_seconds: 1, low_seconds: 1, ..o };
    }
    arguments(HELP, |name, value| {
        let number = |text: String| text.parse::<u64>().unwrap_or_else(|_| panic!("{text} is no number"));
        match name {
            "--files" => o.files = number(value()) as usize,
            "--lines" => o.lines = number(value()) as usize,
            "--active" => o.active = number(value()) as usize,
            "--seconds" => o.seconds = number(value()),
            "--rate" => o.rate = number(value()),
            "--noisy-seconds" => o.noisy_seconds = number(value()),
            "--low-seconds" => o.low_seconds = number(value()),
            "--only" => o.only = value().split(',').map(str::to_string).collect(),
            "--check" => o.check = true,
            "--agent" => o.agent = value().into(),
            "--dir" => o.dir = Some(value().into()),
            "--keep" => o.keep = true,
            _ => return false,
        }
        true
    });
    assert!(o.active <= o.files && o.lines > 0 && o.rate > 0, "--active, --lines and --rate must be sensible");
    o
}
