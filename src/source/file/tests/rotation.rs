//! Growth, rotation by rename, restarts.

use super::rig::Rig;
use std::fs;
use std::time::Duration;

#[test]
fn a_growing_file_is_read_once() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", "one\ntwo\n");
    rig.settle();
    rig.expect(&["one", "two"]);
    rig.append("a.log", "three\r\nfour");
    rig.settle();
    rig.expect(&["one", "two", "three"]);
    rig.append("a.log", " and more\n");
    rig.settle();
    rig.expect(&["one", "two", "three", "four and more"]);
    assert_eq!(rig.status().read_events, 4);
    assert_eq!(rig.status().unread_bytes, 0);
}

#[test]
fn files_that_appear_later_also_in_new_directories_are_read() {
    let mut rig = Rig::new(&["*/x/*.log", "**/*.txt"]);
    rig.settle();
    fs::create_dir_all(rig.path("d/x")).unwrap();
    rig.append("d/x/a.log", "log\n");
    rig.append("d/x/b.txt", "text\n");
    rig.append("d/no.log", "no\n");
    rig.pass(Duration::from_millis(400));
    rig.pass(Duration::from_millis(400));
    rig.expect_sorted(&["log", "text"]);
}

#[test]
fn a_restart_goes_on_where_the_queue_says() {
    for globs in [["*.log"], ["*.log*"]] {
        let mut rig = Rig::new(&globs);
        rig.append("a.log", "one\n");
        rig.settle();
        rig.append("a.log", "two\n");
        rig.settle();
        rig.append("a.log", "three\n");
        rig.settle();
        for keep in 0..=3 {
            rig.kill(keep);
            rig.start();
            rig.settle();
            rig.expect(&["one", "two", "three"]);
        }
    }
}

#[test]
fn a_renamed_file_is_read_to_its_end() {
    for globs in [["*.log"], ["*.log*"]] {
        let mut rig = Rig::new(&globs);
        rig.append("a.log", "1\n");
        rig.settle();
        rig.append("a.log", "2\n");
        rig.rename("a.log", "a.log.1");
        rig.append("a.log", "3\n");
        rig.append("a.log.1", "late\n");
        rig.settle();
        rig.expect_sorted(&["1", "2", "3", "late"]);
        // The renamed file is closed after a while, and not read again.
        rig.pass(Duration::from_secs(20));
        rig.expect_sorted(&["1", "2", "3", "late"]);
        assert_eq!(rig.status().open_files, 1, "{globs:?}");
        assert_eq!(rig.fake.specs().len(), 2);
        assert!(rig.fake.specs().iter().all(|s| s.path == rig.path("a.log")));
    }
}

#[test]
fn several_renames_between_two_looks_lose_nothing() {
    for globs in [["*.log"], ["*.log*"]] {
        let mut rig = Rig::new(&globs);
        rig.append("a.log", "0\n");
        rig.settle();
        for i in 1..=4 {
            for k in (1..i).rev() {
                rig.rename(&format!("a.log.{k}"), &format!("a.log.{}", k + 1));
            }
            rig.rename("a.log", "a.log.1");
            rig.append("a.log", format!("{i}\n"));
        }
        rig.settle();
        rig.pass(Duration::from_secs(20));
        rig.expect_sorted(&["0", "1", "2", "3", "4"]);
        rig.kill(usize::MAX);
        rig.start();
        rig.settle();
        rig.expect_sorted(&["0", "1", "2", "3", "4"]);
    }
}

#[test]
fn renames_while_the_agent_is_dead_lose_and_double_nothing() {
    for globs in [["*.log"], ["*.log*"]] {
        for keep in 0..=2 {
            let mut rig = Rig::new(&globs);
            rig.append("a.log", "0\n");
            rig.settle();
            rig.append("a.log", "1\n");
            rig.settle();
            rig.kill(keep);
            rig.append("a.log", "2\n");
            rig.rename("a.log", "a.log.1");
            rig.append("a.log", "3\n");
            rig.rename("a.log.1", "a.log.2");
            rig.rename("a.log", "a.log.1");
            rig.append("a.log", "4\n");
            // Longer than the clock of any file system stands still.
            std::thread::sleep(Duration::from_millis(50));
            rig.start();
            rig.settle();
            rig.pass(Duration::from_secs(20));
            if keep == 0 && globs == ["*.log"] {
                // The queue knows nothing: as at a first start, rotated files are not asked for.
                rig.expect_sorted(&["4"]);
            } else {
                rig.expect_sorted(&["0", "1", "2", "3", "4"]);
            }
            rig.append("a.log", "5\n");
            rig.settle();
            assert_eq!(rig.fake.lines().last().unwrap(), "5");
        }
    }
}

#[test]
fn a_deleted_file_is_read_to_its_end_and_let_go() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", "1\n");
    rig.settle();
    rig.append("a.log", "2\nno end");
    fs::remove_file(rig.path("a.log")).unwrap();
    rig.settle();
    rig.expect(&["1", "2"]);
    rig.pass(Duration::from_secs(20));
    rig.expect(&["1", "2", "no end"]);
    let status = rig.status();
    assert_eq!((status.files, status.open_files, status.lost_bytes), (0, 0, 0));
}

#[test]
fn a_full_queue_holds_files_back_and_loses_nothing() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", "1\n");
    rig.settle();
    rig.fake.full.store(true, std::sync::atomic::Ordering::Relaxed);
    rig.append("a.log", "2\n");
    rig.settle();
    rig.rename("a.log", "a.log.1");
    rig.append("a.log", "3\n");
    rig.settle();
    rig.rename("a.log.1", "elsewhere");
    rig.settle();
    rig.expect(&["1"]);
    rig.fake.full.store(false, std::sync::atomic::Ordering::Relaxed);
    rig.settle();
    rig.expect_sorted(&["1", "2", "3"]);
}

#[test]
fn without_inotify_the_rescan_finds_everything() {
    let mut rig = Rig::new(&["*.log"]);
    rig.tailer().watcher.blind();
    rig.append("a.log", "1\n");
    rig.settle();
    rig.append("a.log", "2\n");
    rig.append("b.log", "b\n");
    rig.pass(Duration::from_secs(3));
    rig.expect_sorted(&["1", "2", "b"]);
    rig.append("a.log", "3\n");
    rig.rename("a.log", "a.log.1");
    rig.append("a.log", "4\n");
    rig.rename("a.log", "a.log.2");
    rig.append("a.log", "5\n");
    rig.pass(Duration::from_secs(3));
    rig.expect_sorted(&["1", "2", "3", "4", "5", "b"]);
}

#[test]
fn a_link_that_changes_its_target_is_followed_to_both_ends() {
    let mut rig = Rig::new(&["links/*.log"]);
    fs::create_dir(rig.path("links")).unwrap();
    rig.append("0", "1\n");
    std::os::unix::fs::symlink(rig.path("0"), rig.path("links/a.log")).unwrap();
    rig.settle();
    rig.append("0", "2\n");
    rig.settle();
    rig.expect(&["1", "2"]);
    rig.append("0", "3\n");
    rig.rename("0", "0.old");
    rig.append("0", "4\n");
    rig.pass(Duration::from_secs(8));
    rig.expect_sorted(&["1", "2", "3", "4"]);
}

#[test]
fn hard_links_and_two_sources_read_a_file_once() {
    let mut rig = Rig::with(&["*.log"], |_| {});
    let mut second = rig.options[0].clone();
    second.name = "other".into();
    rig.options.push(second);
    rig.start();
    rig.append("a.log", "1\n");
    fs::hard_link(rig.path("a.log"), rig.path("b.log")).unwrap();
    rig.settle();
    rig.pass(Duration::from_secs(20));
    rig.expect(&["1"]);
    assert_eq!(rig.status().rotations, 0);
    assert_eq!(rig.fake.specs()[0].source, "app");
}

#[test]
fn a_noisy_file_does_not_starve_a_quiet_one() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("noisy.log", format!("{}\n", "n".repeat(99)).repeat(100_000));
    rig.append("quiet.log", "q\n");
    rig.settle();
    let events = rig.fake.events();
    let at = events.iter().position(|e| e.2 == b"q").unwrap();
    assert!(at < 25_000, "{at}");
    assert_eq!(events.len(), 100_001);
}

#[test]
fn a_file_beside_a_log_is_no_generation_of_it() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", "1\n");
    rig.settle();
    rig.append("a.log.lock", "not a log\n");
    rig.append("a.log-errors", "another log\n");
    rig.settle();
    rig.append("a.log", "2\n");
    rig.rename("a.log", "a.log.1");
    rig.append("a.log", "3\n");
    rig.append("a.log-errors", "another log\n");
    rig.settle();
    rig.pass(Duration::from_secs(20));
    rig.expect_sorted(&["1", "2", "3"]);
}

#[test]
fn a_file_that_was_never_read_is_followed_through_several_names() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", "1\n");
    rig.settle();
    rig.rename("a.log", "a.log.1");
    rig.append("a.log", "2\n");
    rig.rename("a.log", "b");
    rig.append("a.log", "3\n");
    rig.settle();
    rig.rename("b", "c");
    rig.append("c", "4\n");
    rig.settle();
    rig.expect_sorted(&["1", "2", "3", "4"]);
}

#[test]
fn open_files_are_bounded_and_closed_ones_go_on() {
    let mut rig = Rig::new(&["*.log"]);
    rig.tailer().max_open = 512;
    for i in 0..600 {
        rig.append(&format!("{i:03}.log"), format!("first {i:03}\n"));
    }
    rig.settle();
    assert!(rig.status().open_files <= 513, "{}", rig.status().open_files);
    for i in 0..600 {
        let name = format!("{i:03}.log");
        rig.append(&name, format!("second {i:03}\n"));
        if i % 2 == 0 {
            rig.rename(&name, &format!("{name}.1"));
            rig.append(&name, format!("third {i:03}\n"));
        }
    }
    rig.settle();
    rig.pass(Duration::from_secs(20));
    let mut want: Vec<String> = (0..600).flat_map(|i| [format!("first {i:03}"), format!("second {i:03}")]).collect();
    want.extend((0..600).step_by(2).map(|i| format!("third {i:03}")));
    want.sort();
    let mut got = rig.fake.lines();
    got.sort();
    assert_eq!(got, want);
    let status = rig.status();
    assert!(status.open_files <= 513 && status.files == 900 && status.unread_bytes == 0, "{status:?}");
}

#[test]
fn a_name_that_cannot_be_opened_disturbs_no_other_and_is_read_when_it_can_be() {
    use std::os::unix::fs::symlink;
    let mut rig = Rig::new(&["*.log"]);
    // A link to itself cannot be opened by anyone, root included.
    symlink(rig.path("b.log"), rig.path("b.log")).unwrap();
    rig.append("a.log", "1\n");
    rig.settle();
    rig.expect(&["1"]);
    fs::remove_file(rig.path("b.log")).unwrap();
    rig.append("b.log", "2\n");
    rig.settle();
    rig.expect(&["1", "2"]);
}

#[test]
fn idle_files_ask_for_nothing_but_the_next_listing() {
    use crate::source::file::tailer::Step;
    let mut rig = Rig::new(&["*.log"]);
    for i in 0..50 {
        rig.append(&format!("{i}.log"), "line\n");
    }
    rig.settle();
    rig.pass(Duration::from_secs(20));
    let before = rig.now;
    rig.now += Duration::from_secs(6);
    rig.settle();
    let now = rig.now;
    match rig.tailer().step(now) {
        Step::Until(next) => assert!(next >= now + Duration::from_secs(4), "{:?}", next - before),
        step => panic!("{step:?}"),
    }
    assert_eq!(rig.status().read_events, 50);
}
