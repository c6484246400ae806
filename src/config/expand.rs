//! `${VAR}`, `${VAR:-default}`, `${VAR:+word}`, `${file:/path}` and `$$` inside scalars.
//!
//! Values are put in after the YAML is parsed, so nothing that a variable holds can become structure.

use super::mask::is_sensitive;
use std::io::Read;

/// A secret file is at most this long; what is longer is a mistake, such as a device or a log.
const MAX_FILE: u64 = 1 << 20;

/// A scalar after expansion.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Expanded {
    /// The text.
    pub text: String,
    /// Whether anything was put in.
    pub changed: bool,
    /// Whether a part came from a file or a variable with the name of a secret, and so must not be printed.
    pub secret: bool,
    /// The parts that came from files, in order.
    pub files: Vec<FromFile>,
}

/// A part of a scalar that came from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FromFile {
    /// Where it stands in the text.
    pub range: std::ops::Range<usize>,
    /// The file.
    pub path: String,
}

/// Why a scalar cannot be expanded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ExpandError {
    /// Byte offset of the reference in the scalar.
    pub at: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
    /// Whether the only trouble is that a variable is not set.
    pub missing: bool,
}

impl ExpandError {
    fn new(at: usize, message: impl Into<String>, help: impl Into<String>) -> ExpandError {
        ExpandError { at, message: message.into(), help: help.into(), missing: false }
    }
}

/// Whether `name` can be the name of a variable.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The content of a `${file:…}`, without its last newline.
fn file(path: &str, at: usize) -> Result<String, ExpandError> {
    if path.is_empty() {
        return Err(ExpandError::new(at, "`${file:}` names no file", "write `${file:/run/secrets/name}`"));
    }
    file_text(path).map_err(|why| {
        ExpandError::new(
            at,
            format!("cannot read the file of `${{file:{path}}}`: {why}"),
            "the file must exist, be readable and hold UTF-8 text",
        )
    })
}

/// The content of a file that holds a value, without its last newline; or why it cannot be one.
pub(crate) fn file_text(path: &str) -> Result<String, String> {
    let meta = std::fs::metadata(path).map_err(|e| e.to_string())?;
    if meta.is_dir() {
        return Err("it is a folder".into());
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > MAX_FILE {
        return Err("it is larger than 1MiB".into());
    }
    let mut text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_string())?;
    let kept = text.strip_suffix('\n').map_or(text.len(), |t| t.strip_suffix('\r').unwrap_or(t).len());
    text.truncate(kept);
    Ok(text)
}

/// Expands the references of one scalar.
pub(crate) fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Expanded, ExpandError> {
    let mut out = Expanded::default();
    let mut at = 0;
    while let Some(found) = text[at..].find('$') {
        out.text.push_str(&text[at..at + found]);
        at += found;
        let rest = &text[at..];
        if rest.starts_with("$$") {
            out.text.push('$');
            out.changed = true;
            at += 2;
        } else if rest.starts_with("${") {
            let Some(end) = rest.find('}') else {
                return Err(ExpandError::new(
                    at,
                    "`${` has no closing `}`",
                    "write `$$` for a literal `$`; quote the value if it holds ` #`",
                ));
            };
            reference(&rest[2..end], at, env, &mut out)?;
            out.changed = true;
            at += end + 1;
        } else {
            out.text.push('$');
            at += 1;
        }
    }
    out.text.push_str(&text[at..]);
    Ok(out)
}

/// Puts in what is between `${` and `}`.
fn reference(inner: &str, at: usize, env: &dyn Fn(&str) -> Option<String>, out: &mut Expanded) -> Result<(), ExpandError> {
    if let Some(path) = inner.strip_prefix("file:") {
        out.secret = true;
        let start = out.text.len();
        out.text.push_str(&file(path, at)?);
        out.files.push(FromFile { range: start..out.text.len(), path: path.to_string() });
        return Ok(());
    }
    let (name, rest) = inner.split_at(inner.find(':').unwrap_or(inner.len()));
    if !is_name(name) {
        let help = "a reference is `${NAME}`, `${NAME:-default}`, `${NAME:+word}` or `${file:/path}`; write `$$` for a literal `$`";
        return Err(ExpandError::new(at, "`${…}` does not hold the name of a variable", help));
    }
    let value = env(name);
    let set = value.as_deref().is_some_and(|v| !v.is_empty());
    let put = if let Some(default) = rest.strip_prefix(":-") {
        if set { value.unwrap_or_default() } else { default.to_string() }
    } else if let Some(word) = rest.strip_prefix(":+") {
        out.text.push_str(if set { word } else { "" });
        return Ok(());
    } else if !rest.is_empty() {
        let message = format!("`${{{name}…}}` has `:` but neither `:-` nor `:+` after the name");
        return Err(ExpandError::new(at, message, format!("write `${{{name}:-default}}`")));
    } else {
        let Some(value) = value else {
            let help = format!("set it, or give a default: `${{{name}:-default}}`");
            return Err(ExpandError {
                missing: true,
                ..ExpandError::new(at, format!("the environment variable `{name}` is not set"), help)
            });
        };
        value
    };
    out.secret |= is_sensitive(name);
    out.text.push_str(&put);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "A" => Some("x: [1".into()),
            "EMPTY" => Some(String::new()),
            "DB_PASSWORD" => Some("pw".into()),
            _ => None,
        }
    }

    fn text(input: &str) -> String {
        expand(input, &env).unwrap().text
    }

    #[test]
    fn references() {
        assert_eq!(text("<${A}>"), "<x: [1>");
        assert_eq!(text("${NO:-b c}/${EMPTY:-d}${EMPTY}"), "b c/d");
        assert_eq!(text("${A:+true}|${NO:+true}|${EMPTY:+true}"), "true||");
        assert_eq!(text("$$5 $6 $${A} $"), "$5 $6 ${A} $");
        assert!(expand("${DB_PASSWORD}", &env).unwrap().secret);
        assert!(!expand("${A}", &env).unwrap().secret);
    }

    #[test]
    fn mistakes() {
        let wrong = |input: &str| expand(input, &env).unwrap_err();
        assert_eq!(wrong("ab${NO}").at, 2);
        assert!(wrong("${NO}").missing);
        assert_eq!(wrong("${NO}").help, "set it, or give a default: `${NO:-default}`");
        assert!(wrong("${NO").message.contains("no closing"));
        assert!(wrong("${}").message.contains("name of a variable"));
        assert!(wrong("${a b}").message.contains("name of a variable"));
        assert!(wrong("${A:x}").message.contains("neither"));
        assert!(wrong("${file:/does/not/exist}").message.starts_with("cannot read the file of `${file:/does/not/exist}`"));
        assert!(wrong("${file:/}").message.contains("folder"));
        assert!(wrong("${file:/dev/zero}").message.contains("larger than 1MiB"));
    }

    #[test]
    fn files_lose_their_last_newline_and_are_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "a\nb\r\n").unwrap();
        let got = expand(&format!("<${{file:{}}}>", path.display()), &env).unwrap();
        let files = vec![FromFile { range: 1..4, path: path.display().to_string() }];
        assert_eq!(got, Expanded { text: "<a\nb>".into(), changed: true, secret: true, files });
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "[ab$\\{}:+é-]{0,20}") {
            let _ = expand(&text, &env);
        }

        #[test]
        fn values_are_put_in_as_they_are(value in "\\PC{0,20}") {
            let env = |_: &str| Some(value.clone());
            prop_assert_eq!(expand("${X}", &env).unwrap().text, value.clone());
        }
    }
}
