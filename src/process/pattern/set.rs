//! Which bytes may stand next, or the end of the text.

use regex_syntax::hir::Class;

/// Number of the end of the text, behind those of the bytes.
pub(super) const END: usize = 256;

/// What may stand next. Where it is not known exactly, it has more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    bytes: [u64; 4],
    end: bool,
}

impl Set {
    pub(super) const ANY: Set = Set { bytes: [u64::MAX; 4], end: true };
    pub(super) const AT_END: Set = Set { bytes: [0; 4], end: true };
    /// The bytes of characters that are not ASCII.
    pub(super) const HIGH: Set = Set { bytes: [0, 0, u64::MAX, u64::MAX], end: false };

    pub(super) fn of(byte: u8) -> Set {
        let mut set = Set::default();
        set.insert(byte);
        set
    }

    fn insert(&mut self, byte: u8) {
        self.bytes[usize::from(byte) / 64] |= 1 << (byte % 64);
    }

    pub(super) fn has(&self, byte: u8) -> bool {
        self.bytes[usize::from(byte) / 64] & 1 << (byte % 64) != 0
    }

    /// Whether it has a byte, or [`END`].
    pub(super) fn has_symbol(&self, symbol: usize) -> bool {
        u8::try_from(symbol).map_or(self.end, |byte| self.has(byte))
    }

    pub(super) fn or(self, other: Set) -> Set {
        Set { bytes: std::array::from_fn(|n| self.bytes[n] | other.bytes[n]), end: self.end || other.end }
    }

    pub(super) fn and(self, other: Set) -> Set {
        Set { bytes: std::array::from_fn(|n| self.bytes[n] & other.bytes[n]), end: self.end && other.end }
    }

    /// Whether nothing is in both.
    pub(super) fn is_apart(&self, other: &Set) -> bool {
        self.and(*other) == Set::default()
    }
}

/// How many of the characters that are not ASCII are in a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum High {
    None,
    Some,
    All,
}

/// A class of characters: the ASCII ones, and what is known of the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Members {
    pub(super) ascii: Set,
    pub(super) high: High,
}

impl Members {
    pub(super) fn of(class: &Class) -> Members {
        let (mut ascii, mut high) = (Set::default(), High::None);
        let mut add = |from: u32, to: u32| {
            (from..=to.min(0x7F)).for_each(|c| ascii.insert(c as u8));
            high = match high {
                _ if from <= 0x80 && to == u32::from(char::MAX) => High::All,
                High::None if to > 0x7F => High::Some,
                high => high,
            };
        };
        match class {
            Class::Unicode(class) => class.ranges().iter().for_each(|r| add(r.start().into(), r.end().into())),
            Class::Bytes(class) => class.ranges().iter().for_each(|r| add(r.start().into(), r.end().into())),
        }
        Members { ascii, high }
    }

    /// The bytes that its characters may begin with, and more.
    pub(super) fn first(&self) -> Set {
        if self.high == High::None { self.ascii } else { self.ascii.or(Set::HIGH) }
    }
}
