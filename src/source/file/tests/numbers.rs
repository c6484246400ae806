//! Files whose device or inode number changes although they are the same.

use super::namespace::{granted, inside};
use super::rig::Rig;
use super::watching::mount_overlay;
use std::fs;
use std::time::Duration;

/// The tailer believes that all files had other devices: as after a remount.
fn remount(rig: &mut Rig) {
    let tailer = rig.tailer();
    tailer.by_inode.clear();
    for (id, file) in &mut tailer.files {
        file.identity.device ^= 0x77;
        tailer.by_inode.insert(&file.identity, *id);
    }
    let now = rig.now;
    rig.tailer().full_scan_due = now;
    rig.tailer().scan(now);
}

#[test]
fn another_device_number_re_sends_nothing_while_the_agent_runs() {
    for globs in [["*.log"], ["*.log*"]] {
        let mut rig = Rig::new(&globs);
        rig.append("a.log", "1\n");
        rig.append("b.log", "b\n");
        rig.append("empty.log", "");
        rig.settle();
        rig.append("a.log", "2\n");
        remount(&mut rig);
        rig.append("a.log", "3\n");
        rig.append("empty.log", "4\n");
        rig.pass(Duration::from_secs(20));
        rig.expect_sorted(&["1", "2", "3", "4", "b"]);
        let status = rig.status();
        assert_eq!((status.files, status.open_files, status.lost_bytes, status.rotations), (3, 3, 0, 0));
        // Its new numbers are on record.
        rig.append("a.log", "5\n");
        rig.settle();
        rig.kill(usize::MAX);
        rig.rename("a.log", "a.log.1");
        rig.append("a.log", "6\n");
        rig.start();
        rig.pass(Duration::from_secs(20));
        rig.expect_sorted(&["1", "2", "3", "4", "5", "6", "b"]);
    }
}

#[test]
fn another_device_number_re_sends_nothing_after_a_restart() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", "1\n");
    rig.settle();
    for (_, spec) in rig.fake.blocks.lock().unwrap().iter_mut() {
        spec.file.as_mut().unwrap().device ^= 0x77;
    }
    rig.kill(usize::MAX);
    rig.append("a.log", "2\n");
    rig.start();
    rig.settle();
    rig.expect(&["1", "2"]);
    assert_eq!(rig.fake.specs().len(), 1);
}

/// Another file with the same content takes the name: an inode that a file system has made up anew.
fn renumber(rig: &Rig, name: &str) {
    fs::copy(rig.path(name), rig.path("copy")).unwrap();
    rig.rename("copy", name);
}

fn made_up(rig: &mut Rig) {
    rig.tailer().polling.made_up = true;
}

#[test]
fn where_inode_numbers_are_made_up_the_content_proves_a_file() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", "1\n");
    rig.settle();
    made_up(&mut rig);
    rig.append("a.log", "2\n");
    renumber(&rig, "a.log");
    rig.append("a.log", "3\n");
    rig.settle();
    rig.expect(&["1", "2", "3"]);
    assert_eq!((rig.fake.specs().len(), rig.status().open_files, rig.status().lost_bytes), (1, 1, 0));
    // What holds anything else is another file.
    fs::write(rig.path("other"), "1\n2\nX\n4\n").unwrap();
    rig.rename("other", "a.log");
    rig.pass(Duration::from_secs(20));
    rig.expect(&["1", "2", "3", "1", "2", "X", "4"]);
}

#[test]
fn where_inode_numbers_are_made_up_a_restart_re_sends_nothing() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", "1\n2\n");
    rig.settle();
    for keep in [1, 1] {
        rig.kill(keep);
        rig.append("a.log", "3\n");
        renumber(&rig, "a.log");
        rig.start();
        made_up(&mut rig);
        rig.settle();
    }
    // The block with the first 3 was lost with the second kill.
    rig.expect(&["1", "2", "3", "3"]);
    assert_eq!(rig.fake.specs().len(), 1);
}

#[test]
fn an_overlay_that_is_mounted_again_under_another_number_re_sends_nothing() {
    if !inside("numbers::an_overlay_that_is_mounted_again_under_another_number_re_sends_nothing", &["unshare", "-Urm"]) {
        return;
    }
    let mut rig = Rig::new(&["merged/*.log"]);
    if !mount_overlay(&rig) {
        return;
    }
    rig.append("merged/a.log", "1\n");
    rig.settle();
    rig.expect(&["1"]);
    let device = |rig: &Rig| std::os::unix::fs::MetadataExt::dev(&fs::metadata(rig.path("merged")).unwrap());
    let before = device(&rig);
    let dir = rig.dir.path().display().to_string();
    assert!(granted(&format!("cd {dir}; umount -l merged; mkdir -p held; mount -t tmpfs none held")));
    if !mount_overlay(&rig) {
        return;
    }
    assert_ne!(device(&rig), before);
    rig.append("merged/a.log", "2\n");
    rig.pass(Duration::from_secs(20));
    rig.expect(&["1", "2"]);
    rig.kill(usize::MAX);
    assert!(granted(&format!("cd {dir}; umount merged; mkdir -p held2; mount -t tmpfs none held2")));
    if mount_overlay(&rig) {
        rig.append("merged/a.log", "3\n");
        rig.start();
        rig.settle();
        rig.expect(&["1", "2", "3"]);
    }
}
