//! Conditions: `log.level in ["debug", "trace"] and not exists(user.id)`.
//!
//! ```text
//! or         = and { "or" and }
//! and        = not { "and" not }
//! not        = "not" not | "(" or ")" | "exists" "(" name ")" | name test
//! test       = ("==" | "!=" | "<" | "<=" | ">" | ">=") constant | "in" "[" constant { "," constant } "]" | "matches" text
//! constant   = text | number | true | false | null
//! ```
//!
//! Text stands in `"…"` or `'…'`, without escapes; for names see [`Path`]. A field that is not there, and one that cannot be
//! compared with the constant, is unequal to it and neither smaller nor greater. `matches` is a regular expression that may
//! match anywhere; it takes linear time.

use super::event::{Constant, Document, Path, Value};
use regex::Regex;
use std::cmp::Ordering;

/// Deepest nesting.
const DEEPEST: u32 = 32;

/// A parsed condition.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Not(Box<Condition>),
    Exists(Path),
    Compare(Path, Comparison, Constant),
    In(Path, Vec<Constant>),
    Matches(Path, Regex),
}

/// How a field is compared with a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// Longest first, so that `<=` is not taken for `<`.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::Unequal),
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

/// What is wrong with a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Byte at which it is.
    pub(crate) at: usize,
    /// What was expected there, or what is wrong.
    pub(crate) why: String,
}

impl Condition {
    /// Reads a condition.
    pub(crate) fn parse(text: &str) -> Result<Condition, Wrong> {
        let mut parser = Parser { text, at: 0 };
        let condition = parser.any(0)?;
        match parser.rest() {
            "" => Ok(condition),
            rest if rest.starts_with("&&") => Err(parser.wrong("`&&` is written `and` here")),
            rest if rest.starts_with("||") => Err(parser.wrong("`||` is written `or` here")),
            _ => Err(parser.wrong("expected `and`, `or`, or the end")),
        }
    }

    /// Whether it holds.
    pub(crate) fn holds(&self, of: &Document) -> bool {
        match self {
            Condition::Any(all) => all.iter().any(|c| c.holds(of)),
            Condition::All(all) => all.iter().all(|c| c.holds(of)),
            Condition::Not(c) => !c.holds(of),
            Condition::Exists(path) => of.find(path).is_some(),
            Condition::In(path, list) => of.get(path).is_some_and(|v| list.iter().any(|c| c.compare(v, of) == Some(Ordering::Equal))),
            Condition::Matches(path, regex) => matches!(of.get(path), Some(Value::Text(span)) if regex.is_match(of.str(span))),
            Condition::Compare(path, how, constant) => {
                let ordering = of.get(path).and_then(|value| constant.compare(value, of));
                match how {
                    Comparison::Equal => ordering == Some(Ordering::Equal),
                    Comparison::Unequal => ordering != Some(Ordering::Equal),
                    Comparison::Less => ordering == Some(Ordering::Less),
                    Comparison::AtMost => ordering.is_some_and(Ordering::is_le),
                    Comparison::Greater => ordering == Some(Ordering::Greater),
                    Comparison::AtLeast => ordering.is_some_and(Ordering::is_ge),
                }
            }
        }
    }
}

/// What other languages write.
const ELSEWHERE: [(&str, &str); 5] = [
    ("=~", "`=~` is written `matches` here"),
    ("!~", "`!~` is written `not … matches` here"),
    ("=", "`=` is written `==` here"),
    ("contains", "a part of a text is asked for by `matches`, with a regular expression"),
    ("like", "a part of a text is asked for by `matches`, with a regular expression"),
];

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn wrong(&self, why: impl Into<String>) -> Wrong {
        Wrong { at: self.at, why: why.into() }
    }

    /// What is left, from the next character that is no space.
    fn rest(&mut self) -> &'a str {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest
    }

    fn eat(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        self.at += if found { sign.len() } else { 0 };
        found
    }

    /// A word, if it stands there whole.
    fn word(&mut self, word: &str) -> bool {
        let after = self.rest().strip_prefix(word);
        let found = after.is_some_and(|after| !after.starts_with(|c| super::event::is_name(c) || c == '.'));
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn many(&mut self, depth: u32, word: &str, one: fn(&mut Self, u32) -> Result<Condition, Wrong>) -> Result<Vec<Condition>, Wrong> {
        let mut all = vec![one(self, depth)?];
        while self.word(word) {
            all.push(one(self, depth)?);
        }
        Ok(all)
    }

    fn any(&mut self, depth: u32) -> Result<Condition, Wrong> {
        let mut all = self.many(depth, "or", Self::all)?;
        Ok(if all.len() == 1 { all.remove(0) } else { Condition::Any(all) })
    }

    fn all(&mut self, depth: u32) -> Result<Condition, Wrong> {
        let mut all = self.many(depth, "and", Self::one)?;
        Ok(if all.len() == 1 { all.remove(0) } else { Condition::All(all) })
    }

    fn one(&mut self, depth: u32) -> Result<Condition, Wrong> {
        if depth > DEEPEST {
            return Err(self.wrong("too deeply nested"));
        }
        if self.word("not") {
            return Ok(Condition::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.eat("(") {
            let inner = self.any(depth + 1)?;
            return self.close(")").map(|()| inner);
        }
        let start = self.at;
        if self.word("exists") {
            if self.eat("(") {
                let name = self.name()?;
                return self.close(")").map(|()| Condition::Exists(name));
            }
            if self.rest().starts_with(super::event::is_name) {
                return Err(self.wrong("expected `(`: it is written `exists(name)`"));
            }
            self.at = start;
        }
        let name = self.name()?;
        if let Some((sign, how)) = COMPARISONS.iter().find(|(sign, _)| self.eat(sign)) {
            if sign.len() == 1 && self.text[self.at..].starts_with('=') {
                return Err(self.wrong("expected a value"));
            }
            return Ok(Condition::Compare(name, *how, self.constant()?));
        }
        if self.word("in") {
            self.close("[")?;
            let mut list = vec![self.constant()?];
            while self.eat(",") {
                list.push(self.constant()?);
            }
            return self.close("]").map(|()| Condition::In(name, list));
        }
        if self.word("matches") {
            self.rest();
            let start = self.at;
            let Constant::Text(pattern) = self.constant()? else {
                return Err(Wrong { at: start, why: "expected a regular expression in quotes".into() });
            };
            let regex = super::pattern::regex(&pattern).map_err(|why| Wrong { at: start, why })?;
            return Ok(Condition::Matches(name, regex));
        }
        let rest = self.rest();
        if let Some((_, meant)) = ELSEWHERE.iter().find(|(sign, _)| rest.starts_with(sign)) {
            return Err(self.wrong(*meant));
        }
        Err(self.wrong("expected one of `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `matches`"))
    }

    fn close(&mut self, sign: &str) -> Result<(), Wrong> {
        if self.eat(sign) { Ok(()) } else { Err(self.wrong(format!("expected `{sign}`"))) }
    }

    fn name(&mut self) -> Result<Path, Wrong> {
        let rest = self.rest();
        let meant = if rest.starts_with('!') { "`!` is written `not` here" } else { "expected the name of a field, such as `log.level`" };
        let (path, after) = Path::take(rest).map_err(|_| self.wrong(meant))?;
        self.at += rest.len() - after.len();
        Ok(path)
    }

    fn constant(&mut self) -> Result<Constant, Wrong> {
        let rest = self.rest();
        if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            let Some((text, _)) = rest[1..].split_once(quote) else { return Err(self.wrong("the quote is not closed")) };
            self.at += text.len() + 2;
            return Ok(Constant::Text(text.into()));
        }
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_'))).unwrap_or(rest.len());
        match Constant::of_word(&rest[..end]) {
            Constant::Text(text) if text.len() > 1 => {
                Err(self.wrong(format!("expected a text in quotes (`\"{text}\"`), a number, `true`, `false` or `null`")))
            }
            Constant::Text(_) => Err(self.wrong("expected a text in quotes, a number, `true`, `false` or `null`")),
            constant => {
                self.at += end;
                Ok(constant)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EVENT: &str =
        r#"{"log":{"level":"debug","offset":7},"n":2.5,"ok":true,"nil":null,"in":1,"big":18446744073709551615,"odd name":"x"}"#;

    fn holds(text: &str) -> bool {
        let mut document = Document::default();
        document.begin_with(EVENT, 0).unwrap();
        Condition::parse(text).unwrap_or_else(|w| panic!("{text}: {w:?}")).holds(&document)
    }

    #[test]
    fn what_holds_and_what_does_not() {
        for text in [
            r#"log.level in ["debug", "trace"] and not exists(user.id)"#,
            "log.offset == 7 and log.offset == 7.0 and log.offset < 8 and log.offset >= 7",
            "n > 2 and n <= 2.5 and n != 2",
            "ok == true and nil == null and in == 1 and big > 5",
            "`odd name` == 'x'",
            "missing != 1 and not missing == 1 and not missing < 1",
            r#"log.level matches "^de.ug$" or missing == 1"#,
            "not (ok == false or not ok == true)",
            "exists(log) and exists (log.level)",
            r#"log.level != 7 and log.level > "a""#,
            "ok == false and ok == false or ok == true",
        ] {
            assert!(holds(text), "{text}");
            assert!(!holds(&format!("not ({text})")), "{text}");
        }
    }

    #[test]
    fn mistakes_are_placed() {
        for (text, at, why) in [
            ("", 0, "expected the name of a field, such as `log.level`"),
            ("a", 1, "expected one of `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `matches`"),
            ("a = 1", 2, "`=` is written `==` here"),
            ("a =~ 'x'", 2, "`=~` is written `matches` here"),
            ("a contains 'x'", 2, "a part of a text is asked for by `matches`, with a regular expression"),
            ("a == 1 && b == 2", 7, "`&&` is written `and` here"),
            ("a == 1 || b == 2", 7, "`||` is written `or` here"),
            ("!exists(a)", 0, "`!` is written `not` here"),
            ("exists a", 7, "expected `(`: it is written `exists(name)`"),
            ("a == error", 5, "expected a text in quotes (`\"error\"`), a number, `true`, `false` or `null`"),
            ("a == x", 5, "expected a text in quotes, a number, `true`, `false` or `null`"),
            ("a == \"x", 5, "the quote is not closed"),
            ("a in [1, 2", 10, "expected `]`"),
            ("a == 1 b == 2", 7, "expected `and`, `or`, or the end"),
            ("(a == 1", 7, "expected `)`"),
            ("a matches 5", 10, "expected a regular expression in quotes"),
        ] {
            assert_eq!(Condition::parse(text).unwrap_err(), Wrong { at, why: why.into() }, "{text}");
        }
        assert_eq!(Condition::parse("a matches '('").unwrap_err().at, 10);
        assert!(Condition::parse(&"not ".repeat(100_000)).is_err() && Condition::parse(&"(".repeat(100_000)).is_err());
    }

    #[derive(Clone, Debug)]
    enum Tree {
        Leaf(usize),
        Not(Box<Tree>),
        And(Box<Tree>, Box<Tree>),
        Or(Box<Tree>, Box<Tree>),
    }

    const LEAVES: [(&str, bool); 6] = [
        ("log.offset == 7", true),
        ("n < 2", false),
        ("exists(log.level)", true),
        ("log.level in ['info', 'warn']", false),
        ("log.level matches 'bug'", true),
        ("missing >= 3", false),
    ];

    fn tree() -> impl Strategy<Value = Tree> {
        (0..LEAVES.len()).prop_map(Tree::Leaf).prop_recursive(5, 40, 2, |inner| {
            let pair = (inner.clone(), inner.clone());
            prop_oneof![
                inner.prop_map(|t| Tree::Not(Box::new(t))),
                pair.clone().prop_map(|(a, b)| Tree::And(Box::new(a), Box::new(b))),
                pair.prop_map(|(a, b)| Tree::Or(Box::new(a), Box::new(b))),
            ]
        })
    }

    /// The text, with parentheses only where they are needed, and the truth.
    fn shown(tree: &Tree, tight: u8) -> (String, bool) {
        let (text, truth, own) = match tree {
            Tree::Leaf(n) => (LEAVES[*n].0.to_string(), LEAVES[*n].1, 3),
            Tree::Not(t) => {
                let (text, truth) = shown(t, 3);
                (format!("not {text}"), !truth, 3)
            }
            Tree::And(a, b) => {
                let ((a, x), (b, y)) = (shown(a, 2), shown(b, 3));
                (format!("{a} and {b}"), x && y, 2)
            }
            Tree::Or(a, b) => {
                let ((a, x), (b, y)) = (shown(a, 1), shown(b, 2));
                (format!("{a} or {b}"), x || y, 1)
            }
        };
        (if own < tight { format!("({text})") } else { text }, truth)
    }

    proptest! {
        #[test]
        fn agrees_with_a_naive_evaluation(tree in tree()) {
            let (text, truth) = shown(&tree, 1);
            prop_assert_eq!(holds(&text), truth, "{}", text);
        }

        #[test]
        fn nothing_panics(text in r#"(a|\.|`|"|'|==|<=|in|\[|\]|,|not|and|or|\(|\)|exists|matches|1|é| ){0,14}"#) {
            let _ = Condition::parse(&text);
        }
    }
}
