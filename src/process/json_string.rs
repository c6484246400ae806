//! Reads strings of JSON where they stand, without a copy.

use memchr::memchr2;

/// The inside of a JSON string, as it stands, of which is known that it is right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonString<'a> {
    pub(crate) inside: &'a [u8],
    /// Where the escape at its end begins, and the one right before: `\r\n` are two.
    ends: [Option<(usize, u16)>; 2],
}

impl<'a> JsonString<'a> {
    /// The inside without a newline at its end; `None` where there is none.
    pub(crate) fn before_newline(&self) -> Option<&'a [u8]> {
        let (at, _) = self.ends[1].filter(|(_, code)| *code == u16::from(b'\n'))?;
        Some(&self.inside[..at])
    }

    /// As [`JsonString::before_newline`], where a CR before the newline belongs to it.
    pub(crate) fn before_delimiter(&self) -> Option<&'a [u8]> {
        let line = self.before_newline()?;
        let cr = self.ends[0].filter(|(_, code)| *code == u16::from(b'\r'));
        Some(cr.map_or(line, |(at, _)| &self.inside[..at]))
    }
}

/// Takes the string at the beginning of `bytes`, which are UTF-8; also what follows it. `None` where none stands there.
pub(crate) fn take_string(bytes: &[u8]) -> Option<(JsonString<'_>, &[u8])> {
    let inside = bytes.strip_prefix(b"\"")?;
    let (mut at, mut last, mut before) = (0, None::<(usize, usize, u16)>, None);
    loop {
        let found = at + memchr2(b'"', b'\\', &inside[at..])?;
        if inside[at..found].iter().any(|b| *b < 0x20) {
            return None;
        }
        if inside[found] == b'"' {
            let last = last.filter(|(_, end, _)| *end == found);
            let before = before.filter(|(_, end, _)| last.is_some_and(|(start, ..)| start == *end));
            let ends = [before, last].map(|end| end.map(|(start, _, code)| (start, code)));
            return Some((JsonString { inside: &inside[..found], ends }, &inside[found + 1..]));
        }
        let (code, len) = escape(&inside[found..])?;
        before = last.replace((found, found + len, code));
        at = found + len;
    }
}

/// What an escape stands for and its length; that of a character beyond the first plane is both its halves long.
fn escape(bytes: &[u8]) -> Option<(u16, usize)> {
    let code = match bytes.get(1)? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        simple @ (b'"' | b'\\' | b'/') => *simple,
        b'u' => {
            let code = hex(bytes)?;
            return match code {
                0xd800..0xdc00 => (0xdc00..0xe000).contains(&hex(bytes.get(6..)?)?).then_some((code, 12)),
                0xdc00..0xe000 => None,
                _ => Some((code, 6)),
            };
        }
        _ => return None,
    };
    Some((code.into(), 2))
}

/// The number in `\uXXXX`.
fn hex(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)? as u16))
}

/// Appends what the inside of a [`JsonString`] means.
pub(crate) fn unescape_into(mut inside: &[u8], out: &mut Vec<u8>) {
    while let Some(found) = memchr::memchr(b'\\', inside) {
        out.extend_from_slice(&inside[..found]);
        inside = &inside[found..];
        let (code, len) = escape(inside).unwrap_or((0xfffd, inside.len()));
        let low = if len == 12 { hex(&inside[6..]) } else { None };
        for c in char::decode_utf16([code].into_iter().chain(low)) {
            out.extend_from_slice(c.unwrap_or(char::REPLACEMENT_CHARACTER).encode_utf8(&mut [0; 4]).as_bytes());
        }
        inside = &inside[len..];
    }
    out.extend_from_slice(inside);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_what_serde_json_reads(text in r#"([a-z"\\/é😀\x00-\x1f]|\\u[dD0][8cC0][0a][0dDa]|\\[nrtbf"/\\x]){0,12}"#) {
            let quoted = format!("\"{text}\"");
            let want = serde_json::from_str::<String>(&quoted).ok();
            let got = take_string(quoted.as_bytes()).filter(|(_, rest)| rest.is_empty()).map(|(s, _)| {
                let (mut whole, mut line) = (Vec::new(), Vec::new());
                unescape_into(s.inside, &mut whole);
                let whole = String::from_utf8(whole).unwrap();
                assert_eq!(s.before_newline().is_some(), whole.ends_with('\n'));
                if let Some(before) = s.before_delimiter() {
                    unescape_into(before, &mut line);
                    let line = String::from_utf8(line).unwrap();
                    assert_eq!(Some(line.as_str()), whole.strip_suffix("\r\n").or(whole.strip_suffix('\n')));
                }
                whole
            });
            prop_assert_eq!(got, want);
        }
    }
}
