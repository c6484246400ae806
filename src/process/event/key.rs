//! Names of fields as numbers, so that most are told apart, and the short ones known, by one comparison.

/// Of a name. Two names of at most seven bytes are the same if and only if their keys are; longer ones with the same key may
/// be different.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Key(u64);

/// In the topmost byte: the length of a name that is told exactly, or this.
const LONG: u64 = 0x80 << 56;
const ODD: u64 = 0x9E37_79B9_7F4A_7C15;

impl Key {
    #[inline]
    pub(super) fn of(name: &[u8]) -> Key {
        let len = name.len();
        if let (Some(first), Some(last)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
            let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
            // An odd factor loses nothing of either.
            let mixed = first.wrapping_mul(ODD) ^ last.wrapping_mul(0xC2B2_AE3D_27D4_EB4F).rotate_left(32) ^ (len as u64) << 8;
            return Key(mixed >> 8 | LONG);
        }
        // The two ends may overlap: then they agree on what is common.
        let bytes = if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (8 * (len - 4))
        } else {
            match name {
                [] => 0,
                [a] => u64::from(*a),
                [a, b] => u64::from(*a) | u64::from(*b) << 8,
                [a, b, c, ..] => u64::from(*a) | u64::from(*b) << 8 | u64::from(*c) << 16,
            }
        };
        Key(bytes | (len as u64) << 56)
    }

    /// Whether names with this key are the same.
    #[inline]
    pub(super) fn is_exact(self) -> bool {
        self.0 < LONG
    }

    /// Whether there may be a dot in the name.
    #[inline]
    pub(super) fn may_have_dot(self, name: &[u8]) -> bool {
        const DOTS: u64 = u64::from_le_bytes([b'.'; 8]);
        let zero = |word: u64| word.wrapping_sub(DOTS / b'.' as u64) & !word & 0x8080_8080_8080_8080 != 0;
        if self.is_exact() {
            return zero(self.0 ^ DOTS);
        }
        match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
            (Some(first), Some(last)) if name.len() <= 16 => {
                zero(u64::from_le_bytes(*first) ^ DOTS) || zero(u64::from_le_bytes(*last) ^ DOTS)
            }
            _ => true,
        }
    }

    /// One of 64 bits.
    #[inline]
    pub(super) fn bit(self) -> u64 {
        1 << (self.0.wrapping_mul(ODD) >> 58)
    }
}

/// Whether two names with the same key, which is not exact, are the same.
#[inline]
pub(super) fn same_long(a: &[u8], b: &[u8]) -> bool {
    // The two ends of a name of at most 16 bytes are all of it.
    match (a.first_chunk::<8>(), a.last_chunk::<8>()) {
        (Some(first), Some(last)) if a.len() <= 16 => a.len() == b.len() && b.starts_with(first) && b.ends_with(last),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_is_known_by_its_key(a in "[ab\u{0}é]{0,20}", b in "[ab\u{0}é]{0,20}") {
            let same = |a: &[u8], b: &[u8]| Key::of(a) == Key::of(b) && (Key::of(a).is_exact() || same_long(a, b));
            prop_assert_eq!(same(a.as_bytes(), b.as_bytes()), a == b);
            prop_assert!(same(a.as_bytes(), a.clone().as_bytes()));
            prop_assert_eq!(Key::of(a.as_bytes()).is_exact(), a.len() < 8);
        }
    }

    #[test]
    fn keys_of_names_that_are_much_alike_differ() {
        let names = (1..=12u32).flat_map(|len| {
            (0..1u32 << len).map(move |bits| (0..len).map(|n| if bits >> n & 1 == 0 { 'a' } else { '\0' }).collect::<String>())
        });
        let mut keys: Vec<u64> = names.map(|name| Key::of(name.as_bytes()).0).collect();
        let all = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), all);
    }
}
