//! Mistakes in what an event is.

use super::errors;
use insta::assert_snapshot;

#[test]
fn multiline_mistakes() {
    assert_snapshot!(errors(r#"sources:
  a: {type: file, include: /a, multiline: {preset: jawa}}
  b: {type: file, include: /b, multiline: {start_pattern: "(x"}}
  c: {type: file, include: /c, multiline: {}}
  d: {type: file, include: /d, multiline: {preset: go, continue_pattern: "^ ", max_bytes: 1}}
  e: {type: file, include: /e, multiline: {end_pattern: "[", continue: x}}
sinks: {o: {type: console}}
"#), @r#"
    error: `sources.a.multiline.preset` is `jawa`
      --> pipeline.yaml:2:52
       |
     2 |   a: {type: file, include: /a, multiline: {preset: jawa}}
       |                                                    ^^^^
       = expected one of: `auto`, `java`, `python`, `go`, `ruby`, `dotnet`
       = help: did you mean `java`?

    error: `sources.b.multiline.start_pattern` is `(x`
      --> pipeline.yaml:3:59
       |
     3 |   b: {type: file, include: /b, multiline: {start_pattern: "(x"}}
       |                                                           ^^^^
       = expected a regular expression
       = help: unclosed group

    error: `sources.c.multiline` says not where an event begins
      --> pipeline.yaml:4:32
       |
     4 |   c: {type: file, include: /c, multiline: {}}
       |                                ^^^^^^^^^
       = expected `preset` (one of `auto`, `java`, `python`, `go`, `ruby`, `dotnet`), or `start_pattern`, `continue_pattern`, `end_pattern` (one of them or several)

    error: `sources.d.multiline` has both `preset` and `continue_pattern`
      --> pipeline.yaml:5:52
       |
     5 |   d: {type: file, include: /d, multiline: {preset: go, continue_pattern: "^ ", max_bytes: 1}}
       |                                                    ^^
       = expected one of the two

    error: `sources.d.multiline.max_bytes` is `1`
      --> pipeline.yaml:5:91
       |
     5 |   d: {type: file, include: /d, multiline: {preset: go, continue_pattern: "^ ", max_bytes: 1}}
       |                                                                                           ^
       = expected a size from 64B to 64MiB

    error: `sources.e.multiline.end_pattern` is `[`
      --> pipeline.yaml:6:57
       |
     6 |   e: {type: file, include: /e, multiline: {end_pattern: "[", continue: x}}
       |                                                         ^^^
       = expected a regular expression
       = help: unclosed character class

    error: unknown key `continue` in sources.e.multiline
      --> pipeline.yaml:6:62
       |
     6 |   e: {type: file, include: /e, multiline: {end_pattern: "[", continue: x}}
       |                                                              ^^^^^^^^
       = expected one of: preset, start_pattern, continue_pattern, end_pattern, max_lines, max_bytes, timeout
       = help: did you mean `continue_pattern`?

    7 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn line_mistakes() {
    assert_snapshot!(errors(r#"sources:
  a: {type: file, include: /a, encoding: shift-jiss}
  b: {type: file, include: /b, encoding: iso-2022-jp, line_ending: cr-lf, on_long_line: drop}
  c: {type: file, include: /c, encoding: [utf-8]}
  d: {type: file, include: /d, multiline: {preset: java, max_bytes: 16MiB}}
queue: {buffer_memory: 32MiB}
sinks: {o: {type: console}}
"#), @r#"
    error: `sources.a.encoding` is `shift-jiss`
      --> pipeline.yaml:2:42
       |
     2 |   a: {type: file, include: /a, encoding: shift-jiss}
       |                                          ^^^^^^^^^^
       = expected an encoding such as `utf-8`, `utf-16` (by byte order mark), `utf-16le`, `latin1`, `shift_jis`, `gb18030`, `windows-1251`
       = help: did you mean `shift_jis`?

    error: `sources.b.encoding` is `iso-2022-jp`
      --> pipeline.yaml:3:42
       |
     3 |   b: {type: file, include: /b, encoding: iso-2022-jp, line_ending: cr-lf, on_long_line: drop}
       |                                          ^^^^^^^^^^^
       = expected an encoding such as `utf-8`, `utf-16` (by byte order mark), `utf-16le`, `latin1`, `shift_jis`, `gb18030`, `windows-1251`

    error: `sources.b.line_ending` is `cr-lf`
      --> pipeline.yaml:3:68
       |
     3 |   b: {type: file, include: /b, encoding: iso-2022-jp, line_ending: cr-lf, on_long_line: drop}
       |                                                                    ^^^^^
       = expected one of: `auto`, `lf`, `crlf`, `cr`
       = help: did you mean `crlf`?

    error: `sources.b.on_long_line` is `drop`
      --> pipeline.yaml:3:89
       |
     3 |   b: {type: file, include: /b, encoding: iso-2022-jp, line_ending: cr-lf, on_long_line: drop}
       |                                                                                         ^^^^
       = expected one of: `cut`, `split`

    error: `sources.c.encoding` is a list
      --> pipeline.yaml:4:42
       |
     4 |   c: {type: file, include: /c, encoding: [utf-8]}
       |                                          ^
       = expected an encoding such as `utf-8`, `utf-16` (by byte order mark), `utf-16le`, `latin1`, `shift_jis`, `gb18030`, `windows-1251`

    error: `sources.d.multiline.max_bytes` is more than a quarter of `queue.buffer_memory`
      --> pipeline.yaml:5:3
       |
     5 |   d: {type: file, include: /d, multiline: {preset: java, max_bytes: 16MiB}}
       |   ^
       = expected room for at least four of the longest events in memory

    6 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn mistakes_with_containers() {
    assert_snapshot!(errors(r#"sources:
  a: {type: file, include: /a, format: crio}
  b: {type: file, include: /b, format: cri, encoding: latin1, on_long_line: split, line_ending: cr}
  c: {type: file, include: /c, format: docker, fields: {stream: x}, kubernetes: maybe}
  d: {type: file, include: /d, downward_api: /does/not/exist}
sinks: {o: {type: console}}
"#), @r#"
    error: `sources.a.format` is `crio`
      --> pipeline.yaml:2:40
       |
     2 |   a: {type: file, include: /a, format: crio}
       |                                        ^^^^
       = expected one of: `plain`, `cri`, `docker`, `auto`
       = help: did you mean `cri`?

    error: `sources.b.encoding` does not go with the `format` of a container's log
      --> pipeline.yaml:3:55
       |
     3 |   b: {type: file, include: /b, format: cri, encoding: latin1, on_long_line: split, line_ending: cr}
       |                                                       ^^^^^^
       = expected `utf-8`: container runtimes write nothing else

    error: `sources.b.on_long_line` does not go with the `format` of a container's log
      --> pipeline.yaml:3:77
       |
     3 |   b: {type: file, include: /b, format: cri, encoding: latin1, on_long_line: split, line_ending: cr}
       |                                                                             ^^^^^
       = expected `cut`: a runtime splits long lines itself, and an event that would be too long ends between two of its records

    error: `sources.b.line_ending` does not go with the `format` of a container's log
      --> pipeline.yaml:3:97
       |
     3 |   b: {type: file, include: /b, format: cri, encoding: latin1, on_long_line: split, line_ending: cr}
       |                                                                                                 ^^
       = expected `auto`: container runtimes write nothing else

    error: `sources.c.fields.stream` stands in the way of `stream`, which the records of a container's log have
      --> pipeline.yaml:4:56
       |
     4 |   c: {type: file, include: /c, format: docker, fields: {stream: x}, kubernetes: maybe}
       |                                                        ^
       = expected another name

    error: `sources.c.kubernetes` is `maybe`
      --> pipeline.yaml:4:81
       |
     4 |   c: {type: file, include: /c, format: docker, fields: {stream: x}, kubernetes: maybe}
       |                                                                                 ^^^^^
       = expected `true` or `false`

    error: `sources.d.downward_api`: cannot list /does/not/exist: No such file or directory (os error 2)
      --> pipeline.yaml:5:46
       |
     5 |   d: {type: file, include: /d, downward_api: /does/not/exist}
       |                                              ^^^^^^^^^^^^^^^
       = expected a folder in which a volume of the downward API is mounted

    7 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[cfg(not(feature = "vrl"))]
#[test]
fn a_build_without_vrl_says_so() {
    assert_snapshot!(errors(r#"sources: {a: {type: file, include: /a}}
sinks: {o: {type: console, process: [{vrl: {source: ".a = 1"}}]}}
"#), @r#"
    error: `sinks.o.process[0].vrl`: this forebay was built without the Vector Remap Language
      --> pipeline.yaml:2:39
       |
     2 | sinks: {o: {type: console, process: [{vrl: {source: ".a = 1"}}]}}
       |                                       ^^^
       = help: `cargo build --release --features vrl` builds one that has it; docs/processing.md says what other processors do the same

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn the_name_of_a_preset_where_it_is_none() {
    assert_snapshot!(errors(r#"sources: {a: {type: file, include: /a}}
sinks: {o: {type: console, process: nginx.access}, p: {type: console, process: [{parse: nginx}]}}
"#), @r#"
    error: `sinks.o.process` is `nginx.access`
      --> pipeline.yaml:2:37
       |
     2 | sinks: {o: {type: console, process: nginx.access}, p: {type: console, process: [{parse: nginx}]}}
       |                                     ^^^^^^^^^^^^
       = expected a list of processors, or the name of a chain of the top level
       = help: a preset is a processor of a chain: `process: [{parse: nginx.access}]`

    error: `sinks.p.process[0].parse` is `nginx`
      --> pipeline.yaml:2:89
       |
     2 | sinks: {o: {type: console, process: nginx.access}, p: {type: console, process: [{parse: nginx}]}}
       |                                                                                         ^^^^^
       = expected the name of a preset
       = help: did you mean `nginx.access` or `nginx.error`?

    2 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}
