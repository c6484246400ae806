//! Limits of inotify, hints that are dropped, and polling.

use super::namespace::{granted, inside};
use super::rig::Rig;
use crate::source::file::{FileOptions, Watch};
use std::fs;
use std::time::Duration;

const WATCHES: &str = "/proc/sys/user/max_inotify_watches";
const INSTANCES: &str = "/proc/sys/user/max_inotify_instances";

#[test]
fn more_directories_than_the_kernel_watches_are_listed_until_it_watches_them() {
    if !inside("watching::more_directories_than_the_kernel_watches_are_listed_until_it_watches_them", &["unshare", "-Ur"])
        || !granted(&format!("echo 4 > {WATCHES}"))
    {
        return;
    }
    let mut rig = Rig::new(&["**/*.log"]);
    let names: Vec<String> = (0..10).map(|i| format!("d{i}/a.log")).collect();
    for name in &names {
        fs::create_dir(rig.path(name).parent().unwrap()).unwrap();
        rig.append(name, format!("{name} 1\n"));
    }
    rig.settle();
    let status = rig.status();
    assert_eq!(status.polled_dirs, 7, "{status:?}");
    let said = &status.last_error;
    assert!(said.contains("7 of 11 directories are listed every 1.0 s instead; nothing is lost"), "{said}");
    assert!(said.contains("Raise fs.inotify.max_user_watches (now "), "{said}");
    names.iter().for_each(|name| rig.append(name, format!("{name} 2\n")));
    fs::create_dir(rig.path("late")).unwrap();
    rig.append("late/a.log", "late\n");
    rig.pass(Duration::from_secs(2));
    assert_eq!(rig.fake.lines().len(), 21);
    // More is granted. What was written just before the watch was set was not announced, and is found.
    assert!(granted(&format!("echo 1000 > {WATCHES}")));
    names.iter().for_each(|name| rig.append(name, format!("{name} 3\n")));
    let now = rig.now;
    rig.tailer().scan(now);
    rig.settle();
    assert_eq!(rig.fake.lines().len(), 31);
    assert_eq!((rig.status().polled_dirs, rig.status().last_error.as_str()), (0, ""));
    names.iter().for_each(|name| rig.append(name, format!("{name} 4\n")));
    rig.settle();
    assert_eq!(rig.fake.lines().len(), 41, "the hints are back");
}

#[test]
fn without_an_inotify_instance_directories_are_listed_until_there_is_one() {
    if !inside("watching::without_an_inotify_instance_directories_are_listed_until_there_is_one", &["unshare", "-Ur"])
        || !granted(&format!("echo 0 > {INSTANCES}"))
    {
        return;
    }
    let mut rig = Rig::new(&["*.log", "*/*.log"]);
    rig.append("a.log", "1\n");
    rig.settle();
    let said = rig.status().last_error;
    assert!(said.starts_with("the kernel grants no more inotify instance (Too many open files"), "{said}");
    assert!(said.contains("Raise fs.inotify.max_user_instances (now "), "{said}");
    rig.append("a.log", "2\n");
    rig.rename("a.log", "a.log.1");
    fs::create_dir(rig.path("d")).unwrap();
    rig.append("d/b.log", "3\n");
    rig.pass(Duration::from_secs(3));
    rig.expect_sorted(&["1", "2", "3"]);
    assert_eq!(rig.status().polled_dirs, 2);
    assert!(granted(&format!("echo 10 > {INSTANCES}")));
    rig.pass(Duration::from_secs(6));
    assert_eq!((rig.status().polled_dirs, rig.status().last_error.as_str()), (0, ""));
    rig.append("d/b.log", "4\n");
    rig.settle();
    rig.expect_sorted(&["1", "2", "3", "4"]);
}

#[test]
fn hints_that_the_kernel_dropped_are_made_up_for() {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: u32 = limit.trim().parse().unwrap();
    if limit > 1 << 18 {
        eprintln!("skipped: too many hints are needed to fill the kernel's queue of {limit}");
        return;
    }
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", "1\n");
    rig.append("b.log", "1\n");
    rig.settle();
    rig.append("x", "");
    for _ in 0..limit / 4 + 100 {
        rig.rename("x", "y");
        rig.rename("y", "x");
    }
    // None of this is announced any more.
    rig.append("a.log", "2\n");
    rig.rename("a.log", "a.log.1");
    rig.append("a.log", "3\n");
    rig.append("c.log", "4\n");
    rig.append("b.log", "5\n");
    rig.settle();
    rig.pass(Duration::from_millis(400));
    rig.expect_sorted(&["1", "1", "2", "3", "4", "5"]);
}

/// A thousand files, of which few can be open at once, written and rotated.
fn thousand(rig: &mut Rig) {
    let name = |i: u32| format!("{i:03}.log");
    (0..1000).for_each(|i| rig.append(&name(i), format!("first {i:03}\n")));
    rig.pass(Duration::from_secs(2));
    for i in 0..1000 {
        rig.append(&name(i), format!("second {i:03}\n"));
        if i % 10 == 0 {
            rig.rename(&name(i), &format!("{i:03}.log.1"));
            rig.append(&name(i), format!("third {i:03}\n"));
        }
    }
    rig.pass(Duration::from_secs(20));
}

#[test]
fn with_few_descriptors_a_thousand_files_are_read() {
    let limit = ["sh", "-c", "ulimit -n 64 && exec \"$@\"", "sh"];
    if !inside("watching::with_few_descriptors_a_thousand_files_are_read", &limit) {
        return;
    }
    let mut rig = Rig::new(&["*.log"]);
    assert_eq!(rig.tailer().max_open, 16);
    thousand(&mut rig);
    assert_eq!(rig.fake.lines().len(), 2100);
    let status = rig.status();
    assert!(status.open_files <= 17 && status.lost_bytes == 0 && status.last_error.is_empty(), "{status:?}");
}

#[test]
fn without_any_descriptor_files_wait_and_it_is_said_once() {
    let limit = ["sh", "-c", "ulimit -n 64 && exec \"$@\"", "sh"];
    if !inside("watching::without_any_descriptor_files_wait_and_it_is_said_once", &limit) {
        return;
    }
    let mut rig = Rig::new(&["*.log"]);
    rig.settle();
    (0..100).for_each(|i| rig.append(&format!("{i}.log"), format!("{i}\n")));
    // Others have all but a few of them.
    let mut held: Vec<fs::File> = std::iter::from_fn(|| fs::File::open("/dev/null").ok()).collect();
    held.truncate(held.len() - 5);
    rig.pass(Duration::from_secs(2));
    let said = rig.status().last_error;
    assert!(said.starts_with("no file descriptor is left (Too many open files (os error 24); the limit of open files is 64)"), "{said}");
    drop(held);
    rig.pass(Duration::from_secs(20));
    let mut lines = rig.fake.lines();
    lines.sort();
    lines.dedup();
    assert_eq!((lines.len(), rig.fake.lines().len(), rig.status().lost_bytes), (100, 100, 0));
    assert_eq!(rig.status().last_error, "");
}

#[test]
fn polling_needs_no_hints_and_keeps_its_interval() {
    let mut rig = Rig::with(&["*.log", "*/*.log"], |o| {
        (o.watch, o.poll_interval) = (Watch::Poll, Duration::from_secs(2));
    });
    rig.append("a.log", "1\n");
    rig.settle();
    assert!(!rig.tailer().watcher.hints(), "the kernel is asked for nothing");
    rig.append("a.log", "2\n");
    rig.pass(Duration::from_secs(1));
    rig.expect(&["1"]);
    rig.pass(Duration::from_secs(1));
    rig.expect(&["1", "2"]);
    rig.append("a.log", "3\n");
    rig.rename("a.log", "a.log.1");
    rig.append("a.log", "4\n");
    fs::create_dir(rig.path("new")).unwrap();
    rig.append("new/b.log", "5\n");
    rig.pass(Duration::from_secs(4));
    rig.expect_sorted(&["1", "2", "3", "4", "5"]);
    let status = rig.status();
    assert_eq!((status.polled_dirs, status.last_error.as_str()), (2, ""));
}

#[test]
fn of_two_sources_in_one_directory_the_one_that_polls_is_heard() {
    let mut rig = Rig::new(&["a*.log"]);
    let include = vec![rig.path("b*.log").to_str().unwrap().to_owned()];
    rig.options.push(FileOptions { name: "b".into(), include, watch: Watch::Poll, ..FileOptions::default() });
    rig.start();
    rig.append("a.log", "1\n");
    rig.append("b.log", "1\n");
    rig.settle();
    rig.append("a.log", "2\n");
    rig.append("b.log", "2\n");
    rig.pass(Duration::from_secs(2));
    rig.expect(&["1", "1", "2", "2"]);
    assert_eq!(rig.status().polled_dirs, 0);
    assert_eq!(rig.tailer().shared.sources[1].counters.status().polled_dirs, 1);
}

#[test]
fn a_layer_of_an_overlay_gives_no_hints_of_what_is_written_through_the_overlay() {
    if !inside("watching::a_layer_of_an_overlay_gives_no_hints_of_what_is_written_through_the_overlay", &["unshare", "-Urm"]) {
        return;
    }
    let mut rig = Rig::new(&["merged/*.log"]);
    if !mount_overlay(&rig) {
        return;
    }
    rig.append("merged/a.log", "1\n");
    rig.settle();
    rig.append("merged/a.log", "2\n");
    rig.settle();
    rig.expect(&["1", "2"]);
    // From outside the container: the writes are not announced there, and yet found.
    let upper = rig.path("upper/*.log").to_str().unwrap().to_owned();
    rig.options[0].include = vec![upper];
    rig.kill(0);
    rig.start();
    rig.settle();
    rig.append("merged/a.log", "3\n");
    rig.pass(Duration::from_secs(2));
    rig.expect(&["1", "2", "3"]);
}

/// Mounts `lower` and `upper` as `merged`; whether that is granted.
pub(super) fn mount_overlay(rig: &Rig) -> bool {
    let dir = rig.dir.path().display();
    granted(&format!(
        "cd {dir}; mkdir -p lower upper work merged; \
         mount -t overlay -o lowerdir={dir}/lower,upperdir={dir}/upper,workdir={dir}/work none {dir}/merged"
    ))
}
