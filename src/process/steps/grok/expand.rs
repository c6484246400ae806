//! From a pattern with `%{NAME:field:type}` in it to one regular expression.
//!
//! Patterns in the wild are written for engines that go back and try again. Here all takes linear time, so atomic groups become
//! plain ones, groups without a name capture nothing, `\d`, `\w`, `\s` and `\b` mean ASCII, and `^` and `$` the ends of a line,
//! as they do there; look-around and backreferences are refused with a word of what to do.

use super::standard;
use crate::config::suggest::nearest;
use crate::process::event::Path;
use crate::process::pattern::Pattern;
use std::collections::BTreeMap;

/// Patterns of the configuration.
pub(super) type Own = BTreeMap<String, String>;

/// Deepest nesting of patterns: one that names itself ends here.
const DEEPEST: u32 = 32;
/// Longest expression that a pattern may become, bytes.
const LONGEST: usize = 256 << 10;

/// What a captured text becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Int,
    Float,
    Boolean,
}

const TYPES: [(&str, Type); 7] = [
    ("int", Type::Int),
    ("float", Type::Float),
    ("string", Type::Text),
    ("boolean", Type::Boolean),
    ("integer", Type::Int),
    ("long", Type::Int),
    ("double", Type::Float),
];

impl Type {
    pub(super) fn name(self) -> &'static str {
        TYPES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// A group of the expression, and the field that it becomes.
#[derive(Clone, Debug)]
pub(super) struct Capture {
    pub(super) group: usize,
    pub(super) path: Path,
    pub(super) kind: Type,
}

/// Whether a pattern may be called so.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// `client.ip`, or `[client][ip]`.
pub(super) fn path(name: &str) -> Result<Path, String> {
    let wrong = |why: String| format!("the field `{name}`: {why}");
    let Some(inside) = name.strip_prefix('[') else { return Path::parse(name).map_err(wrong) };
    let inside = inside.strip_suffix(']').ok_or_else(|| wrong("a bracket is not closed".into()))?;
    let parts: Vec<String> = inside.split("][").map(|part| format!("`{part}`")).collect();
    Path::parse(&parts.join(".")).map_err(wrong)
}

/// A pattern without the references `%{GREEDYDATA:field}` that it ends with, and their fields. Both match at the same place with the same
/// groups: the first of them takes what is left of the line, the others nothing. Where groups are is dear to find out in a long
/// match, and so costs nothing there. Where it is not sure that they are the last of all, they stay.
pub(super) fn without_rest<'t>(pattern: &'t str, own: &Own) -> (&'t str, Vec<&'t str>) {
    let (mut head, mut fields) = (pattern, Vec::new());
    while let Some((before, inside)) = head.strip_suffix('}').and_then(|head| head.rsplit_once("%{GREEDYDATA:")) {
        if inside.contains([':', '}', '{']) || own.contains_key("GREEDYDATA") || !is_flat(before) {
            break;
        }
        fields.insert(0, inside);
        head = before;
    }
    (head, fields)
}

/// Whether what follows stands beside all of `pattern`: behind no `|`, in no group or class, under no flag.
fn is_flat(pattern: &str) -> bool {
    let (mut rest, mut open) = (pattern, 0u32);
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => match rest.chars().next() {
                Some(c) => rest = &rest[c.len_utf8()..],
                None => return false,
            },
            // Classes with `]` or `[` in them are for others to understand.
            '[' => match rest.split_once(']') {
                Some((inside, after)) if !inside.is_empty() && inside != "^" && !inside.contains(['[', '\\']) => rest = after,
                _ => return false,
            },
            '(' if rest.strip_prefix('?').is_some_and(|kind| !kind.starts_with([':', '<', '>', '\'', 'P'])) => return false,
            '(' => open += 1,
            ')' => match open.checked_sub(1) {
                Some(less) => open = less,
                None => return false,
            },
            '|' if open == 0 => return false,
            _ => {}
        }
    }
    open == 0
}

/// Puts an expression together.
pub(super) struct Expander<'a> {
    own: &'a Own,
    out: String,
    fields: Vec<(Path, Type)>,
}

impl Expander<'_> {
    pub(super) fn new(own: &Own) -> Expander<'_> {
        Expander { own, out: String::new(), fields: Vec::new() }
    }

    /// The expression of `pattern`, and its captures in the order in which they stand there.
    pub(super) fn compile(mut self, pattern: &str, anchored: bool) -> Result<(Pattern, Vec<Capture>), String> {
        self.out.push_str(if anchored { r"\A(?m:" } else { "(?m:" });
        self.expand(pattern, 0)?;
        self.out.push_str(if anchored { r")\z" } else { ")" });
        let compiled = Pattern::new(&self.out)?;
        let captures = self.fields.into_iter().enumerate().map(|(n, (path, kind))| Capture { group: n + 1, path, kind }).collect();
        Ok((compiled, captures))
    }

    /// Opens a group that becomes a field.
    fn open(&mut self, name: &str, kind: Type) -> Result<(), String> {
        self.fields.push((path(name)?, kind));
        self.out.push('(');
        Ok(())
    }

    fn expand(&mut self, pattern: &str, depth: u32) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(format!("patterns stand within each other more than {DEEPEST} deep: does one name itself?"));
        }
        // How deep in `[…]`.
        let (mut rest, mut class) = (pattern, 0u32);
        while let Some(c) = rest.chars().next() {
            if self.out.len() > LONGEST {
                return Err(format!("the pattern becomes longer than {} KiB", LONGEST >> 10));
            }
            let after = &rest[c.len_utf8()..];
            rest = match c {
                '\\' => self.escape(after, class > 0),
                '[' if class > 0 && after.starts_with(':') => {
                    let end = after.find(":]").map_or(after.len(), |end| end + 2);
                    self.out.push('[');
                    self.out.push_str(&after[..end]);
                    &after[end..]
                }
                '[' => {
                    class += 1;
                    self.out.push('[');
                    let (not, mut after) = after.strip_prefix('^').map_or(("", after), |after| ("^", after));
                    self.out.push_str(not);
                    if let Some(behind) = after.strip_prefix(']') {
                        self.out.push_str(r"\]");
                        after = behind;
                    }
                    after
                }
                ']' if class > 0 => {
                    class -= 1;
                    self.out.push(']');
                    after
                }
                '(' if class == 0 => self.group(after)?,
                '%' if class == 0 && after.starts_with('{') => self.reference(&after[1..], depth)?,
                c => {
                    self.out.push(c);
                    after
                }
            };
        }
        Ok(())
    }

    /// What follows a backslash.
    fn escape<'t>(&mut self, text: &'t str, class: bool) -> &'t str {
        let mut chars = text.chars();
        let c = chars.next();
        let (set, inverse) = match c {
            Some('d' | 'D') => ("0-9", c == Some('D')),
            Some('w' | 'W') => ("0-9A-Za-z_", c == Some('W')),
            Some('s' | 'S') => (r"\t-\r ", c == Some('S')),
            Some('h' | 'H') => ("0-9A-Fa-f", c == Some('H')),
            _ => ("", false),
        };
        match c {
            Some(_) if !set.is_empty() && class && !inverse => self.out.push_str(set),
            Some(_) if !set.is_empty() => {
                self.out.push_str(if inverse { "[^" } else { "[" });
                self.out.push_str(set);
                self.out.push(']');
            }
            Some('b') => self.out.push_str(if class { r"\x08" } else { r"(?-u:\b)" }),
            Some('Z') if !class => self.out.push_str(r"(?:\n?\z)"),
            Some('e') => self.out.push_str(r"\x1b"),
            // Boundaries of words to this engine, plain characters to others.
            Some(c @ ('<' | '>')) => self.out.push(c),
            other => {
                self.out.push('\\');
                self.out.extend(other);
            }
        }
        chars.as_str()
    }

    /// What follows an opening parenthesis.
    fn group<'t>(&mut self, text: &'t str) -> Result<&'t str, String> {
        let Some(kind) = text.strip_prefix('?') else {
            self.out.push_str("(?:");
            return Ok(text);
        };
        if let Some(after) = kind.strip_prefix('>') {
            self.out.push_str("(?:");
            return Ok(after);
        }
        if ["=", "!", "<=", "<!"].iter().any(|sign| kind.starts_with(sign)) {
            return Err("look-around (`(?=`, `(?!`, `(?<=`, `(?<!`) is not to be had in linear time: match what stands around, too, \
                        or ask for it in `when`"
                .into());
        }
        let named = kind.strip_prefix("P<").or_else(|| kind.strip_prefix('<')).map(|rest| (rest, '>'));
        if let Some((rest, end)) = named.or_else(|| kind.strip_prefix('\'').map(|rest| (rest, '\''))) {
            let (name, after) = rest.split_once(end).ok_or("the name of a group is not closed")?;
            self.open(name, Type::Text)?;
            return Ok(after);
        }
        self.out.push_str("(?");
        Ok(kind)
    }

    /// What follows `%{`.
    fn reference<'t>(&mut self, text: &'t str, depth: u32) -> Result<&'t str, String> {
        let (inside, after) = text.split_once('}').ok_or("a `%{` is not closed")?;
        let mut parts = inside.splitn(3, ':');
        let (name, field, kind) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let own = self.own;
        let definition = own.get(name).map(String::as_str).or_else(|| standard::find(name)).ok_or_else(|| {
            let near = nearest(name, own.keys().map(String::as_str).chain(standard::names()));
            format!("there is no pattern `{name}`{}", near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default())
        })?;
        match field {
            Some(field) => {
                let kind = match kind {
                    None => Type::Text,
                    Some(kind) => TYPES
                        .iter()
                        .find(|(name, _)| *name == kind)
                        .map(|(_, kind)| *kind)
                        .ok_or_else(|| format!("`{kind}` in `%{{{inside}}}` is no type: `int`, `float`, `boolean` or `string`"))?,
                };
                self.open(field, kind)?;
            }
            None => self.out.push_str("(?:"),
        }
        self.expand(definition, depth + 1)?;
        self.out.push(')');
        Ok(after)
    }
}
