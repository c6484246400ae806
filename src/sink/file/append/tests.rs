use super::super::rotate::rotated;
use super::*;

fn options(dir: &Path) -> FileSinkOptions {
    FileSinkOptions { path: dir.join("out.ndjson"), rotate_bytes: 30, keep: 2 }
}

fn writer(options: &FileSinkOptions) -> FileClient {
    FileClient::new("archive", options).unwrap()
}

fn append(client: &FileClient, id: u128, body: &str) -> Outcome {
    client.0.lock().unwrap().append(id, body.as_bytes(), 1)
}

const NEW: Outcome = Outcome::Delivered { already_there: 0 };
const KNOWN: Outcome = Outcome::Delivered { already_there: 1 };

#[test]
fn an_unfinished_batch_is_cut_off_and_a_recorded_one_is_not_written_twice() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let client = writer(&options);
    assert_eq!(append(&client, 1, "one\n"), NEW);
    assert_eq!(append(&client, 2, "two\n"), NEW);
    drop(client);
    // Killed in the middle of the third batch, after any of its bytes.
    for torn in ["t", "thr", "three\n"] {
        let file = OpenOptions::new().write(true).open(&options.path).unwrap();
        file.write_all_at(torn.as_bytes(), 8).unwrap();
        let client = writer(&options);
        assert_eq!(std::fs::read_to_string(&options.path).unwrap(), "one\ntwo\n");
        assert_eq!(append(&client, 1, "one\n"), KNOWN, "the commit was lost, the batch comes again");
        assert_eq!(append(&client, 2, "two\n"), KNOWN);
    }
    assert_eq!(append(&writer(&options), 3, "three\n"), NEW);
    assert_eq!(std::fs::read_to_string(&options.path).unwrap(), "one\ntwo\nthree\n");
}

#[test]
fn rotates_between_batches_and_survives_a_crash_in_the_middle_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let client = writer(&options);
    let body = |n: u32| format!("{n:019}\n");
    for n in 0..4 {
        assert_eq!(append(&client, u128::from(n), &body(n)), NEW);
    }
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!([read(&options.path), read(&rotated(&options.path, 1)), read(&rotated(&options.path, 2))], [3, 2, 1].map(body));
    drop(client);
    // Renamed, but neither the new file nor the sidecar is written; then also with the new file there.
    for new_file in [false, true] {
        rotate(&options.path, 2).unwrap();
        if new_file {
            std::fs::write(&options.path, "").unwrap();
        }
        let n = if new_file { 5 } else { 4 };
        let client = writer(&options);
        assert_eq!(append(&client, u128::from(n - 1), &body(n - 1)), KNOWN);
        assert_eq!(append(&client, u128::from(n), &body(n)), NEW);
        assert_eq!([read(&options.path), read(&rotated(&options.path, 1))], [body(n), body(n - 1)]);
    }
}

#[test]
fn a_file_that_somebody_moved_away_or_shortened_is_no_trouble() {
    let dir = tempfile::tempdir().unwrap();
    let options = FileSinkOptions { rotate_bytes: 1000, ..options(dir.path()) };
    let client = writer(&options);
    assert_eq!(append(&client, 1, "one\n"), NEW);
    std::fs::rename(&options.path, dir.path().join("moved")).unwrap();
    assert_eq!(append(&client, 2, "two\n"), NEW);
    assert_eq!(std::fs::read_to_string(&options.path).unwrap(), "two\n");
    OpenOptions::new().write(true).open(&options.path).unwrap().set_len(0).unwrap();
    assert_eq!(append(&client, 3, "three\n"), NEW);
    assert_eq!(std::fs::read_to_string(&options.path).unwrap(), "three\n");
    assert_eq!(std::fs::read_to_string(dir.path().join("moved")).unwrap(), "one\n");
}

#[test]
fn a_directory_that_is_gone_is_a_retry_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let options = FileSinkOptions { path: dir.path().join("sub/out"), ..options(dir.path()) };
    let client = writer(&options);
    std::fs::remove_dir_all(dir.path().join("sub")).unwrap();
    std::fs::write(dir.path().join("sub"), "in the way").unwrap();
    assert!(matches!(append(&client, 1, "one\n"), Outcome::Retry { .. }));
    std::fs::remove_file(dir.path().join("sub")).unwrap();
    assert_eq!(append(&client, 1, "one\n"), NEW);
    assert_eq!(std::fs::read_to_string(&options.path).unwrap(), "one\n");
}

#[test]
fn a_path_that_cannot_be_opened_is_told_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let options = FileSinkOptions { path: dir.path().to_path_buf(), ..options(dir.path()) };
    let error = FileClient::new("archive", &options).map(drop).unwrap_err().to_string();
    assert!(error.starts_with("sink archive: cannot open ") && error.contains("directory"), "{error}");
}

#[test]
fn a_second_writer_waits_and_then_knows_what_the_first_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let (first, second) = (writer(&options), writer(&options));
    assert_eq!(append(&first, 1, "one\n"), NEW);
    let Outcome::Retry { reason, .. } = append(&second, 1, "one\n") else { panic!("two writers") };
    assert!(reason.contains("another sink or process writes this file"), "{reason}");
    drop(first);
    assert_eq!(append(&second, 1, "one\n"), KNOWN);
    assert_eq!(append(&second, 2, "two\n"), NEW);
}

#[test]
fn a_full_disk_is_a_retry_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let client = writer(&options(dir.path()));
    let Outcome::Retry { reason, .. } = client.0.lock().unwrap().failed(&ErrorKind::StorageFull.into()) else { panic!("no retry") };
    assert!(reason.contains("no space left") && reason.contains("out.ndjson"), "{reason}");
}
