//! Hashes that only who has the secret can make: HMAC-SHA256, in hexadecimal digits.

use crate::config::decode::Map;
use ring::hmac::{HMAC_SHA256, Key};

/// Shortest secret, bytes.
const SHORTEST: usize = 16;

/// `secret`, where it is there; `None` with a mistake noted.
pub(super) fn key_of(map: &mut Map<'_>) -> Option<Option<Key>> {
    let expected = format!("at least {SHORTEST} bytes that nobody can guess, such as `${{file:/run/secrets/forebay}}`");
    let Some(field) = map.get("secret") else { return Some(None) };
    let secret = field.secret(&expected)?;
    if secret.expose().len() < SHORTEST {
        field.wrong(format!("`{}` has {} bytes", field.path, secret.expose().len()), expected);
        return None;
    }
    Some(Some(Key::new(HMAC_SHA256, secret.expose().as_bytes())))
}

/// Appends hexadecimal digits.
pub(super) fn put_hex(bytes: &[u8], out: &mut String) {
    let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap_or_default();
    bytes.iter().for_each(|b| out.extend([digit(b >> 4), digit(b & 15)]));
}
