//! YAML as a tree in which every node knows its place.

use super::diagnostic::Problem;
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use std::collections::{HashMap, HashSet};

/// Deepest nesting.
const MAX_DEPTH: usize = 32;
/// Most nodes of a file, aliases counted as often as they are used.
const MAX_NODES: usize = 100_000;
/// Longest file, bytes.
pub(crate) const MAX_BYTES: usize = 4 << 20;

/// A place in a file. Sorts by file, line, column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pos {
    /// Index of the file.
    pub file: u32,
    /// Line, from 1; 0 for the whole file.
    pub line: u32,
    /// Column in characters, from 1.
    pub col: u32,
    /// Characters, within the line.
    pub len: u32,
}

/// A key of a map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    /// Where it is.
    pub pos: Pos,
    /// The key.
    pub text: String,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// One value, not expanded yet.
    Scalar {
        /// The text.
        text: String,
        /// Whether it was in quotes or a block.
        quoted: bool,
    },
    /// A list.
    Seq(Vec<Node>),
    /// A map; keys are unique.
    Map(Vec<(Key, Node)>),
}

/// A node of the tree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// Where it begins.
    pub pos: Pos,
    /// What it is.
    pub kind: Kind,
    /// Where the text of a literal block (`|`) begins: its lines are those of the file, each of them indented as far.
    pub block: Option<Pos>,
}

impl Node {
    fn new(pos: Pos, kind: Kind) -> Node {
        Node { pos, kind, block: None }
    }

    /// Nothing, of a file that holds nothing.
    pub(crate) fn nothing(file: u32) -> Node {
        Node::new(Pos { file, ..Pos::default() }, Kind::Null)
    }

    /// What it is, in words.
    pub(crate) fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Scalar { .. } => "a single value",
            Kind::Seq(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    fn count(&self) -> usize {
        1 + match &self.kind {
            Kind::Null | Kind::Scalar { .. } => 0,
            Kind::Seq(items) => items.iter().map(Node::count).sum(),
            Kind::Map(entries) => entries.iter().map(|(_, node)| node.count()).sum(),
        }
    }

    fn depth(&self) -> usize {
        1 + match &self.kind {
            Kind::Null | Kind::Scalar { .. } => 0,
            Kind::Seq(items) => items.iter().map(Node::depth).max().unwrap_or(0),
            Kind::Map(entries) => entries.iter().map(|(_, node)| node.depth()).max().unwrap_or(0),
        }
    }
}

/// A list or map that is not closed yet.
struct Open {
    pos: Pos,
    anchor: usize,
    content: Content,
}

/// A key whose value is still to come.
struct NextKey {
    key: Key,
    twice: bool,
}

enum Content {
    Seq(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, seen: HashSet<String>, key: Option<NextKey> },
}

/// Builds the tree; the recursion of the document is on a stack of its own, with a bound.
struct Builder<'a> {
    file: u32,
    lines: Vec<&'a str>,
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    problems: Vec<Problem>,
}

/// Why building stopped; the mistake is in `problems`.
struct Stop;

const FLOW_TRAP: &str = "an unquoted `${…}` inside `{…}` or `[…]` is not what it seems: YAML takes its `{` for the start of a map";

impl Builder<'_> {
    fn pos(&self, span: &Span) -> Pos {
        let line = span.start.line().max(1);
        let len = if span.end.line() == span.start.line() { span.end.col().saturating_sub(span.start.col()) } else { 1 };
        Pos { file: self.file, line: line as u32, col: span.start.col() as u32 + 1, len: len as u32 }
    }

    fn stop<T>(&mut self, problem: Problem) -> Result<T, Stop> {
        self.problems.push(problem);
        Err(Stop)
    }

    /// The character at a place of the file.
    fn char_at(&self, line: usize, col: usize) -> Option<char> {
        self.lines.get(line.checked_sub(1)?)?.chars().nth(col)
    }

    fn spend(&mut self, nodes: usize, pos: Pos) -> Result<(), Stop> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return self.stop(Problem::new(
                pos,
                "",
                format!("the file has more than {MAX_NODES} values (aliases count as often as they are used)"),
            ));
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Stop> {
        let pos = self.pos(span);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) if self.root.is_some() => self.stop(
                Problem::new(pos, "", "a second document begins here")
                    .expected("one document in a file")
                    .help("put it in a file of its own: `forebay run` takes several files, or a folder"),
            ),
            Event::DocumentStart(_) => Ok(()),
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(_) if self.wants_key() => self.stop(Problem::new(pos, "", "an alias cannot be a key")),
                Some(node) => {
                    self.spend(node.count(), pos)?;
                    if self.stack.len() + node.depth() > MAX_DEPTH {
                        return self.too_deep(pos);
                    }
                    self.put(node, 0)
                }
                None => self.stop(
                    Problem::new(pos, "", "this alias stands inside its own anchor, or has none")
                        .expected("an alias of a value that stands before it"),
                ),
            },
            Event::Scalar(text, style, anchor, tag) => {
                if tag.is_some() {
                    return self.tag(pos);
                }
                self.spend(1, pos)?;
                let quoted = style != ScalarStyle::Plain;
                if !quoted && text.ends_with('$') && self.char_at(span.end.line(), span.end.col()) == Some('{') {
                    return self.stop(
                        Problem::new(Pos { col: pos.col + pos.len.saturating_sub(1), len: 2, ..pos }, "", FLOW_TRAP)
                            .help("put it in quotes: \"${…}\""),
                    );
                }
                if self.wants_key() {
                    return self.key(pos, text.into_owned(), quoted);
                }
                let null = !quoted && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let block = (style == ScalarStyle::Literal).then(|| self.block(&text, pos)).flatten();
                let kind = if null { Kind::Null } else { Kind::Scalar { text: text.into_owned(), quoted } };
                self.put(Node { pos, kind, block }, anchor)
            }
            Event::SequenceStart(anchor, tag) => self.open(pos, anchor, tag.is_some(), Content::Seq(Vec::new())),
            Event::MappingStart(anchor, tag) => {
                self.open(pos, anchor, tag.is_some(), Content::Map { entries: Vec::new(), seen: HashSet::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.stack.pop() else { return Ok(()) };
                let kind = match open.content {
                    Content::Seq(items) => Kind::Seq(items),
                    Content::Map { entries, .. } => Kind::Map(entries),
                };
                self.put(Node::new(open.pos, kind), open.anchor)
            }
        }
    }

    fn tag(&mut self, pos: Pos) -> Result<(), Stop> {
        self.stop(
            Problem::new(pos, "", "tags (`!…`) have no meaning here").help("leave the tag out; put a text that begins with `!` in quotes"),
        )
    }

    fn too_deep(&mut self, pos: Pos) -> Result<(), Stop> {
        self.stop(Problem::new(pos, "", format!("nested deeper than {MAX_DEPTH} levels")))
    }

    fn open(&mut self, pos: Pos, anchor: usize, tagged: bool, content: Content) -> Result<(), Stop> {
        if tagged {
            return self.tag(pos);
        }
        self.spend(1, pos)?;
        // The span of a block begins at its first key; of a flow only its bracket is marked.
        let pos = Pos { len: 1, ..pos };
        if self.wants_key() {
            let problem = Problem::new(pos, "", "a list or a map cannot be a key").expected("a name");
            let trap = self.char_at(pos.line as usize, (pos.col as usize).wrapping_sub(2)) == Some('$');
            return self.stop(if trap {
                problem.help("put `${…}` in quotes: YAML takes its `{` for the start of a map")
            } else {
                problem
            });
        }
        if self.stack.len() >= MAX_DEPTH {
            return self.too_deep(pos);
        }
        self.stack.push(Open { pos, anchor, content });
        Ok(())
    }

    /// Where the text of a literal block begins whose first line that is not empty is at `pos`.
    fn block(&self, text: &str, pos: Pos) -> Option<Pos> {
        let (at, line) = text.lines().enumerate().find(|(_, line)| !line.is_empty())?;
        let indent = self.lines.get(pos.line as usize - 1)?.strip_suffix(line)?;
        Some(Pos { line: pos.line.checked_sub(at as u32)?, col: indent.chars().count() as u32 + 1, ..pos })
    }

    /// Whether the next node is a key of a map.
    fn wants_key(&self) -> bool {
        matches!(self.stack.last(), Some(Open { content: Content::Map { key: None, .. }, .. }))
    }

    fn key(&mut self, pos: Pos, text: String, quoted: bool) -> Result<(), Stop> {
        if !quoted && text == "<<" {
            return self.stop(
                Problem::new(pos, "", "merge keys (`<<`) are not supported").help("write the keys out, or use an alias for a whole value"),
            );
        }
        if let Some(Open { content: Content::Map { seen, key, entries }, .. }) = self.stack.last_mut() {
            let twice = !seen.insert(text.clone());
            if twice {
                let first = entries.iter().find(|(key, _)| key.text == text).map(|(key, _)| key.pos.line).unwrap_or_default();
                self.problems.push(
                    Problem::new(pos, "", format!("the key `{}` stands twice in this map", text.escape_debug()))
                        .note(format!("it stands first on line {first}"))
                        .help("remove one of them"),
                );
            }
            *key = Some(NextKey { key: Key { pos, text }, twice });
        }
        Ok(())
    }

    /// Puts a whole node in its place.
    fn put(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor > 0 {
            self.spend(node.count(), node.pos)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::Seq(items)) => items.push(node),
            Some(Content::Map { entries, key, .. }) => {
                // Of a key that stands twice the first counts; the mistake is noted already.
                if let Some(NextKey { key, twice: false }) = key.take() {
                    entries.push((key, node));
                }
            }
        }
        Ok(())
    }
}

/// Whether a line has an unquoted `${` after an opening bracket: the likely cause of a syntax error.
fn has_flow_trap(line: &str) -> Option<usize> {
    let (mut quote, mut flow, mut before) = (None, 0usize, ' ');
    for (at, c) in line.chars().enumerate() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') if before == '$' && flow > 0 => return Some(at - 1),
            (None, '{' | '[') if before != '$' => flow += 1,
            _ => {}
        }
        before = c;
    }
    None
}

/// What most likely is to be done about the parser's complaint `info` on `line`.
fn remedy(line: &str, info: &str) -> Option<String> {
    let remedy = if line.trim_start_matches(' ').starts_with('\t') {
        "indent with spaces: YAML forbids tabs"
    } else if info.contains("unknown anchor") || info.contains("alias") {
        "a value that begins with `*` needs quotes: `\"*.log\"`"
    } else if info.contains("mapping values are not allowed") {
        "put a value that holds `: ` in quotes, and begin each key on a line of its own"
    } else if info.contains("unknown escape") {
        "between double quotes `\\` begins an escape: use single quotes"
    } else if info.contains("block mapping") || info.contains("block collection") {
        "keys of one map begin in the same column: look at the indentation here and in the lines above"
    } else {
        return None;
    };
    Some(remedy.to_string())
}

/// Checks and decodes the bytes of a file.
pub(crate) fn text(file: u32, bytes: Vec<u8>) -> Result<String, Problem> {
    let whole = Pos { file, ..Pos::default() };
    if bytes.len() > MAX_BYTES {
        return Err(Problem::new(whole, "", "the file is larger than 4MiB").help("is this really a pipeline?"));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Problem::new(whole, "", "the file is UTF-16").expected("UTF-8").help("save it as UTF-8"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|b| **b == b'\n').count() + 1;
        let byte = error.as_bytes().get(good.len()).copied().unwrap_or_default();
        Problem::new(whole, "", format!("the file is not UTF-8: byte 0x{byte:02x} on line {line}")).expected("UTF-8 text")
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_string).unwrap_or(text))
}

/// Parses one file. `None` when it cannot be parsed as a whole; then there is at least one problem.
pub(crate) fn parse(file: u32, text: &str) -> (Option<Node>, Vec<Problem>) {
    let mut lines = text.split('\n').enumerate();
    let control = lines.find_map(|(n, line)| {
        let bad = |c: char| c.is_control() && !matches!(c, '\t' | '\r' | '\u{85}');
        line.chars().enumerate().find(|(_, c)| bad(*c)).map(|(at, c)| (n, at, c))
    });
    if let Some((line, at, c)) = control {
        // The parser would take a NUL for the end of the file.
        let pos = Pos { file, line: line as u32 + 1, col: at as u32 + 1, len: 1 };
        return (None, vec![Problem::new(pos, "", format!("the control character U+{:04X} cannot stand in YAML", c as u32))]);
    }
    let mut builder = Builder {
        file,
        lines: text.lines().collect(),
        stack: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        root: None,
        problems: Vec::new(),
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        match next {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => {
                if builder.event(event, &span).is_err() {
                    return (None, builder.problems);
                }
            }
            Err(error) => {
                let marker = error.marker();
                let line = marker.line().max(1).min(builder.lines.len().max(1));
                let trap = (line.saturating_sub(2)..line).rev().find_map(|n| Some((n + 1, has_flow_trap(builder.lines.get(n)?)?)));
                let problem = match trap {
                    Some((line, col)) => Problem::new(Pos { file, line: line as u32, col: col as u32 + 1, len: 2 }, "", FLOW_TRAP)
                        .help("put it in quotes: \"${…}\""),
                    None => {
                        let pos = Pos { file, line: line as u32, col: marker.col() as u32 + 1, len: 1 };
                        let near = builder.lines.get(line - 1).copied().unwrap_or_default();
                        Problem::new(pos, "", format!("this is not valid YAML: {}", error.info())).help_if(remedy(near, error.info()))
                    }
                };
                builder.problems.push(problem);
                return (None, builder.problems);
            }
        }
    }
    let root = builder.root.take().unwrap_or_else(|| Node::nothing(file));
    (Some(root), builder.problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree(text: &str) -> Node {
        let (root, problems) = parse(0, text);
        assert!(problems.is_empty(), "{problems:?}");
        root.unwrap()
    }

    fn wrong(text: &str) -> String {
        let files = [super::super::diagnostic::SourceFile { path: "p.yaml".into(), text: text.to_string() }];
        let (_, problems) = parse(0, text);
        let lines: Vec<&str> = text.lines().collect();
        problems
            .into_iter()
            .map(|p| p.tie(files.first(), &lines))
            .map(|d| format!("{} {}", d.place(), d.message))
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn places_count_from_one() {
        let root = tree("a: 1\nb:\n  - x\n  - {c: 'é', d: ~}\n");
        let Kind::Map(entries) = &root.kind else { panic!("{root:?}") };
        assert_eq!(entries[1].0, Key { pos: Pos { file: 0, line: 2, col: 1, len: 1 }, text: "b".into() });
        let Kind::Seq(items) = &entries[1].1.kind else { panic!("{root:?}") };
        assert_eq!(items[0], Node::new(Pos { file: 0, line: 3, col: 5, len: 1 }, Kind::Scalar { text: "x".into(), quoted: false }));
        let Kind::Map(inner) = &items[1].kind else { panic!("{root:?}") };
        assert_eq!(inner[0].1.kind, Kind::Scalar { text: "é".into(), quoted: true });
        assert_eq!(inner[1].1.kind, Kind::Null);
    }

    #[test]
    fn a_literal_block_knows_where_its_text_begins() {
        let block = |text: &str| {
            let Kind::Map(entries) = tree(text).kind else { panic!("{text}") };
            entries[0].1.block.map(|pos| (pos.line, pos.col))
        };
        assert_eq!(block("a: |\n  x\n   y\nb: 1\n"), Some((2, 3)));
        assert_eq!(block("a: |- # why\n\n    x\n"), Some((2, 5)), "an empty line is a part of it");
        assert_eq!(block("a: |2\n     x\n"), Some((2, 3)));
        assert_eq!(block("a:\n  |\n  é x\n"), Some((3, 3)));
        assert_eq!(block("a: |\n  x | y\n"), Some((2, 3)));
        assert_eq!(block("a: >\n  x\n"), None);
        assert_eq!(block("a: x\n"), None);
        assert_eq!(block("a: |\n"), None);
    }

    #[test]
    fn aliases_are_resolved_within_a_budget() {
        let root = tree("a: &x [1, 2]\nb: *x\n");
        let Kind::Map(entries) = &root.kind else { panic!("{root:?}") };
        assert_eq!(entries[0].1, entries[1].1);
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..10 {
            let alias = format!("*a{}", n - 1);
            bomb += &format!("a{n}: &a{n} [{}]\n", [alias.as_str(); 10].join(", "));
        }
        assert!(wrong(&bomb).contains("more than 100000 values"));
    }

    #[test]
    fn refusals() {
        assert_eq!(wrong("a: 1\na: 2\n"), "p.yaml:2:1 the key `a` stands twice in this map");
        assert_eq!(wrong("a: 1\n---\nb: 2\n"), "p.yaml:2:1 a second document begins here");
        assert_eq!(wrong("a: !!str 1\n"), "p.yaml:1:4 tags (`!…`) have no meaning here");
        assert_eq!(wrong("? [a]\n: 1\n"), "p.yaml:1:3 a list or a map cannot be a key");
        assert!(wrong("a: &a\n  <<: *a\n").contains("merge keys"));
        assert!(wrong(&"[".repeat(40)).contains("nested deeper than 32"));
        assert!(wrong("a: b\u{0}c").contains("U+0000"));
        assert!(wrong("a: [1\nb: 2\n").contains("not valid YAML"));
    }

    #[test]
    fn an_unquoted_reference_in_a_flow_is_explained() {
        for text in ["a: {b: ${X}}", "a: [${X}]", "a: {b: ${X:-c}, d: e}", "a: [x, pre${X}/post]"] {
            assert!(wrong(text).contains("is not what it seems"), "{text}: {}", wrong(text));
        }
        assert!(wrong("a: {${X}: 1}").contains("not what it seems"));
        tree("a: ${X}\nb: ['${X}', \"{${Y}\"]\n");
    }

    #[test]
    fn other_encodings_are_refused() {
        assert!(text(0, vec![b'a', 0xc3, b'(']).is_err());
        assert!(text(0, vec![0xff, 0xfe, b'a', 0]).is_err());
        assert_eq!(text(0, "\u{feff}a: 1".into()).unwrap(), "a: 1");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(text) = text(0, bytes) {
                let (root, problems) = parse(0, &text);
                prop_assert!(root.is_some() || !problems.is_empty());
            }
        }

        #[test]
        fn texts_are_survived(text in "\\PC{0,80}") {
            let (root, problems) = parse(0, &text);
            prop_assert!(root.is_some() || !problems.is_empty());
        }

        #[test]
        fn yaml_like_soup_is_survived(text in "([-:?,\\[\\]{}#&*!|>'\"%@`$~<a1 \n\t]|: |- |\n  |---|\\.\\.\\.|\\$\\{|<<|é|\r\n){0,60}") {
            let (root, problems) = parse(0, &text);
            prop_assert!(root.is_some() || !problems.is_empty());
        }
    }
}
