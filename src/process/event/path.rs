//! The name of a field: `http.response.status_code`; a part with odd characters stands in backquotes: ``labels.`a.b` ``.

use super::key::Key;
use super::{Id, NONE, Span};
use crate::process::escape::plain_len;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A parsed name; it has at least one part, and none is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path(Box<[Part]>);

/// A part of a name: of an object's members, the one that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// With blanks behind it, where it has less bytes than [`PADDED`].
    padded: Box<str>,
    len: usize,
    key: Key,
    clean: bool,
    pub(super) hint: Hint,
}

/// The node that the part meant in the document before. Events of one form have their fields in the same nodes, so that most
/// often it is the right one again; whoever uses it looks.
#[derive(Debug)]
pub(super) struct Hint(AtomicU32);

impl Hint {
    #[inline]
    pub(super) fn get(&self) -> Id {
        self.0.load(Relaxed)
    }

    #[inline]
    pub(super) fn set(&self, id: Id) {
        self.0.store(id, Relaxed);
    }
}

impl Clone for Hint {
    fn clone(&self) -> Hint {
        Hint(AtomicU32::new(self.get()))
    }
}

/// It says nothing of the name.
impl PartialEq for Hint {
    fn eq(&self, _: &Hint) -> bool {
        true
    }
}

impl Eq for Hint {}

/// Length to which names are filled up, so that most are copied without a call.
const PADDED: usize = 16;

impl Part {
    fn new(name: &str) -> Part {
        Part {
            padded: format!("{name:PADDED$}").into(),
            len: name.len(),
            key: Key::of(name.as_bytes()),
            clean: plain_len(name.as_bytes()) == name.len(),
            hint: Hint(AtomicU32::new(NONE)),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.padded[..self.len]
    }

    /// Appends the name, perhaps with blanks behind it; gives where it stands.
    #[inline]
    pub(super) fn push_to(&self, text: &mut String) -> Span {
        let start = text.len();
        text.push_str(if self.len <= PADDED { &self.padded[..PADDED] } else { &self.padded });
        Span::new(start, start + self.len).clean(self.clean)
    }

    pub(super) fn key(&self) -> Key {
        self.key
    }
}

impl AsRef<str> for Part {
    fn as_ref(&self) -> &str {
        self.name()
    }
}

/// Most parts of a name: deeper documents are refused by receivers.
pub(super) const DEEPEST: usize = 20;

/// Whether a character may stand in a name without backquotes.
pub(crate) fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '@' | '-' | '/')
}

impl Path {
    /// Reads a whole name.
    pub(crate) fn parse(text: &str) -> Result<Path, String> {
        let (path, rest) = Path::take(text)?;
        match rest.chars().next() {
            None => Ok(path),
            Some(c) => Err(format!("`{c}` cannot stand in a name without backquotes")),
        }
    }

    /// Reads a name at the beginning of `text`; also what follows it.
    pub(crate) fn take(text: &str) -> Result<(Path, &str), String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        loop {
            let part = match rest.strip_prefix('`') {
                Some(quoted) => {
                    let (part, after) = quoted.split_once('`').ok_or("a backquote is not closed")?;
                    rest = after;
                    part
                }
                None => {
                    let (part, after) = rest.split_at(rest.find(|c| !is_plain(c)).unwrap_or(rest.len()));
                    rest = after;
                    part
                }
            };
            if part.is_empty() {
                return Err("a part of the name is empty".into());
            }
            parts.push(Part::new(part));
            if parts.len() > DEEPEST {
                return Err(format!("the name has more than {DEEPEST} parts"));
            }
            match rest.strip_prefix('.') {
                Some(after) => rest = after,
                None => return Ok((Path(parts.into()), rest)),
            }
        }
    }

    /// Whether it stands within the field `outer`, or is it.
    pub(crate) fn is_within(&self, outer: &Path) -> bool {
        self.0.starts_with(&outer.0)
    }

    /// The name of the object in which it stands.
    pub(crate) fn parent(&self) -> Option<String> {
        let (_, above) = self.0.split_last()?;
        (!above.is_empty()).then(|| Path(above.into()).to_string())
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.0
    }
}

/// The name that these parts make, as it is written in a configuration.
pub(crate) fn shown(parts: &[impl AsRef<str>]) -> String {
    let part = |part: &str| if part.chars().all(is_plain) { part.to_string() } else { format!("`{part}`") };
    parts.iter().map(|p| part(p.as_ref())).collect::<Vec<_>>().join(".")
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}
