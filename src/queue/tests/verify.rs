//! Checks and repairs, with one bit flipped anywhere.

use super::*;
use crate::queue::{Cause, Compression, Loss, Losses, Severity, repair, verify};
use std::path::PathBuf;

const BATCHES: u64 = 4;
const LINES: u64 = 20;

/// A queue with some record batches, of which a group has had all; cleanly closed, or not.
fn filled(dir: &Path, clean: bool, compression: Compression) {
    let options = QueueOptions { linger: Duration::from_secs(5), batch_size: 1 << 20, compression, ..options(dir) };
    let queue = Queue::open(options, &["logs".into()]).unwrap();
    let stream = queue.declare(spec(7));
    let (mut consumer, mut start) = (join(&queue, "search"), 0);
    for i in 0..BATCHES {
        let block = block(&stream, start, &lines(i * LINES, LINES));
        start = block.source_end;
        queue.append(block).unwrap();
        assert!(queue.flush(LONG));
        consume(&mut *consumer, LINES as usize);
    }
    if clean { queue.close() } else { queue.abandon() }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            files.extend(self::files(&entry));
        } else if !entry.ends_with("LOCK") {
            files.push(entry);
        }
    }
    files.sort();
    files
}

#[test]
fn a_sound_queue_is_sound() {
    for clean in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path(), clean, Compression::None);
        let found = verify(dir.path(), &mut |_, _| {}).unwrap();
        assert!(found.is_sound(), "{:?}", found.findings);
        assert_eq!(found.events, BATCHES * LINES);
        assert!(!clean || found.findings.is_empty(), "{:?}", found.findings);
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(verify(empty.path(), &mut |_, _| {}).unwrap_err().to_string().contains("there is no queue in"));
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_repaired() {
    flip_everywhere(Compression::None, 23);
}

#[test]
fn a_flipped_bit_in_compressed_batches_is_found_and_repaired() {
    flip_everywhere(Compression::Zstd, 7);
}

fn flip_everywhere(compression: Compression, places: usize) {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), true, compression);
    let expected: Vec<String> = lines(0, BATCHES * LINES);
    let all = files(dir.path());
    assert!(["seg", "idx", "snap"].iter().all(|e| all.iter().any(|f| f.extension().is_some_and(|x| x == *e))), "{all:?}");
    for file in all.iter().filter(|f| f.file_name().is_some_and(|n| n != "queue.meta" && n != "ballast" && n != "journal.spare")) {
        let sound = std::fs::read(file).unwrap();
        let step = (sound.len() / places).max(1);
        for at in (0..sound.len()).step_by(step) {
            let copy = tempfile::tempdir().unwrap();
            for from in &all {
                let to = copy.path().join(from.strip_prefix(dir.path()).unwrap());
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::copy(from, to).unwrap();
            }
            std::fs::write(copy.path().join("LOCK"), "").unwrap();
            let name = file.strip_prefix(dir.path()).unwrap();
            let mut bytes = sound.clone();
            bytes[at] ^= 4;
            std::fs::write(copy.path().join(name), &bytes).unwrap();
            let what = format!("byte {at} of {}", name.display());
            if name.extension().is_some_and(|e| e == "seg") && (8..12).contains(&at) {
                continue; // It is a newer version then.
            }
            let found = verify(copy.path(), &mut |_, _| {}).unwrap();
            assert!(found.findings.iter().any(|f| f.file == name), "{what}: {:?}", found.findings);
            // The journal's last record may be one that a crash tore.
            assert!(!found.is_sound() || name.ends_with("groups/journal"), "{what}: {:?}", found.findings);
            let lost: u64 = found.findings.iter().filter_map(|f| f.offsets).map(|(first, end)| end - first).sum();
            let (before, after) = repair(copy.path(), &mut |_, _| {}).unwrap();
            assert_eq!(before, found, "{what}");
            assert!(after.is_sound(), "{what}: {:?}", after.findings);
            assert_eq!(after.events + lost, BATCHES * LINES, "{what}");
            // And it goes on: a new group gets what is left, unchanged.
            let queue = Queue::open(options(copy.path()), &[]).unwrap();
            let got = consume(&mut *join(&queue, "new"), after.events as usize);
            assert!(got.iter().all(|(_, _, line)| expected.contains(line)), "{what}");
            queue.close();
        }
    }
}

#[test]
fn metadata_that_disagrees_is_found_and_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), true, Compression::None);
    let path = dir.path().join("queue.meta");
    let sound = std::fs::read_to_string(&path).unwrap();
    for wrong in [String::new(), sound.replace("\"epoch\":1", "\"epoch\":0"), sound.replace("\"queue\":\"", "\"queue\":\"f")] {
        std::fs::write(&path, &wrong).unwrap();
        let found = verify(dir.path(), &mut |_, _| {}).unwrap();
        let damage: Vec<_> = found.findings.iter().filter(|f| f.severity == Severity::Damage).collect();
        assert!(damage.len() == 1 && damage[0].file == Path::new("queue.meta"), "{wrong}: {damage:?}");
        assert!(repair(dir.path(), &mut |_, _| {}).unwrap().1.is_sound());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), sound);
    }
}

#[test]
fn the_ledger_of_losses_is_checked_and_what_it_tells_is_no_news() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), true, Compression::None);
    // As if the agent had met this hole, and somebody had taken the segment's end away.
    let loss = |offsets: std::ops::Range<u64>| Loss {
        had: Vec::new(),
        cause: Cause::Deleted,
        topic: "logs".into(),
        partition: 0,
        offsets,
        at_ms: 1,
        parts: Vec::new(),
    };
    let end = BATCHES * LINES;
    let losses = Losses::open(Arc::new(crate::queue::disk::StdDisk), dir.path()).unwrap().0;
    losses.add(&[loss(0..end)]).unwrap();
    for file in files(&dir.path().join("topics/logs")) {
        std::fs::remove_file(file).unwrap();
    }
    let queue = Queue::open(options(dir.path()), &[]).unwrap();
    let stream = queue.streams().into_iter().find(|s| s.spec().key == 7).unwrap();
    queue.append(block(&stream, stream.durable().end, &lines(end, 1))).unwrap();
    assert!(queue.flush(LONG));
    queue.close();
    drop(queue);
    assert!(verify(dir.path(), &mut |_, _| {}).unwrap().is_sound());
    let path = Losses::path(dir.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 5;
    bytes[at] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    let (before, after) = repair(dir.path(), &mut |_, _| {}).unwrap();
    assert!(before.findings.iter().any(|f| f.file == Path::new("losses") && f.what.starts_with("1 of its lines")), "{before:?}");
    assert!(after.findings.is_empty(), "{after:?}");
}
