//! `sources.NAME.format`, `kubernetes` and `downward_api`.

use super::decode::Map;
use crate::queue::{Encoding, Format, LineEnding};
use crate::source::file::{FileEncoding, FileFormat, FileOptions, LongLine};
use serde_json::Value;
use std::io::Read;
use std::path::Path;

const FORMATS: [(&str, FileFormat); 4] = [
    ("plain", FileFormat::Is(Format::Plain)),
    ("cri", FileFormat::Is(Format::Cri)),
    ("docker", FileFormat::Is(Format::Docker)),
    ("auto", FileFormat::Auto),
];
/// A file of the downward API is not longer: annotations have 256 KiB at most, and escapes.
const MAX_FILE: u64 = 2 << 20;

/// `format:` and `kubernetes:`, and what does not go with them.
pub(crate) fn containers(map: &mut Map<'_>, options: &mut FileOptions) {
    if let Some(format) = map.get("format").and_then(|f| f.one_of(&FORMATS)) {
        options.format = format;
    }
    let wrapped = options.format != FileFormat::Is(Format::Plain);
    options.kubernetes = map.get("kubernetes").and_then(|f| f.boolean()).unwrap_or(wrapped);
    let others = [
        ("encoding", options.encoding != FileEncoding::Is(Encoding::UTF8), "`utf-8`: container runtimes write nothing else"),
        ("line_ending", options.line_ending != LineEnding::Auto, "`auto`: container runtimes write nothing else"),
        (
            "on_long_line",
            options.on_long_line != LongLine::Cut,
            "`cut`: a runtime splits long lines itself, and an event that would be too long ends between two of its records",
        ),
    ];
    for (key, other, expected) in others {
        if let Some(field) = map.peek(key).filter(|_| wrapped && other) {
            field.wrong(format!("`{}` does not go with the `format` of a container's log", field.path), expected);
        }
    }
}

/// `downward_api:`, a folder in which a volume of the downward API is mounted; empty is off.
pub(crate) fn downward_api(map: &mut Map<'_>, options: &mut FileOptions) {
    if options.format != FileFormat::Is(Format::Plain)
        && options.fields.iter().any(|(name, _)| name == "stream" || name.starts_with("stream."))
        && let Some(field) = map.peek("fields")
    {
        field.wrong(
            format!("`{}.stream` stands in the way of `stream`, which the records of a container's log have", field.path),
            "another name",
        );
    }
    let Some(field) = map.get("downward_api") else { return };
    let Some(value) = field.scalar("a folder such as `/etc/podinfo`") else { return };
    if value.text.is_empty() {
        return;
    }
    let fields = match read_folder(Path::new(&value.text)) {
        Ok(fields) => fields,
        Err(Mistake { what, expected }) => return field.wrong(format!("`{}`: {what}", field.path), expected),
    };
    for (name, value) in fields {
        let inside = |a: &str, b: &str| b.strip_prefix(a).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        // What the source says itself stands.
        if !options.fields.iter().any(|(own, _)| inside(own, &name) || inside(&name, own)) {
            options.fields.push((name, Value::from(value).to_string()));
        }
    }
}

#[derive(Debug)]
struct Mistake {
    what: String,
    expected: &'static str,
}

/// The fields that the files in `folder` say, by name.
fn read_folder(folder: &Path) -> Result<Vec<(String, String)>, Mistake> {
    let wrong = |what: String| Mistake { what, expected: "a folder in which a volume of the downward API is mounted" };
    let entries = std::fs::read_dir(folder).map_err(|e| wrong(format!("cannot list {}: {e}", folder.display())))?;
    let mut fields = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| wrong(format!("cannot list {}: {e}", folder.display())))?;
        let (name, path) = (entry.file_name(), entry.path());
        // `..data` and the folder it leads to are how the kubelet changes all files at once.
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        let wrong = |why: String| Mistake {
            what: format!("{}: {why}", path.display()),
            expected: "files of the downward API: `labels` and `annotations` with lines such as `app=\"shop\"`, others with one value",
        };
        let mut text = String::new();
        let file = std::fs::File::open(&path).map_err(|e| wrong(e.to_string()))?;
        file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(|e| wrong(e.to_string()))?;
        if text.len() as u64 > MAX_FILE {
            return Err(wrong("it is larger than 2MiB".into()));
        }
        if name == "labels" || name == "annotations" {
            for (line, n) in text.lines().zip(1..).filter(|(line, _)| !line.is_empty()) {
                let pair = line.split_once('=').and_then(|(key, value)| Some((key, unquote(value)?)));
                let (key, value) =
                    pair.filter(|(key, _)| !key.is_empty()).ok_or_else(|| wrong(format!("line {n} is not `key=\"value\"`")))?;
                // A dot would make an object of `app`, and `app` may be a label, too.
                fields.push((format!("kubernetes.{name}.{}", key.replace('.', "_")), value));
            }
            continue;
        }
        let field = match name {
            "name" | "podname" | "pod_name" => "pod.name".to_string(),
            "uid" | "poduid" | "pod_uid" => "pod.uid".into(),
            "nodename" | "node_name" => "node.name".into(),
            "namespace" | "podnamespace" | "pod_namespace" => "namespace".into(),
            other => other.replace('.', "_"),
        };
        fields.push((format!("kubernetes.{field}"), text.trim_end_matches(['\n', '\r']).to_string()));
    }
    fields.sort();
    if let Some(twice) = fields.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(wrong(format!("{}: two of its entries are the field `{}`", folder.display(), twice[0].0)));
    }
    Ok(fields)
}

/// Go's escapes of one letter.
const SIMPLE: [(char, u8); 9] =
    [('a', 7), ('b', 8), ('f', 12), ('n', b'\n'), ('r', b'\r'), ('t', b'\t'), ('v', 11), ('\\', b'\\'), ('"', b'"')];

/// What a string means that is quoted as Go does it (`strconv.Quote`).
fn unquote(quoted: &str) -> Option<String> {
    let mut rest = quoted.strip_prefix('"')?.strip_suffix('"')?.chars();
    let mut out = Vec::new();
    while let Some(c) = rest.next() {
        if c == '"' {
            return None;
        }
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let digits = match rest.next()? {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            simple => {
                let (_, byte) = SIMPLE.iter().find(|(letter, _)| *letter == simple)?;
                out.push(*byte);
                continue;
            }
        };
        let hex: String = rest.by_ref().take(digits).collect();
        let number = u32::from_str_radix(&hex, 16).ok().filter(|_| hex.len() == digits)?;
        match digits {
            2 => out.push(number as u8),
            _ => out.extend_from_slice(char::from_u32(number)?.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_strings_mean_what_go_means() {
        for (quoted, want) in [
            (r#""""#, Some("")),
            (r#""a=b c""#, Some("a=b c")),
            ("\"\\\"q\\\" \\n \\x07 \\u00e9 \\U0001f600 \\\\\"", Some("\"q\" \n \u{7} é 😀 \\")),
            ("\"\\xff\"", None),
            ("\"\\q\"", None),
            ("\"\\u12\"", None),
            ("plain", None),
            ("\"", None),
            ("", None),
        ] {
            assert_eq!(unquote(quoted).as_deref(), want, "{quoted}");
        }
    }

    #[test]
    fn a_folder_becomes_fields() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("labels", "app.kubernetes.io/name=\"shop\"\ntier=\"front\\\"end\"\n");
        write("annotations", "");
        write("namespace", "prod\n");
        write("podname", "shop-7");
        write("cpu_limit", "2");
        std::fs::create_dir(dir.path().join("..2026")).unwrap();
        let own = |name: &str, value: &str| (format!("kubernetes.{name}"), value.to_string());
        let want = [
            own("cpu_limit", "2"),
            own("labels.app_kubernetes_io/name", "shop"),
            own("labels.tier", "front\"end"),
            own("namespace", "prod"),
            own("pod.name", "shop-7"),
        ];
        assert_eq!(read_folder(dir.path()).unwrap(), want);
        write("annotations", "a=\"1\"\nb=2\n");
        let what = read_folder(dir.path()).unwrap_err().what;
        assert!(what.ends_with("annotations: line 2 is not `key=\"value\"`"), "{what}");
        write("annotations", "");
        write("name", "x");
        let what = read_folder(dir.path()).unwrap_err().what;
        assert!(what.ends_with("two of its entries are the field `kubernetes.pod.name`"), "{what}");
    }
}
