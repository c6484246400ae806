//! Random histories of writing, rotating, looking and dying: every line exactly once.

use super::compressed::compress;
use super::rig::Rig;
use proptest::prelude::*;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
enum Op {
    Append(u8),
    Rotate,
    Look,
    Kill(u8),
    Restart,
    Pass(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1u8..40).prop_map(Op::Append),
        3 => Just(Op::Rotate),
        3 => Just(Op::Look),
        1 => (0u8..100).prop_map(Op::Kill),
        2 => Just(Op::Restart),
        1 => (1u8..20).prop_map(Op::Pass),
    ]
}

/// How a file is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Rename,
    Copy,
    /// Renamed and compressed at once.
    Gzip,
    /// Copied, truncated, and the copy compressed at once.
    CopyGzip,
    /// Renamed, and compressed at the next rotation (`delaycompress`).
    LateZstd,
}

struct Writer {
    next: u32,
}

impl Writer {
    fn append(&mut self, rig: &Rig, lines: u8) {
        for _ in 0..lines {
            rig.append("a.log", format!("line {:06} {}\n", self.next, "x".repeat((self.next % 50) as usize)));
            self.next += 1;
        }
    }

    fn rotate(&mut self, rig: &Rig, how: How) {
        for k in (1..40).rev() {
            for end in ["", ".gz", ".zst"] {
                if rig.path(&format!("a.log.{k}{end}")).exists() {
                    rig.rename(&format!("a.log.{k}{end}"), &format!("a.log.{}{end}", k + 1));
                }
            }
        }
        match how {
            How::Copy | How::CopyGzip => rig.copytruncate("a.log", "a.log.1"),
            _ if rig.path("a.log").exists() => rig.rename("a.log", "a.log.1"),
            _ => {}
        }
        let (from, to) = if how == How::LateZstd { ("a.log.2", "a.log.2.zst") } else { ("a.log.1", "a.log.1.gz") };
        if !matches!(how, How::Rename | How::Copy) && rig.path(from).exists() {
            compress(&rig.path(from), &rig.path(to));
        }
    }
}

fn history(globs: &[&str], ops: &[Op], how: How, blind: bool) -> Result<(), TestCaseError> {
    let (mut rig, mut writer) = (Rig::new(globs), Writer { next: 0 });
    if blind {
        rig.tailer().watcher.blind();
    }
    // Announced while there is nothing to read, so that the queue knows it whatever is durable.
    rig.append("a.log", "");
    rig.settle();
    writer.append(&rig, 2);
    rig.settle();
    for op in ops {
        match *op {
            Op::Append(lines) => writer.append(&rig, lines),
            Op::Rotate => writer.rotate(&rig, how),
            Op::Look => {
                if rig.tailer.is_some() {
                    rig.settle();
                }
            }
            Op::Kill(keep) => {
                rig.kill(rig.fake.len() * usize::from(keep) / 100);
            }
            Op::Restart => {
                if rig.tailer.is_none() {
                    rig.start();
                    if blind {
                        rig.tailer().watcher.blind();
                    }
                }
            }
            Op::Pass(seconds) => {
                if rig.tailer.is_some() {
                    rig.pass(Duration::from_secs(seconds.into()));
                }
            }
        }
    }
    if rig.tailer.is_none() {
        rig.start();
    }
    rig.settle();
    rig.pass(Duration::from_secs(20));
    let mut got: Vec<u32> = rig.fake.lines().iter().map(|l| l[5..11].parse().unwrap()).collect();
    got.sort_unstable();
    prop_assert_eq!(got, (0..writer.next).collect::<Vec<_>>());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn renames_and_kills_lose_and_double_nothing(ops in prop::collection::vec(op(), 1..25)) {
        history(&["*.log"], &ops, How::Rename, false)?;
        history(&["*.log*"], &ops, How::Rename, false)?;
    }

    #[test]
    fn copies_and_restarts_lose_and_double_nothing(ops in prop::collection::vec(op(), 1..25)) {
        history(&["*.log"], &ops, How::Copy, false)?;
        history(&["*.log*"], &ops, How::Copy, false)?;
    }

    #[test]
    fn without_hints_renames_and_kills_lose_and_double_nothing(ops in prop::collection::vec(op(), 1..25)) {
        history(&["*.log"], &ops, How::Rename, true)?;
        history(&["*.log*"], &ops, How::Rename, true)?;
    }

    #[test]
    fn without_hints_copies_and_restarts_lose_and_double_nothing(ops in prop::collection::vec(op(), 1..25)) {
        history(&["*.log"], &ops, How::Copy, true)?;
        history(&["*.log*"], &ops, How::Copy, true)?;
    }

    #[test]
    fn compression_and_kills_lose_and_double_nothing(ops in prop::collection::vec(op(), 1..25), blind: bool) {
        for how in [How::Gzip, How::LateZstd] {
            history(&["*.log"], &ops, how, blind)?;
            history(&["*.log*"], &ops, how, blind)?;
        }
    }

    #[test]
    fn compressed_copies_and_restarts_lose_and_double_nothing(ops in prop::collection::vec(op(), 1..25), blind: bool) {
        history(&["*.log"], &ops, How::CopyGzip, blind)?;
        history(&["*.log*"], &ops, How::CopyGzip, blind)?;
    }
}
