//! Joins the records of container runtimes to events.
//!
//! A line that the runtime has split is one event: its records up to the one that ends it. Where another stream's record
//! (or what is no record) comes between, or where it would be longer than allowed, the event ends there; what follows is
//! another event, and the document of the first says that it goes on. So events stay whole ranges of the file, whatever
//! is interleaved, and nothing is lost or doubled. Multiline joins the lines that the program wrote, of one stream.
//! As everywhere, where an event ends depends on the bytes from its beginning on only.

use super::grammar::State;
use super::lines::{Rules, Split};
use super::multiline::Multi;
use crate::process::container::Record;
use memchr::memchr;

/// The event that is being looked at, and its last line.
struct Open<'a, 'd> {
    multi: Option<&'a Multi>,
    rules: &'a Rules,
    data: &'d [u8],
    /// The whole lines of the event, what the last of them left behind, and its stream.
    lines: u32,
    state: State,
    stream: &'d str,
    /// Delimiter of the last record before `line_at`.
    ends: usize,
    /// Where the line begins of which there are records, but not the last one.
    line_at: Option<usize>,
    /// What the program wrote of it, where that is needed.
    text: Vec<u8>,
    split: Split,
}

impl Open<'_, '_> {
    /// Ends the event before `at`.
    fn close(&mut self, at: usize, lens: &mut Vec<u8>) {
        if self.lines > 0 {
            self.split.push(at - self.split.end, self.ends, lens);
            self.lines = 0;
        }
    }

    /// The line from `begin` to `end` is whole, or will not become so: then nothing joins it.
    fn line(&mut self, begin: usize, end: usize, ends: usize, text: &[u8], broken: bool, lens: &mut Vec<u8>) {
        let Some(multi) = self.multi else {
            return self.split.push(end - begin, ends, lens);
        };
        let fits = self.lines > 0 && end - self.split.end - ends <= multi.most(self.rules);
        let joined = if fits { multi.next(self.state, text) } else { None };
        if joined.is_none() {
            self.close(begin, lens);
        }
        self.state = joined.unwrap_or_else(|| multi.first(text));
        (self.lines, self.ends) = (self.lines + 1, ends);
        if broken || self.lines >= multi.max_lines || multi.ends(text) {
            self.close(end, lens);
        }
    }

    /// The line of which there are records ends before `at` without its last one.
    fn break_line(&mut self, at: usize, lens: &mut Vec<u8>) {
        if let Some(begin) = self.line_at.take() {
            let text = std::mem::take(&mut self.text);
            let ends = self.rules.text.delimiter(&self.data[begin..at]);
            self.line(begin, at, ends, &text, true, lens);
            self.text = text;
            self.text.clear();
        }
    }
}

/// Splits at the ends of events. Lengths go to `lens`; a record that is too long ends the run. The last event stays unless
/// it is known to be whole, or `flush` says that nothing will join it.
pub(crate) fn split_records(multi: Option<&Multi>, data: &[u8], rules: &Rules, flush: bool, lens: &mut Vec<u8>) -> Split {
    let (text, mut scratch, mut at) = (rules.text, Vec::new(), 0);
    let mut open = Open {
        multi,
        rules,
        data,
        lines: 0,
        state: State::default(),
        stream: "",
        ends: 0,
        line_at: None,
        text: Vec::new(),
        split: Split::default(),
    };
    while let Some(newline) = memchr(b'\n', &data[at..]) {
        let end = at + newline + 1;
        let ends = text.delimiter(&data[at..end]);
        let long = end - at - ends > rules.max;
        let record = if long { None } else { Record::of(rules.format, &data[at..end - 1]) };
        let goes_on = |begin: usize, r: &Record<'_>, open: &Open<'_, '_>| r.stream == open.stream && end - begin - ends <= rules.max;
        if let Some(begin) = open.line_at
            && !record.as_ref().is_some_and(|r| goes_on(begin, r, &open))
        {
            open.break_line(at, lens);
        }
        let Some(record) = record else {
            open.close(at, lens);
            if long {
                open.split.long = Some(end - at);
                return open.split;
            }
            open.split.push(end - at, ends, lens);
            at = end;
            continue;
        };
        if record.stream != open.stream {
            open.close(at, lens);
            open.stream = record.stream;
        }
        let begin = open.line_at.unwrap_or(at);
        if multi.is_some() && (record.partial || open.line_at.is_some()) {
            record.put_text(!record.partial, &mut open.text);
        }
        if record.partial {
            open.line_at = Some(begin);
        } else if open.line_at.take().is_some() {
            let text = std::mem::take(&mut open.text);
            open.line(begin, end, ends, &text, false, lens);
            open.text = text;
            open.text.clear();
        } else {
            let line = if multi.is_some() { record.line(&mut scratch) } else { &[] };
            open.line(begin, end, ends, line, false, lens);
        }
        at = end;
    }
    let enough = |from: usize, most: usize| data.len() - from >= most.saturating_add(text.longest_delimiter());
    // Whatever comes: the next line does not fit into the event. One of which there are records may end with them.
    let full = |multi: &Multi| match open.line_at {
        Some(_) => at - open.split.end - text.delimiter(&data[..at]) > multi.most(rules),
        None => enough(open.split.end, multi.most(rules)),
    };
    if open.lines > 0 && multi.is_some_and(full) {
        let begin = open.line_at.unwrap_or(at);
        open.close(begin, lens);
    }
    if open.line_at.is_some_and(|begin| flush || enough(begin, rules.max)) {
        open.break_line(at, lens);
    }
    if flush || enough(at, rules.max) {
        open.close(at, lens);
    }
    open.split
}
