//! Links as Kubernetes has them: only the links are asked for, and the files behind them are rotated elsewhere.

use super::compressed::compress;
use super::rig::Rig;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

/// `containers/x.log` → `pods/ns_x_1/c/0.log`, which with Docker is a link too.
fn pod(rig: &Rig, docker: bool) -> &'static str {
    fs::create_dir(rig.path("containers")).unwrap();
    fs::create_dir_all(rig.path("pods/ns_x_1/c")).unwrap();
    let file = if docker { "data/id/id-json.log" } else { "pods/ns_x_1/c/0.log" };
    if docker {
        fs::create_dir_all(rig.path("data/id")).unwrap();
        symlink(rig.path(file), rig.path("pods/ns_x_1/c/0.log")).unwrap();
    }
    symlink("../pods/ns_x_1/c/0.log", rig.path("containers/x.log")).unwrap();
    file
}

#[test]
fn what_the_kubelet_rotates_behind_a_link_is_read_once_whatever_the_agent_does() {
    for (docker, down) in [(false, false), (false, true), (true, false), (true, true)] {
        for keep in [1, 2, usize::MAX] {
            let mut rig = Rig::new(&["containers/*.log"]);
            let file = pod(&rig, docker);
            rig.append(file, "1\n");
            rig.pass(Duration::from_secs(6));
            rig.append(file, "2\n");
            rig.settle();
            rig.expect(&["1", "2"]);
            if down {
                rig.kill(keep);
            }
            rig.append(file, "3\n");
            rig.rename(file, &format!("{file}.20260101-000000"));
            rig.append(file, "4\n");
            if !down {
                rig.settle();
            }
            compress(&rig.path(&format!("{file}.20260101-000000")), &rig.path(&format!("{file}.20260101-000000.gz")));
            rig.append(file, "5\n");
            rig.rename(file, &format!("{file}.20260101-000010"));
            rig.append(file, "6\n");
            if down {
                rig.start();
            }
            rig.pass(Duration::from_secs(20));
            let all = ["1", "2", "3", "4", "5", "6"];
            rig.expect_sorted(&all);
            assert_eq!(rig.status().lost_bytes, 0);
            assert!(rig.fake.specs().iter().all(|s| s.path == rig.path("containers/x.log")), "names of Kubernetes come from the link");
            rig.kill(keep.max(4));
            rig.start();
            rig.pass(Duration::from_secs(20));
            rig.expect_sorted(&all);
            rig.append(file, "7\n");
            rig.settle();
            assert_eq!(rig.fake.lines().last().unwrap(), "7", "at once, by a hint");
        }
    }
}

#[test]
fn a_file_behind_a_link_that_is_not_open_is_found_after_its_rotation() {
    let mut rig = Rig::new(&["containers/*.log"]);
    let file = pod(&rig, false);
    rig.append(file, "1\n");
    rig.pass(Duration::from_secs(6));
    rig.tailer().max_open = 0;
    fs::create_dir(rig.path("other")).unwrap();
    rig.append("other/0.log", "x\n");
    symlink("../other/0.log", rig.path("containers/y.log")).unwrap();
    rig.pass(Duration::from_secs(6));
    rig.tailer().files.values_mut().for_each(|f| f.close());
    rig.append(file, "2\n");
    rig.rename(file, &format!("{file}.20260101-000000"));
    rig.append(file, "3\n");
    rig.settle();
    rig.pass(Duration::from_secs(20));
    rig.expect_sorted(&["1", "2", "3", "x"]);
    assert_eq!(rig.status().lost_bytes, 0);
}

#[test]
fn a_container_that_starts_anew_has_another_link_and_loses_nothing_of_the_first() {
    let mut rig = Rig::new(&["containers/*.log"]);
    let file = pod(&rig, false);
    rig.append(file, "1\n");
    rig.pass(Duration::from_secs(6));
    rig.append(file, "2\n");
    rig.append("pods/ns_x_1/c/1.log", "3\n");
    symlink("../pods/ns_x_1/c/1.log", rig.path("containers/x2.log")).unwrap();
    fs::remove_file(rig.path("containers/x.log")).unwrap();
    rig.settle();
    rig.append("pods/ns_x_1/c/1.log", "4\n");
    rig.append(file, "5\n");
    rig.settle();
    rig.pass(Duration::from_secs(20));
    rig.expect_sorted(&["1", "2", "3", "4", "5"]);
}

#[test]
fn beside_a_link_s_file_nothing_else_is_read() {
    let mut rig = Rig::new(&["containers/*.log"]);
    let file = pod(&rig, false);
    rig.append("pods/ns_x_1/c/other.log", "no\n");
    rig.append(file, "1\n");
    rig.pass(Duration::from_secs(6));
    rig.append("pods/ns_x_1/c/another.log", "no\n");
    rig.append("pods/ns_x_1/c/0.txt", "no\n");
    rig.pass(Duration::from_secs(6));
    rig.expect(&["1"]);
}
