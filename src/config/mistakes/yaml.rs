//! Files that cannot be read or parsed.

use super::{after_pipeline, env, errors, errors_of};
use crate::config::load;
use insta::assert_snapshot;
use std::path::PathBuf;

#[test]
fn flow_trap() {
    assert_snapshot!(errors("sources:\n  a: {type: file, include: [${LOGDIR}/*.log]}\n"), @r#"
    error: an unquoted `${…}` inside `{…}` or `[…]` is not what it seems: YAML takes its `{` for the start of a map
      --> pipeline.yaml:2:29
       |
     2 |   a: {type: file, include: [${LOGDIR}/*.log]}
       |                             ^^
       = help: put it in quotes: "${…}"

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn not_yaml() {
    assert_snapshot!(errors("sources:\n  a: b: c\n"), @r#"
    error: this is not valid YAML: mapping values are not allowed in this context
      --> pipeline.yaml:2:7
       |
     2 |   a: b: c
       |       ^
       = help: put a value that holds `: ` in quotes, and begin each key on a line of its own

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn star_without_quotes() {
    assert_snapshot!(errors("sources:\n  a:\n    include: *.log\n"), @r#"
    error: this is not valid YAML: while parsing node, found unknown anchor
      --> pipeline.yaml:3:14
       |
     3 |     include: *.log
       |              ^
       = help: a value that begins with `*` needs quotes: `"*.log"`

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn windows_path_in_double_quotes() {
    assert_snapshot!(errors("sources:\n  a: {include: \"C:\\logs\"}\n"), @r#"
    error: this is not valid YAML: while parsing a quoted scalar, found unknown escape character
      --> pipeline.yaml:2:16
       |
     2 |   a: {include: "C:\logs"}
       |                ^
       = help: between double quotes `\` begins an escape: use single quotes

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn indentation_that_fits_no_map() {
    assert_snapshot!(errors("sources:\n  a:\n    type: file\n   include: /x\n"), @r#"
    error: this is not valid YAML: while parsing a block mapping, did not find expected key
      --> pipeline.yaml:4:4
       |
     4 |    include: /x
       |    ^
       = help: keys of one map begin in the same column: look at the indentation here and in the lines above

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn tab_indent() {
    assert_snapshot!(errors("sources:\n	a: 1\n"), @r#"
    error: this is not valid YAML: tabs disallowed within this context (block indentation)
      --> pipeline.yaml:2:2
       |
     2 |  a: 1
       |  ^
       = help: indent with spaces: YAML forbids tabs

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn key_stands_twice() {
    assert_snapshot!(after_pipeline("queue:\n  linger: 1ms\n  linger: 2ms\n"), @r#"
    error: the key `linger` stands twice in this map
      --> pipeline.yaml:5:3
       |
     5 |   linger: 2ms
       |   ^^^^^^
       = note: it stands first on line 4
       = help: remove one of them

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn two_documents() {
    assert_snapshot!(errors("data_dir: a\n---\ndata_dir: b\n"), @r#"
    error: a second document begins here
      --> pipeline.yaml:2:1
       |
     2 | ---
       | ^^^
       = expected one document in a file
       = help: put it in a file of its own: `forebay run` takes several files, or a folder

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn not_utf8() {
    assert_snapshot!(errors_of(&[("pipeline.yaml", b"a: 1\nb: \xff\n")]), @r#"
    error: the file is not UTF-8: byte 0xff on line 2
      --> pipeline.yaml
       = expected UTF-8 text

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn no_such_file() {
    let error = load(&[PathBuf::from("no-such-file.yaml")], &env).unwrap_err();
    assert_snapshot!(error.render(false), @r#"
    error: cannot read the configuration: No such file or directory (os error 2)
      --> no-such-file.yaml
       = expected a YAML file, or a folder with `*.yaml` files

    1 error in no-such-file.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn not_a_map() {
    assert_snapshot!(errors("- a\n- b\n"), @r#"
    error: the file holds a list
      --> pipeline.yaml:1:1
       |
     1 | - a
       | ^
       = expected a map with: data_dir, agent, limits, sources, queue, sinks, process, tests, admin, shutdown

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn a_line_without_end() {
    let text = format!("sources: {{a: {{type: file, include: \"/{}\", topics: x}}}}\nsinks: {{b: {{type: console}}}}\n", "x".repeat(300));
    assert_snapshot!(errors(&text), @r#"
    error: unknown key `topics` in sources.a
      --> pipeline.yaml:1:341
       |
     1 | xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", topics: x}}
       |                                         ^^^^^^
       = expected one of: type, enabled, include, exclude, topic, start_at, idle_flush, max_line_bytes, on_long_line, encoding, line_ending, multiline, format, kubernetes, rescan, watch, poll_interval, ignore_older, forget_after, fields, downward_api, process
       = help: did you mean `topic`?

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}
