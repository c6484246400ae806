//! Mistakes in the sources that are pushed to.

use super::errors;
use insta::assert_snapshot;

#[test]
fn listen_and_tls() {
    assert_snapshot!(errors(r#"sources:
  a: {type: syslog}
  b: {type: syslog, listen: "127.0.0.1:514"}
  c: {type: syslog, listen: ["tls://127.0.0.1:6514", "udp://127.0.0.1:1", "udp://127.0.0.1:1"]}
  d: {type: syslog, listen: "udp://127.0.0.1:2", tls: {cert_file: /c}}
  e: {type: http, listen: ":9200", max_line_byte: 1KiB}
sinks: {o: {type: console}}
"#), @r#"
    error: `sources.a` has no `listen`
      --> pipeline.yaml:2:3
       |
     2 |   a: {type: syslog}
       |   ^
       = expected where to listen, such as `udp://127.0.0.1:514`

    error: `sources.b.listen` is `127.0.0.1:514`
      --> pipeline.yaml:3:29
       |
     3 |   b: {type: syslog, listen: "127.0.0.1:514"}
       |                             ^^^^^^^^^^^^^^^
       = expected `udp://IP:PORT`, `tcp://IP:PORT`, `tls://IP:PORT`, `unix:/PATH` or `unixgram:/PATH`
       = help: did you mean `udp://127.0.0.1:514` or `tcp://127.0.0.1:514`?

    error: `sources.c.listen[0]` is `tls://`, but `sources.c.tls` is not there
      --> pipeline.yaml:4:30
       |
     4 |   c: {type: syslog, listen: ["tls://127.0.0.1:6514", "udp://127.0.0.1:1", "udp://127.0.0.1:1"]}
       |                              ^^^^^^^^^^^^^^^^^^^^^^
       = expected `tls: {cert_file: …, key_file: …}`

    error: `sources.c.listen[2]` is there twice
      --> pipeline.yaml:4:75
       |
     4 |   c: {type: syslog, listen: ["tls://127.0.0.1:6514", "udp://127.0.0.1:1", "udp://127.0.0.1:1"]}
       |                                                                           ^^^^^^^^^^^^^^^^^^^
       = expected each address once

    error: `sources.d.tls` has no `key_file`
      --> pipeline.yaml:5:50
       |
     5 |   d: {type: syslog, listen: "udp://127.0.0.1:2", tls: {cert_file: /c}}
       |                                                  ^^^
       = expected the path of a PEM file with the key

    error: `sources.e.listen` is `:9200`
      --> pipeline.yaml:6:27
       |
     6 |   e: {type: http, listen: ":9200", max_line_byte: 1KiB}
       |                           ^^^^^^^
       = expected an IP address with a port, such as `127.0.0.1:9200`
       = help: did you mean `127.0.0.1:9200`? `0.0.0.0:9200` listens on all interfaces

    error: unknown key `max_line_byte` in sources.e
      --> pipeline.yaml:6:36
       |
     6 |   e: {type: http, listen: ":9200", max_line_byte: 1KiB}
       |                                    ^^^^^^^^^^^^^
       = expected one of: type, enabled, listen, max_body, auth, tls, max_connections, topic, max_line_bytes, fields, process
       = help: did you mean `max_line_bytes`?

    7 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn what_does_not_go_together() {
    assert_snapshot!(errors(r#"sources:
  a: {type: stdin}
  b: {type: stdin}
  c: {type: http, max_body: 16MiB, auth: {user: me}}
  d: {type: journal}
sinks: {o: {type: console}}
"#), @r#"
    error: both `sources.a` and `sources.b` read standard input
      --> pipeline.yaml:3:3
       |
     3 |   b: {type: stdin}
       |   ^
       = expected one source of `type: stdin`

    error: `sources.c.max_body` is more than a quarter of `queue.buffer_memory`
      --> pipeline.yaml:4:3
       |
     4 |   c: {type: http, max_body: 16MiB, auth: {user: me}}
       |   ^
       = expected room for at least two of the largest bodies in the half of the memory that sources have

    error: `sources.c.auth` needs both `user` and `password`
      --> pipeline.yaml:4:42
       |
     4 |   c: {type: http, max_body: 16MiB, auth: {user: me}}
       |                                          ^
       = expected one of: `{user: …, password: …}`, `{api_key: …}`, `{bearer: …}`

    error: `sources.d.type` is `journal`
      --> pipeline.yaml:5:13
       |
     5 |   d: {type: journal}
       |             ^^^^^^^
       = expected one of: `file`, `stdin`, `http`, `syslog`, `journald`
       = help: did you mean `journald`?

    4 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}
