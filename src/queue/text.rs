//! How the bytes of a source become lines and text: its line ending and its encoding.
//!
//! Bytes stay in the queue as they were read. What they mean stands in the flags of each run, not in the stream: a
//! changed configuration never changes what is queued already, nor the IDs of its events.

use super::RunFlags;
use encoding_rs as rs;
use memchr::{memchr_iter, memrchr_iter};

/// What ends a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineEnding {
    /// LF; a CR before it belongs to the delimiter.
    #[default]
    Auto,
    /// LF alone; a CR before it is part of the line.
    Lf,
    /// CR LF together; each alone is part of the line.
    Crlf,
    /// CR; an LF is part of the line.
    Cr,
}

/// A character encoding, by its number in the queue's format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encoding(u8);

/// By number; only ever appended to. In none of them does the byte 0x0A or 0x0D stand within a character, but for UTF-16.
/// Left out is what keeps a state from line to line (ISO-2022-JP).
static ENCODINGS: [&rs::Encoding; 37] = [
    &rs::UTF_8_INIT,
    &rs::UTF_16LE_INIT,
    &rs::UTF_16BE_INIT,
    &rs::WINDOWS_1252_INIT,
    &rs::SHIFT_JIS_INIT,
    &rs::EUC_JP_INIT,
    &rs::GBK_INIT,
    &rs::GB18030_INIT,
    &rs::BIG5_INIT,
    &rs::EUC_KR_INIT,
    &rs::WINDOWS_1250_INIT,
    &rs::WINDOWS_1251_INIT,
    &rs::WINDOWS_1253_INIT,
    &rs::WINDOWS_1254_INIT,
    &rs::WINDOWS_1255_INIT,
    &rs::WINDOWS_1256_INIT,
    &rs::WINDOWS_1257_INIT,
    &rs::WINDOWS_1258_INIT,
    &rs::WINDOWS_874_INIT,
    &rs::ISO_8859_2_INIT,
    &rs::ISO_8859_3_INIT,
    &rs::ISO_8859_4_INIT,
    &rs::ISO_8859_5_INIT,
    &rs::ISO_8859_6_INIT,
    &rs::ISO_8859_7_INIT,
    &rs::ISO_8859_8_INIT,
    &rs::ISO_8859_10_INIT,
    &rs::ISO_8859_13_INIT,
    &rs::ISO_8859_14_INIT,
    &rs::ISO_8859_15_INIT,
    &rs::ISO_8859_16_INIT,
    &rs::IBM866_INIT,
    &rs::KOI8_R_INIT,
    &rs::KOI8_U_INIT,
    &rs::MACINTOSH_INIT,
    &rs::X_MAC_CYRILLIC_INIT,
    &rs::ISO_8859_8_I_INIT,
];

impl Encoding {
    /// UTF-8.
    pub const UTF8: Encoding = Encoding(0);
    /// UTF-16, low byte first.
    pub const UTF16LE: Encoding = Encoding(1);
    /// UTF-16, high byte first.
    pub const UTF16BE: Encoding = Encoding(2);

    /// The encoding of a label of the WHATWG Encoding Standard (`latin1` is windows-1252 there, as in every browser);
    /// `None` where there is none, or where lines cannot be found in it.
    pub fn named(label: &str) -> Option<Encoding> {
        let found = rs::Encoding::for_label(label.as_bytes())?;
        Encoding::all().find(|e| e.table() == found)
    }

    /// All that there are.
    pub fn all() -> impl Iterator<Item = Encoding> {
        (0..ENCODINGS.len() as u8).map(Encoding)
    }

    /// Its name in the standard.
    pub fn name(self) -> &'static str {
        self.table().name()
    }

    /// A number that a later version has given counts as UTF-8: what is not valid is repaired when it is shown.
    fn table(self) -> &'static rs::Encoding {
        ENCODINGS.get(usize::from(self.0)).copied().unwrap_or(&rs::UTF_8_INIT)
    }

    /// Whether ASCII bytes mean ASCII in it.
    pub(crate) fn extends_ascii(self) -> bool {
        self.table().is_ascii_compatible()
    }

    /// Bytes of the smallest character.
    pub(crate) fn unit(self) -> usize {
        if self == Encoding::UTF16LE || self == Encoding::UTF16BE { 2 } else { 1 }
    }

    /// Length of the byte order mark at the beginning of `bytes`.
    pub(crate) fn mark(self, bytes: &[u8]) -> usize {
        let mark: &[u8] = match self {
            Encoding::UTF8 => b"\xef\xbb\xbf",
            Encoding::UTF16LE => b"\xff\xfe",
            Encoding::UTF16BE => b"\xfe\xff",
            _ => return 0,
        };
        if bytes.starts_with(mark) { mark.len() } else { 0 }
    }

    /// Hands over `bytes` as text, piece by piece, with U+FFFD for what is not valid.
    pub(crate) fn decode(self, mut bytes: &[u8], mut each: impl FnMut(&str)) {
        let (mut decoder, mut text) = (self.table().new_decoder_without_bom_handling(), [0; 2048]);
        loop {
            let (result, read, written, _) = decoder.decode_to_utf8(bytes, &mut text, true);
            bytes = &bytes[read..];
            // Always valid, as the decoder promises.
            each(std::str::from_utf8(&text[..written]).unwrap_or_default());
            if result == rs::CoderResult::InputEmpty {
                return;
            }
        }
    }

    /// `bytes` as text in `scratch`, or as they are where they are ASCII or UTF-8 anyway.
    pub(crate) fn text<'a>(self, bytes: &'a [u8], scratch: &'a mut String) -> &'a [u8] {
        if self == Encoding::UTF8 || (self.extends_ascii() && bytes.is_ascii()) {
            return bytes;
        }
        scratch.clear();
        self.decode(bytes, |text| scratch.push_str(text));
        scratch.as_bytes()
    }

    /// How many of the first `max` bytes of a longer `line` are kept so that no character is cut in two; at least one.
    pub(crate) fn cut(self, line: &[u8], max: usize) -> usize {
        let kept = &line[..line.len().min(max)];
        match self {
            Encoding::UTF8 => match std::str::from_utf8(kept) {
                Err(e) if e.error_len().is_none() && e.valid_up_to() > 0 => e.valid_up_to(),
                _ => kept.len(),
            },
            Encoding::UTF16LE | Encoding::UTF16BE => {
                let whole = kept.len() & !1;
                let high_byte = if self == Encoding::UTF16LE { 1 } else { 2 };
                // The second half of a surrogate pair would be left over.
                let split = whole >= 4 && (0xd8..0xdc).contains(&kept[whole - high_byte]);
                if split { whole - 2 } else { whole.max(1) }
            }
            _ if self.table().is_single_byte() => kept.len(),
            _ => {
                let sound = |n: &usize| self.table().decode_without_bom_handling_and_without_replacement(&kept[..*n]).is_some();
                (kept.len().saturating_sub(3).max(1)..=kept.len()).rev().find(sound).unwrap_or(kept.len())
            }
        }
    }
}

/// What stands at the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// A delimiter of this length.
    Delimiter(usize),
    /// What may become one with the next bytes.
    Maybe,
    /// Something else.
    Other,
}

/// Line ending and encoding of a run's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// See [`Encoding`].
    pub encoding: Encoding,
    /// See [`LineEnding`].
    pub ending: LineEnding,
}

impl Text {
    /// UTF-8 with LF or CR LF.
    pub const PLAIN: Text = Text { encoding: Encoding::UTF8, ending: LineEnding::Auto };

    /// Its bits in the flags of a run.
    pub(crate) fn flags(self) -> u32 {
        (self.ending as u32) << RunFlags::LINE_ENDING_SHIFT | u32::from(self.encoding.0) << RunFlags::ENCODING_SHIFT
    }

    pub(crate) fn of(flags: RunFlags) -> Text {
        let ending = match flags.0 >> RunFlags::LINE_ENDING_SHIFT & 3 {
            0 => LineEnding::Auto,
            1 => LineEnding::Lf,
            2 => LineEnding::Crlf,
            _ => LineEnding::Cr,
        };
        Text { encoding: Encoding((flags.0 >> RunFlags::ENCODING_SHIFT) as u8), ending }
    }

    /// The delimiters, longest first.
    fn delimiters(self) -> &'static [&'static [u8]] {
        match (self.encoding, self.ending) {
            (Encoding::UTF16LE, LineEnding::Auto) => &[b"\r\0\n\0", b"\n\0"],
            (Encoding::UTF16LE, LineEnding::Lf) => &[b"\n\0"],
            (Encoding::UTF16LE, LineEnding::Crlf) => &[b"\r\0\n\0"],
            (Encoding::UTF16LE, LineEnding::Cr) => &[b"\r\0"],
            (Encoding::UTF16BE, LineEnding::Auto) => &[b"\0\r\0\n", b"\0\n"],
            (Encoding::UTF16BE, LineEnding::Lf) => &[b"\0\n"],
            (Encoding::UTF16BE, LineEnding::Crlf) => &[b"\0\r\0\n"],
            (Encoding::UTF16BE, LineEnding::Cr) => &[b"\0\r"],
            (_, LineEnding::Auto) => &[b"\r\n", b"\n"],
            (_, LineEnding::Lf) => &[b"\n"],
            (_, LineEnding::Crlf) => &[b"\r\n"],
            (_, LineEnding::Cr) => &[b"\r"],
        }
    }

    /// Bytes of the longest delimiter.
    pub(crate) fn longest_delimiter(self) -> usize {
        self.delimiters()[0].len()
    }

    /// Length of the delimiter at the end of a line; 0 for none.
    #[inline]
    pub(crate) fn delimiter(self, line: &[u8]) -> usize {
        if self == Text::PLAIN {
            return match line {
                [.., b'\r', b'\n'] => 2,
                [.., b'\n'] => 1,
                _ => 0,
            };
        }
        self.delimiters().iter().find(|d| line.ends_with(d)).map_or(0, |d| d.len())
    }

    /// What `bytes` begin with.
    pub(crate) fn beginning(self, bytes: &[u8]) -> Beginning {
        let delimiters = self.delimiters();
        match delimiters.iter().find(|d| bytes.starts_with(d)) {
            Some(d) => Beginning::Delimiter(d.len()),
            None if !bytes.is_empty() && delimiters.iter().any(|d| d.starts_with(bytes)) => Beginning::Maybe,
            None => Beginning::Other,
        }
    }

    /// The end, delimiter included, of the line that begins at `start`, searched from `from` on. `odd`: `data` begins at
    /// an odd byte of the source.
    #[inline]
    pub(crate) fn line_end(self, data: &[u8], start: usize, from: usize, odd: bool) -> Option<usize> {
        if self == Text::PLAIN {
            return memchr::memchr(b'\n', data.get(from..)?).map(|i| from + i + 1);
        }
        let mut found = memchr_iter(self.last_byte(), data.get(from..)?);
        found.find_map(|i| self.ends_at(data, start, from + i, odd))
    }

    /// The end, delimiter included, of the last line that is complete in `data`, which begins with a line.
    pub(crate) fn last_line_end(self, data: &[u8], odd: bool) -> Option<usize> {
        memrchr_iter(self.last_byte(), data).find_map(|i| self.ends_at(data, 0, i, odd))
    }

    /// The byte by which a delimiter is found.
    fn last_byte(self) -> u8 {
        if self.ending == LineEnding::Cr { b'\r' } else { b'\n' }
    }

    /// Where the line from `start` ends if byte `i`, which is a [`Text::last_byte`], is of its delimiter.
    fn ends_at(self, data: &[u8], start: usize, i: usize, odd: bool) -> Option<usize> {
        let aligned = (i + usize::from(odd)).is_multiple_of(2);
        let end = match self.encoding {
            Encoding::UTF16LE => (aligned && data.get(i + 1) == Some(&0)).then_some(i + 2)?,
            Encoding::UTF16BE => (!aligned && i > start && data[i - 1] == 0).then_some(i + 1)?,
            _ => i + 1,
        };
        (self.ending != LineEnding::Crlf || data[start..end].ends_with(self.delimiters()[0])).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(encoding: Encoding, bytes: &[u8]) -> String {
        let mut text = String::new();
        encoding.decode(bytes, |piece| text.push_str(piece));
        text
    }

    #[test]
    fn labels_find_their_encodings() {
        for (label, name) in [
            ("utf-8", "UTF-8"),
            ("UTF8", "UTF-8"),
            ("utf-16le", "UTF-16LE"),
            ("latin1", "windows-1252"),
            ("iso-8859-1", "windows-1252"),
            ("shift_jis", "Shift_JIS"),
            ("sjis", "Shift_JIS"),
            ("cp1251", "windows-1251"),
            ("gb2312", "GBK"),
        ] {
            assert_eq!(Encoding::named(label).map(Encoding::name), Some(name), "{label}");
        }
        for label in ["", "utf-7", "iso-2022-jp", "iso-2022-kr", "replacement", "x-user-defined", "ebcdic"] {
            assert_eq!(Encoding::named(label), None, "{label}");
        }
        for encoding in Encoding::all() {
            assert_eq!(Encoding::named(encoding.name()), Some(encoding));
        }
    }

    /// The numbers are on disk: this list only ever grows at its end.
    #[test]
    fn numbers_stay() {
        let names: Vec<_> = Encoding::all().map(Encoding::name).collect();
        assert_eq!(
            names.join(" "),
            "UTF-8 UTF-16LE UTF-16BE windows-1252 Shift_JIS EUC-JP GBK gb18030 Big5 EUC-KR windows-1250 windows-1251 windows-1253 \
             windows-1254 windows-1255 windows-1256 windows-1257 windows-1258 windows-874 ISO-8859-2 ISO-8859-3 ISO-8859-4 ISO-8859-5 \
             ISO-8859-6 ISO-8859-7 ISO-8859-8 ISO-8859-10 ISO-8859-13 ISO-8859-14 ISO-8859-15 ISO-8859-16 IBM866 KOI8-R KOI8-U macintosh \
             x-mac-cyrillic ISO-8859-8-I"
        );
    }

    /// Searching for the byte LF or CR is right in every encoding but UTF-16: neither is ever swallowed by a character
    /// that began before it, whole or broken, nor means anything else.
    #[test]
    fn line_ends_are_never_within_a_character() {
        for encoding in Encoding::all().filter(|e| e.unit() == 1) {
            for end in *b"\n\r" {
                let check = |bytes: &[u8]| {
                    let text = encoding.table().decode_without_bom_handling(bytes).0;
                    assert!(text.ends_with(char::from(end)), "{} {bytes:x?}", encoding.name());
                };
                check(&[end]);
                for first in 0x80..=0xff {
                    check(&[first, end]);
                    if encoding.table().is_single_byte() {
                        continue;
                    }
                    for second in 0x30..=0xff {
                        if second < 0x3a || second % 16 == 1 || second > 0xf0 {
                            check(&[first, second, end]);
                            check(&[first, second, 0x81, end]);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_encoding_goes_through_the_flags() {
        for encoding in Encoding::all() {
            for ending in [LineEnding::Auto, LineEnding::Lf, LineEnding::Crlf, LineEnding::Cr] {
                let text = Text { encoding, ending };
                assert_eq!(Text::of(RunFlags(text.flags() | RunFlags::UTF8 | RunFlags::PART)), text);
            }
        }
        assert_eq!(Text::PLAIN.flags(), 0);
        assert_eq!(decoded(Encoding(200), b"a\xff"), "a\u{fffd}");
    }

    #[test]
    fn text_is_decoded_whatever_its_length() {
        let sjis = Encoding::named("shift_jis").unwrap();
        let long = "\u{65e5}\u{672c}\u{8a9e} ".repeat(3000);
        let (bytes, _, _) = rs::SHIFT_JIS.encode(&long);
        assert_eq!(decoded(sjis, &bytes), long);
        let wide: Vec<u8> = long.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(decoded(Encoding::UTF16BE, &wide), long);
        assert_eq!(decoded(Encoding::UTF16LE, b"a\0\0\xd8b\0c"), "a\u{fffd}b\u{fffd}");
        assert_eq!(decoded(Encoding::named("latin1").unwrap(), b"caf\xe9 \x80"), "caf\u{e9} \u{20ac}");
        assert_eq!(decoded(sjis, b""), "");
    }

    #[test]
    fn a_cut_leaves_no_half_character() {
        let cut = |encoding: Encoding, line: &[u8], max| encoding.cut(line, max);
        assert_eq!(cut(Encoding::UTF8, "aé".as_bytes(), 2), 1);
        assert_eq!(cut(Encoding::UTF8, "aé".as_bytes(), 3), 3);
        assert_eq!(cut(Encoding::UTF8, b"\xff\xff\xff", 2), 2);
        let sjis = Encoding::named("shift_jis").unwrap();
        // A trail byte that is ASCII: 0x95 0x5c.
        assert_eq!(cut(sjis, b"ab\x95\x5cc", 3), 2);
        assert_eq!(cut(sjis, b"ab\x95\x5cc", 4), 4);
        let gb = Encoding::named("gb18030").unwrap();
        assert_eq!((4..=8).map(|n| cut(gb, b"abcd\x81\x30\x81\x30x", n)).collect::<Vec<_>>(), [4, 4, 4, 4, 8]);
        // An unpaired end is not cut further than the character before it.
        for (encoding, line) in [
            (Encoding::UTF16LE, "a\u{1f600}b".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()),
            (Encoding::UTF16BE, "a\u{1f600}b".encode_utf16().flat_map(u16::to_be_bytes).collect()),
        ] {
            assert_eq!((2..=8).map(|n| cut(encoding, &line, n)).collect::<Vec<_>>(), [2, 2, 2, 2, 6, 6, 8]);
        }
    }

    #[test]
    fn lines_end_where_they_should() {
        let ends = |text: Text, data: &[u8], odd| {
            let (mut ends, mut at) = (Vec::new(), 0);
            while let Some(end) = text.line_end(data, at, at, odd) {
                ends.push(end);
                at = end;
            }
            assert_eq!(text.last_line_end(data, odd), ends.last().copied());
            ends
        };
        let data = b"a\r\nb\rc\nd\r\n";
        for (ending, want) in
            [(LineEnding::Auto, &[3, 7, 10][..]), (LineEnding::Lf, &[3, 7, 10]), (LineEnding::Crlf, &[3, 10]), (LineEnding::Cr, &[2, 5, 9])]
        {
            for (encoding, unit) in [(Encoding::UTF8, 1), (Encoding::UTF16LE, 2), (Encoding::UTF16BE, 2)] {
                let wide = |b: &u8| match encoding {
                    Encoding::UTF16LE => vec![*b, 0],
                    Encoding::UTF16BE => vec![0, *b],
                    _ => vec![*b],
                };
                let bytes: Vec<u8> = data.iter().flat_map(wide).collect();
                let text = Text { encoding, ending };
                assert_eq!(ends(text, &bytes, false), want.iter().map(|n| n * unit).collect::<Vec<_>>(), "{text:?}");
            }
        }
        // U+0A00, U+000A in little-endian bytes; the pair `0a 00` that lies across two characters is no LF.
        let text = Text { encoding: Encoding::UTF16LE, ending: LineEnding::Auto };
        assert_eq!(ends(text, b"\0\n\n\0", false), [4]);
        assert_eq!(ends(text, b"\0\n\0\n", true), [3]);
        let text = Text { encoding: Encoding::UTF16BE, ending: LineEnding::Auto };
        assert_eq!(ends(text, b"\n\0\n\0\0\n", false), [6]);
        assert_eq!(text.beginning(b"\0"), Beginning::Maybe);
        assert_eq!(text.beginning(b"\0\r\0\n"), Beginning::Delimiter(4));
        assert_eq!(text.beginning(b"\0a"), Beginning::Other);
    }
}
