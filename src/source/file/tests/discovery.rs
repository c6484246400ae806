//! Which files are found: globs, exclusion, age, links, directories that come later or may not be listed.

use super::namespace::{granted, inside};
use super::rig::Rig;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

#[test]
fn what_is_excluded_is_not_read_wherever_and_whenever_it_appears() {
    let mut rig = Rig::with(&["**/*.log"], |_| {});
    let private = rig.path("private/**").to_str().unwrap().to_owned();
    rig.options[0].exclude = vec!["*.debug.log".into(), private];
    rig.start();
    for (name, text) in [("a.log", "1\n"), ("a.debug.log", "no\n"), ("x/y/b.log", "2\n"), ("private/z/c.log", "no\n")] {
        fs::create_dir_all(rig.path(name).parent().unwrap()).unwrap();
        rig.append(name, text);
    }
    rig.settle();
    fs::create_dir_all(rig.path("x/private")).unwrap();
    rig.append("x/private/d.log", "3\n");
    rig.append("x/e.debug.log", "no\n");
    rig.rename("a.log", "a.debug.log");
    rig.append("a.log", "4\n");
    rig.pass(Duration::from_secs(6));
    rig.expect_sorted(&["1", "2", "3", "4"]);
}

#[test]
fn an_old_file_is_begun_when_it_is_touched_and_a_known_one_is_read_however_old_it_is() {
    let mut rig = Rig::with(&["*.log"], |o| o.ignore_older = Some(Duration::from_secs(3600)));
    let age = |rig: &Rig, name: &str| {
        let past = SystemTime::now() - Duration::from_secs(86_400);
        File::options().write(true).open(rig.path(name)).unwrap().set_modified(past).unwrap();
    };
    rig.append("old.log", "1\n");
    rig.append("known.log", "2\n");
    age(&rig, "old.log");
    rig.settle();
    rig.expect(&["2"]);
    rig.append("known.log", "3\n");
    age(&rig, "known.log");
    rig.kill(usize::MAX);
    rig.start();
    rig.settle();
    rig.expect(&["2", "3"]);
    rig.append("old.log", "4\n");
    rig.settle();
    rig.expect(&["2", "3", "1", "4"]);
}

#[test]
fn links_to_directories_are_entered_where_a_glob_names_their_level_and_never_in_circles() {
    let mut rig = Rig::new(&["apps/*/logs/*.log", "deep/**/*.txt"]);
    fs::create_dir_all(rig.path("srv/one/logs")).unwrap();
    fs::create_dir_all(rig.path("apps")).unwrap();
    fs::create_dir_all(rig.path("deep/a/b")).unwrap();
    symlink(rig.path("srv/one"), rig.path("apps/one")).unwrap();
    // Several of them would make a listing that never ends.
    for i in 0..4 {
        symlink(rig.path("deep"), rig.path(&format!("deep/a/loop{i}"))).unwrap();
    }
    rig.append("srv/one/logs/a.log", "1\n");
    rig.append("deep/a/b/c.txt", "2\n");
    rig.pass(Duration::from_secs(6));
    rig.expect_sorted(&["1", "2"]);
    rig.append("srv/one/logs/a.log", "3\n");
    rig.rename("srv/one/logs/a.log", "srv/one/logs/a.log.1");
    rig.append("srv/one/logs/a.log", "4\n");
    rig.settle();
    rig.expect_sorted(&["1", "2", "3", "4"]);
}

#[test]
fn a_file_of_several_names_is_read_once() {
    let mut rig = Rig::new(&["*.log", "links/*.log"]);
    fs::create_dir(rig.path("links")).unwrap();
    rig.append("a.log", "1\n");
    fs::hard_link(rig.path("a.log"), rig.path("hard.log")).unwrap();
    symlink(rig.path("a.log"), rig.path("soft.log")).unwrap();
    symlink(rig.path("soft.log"), rig.path("links/chain.log")).unwrap();
    rig.pass(Duration::from_secs(6));
    rig.append("a.log", "2\n");
    rig.settle();
    // The names go one after the other.
    for name in ["a.log", "soft.log", "links/chain.log"] {
        rig.append("hard.log", format!("before {name} went\n"));
        fs::remove_file(rig.path(name)).unwrap();
        rig.pass(Duration::from_secs(6));
    }
    rig.append("hard.log", "3\n");
    rig.pass(Duration::from_secs(20));
    rig.expect(&["1", "2", "before a.log went", "before soft.log went", "before links/chain.log went", "3"]);
    assert_eq!((rig.fake.specs().len(), rig.status().files, rig.status().lost_bytes), (1, 1, 0));
    rig.kill(usize::MAX);
    rig.start();
    rig.pass(Duration::from_secs(6));
    assert_eq!(rig.fake.lines().len(), 6);
}

#[test]
fn a_directory_that_may_not_be_listed_is_said_once_and_read_when_it_may() {
    if !inside("discovery::a_directory_that_may_not_be_listed_is_said_once_and_read_when_it_may", &["unshare", "-U"]) {
        return;
    }
    let mut rig = Rig::new(&["*/*.log"]);
    let mode = |rig: &Rig, mode| fs::set_permissions(rig.path("d"), Permissions::from_mode(mode)).unwrap();
    fs::create_dir(rig.path("d")).unwrap();
    rig.append("d/a.log", "1\n");
    mode(&rig, 0);
    rig.settle();
    if fs::read_dir(rig.path("d")).is_ok() {
        eprintln!("skipped: this user may list everything");
        return;
    }
    let said = rig.status().last_error;
    assert!(said.starts_with("cannot list ") && said.contains("new files in it are not seen until it can be"), "{said}");
    mode(&rig, 0o755);
    rig.pass(Duration::from_secs(6));
    rig.expect(&["1"]);
    // What is followed already stays followed, though nobody may look.
    rig.append("d/a.log", "2\n");
    mode(&rig, 0);
    rig.pass(Duration::from_secs(20));
    assert_eq!((rig.status().files, rig.status().rotations), (1, 0));
    mode(&rig, 0o755);
    rig.append("d/a.log", "3\n");
    rig.pass(Duration::from_secs(6));
    rig.expect(&["1", "2", "3"]);
    assert_eq!(rig.fake.specs().len(), 1);
}

#[test]
fn a_directory_that_is_removed_and_made_again_is_watched_again() {
    let mut rig = Rig::new(&["d/*.log"]);
    rig.settle();
    for i in 0..3 {
        fs::create_dir(rig.path("d")).unwrap();
        rig.append("d/a.log", format!("{i} first\n"));
        rig.pass(Duration::from_secs(6));
        rig.append("d/a.log", format!("{i} second\n"));
        rig.append("d/b.log", format!("{i} third\n"));
        rig.settle();
        assert_eq!(rig.fake.lines().len(), 3 * (i + 1));
        fs::remove_dir_all(rig.path("d")).unwrap();
        rig.pass(Duration::from_secs(6));
    }
    rig.pass(Duration::from_secs(20));
    let tailer = rig.tailer();
    assert!(tailer.watched.is_empty() && tailer.files.is_empty(), "{:?}", tailer.watched);
}

#[test]
fn a_directory_that_is_mounted_at_two_places_is_read_once() {
    if !inside("discovery::a_directory_that_is_mounted_at_two_places_is_read_once", &["unshare", "-Urm"]) {
        return;
    }
    for globs in [["a/*.log", "b/*.log"], ["b/*.log*", "a/*.log*"]] {
        let mut rig = Rig::new(&globs);
        let dir = rig.dir.path().display().to_string();
        if !granted(&format!("cd {dir}; mkdir a b; mount --bind a b")) {
            return;
        }
        rig.append("a/x.log", "1\n");
        rig.pass(Duration::from_secs(6));
        rig.append("b/x.log", "2\n");
        rig.append("b/y.log", "3\n");
        rig.settle();
        rig.expect_sorted(&["1", "2", "3"]);
        rig.rename("a/x.log", "a/x.log.1");
        rig.append("a/x.log", "4\n");
        rig.append("a/x.log.1", "5\n");
        rig.settle();
        rig.expect_sorted(&["1", "2", "3", "4", "5"]);
        rig.kill(3);
        rig.start();
        rig.settle();
        rig.expect_sorted(&["1", "2", "3", "4", "5"]);
        // One of the two goes; the other one is still watched.
        assert!(granted(&format!("umount -l {dir}/b")));
        rig.pass(Duration::from_secs(6));
        rig.append("a/x.log", "6\n");
        rig.settle();
        rig.expect_sorted(&["1", "2", "3", "4", "5", "6"]);
    }
}

#[test]
fn a_generation_that_cannot_be_decompressed_is_said_once_and_counted() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("old.bz2", "x");
    let past = SystemTime::now() - Duration::from_secs(86_400);
    File::options().write(true).open(rig.path("old.bz2")).unwrap().set_modified(past).unwrap();
    rig.rename("old.bz2", "a.log.9.bz2");
    rig.append("a.log", "1\n");
    rig.settle();
    for (name, form) in [("a.log.1", "bz2"), ("a.log.2", "bz2"), ("a.log-3", "xz"), ("b.log.1", "zip"), ("a.log.lock", "txt")] {
        rig.append(&format!("{name}.{form}"), "compressed");
    }
    rig.pass(Duration::from_secs(70));
    rig.expect(&["1"]);
    // Of b.log nothing was ever followed, and the old one was there before.
    assert_eq!(rig.status().unreadable_generations, 3);
    let said: Vec<_> = rig.tailer().said.iter().filter(|s| s.contains("which cannot be read")).cloned().collect();
    assert_eq!(said.len(), 2, "once for each form: {said:?}");
    assert!(said.iter().all(|s| s.contains("is not shipped. Use gzip or zstd")), "{said:?}");
}
