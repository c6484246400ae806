//! The first events of a file, cut as its source would cut them, for `forebay run --dry`. Nothing is remembered of them.

use super::FileOptions;
use super::inflate::Codec;
use super::kubernetes::with_names;
use super::lines::{Begins, flags};
use super::multiline::Multi;
use super::read::{rules_of, split};
use super::records::split_records;
use super::tracked::{open_regular, read_full};
use crate::queue::{Format, Run, Stream, StreamSpec, Tail};
use bytes::Bytes;
use std::path::Path;

/// Most bytes of a file that are looked at.
const MOST_BYTES: usize = 4 << 20;

/// The events at the beginning of a file, as a run whose bytes may hold more of them than anybody needs; `None` where the
/// file has none yet. The error says why the file cannot be looked at.
pub(crate) fn first_events(options: &FileOptions, path: &Path) -> Result<Option<Run>, String> {
    if Codec::of(path).is_some() {
        return Err("it is compressed; only what it has beyond the file of which it is a generation would be read".into());
    }
    let file = open_regular(path).map_err(|e| e.to_string())?;
    let Some(rules) = rules_of(&file, options).map_err(|e| e.to_string())? else { return Ok(None) };
    let multi = options.multiline.as_ref().map(|m| Multi::new(&options.name, m)).transpose().map_err(|e| e.to_string())?;
    let size = file.metadata().map_err(|e| e.to_string())?.len();
    let mut data = vec![0; usize::try_from(size).unwrap_or(MOST_BYTES).min(MOST_BYTES)];
    let read = read_full(&file, &mut data, 0).map_err(|e| e.to_string())?;
    data.truncate(read);
    let (whole, mut lens) = (size <= MOST_BYTES as u64, Vec::new());
    let begins = Begins { first: true, ..Begins::default() };
    let mut found = match rules.format {
        Format::Plain => split(multi.as_ref(), &data, &rules, begins, &mut lens),
        _ => split_records(multi.as_ref(), &data, &rules, whole, &mut lens),
    };
    if whole && found.long.is_none() {
        // What would be an event after its quiet time: the lines that are joined so far, and a line without its end.
        let lines = multi.as_ref().and_then(|_| rules.text.last_line_end(&data[found.end..], found.end % 2 == 1));
        for len in [lines.unwrap_or(0), data.len() - found.end - lines.unwrap_or(0)] {
            if len > 0 {
                let ends = rules.text.delimiter(&data[found.end..found.end + len]);
                found.push(len, ends, &mut lens);
            }
        }
    }
    if found.count == 0 {
        let long = found.long.is_some() || !whole;
        return if long { Err("its first line is longer than `max_line_bytes`: it would be cut".into()) } else { Ok(None) };
    }
    data.truncate(found.end);
    let fields: Vec<String> =
        options.fields.iter().map(|(name, value)| format!("{}:{value}", serde_json::Value::from(name.as_str()))).collect();
    let fields = if options.kubernetes { with_names(&fields.join(","), &options.fields, path) } else { fields.join(",") };
    let spec = StreamSpec {
        source: options.name.clone(),
        topic: options.topic.clone(),
        path: path.to_path_buf(),
        fields,
        ..StreamSpec::default()
    };
    let mut flags = flags(rules.text, &data, found.delimiters);
    flags.0 |= rules.format.flags();
    Ok(Some(Run {
        stream: Stream::new(0, 0, spec, Default::default()),
        source_start: 0,
        source_end: found.end as u64,
        count: found.count,
        flags,
        tail: Tail::default(),
        lens: lens.into(),
        data: Bytes::from(data),
        filtered: Vec::new(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::trial::{Outcome, Trial};
    use crate::source::file::{FileFormat, Joining, Multiline, Preset};
    use std::time::Duration;

    fn messages(options: &FileOptions, bytes: &[u8]) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        std::fs::write(&path, bytes).unwrap();
        let Some(run) = first_events(options, &path)? else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        let _ = Trial::new(None, "h").run(&run, 7, u32::MAX, |event, outcome| {
            let Outcome::Document(text) = outcome else { panic!("{outcome:?}") };
            let document: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(document["log"]["offset"], event.position);
            all.push(document["message"].as_str().unwrap().to_string());
            Ok::<(), ()>(())
        });
        Ok(all)
    }

    #[test]
    fn events_are_cut_as_the_source_cuts_them() {
        let plain = FileOptions::default();
        assert_eq!(messages(&plain, b"\xef\xbb\xbfone\r\ntwo\nthr").unwrap(), ["one", "two", "thr"]);
        assert_eq!(messages(&plain, b"").unwrap(), Vec::<String>::new());
        let timeout = Duration::from_secs(1);
        let java = Multiline { joining: Joining::Preset(Preset::Java), max_lines: 500, max_bytes: None, timeout };
        let joined = FileOptions { multiline: Some(java), ..FileOptions::default() };
        let text = b"2026-03-09 10:00:00 ERROR a\n\tat b\n2026-03-09 10:00:01 INFO c\n";
        assert_eq!(messages(&joined, text).unwrap(), ["2026-03-09 10:00:00 ERROR a\n\tat b", "2026-03-09 10:00:01 INFO c"]);
        let cri = FileOptions { format: FileFormat::Is(Format::Cri), ..FileOptions::default() };
        let text = b"2026-03-09T10:00:00Z stdout P a\n2026-03-09T10:00:00Z stdout F b\n2026-03-09T10:00:00Z stderr F c\n";
        assert_eq!(messages(&cri, text).unwrap(), ["ab", "c"]);
        let short = FileOptions { max_line_bytes: 4, ..FileOptions::default() };
        assert!(messages(&short, b"too long\n").unwrap_err().contains("`max_line_bytes`"));
        assert!(first_events(&plain, Path::new("/does/not/exist")).is_err());
        assert!(first_events(&plain, Path::new("a.log.gz")).unwrap_err().starts_with("it is compressed"));
    }
}
