//! Names that are not right.

use super::errors;
use insta::assert_snapshot;

#[test]
fn unknown_key_in_a_sink() {
    assert_snapshot!(errors(r#"data_dir: /tmp/x
sources:
  app:
    type: file
    include: /var/log/app/*.log
sinks:
  search:
    type: elasticsearch
    endpoint: http://localhost:9200
"#), @r#"
    error: unknown key `endpoint` in sinks.search
      --> pipeline.yaml:9:5
       |
     9 |     endpoint: http://localhost:9200
       |     ^^^^^^^^
       = expected one of: type, enabled, cloud_id, endpoints, index, data_stream, routing, include, pipeline, auth, tls, proxy, compression, timeout, previous_name, topics, batch, catch_up, in_flight, retry, process, when
       = help: did you mean `endpoints`?

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn a_processor_that_stands_beside_the_list() {
    assert_snapshot!(errors(r#"sources:
  a: {type: file, include: /var/log/nginx/access.log}
sinks:
  out:
    type: console
    parse: nginx.access
"#), @r#"
    error: unknown key `parse` in sinks.out
      --> pipeline.yaml:6:5
       |
     6 |     parse: nginx.access
       |     ^^^^^
       = expected one of: type, enabled, format, previous_name, topics, batch, catch_up, in_flight, retry, process, when
       = help: `parse` is a processor: it stands in the list `process`, as in `process: [{parse: …}]`

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn unknown_key_at_the_top() {
    assert_snapshot!(errors("source:\n  a: 1\n"), @r#"
    error: unknown key `source` at the top level
      --> pipeline.yaml:1:1
       |
     1 | source:
       | ^^^^^^
       = expected one of: data_dir, agent, limits, sources, queue, sinks, process, tests, admin, shutdown
       = help: did you mean `sources`?

    error: `sources.a` is a single value
      --> pipeline.yaml:2:6
       |
     2 |   a: 1
       |      ^
       = expected a map (`key: value` lines)

    error: there is no sink
      --> pipeline.yaml
       = expected at least one sink
       = help: for example
         sinks:
           search:
             type: elasticsearch
             endpoints: http://localhost:9200

    3 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn unknown_key_of_another_shipper() {
    assert_snapshot!(errors(r#"sources:
  a:
    type: file
    paths: [/var/log/*.log]
sinks: {out: {type: console}}
"#), @r#"
    error: unknown key `paths` in sources.a
      --> pipeline.yaml:4:5
       |
     4 |     paths: [/var/log/*.log]
       |     ^^^^^
       = expected one of: type, enabled, include, exclude, topic, start_at, idle_flush, max_line_bytes, on_long_line, encoding, line_ending, multiline, format, kubernetes, rescan, watch, poll_interval, ignore_older, forget_after, fields, downward_api, process
       = help: did you mean `include`?

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn no_type() {
    assert_snapshot!(errors("sources: {a: {include: /a}}\nsinks: {b: {format: text}}\n"), @r#"
    error: `sources.a` has no `type`
      --> pipeline.yaml:1:11
       |
     1 | sources: {a: {include: /a}}
       |           ^
       = expected the kind of source: `file`, `stdin`, `http`, `syslog`, `journald`

    error: `sinks.b` has no `type`
      --> pipeline.yaml:2:9
       |
     2 | sinks: {b: {format: text}}
       |         ^
       = expected the kind of sink: one of `elasticsearch`, `opensearch`, `http`, `loki`, `otlp`, `file`, `console`

    2 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn source_without_include() {
    assert_snapshot!(errors("sources: {a: {type: file}, b: {type: file, include: []}}\nsinks: {c: {type: console}}\n"), @r#"
    error: `sources.a` has no `include`
      --> pipeline.yaml:1:11
       |
     1 | sources: {a: {type: file}, b: {type: file, include: []}}
       |           ^
       = expected globs of the files to follow, such as `/var/log/app/*.log`

    error: `sources.b.include` is an empty list
      --> pipeline.yaml:1:53
       |
     1 | sources: {a: {type: file}, b: {type: file, include: []}}
       |                                                     ^
       = expected at least one glob, such as `/var/log/app/*.log`

    2 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn field_names() {
    assert_snapshot!(errors(r#"sources:
  a:
    type: file
    include: /a
    fields: {message: x, service.name: a, service: {name: b}}
sinks: {o: {type: console}}
"#), @r#"
    error: `message` cannot be the name of a field
      --> pipeline.yaml:5:14
       |
     5 |     fields: {message: x, service.name: a, service: {name: b}}
       |              ^^^^^^^
       = expected a name that Forebay does not write itself
       = note: its own are @timestamp, message, log.offset, log.file.path, log.flags, event.sequence, log, log.file, host, event

    error: `service.name` cannot be the name of a field
      --> pipeline.yaml:5:53
       |
     5 |     fields: {message: x, service.name: a, service: {name: b}}
       |                                                     ^^^^
       = expected a name that does not clash with `service.name`

    2 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn header_mistakes() {
    assert_snapshot!(errors(r#"sources: {a: {type: file, include: /a}}
sinks:
  b:
    type: http
    url: https://h/
    headers: {Content-Type: x, "a b": c}
"#), @r#"
    error: the header `Content-Type` is set by the sink itself
      --> pipeline.yaml:6:15
       |
     6 |     headers: {Content-Type: x, "a b": c}
       |               ^^^^^^^^^^^^
       = help: remove it

    error: `a b` cannot be the name of a header
      --> pipeline.yaml:6:32
       |
     6 |     headers: {Content-Type: x, "a b": c}
       |                                ^^^^^
       = expected letters, digits and `-`

    2 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn mistakes_of_loki_and_otlp() {
    assert_snapshot!(errors(r#"sources: {a: {type: file, include: /a}}
sinks:
  l: {type: loki, endpoint: "http://loki:3100/loki/api/v1/push", labels: {1st: host.name, level: log.level}, tennant: x}
  o: {type: otlp, endpoints: "http://collector:4318"}
"#), @r#"
    error: `1st` cannot be a label
      --> pipeline.yaml:3:75
       |
     3 |   l: {type: loki, endpoint: "http://loki:3100/loki/api/v1/push", labels: {1st: host.name, level: log.level}, tennant: x}
       |                                                                           ^^^
       = expected letters, digits and `_`, and no digit first

    error: unknown key `tennant` in sinks.l
      --> pipeline.yaml:3:110
       |
     3 |   l: {type: loki, endpoint: "http://loki:3100/loki/api/v1/push", labels: {1st: host.name, level: log.level}, tennant: x}
       |                                                                                                              ^^^^^^^
       = expected one of: type, enabled, endpoint, tenant, labels, structured_metadata, auth, tls, proxy, compression, timeout, previous_name, topics, batch, catch_up, in_flight, retry, process, when
       = help: did you mean `tenant`?

    error: unknown key `endpoints` in sinks.o
      --> pipeline.yaml:4:19
       |
     4 |   o: {type: otlp, endpoints: "http://collector:4318"}
       |                   ^^^^^^^^^
       = expected one of: type, enabled, endpoint, auth, tls, proxy, compression, timeout, headers, previous_name, topics, batch, catch_up, in_flight, retry, process, when
       = help: did you mean `endpoint`?

    3 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}
