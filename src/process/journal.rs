//! Entries of the systemd journal in its export format: `NAME=value` lines, or, for values that are no text, the name
//! alone on its line, the length in eight bytes (little-endian), the bytes, a newline. A blank line ends an entry.

/// What bytes begin with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// A field, which ends at `end`.
    Field { name: &'a [u8], value: &'a [u8], end: usize },
    /// The blank line that ends an entry: one byte.
    End,
    /// Part of a field; where it ends, if that is known.
    More { end: Option<u64> },
}

/// Looks at the field or end that `bytes` begin with. `searched` of them are known to hold no newline.
pub(crate) fn step(bytes: &[u8], searched: usize) -> Step<'_> {
    let Some(newline) = memchr::memchr(b'\n', &bytes[searched..]).map(|i| searched + i) else { return Step::More { end: None } };
    let line = &bytes[..newline];
    if line.is_empty() {
        return Step::End;
    }
    if let Some(equals) = memchr::memchr(b'=', line) {
        return Step::Field { name: &line[..equals], value: &line[equals + 1..], end: newline + 1 };
    }
    let from = newline + 9;
    let Some(len) = bytes.get(newline + 1..from).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes) else {
        return Step::More { end: None };
    };
    let end = len.saturating_add(from as u64 + 1);
    match usize::try_from(end) {
        Ok(end) if end <= bytes.len() => Step::Field { name: line, value: &bytes[from..end - 1], end },
        _ => Step::More { end: Some(end) },
    }
}

/// The fields of one entry; what is broken off ends them.
pub fn fields(entry: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = entry;
    std::iter::from_fn(move || match step(rest, 0) {
        Step::Field { name, value, end } => {
            rest = &rest[end..];
            Some((name, value))
        }
        Step::End | Step::More { .. } => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"A=\n\0".to_vec())], 0..100)) {
            let whole = fields(&bytes).count();
            prop_assert!(whole <= bytes.len());
            match step(&bytes, 0) {
                Step::Field { name, value, end } => prop_assert!(end <= bytes.len() && name.len() + value.len() < end),
                Step::End => prop_assert_eq!(bytes[0], b'\n'),
                Step::More { end } => prop_assert!(end.is_none_or(|end| end > bytes.len() as u64)),
            }
        }
    }

    #[test]
    fn text_and_bytes() {
        let mut entry = b"A=1=2\nB\n\x03\0\0\0\0\0\0\0x\ny\nC=\n\nD=next".to_vec();
        let found: Vec<_> = fields(&entry).collect();
        assert_eq!(found, [(&b"A"[..], &b"1=2"[..]), (b"B", b"x\ny"), (b"C", b"")]);
        entry.truncate(10);
        assert_eq!(fields(&entry).count(), 1, "what is broken off ends it");
    }
}
