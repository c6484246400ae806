//! `fingerprint: {fields: […], target: event.hash}`: one hash of some fields, in hexadecimal digits.
//!
//! With `secret` it is HMAC-SHA256: a pseudonym that nobody can make who has not the secret, and the same wherever it is the same.
//! Of one field it is the hash of its text alone, as other tools make it; of several, each is led by its name and its length (eight
//! bytes, little-endian), so that no two events with other values have the same. Fields that are not there are passed over.

use super::keyed::{key_of, put_hex};
use crate::config::decode::Map;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path, Value};
use ring::digest::{SHA256, digest};
use ring::hmac::{Key, sign};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// A larger buffer is given back after the event that needed it.
const KEPT: usize = 64 << 10;

#[derive(Clone, Debug)]
enum Method {
    Sha256,
    Xxh3,
    Xxh128,
    Keyed(Key),
}

impl Method {
    fn put(&self, bytes: &[u8], out: &mut String) {
        match self {
            Method::Sha256 => put_hex(digest(&SHA256, bytes).as_ref(), out),
            Method::Xxh3 => put_hex(&xxh3_64(bytes).to_be_bytes(), out),
            Method::Xxh128 => put_hex(&xxh3_128(bytes).to_be_bytes(), out),
            Method::Keyed(key) => put_hex(sign(key, bytes).as_ref(), out),
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
struct Fingerprint {
    fields: Vec<(Path, String)>,
    target: Path,
    method: Method,
    bytes: Vec<u8>,
}

impl Processor for Fingerprint {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        event.free(&self.target)?;
        let Fingerprint { fields, bytes: all, .. } = self;
        all.clear();
        let mut any = false;
        for (path, name) in fields.iter() {
            let Some(id) = event.find(path) else { continue };
            any = true;
            event.with_bytes(id, |bytes| {
                if fields.len() > 1 {
                    all.extend_from_slice(name.as_bytes());
                    all.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
                }
                all.extend_from_slice(bytes);
            });
        }
        if any {
            let text = event.push_with(|text| self.method.put(&self.bytes, text));
            event.set(&self.target, Value::Text(text))?;
        }
        self.bytes.shrink_to(KEPT);
        Ok(Flow::On)
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let target = map.field_or("target", "event.hash");
    let method = map.get("method");
    let methods = [("sha256", Method::Sha256), ("xxh3", Method::Xxh3), ("xxh128", Method::Xxh128)];
    let chosen = method.as_ref().map_or(Some(Method::Sha256), |f| f.one_of(&methods));
    let key = key_of(map);
    let fields = super::fields_of(map);
    let method = match (key?, chosen?) {
        (Some(key), Method::Sha256) => Method::Keyed(key),
        (Some(_), _) => {
            method?.wrong(format!("`{}.secret` goes with `sha256` only", map.path), "`method: sha256`, or no `secret`");
            return None;
        }
        (None, method) => method,
    };
    let fields = fields?.into_iter().map(|path| (path.clone(), path.to_string())).collect();
    Some(Box::new(Fingerprint { fields, target: target?, method, bytes: Vec::new() }))
}

#[cfg(test)]
mod tests {
    use crate::process::steps::testing::{members, wrong};

    fn hash(options: &str, line: &str) -> String {
        let shown = members(&format!("[{{fingerprint: {{target: h, {options}}}}}]"), line);
        shown.rsplit('"').nth(1).unwrap().to_string()
    }

    #[test]
    fn agrees_with_what_is_published() {
        assert_eq!(hash("fields: message", "abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let keyed = hash("fields: message, secret: 0123456789abcdef", "10.0.0.1");
        assert_eq!(keyed, "a21b5a555b15e7c012d03a49068c435fd90d9b8d841e65318810a0645480b1e7");
        assert_eq!(hash("fields: message, method: xxh3", ""), "2d06800538d394c2");
        assert_eq!(hash("fields: message, method: xxh128", ""), "99aa06d3014798d86001c324468d497f");
    }

    #[test]
    fn several_fields_do_not_flow_together() {
        let of = |line| {
            let shown = members("[{json: {}}, {fingerprint: {fields: [a, b], target: h}}, {keep: {fields: h}}]", line);
            shown.rsplit('"').nth(1).unwrap().to_string()
        };
        assert_ne!(of(r#"{"a":"xy","b":"z"}"#), of(r#"{"a":"x","b":"yz"}"#));
        assert_ne!(of(r#"{"a":"x"}"#), of(r#"{"b":"x"}"#));
        assert_eq!(of(r#"{"a":"x","b":[1,2]}"#), of(r#"{"b":[1,2],"a":"x"}"#));
        assert_eq!(members("[{fingerprint: {fields: none}}]", "x"), r#""message":"x","log":{"offset":0}"#);
    }

    #[test]
    fn a_secret_makes_another_hash_and_is_never_shown() {
        let with = |secret: &str| hash(&format!("fields: message, secret: {secret}"), "10.0.0.1");
        assert_ne!(with("0123456789abcdef"), with("0123456789abcdeg"));
        let said = wrong("[{fingerprint: {fields: a, secret: tooshort}}]");
        assert!(said.contains("has 8 bytes") && !said.contains("tooshort"), "{said}");
        assert!(wrong("[{fingerprint: {fields: a, method: xxh3, secret: 0123456789abcdef}}]").contains("`sha256` only"));
    }
}
