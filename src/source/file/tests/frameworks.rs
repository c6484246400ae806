//! Rotation as frameworks of logging do it, with the same system calls in the same order.

use super::compressed::compress;
use super::rig::Rig;
use proptest::prelude::*;
use std::fs;
use std::time::Duration;

/// How a file is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pattern {
    /// Python's `RotatingFileHandler`: `app.log.1` and on.
    PythonSize,
    /// Python's `TimedRotatingFileHandler`, and logrotate's `dateext`: `app.log.2026-11-22_10-00-01`.
    PythonTimed,
    /// logback's `FixedWindowRollingPolicy`: `app.1.log` and on.
    LogbackFixed,
    /// logback's `SizeAndTimeBasedRollingPolicy` with `file`: `app-2026-11-22.0.log`.
    LogbackTime,
    /// The same without `file`: written under its last name from the beginning.
    LogbackDirect,
    /// The same with `.gz` in the pattern: compressed once it is full.
    LogbackDirectGzip,
    /// log4j2's `RollingFile` with `fileIndex=min` and `app-%i.log.gz`: the newest is 1.
    Log4jMin,
    /// The same with `nomax`, and `max` as long as it is not reached: the newest has the greatest number.
    Log4jMax,
    /// log4j2 without `fileName`: `app-2026-11-22-1.log`, compressed once it is full.
    Log4jDirect,
    /// The kubelet's, behind a link, of which alone the source knows: compressed one rotation later.
    Kubelet,
}

use Pattern::*;
const ALL: [Pattern; 9] =
    [PythonSize, PythonTimed, LogbackFixed, LogbackTime, LogbackDirect, LogbackDirectGzip, Log4jMin, Log4jMax, Log4jDirect];

impl Pattern {
    /// The name that is written to after `rotations`.
    fn live(self, rotations: u32) -> String {
        match self {
            LogbackDirect | LogbackDirectGzip => format!("app-2026-11-22.{rotations}.log"),
            Log4jDirect => format!("app-2026-11-22-{}.log", rotations + 1),
            Kubelet => "pods/ns_x_1/c/0.log".into(),
            _ => "app.log".into(),
        }
    }

    fn rotate(self, rig: &Rig, rotations: u32) {
        let live = self.live(rotations);
        if !rig.path(&live).exists() {
            return;
        }
        let shift = |name: &dyn Fn(u32) -> String| {
            for k in (1..60).rev().filter(|k| rig.path(&name(*k)).exists()) {
                rig.rename(&name(k), &name(k + 1));
            }
        };
        let gzip = |from: &str| compress(&rig.path(from), &rig.path(&format!("{from}.gz")));
        match self {
            PythonSize => {
                shift(&|k| format!("app.log.{k}"));
                rig.rename(&live, "app.log.1");
            }
            PythonTimed => rig.rename(&live, &format!("app.log.2026-11-22_10-{:02}-{:02}", rotations / 60, rotations % 60)),
            LogbackFixed => {
                shift(&|k| format!("app.{k}.log"));
                rig.rename(&live, "app.1.log");
            }
            LogbackTime => rig.rename(&live, &format!("app-2026-11-22.{rotations}.log")),
            LogbackDirect => {}
            Log4jMin => {
                shift(&|k| format!("app-{k}.log.gz"));
                rig.rename(&live, "app-1.log");
                gzip("app-1.log");
            }
            Log4jMax => {
                let name = format!("app-{}.log", rotations + 1);
                rig.rename(&live, &name);
                gzip(&name);
            }
            LogbackDirectGzip | Log4jDirect => gzip(&live),
            Kubelet => {
                let name = |n: u32| format!("{live}.20260101-{n:06}");
                if let Some(last) = rotations.checked_sub(1).map(name).filter(|n| rig.path(n).exists()) {
                    compress(&rig.path(&last), &rig.path(&format!("{last}.tmp")));
                    rig.rename(&format!("{last}.tmp"), &format!("{last}.gz"));
                }
                rig.rename(&live, &name(rotations));
                rig.append(&live, "");
            }
        }
    }
}

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

fn history(pattern: Pattern, glob: &str, ops: &[Op], blind: bool) -> Result<(), TestCaseError> {
    let mut rig = Rig::new(&[glob]);
    if pattern == Kubelet {
        fs::create_dir_all(rig.path("pods/ns_x_1/c")).unwrap();
        fs::create_dir(rig.path("containers")).unwrap();
        std::os::unix::fs::symlink("../pods/ns_x_1/c/0.log", rig.path("containers/x.log")).unwrap();
        rig.start();
    }
    rig.tailer().watcher.set_blind(blind);
    let (mut next, mut rotations) = (0u32, 0u32);
    let write = |rig: &Rig, lines: u8, next: &mut u32, rotations: u32| {
        for _ in 0..lines {
            rig.append(&pattern.live(rotations), format!("line {next:06} {}\n", "x".repeat((*next % 50) as usize)));
            *next += 1;
        }
    };
    write(&rig, 2, &mut next, rotations);
    rig.settle();
    for op in ops {
        match *op {
            Op::Append(lines) => write(&rig, lines, &mut next, rotations),
            Op::Rotate => {
                pattern.rotate(&rig, rotations);
                rotations += 1;
            }
            Op::Kill(keep) => {
                // The first block must be durable, or the queue does not know the file at all.
                let keep = (rig.fake.len() * usize::from(keep) / 100).max(1);
                rig.kill(keep);
            }
            Op::Restart if rig.tailer.is_none() => {
                rig.start();
                rig.tailer().watcher.set_blind(blind);
            }
            Op::Look if rig.tailer.is_some() => rig.settle(),
            Op::Pass(seconds) if rig.tailer.is_some() => rig.pass(Duration::from_secs(seconds.into())),
            _ => {}
        }
    }
    if rig.tailer.is_none() {
        rig.start();
    }
    rig.settle();
    rig.pass(Duration::from_secs(20));
    let mut got: Vec<u32> = rig.fake.lines().iter().map(|l| l[5..11].parse().unwrap()).collect();
    got.sort_unstable();
    prop_assert_eq!(got, (0..next).collect::<Vec<_>>(), "{:?} {} {:?}", pattern, glob, fs::read_dir(rig.dir.path()).map(|d| d.count()));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(25))]
    #[test]
    fn frameworks_and_kills_lose_and_double_nothing(ops in prop::collection::vec(op(), 1..25), blind: bool) {
        for pattern in ALL {
            for glob in ["*.log", "*.log*", "app*.log"] {
                history(pattern, glob, &ops, blind)?;
            }
        }
        history(Kubelet, "containers/*.log", &ops, blind)?;
    }
}

#[test]
fn a_pod_whose_log_is_rotated_before_it_was_read_is_read_once() {
    let ops = [Op::Rotate, Op::Pass(1), Op::Append(1), Op::Rotate, Op::Rotate];
    for _ in 0..10 {
        history(Kubelet, "containers/*.log", &ops, false).unwrap();
    }
}

#[test]
fn a_window_that_slides_deletes_only_what_was_read() {
    // log4j2 with `max=3`: the oldest goes, the others take the number below.
    for glob in ["*.log", "*.log*"] {
        let mut rig = Rig::new(&[glob]);
        let mut want = Vec::new();
        for i in 0..12 {
            let line = format!("line {i:02}");
            rig.append("app.log", format!("{line}\n"));
            want.push(line);
            rig.settle();
            if i % 5 == 4 {
                rig.kill(usize::MAX);
                rig.start();
            }
            if rig.path("app-3.log.gz").exists() {
                fs::remove_file(rig.path("app-1.log.gz")).unwrap();
                rig.rename("app-2.log.gz", "app-1.log.gz");
                rig.rename("app-3.log.gz", "app-2.log.gz");
            }
            let free = (1..=3).find(|k| !rig.path(&format!("app-{k}.log.gz")).exists()).unwrap();
            rig.rename("app.log", &format!("app-{free}.log"));
            compress(&rig.path(&format!("app-{free}.log")), &rig.path(&format!("app-{free}.log.gz")));
        }
        rig.pass(Duration::from_secs(20));
        let want: Vec<&str> = want.iter().map(String::as_str).collect();
        rig.expect_sorted(&want);
        assert_eq!(rig.status().lost_bytes, 0);
    }
}

#[test]
fn logs_that_differ_in_a_number_are_logs_of_their_own() {
    let mut rig = Rig::new(&["app*.log"]);
    for name in ["app.log", "app-8080.log", "app-8081.log"] {
        rig.append(name, format!("banner\n{name}\n"));
    }
    rig.settle();
    rig.append("app-8082.log", "banner\napp-8082.log\n");
    rig.rename("app-8080.log", "app-8080.log.1");
    compress(&rig.path("app-8080.log.1"), &rig.path("app-8080.log.1.gz"));
    rig.append("app-8080.log", "banner\nagain\n");
    rig.pass(Duration::from_secs(20));
    rig.expect_sorted(&[
        "again",
        "app-8080.log",
        "app-8081.log",
        "app-8082.log",
        "app.log",
        "banner",
        "banner",
        "banner",
        "banner",
        "banner",
    ]);
    let mut paths: Vec<_> = rig.fake.specs().into_iter().map(|s| s.path).collect();
    paths.sort();
    let of = |names: &[&str]| names.iter().map(|n| rig.path(n)).collect::<Vec<_>>();
    assert_eq!(paths, of(&["app-8080.log", "app-8080.log", "app-8081.log", "app-8082.log", "app.log"]));
}
