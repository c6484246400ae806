//! How far a class goes in a text.
//!
//! A field of a line has 3 to 60 bytes mostly, where a call of `memchr` costs more than it saves: the first words are looked at
//! here, eight bytes at a time, and what is longer is left to it.

use super::set::{High, Members};

const ONES: u64 = u64::from_le_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
/// From where on `memchr` looks, bytes.
const SHORT: usize = 32;

/// A class, in the form that is quickest.
#[derive(Clone, Debug)]
pub(super) enum Scan {
    /// All characters.
    All,
    /// All but one, two or three of ASCII.
    Until1([u8; 1]),
    Until2([u8; 2]),
    Until3([u8; 3]),
    /// ASCII from the first byte on, so many behind it.
    Range(u8, u8),
    Table(Box<[bool; 256]>),
}

impl Scan {
    /// Of the members that are ASCII, and of all others or of none of them.
    pub(super) fn of(members: &Members) -> Scan {
        let all = members.high == High::All;
        let inside = |byte: u8| if byte.is_ascii() { members.ascii.has(byte) } else { all };
        let of = |wanted: bool| (0..=0x7F).filter(|byte| inside(*byte) == wanted).collect::<Vec<u8>>();
        let (stops, goes) = (of(false), of(true));
        match (&stops[..], &goes[..]) {
            ([], _) if all => Scan::All,
            ([a], _) if all => Scan::Until1([*a]),
            ([a, b], _) if all => Scan::Until2([*a, *b]),
            ([a, b, c], _) if all => Scan::Until3([*a, *b, *c]),
            (_, [from, .., to]) if !all && usize::from(to - from) + 1 == goes.len() => Scan::Range(*from, to - from),
            (_, [only]) if !all => Scan::Range(*only, 0),
            _ => Scan::Table(Box::new(std::array::from_fn(|byte| inside(byte as u8)))),
        }
    }

    /// How many bytes at the beginning of `text` are of the class.
    #[inline]
    pub(super) fn len(&self, text: &[u8]) -> usize {
        let stops = |stop: &dyn Fn(u8) -> bool| text.iter().position(|byte| stop(*byte)).unwrap_or(text.len());
        match self {
            Scan::All => text.len(),
            Scan::Until1(stops) => until(text, stops, |rest| memchr::memchr(stops[0], rest)),
            Scan::Until2(stops) => until(text, stops, |rest| memchr::memchr2(stops[0], stops[1], rest)),
            Scan::Until3(stops) => until(text, stops, |rest| memchr::memchr3(stops[0], stops[1], stops[2], rest)),
            Scan::Range(from, more) => stops(&|byte| byte.wrapping_sub(*from) > *more),
            Scan::Table(table) => stops(&|byte| !table[usize::from(byte)]),
        }
    }
}

/// How many bytes stand before the first of `stops`; `far` looks where that is not soon.
#[inline]
fn until<const N: usize>(text: &[u8], stops: &[u8; N], far: impl FnOnce(&[u8]) -> Option<usize>) -> usize {
    let mut at = 0;
    while let Some(word) = text[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        // The lowest bit is that of the first byte that is equal: what is borrowed goes upwards.
        let equal = stops.iter().fold(0, |found, stop| {
            let differs = word ^ (ONES * u64::from(*stop));
            found | (differs.wrapping_sub(ONES) & !differs & HIGHS)
        });
        if equal != 0 {
            return at + equal.trailing_zeros() as usize / 8;
        }
        at += 8;
        if at == SHORT {
            return far(&text[at..]).map_or(text.len(), |n| at + n);
        }
    }
    text[at..].iter().position(|byte| stops.contains(byte)).map_or(text.len(), |n| at + n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scan(class: &str) -> Scan {
        let hir = regex_syntax::parse(class).unwrap();
        let regex_syntax::hir::HirKind::Class(class) = hir.kind() else { panic!("{class} is no class") };
        Scan::of(&Members::of(class))
    }

    #[test]
    fn classes_have_their_form() {
        for (class, form) in [
            ("(?s:.)", "All"),
            (".", "Until1([10])"),
            ("[^ ]", "Until1([32])"),
            ("[^\" ]", "Until2([32, 34])"),
            ("[^\", ]", "Until3([32, 34, 44])"),
            ("[0-9]", "Range(48, 9)"),
            ("[0-9a]", "Table"),
            ("[^0-9]", "Table"),
        ] {
            let shown = format!("{:?}", scan(class));
            assert!(shown.starts_with(form), "{class}: {shown}");
        }
    }

    proptest! {
        #[test]
        fn a_scan_ends_where_the_class_ends(
            class in prop::sample::select(vec!["(?s:.)", ".", "[^ ]", "[^\" ]", "[^\", ]", "[0-9]", "[a-z0-9]", "[^a-z\"]", "[\\x00-\\x7f]"]),
            text in "[a-z\u{80}-\u{10ffff}]{0,70}[ \",\n0-9\u{0}-\u{7f}]{0,3}.{0,20}",
        ) {
            let regex = regex::Regex::new(&format!("^{class}*")).unwrap();
            prop_assert_eq!(scan(class).len(text.as_bytes()), regex.find(&text).unwrap().end());
        }
    }
}
