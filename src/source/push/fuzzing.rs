//! Entry for `fuzz/`: what takes bytes of senders apart. Exists only when built for fuzzing, and in tests.

use super::counters::Counters;
use super::cutter::LineCutter;
use super::http::fuzz_bodies;
use super::journald::Entries;
use super::syslog::Frames;

/// Gives `data` to each, in pieces as long as its first byte says.
pub fn all(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let counters = Counters::default();
    let (mut lines, mut frames, mut entries) = (LineCutter::new(64), Frames::new(64), Entries::new(64));
    for chunk in data.chunks(usize::from(*first).max(1)) {
        lines.room(chunk.len()).copy_from_slice(chunk);
        frames.room(chunk.len()).copy_from_slice(chunk);
        entries.room(chunk.len()).copy_from_slice(chunk);
        assert!(lines.read(chunk.len(), &counters).iter().all(|p| p.count == 1 || p.end - p.start > 1));
        assert!(frames.read(chunk.len(), &counters).iter().all(|p| p.end - p.start <= 66));
        assert!(entries.read(chunk.len(), &counters).iter().all(|e| e.bytes.len() <= 65));
    }
    assert!(lines.end(&counters).is_none_or(|p| p.end - p.start <= 64));
    assert!(frames.end(&counters).is_none_or(|p| p.end - p.start <= 66));
    fuzz_bodies(data);
}

#[cfg(test)]
mod tests {
    use crate::process::{journal, syslog};
    use proptest::prelude::*;

    #[test]
    fn the_corpora_are_survived() {
        for name in ["syslog", "journal_export", "inputs"] {
            crate::corpus::each(name, |data| {
                let parsed = syslog::Syslog::parse(data);
                assert!(data.ends_with(parsed.message) && syslog::parameters(parsed.structured).len() <= data.len());
                assert!(journal::fields(data).count() <= data.len());
                super::all(data);
            });
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_any_of_them_panic(data in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"0123456789 \n<>{}[]\"=".to_vec())], 0..400)) {
            super::all(&data);
        }
    }
}
