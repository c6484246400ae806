//! `sources.NAME.multiline`, and the other keys that say what an event is.

use super::decode::{Field, Map, quoted_list};
use super::suggest::nearest;
use crate::queue::{Encoding, LineEnding};
use crate::source::file::{FileEncoding, FileOptions, Joining, LongLine, Multiline, Preset};
use regex::bytes::Regex;
use std::time::Duration;

const PRESETS: [(&str, Preset); 6] = [
    ("auto", Preset::Auto),
    ("java", Preset::Java),
    ("python", Preset::Python),
    ("go", Preset::Go),
    ("ruby", Preset::Ruby),
    ("dotnet", Preset::Dotnet),
];

const LINE_ENDINGS: [(&str, LineEnding); 4] =
    [("auto", LineEnding::Auto), ("lf", LineEnding::Lf), ("crlf", LineEnding::Crlf), ("cr", LineEnding::Cr)];

/// `encoding:`, `line_ending:`, `max_line_bytes:`, `on_long_line:` and `multiline:`.
pub(crate) fn events(map: &mut Map<'_>, options: &mut FileOptions) {
    if let Some(bytes) = map.get("max_line_bytes").and_then(|f| f.size(64..=64 << 20)) {
        options.max_line_bytes = bytes as usize;
    }
    if let Some(what) = map.get("on_long_line").and_then(|f| f.one_of(&[("cut", LongLine::Cut), ("split", LongLine::Split)])) {
        options.on_long_line = what;
    }
    if let Some(encoding) = map.get("encoding").and_then(|f| encoding(&f)) {
        options.encoding = encoding;
    }
    if let Some(ending) = map.get("line_ending").and_then(|f| f.one_of(&LINE_ENDINGS)) {
        options.line_ending = ending;
    }
    if let Some(field) = map.get("multiline") {
        options.multiline = multiline(&field);
    }
}

fn encoding(field: &Field<'_>) -> Option<FileEncoding> {
    let expected =
        "an encoding such as `utf-8`, `utf-16` (by byte order mark), `utf-16le`, `latin1`, `shift_jis`, `gb18030`, `windows-1251`";
    let value = field.value(expected)?;
    let label = value.text.trim().to_ascii_lowercase();
    if label == "utf-16" || label == "utf16" {
        return Some(FileEncoding::Utf16);
    }
    if let Some(encoding) = Encoding::named(&label) {
        return Some(FileEncoding::Is(encoding));
    }
    let names: Vec<String> = Encoding::all().map(|e| e.name().to_ascii_lowercase()).collect();
    let near = nearest(&label, names.iter().map(String::as_str).chain(["utf-16", "latin1"])).map(|near| format!("did you mean `{near}`?"));
    field.report(field.is(&value).expected(expected).help_if(near));
    None
}

fn multiline(field: &Field<'_>) -> Option<Multiline> {
    let mut map = field.map()?;
    let preset = map.get("preset");
    let patterns = [map.get("start_pattern"), map.get("continue_pattern"), map.get("end_pattern")];
    let joining = match (&preset, patterns.iter().flatten().next()) {
        (Some(preset), Some(pattern)) => {
            let key = pattern.path.rsplit('.').next().unwrap_or_default();
            preset.wrong(format!("`{}` has both `preset` and `{key}`", map.path), "one of the two");
            None
        }
        (None, None) => {
            let names = quoted_list(PRESETS.iter().map(|(name, _)| *name));
            map.report(map.problem(format!("`{}` says not where an event begins", map.path)).expected(format!(
                "`preset` (one of {names}), or `start_pattern`, `continue_pattern`, `end_pattern` (one of them or several)"
            )));
            None
        }
        (Some(preset), None) => preset.one_of(&PRESETS).map(Joining::Preset),
        (None, Some(_)) => {
            let [start, proceed, end] = patterns.map(|field| field.and_then(|f| pattern(&f)));
            Some(Joining::Patterns { start, proceed, end })
        }
    };
    let mut options = Multiline {
        // Where it is none, there is a mistake, and nothing starts.
        joining: joining.unwrap_or(Joining::Preset(Preset::Auto)),
        max_lines: 1000,
        max_bytes: None,
        timeout: Duration::from_secs(1),
    };
    if let Some(lines) = map.get("max_lines").and_then(|f| f.integer(1..=1_000_000)) {
        options.max_lines = lines as u32;
    }
    if let Some(bytes) = map.get("max_bytes").and_then(|f| f.size(64..=64 << 20)) {
        options.max_bytes = Some(bytes as usize);
    }
    if let Some(time) = map.get("timeout").and_then(|f| f.duration(Duration::from_millis(10)..=Duration::from_secs(3600))) {
        options.timeout = time;
    }
    map.finish(&[]);
    Some(options)
}

/// A regular expression that compiles.
fn pattern(field: &Field<'_>) -> Option<String> {
    let value = field.value("a regular expression")?;
    match Regex::new(&value.text) {
        Ok(_) => Some(value.text),
        Err(error) => {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_string();
            field.report(field.is(&value).expected("a regular expression").help_if((!value.secret).then_some(why)));
            None
        }
    }
}
