//! Bytes of an event as the inside of a JSON string.
//!
//! Runs of bytes that need no escape are found sixteen at a time and copied whole. What is escaped,
//! and how, is exactly what `serde_json` does, so that the two may be mixed in one document.

/// For each byte: 0 if it stands as it is, else the character after the backslash (`u` for `\u00xx`).
static ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 0x20 {
        table[i] = b'u';
        i += 1;
    }
    table[0x08] = b'b';
    table[b'\t' as usize] = b't';
    table[b'\n' as usize] = b'n';
    table[0x0c] = b'f';
    table[b'\r' as usize] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

/// For each byte: what it becomes (at most six bytes, the first one lowest), and in the top byte how many they are.
static ESCAPED: [u64; 256] = {
    let hex = b"0123456789abcdef";
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let bytes = match ESCAPES[i] {
            0 => [i as u8, 0, 0, 0, 0, 0, 0, 1],
            b'u' => [b'\\', b'u', b'0', b'0', hex[i >> 4], hex[i & 15], 0, 6],
            letter => [b'\\', letter, 0, 0, 0, 0, 0, 2],
        };
        table[i] = u64::from_le_bytes(bytes);
        i += 1;
    }
    table
};

/// Bytes that are looked at together.
const BLOCK: usize = 16;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// High bits of the bytes of `word` that must be escaped. Bits above the lowest one may be false
/// (a borrow went through them), the lowest is always true.
#[inline]
fn suspects(word: u64) -> u64 {
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = word ^ (ONES * b'"' as u64);
    let slash = word ^ (ONES * b'\\' as u64);
    (control | quote.wrapping_sub(ONES) & !quote | slash.wrapping_sub(ONES) & !slash) & HIGHS
}

/// How many bytes at the start of `block` can stand in a JSON string as they are.
#[inline]
fn plain_of(block: &[u8; BLOCK]) -> usize {
    let whole = u128::from_le_bytes(*block);
    let (low, high) = (suspects(whole as u64), suspects((whole >> 64) as u64));
    // Where both are zero, so is the last number: then it is all of them.
    let found = if low == 0 { high } else { low };
    (found.trailing_zeros() / 8) as usize + if low == 0 { 8 } else { 0 }
}

/// Length of the part at the start of `bytes` that can stand in a JSON string as it is.
#[inline]
pub(super) fn plain_len(bytes: &[u8]) -> usize {
    let mut at = 0;
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    for block in blocks {
        let plain = plain_of(block);
        if plain < BLOCK {
            return at + plain;
        }
        at += BLOCK;
    }
    at + rest.iter().position(|b| ESCAPES[*b as usize] != 0).unwrap_or(rest.len())
}

/// Bytes that a byte takes at most when it is escaped.
pub(super) const LONGEST: usize = 6;

/// Bytes that [`escape_ahead`] and [`copy_ahead`] read behind the end of what they are given, and write behind what they return.
pub(super) const AHEAD: usize = BLOCK;

/// Copies `text[from..to]` to `out[at..]`; returns where it ends. Short text costs no call, since whole blocks are copied: there
/// must be [`AHEAD`] more bytes behind `to`, and in `out` as much room behind the end.
#[inline]
pub(super) fn copy_ahead(text: &[u8], from: usize, to: usize, out: &mut [u8], at: usize) -> usize {
    let (mut from, end) = (from, at + (to - from));
    let mut at = at;
    while from < to {
        let block = text[from..].first_chunk::<BLOCK>().expect("room behind the text");
        out[at..at + BLOCK].copy_from_slice(block);
        (from, at) = (from + BLOCK, at + BLOCK);
    }
    end
}

/// The same as the inside of a JSON string. The room in `out` must be for [`LONGEST`] times the text.
#[inline]
pub(super) fn escape_ahead(text: &[u8], mut from: usize, to: usize, out: &mut [u8], mut at: usize) -> usize {
    while from < to {
        let block = text[from..].first_chunk::<BLOCK>().expect("room behind the text");
        out[at..at + BLOCK].copy_from_slice(block);
        let whole = u128::from_le_bytes(*block);
        let (low, high) = (suspects(whole as u64), suspects((whole >> 64) as u64));
        if low | high == 0 {
            (from, at) = (from + BLOCK, at + BLOCK);
            continue;
        }
        let plain = if low != 0 { low.trailing_zeros() / 8 } else { 8 + high.trailing_zeros() / 8 } as usize;
        (from, at) = (from + plain, at + plain);
        if from < to {
            let entry = ESCAPED[text[from] as usize];
            out[at..at + 8].copy_from_slice(&entry.to_le_bytes());
            (from, at) = (from + 1, at + (entry >> 56) as usize);
        }
    }
    at - (from - to)
}

/// Appends `text`, which must be UTF-8 already, to `out` as the inside of a JSON string.
#[inline]
pub fn escape_into(mut text: &[u8], out: &mut Vec<u8>) {
    loop {
        let plain = plain_len(text);
        out.extend_from_slice(&text[..plain]);
        text = &text[plain..];
        if text.is_empty() {
            return;
        }
        let done = escape_dense(text, out);
        text = &text[done..];
    }
}

/// So many words without an escape end [`escape_dense`].
const SPARSE: u32 = 4;

/// Escapes the start of `text`, to where escapes become rare or to its end; returns its length.
///
/// Where one quote is, more are near (JSON in a log line). To look for each would cost a branch that the
/// processor cannot foresee and a call for a few bytes. So each byte of such a word goes through a table,
/// without a branch, into a small buffer: eight bytes are written, and as many of them count as the table says.
fn escape_dense(text: &[u8], out: &mut Vec<u8>) -> usize {
    const STAGE: usize = 256;
    // The most that a word adds: eight bytes, each six escaped, and the two that are written beyond the last.
    const STEP: usize = 8 * 6 + 2;
    let mut stage = [0; STAGE];
    let (mut len, mut at, mut clean) = (0, 0, 0);
    while clean < SPARSE {
        if len > STAGE - STEP {
            out.extend_from_slice(&stage[..len]);
            len = 0;
        }
        let Some(word) = text[at..].first_chunk::<8>() else {
            len = text[at..].iter().fold(len, |len, byte| put_byte(*byte, &mut stage, len));
            at = text.len();
            break;
        };
        if suspects(u64::from_le_bytes(*word)) == 0 {
            stage[len..len + 8].copy_from_slice(word);
            (len, clean) = (len + 8, clean + 1);
        } else {
            len = word.iter().fold(len, |len, byte| put_byte(*byte, &mut stage, len));
            clean = 0;
        }
        at += 8;
    }
    out.extend_from_slice(&stage[..len]);
    at
}

/// Puts one byte, escaped if need be, at `at` of `stage`; returns where the next one goes.
#[inline]
fn put_byte(byte: u8, stage: &mut [u8; 256], at: usize) -> usize {
    let entry = ESCAPED[byte as usize];
    stage[at..at + 8].copy_from_slice(&entry.to_le_bytes());
    at + (entry >> 56) as usize
}

/// Like [`escape_into`] for bytes of any kind: what is not UTF-8 becomes U+FFFD, as `String::from_utf8_lossy` does.
pub fn escape_lossy_into(bytes: &[u8], out: &mut Vec<u8>) {
    // Most often it is UTF-8 after all, and to see that at once is faster than chunk by chunk.
    if std::str::from_utf8(bytes).is_ok() {
        return escape_into(bytes, out);
    }
    for chunk in bytes.utf8_chunks() {
        escape_into(chunk.valid().as_bytes(), out);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(text: &[u8]) -> String {
        let mut out = vec![b'"'];
        escape_lossy_into(text, &mut out);
        out.push(b'"');
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_text(text in "\\PC*|[ -~\\x00-\\x1f\"\\\\\u{7f}\u{80}é漢😀]*") {
            let mut out = vec![b'"'];
            escape_into(text.as_bytes(), &mut out);
            out.push(b'"');
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
        }

        #[test]
        fn agrees_with_serde_json_on_bytes(bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0u8..0x24], 0..600)) {
            prop_assert_eq!(escaped(&bytes), serde_json::to_string(&String::from_utf8_lossy(&bytes)).unwrap());
        }
    }

    #[test]
    fn every_byte_at_every_place_of_a_word() {
        for byte in 0..=255u8 {
            for place in 0..17 {
                let mut text = vec![b'x'; 17];
                text[place] = byte;
                assert_eq!(escaped(&text), serde_json::to_string(&String::from_utf8_lossy(&text)).unwrap(), "byte {byte} at {place}");
            }
        }
    }
}
