//! What is said about a mistake: where it is, what was found, what was expected, what to do.

use super::mask;
use super::yaml::Pos;
use std::fmt::{self, Write as _};
use std::path::PathBuf;

/// Most characters of a source line that are shown.
const WIDTH: usize = 120;

/// A file that was read.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// Its path, as it is shown.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// One mistake, before it is tied to its file.
#[derive(Debug)]
pub(crate) struct Problem {
    pos: Pos,
    path: String,
    message: String,
    found: Option<String>,
    notes: Vec<(&'static str, String)>,
}

impl Problem {
    /// A mistake at a place, under a key path.
    pub(crate) fn new(pos: Pos, path: &str, message: impl Into<String>) -> Problem {
        Problem { pos, path: path.to_string(), message: message.into(), found: None, notes: Vec::new() }
    }

    /// What stands there.
    pub(crate) fn found(mut self, found: impl Into<String>) -> Problem {
        self.found = Some(found.into());
        self
    }

    /// What should stand there.
    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Problem {
        self.notes.push(("expected", expected.into()));
        self
    }

    /// What to do.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Problem {
        self.notes.push(("help", help.into()));
        self
    }

    /// [`Problem::help`], if there is one.
    pub(crate) fn help_if(self, help: Option<String>) -> Problem {
        match help {
            Some(help) => self.help(help),
            None => self,
        }
    }

    /// What else belongs to it, such as another place.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Problem {
        self.notes.push(("note", note.into()));
        self
    }

    /// Ties the mistake to its file and the lines of it; secrets are taken out of the shown line.
    pub(crate) fn tie(self, file: Option<&SourceFile>, lines: &[&str]) -> Diagnostic {
        let shown = (self.pos.line > 0).then(|| mask::printable_line(lines, self.pos.line as usize - 1)).flatten();
        let source = shown.map(|(text, hidden)| {
            let column = (self.pos.col.max(1) as usize - 1).min(hidden).min(text.chars().count());
            let length = if column >= hidden { mask::MASK.len() } else { self.pos.len.max(1) as usize };
            (text, column, length)
        });
        let text = |name: &str| -> Vec<String> { self.notes.iter().filter(|(kind, _)| *kind == name).map(|(_, t)| t.clone()).collect() };
        Diagnostic {
            expected: text("expected").pop(),
            help: text("help"),
            notes: text("note"),
            file: file.map(|f| f.path.clone()),
            line: self.pos.line,
            column: self.pos.col,
            path: self.path,
            message: self.message,
            found: self.found,
            source,
        }
    }
}

/// One mistake in a configuration, fit to be shown: no secret is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, where there is one.
    pub file: Option<PathBuf>,
    /// Line, from 1; 0 when the mistake is the file's or the whole configuration's.
    pub line: u32,
    /// Column in characters, from 1; 0 as `line`.
    pub column: u32,
    /// Key path, such as `sinks.search.endpoints`; empty for the whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What was found, unless it is secret.
    pub found: Option<String>,
    /// What was expected.
    pub expected: Option<String>,
    /// What to do.
    pub help: Vec<String>,
    /// What else belongs to it.
    pub notes: Vec<String>,
    /// The line's text, the caret's column (from 0) and its length.
    source: Option<(String, usize, usize)>,
}

/// ANSI sequences, or nothing.
struct Paint(bool);

impl Paint {
    fn wrap(&self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

impl Diagnostic {
    /// `file:line:column`, as far as it is known.
    pub fn place(&self) -> String {
        match (&self.file, self.line) {
            (Some(file), 0) => file.display().to_string(),
            (Some(file), line) => format!("{}:{line}:{}", file.display(), self.column),
            (None, _) => String::new(),
        }
    }

    /// The form for people, in the manner of compilers.
    fn render(&self, out: &mut String, colour: bool) {
        let paint = Paint(colour);
        let blue = |text: &str| paint.wrap("1;34", text);
        let _ = writeln!(out, "{}{}", paint.wrap("1;31", "error"), paint.wrap("1", &format!(": {}", self.message)));
        let number = self.line.to_string();
        let pad = " ".repeat(if self.line > 0 { number.len() } else { 1 });
        let place = self.place();
        if !place.is_empty() {
            let _ = writeln!(out, "{pad} {} {place}", blue("-->"));
        }
        if let Some((text, column, length)) = &self.source {
            // A window that holds the caret, so that a line without end does not fill the screen.
            let long = text.chars().count() > WIDTH && *column > WIDTH * 2 / 3;
            let start = if long { column - WIDTH / 3 } else { 0 };
            let shown: String = text.chars().skip(start).take(WIDTH).collect();
            let column = column - start;
            let room = shown.chars().count().saturating_sub(column).max(1);
            let carets = "^".repeat((*length).min(room));
            let _ = writeln!(out, "{pad} {}", blue(" |"));
            let _ = writeln!(out, " {} {shown}", blue(&format!("{number} |")));
            let _ = writeln!(out, "{pad} {} {}{}", blue(" |"), " ".repeat(column), paint.wrap("1;31", &carets));
        }
        let mut note = |kind: &str, text: &str| {
            let _ = writeln!(out, "{pad} {} {kind}{text}", blue(" ="));
        };
        if let Some(expected) = &self.expected {
            note("expected ", expected);
        }
        self.notes.iter().for_each(|text| note("note: ", text));
        self.help.iter().for_each(|text| note("help: ", text));
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "file": self.file.as_ref().map(|f| f.display().to_string()),
            "line": self.line,
            "column": self.column,
            "path": self.path,
            "message": self.message,
            "found": self.found,
            "expected": self.expected,
            "help": self.help,
            "notes": self.notes,
        })
    }
}

/// Most mistakes that are told; who has more has one cause for all of them.
const MAX_ERRORS: usize = 100;

/// All mistakes of a configuration, in the order of files and lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    errors: Vec<Diagnostic>,
    more: usize,
}

impl ConfigErrors {
    /// Sorted by place.
    pub(crate) fn new(problems: Vec<Problem>, files: &[SourceFile]) -> ConfigErrors {
        let mut problems = problems;
        problems.sort_by_key(|p| (p.pos.line == 0, p.pos));
        let more = problems.len().saturating_sub(MAX_ERRORS);
        problems.truncate(MAX_ERRORS);
        let lines: Vec<Vec<&str>> = files.iter().map(|file| file.text.lines().collect()).collect();
        let tie = |problem: Problem| {
            let file = problem.pos.file as usize;
            problem.tie(files.get(file), lines.get(file).map(Vec::as_slice).unwrap_or_default())
        };
        ConfigErrors { errors: problems.into_iter().map(tie).collect(), more }
    }

    /// The mistakes (the first hundred).
    pub fn errors(&self) -> &[Diagnostic] {
        &self.errors
    }

    /// The form for people, with ANSI colours or without; ends with a line that counts them.
    pub fn render(&self, colour: bool) -> String {
        let mut out = String::new();
        for error in &self.errors {
            error.render(&mut out, colour);
            out.push('\n');
        }
        let files: std::collections::BTreeSet<_> = self.errors.iter().filter_map(|e| e.file.as_ref()).collect();
        let place = match files.len() {
            0 => "the configuration".to_string(),
            1 => files.first().map(|f| f.display().to_string()).unwrap_or_default(),
            n => format!("{n} files"),
        };
        let count = self.errors.len() + self.more;
        let plural = if count == 1 { "" } else { "s" };
        let more = if self.more > 0 { format!(" ({} of them not shown)", self.more) } else { String::new() };
        let _ = writeln!(out, "{count} error{plural}{more} in {place}; nothing was started and no data was touched");
        out
    }

    /// The form for programs: an array of objects with `file`, `line`, `column`, `path`, `message`, `found`, `expected`, `help`, `notes`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::Value::Array(self.errors.iter().map(Diagnostic::json).collect())
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for ConfigErrors {}
