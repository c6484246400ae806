//! What is known of a stream, in few bytes: with a hundred thousand files, most of them rest, and their names, fields and
//! fingerprints as structures of their own would be most of the memory. The path stays beside it, in one memory with that of
//! the reader. In memory only; what is stored has its own form.

use super::{FileIdentity, Head, StreamSpec};
use std::path::Path;

/// What tells streams apart: had without an allocation, also of those that rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Brief {
    /// See [`StreamSpec::key`].
    pub(crate) key: u128,
    /// See [`StreamSpec::generation`].
    pub(crate) generation: u32,
    /// See [`StreamSpec::file`].
    pub(crate) file: Option<FileIdentity>,
    /// See [`StreamSpec::head`].
    pub(crate) head: Head,
}

impl Brief {
    pub(super) fn of(spec: &StreamSpec) -> Brief {
        Brief { key: spec.key, generation: spec.generation, file: spec.file, head: spec.head }
    }
}

fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// All but the path, in few bytes.
pub(super) fn pack(spec: &StreamSpec) -> Box<[u8]> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(&spec.key.to_le_bytes());
    put(&mut out, u64::from(spec.generation) << 1 | u64::from(spec.file.is_some()));
    if let Some(file) = &spec.file {
        put(&mut out, file.device);
        put(&mut out, file.inode);
        out.extend_from_slice(&file.born_ns.to_le_bytes());
    }
    put(&mut out, u64::from(spec.head.len));
    out.extend_from_slice(&spec.head.hash.to_le_bytes());
    for bytes in [spec.source.as_bytes(), spec.topic.as_bytes(), spec.fields.as_bytes(), &spec.resume] {
        put_bytes(&mut out, bytes);
    }
    put(&mut out, spec.seen_ms);
    put(&mut out, spec.gone_ms);
    // A shorter block of its own: what is left of this one would lie between those of all streams.
    Box::from(&out[..])
}

struct Taken<'a>(&'a [u8]);

impl<'a> Taken<'a> {
    fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn number(&mut self) -> Option<u64> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.bytes(1)?[0];
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(n);
            }
        }
        None
    }

    fn run(&mut self) -> Option<&'a [u8]> {
        let n = self.number()?;
        self.bytes(n as usize)
    }

    fn text(&mut self) -> Option<String> {
        Some(std::str::from_utf8(self.run()?).ok()?.to_owned())
    }
}

/// The numbers alone, and where the rest follows.
fn brief(t: &mut Taken<'_>) -> Option<Brief> {
    let key = u128::from_le_bytes(t.fixed()?);
    let generation = t.number()?;
    let file = match generation & 1 {
        0 => None,
        _ => Some(FileIdentity { device: t.number()?, inode: t.number()?, born_ns: i64::from_le_bytes(t.fixed()?) }),
    };
    let head = Head { len: t.number()? as u32, hash: u64::from_le_bytes(t.fixed()?) };
    Some(Brief { key, generation: (generation >> 1) as u32, file, head })
}

/// What [`Brief::of`] gives, of a spec that is packed.
pub(super) fn unpack_brief(bytes: &[u8]) -> Option<Brief> {
    brief(&mut Taken(bytes))
}

/// What [`pack`] was given, with its path; `None` for other bytes.
pub(super) fn unpack(bytes: &[u8], path: &Path) -> Option<StreamSpec> {
    let mut t = Taken(bytes);
    let Brief { key, generation, file, head } = brief(&mut t)?;
    let (source, topic, fields, resume) = (t.text()?, t.text()?, t.text()?, t.run()?.to_vec());
    let (seen_ms, gone_ms) = (t.number()?, t.number()?);
    Some(StreamSpec { key, source, topic, path: path.to_path_buf(), file, generation, head, fields, resume, seen_ms, gone_ms })
}

#[cfg(test)]
mod tests {
    use super::super::registry::tests::any_record;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_out_as_it_was(record in any_record()) {
            let packed = pack(&record.spec);
            prop_assert_eq!(unpack_brief(&packed), Some(Brief::of(&record.spec)));
            prop_assert_eq!(unpack(&packed, &record.spec.path), Some(record.spec));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = (unpack(&bytes, Path::new("/a")), unpack_brief(&bytes));
        }
    }
}
