//! What the presets know of events: how a logger begins one, and how a stack trace goes on.
//!
//! A line that begins as loggers begin theirs (with a timestamp, a level or a JSON object) begins an event, and all that
//! follows belongs to it until the next such line: messages of several lines, whatever they hold, and stack traces.
//! Where lines have no such beginning, each is an event, but for what surely belongs together: indented and
//! empty lines, and a stack trace, which is recognised by its own form.

use super::Preset;
use regex::bytes::Regex;
use std::sync::LazyLock;

/// Where in an event a line stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Behind a line that a logger has begun.
    Logged,
    /// As before, where the level follows in the second line (`java.util.logging`).
    Dated,
    /// Behind a line of no known form.
    #[default]
    Plain,
    /// In the message of an exception, which may have several lines.
    Message,
    /// In the frames of a stack trace.
    Trace,
    /// Behind the exception that ends a traceback.
    Raised,
    /// Where a traceback goes on: behind the sentence that joins it to the one before (Python), or in its frames where
    /// these stand before the exception (Ruby).
    Chained,
}

/// What a grammar remembers of an event so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State(At);

/// What a line looks like, apart from what a logger begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Blank,
    Indented,
    /// Begins a stack trace.
    Head,
    /// Begins the last words of a process: no part of what was logged before.
    Crash,
    /// A stack trace has it.
    Frame,
    /// Names another exception of the same stack trace.
    Cause,
    Other,
}

/// How loggers begin a line. A list of what they write is surer than a list of what continuations look like: a stack
/// trace may hold lines that begin like any message.
const LOGGED: &str = r#"^(?x:
    (?:<\d{1,3}>(?:\d\ )?)? [\[(]? (?:
        \d{4}[-/.]\d{2}[-/.]\d{2}                                     # 2026-01-31
      | \d{8}[\ T_-]\d{2}:?\d{2}                                      # 20260131T1200
      | (?:\d{1,2}/\d{1,2}/|\d{2}\.\d{2}\.|\d{2}-\d{2}-|\d{1,2}[-/.\ ][A-Z][a-z]{2}[-/.\ ]) \d{2}(?:\d{2})? [\ :T,]  # 31/Jan/2026:12
      | \d{1,2}:\d{2}:\d{2}\b                                         # 12:00:00
      | (?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),?\ )? (?:\d{1,2}\ )?
        (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\ {1,2}\d{1,4}[,\ ]  # Jan 31, 2026; Sat Jan 31; Sat, 31 Jan 2026
      | [DIWEF]\d{4}\ \d{2}:\d{2}:\d{2}                               # I0131 12:00:00
      | \d{10}(?:\d{3})?(?:\.\d+)?[\ \]:,|]                           # 1769860800.123
      | (?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL|SEVERE)\b
    )
  | \{"
  | (?:time|ts|timestamp|level)=
)"#;
/// What only .NET writes: the levels of its console logger.
const LOGGED_DOTNET: &str = r"|^(?:trce|dbug|info|warn|fail|crit): ";
/// What only Ruby writes: `I, [2026-01-31T12:00:00.123456 #1]`.
const LOGGED_RUBY: &str = r"|^[DIWEFA], \[";
/// The first line of two that `java.util.logging` writes.
const DATED: &str = r"^[A-Z][a-z]{2} \d{1,2}, \d{4} \d{1,2}:\d{2}:\d{2} [AP]M ";

fn constant(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant, compiled in every test run")
}

static ANY: LazyLock<Regex> = LazyLock::new(|| constant(LOGGED));
static DOTNET: LazyLock<Regex> = LazyLock::new(|| constant(&format!("{LOGGED}{LOGGED_DOTNET}")));
static RUBY: LazyLock<Regex> = LazyLock::new(|| constant(&format!("{LOGGED}{LOGGED_RUBY}")));
static JAVA_DATED: LazyLock<Regex> = LazyLock::new(|| constant(DATED));

/// A [`Preset`] at work.
#[derive(Debug)]
pub(crate) struct Grammar {
    preset: Preset,
    logged: &'static Regex,
}

impl Grammar {
    pub(crate) fn new(preset: Preset) -> Grammar {
        let logged = match preset {
            Preset::Dotnet => &DOTNET,
            Preset::Ruby => &RUBY,
            Preset::Auto | Preset::Java | Preset::Python | Preset::Go => &ANY,
        };
        Grammar { preset, logged }
    }

    fn is_logged(&self, line: &[u8]) -> bool {
        // Most lines of a stack trace are indented.
        !line.first().is_none_or(|b| b.is_ascii_whitespace()) && self.logged.is_match(line)
    }

    fn class(&self, at: At, line: &[u8]) -> Class {
        let inner = line.trim_ascii_start();
        let indented = inner.len() < line.len();
        let own: Option<Class> = match self.preset {
            _ if inner.is_empty() => return Class::Blank,
            Preset::Auto => None,
            Preset::Java => java(inner, indented),
            Preset::Dotnet => dotnet(inner, indented),
            Preset::Python => python(inner, indented),
            Preset::Go => go(inner, indented, at),
            Preset::Ruby => ruby(inner, indented, at),
        };
        own.unwrap_or(if indented { Class::Indented } else { Class::Other })
    }

    /// The state behind the first line of an event.
    pub(crate) fn first(&self, line: &[u8]) -> State {
        if self.is_logged(line) {
            let dated = self.preset == Preset::Java && JAVA_DATED.is_match(line);
            return State(if dated { At::Dated } else { At::Logged });
        }
        State(match self.class(At::Plain, line) {
            Class::Crash if self.preset == Preset::Python => At::Raised,
            Class::Head | Class::Cause if self.preset == Preset::Python => At::Trace,
            Class::Head if self.preset == Preset::Ruby && line.starts_with(b"Traceback ") => At::Chained,
            Class::Head | Class::Crash | Class::Cause => At::Message,
            Class::Frame => At::Trace,
            Class::Blank | Class::Indented | Class::Other => At::Plain,
        })
    }

    /// The state behind one more line, or `None` where it begins another event.
    pub(crate) fn next(&self, State(at): State, line: &[u8]) -> Option<State> {
        if self.is_logged(line) {
            let level = at == At::Dated && line.iter().find(|b| !b.is_ascii_uppercase()) == Some(&b':');
            return level.then_some(State(At::Logged));
        }
        let class = self.class(at, line);
        let next = match (at, class) {
            (_, Class::Blank) => at,
            (_, Class::Crash) => return None,
            (At::Logged | At::Dated, _) => At::Logged,
            _ if self.preset == Preset::Python => match (at, class) {
                // The place of a syntax error, without a traceback around it.
                (At::Plain, Class::Frame) => return None,
                (At::Chained, Class::Head) => At::Trace,
                (At::Trace, Class::Indented | Class::Frame) if is_end_of_group(line) => At::Raised,
                (At::Trace, Class::Indented | Class::Frame) => At::Trace,
                (At::Trace, Class::Other) => At::Raised,
                (At::Raised | At::Chained, Class::Cause) => At::Chained,
                (_, Class::Indented | Class::Frame) => at,
                _ => return None,
            },
            // Ruby's trace in reverse order ends with what was raised.
            (At::Chained, Class::Frame) => At::Chained,
            (At::Chained, Class::Cause) => At::Raised,
            (_, Class::Head) => return None,
            (_, Class::Frame) => At::Trace,
            (_, Class::Cause) => At::Message,
            (_, Class::Indented) | (At::Message, Class::Other) => at,
            (_, Class::Other) => return None,
        };
        Some(State(next))
    }
}

/// `a.b.CException`, alone or before a colon or a space.
fn is_exception(line: &[u8]) -> bool {
    let name = line.split(|b| matches!(b, b':' | b' ' | b'\t')).next().unwrap_or_default();
    let is_part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'$' | b'/' | b'`' | b'@');
    let last = name.rsplit(|b| matches!(b, b'.' | b'$')).next().unwrap_or_default();
    name.contains(&b'.')
        && name.iter().all(is_part)
        && last.first().is_some_and(u8::is_ascii_uppercase)
        && [&b"Exception"[..], b"Error", b"Throwable"].iter().any(|end| last.ends_with(end))
}

fn contains(line: &[u8], what: &str) -> bool {
    memchr::memmem::find(line, what.as_bytes()).is_some()
}

fn java(inner: &[u8], indented: bool) -> Option<Class> {
    let more = || contains(inner, " more") || contains(inner, "common frames omitted");
    if inner.starts_with(b"Caused by: ") || inner.starts_with(b"Wrapped by: ") || (indented && inner.starts_with(b"Suppressed: ")) {
        return Some(Class::Cause);
    }
    if (indented && inner.starts_with(b"at ")) || (inner.starts_with(b"... ") && more()) || inner.starts_with(b"[CIRCULAR REFERENCE") {
        return Some(Class::Frame);
    }
    match indented {
        false if inner.starts_with(b"Exception in thread ") => Some(Class::Crash),
        false if is_exception(inner) => Some(Class::Head),
        _ => None,
    }
}

fn dotnet(inner: &[u8], indented: bool) -> Option<Class> {
    if (indented && inner.starts_with(b"at ")) || inner.starts_with(b"--- End of ") {
        return Some(Class::Frame);
    }
    if inner.starts_with(b"---> ") {
        return Some(Class::Cause);
    }
    match indented {
        false if inner.starts_with(b"Unhandled exception. ") || inner.starts_with(b"Unhandled Exception: ") => Some(Class::Crash),
        false if is_exception(inner) => Some(Class::Head),
        _ => None,
    }
}

fn python(inner: &[u8], indented: bool) -> Option<Class> {
    let head = b"Traceback (most recent call last):";
    let group = b"+ Exception Group Traceback (most recent call last):";
    if (!indented && inner.starts_with(head)) || (indented && inner.starts_with(group)) {
        return Some(Class::Head);
    }
    if indented && inner.starts_with(b"File \"") {
        return Some(Class::Frame);
    }
    let joins = inner.starts_with(b"During handling of the above exception")
        || inner.starts_with(b"The above exception was the direct cause")
        || inner.trim_ascii_end().ends_with(b"(most recent call first):");
    match indented {
        false if inner.starts_with(b"Fatal Python error: ") => Some(Class::Crash),
        false if joins => Some(Class::Cause),
        _ => None,
    }
}

/// The line under the last exception of a group: `+-----------------`.
fn is_end_of_group(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.len() > 10 && line[0] == b'+' && line[1..].iter().all(|b| *b == b'-')
}

fn go(inner: &[u8], indented: bool, at: At) -> Option<Class> {
    if indented {
        return None;
    }
    if inner.starts_with(b"goroutine ") && inner.trim_ascii_end().ends_with(b":") {
        return Some(Class::Frame);
    }
    let heads =
        [&b"panic: "[..], b"fatal error: ", b"SIGQUIT: ", b"SIGABRT: ", b"runtime: goroutine stack exceeds", b"unexpected fault address"];
    if heads.iter().any(|head| inner.starts_with(head)) {
        // `runtime: …` and `unexpected fault …` are followed by `fatal error: …`.
        return Some(if at == At::Message && inner.starts_with(b"fatal error: ") { Class::Cause } else { Class::Crash });
    }
    if at != At::Trace {
        return None;
    }
    let said = [&b"created by "[..], b"exit status ", b"runtime stack:", b"...additional frames elided..."];
    let function = || {
        let name = inner.split(|b| *b == b'(').next().unwrap_or_default();
        inner.trim_ascii_end().ends_with(b")") && (name == b"panic" || (name.contains(&b'.') && !name.contains(&b' ')))
    };
    let register = || {
        let mut words = inner.split(|b| b.is_ascii_whitespace()).filter(|word| !word.is_empty());
        words.next().is_some_and(|word| word.len() <= 6)
            && words.next().is_some_and(|word| word.starts_with(b"0x"))
            && words.next().is_none()
    };
    (said.iter().any(|s| inner.starts_with(s)) || function() || register()).then_some(Class::Frame)
}

/// `path:line:in 'method'`, and whether `: message (Class)` follows.
fn ruby_place(line: &[u8]) -> Option<bool> {
    let find = |what: &str| memchr::memmem::find(line, what.as_bytes());
    let within = find(":in `").or_else(|| find(":in '"))?;
    let number = line[..within].rsplit(|b| *b == b':').next().unwrap_or_default();
    if number.is_empty() || number.len() == within || !number.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(contains(&line[within..], "': ") && contains(&line[within..], " ("))
}

fn ruby(inner: &[u8], indented: bool, at: At) -> Option<Class> {
    if indented {
        let from =
            inner.starts_with(b"from ") || contains(inner, ": from ") || (inner.starts_with(b"... ") && contains(inner, " levels..."));
        return from.then_some(Class::Frame);
    }
    match ruby_place(inner) {
        // Behind frames: the cause of what was raised, or what a reversed trace ends with.
        Some(true) if at == At::Trace || at == At::Chained => return Some(Class::Cause),
        Some(true) => return Some(Class::Head),
        Some(false) => return Some(Class::Frame),
        None => {}
    }
    let name = inner.split(|b| *b == b' ').next().unwrap_or_default();
    let is_name =
        name.first().is_some_and(u8::is_ascii_uppercase) && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'_'));
    let rails = is_name && inner.get(name.len()..).is_some_and(|rest| rest.starts_with(b" (")) && inner.trim_ascii_end().ends_with(b"):");
    (rails || inner.starts_with(b"Traceback (most recent call last):")).then_some(Class::Head)
}
