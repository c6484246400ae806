//! From the tree to values: every mistake is noted, none ends the decoding.

use super::diagnostic::Problem;
use super::expand::{Expanded, expand};
use super::mask::is_sensitive;
use super::secret::Secret;
use super::suggest::nearest;
use super::units;
use super::yaml::{Key, Kind, Node, Pos};
use jiff::tz::TimeZone;
use std::cell::{Cell, RefCell};
use std::ops::RangeInclusive;
use std::time::Duration;

/// What all decoders of a configuration share.
pub(crate) struct Ctx<'a> {
    /// Looks up environment variables.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Mistakes so far.
    pub problems: RefCell<Vec<Problem>>,
    /// Things worth saying so far.
    pub warnings: RefCell<Vec<(Pos, String)>>,
    /// Whether the component is disabled: then values may be missing or empty.
    pub lenient: Cell<bool>,
    /// Whether only the chains and their tests matter: then sources and sinks may lack what is not there.
    pub tests_only: bool,
    /// Where a time is that says not where.
    pub zone: TimeZone,
}

impl<'a> Ctx<'a> {
    /// A context without mistakes.
    pub(crate) fn new(env: &'a dyn Fn(&str) -> Option<String>) -> Ctx<'a> {
        Ctx {
            env,
            problems: RefCell::default(),
            warnings: RefCell::default(),
            lenient: Cell::new(false),
            tests_only: false,
            zone: TimeZone::UTC,
        }
    }

    /// Begins a source or sink; what is missing in a disabled one is no mistake.
    pub(crate) fn begin(&self, enabled: bool) {
        self.lenient.set(!enabled || self.tests_only);
    }

    /// Notes a mistake.
    pub(crate) fn report(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Notes something that is not a mistake.
    pub(crate) fn warn(&self, pos: Pos, text: String) {
        self.warnings.borrow_mut().push((pos, text));
    }
}

/// `a`, `b` and so on, for a message.
pub(crate) fn quoted_list<'b>(names: impl IntoIterator<Item = &'b str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A value fit to be shown: short, on one line, without credentials.
pub(crate) fn shown(text: &str) -> String {
    let safe: String =
        super::mask::without_credentials(text).escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'").replace("\\\\", "\\");
    match safe.char_indices().nth(60) {
        Some((at, _)) => format!("`{}…`", &safe[..at]),
        None => format!("`{safe}`"),
    }
}

/// A name of a source, sink or topic: it becomes part of file names and IDs.
pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    !name.is_empty() && name.len() <= 64 && name.chars().all(allowed) && !name.chars().all(|c| c == '.')
}

/// What [`is_name`] asks for.
pub(crate) const NAME_RULE: &str = "1 to 64 of the characters `A-Z a-z 0-9 _ . -`";

/// One value of the tree with its key path.
#[derive(Clone)]
pub(crate) struct Field<'a> {
    ctx: &'a Ctx<'a>,
    /// Key path, such as `sinks.search.endpoints`.
    pub path: String,
    key: Pos,
    /// The value.
    pub node: &'a Node,
    sensitive: bool,
}

impl<'a> Field<'a> {
    /// The value of a key in the map at `parent`.
    pub(crate) fn new(ctx: &'a Ctx<'a>, parent: &str, key: &Key, node: &'a Node, parent_sensitive: bool) -> Field<'a> {
        let path = if parent.is_empty() { key.text.clone() } else { format!("{parent}.{}", key.text) };
        Field { ctx, path, key: key.pos, node, sensitive: parent_sensitive || is_sensitive(&key.text) }
    }

    /// Where a mistake in the value is shown.
    pub(crate) fn pos(&self) -> Pos {
        if matches!(self.node.kind, Kind::Null) { self.key } else { self.node.pos }
    }

    /// Where its key is.
    pub(crate) fn key_pos(&self) -> Pos {
        self.key
    }

    /// The same at another key.
    pub(crate) fn at_key(&self, key: Pos) -> Field<'a> {
        Field { key, ..self.clone() }
    }

    /// How many mistakes were noted so far; `None` where what is missing is none.
    pub(crate) fn mistakes(&self) -> Option<usize> {
        (!self.ctx.lenient.get()).then(|| self.ctx.problems.borrow().len())
    }

    /// Looks up environment variables.
    pub(crate) fn env(&self) -> &'a dyn Fn(&str) -> Option<String> {
        self.ctx.env
    }

    /// The same, without taking the value for a secret because of its key.
    pub(crate) fn plain(self) -> Field<'a> {
        Field { sensitive: false, ..self }
    }

    /// A mistake at this value.
    pub(crate) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(self.pos(), &self.path, message)
    }

    /// A mistake at a place within this value.
    #[cfg(feature = "vrl")]
    pub(crate) fn problem_at(&self, pos: Pos, message: impl Into<String>) -> Problem {
        Problem::new(pos, &self.path, message)
    }

    /// Notes something that is no mistake, at a place within this value.
    #[cfg(feature = "vrl")]
    pub(crate) fn warn(&self, pos: Pos, text: String) {
        self.ctx.warn(pos, text);
    }

    /// Notes that the value is none of the names that there are; `else_expected` is what is said where there is none.
    pub(crate) fn unknown<'n, I: Iterator<Item = &'n str>>(&self, value: &Expanded, names: impl Fn() -> I, else_expected: &str) {
        let expected = if names().next().is_none() { else_expected.to_string() } else { format!("one of: {}", quoted_list(names())) };
        let near = nearest(&value.text, names());
        self.report(self.is(value).expected(expected).help_if(near.map(|near| format!("did you mean `{near}`?"))));
    }

    /// Notes a mistake at this value.
    pub(crate) fn wrong(&self, message: impl Into<String>, expected: impl Into<String>) {
        self.ctx.report(self.problem(message).expected(expected));
    }

    /// Notes a problem made with [`Field::problem`].
    pub(crate) fn report(&self, problem: Problem) {
        self.ctx.report(problem);
    }

    /// "`path` is …", with the value unless it is secret.
    pub(crate) fn is(&self, value: &Expanded) -> Problem {
        let found = if value.secret || self.sensitive {
            "a secret, not shown".to_string()
        } else if value.changed {
            format!("{} (after expansion)", shown(&value.text))
        } else {
            shown(&value.text)
        };
        self.problem(format!("`{}` is {found}", self.path)).found(found)
    }

    /// "`path` is empty" or "… is a list".
    fn is_kind(&self) -> Problem {
        let found = if matches!(self.node.kind, Kind::Null) { "empty" } else { self.node.what() };
        self.problem(format!("`{}` is {found}", self.path)).found(found)
    }

    /// The single value, expanded; it may be empty, and `Null` counts as empty.
    /// `None` with a mistake noted, or without one when a disabled component lacks a variable.
    pub(crate) fn scalar(&self, expected: &str) -> Option<Expanded> {
        let text = match &self.node.kind {
            Kind::Scalar { text, .. } => text,
            Kind::Null => return Some(Expanded::default()),
            Kind::Seq(_) | Kind::Map(_) => {
                self.ctx.report(self.is_kind().expected(expected));
                return None;
            }
        };
        match expand(text, self.ctx.env) {
            Ok(value) => Some(value),
            Err(error) if (error.missing || self.ctx.tests_only) && self.ctx.lenient.get() => None,
            Err(error) => {
                // The reference itself is marked where the scalar is plain and on one line.
                let (ahead, pos) = (text[..error.at].chars().count() as u32, self.node.pos);
                let plain = matches!(self.node.kind, Kind::Scalar { quoted: false, .. }) && pos.len as usize == text.chars().count();
                let end = text[error.at..].find('}').map_or(text.len(), |end| error.at + end + 1);
                let len = text[error.at..end].chars().count() as u32;
                let pos = if plain { Pos { col: pos.col + ahead, len, ..pos } } else { pos };
                self.ctx.report(Problem::new(pos, &self.path, format!("`{}`: {}", self.path, error.message)).help(error.help));
                None
            }
        }
    }

    /// The single value, expanded and not empty.
    pub(crate) fn value(&self, expected: &str) -> Option<Expanded> {
        let value = self.scalar(expected)?;
        if !value.text.trim().is_empty() {
            return Some(value);
        }
        if !self.ctx.lenient.get() {
            let problem = self.problem(format!("`{}` is empty{}", self.path, if value.changed { " (after expansion)" } else { "" }));
            self.ctx.report(problem.found("empty").expected(expected));
        }
        None
    }

    /// A text.
    pub(crate) fn string(&self, expected: &str) -> Option<String> {
        self.value(expected).map(|value| value.text)
    }

    /// A text that must never be printed, and that is read again where it comes from a file.
    pub(crate) fn secret(&self, expected: &str) -> Option<Secret> {
        self.value(expected).map(Secret::from)
    }

    /// A name after [`is_name`].
    pub(crate) fn name(&self) -> Option<String> {
        let value = self.value("a name")?;
        if is_name(&value.text) {
            return Some(value.text);
        }
        self.ctx.report(self.is(&value).expected(NAME_RULE));
        None
    }

    fn unit<T: PartialOrd + Copy>(
        &self,
        range: &RangeInclusive<T>,
        kind: &str,
        show: impl Fn(T) -> String,
        parse: impl Fn(&str) -> Result<T, units::NotOne>,
    ) -> Option<T> {
        let expected = format!("{kind} from {} to {}", show(*range.start()), show(*range.end()));
        let value = self.value(&expected)?;
        match parse(&value.text) {
            Ok(number) if range.contains(&number) => Some(number),
            Ok(_) => {
                self.ctx.report(self.is(&value).expected(expected));
                None
            }
            Err(error) => {
                self.ctx.report(self.is(&value).expected(expected).help_if(error.hint));
                None
            }
        }
    }

    /// A size in bytes.
    pub(crate) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        self.unit(&range, "a size", units::show_size, units::size)
    }

    /// A duration.
    pub(crate) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        self.unit(&range, "a duration", units::show_duration, units::duration)
    }

    /// A whole number.
    pub(crate) fn integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        self.unit(&range, "a whole number", |n| n.to_string(), |text| units::integer(text).ok_or_else(Default::default))
    }

    /// A yes or no.
    pub(crate) fn boolean(&self) -> Option<bool> {
        let value = self.value("`true` or `false`")?;
        let read = units::boolean(&value.text);
        if read.is_none() {
            self.ctx.report(self.is(&value).expected("`true` or `false`"));
        }
        read
    }

    /// One of some words.
    pub(crate) fn one_of<T: Clone>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let expected = format!("one of: {}", quoted_list(words.iter().map(|(word, _)| *word)));
        let value = self.value(&expected)?;
        if let Some((_, found)) = words.iter().find(|(word, _)| *word == value.text) {
            return Some(found.clone());
        }
        let near = nearest(&value.text, words.iter().map(|(word, _)| *word));
        self.ctx.report(self.is(&value).expected(expected).help_if(near.map(|near| format!("did you mean `{near}`?"))));
        None
    }

    /// A list, or one value that stands for a list of one.
    pub(crate) fn list(&self, expected: &str) -> Vec<Field<'a>> {
        match &self.node.kind {
            Kind::Scalar { .. } => vec![self.clone()],
            Kind::Seq(items) => {
                let item =
                    |(n, node): (usize, &'a Node)| Field { path: format!("{}[{n}]", self.path), key: node.pos, node, ..self.clone() };
                items.iter().enumerate().map(item).collect()
            }
            Kind::Null | Kind::Map(_) => {
                if !(self.ctx.lenient.get() && matches!(self.node.kind, Kind::Null)) {
                    self.ctx.report(self.is_kind().expected(expected));
                }
                Vec::new()
            }
        }
    }

    /// A map; nothing at all counts as an empty one.
    pub(crate) fn map(&self) -> Option<Map<'a>> {
        let entries: &'a [(Key, Node)] = match &self.node.kind {
            Kind::Map(entries) => entries,
            Kind::Null => &[],
            Kind::Scalar { .. } | Kind::Seq(_) => {
                self.ctx.report(self.is_kind().expected("a map (`key: value` lines)"));
                return None;
            }
        };
        Some(Map {
            ctx: self.ctx,
            path: self.path.clone(),
            pos: self.key,
            entries,
            known: Vec::new(),
            missing: Vec::new(),
            sensitive: self.sensitive,
        })
    }
}

/// A map of known keys.
pub(crate) struct Map<'a> {
    ctx: &'a Ctx<'a>,
    /// Key path.
    pub path: String,
    /// Where the map's own key is.
    pub pos: Pos,
    entries: &'a [(Key, Node)],
    known: Vec<&'static str>,
    /// Keys that must be there and are not, with the mistake to note.
    missing: Vec<(&'static str, Problem)>,
    sensitive: bool,
}

impl<'a> Map<'a> {
    /// The value of a key, which is known from now on.
    pub(crate) fn get(&mut self, name: &'static str) -> Option<Field<'a>> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        self.peek(name)
    }

    /// The value of a key, of which it stays open whether it is known.
    pub(crate) fn peek(&self, name: &str) -> Option<Field<'a>> {
        let (key, node) = self.entries.iter().find(|(key, _)| key.text == name)?;
        Some(Field::new(self.ctx, &self.path, key, node, self.sensitive))
    }

    /// The value of a key that must be there (unless the component is disabled).
    pub(crate) fn require(&mut self, name: &'static str, expected: &str) -> Option<Field<'a>> {
        let field = self.get(name);
        if field.is_none() && !self.ctx.lenient.get() {
            let problem = self.problem(format!("`{}` has no `{name}`", self.path)).expected(expected);
            self.missing.push((name, problem));
        }
        field
    }

    /// All entries, for maps whose keys are free.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'a Key, Field<'a>)> {
        self.entries.iter().map(|(key, node)| (key, Field::new(self.ctx, &self.path, key, node, self.sensitive)))
    }

    /// Where a time is that says not where.
    pub(crate) fn zone(&self) -> TimeZone {
        self.ctx.zone.clone()
    }

    /// A mistake at the map's key.
    pub(crate) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(self.pos, &self.path, message)
    }

    /// Notes a mistake.
    pub(crate) fn report(&self, problem: Problem) {
        self.ctx.report(problem);
    }

    /// Names keys that exist elsewhere, or in another version, with what to say of them.
    pub(crate) fn refuse(&mut self, name: &str, message: &str, help: &str) {
        if let Some((key, _)) = self.entries.iter().find(|(key, _)| key.text == name) {
            self.ctx.report(Problem::new(key.pos, &format!("{}.{name}", self.path), message).help(help));
        }
    }

    /// Notes every key that nobody asked for, but for those in `said`, of which something was said already; and every
    /// key that is missing, unless it stands there misspelt.
    pub(crate) fn finish(mut self, said: &[&str]) {
        for (key, _) in self.entries.iter().filter(|(key, _)| !self.known.contains(&&*key.text) && !said.contains(&&*key.text)) {
            let meant = report_unknown(self.ctx, &self.path, key, &self.known);
            self.missing.retain(|(name, _)| meant != Some(name));
        }
        self.missing.into_iter().for_each(|(_, problem)| self.ctx.report(problem));
    }
}

/// Notes an unknown key, with the nearest right name, which is returned.
pub(crate) fn report_unknown(ctx: &Ctx<'_>, path: &str, key: &Key, known: &[&'static str]) -> Option<&'static str> {
    let place = if path.is_empty() { "at the top level".to_string() } else { format!("in {path}") };
    let near = nearest(&key.text, known.iter().copied());
    let processor = near.is_none() && !path.is_empty() && known.contains(&"process") && crate::process::steps::is_processor(&key.text);
    let list = || format!("`{0}` is a processor: it stands in the list `process`, as in `process: [{{{0}: …}}]`", key.text);
    let own = if path.is_empty() { key.text.clone() } else { format!("{path}.{}", key.text) };
    ctx.report(
        Problem::new(key.pos, &own, format!("unknown key {} {place}", shown(&key.text)))
            .found(super::mask::without_credentials(&key.text))
            .expected(format!("one of: {}", known.join(", ")))
            .help_if(near.map(|near| format!("did you mean `{near}`?")).or_else(|| processor.then(list))),
    );
    near
}
