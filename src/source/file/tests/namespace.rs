//! Tests that need a kernel of their own, nearly: they run again within namespaces, where a test may mount, lower limits
//! and be denied things without touching the rest of the machine.

use std::fs::File;
use std::process::Command;

const INSIDE: &str = "FOREBAY_TEST_INSIDE";

/// Runs the test `name` (of this folder) again by the command `by`, such as `unshare -Ur`; whether this is that run. Where
/// the machine has no such thing, the test is skipped.
pub(super) fn inside(name: &str, by: &[&str]) -> bool {
    let name = format!("source::file::tests::{name}");
    if std::env::var(INSIDE).is_ok_and(|inside| inside == name) {
        return true;
    }
    let start = || {
        let mut command = Command::new(by[0]);
        command.args(&by[1..]);
        command
    };
    if !start().arg("true").output().is_ok_and(|o| o.status.success()) {
        eprintln!("skipped: `{}` does not work here", by.join(" "));
        return false;
    }
    // By its open file: its path may lead to another one by now, if the tests were built anew meanwhile.
    let mut command = start();
    command.arg("/proc/self/fd/0").args(["--exact", &name, "--nocapture"]).env(INSIDE, &name);
    let output = command.stdin(File::open("/proc/self/exe").unwrap()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{name} by {by:?}:\n{out}\n{err}");
    false
}

/// Runs a command that may not be granted here; whether it was.
pub(super) fn granted(command: &str) -> bool {
    let output = Command::new("sh").args(["-ec", command]).output().unwrap();
    if !output.status.success() {
        eprintln!("skipped: `{command}`: {}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.success()
}
