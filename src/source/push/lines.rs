//! Lines as everything that is pushed has them: UTF-8, with LF or CR LF, cut where they are too long.

use crate::queue::{Encoding, Format, RunFlags, Text};
use crate::source::file::LongLine;
use crate::source::file::lines::{self, Rules, Split};

/// Length of the delimiter at the end of a line: `\n`, `\r\n`, or none.
pub(crate) fn delimiter(line: &[u8]) -> usize {
    Text::PLAIN.delimiter(line)
}

/// The first at most `max` bytes, a few fewer where a character would be cut in two.
pub(crate) fn cut(line: &[u8], max: usize) -> &[u8] {
    if line.len() <= max { line } else { &line[..Encoding::UTF8.cut(line, max)] }
}

/// The flags of a run whose events' delimiters are `delimiters` bytes.
pub(crate) fn flags(data: &[u8], delimiters: usize) -> RunFlags {
    lines::flags(Text::PLAIN, data, delimiters)
}

/// Splits at newlines; a line with more than `max` bytes before its delimiter ends the run.
pub(crate) fn split_lines(data: &[u8], max: usize, lens: &mut Vec<u8>) -> Split {
    lines::split_lines(data, &Rules { text: Text::PLAIN, format: Format::Plain, max, long: LongLine::Cut }, false, lens)
}
