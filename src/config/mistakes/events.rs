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
