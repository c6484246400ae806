//! A value that must not be printed, and that is read again from its files when they change.

use super::expand::{Expanded, FromFile, file_text};
use std::fmt;
use std::path::Path;

/// A password, key or token; `Debug` and `Display` never show it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret {
    value: String,
    /// What of it comes from files, in order.
    files: Vec<FromFile>,
}

impl Secret {
    /// Wraps a secret value.
    pub fn new(value: impl Into<String>) -> Secret {
        Secret { value: value.into(), files: Vec::new() }
    }

    /// The value, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.value
    }

    /// The files that it, or parts of it, come from.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|f| Path::new(&f.path))
    }

    /// The same from its files as they are now; what stands around them stays.
    ///
    /// # Errors
    /// Why a file cannot be used. One that is empty cannot: it is being written.
    pub(crate) fn reread(&self) -> Result<Secret, String> {
        let mut now = Secret::default();
        let mut at = 0;
        for file in &self.files {
            now.value.push_str(&self.value[at..file.range.start]);
            let text = file_text(&file.path).map_err(|why| format!("{}: {why}", file.path))?;
            if text.is_empty() {
                return Err(format!("{}: it is empty", file.path));
            }
            let start = now.value.len();
            now.value.push_str(&text);
            now.files.push(FromFile { range: start..now.value.len(), path: file.path.clone() });
            at = file.range.end;
        }
        now.value.push_str(&self.value[at..]);
        Ok(now)
    }

    /// What a scalar of the configuration says.
    #[cfg(test)]
    pub(crate) fn from_text(text: &str) -> Option<Secret> {
        super::expand::expand(text, &|_| None).ok().map(Secret::from)
    }
}

impl From<Expanded> for Secret {
    fn from(value: Expanded) -> Secret {
        Secret { value: value.text, files: value.files }
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Secret {
        Secret::new(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
