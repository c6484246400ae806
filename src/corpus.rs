//! The seeds in `fuzz/corpus/`, and whatever a fuzzer has found since, for the test runs.

use std::path::Path;

/// Gives each file of the corpus `name` to `target`; there must be some.
pub(crate) fn each(name: &str, target: impl Fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files = 0;
    for entry in std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        target(&std::fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files > 0, "no seeds for {name}");
}
