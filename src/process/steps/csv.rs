//! `csv: {fields: [client.ip, ~, bytes]}`: values between separators, as RFC 4180 has them.
//!
//! A value in quotes may hold separators, newlines, and quotes that are doubled. A name that is `~` leaves its value out. A value that
//! is not there, or is empty without quotes, gives no field; more values than names are a failure.

use crate::config::decode::{Field, Map};
use crate::config::yaml::Kind;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path, Value};

/// Where a value stands; whether it has doubled quotes, and whether it gives a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    from: usize,
    to: usize,
    doubled: bool,
    there: bool,
}

/// See the module.
#[derive(Clone, Debug)]
struct Csv {
    field: Path,
    names: Vec<Option<Path>>,
    separator: char,
    quote: char,
    trim: bool,
    cells: Vec<Cell>,
}

/// The values of `text`, into `cells`; at most one more than `most`.
fn cells(text: &str, separator: char, quote: char, trim: bool, most: usize, cells: &mut Vec<Cell>) -> Result<(), Failure> {
    cells.clear();
    let mut at = 0;
    while cells.len() <= most {
        let mut rest = &text[at..];
        if trim {
            rest = rest.trim_start_matches(|c: char| c == ' ' || (c == '\t' && separator != '\t'));
            at = text.len() - rest.len();
        }
        match rest.strip_prefix(quote) {
            Some(quoted) => {
                let from = at + quote.len_utf8();
                let (mut to, mut doubled) = (0, false);
                loop {
                    let Some(found) = quoted[to..].find(quote) else {
                        return Err(Failure::new(format!("the quote at byte {at} is not closed")));
                    };
                    to += found;
                    if !quoted[to + quote.len_utf8()..].starts_with(quote) {
                        break;
                    }
                    doubled = true;
                    to += 2 * quote.len_utf8();
                }
                cells.push(Cell { from, to: from + to, doubled, there: true });
                at = from + to + quote.len_utf8();
                if trim {
                    at = text.len() - text[at..].trim_start_matches(' ').len();
                }
            }
            None => {
                let len = rest.find(separator).unwrap_or(rest.len());
                let value = if trim { rest[..len].trim_end() } else { &rest[..len] };
                cells.push(Cell { from: at, to: at + value.len(), doubled: false, there: !value.is_empty() });
                at += len;
            }
        }
        match text[at..].chars().next() {
            None => return Ok(()),
            Some(c) if c == separator => at += c.len_utf8(),
            Some(_) => return Err(Failure::new(format!("no separator stands behind the quote at byte {at}"))),
        }
    }
    Ok(())
}

impl Processor for Csv {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        let span = event.text(&self.field)?;
        cells(event.str(span), self.separator, self.quote, self.trim, self.names.len(), &mut self.cells)?;
        if self.cells.len() > self.names.len() {
            return Err(Failure::new(format!("it has more than {} values", self.names.len())));
        }
        let named =
            || self.names.iter().zip(&self.cells).filter_map(|(name, cell)| Some((name.as_ref()?, cell))).filter(|(_, cell)| cell.there);
        named().try_for_each(|(path, _)| event.free(path))?;
        for (path, cell) in named() {
            let mut value = span.part(cell.from, cell.to);
            if cell.doubled {
                let quote = self.quote;
                value = event.rewrite(value, |old, new| {
                    let mut rest = old;
                    while let Some(at) = rest.find(quote) {
                        new.push_str(&rest[..at + quote.len_utf8()]);
                        rest = rest[at + quote.len_utf8()..].strip_prefix(quote).unwrap_or_default();
                    }
                    new.push_str(rest);
                });
            }
            event.set(path, Value::Text(value))?;
        }
        Ok(Flow::On)
    }
}

/// One character that is no newline.
pub(super) fn sign(field: Option<Field<'_>>, default: char) -> Option<char> {
    let Some(field) = field else { return Some(default) };
    let value = field.scalar("one character")?;
    let mut chars = value.text.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) if c != '\n' && c != '\r' => Some(c),
        _ => {
            field.wrong(format!("`{}` is not one character", field.path), "one character, such as `;` or `\"\\t\"`");
            None
        }
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let field = map.field_or("field", "message");
    let trim = map.flag("trim");
    let (separator, quote) = (sign(map.get("separator"), ','), sign(map.get("quote"), '"'));
    let expected = "the names of the fields in their order, `~` for a value that is left out";
    let fields = map.require("fields", expected)?;
    let list = fields.list(expected);
    if list.is_empty() {
        fields.wrong(format!("`{}` names no field", fields.path), expected);
    }
    let names: Vec<Option<Option<Path>>> =
        list.iter().map(|f| if matches!(f.node.kind, Kind::Null) { Some(None) } else { f.event_field().map(Some) }).collect();
    let names: Vec<Option<Path>> = names.into_iter().collect::<Option<_>>()?;
    let (separator, quote) = (separator?, quote?);
    if separator == quote {
        map.report(map.problem(format!("`separator` and `quote` of `{}` are the same", map.path)).expected("two different characters"));
        return None;
    }
    (!names.is_empty())
        .then(|| Some(Box::new(Csv { field: field?, names, separator, quote, trim, cells: Vec::new() }) as Box<dyn Processor>))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::steps::testing::{members, run, wrong};
    use proptest::prelude::*;

    #[test]
    fn agrees_with_rfc_4180() {
        let chain = "[{csv: {fields: [a, b, c]}}, {remove: {fields: [message, log]}}]";
        for (line, want) in [
            ("aaa,bbb,ccc", r#""a":"aaa","b":"bbb","c":"ccc""#),
            (
                r#""aaa","b
bb","ccc""#,
                r#""a":"aaa","b":"b\nbb","c":"ccc""#,
            ),
            (r#""aaa","b""bb","ccc""#, r#""a":"aaa","b":"b\"bb","c":"ccc""#),
            (r#""a,a","""""""#, r#""a":"a,a","b":"\"\"""#),
            (r#"a,,"""#, r#""a":"a","c":"""#),
            ("a b , c", r#""a":"a b ","b":" c""#),
            (r#"a"b,c"#, r#""a":"a\"b","b":"c""#),
        ] {
            assert_eq!(members(chain, line), want, "{line}");
        }
        assert!(run(chain, "1,2,3,4").contains("csv (1): it has more than 3 values"));
        assert!(run(chain, "\"a").contains("the quote at byte 0 is not closed"));
        assert!(run(chain, "\"a\"b,c").contains("no separator stands behind the quote at byte 3"));
        let other = "[{csv: {fields: [a, ~, c.d], separator: ';', quote: \"'\", trim: true}}, {remove: {fields: [message, log]}}]";
        assert_eq!(members(other, "1 ; x;  'it''s' "), r#""a":"1","c":{"d":"it's"}"#);
        assert!(wrong("[{csv: {fields: [a], separator: ab}}]").contains("is not one character"));
        assert!(wrong("[{csv: {fields: [a], separator: x, quote: x}}]").contains("are the same"));
        assert!(wrong("[{csv: {fields: []}}]").contains("`process.c[0].csv.fields` names no field"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(values in prop::collection::vec("[a\",é\n ]{0,5}", 1..6)) {
            let line: Vec<String> = values.iter().map(|v| format!("\"{}\"", v.replace('"', "\"\""))).collect();
            let mut found = Vec::new();
            let line = line.join(",");
            cells(&line, ',', '"', false, 10, &mut found).unwrap();
            let read: Vec<String> = found.iter().map(|c| line[c.from..c.to].replace("\"\"", "\"")).collect();
            prop_assert_eq!(read, values);
        }

        #[test]
        fn nothing_panics(text in "[a\", é]{0,12}", trim: bool) {
            let mut found = Vec::new();
            if cells(&text, ',', '"', trim, 4, &mut found).is_ok() {
                prop_assert!(found.iter().all(|c| text.get(c.from..c.to).is_some()) && found.len() <= 5);
            }
        }
    }
}
