//! Mistakes in the tests of chains.

use super::after_pipeline;
use insta::assert_snapshot;

#[test]
fn mistakes_in_tests() {
    assert_snapshot!(after_pipeline(r#"process: {app: [{json: {}}]}
tests:
  - {name: a, process: ap, input: x, expect: {}}
  - {name: b, sink: out, input: x, expect: {}}
  - {name: c, sink: ou, input: x, expect: filtred}
  - {name: d, process: app, sink: out, input: [x, y], expect: [{a: 1}]}
  - {name: e, process: app, input: [x, y], expect: {a..b: 1}}
  - {name: f, process: app, input: [x, y], expect: [{a: 1}]}
  - {name: g, now: noon, input: {}, exect: true}
  - {process: app, input: [], expect: ~}
"#), @r#"
    error: `tests[0].process` is `ap`
      --> pipeline.yaml:5:24
       |
     5 |   - {name: a, process: ap, input: x, expect: {}}
       |                        ^^
       = expected one of: `app`
       = help: did you mean `app`?

    error: `tests[1].sink` is `out`, which has no chain that can be tested
      --> pipeline.yaml:6:21
       |
     6 |   - {name: b, sink: out, input: x, expect: {}}
       |                     ^^^
       = expected the name of a sink with `process`

    error: `tests[2].sink` is `ou`
      --> pipeline.yaml:7:21
       |
     7 |   - {name: c, sink: ou, input: x, expect: filtred}
       |                     ^^
       = expected one of: `out`
       = help: did you mean `out`?

    error: `tests[2].expect` is `filtred`
      --> pipeline.yaml:7:43
       |
     7 |   - {name: c, sink: ou, input: x, expect: filtred}
       |                                           ^^^^^^^
       = expected one of: `filtered`, `dead_letter`
       = help: did you mean `filtered`?

    error: `tests[3]` has both `process` and `sink`
      --> pipeline.yaml:8:35
       |
     8 |   - {name: d, process: app, sink: out, input: [x, y], expect: [{a: 1}]}
       |                                   ^^^
       = expected one of them

    error: `a..b` is no name of a field
      --> pipeline.yaml:9:53
       |
     9 |   - {name: e, process: app, input: [x, y], expect: {a..b: 1}}
       |                                                     ^^^^
       = expected a name such as `http.response.status_code`
       = help: a part of the name is empty

    error: `tests[5].expect` has one entry, but the input has 2 events
       --> pipeline.yaml:10:52
        |
     10 |   - {name: f, process: app, input: [x, y], expect: [{a: 1}]}
        |                                                    ^
        = expected a map of fields, `filtered`, or `dead_letter`, for each event of the input

    error: `tests[6]` has no `process`
       --> pipeline.yaml:11:5
        |
     11 |   - {name: g, now: noon, input: {}, exect: true}
        |     ^
        = expected the name of a chain, a chain, or `sink: NAME` or `source: NAME` for that of a sink or source

    error: `tests[6]` has no `expect`
       --> pipeline.yaml:11:5
        |
     11 |   - {name: g, now: noon, input: {}, exect: true}
        |     ^
        = expected a map of fields, `filtered`, or `dead_letter`, for each event of the input

    error: `tests[6].now` is `noon`
       --> pipeline.yaml:11:20
        |
     11 |   - {name: g, now: noon, input: {}, exect: true}
        |                    ^^^^
        = expected a time such as `2026-03-09T10:11:12Z`

    error: `tests[6].input` has no `file`
       --> pipeline.yaml:11:26
        |
     11 |   - {name: g, now: noon, input: {}, exect: true}
        |                          ^^^^^
        = expected the path of a file, relative to the pipeline's

    error: unknown key `exect` in tests[6]
       --> pipeline.yaml:11:37
        |
     11 |   - {name: g, now: noon, input: {}, exect: true}
        |                                     ^^^^^
        = expected one of: name, process, sink, source, input, now, fields, exact, expect
        = help: did you mean `exact`?

    error: `tests[7].input` has no line
       --> pipeline.yaml:12:27
        |
     12 |   - {process: app, input: [], expect: ~}
        |                           ^
        = expected a line, a list of lines, or `{file: PATH}`

    error: `tests[7].expect` is nothing
       --> pipeline.yaml:12:31
        |
     12 |   - {process: app, input: [], expect: ~}
        |                               ^^^^^^
        = expected a map of fields, `filtered`, or `dead_letter`, for each event of the input

    14 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
    assert_snapshot!(after_pipeline("tests: {a: 1}\n"), @"
    error: `tests` is a map
      --> pipeline.yaml:3:8
       |
     3 | tests: {a: 1}
       |        ^
       = expected a list of tests, such as `- {name: …, process: …, input: …, expect: …}`

    1 error in pipeline.yaml; nothing was started and no data was touched
    ");
}
