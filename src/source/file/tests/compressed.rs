//! Generations that were compressed before they were read to their end.

use super::rig::{Rig, append};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Compresses like `gzip` and `zstd --rm`: the original goes when the other is whole.
pub(super) fn compress(from: &Path, to: &Path) {
    let content = fs::read(from).unwrap();
    fs::write(to, packed(&content, to)).unwrap();
    let modified = fs::metadata(from).unwrap().modified().unwrap();
    File::options().write(true).open(to).unwrap().set_modified(modified).unwrap();
    fs::remove_file(from).unwrap();
}

fn packed(content: &[u8], to: &Path) -> Vec<u8> {
    if to.extension().unwrap() == "zst" {
        return zstd::encode_all(content, 1).unwrap();
    }
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(content).unwrap();
    gz.finish().unwrap()
}

fn lines(range: std::ops::Range<u32>) -> String {
    range.map(|n| format!("line {n:07} of a log that is long enough to be read in pieces\n")).collect()
}

const GLOBS: [&str; 2] = ["*.log", "*.log*"];
const ENDS: [&str; 2] = ["gz", "zst"];

#[test]
fn what_was_not_read_of_a_generation_is_read_from_the_compressed_file() {
    for (glob, end) in GLOBS.into_iter().flat_map(|g| ENDS.map(|e| (g, e))) {
        let mut rig = Rig::new(&[glob]);
        // More than is decompressed at once, read to the middle.
        rig.append("a.log", lines(0..30_000));
        rig.settle();
        rig.append("a.log", lines(30_000..90_000));
        rig.kill(5);
        rig.rename("a.log", "a.log.1");
        rig.append("a.log", lines(90_000..90_010));
        compress(&rig.path("a.log.1"), &rig.path(&format!("a.log.1.{end}")));
        rig.start();
        rig.settle();
        rig.pass(Duration::from_secs(20));
        let expected = lines(0..90_010);
        rig.expect_sorted(&expected.lines().collect::<Vec<_>>());
        assert_eq!(rig.fake.specs().len(), 2, "{glob} {end}: it is the same stream");
        assert_eq!((rig.status().lost_bytes, rig.status().open_files), (0, 1));
        // Renamed, looked at again and after a restart: nothing comes twice.
        rig.rename(&format!("a.log.1.{end}"), &format!("a.log.2.{end}"));
        rig.pass(Duration::from_secs(70));
        rig.kill(usize::MAX);
        rig.start();
        rig.pass(Duration::from_secs(20));
        rig.expect_sorted(&expected.lines().collect::<Vec<_>>());
    }
}

#[test]
fn generations_that_came_and_went_unseen_are_read_and_older_ones_are_not() {
    for glob in GLOBS {
        let mut rig = Rig::new(&[glob]);
        let past = SystemTime::now() - Duration::from_secs(86_400);
        rig.append("old", "before anything was followed\n");
        File::options().write(true).open(rig.path("old")).unwrap().set_modified(past).unwrap();
        compress(&rig.path("old"), &rig.path("a.log.9.gz"));
        rig.append("a.log", "1\n");
        rig.settle();
        rig.kill(usize::MAX);
        for (n, end) in [(2, "gz"), (3, "zst"), (4, "gz")] {
            rig.append("a.log", format!("late in {}\n", n - 1));
            rig.rename("a.log", "rotated");
            compress(&rig.path("rotated"), &rig.path(&format!("a.log.{}.{end}", 10 - n)));
            rig.append("a.log", format!("{n}\n"));
        }
        rig.start();
        rig.pass(Duration::from_secs(20));
        let all = ["1", "2", "3", "4", "late in 1", "late in 2", "late in 3"];
        rig.expect_sorted(&all);
        for _ in 0..3 {
            rig.kill(usize::MAX);
            rig.start();
            rig.pass(Duration::from_secs(20));
            rig.expect_sorted(&all);
        }
    }
}

#[test]
fn a_generation_that_is_compressed_while_it_is_followed_is_read_once() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", lines(0..100));
    rig.settle();
    rig.append("a.log", lines(100..200));
    rig.rename("a.log", "a.log.1");
    rig.append("a.log", lines(200..300));
    compress(&rig.path("a.log.1"), &rig.path("a.log.1.gz"));
    rig.settle();
    rig.pass(Duration::from_secs(30));
    let expected = lines(0..300);
    rig.expect_sorted(&expected.lines().collect::<Vec<_>>());
    assert_eq!(rig.status().lost_bytes, 0);
}

#[test]
fn a_file_that_was_not_open_is_found_again_in_its_compressed_form() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", lines(0..100));
    rig.settle();
    rig.tailer().max_open = 0;
    rig.append("b.log", lines(100..200));
    rig.settle();
    rig.append("a.log", lines(200..300));
    rig.rename("a.log", "a.log.1");
    compress(&rig.path("a.log.1"), &rig.path("a.log.1.gz"));
    rig.pass(Duration::from_secs(30));
    let expected = lines(0..300);
    rig.expect_sorted(&expected.lines().collect::<Vec<_>>());
    assert_eq!(rig.status().lost_bytes, 0);
}

#[test]
fn copy_truncate_and_compress_while_nobody_looks() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", lines(0..100));
    rig.settle();
    rig.kill(usize::MAX);
    rig.append("a.log", lines(100..200));
    rig.copytruncate("a.log", "a.log.1");
    compress(&rig.path("a.log.1"), &rig.path("a.log.1.gz"));
    rig.append("a.log", lines(200..300));
    rig.start();
    rig.pass(Duration::from_secs(30));
    let expected = lines(0..300);
    rig.expect_sorted(&expected.lines().collect::<Vec<_>>());
}

#[test]
fn an_unfinished_one_waits_and_a_broken_one_is_said() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", lines(0..10));
    rig.settle();
    rig.kill(usize::MAX);
    rig.append("a.log", lines(10..5000));
    rig.rename("a.log", "a.log.1");
    rig.append("a.log", lines(5000..5001));
    let whole = packed(&fs::read(rig.path("a.log.1")).unwrap(), Path::new("x.gz"));
    append(&rig.path("a.log.1.gz"), &whole[..whole.len() / 2]);
    rig.start();
    // The original is still there: it is the one that is read.
    rig.pass(Duration::from_secs(20));
    let expected = lines(0..5001);
    rig.expect_sorted(&expected.lines().collect::<Vec<_>>());
    fs::remove_file(rig.path("a.log.1")).unwrap();
    rig.pass(Duration::from_secs(20));
    rig.expect_sorted(&expected.lines().collect::<Vec<_>>());
    // Cut in the middle and the original gone: what is in it is read, the rest is told.
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", lines(0..10));
    rig.settle();
    rig.kill(usize::MAX);
    rig.rename("a.log", "a.log.1");
    fs::remove_file(rig.path("a.log.1")).unwrap();
    append(&rig.path("a.log.1.gz"), &whole[..whole.len() / 2]);
    append(&rig.path("a.log.2.gz"), b"no gzip at all");
    rig.start();
    rig.pass(Duration::from_secs(20));
    let got = rig.fake.lines();
    assert!(got.len() > 1000 && got.len() < 5000, "{}", got.len());
    assert_eq!(got[..1000], lines(0..1000).lines().collect::<Vec<_>>());
}

#[test]
fn a_glob_that_names_compressed_files_reads_them_whole() {
    let mut rig = Rig::new(&["archive/*.gz"]);
    fs::create_dir(rig.path("archive")).unwrap();
    rig.append("old", lines(0..100));
    compress(&rig.path("old"), &rig.path("archive/2024.gz"));
    rig.pass(Duration::from_secs(20));
    rig.expect(&lines(0..100).lines().collect::<Vec<_>>());
    rig.kill(usize::MAX);
    rig.start();
    rig.pass(Duration::from_secs(20));
    rig.expect(&lines(0..100).lines().collect::<Vec<_>>());
}

/// Lines of one length; the first 20 are the same in all generations, so that these have the same first bytes and size.
fn like(generation: u32) -> String {
    let line = |n: u32| if n < 20 { n } else { generation * 1000 + n };
    (0..1000).map(|n| format!("line {:07} of a log that begins as all of its generations do\n", line(n))).collect()
}

/// Renames and compresses as logrotate does, whatever was there before.
fn rotate(rig: &Rig, end: &str) {
    for n in (1..9).rev().filter(|n| rig.path(&format!("a.log.{n}.{end}")).exists()) {
        rig.rename(&format!("a.log.{n}.{end}"), &format!("a.log.{}.{end}", n + 1));
    }
    rig.rename("a.log", "a.log.1");
    compress(&rig.path("a.log.1"), &rig.path(&format!("a.log.1.{end}")));
}

#[track_caller]
fn expect_all(rig: &Rig, text: &str) {
    let mut want: Vec<&str> = text.lines().collect();
    want.sort_unstable();
    let mut got = rig.fake.lines();
    got.sort();
    assert_eq!(got.len(), want.len());
    assert_eq!(got, want);
}

#[test]
fn a_generation_that_begins_like_one_that_was_read_and_is_as_long_is_read() {
    for (glob, end) in GLOBS.into_iter().flat_map(|g| ENDS.map(|e| (g, e))) {
        let mut rig = Rig::new(&[glob]);
        rig.append("a.log", like(1));
        rig.settle();
        rig.kill(usize::MAX);
        rotate(&rig, end);
        // It came and went while nobody looked.
        rig.append("a.log", like(2));
        rotate(&rig, end);
        rig.append("a.log", like(3));
        rig.start();
        rig.pass(Duration::from_secs(20));
        let mut all = like(1) + &like(2) + &like(3);
        expect_all(&rig, &all);
        for n in 4..6 {
            rig.kill(usize::MAX);
            rotate(&rig, end);
            rig.append("a.log", like(n));
            all += &like(n);
            rig.start();
            rig.pass(Duration::from_secs(20));
            expect_all(&rig, &all);
        }
    }
}

#[test]
fn what_is_compressed_anew_in_another_way_is_not_read_again() {
    let mut rig = Rig::new(&["*.log"]);
    let same = "tick\n".repeat(3000);
    rig.append("a.log", &same);
    rig.settle();
    rig.kill(usize::MAX);
    rotate(&rig, "gz");
    rig.start();
    rig.pass(Duration::from_secs(20));
    // Both are there for a while.
    fs::write(rig.path("a.log.1.zst"), packed(same.as_bytes(), Path::new("x.zst"))).unwrap();
    rig.pass(Duration::from_secs(20));
    fs::remove_file(rig.path("a.log.1.gz")).unwrap();
    rig.pass(Duration::from_secs(20));
    assert_eq!(rig.fake.lines().len(), 3000);
    rig.kill(usize::MAX);
    rig.start();
    rig.pass(Duration::from_secs(20));
    assert_eq!(rig.fake.lines().len(), 3000);
}
