//! Mistakes that only the whole shows.

use super::{after_pipeline, errors, errors_of};
use insta::assert_snapshot;

#[test]
fn mistakes_in_chains() {
    let names = crate::config::decode::quoted_list(crate::process::steps::ALL.iter().map(|(name, _)| *name));
    assert_snapshot!(after_pipeline("process:\n  clean:\n    - jsn: {}\n    - drop: {when: level = 1}\n    - drop: {when: 'level in [x'}\n").replace(&names, "ALL"), @r#"
    error: there is no processor `jsn`
      --> pipeline.yaml:5:7
       |
     5 |     - jsn: {}
       |       ^^^
       = expected one of: ALL
       = help: did you mean `json`?

    error: `process.clean[1].drop.when`: `=` is written `==` here, at column 7
      --> pipeline.yaml:6:26
       |
     6 |     - drop: {when: level = 1}
       |                          ^

    error: `process.clean[2].drop.when`: expected a text in quotes, a number, `true`, `false` or `null`, at column 11
      --> pipeline.yaml:7:31
       |
     7 |     - drop: {when: 'level in [x'}
       |                               ^

    3 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn what_stands_below_a_misspelt_section_is_judged_too() {
    assert_snapshot!(errors("souces:\n  app: {type: file, includ: /x}\nsink:\n  out: {typ: console}\n"), @r#"
    error: unknown key `souces` at the top level
      --> pipeline.yaml:1:1
       |
     1 | souces:
       | ^^^^^^
       = expected one of: data_dir, agent, limits, sources, queue, sinks, process, tests, admin, shutdown
       = help: did you mean `sources`?

    error: unknown key `includ` in sources.app
      --> pipeline.yaml:2:21
       |
     2 |   app: {type: file, includ: /x}
       |                     ^^^^^^
       = expected one of: type, enabled, include, exclude, topic, start_at, idle_flush, max_line_bytes, on_long_line, encoding, line_ending, multiline, format, kubernetes, rescan, watch, poll_interval, ignore_older, forget_after, fields, downward_api, process
       = help: did you mean `include`?

    error: unknown key `sink` at the top level
      --> pipeline.yaml:3:1
       |
     3 | sink:
       | ^^^^
       = expected one of: data_dir, agent, limits, sources, queue, sinks, process, tests, admin, shutdown
       = help: did you mean `sinks`?

    error: `sinks.out` has no `type`
      --> pipeline.yaml:4:3
       |
     4 |   out: {typ: console}
       |   ^^^
       = expected the kind of sink: one of `elasticsearch`, `opensearch`, `http`, `loki`, `otlp`, `file`, `console`

    4 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn an_impossible_name_is_one_mistake() {
    assert_snapshot!(errors("sources:\n  a: {type: file, include: /x}\nsinks:\n  x/y: {type: console}\n"), @r#"
    error: `x/y` cannot be the name of one of the sinks
      --> pipeline.yaml:4:3
       |
     4 |   x/y: {type: console}
       |   ^^^
       = expected 1 to 64 of the characters `A-Z a-z 0-9 _ . -`

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn two_sinks_write_one_file() {
    assert_snapshot!(errors("sources:\n  a: {type: file, include: /x}\nsinks:\n  b: {type: file, path: /y/out}\n  c: {type: file, path: /y/./out}\n"), @r#"
    error: `sinks.c` writes the same file as `sinks.b`
      --> pipeline.yaml:5:25
       |
     5 |   c: {type: file, path: /y/./out}
       |                         ^^^^^^^^
       = expected a file of its own for each sink

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn nothing_at_all() {
    assert_snapshot!(errors("# nothing yet\n"), @r#"
    error: there is no source
      --> pipeline.yaml
       = expected at least one source
       = help: for example
         sources:
           app:
             type: file
             include: /var/log/app/*.log

    error: there is no sink
      --> pipeline.yaml
       = expected at least one sink
       = help: for example
         sinks:
           search:
             type: elasticsearch
             endpoints: http://localhost:9200

    2 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn all_disabled() {
    assert_snapshot!(errors(r#"sources: {a: {type: file, include: /a, enabled: no}}
sinks: {b: {type: console, enabled: "${ON:+true}"}}
"#), @r#"
    error: every source is disabled: `a`
      --> pipeline.yaml:1:11
       |
     1 | sources: {a: {type: file, include: /a, enabled: no}}
       |           ^
       = expected at least one source
       = help: set `enabled: true` for one, or the variable that it depends on

    error: every sink is disabled: `b`
      --> pipeline.yaml:2:9
       |
     2 | sinks: {b: {type: console, enabled: "${ON:+true}"}}
       |         ^
       = expected at least one sink
       = help: set `enabled: true` for one, or the variable that it depends on

    2 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn topic_that_nobody_writes() {
    assert_snapshot!(errors(r#"sources: {a: {type: file, include: /a, topic: nginx}}
sinks:
  b:
    type: console
    topics: [ngnix]
"#), @r#"
    error: `sinks.b` reads the topic `ngnix`, which no source writes: nothing feeds it
      --> pipeline.yaml:5:13
       |
     5 |     topics: [ngnix]
       |             ^
       = expected one of: nginx
       = help: did you mean `nginx`?

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn previous_name_still_there() {
    assert_snapshot!(errors(r#"sources: {a: {type: file, include: /a}}
sinks:
  b: {type: console}
  c: {type: console, previous_name: b}
"#), @r#"
    error: `sinks.c` wants to go on where `b` stopped, but a sink `b` is still there
      --> pipeline.yaml:4:37
       |
     4 |   c: {type: console, previous_name: b}
       |                                     ^
       = expected the name of a sink that is no longer in the configuration

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn file_sink_loop() {
    assert_snapshot!(errors(r#"sources: {a: {type: file, include: /var/log/**/*.log}}
sinks:
  b:
    type: file
    path: /var/log/out/x.log
"#), @r#"
    error: `sinks.b` writes a file that `sources.a` reads: a loop without end
      --> pipeline.yaml:5:11
       |
     5 |     path: /var/log/out/x.log
       |           ^^^^^^^^^^^^^^^^^^
       = expected a file that no source follows
       = help: write elsewhere, or add the file to `sources.a.exclude`

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn data_dir_loop() {
    assert_snapshot!(errors("data_dir: /var/log/forebay\nsources: {a: {type: file, include: /var/log/**}}\nsinks: {b: {type: console}}\n"), @r#"
    error: `sources.a` follows files of the data_dir itself: a loop without end
      --> pipeline.yaml:2:36
       |
     2 | sources: {a: {type: file, include: /var/log/**}}
       |                                    ^^^^^^^^^^^
       = expected globs that leave `data_dir` out
       = help: narrow the globs, or add `/var/log/forebay/**` to `exclude`

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn defined_in_two_files() {
    let first = b"data_dir: a\nsources: {a: {type: file, include: /a}}\nsinks: {o: {type: console}}\n";
    let second = b"data_dir: b\nsources: {a: {type: file, include: /b}}\n";
    assert_snapshot!(errors_of(&[("1.yaml", first), ("2.yaml", second)]), @r#"
    error: `data_dir` stands in two files
      --> 2.yaml:1:1
       |
     1 | data_dir: b
       | ^^^^^^^^
       = note: it is defined first at 1.yaml:1:1
       = help: keep it in one of them; only `sources`, `sinks` and `tests` unite

    error: `sources.a` is defined twice
      --> 2.yaml:2:11
       |
     2 | sources: {a: {type: file, include: /b}}
       |           ^
       = note: it is defined first at 1.yaml:2:11
       = help: rename or remove one of them

    2 errors in 2.yaml; nothing was started and no data was touched
    "#);
}
